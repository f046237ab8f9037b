//! The way of a reply to its client: to a relay or a client with an address as a datagram, to a client without one in a frame of
//! its own, and where no frame can be sent (no right to, no Ethernet) by broadcast, which every client takes too.

use super::counters::Counters;
use holdfast_proto::dhcp::{CLIENT_PORT, Destination, SERVER_PORT};
use holdfast_proto::net::datagrams::{Arrival, Datagrams, Door, Outgoing};
use holdfast_proto::net::frame::FrameSocket;
use nix::sys::socket::LinkAddr;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

/// A reply, and all that decides on its way.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) packet: Vec<u8>,
    pub(super) to: Destination,
    /// The request's.
    pub(super) arrival: Arrival,
    /// The interface that the request came in on.
    pub(super) link: Option<LinkAddr>,
}

/// Sends replies; any thread may.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    socket: Arc<Datagrams>,
    frames: Option<Arc<FrameSocket>>,
    /// See [`super::Settings::listen`].
    to_source: bool,
    counters: Arc<Counters>,
}

impl Delivery {
    pub(super) fn new(socket: Arc<Datagrams>, to_source: bool, counters: Arc<Counters>) -> Self {
        let refused = |error: &std::io::Error| {
            tracing::info!(event = "dhcp_without_frames", %error, "clients without an address are answered by broadcast: {error} (the right to send frames is CAP_NET_RAW)");
        };
        let frames = if to_source { None } else { FrameSocket::open().inspect_err(refused).ok().map(Arc::new) };
        Self { socket, frames, to_source, counters }
    }

    /// Sends all of these, and gives their room back.
    pub(super) fn send(&self, replies: &mut Vec<Reply>, room: &mut Vec<Vec<u8>>) {
        let mut outgoing = Vec::with_capacity(replies.len());
        for reply in replies.drain(..) {
            if self.sent_in_a_frame(&reply) {
                room.push(reply.packet);
                continue;
            }
            let (to, door) = if self.to_source { (reply.arrival.from, reply.arrival.door) } else { route(reply.to, reply.arrival.door) };
            outgoing.push(Outgoing { packet: reply.packet, to, door });
        }
        self.socket.send(&outgoing, |outgoing, error| {
            self.counters.socket_failed("send");
            tracing::debug!(event = "dhcp_send_failed", to = %outgoing.to, %error, "a reply to {} was not sent: {error}", outgoing.to);
        });
        room.extend(outgoing.into_iter().map(|outgoing| outgoing.packet));
    }

    fn sent_in_a_frame(&self, reply: &Reply) -> bool {
        let (Destination::Hardware { address, mac, server }, Some(frames), Some(link)) = (reply.to, &self.frames, &reply.link) else { return false };
        let addresses = (SocketAddrV4::new(server, SERVER_PORT), SocketAddrV4::new(address, CLIENT_PORT));
        let sent = frames.send(link, mac, addresses, &reply.packet);
        if let Err(error) = &sent {
            tracing::debug!(event = "dhcp_frame_failed", %error, "a frame was not sent, so its reply is broadcast: {error}");
        }
        sent.is_ok()
    }
}

/// Only a broadcast is bound to the interface: the way back to a relay may lead over another one.
fn route(to: Destination, door: Door) -> (SocketAddrV4, Door) {
    match to {
        Destination::Relay(address, port) | Destination::Unicast(address, port) => (SocketAddrV4::new(address, port), Door { interface: 0, ..door }),
        Destination::Hardware { server, .. } => (SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT), Door { local: Some(server), ..door }),
        Destination::BroadcastOnArrivalInterface => (SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT), door),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 1, 4, 1);

    #[test]
    fn only_a_broadcast_is_bound_to_the_interface() {
        let door = Door { local: Some(ROUTER), interface: 7 };
        let relay = route(Destination::Relay(ROUTER, 67), door);
        assert_eq!(relay, ("10.1.4.1:67".parse().unwrap(), Door { interface: 0, ..door }));
        let everybody = ("255.255.255.255:68".parse().unwrap(), door);
        assert_eq!(route(Destination::BroadcastOnArrivalInterface, door), everybody);
        let frame = Destination::Hardware { address: Ipv4Addr::new(10, 1, 4, 9), mac: [2; 6], server: ROUTER };
        assert_eq!(route(frame, door), everybody, "where no frame can be sent");
    }
}
