//! What the processes of a box tell each other, in small files of the runtime directory: how far the store may be read, and
//! what each service has come to serve.
//!
//! The runtime directory does not outlive the power, so a word is never older than the files that it speaks of; its boot id
//! says so where the directory is an ordinary one. A word that is torn or of another boot is no word: then a reader believes
//! its own disk, after syncing it.

use super::slot::Slot;
use holdfast_proto::snapshot::{Feed, Hash};
use holdfast_proto::words::{Epoch, Generation};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const MAGIC: &[u8; 4] = b"HFCW";
const COMMIT_BYTES: usize = 4 + 1 + 4 + 8 + 8 + 32 + 16 + 32;
/// A look takes microseconds.
const LOCK_TRIES: usize = 20;
const LOCK_PAUSE: Duration = Duration::from_micros(200);
const SERVED_BYTES: usize = 4 + 4 + 8 + 1 + 32;

/// How far a feed's files may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) slot: Slot,
    pub(super) epoch: Epoch,
    pub(super) generation: Generation,
    /// Where the last frame that may be served ends in the slot's log.
    pub(super) log_end: u64,
    /// Which base the log follows.
    pub(super) base_mac: Hash,
}

impl Commit {
    /// How far it reaches.
    pub(super) fn at(&self) -> (Epoch, Generation) {
        (self.epoch, self.generation)
    }
}

/// Which boot of the machine this is.
fn boot_id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    hex::decode(text.trim().replace('-', "")).ok().and_then(|bytes| bytes.try_into().ok()).unwrap_or_default()
}

/// The commit word of one feed.
#[derive(Debug)]
pub(super) struct CommitWord {
    path: PathBuf,
    boot_id: [u8; 16],
    file: Option<File>,
}

impl CommitWord {
    pub(super) fn of(run_dir: &Path, feed: Feed) -> Self {
        Self { path: run_dir.join(format!("{feed}.commit")), boot_id: boot_id(), file: None }
    }

    /// Tells the readers. Where the runtime directory fails, the next write opens it anew.
    pub(super) fn write(&mut self, commit: Commit) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(commit.slot as u8);
        bytes.extend_from_slice(&commit.epoch.0.to_le_bytes());
        bytes.extend_from_slice(&commit.generation.0.to_le_bytes());
        bytes.extend_from_slice(&commit.log_end.to_le_bytes());
        bytes.extend_from_slice(&commit.base_mac);
        bytes.extend_from_slice(&self.boot_id);
        close(&mut bytes);
        write_at_start(&mut self.file, &self.path, &bytes)
    }

    pub(super) fn read(&self) -> Option<Commit> {
        let bytes = read_whole::<COMMIT_BYTES>(&self.path)?;
        let (slot, rest) = bytes[MAGIC.len()..].split_first()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (log_end, rest) = rest.split_first_chunk()?;
        let (base_mac, rest) = rest.split_first_chunk()?;
        if !rest.starts_with(&self.boot_id) {
            return None;
        }
        Some(Commit {
            slot: Slot::from_number(*slot)?,
            epoch: Epoch(u32::from_le_bytes(*epoch)),
            generation: Generation(u64::from_le_bytes(*generation)),
            log_end: u64::from_le_bytes(*log_end),
            base_mac: *base_mac,
        })
    }
}

/// What a living service serves of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Served {
    /// The epoch, and the generation.
    pub at: (Epoch, Generation),
    /// It has met a damaged block, so somebody has to mend the files.
    pub is_damaged: bool,
}

/// What one service serves of one feed. The file is locked while the service lives, so a dead one holds nothing back.
#[derive(Debug)]
pub(super) struct ServedWord {
    path: PathBuf,
    file: Option<File>,
    is_locked: bool,
}

impl ServedWord {
    pub(super) fn of(run_dir: &Path, feed: Feed, service: &str) -> Self {
        Self { path: run_dir.join(format!("{feed}.{service}.served")), file: None, is_locked: false }
    }

    pub(super) fn write(&mut self, served: Served) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&served.at.0.0.to_le_bytes());
        bytes.extend_from_slice(&served.at.1.0.to_le_bytes());
        bytes.push(u8::from(served.is_damaged));
        close(&mut bytes);
        let written = write_at_start(&mut self.file, &self.path, &bytes);
        // A file that was given up takes its lock along.
        self.is_locked &= written.is_ok();
        self.keep_lock();
        written
    }

    /// Takes the lock where somebody who looked was in the way the last time. Costs nothing once it is there.
    pub(super) fn keep_lock(&mut self) {
        self.is_locked = self.is_locked || self.file.as_ref().is_some_and(lock);
    }

    /// What the service of before came to serve.
    pub(super) fn last(&self) -> Option<(Epoch, Generation)> {
        Self::said(&self.path).map(|said| said.at)
    }

    /// What a living service serves; `None` where there is none.
    fn read(path: &Path) -> Option<Served> {
        let file = File::open(path).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {}
            _ => return None,
        }
        Self::said(path)
    }

    fn said(path: &Path) -> Option<Served> {
        let bytes = read_whole::<SERVED_BYTES>(path)?;
        let (epoch, rest) = bytes[MAGIC.len()..].split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let at = (Epoch(u32::from_le_bytes(*epoch)), Generation(u64::from_le_bytes(*generation)));
        Some(Served { at, is_damaged: *rest.first()? != 0 })
    }
}

/// Whoever looks whether we live holds the lock for a moment; one that is held for longer is another process's of our name.
fn lock(file: &File) -> bool {
    (0..LOCK_TRIES).any(|_| {
        let locked = file.try_lock().is_ok();
        if !locked {
            std::thread::sleep(LOCK_PAUSE);
        }
        locked
    })
}

/// What the living services serve of a feed, by service.
pub fn served(run_dir: &Path, feed: Feed) -> Vec<(String, Served)> {
    let prefix = format!("{feed}.");
    let Ok(entries) = fs::read_dir(run_dir) else { return Vec::new() };
    let services = entries.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let service = name.strip_prefix(&prefix)?.strip_suffix(".served")?.to_owned();
        Some((service, ServedWord::read(&entry.path())?))
    });
    services.collect()
}

fn close(bytes: &mut Vec<u8>) {
    let hash = checksum(bytes);
    bytes.extend_from_slice(&hash);
}

fn checksum(bytes: &[u8]) -> [u8; 32] {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// One write of less than a page: whoever reads meanwhile sees the old word, the new one, or one whose hash is wrong.
fn write_at_start(file: &mut Option<File>, path: &Path, bytes: &[u8]) -> io::Result<()> {
    if file.is_none() {
        *file = Some(fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(path)?);
    }
    let written = file.as_ref().map_or(Ok(()), |file| file.write_all_at(bytes, 0));
    if written.is_err() {
        *file = None;
    }
    written
}

fn read_whole<const N: usize>(path: &Path) -> Option<[u8; N]> {
    // A word that is just being written is whole a moment later.
    (0..3).find_map(|_| {
        let bytes: [u8; N] = fs::read(path).ok()?.try_into().ok()?;
        let (body, hash) = bytes.split_at(N - 32);
        (body.starts_with(MAGIC) && *hash == checksum(body)).then_some(bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_word_and_one_of_another_boot_are_no_words() {
        let dir = tempfile::tempdir().unwrap();
        let mut word = CommitWord::of(dir.path(), Feed::ZONE);
        assert_eq!(word.read(), None);
        let commit = Commit { slot: Slot::B, epoch: Epoch(1), generation: Generation(7), log_end: 99, base_mac: [3; 32] };
        word.write(commit).unwrap();
        assert_eq!(word.read(), Some(commit));
        let other_boot = CommitWord { boot_id: [9; 16], ..CommitWord::of(dir.path(), Feed::ZONE) };
        assert_eq!(other_boot.read(), None);
        let path = dir.path().join("zone.commit");
        let mut bytes = fs::read(&path).unwrap();
        bytes[10] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(word.read(), None);
    }

    #[test]
    fn a_service_counts_while_it_lives() {
        let dir = tempfile::tempdir().unwrap();
        let mut dns = ServedWord::of(dir.path(), Feed::ZONE, "dns");
        let at = |generation, is_damaged| Served { at: (Epoch(1), Generation(generation)), is_damaged };
        dns.write(at(4, false)).unwrap();
        dns.write(at(5, true)).unwrap();
        assert_eq!(served(dir.path(), Feed::ZONE), [("dns".to_owned(), at(5, true))]);
        drop(dns);
        assert_eq!(served(dir.path(), Feed::ZONE), []);
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    served(dir.path(), Feed::ZONE);
                }
            });
            for start in 6..200 {
                let mut dns = ServedWord::of(dir.path(), Feed::ZONE, "dns");
                dns.write(at(start, false)).unwrap();
                assert_eq!(served(dir.path(), Feed::ZONE).len(), 1, "start {start}, while somebody looked");
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
