//! Verifiers beside argon2id, for methods that it cannot serve: an NT hash for MS-CHAPv2 and PEAP, the password itself for CHAP.
//!
//! Whoever steals one of them can log in with it, so there is none where the operator did not ask for it, realm by realm. They
//! are made when a password is set, as only then it is known; and taken away, also from the agents, when the operator says so.

use super::db::accounts::Verifiers;
use super::db::{accounts, generations, kept};
use super::{Portal, PortalError, encrypt};
use holdfast_proto::radius::mschap::nt_hash;
use holdfast_proto::radius::{NAME_LIMIT_BYTES, cleartext_key, nt_hash_key};
use holdfast_proto::snapshot::DataKey;
use holdfast_proto::words::Secret;
use kept::KeptRow;
use sqlx::PgConnection;

/// The realm that everybody is in.
const EVERYBODY: &str = "*";

/// What may be kept beside argon2id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum KeptVerifier {
    /// For MS-CHAPv2: PEAP, TTLS/MSCHAPv2, routers.
    NtHash,
    /// For CHAP.
    Cleartext,
}

impl KeptVerifier {
    /// Its name in the database and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::NtHash => "nt-hash",
            Self::Cleartext => "cleartext",
        }
    }
}

impl Portal {
    /// Keeps such verifiers from now on, for a realm or for everybody. Gives how many accounts have none until their password is
    /// set again.
    pub async fn keep(&self, actor: &str, verifier: KeptVerifier, realm: Option<&str>) -> Result<u64, PortalError> {
        let realm = realm_of(realm)?;
        let mut tx = self.0.pool.begin().await?;
        if kept::add(&mut tx, &realm, verifier.name()).await? {
            accounts::audit(&mut tx, actor, &format!("keep {}", verifier.name()), std::slice::from_ref(&realm)).await?;
        }
        let count = kept::count_without(&mut tx, &realm, verifier.name()).await?;
        self.commit(tx).await?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Keeps them no longer, and takes away what there is. Gives from how many accounts. What was published of them stays on boxes and in
    /// the history for a while, so the data key that opens it is changed, and goes from every box with the next generations.
    pub async fn forget(&self, actor: &str, verifier: KeptVerifier, realm: Option<&str>) -> Result<usize, PortalError> {
        let realm = realm_of(realm)?;
        let mut tx = self.0.pool.begin().await?;
        generations::lock(&mut tx).await?;
        if !kept::remove(&mut tx, &realm, verifier.name()).await? {
            return Err(PortalError::NotKept { what: verifier.name(), realm });
        }
        let keys = kept::drop_what_is_not_kept(&mut tx).await?;
        let action = format!("forget {}", verifier.name());
        accounts::audit(&mut tx, actor, &action, std::slice::from_ref(&realm)).await?;
        accounts::audit(&mut tx, actor, &action, &keys).await?;
        if !keys.is_empty() {
            let key = self.0.keys.make_data_key()?;
            self.use_key(&mut tx, &key).await?;
        }
        self.commit(tx).await?;
        Ok(keys.len())
    }

    /// What is kept: realm and name, as the operator wrote them.
    pub async fn kept(&self) -> Result<Vec<(String, String)>, PortalError> {
        let rows = kept::all(&mut *self.0.pool.acquire().await?).await?;
        Ok(rows.into_iter().map(|row| (row.realm, row.kind)).collect())
    }
}

fn realm_of(realm: Option<&str>) -> Result<String, PortalError> {
    let realm = realm.unwrap_or(EVERYBODY).trim().to_lowercase();
    let is_one = realm.len() <= NAME_LIMIT_BYTES && !realm.contains(|c: char| c.is_control() || c.is_whitespace() || c == '@');
    if is_one { Ok(realm) } else { Err(PortalError::Realm(realm.chars().filter(|c| !c.is_control()).take(80).collect())) }
}

/// What the policy says of one account.
fn is_kept(policy: &[KeptRow], key: &str, verifier: KeptVerifier) -> bool {
    let realm = key.rsplit_once('@').map_or("", |(_, realm)| realm);
    policy.iter().any(|row| row.kind == verifier.name() && (row.realm == EVERYBODY || row.realm == realm))
}

/// All verifiers of an account, as they may lie in a database.
pub(super) fn verifiers_of(data: &DataKey, policy: &[KeptRow], key: &str, verifier: &Secret, password: &Secret) -> Result<Verifiers, PortalError> {
    let own = key.as_bytes();
    let nt_hash = if is_kept(policy, key, KeptVerifier::NtHash) { nt_hash(password) } else { None };
    let cleartext = is_kept(policy, key, KeptVerifier::Cleartext).then_some(password);
    Ok(Verifiers {
        verifier: encrypt(data, own, verifier)?,
        nt_hash: nt_hash.map(|hash| encrypt(data, &nt_hash_key(own), &hash)).transpose()?,
        cleartext: cleartext.map(|password| encrypt(data, &cleartext_key(own), password)).transpose()?,
    })
}

/// Says in the audit whose password is kept in a form that a thief can log in with.
pub(super) async fn flag<'a>(tx: &mut PgConnection, actor: &str, made: impl Iterator<Item = (&'a str, &'a Verifiers)>) -> sqlx::Result<()> {
    let (mut nt_hashes, mut cleartexts) = (vec![], vec![]);
    for (key, verifiers) in made {
        nt_hashes.extend(verifiers.nt_hash.as_ref().map(|_| key.to_owned()));
        cleartexts.extend(verifiers.cleartext.as_ref().map(|_| key.to_owned()));
    }
    for (verifier, keys) in [(KeptVerifier::NtHash, nt_hashes), (KeptVerifier::Cleartext, cleartexts)] {
        if !keys.is_empty() {
            accounts::audit(tx, actor, &format!("{} kept", verifier.name()), &keys).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::radius::ACCOUNT;
    use holdfast_proto::snapshot::{DataKeyRing, EncryptedField};

    fn policy(lines: &[(&str, KeptVerifier)]) -> Vec<KeptRow> {
        lines.iter().map(|(realm, verifier)| KeptRow { realm: (*realm).to_owned(), kind: verifier.name().to_owned() }).collect()
    }

    #[test]
    fn verifiers_are_kept_for_the_realms_that_were_named_and_for_nobody_else() {
        use KeptVerifier::{Cleartext, NtHash};
        let found = |policy: &[KeptRow], key| (is_kept(policy, key, NtHash), is_kept(policy, key, Cleartext));
        assert_eq!(found(&[], "ada@uni.example"), (false, false));
        let of_realm = policy(&[("uni.example", NtHash), ("", Cleartext)]);
        assert_eq!(found(&of_realm, "ada@uni.example"), (true, false));
        assert_eq!(found(&of_realm, "ada@x@uni.example"), (true, false));
        assert_eq!(found(&of_realm, "ada@physics.uni.example"), (false, false));
        assert_eq!(found(&of_realm, "ada"), (false, true));
        assert_eq!(found(&policy(&[("*", NtHash)]), "ada"), (true, false));
        assert!(realm_of(Some("Uni.Example ")).is_ok_and(|realm| realm == "uni.example") && realm_of(Some("a@b")).is_err());
    }

    #[test]
    fn each_verifier_is_encrypted_for_its_own_place() {
        let (data, password) = (DataKey::from_bytes([7; 32]), Secret::new("joule-1"));
        let policy = policy(&[("*", KeptVerifier::NtHash), ("*", KeptVerifier::Cleartext)]);
        let found = verifiers_of(&data, &policy, "ada", &Secret::new("$argon2id$"), &password).unwrap();
        let ring = DataKeyRing::of([data]);
        let open = |field: &Option<Vec<u8>>, row_key: &[u8]| {
            let field = EncryptedField::from_bytes(field.as_ref().unwrap()).unwrap();
            ring.decrypt(ACCOUNT, row_key, &field).ok()
        };
        assert_eq!(open(&found.cleartext, &cleartext_key(b"ada")), Some(password.clone()));
        assert_eq!(open(&found.nt_hash, &nt_hash_key(b"ada")), nt_hash(&password));
        assert_eq!(open(&found.cleartext, b"ada"), None, "it is no verifier of argon2id");
        assert_eq!(open(&found.nt_hash, &cleartext_key(b"ada")), None);
    }
}
