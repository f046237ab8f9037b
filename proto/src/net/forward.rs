//! One TLS connection that carries records one way, to a receiver that never answers (syslog, RFC 5425).
//!
//! Nobody says that a record arrived, so it counts as taken only when the connection has outlived its writing by longer
//! than the kernel waits for the other side's TCP to confirm it. Whatever was written later than that is written again on
//! the next connection: at least once, in order, and none lost between the two ends of the line.

use super::tls::{ClockTolerant, Forgives, Identity, provider};
use nix::sys::socket::{setsockopt, sockopt};
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, Error, RootCertStore};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long the kernel waits for the other side to confirm what was sent, before it gives the connection up.
const CONFIRM_LIMIT: Duration = Duration::from_secs(3);
/// How long a connection must outlive a record.
const SETTLE: Duration = Duration::from_secs(4);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// A receiver that takes nothing for this long is as good as gone.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// How often new records are looked for.
const TICK: Duration = Duration::from_millis(250);
/// Between attempts, doubling up to the limit.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LIMIT: Duration = Duration::from_secs(10);

/// Where records come from, and where it is remembered how many were taken.
pub trait Records: Send {
    /// What is to be written now, in order, each as it stands on the wire.
    fn due(&mut self) -> impl Future<Output = Vec<Vec<u8>>> + Send;
    /// The oldest `count` of those given out are safe with the receiver.
    fn taken(&mut self, count: usize) -> impl Future<Output = ()> + Send;
    /// The connection broke: what was given out and not taken comes again.
    fn rewind(&mut self);
}

/// The other end.
#[derive(Debug, Clone)]
pub struct Receiver {
    address: String,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl Receiver {
    /// `host:port`; whom to believe (PEM); who we are (PEM chain and key), where the receiver wants to know.
    pub fn new(address: &str, authorities: &[u8], identity: Option<(&[u8], &[u8])>, time: Arc<dyn TimeProvider>) -> Result<Self, Error> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Error::General(format!("\"{address}\" names no host: write it as host:6514")))?;
        let roots = Arc::new(roots(authorities)?);
        let inner = WebPkiServerVerifier::builder_with_provider(roots, provider()).build().map_err(|wrong| Error::General(wrong.to_string()))?;
        let builder = ClientConfig::builder_with_details(provider(), time).with_safe_default_protocol_versions()?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(ClockTolerant { inner, forgives: Forgives::NotYetValid }));
        let config = match identity {
            Some((chain, key)) => {
                let Identity { chain, key } = pem_identity(chain, key)?;
                builder.with_client_auth_cert(chain, key)?
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Self { address: address.to_owned(), name, config: Arc::new(config) })
    }

    /// The same from PEM files: whom to believe, and who we are, where both `certificate` and `key` are given.
    pub fn of_files(address: &str, ca: &Path, certificate: Option<&Path>, key: Option<&Path>, time: Arc<dyn TimeProvider>) -> io::Result<Self> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| io::Error::new(error.kind(), format!("reading {}: {error}", path.display())));
        let authorities = read(ca)?;
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
            (None, None) => None,
            _ => return Err(io::Error::other("it needs both certificate and key, or neither")),
        };
        let identity = identity.as_ref().map(|(chain, key)| (&chain[..], &key[..]));
        Self::new(address, &authorities, identity, time).map_err(io::Error::other)
    }

    async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let stream = timeout(CONNECT_LIMIT, TcpStream::connect(&self.address)).await??;
        setsockopt(&stream, sockopt::TcpUserTimeout, &(CONFIRM_LIMIT.as_millis() as u32))?;
        stream.set_nodelay(true)?;
        timeout(CONNECT_LIMIT, TlsConnector::from(Arc::clone(&self.config)).connect(self.name.clone(), stream)).await?
    }
}

/// Writes records to the receiver for as long as it is polled; whatever breaks is tried again.
pub async fn forward(receiver: Receiver, mut records: impl Records) -> Infallible {
    let mut wait = RETRY_FIRST;
    loop {
        let begun = Instant::now();
        records.rewind();
        let Err(error) = session(&receiver, &mut records).await;
        tracing::info!(event = "forward_broken", to = receiver.address, %error, "the line to {} broke; it is tried again", receiver.address);
        if begun.elapsed() > RETRY_LIMIT {
            wait = RETRY_FIRST;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_LIMIT);
    }
}

async fn session(receiver: &Receiver, records: &mut impl Records) -> io::Result<Infallible> {
    let (mut reading, mut writing) = tokio::io::split(receiver.connect().await?);
    tracing::info!(event = "forward_connected", to = receiver.address, "{} takes records", receiver.address);
    let mut written: VecDeque<(Instant, usize)> = VecDeque::new();
    let (mut tick, mut words) = (interval(TICK), [0; 64]);
    loop {
        tokio::select! {
            // Whatever a receiver says is no business of ours; that it hangs up is.
            read = reading.read(&mut words) => if read? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the receiver closed the line"));
            },
            _ = tick.tick() => {
                let due = records.due().await;
                if !due.is_empty() {
                    timeout(WRITE_LIMIT, async { writing.write_all(&due.concat()).await?; writing.flush().await }).await??;
                    written.push_back((Instant::now(), due.len()));
                }
                while written.front().is_some_and(|(at, _)| at.elapsed() > SETTLE) {
                    let count = written.pop_front().map_or(0, |(_, count)| count);
                    records.taken(count).await;
                }
            }
        }
    }
}

fn roots(authorities: &[u8]) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for der in CertificateDer::pem_slice_iter(authorities) {
        store.add(der.map_err(|wrong| Error::General(format!("the authority's PEM cannot be read: {wrong}")))?)?;
    }
    Ok(store)
}

fn pem_identity(chain: &[u8], key: &[u8]) -> Result<Identity, Error> {
    let unreadable = |wrong| Error::General(format!("the certificate or its key cannot be read: {wrong}"));
    let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(unreadable)?;
    Ok(Identity { chain, key: PrivateKeyDer::from_pem_slice(key).map_err(unreadable)? })
}
