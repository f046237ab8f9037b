//! Zone files (RFC 1035 section 5): the zone's own records, its hosts by campus and building, pointers, and all else by name.

use super::groups::{Map, seats};
use super::{Estate, remark};
use crate::inventory::ZoneDraft;
use holdfast_proto::dns::rdata;
use holdfast_proto::words::DomainName;
use std::collections::{BTreeMap, HashSet};
use std::fmt::{Result, Write};

const HINFO: u16 = 13;

pub(super) fn write(estate: &Estate, apex: &str, out: &mut dyn Write) -> Result {
    let Some(zone) = estate.zones.iter().find(|zone| zone.apex.without_dot() == apex) else { return Ok(()) };
    if !zone.primaries.is_empty() {
        return writeln!(out, "; {apex} is copied from other servers: ask them for it");
    }
    let apexes: HashSet<&DomainName> = estate.zones.iter().map(|zone| &zone.apex).collect();
    let inside = |name: &DomainName| zone_of(name, &apexes) == Some(&zone.apex);
    let owner = |name: &DomainName| name.relative_to(&zone.apex).unwrap_or_else(|| name.to_string());
    head(zone, out)?;

    let map = Map::of(estate);
    let order = seats(estate, &map);
    let mut group = None;
    let mut told: HashSet<&DomainName> = HashSet::new();
    let mut pointers: BTreeMap<DomainName, Vec<String>> = BTreeMap::new();
    for seat in &order {
        let reverse = DomainName::reverse_of(seat.address);
        if inside(&reverse) {
            let given = seat.host.pointers.iter().find(|pointer| pointer.address == seat.address);
            let names = given.map_or_else(|| vec![seat.host.name.domain().to_string()], |pointer| pointer.names.iter().map(DomainName::to_string).collect());
            pointers.entry(reverse).or_default().extend(names);
        }
        let rtype = if seat.address.is_ipv4() { "A" } else { "AAAA" };
        for name in std::iter::once(seat.host.name.domain()).chain(&seat.host.names).filter(|name| inside(name)) {
            if group.replace((seat.campus, seat.building)) != Some((seat.campus, seat.building)) {
                let building = if seat.building.is_empty() { String::new() } else { format!(", building {}", remark(seat.building)) };
                writeln!(out, "\n; campus {}{building}", remark(seat.campus))?;
            }
            writeln!(out, "{}\t{rtype}\t{}", owner(name), seat.address)?;
            if zone.publish_hinfo && name == seat.host.name.domain() && told.insert(name) {
                hinfo(&owner(name), &seat.host.hardware, &seat.host.os, out)?;
            }
        }
    }
    if !pointers.is_empty() {
        writeln!(out, "\n; pointers of hosts")?;
    }
    for (name, targets) in &pointers {
        for target in targets {
            writeln!(out, "{}\tPTR\t{target}", owner(name))?;
        }
    }
    let mut others: Vec<_> = estate.records.iter().filter(|record| inside(&record.name)).collect();
    others.sort_by(|a, b| (&a.name, a.rtype, &a.rdata).cmp(&(&b.name, b.rtype, &b.rdata)));
    if !others.is_empty() {
        writeln!(out, "\n; other records")?;
    }
    for record in others {
        let ttl = record.ttl.map(|ttl| format!("{ttl}\t")).unwrap_or_default();
        writeln!(out, "{}\t{ttl}{}\t{}", owner(&record.name), rdata::type_name(record.rtype), rdata::print(record.rtype, &record.rdata))?;
    }
    Ok(())
}

fn head(zone: &ZoneDraft, out: &mut dyn Write) -> Result {
    let ZoneDraft { apex, primary_ns, mailbox, refresh, retry, expire, minimum, ttl, .. } = zone;
    let serial = zone.serial.unwrap_or(1);
    writeln!(out, "; {}, by campus and building\n$ORIGIN {apex}\n$TTL {ttl}", apex.without_dot())?;
    writeln!(out, "@\tSOA\t{primary_ns} {mailbox} ( {serial} {refresh} {retry} {expire} {minimum} )")?;
    for server in &zone.name_servers {
        writeln!(out, "@\tNS\t{server}")?;
    }
    if zone.publish_rp {
        writeln!(out, "; RP records of hosts follow from their contacts and are left out")?;
    }
    Ok(())
}

/// The zone of a name: the one with the longest apex.
fn zone_of<'z>(name: &DomainName, apexes: &HashSet<&'z DomainName>) -> Option<&'z DomainName> {
    let mut at = Some(name.clone());
    while let Some(candidate) = at {
        if let Some(apex) = apexes.get(&candidate) {
            return Some(apex);
        }
        at = candidate.parent();
    }
    None
}

fn hinfo(owner: &str, hardware: &str, os: &str, out: &mut dyn Write) -> Result {
    let string = |text: &str| u8::try_from(text.len()).ok().map(|len| [&[len], text.as_bytes()].concat());
    let data = (!hardware.is_empty() && !os.is_empty()).then(|| Some([string(hardware)?, string(os)?].concat())).flatten();
    match data {
        Some(data) => writeln!(out, "{owner}\tHINFO\t{}", rdata::print(HINFO, &data)),
        None => Ok(()),
    }
}
