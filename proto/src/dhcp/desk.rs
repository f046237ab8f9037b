//! One agent's whole answer: what the signed rows say, and what it must remember beside them.
//!
//! Why it exists: a reserved host is answered from the rows alone ([`answer`](fn@super::answer)), the others need memory: which
//! address is lent to whom, who asked when, whom nobody knows. What it refuses: to let a client hear of a lease that is not written
//! down. How: a pure machine. [`Desk::answer`] may leave a record, which goes to disk before the reply goes out, and notes, which go
//! to the master some time. `lend` has the rules for machines that nobody registered.

use super::answer::{Decided, Outcome, Peer, Reason, decide};
use super::code;
use super::cover::Sightings;
use super::ended::{self, ENDED};
use super::lease::{Lease, Leases};
use super::lend::Lender;
use super::message::Message;
use super::strangers::{Note, Strangers};
use super::table::subnet_of_key;
use crate::snapshot::View;
use crate::words::{DomainName, Epoch, Generation, NodeId, UnixMillis};
use ipnet::Ipv4Net;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// How often it is told that a share has no address left, or that an address is in use by somebody else, in milliseconds.
const AGAIN_AFTER_MS: u64 = 600_000;
/// How many addresses that were found in use are remembered as told.
const IN_USE_LIMIT: usize = 1024;
/// More than anybody writes down between two turns of a loop.
const NOTES_LIMIT: usize = 256;

/// What one agent remembers.
#[derive(Debug)]
pub struct Desk {
    /// `None` for one that lends nothing.
    node: Option<NodeId>,
    pub(super) leases: Leases,
    pub(super) strangers: Strangers,
    sightings: Sightings,
    pub(super) record: Option<Lease>,
    notes: Vec<Note>,
    exhausted: BTreeMap<Ipv4Net, UnixMillis>,
    in_use: BTreeMap<Ipv4Addr, UnixMillis>,
    /// Records can be written.
    lends: bool,
    names: NamesOfOthers,
    /// The generation whose orders were heeded, and those that were: one that stays in the rows ends no later lease.
    heeded: Option<(Epoch, Generation)>,
    ended: BTreeSet<(Ipv4Addr, Vec<u8>)>,
}

/// Whether a name is somebody's already: what only DNS knows.
struct NamesOfOthers(Box<dyn Fn(&DomainName) -> bool + Send>);

impl std::fmt::Debug for NamesOfOthers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NamesOfOthers")
    }
}

impl Desk {
    /// The desk of an agent, with the leases that its log holds; without a number it lends nothing.
    pub fn new(node: Option<NodeId>, leases: Leases) -> Self {
        Self {
            node,
            leases,
            strangers: Strangers::default(),
            sightings: Sightings::default(),
            record: None,
            notes: Vec::new(),
            exhausted: BTreeMap::new(),
            in_use: BTreeMap::new(),
            lends: true,
            names: NamesOfOthers(Box::new(|_| false)),
            heeded: None,
            ended: BTreeSet::new(),
        }
    }

    /// The same, which gives no machine a name that is another's by this.
    pub fn with_names_of_others(mut self, is_taken: impl Fn(&DomainName) -> bool + Send + 'static) -> Self {
        self.names = NamesOfOthers(Box::new(is_taken));
        self
    }

    /// Answers one packet. The reply, if any, is left in `out`. Where [`Desk::take_record`] then gives a record, the reply must not go
    /// out before the record is on disk.
    pub fn answer(&mut self, view: &View, packet: &[u8], mut peer: Peer<'_>, now: UnixMillis, out: &mut Vec<u8>) -> Outcome {
        out.clear();
        self.record = None;
        let Ok(request) = Message::parse(packet) else { return Outcome::Silent(Reason::Malformed) };
        // At home nobody waits, so nobody need be remembered.
        if !peer.standing.campus.is_empty() {
            peer.standing.heard_for_secs = self.sightings.hear(&request, now);
        }
        let outcome = decide(view, &request, &peer, out).and_then(|decided| match decided {
            Decided::Done(outcome) => Ok(outcome),
            Decided::Stranger(stand) => Lender { desk: self, view, request: &request, stand, peer: &peer, now }.answer(out),
        });
        if outcome == Err(Reason::Declined) {
            // Somebody else uses an address: a person must look.
            let address = request.options.address(code::REQUESTED_ADDRESS).unwrap_or(Ipv4Addr::UNSPECIFIED);
            self.tell_in_use(address, &request, now);
        }
        outcome.unwrap_or_else(Outcome::Silent)
    }

    /// Ends the leases that the rows say are to end: the records for the disk. Costs nothing while the rows are the same; while records
    /// cannot be written nothing is ended.
    pub fn heed(&mut self, view: &View, now: UnixMillis) -> Vec<Lease> {
        let at = (view.epoch(), view.generation());
        if self.heeded == Some(at) || !self.lends {
            return Vec::new();
        }
        self.heeded = Some(at);
        let nets: Vec<Ipv4Net> = view.iter(ENDED).filter_map(|row| subnet_of_key(row.ok()?.0)).collect();
        let orders: Vec<(Ipv4Net, (Ipv4Addr, Vec<u8>))> =
            nets.into_iter().flat_map(|net| ended::of(view, net).unwrap_or_default().into_iter().map(move |order| (net, order))).collect();
        self.ended.retain(|known| orders.iter().any(|(_, order)| order == known));
        let mut records = Vec::new();
        for (net, order) in orders {
            if self.ended.insert(order.clone()) {
                self.leases.know(net);
                records.extend(self.leases.withdraw(net, &order.1, order.0, now));
            }
        }
        records
    }

    /// Whether records can be written. Where they cannot, nothing new is offered: a client that took such an offer would wait for
    /// an answer in vain, and other agents would leave it to us.
    pub fn set_lending(&mut self, lends: bool) {
        self.lends = lends;
    }

    pub(super) fn lends(&self) -> bool {
        self.lends
    }

    /// What must be on disk before the reply goes out.
    pub fn take_record(&mut self) -> Option<Lease> {
        self.record.take()
    }

    /// Whether a client can be called so now.
    pub(super) fn is_free(&self, name: &DomainName, client: &[u8], now: UnixMillis) -> bool {
        !self.leases.is_named(name, client, now) && !(self.names.0)(name)
    }

    /// What is to be told upwards.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// What it has lent.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// How many machines are remembered that nobody registered.
    pub fn strangers(&self) -> usize {
        self.strangers.len()
    }

    pub(super) fn node(&self) -> Option<NodeId> {
        self.node
    }

    /// What nobody takes away is not piled up.
    pub(super) fn note(&mut self, note: Note) {
        if self.notes.len() < NOTES_LIMIT {
            self.notes.push(note);
        }
    }

    pub(super) fn tell_exhausted(&mut self, net: Ipv4Net, now: UnixMillis) {
        if is_due(self.exhausted.entry(net), now) {
            self.note(Note::Exhausted(net));
        }
    }

    fn tell_in_use(&mut self, address: Ipv4Addr, request: &Message<'_>, now: UnixMillis) {
        if self.in_use.len() >= IN_USE_LIMIT {
            self.in_use.clear();
        }
        if is_due(self.in_use.entry(address), now) {
            self.note(Note::InUse { address, chaddr: request.chaddr.to_vec() });
        }
    }
}

/// Whether it was not told for long, and is told now.
fn is_due<K: Ord>(told: Entry<'_, K, UnixMillis>, now: UnixMillis) -> bool {
    let told = told.or_insert(UnixMillis(0));
    let is_due = now.0.saturating_sub(told.0) >= AGAIN_AFTER_MS;
    if is_due {
        *told = now;
    }
    is_due
}

#[cfg(test)]
mod tests;
