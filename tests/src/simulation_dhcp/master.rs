use super::Safeguard;
use super::agent::Agent;
use super::packet::mac;
use crate::simulation::Dice;
use holdfast_proto::dhcp::policy::{POLICY, PolicyRow, Share};
use holdfast_proto::dhcp::table::{RESERVATION, Reservation, SUBNET, SubnetRow, reservation_key, subnet_key};
use holdfast_proto::lent::{NAMING, Naming};
use holdfast_proto::snapshot::{Change, Feed, State, View};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// How long an address is lent, in seconds.
pub(super) const LEASE_SECS: u32 = 600;
/// The pool, in pieces that move one by one.
pub(super) const PIECES: u8 = 6;
const PIECE: u8 = 2;
/// Clients that are registered, from the first.
pub(super) const REGISTERED: usize = 2;

/// The master, as far as shares go: every piece of the pool has one owner or none.
pub(super) struct Master {
    /// By piece.
    owners: [Option<usize>; PIECES as usize],
    /// A piece on its way: which, and to whom.
    moving: Option<(usize, usize)>,
    pub latest: Arc<View>,
    without: Option<Safeguard>,
}

pub(super) fn net() -> Ipv4Net {
    "10.1.4.0/24".parse().expect("a network")
}

/// The address that is reserved for a client.
pub(super) fn reserved(client: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, 4, 200 + client as u8)
}

fn piece(number: usize) -> (Ipv4Addr, Ipv4Addr) {
    let first = 50 + number as u8 * PIECE;
    (Ipv4Addr::new(10, 1, 4, first), Ipv4Addr::new(10, 1, 4, first + PIECE - 1))
}

impl Master {
    pub fn new(without: Option<Safeguard>) -> Self {
        let owners = std::array::from_fn(|piece| Some(usize::from(piece >= usize::from(PIECES) * 2 / 3)));
        let mut master = Self { owners, moving: None, latest: Arc::new(View::empty(Feed::BOOTPTAB)), without };
        master.publish();
        master
    }

    fn publish(&mut self) {
        let shares = self.owners.iter().enumerate().filter_map(|(number, owner)| {
            let (first, last) = piece(number);
            Some(Share { first, last, owner: holdfast_proto::words::NodeId([(*owner)? as u8 + 1; 16]) })
        });
        let policy = PolicyRow { lease_secs: LEASE_SECS, shares: shares.collect(), ..PolicyRow::default() };
        let options = vec![(1, vec![255, 255, 255, 0]), (3, vec![10, 1, 4, 1])];
        let mut rows = vec![
            Change::put(SUBNET, subnet_key(net()), SubnetRow { campus: "north".into(), options }.encode()),
            Change::put(POLICY, subnet_key(net()), policy.encode()),
            Change::put(NAMING, subnet_key(net()), Naming { zone: "dyn.uni.example".parse().expect("a name") }.encode()),
        ];
        rows.extend((0..REGISTERED).map(|client| {
            let (address, host_name) = (reserved(client), String::new());
            let (server_name, boot_file) = (String::new(), String::new());
            let row = Reservation { address, host_name, send_host_name: false, next_server: None, server_name, boot_file, wait_secs: 0, options: vec![] };
            Change::put(RESERVATION, reservation_key(net(), 1, &mac(client)), row.encode())
        }));
        let draft = State::empty(Feed::BOOTPTAB).compose(rows).expect("rows within their limits").expect("there are rows");
        self.latest = Arc::new(draft.into_view());
    }

    /// The rows for one agent. Without [`Safeguard::Shares`] each owns everything.
    pub fn view_for(&self, agent: usize) -> Arc<View> {
        if self.without != Some(Safeguard::Shares) {
            return Arc::clone(&self.latest);
        }
        let mut everything = Self { owners: [Some(agent); PIECES as usize], moving: None, latest: Arc::clone(&self.latest), without: None };
        everything.publish();
        everything.latest
    }

    /// How many addresses can be lent by somebody.
    pub fn owned(&self) -> usize {
        self.owners.iter().flatten().count() * usize::from(PIECE)
    }

    /// Somebody orders a piece to move: its owner is to give it up.
    pub fn order(&mut self, dice: &mut Dice) {
        let number = dice.below(usize::from(PIECES));
        let Some(owner) = self.owners[number].filter(|_| self.moving.is_none()) else { return };
        if self.without == Some(Safeguard::ReleaseFirst) {
            self.owners[number] = Some(1 - owner);
        } else {
            self.owners[number] = None;
            self.moving = Some((number, 1 - owner));
        }
        self.publish();
    }

    /// Grants what was given up, once every agent sees that and nothing that was lent of it can be in use. An agent that is down does
    /// not say so, and keeps it waiting.
    pub fn grant(&mut self, agents: &[Agent], now_ms: u64) {
        let Some((number, to)) = self.moving else { return };
        let (first, last) = piece(number);
        let is_given_up = agents.iter().all(|agent| agent.is_up && Arc::ptr_eq(&agent.view, &self.latest) && !agent.lends_in(first, last, now_ms));
        if is_given_up {
            self.owners[number] = Some(to);
            self.moving = None;
            self.publish();
        }
    }
}
