//! One spelling for what can be written in several ways, so that a file that means what is there differs in nothing.

use std::net::IpAddr;

/// Fields that hold names of the DNS.
const NAMES: [&str; 8] = ["name", "aliases", "names", "apex", "primary_ns", "mailbox", "name_servers", "domain"];
/// A hardware address has so many digits.
const MAC_DIGITS: usize = 12;

/// The one spelling of a field's text.
pub(super) fn canonical(field: &str, text: &str) -> String {
    let text = text.trim();
    if NAMES.contains(&field) {
        return text.trim_end_matches('.').to_lowercase();
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return address.to_string();
    }
    if let Some((address, length)) = network(text) {
        return format!("{address}/{length}");
    }
    mac(field, text).unwrap_or_else(|| text.to_owned())
}

/// The data of a record: words apart by one blank, names without their final dot.
pub(super) fn data(text: &str) -> String {
    if text.contains('"') {
        return text.to_owned();
    }
    text.split_whitespace().map(|word| word.trim_end_matches('.').to_lowercase()).collect::<Vec<_>>().join(" ")
}

fn mac(field: &str, text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-' | '.')).collect::<String>().to_lowercase();
    let is_mac = field == "mac" && digits.len() == MAC_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_mac.then(|| digits.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into_owned()).collect::<Vec<_>>().join(":"))
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    Some((address.parse().ok()?, length.parse().ok()?))
}

/// Whether a network holds an address or a smaller network.
pub(super) fn network_covers(outer: &str, inner: &str) -> bool {
    let Some((base, length)) = network(outer) else { return false };
    let (address, at_least) = network(inner).or_else(|| Some((inner.parse().ok()?, u8::MAX))).unwrap_or((base, 0));
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, true),
        IpAddr::V6(v6) => (u128::from(v6), false),
    };
    let ((base, base_v4), (address, address_v4)) = (bits(base), bits(address));
    let mask = if length == 0 { 0 } else { u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0) };
    base_v4 == address_v4 && at_least >= length && base & mask == address & mask
}

/// Whether a name is like a pattern, in which an asterisk stands for anything.
pub(super) fn pattern_matches(pattern: &str, name: &str) -> bool {
    let pattern = pattern.trim_end_matches('.');
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_spellings_of_the_same_are_the_same() {
        for (field, one, other) in [
            ("mac", "0200.0000.00AB", "02:00:00:00:00:ab"),
            ("name", "WWW.uni.example.", "www.uni.example"),
            ("gateway", "2001:DB8:0::1", "2001:db8::1"),
            ("network", "2001:0db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(canonical(field, one), other);
        }
        assert_eq!(canonical("comment", "Keep. Me."), "Keep. Me.");
        assert_eq!(data("10   Mail.uni.example."), data("10 mail.uni.example"));
        assert_ne!(data("\"A.\""), data("\"a\""), "text is text");
    }

    #[test]
    fn networks_and_patterns_cover_what_lies_within() {
        for (outer, inner, covers) in [
            ("10.9.0.0/16", "10.9.4.0/24", true),
            ("10.9.0.0/16", "10.9.255.255", true),
            ("10.9.4.0/24", "10.9.0.0/16", false),
            ("10.9.0.0/16", "10.10.0.1", false),
            ("2001:db8::/32", "2001:db8:1::/48", true),
            ("0.0.0.0/0", "::1", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("x", "10.9.0.1", false),
        ] {
            assert_eq!(network_covers(outer, inner), covers, "{outer} {inner}");
        }
        for (pattern, name, matches) in [
            ("*.lab.x", "a.lab.x", true),
            ("*.lab.x", "lab.x", false),
            ("pc*.x", "pc1.x", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c", false),
            ("a", "a", true),
        ] {
            assert_eq!(pattern_matches(pattern, name), matches, "{pattern} {name}");
        }
    }
}
