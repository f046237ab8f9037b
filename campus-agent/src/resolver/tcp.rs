//! Questions over TCP: many on a connection, each answered as soon as it can be (RFC 7766 section 6.2.1.1).

use super::desk::{Back, Count, Desk, Done};
use holdfast_proto::dns::{Peer, Transport};
use holdfast_proto::net::stream::{self, Door, Pass, QUERY_LIMIT_BYTES, push_message, read_message};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long a client may take for its next whole query: seconds, says RFC 7766 section 6.2.3.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to read what it asked for.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Replies of one connection that wait to be written; a client that reads none of them is not answered more.
const REPLY_LIMIT: usize = 64;

/// Accepts until it is dropped; its connections end with it.
pub(super) async fn serve(listener: TcpListener, door: Arc<Door>, desk: Arc<Desk>) -> Infallible {
    let noted = Arc::clone(&desk);
    let converse = move |stream, client, pass| converse(stream, client, pass, Arc::clone(&desk));
    stream::accept(listener, door, move |note| noted.names.note(&note), converse).await
}

/// One connection, to its end. How it ends is the client's business and nobody else's.
async fn converse(stream: TcpStream, client: SocketAddr, _pass: Pass, desk: Arc<Desk>) {
    let _ = stream.set_nodelay(true);
    desk.names.connections.increment(1.0);
    let (read, write) = stream.into_split();
    let (replies, ready) = mpsc::channel(REPLY_LIMIT);
    // What was asked for is still told when no more questions come.
    let _ = tokio::join!(hear(read, client, replies, &desk), tell(write, ready));
    desk.names.connections.decrement(1.0);
}

async fn hear(read: OwnedReadHalf, client: SocketAddr, replies: mpsc::Sender<Vec<u8>>, desk: &Desk) -> io::Result<()> {
    let (mut stream, mut query, mut count) = (BufReader::with_capacity(QUERY_LIMIT_BYTES, read), Vec::new(), Count::default());
    let peer = Peer { address: client, transport: Transport::Tcp };
    loop {
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
        desk.audience.hear(client.ip());
        match done {
            Done::Later => {}
            // Who sends what is no query will not send better.
            Done::Now if reply.is_empty() => return Ok(()),
            // One that does not read is not read from, and after a while it is let go.
            Done::Now => timeout(WRITE_TIMEOUT, replies.send(reply)).await?.map_err(io::Error::other)?,
        }
    }
}

async fn tell(mut write: OwnedWriteHalf, mut ready: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    let mut batch = Vec::new();
    while let Some(reply) = ready.recv().await {
        push_message(&mut batch, &reply);
        while let Ok(reply) = ready.try_recv() {
            push_message(&mut batch, &reply);
        }
        timeout(WRITE_TIMEOUT, write.write_all(&batch)).await??;
        batch.clear();
    }
    Ok(())
}
