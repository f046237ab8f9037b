//! Names that mean nothing outside a machine or a site, and so never leave it (RFC 6303, RFC 6761, RFC 6762, RFC 7793, RFC 8375, RFC 9476).
//!
//! They are answered from here, as from empty zones, unless our own zones have them. A site that has private zones elsewhere
//! names them in its configuration, and they are asked for like any others.

use crate::dns::message::Rcode;
use crate::dns::name::Name;
use crate::dns::rtype;

/// RFC 6303 section 3: as long as its example.
pub(super) const TTL_S: u32 = 10_800;
const LOCALHOST: &[u8] = b"\x09localhost\x00";
/// Nobody has mail there (RFC 2606).
const NOBODY: &[u8] = b"\x06nobody\x07invalid\x00";

/// What is known of a special name without asking anybody.
pub(super) struct Special {
    /// The labels of the empty zone that it lies in.
    pub(super) apex_labels: usize,
    pub(super) rcode: Rcode,
    /// The one record, where there is one.
    pub(super) rdata: Option<Box<[u8]>>,
}

/// Whether a name is special. `passes` are names, on the wire and in lower case, that are not, nor anything below them.
pub(super) fn special(name: &Name, qtype: u16, passes: &[Box<[u8]>]) -> Option<Special> {
    let apex_labels = zone_of(name)?;
    // The root and the top of in-addr.arpa know where the zones are cut.
    if qtype == rtype::DS && name.labels() == apex_labels || passes.iter().any(|pass| is_within(name, pass)) {
        return None;
    }
    let is_localhost = name.ancestor(apex_labels) == LOCALHOST;
    let rdata: Option<Box<[u8]>> = match qtype {
        rtype::A if is_localhost => Some([127, 0, 0, 1].into()),
        rtype::AAAA if is_localhost => Some(std::net::Ipv6Addr::LOCALHOST.octets().into()),
        rtype::PTR if is_loopback(name) => Some(LOCALHOST.into()),
        _ => None,
    };
    let exists = is_localhost || rdata.is_some() || name.labels() == apex_labels || is_loopback(name);
    Some(Special { apex_labels, rcode: if exists { Rcode::NoError } else { Rcode::NxDomain }, rdata })
}

/// The SOA of an empty zone (RFC 6303 section 3).
pub(super) fn soa(apex: &[u8]) -> Vec<u8> {
    let numbers = [1u32, 3600, 1200, 604_800, TTL_S].map(u32::to_be_bytes).concat();
    [apex, NOBODY, &numbers].concat()
}

fn is_within(name: &Name, zone: &[u8]) -> bool {
    Name::read(zone).is_some_and(|zone_name| zone_name.labels() <= name.labels() && name.ancestor(zone_name.labels()) == zone)
}

fn is_loopback(name: &Name) -> bool {
    let whole = name.ancestor(name.labels());
    whole == b"\x011\x010\x010\x03127\x07in-addr\x04arpa\x00" || name.labels() == 34 && whole.starts_with(b"\x011") && zone_of(name) == Some(34)
}

/// The labels of the empty zone that a name lies in.
fn zone_of(name: &Name) -> Option<usize> {
    let label = |from_right: usize| if from_right < name.labels() { &name.label(from_right)[1..] } else { &[] };
    match (label(0), label(1)) {
        (b"localhost" | b"invalid" | b"test" | b"onion" | b"local" | b"alt", _) => Some(1),
        (b"arpa", b"home") => Some(2),
        (b"arpa", b"in-addr") => ipv4_zone(name),
        (b"arpa", b"ip6") => ipv6_zone(name),
        _ => None,
    }
}

/// An address's part that a label of a reverse name stands for.
fn octet(name: &Name, from_right: usize) -> Option<u8> {
    let label = (from_right < name.labels()).then(|| name.label(from_right))?;
    std::str::from_utf8(&label[1..]).ok()?.parse().ok()
}

fn ipv4_zone(name: &Name) -> Option<usize> {
    let labels = match (octet(name, 2)?, octet(name, 3), octet(name, 4), octet(name, 5)) {
        (0 | 10 | 127, ..) => 3,
        (172, Some(16..=31), ..) | (192, Some(168), ..) | (169, Some(254), ..) | (100, Some(64..=127), ..) => 4,
        (192, Some(0), Some(2), _) | (198, Some(51), Some(100), _) | (203, Some(0), Some(113), _) => 5,
        (255, Some(255), Some(255), Some(255)) => 6,
        _ => return None,
    };
    Some(labels)
}

/// A name's nibbles, the first of the address first.
fn nibble(name: &Name, number: usize) -> Option<u8> {
    let label = (number + 2 < name.labels()).then(|| name.label(number + 2))?;
    match label {
        [1, digit] => char::from(*digit).to_digit(16).map(|digit| digit as u8),
        _ => None,
    }
}

fn ipv6_zone(name: &Name) -> Option<usize> {
    let first = [0, 1, 2, 3, 4, 5, 6, 7].map(|number| nibble(name, number));
    match first {
        // fd00::/8, fe80::/10, and 2001:db8::/32.
        [Some(0xf), Some(0xd), ..] => Some(4),
        [Some(0xf), Some(0xe), Some(0x8..=0xb), ..] => Some(5),
        [Some(2), Some(0), Some(0), Some(1), Some(0), Some(0xd), Some(0xb), Some(8)] => Some(10),
        // :: and ::1.
        _ => ((0..31).all(|number| nibble(name, number) == Some(0)) && matches!(nibble(name, 31), Some(0 | 1))).then_some(34),
    }
}
