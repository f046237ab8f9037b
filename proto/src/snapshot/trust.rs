//! Who may sign what. The root, kept offline, signs the [`Trust`]; the trust names the keys that may sign each
//! (kind, family) and the authorities of our TLS; [`Trust::open`] is the only way from bytes to an [`Opened`] manifest.

use super::manifest::{DOMAIN, Institution, Manifest, ManifestError, Sealed};
use super::{Family, Feed, Kind};
use crate::words::Epoch;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use std::fmt;

/// What stands before every signed trust.
const MAGIC: &[u8; 17] = b"HOLDFAST-TRUST-1\0";
/// Keys, grants, authorities and signatures in one trust: far above any real site, far below harm.
const LIST_LIMIT: usize = 64;
/// The longest text or certificate in a trust.
const ITEM_LIMIT_BYTES: usize = 8192;

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// The short name of the key in manifests.
    pub fn id(&self) -> [u8; 8] {
        *blake3::hash(&self.0).as_bytes().first_chunk().expect("a hash has 32 bytes")
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An Ed25519 key that signs.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Makes a new key; gives it with the PKCS #8 bytes to keep in a file of mode 0600.
    pub fn generate() -> Result<(Self, Vec<u8>), TrustError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| TrustError::NoKey)?;
        let pkcs8 = pair.to_pkcs8().map_err(|_| TrustError::NoKey)?.as_ref().to_vec();
        Ok((Self(pair), pkcs8))
    }

    /// Reads a key back.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, TrustError> {
        Ed25519KeyPair::from_pkcs8(bytes).map(Self).map_err(|_| TrustError::NoKey)
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes"))
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }

    /// Seals a manifest, putting this key's id into it.
    pub(super) fn seal(&self, mut manifest: Manifest) -> Sealed {
        manifest.key_id = self.public().id();
        let bytes = manifest.encode();
        Sealed::new(bytes, self.sign(&[DOMAIN, &bytes].concat()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, ***)", self.public())
    }
}

/// Leave for one key to sign one (kind, family).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Whose leave.
    pub key: PublicKey,
    /// For which kind.
    pub kind: Kind,
    /// For whose part of it.
    pub family: Family,
}

/// What the root is about to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustDraft {
    /// Goes up by one with every signing.
    pub version: u32,
    /// Whose trust.
    pub institution: Institution,
    /// The institution's name for people.
    pub name: String,
    /// The lowest epoch that is believed.
    pub epoch: Epoch,
    /// How many root keys must sign.
    pub threshold: u8,
    /// The root keys, all offline.
    pub roots: Vec<PublicKey>,
    /// Who may sign what.
    pub grants: Vec<Grant>,
    /// The authorities of our TLS, DER.
    pub authorities: Vec<Vec<u8>>,
}

/// A draft with its signatures, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    draft: TrustDraft,
    bytes: Vec<u8>,
}

/// Bytes that are not a trust to believe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The file is cut, or no trust at all.
    #[error("the trust file is damaged at \"{0}\": fetch it again from the root ceremony's folder")]
    Damaged(&'static str),
    /// Too few root keys signed.
    #[error("the trust is signed by {signed} of its root keys, {needed} are needed")]
    TooFewSignatures {
        /// Good signatures by distinct root keys.
        signed: usize,
        /// The threshold.
        needed: usize,
    },
    /// It does not follow the one held.
    #[error("the trust offered has version {offered}, the one held has {held}: only newer ones of the same institution are taken")]
    Older {
        /// The version offered.
        offered: u32,
        /// The version held.
        held: u32,
    },
    /// A signing key could not be made or read.
    #[error("the signing key cannot be read: it is not an Ed25519 key in PKCS #8 form")]
    NoKey,
}

/// Why a sealed manifest was kept out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is no manifest.
    #[error("not a manifest: {0}")]
    Manifest(#[from] ManifestError),
    /// No key of that id is known.
    #[error("signed by key {}, which the root never named", print_id(.0))]
    ForeignKey([u8; 8]),
    /// The key is known, but not for this.
    #[error("signed by key {}, which may not sign {feed}", print_id(.key_id))]
    WrongKey {
        /// The key that signed.
        key_id: [u8; 8],
        /// What it signed.
        feed: Feed,
    },
    /// The signature is not over these bytes.
    #[error("its signature does not match its bytes")]
    BadSignature,
    /// It belongs to somebody else.
    #[error("it belongs to another institution")]
    OtherInstitution,
    /// It is of an epoch that the root has ended.
    #[error("it is of epoch {0}, which the root has ended")]
    OldEpoch(Epoch),
}

pub(super) fn print_id(id: &[u8; 8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A manifest that was verified against the trust. Nothing else makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    manifest: Manifest,
    sealed: Sealed,
}

impl Opened {
    /// What was signed.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The exact bytes.
    pub fn sealed(&self) -> &Sealed {
        &self.sealed
    }
}

impl TrustDraft {
    /// Signs with the root keys that are present. Checked before it is given out, so a half-signed trust does not leave the ceremony.
    pub fn sign(self, roots: &[&SigningKey]) -> Result<Trust, TrustError> {
        let mut bytes = self.encode();
        let signatures: Vec<_> = roots.iter().map(|root| (root.public().id(), root.sign(&bytes))).collect();
        bytes.push(signatures.len() as u8);
        for (id, signature) in signatures {
            bytes.extend_from_slice(&id);
            bytes.extend_from_slice(&signature);
        }
        Trust::read(&bytes)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.institution.0);
        put_bytes(&mut out, self.name.as_bytes());
        out.extend_from_slice(&self.epoch.0.to_le_bytes());
        out.push(self.threshold);
        out.push(self.roots.len() as u8);
        self.roots.iter().for_each(|root| out.extend_from_slice(&root.0));
        out.push(self.grants.len() as u8);
        for grant in &self.grants {
            out.extend_from_slice(&grant.key.0);
            out.extend_from_slice(&[grant.kind as u8, grant.family as u8]);
        }
        out.push(self.authorities.len() as u8);
        self.authorities.iter().for_each(|authority| put_bytes(&mut out, authority));
        out
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

impl Trust {
    /// Reads a trust and checks that enough of its own root keys signed it. Whether those roots are the right ones is for
    /// the caller: by [`Trust::root_pin`] at enrolment, by [`Trust::follow`] afterwards.
    pub fn read(bytes: &[u8]) -> Result<Self, TrustError> {
        let mut reader = Reader(bytes);
        let draft = reader.draft()?;
        let signed = &bytes[..bytes.len() - reader.0.len()];
        let trust = Self { draft, bytes: bytes.to_vec() };
        let count = reader.number::<1>("signatures")?;
        let mut good: Vec<PublicKey> = Vec::new();
        for _ in 0..count {
            let (id, signature) = (reader.array::<8>("signatures")?, reader.array::<64>("signatures")?);
            let root = trust.draft.roots.iter().find(|root| root.id() == id);
            good.extend(root.filter(|root| root.verify(signed, &signature)).copied());
        }
        if !reader.0.is_empty() {
            return Err(TrustError::Damaged("its end"));
        }
        good.sort_unstable();
        good.dedup();
        trust.need(good.len(), trust.draft.threshold)?;
        Ok(trust)
    }

    /// Reads the trust that comes after this one: newer, of the same institution, signed by enough of *these* roots too.
    pub fn follow(&self, bytes: &[u8]) -> Result<Self, TrustError> {
        let next = Self::read(bytes)?;
        if next.draft.version <= self.draft.version || next.draft.institution != self.draft.institution || next.draft.epoch < self.draft.epoch {
            return Err(TrustError::Older { offered: next.draft.version, held: self.draft.version });
        }
        // The signatures were checked by `read`; what is left is how many were made by keys that we knew.
        let (signed, signatures) = next.split();
        let good = self.draft.roots.iter().filter(|root| signatures.chunks_exact(72).any(|part| part[..8] == root.id() && root.verify(signed, &part[8..])));
        self.need(good.count(), self.draft.threshold)?;
        Ok(next)
    }

    fn split(&self) -> (&[u8], &[u8]) {
        let signed_len = self.draft.encode().len();
        (&self.bytes[..signed_len], &self.bytes[signed_len + 1..])
    }

    fn need(&self, signed: usize, threshold: u8) -> Result<(), TrustError> {
        let needed = usize::from(threshold).max(1);
        if signed < needed { Err(TrustError::TooFewSignatures { signed, needed }) } else { Ok(()) }
    }

    /// Verifies a sealed manifest: its form, its institution and epoch, and that its key may sign its (kind, family).
    pub fn open(&self, sealed: &Sealed) -> Result<Opened, OpenError> {
        let manifest = Manifest::decode(sealed.manifest_bytes())?;
        let mut grants = self.draft.grants.iter().filter(|grant| grant.key.id() == manifest.key_id).peekable();
        if grants.peek().is_none() {
            return Err(OpenError::ForeignKey(manifest.key_id));
        }
        let feed = manifest.feed;
        let grant = grants.find(|grant| grant.kind == feed.kind && grant.family == feed.scope.family);
        let Some(grant) = grant else { return Err(OpenError::WrongKey { key_id: manifest.key_id, feed }) };
        if !grant.key.verify(&[DOMAIN, sealed.manifest_bytes()].concat(), sealed.signature()) {
            return Err(OpenError::BadSignature);
        }
        if manifest.institution != self.draft.institution {
            return Err(OpenError::OtherInstitution);
        }
        if manifest.epoch < self.draft.epoch {
            return Err(OpenError::OldEpoch(manifest.epoch));
        }
        Ok(Opened { manifest, sealed: sealed.clone() })
    }

    /// What the root signed.
    pub fn draft(&self) -> &TrustDraft {
        &self.draft
    }

    /// The exact bytes, to keep and to send.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// 16 bytes that name the root keys: stands in an enrolment token and on the box's screen.
    pub fn root_pin(&self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_derive_key("holdfast 2026-11 root pin");
        hasher.update(&self.draft.institution.0).update(&[self.draft.threshold]);
        self.draft.roots.iter().for_each(|root| {
            hasher.update(&root.0);
        });
        *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes")
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn draft(&mut self) -> Result<TrustDraft, TrustError> {
        if self.array("magic")? != *MAGIC {
            return Err(TrustError::Damaged("magic"));
        }
        Ok(TrustDraft {
            version: self.number::<4>("version")? as u32,
            institution: Institution(self.array("institution")?),
            name: String::from_utf8(self.bytes("name")?.to_vec()).map_err(|_| TrustError::Damaged("name"))?,
            epoch: Epoch(self.number::<4>("epoch")? as u32),
            threshold: self.number::<1>("threshold")? as u8,
            roots: self.list("root keys", |reader| Ok(PublicKey(reader.array("root keys")?)))?,
            grants: self.list("grants", |reader| {
                let key = PublicKey(reader.array("grants")?);
                let [kind, family] = reader.array("grants")?;
                let kind = Kind::from_number(kind).ok_or(TrustError::Damaged("grants"))?;
                let family = Family::from_number(family).ok_or(TrustError::Damaged("grants"))?;
                Ok(Grant { key, kind, family })
            })?,
            authorities: self.list("authorities", |reader| Ok(reader.bytes("authorities")?.to_vec()))?,
        })
    }

    fn array<const N: usize>(&mut self, at: &'static str) -> Result<[u8; N], TrustError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(TrustError::Damaged(at))?;
        self.0 = rest;
        Ok(*head)
    }

    fn number<const N: usize>(&mut self, at: &'static str) -> Result<usize, TrustError> {
        Ok(self.array::<N>(at)?.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    fn bytes(&mut self, at: &'static str) -> Result<&'a [u8], TrustError> {
        let len = self.number::<4>(at)?;
        if len > ITEM_LIMIT_BYTES || len > self.0.len() {
            return Err(TrustError::Damaged(at));
        }
        let (head, rest) = self.0.split_at(len);
        self.0 = rest;
        Ok(head)
    }

    fn list<T>(&mut self, at: &'static str, item: impl Fn(&mut Self) -> Result<T, TrustError>) -> Result<Vec<T>, TrustError> {
        let count = self.number::<1>(at)?;
        if count > LIST_LIMIT {
            return Err(TrustError::Damaged(at));
        }
        (0..count).map(|_| item(self)).collect()
    }
}
