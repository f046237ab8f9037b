//! What this box saw and the master should know. Observations flow up; truth flows down; they share nothing.
//!
//! A bounded spool on disk: the oldest is dropped and counted when it is full, nothing waits for the master, and a
//! report that was raised while the box was cut off, or before it was switched off, arrives later, once: its number
//! within the spool makes a second delivery harmless.

use crate::store;
use holdfast_proto::net::clock::TrustedClock;
use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// More than a box that is cut off for a week has to say; each is one line.
const SPOOL_LIMIT: usize = 512;

/// One observation.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// Its number within the spool, from 1.
    pub sequence: u64,
    /// When, in trusted time.
    pub at_ms: u64,
    /// A stable name, such as `snapshot_refused`.
    pub event: String,
    /// A sentence for people. Never a secret.
    pub detail: String,
}

/// The spool; cheap to clone, every clone is the same spool.
#[derive(Debug, Clone)]
pub struct Spool {
    inner: Arc<Mutex<Inner>>,
    changed: watch::Sender<u64>,
    clock: Arc<TrustedClock>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    kept: Kept,
    /// Something was delivered since the last write.
    due: bool,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Kept {
    /// Sets this spool's numbers apart from those of one that was lost.
    id: String,
    next: u64,
    dropped: u64,
    waiting: VecDeque<Report>,
}

impl Spool {
    /// Reads the spool of this box; a missing or damaged one starts anew under another id.
    pub fn open(state_dir: &Path, name: &str, clock: Arc<TrustedClock>) -> Self {
        let path = state_dir.join(format!("reports-{name}.json"));
        let kept = fs::read(&path).ok().and_then(|bytes| Kept::read(&bytes)).unwrap_or_else(Kept::new);
        Self { inner: Arc::new(Mutex::new(Inner { path, kept, due: false })), changed: watch::channel(0).0, clock }
    }

    /// Adds a report and logs it. Never fails: a full disk costs durability, not the report.
    pub fn raise(&self, event: &'static str, detail: impl Into<String>) {
        let detail = detail.into();
        tracing::warn!(event, detail, "report raised");
        metrics::counter!("holdfast_reports_raised_total", "event" => event).increment(1);
        let mut inner = self.lock();
        let sequence = inner.kept.next;
        inner.kept.next += 1;
        inner.kept.waiting.push_back(Report { sequence, at_ms: self.clock.now().0, event: event.to_owned(), detail });
        if inner.kept.waiting.len() > SPOOL_LIMIT {
            inner.kept.waiting.pop_front();
            inner.kept.dropped += 1;
        }
        inner.due = true;
        drop(inner);
        self.save_if_due();
        self.changed.send_replace(sequence);
    }

    /// What the master has not confirmed yet, from this number on, oldest first.
    pub fn waiting_from(&self, sequence: u64) -> Vec<Report> {
        self.lock().kept.waiting.iter().filter(|report| report.sequence >= sequence).cloned().collect()
    }

    /// The master has this one and all before it.
    pub fn delivered(&self, id: &str, sequence: u64) {
        let mut inner = self.lock();
        if inner.kept.id == id {
            inner.kept.waiting.retain(|report| report.sequence > sequence);
            inner.due = true;
        }
    }

    /// Writes the spool where something changed since the last time. The lock is not held meanwhile: whoever only looks must
    /// not wait for a disk.
    pub fn save_if_due(&self) {
        let (path, bytes) = {
            let mut inner = self.lock();
            if !std::mem::take(&mut inner.due) {
                return;
            }
            (inner.path.clone(), serde_json::to_vec(&inner.kept))
        };
        let saved = bytes.map_err(std::io::Error::other).and_then(|bytes| store::write_whole(&path, &bytes));
        if let Err(error) = saved {
            tracing::error!(event = "disk_failed", path = %path.display(), %error, "reports cannot be kept on disk");
            let mut inner = self.lock();
            inner.due = true;
            // What is on disk goes on counting from an older number: the same number must not come to mean two reports.
            inner.kept.id = Kept::new().id;
        }
    }

    /// What sets this spool's numbers apart.
    pub fn id(&self) -> String {
        self.lock().kept.id.clone()
    }

    /// How many were dropped because the spool was full.
    pub fn dropped(&self) -> u64 {
        self.lock().kept.dropped
    }

    /// Wakes whoever delivers.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// `None` where the file was damaged: a spool that cannot be named is begun anew.
    fn read(bytes: &[u8]) -> Option<Self> {
        let kept: Self = serde_json::from_slice(bytes).ok()?;
        hex::decode(&kept.id).is_ok_and(|id| id.len() == 16).then_some(kept)
    }

    fn new() -> Self {
        Self { id: uuid::Uuid::new_v4().simple().to_string(), next: 1, dropped: 0, waiting: VecDeque::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::words::UnixMillis;

    #[test]
    fn reports_survive_a_restart_until_they_are_delivered() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(TrustedClock::new(UnixMillis(0)));
        let spool = Spool::open(dir.path(), "uplink", Arc::clone(&clock));
        spool.raise("snapshot_refused", "a flipped byte");
        spool.raise("cut_off", "the uplink is gone");
        let spool = Spool::open(dir.path(), "uplink", clock);
        assert_eq!(spool.waiting_from(0).iter().map(|report| report.sequence).collect::<Vec<_>>(), [1, 2]);
        spool.delivered("another spool", 2);
        spool.delivered(&spool.id(), 1);
        spool.save_if_due();
        assert_eq!(spool.waiting_from(0).len(), 1);
        for _ in 0..SPOOL_LIMIT + 5 {
            spool.raise("noise", "");
        }
        assert_eq!((spool.waiting_from(0).len(), spool.dropped()), (SPOOL_LIMIT, 6));
    }
}
