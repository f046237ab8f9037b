//! A whole snapshot on its way in: block by block, each checked when it arrives, kept aside so that a line that breaks, or a
//! box that stops, goes on where it was.

use holdfast_proto::snapshot::{ApplyError, Base, Damaged, Head, Opened, State};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A snapshot of which some blocks have arrived.
#[derive(Debug)]
pub struct Incoming {
    opened: Opened,
    head: Head,
    /// Whether a manifest names the head; otherwise its rows are proven at the end.
    is_named: bool,
    blocks: Vec<Vec<u8>>,
    /// Where the rows are kept until all have arrived; a disk that fails only costs the resumption.
    path: PathBuf,
    file: Option<File>,
}

impl Incoming {
    /// `None` where the head is damaged or of another snapshot than a manifest names.
    pub(super) fn begin(opened: Opened, newest: Option<Opened>, head: &[u8], path: PathBuf) -> Option<Self> {
        let head = Head::decode(head).ok()?;
        let manifest = opened.manifest();
        let is_of_manifest = head.feed == manifest.feed && (head.epoch, head.generation) == (manifest.epoch, manifest.generation);
        let is_named = newest.is_some_and(|newest| newest.manifest().base_generation == head.generation && newest.manifest().base_root == head.root());
        if !is_of_manifest || head.sum.fold() != manifest.digest {
            return None;
        }
        let mut incoming = Self { opened, head, is_named, blocks: Vec::new(), file: None, path };
        incoming.resume();
        Some(incoming)
    }

    /// Takes up what was kept of the same snapshot.
    fn resume(&mut self) {
        let root = self.head.root();
        if let Ok(mut file) = File::open(&self.path) {
            let mut kept_root = [0; 32];
            if file.read_exact(&mut kept_root).is_ok() && kept_root == root {
                while let Some(block) = self.read_kept(&mut file) {
                    self.blocks.push(block);
                }
            }
        }
        self.file = start_file(&self.path, &root, &self.blocks).ok();
    }

    fn read_kept(&self, file: &mut File) -> Option<Vec<u8>> {
        let mark = self.head.blocks.get(self.blocks.len())?;
        let mut block = vec![0; mark.len as usize];
        file.read_exact(&mut block).ok()?;
        mark.is_of(&block).then_some(block)
    }

    /// The first block that has not arrived; the number of blocks when all have.
    pub fn first_missing(&self) -> usize {
        self.blocks.len()
    }

    /// Whether all blocks have arrived.
    pub fn is_complete(&self) -> bool {
        self.blocks.len() == self.head.blocks.len()
    }

    /// Takes the next missing block.
    pub fn put(&mut self, block: Vec<u8>) -> Result<(), Damaged> {
        let mark = self.head.blocks.get(self.blocks.len()).ok_or(Damaged)?;
        if !mark.is_of(&block) {
            return Err(Damaged);
        }
        if self.file.as_mut().is_some_and(|file| file.write_all(&block).is_err()) {
            self.file = None;
        }
        self.blocks.push(block);
        Ok(())
    }

    /// The state, proven.
    pub(super) fn finish(self) -> Result<State, ApplyError> {
        drop(fs::remove_file(&self.path));
        let base = Base::from_blocks(self.head, self.blocks)?;
        if !self.is_named {
            let (found, signed) = (base.audit()?.fold(), self.opened.manifest().digest);
            if found != signed {
                return Err(ApplyError::OtherDigest { found, signed });
            }
        }
        State::of_base(&self.opened, base)
    }
}

fn start_file(path: &Path, root: &[u8; 32], blocks: &[Vec<u8>]) -> std::io::Result<File> {
    let aside = path.with_extension("tmp");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&aside)?;
    file.write_all(root)?;
    blocks.iter().try_for_each(|block| file.write_all(block))?;
    fs::rename(&aside, path)?;
    Ok(file)
}
