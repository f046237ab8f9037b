//! The data key is changed when an agent that had it was thrown out.
//!
//! The new key is on disk first. Then one transaction withdraws the agent, encrypts every verifier anew and says which key is
//! in use; the publisher brings that out, the new key to those who stay before the rows under it. The old key's rows go last.
//! Whatever is cut short leaves a key too many, never one too few.

use super::db::accounts::Verifier;
use super::db::{accounts, agents, generations};
use super::{Portal, PortalError};
use holdfast_proto::radius::ACCOUNT;
use holdfast_proto::snapshot::{DataKey, EncryptedField};
use sqlx::PgConnection;
use uuid::Uuid;

/// How many verifiers are written with one statement.
const PAGE: usize = 4096;

impl Portal {
    /// Changes the data key if one of these was confirmed here. Gives whether it did.
    pub(super) async fn change_key_for(&self, thrown_out: &[Uuid]) -> Result<bool, PortalError> {
        let confirmed = agents::read(&mut *self.0.pool.acquire().await?, thrown_out).await?;
        if confirmed.is_empty() {
            return Ok(false);
        }
        let key = self.0.keys.make_data_key()?;
        let mut tx = self.0.pool.begin().await?;
        generations::lock(&mut tx).await?;
        for agent in &confirmed {
            agents::withdraw(&mut tx, agent.node_id).await?;
        }
        let names: Vec<String> = confirmed.iter().map(|agent| agent.node_id.to_string()).collect();
        accounts::audit(&mut tx, "holdfast", "agent thrown out, data key changed", &names).await?;
        agents::note_all(&mut tx).await?;
        let count = self.encrypt_all(&mut tx, &key).await?;
        generations::set_data_key(&mut tx, key.id()).await?;
        self.commit(tx).await?;
        tracing::warn!(event = "portal_data_key_changed", accounts = count, "an agent that could read verifiers was thrown out: the data key was changed");
        Ok(true)
    }

    async fn encrypt_all(&self, tx: &mut PgConnection, key: &DataKey) -> Result<usize, PortalError> {
        let all = accounts::verifiers(tx).await?;
        let count = all.len();
        let anew = all.into_iter().filter_map(|row| self.encrypt_anew(row, key)).collect::<Vec<_>>();
        for page in anew.chunks(PAGE) {
            accounts::set_verifiers(tx, page).await?;
        }
        Ok(count)
    }

    /// The same verifier under another key; `None` where it is so already, or cannot be read.
    fn encrypt_anew(&self, row: Verifier, key: &DataKey) -> Option<Verifier> {
        encrypt_anew(&self.0.keys.ring(), row, key)
    }

    /// The data key in use.
    pub(super) async fn data_key(&self, db: &mut PgConnection) -> Result<DataKey, PortalError> {
        Ok(self.0.keys.data_key(generations::data_key(db).await?)?)
    }
}

/// The same verifier under another key; `None` where it is so already, or cannot be read.
pub(super) fn encrypt_anew(ring: &holdfast_proto::snapshot::DataKeyRing, row: Verifier, key: &DataKey) -> Option<Verifier> {
    let field = EncryptedField::from_bytes(&row.verifier).ok()?;
    if field.key_id() == key.id() {
        return None;
    }
    let row_key = row.key.as_bytes();
    let anew = ring.decrypt(ACCOUNT, row_key, &field).and_then(|verifier| key.encrypt(ACCOUNT, row_key, verifier.expose()));
    match anew {
        Ok(field) => Some(Verifier { verifier: field.bytes().to_vec(), ..row }),
        Err(wrong) => {
            tracing::error!(event = "portal_verifier_unreadable", account = %row.key, %wrong, "the verifier of {} cannot be read: set the password again", row.key);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::snapshot::DataKeyRing;

    #[test]
    fn a_verifier_changes_its_key_and_nothing_else() {
        let (old, new) = (DataKey::from_bytes([1; 32]), DataKey::from_bytes([2; 32]));
        let row = |key: &DataKey| Verifier { key: "ada".to_owned(), verifier: key.encrypt(ACCOUNT, b"ada", b"$argon2id$").unwrap().bytes().to_vec() };
        let ring = DataKeyRing::of([old.clone(), new.clone()]);
        let anew = encrypt_anew(&ring, row(&old), &new).unwrap();
        let field = EncryptedField::from_bytes(&anew.verifier).unwrap();
        assert_eq!(DataKeyRing::of([new.clone()]).decrypt(ACCOUNT, b"ada", &field).unwrap().expose(), b"$argon2id$");
        assert!(DataKeyRing::of([old]).decrypt(ACCOUNT, b"ada", &field).is_err());
        assert!(encrypt_anew(&ring, row(&new), &new).is_none(), "it is so already");
        assert!(encrypt_anew(&ring, row(&DataKey::from_bytes([9; 32])), &new).is_none(), "a key that nobody has");
    }
}
