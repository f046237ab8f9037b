use crate::store::Identity;
use crate::telemetry::BUILD;
use holdfast_proto::control::enrolment_client::EnrolmentClient;
use holdfast_proto::control::{EnrolReply, EnrolRequest, EnrolToken};
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::net::tls;
use holdfast_proto::snapshot::{HpkePrivate, HpkePublic, Trust, TrustError};
use holdfast_proto::words::{NodeId, Secret, UnixMillis};
use std::path::Path;
use std::sync::Arc;

/// Why a box did not become an agent.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// A key could not be made.
    #[error("a key could not be made: {0}")]
    Key(String),
    /// The master did not answer, or was not the one that the token names.
    #[error("the master at {address} cannot be reached, or is not the one that the token names: {error:?}")]
    Dial {
        /// The address tried.
        address: String,
        /// Why.
        error: Box<tonic::transport::Error>,
    },
    /// The master refused.
    #[error("the master refused: {0}")]
    Refused(String),
    /// The reply cannot be believed.
    #[error("the master's reply cannot be believed: {0}")]
    Reply(&'static str),
    /// The trust in the reply is damaged.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The identity could not be written.
    #[error("the identity cannot be written: {0}")]
    Disk(#[from] std::io::Error),
}

/// Makes this box an agent. The keys are made here and never leave; what comes back is believed because the token pins it.
pub async fn enrol(state_dir: &Path, address: &str, token: &EnrolToken) -> Result<(Identity, HpkePublic), EnrolError> {
    let key = |wrong: &dyn std::fmt::Display| EnrolError::Key(wrong.to_string());
    let tls_key = rcgen::KeyPair::generate().map_err(|wrong| key(&wrong))?;
    let csr = rcgen::CertificateParams::default().serialize_request(&tls_key).map_err(|wrong| key(&wrong))?;
    let (hpke, hpke_public) = HpkePrivate::generate().map_err(|wrong| key(&wrong))?;
    // A new box knows no time yet; our certificates are valid from before any clock of ours.
    let clock = Arc::new(TrustedClock::new(UnixMillis(0)));
    let config = tls::pinned_client_config(token.authority_pin, clock).map_err(|wrong| key(&wrong))?;
    let dialled = tls::dial(address, Arc::new(config)).await;
    let channel = dialled.map_err(|error| EnrolError::Dial { address: address.to_owned(), error: Box::new(error) })?;
    let request = EnrolRequest { token: token.secret_text(), csr: csr.der().to_vec(), hpke_public_key: hpke_public.0.clone(), build: BUILD.to_owned() };
    let reply = EnrolmentClient::new(channel).enrol(request).await.map_err(|status| EnrolError::Refused(status.message().to_owned()))?;
    let identity = believe(reply.into_inner(), address, token, tls_key.serialize_der(), hpke)?;
    identity.keep(state_dir)?;
    Ok((identity, hpke_public))
}

fn believe(reply: EnrolReply, address: &str, token: &EnrolToken, tls_key: Vec<u8>, hpke: HpkePrivate) -> Result<Identity, EnrolError> {
    let trust = Trust::read(&reply.trust)?;
    if trust.root_pin() != token.root_pin {
        return Err(EnrolError::Reply("its root is not the one that the token names"));
    }
    if !trust.draft().authorities.iter().any(|authority| tls::authority_pin(authority) == token.authority_pin) {
        return Err(EnrolError::Reply("its root does not vouch for the authority that the token names"));
    }
    let node_id = reply.node_id.try_into().map_err(|_| EnrolError::Reply("the number it gave this box has not 16 bytes"))?;
    Ok(Identity {
        node_id: NodeId(node_id),
        name: reply.name,
        master: address.to_owned(),
        tls_key: Secret::new(tls_key),
        chain: reply.certificate_chain,
        hpke,
        trust,
    })
}
