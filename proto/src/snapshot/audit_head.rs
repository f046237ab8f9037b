//! The master's signed word on how far its audit reaches: the number of links in the chain and the hash of the last one.
//!
//! Whoever can write the database can write its audit anew from the first line, and every hash with it. What was signed before
//! and lies elsewhere (with the agents' operators, in the institution's log) then does not fit any more.

use super::trust::{SigningKey, Trust};
use super::{Family, Institution, Kind};

/// What stands before every signed head, so that the signature can mean nothing else.
const DOMAIN: &[u8] = b"HOLDFAST-AUDIT-HEAD-1\0";

/// The end of an audit chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// Whose audit.
    pub institution: Institution,
    /// How many links there are.
    pub ordinal: u64,
    /// The hash of the last one.
    pub hash: [u8; 32],
}

impl AuditHead {
    /// Signs it.
    pub fn sign(&self, key: &SigningKey) -> [u8; 64] {
        key.sign(&self.signed())
    }

    fn signed(&self) -> Vec<u8> {
        [DOMAIN, &self.institution.0, &self.ordinal.to_le_bytes(), &self.hash].concat()
    }
}

impl Trust {
    /// Whether the master of this institution signed this head: with a key that signs the trust feed, which no key but the
    /// master's does.
    pub fn vouches_for(&self, head: &AuditHead, key_id: &[u8], signature: &[u8]) -> bool {
        let is_masters = |kind, family| (kind, family) == (Kind::Trust, Family::Whole);
        let mut grants = self.draft().grants.iter().filter(|grant| is_masters(grant.kind, grant.family) && grant.key.id() == key_id);
        head.institution == self.draft().institution && grants.any(|grant| grant.key.verify(&head.signed(), signature))
    }
}
