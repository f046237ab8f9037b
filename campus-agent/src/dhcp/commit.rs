//! No lease is promised before it is on disk: a thread of its own writes records and sends the replies that wait for them.
//!
//! Why it exists: a disk takes longer for one lease than the wire for a hundred clients. Those whose answer needs no record do not
//! wait, and what gathers while the disk is busy is its next batch: one fdatasync for all of it. What it refuses: to send a reply
//! whose record the disk did not take; its client asks again, and meanwhile everything else is answered. Between the two the names
//! of the clients are told to this box's DNS ([`Names`]), so that whoever hears of its address has its name already.

use super::counters::Counters;
use super::delivery::{Delivery, Reply};
use super::names::Names;
use crate::reports::Spool;
use crate::store::LeaseLog;
use holdfast_proto::dhcp::lease::Lease;
use holdfast_proto::words::UnixMillis;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// What waits for the disk; more than this comes only while the disk fails, and those clients ask again.
const QUEUE_LIMIT: usize = 4096;
/// Records in one write.
const BATCH_LIMIT: usize = 1024;
/// How often a client is offered an address while the disk fails, in milliseconds: what it then writes is a test of the disk.
const TRIED_EVERY_MS: u64 = 5000;
/// How long after its end a lease is still known, so that its client gets the same address: a term, in milliseconds.
const REMEMBERED_FOR_MS: u64 = 120 * 86_400_000;
/// How soon it is seen that a lease has ended, and its name with it.
const TICK: Duration = Duration::from_millis(500);

/// A record, and the reply that waits for it.
struct Job {
    lease: Lease,
    reply: Option<Reply>,
    now: UnixMillis,
}

/// The way to the disk.
pub(super) struct Committer {
    jobs: SyncSender<Job>,
    counters: Arc<Counters>,
    /// The last write failed, or nothing more could be taken.
    is_failing: Arc<AtomicBool>,
    tried: UnixMillis,
}

impl Committer {
    pub(super) fn start(log: LeaseLog, names: Names, delivery: Delivery, counters: Arc<Counters>, spool: Spool) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(QUEUE_LIMIT);
        let is_failing = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            log,
            names,
            delivery,
            counters: Arc::clone(&counters),
            spool,
            is_failing: Arc::clone(&is_failing),
            is_told: false,
            is_compacting_told: false,
        };
        std::thread::Builder::new().name("leases".to_owned()).spawn(move || writer.run(&waiting))?;
        Ok(Self { jobs, counters, is_failing, tried: UnixMillis(0) })
    }

    /// Whether something new may be offered: while the disk fails only now and then.
    pub(super) fn may_lend(&mut self, now: UnixMillis) -> bool {
        if !self.is_failing.load(Ordering::Relaxed) {
            return true;
        }
        let is_due = now.0.saturating_sub(self.tried.0) >= TRIED_EVERY_MS;
        if is_due {
            self.tried = now;
        }
        is_due
    }

    /// Writes a record, then sends its reply. Never waits.
    pub(super) fn commit(&self, record: &Lease, reply: Option<Reply>, now: UnixMillis) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.jobs.try_send(Job { lease: record.clone(), reply, now }) {
            self.counters.not_durable(1);
            self.is_failing.store(true, Ordering::Relaxed);
        }
    }
}

struct Writer {
    log: LeaseLog,
    names: Names,
    delivery: Delivery,
    counters: Arc<Counters>,
    spool: Spool,
    is_failing: Arc<AtomicBool>,
    is_told: bool,
    is_compacting_told: bool,
}

impl Writer {
    /// Ends when nobody can send it anything more, and all that was sent is written.
    fn run(mut self, waiting: &Receiver<Job>) {
        let mut room = Vec::new();
        loop {
            match waiting.recv_timeout(TICK) {
                Ok(first) => self.write([first].into_iter().chain(waiting.try_iter().take(BATCH_LIMIT - 1)), &mut room),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.names.tend();
        }
    }

    fn write(&mut self, jobs: impl Iterator<Item = Job>, room: &mut Vec<Vec<u8>>) {
        let (mut leases, mut replies, mut now) = (Vec::new(), Vec::new(), UnixMillis(0));
        for job in jobs {
            now = now.max(job.now);
            leases.push(job.lease);
            replies.extend(job.reply);
        }
        let written = self.log.append(leases.iter().map(Lease::encode).collect());
        self.tell(&written);
        if written.is_ok() {
            self.counters.committed(leases.len());
            self.names.take(&leases);
            self.delivery.send(&mut replies, room);
            room.clear();
            self.compact(now);
        } else {
            self.counters.not_durable(leases.len());
        }
    }

    fn compact(&mut self, now: UnixMillis) {
        if !self.log.is_worth_compacting() {
            return;
        }
        let compacted = self.log.compact(|records| counting(records, now));
        let is_failing = compacted.is_err();
        if let Err(error) = compacted
            && !self.is_compacting_told
        {
            self.spool.raise("lease_log_not_compacted", format!("what is history in the lease log could not be removed, so it grows on: {error}"));
        }
        self.is_compacting_told = is_failing;
    }

    /// A disk that fails is told of once, and once that it works again.
    fn tell(&mut self, outcome: &io::Result<()>) {
        match outcome {
            Err(error) if !self.is_told => {
                self.spool
                    .raise("lease_log_failed", format!("no address is lent or renewed until the lease log can be written: {error}; reserved hosts are served"));
            }
            Ok(()) if self.is_told => self.spool.raise("lease_log_works", "the lease log can be written again: addresses are lent"),
            _ => {}
        }
        self.is_told = outcome.is_err();
        self.is_failing.store(outcome.is_err(), Ordering::Relaxed);
    }
}

/// The last record of each address, in the order in which they were written, but for what ended long ago. What this build cannot
/// read is kept: a newer one can.
fn counting(records: Vec<Vec<u8>>, now: UnixMillis) -> Vec<Vec<u8>> {
    let mut seen = HashSet::new();
    let counts = |record: &Vec<u8>| match Lease::decode(record) {
        Ok(lease) => seen.insert(lease.address) && lease.until.0.saturating_add(REMEMBERED_FOR_MS) > now.0,
        Err(_) => true,
    };
    let mut kept: Vec<Vec<u8>> = records.into_iter().rev().filter(counts).collect();
    kept.reverse();
    kept
}
