//! The disk: what this box knows, kept so that it can be served with every cable out.
//!
//! One folder per feed with two slots; in a slot, a `base` (one whole snapshot, written aside, synced, renamed) and a
//! `log` of the signed generations after it. There is no pointer file: at start the newest verified state that the files
//! lead to is served, whichever files those are. What cannot be verified is kept out and reported, and the generation
//! before it is served: nothing here can end in silence. The services get a [`Reader`] and nothing else of this room.
//!
//! [`Reader`]: holdfast_proto::snapshot::Reader

mod floor;
pub mod framed;
mod identity;
mod keeper;
mod slot;
#[cfg(test)]
mod tests;

pub use floor::{Floor, FloorFile};
pub use identity::{Identity, IdentityError};
pub use keeper::{Keeper, Kept, Opening, Refusal};
pub use slot::{Finding, best_state};

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes a file aside, syncs it, and renames it into place, so that a power cut leaves the old one or the new one.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("tmp");
    // Owner only: identity, keys and encrypted fields pass through here.
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    sync_parent(path)
}

/// Makes a rename, a creation or a removal in the folder of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().ok_or_else(|| io::Error::other("the path has no folder"))?;
    File::open(parent)?.sync_all()
}
