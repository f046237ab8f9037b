//! The data key is changed when an agent that had it was thrown out, and when verifiers are forgotten.
//!
//! The new key is on disk first. Then one transaction withdraws the agent or drops the verifiers, encrypts what stays anew and says
//! which key is in use; the publisher brings that out, the new key to those who stay before the rows under it. The old key's rows go last.
//! Whatever is cut short leaves a key too many, never one too few.

use super::db::accounts::KeyedVerifiers;
use super::db::{accounts, agents, generations};
use super::{Portal, PortalError};
use holdfast_proto::radius::{ACCOUNT, cleartext_key, nt_hash_key};
use holdfast_proto::snapshot::{DataKey, DataKeyRing, EncryptedField, FieldError};
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
        let count = self.use_key(&mut tx, &key).await?;
        self.commit(tx).await?;
        tracing::warn!(event = "portal_data_key_changed", accounts = count, "an agent that could read verifiers was thrown out: the data key was changed");
        Ok(true)
    }

    /// Brings a key into use that is on disk, in the caller's transaction, which has the publisher's lock. Gives how many accounts there are.
    pub(super) async fn use_key(&self, tx: &mut PgConnection, key: &DataKey) -> Result<usize, PortalError> {
        agents::note_all(tx).await?;
        let count = self.encrypt_all(tx, key).await?;
        generations::set_data_key(tx, key.id()).await?;
        Ok(count)
    }

    async fn encrypt_all(&self, tx: &mut PgConnection, key: &DataKey) -> Result<usize, PortalError> {
        let (all, ring) = (accounts::verifiers(tx).await?, self.0.keys.ring());
        let count = all.len();
        let anew = all.into_iter().filter_map(|row| encrypt_anew(&ring, row, key)).collect::<Vec<_>>();
        for page in anew.chunks(PAGE) {
            accounts::set_verifiers(tx, page).await?;
        }
        Ok(count)
    }

    /// The data key in use.
    pub(super) async fn data_key(&self, db: &mut PgConnection) -> Result<DataKey, PortalError> {
        Ok(self.0.keys.data_key(generations::data_key(db).await?)?)
    }
}

/// The same verifiers under another key; `None` where they are so already, or cannot be read.
pub(super) fn encrypt_anew(ring: &DataKeyRing, row: KeyedVerifiers, key: &DataKey) -> Option<KeyedVerifiers> {
    match try_anew(ring, &row, key) {
        Ok(anew) => anew,
        Err(wrong) => {
            tracing::error!(event = "portal_verifier_unreadable", account = %row.key, %wrong, "a verifier of {} cannot be read: set the password again", row.key);
            None
        }
    }
}

fn try_anew(ring: &DataKeyRing, row: &KeyedVerifiers, key: &DataKey) -> Result<Option<KeyedVerifiers>, FieldError> {
    let own = row.key.as_bytes();
    let mut differs = false;
    let mut anew = |bytes: &[u8], row_key: &[u8]| {
        let field = EncryptedField::from_bytes(bytes)?;
        if field.key_id() == key.id() {
            return Ok(bytes.to_vec());
        }
        differs = true;
        Ok(key.encrypt(ACCOUNT, row_key, ring.decrypt(ACCOUNT, row_key, &field)?.expose())?.bytes().to_vec())
    };
    let verifier = anew(&row.verifier, own)?;
    let nt_hash = row.nt_hash.as_deref().map(|field| anew(field, &nt_hash_key(own))).transpose()?;
    let cleartext = row.cleartext.as_deref().map(|field| anew(field, &cleartext_key(own))).transpose()?;
    Ok(differs.then(|| KeyedVerifiers { key: row.key.clone(), verifier, nt_hash, cleartext }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &DataKey) -> KeyedVerifiers {
        let field = |row_key: &[u8], plain: &[u8]| key.encrypt(ACCOUNT, row_key, plain).unwrap().bytes().to_vec();
        let (verifier, nt_hash) = (field(b"ada", b"$argon2id$"), Some(field(&nt_hash_key(b"ada"), &[7; 16])));
        KeyedVerifiers { key: "ada".to_owned(), verifier, nt_hash, cleartext: None }
    }

    #[test]
    fn verifiers_change_their_key_and_nothing_else() {
        let (old, new) = (DataKey::from_bytes([1; 32]), DataKey::from_bytes([2; 32]));
        let ring = DataKeyRing::of([old.clone(), new.clone()]);
        let anew = encrypt_anew(&ring, row(&old), &new).unwrap();
        let open = |key: &DataKey, bytes: &[u8], row_key: &[u8]| {
            let field = EncryptedField::from_bytes(bytes).unwrap();
            DataKeyRing::of([key.clone()]).decrypt(ACCOUNT, row_key, &field).map(|plain| plain.expose().to_vec())
        };
        assert_eq!(open(&new, &anew.verifier, b"ada").unwrap(), b"$argon2id$");
        assert_eq!(open(&new, anew.nt_hash.as_ref().unwrap(), &nt_hash_key(b"ada")).unwrap(), [7; 16]);
        assert!(open(&old, &anew.verifier, b"ada").is_err() && anew.cleartext.is_none());
        let half = KeyedVerifiers { nt_hash: row(&old).nt_hash, ..row(&new) };
        assert!(encrypt_anew(&ring, half, &new).is_some(), "one of them is still under the old key");
        assert!(encrypt_anew(&ring, row(&new), &new).is_none(), "it is so already");
        assert!(encrypt_anew(&ring, row(&DataKey::from_bytes([9; 32])), &new).is_none(), "a key that nobody has");
    }
}
