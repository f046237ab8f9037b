//! The lease log: what this box has lent, so that it knows it again after a power cut.
//!
//! A framed log of records, durable before anybody acts on them. What it refuses: to lend on when it cannot be read, to forget a
//! record that another has not replaced, and to grow with time: when most of it is history, what still counts is written anew behind
//! it and the old segments go. A power cut in between leaves both, which say the same. What a record means is its owner's business.
//! The records of one opening are numbered from one on, so one that is missing in the middle is missed: [`Found::lost`].

use super::framed::{Bounds, Log, LogId, Position, Tail, remove_behind};
use super::handover::{mark_of, taken};
use std::io;
use std::path::{Path, PathBuf};

/// The folder of the log.
pub const LEASES: &str = "leases";
/// One opening is one segment, and none goes before its content was written anew.
const BOUNDS: Bounds = Bounds { segment_bytes: u64::MAX, bytes: u64::MAX, frames: u64::MAX };
/// Below this many records the log is left as it is.
const WORTH_COMPACTING: usize = 8192;
/// What the master has not taken is kept though it is history, up to so many records: some ten megabytes.
const UNTOLD_LIMIT: usize = 65_536;
/// Records in one write while it is written anew: some hundred kilobytes.
const CHUNK: usize = 4096;

/// The writer's side; a box has one.
#[derive(Debug)]
pub struct LeaseLog {
    dir: PathBuf,
    /// `None` until the first record, and after a failure that leaves it unknown what the disk has.
    log: Option<Log>,
    number: u64,
    /// Records on disk, the replaced ones among them.
    records: usize,
    /// How many there were when all of them counted, or when that was last tried.
    counted: usize,
}

/// What is on the disk of a box.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Every record, oldest first.
    pub records: Vec<Vec<u8>>,
    /// How many records stood between these that cannot be read any more.
    pub lost: u64,
    /// How many of them, the newest, the master has not taken.
    untold: usize,
    /// The newest segment.
    segment: u64,
}

impl LeaseLog {
    /// Opens the log of a box: also every record that is on its disk, oldest first.
    pub fn open(state_dir: &Path) -> io::Result<(Self, Found)> {
        let dir = state_dir.join(LEASES);
        let found = read(&dir)?;
        let log = Self { dir, log: None, number: 0, records: found.records.len(), counted: 0 };
        Ok((log, found))
    }

    /// Appends records and makes them durable: one write, one fdatasync. After an error none of them is promised, and all may be
    /// appended again.
    pub fn append(&mut self, records: Vec<Vec<u8>>) -> io::Result<()> {
        let count = records.len();
        let first = self.number + 1;
        let frames: Vec<(u64, Vec<u8>)> = (first..).zip(records).collect();
        let appended = self.log()?.append(&frames);
        if appended.is_err() {
            self.give_up();
        }
        appended?;
        self.number += count as u64;
        self.records += count;
        Ok(())
    }

    /// Whether most of the log is history, and it was not just tried in vain.
    pub fn is_worth_compacting(&self) -> bool {
        self.records > WORTH_COMPACTING.max(2 * self.counted)
    }

    /// Writes anew what still counts, which `counting` finds among all records, and removes the rest. After an error all is as it
    /// was, and it is worth trying again only when the log has grown by much.
    pub fn compact(&mut self, counting: impl FnOnce(Vec<Vec<u8>>) -> Vec<Vec<u8>>) -> io::Result<()> {
        // Tried in vain, it costs a whole log each time.
        self.counted = self.records;
        let mut found = read(&self.dir)?;
        let untold = found.records.split_off(found.records.len() - found.untold.min(UNTOLD_LIMIT));
        let mut counting = counting(found.records);
        counting.extend(untold);
        let counted = counting.len();
        let written = self.write_anew(&counting, found.segment);
        if written.is_err() {
            self.give_up();
            // Copies alone: what they are copies of was not touched.
            remove_behind(&self.dir, found.segment);
        }
        written?;
        (self.records, self.counted) = (counted, counted);
        Ok(())
    }

    fn write_anew(&mut self, counting: &[Vec<u8>], last: u64) -> io::Result<()> {
        // A new log has a segment of its own; the one before must let go of the folder first.
        self.give_up();
        for chunk in counting.chunks(CHUNK) {
            self.append(chunk.to_vec())?;
        }
        self.log()?.trim(Position { segment: last, number: u64::MAX })?;
        Ok(())
    }

    /// Some records may be on the disk under numbers that must not be given to others: what follows is another log.
    fn give_up(&mut self) {
        self.log = None;
        self.number = 0;
    }

    fn log(&mut self) -> io::Result<&mut Log> {
        if self.log.is_none() {
            self.log = Some(Log::open(&self.dir, LogId::draw(), BOUNDS, Position::default())?);
        }
        Ok(self.log.as_mut().expect("it was opened above"))
    }
}

/// Every record on disk.
fn read(dir: &Path) -> io::Result<Found> {
    let (mut found, taken) = (Found::default(), taken(&mark_of(dir)));
    let mut before: Option<(LogId, u64)> = None;
    for entry in Tail::new(dir, Position::default()).read(usize::MAX)? {
        let expected = before.filter(|(log, _)| *log == entry.log).map_or(1, |(_, number)| number + 1);
        found.lost += entry.position.number.saturating_sub(expected);
        before = Some((entry.log, entry.position.number));
        found.segment = entry.position.segment;
        found.untold = if entry.position > taken { found.untold + 1 } else { 0 };
        found.records.push(entry.payload);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Handover;
    use std::collections::BTreeMap;
    use std::fs;

    /// A record of these tests: an address and what became of it.
    fn record(address: u16, state: u8) -> Vec<u8> {
        [&address.to_be_bytes()[..], &[state]].concat()
    }

    fn latest(records: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        records.into_iter().map(|record| ([record[0], record[1]], record)).collect::<BTreeMap<_, _>>().into_values().collect()
    }

    fn files(dir: &Path) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(dir.join("leases")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// The master takes everything.
    fn told(dir: &Path) {
        let mut tail = Handover::open(dir, LEASES);
        while let Some((position, _)) = tail.next(500).unwrap() {
            tail.take(position).unwrap();
        }
    }

    #[test]
    fn what_the_master_has_not_taken_is_not_history() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = LeaseLog::open(dir.path()).unwrap();
        log.append(vec![record(1, 1), record(1, 2)]).unwrap();
        told(dir.path());
        log.append(vec![record(1, 3), record(2, 1), record(1, 4)]).unwrap();
        log.compact(latest).unwrap();
        let kept = [record(1, 2), record(1, 3), record(2, 1), record(1, 4)];
        assert_eq!(LeaseLog::open(dir.path()).unwrap().1.records, kept);
        let told: Vec<Vec<u8>> = Handover::open(dir.path(), LEASES).next(9).unwrap().unwrap().1.into_iter().map(|entry| entry.payload).collect();
        assert_eq!(told, kept, "and is told after it");
    }

    #[test]
    fn what_was_appended_is_there_at_the_next_start_in_its_order() {
        let dir = tempfile::tempdir().unwrap();
        for start in 0..3u8 {
            let (mut log, Found { records, lost, .. }) = LeaseLog::open(dir.path()).unwrap();
            assert_eq!(lost, 0);
            assert_eq!(records.len(), 2 * usize::from(start));
            assert!(records.iter().enumerate().all(|(number, found)| *found == record(7, number as u8)));
            log.append(vec![record(7, 2 * start)]).unwrap();
            log.append(vec![record(7, 2 * start + 1)]).unwrap();
        }
    }

    #[test]
    fn a_torn_end_costs_what_was_not_promised_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = LeaseLog::open(dir.path()).unwrap();
        log.append(vec![record(1, 1)]).unwrap();
        log.append(vec![record(2, 1)]).unwrap();
        drop(log);
        let whole = fs::read(&files(dir.path())[0]).unwrap();
        for cut in whole.len() / 2..whole.len() {
            fs::write(&files(dir.path())[0], &whole[..cut]).unwrap();
            assert_eq!(LeaseLog::open(dir.path()).unwrap().1.records, [record(1, 1)]);
        }
    }

    #[test]
    fn the_numbers_of_a_batch_that_failed_are_not_given_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = LeaseLog::open(dir.path()).unwrap();
        log.append(vec![record(1, 1)]).unwrap();
        // Half of a batch is on the disk when the disk says that it failed.
        log.log().unwrap().append(&[(2, record(2, 1)), (3, record(3, 1))]).unwrap();
        log.give_up();
        log.append(vec![record(4, 1), record(5, 1)]).unwrap();
        drop(log);
        let found = LeaseLog::open(dir.path()).unwrap().1;
        assert_eq!((found.records, found.lost), ((1..6).map(|address| record(address, 1)).collect(), 0));
    }

    #[test]
    fn a_record_that_is_missing_in_the_middle_is_missed() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = LeaseLog::open(dir.path()).unwrap();
        (1..5).for_each(|address| log.append(vec![record(address, 1)]).unwrap());
        drop(log);
        let mut whole = fs::read(&files(dir.path())[0]).unwrap();
        let second = whole.len() / 4;
        whole[second + 3] ^= 1;
        fs::write(&files(dir.path())[0], &whole).unwrap();
        let found = LeaseLog::open(dir.path()).unwrap().1;
        assert_eq!((found.records, found.lost), (vec![record(1, 1), record(3, 1), record(4, 1)], 1));
    }

    #[test]
    fn history_goes_and_what_counts_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = LeaseLog::open(dir.path()).unwrap();
        for round in 0..10 {
            log.append((0..1000).map(|address| record(address, round)).collect()).unwrap();
        }
        assert!(log.is_worth_compacting());
        told(dir.path());
        let before: u64 = files(dir.path()).iter().map(|file| file.metadata().unwrap().len()).sum();
        log.compact(latest).unwrap();
        assert!(!log.is_worth_compacting());
        log.append(vec![record(3, 77)]).unwrap();
        drop(log);
        let after: u64 = files(dir.path()).iter().map(|file| file.metadata().unwrap().len()).sum();
        assert!(after * 9 < before && files(dir.path()).len() == 1, "{before} bytes became {after}");
        let records = latest(LeaseLog::open(dir.path()).unwrap().1.records);
        let expected: Vec<_> = (0..1000).map(|address| record(address, if address == 3 { 77 } else { 9 })).collect();
        assert!(records == expected, "what counts is not what is there");
    }

    #[test]
    fn a_power_cut_while_it_is_written_anew_leaves_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = LeaseLog::open(dir.path()).unwrap();
        log.append((0..100).flat_map(|address| [record(address, 1), record(address, 2)]).collect()).unwrap();
        drop(log);
        let old = fs::read(&files(dir.path())[0]).unwrap();
        let (name, (mut log, _)) = (files(dir.path())[0].clone(), LeaseLog::open(dir.path()).unwrap());
        told(dir.path());
        log.compact(latest).unwrap();
        drop(log);
        let new = files(dir.path())[0].clone();
        let whole = fs::read(&new).unwrap();
        let expected: Vec<Vec<u8>> = (0..100).map(|address| record(address, 2)).collect();
        fs::write(&name, &old).unwrap();
        for cut in (0..=whole.len()).step_by(61) {
            fs::write(&new, &whole[..cut]).unwrap();
            assert_eq!(latest(LeaseLog::open(dir.path()).unwrap().1.records), expected, "cut at {cut}");
        }
    }
}
