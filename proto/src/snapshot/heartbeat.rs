//! The master's signed word on what time it is and what is newest.
//!
//! Why it exists: TLS tells an agent whom it talks to, not that what it hears is fresh. Whoever holds the master's TLS key,
//! or relays its words, could hold a line and repeat what was once true. A signed heartbeat comes every few seconds with a
//! later time; when none does, the line is stale, however alive it looks. It is also where an agent's trusted time comes
//! from: a time that nobody signed teaches nothing.

use super::trust::{SigningKey, Trust, print_id};
use super::{Family, Feed, Institution, Kind};
use crate::words::{Epoch, Generation, UnixMillis};

/// What stands before every signed heartbeat, so that the signature can mean nothing else.
const DOMAIN: &[u8] = b"HOLDFAST-HEARTBEAT-1\0";
/// The layout that this build writes.
const FORMAT: u16 = 1;
/// `format u16 | institution 16 | time u64 | count u8`, little-endian.
const HEAD_BYTES: usize = 27;
/// `kind u8 | family u8 | cut u32 | epoch u32 | generation u64`.
const NEWEST_BYTES: usize = 18;
/// `key id 8 | signature 64`.
const TAIL_BYTES: usize = 72;

/// The newest generation of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// Which feed.
    pub feed: Feed,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its generation.
    pub generation: Generation,
}

/// What the master says every ten seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeartbeat {
    /// Whose master.
    pub institution: Institution,
    /// When it was signed.
    pub time: UnixMillis,
    /// What was newest then.
    pub newest: Vec<Newest>,
}

/// A heartbeat that nobody is to believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeartbeatError {
    /// The bytes are no heartbeat.
    #[error("the signed heartbeat is damaged")]
    Damaged,
    /// Its key may not tell the time.
    #[error("the heartbeat is signed by key {}, which may not tell the time", print_id(.0))]
    WrongKey([u8; 8]),
    /// The signature is not over these bytes.
    #[error("the heartbeat's signature does not match its bytes")]
    BadSignature,
    /// It belongs to somebody else.
    #[error("the heartbeat belongs to another institution")]
    OtherInstitution,
}

impl SignedHeartbeat {
    /// Signs: gives the bytes to send.
    pub fn seal(&self, key: &SigningKey) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + self.newest.len() * NEWEST_BYTES + TAIL_BYTES);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&self.institution.0);
        out.extend_from_slice(&self.time.0.to_le_bytes());
        out.push(self.newest.len() as u8);
        for newest in &self.newest {
            out.extend_from_slice(&[newest.feed.kind as u8, newest.feed.scope.family as u8]);
            out.extend_from_slice(&newest.feed.scope.cut.to_le_bytes());
            out.extend_from_slice(&newest.epoch.0.to_le_bytes());
            out.extend_from_slice(&newest.generation.0.to_le_bytes());
        }
        out.extend_from_slice(&key.public().id());
        let signature = key.sign(&[DOMAIN, &out].concat());
        out.extend_from_slice(&signature);
        out
    }

    /// Reads what was verified before. A feed that this build does not know is left out.
    fn decode(signed: &[u8]) -> Option<Self> {
        let (head, rest) = signed.split_first_chunk::<HEAD_BYTES>()?;
        let (format, institution, time) = (head[..2].try_into().ok()?, head[2..18].try_into().ok()?, head[18..26].try_into().ok()?);
        if u16::from_le_bytes(format) != FORMAT || rest.len() != usize::from(head[26]) * NEWEST_BYTES + 8 {
            return None;
        }
        let newest = rest.chunks_exact(NEWEST_BYTES).take(usize::from(head[26])).filter_map(newest);
        Some(Self { institution: Institution(institution), time: UnixMillis(u64::from_le_bytes(time)), newest: newest.collect() })
    }
}

fn newest(bytes: &[u8]) -> Option<Newest> {
    let cut = u32::from_le_bytes(bytes[2..6].try_into().ok()?);
    let feed = Feed::from_numbers(bytes[0].into(), bytes[1].into(), cut)?;
    let (epoch, generation) = (bytes[6..10].try_into().ok()?, bytes[10..18].try_into().ok()?);
    Some(Newest { feed, epoch: Epoch(u32::from_le_bytes(epoch)), generation: Generation(u64::from_le_bytes(generation)) })
}

impl Trust {
    /// Verifies a heartbeat: its key must be one that signs the trust feed, which no key but the master's does.
    pub fn open_heartbeat(&self, bytes: &[u8]) -> Result<SignedHeartbeat, HeartbeatError> {
        let signed_len = bytes.len().checked_sub(64).filter(|len| *len >= HEAD_BYTES + 8).ok_or(HeartbeatError::Damaged)?;
        let (signed, signature) = bytes.split_at(signed_len);
        let key_id: [u8; 8] = signed[signed_len - 8..].try_into().map_err(|_| HeartbeatError::Damaged)?;
        let tells_time = |kind, family| (kind, family) == (Kind::Trust, Family::Whole);
        let grant = self.draft().grants.iter().find(|grant| grant.key.id() == key_id && tells_time(grant.kind, grant.family));
        let key = grant.ok_or(HeartbeatError::WrongKey(key_id))?.key;
        if !key.verify(&[DOMAIN, signed].concat(), signature) {
            return Err(HeartbeatError::BadSignature);
        }
        let heartbeat = SignedHeartbeat::decode(signed).ok_or(HeartbeatError::Damaged)?;
        if heartbeat.institution != self.draft().institution {
            return Err(HeartbeatError::OtherInstitution);
        }
        Ok(heartbeat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Grant, TrustDraft};

    fn trust(root: &SigningKey, grants: &[(&SigningKey, Kind, Family)]) -> Trust {
        let grants = grants.iter().map(|(key, kind, family)| Grant { key: key.public(), kind: *kind, family: *family });
        let draft = TrustDraft {
            version: 1,
            institution: Institution([7; 16]),
            name: "University of Examples".to_owned(),
            epoch: Epoch(1),
            threshold: 1,
            roots: vec![root.public()],
            grants: grants.collect(),
            authorities: Vec::new(),
        };
        draft.sign(&[root]).unwrap()
    }

    fn sample() -> SignedHeartbeat {
        let newest = |feed, generation| Newest { feed, epoch: Epoch(1), generation: Generation(generation) };
        SignedHeartbeat { institution: Institution([7; 16]), time: UnixMillis(1_800_000_000_000), newest: vec![newest(Feed::ZONE, 5), newest(Feed::PEOPLE, 9)] }
    }

    fn keys() -> (SigningKey, SigningKey, SigningKey) {
        let key = || SigningKey::generate().unwrap().0;
        (key(), key(), key())
    }

    #[test]
    fn what_the_master_signed_is_read_back_and_nothing_else() {
        let (root, master, portal) = keys();
        let trust = trust(&root, &[(&master, Kind::Trust, Family::Whole), (&portal, Kind::Auth, Family::People)]);
        let sealed = sample().seal(&master);
        assert_eq!(trust.open_heartbeat(&sealed), Ok(sample()));
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert!(trust.open_heartbeat(&flipped).is_err(), "byte {at}");
            assert!(trust.open_heartbeat(&sealed[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(trust.open_heartbeat(&sample().seal(&portal)), Err(HeartbeatError::WrongKey(portal.public().id())));
        let foreign = SignedHeartbeat { institution: Institution([8; 16]), ..sample() };
        assert_eq!(trust.open_heartbeat(&foreign.seal(&master)), Err(HeartbeatError::OtherInstitution));
    }

    #[test]
    fn the_layout_is_golden() {
        let pkcs8 = hex::decode("302e020100300506032b657004220420").unwrap();
        let key = SigningKey::from_pkcs8(&[&pkcs8[..], &[0x42; 32]].concat());
        // Ed25519 is deterministic, so the signature is part of the golden bytes.
        let sealed = sample().seal(&key.unwrap());
        assert_eq!(hex::encode(sealed), include_str!("golden/heartbeat.hex").trim());
    }
}
