//! The portal's two keys, as files of mode 0600 in its state directory, made at first start: the signing key, which alone
//! may sign the people feed, and the data key, which the verifiers are encrypted under. The master never has either.
//!
//! The data key is changed when an agent that had it was thrown out, and when verifiers are forgotten. The newer ones are files beside the first, by name; which
//! of them is in use, the database says.

use holdfast_proto::snapshot::{DataKey, DataKeyRing, KeyId, SigningKey};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const SIGNING_FILE: &str = "signing.pkcs8";
const DATA_FILE: &str = "data.key";

/// What the portal signs and encrypts with.
#[derive(Debug)]
pub struct PortalKeys {
    /// Signs the people feed.
    pub signing: SigningKey,
    dir: PathBuf,
    /// Encrypt the verifiers, the first that there was in front.
    data: Mutex<Vec<DataKey>>,
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
    /// It is not there.
    #[error("{} is not there, and the database says that it is in use: put it back from the backup", .0.display())]
    Missing(PathBuf),
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
        let first = data_key(&state_dir.join(DATA_FILE))?;
        Ok(Self { signing: signing_key(&state_dir.join(SIGNING_FILE))?, dir: state_dir.to_owned(), data: Mutex::new(vec![first]) })
    }

    /// The data key of this name; without a name the first that there was.
    pub fn data_key(&self, id: Option<KeyId>) -> Result<DataKey, KeysError> {
        let mut keys = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(id) = id else { return Ok(keys[0].clone()) };
        if let Some(key) = keys.iter().find(|key| key.id() == id) {
            return Ok(key.clone());
        }
        // Another process of this portal's made it.
        let path = self.data_file(id);
        let bytes = read(&path)?.ok_or_else(|| KeysError::Missing(path.clone()))?;
        let key = bytes.try_into().map(DataKey::from_bytes).map_err(|_| KeysError::Damaged(path))?;
        keys.push(key.clone());
        Ok(key)
    }

    /// Makes a data key, and keeps it before anything is encrypted with it.
    pub fn make_data_key(&self) -> Result<DataKey, KeysError> {
        let key = DataKey::generate().map_err(library)?;
        create(&self.data_file(key.id()), key.expose())?;
        self.data.lock().unwrap_or_else(PoisonError::into_inner).push(key.clone());
        Ok(key)
    }

    /// Every data key that was used here, those that another process of this portal's made meanwhile, too.
    pub fn ring(&self) -> DataKeyRing {
        for id in self.kept() {
            // One that cannot be read is told where a verifier needs it.
            let _ = self.data_key(Some(id));
        }
        DataKeyRing::of(self.data.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned())
    }

    /// The newer data keys that lie in the folder, by their files' names.
    fn kept(&self) -> Vec<KeyId> {
        let id_of = |name: &str| Some(KeyId(hex::decode(name.strip_prefix("data-")?.strip_suffix(".key")?).ok()?.try_into().ok()?));
        let files = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        files.filter_map(|file| id_of(file.file_name().to_str()?)).collect()
    }

    fn data_file(&self, id: KeyId) -> PathBuf {
        self.dir.join(format!("data-{}.key", hex::encode(id.0)))
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

/// A systemd credential of the same name comes before the file; systemd keeps that folder to this program.
fn credential(path: &Path) -> Option<PathBuf> {
    let credential = Path::new(&std::env::var_os("CREDENTIALS_DIRECTORY")?).join(path.file_name()?);
    credential.exists().then_some(credential)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, KeysError> {
    if let Some(credential) = credential(path) {
        return fs::read(&credential).map(Some).map_err(at(&credential));
    }
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
    use holdfast_proto::radius::ACCOUNT;

    #[test]
    fn keys_are_made_once_kept_private_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let made = PortalKeys::open_or_create(dir.path()).unwrap();
        let read = PortalKeys::open_or_create(dir.path()).unwrap();
        let first = |keys: &PortalKeys| keys.data_key(None).unwrap().id();
        assert_eq!((made.signing.public(), first(&made)), (read.signing.public(), first(&read)));
        let newer = made.make_data_key().unwrap();
        let field = newer.encrypt(ACCOUNT, b"ada", b"x").unwrap();
        assert!(read.ring().decrypt(ACCOUNT, b"ada", &field).is_ok(), "the other process reads what is encrypted with it");
        assert_eq!(read.data_key(Some(newer.id())).unwrap().id(), newer.id(), "and finds it");
        assert!(matches!(read.data_key(Some(KeyId([9; 8]))), Err(KeysError::Missing(_))));
        let data = dir.path().join(DATA_FILE);
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&data, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(PortalKeys::open_or_create(dir.path()), Err(KeysError::Open(_))));
        fs::set_permissions(&data, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&data, b"short").unwrap();
        assert!(matches!(PortalKeys::open_or_create(dir.path()), Err(KeysError::Damaged(_))));
    }
}
