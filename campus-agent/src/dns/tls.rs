//! DNS over TLS (RFC 7858): a handshake, and then what TCP does.

use super::certificate::Certificate;
use super::counters::Counters;
use super::tcp::{self, Door, Pass};
use holdfast_proto::dns::Transport;
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
pub(super) async fn serve(listener: TcpListener, certificate: Arc<Certificate>, zone: Reader, door: Arc<Door>, counters: Arc<Counters>) -> Infallible {
    let converse = move |stream, client, pass, counters| converse(stream, client, pass, Arc::clone(&certificate), zone.clone(), counters);
    tcp::accept(listener, door, counters, converse).await
}

/// One connection, to its end.
async fn converse(stream: TcpStream, client: SocketAddr, pass: Pass, certificate: Arc<Certificate>, zone: Reader, counters: Arc<Counters>) {
    // Without a certificate nobody can be spoken to; the log says so since it was read.
    let Some(config) = certificate.current() else { return };
    let _ = stream.set_nodelay(true);
    match timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => tcp::converse(stream, client, Transport::Tls, zone, pass, counters).await,
        Ok(Err(_)) | Err(_) => counters.handshakes_failed.increment(1),
    }
}
