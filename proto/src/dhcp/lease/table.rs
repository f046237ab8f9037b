use super::record::{Lease, LeaseState};
use crate::dhcp::policy::Share;
use crate::words::UnixMillis;
use ipnet::Ipv4Net;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;

/// How long an offer is kept for its client, in milliseconds: clients that collect offers take one within ten seconds.
pub const OFFER_HOLD_MS: u64 = 30_000;
/// How long after its end an address is lent to nobody else, in milliseconds; a hundredth of the lease where that is more: the
/// client's clock may be slower than ours.
pub const GUARD_LEAST_MS: u64 = 30_000;
const GUARD_SHARE: u64 = 100;
/// How long an address that somebody else uses is left alone, in milliseconds.
const DECLINED_FOR_MS: u64 = 3_600_000;
/// How many lapsed addresses that are not ours any more are passed over for one client.
const PASSED_OVER: usize = 64;

/// Where an address is lent, and to whom it may be.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// The subnet.
    pub net: Ipv4Net,
    /// This agent's own shares of it.
    pub shares: &'a [Share],
    /// Addresses within them that nobody can be lent: routers, our own.
    pub taken: &'a [Ipv4Addr],
}

/// All that one agent has lent.
#[derive(Debug, Default)]
pub struct Leases {
    pools: BTreeMap<Ipv4Net, Pool>,
}

/// What was lent on one subnet.
#[derive(Debug, Default)]
struct Pool {
    slots: BTreeMap<Ipv4Addr, Slot>,
    /// The address that a client has, had last or is offered.
    of_client: HashMap<Vec<u8>, Ipv4Addr>,
    /// When each address of `slots` can be lent to anybody.
    free_at: BTreeSet<(UnixMillis, Ipv4Addr)>,
    /// By a share's first address: the next one that was never lent.
    fresh: BTreeMap<Ipv4Addr, u32>,
}

/// An address that was lent or offered once.
#[derive(Debug)]
struct Slot {
    free_at: UnixMillis,
    /// Whose it is, or was last.
    client: Vec<u8>,
    /// `None` for an offer that was never taken.
    lease: Option<Lease>,
}

impl Slot {
    fn is_declined(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.state == LeaseState::Declined)
    }
}

impl Ground<'_> {
    fn allows(&self, address: Ipv4Addr) -> bool {
        let wide = self.net.prefix_len() >= 31;
        let is_host = self.net.contains(&address) && (wide || (address != self.net.network() && address != self.net.broadcast()));
        is_host && self.shares.iter().any(|share| share.contains(address)) && !self.taken.contains(&address)
    }
}

impl Leases {
    /// Takes a record of the log back, in the order in which they were written.
    pub fn restore(&mut self, lease: Lease) {
        self.pools.entry(lease.net).or_default().put(lease);
    }

    /// How many addresses are known to have been lent or offered.
    pub fn len(&self) -> usize {
        self.pools.values().map(|pool| pool.slots.len()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every lease of every subnet, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.pools.values().flat_map(|pool| pool.slots.values().filter_map(|slot| slot.lease.as_ref()))
    }

    /// What is known of an address.
    pub fn of_address(&self, net: Ipv4Net, address: Ipv4Addr) -> Option<&Lease> {
        self.pools.get(&net)?.slots.get(&address)?.lease.as_ref()
    }

    /// What a client has or had last on a subnet.
    pub fn of_client(&self, net: Ipv4Net, client: &[u8]) -> Option<&Lease> {
        let pool = self.pools.get(&net)?;
        pool.slots.get(pool.of_client.get(client)?)?.lease.as_ref().filter(|lease| lease.client == client)
    }

    /// The address that a client is offered, held for it for a while: the one it had, the one it asks for, one that nobody had, the one
    /// that nobody has had for longest. `None` where there is none.
    pub fn offer(&mut self, ground: &Ground<'_>, client: &[u8], wish: Option<Ipv4Addr>, now: UnixMillis) -> Option<Ipv4Addr> {
        let pool = self.pools.entry(ground.net).or_default();
        let had = pool.of_client.get(client).copied();
        let wished = [had, wish].into_iter().flatten().find(|address| ground.allows(*address) && pool.is_open_to(*address, client, now));
        let address = wished.or_else(|| pool.fresh_one(ground)).or_else(|| pool.lapsed_one(ground, now))?;
        pool.hold(address, client, now);
        Some(address)
    }

    /// Whether a client may be lent this address now.
    pub fn is_open_to(&self, ground: &Ground<'_>, client: &[u8], address: Ipv4Addr, now: UnixMillis) -> bool {
        ground.allows(address) && self.pools.get(&ground.net).is_none_or(|pool| pool.is_open_to(address, client, now))
    }

    /// Lends: the record to be written before the client hears of it.
    pub fn grant(&mut self, lease: Lease) -> Lease {
        self.pools.entry(lease.net).or_default().put(lease.clone());
        lease
    }

    /// A client took another server's offer: what was held for it is free again.
    pub fn forget_offer(&mut self, net: Ipv4Net, client: &[u8]) {
        let Some(pool) = self.pools.get_mut(&net) else { return };
        let Some(address) = pool.of_client.get(client).copied() else { return };
        if pool.slots.get(&address).is_some_and(|slot| slot.lease.is_none()) {
            pool.set_free_at(address, UnixMillis(0));
            pool.of_client.remove(client);
        }
    }

    /// A client gives its address back. `None` where it is not its own.
    pub fn release(&mut self, net: Ipv4Net, client: &[u8], address: Ipv4Addr, now: UnixMillis) -> Option<Lease> {
        self.end(net, client, address, (LeaseState::Released, now), now)
    }

    /// A client found its address, leased or offered, in use by somebody else. `None` where it is not its own.
    pub fn decline(&mut self, net: Ipv4Net, client: &[u8], address: Ipv4Addr, now: UnixMillis) -> Option<Lease> {
        self.end(net, client, address, (LeaseState::Declined, UnixMillis(now.0.saturating_add(DECLINED_FOR_MS))), now)
    }

    fn end(&mut self, net: Ipv4Net, client: &[u8], address: Ipv4Addr, (state, until): (LeaseState, UnixMillis), at: UnixMillis) -> Option<Lease> {
        let lease = self.of_address(net, address).filter(|lease| lease.client == client && lease.state == LeaseState::Active)?;
        let ended = Lease { state, at, until, ..lease.clone() };
        Some(self.grant(ended))
    }
}

impl Pool {
    fn put(&mut self, lease: Lease) {
        let guard = match lease.state {
            LeaseState::Active => GUARD_LEAST_MS.max(lease.until.0.saturating_sub(lease.at.0) / GUARD_SHARE),
            LeaseState::Released | LeaseState::Declined => 0,
        };
        let (address, free_at) = (lease.address, UnixMillis(lease.until.0.saturating_add(guard)));
        self.forget(address);
        if lease.state != LeaseState::Declined {
            self.of_client.insert(lease.client.clone(), address);
        }
        self.free_at.insert((free_at, address));
        self.slots.insert(address, Slot { free_at, client: lease.client.clone(), lease: Some(lease) });
    }

    fn hold(&mut self, address: Ipv4Addr, client: &[u8], now: UnixMillis) {
        let until = UnixMillis(now.0.saturating_add(OFFER_HOLD_MS));
        match self.slots.get(&address) {
            // It is held already, and for longer.
            Some(slot) if slot.client == client && slot.free_at > until => return,
            Some(slot) if slot.client == client && !slot.is_declined() => self.set_free_at(address, until),
            // What was known of it is no more: the address is promised to somebody else, or its quarantine is over.
            _ => {
                self.forget(address);
                self.free_at.insert((until, address));
                self.slots.insert(address, Slot { free_at: until, client: client.to_vec(), lease: None });
            }
        }
        self.of_client.insert(client.to_vec(), address);
    }

    fn forget(&mut self, address: Ipv4Addr) {
        let Some(slot) = self.slots.remove(&address) else { return };
        self.free_at.remove(&(slot.free_at, address));
        if self.of_client.get(&slot.client) == Some(&address) {
            self.of_client.remove(&slot.client);
        }
    }

    fn set_free_at(&mut self, address: Ipv4Addr, at: UnixMillis) {
        let Some(slot) = self.slots.get_mut(&address) else { return };
        self.free_at.remove(&(slot.free_at, address));
        self.free_at.insert((at, address));
        slot.free_at = at;
    }

    fn is_open_to(&self, address: Ipv4Addr, client: &[u8], now: UnixMillis) -> bool {
        self.slots.get(&address).is_none_or(|slot| slot.free_at <= now || (slot.client == client && !slot.is_declined()))
    }

    fn fresh_one(&mut self, ground: &Ground<'_>) -> Option<Ipv4Addr> {
        ground.shares.iter().find_map(|share| {
            let next = self.fresh.entry(share.first).or_insert(share.first.to_bits());
            while *next <= share.last.to_bits() {
                let address = Ipv4Addr::from_bits(*next);
                if ground.allows(address) && !self.slots.contains_key(&address) {
                    return Some(address);
                }
                // What is lent comes back by lapsing.
                *next = next.checked_add(1)?;
            }
            None
        })
    }

    fn lapsed_one(&mut self, ground: &Ground<'_>, now: UnixMillis) -> Option<Ipv4Addr> {
        let lapsed: Vec<Ipv4Addr> = self.free_at.iter().take(PASSED_OVER).take_while(|(at, _)| *at <= now).map(|(_, address)| *address).collect();
        for address in lapsed {
            if ground.allows(address) {
                return Some(address);
            }
            self.forget(address);
        }
        None
    }
}
