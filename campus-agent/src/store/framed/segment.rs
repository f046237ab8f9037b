use super::LogId;
use super::frame::find;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One file of a log: which, and whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    pub ordinal: u64,
    pub log: LogId,
}

impl Segment {
    pub fn path(self, dir: &Path) -> PathBuf {
        dir.join(format!("{:016x}-{}.log", self.ordinal, self.log))
    }

    fn of(name: &str) -> Option<Self> {
        let (ordinal, log) = name.strip_suffix(".log")?.split_once('-')?;
        let log = hex::decode(log).ok()?.try_into().ok()?;
        Some(Self { ordinal: u64::from_str_radix(ordinal, 16).ok()?, log: LogId(log) })
    }

    /// Its bytes; none where it is gone meanwhile.
    pub fn read(self, dir: &Path) -> io::Result<Vec<u8>> {
        match fs::read(self.path(dir)) {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read,
        }
    }
}

/// The segments in a folder, oldest first; none where there is no folder. Other files are left alone.
pub(super) fn list(dir: &Path) -> io::Result<Vec<Segment>> {
    let entries = match fs::read_dir(dir) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut segments = Vec::new();
    for entry in entries {
        segments.extend(entry?.file_name().to_str().and_then(Segment::of));
    }
    segments.sort();
    Ok(segments)
}

/// Removes the segments behind one, as far as that goes: what stays is read.
pub fn remove_behind(dir: &Path, ordinal: u64) {
    for segment in list(dir).unwrap_or_default().into_iter().filter(|segment| segment.ordinal > ordinal) {
        drop(fs::remove_file(segment.path(dir)));
    }
}

/// The numbers of the frames in a segment that can be read.
pub(super) fn numbers(segment: Segment, bytes: &[u8]) -> impl Iterator<Item = u64> {
    let (mut at, mut after) = (0, 0);
    std::iter::from_fn(move || {
        let frame = find(segment.log, bytes, at, after)?;
        (at, after) = (frame.end, frame.number);
        Some(after)
    })
}
