//! Addresses that have names, and nothing more: `/etc/hosts`, `/etc/ethers`, NetBox's tables of prefixes and of IP addresses.
//!
//! Pure: text in, lines, notes and errors out.

use super::bootptab::Note;
use super::place::{Errors, ImportError, Place};
use super::table::{self, Columns, Mapping};
use holdfast_proto::words::{Mac, Subnet};
use std::net::IpAddr;
use std::sync::Arc;

/// Somebody says that a name has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Where it stands.
    pub place: Place,
    /// The address.
    pub address: IpAddr,
    /// The name, bare or full.
    pub name: String,
    /// Other names for it, bare or full.
    pub aliases: Vec<String>,
    /// What else is said of it.
    pub comment: String,
    /// Whose it is; empty where nothing is said.
    pub department: String,
}

/// Claims of one file.
#[derive(Debug, Default)]
pub struct Claims {
    /// The lines in order.
    pub claims: Vec<Claim>,
    /// What was left out, and why.
    pub notes: Vec<Note>,
    /// All that is wrong.
    pub errors: Vec<ImportError>,
}

/// A hardware address and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ether {
    /// Where it stands.
    pub place: Place,
    /// The hardware address.
    pub mac: Mac,
    /// A name, or an address.
    pub whose: String,
}

/// A network as NetBox has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// Where it stands.
    pub place: Place,
    /// The network.
    pub network: Subnet,
    /// Whether it only holds others.
    pub is_container: bool,
    /// The site, where it is said.
    pub site: Option<String>,
    /// The tenant, where it is said.
    pub tenant: Option<String>,
    /// The VLAN's number, where it is said.
    pub vlan: Option<u16>,
    /// What it is for.
    pub description: String,
}

/// NetBox's prefixes.
#[derive(Debug, Default)]
pub struct Prefixes {
    /// The lines in order.
    pub prefixes: Vec<Prefix>,
    /// What was left out, and why.
    pub notes: Vec<Note>,
    /// All that is wrong.
    pub errors: Vec<ImportError>,
}

/// Reads an `/etc/hosts` (hosts(5)).
pub fn parse_hosts(file: &str, text: &str) -> Claims {
    let file: Arc<str> = file.into();
    let mut errors = Errors::new(&file);
    let mut out = Claims::default();
    let mut own_seen = false;
    for (line, words) in lines(text) {
        let [address, names @ ..] = words.as_slice() else { continue };
        // A zone behind an IPv6 address is for that machine alone.
        let Ok(address) = address.split('%').next().unwrap_or_default().parse::<IpAddr>() else {
            errors.at(line, format!("\"{address}\" is not an address"));
            continue;
        };
        let Some((name, aliases)) = names.split_first() else {
            errors.at(line, format!("{address} has no name behind it"));
            continue;
        };
        if is_own(address) {
            if !std::mem::replace(&mut own_seen, true) {
                let message = format!("{address} {name}: the machine's own addresses, multicast and link-local ones are left out");
                out.notes.push(Note { place: Place::new(&file, line), message });
            }
            continue;
        }
        // The first label alone, beside the full name, says nothing new.
        let label = name.split('.').next().unwrap_or_default();
        let aliases = aliases.iter().filter(|alias| *alias != name && **alias != label).map(|alias| (*alias).to_owned()).collect();
        let (name, comment, department) = ((*name).to_owned(), String::new(), String::new());
        out.claims.push(Claim { place: Place::new(&file, line), address, name, aliases, comment, department });
    }
    Claims { errors: errors.into_vec(), ..out }
}

/// Reads an `/etc/ethers` (ethers(5)).
pub fn parse_ethers(file: &str, text: &str) -> (Vec<Ether>, Vec<ImportError>) {
    let file: Arc<str> = file.into();
    let mut errors = Errors::new(&file);
    let mut out = Vec::new();
    for (line, words) in lines(text) {
        let [mac, whose] = words.as_slice() else {
            errors.at(line, "a line is a hardware address and a name, or an address");
            continue;
        };
        let parts: Vec<String> = mac.split(':').map(|part| format!("{part:0>2}")).collect();
        match parts.join(":").parse() {
            Ok(mac) => out.push(Ether { place: Place::new(&file, line), mac, whose: whose.trim_end_matches('.').to_owned() }),
            Err(_) => errors.at(line, format!("\"{mac}\" is not the hardware address of one Ethernet card")),
        }
    }
    (out, errors.into_vec())
}

/// The words of each line that has some, without comments.
fn lines(text: &str) -> impl Iterator<Item = (u32, Vec<&str>)> {
    let lines = (1u32..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines());
    let words = lines.map(|(line, text)| (line, text.split('#').next().unwrap_or_default().split_whitespace().collect::<Vec<_>>()));
    words.filter(|(_, words)| !words.is_empty())
}

fn is_own(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() || v4.is_link_local(),
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local() || v6.segments() == [0xfe00, 0, 0, 0, 0, 0, 0, 0]
        }
    }
}

const PREFIXES: Columns = Columns {
    known: &["prefix", "status", "site", "tenant", "vlan", "description"],
    needed: &["prefix"],
    also: &[("scope", "site"), ("location", "site")],
    others_are_noted: true,
};
const ADDRESSES: Columns = Columns {
    known: &["address", "status", "dns_name", "tenant", "description", "role"],
    needed: &["address", "dns_name"],
    also: &[("ip_address", "address")],
    others_are_noted: true,
};

/// Reads NetBox's table of prefixes, as it exports it or as it takes it.
pub fn parse_prefixes(file: &str, text: &str, mapping: &Mapping) -> Prefixes {
    let file: Arc<str> = file.into();
    let mut errors = Errors::new(&file);
    let table = table::read(&file, text, &PREFIXES, mapping, &mut errors);
    let mut out = Prefixes { notes: left_out(&file, &table.left_out), ..Prefixes::default() };
    for row in table.rows {
        let text = |column: &str| row.cell(column).map(str::to_owned);
        let Ok(network) = row.cell("prefix").unwrap_or_default().parse::<Subnet>() else {
            errors.push(row.place.clone(), format!("prefix \"{}\" is not a network such as 10.1.4.0/22", row.cell("prefix").unwrap_or_default()));
            continue;
        };
        let vlan = text("vlan").map(|text| vlan(&text).ok_or(text)).transpose();
        let vlan = vlan.unwrap_or_else(|text| {
            out.notes.push(Note { place: row.place.clone(), message: format!("the VLAN \"{text}\" of {network} has no number and is left out") });
            None
        });
        let status = text("status").unwrap_or_default().to_lowercase();
        if !matches!(status.as_str(), "" | "active" | "container") {
            out.notes.push(Note { place: row.place.clone(), message: format!("{network} is {status} there: it is taken in like any other") });
        }
        let (site, tenant, description) = (text("site"), text("tenant"), text("description").unwrap_or_default());
        out.prefixes.push(Prefix { place: row.place.clone(), network, is_container: status == "container", site, tenant, vlan, description });
    }
    Prefixes { errors: errors.into_vec(), ..out }
}

/// Reads NetBox's table of IP addresses. Those without a DNS name are nobody's, and noted.
pub fn parse_addresses(file: &str, text: &str, mapping: &Mapping) -> Claims {
    let file: Arc<str> = file.into();
    let mut errors = Errors::new(&file);
    let table = table::read(&file, text, &ADDRESSES, mapping, &mut errors);
    let mut out = Claims { notes: left_out(&file, &table.left_out), ..Claims::default() };
    for row in table.rows {
        let text = |column: &str| row.cell(column).unwrap_or_default();
        let Ok(address) = text("address").split('/').next().unwrap_or_default().parse::<IpAddr>() else {
            errors.push(row.place.clone(), format!("address \"{}\" is not an address such as 10.1.4.7/22", text("address")));
            continue;
        };
        let status = text("status").to_lowercase();
        let why = match (status.as_str(), text("dns_name")) {
            ("dhcp" | "slaac", _) => Some(format!("{address} is {status} there, which nobody has for good: it is left out")),
            (_, "") => Some(format!("{address} has no DNS name and is left out")),
            ("" | "active", _) => None,
            (_, name) => {
                let message = format!("{address} of {name} is {status} there: it is taken in like any other");
                out.notes.push(Note { place: row.place.clone(), message });
                None
            }
        };
        if let Some(message) = why {
            out.notes.push(Note { place: row.place.clone(), message });
            continue;
        }
        if !text("role").is_empty() {
            let message = format!("the role {} of {address} is left out", text("role"));
            out.notes.push(Note { place: row.place.clone(), message });
        }
        let (name, comment, department) = (text("dns_name").trim_end_matches('.').to_owned(), text("description").to_owned(), text("tenant").to_owned());
        out.claims.push(Claim { place: row.place.clone(), address, name, aliases: vec![], comment, department });
    }
    Claims { errors: errors.into_vec(), ..out }
}

fn left_out(file: &Arc<str>, columns: &[String]) -> Vec<Note> {
    let note = |column: &String| Note { place: Place::new(file, 1), message: format!("the column \"{column}\" is left out: there is nothing like it here") };
    columns.iter().map(note).collect()
}

/// The number of a VLAN: `100`, or `Students (100)` as NetBox shows it.
fn vlan(text: &str) -> Option<u16> {
    let number = text.rsplit_once('(').map_or(text, |(_, rest)| rest.trim_end_matches(')'));
    number.trim().parse().ok().filter(|number| (1..=4094).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_files_are_read_without_the_machines_own_addresses() {
        let read =
            parse_hosts("hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost\n# c\n10.1.4.10\tpc1.uni.example pc1 www.uni.example # x\nx y\n10.1.4.11\n");
        assert_eq!(
            read.claims.iter().map(|claim| (claim.name.as_str(), claim.aliases.clone())).collect::<Vec<_>>(),
            [("pc1.uni.example", vec!["www.uni.example".to_owned()])]
        );
        assert_eq!((read.notes.len(), read.errors.iter().map(|error| error.place.line).collect::<Vec<_>>()), (1, vec![5, 6]));
    }

    #[test]
    fn ethers_take_parts_of_one_digit() {
        let (read, errors) = parse_ethers("ethers", "8:0:20:0:0:1 pc1\n08:00:20:00:00:02 10.1.4.11 # c\nff:ff:ff:ff:ff:ff x\nx\n");
        assert_eq!(
            read.iter().map(|ether| format!("{} {}", ether.mac, ether.whose)).collect::<Vec<_>>(),
            ["08:00:20:00:00:01 pc1", "08:00:20:00:00:02 10.1.4.11"]
        );
        assert_eq!(errors.iter().map(|error| error.place.line).collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn netboxs_tables_are_read_as_it_exports_and_as_it_takes_them() {
        let shown = "Prefix,Status,VRF,Tenant,Site,VLAN,Role,Description\n10.1.0.0/16,Container,,,,,,all\n10.1.4.0/22,Active,,Computer Centre,North,Staff (104),,\n10.1.8.1/24,Active,,,,,,\n";
        let read = parse_prefixes("p.csv", shown, &[]);
        assert_eq!((read.prefixes[0].is_container, read.prefixes[1].vlan, read.prefixes[1].site.as_deref()), (true, Some(104), Some("North")));
        assert_eq!((read.errors.len(), read.notes.len()), (1, 2));
        let addresses = "address,status,dns_name,description\n10.1.4.10/22,active,pc1.uni.example,in the hall\n10.1.4.11/22,dhcp,x.uni.example,\n10.1.4.12/22,active,,\nx,active,y,\n";
        let read = parse_addresses("a.csv", addresses, &[]);
        assert_eq!((read.claims.len(), read.notes.len(), read.errors.len()), (1, 2, 1));
        assert_eq!(read.claims[0].comment, "in the hall");
    }
}
