use super::frame::encode;
use super::segment::{Segment, list, numbers};
use super::{LogId, Position};
use crate::store::sync_parent;
use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What a file takes on a disk at least.
const BLOCK_BYTES: u64 = 4096;

/// How large a log may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// A segment that has grown to this is followed by another.
    pub segment_bytes: u64,
    /// All segments together, as the disk counts them.
    pub bytes: u64,
    /// Frames in all segments together.
    pub frames: u64,
}

/// The writer's side; a folder has one at a time.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    id: LogId,
    bounds: Bounds,
    /// Oldest first; the one that is written is the last.
    segments: VecDeque<Kept>,
    next_ordinal: u64,
    open: Option<File>,
    /// Held as long as the log: the folder's lock.
    _lock: File,
}

#[derive(Debug)]
struct Kept {
    segment: Segment,
    bytes: u64,
    frames: u64,
    last: u64,
}

impl Log {
    /// Opens a folder under a new id, and makes it where there is none. Waits for another writer to end. `read_up_to` is
    /// what readers have taken: ordinals go on from there even where the segments were lost.
    pub fn open(dir: &Path, id: LogId, bounds: Bounds, read_up_to: Position) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
        let lock = File::open(dir)?;
        lock.lock()?;
        let segments: VecDeque<_> = list(dir)?.into_iter().map(|segment| Kept::read(dir, segment)).collect();
        let last = segments.back().map_or(0, |kept| kept.segment.ordinal).max(read_up_to.segment);
        Ok(Self { dir: dir.to_owned(), id, bounds, segments, next_ordinal: last + 1, open: None, _lock: lock })
    }

    /// Appends frames, in ascending numbers, and makes them durable: one write, one fdatasync. After an error none of them
    /// is promised, all of them may be appended again, and they go into another segment: of this one nobody knows what the
    /// disk has.
    pub fn append(&mut self, frames: &[(u64, Vec<u8>)]) -> io::Result<()> {
        self.append_with(frames, File::sync_data)
    }

    /// The same for what need not outlast a power cut: other processes read it at once, the disk has it some time.
    pub fn append_for_readers(&mut self, frames: &[(u64, Vec<u8>)]) -> io::Result<()> {
        self.append_with(frames, |_| Ok(()))
    }

    fn append_with(&mut self, frames: &[(u64, Vec<u8>)], make_durable: impl Fn(&File) -> io::Result<()>) -> io::Result<()> {
        let Some((last, _)) = frames.last() else { return Ok(()) };
        let mut bytes = Vec::new();
        frames.iter().for_each(|(number, payload)| encode(self.id, *number, payload, &mut bytes));
        let segments = self.segments.len();
        let written = self.write(&bytes, make_durable);
        if written.is_err() {
            self.open = None;
            // A disk that fails for an hour must not be left with a segment for each attempt.
            for begun in self.segments.drain(segments.min(self.segments.len())..) {
                drop(fs::remove_file(begun.segment.path(&self.dir)));
            }
        } else if let Some(kept) = self.segments.back_mut() {
            kept.bytes += bytes.len() as u64;
            kept.frames += frames.len() as u64;
            kept.last = *last;
        }
        written
    }

    fn write(&mut self, bytes: &[u8], make_durable: impl Fn(&File) -> io::Result<()>) -> io::Result<()> {
        if self.segments.back().is_some_and(|kept| kept.bytes >= self.bounds.segment_bytes) {
            self.open = None;
        }
        if self.open.is_none() {
            self.open = Some(self.begin()?);
        }
        let file = self.open.as_mut().expect("it was opened above");
        file.write_all(bytes)?;
        make_durable(file)
    }

    fn begin(&mut self) -> io::Result<File> {
        let segment = Segment { ordinal: self.next_ordinal, log: self.id };
        let path = segment.path(&self.dir);
        let file = OpenOptions::new().create_new(true).append(true).mode(0o640).open(&path)?;
        self.next_ordinal += 1;
        self.segments.push_back(Kept { segment, bytes: 0, frames: 0, last: 0 });
        sync_parent(&path)?;
        Ok(file)
    }

    /// What follows is another log: after a failure some frames may be on the disk under numbers that must not be given to others.
    pub fn begin_anew(&mut self, id: LogId) {
        self.id = id;
        self.open = None;
    }

    /// What all segments take on the disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|kept| kept.bytes.next_multiple_of(BLOCK_BYTES)).sum()
    }

    /// Removes what was taken by all readers, and the oldest of what is more than the bounds allow; never the segment that
    /// is being written. Gives how many frames were removed that somebody had not taken.
    pub fn trim(&mut self, taken: Position) -> io::Result<u64> {
        let mut lost = 0;
        while let Some(oldest) = self.segments.front().filter(|_| self.segments.len() > usize::from(self.open.is_some())) {
            let is_taken = Position { segment: oldest.segment.ordinal, number: oldest.last } <= taken;
            if !is_taken && self.fits() {
                break;
            }
            let after = if oldest.segment.ordinal == taken.segment { taken.number } else { 0 };
            if !is_taken {
                lost += numbers(oldest.segment, &oldest.segment.read(&self.dir).unwrap_or_default()).filter(|number| *number > after).count() as u64;
            }
            fs::remove_file(oldest.segment.path(&self.dir)).or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
            self.segments.pop_front();
        }
        Ok(lost)
    }

    fn fits(&self) -> bool {
        let frames: u64 = self.segments.iter().map(|kept| kept.frames).sum();
        self.bytes() <= self.bounds.bytes && frames <= self.bounds.frames
    }
}

impl Kept {
    /// Of one that the disk does not give back nobody knows how far it goes: it goes when one behind it was taken, or the bounds say so.
    fn read(dir: &Path, segment: Segment) -> Self {
        let Ok(bytes) = segment.read(dir) else { return Self { segment, bytes: 0, frames: 0, last: u64::MAX } };
        let (frames, last) = numbers(segment, &bytes).fold((0, 0), |(count, _), number| (count + 1, number));
        Self { segment, bytes: bytes.len() as u64, frames, last }
    }
}
