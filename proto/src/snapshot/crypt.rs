//! Secret fields of rows: encrypted once under a scope's data key, so that one build and one signature serve every agent
//! and no relay, backup or disk holds a readable secret. The data key itself travels in the same feed, encrypted to each
//! entitled agent (HPKE, RFC 9180): whoever signs a scope decides who reads it.

use super::{Change, Damaged, Table, View};
use crate::words::{NodeId, Secret};
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey, UnboundKey};
use aws_lc_rs::rand;
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey};

/// The table, in every feed with secrets, of data keys encrypted to agents: key = [`KeyId`] and agent, value = HPKE.
pub const WRAPPED_KEYS: Table = Table(15);
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const HPKE_ENC_BYTES: usize = 32;
const HPKE_INFO: &[u8] = b"holdfast 2026-11 data key";

/// Which data key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

/// A field that cannot be read or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// It is too short, or of a version that this build does not know.
    #[error("the encrypted field is damaged or of an unknown version")]
    Damaged,
    /// Its data key is not here.
    #[error("the encrypted field needs data key {:02x?}, which this box was not given", .0.0)]
    NoKey(KeyId),
    /// It was changed, or belongs to another row.
    #[error("the encrypted field does not open: it was altered or belongs to another row")]
    Altered,
    /// The cryptographic library failed.
    #[error("the cryptographic library refused to work")]
    Library,
}

/// `version u8 | key id [8] | nonce [12] | AES-256-GCM-SIV ciphertext and tag`. The row it stands in is the associated data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptedField(Vec<u8>);

impl EncryptedField {
    /// Takes bytes that look like a field.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FieldError> {
        let long_enough = bytes.len() >= 1 + 8 + NONCE_BYTES + TAG_BYTES;
        if long_enough && bytes[0] == VERSION { Ok(Self(bytes.to_vec())) } else { Err(FieldError::Damaged) }
    }

    /// The bytes to keep in a row.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Which data key opens it.
    pub fn key_id(&self) -> KeyId {
        KeyId(*self.0[1..].first_chunk().expect("checked on the way in"))
    }
}

/// A data key of a scope: 256 bits.
#[derive(Debug, Clone)]
pub struct DataKey {
    id: KeyId,
    key: Secret,
}

impl DataKey {
    /// Makes a new key.
    pub fn generate() -> Result<Self, FieldError> {
        let mut key = [0; 32];
        rand::fill(&mut key).map_err(|_| FieldError::Library)?;
        Ok(Self::from_bytes(key))
    }

    /// Takes a kept key.
    pub fn from_bytes(key: [u8; 32]) -> Self {
        let id = blake3::derive_key("holdfast 2026-11 data key id", &key);
        Self { id: KeyId(*id.first_chunk().expect("a hash has 32 bytes")), key: Secret::new(key) }
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// A secret for another purpose, which says nothing about this key: whoever has the key has it, too.
    pub fn derived(&self, purpose: &str) -> Secret {
        Secret::new(blake3::derive_key(purpose, self.key.expose()))
    }

    /// The key itself, for its file of mode 0600.
    pub fn expose(&self) -> &[u8] {
        self.key.expose()
    }

    fn aead(&self) -> Result<UnboundKey, FieldError> {
        UnboundKey::new(&AES_256_GCM_SIV, self.key.expose()).map_err(|_| FieldError::Library)
    }

    /// Encrypts a field of the row (table, key).
    pub fn encrypt(&self, table: Table, row_key: &[u8], plain: &[u8]) -> Result<EncryptedField, FieldError> {
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, self.key.expose()).map_err(|_| FieldError::Library)?;
        let mut text = plain.to_vec();
        let nonce = key.seal_in_place_append_tag(Aad::from(associated(table, row_key)), &mut text).map_err(|_| FieldError::Library)?;
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(nonce.as_ref());
        out.extend_from_slice(&text);
        Ok(EncryptedField(out))
    }

    fn decrypt(&self, table: Table, row_key: &[u8], field: &EncryptedField) -> Result<Secret, FieldError> {
        let key = aws_lc_rs::aead::LessSafeKey::new(self.aead()?);
        let (nonce, text) = field.0[9..].split_first_chunk::<NONCE_BYTES>().ok_or(FieldError::Damaged)?;
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key.open_in_place(nonce, Aad::from(associated(table, row_key)), &mut text).map_err(|_| FieldError::Altered)?;
        Ok(Secret::new(plain.to_vec()))
    }
}

fn associated(table: Table, row_key: &[u8]) -> Vec<u8> {
    [&[table.0], row_key].concat()
}

/// The public half of an agent's HPKE key (X25519).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HpkePublic(pub Vec<u8>);

impl HpkePublic {
    /// What an operator compares with the box's screen before the portal encrypts to it.
    pub fn fingerprint(&self) -> String {
        let hash = blake3::derive_key("holdfast 2026-11 agent key fingerprint", &self.0);
        hash[..16].chunks(2).map(|pair| format!("{:02x}{:02x}", pair[0], pair[1])).collect::<Vec<_>>().join("-")
    }
}

/// The private half.
#[derive(Debug, Clone)]
pub struct HpkePrivate(Secret);

impl HpkePrivate {
    /// Makes a key pair.
    pub fn generate() -> Result<(Self, HpkePublic), FieldError> {
        let (public, private) = DH_KEM_X25519_HKDF_SHA256_AES_256.generate_key_pair().map_err(|_| FieldError::Library)?;
        Ok((Self(Secret::new(private.secret_bytes())), HpkePublic(public.0)))
    }

    /// Reads a kept key.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(Secret::new(bytes))
    }

    /// The key itself, for its file of mode 0600.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

/// The row that gives a data key to one agent.
pub fn wrapped_key_row(key: &DataKey, agent: NodeId, to: &HpkePublic) -> Result<Change, FieldError> {
    let row_key = [&key.id.0[..], &agent.0].concat();
    let public = HpkePublicKey(to.0.clone());
    let (enc, text) = DH_KEM_X25519_HKDF_SHA256_AES_256.seal(HPKE_INFO, &row_key, key.expose(), &public).map_err(|_| FieldError::Library)?;
    Ok(Change::put(WRAPPED_KEYS, row_key, [enc.0, text].concat()))
}

/// Whether a view holds a data key that is meant for this agent.
pub fn is_addressed_to(view: &View, agent: NodeId) -> bool {
    own_keys(view, agent).next().is_some()
}

/// The data keys that are meant for one agent, closed.
fn own_keys(view: &View, agent: NodeId) -> impl Iterator<Item = Result<(&[u8], &[u8]), Damaged>> {
    view.iter(WRAPPED_KEYS).filter(move |row| row.as_ref().map_or(true, |(key, _)| key.get(8..) == Some(&agent.0[..])))
}

/// The data keys that one agent could open out of a view.
#[derive(Debug, Clone, Default)]
pub struct DataKeyRing(Vec<DataKey>);

impl DataKeyRing {
    /// Opens every data key of the view that is meant for this agent; those that do not open are left out and counted.
    pub fn open(view: &View, agent: NodeId, private: &HpkePrivate) -> (Self, usize) {
        let mut failed = 0;
        let keys = own_keys(view, agent).filter_map(|row| {
            let opened = row.ok().and_then(|(key, value)| unwrap_key(key, value, private));
            failed += usize::from(opened.is_none());
            opened
        });
        (Self(keys.collect()), failed)
    }

    /// A ring of keys that are already at hand: the master's and the portal's own.
    pub fn of(keys: impl IntoIterator<Item = DataKey>) -> Self {
        Self(keys.into_iter().collect())
    }

    /// The secret for another purpose of every key, see [`DataKey::derived`].
    pub fn derived(&self, purpose: &str) -> impl Iterator<Item = Secret> {
        self.0.iter().map(move |key| key.derived(purpose))
    }

    /// Decrypts a field of the row (table, key).
    pub fn decrypt(&self, table: Table, row_key: &[u8], field: &EncryptedField) -> Result<Secret, FieldError> {
        let id = field.key_id();
        let key = self.0.iter().find(|key| key.id == id).ok_or(FieldError::NoKey(id))?;
        key.decrypt(table, row_key, field)
    }
}

fn unwrap_key(row_key: &[u8], value: &[u8], private: &HpkePrivate) -> Option<DataKey> {
    let (enc, text) = value.split_at_checked(HPKE_ENC_BYTES)?;
    let enc = EncapsulatedSecret(enc.to_vec());
    let private = HpkePrivateKey::from(private.expose().to_vec());
    let plain = DH_KEM_X25519_HKDF_SHA256_AES_256.open(&enc, HPKE_INFO, row_key, text, &private).ok()?;
    let key = DataKey::from_bytes(plain.try_into().ok()?);
    (row_key[..8] == key.id.0).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::super::{Feed, State};
    use super::*;

    #[test]
    fn only_the_named_agent_reads_a_field_and_only_in_its_row() {
        let (agent, other) = (NodeId([1; 16]), NodeId([2; 16]));
        let (private, public) = HpkePrivate::generate().unwrap();
        let key = DataKey::generate().unwrap();
        let state = State::empty(Feed::ACCESS).compose(vec![wrapped_key_row(&key, agent, &public).unwrap()]).unwrap().expect("a change").into_view();
        assert!(is_addressed_to(&state, agent) && !is_addressed_to(&state, other));
        let (ring, failed) = DataKeyRing::open(&state, agent, &private);
        assert_eq!(failed, 0);
        let field = key.encrypt(Table(2), b"nas", b"testing123").unwrap();
        assert_eq!(ring.decrypt(Table(2), b"nas", &field).unwrap().expose(), b"testing123");
        assert_eq!(ring.decrypt(Table(2), b"another", &field), Err(FieldError::Altered));
        let (ring, _) = DataKeyRing::open(&state, other, &private);
        assert_eq!(ring.decrypt(Table(2), b"nas", &field), Err(FieldError::NoKey(key.id())));
        let (strange, _) = HpkePrivate::generate().unwrap();
        assert_eq!(DataKeyRing::open(&state, agent, &strange).1, 1);
    }

    #[test]
    fn the_field_format_is_golden() {
        let key = DataKey::from_bytes([7; 32]);
        let golden = hex::decode(include_str!("golden/field.hex").trim()).unwrap();
        let field = EncryptedField::from_bytes(&golden).unwrap();
        assert_eq!(DataKeyRing::of([key]).decrypt(Table(1), b"row", &field).unwrap().expose(), b"secret");
    }
}
