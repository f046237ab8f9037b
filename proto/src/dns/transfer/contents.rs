//! What a zone of ours is to another server: its own records, and of each zone of ours below it what delegates it.
//!
//! A view has one row for each name, so where a child zone is ours, too, the row at its top is the child's. A server that has the
//! parent alone needs the delegation all the same: the child's NS set, the DS set that stands in that row, and the addresses of
//! servers within the child.

use super::soa::Soa;
use crate::dns::name::Name;
use crate::dns::{DENIAL, NODE, NodeRef, Place, Record, RowError, ZONE, denial_key, rtype};
use crate::snapshot::{Damaged, View};
use crate::words::DomainName;

/// Why a zone cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentsError {
    /// It is none of ours.
    #[error("this zone is none of ours")]
    NoZone,
    /// It is ours, and has no SOA: its copy was given up.
    #[error("this zone has no records for now")]
    Empty,
    /// A row that cannot be read.
    #[error("a row of this zone cannot be read")]
    Damaged,
}

impl From<Damaged> for ContentsError {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

impl From<RowError> for ContentsError {
    fn from(_: RowError) -> Self {
        Self::Damaged
    }
}

/// The SOA record of a zone.
pub fn soa_of(view: &View, apex: &DomainName) -> Result<(Record, Soa), ContentsError> {
    if view.get(ZONE, apex.wire())?.is_none() {
        return Err(ContentsError::NoZone);
    }
    let row = view.get(NODE, apex.wire())?.ok_or(ContentsError::Empty)?;
    let soa = NodeRef::new(row)?.rrset(rtype::SOA)?.ok_or(ContentsError::Empty)?;
    let rdata = soa.rdatas().next().ok_or(ContentsError::Damaged)??;
    let numbers = Soa::of(rdata).ok_or(ContentsError::Damaged)?;
    Ok((Record { owner: apex.clone(), rtype: rtype::SOA, ttl: soa.ttl, rdata: rdata.to_vec() }, numbers))
}

/// Hands out every record of a zone but its SOA, in no order that means anything. Ends early where `take` says so, by giving `false`.
pub fn for_each_record(view: &View, apex: &DomainName, mut take: impl FnMut(Record) -> bool) -> Result<(), ContentsError> {
    let labels = apex.label_count();
    for row in view.iter(NODE) {
        let (key, value) = row?;
        if !key.ends_with(apex.wire()) {
            continue;
        }
        let node = NodeRef::new(value)?;
        let records = if usize::from(node.apex_labels) == labels {
            own_records(apex, key, node)?
        } else if node.place == Place::Apex && parent_of(view, key)?.as_ref() == Some(apex) {
            delegation(view, &DomainName::from_wire(key).ok_or(ContentsError::Damaged)?)?
        } else {
            continue;
        };
        if !records.into_iter().filter(|record| record.rtype != rtype::SOA).all(&mut take) {
            return Ok(());
        }
    }
    let gaps = denial_key(labels as u8, apex);
    for row in view.iter(DENIAL) {
        let (key, value) = row?;
        let Some(owner) = crate::dns::denial::owner_of(key).filter(|_| key.starts_with(&gaps)) else { continue };
        if !all_records(&owner, NodeRef::new(value)?, |_, _| true)?.into_iter().all(&mut take) {
            return Ok(());
        }
    }
    Ok(())
}

/// The records that a row of this zone holds for it, its SOA among them. Nothing where the name does not lie within.
pub(super) fn own_records(apex: &DomainName, key: &[u8], node: NodeRef<'_>) -> Result<Vec<Record>, ContentsError> {
    let owner = DomainName::from_wire(key).ok_or(ContentsError::Damaged)?;
    if !owner.is_within(apex) {
        return Ok(Vec::new());
    }
    // At the top of a zone, what signs the delegation is the parent's.
    all_records(&owner, node, |rtype, covered| node.place != Place::Apex || rtype != rtype::DS && covered != Some(rtype::DS))
}

fn all_records(owner: &DomainName, node: NodeRef<'_>, wanted: impl Fn(u16, Option<u16>) -> bool) -> Result<Vec<Record>, ContentsError> {
    let mut records = Vec::new();
    for rrset in node.rrsets() {
        let rrset = rrset?;
        for rdata in rrset.rdatas() {
            let rdata = rdata?;
            let covered = if rrset.rtype == rtype::RRSIG { rdata.first_chunk().map(|two| u16::from_be_bytes(*two)) } else { None };
            if wanted(rrset.rtype, covered) {
                records.push(Record { owner: owner.clone(), rtype: rrset.rtype, ttl: rrset.ttl, rdata: rdata.to_vec() });
            }
        }
    }
    Ok(records)
}

/// What delegates this zone of ours, as its parent has it: nothing where it is no zone.
pub fn delegation(view: &View, child: &DomainName) -> Result<Vec<Record>, ContentsError> {
    let Some(row) = view.get(NODE, child.wire())? else { return Ok(Vec::new()) };
    let node = NodeRef::new(row)?;
    if node.place != Place::Apex {
        return Ok(Vec::new());
    }
    let mut records = all_records(child, node, |rtype, covered| matches!(rtype, rtype::NS | rtype::DS) || covered == Some(rtype::DS))?;
    let servers: Vec<DomainName> = records.iter().filter(|record| record.rtype == rtype::NS).filter_map(|ns| DomainName::from_wire(&ns.rdata)).collect();
    for server in servers.iter().filter(|server| server.is_within(child)) {
        if let Some(row) = view.get(NODE, server.wire())? {
            records.extend(all_records(server, NodeRef::new(row)?, |rtype, _| matches!(rtype, rtype::A | rtype::AAAA))?);
        }
    }
    Ok(records)
}

/// The zone of ours that a zone of ours is delegated from: the nearest above it.
pub(super) fn parent_of(view: &View, child: &[u8]) -> Result<Option<DomainName>, ContentsError> {
    let name = Name::read(child).ok_or(ContentsError::Damaged)?;
    for labels in (0..name.labels()).rev() {
        if view.get(ZONE, name.ancestor(labels))?.is_some() {
            return Ok(DomainName::from_wire(name.ancestor(labels)));
        }
    }
    Ok(None)
}
