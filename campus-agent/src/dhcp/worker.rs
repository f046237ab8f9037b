use super::commit::Committer;
use super::counters::Counters;
use super::delivery::{Delivery, Reply};
use super::interfaces::Interfaces;
use super::notes;
use super::whereabouts::Whereabouts;
use crate::reports::Spool;
use holdfast_proto::dhcp::lease::Lease;
use holdfast_proto::dhcp::{Desk, Kind, Outcome, Peer, Reason, Standing};
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::net::datagrams::{Arrival, Datagrams, Inbox};
use holdfast_proto::snapshot::{Reader, View};
use holdfast_proto::words::UnixMillis;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Longer packets are cut; no client sends one.
const PACKET_BYTES: usize = 4096;
/// A socket that fails at once, over and over, must not take a core.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// The one who answers: receives what is ready, answers all of it from one view, sends all.
pub(super) struct Worker {
    pub(super) socket: Arc<Datagrams>,
    pub(super) delivery: Delivery,
    pub(super) committer: Option<Committer>,
    pub(super) counters: Arc<Counters>,
    pub(super) reader: Reader,
    pub(super) desk: Desk,
    pub(super) whereabouts: watch::Receiver<Whereabouts>,
    /// The time that leases run by.
    pub(super) lease_clock: Arc<TrustedClock>,
    /// The time that people are told.
    pub(super) clock: Arc<TrustedClock>,
    pub(super) spool: Spool,
    pub(super) server_name: String,
}

/// What is used anew for every batch.
#[derive(Default)]
struct Tools {
    interfaces: Interfaces,
    replies: Vec<Reply>,
    /// Buffers of replies that were sent.
    room: Vec<Vec<u8>>,
}

impl Worker {
    pub(super) fn run(mut self, stop: &AtomicBool) {
        let (mut inbox, mut tools) = (Inbox::new(PACKET_BYTES), Tools::default());
        while !stop.load(Ordering::Relaxed) {
            if let Err(error) = self.socket.receive(&mut inbox) {
                self.counters.socket_failed("receive");
                tracing::debug!(event = "dhcp_receive_failed", %error, "a receive failed: {error}");
                std::thread::sleep(ERROR_PAUSE);
                continue;
            }
            self.answer_all(&inbox, &mut tools);
        }
    }

    fn answer_all(&mut self, inbox: &Inbox, tools: &mut Tools) {
        let (view, now) = (self.reader.current(), self.lease_clock.now());
        let may_lend = self.committer.as_mut().is_some_and(|committer| committer.may_lend(now));
        self.desk.set_lending(may_lend);
        let late_ms = self.clock.now().0.saturating_sub(now.0);
        let whereabouts = self.whereabouts.borrow().clone();
        tools.interfaces.refresh();
        for record in self.desk.heed(&view, now) {
            if let Some(committer) = &self.committer {
                committer.commit(&Lease { told: UnixMillis(now.0 + late_ms), ..record }, None, now);
            }
        }
        for (packet, arrival) in inbox.iter() {
            self.counters.asked(Kind::of(packet));
            let mut out = tools.room.pop().unwrap_or_default();
            let outcome = self.decide(&view, (packet, arrival), &tools.interfaces, &whereabouts, now, &mut out);
            self.counters.answered(outcome);
            let link = tools.interfaces.link(arrival.door.interface);
            let reply = match outcome {
                Outcome::Replied { to, .. } => Some(Reply { packet: out, to, arrival, link }),
                Outcome::Silent(_) => None,
            };
            match (self.desk.take_record(), &self.committer) {
                (Some(record), Some(committer)) => committer.commit(&Lease { told: UnixMillis(now.0 + late_ms), ..record }, reply, now),
                // Nothing is lent without a log, so there is no such record.
                (Some(_), None) => {}
                (None, _) => tools.replies.extend(reply),
            }
        }
        self.delivery.send(&mut tools.replies, &mut tools.room);
        notes::tell(&self.spool, self.desk.take_notes(), late_ms);
        self.counters.known(self.desk.leases().len(), self.desk.strangers());
    }

    fn decide(
        &mut self,
        view: &View,
        (packet, arrival): (&[u8], Arrival),
        interfaces: &Interfaces,
        whereabouts: &Whereabouts,
        now: UnixMillis,
        out: &mut Vec<u8>,
    ) -> Outcome {
        if is_directed_broadcast(arrival) {
            return Outcome::Silent(Reason::DirectedBroadcast);
        }
        let peer = Peer {
            from: SocketAddr::V4(arrival.from),
            local: arrival.door.local,
            interface_addresses: interfaces.addresses(arrival.door.interface),
            server_name: &self.server_name,
            standing: Standing { campus: &whereabouts.campus, silent: &whereabouts.silent, heard_for_secs: 0 },
        };
        self.desk.answer(view, packet, peer, now, out)
    }
}

/// A broadcast to one subnet's address, which came from who knows where: routers should not pass it (RFC 2644).
fn is_directed_broadcast(arrival: Arrival) -> bool {
    let is_to_us = arrival.door.local.is_none_or(|local| arrival.to == local);
    !is_to_us && arrival.to != Ipv4Addr::BROADCAST && !arrival.to.is_multicast() && !arrival.to.is_unspecified()
}
