//! A root's key as a file: encrypted with a passphrase, or plain for a small site that locks the stick away.

use super::file::{put, refuse_open};
use anyhow::{Context, bail, ensure};
use argon2::{Algorithm, Argon2, Params, Version};
use holdfast_proto::snapshot::{DataKey, DataKeyRing, EncryptedField, SigningKey, Table};
use holdfast_proto::words::Secret;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// A root key is unlocked a few times a year: a second and 256 MiB for each guess is no burden on its owner.
const MEMORY_KIB: u32 = 256 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;
/// Whoever offers a file may not make us work for ever.
const MEMORY_LIMIT_KIB: u32 = 4 * 1024 * 1024;
const PASSES_LIMIT: u32 = 64;
/// No row of any feed: what is encrypted here opens nowhere else.
const ROOT_KEY: Table = Table(0);
const FORMAT: &str = "holdfast-root-key-1";
/// A passphrase below this is guessed in an afternoon, whatever is done to it.
const PASSPHRASE_LEAST_CHARS: usize = 12;

/// A root's key in memory.
pub struct RootKey {
    key: SigningKey,
    pkcs8: Secret,
}

/// The encrypted file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Locked {
    format: String,
    public: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    sealed: String,
}

impl RootKey {
    /// Makes a new one.
    pub fn generate() -> anyhow::Result<Self> {
        let (key, pkcs8) = SigningKey::generate()?;
        Ok(Self { key, pkcs8: Secret::new(pkcs8) })
    }

    /// Signs, and has a public half.
    pub fn signing(&self) -> &SigningKey {
        &self.key
    }

    /// Writes the key to a file that is not there yet; with a passphrase, encrypted.
    pub fn write(&self, path: &Path, passphrase: Option<&Secret>) -> anyhow::Result<()> {
        ensure!(!path.exists(), "{} is there already: a root key is never overwritten", path.display());
        match passphrase {
            None => put(path, self.pkcs8.expose()),
            Some(passphrase) => put(path, &self.locked(passphrase)?),
        }
    }

    fn locked(&self, passphrase: &Secret) -> anyhow::Result<Vec<u8>> {
        let chars = String::from_utf8_lossy(passphrase.expose()).chars().count();
        ensure!(chars >= PASSPHRASE_LEAST_CHARS, "the passphrase has {chars} characters: take {PASSPHRASE_LEAST_CHARS} or more, several words for example");
        let mut salt = [0; 16];
        aws_lc_rs::rand::fill(&mut salt).ok().context("the system gives no randomness")?;
        let public = self.key.public();
        let mut locked = Locked {
            format: FORMAT.to_owned(),
            public: public.to_string(),
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: hex::encode(salt),
            sealed: String::new(),
        };
        let sealed = locked.key(passphrase)?.encrypt(ROOT_KEY, &public.0, self.pkcs8.expose())?;
        locked.sealed = hex::encode(sealed.bytes());
        Ok(serde_json::to_vec_pretty(&locked)?)
    }

    /// Reads a key; `passphrase` is asked for only where the file is encrypted.
    pub fn read(path: &Path, passphrase: impl FnOnce() -> anyhow::Result<Secret>) -> anyhow::Result<Self> {
        refuse_open(path)?;
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let pkcs8 = if bytes.first() == Some(&b'{') { unlock(&bytes, passphrase).with_context(|| path.display().to_string())? } else { Secret::new(bytes) };
        let key = SigningKey::from_pkcs8(pkcs8.expose()).with_context(|| path.display().to_string())?;
        Ok(Self { key, pkcs8 })
    }
}

fn unlock(bytes: &[u8], passphrase: impl FnOnce() -> anyhow::Result<Secret>) -> anyhow::Result<Secret> {
    let locked: Locked = serde_json::from_slice(bytes).context("it is no root key file")?;
    if locked.format != FORMAT {
        bail!("it is of format {}, this build reads {FORMAT}", locked.format);
    }
    let public = hex::decode(&locked.public)?;
    let field = EncryptedField::from_bytes(&hex::decode(&locked.sealed)?)?;
    let key = locked.key(&passphrase()?)?;
    DataKeyRing::of([key]).decrypt(ROOT_KEY, &public, &field).ok().context("the passphrase is wrong, or the file is damaged")
}

impl Locked {
    /// The key that the passphrase and the numbers of this file make.
    fn key(&self, passphrase: &Secret) -> anyhow::Result<DataKey> {
        ensure!(self.memory_kib <= MEMORY_LIMIT_KIB && self.passes <= PASSES_LIMIT, "it asks for more work than any root key of ours");
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
        let mut key = [0; 32];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into(passphrase.expose(), &hex::decode(&self.salt)?, &mut key).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
        Ok(DataKey::from_bytes(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_key_opens_with_its_passphrase_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root-1.key");
        let root = RootKey::generate().unwrap();
        assert!(root.write(&path, Some(&Secret::new("too short"))).is_err());
        root.write(&path, Some(&Secret::new("correct horse battery"))).unwrap();
        assert!(root.write(&path, None).unwrap_err().to_string().contains("never overwritten"));
        let read = RootKey::read(&path, || Ok(Secret::new("correct horse battery"))).unwrap();
        assert_eq!(read.signing().public(), root.signing().public());
        let wrong = RootKey::read(&path, || Ok(Secret::new("correct horse batters"))).err().unwrap();
        assert!(format!("{wrong:#}").contains("the passphrase is wrong"), "{wrong:#}");
        let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
        assert!(!text.contains(&hex::encode(root.pkcs8.expose())));
    }

    #[test]
    fn a_plain_root_key_needs_no_passphrase() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let root = RootKey::generate().unwrap();
        root.write(&path, None).unwrap();
        let read = RootKey::read(&path, || bail!("nobody is asked")).unwrap();
        assert_eq!(read.signing().public(), root.signing().public());
    }
}
