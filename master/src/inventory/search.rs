//! What somebody who types into a search box may mean.
//!
//! Any text can be part of a name or of what people wrote. One that looks like an address, or like digits of a hardware address
//! in any spelling, can be the beginning or the end of one as well; that is worked out here, so that the database can ask an index.

use crate::db::search::Sought;
use holdfast_proto::words::{Mac, Subnet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Fewer digits of a hardware address match too much to be meant.
const LEAST_MAC_DIGITS: usize = 4;
const MAC_DIGITS: usize = 12;
const NARROW_ADDRESSES: u128 = 1 << 10;
const IPV4_GROUPS: usize = 4;
const IPV6_GROUPS: usize = 8;

/// Reads a search text: part of a name, contact, location or comment; an address, the beginning or the end of one, or a network;
/// a hardware address or at least four digits of its beginning or end.
#[must_use]
pub fn sought(text: &str, names_only: bool) -> Sought {
    let part = text.trim().to_lowercase();
    if names_only {
        return Sought { part, names_only, ..Sought::default() };
    }
    let stretches = stretches(&part);
    let digits = mac_digits(&part);
    let is_narrow = is_narrow(&stretches) || digits.as_ref().is_some_and(|digits| digits.len() == MAC_DIGITS);
    let (firsts, lasts) = stretches.into_iter().map(|(first, last)| (first.to_string(), last.to_string())).unzip();
    Sought {
        is_narrow,
        firsts,
        lasts,
        address_end: Some(&part).filter(|part| is_address_end(part)).cloned(),
        macs: digits.as_deref().map(mac_stretch),
        mac_end: digits.filter(|digits| digits.len() < MAC_DIGITS),
        part,
        names_only,
    }
}

/// Whether these hold no more addresses than a network of a few buildings.
fn is_narrow(stretches: &[(IpAddr, IpAddr)]) -> bool {
    let size = |(first, last): &(IpAddr, IpAddr)| match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => u128::from(last.to_bits() - first.to_bits()),
        (IpAddr::V6(first), IpAddr::V6(last)) => last.to_bits() - first.to_bits(),
        _ => u128::MAX,
    };
    !stretches.is_empty() && stretches.iter().all(|stretch| size(stretch) <= NARROW_ADDRESSES)
}

/// The addresses that begin with this text, or that this network holds.
fn stretches(text: &str) -> Vec<(IpAddr, IpAddr)> {
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return vec![(address.into(), address.into())];
    }
    if let Ok(network) = text.parse::<Subnet>() {
        return vec![(network.net().network(), network.net().broadcast())];
    }
    // One number alone is hardly meant as the beginning of an address; with its dot it is.
    if text.contains('.') {
        beginnings_v4(text)
    } else if text.contains(':') {
        beginnings_v6(text)
    } else {
        Vec::new()
    }
}

fn beginnings_v4(text: &str) -> Vec<(IpAddr, IpAddr)> {
    let groups: Vec<&str> = text.split('.').collect();
    let Some((begun, whole)) = groups.split_last().filter(|(_, whole)| whole.len() < IPV4_GROUPS) else { return Vec::new() };
    let Some(mut octets) = whole.iter().map(|group| decimal(group)).collect::<Option<Vec<u8>>>() else { return Vec::new() };
    let place = octets.len();
    octets.resize(IPV4_GROUPS, 0);
    let address = |low: u8, high: u8, fill: u8| {
        let mut out = [fill; IPV4_GROUPS];
        out[..place].copy_from_slice(&octets[..place]);
        out[place] = if fill == 0 { low } else { high };
        IpAddr::V4(Ipv4Addr::from(out))
    };
    if begun.is_empty() {
        return vec![(address(0, 255, 0), address(0, 255, 255))];
    }
    let Some(first) = decimal(begun) else { return Vec::new() };
    // 4 is the beginning of 4, of 40 to 49 and of nothing longer than three digits.
    let continued =
        [1u16, 10, 100].into_iter().filter(|scale| *scale == 1 || first > 0).map(|scale| (u16::from(first) * scale, u16::from(first) * scale + scale - 1));
    let within = continued.filter_map(|(low, high)| Some((u8::try_from(low).ok()?, u8::try_from(high).unwrap_or(u8::MAX))));
    within.map(|(low, high)| (address(low, high, 0), address(low, high, 255))).collect()
}

/// A number as it stands in an address: no sign, no leading zero.
fn decimal(text: &str) -> Option<u8> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

/// Only without `::`, behind which nobody knows the place of a group; a whole address with it is one already, and `2001:db8::` too.
fn beginnings_v6(text: &str) -> Vec<(IpAddr, IpAddr)> {
    let groups: Vec<&str> = text.split(':').collect();
    let Some((begun, whole)) = groups.split_last().filter(|(_, whole)| whole.len() < IPV6_GROUPS) else { return Vec::new() };
    let Some(mut words) = whole.iter().map(|group| hexadecimal(group)).collect::<Option<Vec<u16>>>() else { return Vec::new() };
    let place = words.len();
    words.resize(IPV6_GROUPS, 0);
    let address = |word: u16, fill: u16| {
        let mut out = [fill; IPV6_GROUPS];
        out[..place].copy_from_slice(&words[..place]);
        out[place] = word;
        IpAddr::V6(Ipv6Addr::from(out))
    };
    if begun.is_empty() {
        return vec![(address(0, 0), address(u16::MAX, u16::MAX))];
    }
    let Some(first) = hexadecimal(begun) else { return Vec::new() };
    let continued = [1u32, 0x10, 0x100, 0x1000].into_iter().filter(|scale| *scale == 1 || first > 0);
    let within = continued.filter_map(|scale| {
        let low = u16::try_from(u32::from(first) * scale).ok()?;
        Some((low, (u32::from(first) * scale + scale - 1) as u16))
    });
    within.map(|(low, high)| (address(low, 0), address(high, u16::MAX))).collect()
}

fn hexadecimal(text: &str) -> Option<u16> {
    let is_plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) && (text.len() == 1 || !text.starts_with('0'));
    u16::from_str_radix(text, 16).ok().filter(|_| is_plain)
}

/// At least one group and a half: `4.99`, `.99`, `:beef`.
fn is_address_end(text: &str) -> bool {
    let is_v4 = text.contains('.') && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_v6 = text.contains(':') && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
    (is_v4 || is_v6) && text.len() > 1
}

/// The digits of a hardware address in any spelling, where the text can be a part of one.
fn mac_digits(text: &str) -> Option<String> {
    if let Ok(mac) = text.parse::<Mac>() {
        return Some(hex::encode(mac.0));
    }
    let bare = text.strip_prefix("0x").unwrap_or(text);
    let digits: String = bare.chars().filter(|c| !matches!(c, ':' | '-' | '.')).collect();
    let is_part = (LEAST_MAC_DIGITS..=MAC_DIGITS).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_hexdigit());
    is_part.then_some(digits)
}

/// From the digits followed by zeros to those followed by the highest ones.
fn mac_stretch(digits: &str) -> (String, String) {
    (format!("{digits:0<MAC_DIGITS$}"), format!("{digits:f<MAC_DIGITS$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        stretches(text).into_iter().map(|(first, last)| format!("{first}-{last}")).collect()
    }

    #[test]
    fn the_beginning_of_an_address_is_a_few_stretches() {
        for (text, expected) in [
            ("10.1.4.7", vec!["10.1.4.7-10.1.4.7", "10.1.4.70-10.1.4.79"]),
            ("10.1.4.0/24", vec!["10.1.4.0-10.1.4.255"]),
            ("10.1.", vec!["10.1.0.0-10.1.255.255"]),
            ("10.1.4", vec!["10.1.4.0-10.1.4.255", "10.1.40.0-10.1.49.255"]),
            ("10.2", vec!["10.2.0.0-10.2.255.255", "10.20.0.0-10.29.255.255", "10.200.0.0-10.255.255.255"]),
            ("10.1.0", vec!["10.1.0.0-10.1.0.255"]),
            ("10.1.4.25", vec!["10.1.4.25-10.1.4.25", "10.1.4.250-10.1.4.255"]),
            ("2001:db8::7", vec!["2001:db8::7-2001:db8::7"]),
            ("2001:db8:", vec!["2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"]),
            ("2001:db8:f000", vec!["2001:db8:f000::-2001:db8:f000:ffff:ffff:ffff:ffff:ffff"]),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
        assert_eq!(of("fd00:a").len(), 4);
        for text in ["10", "pc.uni.example", "10.256.", "10.01.", "1.2.3.4.5", "beef", "a::b::c", "..", ":", "256.1"] {
            assert_eq!(of(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn digits_of_a_hardware_address_are_known_in_any_spelling() {
        for text in ["02:00:5e:00:01:02", "02-00-5E-00-01-02", "0200.5e00.0102", "02005e000102"] {
            let sought = sought(text, false);
            assert_eq!(sought.macs, Some(("02005e000102".into(), "02005e000102".into())), "{text}");
            assert_eq!(sought.mac_end, None);
        }
        let begun = sought("02:00:5e", false);
        assert_eq!(begun.macs, Some(("02005e000000".into(), "02005effffff".into())));
        assert_eq!(begun.mac_end.as_deref(), Some("02005e"));
        assert_eq!(sought("5e0", false).macs, None);
        assert_eq!(sought("pc1", false), Sought { part: "pc1".into(), ..Sought::default() });
    }

    #[test]
    fn the_end_of_an_address_is_known() {
        assert_eq!(sought("4.99", false).address_end.as_deref(), Some("4.99"));
        assert_eq!(sought(":BEEF", false).address_end.as_deref(), Some(":beef"));
        assert_eq!(sought("lab.uni", false).address_end, None);
        assert!(sought("10.1.4.", false).is_narrow && sought("02005e000102", false).is_narrow);
        assert!(!sought("10.1.", false).is_narrow && !sought("02005e", false).is_narrow && !sought("pc", false).is_narrow);
        assert_eq!(sought("4.99", true), Sought { part: "4.99".into(), names_only: true, ..Sought::default() });
    }
}
