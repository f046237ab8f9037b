//! Messages on a stream, each behind its length (RFC 1035 section 4.2.2, RFC 7766): who may be connected, and how the bytes come.
//!
//! What it refuses: to let one client take all the places.

use super::batch::BatchSocket;
use super::udp::UdpOptions;
use nix::sys::socket::{setsockopt, sockopt};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// All connections together: each takes a few KiB, and a campus's resolvers need a handful.
const CONNECTION_LIMIT: usize = 1024;
/// Of one client, or of one IPv6 subnet, so that nobody can take all of them.
const CLIENT_CONNECTION_LIMIT: usize = 64;
/// The longest query that is read: far above any real one, far below what the length could say.
pub const QUERY_LIMIT_BYTES: usize = 4096;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// How often port 0 is asked for a port that is free for UDP and TCP both.
const PORT_TRIES: usize = 16;
/// How long a loop rests after its socket failed, so that a lasting fault does not eat a core.
const REST_AFTER_ERROR: Duration = Duration::from_millis(20);

/// What happens at the door that is worth counting.
#[derive(Debug)]
pub enum Note {
    /// Somebody found no place.
    TurnedAway,
    /// The socket failed.
    Fault(io::Error),
}

/// Binds; an IPv6 wildcard takes IPv6 only, as with UDP.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// UDP, with so many sockets, and TCP on one address and one port.
pub fn bind_both(address: SocketAddr, sockets: usize, receive_buffer_bytes: usize) -> io::Result<(Vec<BatchSocket>, TcpListener)> {
    let options = UdpOptions { receive_buffer_bytes: Some(receive_buffer_bytes), ..UdpOptions::default() };
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        let udp = BatchSocket::bind(address, sockets, options)?;
        tries -= 1;
        match bind(udp[0].local_addr()?) {
            Err(wrong) if wrong.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            bound => return Ok((udp, bound?)),
        }
    }
}

/// Accepts until it is dropped, and lets `converse` have each connection for which there is a place; they end with it.
pub async fn accept<C>(listener: TcpListener, door: Arc<Door>, note: impl Fn(Note), converse: impl Fn(TcpStream, SocketAddr, Pass) -> C) -> Infallible
where
    C: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, client)) => match door.enter(client.ip()) {
                Some(pass) => drop(connections.spawn(converse(stream, client, pass))),
                None => note(Note::TurnedAway),
            },
            Err(wrong) => {
                note(Note::Fault(wrong));
                tokio::time::sleep(REST_AFTER_ERROR).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Reads one message behind its length.
pub async fn read_message(reader: &mut (impl AsyncRead + Unpin), message: &mut Vec<u8>, limit_bytes: usize) -> io::Result<()> {
    let len = usize::from(reader.read_u16().await?);
    if len > limit_bytes {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message over the limit"));
    }
    message.resize(len, 0);
    reader.read_exact(message).await.map(drop)
}

/// Whether a whole message has come already.
pub fn has_message(buffer: &[u8]) -> bool {
    buffer.split_first_chunk::<2>().is_some_and(|(len, rest)| rest.len() >= usize::from(u16::from_be_bytes(*len)))
}

/// Puts a message behind its length.
///
/// # Panics
/// When it is over 65535 bytes: the cores keep a message within what the length can say.
pub fn push_message(batch: &mut Vec<u8>, message: &[u8]) {
    let len = u16::try_from(message.len()).expect("the core keeps a message within what the length can say");
    batch.extend_from_slice(&len.to_be_bytes());
    batch.extend_from_slice(message);
}

/// Who is connected.
#[derive(Debug, Default)]
pub struct Door(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// A place among the connections, given back when dropped.
#[derive(Debug)]
pub struct Pass {
    door: Arc<Door>,
    client: IpAddr,
}

impl Door {
    /// A place, or `None` where this client or all together have taken theirs.
    pub fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Pass> {
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
