//! What is believed of what comes back.
//!
//! A reply must come from where the question went (the socket sees to that), with its id, its question to the last bit of its
//! case, and its cookie. Of a reply that does, the chain of aliases from the question to its data is kept, or the SOA that
//! says that there is none, with the signatures and gaps for who wants them. Everything else of it, whatever it may say of other
//! names, is not even looked at (RFC 5452, RFC 2181 section 5.4.1): it is kept under its question and nowhere else.

use super::foreign::{Part, Record, Records};
use super::question::{Question, Wanted};
use crate::dns::edns::COOKIE;
use crate::dns::message::{CLASS_IN, HEADER_BYTES, Query, Rcode, number_at};
use crate::dns::name::Name;
use crate::dns::reply::{self, FLAG_AUTHENTIC_DATA, FLAG_RESPONSE, FLAG_TRUNCATED, OPCODE_MASK, Owner, Reply, Section, Stop, TCP_MESSAGE_LIMIT_BYTES};
use crate::dns::{ExtendedError, Transport, rtype};

/// How many aliases of others are followed (RFC 1034 section 3.6.2 leaves the number open).
const CHAIN_LIMIT: usize = 16;
/// RFC 2181 section 8: a TTL with the highest bit is 0.
const TTL_SIGN: u32 = 1 << 31;
/// NSEC3, RFC 5155.
const NSEC3: u16 = 50;
const CLIENT_COOKIE_BYTES: usize = 8;

/// What somebody answered, ready to be told: records behind a question, compressed against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub(super) wanted: Wanted,
    pub(super) rcode: Rcode,
    /// Whether who answered says that signatures hold, or we found so.
    pub(super) authentic: bool,
    /// All behind the question but the OPT record.
    pub(super) body: Box<[u8]>,
    /// Where in the body the TTLs stand.
    pub(super) ttls_at: Box<[u16]>,
    /// Records in the answer and in the authority section.
    pub(super) counts: [u16; 2],
    /// How long it is good for, in seconds; 0 where it says nothing of it.
    pub(super) ttl_s: u32,
    /// Whether it says that there is no such name or no such data.
    pub(super) negative: bool,
    /// What is said of it to people's programs, if only that nobody looked at its signatures.
    pub(super) why: Option<ExtendedError>,
}

/// What a packet is to the one who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The answer.
    Answer(Box<Answer>),
    /// It did not fit: ask by TCP.
    Truncated,
    /// Everything is right but the case of the name: an old server, or a forger with luck. Ask by TCP.
    OtherCase,
    /// The server wants its cookie back; this is it.
    BadCookie(Vec<u8>),
    /// The server answers, and gives no answer.
    Refused(Refusal),
    /// Not an answer to this question: forged, late, or broken.
    NotOurs,
}

/// Why a server gives no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its code says so.
    Code(u8),
    /// It sends us to others, whom to ask is its job.
    Referral,
    /// Its message cannot be read.
    Malformed,
}

impl Answer {
    /// How long it is good for, in seconds.
    pub fn ttl_s(&self) -> u32 {
        self.ttl_s
    }

    /// Whether there is anything in it: data, or the SOA that says that there is none.
    pub fn has_records(&self) -> bool {
        self.counts != [0; 2]
    }

    /// The question that it answers.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// The same, for another form of the same question: without signatures, where these are not wanted.
    pub fn as_wanted(self, wanted: &Wanted) -> Option<Self> {
        let (packet, authentic, why) = (self.to_packet(), self.authentic, self.why);
        let records = Records::read(&packet)?;
        let answer = write(wanted, &records, self.rcode, authentic).ok()?;
        Some(Self { why, ..answer })
    }

    /// The same, its signatures looked at.
    pub fn judged(self, authentic: bool, why: Option<ExtendedError>) -> Self {
        Self { authentic, why, ..self }
    }

    /// As a whole message, without an OPT record.
    pub fn to_packet(&self) -> Vec<u8> {
        let mut packet = self.wanted.bare_packet();
        packet[2] = FLAG_RESPONSE;
        packet[3] = self.rcode as u8 & 15;
        for (place, count) in packet[6..10].chunks_exact_mut(2).zip(self.counts) {
            place.copy_from_slice(&count.to_be_bytes());
        }
        packet.extend_from_slice(&self.body);
        packet
    }
}

/// What this packet is to this question, and the server's cookie where it brings one.
pub fn hear(question: &Question, packet: &[u8], transport: Transport) -> (Heard, Option<Vec<u8>>) {
    let same = match sameness(question, packet) {
        Some(same) => same,
        None => return (Heard::NotOurs, None),
    };
    if packet[2] & FLAG_TRUNCATED != 0 && transport == Transport::Udp {
        return (if same { Heard::Truncated } else { Heard::OtherCase }, None);
    }
    if !same && transport == Transport::Udp {
        return (Heard::OtherCase, None);
    }
    let Some(records) = Records::read(packet) else { return (Heard::Refused(Refusal::Malformed), None) };
    let (extended_rcode, cookie) = edns(&records);
    let told = cookie.filter(|cookie| cookie.starts_with(&question.credentials.client));
    let is_proven = told.is_some() || cookie.is_none() && question.credentials.server.is_empty() || transport != Transport::Udp;
    if !is_proven {
        // RFC 7873 section 5.3: another's cookie, or none from who gave one before.
        return (Heard::NotOurs, None);
    }
    let cookie = told.map(|cookie| cookie[CLIENT_COOKIE_BYTES..].to_vec()).filter(|cookie| !cookie.is_empty());
    let rcode = extended_rcode << 4 | u16::from(packet[3] & 15);
    let heard = match (rcode, cookie.clone()) {
        (0, _) => heard_answer(question, &records, Rcode::NoError, packet),
        (3, _) => heard_answer(question, &records, Rcode::NxDomain, packet),
        (6, _) => heard_answer(question, &records, Rcode::YxDomain, packet),
        (23, Some(cookie)) => Heard::BadCookie(cookie),
        (code, _) => Heard::Refused(Refusal::Code(code.min(255) as u8)),
    };
    (heard, cookie)
}

/// Whether the packet answers the question: `Some(false)` where only the case of the name differs.
fn sameness(question: &Question, packet: &[u8]) -> Option<bool> {
    let asked = &question.packet[..question.question_end];
    let echoed = packet.get(..asked.len())?;
    let is_reply = echoed[..2] == asked[..2] && echoed[2] & FLAG_RESPONSE != 0 && echoed[2] & OPCODE_MASK == 0 && number_at(packet, 4) == Some(1);
    let (echoed, asked) = (&echoed[HEADER_BYTES..], &asked[HEADER_BYTES..]);
    (is_reply && echoed.eq_ignore_ascii_case(asked)).then(|| echoed == asked)
}

/// The upper bits of the code, and the cookie.
fn edns(records: &Records) -> (u16, Option<&[u8]>) {
    let Some(opt) = records.all().iter().find(|record| record.part == Part::Additional && record.rtype == rtype::OPT) else { return (0, None) };
    let (mut rest, mut cookie) = (records.rdata(opt), None);
    while let (Some(code), Some(len)) = (number_at(rest, 0), number_at(rest, 2)) {
        let Some(value) = rest.get(4..4 + usize::from(len)) else { break };
        if code == COOKIE {
            cookie = cookie.or(Some(value));
        }
        rest = &rest[4 + usize::from(len)..];
    }
    ((opt.ttl_s >> 24) as u16, cookie)
}

fn heard_answer(question: &Question, records: &Records, rcode: Rcode, packet: &[u8]) -> Heard {
    match write(&question.wanted, records, rcode, packet[3] & FLAG_AUTHENTIC_DATA != 0) {
        Ok(answer) => Heard::Answer(Box::new(answer)),
        Err(refusal) => Heard::Refused(refusal),
    }
}

/// Writes down what is believed of these records.
fn write(wanted: &Wanted, records: &Records, rcode: Rcode, authentic: bool) -> Result<Answer, Refusal> {
    let packet = wanted.bare_packet();
    let query = Query::read(&packet).map_err(|_| Refusal::Malformed)?;
    let mut out = Vec::new();
    let mut writer = Writer { wanted, records, reply: Reply::begin(&query, None, TCP_MESSAGE_LIMIT_BYTES, &mut out), ttls_at: Vec::new(), ttl_s: u32::MAX };
    let (end, found) = writer.chain(query.name.clone())?;
    let negative = !found;
    if negative {
        writer.denial(&end, rcode)?;
    }
    if wanted.form.dnssec_ok {
        writer.proofs()?;
    }
    let ([answers, authorities, _], ttl_s) = (writer.reply.counts(), writer.ttl_s);
    let ttls_at = writer.ttls_at;
    let body = out.split_off(query.question_end);
    let ttls_at = ttls_at.into_iter().map(|at| u16::try_from(at - query.question_end).map_err(|_| Refusal::Malformed)).collect::<Result<_, _>>()?;
    let ttl_s = if ttl_s == u32::MAX { 0 } else { ttl_s };
    Ok(Answer { wanted: wanted.clone(), rcode, authentic, body: body.into(), ttls_at, counts: [answers, authorities], ttl_s, negative, why: None })
}

struct Writer<'a> {
    wanted: &'a Wanted,
    records: &'a Records,
    reply: Reply<'a>,
    ttls_at: Vec<usize>,
    /// The shortest of all.
    ttl_s: u32,
}

impl<'a> Writer<'a> {
    /// Writes the aliases and the data that they lead to; gives the last name, and whether there was data.
    fn chain(&mut self, mut name: Name) -> Result<(Name, bool), Refusal> {
        let qtype = self.wanted.qtype;
        for _ in 0..CHAIN_LIMIT {
            let found = self.set(&name, |rtype| rtype == qtype || qtype == rtype::ANY);
            if !found.is_empty() {
                self.put_all(Section::Answer, &found)?;
                return Ok((name, true));
            }
            let dname = self.answers().find(|record| record.rtype == rtype::DNAME && is_above(&record.owner, &name));
            if let Some(dname) = dname {
                let covering = self.set(&dname.owner, |rtype| rtype == rtype::DNAME);
                self.put_all(Section::Answer, &covering)?;
            }
            let mut alias = self.set(&name, |rtype| rtype == rtype::CNAME);
            let Some(cname) = alias.first().copied() else { return Ok((name, false)) };
            // Of two, which no zone may have (RFC 2181 section 10.1), the first counts.
            alias.retain(|record| record.rtype != rtype::CNAME || std::ptr::eq(*record, cname));
            let target = Name::read(self.records.rdata(cname)).ok_or(Refusal::Malformed)?;
            let made = dname.map(|dname| Name::read(self.records.rdata(dname)).and_then(|to| name.below(dname.owner.labels(), &to)));
            if made.is_some_and(|made| made.is_none_or(|made| !is_same(&made, &target))) {
                return Err(Refusal::Malformed);
            }
            self.put_all(Section::Answer, &alias)?;
            name = target;
        }
        // A circle, or more aliases than anybody means: what was found of it stands.
        Ok((name, true))
    }

    /// Writes who says that there is nothing (RFC 2308 section 5). Without an SOA it is not kept.
    fn denial(&mut self, name: &Name, rcode: Rcode) -> Result<(), Refusal> {
        let authority = || self.records.all().iter().filter(|record| record.part == Part::Authority && record.class == CLASS_IN);
        let soa = authority().find(|record| record.rtype == rtype::SOA && (is_same(&record.owner, name) || is_above(&record.owner, name)));
        let Some(soa) = soa else {
            let is_referral = rcode == Rcode::NoError && authority().any(|record| record.rtype == rtype::NS);
            self.ttl_s = 0;
            return if is_referral { Err(Refusal::Referral) } else { Ok(()) };
        };
        let minimum_s = reply::soa_minimum_s(self.records.rdata(soa)).ok_or(Refusal::Malformed)?;
        self.put_as(Section::Authority, soa, soa.ttl_s.min(minimum_s))?;
        let signs = |record: &&Record| self.wanted.form.dnssec_ok && is_same(&record.owner, &soa.owner) && self.covers(record, rtype::SOA);
        let signatures: Vec<_> = authority().filter(signs).collect();
        signatures.into_iter().try_for_each(|signature| self.put_as(Section::Authority, signature, signature.ttl_s.min(minimum_s)))
    }

    /// Writes the gaps that prove what is missing, and where a wildcard stood in.
    fn proofs(&mut self) -> Result<(), Refusal> {
        let is_gap = |record: &&Record| {
            let is_own = matches!(record.rtype, rtype::NSEC | NSEC3) || self.covers(record, rtype::NSEC) || self.covers(record, NSEC3);
            record.part == Part::Authority && record.class == CLASS_IN && is_own
        };
        let gaps: Vec<_> = self.records.all().iter().filter(is_gap).collect();
        self.put_all(Section::Authority, &gaps)
    }

    fn answers(&self) -> impl Iterator<Item = &'a Record> + use<'a> {
        self.records.all().iter().filter(|record| record.part == Part::Answer && record.class == CLASS_IN && record.rtype != rtype::OPT)
    }

    /// All records at a name whose type is one of these, and the signatures over them where they are wanted.
    fn set(&self, name: &Name, is_wanted: impl Fn(u16) -> bool) -> Vec<&'a Record> {
        let own: Vec<_> = self.answers().filter(|record| is_same(&record.owner, name) && is_wanted(record.rtype)).collect();
        let signs = |record: &&Record| record.rtype == rtype::RRSIG && is_same(&record.owner, name) && !is_wanted(rtype::RRSIG);
        let covered = |record: &&Record| own.iter().any(|one| self.covers(record, one.rtype));
        let signatures: Vec<_> = self.answers().filter(signs).filter(covered).filter(|_| self.wanted.form.dnssec_ok).collect();
        own.into_iter().chain(signatures).collect()
    }

    fn covers(&self, record: &Record, rtype: u16) -> bool {
        record.rtype == rtype::RRSIG && self.records.rdata(record).starts_with(&rtype.to_be_bytes())
    }

    fn put_all(&mut self, section: Section, records: &[&Record]) -> Result<(), Refusal> {
        records.iter().try_for_each(|record| self.put_as(section, record, record.ttl_s))
    }

    fn put_as(&mut self, section: Section, record: &Record, ttl_s: u32) -> Result<(), Refusal> {
        let ttl_s = if ttl_s & TTL_SIGN != 0 { 0 } else { ttl_s };
        let (owner, rdata) = (Owner::Wire(self.records.owner(record)), self.records.rdata(record));
        let rdata_at = self.reply.put_record(section, owner, record.rtype, ttl_s, rdata).map_err(|_: Stop| Refusal::Malformed)?;
        // RDLENGTH and the TTL stand before it.
        self.ttls_at.push(rdata_at - 6);
        self.ttl_s = self.ttl_s.min(ttl_s);
        Ok(())
    }
}

fn is_same(a: &Name, b: &Name) -> bool {
    a.ancestor(a.labels()) == b.ancestor(b.labels())
}

/// Whether a name lies below another.
fn is_above(above: &Name, name: &Name) -> bool {
    above.labels() < name.labels() && name.ancestor(above.labels()) == above.ancestor(above.labels())
}
