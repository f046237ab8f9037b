use super::search::Resting;
use super::slot::Slot;
use super::sync_parent;
use holdfast_proto::snapshot::file::{Chain, encode_frame};
use holdfast_proto::snapshot::{Hash, Sealed};
use holdfast_proto::words::Generation;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A generation as it goes into a log.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) sealed: Sealed,
    pub(super) merged: bool,
    pub(super) from: Generation,
    pub(super) payload: Vec<u8>,
}

/// The live slot and its log, open for appending.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) slot: Slot,
    pub(super) base_mac: Hash,
    chain: Chain,
    file: File,
    pub(super) end: u64,
}

impl Log {
    /// An empty log after a base that has its name already. Until then, the log there may be part of what leads to the state.
    pub(super) fn create(dir: &Path, slot: Slot, base_mac: Hash, chain: Chain) -> io::Result<Self> {
        let path = slot.log(dir);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let file = append_to(&path)?;
        file.sync_all()?;
        sync_parent(&path)?;
        Ok(Self { slot, base_mac, chain, file, end: 0 })
    }

    /// Goes on with a log that leads to the state.
    pub(super) fn reopen(dir: &Path, resting: Resting) -> io::Result<Self> {
        let Resting { slot, base_mac, chain, log_end } = resting;
        let path = slot.log(dir);
        let file = append_to(&path)?;
        if file.metadata()?.len() != log_end {
            file.set_len(log_end)?;
        }
        file.sync_all()?;
        sync_parent(&path)?;
        Ok(Self { slot, base_mac, chain, file, end: log_end })
    }

    /// Appends a frame. One that was written in part is taken back, so that it may be appended again.
    pub(super) fn append(&mut self, frame: &Frame) -> io::Result<()> {
        let mut chain = self.chain.clone();
        let bytes = encode_frame(&mut chain, &frame.sealed, frame.merged, frame.from, &frame.payload);
        if let Err(error) = self.file.write_all(&bytes) {
            self.file.set_len(self.end)?;
            return Err(error);
        }
        self.chain = chain;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// What was appended survives a power cut from here on.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}
