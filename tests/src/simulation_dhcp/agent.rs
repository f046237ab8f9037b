use super::Safeguard;
use super::master::net;
use super::packet::RELAY;
use crate::simulation::Dice;
use holdfast_proto::dhcp::lease::{Lease, LeaseState, Leases};
use holdfast_proto::dhcp::message::Message;
use holdfast_proto::dhcp::{Board, Desk, Kind, Outcome, Peer, Standing};
use holdfast_proto::lent::NameRecord;
use holdfast_proto::snapshot::View;
use holdfast_proto::words::{DomainName, NodeId, UnixMillis};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// One agent: its desk, its disk, its clock, and what it has seen of the master's generations.
pub(super) struct Agent {
    pub number: NodeId,
    pub address: Ipv4Addr,
    campus: &'static str,
    desk: Desk,
    /// What is on disk, and what the kernel has of it.
    synced: Vec<Vec<u8>>,
    unsynced: Vec<Vec<u8>>,
    /// What waits for the disk.
    waiting: Vec<Vec<u8>>,
    pub view: Arc<View>,
    /// Parts in a thousand that its clock is fast by.
    drift: i64,
    pub is_up: bool,
    without: Option<Safeguard>,
}

impl Agent {
    pub fn new(number: u8, campus: &'static str, view: Arc<View>, dice: &mut Dice, without: Option<Safeguard>) -> Self {
        let node = NodeId([number; 16]);
        let bound = if without == Some(Safeguard::Clocks) { 200 } else { 4 };
        Self {
            number: node,
            address: Ipv4Addr::new(10, number, 4, 2),
            campus,
            desk: Desk::new(Some(node), Leases::default()),
            synced: vec![],
            unsynced: vec![],
            waiting: vec![],
            view,
            drift: dice.below(2 * bound + 1) as i64 - bound as i64,
            is_up: true,
            without,
        }
    }

    /// Its own time, for a true one.
    fn clock(&self, now_ms: u64) -> UnixMillis {
        UnixMillis(now_ms.saturating_add_signed(now_ms as i64 / 1000 * self.drift))
    }

    /// Hears a packet: the reply, and whether it waits for the disk.
    pub fn hear(&mut self, packet: &[u8], now_ms: u64) -> Option<(Vec<u8>, bool)> {
        let standing = Standing { campus: self.campus, ..Standing::default() };
        let from = SocketAddr::from((RELAY, 67));
        let peer = Peer { from, local: Some(self.address), interface_addresses: &[self.address], server_name: "", standing };
        let (mut out, clock) = (Vec::new(), self.clock(now_ms));
        let outcome = self.desk.answer(&self.view, packet, peer, clock, &mut out);
        self.desk.take_notes();
        let record = self.desk.take_record();
        let waits = record.is_some() && self.without != Some(Safeguard::Sync);
        if let Some(record) = record {
            if waits { &mut self.waiting } else { &mut self.unsynced }.push(record.encode());
        }
        matches!(outcome, Outcome::Replied { .. }).then_some((out, waits))
    }

    /// The address that this packet, heard just now, declined, where it was this agent's to be declined.
    pub fn declined(&self, packet: &[u8], now_ms: u64) -> Option<Ipv4Addr> {
        let address = Message::parse(packet).ok().filter(|message| message.kind() == Kind::Decline)?.options.address(50)?;
        let lease = self.desk.leases().of_address(net(), address)?;
        (lease.state == LeaseState::Declined && lease.at == self.clock(now_ms)).then_some(address)
    }

    /// The disk took what waited for it.
    pub fn sync(&mut self) {
        let Self { synced, unsynced, waiting, .. } = self;
        synced.append(unsynced);
        synced.append(waiting);
    }

    /// The power goes; of what was not synced the disk keeps as much as it likes.
    pub fn crash(&mut self, dice: &mut Dice) {
        let kept = dice.below(self.unsynced.len() + 1);
        self.synced.extend(self.unsynced.drain(..).take(kept));
        self.waiting.clear();
        self.is_up = false;
    }

    /// The power is back.
    pub fn start(&mut self) {
        let mut leases = Leases::default();
        if self.without != Some(Safeguard::Restore) {
            self.synced.iter().for_each(|record| leases.restore(Lease::decode(record).expect("it was written by this build")));
        }
        self.desk = Desk::new(Some(self.number), leases);
        self.is_up = true;
    }

    /// A name that two of its clients have at once, or that its DNS does not tell as its leases have it.
    pub fn wrong_name(&self, now_ms: u64) -> Option<String> {
        let now = self.clock(now_ms);
        let running = || self.desk.leases().iter().filter(|lease| lease.state == LeaseState::Active && lease.until > now);
        let mut named = BTreeMap::new();
        for lease in running() {
            let Some(name) = lease.name.clone() else { continue };
            let other = named.insert(name.clone(), lease.address);
            let is_one = other.is_none_or(|other| running().any(|lease| lease.address == other && self.is_same(lease, &name)));
            if !is_one {
                return Some(format!("{name} is the name of {} and of {}", lease.address, other.unwrap_or(lease.address)));
            }
        }
        let told = Board::of(self.desk.leases().iter(), now).all();
        let wrong = told.into_iter().find(|record| matches!(record, NameRecord::Put(lent) if !named.contains_key(&lent.name)));
        wrong.map(|record| format!("{record:?} is told and nobody's"))
    }

    /// Whether a client that has moved left this name behind: it has the newer lease, too.
    fn is_same(&self, left: &Lease, name: &DomainName) -> bool {
        self.desk.leases().iter().filter(|lease| lease.name.as_ref() == Some(name)).all(|lease| lease.client == left.client)
    }

    /// Whether it knows of a promise.
    pub fn knows(&self, net: ipnet::Ipv4Net, address: Ipv4Addr, mac: [u8; 6]) -> bool {
        self.desk.leases().of_address(net, address).is_some_and(|lease| lease.chaddr == mac)
    }

    /// Whether something it lent from this range may still be in use.
    pub fn lends_in(&self, first: Ipv4Addr, last: Ipv4Addr, now_ms: u64) -> bool {
        let now = self.clock(now_ms).0;
        // A hundredth for the client's clock, and as much for ours.
        self.desk.leases().iter().any(|lease| (first..=last).contains(&lease.address) && lease.until.0 + (lease.until.0 - lease.at.0) / 50 + 60_000 > now)
    }
}
