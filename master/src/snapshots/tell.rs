//! Rows in words. A row that cannot be read is shown by its key, and never by what may be secret in it.

use super::TableCount;
use crate::db::changes::OutboxKey;
use crate::inventory::present;
use holdfast_proto::dhcp::ended::{self, ENDED};
use holdfast_proto::dhcp::policy::{POLICY, PolicyRow};
use holdfast_proto::dhcp::table as dhcp;
use holdfast_proto::dns::{NODE, Node, ZONE, ZoneRow};
use holdfast_proto::lent::{LENT, NAMING, Naming, lent_parts};
use holdfast_proto::radius::{ACCOUNT, MACHINE, Machine, NAS, Nas};
use holdfast_proto::snapshot::{Feed, Kind, Table, View, WRAPPED_KEYS};
use holdfast_proto::words::{DomainName, Mac};
use ipnet::Ipv4Net;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One row as several lines, each of which may stay when the row changes.
pub(super) fn lines(feed: Feed, table: Table, key: &[u8], value: &[u8], with_ttl: bool) -> Vec<String> {
    let lines = match (feed.kind, table) {
        (Kind::Zone, NODE) => node(key, value, with_ttl),
        (Kind::Zone, ZONE) => ZoneRow::decode(value).ok().map(|row| vec![format!("{} with serial {}", what(feed, table, key), row.serial)]),
        (Kind::Bootptab, dhcp::SUBNET) => subnet(key, value),
        (Kind::Bootptab, dhcp::RESERVATION) => reservation(key, value),
        (Kind::Zone, LENT) => {
            lent_parts(value).and_then(|(_, value)| node(key, value, with_ttl)).map(|lines| lines.into_iter().map(|line| format!("lent: {line}")).collect())
        }
        (Kind::Bootptab, POLICY) => policy(key, value),
        (Kind::Bootptab, NAMING) => Naming::decode(value).map(|naming| vec![format!("{} are in {}", what(feed, table, key), naming.zone)]),
        (Kind::Bootptab, ENDED) => ended::decode(value).ok().map(|ended| ended.iter().map(|(ip, _)| format!("the lease of {ip} is to end")).collect()),
        (Kind::Auth, NAS) => Nas::decode(value).ok().map(|nas| vec![nas_line(key, &nas)]),
        (Kind::Auth, MACHINE) => Machine::decode(value).ok().map(|machine| vec![machine_line(&what(feed, table, key), &machine)]),
        _ => Some(vec![what(feed, table, key)]),
    };
    lines.unwrap_or_else(|| vec![format!("{} (cannot be read)", what(feed, table, key))])
}

/// What a row is about, from its key alone.
pub(super) fn what(feed: Feed, table: Table, key: &[u8]) -> String {
    let known = match (feed.kind, table) {
        (Kind::Zone, NODE) => DomainName::from_wire(key).map(|name| name.to_string()),
        (Kind::Zone, LENT) => DomainName::from_wire(key).map(|name| format!("lent name {name}")),
        (Kind::Zone, ZONE) => DomainName::from_wire(key).map(|name| format!("zone {name}")),
        (Kind::Bootptab, dhcp::SUBNET) => net(key).map(|net| format!("subnet {net}")),
        (Kind::Bootptab, dhcp::RESERVATION) => place(key).map(|(net, hardware)| format!("boot {hardware} in {net}")),
        (Kind::Bootptab, POLICY) => net(key).map(|net| format!("policy of {net}")),
        (Kind::Bootptab, NAMING) => net(key).map(|net| format!("names of leased machines of {net}")),
        (Kind::Bootptab, ENDED) => net(key).map(|net| format!("leases to end in {net}")),
        (Kind::Auth, NAS) => nas_net(key).map(|net| format!("NAS at {net}")),
        (Kind::Auth, MACHINE) => mac(key).map(|mac| format!("machine {mac}")),
        (Kind::Auth, ACCOUNT) => std::str::from_utf8(key).ok().map(|name| format!("account {name}")),
        (_, WRAPPED_KEYS) => key.split_at_checked(8).map(|(id, to)| format!("data key {} for agent {}", hex::encode(id), hex::encode(to))),
        _ => None,
    };
    known.unwrap_or_else(|| format!("row {} of table {}", hex::encode(key), table.0))
}

fn node(key: &[u8], value: &[u8], with_ttl: bool) -> Option<Vec<String>> {
    let (name, node) = (DomainName::from_wire(key)?, Node::decode(value).ok()?);
    let records = node.rrsets.iter().flat_map(|set| set.rdatas.iter().map(move |rdata| (set.rtype, set.ttl, rdata)));
    let line = |(rtype, ttl, rdata): (u16, u32, &Vec<u8>)| {
        let ttl = if with_ttl { format!("{ttl} ") } else { String::new() };
        format!("{name} {ttl}{} {}", present::rtype(rtype), present::rdata(rtype, rdata))
    };
    let lines: Vec<String> = records.map(line).collect();
    // A name that is only there because others lie below it.
    Some(if lines.is_empty() { vec![format!("{name} without records")] } else { lines })
}

fn subnet(key: &[u8], value: &[u8]) -> Option<Vec<String>> {
    let (net, row) = (net(key)?, dhcp::SubnetRow::decode(value).ok()?);
    let options = row.options.iter().map(|(code, value)| format!("subnet {net} option {code} {}", hex::encode(value)));
    Some([format!("subnet {net} of campus {}", row.campus)].into_iter().chain(options).collect())
}

fn reservation(key: &[u8], value: &[u8]) -> Option<Vec<String>> {
    let ((net, hardware), row) = (place(key)?, dhcp::Reservation::decode(value).ok()?);
    let mut line = format!("boot {hardware} in {net}: {} {}", row.address, row.host_name);
    if let Some(server) = row.next_server {
        line.push_str(&format!(", from {server}"));
    }
    for (what, text) in [("server", &row.server_name), ("file", &row.boot_file)] {
        if !text.is_empty() {
            line.push_str(&format!(", {what} {text}"));
        }
    }
    for (code, value) in &row.options {
        line.push_str(&format!(", option {code} {}", value.as_ref().map_or("not told".to_owned(), hex::encode)));
    }
    Some(vec![line])
}

fn policy(key: &[u8], value: &[u8]) -> Option<Vec<String>> {
    let (net, row) = (net(key)?, PolicyRow::decode(value).ok()?);
    let head = format!("policy of {net}: unknown machines {:?}, other campuses after {} s, lent for {} s", row.unknown, row.cover_after_secs, row.lease_secs);
    let shares = row.shares.iter().map(|share| format!("policy of {net}: {}-{} lent by agent {}", share.first, share.last, share.owner));
    Some([head].into_iter().chain(shares).collect())
}

fn nas_line(key: &[u8], nas: &Nas) -> String {
    let net = nas_net(key).unwrap_or_else(|| hex::encode(key));
    let strict = if nas.require_message_authenticator { ", Message-Authenticator required" } else { "" };
    let chap = if nas.rights.chap { ", CHAP outside of tunnels" } else { "" };
    let guests = |vlan| format!(", guests in VLAN {vlan}");
    let machines = nas.rights.machines.as_ref().map(|machines| {
        let campus = if machines.campus.is_empty() { String::new() } else { format!(" as of campus {}", machines.campus) };
        format!(", MAC authentication{campus}{}", machines.guest_vlan.map(guests).unwrap_or_default())
    });
    format!("NAS {} at {net}{strict}{chap}{}", nas.name, machines.unwrap_or_default())
}

fn machine_line(what: &str, machine: &Machine) -> String {
    let own = machine.vlan.map(|vlan| format!("VLAN {vlan}"));
    let places = machine.places.iter().map(|(campus, vlan)| format!("VLAN {vlan} at campus {campus}"));
    let vlans: Vec<String> = places.chain(own).collect();
    format!("{what}: {}", if vlans.is_empty() { "the port's VLAN".to_owned() } else { vlans.join(", ") })
}

fn mac(key: &[u8]) -> Option<Mac> {
    key.try_into().ok().map(Mac)
}

fn net(key: &[u8]) -> Option<Ipv4Net> {
    let &[length, a, b, c, d] = key.first_chunk::<5>()?;
    Ipv4Net::new(Ipv4Addr::new(a, b, c, d), length).ok()
}

/// A reservation's network and hardware address.
fn place(key: &[u8]) -> Option<(Ipv4Net, String)> {
    let hardware = key.get(6..)?;
    let text = <[u8; 6]>::try_from(hardware).map_or_else(|_| hex::encode(hardware), |mac| Mac(mac).to_string());
    Some((net(key)?, text))
}

fn nas_net(key: &[u8]) -> Option<String> {
    let (&[family, length], address) = key.split_first_chunk::<2>()?;
    let address = match family {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?)),
        6 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?)),
        _ => return None,
    };
    Some(format!("{address}/{length}"))
}

/// The tables of a feed, as people call their rows.
fn tables(feed: Feed) -> &'static [(Table, &'static str)] {
    match feed {
        Feed::ZONE => &[(ZONE, "zones"), (NODE, "names"), (LENT, "names of leased machines")],
        Feed::BOOTPTAB => {
            &[(dhcp::SUBNET, "subnets"), (dhcp::RESERVATION, "boot entries"), (POLICY, "policies"), (NAMING, "namings"), (ENDED, "ends of leases")]
        }
        Feed::PEOPLE => &[(ACCOUNT, "accounts"), (WRAPPED_KEYS, "wrapped data keys")],
        Feed::ACCESS => &[(NAS, "NASs"), (MACHINE, "machines"), (WRAPPED_KEYS, "wrapped data keys")],
        _ => &[],
    }
}

/// The tables of a feed.
pub(super) fn table_ids(feed: Feed) -> impl Iterator<Item = Table> {
    tables(feed).iter().map(|(table, _)| *table)
}

/// How much is in each table of a view.
pub(super) fn counts(view: &View) -> Vec<TableCount> {
    let count = |(table, name): &(Table, &'static str)| {
        let (mut rows, mut bytes) = (0, 0);
        for (key, value) in view.iter(*table).flatten() {
            rows += 1;
            bytes += (key.len() + value.len()) as u64;
        }
        TableCount { table: name, rows, bytes }
    };
    tables(view.feed()).iter().map(count).collect()
}

/// Whether a table is not made from the hostname database.
pub(super) fn is_wrapped_key(table: Table) -> bool {
    table == WRAPPED_KEYS
}

/// The key of the outbox that has a row composed.
pub(super) fn outbox_key(feed: Feed, table: Table, key: &[u8]) -> Option<OutboxKey> {
    let name = || DomainName::from_wire(key).map(|name| name.without_dot());
    let (subject, key) = match (feed.kind, table) {
        (Kind::Zone, NODE) => ("name", name()?),
        (Kind::Zone, ZONE) => ("zone", name()?),
        (Kind::Zone, LENT) => ("lent", name()?),
        (Kind::Bootptab, dhcp::SUBNET | POLICY | NAMING | ENDED) => ("subnet", net(key)?.to_string()),
        (Kind::Bootptab, dhcp::RESERVATION) => ("reservation", place(key).map(|(net, hardware)| format!("{net} {hardware}"))?),
        (Kind::Auth, NAS) => ("nas", nas_net(key)?),
        (Kind::Auth, MACHINE) => ("machine", mac(key)?.to_string()),
        _ => return None,
    };
    Some(OutboxKey { subject: subject.to_owned(), key })
}

/// Whether a table says what agents do, so that nobody can enter it again.
pub(super) fn is_agents(feed: Feed, table: Table) -> bool {
    feed.kind == Kind::Zone && table == LENT
}

/// Whether a row differs between generations with the same data: serials rise, data keys are wrapped anew, and leases come and go.
pub(super) fn is_aside(feed: Feed, table: Table) -> bool {
    table == WRAPPED_KEYS || (feed.kind == Kind::Zone && table == ZONE) || is_agents(feed, table)
}

/// Whether a row differs only in the data key of its secret: whether the secret is another one nobody can tell from outside.
pub(super) fn is_encrypted_anew(feed: Feed, table: Table, before: Option<&[u8]>, after: Option<&[u8]>) -> bool {
    let nas = |value: Option<&[u8]>| Nas::decode(value?).ok();
    let (true, Some(before), Some(after)) = (feed == Feed::ACCESS && table == NAS, nas(before), nas(after)) else { return false };
    before.secret.key_id() != after.secret.key_id() && Nas { secret: after.secret.clone(), ..before } == after
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::radius::{NasRights, nas_key};
    use holdfast_proto::snapshot::DataKey;

    #[test]
    fn a_nas_is_told_by_its_name_and_never_by_its_secret() {
        let net = "10.1.4.3/32".parse().unwrap();
        let key = nas_key(net);
        let secret = DataKey::generate().unwrap().encrypt(NAS, &key, b"hunter2").unwrap();
        let hidden = hex::encode(secret.bytes());
        let value = Nas { name: "ts1".into(), secret, require_message_authenticator: true, has_former_secret: false, rights: NasRights::default() }.encode();
        let lines = lines(Feed::ACCESS, NAS, &key, &value, true);
        assert_eq!(lines, ["NAS ts1 at 10.1.4.3/32, Message-Authenticator required"]);
        assert!(!lines[0].contains(&hidden[..16]));
    }

    #[test]
    fn rows_that_cannot_be_read_are_told_by_their_key() {
        let name: DomainName = "www.uni.example".parse().unwrap();
        assert_eq!(lines(Feed::ZONE, NODE, name.wire(), &[255, 1], false), ["www.uni.example. (cannot be read)"]);
        assert_eq!(lines(Feed::PEOPLE, ACCOUNT, b"ada", &[1, 2, 3], false), ["account ada"]);
        assert_eq!(what(Feed::ACCESS, Table(9), &[0xab]), "row ab of table 9");
    }
}
