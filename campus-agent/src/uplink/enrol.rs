use crate::store::Identity;
use crate::telemetry::BUILD;
use holdfast_proto::control::EnrolToken;
use holdfast_proto::control::enrol::{EnrolError, Enrolled, enrol as ask};
use holdfast_proto::snapshot::HpkePublic;
use std::path::Path;

/// Why a box did not become an agent.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The master and this box did not come to terms.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The identity could not be written.
    #[error("the identity cannot be written: {0}")]
    Disk(#[from] std::io::Error),
}

/// Makes this box an agent and keeps its identity. Gives what the auth portal's operator compares with the box's screen, too.
pub async fn enrol(state_dir: &Path, address: &str, token: &EnrolToken) -> Result<(Identity, HpkePublic), JoinError> {
    let Enrolled { node_id, name, tls_key, chain, hpke, hpke_public, trust } = ask(address, token, BUILD).await?;
    let identity = Identity { node_id, name, master: address.to_owned(), tls_key, chain, hpke, trust };
    identity.keep(state_dir)?;
    Ok((identity, hpke_public))
}
