//! TLS without a socket: what came in an EAP packet goes in, what goes out in the next comes out.
//!
//! TLS 1.2 and 1.3 alone. No session is taken up again: a tunnel that is resumed would have to know whether the password
//! within the first was right, and what rustls keeps of a session is written down before that is known.

use super::packet::kind;
use crate::words::Secret;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ServerConnection, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{Error, ProtocolVersion, RootCertStore, ServerConfig};
use std::io::{Read, Write};
use std::sync::Arc;

/// Both halves of the key (RFC 5216 section 2.3): MSK and EMSK. Asked for at once, because in TLS 1.3 the first 64 bytes of a
/// longer key are others than those of a shorter one.
const KEY_BYTES: usize = 128;
/// What the NAS gets of it: one half for each direction.
const HALF_MSK_BYTES: usize = 32;
/// RFC 5281 section 11.1: a challenge of 16 bytes, and an identifier.
const TTLS_CHALLENGE_BYTES: usize = 17;

/// The methods with a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Method {
    /// The user has a certificate (RFC 5216, RFC 9190).
    Tls = kind::TLS,
    /// Passwords in attributes (RFC 5281, RFC 9427).
    Ttls = kind::TTLS,
    /// EAP within (PEAPv0, RFC 9427).
    Peap = kind::PEAP,
}

impl Method {
    /// In the order in which they are offered: the first works with what every account has.
    const OFFERED: [Self; 3] = [Self::Ttls, Self::Peap, Self::Tls];

    /// What is offered to somebody who has not said what they speak.
    pub fn first() -> Self {
        Self::OFFERED[0]
    }

    /// The first of these types that we speak.
    pub fn wished(types: &[u8], tls: &EapTls) -> Option<Self> {
        let offered = |wish: &u8| Self::OFFERED.into_iter().find(|method| *method as u8 == *wish);
        types.iter().filter_map(offered).find(|method| tls.config(*method).is_some())
    }
}

/// Who signs the certificates of users, and which of these are good no longer.
#[derive(Debug)]
pub struct Authorities {
    /// Who is believed.
    pub roots: RootCertStore,
    /// Where there is any, a user's certificate must be of an authority that issued one, and not stand in it. One that is older than
    /// it says it should be is used on: a campus that is cut off must not be locked out by it.
    pub revoked: Vec<CertificateRevocationListDer<'static>>,
}

/// The certificates of an agent's EAP.
#[derive(Debug, Clone)]
pub struct EapTls {
    tunnelled: Arc<ServerConfig>,
    certified: Option<Arc<ServerConfig>>,
}

impl EapTls {
    /// Our own chain and its key; `authorities` sign the certificates of users, and without them EAP-TLS is not offered.
    /// `time` says whether a user's certificate is good now.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        authorities: Option<Authorities>,
        time: Arc<dyn TimeProvider>,
    ) -> Result<Self, Error> {
        let provider = Arc::new(default_provider());
        let builder = || ServerConfig::builder_with_details(Arc::clone(&provider), Arc::clone(&time)).with_protocol_versions(rustls::ALL_VERSIONS);
        let without_tickets = |mut config: ServerConfig| {
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
            Arc::new(config)
        };
        let certified = authorities.map(|authorities| {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities.roots), Arc::clone(&provider));
            let verifier = verifier.with_crls(authorities.revoked).only_check_end_entity_revocation().build();
            let verifier = verifier.map_err(|wrong| Error::General(wrong.to_string()))?;
            builder()?.with_client_cert_verifier(verifier).with_single_cert(chain.clone(), key.clone_key())
        });
        let certified = certified.transpose()?.map(without_tickets);
        let tunnelled = without_tickets(builder()?.with_no_client_auth().with_single_cert(chain, key)?);
        Ok(Self { tunnelled, certified })
    }

    /// Whether certificates of users are taken.
    pub fn takes_certificates(&self) -> bool {
        self.certified.is_some()
    }

    /// With the authorities that were believed before, where those of now cannot be read: nobody is cut off by a broken file.
    #[must_use]
    pub fn believing_as(self, before: Option<&Self>) -> Self {
        Self { certified: before.and_then(|before| before.certified.clone()), ..self }
    }

    fn config(&self, method: Method) -> Option<&Arc<ServerConfig>> {
        match method {
            Method::Tls => self.certified.as_ref(),
            Method::Ttls | Method::Peap => Some(&self.tunnelled),
        }
    }
}

/// What the user and the NAS encrypt with, as the NAS sees it.
#[derive(Debug)]
pub(super) struct Keys {
    pub send: Secret,
    pub receive: Secret,
}

/// One tunnel.
#[derive(Debug)]
pub(super) struct Tunnel {
    tls: ServerConnection,
    method: Method,
}

impl Tunnel {
    /// Waits for a ClientHello. `None` where there is no certificate for this method.
    pub fn open(method: Method, tls: &EapTls) -> Option<Self> {
        let config = Arc::clone(tls.config(method)?);
        Some(Self { tls: ServerConnection::new(config).ok()?, method })
    }

    /// Takes a whole message in; gives what was said within.
    pub fn hear(&mut self, message: &[u8]) -> Result<Secret, Error> {
        let (mut rest, mut plain) = (message, zeroize::Zeroizing::new(Vec::new()));
        while !rest.is_empty() {
            // Behind its last word nothing is taken any more: without an end here a peer would hold the loop for ever.
            if self.tls.read_tls(&mut rest).map_err(general)? == 0 {
                return Err(Error::General("something was said behind the end".to_owned()));
            }
            let state = self.tls.process_new_packets()?;
            let mut piece = zeroize::Zeroizing::new(vec![0; state.plaintext_bytes_to_read()]);
            self.tls.reader().read_exact(&mut piece).map_err(general)?;
            plain.extend_from_slice(&piece);
        }
        Ok(Secret::new(&plain[..]))
    }

    /// Says something within; it goes out with the next message.
    pub fn say(&mut self, plain: &[u8]) {
        // It is kept in memory and far below the buffer's limit.
        let _ = self.tls.writer().write_all(plain);
    }

    /// What is to go out.
    pub fn message(&mut self) -> Vec<u8> {
        let mut message = Vec::new();
        while self.tls.wants_write() && self.tls.write_tls(&mut message).is_ok_and(|written| written > 0) {}
        message
    }

    /// Whether both have the keys.
    pub fn is_open(&self) -> bool {
        !self.tls.is_handshaking()
    }

    /// Whether the handshake ended with the user's word (TLS 1.3) and not with ours.
    pub fn is_tls13(&self) -> bool {
        self.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    /// The user's own certificate.
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.tls.peer_certificates()?.first()
    }

    /// RFC 5216 section 2.3, RFC 5281 section 8, RFC 9190 section 2.3, RFC 9427 section 2.1. `None` before the handshake is over.
    pub fn keys(&self) -> Option<Keys> {
        let material = match (self.is_tls13(), self.method) {
            (true, method) => self.export(KEY_BYTES, b"EXPORTER_EAP_TLS_Key_Material", Some(&[method as u8])),
            (false, Method::Ttls) => self.export(KEY_BYTES, b"ttls keying material", None),
            (false, Method::Tls | Method::Peap) => self.export(KEY_BYTES, b"client EAP encryption", None),
        }?;
        let (receive, rest) = material.expose().split_at(HALF_MSK_BYTES);
        Some(Keys { send: Secret::new(&rest[..HALF_MSK_BYTES]), receive: Secret::new(receive) })
    }

    /// The challenge that nobody sends (RFC 5281 section 11.1, RFC 9427 section 2.4), and its identifier.
    pub fn challenge(&self) -> Option<([u8; 16], u8)> {
        let material = self.export(TTLS_CHALLENGE_BYTES, b"ttls challenge", None)?;
        let (id, challenge) = material.expose().split_last()?;
        Some((challenge.try_into().ok()?, *id))
    }

    fn export(&self, len: usize, label: &[u8], context: Option<&[u8]>) -> Option<Secret> {
        self.tls.export_keying_material(vec![0; len], label, context).ok().map(Secret::new)
    }
}

fn general(wrong: std::io::Error) -> Error {
    Error::General(wrong.to_string())
}
