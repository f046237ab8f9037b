//! Key files: where they are looked for, who may read them, and how new ones are written.
//!
//! A systemd credential of the same name comes before the file under `keys/`: the unit says `LoadCredential=` (or
//! `LoadCredentialEncrypted=`) and the key need not lie readable in the state folder at all.

use anyhow::{Context, ensure};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The folders that hold keys, the more trusted one first.
#[derive(Debug, Clone)]
pub(super) struct KeyFiles {
    credentials: Option<PathBuf>,
    folder: PathBuf,
}

impl KeyFiles {
    /// Those of a master's state folder, and what systemd hands to this process.
    pub(super) fn of(state_dir: &Path) -> Self {
        Self { credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from), folder: state_dir.join("keys") }
    }

    /// Where new keys are written.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A key that must be there.
    pub(super) fn read(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        if let Some(credential) = self.credentials.as_ref().map(|folder| folder.join(name)).filter(|path| path.exists()) {
            // Systemd keeps that folder to this program; its files have modes of their own.
            return fs::read(&credential).with_context(|| format!("reading {}", credential.display()));
        }
        let path = self.folder.join(name);
        refuse_open(&path)?;
        fs::read(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// The names that fit, in order: `signing.key`, `signing-1f2e.key`.
    pub(super) fn names(&self, stem: &str, ending: &str) -> anyhow::Result<Vec<String>> {
        let mut found = BTreeMap::new();
        for folder in self.credentials.iter().chain([&self.folder]) {
            let entries = fs::read_dir(folder).with_context(|| format!("looking into {}", folder.display()))?;
            for entry in entries {
                let name = entry?.file_name().to_string_lossy().into_owned();
                let middle = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(ending));
                if middle.is_some_and(|middle| middle.is_empty() || middle.starts_with('-')) {
                    found.insert(name, ());
                }
            }
        }
        Ok(found.into_keys().collect())
    }
}

/// A key that other users may read is no key: whoever read it has it.
pub(super) fn refuse_open(path: &Path) -> anyhow::Result<()> {
    let mode = fs::metadata(path).with_context(|| format!("reading {}", path.display()))?.permissions().mode();
    ensure!(
        mode & 0o077 == 0,
        "{} can be read by other users (mode {:04o}): a key has mode 0600. Run `chmod 600` on it; if others may have read it, rotate the key",
        path.display(),
        mode & 0o7777
    );
    Ok(())
}

/// Writes aside, syncs and renames: a power cut leaves the whole new file or what was there before.
pub(super) fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".new");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, KeyFiles) {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir_all(state.path().join("keys")).unwrap();
        let files = KeyFiles { credentials: Some(state.path().join("credentials")), folder: state.path().join("keys") };
        fs::create_dir(state.path().join("credentials")).unwrap();
        (state, files)
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_command_that_helps() {
        let (_state, files) = files();
        let path = files.folder().join("signing.key");
        put(&path, b"secret").unwrap();
        assert_eq!(files.read("signing.key").unwrap(), b"secret");
        for mode in [0o640, 0o604, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let wrong = files.read("signing.key").unwrap_err().to_string();
            assert!(wrong.contains("signing.key") && wrong.contains("chmod 600"), "{wrong}");
        }
    }

    #[test]
    fn a_systemd_credential_comes_before_the_file() {
        let (state, files) = files();
        put(&files.folder().join("access.key"), b"file").unwrap();
        put(&files.folder().join("access-0a.key"), b"second").unwrap();
        put(&files.folder().join("accessory.key"), b"something else").unwrap();
        fs::write(state.path().join("credentials/access.key"), b"credential").unwrap();
        assert_eq!(files.read("access.key").unwrap(), b"credential");
        assert_eq!(files.names("access", ".key").unwrap(), ["access-0a.key", "access.key"]);
    }
}
