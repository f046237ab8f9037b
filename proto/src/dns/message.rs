//! A query as it came (RFC 1035 section 4, RFC 6891), read once over the wire.
//!
//! Why by hand: answering copies ready rdata, so building a message tree would cost more than everything else together.
//! What it refuses: anything that RFC 9619 and RFC 6891 call malformed; it says how much of the question can still be echoed.

use super::edns::{Edns, Options};
use super::name::Name;
use super::rtype;

/// RFC 1035 section 4.1.1.
pub(super) const HEADER_BYTES: usize = 12;
/// QTYPE and QCLASS behind the question's name.
pub(super) const QUESTION_TAIL_BYTES: usize = 4;
/// TYPE, CLASS, TTL and RDLENGTH behind a record's owner.
pub(super) const RECORD_TAIL_BYTES: usize = 10;
/// The class of everything that is ours.
pub(super) const CLASS_IN: u16 = 1;
/// The class in which servers are asked for themselves (RFC 4892).
pub(super) const CLASS_CH: u16 = 3;

/// The response codes that we send (RFC 1035 section 4.1.1, RFC 6891 section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Rcode {
    /// The answer stands, if only as "no such data".
    NoError = 0,
    /// The query could not be read.
    FormErr = 1,
    /// We should know, and cannot say.
    ServFail = 2,
    /// There is no such name.
    NxDomain = 3,
    /// Not a kind of request that we serve.
    NotImp = 4,
    /// Not ours to answer.
    Refused = 5,
    /// A DNAME makes a name that is too long (RFC 6672 section 2.2).
    YxDomain = 6,
    /// A zone that is not ours to give or to hear of (RFC 2136 section 2.2, RFC 5936 section 2.2.1).
    NotAuth = 9,
    /// An EDNS version that we do not speak.
    BadVers = 16,
    /// A client whose address is in doubt shall ask again with the cookie that comes with this (RFC 7873 section 8).
    BadCookie = 23,
}

impl Rcode {
    /// All of them, for counters.
    pub const ALL: [Self; 10] = [
        Self::NoError,
        Self::FormErr,
        Self::ServFail,
        Self::NxDomain,
        Self::NotImp,
        Self::Refused,
        Self::YxDomain,
        Self::NotAuth,
        Self::BadVers,
        Self::BadCookie,
    ];

    /// The name in the IANA registry, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoError => "noerror",
            Self::FormErr => "formerr",
            Self::ServFail => "servfail",
            Self::NxDomain => "nxdomain",
            Self::NotImp => "notimp",
            Self::Refused => "refused",
            Self::YxDomain => "yxdomain",
            Self::NotAuth => "notauth",
            Self::BadVers => "badvers",
            Self::BadCookie => "badcookie",
        }
    }
}

/// A query with one question.
#[derive(Debug)]
pub(super) struct Query<'a> {
    pub(super) packet: &'a [u8],
    /// Where the question ends; it starts at [`HEADER_BYTES`].
    pub(super) question_end: usize,
    pub(super) name: Name,
    pub(super) qtype: u16,
    pub(super) qclass: u16,
    pub(super) edns: Option<Edns<'a>>,
}

/// A packet that is no query. The bytes up to here are a header and perhaps a question, which a FORMERR may echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) readable_end: usize,
}

impl<'a> Query<'a> {
    /// Reads a packet that has a whole header. Bytes behind the last record are ignored.
    pub(super) fn read(packet: &'a [u8]) -> Result<Self, Malformed> {
        let unreadable = Malformed { readable_end: HEADER_BYTES };
        if number_at(packet, 4) != Some(1) {
            return Err(unreadable);
        }
        let name = Name::read(packet.get(HEADER_BYTES..).unwrap_or_default()).ok_or(unreadable)?;
        let type_at = HEADER_BYTES + name.len();
        let (Some(qtype), Some(qclass)) = (number_at(packet, type_at), number_at(packet, type_at + 2)) else { return Err(unreadable) };
        let question_end = type_at + QUESTION_TAIL_BYTES;
        let edns = read_records(packet, question_end).ok_or(Malformed { readable_end: question_end })?;
        Ok(Self { packet, question_end, name, qtype, qclass, edns })
    }
}

/// Walks all that follows the question and gives the OPT record, if there is one. `None` where the packet is malformed.
fn read_records(packet: &[u8], start: usize) -> Option<Option<Edns<'_>>> {
    let [answers, authorities, additionals] = [6, 8, 10].map(|at| usize::from(number_at(packet, at).unwrap_or(0)));
    let (mut at, mut edns) = (start, None);
    // Each record takes eleven bytes or more, so the packet ends long before a forged count does.
    for index in 0..answers + authorities + additionals {
        let owner_end = skip_name(packet, at)?;
        let rtype = number_at(packet, owner_end)?;
        let rdata_start = owner_end + RECORD_TAIL_BYTES;
        let rdata = packet.get(rdata_start..rdata_start + usize::from(number_at(packet, owner_end + 8)?))?;
        if rtype == rtype::OPT {
            let alone_in_its_place = edns.is_none() && index >= answers + authorities && owner_end == at + 1;
            if !alone_in_its_place {
                return None;
            }
            let payload_bytes = number_at(packet, owner_end + 2)?;
            let (version, dnssec_ok) = (packet[owner_end + 5], packet[owner_end + 6] & 0x80 != 0);
            edns = Some(Edns { payload_bytes, version, dnssec_ok, options: Options::read(rdata)? });
        }
        at = rdata_start + rdata.len();
    }
    Some(edns)
}

/// Where a name ends that may be compressed; it is not followed.
pub(super) fn skip_name(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            len @ 1..=63 => at += 1 + usize::from(len),
            0xc0.. => return packet.get(at + 1).map(|_| at + 2),
            _ => return None,
        }
    }
}

/// The big-endian number at a place.
pub(super) fn number_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}
