//! DNS over TLS (RFC 7858): a handshake, and then what TCP does.

use super::desk::Desk;
use super::tcp;
use holdfast_proto::dns::Transport;
use holdfast_proto::net::certificate::Certificate;
use holdfast_proto::net::stream::{self, Door, Pass};
use holdfast_proto::snapshot::Reader;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// A client that cannot agree on keys by then is let go.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Accepts until it is dropped; its connections end with it.
pub(super) async fn serve(listener: TcpListener, certificate: Arc<Certificate>, zone: Reader, door: Arc<Door>, desk: Arc<Desk>) -> Infallible {
    let noted = Arc::clone(&desk);
    let converse = move |stream, client, pass| converse(stream, client, pass, Arc::clone(&certificate), zone.clone(), Arc::clone(&desk));
    stream::accept(listener, door, move |note| noted.counters.note(&note), converse).await
}

/// One connection, to its end.
async fn converse(stream: TcpStream, client: SocketAddr, pass: Pass, certificate: Arc<Certificate>, zone: Reader, desk: Arc<Desk>) {
    // Without a certificate nobody can be spoken to; the log says so since it was read.
    let Some(config) = certificate.current() else { return };
    let _ = stream.set_nodelay(true);
    match timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => tcp::converse(stream, client, Transport::Tls, zone, pass, desk).await,
        Ok(Err(_)) | Err(_) => desk.counters.handshakes_failed.increment(1),
    }
}
