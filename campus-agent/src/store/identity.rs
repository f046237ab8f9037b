use super::write_whole;
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

impl Identity {
    /// Reads the identity of the box. Needs nothing but its disk.
    pub fn read(state_dir: &Path) -> Result<Self, IdentityError> {
        let dir = folder(state_dir);
        let card_path = dir.join("card.json");
        if !exists(&card_path)? {
            return Err(IdentityError::NotEnrolled);
        }
        let card: Card = serde_json::from_slice(&read(&card_path)?).map_err(|wrong| damaged(&card_path, wrong))?;
        let chain = card.chain.iter().map(hex::decode).collect::<Result<_, _>>().map_err(|wrong| damaged(&card_path, wrong))?;
        let node_id = hex::decode(&card.node_id).ok().and_then(|bytes| bytes.try_into().ok());
        Ok(Self {
            node_id: NodeId(node_id.ok_or_else(|| damaged(&card_path, "its node_id is not 32 hexadecimal digits"))?),
            name: card.name,
            master: card.master,
            tls_key: Secret::new(read(&dir.join("tls.key"))?),
            chain,
            hpke: HpkePrivate::from_bytes(&read(&dir.join("hpke.key"))?),
            trust: Self::read_trust(state_dir)?,
        })
    }

    /// Reads only whom this box believes: enough to verify and to serve what needs no secret.
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
        write_whole(&dir.join("tls.key"), self.tls_key.expose())?;
        write_whole(&dir.join("hpke.key"), self.hpke.expose())?;
        Self::keep_trust(state_dir, &self.trust)?;
        let card = Card {
            node_id: self.node_id.to_string(),
            name: self.name.clone(),
            master: self.master.clone(),
            chain: self.chain.iter().map(hex::encode).collect(),
        };
        write_whole(&dir.join("card.json"), &serde_json::to_vec_pretty(&card).map_err(io::Error::other)?)
    }

    /// Keeps a newer trust.
    pub fn keep_trust(state_dir: &Path, trust: &Trust) -> io::Result<()> {
        write_whole(&folder(state_dir).join("trust"), trust.bytes())
    }

    /// What this box shows in TLS.
    pub fn tls(&self) -> Result<tls::Identity, rustls::Error> {
        tls::Identity::new(self.chain.clone(), self.tls_key.expose())
    }
}

fn folder(state_dir: &Path) -> PathBuf {
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
