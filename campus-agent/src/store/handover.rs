//! A log of this box's, and how much of it somebody else has: what was taken is remembered, what was not is read again.
//!
//! The log has another owner, also in another process; here it is read and nothing of it changed. The mark stands beside the log's
//! folder, so that the owner may learn what it need not keep.

use super::framed::{Entry, Position, Tail};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Records that are read at once: a segment is read whole for them.
const READ_LIMIT: usize = 4096;
/// What a batch may weigh: a message must stay below what the master takes of a box.
const BATCH_BYTES: usize = 48 << 10;
/// What a record weighs beside its payload, on its way.
const ENVELOPE_BYTES: usize = 48;

/// Reads on in a log while another process writes it, and remembers what somebody has taken.
#[derive(Debug)]
pub struct Handover {
    tail: Tail,
    /// Read, and not given yet.
    ahead: VecDeque<Entry>,
    taken: Position,
    dir: PathBuf,
    mark: PathBuf,
}

impl Handover {
    /// Of a log of this box, by the name of its folder: reads on behind what was taken.
    pub fn open(state_dir: &Path, log: &str) -> Self {
        let dir = state_dir.join(log);
        let mark = mark_of(&dir);
        let taken = taken(&mark);
        Self { tail: Tail::new(&dir, taken), ahead: VecDeque::new(), taken, dir, mark }
    }

    /// The next records in their order, at most so many and no more than a message carries, and where the last of them stands.
    pub fn next(&mut self, limit: usize) -> io::Result<Option<(Position, Vec<Entry>)>> {
        if self.ahead.is_empty() {
            self.ahead.extend(self.tail.read(READ_LIMIT)?);
        }
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.payload.len() + ENVELOPE_BYTES;
            bytes <= BATCH_BYTES
        };
        // One that is too long for any batch must not hold up the others for ever.
        let count = self.ahead.iter().take(limit).take_while(fits).count().max(1).min(self.ahead.len());
        let entries: Vec<Entry> = self.ahead.drain(..count).collect();
        Ok(entries.last().map(|last| last.position).map(|last| (last, entries)))
    }

    /// Everything up to here was taken.
    pub fn take(&mut self, up_to: Position) -> io::Result<()> {
        self.taken = up_to;
        let (aside, text) = (self.mark.with_extension("aside"), serde_json::to_vec(&up_to)?);
        match std::fs::write(&aside, &text).and_then(|()| std::fs::rename(&aside, &self.mark)) {
            // A full disk has no room for another file, and gets room only by what was taken: the old mark has a block to write in.
            // Torn it is none, and whoever gets everything again knows it.
            Err(_) if self.mark.exists() => {
                let _ = std::fs::remove_file(&aside);
                let mut mark = std::fs::OpenOptions::new().write(true).open(&self.mark)?;
                mark.write_all(&text)?;
                mark.set_len(text.len() as u64)
            }
            outcome => outcome,
        }
    }

    /// What was read and not taken is read again.
    pub fn rewind(&mut self) {
        self.ahead.clear();
        self.tail = Tail::new(&self.dir, self.taken);
    }
}

/// Where it stands how much of a log was taken: beside its folder.
pub(super) fn mark_of(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push("-taken");
    dir.with_file_name(name)
}

/// Without a readable mark nothing was taken; whoever gets a record twice knows it.
pub(super) fn taken(mark: &Path) -> Position {
    std::fs::read(mark).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::framed::{Bounds, Log, LogId};

    #[test]
    fn batches_are_short_and_leave_nothing_out() {
        let dir = tempfile::tempdir().unwrap();
        let bounds = Bounds { segment_bytes: 1 << 20, bytes: u64::MAX, frames: u64::MAX };
        let mut log = Log::open(&dir.path().join("log"), LogId::draw(), bounds, Position::default()).unwrap();
        let payload = |number: u64| vec![number as u8; if number == 500 { BATCH_BYTES + 1 } else { number as usize % 900 }];
        log.append(&(1..=1000).map(|number| (number, payload(number))).collect::<Vec<_>>()).unwrap();
        let (mut handover, mut given, mut batches) = (Handover::open(dir.path(), "log"), Vec::new(), 0);
        while let Some((position, entries)) = handover.next(100).unwrap() {
            let bytes: usize = entries.iter().map(|entry| entry.payload.len()).sum();
            assert!(entries.len() == 1 || (entries.len() <= 100 && bytes <= BATCH_BYTES), "{} records of {bytes} bytes", entries.len());
            given.extend(entries.iter().map(|entry| entry.payload.clone()));
            // Every other batch is lost on its way, and comes again.
            batches += 1;
            if batches % 2 == 0 {
                given.truncate(given.len() - entries.len());
                handover.rewind();
                let again = handover.next(100).unwrap().unwrap();
                assert_eq!(again, (position, entries.clone()));
                given.extend(entries.into_iter().map(|entry| entry.payload));
            }
            handover.take(position).unwrap();
        }
        assert!(given == (1..=1000).map(payload).collect::<Vec<_>>() && batches > 10);
        assert_eq!(Handover::open(dir.path(), "log").next(1).unwrap(), None, "what was taken stays taken");
    }

    #[test]
    fn a_mark_is_written_where_there_is_no_room_for_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut handover = Handover::open(dir.path(), "log");
        let at = |number| Position { segment: 3, number };
        handover.take(at(100_000)).unwrap();
        // Nothing can be written aside.
        std::fs::create_dir(mark_of(&dir.path().join("log")).with_extension("aside")).unwrap();
        handover.take(at(7)).unwrap();
        assert_eq!(taken(&mark_of(&dir.path().join("log"))), at(7));
    }
}
