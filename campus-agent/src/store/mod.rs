//! The disk: what this box knows, kept so that it can be served with every cable out.
//!
//! One folder per feed with two slots; in a slot, a `base` (one whole snapshot with its index, written aside, synced,
//! renamed) and a `log` of the signed generations after it. There is no pointer file: at start the newest proven state that
//! the files lead to is served, whichever files those are. What cannot be proven is kept out and reported, and the
//! generation before it is served: nothing here can end in silence.
//!
//! The store is the only meeting place of the box's processes. `uplink` alone writes it, through a [`Keeper`], and tells in a
//! small *commit word* how far it may be read; each service follows by itself, through a [`Follower`], and writes what it
//! serves into a word of its own. The services get a [`Reader`] and nothing else of this room.
//!
//! [`Reader`]: holdfast_proto::snapshot::Reader

mod accounting;
mod base_file;
mod crashes;
mod floor;
mod follower;
pub mod framed;
mod handover;
mod identity;
mod incoming;
mod keeper;
mod leases;
mod log;
mod names;
mod retry;
mod scrub;
mod search;
mod slot;
mod store_key;
mod taking;
#[cfg(test)]
mod tests;
mod trusts;
mod wake;
mod word;

pub use accounting::{ACCOUNTING, AccountingLog, Room};
pub use crashes::fell_over;
pub use floor::{Floor, FloorFile};
pub use follower::{Follower, Following};
pub use handover::Handover;
pub use identity::{Identity, IdentityError};
pub use incoming::Incoming;
pub use keeper::{Keeper, Kept, Refusal};
pub use leases::{Found as FoundLeases, LEASES, LeaseLog};
pub use names::{NAMES, NamesLog, NamesTail};
pub use search::best_state;
pub use slot::Finding;
pub use store_key::store_key;
pub use trusts::Trusts;
pub use wake::{Changes, on_changes_in};
pub use word::{Served, served};

use holdfast_proto::snapshot::Feed;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where the files of a feed are.
pub fn feed_dir(state_dir: &Path, feed: Feed) -> PathBuf {
    state_dir.join("snapshots").join(feed.to_string())
}

/// The group of a folder is the service that reads it.
const GROUP_READS: u32 = 0o640;
const OWNER_ONLY: u32 = 0o600;

/// As [`write_whole`], for what no other process of the box may read.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, bytes, OWNER_ONLY)
}

/// Writes a file aside, syncs it, and renames it into place, so that a power cut leaves the old one or the new one.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, bytes, GROUP_READS)
}

fn write_with(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    into_place(path, mode, |mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    })
}

/// Writes beside `path`, by `write`, which also syncs, and renames into place. What could not be written takes no room.
fn into_place<T>(path: &Path, mode: u32, write: impl FnOnce(File) -> io::Result<T>) -> io::Result<T> {
    let aside = path.with_extension("tmp");
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&aside)?;
    let written = write(file).and_then(|written| fs::rename(&aside, path).map(|()| written));
    if written.is_err() {
        drop(fs::remove_file(&aside));
    }
    let written = written?;
    sync_parent(path)?;
    Ok(written)
}

/// Makes a rename, a creation or a removal in the folder of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().ok_or_else(|| io::Error::other("the path has no folder"))?;
    File::open(parent)?.sync_all()
}
