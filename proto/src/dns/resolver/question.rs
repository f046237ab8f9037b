//! What is asked of others: the question as it is kept, and as it goes out, made hard to guess (RFC 5452).

use crate::dns::edns::{COOKIE, HOPS, OPT_BYTES, put_option};
use crate::dns::message::{CLASS_CH, CLASS_IN, HEADER_BYTES, Query};
use crate::dns::name::Name;
use crate::dns::reply::{FLAG_AUTHENTIC_DATA, FLAG_CHECKING_DISABLED, FLAG_RECURSION_DESIRED, FLAG_RESPONSE, UDP_PAYLOAD_LIMIT_BYTES};
use crate::dns::rtype;

/// Through so many of our boxes a question goes at most: from an agent to its peer, and from there to nobody of ours but the master.
pub const HOP_LIMIT: u8 = 3;
/// What one question needs of randomness: an id, and a bit for each letter of its name.
pub const RANDOM_BYTES: usize = 2 + 32;
/// The client's part of a cookie (RFC 7873 section 4.1).
const CLIENT_COOKIE_BYTES: usize = 8;
/// Of what we ask when we only want to know whether anybody is there: every server answers it at once, if only to refuse it (RFC 4892).
const PING_NAME: &[u8] = b"\x02id\x06server\x00";

/// What is looked for: the same for all who are told the same.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wanted {
    /// On the wire, in lower case.
    pub(super) name: Box<[u8]>,
    pub(super) qtype: u16,
    pub(super) form: Form,
}

/// In which form it is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Form {
    /// With signatures.
    pub(super) dnssec_ok: bool,
    /// Though they may not hold (RFC 4035 section 3.2.2).
    pub(super) checking_disabled: bool,
}

/// What a server and we know of each other (RFC 7873): our part, and its part once it told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Ours: another for each server, so that they cannot compare notes.
    pub client: [u8; CLIENT_COOKIE_BYTES],
    /// The server's; empty until it told.
    pub server: Vec<u8>,
}

/// A question as it goes out.
#[derive(Debug, Clone)]
pub struct Question {
    pub(super) packet: Vec<u8>,
    pub(super) question_end: usize,
    pub(super) wanted: Wanted,
    pub(super) credentials: Credentials,
}

impl Wanted {
    pub(super) fn new(name: &Name, qtype: u16, form: Form) -> Self {
        Self { name: name.ancestor(name.labels()).into(), qtype, form }
    }

    /// Of a name on the wire, uncompressed. `None` where it is none, or where the type is not one that can be looked for.
    pub fn of(name: &[u8], qtype: u16, dnssec_ok: bool, checking_disabled: bool) -> Option<Self> {
        let name = Name::read(name).filter(|read| read.len() == name.len())?;
        let is_question = qtype != 0 && !matches!(qtype, rtype::OPT | rtype::AXFR | rtype::IXFR | 249 | 250);
        is_question.then(|| Self::new(&name, qtype, Form { dnssec_ok, checking_disabled }))
    }

    /// Its name on the wire, in lower case.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Its type's number.
    pub fn qtype(&self) -> u16 {
        self.qtype
    }

    /// Whether signatures are wanted.
    pub fn dnssec_ok(&self) -> bool {
        self.form.dnssec_ok
    }

    /// Whether it is wanted though its signatures may not hold.
    pub fn checking_disabled(&self) -> bool {
        self.form.checking_disabled
    }

    /// The same, with signatures and whether they hold or not: what is asked for where we look at them ourselves.
    pub fn signed(&self) -> Self {
        Self { form: Form { dnssec_ok: true, checking_disabled: true }, ..self.clone() }
    }

    /// As a client asks it, without EDNS.
    pub fn query(&self) -> Vec<u8> {
        let mut packet = self.bare_packet();
        packet[2] = FLAG_RECURSION_DESIRED;
        packet
    }

    /// A header with this question behind it and nothing else, its name in lower case.
    pub(super) fn bare_packet(&self) -> Vec<u8> {
        let mut packet = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        packet.extend_from_slice(&self.name);
        packet.extend_from_slice(&self.qtype.to_be_bytes());
        packet.extend_from_slice(&CLASS_IN.to_be_bytes());
        packet
    }
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {} {:?}", crate::words::DomainName::from_wire(&self.name), self.qtype, self.form)
    }
}

impl Question {
    /// Writes it, with what chance gives: the id, and which letters are capitals (draft-vixie-dnsext-dns0x20). `hops` is through how
    /// many of our boxes it came; 0 says nothing of it.
    pub fn write(wanted: &Wanted, chance: &[u8; RANDOM_BYTES], credentials: &Credentials, hops: u8) -> Self {
        let mut packet = wanted.bare_packet();
        let question_end = packet.len();
        packet[..2].copy_from_slice(&chance[..2]);
        packet[2] = FLAG_RECURSION_DESIRED;
        // That the answer's AD bit is of interest (RFC 6840 section 5.7).
        packet[3] = FLAG_AUTHENTIC_DATA | if wanted.form.checking_disabled { FLAG_CHECKING_DISABLED } else { 0 };
        packet[11] = 1;
        shuffle_case(&mut packet[HEADER_BYTES..question_end - 4], &chance[2..]);
        put_opt(&mut packet, wanted.form.dnssec_ok, credentials, hops);
        Self { packet, question_end, wanted: wanted.clone(), credentials: credentials.clone() }
    }

    /// The same, for who shall ask nobody: what is known there is wanted, and nothing else.
    pub fn without_recursion(mut self) -> Self {
        self.packet[2] &= !FLAG_RECURSION_DESIRED;
        self
    }

    /// Its id.
    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.packet[0], self.packet[1]])
    }

    /// The bytes to be sent.
    pub fn bytes(&self) -> &[u8] {
        &self.packet
    }
}

fn shuffle_case(name: &mut [u8], bits: &[u8]) {
    for (at, byte) in name.iter_mut().enumerate() {
        if byte.is_ascii_lowercase() && bits[at / 8 % bits.len()] >> (at % 8) & 1 == 1 {
            *byte = byte.to_ascii_uppercase();
        }
    }
}

fn put_opt(packet: &mut Vec<u8>, dnssec_ok: bool, credentials: &Credentials, hops: u8) {
    let [p0, p1] = (UDP_PAYLOAD_LIMIT_BYTES as u16).to_be_bytes();
    packet.extend_from_slice(&[0, 0, rtype::OPT as u8, p0, p1, 0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    debug_assert_eq!(OPT_BYTES, 11);
    let options_at = packet.len();
    put_option(packet, COOKIE, &[&credentials.client[..], &credentials.server].concat());
    if hops > 0 {
        put_option(packet, HOPS, &[hops]);
    }
    let len = (packet.len() - options_at) as u16;
    packet[options_at - 2..options_at].copy_from_slice(&len.to_be_bytes());
}

/// A question that any server answers without asking others: whether somebody is there.
pub fn ping(id: u16) -> Vec<u8> {
    let [i0, i1] = id.to_be_bytes();
    let mut packet = vec![i0, i1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    packet.extend_from_slice(PING_NAME);
    packet.extend_from_slice(&[0, rtype::TXT as u8, 0, CLASS_CH as u8]);
    packet
}

/// Whether a packet answers a [`ping`], with whatever code.
pub fn is_reply_to_ping(ping: &[u8], reply: &[u8]) -> bool {
    let head = reply.len() >= HEADER_BYTES && ping.len() >= HEADER_BYTES && reply[..2] == ping[..2] && reply[2] & FLAG_RESPONSE != 0;
    // Who cannot read the question may leave it out.
    head && (reply.get(HEADER_BYTES..ping.len()) == ping.get(HEADER_BYTES..) || reply[4..6] == [0, 0])
}

/// What a client's query looks for.
pub(super) fn form_of(query: &Query<'_>) -> Form {
    Form { dnssec_ok: query.edns.is_some_and(|edns| edns.dnssec_ok), checking_disabled: query.packet[3] & FLAG_CHECKING_DISABLED != 0 }
}
