use super::LogId;
use aws_lc_rs::digest::{Context, SHA256};

/// The longest payload; a longer length field is damage.
pub const PAYLOAD_LIMIT_BYTES: usize = 64 * 1024;
const CHECK_BYTES: usize = 16;
/// Number, length and check.
const HEAD_BYTES: usize = 8 + 4 + CHECK_BYTES;

/// One frame that proved itself, within the bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub number: u64,
    pub payload: &'a [u8],
    /// Where the next one starts.
    pub end: usize,
}

/// Appends a frame.
pub(super) fn encode(log: LogId, number: u64, payload: &[u8], out: &mut Vec<u8>) {
    let len = u32::try_from(payload.len()).expect("a payload is within its limit");
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&check(log, number, len, payload));
    out.extend_from_slice(payload);
}

/// The first whole frame at or behind `from` with a number above `after`. Damage is stepped over byte by byte: no other
/// frame passes for one, as its check would have to fit.
pub(super) fn find(log: LogId, bytes: &[u8], from: usize, after: u64) -> Option<Frame<'_>> {
    (from..bytes.len().saturating_sub(HEAD_BYTES - 1)).find_map(|at| decode(log, bytes, at).filter(|frame| frame.number > after))
}

fn decode(log: LogId, bytes: &[u8], at: usize) -> Option<Frame<'_>> {
    let (number, rest) = bytes.get(at..)?.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let (expected, rest) = rest.split_first_chunk::<CHECK_BYTES>()?;
    let (number, len) = (u64::from_le_bytes(*number), u32::from_le_bytes(*len));
    let payload = rest.get(..len as usize).filter(|payload| payload.len() <= PAYLOAD_LIMIT_BYTES)?;
    (*expected == check(log, number, len, payload)).then_some(Frame { number, payload, end: at + HEAD_BYTES + payload.len() })
}

fn check(log: LogId, number: u64, len: u32, payload: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hash = Context::new(&SHA256);
    hash.update(&log.0);
    hash.update(&number.to_le_bytes());
    hash.update(&len.to_le_bytes());
    hash.update(payload);
    *hash.finish().as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}
