//! What this box keeps for the master, on its way there: a batch of a log at a time, each until it is stored there.

use crate::store::framed::{Entry, Position};
use crate::store::{ACCOUNTING, Handover, LEASES};
use holdfast_proto::control::{Accounting, AccountingRecord, FromAgent, Leases, from_agent};
use holdfast_proto::net::clock::{boot_id, since_boot_ms};
use std::path::Path;
use std::time::{Duration, Instant};

/// Records of one batch.
const LEASES_LIMIT: usize = 128;
/// NASs say more than that.
const ACCOUNTING_LIMIT: usize = 512;
/// A batch that the master has not stored by then is sent again.
const RESEND_AFTER: Duration = Duration::from_secs(15);

/// A log as the master follows it.
#[derive(Debug)]
pub(super) struct Handing {
    /// The log.
    name: &'static str,
    limit: usize,
    message: fn(Position, Vec<Entry>) -> from_agent::Message,
    handover: Handover,
    /// Whether the master at the other end takes these.
    is_wanted: bool,
    on_its_way: Option<(Position, Instant)>,
}

impl Handing {
    /// What this box lends.
    pub fn leases(state_dir: &Path) -> Self {
        let message = |Position { segment, number }, entries: Vec<Entry>| {
            let records = entries.into_iter().map(|entry| entry.payload).collect();
            from_agent::Message::Leases(Leases { segment, number, records })
        };
        Self::open(state_dir, LEASES, LEASES_LIMIT, message)
    }

    /// What NASs say of sessions.
    pub fn accounting(state_dir: &Path) -> Self {
        let message = |Position { segment, number }, entries: Vec<Entry>| {
            let record = |entry: Entry| AccountingRecord { log: entry.log.0.to_vec(), number: entry.position.number, record: entry.payload };
            let records = entries.into_iter().map(record).collect();
            from_agent::Message::Accounting(Accounting { segment, number, records, boot: boot_id().to_vec(), since_boot_ms: since_boot_ms() })
        };
        Self::open(state_dir, ACCOUNTING, ACCOUNTING_LIMIT, message)
    }

    fn open(state_dir: &Path, name: &'static str, limit: usize, message: fn(Position, Vec<Entry>) -> from_agent::Message) -> Self {
        Self { name, limit, message, handover: Handover::open(state_dir, name), is_wanted: false, on_its_way: None }
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
        let read = self.handover.next(self.limit).unwrap_or_else(|error| {
            tracing::debug!(event = "disk_failed", %error, log = self.name, "what the master is to have cannot be read");
            None
        });
        let (position, entries) = read?;
        self.on_its_way = Some((position, Instant::now()));
        Some(FromAgent { message: Some((self.message)(position, entries)) })
    }

    /// The master has stored everything up to here.
    pub fn stored(&mut self, up_to: Position) {
        if self.on_its_way.is_none_or(|(position, _)| position != up_to) {
            return;
        }
        self.on_its_way = None;
        if let Err(error) = self.handover.take(up_to) {
            // A master that gets something twice knows it.
            tracing::debug!(event = "disk_failed", %error, log = self.name, "how much the master has cannot be kept");
        }
    }

    fn rewind(&mut self) {
        self.on_its_way = None;
        self.handover.rewind();
    }
}
