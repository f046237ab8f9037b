//! One UDP socket's loop: receive, ask the core, send.

use super::counters::Counters;
use super::{REST_AFTER_ERROR, unix_now};
use futures_util::FutureExt;
use holdfast_proto::dns::{Outcome, Peer, Transport, UDP_PAYLOAD_LIMIT_BYTES, answer};
use holdfast_proto::net::udp::{Received, UdpSocket};
use holdfast_proto::snapshot::Reader;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::task::coop::unconstrained;

/// No query comes near it; a longer packet is cut, and so malformed.
const QUERY_LIMIT_BYTES: usize = 4096;

/// Runs until it is dropped.
pub(super) async fn serve(socket: UdpSocket, zone: Reader, counters: Arc<Counters>) -> Infallible {
    let mut packet = vec![0; QUERY_LIMIT_BYTES];
    let mut reply = Vec::with_capacity(UDP_PAYLOAD_LIMIT_BYTES);
    loop {
        match socket.recv(&mut packet).await {
            Ok(received) => on_packet(&socket, &packet[..received.len], received, &zone, &mut reply, &counters),
            Err(wrong) => {
                counters.fault("receive", &wrong);
                tokio::time::sleep(REST_AFTER_ERROR).await;
            }
        }
    }
}

fn on_packet(socket: &UdpSocket, packet: &[u8], received: Received, zone: &Reader, reply: &mut Vec<u8>, counters: &Counters) {
    let peer = Peer { address: received.from, transport: Transport::Udp };
    let outcome = answer(&zone.current(), packet, peer, unix_now(), reply);
    counters.count(Transport::Udp, outcome);
    if matches!(outcome, Outcome::Silent(_)) {
        return;
    }
    // Sent now or not at all: while packets for a host that is down fill the socket, the others must not wait for them.
    match unconstrained(socket.send(reply, received.from, received.via)).now_or_never() {
        Some(Ok(())) => {}
        Some(Err(wrong)) => counters.fault("send", &wrong),
        None => counters.unsent.increment(1),
    }
}
