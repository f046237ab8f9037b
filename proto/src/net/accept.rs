//! TLS lines that come in: handshakes side by side, and who is at the other end of each.

use super::tls::tune;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

/// Handshakes at once: a master that comes back is called by every box at the same moment.
const HANDSHAKE_LIMIT: usize = 256;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// One line.
#[derive(Debug)]
pub struct Line {
    stream: TlsStream<TcpStream>,
    info: LineInfo,
}

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct LineInfo {
    /// The address it dials from.
    pub from: SocketAddr,
    /// The certificate that it showed and that verified, DER.
    pub certificate: Option<Arc<[u8]>>,
}

/// Accepts for ever; each handshake runs by itself, so a caller that dawdles holds up nobody. Each starts with the
/// configuration of its moment: certificates and authorities may change while lines are up.
pub fn accept(listener: TcpListener, config: watch::Receiver<Arc<rustls::ServerConfig>>) -> ReceiverStream<io::Result<Line>> {
    let (lines, incoming) = mpsc::channel(HANDSHAKE_LIMIT);
    let places = Arc::new(Semaphore::new(HANDSHAKE_LIMIT));
    tokio::spawn(async move {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = lines.closed() => return,
            };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(event = "accept_failed", %error, "a caller could not come in");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (lines, acceptor) = (lines.clone(), TlsAcceptor::from(Arc::clone(&config.borrow())));
            tokio::spawn(async move {
                match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake(acceptor, stream, from)).await {
                    Ok(Ok(line)) => drop(lines.send(Ok(line)).await),
                    Ok(Err(error)) => refused(from, &error.to_string()),
                    Err(_) => refused(from, "the handshake took too long"),
                }
                drop(place);
            });
        }
    });
    ReceiverStream::new(incoming)
}

fn refused(from: SocketAddr, why: &str) {
    tracing::warn!(event = "handshake_refused", %from, why, "a caller did not get through TLS");
}

async fn handshake(acceptor: TlsAcceptor, stream: TcpStream, from: SocketAddr) -> io::Result<Line> {
    tune(&stream)?;
    let stream = acceptor.accept(stream).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| Some(Arc::from(chain.first()?.as_ref())));
    Ok(Line { stream, info: LineInfo { from, certificate } })
}

impl Connected for Line {
    type ConnectInfo = LineInfo;

    fn connect_info(&self) -> LineInfo {
        self.info.clone()
    }
}

impl Line {
    /// The address at the other end.
    pub fn from(&self) -> SocketAddr {
        self.info.from
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
