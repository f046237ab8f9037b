//! A base on the disk: read in front, served block by block, written aside and renamed.

use super::{GROUP_READS, into_place};
use holdfast_proto::snapshot::file::{BaseFile, BaseFileError, HEADER_BYTES, INDEX_BLOCK_BYTES, StoreKey, encode_base};
use holdfast_proto::snapshot::{Base, BlockSource, Hash, Sealed};
use nix::sys::statvfs::statvfs;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// How much is written at once: a base of 300 MB is a few hundred writes.
const WRITE_BYTES: usize = 1 << 20;
/// What a base leaves free for logs and reports.
const RESERVE_BYTES: u64 = 16 << 20;

/// The file behind a base. It is never written again once it has its name, so a reader's open file stays what it was.
#[derive(Debug)]
struct Blocks {
    file: File,
    index_at: u64,
    rows_at: u64,
}

impl Blocks {
    fn read(&self, at: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, at).ok().map(|()| bytes)
    }
}

impl BlockSource for Blocks {
    fn rows(&self, start: u64, len: usize) -> Option<Vec<u8>> {
        self.read(self.rows_at + start, len)
    }

    fn index(&self, number: usize) -> Option<Vec<u8>> {
        self.read(self.index_at + number as u64 * INDEX_BLOCK_BYTES as u64, INDEX_BLOCK_BYTES)
    }
}

/// Reads the front of a base file. `Err` inside: it is there and is no base of this format.
pub(super) fn read_front(path: &Path, key: &StoreKey) -> io::Result<Result<(BaseFile, File), BaseFileError>> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut header = vec![0; HEADER_BYTES.min(len as usize)];
    file.read_exact_at(&mut header, 0)?;
    let front_len = match BaseFile::front_len(&header) {
        Ok(front_len) if front_len <= len => front_len,
        Ok(_) => return Ok(Err(BaseFileError::Torn)),
        Err(wrong) => return Ok(Err(wrong)),
    };
    let mut front = vec![0; front_len as usize];
    file.read_exact_at(&mut front, 0)?;
    let decoded = BaseFile::decode(&front, key).and_then(|base| if base.file_len() == len { Ok(base) } else { Err(BaseFileError::Torn) });
    Ok(decoded.map(|base| (base, file)))
}

/// A base that this box vouches for, served from its file.
pub(super) fn on_disk(front: &BaseFile, file: File) -> Base {
    let blocks = Blocks { file, index_at: front.index_at, rows_at: front.rows_at };
    Base::on_disk(front.head.clone(), front.index_marks.clone(), Arc::new(blocks))
}

/// A base that was just written, served from its file.
pub(super) fn reopen(path: &Path, key: &StoreKey) -> io::Result<Base> {
    let (front, file) = read_front(path, key)?.map_err(io::Error::other)?;
    Ok(on_disk(&front, file))
}

/// Writes a base aside, syncs it and gives it its name; gives its MAC. What stood there before is whole until the rename.
pub(super) fn write(path: &Path, sealed: &Sealed, base: &Base, key: &StoreKey) -> io::Result<Hash> {
    leave_room(path, base)?;
    into_place(path, GROUP_READS, |file| {
        let mut out = BufWriter::with_capacity(WRITE_BYTES, file);
        let mac = encode_base(sealed, base, key, &mut out)?;
        out.flush()?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(mac)
    })
}

/// A disk that is filled by a base cannot take the next change either, nor a report of it.
fn leave_room(path: &Path, base: &Base) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    // A file system that does not say is tried.
    let Ok(stat) = statvfs(folder) else { return Ok(()) };
    let (free, needed) = (stat.blocks_available() * stat.fragment_size(), base.head().rows_len / 8 * 9 + RESERVE_BYTES);
    if free < needed {
        let what = format!("{} MiB are free where a snapshot of {} MiB is to be written", free >> 20, base.head().rows_len >> 20);
        return Err(io::Error::new(io::ErrorKind::StorageFull, what));
    }
    Ok(())
}
