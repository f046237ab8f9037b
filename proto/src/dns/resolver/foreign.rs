//! Somebody else's message, record by record, with every name written out.
//!
//! What it refuses: a pointer that does not go back, a name over 255 bytes, a record past the end, and data that is not what
//! its type says. One such thing and nothing of the message is believed.

use crate::dns::edns::EXTENDED_ERROR;
use crate::dns::message::{HEADER_BYTES, QUESTION_TAIL_BYTES, Query, RECORD_TAIL_BYTES, Rcode, number_at, skip_name};
use crate::dns::name::Name;
use crate::dns::{rdata, rtype};
use crate::words::DomainName;
use std::ops::Range;

const NAME_LIMIT_BYTES: usize = 255;
/// More records than any honest answer has; a message over TCP could carry five thousand.
const RECORD_LIMIT: usize = 2048;

/// Where a record stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Answer,
    Authority,
    Additional,
}

/// A record with its names written out.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) part: Part,
    pub(super) owner: Name,
    pub(super) rtype: u16,
    pub(super) class: u16,
    /// As it stood there: seconds, where it is no OPT record.
    pub(super) ttl_s: u32,
    owner_bytes: Range<usize>,
    rdata_bytes: Range<usize>,
}

/// The records of a message.
#[derive(Debug)]
pub(super) struct Records {
    all: Vec<Record>,
    /// Owners, as they were written, and rdata.
    bytes: Vec<u8>,
}

impl Records {
    /// Reads all that follows the one question of a message. `None` where anything of it is malformed.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        let [answers, authorities, additionals] = [6, 8, 10].map(|at| usize::from(number_at(packet, at).unwrap_or(0)));
        let count = answers + authorities + additionals;
        if number_at(packet, 4)? != 1 || count > RECORD_LIMIT {
            return None;
        }
        let mut records = Self { all: Vec::with_capacity(count), bytes: Vec::with_capacity(packet.len() + 64) };
        let mut at = skip_name(packet, HEADER_BYTES)? + QUESTION_TAIL_BYTES;
        for number in 0..count {
            let part = match number {
                _ if number < answers => Part::Answer,
                _ if number < answers + authorities => Part::Authority,
                _ => Part::Additional,
            };
            at = records.take(packet, at, part)?;
        }
        Some(records)
    }

    fn take(&mut self, packet: &[u8], at: usize, part: Part) -> Option<usize> {
        let owner_start = self.bytes.len();
        let fields = write_name_out(packet, at, &mut self.bytes)?;
        let owner_bytes = owner_start..self.bytes.len();
        let [rtype, class, len] = [number_at(packet, fields)?, number_at(packet, fields + 2)?, number_at(packet, fields + 8)?];
        let ttl_s = u32::from(number_at(packet, fields + 4)?) << 16 | u32::from(number_at(packet, fields + 6)?);
        let rdata = fields + RECORD_TAIL_BYTES..fields + RECORD_TAIL_BYTES + usize::from(len);
        let end = rdata.end;
        packet.get(rdata.clone())?;
        write_rdata_out(packet, rtype, rdata, &mut self.bytes)?;
        let owner = Name::read(&self.bytes[owner_bytes.clone()])?;
        let rdata_bytes = owner_bytes.end..self.bytes.len();
        self.all.push(Record { part, owner, rtype, class, ttl_s, owner_bytes, rdata_bytes });
        Some(end)
    }

    pub(super) fn all(&self) -> &[Record] {
        &self.all
    }

    /// Its owner, in the case in which it was written.
    pub(super) fn owner(&self, record: &Record) -> &[u8] {
        &self.bytes[record.owner_bytes.clone()]
    }

    pub(super) fn rdata(&self, record: &Record) -> &[u8] {
        &self.bytes[record.rdata_bytes.clone()]
    }
}

/// What a reply says, for people: its code and its records, or the zone that says that there are none. `None` where it is malformed.
pub fn in_words(packet: &[u8]) -> Option<String> {
    let records = Records::read(packet)?;
    let code = Rcode::ALL.into_iter().find(|rcode| *rcode as u8 == packet[3] & 15).map_or("another code", Rcode::name);
    let shown = |record: &Record| {
        let owner = DomainName::from_wire(records.owner(record)).map(|name| name.to_string()).unwrap_or_default();
        format!("{owner} {} {} {}", record.ttl_s, rdata::type_name(record.rtype), rdata::print(record.rtype, records.rdata(record)))
    };
    let told = records.all.iter().filter(|record| record.rtype != rtype::OPT).map(|record| format!("\n  {}", shown(record)));
    Some(format!("{code}{}", told.collect::<String>()))
}

/// The first extended error of a reply (RFC 8914); `None` where it has none, or is malformed.
pub fn extended_error(packet: &[u8]) -> Option<u16> {
    let records = Records::read(packet)?;
    let opt = records.all.iter().find(|record| record.part == Part::Additional && record.rtype == rtype::OPT)?;
    let mut rest = records.rdata(opt);
    loop {
        let (code, len) = (number_at(rest, 0)?, usize::from(number_at(rest, 2)?));
        let value = rest.get(4..4 + len)?;
        if code == EXTENDED_ERROR {
            return number_at(value, 0);
        }
        rest = &rest[4 + len..];
    }
}

/// What a query asks for, for people: its name and type. `None` where it cannot be read.
pub fn asked_in_words(packet: &[u8]) -> Option<String> {
    let query = Query::read(packet).ok()?;
    let name = DomainName::from_wire(query.name.ancestor(query.name.labels()))?;
    Some(format!("{name} {}", rdata::type_name(query.qtype)))
}

/// Writes a name that may be compressed; gives where it ends in its place.
fn write_name_out(packet: &[u8], start: usize, out: &mut Vec<u8>) -> Option<usize> {
    let out_start = out.len();
    let (mut at, mut piece_start, mut end) = (start, start, None);
    loop {
        match *packet.get(at)? {
            0 => {
                out.push(0);
                return Some(end.unwrap_or(at + 1)).filter(|_| out.len() - out_start <= NAME_LIMIT_BYTES);
            }
            len @ 1..=63 => {
                out.extend_from_slice(packet.get(at..=at + usize::from(len))?);
                at += 1 + usize::from(len);
                if out.len() - out_start > NAME_LIMIT_BYTES {
                    return None;
                }
            }
            high @ 0xc0.. => {
                let target = usize::from(high & 0x3f) << 8 | usize::from(*packet.get(at + 1)?);
                // Always further back, so that it ends (RFC 9267 section 2).
                if target >= piece_start {
                    return None;
                }
                end = end.or(Some(at + 2));
                (at, piece_start) = (target, target);
            }
            _ => return None,
        }
    }
}

/// Writes rdata with its names written out: of the types of RFC 1035 and of those that RFC 3597 section 4 names, all others as
/// they stand.
fn write_rdata_out(packet: &[u8], rtype: u16, rdata: Range<usize>, out: &mut Vec<u8>) -> Option<()> {
    let (fixed, names, rest) = match rtype {
        rtype::NS | 3 | 4 | rtype::CNAME | 7 | 8 | 9 | rtype::PTR | rtype::DNAME => (0, 1, Some(0)),
        14 | rtype::RP => (0, 2, Some(0)),
        rtype::SOA => (0, 2, Some(20)),
        rtype::MX | 18 | 21 | 36 => (2, 1, Some(0)),
        26 => (2, 2, Some(0)),
        rtype::SRV => (6, 1, Some(0)),
        24 | rtype::RRSIG => (18, 1, None),
        30 | rtype::NSEC => (0, 1, None),
        35 => (naptr_fixed(packet.get(rdata.clone())?)?, 1, Some(0)),
        _ => {
            out.extend_from_slice(packet.get(rdata)?);
            return Some(());
        }
    };
    let mut at = rdata.start + fixed;
    out.extend_from_slice(packet.get(rdata.start..at)?);
    for _ in 0..names {
        at = write_name_out(packet, at, out)?;
    }
    let tail = packet.get(at..rdata.end)?;
    out.extend_from_slice(tail);
    rest.is_none_or(|len| len == tail.len()).then_some(())
}

/// Two numbers and three texts before the name (RFC 3403 section 4.1).
fn naptr_fixed(rdata: &[u8]) -> Option<usize> {
    (0..3).try_fold(4, |at: usize, _| Some(at + 1 + usize::from(*rdata.get(at)?)))
}
