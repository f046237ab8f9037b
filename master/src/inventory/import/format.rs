//! Which format a file has, by its text first and its name second.

use super::table::{self, Mapping};
use holdfast_proto::words::DomainName;
use serde::{Deserialize, Serialize};

/// One file of an import may be so large: 100 000 hosts are about 10 MB of bootptab and 20 MB of zone file.
pub const UPLOAD_LIMIT_BYTES: usize = 256 << 20;
/// So many lines at the top are looked at.
const LINES_LOOKED_AT: usize = 200;

/// A file to import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// Its name, as messages show it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What we can import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// bootpd's table.
    Bootptab,
    /// A DNS zone file.
    Zone,
    /// FreeRADIUS's clients.
    ClientsConf,
    /// A table of subnets.
    Subnets,
    /// A table of hosts.
    Hosts,
    /// A table of people.
    People,
    /// ISC dhcpd's configuration.
    Dhcpd,
    /// The configuration of Kea's DHCPv4 server.
    Kea,
    /// `/etc/hosts`.
    EtcHosts,
    /// `/etc/ethers`.
    Ethers,
    /// NetBox's table of prefixes.
    NetboxPrefixes,
    /// NetBox's table of IP addresses.
    NetboxAddresses,
}

/// What can be imported, for messages.
pub const FORMATS: &str = "a bootptab, a zone file, a dhcpd.conf, a kea-dhcp4.conf, a clients.conf, hosts.csv, subnets.csv, people.csv, NetBox's prefixes or IP addresses as CSV, /etc/hosts or /etc/ethers";

impl Format {
    /// The format of a file. `None` where neither text nor name tells.
    /// `mapping` says what a table calls our columns.
    pub fn detect(upload: &Upload, mapping: &Mapping) -> Option<Self> {
        Self::by_text(&upload.text, mapping).or_else(|| Self::by_name(&upload.name))
    }

    fn by_text(text: &str, mapping: &Mapping) -> Option<Self> {
        let text = text.trim_start_matches('\u{feff}');
        let lines = text.lines().take(LINES_LOOKED_AT);
        let mut lines = lines.filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with(['#', ';', '/', '*'])).peekable();
        let first = lines.peek()?;
        if let Some(table) = Self::by_header(first, mapping) {
            return Some(table);
        }
        // Beginnings are enough: a file of JSON may be one long line.
        if first.trim_start().starts_with('{') {
            return text.contains("\"Dhcp4\"").then_some(Self::Kea);
        }
        lines.find_map(Self::by_line)
    }

    /// A table, by the columns of its first line.
    fn by_header(line: &str, mapping: &Mapping) -> Option<Self> {
        if !line.contains(',') {
            return None;
        }
        let columns = table::header(line, mapping);
        let has = |names: &[&str]| columns.iter().any(|column| names.contains(&column.as_str()));
        match () {
            () if has(&["subnet"]) && has(&["campus"]) => Some(Self::Subnets),
            () if has(&["prefix"]) && has(&["status", "vrf", "tenant", "site", "scope", "role"]) => Some(Self::NetboxPrefixes),
            () if has(&["address", "ip_address"]) && has(&["dns_name"]) && !has(&["name"]) => Some(Self::NetboxAddresses),
            () if has(&["login", "handle"]) => Some(Self::People),
            () if has(&["name", "hostname"]) && has(&["ip", "mac", "address", "ip_address", "mac_address"]) => Some(Self::Hosts),
            () => None,
        }
    }

    fn by_line(line: &str) -> Option<Self> {
        let line = line.trim();
        let upper = line.to_ascii_uppercase();
        let first = upper.split([' ', '\t', '=']).next().unwrap_or_default();
        if matches!(first, "$ORIGIN" | "$TTL" | "$INCLUDE" | "$GENERATE") || upper.split([' ', '\t']).any(|word| word == "SOA") {
            return Some(Self::Zone);
        }
        if first == "CLIENT" && line.ends_with('{') {
            return Some(Self::ClientsConf);
        }
        if Self::is_of_dhcpd(line) {
            return Some(Self::Dhcpd);
        }
        let mut words = line.split_whitespace();
        let (first_word, second_word) = (words.next().unwrap_or_default(), words.next());
        if second_word.is_some() && first_word.parse::<std::net::IpAddr>().is_ok() {
            return Some(Self::EtcHosts);
        }
        let is_mac = first_word.split(':').count() == 6
            && first_word.split(':').all(|part| (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if second_word.is_some() && is_mac {
            return Some(Self::Ethers);
        }
        let (name, tags) = line.split_once(':')?;
        let is_tag = |tag: &str| {
            let tag = tag.trim_start();
            tag.len() >= 2
                && tag.as_bytes()[..2].iter().all(u8::is_ascii_alphanumeric)
                && matches!(tag.as_bytes().get(2), None | Some(b'=' | b'@' | b'\\' | b'0'..=b'9'))
        };
        (!name.contains([' ', '\t']) && (tags == "\\" || tags.split(':').any(is_tag))).then_some(Self::Bootptab)
    }

    /// A statement that dhcpd.conf begins with, or may.
    fn is_of_dhcpd(line: &str) -> bool {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["subnet", _, "netmask", ..] | ["authoritative;", ..] | ["shared-network", ..] | ["group", "{", ..] | ["group{", ..] => true,
            ["host", _, rest @ ..] => rest.first().is_some_and(|word| word.starts_with('{')),
            ["option" | "default-lease-time" | "max-lease-time" | "include" | "ddns-update-style" | "log-facility" | "next-server", ..] => line.contains(';'),
            _ => false,
        }
    }

    fn by_name(name: &str) -> Option<Self> {
        let base = base_name(name).to_ascii_lowercase();
        if base.starts_with("bootptab") {
            return Some(Self::Bootptab);
        }
        if base.starts_with("db.") || base.ends_with(".db") || base.ends_with(".zone") {
            return Some(Self::Zone);
        }
        if base.starts_with("clients") && base.ends_with(".conf") {
            return Some(Self::ClientsConf);
        }
        match base.as_str() {
            "ethers" => Some(Self::Ethers),
            "hosts" => Some(Self::EtcHosts),
            base if base.starts_with("dhcpd") && base.ends_with(".conf") => Some(Self::Dhcpd),
            base if base.starts_with("kea") => Some(Self::Kea),
            base if base.ends_with(".csv") => {
                let tables = [("subnets", Self::Subnets), ("hosts", Self::Hosts), ("people", Self::People)];
                tables.into_iter().find(|(begin, _)| base.starts_with(begin)).map(|(_, format)| format)
            }
            _ => None,
        }
    }
}

/// The origin a zone file has by its name, as BIND's users name them: `db.uni.example`, `uni.example.zone`, `db.10.1`.
pub(super) fn origin_by_name(name: &str) -> Option<DomainName> {
    let base = base_name(name);
    let bare = base.strip_prefix("db.").or_else(|| base.strip_suffix(".zone")).or_else(|| base.strip_suffix(".db"))?;
    let octets: Option<Vec<u8>> = bare.split('.').map(|part| part.parse().ok()).collect();
    match octets {
        Some(octets) if octets.len() <= 4 => {
            let labels: Vec<String> = octets.iter().rev().map(u8::to_string).collect();
            format!("{}.in-addr.arpa", labels.join(".")).parse().ok()
        }
        Some(_) => None,
        None => bare.parse().ok(),
    }
}

pub(super) fn base_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(name: &str, text: &str) -> Option<Format> {
        Format::detect(&Upload { name: name.into(), text: text.into() }, &[])
    }

    #[test]
    fn text_tells_the_format_and_else_the_name() {
        assert_eq!(detect("x", "# c\n.default:\\\n\t:ht=ethernet:\n"), Some(Format::Bootptab));
        assert_eq!(detect("x", "darwin:tc=.x:ha=0:\n"), Some(Format::Bootptab));
        assert_eq!(detect("x", "; c\n@ 1d IN SOA a b 1 1 1 1 1\n"), Some(Format::Zone));
        assert_eq!(detect("x", "\nclient a {\n"), Some(Format::ClientsConf));
        assert_eq!(detect("x", "campus,department,subnet\n"), Some(Format::Subnets));
        assert_eq!(detect("x", "// c\n{\n \"Dhcp4\": {}}"), Some(Format::Kea));
        assert_eq!(detect("x", "# c\noption domain-name \"x\";\n"), Some(Format::Dhcpd));
        assert_eq!(detect("x", "  host a { hardware ethernet 1:2:3:4:5:6; }\n"), Some(Format::Dhcpd));
        assert_eq!(detect("x", "127.0.0.1 localhost\n"), Some(Format::EtcHosts));
        assert_eq!(detect("x", "8:0:20:0:0:1 pc1\n"), Some(Format::Ethers));
        assert_eq!(detect("x", "name,mac,ip\n"), Some(Format::Hosts));
        assert_eq!(detect("x", "login,mail\n"), Some(Format::People));
        assert_eq!(detect("x", "Prefix,Status,VRF\n"), Some(Format::NetboxPrefixes));
        assert_eq!(detect("x", "IP Address,DNS Name\n"), Some(Format::NetboxAddresses));
        let mapping = [("name".to_owned(), "Machine".to_owned()), ("mac".to_owned(), "NIC".to_owned())];
        assert_eq!(Format::detect(&Upload { name: "x".into(), text: "machine,nic\n".into() }, &mapping), Some(Format::Hosts));
        assert_eq!(detect("etc/hosts", ""), Some(Format::EtcHosts));
        assert_eq!(detect("etc/db.empty", ""), Some(Format::Zone));
        assert_eq!(detect("notes.txt", "hello\nworld: yes, it is\n"), None);
    }

    #[test]
    fn zone_files_are_named_after_their_zone() {
        let origin = |name: &str| origin_by_name(name).map(|origin| origin.to_string());
        assert_eq!(origin("/etc/bind/db.uni.example").as_deref(), Some("uni.example."));
        assert_eq!(origin("uni.example.zone").as_deref(), Some("uni.example."));
        assert_eq!(origin("db.10.1").as_deref(), Some("1.10.in-addr.arpa."));
        assert_eq!(origin("hosts"), None);
    }
}
