use super::record::{Lease, LeaseState};
use crate::dhcp::policy::Share;
use crate::words::{DomainName, UnixMillis};
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
    /// Under which name an address was lent last; what of it still holds its lease says.
    names: HashMap<DomainName, Ipv4Addr>,
    /// Two of the subnets overlap: one was cut anew, and some of its leases are not yet where they belong.
    is_mixed: bool,
    /// Before this an address of which nothing is known is lent to nobody.
    doubtful_until: UnixMillis,
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
    /// The ground that `fresh` is true for.
    shares: Vec<Share>,
    taken: Vec<Ipv4Addr>,
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
    /// Nobody is to have it, its last client neither.
    fn is_barred(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| matches!(lease.state, LeaseState::Declined | LeaseState::Withdrawn))
    }
}

fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
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
        self.know(lease.net);
        self.note_name(&lease);
        self.pools.entry(lease.net).or_default().put(lease);
    }

    /// Records were lost: until the longest lease that they can have spoken of has run out, an address of which nothing is known
    /// may be somebody's.
    pub fn doubt_until(&mut self, until: UnixMillis) {
        self.doubtful_until = until;
    }

    /// A subnet as it is now. What was lent on another one that it was cut out of, or put together from, was lent on it: its
    /// clients have their addresses still.
    pub fn know(&mut self, net: Ipv4Net) {
        if self.pools.contains_key(&net) && !self.is_mixed {
            return;
        }
        let mut pool = self.pools.remove(&net).unwrap_or_default();
        for (_, other) in self.pools.iter_mut().filter(|(other, _)| overlap(**other, net)) {
            other.leave(net).into_iter().for_each(|lease| pool.take_over(Lease { net, ..lease }));
        }
        self.pools.retain(|_, other| !other.slots.is_empty());
        self.pools.insert(net, pool);
        // Of two that overlap the wider one comes first, and nothing between them lies outside of it.
        self.is_mixed = self.pools.keys().zip(self.pools.keys().skip(1)).any(|(one, next)| overlap(*one, *next));
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

    /// Whether another client has this name now.
    pub fn is_named(&self, name: &DomainName, but: &[u8], now: UnixMillis) -> bool {
        let Some(address) = self.names.get(name) else { return false };
        let slots = self.pools.iter().filter(|(net, _)| net.contains(address)).filter_map(|(_, pool)| pool.slots.get(address));
        let mut leases = slots.filter_map(|slot| slot.lease.as_ref());
        leases.any(|lease| lease.name.as_ref() == Some(name) && lease.client != but && lease.state == LeaseState::Active && lease.until > now)
    }

    /// An address has one name, or none.
    fn note_name(&mut self, lease: &Lease) {
        let before = self.of_address(lease.net, lease.address).and_then(|before| before.name.clone());
        if let Some(before) = before.filter(|before| Some(before) != lease.name.as_ref() && self.names.get(before) == Some(&lease.address)) {
            self.names.remove(&before);
        }
        if let Some(name) = &lease.name {
            self.names.insert(name.clone(), lease.address);
        }
    }

    /// The address that a client is offered, held for it for a while: the one it had, the one it asks for, one that nobody had, the one
    /// that nobody has had for longest. `None` where there is none.
    pub fn offer(&mut self, ground: &Ground<'_>, client: &[u8], wish: Option<Ipv4Addr>, now: UnixMillis) -> Option<Ipv4Addr> {
        let pool = self.pools.entry(ground.net).or_default();
        let is_certain = now >= self.doubtful_until;
        let had = pool.of_client.get(client).copied();
        let is_open = |pool: &Pool, address| ground.allows(address) && pool.is_open_to(address, client, now, is_certain);
        let wished = [had, wish].into_iter().flatten().find(|address| is_open(pool, *address));
        let fresh = |pool: &mut Pool| if is_certain { pool.fresh_one(ground) } else { None };
        let address = wished.or_else(|| fresh(pool)).or_else(|| pool.lapsed_one(ground, now))?;
        pool.hold(address, client, now);
        Some(address)
    }

    /// Whether a client may be lent this address now.
    pub fn is_open_to(&self, ground: &Ground<'_>, client: &[u8], address: Ipv4Addr, now: UnixMillis) -> bool {
        let is_certain = now >= self.doubtful_until;
        ground.allows(address) && self.pools.get(&ground.net).map_or(is_certain, |pool| pool.is_open_to(address, client, now, is_certain))
    }

    /// Lends: the record to be written before the client hears of it. A client that is told of a shorter lease may never hear of
    /// it, so its address is kept for as long as it was told before.
    pub fn grant(&mut self, lease: Lease) -> Lease {
        let is_same = |known: &&Lease| known.client == lease.client && known.state == LeaseState::Active && lease.state == LeaseState::Active;
        let told = self.of_address(lease.net, lease.address).filter(is_same).map(|known| known.until);
        let lease = Lease { until: told.map_or(lease.until, |told| told.max(lease.until)), ..lease };
        self.note_name(&lease);
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

    /// An administrator ends a client's lease: it is renewed no more, and the address is nobody's until the client can no longer believe
    /// that it has it. `None` where the client has no such lease.
    pub fn withdraw(&mut self, net: Ipv4Net, client: &[u8], address: Ipv4Addr, now: UnixMillis) -> Option<Lease> {
        let lease = self.of_address(net, address)?;
        // By the lease that the client has, not by what is left of it: that long its clock may be behind.
        let until = UnixMillis(lease.until.0.saturating_add(guard(lease)));
        if lease.until <= now { None } else { self.end(net, client, address, (LeaseState::Withdrawn, until), now) }
    }

    fn end(&mut self, net: Ipv4Net, client: &[u8], address: Ipv4Addr, (state, until): (LeaseState, UnixMillis), at: UnixMillis) -> Option<Lease> {
        let lease = self.of_address(net, address).filter(|lease| lease.client == client && lease.state == LeaseState::Active)?;
        let ended = Lease { state, at, until, told: at, name: None, ..lease.clone() };
        Some(self.grant(ended))
    }
}

/// How long after its end the client may still go by a lease.
fn guard(lease: &Lease) -> u64 {
    GUARD_LEAST_MS.max(lease.until.0.saturating_sub(lease.at.0) / GUARD_SHARE)
}

impl Pool {
    fn put(&mut self, lease: Lease) {
        let guard = match lease.state {
            LeaseState::Active => guard(&lease),
            // It is within its end already.
            LeaseState::Withdrawn => 0,
            LeaseState::Released | LeaseState::Declined => 0,
        };
        let (address, free_at) = (lease.address, UnixMillis(lease.until.0.saturating_add(guard)));
        self.forget(address);
        if !matches!(lease.state, LeaseState::Declined | LeaseState::Withdrawn) {
            self.of_client.insert(lease.client.clone(), address);
        }
        self.free_at.insert((free_at, address));
        self.slots.insert(address, Slot { free_at, client: lease.client.clone(), lease: Some(lease) });
    }

    /// What was lent of the addresses in a subnet that is another one's now. Offers are made again.
    fn leave(&mut self, net: Ipv4Net) -> Vec<Lease> {
        let addresses: Vec<Ipv4Addr> = self.slots.range(net.network()..=net.broadcast()).map(|(address, _)| *address).collect();
        let leases = addresses.iter().filter_map(|address| self.slots[address].lease.clone()).collect();
        addresses.into_iter().for_each(|address| self.forget(address));
        leases
    }

    fn take_over(&mut self, lease: Lease) {
        let known = self.slots.get(&lease.address).and_then(|slot| slot.lease.as_ref());
        if known.is_none_or(|known| known.at <= lease.at) {
            self.put(lease);
        }
    }

    fn hold(&mut self, address: Ipv4Addr, client: &[u8], now: UnixMillis) {
        let until = UnixMillis(now.0.saturating_add(OFFER_HOLD_MS));
        match self.slots.get(&address) {
            // It is held already, and for longer.
            Some(slot) if slot.client == client && slot.free_at > until => return,
            Some(slot) if slot.client == client && !slot.is_barred() => self.set_free_at(address, until),
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

    /// Of an address of which nothing is known it is certain, or not, that nobody has it.
    fn is_open_to(&self, address: Ipv4Addr, client: &[u8], now: UnixMillis, is_certain: bool) -> bool {
        self.slots.get(&address).map_or(is_certain, |slot| slot.free_at <= now || (slot.client == client && !slot.is_barred()))
    }

    fn fresh_one(&mut self, ground: &Ground<'_>) -> Option<Ipv4Addr> {
        if (self.shares.as_slice(), self.taken.as_slice()) != (ground.shares, ground.taken) {
            // What was passed over before may be ours now.
            (self.shares, self.taken) = (ground.shares.to_vec(), ground.taken.to_vec());
            self.fresh.clear();
        }
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
