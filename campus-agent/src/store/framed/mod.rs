//! A log of this box's own: what it must not forget until somebody else has it, oldest first.
//!
//! Frames are appended in batches, each made durable by one fdatasync, and read by whoever hands them on, also from
//! another process. What it refuses: to give half a frame, to stop at a torn or flipped one (only the damaged frame is
//! lost), to use a number twice, and to grow past its bounds: when it is full the oldest segment goes, and is counted.
//!
//! How: a folder of segments, each a file named by its ordinal and by the log's id. Every opening is a new log with an id
//! of its own, so that a tail which a power cut took never has its numbers used again. A frame's check covers id, number
//! and payload, so a reader who meets damage looks for the next frame that proves itself.
//!
//! ```text
//! segment  <ordinal, 16 hex digits>-<log id, 32 hex digits>.log: frames
//! frame    number u64 | length u32 | check 16 bytes | payload
//! check    the first half of SHA-256 over log id | number | length | payload
//! ```
//! Little-endian.

mod frame;
mod log;
mod segment;
mod tail;
#[cfg(test)]
mod tests;

pub use frame::PAYLOAD_LIMIT_BYTES;
pub use log::{Bounds, Log};
pub use segment::remove_behind;
pub use tail::{Entry, Tail, count_after};

use serde::{Deserialize, Serialize};
use std::fmt;

/// Sets the numbers of one opening of a log apart from those of every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub [u8; 16]);

impl LogId {
    /// One that nobody has had.
    pub fn draw() -> Self {
        Self(uuid::Uuid::new_v4().into_bytes())
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// How far somebody has read: the last frame that was taken. The default stands before everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Position {
    /// The segment's ordinal; those before it were taken whole.
    pub segment: u64,
    /// The frame's number; 0 stands before the segment's first.
    pub number: u64,
}
