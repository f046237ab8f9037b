//! What changed in each zone from serial to serial: IXFR read off the generations.
//!
//! It is kept in memory and made anew from the published deltas at a start. What it refuses: to guess. Where a zone came, went or was
//! cut in two, where a serial did not rise, and where memory ends, its history ends too, and a secondary gets the whole zone.

use super::contents::{ContentsError, delegation, own_records, parent_of, soa_of};
use super::soa::Soa;
use crate::dns::{DENIAL, NODE, NodeRef, Place, Record, ZONE, rtype};
use crate::snapshot::{RowRef, Rows, View};
use crate::words::{DomainName, Serial};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// What is kept of all zones together, in bytes of records.
const LIMIT_BYTES: usize = 64 << 20;
/// Steps of one zone: a secondary that lags more gets the whole zone.
const STEPS_LIMIT: usize = 512;
/// What a record takes beside its name and data.
const RECORD_BYTES: usize = 64;

/// One step of a zone: what a secondary at `from` must do to be at `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneDelta {
    /// The SOA record before.
    pub from: Record,
    /// The SOA record after.
    pub to: Record,
    /// What goes, without the SOA.
    pub removed: Vec<Record>,
    /// What comes, without the SOA.
    pub added: Vec<Record>,
}

impl ZoneDelta {
    fn serial_before(&self) -> Option<Serial> {
        Soa::of(&self.from.rdata).map(|soa| soa.serial)
    }

    fn serial_after(&self) -> Option<Serial> {
        Soa::of(&self.to.rdata).map(|soa| soa.serial)
    }

    fn bytes(&self) -> usize {
        let size = |record: &Record| RECORD_BYTES + record.owner.wire().len() + record.rdata.len();
        self.removed.iter().chain(&self.added).map(size).sum::<usize>() + 2 * RECORD_BYTES
    }
}

/// The steps of all zones.
#[derive(Debug, Default)]
pub struct Journal {
    zones: HashMap<DomainName, VecDeque<Arc<ZoneDelta>>>,
    /// Which zone's step came when, the oldest first; a step that was dropped otherwise leaves its entry behind.
    order: VecDeque<DomainName>,
    bytes: usize,
}

impl Journal {
    /// Nothing is known of what was before.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes what led from one view to the next: the payloads between them. Gives the zones whose serial rose.
    pub fn take<'a>(&mut self, before: &View, after: &View, payloads: impl IntoIterator<Item = &'a [u8]>) -> Vec<DomainName> {
        let keys: BTreeSet<(crate::snapshot::Table, &[u8])> =
            payloads.into_iter().flat_map(|payload| Rows::new(payload).map_while(Result::ok)).map(|RowRef { table, key, .. }| (table, key)).collect();
        let mut step = Step { before, after, zones: BTreeMap::new(), children: BTreeSet::new(), broken: BTreeSet::new() };
        let read = keys.iter().try_for_each(|(table, key)| match *table {
            ZONE => step.zone(key),
            NODE => step.node(key),
            DENIAL => step.gap(key),
            _ => Ok(()),
        });
        if read.and_then(|()| step.delegations()).is_err() {
            // A row that cannot be read is found by whoever reads it next; no history is better than a wrong one.
            self.clear();
            return Vec::new();
        }
        for apex in &step.broken {
            self.forget(apex);
        }
        let Step { zones, broken, .. } = step;
        let mut risen: Vec<DomainName> = broken.iter().filter(|apex| soa_of(after, apex).is_ok()).cloned().collect();
        for (apex, change) in zones.into_iter().filter(|(apex, _)| !broken.contains(apex)) {
            match change.between(before, after, &apex) {
                Some(delta) => {
                    self.push(&apex, delta);
                    risen.push(apex);
                }
                None => self.forget(&apex),
            }
        }
        risen
    }

    /// The steps from this serial to the newest; `None` where they are not all at hand.
    pub fn since(&self, apex: &DomainName, serial: Serial) -> Option<Vec<Arc<ZoneDelta>>> {
        let steps = self.zones.get(apex)?;
        let first = steps.iter().position(|step| step.serial_before() == Some(serial))?;
        Some(steps.range(first..).cloned().collect())
    }

    fn push(&mut self, apex: &DomainName, delta: ZoneDelta) {
        let steps = self.zones.entry(apex.clone()).or_default();
        if steps.back().is_some_and(|last| last.serial_after() != delta.serial_before()) {
            self.bytes -= steps.drain(..).map(|step| step.bytes()).sum::<usize>();
        }
        self.bytes += delta.bytes();
        steps.push_back(Arc::new(delta));
        self.order.push_back(apex.clone());
        if steps.len() > STEPS_LIMIT {
            self.bytes -= steps.pop_front().map_or(0, |step| step.bytes());
        }
        while self.bytes > LIMIT_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            let gone = self.zones.get_mut(&oldest).and_then(VecDeque::pop_front);
            self.bytes -= gone.map_or(0, |step| step.bytes());
        }
        while self.order.len() > 4 * STEPS_LIMIT * self.zones.len().max(1) {
            self.order.pop_front();
        }
    }

    fn forget(&mut self, apex: &DomainName) {
        let steps = self.zones.remove(apex).unwrap_or_default();
        self.bytes -= steps.iter().map(|step| step.bytes()).sum::<usize>();
    }
}

/// What changes in a zone.
#[derive(Default)]
struct Change {
    removed: BTreeSet<Record>,
    added: BTreeSet<Record>,
}

impl Change {
    fn turn(&mut self, before: Vec<Record>, after: Vec<Record>) {
        self.removed.extend(before.into_iter().filter(|record| record.rtype != rtype::SOA));
        self.added.extend(after.into_iter().filter(|record| record.rtype != rtype::SOA));
    }

    fn between(self, before: &View, after: &View, apex: &DomainName) -> Option<ZoneDelta> {
        let ((from, old), (to, new)) = (soa_of(before, apex).ok()?, soa_of(after, apex).ok()?);
        let removed = self.removed.difference(&self.added).cloned().collect();
        let added = self.added.difference(&self.removed).cloned().collect();
        new.serial.is_newer_than(old.serial).then_some(ZoneDelta { from, to, removed, added })
    }
}

struct Step<'v> {
    before: &'v View,
    after: &'v View,
    zones: BTreeMap<DomainName, Change>,
    /// Zones of ours whose delegation may be another one now.
    children: BTreeSet<DomainName>,
    /// Zones whose history ends.
    broken: BTreeSet<DomainName>,
}

impl Step<'_> {
    /// A zone that comes or goes takes names from the one above it, or gives them back.
    fn zone(&mut self, key: &[u8]) -> Result<(), ContentsError> {
        let apex = DomainName::from_wire(key).ok_or(ContentsError::Damaged)?;
        if self.before.get(ZONE, key)?.is_some() == self.after.get(ZONE, key)?.is_some() {
            self.zones.entry(apex).or_default();
            return Ok(());
        }
        self.broken.extend(parent_of(self.before, key)?);
        self.broken.extend(parent_of(self.after, key)?);
        self.broken.insert(apex);
        Ok(())
    }

    fn node(&mut self, key: &[u8]) -> Result<(), ContentsError> {
        for (view, is_before) in [(self.before, true), (self.after, false)] {
            let Some(row) = view.get(NODE, key)? else { continue };
            let node = NodeRef::new(row)?;
            let Some(apex) = apex_of(key, node) else { continue };
            let records = own_records(&apex, key, node)?;
            let change = self.zones.entry(apex.clone()).or_default();
            if is_before {
                change.turn(records, Vec::new())
            } else {
                change.turn(Vec::new(), records)
            }
            // The top of a zone delegates it, and an address within it may be a server's.
            if node.place == Place::Apex || node.rrset(rtype::A)?.is_some() || node.rrset(rtype::AAAA)?.is_some() {
                self.children.insert(apex);
            }
        }
        Ok(())
    }

    fn gap(&mut self, key: &[u8]) -> Result<(), ContentsError> {
        let owner = crate::dns::denial::owner_of(key).ok_or(ContentsError::Damaged)?;
        let labels = usize::from(key[0]);
        for (view, is_before) in [(self.before, true), (self.after, false)] {
            let Some(row) = view.get(DENIAL, key)? else { continue };
            let Some(apex) = ancestor(&owner, labels) else { continue };
            let mut records = Vec::new();
            for rrset in NodeRef::new(row)?.rrsets() {
                let rrset = rrset?;
                for rdata in rrset.rdatas() {
                    records.push(Record { owner: owner.clone(), rtype: rrset.rtype, ttl: rrset.ttl, rdata: rdata?.to_vec() });
                }
            }
            let change = self.zones.entry(apex).or_default();
            if is_before { change.turn(records, Vec::new()) } else { change.turn(Vec::new(), records) }
        }
        Ok(())
    }

    fn delegations(&mut self) -> Result<(), ContentsError> {
        for child in std::mem::take(&mut self.children) {
            let (was, is) = (delegation(self.before, &child)?, delegation(self.after, &child)?);
            if was == is {
                continue;
            }
            if let Some(parent) = parent_of(self.after, child.wire())? {
                self.zones.entry(parent).or_default().turn(was, is);
            }
        }
        Ok(())
    }
}

fn apex_of(key: &[u8], node: NodeRef<'_>) -> Option<DomainName> {
    ancestor(&DomainName::from_wire(key)?, usize::from(node.apex_labels))
}

/// The name of a name's last labels.
fn ancestor(name: &DomainName, labels: usize) -> Option<DomainName> {
    let up = name.label_count().checked_sub(labels)?;
    (0..up).try_fold(name.clone(), |name, _| name.parent())
}
