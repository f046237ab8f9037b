use super::{store_key, write_secret, write_whole};
use holdfast_proto::net::tls;
use holdfast_proto::snapshot::{HpkePrivate, Trust, TrustError};
use holdfast_proto::words::{NodeId, Secret};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Who this box is: given at enrolment, kept under `identity/`, owner-readable only.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its number.
    pub node_id: NodeId,
    /// Its name.
    pub name: String,
    /// `host:port` of the master.
    pub master: String,
    /// Its TLS key, PKCS #8.
    pub tls_key: Secret,
    /// Its certificate, DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// Opens the data keys that are meant for it.
    pub hpke: HpkePrivate,
    /// Whom it believes.
    pub trust: Trust,
}

/// An identity that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is none.
    #[error("this box is not enrolled: run `holdfast-agent enrol` with the token that `holdfast-master node enrol` printed")]
    NotEnrolled,
    /// A file is there and cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is there and means nothing.
    #[error("{}: {what}; restore it from backup or enrol the box again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    node_id: String,
    name: String,
    master: String,
    chain: Vec<String>,
}

impl Card {
    fn path(dir: &Path) -> PathBuf {
        dir.join("card.json")
    }

    fn read(dir: &Path) -> Result<Self, IdentityError> {
        let path = Self::path(dir);
        if !exists(&path)? {
            return Err(IdentityError::NotEnrolled);
        }
        serde_json::from_slice(&read(&path)?).map_err(|wrong| damaged(&path, wrong))
    }

    fn number(&self, dir: &Path) -> Result<NodeId, IdentityError> {
        let number = hex::decode(&self.node_id).ok().and_then(|bytes| bytes.try_into().ok());
        number.map(NodeId).ok_or_else(|| damaged(&Self::path(dir), "its node_id is not 32 hexadecimal digits"))
    }
}

impl Identity {
    /// Reads the identity of the box. Needs nothing but its disk.
    pub fn read(state_dir: &Path) -> Result<Self, IdentityError> {
        let dir = folder(state_dir);
        let card = Card::read(&dir)?;
        let chain = card.chain.iter().map(hex::decode).collect::<Result<_, _>>().map_err(|wrong| damaged(&Card::path(&dir), wrong))?;
        Ok(Self {
            node_id: card.number(&dir)?,
            name: card.name,
            master: card.master,
            tls_key: Secret::new(read(&dir.join("tls.key"))?),
            chain,
            hpke: HpkePrivate::from_bytes(&read(&dir.join("hpke.key"))?),
            trust: Self::read_trust(state_dir)?,
        })
    }

    /// Reads only the box's name.
    pub fn read_name(state_dir: &Path) -> Result<String, IdentityError> {
        Ok(Card::read(&folder(state_dir))?.name)
    }

    /// Reads only the box's number.
    pub fn read_number(state_dir: &Path) -> Result<NodeId, IdentityError> {
        let dir = folder(state_dir);
        Card::read(&dir)?.number(&dir)
    }

    /// Reads only what opens the secrets that are meant for this box: its number and its HPKE key.
    pub fn read_reader(state_dir: &Path) -> Result<(NodeId, HpkePrivate), IdentityError> {
        let dir = folder(state_dir);
        Ok((Card::read(&dir)?.number(&dir)?, HpkePrivate::from_bytes(&read(&dir.join("hpke.key"))?)))
    }

    /// Reads only whom this box believes.
    pub fn read_trust(state_dir: &Path) -> Result<Trust, IdentityError> {
        let path = folder(state_dir).join("trust");
        if !exists(&path)? {
            return Err(IdentityError::NotEnrolled);
        }
        Trust::read(&read(&path)?).map_err(|wrong: TrustError| damaged(&path, wrong))
    }

    /// Keeps the identity. The card comes last: without it the box counts as not enrolled.
    pub fn keep(&self, state_dir: &Path) -> io::Result<()> {
        let dir = folder(state_dir);
        fs::create_dir_all(&dir)?;
        write_secret(&dir.join("tls.key"), self.tls_key.expose())?;
        write_whole(&dir.join("hpke.key"), self.hpke.expose())?;
        write_whole(&dir.join("trust"), self.trust.bytes())?;
        // Before any service looks for it: they start at once, and may not make it.
        store_key(state_dir);
        self.keep_card(state_dir)
    }

    /// Keeps what a renewed certificate changes. The keys are left alone: who may read their files was set when the box was set up.
    pub fn keep_card(&self, state_dir: &Path) -> io::Result<()> {
        let card = Card {
            node_id: self.node_id.to_string(),
            name: self.name.clone(),
            master: self.master.clone(),
            chain: self.chain.iter().map(hex::encode).collect(),
        };
        write_whole(&Card::path(&folder(state_dir)), &serde_json::to_vec_pretty(&card).map_err(io::Error::other)?)
    }

    /// What this box shows in TLS.
    pub fn tls(&self) -> Result<tls::Identity, rustls::Error> {
        tls::Identity::new(self.chain.clone(), self.tls_key.expose())
    }
}

pub(super) fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("identity")
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    fs::read(path).map_err(|error| IdentityError::Unreadable { path: path.to_owned(), error })
}

/// A folder that cannot be looked into is not an empty one.
fn exists(path: &Path) -> Result<bool, IdentityError> {
    path.try_exists().map_err(|error| IdentityError::Unreadable { path: path.to_owned(), error })
}

fn damaged(path: &Path, what: impl ToString) -> IdentityError {
    IdentityError::Damaged { path: path.to_owned(), what: what.to_string() }
}
