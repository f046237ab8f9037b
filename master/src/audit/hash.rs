//! The bytes that a link's hash is over: every field with its length before it, so that no two histories have the same.

use crate::db::DbError;
use crate::db::chain::{self, CoveredChange, CoveredRow};
use aws_lc_rs::digest::{Context, SHA256};
use sqlx::PgConnection;
use uuid::Uuid;

/// What stands before the first link.
pub(super) const START: [u8; 32] = [0; 32];
/// The form of what is hashed.
const DOMAIN: &[u8] = b"HOLDFAST-AUDIT-LINK-1\0";

/// SHA-256 over fields that cannot run into each other.
struct Fields(Context);

impl Fields {
    fn new(ordinal: i64, previous: &[u8]) -> Self {
        let mut fields = Self(Context::new(&SHA256));
        fields.0.update(DOMAIN);
        fields.bytes(previous);
        fields.number(ordinal);
        fields
    }

    fn number(&mut self, number: i64) {
        self.0.update(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// Nothing is not the same as an empty text.
    fn optional(&mut self, text: Option<&[u8]>) {
        self.0.update(&[u8::from(text.is_some())]);
        self.bytes(text.unwrap_or_default());
    }

    fn set(&mut self, set: &CoveredRow) {
        self.bytes(set.id.as_bytes());
        self.number(set.at_micros);
        for text in [&set.actor, &set.reason, &set.via] {
            self.bytes(text.as_bytes());
        }
        for text in [&set.author, &set.approved_by] {
            self.optional(text.as_deref().map(str::as_bytes));
        }
    }

    fn change(&mut self, change: &CoveredChange) {
        self.number(change.ordinal);
        self.bytes(change.table_name.as_bytes());
        self.bytes(change.key.as_bytes());
        self.optional(change.host_id.as_ref().map(|id| &id.as_bytes()[..]));
        for image in [&change.before, &change.after] {
            self.optional(image.as_deref().map(str::as_bytes));
        }
    }

    fn hash(self) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

/// The hash of the link of a change set at this place; `None` where the change set is not there.
pub(super) async fn link_hash(db: &mut PgConnection, ordinal: i64, change_set: Uuid, previous: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
    let Some(set) = chain::covered(db, change_set).await? else { return Ok(None) };
    let mut fields = Fields::new(ordinal, previous);
    fields.set(&set);
    chain::each_change(db, change_set, |change| fields.change(change)).await?;
    Ok(Some(fields.hash()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(key: &str, before: Option<&str>) -> Vec<u8> {
        let mut fields = Fields::new(1, &START);
        let before = before.map(str::to_owned);
        fields.change(&CoveredChange { ordinal: 1, table_name: "t".into(), key: key.into(), host_id: None, before, after: None });
        fields.hash()
    }

    #[test]
    fn no_two_histories_have_the_same_hash_by_where_their_fields_end() {
        assert_ne!(hash("a", Some("bc")), hash("ab", Some("c")));
        assert_ne!(hash("a", Some("")), hash("a", None));
        assert_eq!(hash("a", None), hash("a", None));
    }
}
