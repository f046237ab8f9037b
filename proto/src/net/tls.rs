//! Our TLS, for both ends of every line between our own boxes: TLS 1.3, one crypto provider, certificates of our own
//! authority, and time from whoever hands it in.
//!
//! Tonic's own TLS options take neither a time provider nor a verifier, and both are needed: an agent may believe that it
//! is 1970, and a box whose certificate ran out while it was cut off must still be able to ask for a new one. Which calls
//! an expired certificate may make is for the master to decide, per call; here it only gets through the handshake.

use super::clock::WallClock;
use hyper_util::rt::TokioIo;
use nix::sys::socket::sockopt::TcpUserTimeout;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

/// The name in the master's certificate, whatever address it is reached at.
pub const MASTER_NAME: &str = "master.holdfast";
/// A cable that is pulled behind a switch is noticed within these two; without them, not in 8 s.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_millis(400);
/// How long a keepalive may stay unanswered.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(1);
/// TCP connect and TLS handshake with a master that is there take milliseconds; one that is not must not hold us up.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(400);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The kernel's word for a dead line, where bytes are under way; the keepalive's is for a silent one.
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(2);

/// A certificate chain, leaf first, and its key.
#[derive(Debug)]
pub struct Identity {
    /// DER, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS #8.
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// From kept bytes. An error where the key is not PKCS #8.
    pub fn new(chain: Vec<Vec<u8>>, key_pkcs8: &[u8]) -> Result<Self, Error> {
        let key = PrivateKeyDer::try_from(key_pkcs8.to_vec()).map_err(|why| Error::General(why.to_owned()))?;
        Ok(Self { chain: chain.into_iter().map(CertificateDer::from).collect(), key })
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// The one crypto provider of the house, always handed over explicitly.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// 16 bytes that name an authority's certificate: the other half of an enrolment token.
pub fn authority_pin(der: &[u8]) -> [u8; 16] {
    let hash = blake3::derive_key("holdfast 2026-11 authority pin", der);
    *hash.first_chunk().expect("a hash has 32 bytes")
}

/// The client's side, for a box with or without a certificate of its own.
pub fn client_config(authorities: &[Vec<u8>], identity: Option<Identity>, time: Arc<dyn TimeProvider>) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_details(provider(), time).with_protocol_versions(&[&rustls::version::TLS13])?;
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(authorities)?), provider()).build();
    let inner = inner.map_err(|wrong| Error::General(wrong.to_string()))?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(ClockTolerant { inner, forgives: Forgives::Expired }));
    let mut config = match identity {
        Some(identity) => builder.with_client_auth_cert(identity.chain, identity.key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// The client's side at enrolment: believes the one authority whose pin stands in the token, and no other.
pub fn pinned_client_config(pin: [u8; 16], time: Arc<dyn TimeProvider>) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_details(provider(), time).with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(PinnedVerifier { pin, provider: provider() })).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// The server's side: asks for a certificate, and lets in those who have none (they may only enrol) or an expired one of ours (they may only renew).
pub fn server_config(identity: Identity, authorities: &[Vec<u8>]) -> Result<ServerConfig, Error> {
    let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(authorities)?), provider()).allow_unauthenticated().build();
    let inner = inner.map_err(|wrong| Error::General(wrong.to_string()))?;
    let builder = ServerConfig::builder_with_details(provider(), Arc::new(WallClock)).with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut config = builder.with_client_cert_verifier(Arc::new(ExpiryTolerant(inner))).with_single_cert(identity.chain, identity.key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// The server's side for browsers and API clients: no certificate asked for, TLS 1.2 or 1.3, HTTP/1.1.
pub fn web_server_config(identity: Identity) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_single_cert(identity.chain, identity.key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(authorities: &[Vec<u8>]) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    authorities.iter().try_for_each(|der| store.add(CertificateDer::from(der.clone())))?;
    Ok(store)
}

/// Dials the master: one HTTP/2 connection over our own connector.
pub async fn dial(address: &str, config: Arc<ClientConfig>) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_static("http://master.holdfast")
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_connection_window_size(1 << 20)
        .initial_stream_window_size(1 << 19);
    let address = address.to_owned();
    let connector = tower::service_fn(move |_| {
        let (address, connector) = (address.clone(), TlsConnector::from(Arc::clone(&config)));
        async move { connect(&address, connector).await.map(TokioIo::new) }
    });
    endpoint.connect_with_connector(connector).await
}

/// What both ends want of a line: small messages leave at once, and bytes that nobody acknowledges are given up soon.
pub(super) fn tune(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    Ok(nix::sys::socket::setsockopt(stream, TcpUserTimeout, &(UNACKNOWLEDGED_LIMIT.as_millis() as u32))?)
}

async fn connect(address: &str, connector: TlsConnector) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await??;
    tune(&stream)?;
    let name = ServerName::try_from(MASTER_NAME).expect("a constant host name");
    tokio::time::timeout(HANDSHAKE_TIMEOUT, connector.connect(name, stream)).await?
}

/// Verifies as usual against the one authority in the offered chain that has the pin.
#[derive(Debug)]
struct PinnedVerifier {
    pin: [u8; 16],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates.iter().find(|der| authority_pin(der) == self.pin);
        let authority = authority.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let roots = Arc::new(roots(&[authority.to_vec()])?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&self.provider)).build();
        let verifier = verifier.map_err(|wrong| Error::General(wrong.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken here".to_owned()))
    }

    fn verify_tls13_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What a clock that is wrong may not cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forgives {
    /// A box's own clock may have learned a time from a master whose clock was wrong for a moment; that must not cut it off for
    /// good. What comes over the line is signed by other keys in any case.
    Expired,
    /// Trusted time may lag behind reality while a box is cut off from its master, and never runs ahead of it.
    NotYetValid,
}

/// Verifies as usual, except that one fault of age is passed over.
#[derive(Debug)]
pub(super) struct ClockTolerant {
    pub(super) inner: Arc<WebPkiServerVerifier>,
    pub(super) forgives: Forgives,
}

impl ServerCertVerifier for ClockTolerant {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = |now| self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match (verify(now), self.forgives) {
            (Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })), Forgives::Expired) => {
                tracing::warn!(
                    event = "master_certificate_expired",
                    "by this box's clock the master's certificate has run out: one of the two clocks is wrong"
                );
                verify(not_after)
            }
            (Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })), Forgives::NotYetValid) => verify(not_before),
            (verdict, _) => verdict,
        }
    }

    fn verify_tls12_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Verifies as usual, except that a certificate that only ran out still counts as its owner's.
#[derive(Debug)]
struct ExpiryTolerant(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for ExpiryTolerant {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(&self, end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>], now: UnixTime) -> Result<ClientCertVerified, Error> {
        match self.0.verify_client_cert(end_entity, intermediates, now) {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
                self.0.verify_client_cert(end_entity, intermediates, not_after)
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
