//! What one server asks of another: a transfer, or to hear that there is something new.

use super::read::read_message;
use super::soa::Soa;
use crate::dns::message::HEADER_BYTES;
use crate::dns::{Record, rtype};
use crate::words::{DomainName, Serial};

/// The opcode of a NOTIFY in its place in the header.
const NOTIFY_OPCODE: u8 = 4 << 3;
const AUTHORITATIVE: u8 = 4;
const CLASS_IN: [u8; 2] = [0, 1];

/// A request that is no plain question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its header and question, as they came.
    pub head: Vec<u8>,
    /// The zone.
    pub apex: DomainName,
    /// What is wanted of it.
    pub what: What,
}

/// What is wanted of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// All of it (AXFR).
    Whole,
    /// What changed since this serial (IXFR).
    Since(Serial),
    /// Nothing: it says that there is something new, perhaps with this serial (NOTIFY).
    Told(Option<Serial>),
}

/// Reads a request; `None` where it is neither a transfer nor a NOTIFY, or is torn.
pub fn wanted(packet: &[u8]) -> Option<Wanted> {
    let message = read_message(packet).filter(|message| !message.header.is_response)?;
    let (apex, qtype) = message.question?;
    let serial = |records: &[Record]| {
        let soa = records.iter().find(|record| record.rtype == rtype::SOA && record.owner == apex)?;
        Soa::of(&soa.rdata).map(|soa| soa.serial)
    };
    let what = match (message.header.opcode, qtype) {
        (0, rtype::AXFR) => What::Whole,
        // Without a serial it asks for everything, as one that is too old does.
        (0, rtype::IXFR) => serial(&message.authorities).map_or(What::Whole, What::Since),
        (4, rtype::SOA) => What::Told(serial(&message.answers)),
        _ => return None,
    };
    let question_end = HEADER_BYTES + apex.wire().len() + 4;
    Some(Wanted { head: packet.get(..question_end)?.to_vec(), apex, what })
}

/// A question for a zone: its SOA, all of it (AXFR), or with `have`, the SOA record that we have, what changed since (IXFR).
pub fn query(id: u16, apex: &DomainName, qtype: u16, have: Option<&Record>) -> Vec<u8> {
    let mut out = head(id, 0, apex, qtype, [0, u8::from(have.is_some())]);
    have.into_iter().for_each(|soa| put(&mut out, soa));
    out
}

/// A NOTIFY of a zone's new state (RFC 1996 section 3): the SOA record goes with it as a hint.
pub fn notify(id: u16, soa: &Record) -> Vec<u8> {
    let mut out = head(id, NOTIFY_OPCODE | AUTHORITATIVE, &soa.owner, rtype::SOA, [1, 0]);
    put(&mut out, soa);
    out
}

fn head(id: u16, flags: u8, apex: &DomainName, qtype: u16, [answers, authorities]: [u8; 2]) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    out.extend_from_slice(&[flags, 0, 0, 1, 0, answers, 0, authorities, 0, 0]);
    out.extend_from_slice(apex.wire());
    out.extend_from_slice(&qtype.to_be_bytes());
    out.extend_from_slice(&CLASS_IN);
    out
}

fn put(out: &mut Vec<u8>, record: &Record) {
    out.extend_from_slice(record.owner.wire());
    out.extend_from_slice(&record.rtype.to_be_bytes());
    out.extend_from_slice(&CLASS_IN);
    out.extend_from_slice(&record.ttl.to_be_bytes());
    // A SOA has two names and twenty bytes: it fits.
    out.extend_from_slice(&(record.rdata.len() as u16).to_be_bytes());
    out.extend_from_slice(&record.rdata);
}
