//! Our own tables: what an import takes back without a difference.

use super::Estate;
use super::groups::{Map, seats};
use crate::db::responsibility::ContactRole;
use crate::inventory::import::{hosts_table, people, subnets};
use crate::inventory::{HostDraft, InterfaceDraft, OptionDraft, PoolKind, SubnetDraft};
use holdfast_proto::words::DomainName;
use std::collections::{HashMap, HashSet};
use std::fmt::{Result, Write};
use std::net::IpAddr;

/// One line of CSV: what has to be quoted is, and only that.
fn line(out: &mut dyn Write, cells: &[String]) -> Result {
    for (place, cell) in cells.iter().enumerate() {
        if place > 0 {
            out.write_char(',')?;
        }
        match cell.contains([',', '"', '\n', '\r']) {
            true => write!(out, "\"{}\"", cell.replace('"', "\"\""))?,
            false => out.write_str(cell)?,
        }
    }
    out.write_char('\n')
}

fn heads(out: &mut dyn Write, columns: &[&str]) -> Result {
    line(out, &columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>())
}

/// Cells in the order of the columns; a column that is not given is empty.
fn cells<const N: usize>(columns: [&str; N], given: &HashMap<&str, String>) -> Vec<String> {
    columns.iter().map(|column| given.get(column).cloned().unwrap_or_default()).collect()
}

fn words<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(" ")
}

fn names<'n>(items: impl IntoIterator<Item = &'n DomainName>) -> String {
    words(items.into_iter().map(DomainName::without_dot))
}

fn options(options: &[OptionDraft]) -> String {
    words(options.iter().map(|option| format!("{}={}", option.code, option.value.as_ref().map_or_else(|| "-".to_owned(), hex::encode))))
}

/// Columns of hosts that are written; the last is for tables that bring bare names.
const HOSTS: [&str; 31] = {
    let mut columns = [""; 31];
    let mut at = 0;
    while at < 31 {
        columns[at] = hosts_table::COLUMNS[at];
        at += 1;
    }
    columns
};

pub(super) fn hosts(estate: &Estate, out: &mut dyn Write) -> Result {
    heads(out, &HOSTS)?;
    let map = Map::of(estate);
    let order = seats(estate, &map);
    let mut written: HashSet<&DomainName> = HashSet::new();
    // Hosts without an address come last.
    for host in order.iter().map(|seat| seat.host).chain(&estate.hosts) {
        if written.insert(host.name.domain()) {
            host_lines(out, host, &map)?;
        }
    }
    Ok(())
}

fn host_lines(out: &mut dyn Write, host: &HostDraft, map: &Map<'_>) -> Result {
    let own = of_the_host(host);
    let Some((first, others)) = host.interfaces.split_first() else { return line(out, &cells(HOSTS, &own)) };
    let mut given = own;
    given.extend(of_the_interface(first, map));
    line(out, &cells(HOSTS, &given))?;
    for interface in others {
        let mut given = of_the_interface(interface, map);
        given.insert("name", host.name.to_string());
        line(out, &cells(HOSTS, &given))?;
    }
    Ok(())
}

fn of_the_host(host: &HostDraft) -> HashMap<&'static str, String> {
    let HostDraft { name, hardware, os, location, contact, comment, aliases, other_addresses, names: extra, pointers, department, contacts, equipment, .. } =
        host;
    let pointer = |pointer: &crate::inventory::Pointer| {
        format!("{}={}", pointer.address, pointer.names.iter().map(DomainName::without_dot).collect::<Vec<_>>().join("|"))
    };
    let mut given = HashMap::from([
        ("name", name.to_string()),
        ("hardware", hardware.clone()),
        ("os", os.clone()),
        ("location", location.clone()),
        ("contact", contact.clone()),
        ("comment", comment.clone()),
        ("aliases", names(aliases)),
        ("names", names(extra)),
        ("pointers", words(pointers.iter().map(pointer))),
        ("other_addresses", words(other_addresses.iter().map(|one| format!("{}={}", one.family, one.value.clone().unwrap_or_default())))),
        ("department", department.clone().unwrap_or_default()),
        ("class", equipment.class.clone().unwrap_or_default()),
        ("owner", words(contacts.iter().filter(|one| one.role == ContactRole::Owner).map(|one| &one.contact))),
        (
            "contacts",
            words(contacts.iter().filter(|one| one.role != ContactRole::Owner).map(|one| format!("{}:{}", hosts_table::role_name(one.role), one.contact))),
        ),
    ]);
    given.extend(equipment.texts().map(|(field, text)| (field, text.to_owned())));
    given
}

fn of_the_interface(interface: &InterfaceDraft, map: &Map<'_>) -> HashMap<&'static str, String> {
    let boot = &interface.boot;
    // One campus, or none: a line is checked against it when it comes back.
    let mut campuses = interface.addresses.iter().filter_map(|address| map.around(*address)).map(|subnet| subnet.campus.as_str());
    let campus = campuses.next().filter(|first| campuses.all(|other| other == *first)).unwrap_or_default();
    HashMap::from([
        ("mac", interface.mac.map(|mac| mac.to_string()).unwrap_or_default()),
        ("ip", words(&interface.addresses)),
        ("campus", campus.to_owned()),
        ("next_server", boot.next_server.map(|server| server.to_string()).unwrap_or_default()),
        ("server_name", boot.server_name.clone()),
        ("boot_file", boot.boot_file.clone()),
        ("wait_secs", if boot.wait_secs == 0 { String::new() } else { boot.wait_secs.to_string() }),
        ("send_host_name", if boot.send_host_name { "yes" } else { "no" }.to_owned()),
        ("options", options(&boot.options)),
        ("templates", words(&interface.templates)),
    ])
}

pub(super) fn subnets(estate: &Estate, out: &mut dyn Write) -> Result {
    heads(out, &subnets::COLUMNS)?;
    let mut all: Vec<&SubnetDraft> = estate.subnets.iter().collect();
    all.sort_by_key(|subnet| (&subnet.campus, subnet.network));
    for subnet in all {
        let inside = |address: IpAddr| subnet.network.net().contains(&address);
        let mut pools: Vec<(IpAddr, IpAddr)> =
            estate.pools.iter().filter(|pool| pool.kind == PoolKind::Dynamic && inside(pool.first)).map(|pool| (pool.first, pool.last)).collect();
        pools.sort_unstable();
        let mut pools = pools.into_iter();
        let mut pool = pools.next();
        loop {
            line(out, &cells(subnets::COLUMNS, &subnet_cells(subnet, pool)))?;
            pool = pools.next();
            if pool.is_none() {
                break;
            }
        }
    }
    Ok(())
}

fn subnet_cells(subnet: &SubnetDraft, pool: Option<(IpAddr, IpAddr)>) -> HashMap<&'static str, String> {
    HashMap::from([
        ("campus", subnet.campus.clone()),
        ("department", subnet.department.clone().unwrap_or_default()),
        ("subnet", subnet.network.to_string()),
        ("gateway", subnet.gateway.map(|gateway| gateway.to_string()).unwrap_or_default()),
        ("dynamic_from", pool.map(|(first, _)| first.to_string()).unwrap_or_default()),
        ("dynamic_to", pool.map(|(_, last)| last.to_string()).unwrap_or_default()),
        ("vlan", subnet.vlan.map(|vlan| vlan.to_string()).unwrap_or_default()),
        ("domain", names(&subnet.domain)),
        ("dns_servers", words(&subnet.dns_servers)),
        ("options", options(&subnet.options)),
        ("classes", words(&subnet.classes)),
        ("preference", subnet.preference.to_string()),
        ("unknown_machines", subnet.unknown_machines.text().to_owned()),
        ("quarantine_secs", subnet.quarantine_secs.to_string()),
        ("cover_after_secs", subnet.cover_after_secs.to_string()),
        ("pool_lease_secs", subnet.pool_lease_secs.to_string()),
        ("lease_zone", names(&subnet.lease_zone)),
    ])
}

pub(super) fn people(estate: &Estate, out: &mut dyn Write) -> Result {
    heads(out, &people::COLUMNS)?;
    for contact in &estate.contacts {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let given = HashMap::from([
            ("login", contact.handle.clone()),
            ("kind", people::kind_name(contact.kind).to_owned()),
            ("name", contact.name.clone()),
            ("phone", text(&contact.phone)),
            ("mail", text(&contact.mail)),
            ("organisation", text(&contact.organisation)),
            ("note", contact.note.clone()),
            ("verified_on", contact.verified_on.map(|day| day.to_string()).unwrap_or_default()),
        ]);
        line(out, &cells(people::COLUMNS, &given))?;
    }
    Ok(())
}
