use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The two slots of a feed; one is live, the other holds the one before or is being built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    A,
    B,
}

impl Slot {
    pub(super) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// By its number in a commit word.
    pub(super) fn from_number(number: u8) -> Option<Self> {
        Self::BOTH.into_iter().find(|slot| *slot as u8 == number)
    }

    fn folder(self, feed_dir: &Path) -> PathBuf {
        feed_dir.join(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }

    pub(super) fn base(self, feed_dir: &Path) -> PathBuf {
        self.folder(feed_dir).join("base")
    }

    pub(super) fn log(self, feed_dir: &Path) -> PathBuf {
        self.folder(feed_dir).join("log")
    }

    pub(super) fn create(self, feed_dir: &Path) -> io::Result<()> {
        fs::create_dir_all(self.folder(feed_dir))
    }
}

/// Something on the disk that was kept out, for people to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

impl Finding {
    pub(super) fn new(path: PathBuf, what: impl fmt::Display) -> Self {
        Self { path, what: what.to_string() }
    }
}
