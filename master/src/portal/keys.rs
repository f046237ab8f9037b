//! The portal's two keys, as files of mode 0600 in its state directory, made at first start: the signing key, which alone
//! may sign the people feed, and the data key, which the verifiers are encrypted under. The master never has either.

use holdfast_proto::snapshot::{DataKey, SigningKey};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const SIGNING_FILE: &str = "signing.pkcs8";
const DATA_FILE: &str = "data.key";

/// What the portal signs and encrypts with.
#[derive(Debug)]
pub struct PortalKeys {
    /// Signs the people feed.
    pub signing: SigningKey,
    /// Encrypts the verifiers.
    pub data: DataKey,
}

/// Keys that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file system refused.
    #[error("{}: {wrong}", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// What it said.
        wrong: io::Error,
    },
    /// Others may read it.
    #[error("{} can be read by other users: a key file must have mode 0600; if others may have read it, make a new key", .0.display())]
    Open(PathBuf),
    /// It holds something else.
    #[error("{} does not hold the key that its name promises: put back the right file from the backup", .0.display())]
    Damaged(PathBuf),
    /// No key could be made.
    #[error("no key could be made: {0}")]
    Library(String),
}

impl PortalKeys {
    /// Reads the keys; makes those that are not there yet.
    pub fn open_or_create(state_dir: &Path) -> Result<Self, KeysError> {
        DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(at(state_dir))?;
        Ok(Self { signing: signing_key(&state_dir.join(SIGNING_FILE))?, data: data_key(&state_dir.join(DATA_FILE))? })
    }
}

fn signing_key(path: &Path) -> Result<SigningKey, KeysError> {
    if let Some(bytes) = read(path)? {
        return SigningKey::from_pkcs8(&bytes).map_err(|_| KeysError::Damaged(path.to_owned()));
    }
    let (key, pkcs8) = SigningKey::generate().map_err(library)?;
    create(path, &pkcs8)?;
    Ok(key)
}

fn data_key(path: &Path) -> Result<DataKey, KeysError> {
    if let Some(bytes) = read(path)? {
        return bytes.try_into().map(DataKey::from_bytes).map_err(|_| KeysError::Damaged(path.to_owned()));
    }
    let key = DataKey::generate().map_err(library)?;
    create(path, key.expose())?;
    Ok(key)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, KeysError> {
    let mut file = match File::open(path) {
        Err(wrong) if wrong.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(at(path))?,
    };
    if file.metadata().map_err(at(path))?.permissions().mode() & 0o077 != 0 {
        return Err(KeysError::Open(path.to_owned()));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(at(path))?;
    Ok(Some(bytes))
}

/// Written aside, synced and renamed: a power cut leaves a whole key or none.
fn create(path: &Path, bytes: &[u8]) -> Result<(), KeysError> {
    let aside = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    };
    write().map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> KeysError {
    let path = path.to_owned();
    |wrong| KeysError::File { path, wrong }
}

fn library(wrong: impl std::fmt::Display) -> KeysError {
    KeysError::Library(wrong.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_kept_private_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let made = PortalKeys::open_or_create(dir.path()).unwrap();
        let read = PortalKeys::open_or_create(dir.path()).unwrap();
        assert_eq!((made.signing.public(), made.data.id()), (read.signing.public(), read.data.id()));
        let data = dir.path().join(DATA_FILE);
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&data, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(PortalKeys::open_or_create(dir.path()), Err(KeysError::Open(_))));
        fs::set_permissions(&data, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&data, b"short").unwrap();
        assert!(matches!(PortalKeys::open_or_create(dir.path()), Err(KeysError::Damaged(_))));
    }
}
