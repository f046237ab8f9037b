//! From sealed bytes to a manifest that can be believed.

use super::{PublicKey, Trust};
use crate::snapshot::Feed;
use crate::snapshot::manifest::{DOMAIN, Manifest, ManifestError, Sealed};
use crate::words::Epoch;

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

pub(in crate::snapshot) fn print_id(id: &[u8; 8]) -> String {
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

impl Trust {
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

    /// The keys that may sign a feed, oldest first.
    pub fn signers(&self, feed: Feed) -> impl Iterator<Item = PublicKey> + '_ {
        let for_it = move |grant: &&super::Grant| grant.kind == feed.kind && grant.family == feed.scope.family;
        self.draft.grants.iter().filter(for_it).map(|grant| grant.key)
    }
}
