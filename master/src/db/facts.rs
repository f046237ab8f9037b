//! Everything that a name has, from whatever table it comes: the records stored at it, the addresses and HINFO of its host,
//! the PTR of an address, the SOA of its zone; and where in its zone it stands.
//!
//! A name depends on more than its own rows: an empty name exists while something lies below it, and a delegation above it
//! makes it glue. So the names between a key and its apex are looked at with it.

use super::compose::{self, StoredName};
use super::copies::{self, CopiedName};
use super::zones::{Source, ZoneIndex, ZoneRow};
use super::{DbError, zones};
use holdfast_proto::dns::{Place, rtype};
use holdfast_proto::words::DomainName;
use sqlx::PgConnection;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

/// One name as it is to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameFacts {
    /// The name.
    pub name: DomainName,
    /// Its zone's number and apex; `None` where it lies in none of ours.
    pub zone: Option<(i64, DomainName)>,
    /// Where the zone's records come from.
    pub source: Source,
    /// Where it stands there.
    pub place: Place,
    /// Whether the name exists: with records, as a host or zone, or as a name with others below it.
    pub exists: bool,
    /// Its records by type and data.
    pub records: Vec<RecordFact>,
}

/// One record as it is to be answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordFact {
    /// Its type.
    pub rtype: u16,
    /// Its data in wire form.
    pub rdata: Vec<u8>,
    /// Its TTL in seconds: of its set the lowest.
    pub ttl: u32,
}

/// The facts of these names and of the names between them and their apexes.
pub async fn names(db: &mut PgConnection, keys: impl IntoIterator<Item = DomainName>) -> Result<Vec<NameFacts>, DbError> {
    let zones = ZoneIndex::new(zones::all(db).await?);
    names_in(db, &zones, keys).await
}

/// The same for whoever knows the zones.
pub async fn names_in(db: &mut PgConnection, zones: &ZoneIndex, keys: impl IntoIterator<Item = DomainName>) -> Result<Vec<NameFacts>, DbError> {
    let names: Vec<DomainName> = with_ancestors(keys, zones).into_iter().collect();
    let mut found = Found::default();
    let is_copied = |name: &DomainName| zones.of(name).is_some_and(|zone| zone.source.is_copy());
    let (copied, own): (Vec<DomainName>, Vec<DomainName>) = names.iter().cloned().partition(is_copied);
    compose::names(db, &own).await?.into_iter().for_each(|stored| found.take(stored, zones));
    let current: Vec<(DomainName, i64)> =
        copied.into_iter().filter_map(|name| zones.of(&name).filter(|zone| zone.source == Source::Copy).map(|zone| zone.id).map(|id| (name, id))).collect();
    let (copied, of): (Vec<DomainName>, Vec<i64>) = current.into_iter().unzip();
    copies::names(db, &of, &copied).await?.into_iter().for_each(|copied| found.take_copied(copied));
    Ok(names.iter().map(|name| found.facts(name, zones)).collect())
}

/// The keys and every name between them and the apex of their zone.
fn with_ancestors(keys: impl IntoIterator<Item = DomainName>, zones: &ZoneIndex) -> BTreeSet<DomainName> {
    let mut names = BTreeSet::new();
    for key in keys {
        let apex = zones.of(&key).map(|zone| zone.apex.clone());
        let mut next = Some(key);
        while let Some(name) = next {
            let parent = apex.as_ref().filter(|apex| **apex != name).and_then(|_| name.parent()).filter(|parent| Some(parent) != apex.as_ref());
            next = names.insert(name).then_some(parent).flatten();
        }
    }
    names
}

/// What the tables say about some names.
#[derive(Default)]
struct Found {
    known: HashSet<DomainName>,
    records: HashMap<DomainName, Vec<Stored>>,
}

/// Type, own TTL, data.
type Stored = (u16, Option<u32>, Vec<u8>);

fn address_record(address: IpAddr) -> (u16, Vec<u8>) {
    match address {
        IpAddr::V4(v4) => (rtype::A, v4.octets().to_vec()),
        IpAddr::V6(v6) => (rtype::AAAA, v6.octets().to_vec()),
    }
}

/// A character string, RFC 1035 section 3.3; the database keeps it within 255 bytes.
fn counted(text: &str) -> Vec<u8> {
    let bytes = &text.as_bytes()[..text.len().min(255)];
    [&[bytes.len() as u8], bytes].concat()
}

/// A mail address as RP has it (RFC 1183 section 2.2): as a domain name, the part before the @ its first label (RFC 1035
/// section 8), and no text. `None` where it does not fit into one.
fn responsible_person(mail: &str) -> Option<Vec<u8>> {
    let (local, domain) = mail.split_once('@')?;
    let label = u8::try_from(local.len()).ok().filter(|length| (1..=63).contains(length))?;
    let domain: DomainName = domain.parse().ok()?;
    let mailbox = [&[label], local.to_ascii_lowercase().as_bytes(), domain.wire()].concat();
    DomainName::from_wire(&mailbox).map(|mailbox| [mailbox.wire(), DomainName::root().wire()].concat())
}

impl Found {
    fn take(&mut self, stored: StoredName, zones: &ZoneIndex) {
        let StoredName { name, is_known, records, host, pointers, pointer_ttl } = stored;
        for record in records {
            self.add(name.clone(), record.rtype, record.ttl, record.rdata);
        }
        if let Some(host) = host {
            for address in host.addresses {
                let (rtype, rdata) = address_record(address);
                self.add(name.clone(), rtype, host.ttl, rdata);
            }
            let zone = zones.of(&name);
            if zone.is_some_and(|zone| zone.publish_hinfo) && !host.hardware.is_empty() && !host.os.is_empty() {
                self.add(name.clone(), rtype::HINFO, host.ttl, [counted(&host.hardware), counted(&host.os)].concat());
            }
            if zone.is_some_and(|zone| zone.publish_rp) {
                let rdata = host.keeper.as_deref().and_then(responsible_person);
                rdata.into_iter().for_each(|rdata| self.add(name.clone(), rtype::RP, None, rdata));
            }
        }
        for host in pointers {
            self.add(name.clone(), rtype::PTR, pointer_ttl, host.wire().to_vec());
        }
        if is_known {
            self.known.insert(name);
        }
    }

    fn take_copied(&mut self, copied: CopiedName) {
        let CopiedName { name, is_known, records } = copied;
        for (rtype, ttl, rdata) in records {
            self.add(name.clone(), rtype, Some(ttl), rdata);
        }
        if is_known {
            self.known.insert(name);
        }
    }

    fn add(&mut self, name: DomainName, rtype: u16, ttl: Option<u32>, rdata: Vec<u8>) {
        self.records.entry(name).or_default().push((rtype, ttl, rdata));
    }

    fn has_ns(&self, name: &DomainName) -> bool {
        self.records.get(name).is_some_and(|records| records.iter().any(|(rtype, ..)| *rtype == rtype::NS))
    }

    fn facts(&self, name: &DomainName, zones: &ZoneIndex) -> NameFacts {
        let Some(zone) = zones.of(name) else {
            return NameFacts { name: name.clone(), zone: None, source: Source::Own, place: Place::Inside, exists: false, records: vec![] };
        };
        let place = self.place(name, zone);
        let exists = place == Place::Apex || self.known.contains(name);
        let records = self.records_at(name, zone);
        NameFacts { name: name.clone(), zone: Some((zone.id, zone.apex.clone())), source: zone.source, place, exists, records }
    }

    fn place(&self, name: &DomainName, zone: &ZoneRow) -> Place {
        if *name == zone.apex {
            return Place::Apex;
        }
        let mut above = name.parent();
        while let Some(ancestor) = above.filter(|ancestor| *ancestor != zone.apex) {
            if self.has_ns(&ancestor) {
                return Place::BelowCut;
            }
            above = ancestor.parent();
        }
        if self.has_ns(name) { Place::Cut } else { Place::Inside }
    }

    fn records_at(&self, name: &DomainName, zone: &ZoneRow) -> Vec<RecordFact> {
        let stored = self.records.get(name).map_or(&[][..], Vec::as_slice);
        // An alias has nothing beside it (RFC 1034 section 3.6.2); only a derived PTR could try.
        let alias = !zone.source.is_copy() && stored.iter().any(|(rtype, ..)| *rtype == rtype::CNAME);
        let kept = stored.iter().filter(|(rtype, ..)| !alias || *rtype == rtype::CNAME);
        let mut records: Vec<RecordFact> =
            kept.map(|(rtype, ttl, rdata)| RecordFact { rtype: *rtype, ttl: ttl.unwrap_or(zone.ttl), rdata: rdata.clone() }).collect();
        // The SOA of a copy is its primary's.
        if *name == zone.apex && !zone.source.is_copy() {
            records.push(RecordFact { rtype: rtype::SOA, ttl: zone.ttl, rdata: soa(zone) });
        }
        records.sort();
        records.dedup_by(|later, earlier| later.rtype == earlier.rtype && later.rdata == earlier.rdata);
        share_ttls(&mut records);
        records
    }
}

/// The records of a set share a TTL (RFC 2181 section 5.2): the lowest that one of them was given.
fn share_ttls(records: &mut [RecordFact]) {
    for set in records.chunk_by_mut(|one, next| one.rtype == next.rtype) {
        let lowest = set.iter().map(|record| record.ttl).min().unwrap_or_default();
        set.iter_mut().for_each(|record| record.ttl = lowest);
    }
}

/// RFC 1035 section 3.3.13.
fn soa(zone: &ZoneRow) -> Vec<u8> {
    let mut rdata = [zone.primary_ns.wire(), zone.mailbox.wire()].concat();
    for number in [zone.serial.0, zone.refresh, zone.retry, zone.expire, zone.minimum] {
        rdata.extend_from_slice(&number.to_be_bytes());
    }
    rdata
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::words::Serial;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn zone(id: i64, apex: &str) -> ZoneRow {
        let ns = name("ns.uni.example");
        let (primary_ns, mailbox) = (ns.clone(), name("hostmaster.uni.example"));
        ZoneRow {
            id,
            apex: name(apex),
            network: None,
            primary_ns,
            mailbox,
            refresh: 1,
            retry: 2,
            expire: 3,
            minimum: 4,
            ttl: 86_400,
            department: None,
            publish_hinfo: true,
            publish_rp: true,
            version: 1,
            serial: Serial(7),
            primaries: vec![],
            transfers: vec![],
            source: Source::Own,
        }
    }

    #[test]
    fn a_key_brings_the_names_up_to_its_apex_and_no_others() {
        let zones = ZoneIndex::new(vec![zone(1, "uni.example")]);
        let names = with_ancestors([name("a.b.uni.example"), name("c.b.uni.example"), name("x.other.example"), name("uni.example")], &zones);
        let expected = ["a.b.uni.example", "b.uni.example", "c.b.uni.example", "uni.example", "x.other.example"];
        assert_eq!(names, expected.into_iter().map(name).collect());
    }

    #[test]
    fn what_a_host_is_and_who_keeps_it_is_told_only_where_the_zone_tells_it() {
        let host = compose::HostFacts { hardware: "SUN-4".into(), os: "UNIX".into(), ttl: None, keeper: Some("j.doe@uni.example".into()), addresses: vec![] };
        let stored = |text| StoredName { name: name(text), is_known: true, records: vec![], host: Some(host.clone()), pointers: vec![], pointer_ttl: None };
        let silent = ZoneRow { publish_hinfo: false, publish_rp: false, ..zone(2, "law.uni.example") };
        let zones = ZoneIndex::new(vec![zone(1, "uni.example"), silent]);
        let mut found = Found::default();
        found.take(stored("a.uni.example"), &zones);
        found.take(stored("a.law.uni.example"), &zones);
        let types = |text| found.facts(&name(text), &zones).records.iter().map(|record| record.rtype).collect::<Vec<_>>();
        assert_eq!(types("a.uni.example"), [rtype::HINFO, rtype::RP]);
        assert!(types("a.law.uni.example").is_empty());
        assert_eq!(responsible_person("j.doe@uni.example").unwrap(), b"\x05j.doe\x03uni\x07example\x00\x00");
        assert_eq!(responsible_person("nobody"), None);
    }

    #[test]
    fn a_delegation_makes_glue_of_what_is_below() {
        let zones = ZoneIndex::new(vec![zone(1, "uni.example"), zone(2, "law.uni.example")]);
        let mut found = Found::default();
        found.add(name("cs.uni.example"), rtype::NS, None, name("ns.cs.uni.example").wire().to_vec());
        found.add(name("law.uni.example"), rtype::NS, None, name("ns.uni.example").wire().to_vec());
        let place = |text| found.facts(&name(text), &zones).place;
        assert_eq!(place("cs.uni.example"), Place::Cut);
        assert_eq!(place("a.ns.cs.uni.example"), Place::BelowCut);
        assert_eq!(place("law.uni.example"), Place::Apex);
        assert_eq!(place("www.law.uni.example"), Place::Inside);
        assert_eq!(place("www.uni.example"), Place::Inside);
    }

    #[test]
    fn sets_share_the_lowest_ttl_doubles_fall_together_and_an_alias_is_alone() {
        let zones = ZoneIndex::new(vec![zone(1, "uni.example")]);
        let mut found = Found::default();
        let www = name("www.uni.example");
        found.add(www.clone(), rtype::A, None, vec![10, 1, 4, 7]);
        found.add(www.clone(), rtype::A, Some(300), vec![10, 1, 4, 7]);
        found.add(www.clone(), rtype::A, None, vec![10, 1, 4, 8]);
        let facts = found.facts(&www, &zones);
        let sets: Vec<_> = facts.records.iter().map(|record| (record.ttl, record.rdata[3])).collect();
        assert_eq!(sets, [(300, 7), (300, 8)]);
        found.add(www.clone(), rtype::CNAME, None, name("web.uni.example").wire().to_vec());
        assert_eq!(found.facts(&www, &zones).records.len(), 1);
    }
}
