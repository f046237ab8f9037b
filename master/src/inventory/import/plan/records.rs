//! Zone files: the zone itself, addresses that are hosts', reverse names that follow from them, and all other records.

use super::{Planner, database};
use crate::inventory::import::place::Place;
use crate::inventory::import::zone::{ZoneFile, ZoneRecord};
use crate::inventory::{InterfaceDraft, RecordDraft, ZoneDraft};
use holdfast_proto::dns::rdata;
use holdfast_proto::words::{DomainName, HostName};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

pub(super) const A: u16 = 1;
pub(super) const NS: u16 = 2;
pub(super) const CNAME: u16 = 5;
const SOA: u16 = 6;
const PTR: u16 = 12;
const HINFO: u16 = 13;
pub(super) const AAAA: u16 = 28;

/// A zone file whose zone is known.
pub(super) struct ScannedZone {
    apex: DomainName,
    /// The records that lie in the zone, without the SOA.
    pub(super) records: Vec<ZoneRecord>,
}

/// The address of an A or AAAA record.
pub(super) fn address(record: &ZoneRecord) -> Option<IpAddr> {
    match record.rtype {
        A => <[u8; 4]>::try_from(record.rdata.as_slice()).ok().map(IpAddr::from),
        AAAA => <[u8; 16]>::try_from(record.rdata.as_slice()).ok().map(IpAddr::from),
        _ => None,
    }
}

impl Planner<'_> {
    /// Makes the zone from its SOA. `None` where the file has none and no zone of ours fits.
    pub(super) fn add_zone(&mut self, name: &str, file: ZoneFile) -> Option<ScannedZone> {
        self.out.errors.extend(file.errors);
        let (soas, records): (Vec<_>, Vec<_>) = file.records.into_iter().partition(|record| record.rtype == SOA);
        let apex = match soas.split_first() {
            Some((soa, others)) => {
                for other in others {
                    self.error(
                        other.place.clone(),
                        format!("a second SOA (the first: {}): a zone has one, put the other zone into a file of its own", soa.place),
                    );
                }
                self.put_zone(soa, &records, file.default_ttl)?;
                soa.owner.clone()
            }
            None => match records.first().and_then(|record| self.zone_of(&record.owner)) {
                Some(zone) => zone.apex.clone(),
                None if records.is_empty() => return None,
                None => {
                    self.error(Place::new(&name.into(), 0), "this zone file has no SOA record, and its names lie in none of our zones");
                    return None;
                }
            },
        };
        let (inside, outside): (Vec<_>, Vec<_>) = records.into_iter().partition(|record| record.owner.is_within(&apex));
        for record in outside {
            let message = format!("{} does not lie in {apex}: the record is left out", record.owner);
            self.findings.warn("out-of-zone", message, [record.place]);
        }
        Some(ScannedZone { apex, records: inside })
    }

    fn put_zone(&mut self, soa: &ZoneRecord, records: &[ZoneRecord], default_ttl: Option<u32>) -> Option<()> {
        if self.zones.contains_key(&soa.owner) {
            match self.out.zones.iter().find(|(_, zone)| zone.apex == soa.owner).map(|(place, _)| place.clone()) {
                Some(first) => self.error(soa.place.clone(), format!("the zone {} is given at {first} already", soa.owner)),
                None => {
                    let message = format!("the zone {} is known: its SOA and serial stay as they are", soa.owner);
                    self.findings.info("zone-known", message, [soa.place.clone(), database()]);
                }
            }
            return Some(());
        }
        let text = rdata::print(SOA, &soa.rdata);
        let words: Vec<&str> = text.split(' ').collect();
        let [primary, mailbox, serial, refresh, retry, expire, minimum] = words.as_slice() else { return None };
        let number = |text: &str| text.parse::<u32>().unwrap_or_default();
        let ttl = default_ttl.unwrap_or(soa.ttl);
        let apex_ns = records.iter().filter(|record| record.rtype == NS && record.owner == soa.owner);
        let name_servers: Vec<DomainName> = apex_ns.filter_map(|record| DomainName::from_wire(&record.rdata)).collect();
        if name_servers.is_empty() {
            self.error(soa.place.clone(), format!("the zone {} has no NS record at its apex", soa.owner));
        }
        let draft = ZoneDraft {
            apex: soa.owner.clone(),
            primary_ns: primary.parse().ok()?,
            mailbox: mailbox.parse().ok()?,
            name_servers,
            refresh: number(refresh),
            retry: number(retry),
            expire: number(expire),
            minimum: number(minimum),
            ttl,
            serial: Some(number(serial)),
            department: None,
            // Whoever wrote HINFO into a zone file asked for it.
            publish_hinfo: records.iter().any(|record| record.rtype == HINFO),
            publish_rp: false,
            primaries: Vec::new(),
            transfers: Vec::new(),
        };
        self.zones.insert(soa.owner.clone(), draft.clone());
        self.out.zones.push((soa.place.clone(), draft));
        Some(())
    }

    /// Addresses first, because the other records hang on them.
    pub(super) fn add_zone_records(&mut self, zones: Vec<ScannedZone>) {
        let mut rest = Vec::new();
        for zone in zones {
            let cuts: HashSet<DomainName> =
                zone.records.iter().filter(|record| record.rtype == NS && record.owner != zone.apex).map(|record| record.owner.clone()).collect();
            self.check_aliases(&zone.records);
            let fresh = self.out.zones.iter().any(|(_, draft)| draft.apex == zone.apex);
            let mut seen: HashMap<(DomainName, u16), Vec<Vec<u8>>> = HashMap::new();
            for record in zone.records {
                let set = seen.entry((record.owner.clone(), record.rtype)).or_default();
                if set.contains(&record.rdata) {
                    continue;
                }
                set.push(record.rdata.clone());
                let below_cut = is_below(&record.owner, &zone.apex, &cuts);
                match address(&record) {
                    Some(_) if below_cut => self.put_record(record),
                    Some(address) => self.add_address(record, address),
                    // The zone's own NS records went into its draft.
                    None if fresh && record.rtype == NS && record.owner == zone.apex => {}
                    None => rest.push(record),
                }
            }
        }
        for record in rest {
            match record.rtype {
                PTR => self.add_pointer(record),
                HINFO => self.add_hinfo(record),
                CNAME => self.add_alias(record),
                _ => self.put_record(record),
            }
        }
    }

    /// RFC 1034 section 3.6.2: nothing stands beside a CNAME, and there is one.
    fn check_aliases(&mut self, records: &[ZoneRecord]) {
        let aliases: HashMap<&DomainName, &ZoneRecord> = records.iter().filter(|record| record.rtype == CNAME).map(|record| (&record.owner, record)).collect();
        for record in records {
            let Some(alias) = aliases.get(&record.owner) else { continue };
            if record.rtype != CNAME || record.rdata != alias.rdata {
                let message = format!("{} has a CNAME ({}) and may have nothing else: remove one of them", record.owner, alias.place);
                self.error(record.place.clone(), message);
            }
        }
    }

    /// An address in one of our subnets makes or confirms a host; any other stays a plain record.
    pub(super) fn add_address(&mut self, record: ZoneRecord, address: IpAddr) {
        let subnet = self.subnet_of(address).filter(|subnet| subnet.can_hold(address));
        let (Some(_), Ok(name)) = (subnet, HostName::try_from(record.owner.clone())) else {
            if subnet.is_none() {
                let message = format!("{} lies in no known subnet: {} stays a plain record without a host", address, record.owner);
                self.findings.warn("address-outside-subnets", message, [record.place.clone()]);
            }
            return self.put_record(record);
        };
        if let Some((index, place)) = self.by_address.get(&address).cloned() {
            if self.hosts[index].draft.name != name {
                let message = format!("{address} belongs to {}: the address record of {name} is left out", self.hosts[index].draft.name);
                self.findings.warn("address-shared", message, [record.place, place]);
                return;
            }
            self.hosts[index].met.get_or_insert_with(|| record.place.clone());
            return self.compare_ttl(&record);
        }
        let index = self.by_name.get(name.domain()).copied();
        if index.is_some_and(|index| self.hosts[index].known) {
            let message = format!("{name} has other addresses in the database than {address}: this one is left out");
            self.findings.warn("address-mismatch", message, [record.place, database()]);
            return;
        }
        // Told when the boot entry was read.
        if address.is_ipv4() && self.overruled.contains(name.domain()) {
            return;
        }
        self.compare_ttl(&record);
        let place = record.place.clone();
        match index.filter(|index| !self.hosts[*index].draft.interfaces.is_empty()) {
            Some(index) => {
                self.hosts[index].draft.interfaces[0].addresses.push(address);
                self.by_address.insert(address, (index, place));
            }
            None => self.put_interface(name, InterfaceDraft { addresses: vec![address], ..InterfaceDraft::default() }, address, place, None),
        }
    }

    /// The alias of another name; a host's own name cannot be one.
    fn add_alias(&mut self, record: ZoneRecord) {
        let host = self.by_name.get(&record.owner).map(|index| self.hosts[*index].place.clone());
        match host.filter(|place| place.file != record.place.file) {
            Some(place) => self.error(record.place, format!("{} is a host ({place}) and cannot be an alias too: remove one of them", record.owner)),
            None => self.put_record(record),
        }
    }

    fn compare_ttl(&mut self, record: &ZoneRecord) {
        let usual = self.zone_of(&record.owner).map(|zone| zone.ttl);
        if usual.is_some_and(|usual| usual != record.ttl) {
            let message = format!("the TTL {} of {} becomes the zone's, as all addresses of hosts have", record.ttl, record.owner);
            self.findings.info("ttl-of-host", message, [record.place.clone()]);
        }
    }

    /// A pointer that agrees with a host follows from it; one that disagrees is left out, because a host's own pointer is served.
    fn add_pointer(&mut self, record: ZoneRecord) {
        let Some(address) = record.owner.reversed_address() else { return self.put_record(record) };
        let Some(target) = DomainName::from_wire(&record.rdata) else { return self.put_record(record) };
        match self.by_address.get(&address).cloned() {
            Some((index, _)) if *self.hosts[index].draft.name.domain() == target => {}
            Some((index, place)) => {
                let message =
                    format!("{} points to {target}, but {address} belongs to {}: the pointer is left out", record.owner, self.hosts[index].draft.name);
                self.findings.warn("pointer-mismatch", message, [record.place, place]);
            }
            None => {
                let named = self.by_name.get(&target).map(|index| self.hosts[*index].place.clone());
                let message = match &named {
                    Some(_) => format!("{} points to {target}, which has not the address {address}", record.owner),
                    None => format!("{} points to {target}, but no host has the address {address}", record.owner),
                };
                let places = std::iter::once(record.place.clone()).chain(named).collect::<Vec<_>>();
                self.findings.warn("pointer-mismatch", message, places);
                self.put_record(record);
            }
        }
    }

    /// The first HINFO of a host is its hardware and system.
    fn add_hinfo(&mut self, record: ZoneRecord) {
        let Some(index) = self.by_name.get(&record.owner).copied() else { return self.put_record(record) };
        let Some((hardware, os)) = hinfo(&record.rdata) else { return self.put_record(record) };
        let host = &mut self.hosts[index];
        if host.draft.hardware.is_empty() && host.draft.os.is_empty() {
            (host.draft.hardware, host.draft.os) = (hardware, os);
            host.changed = true;
        } else if (&host.draft.hardware, &host.draft.os) != (&hardware, &os) {
            let place = host.place.clone();
            let message = format!("{} is {} {} already: this HINFO is left out", record.owner, host.draft.hardware, host.draft.os);
            self.findings.warn("hinfo-mismatch", message, [record.place, place]);
        }
    }

    /// A record that is there already is not made again.
    pub(super) fn put_record(&mut self, record: ZoneRecord) {
        if !self.records.insert((record.owner.clone(), record.rtype, record.rdata.clone())) {
            let object = format!("record {} {}", record.owner, rdata::type_name(record.rtype));
            return self.out.same.push((record.place, object));
        }
        let usual = self.zone_of(&record.owner).map(|zone| zone.ttl);
        let text = rdata::print(record.rtype, &record.rdata);
        let ttl = Some(record.ttl).filter(|ttl| Some(*ttl) != usual);
        self.out.records.push((record.place, RecordDraft { name: record.owner, rtype: record.rtype, ttl, rdata: record.rdata, text }));
    }
}

/// At a zone cut or below it: there the parent holds NS, DS and glue only.
fn is_below(name: &DomainName, apex: &DomainName, cuts: &HashSet<DomainName>) -> bool {
    if cuts.is_empty() {
        return false;
    }
    let mut at = Some(name.clone());
    while let Some(candidate) = at.filter(|candidate| candidate != apex) {
        if cuts.contains(&candidate) {
            return true;
        }
        at = candidate.parent();
    }
    false
}

/// Both strings, where both are readable text.
fn hinfo(rdata: &[u8]) -> Option<(String, String)> {
    let (len, rest) = rdata.split_first()?;
    let (hardware, rest) = rest.split_at_checked((*len).into())?;
    let (len, os) = rest.split_first()?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok().filter(|text| !text.is_empty() && !text.contains(char::is_control));
    (os.len() == usize::from(*len)).then(|| Some((text(hardware)?, text(os)?)))?
}
