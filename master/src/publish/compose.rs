//! From keys to rows: what the snapshots must hold for the objects behind the outbox.
//!
//! A key names a row even when its object is gone; then the row is taken away. Nothing here compares with what is published:
//! the publisher drops the rows that are as they were, and asks [`raise_serial`] for the zones of the others.

use crate::db::campuses;
use crate::db::changes::OutboxKey;
use crate::db::compose::{self as facts, NasFacts, PolicyFacts, ReservationFacts, SubnetFacts};
use crate::db::facts::{NameFacts, RecordFact};
use crate::db::leases::{self, LentFacts};
use crate::db::machines::{self, MachineFacts};
use crate::db::told::subnet_options;
use crate::db::zones::{Source, ZoneIndex, ZoneRow as ZoneFacts};
use crate::db::{self, DbError};
use holdfast_proto::dhcp::ended::{self, ENDED};
use holdfast_proto::dhcp::policy::{POLICY, PolicyRow, Share, Unknown};
use holdfast_proto::dhcp::table::{self as dhcp, Reservation, SubnetRow};
use holdfast_proto::dns::lent::{node_between, nodes_of};
use holdfast_proto::dns::{DENIAL, NODE, Node, Place, RrSet, ZONE, ZoneRow, denial_key, rtype};
use holdfast_proto::lent::{LENT, LentName, NAMING, Naming, lent_value};
use holdfast_proto::radius::{MACHINE, Machine, NAS, Nas, NasMachines, NasRights, nas_key};
use holdfast_proto::snapshot::{Change, EncryptedField, Feed};
use holdfast_proto::words::{DomainName, Mac, NodeId, Serial, Subnet};
use ipnet::{IpNet, Ipv4Net};
use sqlx::PgConnection;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// The hardware type of Ethernet (RFC 1700).
const ETHERNET: u8 = 1;

/// One row to be put or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposedRow {
    /// The feed that it belongs to.
    pub feed: Feed,
    /// What shall become of it.
    pub change: Change,
    /// The zone whose serial rises when the row is not as it was.
    pub zone: Option<i64>,
}

/// Keys or rows that cannot be composed.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// An outbox key that no trigger of ours writes.
    #[error("the outbox holds the key \"{key}\" of {subject}, which is none")]
    Key {
        /// Its subject.
        subject: String,
        /// The key.
        key: String,
    },
    /// A NAS's secret that was not encrypted by us.
    #[error("the secret of NAS {0} is not an encrypted field: set it again")]
    Secret(String),
}

/// The rows behind these keys, each once. `zones` are all zones as the same transaction sees them.
pub async fn compose(db: &mut PgConnection, zones: &ZoneIndex, keys: &[OutboxKey]) -> Result<Vec<ComposedRow>, ComposeError> {
    let keys = Keys::sort(keys)?;
    let mut rows = zone_rows(zones, &keys.zones);
    rows.extend(name_rows(db, zones, keys.names).await?);
    rows.extend(subnet_rows(db, &keys.subnets).await?);
    rows.extend(reservation_rows(db, &keys.reservations).await?);
    rows.extend(nas_rows(db, &keys.nas).await?);
    rows.extend(machine_rows(db, &keys.machines).await?);
    rows.extend(lent_rows(db, keys.lent).await?);
    Ok(rows)
}

/// A zone with the next serial, and the rows that carry it: the zone's own and its apex. They replace earlier rows of the same
/// keys. `apex` is the row of the apex as it is to be published, so that nothing has to be asked of the database.
pub fn raise_serial(zone: &ZoneFacts, apex: Option<Vec<u8>>) -> (Serial, Vec<ComposedRow>) {
    let serial = zone.serial.next();
    let row = |table, value| {
        let change = Change { table, key: zone.apex.wire().to_vec(), value };
        ComposedRow { feed: Feed::ZONE, change, zone: Some(zone.id) }
    };
    let mut rows = vec![row(ZONE, Some(ZoneRow { serial }.encode()))];
    let node = apex.and_then(|value| Node::decode(&value).ok());
    rows.extend(node.map(|node| row(NODE, Some(with_serial(node, serial).encode()))));
    (serial, rows)
}

/// The serial stands before the last four numbers of the SOA (RFC 1035 section 3.3.13).
fn with_serial(mut node: Node, serial: Serial) -> Node {
    const FROM_END_BYTES: usize = 20;
    let soa = node.rrsets.iter_mut().filter(|set| set.rtype == rtype::SOA).flat_map(|set| &mut set.rdatas);
    for rdata in soa {
        if let Some(start) = rdata.len().checked_sub(FROM_END_BYTES) {
            rdata[start..start + 4].copy_from_slice(&serial.0.to_be_bytes());
        }
    }
    node
}

/// Whether keys may say that a zone itself changed: then what is known of the zones has to be read anew.
pub fn touches_zones(zones: &ZoneIndex, keys: &[OutboxKey]) -> bool {
    let is_apex = |key: &OutboxKey| parsed(&key.key).is_none_or(|name: DomainName| zones.at(&name).is_some());
    keys.iter().any(|key| key.subject == "zone" || (key.subject == "name" && is_apex(key)))
}

/// Outbox keys by subject, each once.
#[derive(Default)]
struct Keys {
    names: BTreeSet<DomainName>,
    zones: BTreeSet<DomainName>,
    subnets: BTreeSet<Subnet>,
    reservations: BTreeSet<(Subnet, Mac)>,
    nas: BTreeSet<Subnet>,
    machines: BTreeSet<Mac>,
    lent: BTreeSet<DomainName>,
}

impl Keys {
    fn sort(keys: &[OutboxKey]) -> Result<Self, ComposeError> {
        let mut sorted = Self::default();
        for key in keys {
            sorted.add(key).ok_or_else(|| ComposeError::Key { subject: key.subject.clone(), key: key.key.clone() })?;
        }
        Ok(sorted)
    }

    fn add(&mut self, OutboxKey { subject, key }: &OutboxKey) -> Option<()> {
        match subject.as_str() {
            "name" => self.names.insert(parsed(key)?),
            "zone" => self.zones.insert(parsed(key)?),
            "subnet" => self.subnets.insert(parsed(key)?),
            "nas" => self.nas.insert(parsed(key)?),
            "machine" => self.machines.insert(parsed(key)?),
            "lent" => self.lent.insert(parsed(key)?),
            "reservation" => {
                let (network, mac) = key.split_once(' ')?;
                self.reservations.insert((parsed(network)?, parsed(mac)?))
            }
            _ => return None,
        };
        Some(())
    }
}

fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn zone_rows(zones: &ZoneIndex, apexes: &BTreeSet<DomainName>) -> Vec<ComposedRow> {
    let rows = apexes.iter().map(|apex| {
        let zone = zones.at(apex);
        let value = zone.map(|zone| ZoneRow { serial: zone.serial }.encode());
        let raised = zone.filter(|zone| !zone.source.is_copy()).map(|zone| zone.id);
        ComposedRow { feed: Feed::ZONE, change: Change { table: ZONE, key: apex.wire().to_vec(), value }, zone: raised }
    });
    rows.collect()
}

async fn name_rows(db: &mut PgConnection, zones: &ZoneIndex, names: BTreeSet<DomainName>) -> Result<Vec<ComposedRow>, ComposeError> {
    if names.is_empty() {
        return Ok(vec![]);
    }
    Ok(db::facts::names_in(db, zones, names).await?.iter().flat_map(name_rows_of).collect())
}

/// The rows of one name: what it has and, in a zone that is or was another server's, the gap that begins with it.
fn name_rows_of(facts: &NameFacts) -> Vec<ComposedRow> {
    let mut rows = vec![name_row(facts)];
    if let (Some((_, apex)), true) = (&facts.zone, facts.source != Source::Own) {
        let gap: Vec<RecordFact> = facts.records.iter().filter(|record| is_of_gap(record)).cloned().collect();
        let value = (!gap.is_empty()).then(|| node_of(Place::Inside, apex, &gap).encode());
        let change = Change { table: DENIAL, key: denial_key(apex.label_count() as u8, &facts.name), value };
        rows.push(ComposedRow { feed: Feed::ZONE, change, zone: raised_with(facts) });
    }
    rows
}

/// The row of one name, or its end.
fn name_row(facts: &NameFacts) -> ComposedRow {
    let node = facts.zone.as_ref().filter(|_| facts.exists).map(|(_, apex)| {
        let records: Vec<RecordFact> = facts.records.iter().filter(|record| !is_of_gap(record)).cloned().collect();
        node_of(facts.place, apex, &records)
    });
    let change = Change { table: NODE, key: facts.name.wire().to_vec(), value: node.map(|node| node.encode()) };
    ComposedRow { feed: Feed::ZONE, change, zone: raised_with(facts) }
}

/// The zone whose serial rises with a name; that of a copy is its primary's.
fn raised_with(facts: &NameFacts) -> Option<i64> {
    facts.zone.as_ref().filter(|_| !facts.source.is_copy()).map(|(id, _)| *id)
}

fn node_of(place: Place, apex: &DomainName, records: &[RecordFact]) -> Node {
    let rrsets = records.chunk_by(|one, next| one.rtype == next.rtype).map(rrset).collect();
    Node { place, apex_labels: apex.label_count() as u8, rrsets }
}

/// NSEC and its signatures stand in a table of their own.
fn is_of_gap(record: &RecordFact) -> bool {
    record.rtype == rtype::NSEC || record.rtype == rtype::RRSIG && record.rdata.starts_with(&rtype::NSEC.to_be_bytes())
}

fn rrset(records: &[RecordFact]) -> RrSet {
    RrSet { rtype: records[0].rtype, ttl: records[0].ttl, rdatas: records.iter().map(|record| record.rdata.clone()).collect() }
}

async fn subnet_rows(db: &mut PgConnection, networks: &BTreeSet<Subnet>) -> Result<Vec<ComposedRow>, ComposeError> {
    if networks.is_empty() {
        return Ok(vec![]);
    }
    let texts: Vec<String> = networks.iter().map(Subnet::to_string).collect();
    let campuses = campuses::all(db).await?;
    let found: HashMap<Subnet, SubnetFacts> = facts::subnets(db, &texts).await?.into_iter().map(|facts| (facts.network, facts)).collect();
    let rows = networks.iter().filter_map(|network| {
        let net = v4(network)?;
        let value = found.get(network).map(|facts| SubnetRow { campus: facts.campus.clone(), options: subnet_options(net, facts, &campuses) }.encode());
        Some(bootptab_row(Change { table: dhcp::SUBNET, key: dhcp::subnet_key(net).to_vec(), value }))
    });
    let policies: HashMap<Subnet, PolicyFacts> = facts::policies(db, &texts).await?.into_iter().map(|facts| (facts.network, facts)).collect();
    let policies = networks.iter().filter_map(|network| {
        let (key, facts) = (dhcp::subnet_key(v4(network)?).to_vec(), policies.get(network));
        let policy = facts.map(policy).filter(|row| *row != PolicyRow::default()).map(|row| row.encode());
        let naming = facts.and_then(|facts| facts.lease_zone.clone()).map(|zone| Naming { zone }.encode());
        let ended = facts.filter(|facts| !facts.ended.is_empty()).map(ended);
        let rows = [(POLICY, policy), (NAMING, naming), (ENDED, ended)];
        Some(rows.map(|(table, value)| bootptab_row(Change { table, key: key.clone(), value })))
    });
    Ok(rows.chain(policies.flatten()).collect())
}

/// The leases of a subnet that are to end.
fn ended(facts: &PolicyFacts) -> Vec<u8> {
    let leases: Vec<(Ipv4Addr, Vec<u8>)> = facts.ended.iter().filter_map(|(ip, client)| Some((*ip, hex::decode(client).ok()?))).collect();
    ended::encode(&leases)
}

async fn lent_rows(db: &mut PgConnection, names: BTreeSet<DomainName>) -> Result<Vec<ComposedRow>, ComposeError> {
    let names: Vec<DomainName> = names.into_iter().collect();
    let found = if names.is_empty() { vec![] } else { leases::lent_at(db, &names).await? };
    let rows = names.iter().zip(&found).map(|(name, facts)| {
        let change = Change { table: LENT, key: name.wire().to_vec(), value: lent(name, facts) };
        // Secondaries are told of no names that come and go with every laptop, so no serial rises.
        ComposedRow { feed: Feed::ZONE, change, zone: None }
    });
    Ok(rows.collect())
}

/// The row of a name of a leased machine, of its address, or of what lies above that; `None` where nothing is lent there.
fn lent(owner: &DomainName, facts: &LentFacts) -> Option<Vec<u8>> {
    let lent = match (&facts.forward, &facts.reverse) {
        (Some((agent, address, ttl)), _) => Some((*agent, LentName { address: *address, name: owner.clone(), ttl: *ttl })),
        (None, Some((agent, name, ttl))) => match owner.reversed_address()? {
            IpAddr::V4(address) => Some((*agent, LentName { address, name: name.clone(), ttl: *ttl })),
            IpAddr::V6(_) => None,
        },
        (None, None) => None,
    };
    let node = |(agent, lent)| nodes_of(&lent).into_iter().find(|(name, _)| name == owner).map(|(_, node)| lent_value(agent, &node));
    // What lies above is no agent's in particular.
    lent.and_then(node).or_else(|| facts.is_between.then(|| lent_value(NodeId([0; 16]), &node_between())))
}

/// How agents treat a subnet's machines. Where nothing is lent, nobody needs to know for how long.
fn policy(facts: &PolicyFacts) -> PolicyRow {
    let unknown = match facts.unknown_machines.as_str() {
        "off" => Unknown::Off,
        "quarantine" => Unknown::Quarantine,
        "auto" => Unknown::Auto,
        _ => Unknown::Report,
    };
    let shares: Vec<Share> = facts.shares.iter().map(|(first, last, owner)| Share { first: *first, last: *last, owner: *owner }).collect();
    let lease_secs = if shares.is_empty() { 0 } else { facts.lease_secs };
    PolicyRow { unknown, cover_after_secs: facts.cover_after_secs, lease_secs, shares }
}

fn bootptab_row(change: Change) -> ComposedRow {
    ComposedRow { feed: Feed::BOOTPTAB, change, zone: None }
}

fn v4(network: &Subnet) -> Option<Ipv4Net> {
    match network.net() {
        IpNet::V4(net) => Some(net),
        IpNet::V6(_) => None,
    }
}

async fn reservation_rows(db: &mut PgConnection, places: &BTreeSet<(Subnet, Mac)>) -> Result<Vec<ComposedRow>, ComposeError> {
    if places.is_empty() {
        return Ok(vec![]);
    }
    let networks: Vec<String> = places.iter().map(|(network, _)| network.to_string()).collect();
    let macs: Vec<String> = places.iter().map(|(_, mac)| mac.to_string()).collect();
    let found = facts::reservations(db, &networks, &macs).await?;
    let found: HashMap<(Subnet, Mac), ReservationFacts> = found.into_iter().map(|facts| ((facts.network, facts.mac), facts)).collect();
    let rows = places.iter().filter_map(|place| {
        let key = dhcp::reservation_key(v4(&place.0)?, ETHERNET, &place.1.0);
        let value = found.get(place).map(|facts| reservation(facts).encode());
        Some(bootptab_row(Change { table: dhcp::RESERVATION, key, value }))
    });
    Ok(rows.collect())
}

fn reservation(facts: &ReservationFacts) -> Reservation {
    let parameters = &facts.parameters;
    Reservation {
        address: facts.address,
        host_name: facts.host.to_string(),
        send_host_name: parameters.send_host_name,
        next_server: parameters.next_server,
        server_name: parameters.server_name.clone(),
        boot_file: parameters.boot_file.clone(),
        wait_secs: parameters.wait_secs,
        options: parameters.options.iter().map(|option| (option.code, option.value.clone())).collect(),
    }
}

async fn nas_rows(db: &mut PgConnection, prefixes: &BTreeSet<Subnet>) -> Result<Vec<ComposedRow>, ComposeError> {
    if prefixes.is_empty() {
        return Ok(vec![]);
    }
    let texts: Vec<String> = prefixes.iter().map(Subnet::to_string).collect();
    let found: HashMap<Subnet, NasFacts> = facts::nas(db, &texts).await?.into_iter().map(|facts| (facts.prefix, facts)).collect();
    let rows = prefixes.iter().map(|prefix| {
        let value = found.get(prefix).map(nas).transpose()?.map(|nas| nas.encode());
        Ok(ComposedRow { feed: Feed::ACCESS, change: Change { table: NAS, key: nas_key(prefix.net()), value }, zone: None })
    });
    rows.collect()
}

async fn machine_rows(db: &mut PgConnection, macs: &BTreeSet<Mac>) -> Result<Vec<ComposedRow>, ComposeError> {
    if macs.is_empty() {
        return Ok(vec![]);
    }
    let texts: Vec<String> = macs.iter().map(Mac::to_string).collect();
    let found: HashMap<Mac, MachineFacts> = machines::of(db, &texts).await?.into_iter().map(|facts| (facts.mac, facts)).collect();
    let rows = macs.iter().map(|mac| {
        let value = found.get(mac).map(|facts| Machine { vlan: facts.vlan, places: facts.places.clone() }.encode());
        ComposedRow { feed: Feed::ACCESS, change: Change { table: MACHINE, key: mac.0.to_vec(), value }, zone: None }
    });
    Ok(rows.collect())
}

fn nas(facts: &NasFacts) -> Result<Nas, ComposeError> {
    let secret = EncryptedField::from_bytes(&facts.secret).map_err(|_| ComposeError::Secret(facts.name.clone()))?;
    let (require_message_authenticator, has_former_secret) = (facts.require_message_authenticator, facts.has_former_secret);
    let of_campus = || NasMachines { campus: facts.campus.clone().unwrap_or_default(), guest_vlan: facts.guest_vlan };
    let rights = NasRights { chap: facts.may_chap, machines: facts.mac_authentication.then(of_campus) };
    Ok(Nas { name: facts.name.clone(), secret, require_message_authenticator, has_former_secret, rights })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::boot::OptionDraft;
    use crate::db::campuses::CampusRow;
    use crate::db::defaults::BootDefaults;

    fn campus(name: &str, address: Option<&str>) -> CampusRow {
        CampusRow { id: 1, name: name.to_owned(), service_address: address.map(|text| text.parse().unwrap()), backup: None }
    }

    fn subnet() -> SubnetFacts {
        SubnetFacts {
            network: "10.2.4.0/22".parse().unwrap(),
            campus: "south".to_owned(),
            gateway: Some("10.2.4.1".parse().unwrap()),
            domain: None,
            dns_servers: vec![],
            options: vec![],
            inherited: vec![],
        }
    }

    #[test]
    fn hosts_are_told_the_agent_at_home_first() {
        let campuses = [campus("island", None), campus("north", Some("10.1.4.2")), campus("south", Some("10.2.4.2")), campus("six", Some("2001:db8::2"))];
        let options = subnet_options("10.2.4.0/22".parse().unwrap(), &subnet(), &campuses);
        let servers = options.iter().find(|(code, _)| *code == 6).unwrap();
        assert_eq!(servers.1, [10, 2, 4, 2, 10, 1, 4, 2]);
        assert!(options.contains(&(1, vec![255, 255, 252, 0])));
    }

    #[test]
    fn a_subnets_own_options_go_over_what_follows_from_it() {
        let mut facts = subnet();
        facts.dns_servers = vec!["10.9.9.9".parse().unwrap()];
        facts.options = vec![OptionDraft { code: 3, value: None }, OptionDraft { code: 51, value: Some(vec![0, 0, 0, 9]) }];
        let options = subnet_options("10.2.4.0/22".parse().unwrap(), &facts, &[campus("south", Some("10.2.4.2"))]);
        assert_eq!(options, [(1, vec![255, 255, 252, 0]), (6, vec![10, 9, 9, 9]), (51, vec![0, 0, 0, 9])]);
    }

    #[test]
    fn a_subnet_goes_over_what_it_inherits() {
        let defaults = |text: &str| serde_json::from_str::<BootDefaults>(text).unwrap();
        let mut facts = SubnetFacts { domain: Some("law.uni.example".parse().unwrap()), ..subnet() };
        facts.inherited = vec![defaults(r#"{"domain": "uni.example", "lease_secs": 60, "dns_servers": ["10.9.9.9"]}"#), defaults(r#"{"lease_secs": 9}"#)];
        let options = subnet_options("10.2.4.0/22".parse().unwrap(), &facts, &[campus("south", Some("10.2.4.2"))]);
        let of = |code: u8| options.iter().find(|(known, _)| *known == code).unwrap().1.clone();
        assert_eq!((of(15), of(6), of(51)), (b"law.uni.example".to_vec(), vec![10, 9, 9, 9], vec![0, 0, 0, 9]));
    }

    #[test]
    fn a_name_that_is_gone_is_a_deleted_row_of_its_zone() {
        let name: DomainName = "www.uni.example".parse().unwrap();
        let zone = Some((4, "uni.example".parse().unwrap()));
        let gone = NameFacts { name: name.clone(), zone, source: Source::Own, place: Place::Inside, exists: false, records: vec![] };
        let row = name_row(&gone);
        assert_eq!((row.change, row.zone), (Change::delete(NODE, name.wire()), Some(4)));
        let empty = name_row(&NameFacts { exists: true, ..gone });
        assert_eq!(Node::decode(&empty.change.value.unwrap()).unwrap(), Node { place: Place::Inside, apex_labels: 2, rrsets: vec![] });
    }

    #[test]
    fn keys_are_read_once_and_strange_ones_named() {
        let key = |subject: &str, key: &str| OutboxKey { subject: subject.to_owned(), key: key.to_owned() };
        let keys = [key("name", "www.uni.example"), key("name", "www.uni.example"), key("reservation", "10.1.4.0/22 08:00:20:db:b6:7f")];
        let sorted = Keys::sort(&keys).unwrap();
        assert_eq!((sorted.names.len(), sorted.reservations.len()), (1, 1));
        assert!(Keys::sort(&[key("lease", "x")]).is_err());
    }

    #[test]
    fn what_is_lent_is_a_row_of_its_own_and_what_lies_above_it_is_nobodys() {
        let name = |text: &str| text.parse::<DomainName>().unwrap();
        let agent = NodeId([7; 16]);
        let nothing = LentFacts { forward: None, reverse: None, is_between: false };
        let lent_name = LentName { address: Ipv4Addr::new(10, 1, 6, 100), name: name("pc7.dyn.uni.example"), ttl: 200 };
        let [(_, forward), (_, reverse)] = nodes_of(&lent_name);
        let facts = LentFacts { forward: Some((agent, lent_name.address, 200)), ..nothing.clone() };
        assert_eq!(lent(&lent_name.name, &facts), Some(lent_value(agent, &forward)));
        let facts = LentFacts { reverse: Some((agent, lent_name.name.clone(), 200)), is_between: true, ..nothing.clone() };
        assert_eq!(lent(&name("100.6.1.10.in-addr.arpa"), &facts), Some(lent_value(agent, &reverse)));
        let above = LentFacts { is_between: true, ..nothing.clone() };
        assert_eq!(lent(&name("6.1.10.in-addr.arpa"), &above), Some(lent_value(NodeId([0; 16]), &node_between())));
        assert_eq!(lent(&lent_name.name, &nothing), None);
    }
}
