//! The accounting log: what NASs said of sessions, until the master has it.
//!
//! A framed log, durable before a NAS is answered. What it refuses: to forget a record that the master has not taken, to grow past its
//! budget, and to give numbers twice: after a failure the next records are another log's. What a record means is its owner's business.

use super::framed::{Bounds, Log, LogId};
use super::handover::{mark_of, taken};
use std::io;
use std::path::{Path, PathBuf};

/// The folder of the log.
pub const ACCOUNTING: &str = "accounting";
/// Segments of a large log: what is read anew for each batch that goes to the master.
const SEGMENT_BYTES: u64 = 1 << 20;
/// So many segments make a small log, so that what was taken soon makes room.
const SEGMENTS_LEAST: u64 = 16;
/// Above this share of the budget, in percent, only what matters most is kept.
const SCARCE_PERCENT: u64 = 90;

/// How much more the log takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Nothing.
    None,
    /// What matters most.
    Scarce,
    /// Everything.
    Plenty,
}

/// The writer's side; a box has one.
#[derive(Debug)]
pub struct AccountingLog {
    dir: PathBuf,
    budget_bytes: u64,
    log: Log,
    number: u64,
}

impl AccountingLog {
    /// Opens the log of a box, to grow no larger than the budget. Waits for another writer to end.
    pub fn open(state_dir: &Path, budget_bytes: u64) -> io::Result<Self> {
        let dir = state_dir.join(ACCOUNTING);
        let segment_bytes = SEGMENT_BYTES.min(budget_bytes / SEGMENTS_LEAST);
        // What the budget leaves no room for is refused, and nothing is dropped for it: so the log itself is told of no bounds.
        let bounds = Bounds { segment_bytes, bytes: u64::MAX, frames: u64::MAX };
        let log = Log::open(&dir, LogId::draw(), bounds, taken(&mark_of(&dir)))?;
        Ok(Self { dir, budget_bytes, log, number: 0 })
    }

    /// How much more it takes.
    pub fn room(&self) -> Room {
        let bytes = self.log.bytes();
        match () {
            () if bytes >= self.budget_bytes => Room::None,
            () if bytes >= self.budget_bytes / 100 * SCARCE_PERCENT => Room::Scarce,
            () => Room::Plenty,
        }
    }

    /// What it takes on the disk.
    pub fn bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// Appends records and makes them durable: one write, one fdatasync. After an error none of them is promised, and all may be
    /// appended again.
    pub fn append(&mut self, records: Vec<Vec<u8>>) -> io::Result<()> {
        let count = records.len() as u64;
        let frames: Vec<(u64, Vec<u8>)> = (self.number + 1..).zip(records).collect();
        let appended = self.log.append(&frames);
        match appended {
            Ok(()) => self.number += count,
            Err(_) => {
                self.log.begin_anew(LogId::draw());
                self.number = 0;
            }
        }
        appended
    }

    /// Removes the segments that the master has whole.
    pub fn forget_taken(&mut self) -> io::Result<()> {
        self.log.trim(taken(&mark_of(&self.dir))).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Handover;
    use std::fs;

    /// Room for some sixteen segments of a block each.
    const BUDGET: u64 = 64 << 10;

    fn record(number: u32) -> Vec<u8> {
        [&number.to_be_bytes()[..], &[0; 96]].concat()
    }

    /// What the master would get now, in its order.
    fn waiting(dir: &Path) -> Vec<Vec<u8>> {
        let mut handover = Handover::open(dir, ACCOUNTING);
        let batches = std::iter::from_fn(|| Some(handover.next(usize::MAX).unwrap()?.1));
        batches.flatten().map(|entry| entry.payload).collect()
    }

    #[test]
    fn what_was_appended_waits_over_a_restart_until_it_was_taken_and_makes_room_then() {
        let dir = tempfile::tempdir().unwrap();
        for start in 0..3 {
            let mut log = AccountingLog::open(dir.path(), BUDGET).unwrap();
            log.append(vec![record(2 * start), record(2 * start + 1)]).unwrap();
        }
        assert_eq!(waiting(dir.path()), (0..6).map(record).collect::<Vec<_>>());
        let mut log = AccountingLog::open(dir.path(), BUDGET).unwrap();
        log.forget_taken().unwrap();
        assert_eq!(waiting(dir.path()).len(), 6, "nobody has taken anything");
        let mut handover = Handover::open(dir.path(), ACCOUNTING);
        let (position, entries) = handover.next(3).unwrap().unwrap();
        assert_eq!(entries.len(), 3);
        handover.take(position).unwrap();
        log.forget_taken().unwrap();
        assert_eq!(waiting(dir.path()), (3..6).map(record).collect::<Vec<_>>(), "what was taken goes, segment by segment");
        assert_eq!(fs::read_dir(dir.path().join(ACCOUNTING)).unwrap().count(), 2);
    }

    #[test]
    fn it_says_when_it_grows_scarce_and_full_and_has_room_again_when_the_master_took_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = AccountingLog::open(dir.path(), BUDGET).unwrap();
        let (mut appended, mut seen) = (0, vec![log.room()]);
        while log.room() != Room::None {
            log.append(vec![record(appended)]).unwrap();
            appended += 1;
            if seen.last() != Some(&log.room()) {
                seen.push(log.room());
            }
        }
        assert_eq!(seen, [Room::Plenty, Room::Scarce, Room::None]);
        let on_disk: u64 = fs::read_dir(dir.path().join(ACCOUNTING)).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!((BUDGET / 2..=BUDGET).contains(&on_disk), "{on_disk}");
        assert_eq!(waiting(dir.path()).len(), appended as usize);
        let mut handover = Handover::open(dir.path(), ACCOUNTING);
        while let Some((position, _)) = handover.next(usize::MAX).unwrap() {
            handover.take(position).unwrap();
        }
        log.forget_taken().unwrap();
        assert_eq!(log.room(), Room::Plenty);
        log.append(vec![record(appended)]).unwrap();
        assert_eq!(waiting(dir.path()), [record(appended)]);
    }

    #[test]
    fn a_batch_that_failed_is_appended_again_under_numbers_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = AccountingLog::open(dir.path(), BUDGET).unwrap();
        log.append(vec![record(1)]).unwrap();
        // Half of a batch reached the disk before the disk said that it failed, and the reader has seen it.
        log.log.append(&[(2, record(2))]).unwrap();
        let mut handover = Handover::open(dir.path(), ACCOUNTING);
        assert_eq!(handover.next(9).unwrap().unwrap().1.len(), 2);
        log.log.begin_anew(LogId::draw());
        log.number = 0;
        log.append(vec![record(2), record(3)]).unwrap();
        let read: Vec<Vec<u8>> = handover.next(9).unwrap().unwrap().1.into_iter().map(|entry| entry.payload).collect();
        assert_eq!(read, [record(2), record(3)], "nothing passes for what was read before");
    }
}
