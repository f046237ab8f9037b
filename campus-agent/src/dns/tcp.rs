//! DNS over a stream, TCP (RFC 7766) or TLS: many queries on a connection, answered in the order they came.
//!
//! Queries that came together are answered together in one write. A client that does not read holds up itself alone:
//! nothing more is read from it until it takes its replies, and after a while it is let go.

use super::desk::Desk;
use crate::telemetry::Tally;
use holdfast_proto::dns::{Outcome, Peer, Transport};
use holdfast_proto::net::stream::{self, Door, Pass, QUERY_LIMIT_BYTES, has_message, push_message, read_message};
use holdfast_proto::snapshot::Reader;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long a client may take for its next whole query: seconds, says RFC 7766 section 6.2.3.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to read what it asked for.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How many bytes of replies are gathered before they are written.
const BATCH_LIMIT_BYTES: usize = 64 << 10;

/// Accepts until it is dropped; its connections end with it.
pub(super) async fn serve(listener: TcpListener, zone: Reader, door: Arc<Door>, desk: Arc<Desk>) -> Infallible {
    let noted = Arc::clone(&desk);
    let converse = move |stream: TcpStream, client, pass| {
        // Replies are gathered here already, so the kernel need not wait for more.
        let _ = stream.set_nodelay(true);
        converse(stream, client, Transport::Tcp, zone.clone(), pass, Arc::clone(&desk))
    };
    stream::accept(listener, door, move |note| noted.counters.note(&note), converse).await
}

/// One connection, to its end. How it ends is the client's business and nobody else's.
pub(super) async fn converse<S>(stream: S, client: SocketAddr, transport: Transport, zone: Reader, _pass: Pass, desk: Arc<Desk>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    desk.counters.connections.increment(1.0);
    let peer = Peer { address: client, transport };
    let _ = answer_all(stream, peer, &zone, &desk).await;
    desk.counters.connections.decrement(1.0);
}

async fn answer_all<S: AsyncRead + AsyncWrite + Unpin>(stream: S, peer: Peer, zone: &Reader, desk: &Desk) -> io::Result<()> {
    let mut stream = BufReader::with_capacity(QUERY_LIMIT_BYTES, stream);
    let (mut query, mut reply, mut batch, mut tally) = (Vec::new(), Vec::new(), Vec::new(), Tally::default());
    loop {
        timeout(IDLE_TIMEOUT, read_message(&mut stream, &mut query, QUERY_LIMIT_BYTES)).await??;
        let moment = desk.moment();
        let outcome = desk.answer(&zone.current(), &query, peer, &moment, &mut reply, &mut tally);
        tally.spent(1, moment.age_us(desk));
        desk.counters.take(peer.transport, &mut tally);
        desk.audience.hear(peer.address.ip());
        let silent = matches!(outcome, Outcome::Silent(_));
        if !silent {
            push_message(&mut batch, &reply);
        }
        if silent || batch.len() >= BATCH_LIMIT_BYTES || !has_message(stream.buffer()) {
            timeout(WRITE_TIMEOUT, async {
                stream.write_all(&batch).await?;
                stream.flush().await
            })
            .await??;
            batch.clear();
        }
        if silent {
            // Who sends what is no query will not send better.
            return Ok(());
        }
    }
}
