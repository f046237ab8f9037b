//! The bytes of a trust: fixed order, little-endian, every list and text with its length before it.

use super::{Grant, ITEM_LIMIT_BYTES, LIST_LIMIT, PublicKey, TrustDraft, TrustError};
use crate::snapshot::manifest::Institution;
use crate::snapshot::{Family, Kind};
use crate::words::Epoch;

/// What stands before every signed trust.
const MAGIC: &[u8; 17] = b"HOLDFAST-TRUST-1\0";
/// A root's short name and its signature.
pub(super) const SIGNATURE_BYTES: usize = 8 + 64;

impl TrustDraft {
    /// The bytes that roots sign.
    pub(super) fn encode(&self) -> Vec<u8> {
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

/// Cuts a trust into its fields; cannot run past its end.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// Only which one it is.
    pub(super) fn version(&mut self) -> Result<u32, TrustError> {
        if self.array("magic")? != *MAGIC {
            return Err(TrustError::Damaged("magic"));
        }
        Ok(u32::from_le_bytes(self.array("version")?))
    }

    pub(super) fn draft(&mut self) -> Result<TrustDraft, TrustError> {
        Ok(TrustDraft {
            version: self.version()?,
            institution: Institution(self.array("institution")?),
            name: String::from_utf8(self.bytes("name")?.to_vec()).map_err(|_| TrustError::Damaged("name"))?,
            epoch: Epoch(u32::from_le_bytes(self.array("epoch")?)),
            threshold: self.number::<1>("threshold")? as u8,
            roots: self.list("root keys", |reader| Ok(PublicKey(reader.array("root keys")?)))?,
            grants: self.list("grants", Self::grant)?,
            authorities: self.list("authorities", |reader| Ok(reader.bytes("authorities")?.to_vec()))?,
        })
    }

    fn grant(&mut self) -> Result<Grant, TrustError> {
        let key = PublicKey(self.array("grants")?);
        let [kind, family] = self.array("grants")?;
        let kind = Kind::from_number(kind).ok_or(TrustError::Damaged("grants"))?;
        let family = Family::from_number(family).ok_or(TrustError::Damaged("grants"))?;
        Ok(Grant { key, kind, family })
    }

    fn array<const N: usize>(&mut self, at: &'static str) -> Result<[u8; N], TrustError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(TrustError::Damaged(at))?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn number<const N: usize>(&mut self, at: &'static str) -> Result<usize, TrustError> {
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
