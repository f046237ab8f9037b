//! Messages of other servers, read whole: names are followed where they are compressed, and what comes out is not.

use crate::dns::message::{HEADER_BYTES, number_at};
use crate::dns::{Record, rtype};
use crate::words::DomainName;

const NAME_LIMIT_BYTES: usize = 255;
const CLASS_IN: u16 = 1;

/// What stands in a message's first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its number.
    pub id: u16,
    /// Whether it is a reply.
    pub is_response: bool,
    /// What is wanted: 0 a question, 4 a NOTIFY.
    pub opcode: u8,
    /// Whether the answer is of who knows.
    pub authoritative: bool,
    /// Whether it was cut.
    pub truncated: bool,
    /// What came of it, without EDNS's upper bits.
    pub rcode: u8,
}

/// A message with its records of class IN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its first bytes.
    pub header: Header,
    /// Name and type that were asked for; the class is IN.
    pub question: Option<(DomainName, u16)>,
    /// The answer section.
    pub answers: Vec<Record>,
    /// The authority section.
    pub authorities: Vec<Record>,
}

/// Reads a message; `None` where it is torn, or its names or records are not what they should be.
pub fn read_message(bytes: &[u8]) -> Option<Message> {
    let (flags, code) = (*bytes.get(2)?, *bytes.get(3)?);
    let header = Header {
        id: number_at(bytes, 0)?,
        is_response: flags & 0x80 != 0,
        opcode: flags >> 3 & 15,
        authoritative: flags & 4 != 0,
        truncated: flags & 2 != 0,
        rcode: code & 15,
    };
    let mut reader = Reader { bytes, at: HEADER_BYTES };
    let question = match number_at(bytes, 4)? {
        0 => None,
        1 => Some(reader.question()?),
        _ => return None,
    };
    let (answers, authorities) = (number_at(bytes, 6)?, number_at(bytes, 8)?);
    let answers = reader.records(answers)?;
    let authorities = reader.records(authorities)?;
    Some(Message { header, question, answers, authorities })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn question(&mut self) -> Option<(DomainName, u16)> {
        let name = self.name()?;
        let (qtype, qclass) = (number_at(self.bytes, self.at)?, number_at(self.bytes, self.at + 2)?);
        self.at += 4;
        (qclass == CLASS_IN).then_some((name, qtype))
    }

    /// Each takes eleven bytes or more, so the message ends long before a forged count does.
    fn records(&mut self, count: u16) -> Option<Vec<Record>> {
        let mut records = Vec::new();
        for _ in 0..count {
            records.extend(self.record()?);
        }
        Some(records)
    }

    /// The next record; none where it is of another class.
    fn record(&mut self) -> Option<Option<Record>> {
        let owner = self.name()?;
        let fields = self.at;
        let (rtype, class) = (number_at(self.bytes, fields)?, number_at(self.bytes, fields + 2)?);
        let ttl = u32::from(number_at(self.bytes, fields + 4)?) << 16 | u32::from(number_at(self.bytes, fields + 6)?);
        let end = fields + 10 + usize::from(number_at(self.bytes, fields + 8)?);
        if end > self.bytes.len() {
            return None;
        }
        self.at = fields + 10;
        let rdata = self.rdata(rtype, end)?;
        self.at = end;
        // RFC 2181 section 8: a TTL with the first bit set counts as zero.
        let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
        Some((class == CLASS_IN).then_some(Record { owner, rtype, ttl, rdata }))
    }

    /// The name here, uncompressed and in lower case.
    fn name(&mut self) -> Option<DomainName> {
        let mut wire = Vec::with_capacity(32);
        let (mut at, mut end) = (self.at, None);
        loop {
            match *self.bytes.get(at)? {
                0 => break wire.push(0),
                len @ 1..=63 => {
                    wire.extend_from_slice(self.bytes.get(at..at + 1 + usize::from(len))?);
                    at += 1 + usize::from(len);
                }
                high @ 0xc0.. => {
                    let target = usize::from(high & 0x3f) << 8 | usize::from(*self.bytes.get(at + 1)?);
                    // Only backwards, so that it ends.
                    if target >= at {
                        return None;
                    }
                    end = end.or(Some(at + 2));
                    at = target;
                }
                _ => return None,
            }
            if wire.len() >= NAME_LIMIT_BYTES {
                return None;
            }
        }
        self.at = end.unwrap_or(at + 1);
        DomainName::from_wire(&wire)
    }

    /// The rdata up to `end`, with the names in it uncompressed where its type may compress them (RFC 3597 section 4).
    fn rdata(&mut self, rtype: u16, end: usize) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(end - self.at);
        for part in layout(rtype) {
            match part {
                Part::Bytes(count) => self.copy(*count, end, &mut out)?,
                Part::Text => self.copy(1 + usize::from(*self.bytes.get(self.at)?), end, &mut out)?,
                Part::Name => out.extend_from_slice(self.name()?.wire()),
            }
        }
        if self.at > end {
            return None;
        }
        let is_laid_out = !layout(rtype).is_empty();
        if is_laid_out && self.at != end {
            return None;
        }
        out.extend_from_slice(&self.bytes[self.at..end]);
        Some(out)
    }

    fn copy(&mut self, count: usize, end: usize, out: &mut Vec<u8>) -> Option<()> {
        let next = self.at + count;
        out.extend_from_slice(self.bytes.get(self.at..next).filter(|_| next <= end)?);
        self.at = next;
        Some(())
    }
}

#[derive(Clone, Copy)]
enum Part {
    Bytes(usize),
    Text,
    Name,
}

/// What the data of types with names that may be compressed is made of; nothing for all others, which are copied.
fn layout(of: u16) -> &'static [Part] {
    use Part::{Bytes, Name, Text};
    match of {
        // MD, MF, MB, MG, MR and the living ones.
        rtype::NS | 3 | 4 | rtype::CNAME | 7 | 8 | 9 | rtype::PTR | rtype::DNAME => &[Name],
        rtype::SOA => &[Name, Name, Bytes(20)],
        // MINFO and RP.
        14 | rtype::RP => &[Name, Name],
        // MX, AFSDB, RT, KX.
        rtype::MX | 18 | 21 | 36 => &[Bytes(2), Name],
        // PX.
        26 => &[Bytes(2), Name, Name],
        rtype::SRV => &[Bytes(6), Name],
        // NAPTR.
        35 => &[Bytes(4), Text, Text, Text, Name],
        _ => &[],
    }
}
