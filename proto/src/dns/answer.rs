//! The answer to one packet, from one view: authoritative, never recursive, for everybody.
//!
//! Why: a campus must go on resolving its own names whatever happens outside, so everything needed is in the view.
//! What it refuses: names that are not ours (no upward referral), other classes, transfers, updates, and to say what program
//! it is; it tells clients that speak EDNS why (RFC 8914). How: what is decided before any name is looked up is decided here;
//! `search` finds what the view has for a name, and `follow` writes it down.

use super::cookie::CookieState;
use super::edns::{ExtendedError, Opt};
use super::follow::follow;
use super::message::{CLASS_CH, CLASS_IN, HEADER_BYTES, Malformed, Query, Rcode};
use super::policy::Policy;
use super::reply::{self, Reply, Stop, TCP_MESSAGE_LIMIT_BYTES};
use super::rtype;
use crate::snapshot::View;
use crate::words::{Generation, UnixMillis};
use std::net::SocketAddr;

/// The opcodes that we know: a question, and what a secondary and a primary would hear (RFC 1996, RFC 2136).
pub(super) const QUERY: u8 = 0;
pub(super) const NOTIFY: u8 = 4;
pub(super) const UPDATE: u8 = 5;
/// Names that ask for the box that answers; those that ask for its version are refused (RFC 4892 section 3).
const OWN_NAMES: [&[u8]; 2] = [b"\x02id\x06server\x00", b"\x08hostname\x04bind\x00"];

/// What carried a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One packet, one message.
    Udp,
    /// A stream of messages; the length before each is not the core's business.
    Tcp,
    /// The same, and nobody on the way reads it.
    Tls,
}

impl Transport {
    /// All of them, for counters.
    pub const ALL: [Self; 3] = [Self::Udp, Self::Tcp, Self::Tls];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// Who sent a packet, and how.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Where it came from and the reply would go.
    pub address: SocketAddr,
    /// How it came.
    pub transport: Transport,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The reply stands in the lent buffer.
    Replied(Told),
    /// No reply: the buffer is empty.
    Silent(Reason),
}

/// What a reply says, for counters and limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Its code.
    pub rcode: Rcode,
    /// The type that was asked for; 0 where the question could not be read.
    pub qtype: u16,
    /// Whether it was cut because it did not fit.
    pub truncated: bool,
    /// What the client's cookie says of it.
    pub cookie: CookieState,
    /// What sort of answer it is.
    pub kind: Kind,
    /// Which row of the view the answer comes from: the same for all answers that differ only in the question's name. It has no
    /// other meaning, and none in another view.
    pub source: u64,
}

impl Told {
    /// Of a packet of which nothing more can be said.
    fn error(rcode: Rcode) -> Self {
        Self { rcode, qtype: 0, truncated: false, cookie: CookieState::Without, kind: Kind::Error, source: 0 }
    }
}

/// What sort of answer a reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Records of ours.
    Data,
    /// Where to ask instead.
    Referral,
    /// No such name, or no such data.
    Missing,
    /// No answer.
    Error,
}

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Less than a header.
    Short,
    /// A reply itself: answering would start a loop.
    Response,
    /// Sent from port 0, where nothing can listen.
    NoReturnPort,
}

impl Reason {
    /// All of them, for counters.
    pub const ALL: [Self; 3] = [Self::Short, Self::Response, Self::NoReturnPort];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Response => "response",
            Self::NoReturnPort => "no_return_port",
        }
    }
}

/// Answers a packet into a lent buffer, which is emptied first and grows at most to what the transport takes.
///
/// Time decides what a cookie is worth and nothing else: no answer hangs on a clock being right.
pub fn answer(view: &View, packet: &[u8], peer: Peer, policy: &Policy, now: UnixMillis, out: &mut Vec<u8>) -> Outcome {
    out.clear();
    if let Some(reason) = silence(packet, peer) {
        return Outcome::Silent(reason);
    }
    let told = match (reply::opcode(packet), Query::read(packet)) {
        (QUERY | NOTIFY | UPDATE, Ok(query)) => reply_to(view, &Asked::of(&query, peer, policy, now), out),
        (QUERY | NOTIFY | UPDATE, Err(malformed)) => reply_with_error(packet, malformed, Rcode::FormErr, out),
        _ => reply_with_error(packet, Malformed { readable_end: HEADER_BYTES }, Rcode::NotImp, out),
    };
    Outcome::Replied(told)
}

/// Cuts the reply to a packet that [`answer`] replied to, because its client heard too much: whoever speaks cookies is to come
/// again with the one that it is given, all others by TCP.
pub fn cut(packet: &[u8], peer: Peer, policy: &Policy, now: UnixMillis, out: &mut Vec<u8>) {
    let Ok(query) = Query::read(packet) else { return out.clear() };
    let asked = Asked::of(&query, peer, policy, now);
    let mut reply = Reply::begin(&query, asked.opt, asked.limit_bytes(), out);
    // Nothing of the answer is in it but that there is one.
    let rcode = if asked.cookie == CookieState::Unproven { Rcode::BadCookie } else { Rcode::NoError };
    if rcode == Rcode::NoError {
        reply.truncate();
    }
    reply.finish(rcode, None);
}

pub(super) fn silence(packet: &[u8], peer: Peer) -> Option<Reason> {
    if packet.len() < HEADER_BYTES {
        return Some(Reason::Short);
    }
    if reply::is_response(packet) {
        return Some(Reason::Response);
    }
    (peer.address.port() == 0).then_some(Reason::NoReturnPort)
}

pub(super) fn reply_with_error(packet: &[u8], readable: Malformed, rcode: Rcode, out: &mut Vec<u8>) -> Told {
    reply::put_error(packet, readable, rcode, out);
    Told::error(rcode)
}

/// A query, who asks it, and what that means for the reply's form.
pub(super) struct Asked<'a> {
    pub(super) query: &'a Query<'a>,
    pub(super) peer: Peer,
    pub(super) policy: &'a Policy,
    pub(super) cookie: CookieState,
    pub(super) opt: Option<Opt<'a>>,
    /// Whether who answers also asks others: then nobody is sent to them.
    pub(super) recurses: bool,
}

impl<'a> Asked<'a> {
    pub(super) fn of(query: &'a Query<'a>, peer: Peer, policy: &'a Policy, now: UnixMillis) -> Self {
        let Some(edns) = query.edns else { return Self { query, peer, policy, cookie: CookieState::Without, opt: None, recurses: false } };
        let judged = edns.options.cookie.map(|cookie| policy.cookies.judge(cookie, peer.address.ip(), now));
        let (cookie, ours) = judged.map_or((CookieState::Without, None), |(state, ours)| (state, Some(ours)));
        Self { query, peer, policy, cookie, opt: Some(Opt::to(edns, ours, peer.transport, policy)), recurses: false }
    }

    pub(super) fn limit_bytes(&self) -> usize {
        match self.peer.transport {
            Transport::Udp => reply::udp_limit_bytes(self.query.edns),
            Transport::Tcp | Transport::Tls => TCP_MESSAGE_LIMIT_BYTES,
        }
    }

    /// Whether the client understands DNSSEC (RFC 3225).
    pub(super) fn dnssec_ok(&self) -> bool {
        self.query.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    pub(super) fn is_udp(&self) -> bool {
        self.peer.transport == Transport::Udp
    }
}

fn reply_to(view: &View, asked: &Asked<'_>, out: &mut Vec<u8>) -> Told {
    let mut reply = Reply::begin(asked.query, asked.opt, asked.limit_bytes(), out);
    let written = match refusal(view, asked) {
        Some(verdict) => Ok(verdict),
        None if asked.query.qclass == CLASS_CH => introduce(asked, &mut reply),
        None => follow(view, asked, &mut reply),
    };
    let verdict = match (written, asked.is_udp()) {
        (Ok(verdict), _) => verdict,
        (Err(Stop::Full), true) => {
            reply.truncate();
            Verdict::new(Rcode::NoError, Kind::Data, &[])
        }
        (Err(_), _) => {
            reply.clear();
            reply.authoritative = false;
            Verdict::error(Rcode::ServFail, Some(ExtendedError::InvalidData))
        }
    };
    let Verdict { rcode, why, kind, source } = verdict;
    let told = Told { rcode, qtype: asked.query.qtype, truncated: reply.truncated, cookie: asked.cookie, kind, source };
    reply.finish(rcode, why);
    told
}

/// What an answer comes to.
pub(super) struct Verdict {
    pub(super) rcode: Rcode,
    pub(super) why: Option<ExtendedError>,
    pub(super) kind: Kind,
    pub(super) source: u64,
}

impl Verdict {
    /// An answer that comes from this row.
    pub(super) fn new(rcode: Rcode, kind: Kind, row: &[u8]) -> Self {
        Self { rcode, why: None, kind, source: row.as_ptr() as u64 }
    }

    /// No answer, and why.
    pub(super) fn error(rcode: Rcode, why: Option<ExtendedError>) -> Self {
        Self { rcode, why, kind: Kind::Error, source: 0 }
    }
}

/// What is decided before any name is looked up.
fn refusal(view: &View, asked: &Asked<'_>) -> Option<Verdict> {
    let query = asked.query;
    if query.edns.is_some_and(|edns| edns.version > 0) {
        return Some(Verdict::error(Rcode::BadVers, None));
    }
    if asked.policy.demands_cookies && asked.is_udp() && asked.cookie == CookieState::Unproven {
        return Some(Verdict::error(Rcode::BadCookie, None));
    }
    let (rcode, why) = match (reply::opcode(query.packet), query.qclass, query.qtype) {
        // What is served is signed by the master; nobody else is told what to look for, or changes it.
        (NOTIFY | UPDATE, _, _) => (Rcode::Refused, ExtendedError::Prohibited),
        (_, _, rtype::OPT) => return Some(Verdict::error(Rcode::FormErr, None)),
        (_, CLASS_IN, rtype::AXFR | rtype::IXFR) => (Rcode::Refused, ExtendedError::Prohibited),
        (_, CLASS_IN, _) if view.generation() == Generation(0) => (Rcode::Refused, ExtendedError::NotReady),
        (_, CLASS_IN | CLASS_CH, _) => return None,
        _ => (Rcode::Refused, ExtendedError::NotAuthoritative),
    };
    Some(Verdict::error(rcode, Some(why)))
}

/// Says which box this is, where it has a label and is asked for it, and nothing else of itself.
pub(super) fn introduce(asked: &Asked<'_>, reply: &mut Reply<'_>) -> Result<Verdict, Stop> {
    let query = asked.query;
    let is_asked = matches!(query.qtype, rtype::TXT | rtype::ANY) && OWN_NAMES.contains(&query.name.ancestor(query.name.labels()));
    let Some(label) = asked.policy.nsid.as_deref().filter(|_| is_asked) else {
        return Ok(Verdict::error(Rcode::Refused, Some(ExtendedError::Prohibited)));
    };
    reply.put_own_text(label)?;
    Ok(Verdict::error(Rcode::NoError, None))
}
