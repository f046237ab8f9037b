//! BOOTP and DHCP: the loop around the core in `proto`.
//!
//! Why it exists: somebody must own port 67. What it refuses: to end. A cable that is out, an interface that goes away, a
//! client that cannot be reached are counted, and the next packet is waited for. How: the wildcard address is bound once,
//! before there is a carrier or an address; what the arrival interface is called at the moment comes from [`interfaces`].

mod counters;
mod interfaces;

use counters::Counters;
use holdfast_proto::dhcp::{CLIENT_PORT, Destination, Kind, Outcome, Peer, SERVER_PORT, answer};
use holdfast_proto::net::udp::{Received, UdpOptions, UdpSocket, Via};
use holdfast_proto::snapshot::Reader;
use holdfast_proto::words::UnixMillis;
use interfaces::Interfaces;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

/// Room for a boot storm: some ten thousand packets while the loop is elsewhere.
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;
/// Longer packets are cut; no client sends one.
const PACKET_BYTES: usize = 4096;
/// How long a reply may wait for room in the socket before the next client matters more.
const SEND_PATIENCE: Duration = Duration::from_millis(100);
/// A socket that fails at once, over and over, must not take a core.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// What the service is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen. On a port other than 67, which a plain user needs, a reply goes to the address and port that the
    /// packet came from: nobody waits on port 67 or 68 there.
    pub listen: SocketAddr,
    /// This box's host name, for BOOTP clients that ask for one server.
    pub server_name: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, SERVER_PORT)), server_name: String::new() }
    }
}

/// The port could not be taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for BOOTP and DHCP on {listen}: {source}; look for another DHCP server on the port, and for the right to use ports below 1024")]
pub struct BindError {
    listen: SocketAddr,
    source: io::Error,
}

/// A bound service that does not answer yet.
#[derive(Debug)]
pub struct Service {
    socket: UdpSocket,
    server_name: String,
    /// See [`Settings::listen`].
    replies_to_source: bool,
}

/// Takes the port; must be called inside a tokio runtime. Neither carrier nor address is needed.
pub fn bind(settings: &Settings) -> Result<Service, BindError> {
    let options = UdpOptions { broadcast: true, receive_buffer_bytes: Some(RECEIVE_BUFFER_BYTES) };
    let failed = |source| BindError { listen: settings.listen, source };
    if settings.listen.is_ipv6() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "BOOTP and DHCP are spoken over IPv4 only")));
    }
    let socket = UdpSocket::bind(settings.listen, options).map_err(failed)?;
    Ok(Service { socket, server_name: settings.server_name.clone(), replies_to_source: settings.listen.port() != SERVER_PORT })
}

impl Service {
    /// The address that was bound.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Answers until its future is dropped, each packet from the newest view.
    pub async fn serve(self, reader: Reader) -> Infallible {
        let counters = Counters::register();
        let (mut interfaces, mut buffer, mut out) = (Interfaces::default(), vec![0; PACKET_BYTES], Vec::with_capacity(PACKET_BYTES));
        loop {
            let received = match self.socket.recv(&mut buffer).await {
                Ok(received) => received,
                Err(error) => {
                    counters.socket_failed("receive");
                    tracing::debug!(event = "dhcp_receive_failed", %error, "a receive failed: {error}");
                    tokio::time::sleep(ERROR_PAUSE).await;
                    continue;
                }
            };
            let packet = &buffer[..received.len];
            counters.asked(Kind::of(packet));
            let outcome = self.decide(&reader, packet, received, &mut interfaces, &mut out);
            counters.answered(outcome);
            if let Outcome::Replied { to, .. } = outcome {
                self.reply(&out, to, received, &counters).await;
            }
        }
    }

    fn decide(&self, reader: &Reader, packet: &[u8], received: Received, interfaces: &mut Interfaces, out: &mut Vec<u8>) -> Outcome {
        let local = match received.via.local {
            Some(IpAddr::V4(address)) => Some(address),
            _ => None,
        };
        let interface_addresses = interfaces.addresses(received.via.interface);
        let peer = Peer { from: received.from, local, interface_addresses, server_name: &self.server_name };
        answer(&reader.current(), packet, peer, now(), out)
    }

    async fn reply(&self, packet: &[u8], to: Destination, received: Received, counters: &Counters) {
        let (to, via) = if self.replies_to_source { (received.from, received.via) } else { route(to, received.via) };
        let sent = tokio::time::timeout(SEND_PATIENCE, self.socket.send(packet, to, via)).await;
        let sent = sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if let Err(error) = sent {
            counters.socket_failed("send");
            tracing::debug!(event = "dhcp_send_failed", %to, %error, "a reply to {to} was not sent: {error}");
        }
    }
}

/// Only a broadcast is bound to the interface: the way back to a relay may lead over another one.
fn route(to: Destination, via: Via) -> (SocketAddr, Via) {
    match to {
        Destination::Relay(address, port) | Destination::Unicast(address, port) => (SocketAddr::from((address, port)), Via { interface: 0, ..via }),
        Destination::BroadcastOnArrivalInterface => (SocketAddr::from((Ipv4Addr::BROADCAST, CLIENT_PORT)), via),
    }
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(since.as_millis().try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests;
