//! The portal as a process: its identity as a box of ours, its database, and the line to the master.

use super::{KeysError, Portal, PortalKeys, Terms};
use anyhow::{Context, bail};
use holdfast_proto::control::enrol::{Enrolled, enrol, renew, renewal_is_due};
use holdfast_proto::control::{EnrolToken, TrustUpdate};
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::net::tls;
use holdfast_proto::snapshot::Trust;
use holdfast_proto::words::{Secret, UnixMillis};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex;
use tonic::transport::Channel;

/// Reads the portal's keys, making them at the first call.
pub fn keys(state_dir: &Path) -> Result<PortalKeys, KeysError> {
    // The state directory stays open for the managed database; only the keys are closed. What fails here fails below, with a name.
    let _ = fs::create_dir_all(state_dir);
    PortalKeys::open_or_create(&state_dir.join("keys"))
}

/// Makes the portal one of the institution's boxes.
pub async fn join(state_dir: &Path, address: &str, token: &EnrolToken, build: &str) -> anyhow::Result<String> {
    let enrolled = enrol(address, token, build).await?;
    let name = enrolled.trust.draft().name.clone();
    Membership::of(&enrolled, address).keep(state_dir)?;
    Ok(name)
}

/// Opens the portal over its database, on the terms of the trust that it joined under.
pub async fn open(state_dir: &Path, pool: PgPool) -> anyhow::Result<(Portal, Arc<Uplink>)> {
    let membership = Membership::read(state_dir)?;
    let trust = Trust::read(&hex::decode(&membership.trust)?)?;
    let portal = Portal::open(pool, keys(state_dir)?, terms_of(&trust)).await?;
    Ok((portal, Arc::new(Uplink { state_dir: state_dir.to_owned(), known: Mutex::new(Known { trust, membership }) })))
}

fn terms_of(trust: &Trust) -> Terms {
    Terms { institution: trust.draft().institution, epoch: trust.draft().epoch, version: trust.draft().version }
}

/// What makes the portal a box of ours; kept in its keys folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Membership {
    master: String,
    chain: Vec<String>,
    tls_key: String,
    trust: String,
}

/// The portal's way to the master.
pub struct Uplink {
    state_dir: PathBuf,
    known: Mutex<Known>,
}

/// Whom the portal believes, and what makes it a box of ours.
struct Known {
    trust: Trust,
    membership: Membership,
}

impl Uplink {
    /// Dials the master, renewing the certificate first when it is time.
    pub async fn dial(&self) -> anyhow::Result<Channel> {
        let now = UnixMillis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64);
        let mut known = self.known.lock().await;
        let Known { trust, membership } = &mut *known;
        let chain = membership.chain()?;
        let tls_key = Secret::new(hex::decode(&membership.tls_key)?);
        if renewal_is_due(&chain, now) {
            let channel = connect(trust, &membership.master, chain, &tls_key, now).await?;
            membership.chain = renew(channel, &tls_key).await?.iter().map(hex::encode).collect();
            membership.keep(&self.state_dir)?;
        }
        let chain = membership.chain()?;
        connect(trust, &membership.master, chain, &tls_key, now).await
    }

    /// Walks along the trusts that the root signed since, keeps where it ends, and gives the terms of that.
    pub async fn follow(&self, update: &TrustUpdate) -> anyhow::Result<Terms> {
        let mut known = self.known.lock().await;
        let trust = known.trust.walk(update.trusts.iter().map(Vec::as_slice))?;
        known.membership.trust = hex::encode(trust.bytes());
        known.membership.keep(&self.state_dir)?;
        known.trust = trust;
        Ok(terms_of(&known.trust))
    }
}

async fn connect(trust: &Trust, address: &str, chain: Vec<Vec<u8>>, tls_key: &Secret, now: UnixMillis) -> anyhow::Result<Channel> {
    let identity = tls::Identity::new(chain, tls_key.expose())?;
    let config = tls::client_config(&trust.draft().authorities, Some(identity), Arc::new(TrustedClock::new(now)))?;
    tls::dial(address, Arc::new(config)).await.with_context(|| format!("dialling the master at {address}"))
}

impl Membership {
    fn of(enrolled: &Enrolled, master: &str) -> Self {
        Self {
            master: master.to_owned(),
            chain: enrolled.chain.iter().map(hex::encode).collect(),
            tls_key: hex::encode(enrolled.tls_key.expose()),
            trust: hex::encode(enrolled.trust.bytes()),
        }
    }

    fn chain(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        Ok(self.chain.iter().map(hex::decode).collect::<Result<_, _>>()?)
    }

    fn read(state_dir: &Path) -> anyhow::Result<Self> {
        let path = membership_file(state_dir);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged: restore it or enrol the portal again", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!(
                    "the portal is not enrolled: run `holdfast-master auth-portal enrol` with the token that `holdfast-master node enrol --role portal` printed"
                )
            }
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    fn keep(&self, state_dir: &Path) -> anyhow::Result<()> {
        let path = membership_file(state_dir);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(state_dir.join("keys"))?;
        let aside = path.with_extension("tmp");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        Ok(fs::rename(aside, path)?)
    }
}

fn membership_file(state_dir: &Path) -> PathBuf {
    state_dir.join("keys").join("membership.json")
}
