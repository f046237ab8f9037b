//! Names of leased machines as rows: those that this box has given stand beside the view, those of other campuses in it.
//!
//! A reverse name lies deeper than its zone, often below names that nobody has. Those exist because it does (RFC 8020), so each
//! carries its ancestors: a resolver that was told that one of them does not exist would not ask for what is below.

use super::reply::Stop;
use super::rtype;
use super::zones::{NODE, Node, NodeRef, Place, RrSet};
use crate::lent::{LENT, LentName, lent_parts};
use crate::snapshot::{Beside, View};
use crate::words::{DomainName, NodeId};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// `in-addr.arpa` itself: nobody asks whether that exists.
const REVERSE_TOP_LABELS: usize = 2;

/// What is lent at a name.
pub(super) fn lent_node<'v>(view: &'v View, name: &[u8]) -> Result<Option<(&'v [u8], NodeRef<'v>)>, Stop> {
    if let Some(row) = view.beside().get(name) {
        return Ok(Some((row, NodeRef::new(row)?)));
    }
    let Some(value) = view.get(LENT, name).map_err(|_| Stop::Damaged)? else { return Ok(None) };
    let (agent, row) = lent_parts(value).ok_or(Stop::Damaged)?;
    // Of what this box lends it knows more than anybody.
    if view.beside().owner() == Some(agent) { Ok(None) } else { Ok(Some((row, NodeRef::new(row)?))) }
}

/// Whether a name is somebody's, so that no machine that `own` lends an address to can have it. A row that cannot be read counts: it
/// may be anybody's.
pub fn is_taken(view: &View, own: NodeId, name: &DomainName) -> bool {
    let is_signed = !view.get(NODE, name.wire()).is_ok_and(|row| row.is_none());
    let is_others = match view.get(LENT, name.wire()) {
        Ok(row) => row.is_some_and(|value| lent_parts(value).is_none_or(|(agent, _)| agent != own)),
        Err(_) => true,
    };
    is_signed || is_others
}

/// The rows of a name and of its address: what they are, by owner, without those that only lie above.
pub fn nodes_of(lent: &LentName) -> [(DomainName, Vec<u8>); 2] {
    let node =
        |rtype, rdata: Vec<u8>| Node { place: Place::Inside, apex_labels: 0, rrsets: vec![RrSet { rtype, ttl: lent.ttl, rdatas: vec![rdata] }] }.encode();
    let reverse = DomainName::reverse_of(IpAddr::V4(lent.address));
    [(lent.name.clone(), node(rtype::A, lent.address.octets().to_vec())), (reverse, node(rtype::PTR, lent.name.wire().to_vec()))]
}

/// A name that exists only because another lies below it.
pub fn node_between() -> Vec<u8> {
    Node { place: Place::Inside, apex_labels: 0, rrsets: vec![] }.encode()
}

/// The names that exist because an address has a reverse name, from the longest on.
pub fn above_reverse(address: Ipv4Addr) -> impl Iterator<Item = DomainName> {
    let reverse = DomainName::reverse_of(IpAddr::V4(address));
    std::iter::successors(reverse.parent(), DomainName::parent).take_while(|name| name.label_count() > REVERSE_TOP_LABELS)
}

/// All that one box has lent under names, as rows beside a view.
#[derive(Debug, Clone, Default)]
pub struct LentRows {
    by_address: BTreeMap<Ipv4Addr, LentName>,
    /// Which address has a name: of two that say so the last.
    by_name: BTreeMap<DomainName, Ipv4Addr>,
    /// How many addresses make each name between exist.
    between: BTreeMap<DomainName, usize>,
    beside: Beside,
}

impl LentRows {
    /// None yet, of this box.
    pub fn of(owner: Option<NodeId>) -> Self {
        Self { beside: Beside::of(owner), ..Self::default() }
    }

    /// What stands beside a view.
    pub fn beside(&self) -> &Beside {
        &self.beside
    }

    /// An address has a name, and none that it had before.
    pub fn put(&mut self, lent: LentName) {
        self.take(lent.address);
        if let Some(other) = self.by_name.get(&lent.name).copied() {
            self.take(other);
        }
        nodes_of(&lent).into_iter().for_each(|(owner, node)| self.beside.set(owner.wire(), Some(node)));
        for name in above_reverse(lent.address) {
            let count = self.between.entry(name.clone()).or_default();
            *count += 1;
            if *count == 1 {
                self.beside.set(name.wire(), Some(node_between()));
            }
        }
        self.by_name.insert(lent.name.clone(), lent.address);
        self.by_address.insert(lent.address, lent);
    }

    /// An address has no name any more.
    pub fn take(&mut self, address: Ipv4Addr) {
        let Some(lent) = self.by_address.remove(&address) else { return };
        self.by_name.remove(&lent.name);
        nodes_of(&lent).into_iter().for_each(|(owner, _)| self.beside.set(owner.wire(), None));
        for name in above_reverse(address) {
            let count = self.between.entry(name.clone()).or_default();
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.between.remove(&name);
                self.beside.set(name.wire(), None);
            }
        }
    }
}
