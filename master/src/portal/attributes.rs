//! Reply attributes as people write them (`Tunnel-Type = VLAN`) and as RADIUS sends them: a small table of our own out of
//! the RFCs, no vendor dictionary. A [`ReplyAttribute`] was checked when it was made, so it always encodes.

use holdfast_proto::radius::ATTRIBUTES_LIMIT_BYTES;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, Ipv6Addr};

/// How a value looks on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// UTF-8 text.
    Text,
    /// Bytes: `0x...`, or text taken as it is.
    Octets,
    /// A number, or one of these names for it.
    Integer(&'static [(&'static str, u32)]),
    /// An IPv4 address.
    Address,
    /// An IPv6 prefix (RFC 3162 section 2.3).
    Prefix,
    /// A tag and three bytes of number (RFC 2868 section 3.1).
    TaggedInteger(&'static [(&'static str, u32)]),
    /// A tag, where there is one, and text (RFC 2868 section 3.6).
    TaggedText,
}

use Form::{Address, Integer, Octets, Prefix, TaggedInteger, TaggedText, Text};

/// RFC 2865 section 5 unless said otherwise.
const KNOWN: &[(&str, u8, Form)] = &[
    ("Service-Type", 6, Integer(SERVICE_TYPES)),
    ("Framed-Protocol", 7, Integer(&[("PPP", 1), ("SLIP", 2), ("ARAP", 3), ("Gandalf-SLML", 4), ("Xylogics-IPX-SLIP", 5), ("X.75-Synchronous", 6)])),
    ("Framed-IP-Address", 8, Address),
    ("Framed-IP-Netmask", 9, Address),
    ("Framed-Routing", 10, Integer(&[("None", 0), ("Broadcast", 1), ("Listen", 2), ("Broadcast-Listen", 3)])),
    ("Filter-Id", 11, Text),
    ("Framed-MTU", 12, Integer(&[])),
    ("Framed-Compression", 13, Integer(&[("None", 0), ("Van-Jacobson-TCP-IP", 1), ("IPX-Header-Compression", 2), ("Stac-LZS", 3)])),
    ("Login-IP-Host", 14, Address),
    ("Login-Service", 15, Integer(&[("Telnet", 0), ("Rlogin", 1), ("TCP-Clear", 2), ("PortMaster", 3), ("LAT", 4)])),
    ("Login-TCP-Port", 16, Integer(&[("Telnet", 23), ("Rlogin", 513), ("Rsh", 514)])),
    ("Reply-Message", 18, Text),
    ("Callback-Number", 19, Text),
    ("Callback-Id", 20, Text),
    ("Framed-Route", 22, Text),
    ("Class", 25, Octets),
    ("Session-Timeout", 27, Integer(&[])),
    ("Idle-Timeout", 28, Integer(&[])),
    ("Termination-Action", 29, Integer(&[("Default", 0), ("RADIUS-Request", 1)])),
    ("Port-Limit", 62, Integer(&[])),
    // RFC 2868.
    ("Tunnel-Type", 64, TaggedInteger(TUNNEL_TYPES)),
    ("Tunnel-Medium-Type", 65, TaggedInteger(&[("IPv4", 1), ("IPv6", 2), ("IEEE-802", 6)])),
    ("Tunnel-Private-Group-Id", 81, TaggedText),
    ("Tunnel-Assignment-Id", 82, TaggedText),
    ("Tunnel-Preference", 83, TaggedInteger(&[])),
    // RFC 2869.
    ("Acct-Interim-Interval", 85, Integer(&[])),
    ("Framed-Pool", 88, Text),
    // RFC 3162.
    ("Framed-IPv6-Prefix", 97, Prefix),
    ("Framed-IPv6-Route", 99, Text),
    ("Framed-IPv6-Pool", 100, Text),
];

const SERVICE_TYPES: &[(&str, u32)] = &[
    ("Login-User", 1),
    ("Framed-User", 2),
    ("Callback-Login-User", 3),
    ("Callback-Framed-User", 4),
    ("Outbound-User", 5),
    ("Administrative-User", 6),
    ("NAS-Prompt-User", 7),
    ("Authenticate-Only", 8),
    ("Callback-NAS-Prompt", 9),
    ("Call-Check", 10),
    ("Callback-Administrative", 11),
];

const TUNNEL_TYPES: &[(&str, u32)] = &[
    ("PPTP", 1),
    ("L2F", 2),
    ("L2TP", 3),
    ("ATMP", 4),
    ("VTP", 5),
    ("AH", 6),
    ("IP", 7),
    ("MIN-IP", 8),
    ("ESP", 9),
    ("GRE", 10),
    ("DVS", 11),
    ("IP-in-IP", 12),
    // RFC 3580 section 3.31.
    ("VLAN", 13),
];

/// The longest value of one attribute.
const VALUE_LIMIT_BYTES: usize = 253;
/// The highest tag (RFC 2868 section 3.1).
const TAG_LIMIT: u8 = 0x1f;

/// One attribute of an Access-Accept, as people write it; checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct ReplyAttribute(Written);

/// An attribute as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    tag: u8,
    value: String,
}

/// An attribute that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// Not in the table.
    #[error("{0} is not a reply attribute that Holdfast knows")]
    Unknown(String),
    /// A tag where none may stand, or one too high.
    #[error("{name} cannot have the tag {tag}: tags are 0 to 31 and stand only on tunnel attributes (RFC 2868)")]
    Tag {
        /// The attribute.
        name: String,
        /// The tag given.
        tag: u8,
    },
    /// The value does not fit the attribute.
    #[error("{name} cannot be \"{value}\": {why}")]
    Value {
        /// The attribute.
        name: String,
        /// The value given.
        value: String,
        /// What would be right.
        why: &'static str,
    },
    /// All of them together leave no room in a packet.
    #[error("the reply attributes have {0} bytes together, over the limit of {ATTRIBUTES_LIMIT_BYTES}")]
    TooMany(usize),
}

impl ReplyAttribute {
    /// Checks an attribute. The name is taken in any case and kept in the RFC's.
    pub fn new(name: &str, tag: u8, value: &str) -> Result<Self, AttributeError> {
        let (known, ..) = find(name).ok_or_else(|| AttributeError::Unknown(name.to_owned()))?;
        let written = Written { name: (*known).to_owned(), tag, value: value.to_owned() };
        written.encode().map(|_| Self(written))
    }
}

impl TryFrom<Written> for ReplyAttribute {
    type Error = AttributeError;

    fn try_from(Written { name, tag, value }: Written) -> Result<Self, AttributeError> {
        Self::new(&name, tag, &value)
    }
}

impl From<ReplyAttribute> for Written {
    fn from(attribute: ReplyAttribute) -> Self {
        attribute.0
    }
}

/// The attributes in wire form, in order.
pub fn encode(attributes: &[ReplyAttribute]) -> Result<Vec<u8>, AttributeError> {
    let encoded: Result<Vec<_>, _> = attributes.iter().map(|attribute| attribute.0.encode()).collect();
    let wire = encoded?.concat();
    if wire.len() > ATTRIBUTES_LIMIT_BYTES { Err(AttributeError::TooMany(wire.len())) } else { Ok(wire) }
}

fn find(name: &str) -> Option<&'static (&'static str, u8, Form)> {
    KNOWN.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name))
}

impl Written {
    fn encode(&self) -> Result<Vec<u8>, AttributeError> {
        let (_, number, form) = find(&self.name).ok_or_else(|| AttributeError::Unknown(self.name.clone()))?;
        let tagged = matches!(form, TaggedInteger(_) | TaggedText);
        if self.tag > TAG_LIMIT || (self.tag != 0 && !tagged) {
            return Err(AttributeError::Tag { name: self.name.clone(), tag: self.tag });
        }
        let value = encode_value(*form, self.tag, &self.value).map_err(|why| self.wrong(why))?;
        if value.is_empty() || value.len() > VALUE_LIMIT_BYTES {
            return Err(self.wrong("a value has 1 to 253 bytes"));
        }
        Ok([&[*number, value.len() as u8 + 2][..], &value].concat())
    }

    fn wrong(&self, why: &'static str) -> AttributeError {
        AttributeError::Value { name: self.name.clone(), value: self.value.clone(), why }
    }
}

fn encode_value(form: Form, tag: u8, value: &str) -> Result<Vec<u8>, &'static str> {
    match form {
        Text => Ok(value.as_bytes().to_vec()),
        Octets => match value.strip_prefix("0x") {
            Some(digits) => hex::decode(digits).map_err(|_| "after 0x stand pairs of hexadecimal digits"),
            None => Ok(value.as_bytes().to_vec()),
        },
        Integer(names) => Ok(number(names, value)?.to_be_bytes().to_vec()),
        Address => value.parse::<Ipv4Addr>().map(|address| address.octets().to_vec()).map_err(|_| "an IPv4 address is wanted, such as 10.1.4.7"),
        Prefix => prefix(value).ok_or("an IPv6 prefix is wanted, such as 2001:db8:1::/64"),
        TaggedInteger(names) => match number(names, value)?.to_be_bytes() {
            [0, a, b, c] => Ok(vec![tag, a, b, c]),
            _ => Err("beside a tag there is room for three bytes of number"),
        },
        // Tag 0 is no tag: then the first byte is the text's own, which is above any tag (RFC 2868 section 3.6).
        TaggedText if tag == 0 && value.bytes().next().is_some_and(|first| first <= TAG_LIMIT) => Err("it starts with a control character"),
        TaggedText if tag == 0 => Ok(value.as_bytes().to_vec()),
        TaggedText => Ok([&[tag], value.as_bytes()].concat()),
    }
}

fn number(names: &[(&str, u32)], value: &str) -> Result<u32, &'static str> {
    let named = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(value)).map(|(_, number)| *number);
    named.or_else(|| value.parse().ok()).ok_or(if names.is_empty() { "a number is wanted" } else { "it is neither a number nor one of the RFC's names" })
}

fn prefix(value: &str) -> Option<Vec<u8>> {
    let (address, len) = value.split_once('/')?;
    let (address, len): (Ipv6Addr, u8) = (address.parse().ok()?, len.parse().ok()?);
    let net = ipnet::Ipv6Net::new(address, len).ok()?;
    Some([&[0, len][..], &net.network().octets()[..usize::from(len.div_ceil(8))]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, tag: u8, value: &str, expected: &str) {
        let attribute = ReplyAttribute::new(name, tag, value).unwrap();
        assert_eq!(hex::encode(encode(&[attribute]).unwrap()), expected);
    }

    #[test]
    fn values_take_the_form_that_their_rfc_says() {
        check("Service-Type", 0, "Framed-User", "060600000002");
        check("session-timeout", 0, "3600", "1b0600000e10");
        check("Framed-IP-Address", 0, "10.1.4.7", "08060a010407");
        check("Callback-Number", 0, "+61 3", "13072b36312033");
        check("Class", 0, "0xcafe", "1904cafe");
        check("Tunnel-Type", 0, "VLAN", "40060000000d");
        check("Tunnel-Medium-Type", 1, "IEEE-802", "410601000006");
        check("Tunnel-Private-Group-Id", 0, "100", "5105313030");
        check("Tunnel-Private-Group-Id", 1, "100", "510601313030");
        check("Framed-IPv6-Prefix", 0, "2001:db8:1::/48", "610a003020010db80001");
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let long = "x".repeat(254);
        for (name, tag, value) in [
            ("Cisco-AVPair", 0, "x"),
            ("Service-Type", 0, "Framed"),
            ("Service-Type", 1, "Framed-User"),
            ("Tunnel-Type", 32, "VLAN"),
            ("Tunnel-Type", 0, "16777216"),
            ("Framed-IP-Address", 0, "10.1.4"),
            ("Class", 0, "0xabc"),
            ("Filter-Id", 0, ""),
            ("Filter-Id", 0, &long),
        ] {
            assert!(ReplyAttribute::new(name, tag, value).is_err(), "{name} = {value}");
        }
        let many = vec![ReplyAttribute::new("Filter-Id", 0, &"x".repeat(253)).unwrap(); 9];
        assert_eq!(encode(&many), Err(AttributeError::TooMany(9 * 255)));
    }

    #[test]
    fn what_is_kept_as_json_is_checked_when_it_is_read() {
        let kept = serde_json::to_string(&[ReplyAttribute::new("tunnel-type", 0, "VLAN").unwrap()]).unwrap();
        assert_eq!(kept, r#"[{"name":"Tunnel-Type","tag":0,"value":"VLAN"}]"#);
        assert!(serde_json::from_str::<Vec<ReplyAttribute>>(&kept).is_ok());
        assert!(serde_json::from_str::<Vec<ReplyAttribute>>(&kept.replace("VLAN", "WLAN")).is_err());
    }
}
