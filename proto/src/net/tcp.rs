//! DNS over a stream, as both programs speak it: binding, messages behind their lengths, and a place for each connection.

use nix::sys::socket::{setsockopt, sockopt};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpSocket};

/// All connections together: each takes a few KiB, and a campus's resolvers need a handful.
const CONNECTION_LIMIT: usize = 1024;
/// Of one client, or of one IPv6 subnet, so that nobody can take all of them.
const CLIENT_CONNECTION_LIMIT: usize = 64;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

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

/// Reads one message behind its length (RFC 1035 section 4.2.2); one over the limit ends the conversation.
pub async fn read_message(reader: &mut (impl AsyncRead + Unpin), limit_bytes: usize, message: &mut Vec<u8>) -> io::Result<()> {
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

/// Appends a message behind its length.
///
/// # Panics
/// Where it is longer than the length can say: no core writes such a one.
pub fn push_message(batch: &mut Vec<u8>, reply: &[u8]) {
    let len = u16::try_from(reply.len()).expect("the core keeps a reply within what the length can say");
    batch.extend_from_slice(&len.to_be_bytes());
    batch.extend_from_slice(reply);
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
