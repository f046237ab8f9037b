//! Reads Kea's configuration of its DHCPv4 server: subnets, shared networks, pools, reservations at every level.

use super::json::{self, Node, Value};
use super::{DhcpConfig, DhcpSubnet, Told, check_texts, entry};
use crate::inventory::dhcp_options::{self as options, Kind, Word};
use crate::inventory::import::place::{Errors, Place};
use holdfast_proto::words::{Mac, Subnet};
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// A reservation is for one machine by its hardware address; these other ways are Kea's alone.
const OTHER_IDENTIFIERS: [&str; 4] = ["client-id", "duid", "circuit-id", "flex-id"];
/// What says nothing that we would have to keep.
const SILENT: [&str; 4] = ["user-context", "comment", "id", "reservation-mode"];
/// Where an export keeps what Kea has no place for.
const OURS: &str = "user-context";
/// Read by [`Reader::told`].
const TOLD: [&str; 5] = ["option-data", "next-server", "boot-file-name", "server-hostname", "valid-lifetime"];

/// Reads a kea-dhcp4.conf.
pub fn parse(file: &str, text: &str) -> DhcpConfig {
    let file: Arc<str> = file.into();
    let mut reader = Reader { errors: Errors::new(&file), file, noted: BTreeSet::new(), definitions: HashMap::new(), out: DhcpConfig::default() };
    match json::parse(text) {
        Err((line, message)) => reader.errors.at(line, message),
        Ok(root) => match root.get("Dhcp4") {
            Some(dhcp4) => reader.read(dhcp4),
            None => reader.errors.at(root.line, "there is no \"Dhcp4\" in this file: is it the configuration of Kea's DHCPv4 server?"),
        },
    }
    DhcpConfig { errors: reader.errors.into_vec(), ..reader.out }
}

struct Reader {
    file: Arc<str>,
    errors: Errors,
    /// Keys that were noted once.
    noted: BTreeSet<String>,
    /// From `option-def`: code and kind by name.
    definitions: HashMap<String, (u8, Kind)>,
    out: DhcpConfig,
}

impl Reader {
    fn read(&mut self, dhcp4: &Node) {
        self.define(dhcp4);
        let told = self.told(dhcp4, &Told::default());
        for (key, node) in dhcp4.members() {
            match key.as_str() {
                "subnet4" => self.subnets(node, &told),
                "shared-networks" => self.shared(node, &told),
                "reservations" => self.reservations(node),
                "option-def" => {}
                // How Kea itself runs.
                "interfaces-config" | "control-socket" | "lease-database" | "loggers" | "hooks-libraries" | "multi-threading" => {}
                key if TOLD.contains(&key) || SILENT.contains(&key) => {}
                key => self.left_out(node.line, key),
            }
        }
    }

    fn shared(&mut self, networks: &Node, told: &Told) {
        for network in networks.items() {
            let name = network.get("name").and_then(Node::text).unwrap_or_default().to_owned();
            self.note(network.line, format!("the shared network {name}: its subnets are kept, and not that they lie on one wire"));
            let told = self.told(network, told);
            for (key, node) in network.members() {
                match key.as_str() {
                    "subnet4" => self.subnets(node, &told),
                    "reservations" => self.reservations(node),
                    "name" => {}
                    key if TOLD.contains(&key) || SILENT.contains(&key) => {}
                    key => self.left_out(node.line, key),
                }
            }
        }
    }

    fn subnets(&mut self, subnets: &Node, told: &Told) {
        for subnet in subnets.items() {
            let network = subnet.get("subnet").and_then(Node::text).unwrap_or_default();
            let network: Subnet = match network.parse() {
                Ok(network) => network,
                Err(wrong) => {
                    self.errors.at(subnet.line, format!("the subnet \"{network}\": {wrong}"));
                    continue;
                }
            };
            let told = self.told(subnet, told);
            let place = Place::new(&self.file, subnet.line);
            let at = self.out.subnets.len();
            let ours = subnet.get(OURS);
            let campus = ours.and_then(|ours| ours.get("campus")?.text()).map(str::to_owned);
            let pool_lease_secs = ours.and_then(|ours| ours.get("pool-lease-secs")?.number()?.try_into().ok());
            self.out.subnets.push(DhcpSubnet { place, network, told, pools: vec![], pool_lease_secs, pool_options: vec![], campus });
            for (key, node) in subnet.members() {
                match key.as_str() {
                    "pools" => node.items().iter().for_each(|pool| self.pool(pool, network, at)),
                    "reservations" => self.reservations(node),
                    "subnet" => {}
                    key if TOLD.contains(&key) || SILENT.contains(&key) => {}
                    key => self.left_out(node.line, key),
                }
            }
        }
    }

    fn pool(&mut self, pool: &Node, network: Subnet, at: usize) {
        let text = pool.get("pool").and_then(Node::text).unwrap_or_default();
        let range = match text.split_once('-') {
            Some((first, last)) => first.trim().parse().ok().zip(last.trim().parse().ok()),
            None => text.trim().parse().ok().map(|net: ipnet::Ipv4Net| (net.network(), net.broadcast())),
        };
        let inside = |address: Ipv4Addr| network.net().contains(&IpAddr::from(address));
        match range.filter(|(first, last): &(Ipv4Addr, Ipv4Addr)| first <= last && inside(*first) && inside(*last)) {
            Some((first, last)) => self.out.subnets[at].pools.push((Place::new(&self.file, pool.line), first, last)),
            None => self.errors.at(pool.line, format!("the pool \"{text}\" is not a range within {network} such as 10.1.4.100 - 10.1.4.199")),
        }
        let mut told = Told::default();
        for (key, node) in pool.members() {
            match key.as_str() {
                "option-data" => node.items().iter().for_each(|option| self.option(option, &mut told)),
                "pool" => {}
                key if SILENT.contains(&key) => {}
                key => self.left_out(node.line, key),
            }
        }
        self.out.subnets[at].pool_options.push(told.options);
    }

    fn reservations(&mut self, reservations: &Node) {
        for reservation in reservations.items() {
            self.reservation(reservation);
        }
    }

    fn reservation(&mut self, node: &Node) {
        let text = |key: &str| node.get(key).and_then(Node::text).filter(|text| !text.is_empty());
        for (key, member) in node.members() {
            let known = ["hw-address", "ip-address", "hostname"].contains(&key.as_str()) || TOLD.contains(&key.as_str()) || SILENT.contains(&key.as_str());
            if !known && !OTHER_IDENTIFIERS.contains(&key.as_str()) {
                self.left_out(member.line, key);
            }
        }
        let hostname = text("hostname").map(|name| name.trim_end_matches('.').to_owned());
        let told_its_name = hostname.is_some();
        let ours = || node.get(OURS).and_then(|ours| ours.get("name")?.text()).map(str::to_owned);
        let name = hostname.or_else(ours).unwrap_or_default();
        let Some(mac) = text("hw-address") else {
            let by = OTHER_IDENTIFIERS.iter().find(|key| text(key).is_some()).unwrap_or(&"no hw-address");
            return self
                .note(node.line, format!("the reservation of {name} is left out: it goes by {by}, and machines are known by their hardware addresses here"));
        };
        let Ok(mac) = mac.parse::<Mac>() else {
            return self.errors.at(node.line, format!("\"{mac}\" is not the hardware address of one Ethernet card"));
        };
        let Some(address) = text("ip-address") else {
            return self.note(node.line, format!("the reservation of {mac} has no ip-address and is left out"));
        };
        let Ok(address) = address.parse::<Ipv4Addr>() else {
            return self.errors.at(node.line, format!("\"{address}\" is not an address such as 10.1.4.7"));
        };
        let told = self.told(node, &Told::default());
        let label = name.split('.').next().unwrap_or_default();
        let boot = told.boot(label, told_its_name);
        self.out.entries.push(entry(Place::new(&self.file, node.line), name, None, mac, address, boot));
    }

    fn told(&mut self, node: &Node, outer: &Told) -> Told {
        let mut told = outer.clone();
        for (key, value) in node.members() {
            match (key.as_str(), &value.value) {
                ("option-data", _) => value.items().iter().for_each(|option| self.option(option, &mut told)),
                ("next-server", Value::Text(text)) => match text.parse::<Ipv4Addr>() {
                    Ok(address) => told.next_server = Some(address).filter(|address| !address.is_unspecified()),
                    Err(_) => self.errors.at(value.line, format!("next-server \"{text}\" is not an address such as 10.1.4.5")),
                },
                ("boot-file-name", Value::Text(text)) => told.boot_file = Some(text.clone()).filter(|text| !text.is_empty()),
                ("server-hostname", Value::Text(text)) => told.server_name = Some(text.clone()).filter(|text| !text.is_empty()),
                ("valid-lifetime", _) => match value.number().and_then(|secs| u32::try_from(secs).ok()) {
                    Some(secs) => told.lease_secs = Some(secs),
                    None => self.errors.at(value.line, "valid-lifetime is a number of seconds"),
                },
                (key, _) if TOLD.contains(&key) => self.errors.at(value.line, format!("{key} is text in quotes")),
                _ => {}
            }
        }
        let line = node.line;
        check_texts(&told, &mut |message| self.errors.at(line, message));
        told
    }

    fn option(&mut self, option: &Node, told: &mut Told) {
        let text = |key: &str| option.get(key).and_then(Node::text);
        if text("space").is_some_and(|space| space != "dhcp4") {
            return self.note(option.line, format!("options of the space {} are left out", text("space").unwrap_or_default()));
        }
        let by_name = text("name").and_then(|name| self.definitions.get(name).copied().or_else(|| options::by_name(name)));
        let by_code = || option.get("code")?.number()?.try_into().ok().filter(|code| (1..=254).contains(code)).map(|code| (code, options::kind_of(code)));
        let Some((code, kind)) = by_name.or_else(by_code) else {
            let what = text("name").map_or_else(|| "without name and code".to_owned(), |name| format!("\"{name}\""));
            return self.note(option.line, format!("the option {what} is left out: its code is not known; write \"code\""));
        };
        let Some(data) = text("data") else {
            return self.note(option.line, format!("the option {code} has no data here and is left out"));
        };
        let raw = option.get("csv-format").is_some_and(|node| node.value == Value::Bool(false)) || kind == Kind::Bytes;
        let read = match raw {
            true => read_raw(data),
            false if kind == Kind::Text => options::read(kind, &[Word { text: data, quoted: true }], &|_| None),
            false => {
                let words: Vec<Word<'_>> = data.split(',').map(|word| Word { text: word.trim(), quoted: false }).collect();
                options::read(kind, &words, &|_| None)
            }
        };
        match read {
            Ok(value) => drop(told.options.insert(code, value)),
            Err(wrong) => self.errors.at(option.line, format!("option {code}: {wrong}")),
        }
    }

    /// The options that the file makes itself.
    fn define(&mut self, dhcp4: &Node) {
        for definition in dhcp4.get("option-def").map(Node::items).unwrap_or_default() {
            let name = definition.get("name").and_then(Node::text);
            let code = definition.get("code").and_then(Node::number).and_then(|code| u8::try_from(code).ok()).filter(|code| (1..=254).contains(code));
            let kind = match (definition.get("type").and_then(Node::text), definition.get("array").is_some_and(|node| node.value == Value::Bool(true))) {
                (Some("ipv4-address"), _) => Kind::Addresses,
                (Some("string"), _) => Kind::Text,
                (Some("boolean"), false) => Kind::Flag,
                (Some("uint8"), false) => Kind::Number(1),
                (Some("uint16"), false) => Kind::Number(2),
                (Some("uint32"), false) => Kind::Number(4),
                (Some("uint8"), true) => Kind::Numbers(1),
                (Some("uint16"), true) => Kind::Numbers(2),
                (Some("uint32"), true) => Kind::Numbers(4),
                (Some("fqdn"), _) => Kind::Names,
                (Some("binary"), _) => Kind::Bytes,
                _ => {
                    self.note(definition.line, "this option-def is left out: its type has no like here".to_owned());
                    continue;
                }
            };
            match name.zip(code) {
                Some((name, code)) => drop(self.definitions.insert(name.to_owned(), (code, kind))),
                None => self.errors.at(definition.line, "an option-def has a name, and a code from 1 to 254"),
            }
        }
    }

    fn note(&mut self, line: u32, message: String) {
        self.out.note(Place::new(&self.file, line), message);
    }

    /// Notes a key that nothing here is like, once.
    fn left_out(&mut self, line: u32, key: &str) {
        if self.noted.insert(key.to_owned()) {
            self.note(line, format!("\"{key}\" is left out, here and wherever else it stands: there is nothing like it here"));
        }
    }
}

/// Hexadecimal bytes, or text in single quotes.
fn read_raw(data: &str) -> Result<Vec<u8>, String> {
    let quoted = data.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    options::read(Kind::Bytes, &[Word { text: quoted.unwrap_or(data), quoted: quoted.is_some() }], &|_| None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_of_reservations_is_read_and_what_is_inherited_is_the_subnets() {
        let text = r#"{ "Dhcp4": { "valid-lifetime": 4000, "next-server": "10.1.4.5",
            "option-data": [ { "name": "domain-name", "data": "uni.example" }, { "code": 200, "csv-format": false, "data": "0a0B" }, ],
            "reservations": [ { "hw-address": "08:00:20:00:00:01", "ip-address": "10.1.4.10", "hostname": "a" } ],
            "shared-networks": [ { "name": "wire", "option-data": [ { "name": "ntp-servers", "data": "10.0.0.1, 10.0.0.2" } ],
              "subnet4": [ { "id": 1, "subnet": "10.1.4.0/24", "pools": [ { "pool": "10.1.4.100 - 10.1.4.109" }, { "pool": "10.1.4.128/30" } ],
                "reservations": [ { "hw-address": "080020000002", "ip-address": "10.1.4.11", "hostname": "b.uni.example.", "boot-file-name": "x" },
                                  { "duid": "01:02", "ip-address": "10.1.4.12" } ] } ] } ] } }"#;
        let read = parse("kea.conf", text);
        assert_eq!(read.errors, vec![]);
        let subnet = &read.subnets[0];
        assert_eq!(subnet.told.options.keys().copied().collect::<Vec<_>>(), [15, 42, 200]);
        assert_eq!((subnet.told.lease_secs, subnet.told.next_server), (Some(4000), "10.1.4.5".parse().ok()));
        assert_eq!(
            subnet.pools.iter().map(|(_, first, last)| format!("{first} {last}")).collect::<Vec<_>>(),
            ["10.1.4.100 10.1.4.109", "10.1.4.128 10.1.4.131"]
        );
        assert_eq!(read.entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["a", "b.uni.example"]);
        assert_eq!(read.entries[1].effective.boot.boot_file, "x");
        assert_eq!(read.entries[1].effective.boot.next_server, None, "that is the subnet's");
        assert_eq!(read.notes.len(), 2, "{:?}", read.notes);
    }

    #[test]
    fn mistakes_have_lines_and_do_not_hide_each_other() {
        let text = "{\"Dhcp4\": {\n\"subnet4\": [\n{\"subnet\": \"10.1.4.1/24\"},\n{\"subnet\": \"10.1.5.0/24\",\n\"pools\": [{\"pool\": \"10.1.6.1 - 10.1.6.9\"}],\n\"reservations\": [\n{\"hw-address\": \"01:00:00:00:00:00\", \"ip-address\": \"10.1.5.1\"},\n{\"hw-address\": \"02:00:00:00:00:01\", \"ip-address\": \"10.1.5\"}]}],\n\"option-data\": [{\"name\": \"routers\", \"data\": \"x\"}]}}";
        let read = parse("k", text);
        let mut lines: Vec<u32> = read.errors.iter().map(|error| error.place.line).collect();
        lines.sort_unstable();
        assert_eq!(lines, [3, 5, 7, 8, 9], "{:?}", read.errors);
        assert!(parse("k", "{\"Dhcp6\": {}}").errors[0].message.contains("no \"Dhcp4\""));
    }
}
