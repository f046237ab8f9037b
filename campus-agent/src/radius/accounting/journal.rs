//! The way of a record to the disk: a thread of its own writes, and tells when it is safe.
//!
//! What gathers while the disk is busy is its next batch: one fdatasync for all of it. When the log grows scarce it takes no interim
//! records, which the next one of the session makes up for; when it is full it takes nothing. What it does not take is told at once,
//! so that the NAS keeps it.

use crate::reports::Spool;
use crate::store::{AccountingLog, Room};
use metrics::gauge;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// What waits for the disk; more than this comes only while the disk fails, and those NASs ask again.
const QUEUE_LIMIT: usize = 4096;
/// Records in one write.
const BATCH_LIMIT: usize = 1024;
/// How often it is looked what the master has taken, and a disk that failed is tried.
const TICK: Duration = Duration::from_secs(1);
/// A disk that has not come back for so long fails.
const PULSE_LIMIT: Duration = Duration::from_secs(3);
/// What tries a disk that failed: a record that says nothing, and that no reader can read.
const TRIAL: &[u8] = &[];

/// How large the log may become, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget(pub u64);

/// Why a record was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotKept {
    /// The log is full, or too full for this one.
    NoRoom,
    /// The disk did not take it.
    DiskFailed,
    /// As many wait as may.
    QueueFull,
}

impl NotKept {
    /// The name of its counter's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoRoom => "no_room",
            Self::DiskFailed => "disk_failed",
            Self::QueueFull => "queue_full",
        }
    }
}

/// Hears what became of a record, on the journal's thread.
type Tell = Box<dyn FnOnce(Result<(), NotKept>) + Send>;

struct Job {
    record: Vec<u8>,
    is_interim: bool,
    tell: Tell,
}

/// The way in; cheap to clone. With the last one the thread ends, when all that it was given is written.
#[derive(Clone)]
pub(super) struct Journal {
    jobs: SyncSender<Job>,
    room: Arc<AtomicU8>,
    begun: Instant,
    /// When its thread last was through with something, in milliseconds since it began.
    pulse: Arc<AtomicU64>,
}

impl Journal {
    /// Starts the thread. That there is a disk is not waited for.
    pub fn start(state_dir: PathBuf, budget: Budget, spool: Spool) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(QUEUE_LIMIT);
        // Nothing can be kept before it was tried.
        let (room, pulse, begun) = (Arc::new(AtomicU8::new(Room::None as u8)), Arc::<AtomicU64>::default(), Instant::now());
        let (room_there, pulse_there) = (Arc::clone(&room), Arc::clone(&pulse));
        let writer =
            Writer { state_dir, budget, log: None, spool, room: room_there, told: Trouble::None, keeps_taken: false, looked: begun, begun, pulse: pulse_there };
        std::thread::Builder::new().name("accounting".to_owned()).spawn(move || writer.run(&waiting))?;
        Ok(Self { jobs, room, begun, pulse })
    }

    /// How much more can be kept; nothing while the disk fails, or does not come back with what it was given.
    pub fn room(&self) -> Room {
        let quiet = self.begun.elapsed().saturating_sub(Duration::from_millis(self.pulse.load(Ordering::Relaxed)));
        match self.room.load(Ordering::Relaxed) {
            _ if quiet > PULSE_LIMIT => Room::None,
            0 => Room::None,
            1 => Room::Scarce,
            _ => Room::Plenty,
        }
    }

    /// Writes a record, then says what became of it. Never waits.
    pub fn keep(&self, record: Vec<u8>, is_interim: bool, tell: Tell) -> Result<(), NotKept> {
        match self.jobs.try_send(Job { record, is_interim, tell }) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(NotKept::QueueFull),
        }
    }
}

/// What people were told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    Scarce,
    Full,
    Disk,
}

struct Writer {
    state_dir: PathBuf,
    budget: Budget,
    /// `None` until the folder could be opened.
    log: Option<AccountingLog>,
    spool: Spool,
    room: Arc<AtomicU8>,
    told: Trouble,
    /// It is known that what was taken cannot be removed.
    keeps_taken: bool,
    looked: Instant,
    begun: Instant,
    pulse: Arc<AtomicU64>,
}

impl Writer {
    /// Ends when nobody can send it anything more, and all that was sent is written.
    fn run(mut self, waiting: &Receiver<Job>) {
        self.look();
        loop {
            match waiting.recv_timeout(TICK) {
                Ok(first) => self.write([first].into_iter().chain(waiting.try_iter().take(BATCH_LIMIT - 1)).collect()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.looked.elapsed() >= TICK {
                self.look();
            }
        }
    }

    fn write(&mut self, jobs: Vec<Job>) {
        let room = self.log.as_ref().map_or(Room::Plenty, AccountingLog::room);
        let (taken, refused): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| room >= if job.is_interim { Room::Plenty } else { Room::Scarce });
        refused.into_iter().for_each(|job| (job.tell)(Err(NotKept::NoRoom)));
        if taken.is_empty() {
            return;
        }
        let (records, tells): (Vec<_>, Vec<_>) = taken.into_iter().map(|job| (job.record, job.tell)).unzip();
        let appended = self.append(records);
        let kept = appended.as_ref().map(drop).map_err(|_| NotKept::DiskFailed);
        self.tell(&appended);
        self.pulse.store(self.begun.elapsed().as_millis() as u64, Ordering::Relaxed);
        tells.into_iter().for_each(|tell| tell(kept));
    }

    fn append(&mut self, records: Vec<Vec<u8>>) -> io::Result<()> {
        self.log()?.append(records)
    }

    fn log(&mut self) -> io::Result<&mut AccountingLog> {
        if self.log.is_none() {
            self.log = Some(AccountingLog::open(&self.state_dir, self.budget.0)?);
        }
        Ok(self.log.as_mut().expect("it was opened above"))
    }

    /// Makes room by what the master has taken, and tries a disk that failed: NASs that were told nothing may not come by themselves.
    fn look(&mut self) {
        self.looked = Instant::now();
        let opened = self.log().map(drop);
        // First of all: a disk that is full takes no trial until something is gone.
        let forgotten = self.log.as_mut().map_or(Ok(()), AccountingLog::forget_taken);
        if let Err(error) = &forgotten
            && !std::mem::replace(&mut self.keeps_taken, true)
        {
            tracing::error!(event = "disk_failed", %error, "what the master has of the accounting log cannot be removed");
        }
        self.keeps_taken = forgotten.is_err();
        let tried = opened.and_then(|()| if self.told == Trouble::Disk { self.append(vec![TRIAL.to_vec()]) } else { Ok(()) });
        self.tell(&tried);
        self.pulse.store(self.begun.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Trouble is told of once, and once that it is over.
    fn tell(&mut self, outcome: &io::Result<()>) {
        let room = self.log.as_ref().map_or(Room::Plenty, AccountingLog::room);
        let (now, detail) = match (outcome, room) {
            (Err(error), _) => (Trouble::Disk, format!("the accounting log cannot be written: {error}; NASs are not answered, and keep what they have to say")),
            (Ok(()), Room::None) => {
                (Trouble::Full, format!("the accounting log has reached its {} bytes, and the master takes nothing: NASs are not answered", self.budget.0))
            }
            (Ok(()), Room::Scarce) => (Trouble::Scarce, "nine tenths of the accounting log are full: no interim records are kept".to_owned()),
            (Ok(()), Room::Plenty) => (Trouble::None, "the accounting log takes everything again".to_owned()),
        };
        let room = if now == Trouble::Disk { Room::None } else { room };
        self.room.store(room as u8, Ordering::Relaxed);
        gauge!("holdfast_radius_accounting_log_bytes").set(self.log.as_ref().map_or(0.0, |log| log.bytes() as f64));
        if now != std::mem::replace(&mut self.told, now) {
            let event = match now {
                Trouble::None => "accounting_log_works",
                Trouble::Scarce => "accounting_log_scarce",
                Trouble::Full => "accounting_log_full",
                Trouble::Disk => "accounting_log_failed",
            };
            self.spool.raise(event, detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::net::clock::TrustedClock;
    use holdfast_proto::words::UnixMillis;
    use std::sync::mpsc;

    fn journal(dir: &std::path::Path, budget: u64) -> Journal {
        let spool = Spool::open(dir, "radius", Arc::new(TrustedClock::new(UnixMillis(0))));
        Journal::start(dir.to_owned(), Budget(budget), spool).unwrap()
    }

    /// What becomes of a record.
    fn keep(journal: &Journal, is_interim: bool) -> Result<(), NotKept> {
        let (told, heard) = mpsc::channel();
        journal.keep(vec![7; 1000], is_interim, Box::new(move |kept| told.send(kept).unwrap())).unwrap();
        heard.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    #[test]
    fn interim_records_are_refused_first_and_at_the_end_everything() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(dir.path(), 64 << 10);
        let mut count = 0;
        while keep(&journal, true) == Ok(()) {
            count += 1;
        }
        assert_eq!((keep(&journal, true), journal.room()), (Err(NotKept::NoRoom), Room::Scarce));
        assert!(count > 20, "{count}");
        let mut more = 0;
        while keep(&journal, false) == Ok(()) {
            more += 1;
        }
        assert!(more > 0 && keep(&journal, false) == Err(NotKept::NoRoom) && journal.room() == Room::None, "{more}");
    }

    #[test]
    fn a_disk_that_fails_is_told_to_the_nas_by_silence_and_tried_until_it_works() {
        let dir = tempfile::tempdir().unwrap();
        // A file where the folder should be.
        let place = dir.path().join(crate::store::ACCOUNTING);
        std::fs::write(&place, b"").unwrap();
        let journal = journal(dir.path(), 64 << 20);
        assert_eq!((keep(&journal, false), journal.room()), (Err(NotKept::DiskFailed), Room::None));
        std::fs::remove_file(&place).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while journal.room() != Room::Plenty {
            assert!(Instant::now() < deadline, "it was never tried again");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(keep(&journal, true), Ok(()));
    }

    #[test]
    fn many_records_share_one_write_and_each_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(dir.path(), 64 << 20);
        let (told, heard) = mpsc::channel();
        for number in 0..3000u32 {
            let told = told.clone();
            journal.keep(number.to_le_bytes().to_vec(), false, Box::new(move |kept| told.send((number, kept)).unwrap())).unwrap();
        }
        let heard: Vec<(u32, Result<(), NotKept>)> = (0..3000).map(|_| heard.recv_timeout(Duration::from_secs(10)).unwrap()).collect();
        assert!(heard.iter().enumerate().all(|(at, (number, kept))| at == *number as usize && kept.is_ok()));
        let mut handover = crate::store::Handover::open(dir.path(), crate::store::ACCOUNTING);
        let read = std::iter::from_fn(|| Some(handover.next(usize::MAX).unwrap()?.1)).flatten();
        assert!(read.map(|entry| entry.payload).eq((0..3000u32).map(|number| number.to_le_bytes().to_vec())));
    }
}
