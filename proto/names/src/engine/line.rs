//! A line to one server over TLS (RFC 7858): made when it is needed, shared by all questions, and made anew when it broke.

use crate::settings::Tls;
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::net::stream::{push_message, read_message};
use holdfast_proto::net::tls::{MASTER_NAME, client_config};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpUserTimeout;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const CONNECT_LIMIT: Duration = Duration::from_millis(1500);
/// Bytes that nobody acknowledges for so long, or that cannot be written, are the end of a line.
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(5);
/// A line on which nothing was asked for so long is closed, before the server does (RFC 7766 section 6.2.3).
const IDLE_LIMIT: Duration = Duration::from_secs(8);
/// Questions that wait to be written.
const ASKED_LIMIT: usize = 256;

#[derive(Debug)]
pub(super) struct Line {
    server: SocketAddr,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
    /// Where questions go while the line stands.
    standing: Mutex<Option<mpsc::Sender<Asked>>>,
}

type Asked = (Vec<u8>, oneshot::Sender<Vec<u8>>);
type Id = [u8; 2];

impl Line {
    /// # Errors
    /// Names the authority's file or the name that cannot be read.
    pub(super) fn new(server: SocketAddr, settings: &Tls, authorities: &[Vec<u8>], clock: &Arc<TrustedClock>) -> io::Result<Self> {
        let wrong = |what: String| io::Error::other(format!("TLS with {server}: {what}"));
        let name = settings.name.clone().unwrap_or_else(|| MASTER_NAME.to_owned());
        let authorities = settings.ca.as_deref().map_or_else(|| Ok(authorities.to_vec()), read_authorities)?;
        let clock: Arc<TrustedClock> = Arc::clone(clock);
        let mut config = client_config(&authorities, None, clock).map_err(|why| wrong(why.to_string()))?;
        config.alpn_protocols = vec![b"dot".to_vec()];
        let name = ServerName::try_from(name.clone()).map_err(|_| wrong(format!("\"{name}\" is no name of a server")))?;
        Ok(Self { server, name, config: Arc::new(config), standing: Mutex::default() })
    }

    /// Asks, over the line that stands or over a new one.
    pub(super) async fn ask(&self, question: Vec<u8>) -> io::Result<Vec<u8>> {
        for _ in 0..2 {
            let (reply, replied) = oneshot::channel();
            let asked = self.standing().await?;
            if asked.send((question.clone(), reply)).await.is_ok()
                && let Ok(reply) = replied.await
            {
                return Ok(reply);
            }
            // It broke, perhaps because it had idled: a new one, once. Another question may have made it already.
            let mut standing = self.standing.lock().await;
            if standing.as_ref().is_some_and(|standing| standing.same_channel(&asked)) {
                *standing = None;
            }
        }
        Err(io::ErrorKind::ConnectionReset.into())
    }

    /// The next question makes a new line: nobody is at the other end of this one.
    pub(super) fn forget(&self) {
        // Whoever holds it is about to make one.
        if let Ok(mut standing) = self.standing.try_lock() {
            *standing = None;
        }
    }

    async fn standing(&self) -> io::Result<mpsc::Sender<Asked>> {
        let mut standing = self.standing.lock().await;
        if let Some(asked) = standing.as_ref().filter(|asked| !asked.is_closed()) {
            return Ok(asked.clone());
        }
        let stream = timeout(CONNECT_LIMIT, self.connect()).await??;
        let (asked, to_ask) = mpsc::channel(ASKED_LIMIT);
        tokio::spawn(carry(stream, to_ask));
        *standing = Some(asked.clone());
        Ok(asked)
    }

    async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.server).await?;
        stream.set_nodelay(true)?;
        setsockopt(&stream, TcpUserTimeout, &(UNACKNOWLEDGED_LIMIT.as_millis() as u32))?;
        TlsConnector::from(Arc::clone(&self.config)).connect(self.name.clone(), stream).await
    }
}

fn read_authorities(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let named = |wrong: &dyn std::fmt::Display| io::Error::other(format!("{}: {wrong}", path.display()));
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|wrong| named(&wrong))?.collect();
    Ok(read.map_err(|wrong| named(&wrong))?.into_iter().map(|der| der.to_vec()).collect())
}

/// Carries questions and replies until the line breaks or idles; whoever waits then learns it by its dropped sender.
async fn carry(stream: TlsStream<TcpStream>, mut to_ask: mpsc::Receiver<Asked>) {
    let (read, mut write) = tokio::io::split(stream);
    let (replies, mut replied) = mpsc::channel(ASKED_LIMIT);
    let reading = tokio::spawn(read_all(read, replies));
    // By an id of this line's own: those that questions come with may be alike.
    let mut waiting: HashMap<u16, (Id, oneshot::Sender<Vec<u8>>)> = HashMap::new();
    let mut next_id: u16 = 0;
    loop {
        let asked = tokio::select! {
            reply = replied.recv() => match reply {
                Some(mut reply) => {
                    let id = reply.first_chunk_mut::<2>();
                    // One that nobody waits for is late.
                    if let Some((id, (own, waiter))) = id.and_then(|id| waiting.remove(&u16::from_be_bytes(*id)).map(|waiting| (id, waiting))) {
                        *id = own;
                        let _ = waiter.send(reply);
                    }
                    continue;
                }
                None => break,
            },
            asked = timeout(IDLE_LIMIT, to_ask.recv()) => asked,
        };
        waiting.retain(|_, (_, waiter)| !waiter.is_closed());
        match asked {
            Ok(Some((mut question, waiter))) => {
                while waiting.contains_key(&next_id) {
                    next_id = next_id.wrapping_add(1);
                }
                // A question has an id; one without is asked by nobody.
                let Some(id) = question.first_chunk_mut::<2>() else { continue };
                waiting.insert(next_id, (std::mem::replace(id, next_id.to_be_bytes()), waiter));
                next_id = next_id.wrapping_add(1);
                if !matches!(timeout(UNACKNOWLEDGED_LIMIT, put(&mut write, &question)).await, Ok(Ok(()))) {
                    break;
                }
            }
            Err(_) if !waiting.is_empty() => {}
            Ok(None) | Err(_) => break,
        }
    }
    reading.abort();
}

async fn put(write: &mut WriteHalf<TlsStream<TcpStream>>, question: &[u8]) -> io::Result<()> {
    let mut framed = Vec::new();
    push_message(&mut framed, question);
    write.write_all(&framed).await?;
    write.flush().await
}

async fn read_all(mut read: ReadHalf<TlsStream<TcpStream>>, replies: mpsc::Sender<Vec<u8>>) {
    let mut message = Vec::new();
    while read_message(&mut read, &mut message, usize::from(u16::MAX)).await.is_ok() {
        if replies.send(std::mem::take(&mut message)).await.is_err() {
            return;
        }
    }
}
