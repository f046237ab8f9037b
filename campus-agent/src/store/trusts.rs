use super::identity::{Identity, IdentityError, folder};
use super::{sync_parent, write_whole};
use holdfast_proto::snapshot::{OpenError, Opened, Sealed, Trust};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Whom this box believes, and whom it believed when it took what it still holds.
///
/// A root that retires a key or begins an epoch says what may come from now on. It must not make a box fall silent that holds
/// generations from before: what lies on its own disk is opened under a former trust too, for as long as anything there needs
/// one. What comes over a line never is.
#[derive(Debug, Clone)]
pub struct Trusts {
    newest: Trust,
    former: Vec<Trust>,
}

impl Trusts {
    /// Reads them from the box's identity.
    pub fn read(state_dir: &Path) -> Result<Self, IdentityError> {
        let newest = Identity::read_trust(state_dir)?;
        // One that cannot be read opens nothing, and the newest alone still does.
        let former = former_files(state_dir).unwrap_or_default().iter().filter_map(|path| Trust::read(&fs::read(path).ok()?).ok()).collect();
        Ok(Self { newest, former })
    }

    /// Keeps a newer trust, after the one that it follows.
    pub fn succeed(&mut self, state_dir: &Path, newer: Trust) -> io::Result<()> {
        let former = folder(state_dir).join(format!("{FORMER}{}", self.newest.draft().version));
        write_whole(&former, self.newest.bytes())?;
        write_whole(&folder(state_dir).join("trust"), newer.bytes())?;
        self.former.push(std::mem::replace(&mut self.newest, newer));
        Ok(())
    }

    /// Forgets former trusts that none of these manifests needs any more.
    pub fn forget(&mut self, state_dir: &Path, held: &[Sealed]) -> io::Result<()> {
        let old: Vec<&Sealed> = held.iter().filter(|sealed| self.newest.open(sealed).is_err()).collect();
        let is_needed = |trust: &Trust| old.iter().any(|sealed| trust.open(sealed).is_ok());
        let (needed, forgotten) = std::mem::take(&mut self.former).into_iter().partition(is_needed);
        self.former = needed;
        for trust in &forgotten {
            let path = folder(state_dir).join(format!("{FORMER}{}", trust.draft().version));
            fs::remove_file(&path)?;
            sync_parent(&path)?;
        }
        Ok(())
    }

    /// Whom this box believes.
    pub fn newest(&self) -> &Trust {
        &self.newest
    }

    /// Whether something here may rest on a trust of before.
    pub fn has_former(&self) -> bool {
        !self.former.is_empty()
    }

    /// Opens what lies on this box's own disk.
    pub fn open(&self, sealed: &Sealed) -> Result<Opened, OpenError> {
        self.newest.open(sealed).or_else(|wrong| self.former.iter().rev().find_map(|trust| trust.open(sealed).ok()).ok_or(wrong))
    }
}

impl From<Trust> for Trusts {
    fn from(newest: Trust) -> Self {
        Self { newest, former: Vec::new() }
    }
}

const FORMER: &str = "trust.";

/// Oldest first.
fn former_files(state_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let version = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix(FORMER)?.parse::<u32>().ok();
    let mut files: Vec<(u32, PathBuf)> =
        fs::read_dir(folder(state_dir))?.flatten().map(|entry| entry.path()).filter_map(|path| Some((version(&path)?, path))).collect();
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}
