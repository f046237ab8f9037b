//! Becoming one of the institution's boxes, and staying one: what an agent and the auth portal both do.
//!
//! Keys are made on the box and never leave it. What comes back is believed because the token pins it: the authority that
//! TLS is checked against, and the root whose signature stands under the trust.

use super::enrolment_client::EnrolmentClient;
use super::{EnrolReply, EnrolRequest, EnrolToken, RenewRequest};
use crate::net::clock::TrustedClock;
use crate::net::tls;
use crate::snapshot::{HpkePrivate, HpkePublic, Trust, TrustError};
use crate::words::{NodeId, Secret, UnixMillis};
use rcgen::{CertificateParams, KeyPair};
use std::sync::Arc;
use tonic::transport::Channel;
use x509_parser::prelude::{FromDer, X509Certificate};

/// How long a box's certificate lasts: 30 days, in milliseconds. A box asks for the next when a third is left.
pub const CERTIFICATE_LIFE_MS: u64 = 30 * 24 * 3600 * 1000;

/// What a box has after enrolment, for it to keep.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// Its number.
    pub node_id: NodeId,
    /// Its name.
    pub name: String,
    /// Its TLS key, PKCS #8.
    pub tls_key: Secret,
    /// Its certificate, DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// Opens the data keys that are meant for it.
    pub hpke: HpkePrivate,
    /// What data keys are encrypted to.
    pub hpke_public: HpkePublic,
    /// Whom it believes from now on.
    pub trust: Trust,
}

/// Why a box was not enrolled or not renewed.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// A key or a request could not be made.
    #[error("a key could not be made: {0}")]
    Key(String),
    /// The master did not answer, or was not the one that the token names.
    #[error("the master at {address} cannot be reached, or is not the one that the token names: {why}")]
    Dial {
        /// The address tried.
        address: String,
        /// Why, from the outside in.
        why: String,
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
}

/// Enrols this box at the master with a one-time token. `build` is told to the master's log.
pub async fn enrol(address: &str, token: &EnrolToken, build: &str) -> Result<Enrolled, EnrolError> {
    let tls_key = KeyPair::generate().map_err(key_error)?;
    let (hpke, hpke_public) = HpkePrivate::generate().map_err(|wrong| EnrolError::Key(wrong.to_string()))?;
    // A new box knows no time yet; our certificates are valid from before any clock of ours.
    let clock = Arc::new(TrustedClock::new(UnixMillis(0)));
    let config = tls::pinned_client_config(token.authority_pin, clock).map_err(|wrong| EnrolError::Key(wrong.to_string()))?;
    let channel = tls::dial(address, Arc::new(config)).await.map_err(|wrong| EnrolError::Dial { address: address.to_owned(), why: causes(&wrong) })?;
    let request = EnrolRequest { token: token.secret_text(), csr: request_for(&tls_key)?, hpke_public_key: hpke_public.0.clone(), build: build.to_owned() };
    let reply = EnrolmentClient::new(channel).enrol(request).await.map_err(|status| EnrolError::Refused(status.message().to_owned()))?;
    believe(reply.into_inner(), token, Secret::new(tls_key.serialize_der()), (hpke, hpke_public))
}

fn believe(reply: EnrolReply, token: &EnrolToken, tls_key: Secret, (hpke, hpke_public): (HpkePrivate, HpkePublic)) -> Result<Enrolled, EnrolError> {
    let trust = Trust::read(&reply.trust)?;
    if trust.root_pin() != token.root_pin {
        return Err(EnrolError::Reply("its root is not the one that the token names"));
    }
    if !trust.draft().authorities.iter().any(|authority| tls::authority_pin(authority) == token.authority_pin) {
        return Err(EnrolError::Reply("its root does not vouch for the authority that the token names"));
    }
    let node_id = NodeId(reply.node_id.try_into().map_err(|_| EnrolError::Reply("the number it gave this box has not 16 bytes"))?);
    Ok(Enrolled { node_id, name: reply.name, tls_key, chain: reply.certificate_chain, hpke, hpke_public, trust })
}

/// Whether a certificate has a third of its life or less left, or ran out: time to ask for another.
pub fn renewal_is_due(chain: &[Vec<u8>], now: UnixMillis) -> bool {
    let leaf = chain.first().and_then(|der| X509Certificate::from_der(der).ok());
    // `not_before` lies before any clock of ours, so the life is counted from what the master grants.
    let end_ms = leaf.map_or(0, |(_, leaf)| u64::try_from(leaf.validity().not_after.timestamp()).unwrap_or(0) * 1000);
    end_ms.saturating_sub(now.0) < CERTIFICATE_LIFE_MS / 3
}

/// Asks for a certificate for the same key; gives the new chain. An expired one is good enough to ask with; a revoked one is not.
pub async fn renew(channel: Channel, tls_key: &Secret) -> Result<Vec<Vec<u8>>, EnrolError> {
    let key = KeyPair::try_from(tls_key.expose()).map_err(key_error)?;
    let reply = EnrolmentClient::new(channel).renew(RenewRequest { csr: request_for(&key)? }).await;
    Ok(reply.map_err(|status| EnrolError::Refused(status.message().to_owned()))?.into_inner().certificate_chain)
}

/// A request that asks for nothing but a signature under its key: the master writes the rest.
fn request_for(key: &KeyPair) -> Result<Vec<u8>, EnrolError> {
    Ok(CertificateParams::default().serialize_request(key).map_err(key_error)?.der().to_vec())
}

fn key_error(wrong: rcgen::Error) -> EnrolError {
    EnrolError::Key(wrong.to_string())
}

/// An error and all that caused it, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source()).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
