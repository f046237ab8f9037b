use super::counters::Counters;
use super::delivery::{Delivery, Reply};
use super::interfaces::Interfaces;
use holdfast_proto::dhcp::{Kind, Outcome, Peer, Reason, answer};
use holdfast_proto::net::datagrams::{Arrival, Datagrams, Inbox};
use holdfast_proto::snapshot::{Reader, View};
use holdfast_proto::words::UnixMillis;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// Longer packets are cut; no client sends one.
const PACKET_BYTES: usize = 4096;
/// A socket that fails at once, over and over, must not take a core.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// The one who answers: receives what is ready, answers all of it from one view, sends all.
pub(super) struct Worker {
    socket: Arc<Datagrams>,
    delivery: Delivery,
    reader: Reader,
    counters: Arc<Counters>,
    server_name: String,
    interfaces: Interfaces,
    replies: Vec<Reply>,
    /// Buffers of replies that were sent.
    room: Vec<Vec<u8>>,
}

impl Worker {
    pub(super) fn new(socket: Arc<Datagrams>, delivery: Delivery, reader: Reader, counters: Arc<Counters>, server_name: String) -> Self {
        Self { socket, delivery, reader, counters, server_name, interfaces: Interfaces::default(), replies: Vec::new(), room: Vec::new() }
    }

    pub(super) fn run(mut self, stop: &AtomicBool) {
        let mut inbox = Inbox::new(PACKET_BYTES);
        while !stop.load(Ordering::Relaxed) {
            if let Err(error) = self.socket.receive(&mut inbox) {
                self.counters.socket_failed("receive");
                tracing::debug!(event = "dhcp_receive_failed", %error, "a receive failed: {error}");
                std::thread::sleep(ERROR_PAUSE);
                continue;
            }
            self.answer_all(&inbox);
        }
    }

    fn answer_all(&mut self, inbox: &Inbox) {
        let (view, now) = (self.reader.current(), now());
        self.interfaces.refresh();
        for (packet, arrival) in inbox.iter() {
            self.counters.asked(Kind::of(packet));
            let mut out = self.room.pop().unwrap_or_default();
            let outcome = self.decide(&view, packet, arrival, now, &mut out);
            self.counters.answered(outcome);
            match outcome {
                Outcome::Replied { to, .. } => {
                    let link = self.interfaces.link(arrival.door.interface);
                    self.replies.push(Reply { packet: out, to, arrival, link });
                }
                Outcome::Silent(_) => self.room.push(out),
            }
        }
        self.delivery.send(&mut self.replies, &mut self.room);
    }

    fn decide(&self, view: &View, packet: &[u8], arrival: Arrival, now: UnixMillis, out: &mut Vec<u8>) -> Outcome {
        if is_directed_broadcast(arrival) {
            return Outcome::Silent(Reason::DirectedBroadcast);
        }
        let interface_addresses = self.interfaces.addresses(arrival.door.interface);
        let peer = Peer { from: SocketAddr::V4(arrival.from), local: arrival.door.local, interface_addresses, server_name: &self.server_name };
        answer(view, packet, peer, now, out)
    }
}

/// A broadcast to one subnet's address, which came from who knows where: routers should not pass it (RFC 2644).
fn is_directed_broadcast(arrival: Arrival) -> bool {
    let is_to_us = arrival.door.local.is_none_or(|local| arrival.to == local);
    !is_to_us && arrival.to != Ipv4Addr::BROADCAST && !arrival.to.is_multicast() && !arrival.to.is_unspecified()
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(since.as_millis().try_into().unwrap_or_default())
}
