//! The names that other servers' files have for DHCP options (RFC 2132 and its followers), and how values are written there.
//!
//! It exists so that files of ISC dhcpd and Kea are read and written by one table: both use the same names but for a few. A value that
//! does not fit its kind is written as bytes, so that nothing is lost on the way out.

use holdfast_proto::words::DomainName;
use std::net::Ipv4Addr;

/// What an option holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Addresses, one after the other.
    Addresses,
    /// Text.
    Text,
    /// A number of so many bytes.
    Number(usize),
    /// A number of four bytes with a sign.
    Signed,
    /// One byte, 0 or 1.
    Flag,
    /// Names in wire form, one after the other (RFC 3397).
    Names,
    /// Numbers of so many bytes, one after the other.
    Numbers(usize),
    /// Anything.
    Bytes,
}

/// Code, ISC's name, Kea's where it is another, kind.
type Row = (u8, &'static str, &'static str, Kind);

const TABLE: &[Row] = &[
    (1, "subnet-mask", "", Kind::Addresses),
    (2, "time-offset", "", Kind::Signed),
    (3, "routers", "", Kind::Addresses),
    (4, "time-servers", "", Kind::Addresses),
    (5, "ien116-name-servers", "name-servers", Kind::Addresses),
    (6, "domain-name-servers", "", Kind::Addresses),
    (7, "log-servers", "", Kind::Addresses),
    (8, "cookie-servers", "", Kind::Addresses),
    (9, "lpr-servers", "", Kind::Addresses),
    (10, "impress-servers", "", Kind::Addresses),
    (11, "resource-location-servers", "", Kind::Addresses),
    (12, "host-name", "", Kind::Text),
    (13, "boot-size", "", Kind::Number(2)),
    (14, "merit-dump", "", Kind::Text),
    (15, "domain-name", "", Kind::Text),
    (16, "swap-server", "", Kind::Addresses),
    (17, "root-path", "", Kind::Text),
    (18, "extensions-path", "", Kind::Text),
    (19, "ip-forwarding", "", Kind::Flag),
    (20, "non-local-source-routing", "", Kind::Flag),
    (22, "max-dgram-reassembly", "", Kind::Number(2)),
    (23, "default-ip-ttl", "", Kind::Number(1)),
    (26, "interface-mtu", "", Kind::Number(2)),
    (27, "all-subnets-local", "", Kind::Flag),
    (28, "broadcast-address", "", Kind::Addresses),
    (33, "static-routes", "", Kind::Addresses),
    (37, "default-tcp-ttl", "", Kind::Number(1)),
    (40, "nis-domain", "", Kind::Text),
    (41, "nis-servers", "", Kind::Addresses),
    (42, "ntp-servers", "", Kind::Addresses),
    (43, "vendor-encapsulated-options", "", Kind::Bytes),
    (44, "netbios-name-servers", "", Kind::Addresses),
    (45, "netbios-dd-server", "", Kind::Addresses),
    (46, "netbios-node-type", "", Kind::Number(1)),
    (47, "netbios-scope", "", Kind::Text),
    (48, "font-servers", "", Kind::Addresses),
    (49, "x-display-manager", "", Kind::Addresses),
    (51, "dhcp-lease-time", "", Kind::Number(4)),
    (58, "dhcp-renewal-time", "", Kind::Number(4)),
    (59, "dhcp-rebinding-time", "", Kind::Number(4)),
    (60, "vendor-class-identifier", "", Kind::Text),
    (64, "nisplus-domain", "nisplus-domain-name", Kind::Text),
    (65, "nisplus-servers", "", Kind::Addresses),
    (66, "tftp-server-name", "", Kind::Text),
    (67, "bootfile-name", "boot-file-name", Kind::Text),
    (69, "smtp-server", "", Kind::Addresses),
    (70, "pop-server", "", Kind::Addresses),
    (71, "nntp-server", "", Kind::Addresses),
    (72, "www-server", "", Kind::Addresses),
    (73, "finger-server", "", Kind::Addresses),
    (74, "irc-server", "", Kind::Addresses),
    (119, "domain-search", "", Kind::Names),
];

/// The most that an option can hold, RFC 2132 section 2.
const LIMIT_BYTES: usize = 255;

/// Code and kind of an option by the name that either server has for it.
pub fn by_name(name: &str) -> Option<(u8, Kind)> {
    TABLE.iter().find(|(_, isc, kea, _)| *isc == name || (!kea.is_empty() && *kea == name)).map(|(code, _, _, kind)| (*code, *kind))
}

/// Kind of an option by its code.
pub fn kind_of(code: u8) -> Kind {
    TABLE.iter().find(|row| row.0 == code).map_or(Kind::Bytes, |row| row.3)
}

/// ISC's name of an option; of one without, by its number.
pub fn isc_name(code: u8) -> String {
    TABLE.iter().find(|row| row.0 == code).map_or_else(|| format!("unknown-{code}"), |row| row.1.to_owned())
}

/// Kea's name of an option, where it has one.
pub fn kea_name(code: u8) -> Option<&'static str> {
    TABLE.iter().find(|row| row.0 == code).map(|(_, isc, kea, _)| if kea.is_empty() { *isc } else { *kea })
}

/// One of the words of a value, as a file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word<'w> {
    /// The word, without its quotes.
    pub text: &'w str,
    /// Whether it stood in quotes.
    pub quoted: bool,
}

/// Reads a value from its words (`10.1.4.2`, `10.2.4.2`), each between commas. Names of machines are looked up.
pub fn read(kind: Kind, words: &[Word<'_>], lookup: &dyn Fn(&str) -> Option<Ipv4Addr>) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for word in words {
        let text = word.text;
        match kind {
            Kind::Addresses => out.extend(address(text, lookup)?.octets()),
            Kind::Text => out.extend(text.as_bytes()),
            Kind::Number(len) | Kind::Numbers(len) => {
                let number = number(text).filter(|number| len >= 8 || *number < 1 << (8 * len));
                let number = number.ok_or_else(|| format!("\"{text}\" is not a number that fits into {len} bytes"))?;
                out.extend(&number.to_be_bytes()[8 - len..]);
            }
            Kind::Signed => out.extend(text.parse::<i32>().map_err(|_| format!("\"{text}\" is not a number with or without a sign"))?.to_be_bytes()),
            Kind::Flag => out.push(flag(text).ok_or_else(|| format!("\"{text}\" is neither true nor false"))?.into()),
            Kind::Names => out.extend(text.parse::<DomainName>().map_err(|wrong| wrong.to_string())?.wire()),
            Kind::Bytes if word.quoted => out.extend(text.as_bytes()),
            Kind::Bytes => out.extend(bytes(text).ok_or_else(|| format!("\"{text}\" is neither quoted text nor hexadecimal bytes such as 01:a2:ff"))?),
        }
    }
    let single = matches!(kind, Kind::Text | Kind::Number(_) | Kind::Signed | Kind::Flag | Kind::Bytes);
    match out.len() {
        _ if words.len() > 1 && single => Err("one value belongs here, without commas".to_owned()),
        0 => Err("there is no value".to_owned()),
        len if len > LIMIT_BYTES => Err(format!("the value has {len} bytes; an option holds at most {LIMIT_BYTES}")),
        _ => Ok(out),
    }
}

/// A value as words that [`read`] reads back to the same bytes; `None` where it does not fit its kind.
pub fn write(kind: Kind, value: &[u8]) -> Option<Vec<String>> {
    match kind {
        Kind::Addresses if !value.is_empty() && value.len().is_multiple_of(4) => {
            Some(value.chunks_exact(4).map(|four| Ipv4Addr::new(four[0], four[1], four[2], four[3]).to_string()).collect())
        }
        // What needs escapes is written as bytes: the servers do not agree on escapes.
        Kind::Text => {
            let text = std::str::from_utf8(value).ok()?;
            let plain = !text.is_empty() && text.chars().all(|c| c == ' ' || c.is_ascii_graphic() && !matches!(c, '"' | '\\' | ',' | '\''));
            (plain && text.trim() == text).then(|| vec![text.to_owned()])
        }
        Kind::Number(len) if value.len() == len => Some(vec![value.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)).to_string()]),
        Kind::Signed => Some(vec![i32::from_be_bytes(value.try_into().ok()?).to_string()]),
        Kind::Flag if value == [0] || value == [1] => Some(vec![(value == [1]).to_string()]),
        _ => None,
    }
}

/// Bytes as `01:a2:ff`.
pub fn colons(value: &[u8]) -> String {
    value.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn address(text: &str, lookup: &dyn Fn(&str) -> Option<Ipv4Addr>) -> Result<Ipv4Addr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(format!("\"{text}\" is not an address such as 10.1.4.7"));
    }
    let unknown = || format!("\"{text}\" has no address here or in the database: write the address, or import its zone in the same call");
    lookup(text).ok_or_else(unknown)
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => u64::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None => text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten(),
    }
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "true" | "on" | "1" | "yes" => Some(true),
        "false" | "off" | "0" | "no" => Some(false),
        _ => None,
    }
}

/// Hexadecimal bytes: `1:a2:ff` with one or two digits each, or an even number of digits, with or without 0x and blanks.
pub fn bytes(text: &str) -> Option<Vec<u8>> {
    if text.contains(':') {
        return text.split(':').map(|pair| (1..=2).contains(&pair.len()).then(|| u8::from_str_radix(pair, 16).ok()).flatten()).collect();
    }
    let digits: String = text.strip_prefix("0x").unwrap_or(text).split(' ').collect();
    hex::decode(digits).ok().filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_lead_to_codes_and_back() {
        assert_eq!(by_name("routers"), Some((3, Kind::Addresses)));
        assert_eq!(by_name("boot-file-name"), by_name("bootfile-name"));
        assert_eq!((isc_name(67).as_str(), kea_name(67)), ("bootfile-name", Some("boot-file-name")));
        assert_eq!((isc_name(200).as_str(), kea_name(200)), ("unknown-200", None));
        let mut codes: Vec<u8> = TABLE.iter().map(|row| row.0).collect();
        codes.dedup();
        assert!(codes.len() == TABLE.len() && codes.is_sorted(), "each code once, ascending");
    }

    #[test]
    fn values_that_do_not_fit_are_said() {
        let read = |kind, text| read(kind, &[Word { text, quoted: false }], &|_| None);
        assert_eq!(read(Kind::Number(1), "255"), Ok(vec![255]));
        assert!(read(Kind::Number(1), "256").is_err() && read(Kind::Addresses, "10.1.4.300").unwrap_err().contains("is not an address"));
        assert!(read(Kind::Addresses, "nobody").unwrap_err().contains("import its zone"));
        assert_eq!(read(Kind::Bytes, "1:a2"), Ok(vec![1, 0xa2]));
        assert!(read(Kind::Bytes, "1:a2:").is_err() && read(Kind::Bytes, "abc").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(code in 1u8..255, value in proptest::collection::vec(any::<u8>(), 1..20)) {
            let kind = kind_of(code);
            if let Some(words) = write(kind, &value) {
                let words: Vec<Word<'_>> = words.iter().map(|text| Word { text, quoted: kind == Kind::Text }).collect();
                prop_assert_eq!(read(kind, &words, &|_| None), Ok(value.clone()));
            }
            prop_assert_eq!(bytes(&colons(&value)), Some(value));
        }
    }
}
