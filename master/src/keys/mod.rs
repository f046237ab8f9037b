//! What the master holds to sign, to encrypt and to issue with. Files of mode 0600 under `keys/`; the root's keys are kept
//! offline, and [`ceremony`] is all that ever sees them.
//!
//! Several keys of one kind may lie here at once: that is how they are rotated. Which one counts is said elsewhere and never
//! by a file's name: the signing key by the trust, the authority by the trust, the data key by the database.

mod authority;
pub mod ceremony;
mod file;
mod root_key;

pub use authority::{Authority, Caller, caller, end_of};
pub use root_key::RootKey;

use anyhow::{Context, bail, ensure};
use file::{KeyFiles, put};
use holdfast_proto::snapshot::{CHAIN_LIMIT, DataKey, Feed, KeyId, OpenError, Opened, Sealed, SigningKey, Trust};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What the master holds to publish: never a root's key.
pub struct Keys {
    /// Signs the master's own feeds: of the keys that are here, the one that the trust names last.
    pub signing: SigningKey,
    /// Whom the institution believes.
    pub trust: Trust,
    /// Every trust up to this one, oldest first: what a box that was away walks along.
    pub chain: Vec<Trust>,
    /// Issue our TLS certificates, oldest first. Empty never.
    authorities: Vec<Authority>,
    /// Encrypt the secrets of the access feed; which of them is the one in use, the database says.
    access: Vec<DataKey>,
}

impl Keys {
    /// Reads the keys of a master that was initialised.
    pub fn read(state_dir: &Path) -> anyhow::Result<Self> {
        let files = KeyFiles::of(state_dir);
        let chain = read_chain(files.folder())?;
        let trust = chain.last().context("an empty chain was refused")?.clone();
        Ok(Self { signing: signing_key(&files, &trust)?, authorities: authorities(&files, &trust)?, access: access_keys(&files)?, trust, chain })
    }

    /// Whether the trust on disk is another one than this.
    pub fn are_outdated(&self, state_dir: &Path) -> bool {
        fs::read(newest(&state_dir.join("keys"))).is_ok_and(|bytes| bytes != self.trust.bytes())
    }

    /// The authority that the master itself shows: the oldest that is believed, so that a box that has not heard of the
    /// newest one yet still finds its master.
    pub fn serving_authority(&self) -> &Authority {
        &self.authorities[0]
    }

    /// The authority that boxes get their certificates from: the newest.
    pub fn issuing_authority(&self) -> &Authority {
        &self.authorities[self.authorities.len() - 1]
    }

    /// Every data key of the access feed that is still here.
    pub fn access_keys(&self) -> &[DataKey] {
        &self.access
    }

    /// Opens what this master may once have published: by the trust of today, or by one of those before it.
    pub fn open_history(&self, sealed: &Sealed) -> Result<Opened, OpenError> {
        let today = self.trust.open(sealed);
        let before = || self.chain.iter().rev().find_map(|trust| trust.open(sealed).ok());
        today.or_else(|wrong| before().ok_or(wrong))
    }

    /// Whether a generation is vouched for as a new one would be: by the key in use, in the epoch of today.
    pub fn is_current(&self, sealed: &Sealed) -> bool {
        self.trust.open(sealed).is_ok_and(|opened| opened.manifest().key_id == self.signing.public().id())
    }
}

/// Makes a data key for the access feed, and keeps it before anything is encrypted with it.
pub fn make_access_key(state_dir: &Path) -> anyhow::Result<DataKey> {
    let key = DataKey::generate()?;
    put(&access_file(state_dir, key.id()), key.expose())?;
    Ok(key)
}

/// Forgets a data key that nothing is encrypted with any more.
pub fn forget_access_key(state_dir: &Path, id: KeyId) -> anyhow::Result<()> {
    let first = state_dir.join("keys/access.key");
    let is_first = fs::read(&first).ok().and_then(|bytes| bytes.try_into().ok()).is_some_and(|bytes| DataKey::from_bytes(bytes).id() == id);
    let path = if is_first { first } else { access_file(state_dir, id) };
    fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))
}

fn access_file(state_dir: &Path, id: KeyId) -> PathBuf {
    state_dir.join("keys").join(format!("access-{}.key", hex::encode(id.0)))
}

fn newest(folder: &Path) -> PathBuf {
    folder.join("trust")
}

fn chained(folder: &Path, version: u32) -> PathBuf {
    folder.join("trusts").join(format!("{version:010}"))
}

/// The trusts that lead to the newest, as far back as they were kept.
fn read_chain(folder: &Path) -> anyhow::Result<Vec<Trust>> {
    let bytes = fs::read(newest(folder));
    if bytes.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        bail!("this master has no trust yet: run `holdfast-master init --name \"Your institution\"` once");
    }
    let mut chain = vec![Trust::read(&bytes.with_context(|| format!("reading {}", newest(folder).display()))?)?];
    while chain.len() < CHAIN_LIMIT {
        let Some(version) = chain[chain.len() - 1].draft().version.checked_sub(1) else { break };
        let Ok(bytes) = fs::read(chained(folder, version)) else { break };
        chain.push(Trust::read(&bytes).with_context(|| format!("trust {version} of the chain"))?);
    }
    chain.reverse();
    Ok(chain)
}

/// Keeps a trust that follows the one held: first as a link of the chain, then as the newest.
fn keep_trust(folder: &Path, trust: &Trust) -> anyhow::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join("trusts"))?;
    put(&chained(folder, trust.draft().version), trust.bytes())?;
    put(&newest(folder), trust.bytes())
}

fn signing_key(files: &KeyFiles, trust: &Trust) -> anyhow::Result<SigningKey> {
    let mut held = Vec::new();
    for name in files.names("signing", ".key")? {
        held.push(SigningKey::from_pkcs8(&files.read(&name)?).with_context(|| name)?);
    }
    let named: Vec<_> = trust.signers(Feed::ZONE).collect();
    let last = named.iter().rev().find_map(|public| held.iter().position(|key| key.public() == *public));
    let last = last.context("the trust names none of the signing keys in keys/: put back the right one, or have the root name one of these")?;
    Ok(held.swap_remove(last))
}

fn authorities(files: &KeyFiles, trust: &Trust) -> anyhow::Result<Vec<Authority>> {
    let mut held = Vec::new();
    for name in files.names("authority", ".der")? {
        let key = files.read(&format!("{}.key", name.trim_end_matches(".der")))?;
        held.push(Authority::read(fs::read(files.folder().join(&name)).with_context(|| name)?, &key)?);
    }
    let mut believed = Vec::new();
    for der in &trust.draft().authorities {
        if let Some(at) = held.iter().position(|authority| authority.der() == &der[..]) {
            believed.push(held.swap_remove(at));
        }
    }
    ensure!(!believed.is_empty(), "the trust names none of the authorities in keys/: put back the right one, or have the root name one of these");
    Ok(believed)
}

fn access_keys(files: &KeyFiles) -> anyhow::Result<Vec<DataKey>> {
    let mut names = files.names("access", ".key")?;
    // The first one that a master ever had comes first; the others are told apart by their names in the database.
    names.sort_by_key(|name| name != "access.key");
    let read = |name: &String| Ok(DataKey::from_bytes(files.read(name)?.try_into().ok().with_context(|| format!("{name} has not 32 bytes"))?));
    names.iter().map(read).collect()
}
