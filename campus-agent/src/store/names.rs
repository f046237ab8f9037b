//! The names log: what this box calls the machines that it lends addresses to, for its DNS to follow.
//!
//! A framed log that DHCP writes anew at each start, out of its lease log: so it need not be durable, and costs no lease a second
//! write to the disk. What it refuses: to grow with time. When most of it is history it is begun anew. What a record means is its
//! owner's business, but that each beginning says everything.

use super::framed::{Bounds, Entry, Log, LogId, Position, Tail};
use super::wake::{Changes, on_changes_in};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The folder of the log.
pub const NAMES: &str = "names";
/// One beginning is one segment.
const BOUNDS: Bounds = Bounds { segment_bytes: u64::MAX, bytes: u64::MAX, frames: u64::MAX };
/// Below so many records behind a beginning it is left as it is.
const WORTH_BEGINNING_ANEW: usize = 2048;

/// The writer's side; a box has one.
#[derive(Debug)]
pub struct NamesLog {
    log: Log,
    number: u64,
    /// Records since the beginning, and of the beginning itself.
    since: usize,
    beginning: usize,
}

impl NamesLog {
    /// Opens the log of a box, and begins it with these records, which say everything.
    pub fn begin(state_dir: &Path, everything: Vec<Vec<u8>>) -> io::Result<Self> {
        let log = Log::open(&state_dir.join(NAMES), LogId::draw(), BOUNDS, Position::default())?;
        let mut names = Self { log, number: 0, since: 0, beginning: 0 };
        names.write_beginning(everything)?;
        Ok(names)
    }

    /// Appends records, which readers see at once. After an error nobody knows what they see: it is to be begun anew.
    pub fn append(&mut self, records: Vec<Vec<u8>>) -> io::Result<()> {
        let count = records.len();
        let frames: Vec<(u64, Vec<u8>)> = (self.number + 1..).zip(records).collect();
        self.log.append_for_readers(&frames)?;
        self.number += count as u64;
        self.since += count;
        Ok(())
    }

    /// Whether most of it is history.
    pub fn is_worth_beginning_anew(&self) -> bool {
        self.since > WORTH_BEGINNING_ANEW.max(4 * self.beginning)
    }

    /// Begins it anew, with these records, which say everything.
    pub fn begin_anew(&mut self, everything: Vec<Vec<u8>>) -> io::Result<()> {
        self.log.begin_anew(LogId::draw());
        self.number = 0;
        self.write_beginning(everything)
    }

    fn write_beginning(&mut self, everything: Vec<Vec<u8>>) -> io::Result<()> {
        self.beginning = everything.len();
        self.append(everything)?;
        self.since = 0;
        // What stands before the segment that is written goes; readers begin with this one.
        self.log.trim(Position { segment: u64::MAX, number: u64::MAX })?;
        Ok(())
    }
}

/// A reader's side.
#[derive(Debug)]
pub struct NamesTail {
    dir: PathBuf,
    tail: Tail,
    /// What the folder was like when all of it had been read.
    seen: Option<Look>,
}

/// The files of a folder: their names and lengths, newest last.
type Look = Vec<(std::ffi::OsString, u64)>;

impl NamesTail {
    /// That of a box. The folder is made where that may be, so that its changes are seen.
    pub fn open(state_dir: &Path) -> Self {
        let dir = state_dir.join(NAMES);
        // Who may not make it has it made by DHCP, and looks for it at every tick.
        let _ = std::fs::DirBuilder::new().recursive(true).mode(0o750).create(&dir);
        Self { tail: Tail::new(&dir, Position::default()), dir, seen: None }
    }

    /// Told of changes; it is a convenience, whoever waits has a tick as well.
    pub fn changes(&self) -> Changes {
        on_changes_in(&self.dir)
    }

    /// What was written since, oldest first. What cannot be read now is read later.
    pub fn read(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let look = look(&self.dir)?;
        if self.seen.as_ref() == Some(&look) {
            return Ok(vec![]);
        }
        let entries = self.tail.read(usize::MAX)?;
        self.seen = Some(look);
        Ok(entries.into_iter().map(|Entry { payload, .. }| payload).collect())
    }
}

fn look(dir: &Path) -> io::Result<Look> {
    let entries = match std::fs::read_dir(dir) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries?,
    };
    // A file that goes meanwhile is none.
    let mut look: Look = entries.filter_map(|entry| entry.ok().and_then(|entry| Some((entry.file_name(), entry.metadata().ok()?.size())))).collect();
    look.sort();
    Ok(look)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(from: u32, to: u32) -> Vec<Vec<u8>> {
        (from..to).map(|number| number.to_be_bytes().to_vec()).collect()
    }

    #[test]
    fn a_reader_follows_over_new_beginnings_and_reads_nothing_twice() {
        let dir = tempfile::tempdir().unwrap();
        let mut tail = NamesTail::open(dir.path());
        assert_eq!(tail.read().unwrap(), records(0, 0), "nobody has written yet");
        let mut log = NamesLog::begin(dir.path(), records(0, 2)).unwrap();
        assert_eq!(tail.read().unwrap(), records(0, 2));
        log.append(records(2, 5)).unwrap();
        assert_eq!([tail.read().unwrap(), tail.read().unwrap()], [records(2, 5), records(0, 0)]);
        log.append(records(5, 7)).unwrap();
        log.begin_anew(records(7, 9)).unwrap();
        log.append(records(9, 10)).unwrap();
        assert_eq!(tail.read().unwrap(), records(7, 10), "what went meanwhile is said by the beginning");
        drop(log);
        NamesLog::begin(dir.path(), records(20, 21)).unwrap();
        assert_eq!(tail.read().unwrap(), records(20, 21));
        assert_eq!(NamesTail::open(dir.path()).read().unwrap(), records(20, 21), "and that is all there is");
    }

    #[test]
    fn it_is_worth_beginning_anew_when_most_of_it_is_history() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = NamesLog::begin(dir.path(), records(0, 1000)).unwrap();
        log.append(records(0, 4000)).unwrap();
        assert!(!log.is_worth_beginning_anew());
        log.append(records(0, 1)).unwrap();
        assert!(log.is_worth_beginning_anew());
        log.begin_anew(records(0, 10)).unwrap();
        assert!(!log.is_worth_beginning_anew());
    }
}
