//! Reading an agent's state directory, or a copy of it: see `campus-agent/store` for its shape.

use crate::keys::Keys;
use anyhow::{Context, ensure};
use holdfast_proto::snapshot::file::{SlotFiles, prove};
use holdfast_proto::snapshot::{Feed, State};
use std::fs;
use std::io;
use std::path::Path;

/// The two slots of a feed.
const SLOTS: [&str; 2] = ["a", "b"];

/// What an agent's files prove of one feed.
pub(super) struct Held {
    pub(super) state: State,
    /// What was kept out, in sentences.
    pub(super) kept_out: Vec<String>,
}

/// Whether a folder is an agent's state directory; says what is expected where it is not.
pub(super) fn check(folder: &Path) -> anyhow::Result<()> {
    ensure!(
        folder.join("snapshots").is_dir(),
        "{} holds no snapshots: give a copy of an agent's state directory, the folder with `snapshots` in it",
        folder.display()
    );
    Ok(())
}

/// Proves what the folder holds of a feed, by the trusts that this master ever had.
pub(super) fn read(folder: &Path, feed: Feed, keys: &Keys) -> anyhow::Result<Held> {
    let feed_dir = folder.join("snapshots").join(feed.to_string());
    let mut slots = Vec::new();
    for slot in SLOTS {
        let file = |name| bytes(&feed_dir.join(slot).join(name));
        slots.push(SlotFiles { base: file("base")?, log: file("log")? });
    }
    let (state, wrong) = prove(feed, &slots, |sealed| keys.open_history(sealed));
    let kept_out = wrong.iter().map(|wrong| format!("{}: something was kept out: {wrong}", feed_dir.display())).collect();
    Ok(Held { state, kept_out })
}

/// A file's bytes; none where there is no file.
fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    match fs::read(path) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.with_context(|| format!("reading {}", path.display())),
    }
}
