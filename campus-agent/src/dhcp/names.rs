//! The names of leased machines on their way to this box's DNS: the board of those that are told, and the log that tells them.
//!
//! What it refuses: to hold a lease up. Where the log cannot be written, machines get their addresses all the same, it is said once,
//! and the log is begun anew as soon as it can be.

use crate::reports::Spool;
use crate::store::NamesLog;
use holdfast_proto::dhcp::Board;
use holdfast_proto::dhcp::lease::Lease;
use holdfast_proto::lent::NameRecord;
use holdfast_proto::net::clock::TrustedClock;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a log that failed is tried again.
const TRIED_EVERY: Duration = Duration::from_secs(5);

/// What is told of names.
pub(super) struct Names {
    board: Board,
    /// The time that leases run by.
    clock: Arc<TrustedClock>,
    state_dir: PathBuf,
    /// `None` where it could not be written.
    log: Option<NamesLog>,
    tried: Instant,
    spool: Spool,
    is_told: bool,
}

impl Names {
    /// Tells those of these leases that run, and of no other.
    pub(super) fn begin<'l>(leases: impl Iterator<Item = &'l Lease>, clock: Arc<TrustedClock>, state_dir: PathBuf, spool: Spool) -> Self {
        let board = Board::of(leases, clock.now());
        let mut names = Self { board, clock, state_dir, log: None, tried: Instant::now(), spool, is_told: false };
        names.begin_anew();
        names
    }

    /// These leases are on disk.
    pub(super) fn take(&mut self, leases: &[Lease]) {
        let told: Vec<NameRecord> = leases.iter().flat_map(|lease| self.board.take(lease)).collect();
        self.tell(&told);
    }

    /// Takes back what has ended, and mends the log where it failed.
    pub(super) fn tend(&mut self) {
        let ended = self.board.end(self.clock.now());
        self.tell(&ended);
        let is_due = match &self.log {
            None => self.tried.elapsed() >= TRIED_EVERY,
            Some(log) => log.is_worth_beginning_anew(),
        };
        if is_due {
            self.begin_anew();
        }
    }

    fn tell(&mut self, records: &[NameRecord]) {
        if let Some(log) = self.log.as_mut().filter(|_| !records.is_empty()) {
            let written = log.append(encoded(records));
            self.judge(written);
        }
    }

    fn begin_anew(&mut self) {
        self.tried = Instant::now();
        let everything = encoded(&self.board.all());
        let begun = match self.log.as_mut() {
            Some(log) => log.begin_anew(everything),
            None => NamesLog::begin(&self.state_dir, everything).map(|log| self.log = Some(log)),
        };
        self.judge(begun);
    }

    /// A log that fails is told of once, and once that it works again.
    fn judge(&mut self, outcome: io::Result<()>) {
        match outcome {
            Err(error) => {
                self.log = None;
                if !std::mem::replace(&mut self.is_told, true) {
                    let detail = format!("names of leased machines cannot be told to DNS until the names log can be written: {error}; addresses are lent");
                    self.spool.raise("names_log_failed", detail);
                }
            }
            Ok(()) if self.is_told => {
                self.is_told = false;
                self.spool.raise("names_log_works", "the names log can be written again: names of leased machines are told");
            }
            Ok(()) => {}
        }
    }
}

fn encoded(records: &[NameRecord]) -> Vec<Vec<u8>> {
    records.iter().map(NameRecord::encode).collect()
}
