use super::super::store::{POOL, POOL_GATEWAY};
use super::{SERVER, scattered};
use anyhow::{Context, Result, ensure};
use holdfast_proto::net::datagrams::{Datagrams, Door, Inbox, Outgoing};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

/// Exchanges under way at once.
pub const WINDOW: usize = 64;
/// An exchange that hears nothing for so long is lost, and begun anew.
const PATIENCE: Duration = Duration::from_millis(500);
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;
const REPLY_BYTES: usize = 1500;
/// Clients of the pool in one run, so that a lease is always for somebody new.
const STRANGERS: u64 = 3_000_000;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const PACKET_BYTES: usize = 300;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// A reserved host, by BOOTP.
    Bootp,
    /// A reserved host, by DORA.
    Reserved,
    /// A machine that nobody knows, by DORA.
    Pool,
}

/// What a round gave.
#[derive(Debug, Clone, Copy)]
pub struct Tally {
    /// Exchanges that ended with an address.
    pub done: u64,
    /// Exchanges that were given up.
    pub lost: u64,
    /// How long the round was.
    pub time: Duration,
    /// The time that 99 of 100 exchanges did not exceed.
    pub p99: Duration,
}

/// One exchange under way.
#[derive(Clone)]
struct Exchange {
    xid: u32,
    mac: [u8; 6],
    giaddr: Ipv4Addr,
    begun: Instant,
    said: Instant,
    is_taking: bool,
}

/// A closed loop over one socket: so many exchanges are under way, and the next one begins when one ends.
pub struct Load {
    socket: Datagrams,
    inbox: Inbox,
    asks: Asks,
    hosts: u32,
    number: u64,
    under_way: Vec<Exchange>,
    outgoing: Vec<Outgoing>,
}

impl Asks {
    pub fn name(self) -> &'static str {
        match self {
            Self::Bootp => "reserved by BOOTP",
            Self::Reserved => "reserved by DORA",
            Self::Pool => "from the pool by DORA",
        }
    }
}

impl Load {
    /// Must be called in the relay's box.
    pub fn start(asks: Asks, hosts: u32) -> Result<Self> {
        let socket = Datagrams::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 67), RECEIVE_BUFFER_BYTES).context("the relay's port")?;
        // Every run has other strangers than the ones before.
        let number = u64::from(std::process::id()) % 97 * (STRANGERS / 100) * u64::from(asks == Asks::Pool);
        Ok(Self { socket, inbox: Inbox::new(REPLY_BYTES), asks, hosts, number, under_way: vec![], outgoing: vec![] })
    }

    /// Asks for this long.
    pub fn run(&mut self, time: Duration) -> Result<Tally> {
        let (begun, mut times, mut lost) = (Instant::now(), Vec::new(), 0);
        self.under_way.clear();
        for slot in 0..WINDOW {
            let exchange = self.next(slot);
            self.say(&exchange, None);
            self.under_way.push(exchange);
        }
        while begun.elapsed() < time {
            self.socket.send(&self.outgoing, |_, _| ());
            self.outgoing.clear();
            self.socket.receive(&mut self.inbox)?;
            let heard: Vec<(usize, Reply)> =
                self.inbox.iter().filter_map(|(packet, _)| Reply::read(packet)).map(|reply| (reply.xid as usize % WINDOW, reply)).collect();
            for (slot, reply) in heard {
                self.hear(slot, reply, &mut times)?;
            }
            for slot in 0..WINDOW {
                if self.under_way[slot].said.elapsed() > PATIENCE {
                    lost += 1;
                    self.begin(slot);
                }
            }
        }
        ensure!(!times.is_empty(), "nobody answers");
        times.sort();
        Ok(Tally { done: times.len() as u64, lost, time: begun.elapsed(), p99: times[times.len() * 99 / 100] })
    }

    fn hear(&mut self, slot: usize, reply: Reply, times: &mut Vec<Duration>) -> Result<()> {
        let exchange = self.under_way[slot].clone();
        if reply.xid != exchange.xid {
            return Ok(());
        }
        match (self.asks, reply.kind, exchange.is_taking) {
            (Asks::Bootp, _, _) | (_, 5, true) => {
                ensure!(!reply.address.is_unspecified(), "an address was expected");
                times.push(exchange.begun.elapsed());
                self.begin(slot);
            }
            (_, 2, false) => {
                self.under_way[slot] = Exchange { is_taking: true, said: Instant::now(), ..exchange.clone() };
                self.say(&exchange, Some(&reply));
            }
            // A late copy.
            (_, 2, true) => {}
            (_, kind, _) => anyhow::bail!("a reply of type {kind} was not expected"),
        }
        Ok(())
    }

    fn begin(&mut self, slot: usize) {
        let exchange = self.next(slot);
        self.say(&exchange, None);
        self.under_way[slot] = exchange;
    }

    fn next(&mut self, slot: usize) -> Exchange {
        self.number += 1;
        let (mac, giaddr) = if self.asks == Asks::Pool {
            let [.., b, c, d, e] = ((self.number % STRANGERS) as u32).to_be_bytes();
            ([6, 0, b, c, d, e], POOL_GATEWAY)
        } else {
            let host = scattered(self.number, self.hosts);
            (host.mac(), host.gateway())
        };
        let (begun, xid) = (Instant::now(), (self.number as u32).wrapping_mul(WINDOW as u32).wrapping_add(slot as u32));
        Exchange { xid, mac, giaddr, begun, said: begun, is_taking: false }
    }

    /// DISCOVER or a BOOTP request; with an offer, the REQUEST that takes it.
    fn say(&mut self, exchange: &Exchange, offer: Option<&Reply>) {
        let mut packet = Vec::with_capacity(PACKET_BYTES);
        packet.extend_from_slice(&[1, 1, 6, 1]);
        packet.extend_from_slice(&exchange.xid.to_be_bytes());
        packet.resize(24, 0);
        packet.extend_from_slice(&exchange.giaddr.octets());
        packet.extend_from_slice(&exchange.mac);
        packet.resize(236, 0);
        packet.extend_from_slice(&COOKIE);
        match (self.asks, offer) {
            (Asks::Bootp, _) => {}
            (_, None) => packet.extend_from_slice(&[53, 1, 1, 55, 4, 1, 3, 6, 15]),
            (_, Some(offer)) => {
                packet.extend_from_slice(&[53, 1, 3, 55, 4, 1, 3, 6, 15, 54, 4]);
                packet.extend_from_slice(&offer.server.octets());
                packet.extend_from_slice(&[50, 4]);
                packet.extend_from_slice(&offer.address.octets());
            }
        }
        packet.push(255);
        packet.resize(PACKET_BYTES, 0);
        let door = Door { local: Some(exchange.giaddr), interface: 0 };
        self.outgoing.push(Outgoing { packet, to: SocketAddrV4::new(SERVER, 67), door });
    }
}

/// What the load needs of a reply, read by hand.
struct Reply {
    xid: u32,
    address: Ipv4Addr,
    server: Ipv4Addr,
    /// Option 53; 0 for BOOTP.
    kind: u8,
}

impl Reply {
    fn read(packet: &[u8]) -> Option<Self> {
        let address = |at: usize| Some(Ipv4Addr::from(*packet.get(at..)?.first_chunk::<4>()?));
        let mut reply = Self { xid: u32::from(address(4)?), address: address(16)?, server: Ipv4Addr::UNSPECIFIED, kind: 0 };
        let mut rest = packet.get(240..).filter(|_| packet[0] == 2).unwrap_or_default();
        while let [code, len, after @ ..] = rest {
            let (value, after) = after.split_at_checked(usize::from(*len))?;
            match (code, value) {
                (255, _) => break,
                (53, [kind]) => reply.kind = *kind,
                (54, value) => reply.server = Ipv4Addr::from(*value.first_chunk::<4>()?),
                _ => {}
            }
            rest = after;
        }
        (packet[0] == 2).then_some(reply)
    }
}

/// The pool is large enough for every stranger of a run.
const _: () = assert!(STRANGERS < 1 << (32 - POOL.1));
