//! Who may sign what. The root, kept offline, signs the [`Trust`]; the trust names the keys that may sign each
//! (kind, family) and the authorities of our TLS; [`Trust::open`] is the only way from bytes to an [`Opened`] manifest.
//!
//! Trusts are numbered without gaps. The next one must be signed by enough of its own roots *and* by enough of those before
//! it, so a box that was away for years walks from one to the next ([`Trust::walk`]) and needs no other proof. Keys overlap:
//! two keys may be granted the same feed, two authorities may be believed; what a newer trust leaves out counts no longer.

mod encoding;
mod keys;
mod open;
#[cfg(test)]
mod tests;

pub use keys::{PublicKey, SigningKey};
pub(super) use open::print_id;
pub use open::{OpenError, Opened};

use super::manifest::Institution;
use super::{Family, Kind};
use crate::words::Epoch;
use encoding::{Reader, SIGNATURE_BYTES};

/// Keys, grants, authorities and signatures in one trust: far above any real site, far below harm.
const LIST_LIMIT: usize = 64;
/// The longest text or certificate in a trust.
const ITEM_LIMIT_BYTES: usize = 8192;
/// The longest trust. Looked at before anything in it is.
pub const TRUST_LIMIT_BYTES: usize = 64 << 10;
/// How many trusts are walked at once: a chain without end must not hold a box up. What is left comes with the next line.
pub const CHAIN_LIMIT: usize = 1024;

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
    /// Who may sign what. Of two keys for the same, the later one is the newer.
    pub grants: Vec<Grant>,
    /// The authorities of our TLS, DER, oldest first.
    pub authorities: Vec<Vec<u8>>,
}

/// One root's signature under a draft: what travels from the room where that root is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootSignature {
    /// Whose: [`PublicKey::id`].
    pub root: [u8; 8],
    /// Over the draft's bytes.
    pub signature: [u8; 64],
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
    /// It contradicts itself.
    #[error("the trust makes no sense: {0}")]
    Nonsense(&'static str),
    /// Too few root keys signed.
    #[error("the trust is signed by {signed} of its root keys, {needed} are needed")]
    TooFewSignatures {
        /// Good signatures by distinct root keys.
        signed: usize,
        /// The threshold.
        needed: usize,
    },
    /// Too few of the roots believed until now signed.
    #[error("the trust offered is signed by {signed} of the root keys that are believed until now, {needed} are needed: have them sign it too")]
    TooFewOldRoots {
        /// Good signatures by distinct root keys of the trust held.
        signed: usize,
        /// The threshold of the trust held.
        needed: usize,
    },
    /// It does not follow the one held.
    #[error("the trust offered has version {offered}, the one held has {held}: only newer ones are taken")]
    Older {
        /// The version offered.
        offered: u32,
        /// The version held.
        held: u32,
    },
    /// Some between it and the one held are missing.
    #[error("the trust offered has version {offered}, the one held has {held}: those between them must be taken first, one by one")]
    Gap {
        /// The version offered.
        offered: u32,
        /// The version held.
        held: u32,
    },
    /// It is somebody else's.
    #[error("the trust offered belongs to another institution")]
    OtherInstitution,
    /// Its epoch goes back.
    #[error("the trust offered is of epoch {offered}, the one held is of {held}: an epoch that ended does not come back")]
    EpochBack {
        /// The epoch offered.
        offered: Epoch,
        /// The epoch held.
        held: Epoch,
    },
    /// A signing key could not be made or read.
    #[error("the signing key cannot be read: it is not an Ed25519 key in PKCS #8 form")]
    NoKey,
}

impl TrustDraft {
    /// Signs with the root keys that are present. Checked before it is given out, so a half-signed trust does not leave the ceremony.
    pub fn sign(self, roots: &[&SigningKey]) -> Result<Trust, TrustError> {
        let signatures: Vec<_> = roots.iter().map(|root| self.signature_by(root)).collect();
        self.assemble(&signatures)
    }

    /// One root's signature, to be brought together with the others'.
    pub fn signature_by(&self, root: &SigningKey) -> RootSignature {
        RootSignature { root: root.public().id(), signature: root.sign(&self.encode()) }
    }

    /// Whether a signature is this root's and under this draft.
    pub fn is_signed_by(&self, root: PublicKey, signature: &RootSignature) -> bool {
        signature.root == root.id() && root.verify(&self.encode(), &signature.signature)
    }

    /// Brings the signatures together: of the roots named here, and of those before them where they change.
    pub fn assemble(&self, signatures: &[RootSignature]) -> Result<Trust, TrustError> {
        self.check()?;
        let mut bytes = self.encode();
        bytes.push(u8::try_from(signatures.len()).map_err(|_| TrustError::Nonsense("it has more signatures than there can be roots"))?);
        for RootSignature { root, signature } in signatures {
            bytes.extend_from_slice(root);
            bytes.extend_from_slice(signature);
        }
        Trust::read(&bytes)
    }

    /// What no number of signatures makes good.
    fn check(&self) -> Result<(), TrustError> {
        let mut roots = self.roots.clone();
        roots.sort_unstable();
        roots.dedup();
        let wrong = match () {
            () if roots.len() != self.roots.len() => "a root key stands in it twice",
            () if self.threshold == 0 || usize::from(self.threshold) > roots.len() => "its threshold is none, or more than it has root keys",
            () if [self.roots.len(), self.grants.len(), self.authorities.len()].into_iter().any(|len| len > LIST_LIMIT) => "a list in it is too long",
            () if self.authorities.iter().map(Vec::len).chain([self.name.len()]).any(|len| len > ITEM_LIMIT_BYTES) => "its name or an authority is too long",
            () => return Ok(()),
        };
        Err(TrustError::Nonsense(wrong))
    }
}

impl Trust {
    /// Reads a trust and checks that enough of its own root keys signed it. Whether those roots are the right ones is for
    /// the caller: by [`Trust::root_pin`] at enrolment, by [`Trust::follow`] afterwards.
    pub fn read(bytes: &[u8]) -> Result<Self, TrustError> {
        if bytes.len() > TRUST_LIMIT_BYTES {
            return Err(TrustError::Damaged("its length"));
        }
        let mut reader = Reader(bytes);
        let draft = reader.draft()?;
        draft.check()?;
        let count = reader.number::<1>("signatures")?;
        if count > 2 * LIST_LIMIT || reader.0.len() != count * SIGNATURE_BYTES {
            return Err(TrustError::Damaged("signatures"));
        }
        let trust = Self { draft, bytes: bytes.to_vec() };
        let (signed, needed) = (trust.signatures_by(&trust.draft.roots), usize::from(trust.draft.threshold));
        if signed < needed { Err(TrustError::TooFewSignatures { signed, needed }) } else { Ok(trust) }
    }

    /// Reads the trust that comes after this one: the next of the same institution, signed by enough of *these* roots too.
    pub fn follow(&self, bytes: &[u8]) -> Result<Self, TrustError> {
        let next = Self::read(bytes)?;
        let (offered, held) = (next.draft.version, self.draft.version);
        if next.draft.institution != self.draft.institution {
            return Err(TrustError::OtherInstitution);
        }
        if offered <= held {
            return Err(TrustError::Older { offered, held });
        }
        if offered - held > 1 {
            return Err(TrustError::Gap { offered, held });
        }
        if next.draft.epoch < self.draft.epoch {
            return Err(TrustError::EpochBack { offered: next.draft.epoch, held: self.draft.epoch });
        }
        let (signed, needed) = (next.signatures_by(&self.draft.roots), usize::from(self.draft.threshold));
        if signed < needed { Err(TrustError::TooFewOldRoots { signed, needed }) } else { Ok(next) }
    }

    /// Walks a chain of trusts, oldest first, to the newest: each must follow the one before it. What is not newer than this
    /// one is passed over; after [`CHAIN_LIMIT`] steps it stops where it is. One bad link, and nothing of the chain is taken.
    pub fn walk<'a>(&self, chain: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, TrustError> {
        let mut at = self.clone();
        let newer = |bytes: &&[u8]| Reader(bytes).version().is_ok_and(|version| version > self.draft.version);
        for bytes in chain.into_iter().skip_while(|bytes| !newer(bytes)).take(CHAIN_LIMIT) {
            at = at.follow(bytes)?;
        }
        Ok(at)
    }

    /// How many of these roots signed.
    fn signatures_by(&self, roots: &[PublicKey]) -> usize {
        let (signed, signatures) = self.split();
        let by = |root: &&PublicKey| signatures.chunks_exact(SIGNATURE_BYTES).any(|part| part[..8] == root.id() && root.verify(signed, &part[8..]));
        roots.iter().filter(by).count()
    }

    /// What was signed, and the signatures.
    fn split(&self) -> (&[u8], &[u8]) {
        let signed_len = self.draft.encode().len();
        (&self.bytes[..signed_len], &self.bytes[signed_len + 1..])
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
