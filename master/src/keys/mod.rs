//! What the master holds to sign, to encrypt and to issue with. Files of mode 0600 under `keys/`; the root's key is made
//! here once and belongs offline.

mod authority;

pub use authority::{Authority, Caller, caller};

use anyhow::{Context, bail};
use holdfast_proto::snapshot::{DataKey, Family, Grant, Institution, Kind, PublicKey, SigningKey, Trust, TrustDraft};

use holdfast_proto::words::Epoch;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What the master holds to publish: never the root's key, which is kept offline.
pub struct Keys {
    /// Signs the master's own feeds.
    pub signing: SigningKey,
    /// Whom the institution believes.
    pub trust: Trust,
    /// Encrypts the secrets of the access feed.
    pub access: DataKey,
    /// Issues our TLS certificates.
    pub authority: Authority,
}

impl Keys {
    /// Reads the keys of a master that was initialised.
    pub fn read(state_dir: &Path) -> anyhow::Result<Self> {
        let dir = folder(state_dir);
        let trust = fs::read(dir.join("trust"));
        if trust.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            bail!("this master has no trust yet: run `holdfast-master init --name \"Your institution\"` once");
        }
        let read = |name: &str| fs::read(dir.join(name)).with_context(|| format!("reading {}", dir.join(name).display()));
        Ok(Self {
            signing: SigningKey::from_pkcs8(&read("signing.key")?)?,
            trust: Trust::read(&trust?)?,
            access: DataKey::from_bytes(read("access.key")?.try_into().ok().context("access.key has not 32 bytes")?),
            authority: Authority::read(read("authority.der")?, &read("authority.key")?)?,
        })
    }
}

/// The root ceremony in its simplest form: makes the root key, the master's keys and the authority, and has the root sign
/// the first trust. `portal` is the auth portal's public key, which alone may sign people. Gives where the root key was
/// put: it belongs offline, on something that can be locked away.
pub fn make_keys(state_dir: &Path, name: &str, portal: PublicKey) -> anyhow::Result<PathBuf> {
    let dir = folder(state_dir);
    if dir.join("trust").exists() {
        bail!("{} is there already: a master is initialised once", dir.join("trust").display());
    }
    // The state directory stays open for the managed database; only the keys are closed.
    fs::create_dir_all(state_dir)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
    let (root, root_pkcs8) = SigningKey::generate()?;
    let (signing, signing_pkcs8) = SigningKey::generate()?;
    let (authority, authority_key) = Authority::generate(name)?;
    let access = DataKey::generate()?;
    let mut institution = [0; 16];
    aws_lc_rs::rand::fill(&mut institution).ok().context("no randomness")?;
    let grant = |key, kind, family| Grant { key, kind, family };
    let own = signing.public();
    let draft = TrustDraft {
        version: 1,
        institution: Institution(institution),
        name: name.to_owned(),
        epoch: Epoch(1),
        threshold: 1,
        roots: vec![root.public()],
        grants: vec![
            grant(own, Kind::Zone, Family::Whole),
            grant(own, Kind::Bootptab, Family::Whole),
            grant(own, Kind::Auth, Family::Access),
            grant(own, Kind::Trust, Family::Whole),
            grant(portal, Kind::Auth, Family::People),
        ],
        authorities: vec![authority.clone()],
    };
    let trust = draft.sign(&[&root])?;
    put(&dir.join("root.key"), &root_pkcs8)?;
    put(&dir.join("signing.key"), &signing_pkcs8)?;
    put(&dir.join("access.key"), access.expose())?;
    put(&dir.join("authority.der"), &authority)?;
    put(&dir.join("authority.key"), &authority_key)?;
    // The trust comes last: without it the master counts as not initialised.
    put(&dir.join("trust"), trust.bytes())?;
    Ok(dir.join("root.key"))
}

fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("keys")
}

fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}
