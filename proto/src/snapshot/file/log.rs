use super::super::{Hash, Sealed};
use super::StoreKey;
use crate::words::Generation;

const MAGIC: &[u8; 4] = b"HFR2";
/// Magic, merged?, length, from generation, manifest.
const FRONT_BYTES: usize = 4 + 1 + 4 + 8 + Sealed::BYTES;
const HASH_BYTES: usize = 32;
/// No frame of the log is longer; a larger change comes as a base.
pub const FRAME_LIMIT_BYTES: usize = 64 << 20;

/// Where a log has got to: each frame's chain covers all before it.
#[derive(Debug, Clone)]
pub struct Chain {
    key: StoreKey,
    last: Hash,
}

/// One frame: the rows that lead from a generation to that of its manifest.
#[derive(Debug, Clone)]
pub struct LogFrame<'a> {
    /// The manifest of the state it leads to.
    pub sealed: Sealed,
    /// Whether the rows were merged out of several generations, so that nobody signed them as they are.
    pub merged: bool,
    /// The generation it starts from.
    pub from: Generation,
    /// The rows.
    pub payload: &'a [u8],
    /// Its length in the log.
    pub len: usize,
}

impl Chain {
    /// The chain of the log after a base: it starts from the base's MAC.
    pub fn after(base_mac: Hash, key: StoreKey) -> Self {
        Self { key, last: base_mac }
    }

    /// Where it has got to.
    pub fn last(&self) -> Hash {
        self.last
    }

    fn over(&self, frame: &[u8]) -> Hash {
        let mut hasher = self.key.hasher();
        hasher.update(&self.last).update(frame);
        *hasher.finalize().as_bytes()
    }
}

/// Encodes the next frame and moves the chain on. Only for rows that were proven to lead to the manifest's digest.
pub fn encode_frame(chain: &mut Chain, sealed: &Sealed, merged: bool, from: Generation, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRONT_BYTES + payload.len() + HASH_BYTES);
    out.extend_from_slice(MAGIC);
    out.push(u8::from(merged));
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&from.0.to_le_bytes());
    out.extend_from_slice(sealed.bytes());
    out.extend_from_slice(payload);
    chain.last = chain.over(&out);
    out.extend_from_slice(&chain.last);
    out
}

/// Decodes the frame at the start of `log` and moves the chain on; `None` where it is torn, altered, or not of this chain.
pub fn decode_frame<'a>(chain: &mut Chain, log: &'a [u8]) -> Option<LogFrame<'a>> {
    let (frame, hash) = split(log)?;
    if chain.over(&log[..frame.len - HASH_BYTES]) != *hash {
        return None;
    }
    chain.last = *hash;
    Some(frame)
}

/// The frames of a log whose chain nobody here can check: each has to be proven by its manifest. Ends where one is torn.
pub fn frames_unchained(log: &[u8]) -> impl Iterator<Item = LogFrame<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (frame, _) = split(&log[at..])?;
        at += frame.len;
        Some(frame)
    })
}

fn split(log: &[u8]) -> Option<(LogFrame<'_>, &Hash)> {
    let body = log.strip_prefix(MAGIC)?;
    let ([merged], body) = body.split_first_chunk::<1>()?;
    let (len, body) = body.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    if len > FRAME_LIMIT_BYTES || *merged > 1 {
        return None;
    }
    let (from, body) = body.split_first_chunk::<8>()?;
    let (sealed, body) = body.split_at_checked(Sealed::BYTES)?;
    let (payload, body) = body.split_at_checked(len)?;
    let hash = body.first_chunk()?;
    let sealed = Sealed::from_bytes(sealed).ok()?;
    let from = Generation(u64::from_le_bytes(*from));
    Some((LogFrame { sealed, merged: *merged == 1, from, payload, len: FRONT_BYTES + len + HASH_BYTES }, hash))
}
