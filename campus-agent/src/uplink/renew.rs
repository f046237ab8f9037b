use crate::store::Identity;
use holdfast_proto::control::RenewRequest;
use holdfast_proto::control::enrolment_client::EnrolmentClient;
use holdfast_proto::words::UnixMillis;
use tonic::transport::Channel;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Whether the certificate has a third of its life or less left, or ran out: time to ask for another.
pub(super) fn is_due(identity: &Identity, now: UnixMillis) -> bool {
    let Some(validity) = identity.chain.first().and_then(|der| X509Certificate::from_der(der).ok()).map(|(_, cert)| cert.validity().clone()) else {
        return true;
    };
    // `not_before` lies before any clock of ours, so the life is counted from what the master grants.
    let left_ms = validity.not_after.timestamp().saturating_mul(1000).saturating_sub(now.0 as i64);
    left_ms < GRANTED_MS / 3
}

/// What the master grants: see `master/control/authority`.
const GRANTED_MS: i64 = 30 * 24 * 3600 * 1000;

/// Asks for a certificate for the same key. An expired one is good enough to ask with; a revoked one is not.
pub(super) async fn renew(identity: &Identity, channel: Channel) -> anyhow::Result<Identity> {
    let key = rcgen::KeyPair::try_from(identity.tls_key.expose())?;
    let csr = rcgen::CertificateParams::default().serialize_request(&key)?;
    let reply = EnrolmentClient::new(channel).renew(RenewRequest { csr: csr.der().to_vec() }).await?.into_inner();
    Ok(Identity { chain: reply.certificate_chain, ..identity.clone() })
}
