//! The file formats of the first version, read so that a box that is upgraded goes on from its own disk. Nothing writes them.
//!
//! ```text
//! base:  "HFBASE1\n" | sealed manifest | rows length u64 | rows | BLAKE3 of all before
//! log:   frames of   "HFRM" | payload length u32 | sealed manifest | payload | BLAKE3 of all before in the frame
//! ```
//! The closing hash only tells a torn file from a whole one; what may be believed is for signatures and digests to say.

use super::super::Sealed;
use super::FRAME_LIMIT_BYTES;

const BASE_MAGIC: &[u8; 8] = b"HFBASE1\n";
const FRAME_MAGIC: &[u8; 4] = b"HFRM";
const HASH_BYTES: usize = 32;

/// A file that is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It does not start as a base does.
    #[error("it is not a snapshot file")]
    NoBase,
    /// It ends early or its closing hash is wrong.
    #[error("it is torn or altered")]
    Torn,
}

/// Encodes a base file.
#[cfg(test)]
pub(in super::super) fn encode_base(sealed: &Sealed, rows: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(BASE_MAGIC.len() + Sealed::BYTES + 8 + rows.len() + HASH_BYTES);
    out.extend_from_slice(BASE_MAGIC);
    out.extend_from_slice(sealed.bytes());
    out.extend_from_slice(&(rows.len() as u64).to_le_bytes());
    out.extend_from_slice(rows);
    close(&mut out);
    out
}

/// Takes a base file apart: the sealed manifest and the rows.
pub fn decode_base(bytes: &[u8]) -> Result<(Sealed, &[u8]), FileError> {
    let body = bytes.strip_prefix(BASE_MAGIC).ok_or(FileError::NoBase)?;
    let (sealed, body) = body.split_at_checked(Sealed::BYTES).ok_or(FileError::Torn)?;
    let (len, body) = body.split_first_chunk::<8>().ok_or(FileError::Torn)?;
    let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| FileError::Torn)?;
    let (rows, hash) = body.split_at_checked(len).ok_or(FileError::Torn)?;
    if hash != blake3::hash(&bytes[..bytes.len() - hash.len()]).as_bytes() {
        return Err(FileError::Torn);
    }
    Ok((Sealed::from_bytes(sealed).map_err(|_| FileError::Torn)?, rows))
}

/// One generation in the log.
#[derive(Debug, Clone)]
pub struct LogFrame<'a> {
    /// Its manifest.
    pub sealed: Sealed,
    /// Its delta.
    pub payload: &'a [u8],
    /// Where the frame ends in the file.
    pub end: usize,
}

/// Encodes one frame.
#[cfg(test)]
pub(in super::super) fn encode_frame(sealed: &Sealed, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME_MAGIC.len() + 4 + Sealed::BYTES + payload.len() + HASH_BYTES);
    out.extend_from_slice(FRAME_MAGIC);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(sealed.bytes());
    out.extend_from_slice(payload);
    close(&mut out);
    out
}

#[cfg(test)]
fn close(out: &mut Vec<u8>) {
    let hash = blake3::hash(out);
    out.extend_from_slice(hash.as_bytes());
}

/// The whole frames of a log, in order; ends at the first one that is torn or altered, as a power cut leaves it.
pub fn frames(log: &[u8]) -> impl Iterator<Item = LogFrame<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let frame = decode_frame(log, at)?;
        at = frame.end;
        Some(frame)
    })
}

fn decode_frame(log: &[u8], start: usize) -> Option<LogFrame<'_>> {
    let bytes = log.get(start..)?;
    let body = bytes.strip_prefix(FRAME_MAGIC)?;
    let (len, body) = body.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    if len > FRAME_LIMIT_BYTES {
        return None;
    }
    let (sealed, body) = body.split_at_checked(Sealed::BYTES)?;
    let (payload, rest) = body.split_at_checked(len)?;
    let hash = rest.get(..HASH_BYTES)?;
    let hashed = bytes.len() - rest.len();
    if hash != blake3::hash(&bytes[..hashed]).as_bytes() {
        return None;
    }
    Some(LogFrame { sealed: Sealed::from_bytes(sealed).ok()?, payload, end: start + hashed + HASH_BYTES })
}
