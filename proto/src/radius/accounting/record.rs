use super::Reason;
use super::attribute as kind;
use crate::radius::packet::{Attributes, Packet};
use crate::words::UnixMillis;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const VERSION: u8 = 1;
/// The attributes that a record keeps. What is not here is not kept: no password, no State, no Class, nothing of vendors.
pub const KEPT: [u8; 28] = [
    kind::USER_NAME,
    kind::NAS_IP_ADDRESS,
    kind::NAS_PORT,
    kind::SERVICE_TYPE,
    kind::FRAMED_IP_ADDRESS,
    kind::CALLED_STATION_ID,
    kind::CALLING_STATION_ID,
    kind::NAS_IDENTIFIER,
    kind::ACCT_DELAY_TIME,
    kind::ACCT_INPUT_OCTETS,
    kind::ACCT_OUTPUT_OCTETS,
    kind::ACCT_SESSION_ID,
    kind::ACCT_AUTHENTIC,
    kind::ACCT_SESSION_TIME,
    kind::ACCT_INPUT_PACKETS,
    kind::ACCT_OUTPUT_PACKETS,
    kind::ACCT_TERMINATE_CAUSE,
    kind::ACCT_MULTI_SESSION_ID,
    kind::ACCT_LINK_COUNT,
    kind::ACCT_INPUT_GIGAWORDS,
    kind::ACCT_OUTPUT_GIGAWORDS,
    kind::EVENT_TIMESTAMP,
    kind::NAS_PORT_TYPE,
    kind::CONNECT_INFO,
    kind::NAS_PORT_ID,
    kind::NAS_IPV6_ADDRESS,
    kind::FRAMED_IPV6_PREFIX,
    kind::FRAMED_IPV6_ADDRESS,
];

/// What happened (RFC 2866 section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// A session began.
    Start,
    /// It ended.
    Stop,
    /// It goes on (RFC 2869 section 2.1).
    Interim,
    /// The NAS starts: what it had before is over.
    On,
    /// The NAS stops: all of its sessions end.
    Off,
    /// Something else: a tunnel, a failure.
    Other(u32),
}

impl Status {
    /// Of the attribute's number.
    pub fn of(number: u32) -> Self {
        match number {
            1 => Self::Start,
            2 => Self::Stop,
            3 => Self::Interim,
            7 => Self::On,
            8 => Self::Off,
            other => Self::Other(other),
        }
    }

    /// The attribute's number.
    pub fn number(self) -> u32 {
        match self {
            Self::Start => 1,
            Self::Stop => 2,
            Self::Interim => 3,
            Self::On => 7,
            Self::Off => 8,
            Self::Other(number) => number,
        }
    }

    /// The name of its counter's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Interim => "interim",
            Self::On => "on",
            Self::Off => "off",
            Self::Other(_) => "other",
        }
    }

    fn is_of_a_session(self) -> bool {
        matches!(self, Self::Start | Self::Stop | Self::Interim)
    }
}

/// When a request came, by the box that it came to. Its time may lag by years, where it woke without a clock and nobody has told it; how long
/// the kernel has run is right, and tells the time to whoever hears of it in the same boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrival {
    /// The box's time.
    pub received: UnixMillis,
    /// Which boot of the box: its kernel's number of it.
    pub boot: [u8; 16],
    /// How long it had run, suspended or not.
    pub since_boot_ms: u64,
}

/// One word of a NAS, as it is kept and handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What happened.
    pub status: Status,
    /// Where the request came from.
    pub nas: IpAddr,
    /// What the NAS was called in the registry then.
    pub nas_name: String,
    /// When it came.
    pub arrival: Arrival,
    /// Those of its attributes that are [`KEPT`], in wire form.
    pub attributes: Vec<u8>,
}

/// Bytes that are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of the accounting log is damaged or of a newer build")]
pub struct RecordError;

impl Record {
    pub(super) fn of(packet: &Packet<'_>, nas: IpAddr, nas_name: String, arrival: Arrival) -> Result<Self, Reason> {
        let mut statuses = packet.values(kind::ACCT_STATUS_TYPE);
        let (Some(status), None) = (statuses.next().and_then(number), statuses.next()) else { return Err(Reason::NoStatus) };
        let status = Status::of(status);
        let names_one = packet.values(kind::ACCT_SESSION_ID).next().is_some_and(|id| !id.is_empty());
        if status.is_of_a_session() && !names_one {
            return Err(Reason::NoSession);
        }
        let kept = packet.attributes().filter(|attribute| KEPT.contains(&attribute.kind));
        let attributes = kept.flat_map(|attribute| [&[attribute.kind, attribute.value.len() as u8 + 2], attribute.value].concat()).collect();
        Ok(Self { status, nas, nas_name, arrival, attributes })
    }

    /// `version u8 | status u32 | received u64 | boot 16 bytes | since boot u64 | 4 or 6 | address | length of the NAS's name u8 | name | attributes`. Little-endian.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.status.number().to_le_bytes());
        out.extend_from_slice(&self.arrival.received.0.to_le_bytes());
        out.extend_from_slice(&self.arrival.boot);
        out.extend_from_slice(&self.arrival.since_boot_ms.to_le_bytes());
        match self.nas {
            IpAddr::V4(address) => {
                out.push(4);
                out.extend_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                out.push(6);
                out.extend_from_slice(&address.octets());
            }
        }
        let name = cut(&self.nas_name, usize::from(u8::MAX));
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&self.attributes);
        out
    }

    /// Reads a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let (&version, rest) = bytes.split_first().ok_or(RecordError)?;
        let (status, rest) = rest.split_first_chunk().ok_or(RecordError)?;
        let (received, rest) = rest.split_first_chunk().ok_or(RecordError)?;
        let (boot, rest) = rest.split_first_chunk().ok_or(RecordError)?;
        let (since_boot, rest) = rest.split_first_chunk().ok_or(RecordError)?;
        let (family, rest) = rest.split_first().ok_or(RecordError)?;
        let (nas, rest): (IpAddr, _) = match family {
            4 => rest.split_first_chunk::<4>().map(|(octets, rest)| ((*octets).into(), rest)),
            6 => rest.split_first_chunk::<16>().map(|(octets, rest)| ((*octets).into(), rest)),
            _ => None,
        }
        .ok_or(RecordError)?;
        let (name_len, rest) = rest.split_first().ok_or(RecordError)?;
        let (name, attributes) = rest.split_at_checked(usize::from(*name_len)).ok_or(RecordError)?;
        let nas_name = std::str::from_utf8(name).map_err(|_| RecordError)?.to_owned();
        if version != VERSION || Attributes::check(attributes).is_err() {
            return Err(RecordError);
        }
        let status = Status::of(u32::from_le_bytes(*status));
        let arrival = Arrival { received: UnixMillis(u64::from_le_bytes(*received)), boot: *boot, since_boot_ms: u64::from_le_bytes(*since_boot) };
        Ok(Self { status, nas, nas_name, arrival, attributes: attributes.to_vec() })
    }

    /// What its attributes say. One that has an impossible length says nothing.
    pub fn told(&self) -> Told {
        let Ok(attributes) = Attributes::check(&self.attributes) else { return Told::default() };
        let value = |wanted: u8| {
            let mut all = attributes;
            all.find(|attribute| attribute.kind == wanted).map(|attribute| attribute.value)
        };
        let count = |wanted: u8| value(wanted).and_then(number);
        let words = |wanted: u8| value(wanted).map(text).unwrap_or_default();
        let octets = |low: u8, high: u8| count(low).map(|low| u64::from(low) | u64::from(count(high).unwrap_or(0)) << 32);
        let port = value(kind::NAS_PORT_ID).map(text).or_else(|| count(kind::NAS_PORT).map(|port| port.to_string()));
        Told {
            session_id: words(kind::ACCT_SESSION_ID),
            user_name: words(kind::USER_NAME),
            nas_identifier: words(kind::NAS_IDENTIFIER),
            nas_port: port.unwrap_or_default(),
            calling_station: words(kind::CALLING_STATION_ID),
            called_station: words(kind::CALLED_STATION_ID),
            framed_ip: value(kind::FRAMED_IP_ADDRESS).and_then(address),
            framed_ipv6: value(kind::FRAMED_IPV6_ADDRESS).and_then(host).or_else(|| value(kind::FRAMED_IPV6_PREFIX).and_then(prefix)),
            input_octets: octets(kind::ACCT_INPUT_OCTETS, kind::ACCT_INPUT_GIGAWORDS),
            output_octets: octets(kind::ACCT_OUTPUT_OCTETS, kind::ACCT_OUTPUT_GIGAWORDS),
            session_secs: count(kind::ACCT_SESSION_TIME),
            delay_secs: count(kind::ACCT_DELAY_TIME).unwrap_or(0),
            event_secs: count(kind::EVENT_TIMESTAMP),
            terminate_cause: count(kind::ACCT_TERMINATE_CAUSE),
        }
    }
}

/// What the attributes of a record say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Which session; empty where the record is about the NAS.
    pub session_id: String,
    /// Whose.
    pub user_name: String,
    /// What the NAS calls itself.
    pub nas_identifier: String,
    /// Its port, by name or number.
    pub nas_port: String,
    /// Where the user comes from.
    pub calling_station: String,
    /// What the user came to.
    pub called_station: String,
    /// The address that the user has; never one that stands for none (RFC 2865 section 5.8).
    pub framed_ip: Option<Ipv4Addr>,
    /// The IPv6 address, or network, that the user has, with its prefix length.
    pub framed_ipv6: Option<(Ipv6Addr, u8)>,
    /// From the user so far, with the gigawords.
    pub input_octets: Option<u64>,
    /// To the user so far.
    pub output_octets: Option<u64>,
    /// For how many seconds it lasts.
    pub session_secs: Option<u32>,
    /// For how many seconds the NAS had tried to say it.
    pub delay_secs: u32,
    /// When it happened, by the NAS's clock.
    pub event_secs: Option<u32>,
    /// Why it ended.
    pub terminate_cause: Option<u32>,
}

fn number(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

/// For people: printable, whatever a NAS writes.
fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_end_matches('\0').chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// 255.255.255.255 and 255.255.255.254 leave the choice to the user and to the NAS (RFC 2865 section 5.8): nobody has them.
fn address(value: &[u8]) -> Option<Ipv4Addr> {
    let address = Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?);
    let is_a_wish = u32::from(address) >= u32::MAX - 1 || address.is_unspecified();
    (!is_a_wish).then_some(address)
}

fn host(value: &[u8]) -> Option<(Ipv6Addr, u8)> {
    Some((Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?), 128))
}

/// A reserved byte, the length in bits, and as much of the address as is needed (RFC 3162 section 2.3).
fn prefix(value: &[u8]) -> Option<(Ipv6Addr, u8)> {
    let (&[_, length], bytes) = value.split_first_chunk()?;
    let mut octets = [0; 16];
    octets.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
    (length <= 128).then(|| (Ipv6Addr::from(u128::from_be_bytes(octets) & mask), length))
}

/// As much of a text as fits into so many bytes.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// Why a session ended, in words (RFC 2866 section 5.10, RFC 3580 section 3.7); nothing of a number that nobody has given a meaning.
pub fn terminate_cause(number: u32) -> Option<&'static str> {
    const CAUSES: [&str; 23] = [
        "user request",
        "lost carrier",
        "lost service",
        "idle timeout",
        "session timeout",
        "admin reset",
        "admin reboot",
        "port error",
        "NAS error",
        "NAS request",
        "NAS reboot",
        "port unneeded",
        "port preempted",
        "port suspended",
        "service unavailable",
        "callback",
        "user error",
        "host request",
        "supplicant restart",
        "reauthentication failure",
        "port reinitialized",
        "port administratively disabled",
        "lost power",
    ];
    CAUSES.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
}
