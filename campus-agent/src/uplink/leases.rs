//! What this box lends, on its way to the master: a batch at a time, each until it is stored there.

use crate::store::LeaseTail;
use crate::store::framed::Position;
use holdfast_proto::control::{FromAgent, Leases, from_agent};
use std::path::Path;
use std::time::{Duration, Instant};

/// Records of one batch: a message of some ten kilobytes.
const BATCH_LIMIT: usize = 128;
/// A batch that the master has not stored by then is sent again.
const RESEND_AFTER: Duration = Duration::from_secs(15);

/// The lease log as the master follows it.
#[derive(Debug)]
pub(super) struct LeaseFeed {
    tail: LeaseTail,
    /// Whether the master at the other end takes leases.
    is_wanted: bool,
    on_its_way: Option<(Position, Instant)>,
}

impl LeaseFeed {
    pub fn open(state_dir: &Path) -> Self {
        Self { tail: LeaseTail::open(state_dir), is_wanted: false, on_its_way: None }
    }

    /// Another line was begun: nothing is on its way, and who is at its other end has yet to say what it takes.
    pub fn begin(&mut self) {
        self.is_wanted = false;
        self.rewind();
    }

    pub fn wanted(&mut self) {
        self.is_wanted = true;
    }

    /// What is to be sent now.
    pub fn due(&mut self) -> Option<FromAgent> {
        if self.on_its_way.is_some_and(|(_, sent)| sent.elapsed() > RESEND_AFTER) {
            self.rewind();
        }
        if !self.is_wanted || self.on_its_way.is_some() {
            return None;
        }
        let read = self.tail.next(BATCH_LIMIT).unwrap_or_else(|error| {
            tracing::debug!(event = "disk_failed", %error, "the lease log cannot be read");
            None
        });
        let (position, records) = read?;
        self.on_its_way = Some((position, Instant::now()));
        let leases = Leases { segment: position.segment, number: position.number, records };
        Some(FromAgent { message: Some(from_agent::Message::Leases(leases)) })
    }

    /// The master has stored everything up to here.
    pub fn stored(&mut self, up_to: Position) {
        if self.on_its_way.is_none_or(|(position, _)| position != up_to) {
            return;
        }
        self.on_its_way = None;
        if let Err(error) = self.tail.take(up_to) {
            // A master that gets something twice knows it.
            tracing::debug!(event = "disk_failed", %error, "how many leases the master has cannot be kept");
        }
    }

    fn rewind(&mut self) {
        self.on_its_way = None;
        self.tail.rewind();
    }
}
