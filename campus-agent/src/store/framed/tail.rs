use super::frame::find;
use super::segment::{Segment, list, numbers};
use super::{LogId, Position};
use std::io;
use std::path::{Path, PathBuf};

/// A frame as a reader gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands: what is remembered once it was taken.
    pub position: Position,
    /// Whose number it bears.
    pub log: LogId,
    /// What was appended.
    pub payload: Vec<u8>,
}

/// A reader's side: follows a log while it is written, by polling. Reads files and changes none.
#[derive(Debug)]
pub struct Tail {
    dir: PathBuf,
    at: Position,
    /// Where in the segment `at` ends.
    offset: usize,
    /// The log and number that were read last: after a failed write the same frames may stand in the next segment again.
    last: Option<(LogId, u64)>,
}

impl Tail {
    /// Reads on behind `at`.
    pub fn new(dir: &Path, at: Position) -> Self {
        Self { dir: dir.to_owned(), at, offset: 0, last: None }
    }

    /// Up to `limit` frames that were not given yet, oldest first; none where nothing new is there.
    pub fn read(&mut self, limit: usize) -> io::Result<Vec<Entry>> {
        let segments = list(&self.dir)?;
        if segments.last().is_some_and(|newest| newest.ordinal < self.at.segment) {
            // The folder was lost and begun anew: what was taken of the old one says nothing about this one.
            *self = Self::new(&self.dir, Position::default());
        }
        let (mut entries, first) = (Vec::new(), self.at.segment);
        for segment in segments.into_iter().filter(|segment| segment.ordinal >= first) {
            self.read_segment(segment, limit, &mut entries)?;
            if entries.len() >= limit {
                break;
            }
        }
        Ok(entries)
    }

    fn read_segment(&mut self, segment: Segment, limit: usize, entries: &mut Vec<Entry>) -> io::Result<()> {
        let (mut at, mut number) = if segment.ordinal == self.at.segment { (self.offset, self.at.number) } else { (0, 0) };
        if let Some((_, read)) = self.last.filter(|(log, _)| *log == segment.log) {
            number = number.max(read);
        }
        let bytes = segment.read(&self.dir)?;
        while let Some(frame) = find(segment.log, &bytes, at, number).filter(|_| entries.len() < limit) {
            (at, number) = (frame.end, frame.number);
            let position = Position { segment: segment.ordinal, number };
            (self.at, self.offset, self.last) = (position, at, Some((segment.log, number)));
            entries.push(Entry { position, log: segment.log, payload: frame.payload.to_vec() });
        }
        Ok(())
    }
}

/// How many frames of a log stand behind a position.
pub fn count_after(dir: &Path, at: Position) -> io::Result<u64> {
    let segments = list(dir)?;
    let at = if segments.last().is_some_and(|newest| newest.ordinal < at.segment) { Position::default() } else { at };
    segments.into_iter().filter(|segment| segment.ordinal >= at.segment).try_fold(0, |count, segment| {
        let after = if segment.ordinal == at.segment { at.number } else { 0 };
        let bytes = segment.read(dir)?;
        Ok(count + numbers(segment, &bytes).filter(|number| *number > after).count() as u64)
    })
}
