use super::mark::Shelf;
use super::{Kind, MASTER, Report};
use crate::store::framed::{Bounds, Log, LogId, count_after};
use holdfast_proto::net::clock::TrustedClock;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// What waits for the disk; more than this comes only from a disk that fails.
const QUEUE_LIMIT: usize = 2048;
/// How often a disk that failed is tried again.
const DISK_RETRY: Duration = Duration::from_secs(1);

/// More than a box that is cut off for months has to say.
fn bounds(kind: Kind) -> Bounds {
    match kind {
        Kind::Event => Bounds { segment_bytes: 128 << 10, bytes: 4 << 20, frames: 20_000 },
        Kind::Audit => Bounds { segment_bytes: 256 << 10, bytes: 16 << 20, frames: 80_000 },
    }
}

/// One process's spool; cheap to clone, every clone is the same spool. The last one to go waits until what was raised is
/// on disk.
#[derive(Debug, Clone)]
pub struct Spool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    process: String,
    shelf: Shelf,
    clock: Arc<TrustedClock>,
    queues: Mutex<Queues>,
    /// Something was raised, or the spool is closing.
    raised: Condvar,
    /// The writer has tried to write what was raised.
    tried: Condvar,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Queues {
    kinds: [Queue; 2],
    /// The disk does not take anything now.
    failing: bool,
    closing: bool,
}

#[derive(Debug)]
struct Queue {
    id: LogId,
    next: u64,
    /// Not on disk yet; a report stays here while it is being written.
    waiting: VecDeque<(u64, Report)>,
    dropped: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self { id: LogId::draw(), next: 1, waiting: VecDeque::new(), dropped: 0 }
    }
}

/// What is in memory alone, while the disk fails.
pub(super) struct Unwritten {
    pub kind: Kind,
    pub log: LogId,
    pub number: u64,
    pub report: Report,
}

impl Spool {
    /// Opens the spool of a process, under new ids. Nothing waits for the disk: a thread of its own writes.
    pub fn open(state_dir: &Path, process: &str, clock: Arc<TrustedClock>) -> Self {
        let shared = Arc::new(Shared {
            process: process.to_owned(),
            shelf: Shelf::of(state_dir),
            clock,
            queues: Mutex::default(),
            raised: Condvar::new(),
            tried: Condvar::new(),
            changed: watch::channel(0).0,
        });
        let writing = Arc::clone(&shared);
        let writer = std::thread::Builder::new().name("reports".to_owned()).spawn(move || Writer { shared: writing, logs: [None, None] }.run());
        let writer = writer.inspect_err(|error| tracing::error!(event = "no_thread", %error, "reports are kept in memory alone")).ok();
        Self { inner: Arc::new(Inner { shared, writer }) }
    }

    /// Adds an event and logs it. Never fails and never waits: a full disk costs durability, not the report.
    pub fn raise(&self, event: &'static str, detail: impl Into<String>) {
        let detail = detail.into();
        tracing::warn!(event, detail, "report raised");
        metrics::counter!("holdfast_reports_raised_total", "event" => event).increment(1);
        self.inner.shared.add(Kind::Event, event, &detail);
    }

    /// Adds an audit record: who did what, or was refused. Never a secret.
    pub fn audit(&self, event: &'static str, detail: impl Into<String>) {
        let detail = detail.into();
        tracing::info!(event, detail, "audit");
        metrics::counter!("holdfast_reports_raised_total", "event" => event).increment(1);
        self.inner.shared.add(Kind::Audit, event, &detail);
    }

    /// Waits until everything raised so far is durable; gives whether it is, or the disk fails.
    pub fn flush(&self) -> bool {
        let shared = &self.inner.shared;
        let mut queues = shared.lock();
        while !queues.is_empty() && !queues.failing && self.inner.writer.is_some() {
            queues = shared.tried.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
        queues.is_empty()
    }

    /// How many reports of the whole box the master has not taken yet.
    pub fn waiting(&self) -> u64 {
        let Shared { shelf, .. } = &*self.inner.shared;
        let logs = shelf.processes().into_iter().flat_map(|process| Kind::ALL.map(|kind| (process.clone(), kind)));
        // What cannot be read cannot be delivered either: the log says so.
        let kept: u64 = logs.map(|(process, kind)| count_after(&shelf.log(&process, kind), shelf.taken(MASTER, &process, kind)).unwrap_or(0)).sum();
        kept + self.inner.shared.lock().kinds.iter().map(|queue| queue.waiting.len() as u64).sum::<u64>()
    }

    /// How many of this process's reports were dropped since it started, because the spool was full.
    pub fn dropped(&self) -> u64 {
        self.inner.shared.lock().kinds.iter().map(|queue| queue.dropped).sum()
    }

    /// Wakes whoever delivers, when reports were written.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.inner.shared.changed.subscribe()
    }

    /// What the disk does not take; nothing while it works.
    pub(super) fn unwritten(&self) -> Vec<Unwritten> {
        let queues = self.inner.shared.lock();
        let kinds = Kind::ALL.into_iter().zip(&queues.kinds).filter(|_| queues.failing);
        let of_kind = |(kind, queue): (Kind, &Queue)| {
            let log = queue.id;
            queue.waiting.iter().map(|(number, report)| Unwritten { kind, log, number: *number, report: report.clone() }).collect::<Vec<_>>()
        };
        kinds.flat_map(of_kind).collect()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.raised.notify_all();
        if let Some(Err(_)) = self.writer.take().map(JoinHandle::join) {
            tracing::error!(event = "reports_lost", "the thread that writes reports ended badly");
        }
    }
}

impl Queues {
    fn is_empty(&self) -> bool {
        self.kinds.iter().all(|queue| queue.waiting.is_empty())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, kind: Kind, event: &str, detail: &str) {
        let mut queues = self.lock();
        let queue = &mut queues.kinds[kind as usize];
        let number = queue.next;
        queue.next += 1;
        // The time is read under the lock, so that numbers and times rise together.
        queue.waiting.push_back((number, Report::new(self.clock.now().0, event, detail)));
        if queue.waiting.len() > QUEUE_LIMIT {
            queue.waiting.pop_front();
            queue.dropped += 1;
            metrics::counter!("holdfast_reports_dropped_total", "kind" => kind.name()).increment(1);
        }
        drop(queues);
        self.raised.notify_one();
    }
}

/// The thread that writes. What gathers while it waits for the disk is its next batch: one fdatasync for all of it.
struct Writer {
    shared: Arc<Shared>,
    logs: [Option<Log>; 2],
}

impl Writer {
    fn run(mut self) {
        while self.wait() {
            let written = Kind::ALL.into_iter().try_for_each(|kind| self.write(kind));
            let failing = written.inspect_err(|error| tracing::error!(event = "disk_failed", %error, "reports cannot be kept on disk")).is_err();
            self.shared.lock().failing = failing;
            self.shared.tried.notify_all();
            self.shared.changed.send_modify(|count| *count += 1);
        }
    }

    /// Waits for something to write, or for the time to try a failed disk again. `false` when the spool closes and all that
    /// could be done is done.
    fn wait(&self) -> bool {
        let mut queues = self.shared.lock();
        if queues.failing && !queues.closing {
            queues = self.shared.raised.wait_timeout(queues, DISK_RETRY).unwrap_or_else(PoisonError::into_inner).0;
        }
        while queues.is_empty() && !queues.closing {
            queues = self.shared.raised.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
        !(queues.closing && (queues.failing || queues.is_empty()))
    }

    fn write(&mut self, kind: Kind) -> io::Result<()> {
        let (id, batch) = {
            let queues = self.shared.lock();
            let queue = &queues.kinds[kind as usize];
            (queue.id, queue.waiting.iter().map(|(number, report)| (*number, report.encode())).collect::<Vec<_>>())
        };
        let Some((last, _)) = batch.last() else { return Ok(()) };
        let taken = self.shared.shelf.taken_by_all(&self.shared.process, kind);
        if self.logs[kind as usize].is_none() {
            let dir = self.shared.shelf.log(&self.shared.process, kind);
            self.logs[kind as usize] = Some(Log::open(&dir, id, bounds(kind), taken)?);
        }
        let log = self.logs[kind as usize].as_mut().expect("it was opened above");
        log.append(&batch)?;
        self.shared.lock().kinds[kind as usize].waiting.retain(|(number, _)| number > last);
        // What was appended is safe whether or not there is room for the next.
        match log.trim(taken) {
            Ok(0) => {}
            Ok(lost) => self.dropped(kind, lost),
            Err(error) => tracing::error!(event = "disk_failed", %error, "old reports cannot be removed"),
        }
        Ok(())
    }

    fn dropped(&self, kind: Kind, lost: u64) {
        self.shared.lock().kinds[kind as usize].dropped += lost;
        metrics::counter!("holdfast_reports_dropped_total", "kind" => kind.name()).increment(lost);
        let event = if kind == Kind::Audit { "audit_dropped" } else { "reports_dropped" };
        let detail = format!("the spool of {} is full: the oldest {lost} {} records were dropped before anybody had them", self.shared.process, kind.name());
        tracing::error!(event, detail, "reports were dropped");
        self.shared.add(Kind::Event, event, &detail);
    }
}
