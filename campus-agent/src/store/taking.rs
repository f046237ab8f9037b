//! A whole snapshot that is proven and written beside the service: for millions of rows that takes seconds, in which the line
//! must be heard and small changes of other feeds kept.

use super::base_file;
use super::incoming::Incoming;
use holdfast_proto::snapshot::file::StoreKey;
use holdfast_proto::snapshot::{ApplyError, Damaged, Hash, State};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// On its way; see [`Proven`].
#[derive(Debug)]
pub(super) struct Taking {
    work: JoinHandle<Result<Proven, ApplyError>>,
}

/// A snapshot that is what was signed, and its base, which has no slot yet.
#[derive(Debug)]
pub(super) struct Proven {
    pub state: State,
    /// The base's MAC, or why the disk did not take it.
    pub written: io::Result<Hash>,
}

impl Taking {
    /// Puts `blocks` to what has arrived, proves the whole and writes it aside in `dir`. Calls `done` at the end, however it
    /// ended.
    pub(super) fn begin(mut incoming: Incoming, blocks: Vec<Vec<u8>>, dir: PathBuf, key: StoreKey, done: impl FnOnce() + Send + 'static) -> Self {
        let work = std::thread::spawn(move || {
            // Also where the work ends in a panic: whoever waits must not wait for ever.
            let _done = Done(Some(done));
            blocks.into_iter().try_for_each(|block| incoming.put(block))?;
            let state = incoming.finish()?;
            let written = match state.sealed() {
                Some(sealed) => base_file::write(&aside(&dir), sealed, state.base(), &key),
                None => Err(io::Error::other("a state without a manifest has nothing to keep")),
            };
            Ok(Proven { state, written })
        });
        Self { work }
    }

    /// Waits for the end.
    pub(super) fn finish(self) -> Result<Proven, ApplyError> {
        self.work.join().unwrap_or(Err(ApplyError::Damaged(Damaged)))
    }
}

/// Where the base waits until it is known to be wanted still.
pub(super) fn aside(dir: &Path) -> PathBuf {
    dir.join("taken")
}

/// Forgets what was written aside, by this process or one before.
pub(super) fn forget(dir: &Path) {
    drop(fs::remove_file(aside(dir)));
}

struct Done<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Done<F> {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done();
        }
    }
}
