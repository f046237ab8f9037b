//! An address that somebody wants without saying which: the next free one of a subnet, of a range, or of wherever a policy
//! points. In the JSON of a host it stands in the place of an address: `{"next": {"subnet": "10.1.4.0/24"}}`.

use super::{BootParameters, InterfaceDraft};
use holdfast_proto::words::{Mac, Subnet};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Where the next free address is to be taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NextFree {
    /// The lowest free one of a subnet.
    Subnet(Subnet),
    /// The lowest free one of a range.
    Range(Range),
    /// The lowest free one of the first subnet that suits and has one.
    Policy(Policy),
}

/// A range by its ends (`10.1.4.20-10.1.4.40`), or a static pool by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Range {
    /// From the first to the last, both included.
    Between(IpAddr, IpAddr),
    /// The pool with this name.
    Pool(String),
}

/// What a subnet must be like. All that is given must hold; of several subnets the one with the lowest preference comes first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AddressPolicy)]
pub struct Policy {
    /// Its campus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campus: Option<String>,
    /// Its department.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// Its VLAN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// A class of devices that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// 4 or 6; 4 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<u8>,
}

/// A wish and its place among the addresses of its interface, for whoever has to be told what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its place in the list as it was written.
    pub place: usize,
    /// From where.
    pub next: NextFree,
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((first, last)) = text.split_once('-').and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?))) else {
            let is_name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
            let wrong = || format!("\"{text}\" is neither a range such as 10.1.4.20-10.1.4.40 nor the name of a pool");
            return if is_name { Ok(Self::Pool(text.to_owned())) } else { Err(wrong()) };
        };
        let (first, last): (IpAddr, IpAddr) = (first, last);
        let is_range = first <= last && first.is_ipv4() == last.is_ipv4();
        if is_range { Ok(Self::Between(first, last)) } else { Err(format!("\"{text}\" ends before it begins")) }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between(first, last) => write!(f, "{first}-{last}"),
            Self::Pool(name) => f.write_str(name),
        }
    }
}

impl Serialize for Range {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// One element of the list of addresses.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum AddressWord {
    Given(IpAddr),
    Wanted { next: NextFree },
}

impl<'de> Deserialize<'de> for AddressWord {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AddressVisitor)
    }
}

struct AddressVisitor;

impl<'de> Visitor<'de> for AddressVisitor {
    type Value = AddressWord;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an IP address such as 10.1.4.7, or {\"next\": {\"subnet\": \"10.1.4.0/24\"}}")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<AddressWord, E> {
        text.parse().map(AddressWord::Given).map_err(|_| E::custom("invalid IP address syntax"))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AddressWord, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Next {
            next: NextFree,
        }
        Next::deserialize(MapAccessDeserializer::new(map)).map(|wanted| AddressWord::Wanted { next: wanted.next })
    }
}

/// An interface as it is in JSON, where addresses and wishes stand in one list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InterfaceJson {
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    mac: Option<Mac>,
    #[serde(default)]
    #[schema(value_type = Vec<AddressShape>)]
    addresses: Vec<AddressWord>,
    #[serde(default)]
    templates: Vec<String>,
    #[serde(default)]
    boot: BootParameters,
}

/// How an element of the list of addresses is written.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Address)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what `AddressWord` reads")]
enum AddressShape {
    /// This one.
    Given(String),
    /// The next free one of somewhere.
    Wanted { next: NextFreeShape },
}

/// From where: one of the three.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = NextFree)]
struct NextFreeShape {
    /// A subnet: `10.1.4.0/24`.
    subnet: Option<String>,
    /// A range or a pool: `10.1.4.20-10.1.4.40`, `lab-static`.
    range: Option<String>,
    /// The first subnet that suits.
    policy: Option<Policy>,
}

impl utoipa::PartialSchema for InterfaceDraft {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        InterfaceJson::schema()
    }
}

impl utoipa::ToSchema for InterfaceDraft {
    fn name() -> std::borrow::Cow<'static, str> {
        "Interface".into()
    }

    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
        <InterfaceJson as utoipa::ToSchema>::schemas(schemas);
    }
}

impl From<InterfaceJson> for InterfaceDraft {
    fn from(json: InterfaceJson) -> Self {
        let InterfaceJson { mac, addresses: words, templates, boot } = json;
        let (mut addresses, mut next) = (Vec::new(), Vec::new());
        for (place, word) in words.into_iter().enumerate() {
            match word {
                AddressWord::Given(address) => addresses.push(address),
                AddressWord::Wanted { next: from } => next.push(Wanted { place, next: from }),
            }
        }
        Self { mac, addresses, next, templates, boot }
    }
}

impl From<InterfaceDraft> for InterfaceJson {
    fn from(draft: InterfaceDraft) -> Self {
        let InterfaceDraft { mac, addresses, next, templates, boot } = draft;
        let mut words: Vec<AddressWord> = addresses.into_iter().map(AddressWord::Given).collect();
        for wanted in next {
            words.insert(wanted.place.min(words.len()), AddressWord::Wanted { next: wanted.next });
        }
        Self { mac, addresses: words, templates, boot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_stand_among_addresses_and_keep_their_place() {
        let text = r#"{"addresses":[{"next":{"subnet":"10.1.4.0/24"}},"10.1.4.7",{"next":{"range":"10.1.4.20-10.1.4.40"}},{"next":{"policy":{"campus":"north","class":"printer"}}}]}"#;
        let draft: InterfaceDraft = serde_json::from_str(text).unwrap();
        assert_eq!(draft.addresses, ["10.1.4.7".parse::<IpAddr>().unwrap()]);
        assert_eq!(draft.next.iter().map(|wanted| wanted.place).collect::<Vec<_>>(), [0, 2, 3]);
        let back = serde_json::to_value(&draft).unwrap();
        assert_eq!(back["addresses"], serde_json::from_str::<serde_json::Value>(text).unwrap()["addresses"]);
    }

    #[test]
    fn a_range_is_two_ends_or_a_name() {
        assert_eq!("lab-static".parse(), Ok(Range::Pool("lab-static".to_owned())));
        assert!(matches!("2001:db8::1-2001:db8::ff".parse(), Ok(Range::Between(..))));
        for wrong in ["", "10.1.4.9-10.1.4.1", "10.1.4.1-2001:db8::1", "10.1.4.0/24"] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
    }
}
