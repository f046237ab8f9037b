//! Where the lab's programs keep what they write.

use anyhow::{Context, Result};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A folder: a new one that goes when it is dropped (but stays, and is named, when a test falls), or one that is kept.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    temporary: Option<tempfile::TempDir>,
    /// Held as long as the folder is used: two labs on one folder would stop each other's databases.
    _lock: Option<File>,
}

impl Folder {
    /// A new one under the system's temporary folder.
    pub fn new(name: &str) -> Result<Self> {
        // Postgres runs as a user of its own and has to get through.
        let permissions = Permissions::from_mode(0o755);
        let temporary = tempfile::Builder::new().prefix(&format!("holdfast-{name}-")).permissions(permissions).tempdir()?;
        Ok(Self { path: temporary.path().to_owned(), temporary: Some(temporary), _lock: None })
    }

    /// One that outlives the program: the second start finds what the first has left.
    pub fn kept(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        let lock = File::open(path)?;
        lock.try_lock().with_context(|| format!("{} is used by another demo: stop that one first", path.display()))?;
        Ok(Self { path: path.canonicalize()?, temporary: None, _lock: Some(lock) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file in it and gives its path.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&self.path))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// An executable script in it.
    pub fn script(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.write(name, text)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let fallen = self.temporary.take().filter(|_| std::thread::panicking());
        if let Some(folder) = fallen {
            eprintln!("---- what the test left is in {}", folder.keep().display());
        }
    }
}
