//! Zones as lists of records, made into the rows that are answered from.
//!
//! Why here: master, secondary duties and tests must cut zones in one and the same way. What it refuses: nothing. A record outside its
//! zone is left out, and so is what a deeper zone of ours knows better: of a child that is ours the parent keeps the DS set alone.

use super::denial::{DENIAL, denial_key};
use super::{NODE, Node, Place, RrSet, ZONE, ZoneRow, rtype};
use crate::snapshot::Change;
use crate::words::{DomainName, Serial};
use std::collections::{BTreeMap, BTreeSet};

/// One record as a zone has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// Its name.
    pub owner: DomainName,
    /// Its type's number.
    pub rtype: u16,
    /// Seconds; of a set that disagrees the first counts.
    pub ttl: u32,
    /// Uncompressed, as on the wire.
    pub rdata: Vec<u8>,
}

/// A zone's records, signed or not.
#[derive(Debug, Clone)]
pub struct Zone {
    /// Its top.
    pub apex: DomainName,
    /// In any order; its SOA is among them.
    pub records: Vec<Record>,
}

/// The rows of these zones, which make up a whole view.
pub fn rows(zones: &[Zone]) -> Vec<Change> {
    let apexes: BTreeSet<&DomainName> = zones.iter().map(|zone| &zone.apex).collect();
    let mut drafts = Drafts { apexes, nodes: BTreeMap::new(), gaps: BTreeMap::new() };
    zones.iter().for_each(|zone| drafts.take(zone));
    drafts.fill_gaps_between();
    let serials = zones.iter().filter_map(|zone| Some((zone.apex.wire(), serial_of(zone)?)));
    let zone_rows: Vec<Change> = serials.map(|(apex, serial)| Change::put(ZONE, apex, ZoneRow { serial }.encode())).collect();
    let nodes = drafts.nodes.iter().map(|(owner, draft)| Change::put(NODE, owner.wire(), drafts.node(owner, draft).encode()));
    let gaps = drafts.gaps.iter().map(|((apex_labels, owner), sets)| {
        let node = Node { place: Place::Inside, apex_labels: *apex_labels, rrsets: sets.values().cloned().collect() };
        Change::put(DENIAL, denial_key(*apex_labels, owner), node.encode())
    });
    zone_rows.into_iter().chain(nodes).chain(gaps).collect()
}

fn serial_of(zone: &Zone) -> Option<Serial> {
    let soa = zone.records.iter().find(|record| record.rtype == rtype::SOA && record.owner == zone.apex)?;
    let at = soa.rdata.len().checked_sub(20)?;
    Some(Serial(u32::from_be_bytes(*soa.rdata[at..].first_chunk()?)))
}

type Sets = BTreeMap<u16, RrSet>;

struct Drafts<'z> {
    apexes: BTreeSet<&'z DomainName>,
    nodes: BTreeMap<DomainName, Sets>,
    gaps: BTreeMap<(u8, DomainName), Sets>,
}

impl Drafts<'_> {
    fn take(&mut self, zone: &Zone) {
        let apex_labels = zone.apex.label_count() as u8;
        for record in &zone.records {
            let Some(deepest) = upward(&record.owner).find(|name| self.apexes.contains(name)) else { continue };
            let covered = record.rdata.first_chunk().map(|bytes| u16::from_be_bytes(*bytes)).filter(|_| record.rtype == rtype::RRSIG);
            let is_at_child = deepest != zone.apex && record.owner == deepest && is_parent(&self.apexes, &zone.apex, &deepest);
            let is_own = deepest == zone.apex;
            let sets = match (record.rtype, covered) {
                (rtype::NSEC, _) | (_, Some(rtype::NSEC)) if is_own || is_at_child => self.gaps.entry((apex_labels, record.owner.clone())).or_default(),
                (rtype::DS, _) | (_, Some(rtype::DS)) if is_at_child => self.nodes.entry(record.owner.clone()).or_default(),
                _ if is_own => self.nodes.entry(record.owner.clone()).or_default(),
                _ => continue,
            };
            let empty = RrSet { rtype: record.rtype, ttl: record.ttl, rdatas: Vec::new() };
            sets.entry(record.rtype).or_insert(empty).rdatas.push(record.rdata.clone());
        }
    }

    /// Names that exist only because others lie below them (RFC 8020), up to the topmost zone of ours.
    fn fill_gaps_between(&mut self) {
        let mut between = BTreeSet::new();
        for owner in self.nodes.keys() {
            let Some(top) = upward(owner).filter(|name| self.apexes.contains(name)).last() else { continue };
            for name in upward(owner).skip(1).take_while(|name| name.is_within(&top)) {
                if self.nodes.contains_key(&name) || !between.insert(name) {
                    break;
                }
            }
        }
        self.nodes.extend(between.into_iter().map(|name| (name, Sets::new())));
    }

    fn node(&self, owner: &DomainName, sets: &Sets) -> Node {
        let apex = upward(owner).find(|name| self.apexes.contains(name)).unwrap_or_else(DomainName::root);
        let rrsets = sets.values().cloned().collect();
        Node { place: self.place(owner, sets, &apex), apex_labels: apex.label_count() as u8, rrsets }
    }

    fn place(&self, owner: &DomainName, sets: &Sets, apex: &DomainName) -> Place {
        if owner == apex {
            return Place::Apex;
        }
        let hides = |name: &DomainName| {
            let has = |rtype| self.nodes.get(name).is_some_and(|sets| sets.contains_key(&rtype));
            has(rtype::DNAME) || name != apex && has(rtype::NS)
        };
        let mut above = upward(owner).skip(1).take_while(|name| name.is_within(apex));
        match above.any(|name| hides(&name)) {
            true => Place::BelowCut,
            false if sets.contains_key(&rtype::NS) => Place::Cut,
            false => Place::Inside,
        }
    }
}

/// Whether no other zone of ours lies between these two.
fn is_parent(apexes: &BTreeSet<&DomainName>, apex: &DomainName, child: &DomainName) -> bool {
    upward(child).skip(1).find(|name| apexes.contains(name)).as_ref() == Some(apex)
}

/// A name and its ancestors.
fn upward(from: &DomainName) -> impl Iterator<Item = DomainName> {
    std::iter::successors(Some(from.clone()), DomainName::parent)
}
