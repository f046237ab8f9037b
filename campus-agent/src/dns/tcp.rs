//! DNS over a stream, TCP (RFC 7766) or TLS: many queries on a connection, answered in the order they came.
//!
//! Queries that came together are answered together in one write. A client that does not read holds up itself alone:
//! nothing more is read from it until it takes its replies, and after a while it is let go.

use super::REST_AFTER_ERROR;
use super::desk::Desk;
use super::tally::Tally;
use holdfast_proto::dns::{Outcome, Peer, Transport};
use holdfast_proto::snapshot::Reader;
use nix::sys::socket::{setsockopt, sockopt};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a client may take for its next whole query: seconds, says RFC 7766 section 6.2.3.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to read what it asked for.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// All connections together: each takes a few KiB, and a campus's resolvers need a handful.
const CONNECTION_LIMIT: usize = 1024;
/// Of one client, or of one IPv6 subnet, so that nobody can take all of them.
const CLIENT_CONNECTION_LIMIT: usize = 64;
/// The longest query that is read: far above any real one, far below what the length could say.
const QUERY_LIMIT_BYTES: usize = 4096;
/// How many bytes of replies are gathered before they are written.
const BATCH_LIMIT_BYTES: usize = 64 << 10;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Binds; an IPv6 wildcard takes IPv6 only, as with UDP.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until it is dropped; its connections end with it.
pub(super) async fn serve(listener: TcpListener, zone: Reader, door: Arc<Door>, desk: Arc<Desk>) -> Infallible {
    let converse = move |stream: TcpStream, client, pass, desk| {
        // Replies are gathered here already, so the kernel need not wait for more.
        let _ = stream.set_nodelay(true);
        converse(stream, client, Transport::Tcp, zone.clone(), pass, desk)
    };
    accept(listener, door, desk, converse).await
}

/// Accepts until it is dropped, and lets `converse` have each connection for which there is a place.
pub(super) async fn accept<C>(
    listener: TcpListener,
    door: Arc<Door>,
    desk: Arc<Desk>,
    converse: impl Fn(TcpStream, SocketAddr, Pass, Arc<Desk>) -> C,
) -> Infallible
where
    C: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, client)) => match door.enter(client.ip()) {
                Some(pass) => drop(connections.spawn(converse(stream, client, pass, Arc::clone(&desk)))),
                None => desk.counters.turned_away.increment(1),
            },
            Err(wrong) => {
                desk.counters.fault("accept", &wrong);
                tokio::time::sleep(REST_AFTER_ERROR).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
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
        timeout(IDLE_TIMEOUT, read_message(&mut stream, &mut query)).await??;
        let moment = desk.moment();
        let outcome = desk.answer(&zone.current(), &query, peer, &moment, &mut reply, &mut tally);
        tally.spent(1, moment.age_us(desk));
        desk.counters.take(peer.transport, &mut tally);
        desk.hear(peer.address.ip());
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

/// Reads one message behind its length (RFC 1035 section 4.2.2).
async fn read_message(reader: &mut (impl AsyncRead + Unpin), message: &mut Vec<u8>) -> io::Result<()> {
    let len = usize::from(reader.read_u16().await?);
    if len > QUERY_LIMIT_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a query over the limit"));
    }
    message.resize(len, 0);
    reader.read_exact(message).await.map(drop)
}

/// Whether a whole message has come already.
fn has_message(buffer: &[u8]) -> bool {
    buffer.split_first_chunk::<2>().is_some_and(|(len, rest)| rest.len() >= usize::from(u16::from_be_bytes(*len)))
}

fn push_message(batch: &mut Vec<u8>, reply: &[u8]) {
    let len = u16::try_from(reply.len()).expect("the core keeps a reply within what the length can say");
    batch.extend_from_slice(&len.to_be_bytes());
    batch.extend_from_slice(reply);
}

/// Who is connected.
#[derive(Default)]
pub(super) struct Door(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// A place among the connections, given back when dropped.
pub(super) struct Pass {
    door: Arc<Door>,
    client: IpAddr,
}

impl Door {
    /// A place, or `None` where this client or all together have taken theirs.
    pub(super) fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Pass> {
        let client = subnet_of(client);
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = inside.by_client.get(&client).copied().unwrap_or(0);
        if inside.all >= CONNECTION_LIMIT || own >= CLIENT_CONNECTION_LIMIT {
            return None;
        }
        inside.all += 1;
        inside.by_client.insert(client, own + 1);
        Some(Pass { door: Arc::clone(self), client })
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.door.0.lock().unwrap_or_else(PoisonError::into_inner);
        inside.all -= 1;
        match inside.by_client.get_mut(&self.client) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(inside.by_client.remove(&self.client)),
        }
    }
}

/// One client has one IPv4 address, and a whole IPv6 subnet of 64 bits.
fn subnet_of(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_the_places() {
        let door = Arc::new(Door::default());
        let address = |n: u8| IpAddr::from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, n]);
        let mut passes: Vec<Pass> = (0..CLIENT_CONNECTION_LIMIT).map(|n| door.enter(address(n as u8)).unwrap()).collect();
        assert!(door.enter(address(99)).is_none(), "another address of the same subnet");
        assert!(door.enter([192, 0, 2, 1].into()).is_some());
        passes.pop();
        assert!(door.enter(address(99)).is_some());
        drop(passes);
        let inside = door.0.lock().unwrap();
        assert_eq!((inside.all, inside.by_client.len()), (0, 0));
    }

    #[test]
    fn whole_messages_are_told_from_parts() {
        for (buffer, whole) in [(&b""[..], false), (b"\0", false), (b"\0\0", true), (b"\0\x02a", false), (b"\0\x02ab", true), (b"\0\x02abc", true)] {
            assert_eq!(has_message(buffer), whole, "{buffer:?}");
        }
    }
}
