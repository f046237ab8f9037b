//! Questions over TCP and over TLS (RFC 7858): many on a connection, each answered as soon as it can be (RFC 7766 section 6.2.1.1).

use super::Shown;
use super::desk::{Back, Count, Desk, Done};
use holdfast_proto::dns::{Peer, Transport};
use holdfast_proto::net::stream::{self, Door, Pass, QUERY_LIMIT_BYTES, push_message, read_message};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// How long a client may take for its next whole query: seconds, says RFC 7766 section 6.2.3.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that cannot agree on keys by then is let go.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may take to read what it asked for.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Replies of one connection that wait to be written; a client that reads none of them is not answered more. Another box of ours asks for its
/// whole campus on one connection, and what it waits for may land all at once.
const REPLY_LIMIT: usize = 2048;

/// Accepts until it is dropped; its connections end with it. Over TLS where there is something to show.
pub(super) async fn serve(listener: TcpListener, shown: Option<Shown>, door: Arc<Door>, desk: Arc<Desk>) -> Infallible {
    let noted = Arc::clone(&desk);
    let converse = move |stream, client, pass| greet(stream, client, shown.clone(), pass, Arc::clone(&desk));
    stream::accept(listener, door, move |note| noted.names.note(&note), converse).await
}

/// One connection, to its end. How it ends is the client's business and nobody else's.
async fn greet(stream: TcpStream, client: SocketAddr, shown: Option<Shown>, _pass: Pass, desk: Arc<Desk>) {
    let _ = stream.set_nodelay(true);
    // A stranger gets no keys, which cost more than a question: those who may ask find a place.
    if shown.is_some() && desk.is_stranger(client.ip()) {
        return desk.names.handshakes_failed.increment(1);
    }
    let Some(Shown(shown)) = shown else {
        let (read, write) = stream.into_split();
        return converse(read, write, Peer { address: client, transport: Transport::Tcp }, &desk).await;
    };
    // Without a certificate nobody can be spoken to; who reads it says so.
    let Some(config) = shown() else { return };
    match timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => {
            let (read, write) = tokio::io::split(stream);
            converse(read, write, Peer { address: client, transport: Transport::Tls }, &desk).await;
        }
        Ok(Err(_)) | Err(_) => desk.names.handshakes_failed.increment(1),
    }
}

async fn converse(read: impl AsyncRead + Unpin, write: impl AsyncWrite + Unpin, peer: Peer, desk: &Desk) {
    desk.names.connections.increment(1.0);
    let (replies, ready) = mpsc::channel(REPLY_LIMIT);
    // What was asked for is still told when no more questions come.
    let _ = tokio::join!(hear(read, peer, replies, desk), tell(write, ready));
    desk.names.connections.decrement(1.0);
}

async fn hear(read: impl AsyncRead + Unpin, peer: Peer, replies: mpsc::Sender<Vec<u8>>, desk: &Desk) -> io::Result<()> {
    let (mut stream, mut query, mut count) = (BufReader::with_capacity(QUERY_LIMIT_BYTES, read), Vec::new(), Count::default());
    // Whoever is refused is refused once.
    let questions = if desk.is_stranger(peer.address.ip()) { 1 } else { usize::MAX };
    for _ in 0..questions {
        timeout(IDLE_TIMEOUT, read_message(&mut stream, &mut query, QUERY_LIMIT_BYTES)).await??;
        let mut reply = Vec::new();
        let done = {
            let instance = desk.instance();
            let done = desk.answer(&instance, &query, peer, || Back::Stream(replies.clone()), &mut reply, &mut count);
            if let Done::Now = done {
                count.tally.spent(1, instance.age_us(desk));
            }
            done
        };
        desk.take(peer.transport, &mut count);
        desk.audience.hear(peer.address.ip());
        match done {
            Done::Later => {}
            // Who sends what is no query will not send better.
            Done::Now if reply.is_empty() => return Ok(()),
            // One that does not read is not read from, and after a while it is let go.
            Done::Now => timeout(WRITE_TIMEOUT, replies.send(reply)).await?.map_err(io::Error::other)?,
        }
    }
    Ok(())
}

async fn tell(mut write: impl AsyncWrite + Unpin, mut ready: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    let mut batch = Vec::new();
    while let Some(reply) = ready.recv().await {
        push_message(&mut batch, &reply);
        while let Ok(reply) = ready.try_recv() {
            push_message(&mut batch, &reply);
        }
        timeout(WRITE_TIMEOUT, write.write_all(&batch)).await??;
        timeout(WRITE_TIMEOUT, write.flush()).await??;
        batch.clear();
    }
    Ok(())
}
