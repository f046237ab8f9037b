use super::Kind;
use crate::store::framed::Position;
use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where reports are kept, and how far each receiver has taken them.
#[derive(Debug, Clone)]
pub(super) struct Shelf(PathBuf);

impl Shelf {
    pub fn of(state_dir: &Path) -> Self {
        Self(state_dir.join("reports"))
    }

    /// One process's log of one kind.
    pub fn log(&self, process: &str, kind: Kind) -> PathBuf {
        self.0.join(process).join(kind.name())
    }

    /// The processes that have a spool, by name.
    pub fn processes(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    fn receiver(&self, receiver: &str) -> PathBuf {
        self.0.join(".taken").join(receiver)
    }

    fn mark(&self, receiver: &str, process: &str, kind: Kind) -> PathBuf {
        self.receiver(receiver).join(format!("{process}.{}", kind.name()))
    }

    /// How far a receiver has taken a log. Without a readable mark it has taken nothing, and gets again what it may have.
    pub fn taken(&self, receiver: &str, process: &str, kind: Kind) -> Position {
        let bytes = fs::read(self.mark(receiver, process, kind)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// How far every receiver has taken a log: what stands before it may go. Nothing while there is no receiver.
    pub fn taken_by_all(&self, process: &str, kind: Kind) -> Position {
        let receivers = fs::read_dir(self.0.join(".taken")).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        receivers.map(|receiver| self.taken(&receiver, process, kind)).min().unwrap_or_default()
    }

    /// Remembers how far a receiver has taken a log. Not synced: a mark that a power cut takes back costs a repetition.
    pub fn keep(&self, receiver: &str, process: &str, kind: Kind, at: Position) -> io::Result<()> {
        let path = self.mark(receiver, process, kind);
        // Beside the marks, never among them.
        let aside = self.receiver(receiver).join(".aside");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&aside)?;
        file.write_all(&serde_json::to_vec(&at)?)?;
        fs::rename(&aside, &path)
    }

    /// From now on nothing goes before this receiver has taken it.
    pub fn register(&self, receiver: &str) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o750).create(self.receiver(receiver))
    }

    /// Nobody waits for this receiver any more.
    pub fn forget(&self, receiver: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.receiver(receiver)) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}
