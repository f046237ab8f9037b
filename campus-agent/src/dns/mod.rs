//! The DNS service: sockets, connections and counters around the core in `proto`.
//!
//! It sees one reader and nothing else, so no answer depends on whether the master is reachable. What it refuses: to end
//! because a socket failed, to let one client fill the connections or hold up the others, and to log what a packet says.
//!
//! How: one task per UDP socket and one per TCP connection; each takes the newest view for every query, so a new
//! generation shows in the next answer. Sockets are bound once, to wildcards, before there is a carrier or an address.

mod counters;
mod tcp;
mod udp;

use counters::Counters;
use holdfast_proto::net::udp::{UdpOptions, UdpSocket};
use holdfast_proto::snapshot::Reader;
use holdfast_proto::words::UnixMillis;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Room for a burst while the loop is not scheduled: 10 000 queries.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// How long a loop rests after its socket failed, so that a lasting fault does not eat a core.
const REST_AFTER_ERROR: Duration = Duration::from_millis(20);
/// How often port 0 is asked for a port that is free for UDP and TCP both.
const PORT_TRIES: usize = 16;

/// The service with its sockets bound and nothing served yet.
#[derive(Debug)]
pub struct DnsServer {
    sockets: Vec<(UdpSocket, TcpListener)>,
}

impl DnsServer {
    /// Binds UDP and TCP on each address: usually the wildcards `0.0.0.0:53` and `[::]:53`. Must be called inside a tokio runtime.
    /// Without an address nothing is served, and that is no error.
    ///
    /// # Errors
    /// Names the address that could not be bound and why.
    pub fn bind(addresses: &[SocketAddr]) -> io::Result<Self> {
        let bind = |address: &SocketAddr| bind_both(*address).map_err(|wrong| io::Error::new(wrong.kind(), format!("DNS cannot bind {address}: {wrong}")));
        Ok(Self { sockets: addresses.iter().map(bind).collect::<io::Result<_>>()? })
    }

    /// What was bound, with the ports that the kernel chose for port 0: the same for UDP and TCP.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(|(udp, _)| udp.local_addr()).collect()
    }

    /// Serves until `cancelled` resolves; returns earlier only where one of its own tasks panicked, which is logged. The reader is of the zone feed.
    pub async fn serve(self, zone: Reader, cancelled: impl Future<Output = ()>) {
        let counters = Arc::new(Counters::new());
        let door = Arc::new(tcp::Door::default());
        let mut tasks = JoinSet::<Infallible>::new();
        for (socket, listener) in self.sockets {
            tasks.spawn(udp::serve(socket, zone.clone(), Arc::clone(&counters)));
            tasks.spawn(tcp::serve(listener, zone.clone(), Arc::clone(&door), Arc::clone(&counters)));
        }
        // Dropping the set ends the tasks, and the connections with the task that owns them.
        tokio::select! {
            () = cancelled => {}
            Some(ended) = tasks.join_next() => tracing::error!(event = "dns_ended", ?ended, "DNS stopped serving: one of its tasks ended, which is a bug"),
        }
    }
}

/// UDP and TCP on one address and one port.
fn bind_both(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let options = UdpOptions { receive_buffer_bytes: Some(RECEIVE_BUFFER_BYTES), ..UdpOptions::default() };
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        let udp = UdpSocket::bind(address, options)?;
        tries -= 1;
        match tcp::bind(udp.local_addr()?) {
            Err(wrong) if wrong.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            bound => return Ok((udp, bound?)),
        }
    }
}

/// The core asks for time and uses it for nothing yet; no answer may ever hang on this clock being right.
fn unix_now() -> UnixMillis {
    UnixMillis(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64))
}

#[cfg(test)]
mod tests;
