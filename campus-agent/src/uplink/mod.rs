//! The line to the master: the only room that knows there is one.
//!
//! Enrols the box, follows the master's generations, hands them to the store, and delivers reports. It refuses to be a
//! dependency: no service can see this room, and all that a dead line changes is the age of what is served.
//!
//! [`line`] decides, [`Uplink`] does: it owns the stream, the store's keepers and the clock.

mod arriving;
mod backoff;
mod enrol;
mod fetch;
mod follow;
mod handing;
pub mod line;
mod link;
mod mend;

pub use enrol::{JoinError, enrol};
pub use follow::Uplink;

use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::{Epoch, Generation};
use std::collections::BTreeMap;

/// What people may know of the line and of the snapshots it feeds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The master's address, and since when (trusted time) the line is as it is.
    pub line: Line,
    /// The line stands and repeats the past: no newer signed time came over it for a while.
    pub is_stale: bool,
    /// By feed.
    pub feeds: BTreeMap<Feed, FeedState>,
}

/// Whether there is a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Line {
    /// Not tried yet.
    #[default]
    Starting,
    /// A stream is open.
    Connected {
        /// Trusted time.
        since_ms: u64,
    },
    /// No stream.
    CutOff {
        /// Trusted time.
        since_ms: u64,
        /// The last attempt's failure.
        why: String,
    },
}

/// One feed as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedState {
    /// What the master has.
    pub wanted: Option<(Epoch, Generation)>,
    /// What is served.
    pub applied: (Epoch, Generation),
    /// What survives a power cut.
    pub durable: (Epoch, Generation),
    /// Its digest.
    pub digest: String,
    /// When it was signed.
    pub issued_at_ms: u64,
    /// Whether this box can read what is encrypted in it; always, where nothing is.
    pub is_readable: bool,
    /// The last thing that was kept out, and why.
    pub last_error: Option<String>,
}
