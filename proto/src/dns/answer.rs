//! The answer to one packet, from one view: authoritative, never recursive, for everybody.
//!
//! Why: a campus must go on resolving its own names whatever happens outside, so everything needed is in the view.
//! What it refuses: names that are not ours (no upward referral), other classes, transfers; it tells clients that
//! speak EDNS why (RFC 8914). How: RFC 1034 section 4.3.2 with the later rules named where they apply. An existing
//! name costs one probe; a missing one a probe per label up to its closest encloser, and one for the wildcard.

use super::cookie::CookieState;
use super::edns::{ExtendedError, Opt};
use super::message::{CLASS_IN, HEADER_BYTES, Malformed, Query, Rcode};
use super::name::Name;
use super::order::SORT_LIMIT;
use super::policy::Policy;
use super::reply::{self, Owner, QUESTION_OWNER, Reply, Section, Stop, TCP_MESSAGE_LIMIT_BYTES};
use super::{NODE, NodeRef, Place, RrSetRef, rtype};
use crate::snapshot::View;
use crate::words::{Generation, UnixMillis};
use std::net::SocketAddr;

/// How many aliases one answer follows: more than anybody means, few enough to bound the work of a question.
pub(super) const ALIAS_LIMIT: usize = 8;

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
    let told = if reply::has_other_opcode(packet) {
        reply_with_error(packet, Malformed { readable_end: HEADER_BYTES }, Rcode::NotImp, out)
    } else {
        match Query::read(packet) {
            Ok(query) => reply_to(view, &Asked::of(&query, peer, policy, now), out),
            Err(malformed) => reply_with_error(packet, malformed, Rcode::FormErr, out),
        }
    };
    Outcome::Replied(told)
}

/// Cuts the reply to a packet that [`answer`] replied to, because its client heard too much: whoever speaks cookies is to come
/// again with the one that it is given, all others by TCP.
pub fn cut(packet: &[u8], peer: Peer, policy: &Policy, now: UnixMillis, out: &mut Vec<u8>) {
    let Ok(query) = Query::read(packet) else { return out.clear() };
    let asked = Asked::of(&query, peer, policy, now);
    let mut reply = Reply::begin(&query, asked.opt, asked.limit_bytes(), out);
    let rcode = if asked.cookie == CookieState::Unproven { Rcode::BadCookie } else { Rcode::NoError };
    if rcode == Rcode::NoError {
        reply.truncate();
    }
    reply.finish(rcode, None);
}

fn silence(packet: &[u8], peer: Peer) -> Option<Reason> {
    if packet.len() < HEADER_BYTES {
        return Some(Reason::Short);
    }
    if reply::is_response(packet) {
        return Some(Reason::Response);
    }
    (peer.address.port() == 0).then_some(Reason::NoReturnPort)
}

fn reply_with_error(packet: &[u8], readable: Malformed, rcode: Rcode, out: &mut Vec<u8>) -> Told {
    reply::put_error(packet, readable, rcode, out);
    Told::error(rcode)
}

/// A query, who asks it, and what that means for the reply's form.
struct Asked<'a> {
    query: &'a Query<'a>,
    peer: Peer,
    policy: &'a Policy,
    cookie: CookieState,
    opt: Option<Opt<'a>>,
}

impl<'a> Asked<'a> {
    fn of(query: &'a Query<'a>, peer: Peer, policy: &'a Policy, now: UnixMillis) -> Self {
        let Some(edns) = query.edns else { return Self { query, peer, policy, cookie: CookieState::Without, opt: None } };
        let judged = edns.options.cookie.map(|cookie| policy.cookies.judge(cookie, peer.address.ip(), now));
        let (cookie, ours) = judged.map_or((CookieState::Without, None), |(state, ours)| (state, Some(ours)));
        Self { query, peer, policy, cookie, opt: Some(Opt::to(edns, ours, peer.transport, policy)) }
    }

    fn limit_bytes(&self) -> usize {
        match self.peer.transport {
            Transport::Udp => reply::udp_limit_bytes(self.query.edns),
            Transport::Tcp | Transport::Tls => TCP_MESSAGE_LIMIT_BYTES,
        }
    }

    fn is_udp(&self) -> bool {
        self.peer.transport == Transport::Udp
    }
}

fn reply_to(view: &View, asked: &Asked<'_>, out: &mut Vec<u8>) -> Told {
    let mut reply = Reply::begin(asked.query, asked.opt, asked.limit_bytes(), out);
    let written = match refusal(view, asked) {
        Some((rcode, why)) => Ok(Verdict { rcode, why, kind: Kind::Error, source: 0 }),
        None => follow(view, asked, &mut reply),
    };
    let verdict = match (written, asked.is_udp()) {
        (Ok(verdict), _) => verdict,
        (Err(Stop::Full), true) => {
            reply.truncate();
            Verdict { rcode: Rcode::NoError, why: None, kind: Kind::Data, source: 0 }
        }
        (Err(_), _) => {
            reply.clear();
            reply.authoritative = false;
            Verdict { rcode: Rcode::ServFail, why: Some(ExtendedError::InvalidData), kind: Kind::Error, source: 0 }
        }
    };
    let Verdict { rcode, why, kind, source } = verdict;
    let told = Told { rcode, qtype: asked.query.qtype, truncated: reply.truncated, cookie: asked.cookie, kind, source };
    reply.finish(rcode, why);
    told
}

/// What an answer comes to.
struct Verdict {
    rcode: Rcode,
    why: Option<ExtendedError>,
    kind: Kind,
    source: u64,
}

impl Verdict {
    /// An answer that comes from this row.
    fn of(rcode: Rcode, kind: Kind, row: &[u8]) -> Self {
        Self { rcode, why: None, kind, source: row.as_ptr() as u64 }
    }
}

/// What is decided before any name is looked up.
fn refusal(view: &View, asked: &Asked<'_>) -> Option<(Rcode, Option<ExtendedError>)> {
    let query = asked.query;
    if query.edns.is_some_and(|edns| edns.version > 0) {
        return Some((Rcode::BadVers, None));
    }
    if asked.policy.demands_cookies && asked.is_udp() && asked.cookie == CookieState::Unproven {
        return Some((Rcode::BadCookie, None));
    }
    match (query.qclass, query.qtype) {
        (_, rtype::OPT) => Some((Rcode::FormErr, None)),
        (CLASS_IN, rtype::AXFR | rtype::IXFR) => Some((Rcode::Refused, Some(ExtendedError::Prohibited))),
        (CLASS_IN, _) if view.generation() == Generation(0) => Some((Rcode::Refused, Some(ExtendedError::NotReady))),
        (CLASS_IN, _) => None,
        _ => Some((Rcode::Refused, Some(ExtendedError::NotAuthoritative))),
    }
}

/// Answers for the question's name and for the names that its aliases lead to. The last of them gives the code (RFC 6604 section 3),
/// the first the AA bit (RFC 1035 section 4.1.1).
fn follow(view: &View, asked: &Asked<'_>, reply: &mut Reply<'_>) -> Result<Verdict, Stop> {
    let query = asked.query;
    let mut passed: [Option<*const u8>; ALIAS_LIMIT] = [None; ALIAS_LIMIT];
    let (mut alias, mut owner) = (None, QUESTION_OWNER);
    let mut verdict = Verdict { rcode: Rcode::NoError, why: None, kind: Kind::Data, source: 0 };
    for step in 0..=ALIAS_LIMIT {
        let name: &Name = alias.as_ref().unwrap_or(&query.name);
        let found = find(view, name, query.qtype)?;
        reply.authoritative |= step == 0 && matches!(found, Found::Missing { .. } | Found::Here { .. });
        let (row, node, apex_labels) = match found {
            Found::Outside if step == 0 => {
                return Ok(Verdict { rcode: Rcode::Refused, why: Some(ExtendedError::NotAuthoritative), kind: Kind::Error, source: 0 });
            }
            Found::Outside => break,
            Found::Missing { apex_labels } => return put_negative(view, name, apex_labels, Rcode::NxDomain, reply),
            Found::Delegated { cut_labels, node } => return put_referral(view, name, cut_labels, node, reply),
            Found::Here { row, node, apex_labels } => (row, node, apex_labels),
        };
        verdict = Verdict::of(Rcode::NoError, Kind::Data, row);
        if let Some(rrset) = wanted(node, query.qtype)? {
            put_answer(asked, owner, rrset, reply)?;
            break;
        }
        let Some(cname) = node.rrset(rtype::CNAME)? else { return put_negative(view, name, apex_labels, Rcode::NoError, reply) };
        // A row has one target, so the second visit is a loop, through a wildcard too.
        if step == ALIAS_LIMIT || passed.contains(&Some(row.as_ptr())) {
            break;
        }
        passed[step] = Some(row.as_ptr());
        let target_at = reply.put_rrset(Section::Answer, owner, cname, cname.ttl)?;
        let target = cname.rdatas().next().ok_or(Stop::Damaged)??;
        alias = Some(Name::read(target).ok_or(Stop::Damaged)?);
        owner = reply::owner_at(target_at).ok_or(Stop::Full)?;
    }
    Ok(verdict)
}

/// Writes the records that were asked for, addresses in the order that the site wishes.
fn put_answer(asked: &Asked<'_>, owner: Owner<'_>, rrset: RrSetRef<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
    let turn = u16::from_be_bytes([asked.query.packet[0], asked.query.packet[1]]);
    match asked.policy.order.of(rrset, asked.peer.address.ip(), turn, &mut [0; SORT_LIMIT]) {
        Some(places) => reply.put_sorted(Section::Answer, owner, rrset, places),
        None => reply.put_rrset(Section::Answer, owner, rrset, rrset.ttl).map(drop),
    }
}

/// The records that answer a type: of ANY, the first set alone (RFC 8482 section 4.1).
fn wanted<'v>(node: NodeRef<'v>, qtype: u16) -> Result<Option<RrSetRef<'v>>, Stop> {
    match qtype {
        rtype::ANY => Ok(node.rrsets().next().transpose()?),
        _ => Ok(node.rrset(qtype)?),
    }
}

/// What the view has for a name.
enum Found<'v> {
    /// It lies in no zone of ours.
    Outside,
    /// It lies in the zone whose apex has this many of its labels, and does not exist.
    Missing { apex_labels: usize },
    /// Its last labels, this many, are another's.
    Delegated { cut_labels: usize, node: NodeRef<'v> },
    /// It exists, or a wildcard stands for it.
    Here { row: &'v [u8], node: NodeRef<'v>, apex_labels: usize },
}

fn find<'v>(view: &'v View, name: &Name, qtype: u16) -> Result<Found<'v>, Stop> {
    let labels = name.labels();
    let Some((row, node)) = node_at(view, name.ancestor(labels))? else { return find_encloser(view, name) };
    match node.place {
        Place::Inside => here(name, row, node),
        Place::Apex if qtype == rtype::DS => Ok(Found::Here { row, node, apex_labels: parent_zone(view, name)?.unwrap_or(labels) }),
        Place::Apex => here(name, row, node),
        // The parent answers for DS (RFC 4035 section 3.1.4.1).
        Place::Cut if qtype == rtype::DS => here(name, row, node),
        Place::Cut => Ok(Found::Delegated { cut_labels: labels, node }),
        Place::BelowCut => cut_above(view, name, labels),
    }
}

fn here<'v>(name: &Name, row: &'v [u8], node: NodeRef<'v>) -> Result<Found<'v>, Stop> {
    Ok(Found::Here { row, node, apex_labels: checked_apex(node, name.labels())? })
}

/// The apex of a node that has this many labels; it never has more than the node.
fn checked_apex(node: NodeRef<'_>, labels: usize) -> Result<usize, Stop> {
    Some(usize::from(node.apex_labels)).filter(|apex_labels| *apex_labels <= labels).ok_or(Stop::Damaged)
}

/// For a name without a row: its closest encloser decides (RFC 4592 section 3.3.1).
fn find_encloser<'v>(view: &'v View, name: &Name) -> Result<Found<'v>, Stop> {
    for labels in (0..name.labels()).rev() {
        let Some((_, node)) = node_at(view, name.ancestor(labels))? else { continue };
        return match node.place {
            Place::Inside | Place::Apex => find_wildcard(view, name, labels, checked_apex(node, labels)?),
            Place::Cut => Ok(Found::Delegated { cut_labels: labels, node }),
            Place::BelowCut => cut_above(view, name, labels),
        };
    }
    Ok(Found::Outside)
}

fn find_wildcard<'v>(view: &'v View, name: &Name, encloser_labels: usize, apex_labels: usize) -> Result<Found<'v>, Stop> {
    let wildcard = name.with_wildcard(encloser_labels, |wildcard| node_at(view, wildcard))?;
    // A wildcard that is a zone of its own is not the source of this zone's names.
    let source = wildcard.filter(|(_, node)| node.place != Place::Apex);
    Ok(source.map_or(Found::Missing { apex_labels }, |(row, node)| Found::Here { row, node, apex_labels }))
}

/// The delegation above glue.
fn cut_above<'v>(view: &'v View, name: &Name, labels: usize) -> Result<Found<'v>, Stop> {
    for cut_labels in (0..labels).rev() {
        match node_at(view, name.ancestor(cut_labels))? {
            Some((_, node)) if node.place == Place::Cut => return Ok(Found::Delegated { cut_labels, node }),
            _ => {}
        }
    }
    Err(Stop::Damaged)
}

/// The apex of the zone of ours above an apex, where that zone still holds the name's parent.
fn parent_zone(view: &View, name: &Name) -> Result<Option<usize>, Stop> {
    for labels in (0..name.labels()).rev() {
        if let Some((_, node)) = node_at(view, name.ancestor(labels))? {
            let holds = matches!(node.place, Place::Inside | Place::Apex);
            return if holds { checked_apex(node, labels).map(Some) } else { Ok(None) };
        }
    }
    Ok(None)
}

#[inline]
fn node_at<'v>(view: &'v View, name: &[u8]) -> Result<Option<(&'v [u8], NodeRef<'v>)>, Stop> {
    let Some(row) = view.get(NODE, name).map_err(|_| Stop::Damaged)? else { return Ok(None) };
    Ok(Some((row, NodeRef::new(row)?)))
}

/// No such name, or no such data: the SOA says for how long (RFC 2308 section 3).
fn put_negative(view: &View, name: &Name, apex_labels: usize, rcode: Rcode, reply: &mut Reply<'_>) -> Result<Verdict, Stop> {
    let apex = name.ancestor(apex_labels);
    let (row, node) = node_at(view, apex)?.ok_or(Stop::Damaged)?;
    let soa = node.rrset(rtype::SOA)?.ok_or(Stop::Damaged)?;
    let rdata = soa.rdatas().next().ok_or(Stop::Damaged)??;
    let minimum_s = reply::soa_minimum_s(rdata).ok_or(Stop::Damaged)?;
    reply.put_rrset(Section::Authority, Owner::Wire(apex), soa, soa.ttl.min(minimum_s))?;
    Ok(Verdict::of(rcode, Kind::Missing, row))
}

/// The servers of another's zone, with the addresses that are known here. Those within the delegated zone must fit (RFC 9471);
/// the others are dropped where they do not.
fn put_referral(view: &View, name: &Name, cut_labels: usize, node: NodeRef<'_>, reply: &mut Reply<'_>) -> Result<Verdict, Stop> {
    let cut = name.ancestor(cut_labels);
    let ns = node.rrset(rtype::NS)?.ok_or(Stop::Damaged)?;
    reply.put_rrset(Section::Authority, Owner::Wire(cut), ns, ns.ttl)?;
    for needed in [true, false] {
        for target in ns.rdatas() {
            let target = Name::read(target?).ok_or(Stop::Damaged)?;
            let in_domain = target.labels() >= cut_labels && target.ancestor(cut_labels) == cut;
            match (needed, in_domain) {
                (true, true) => put_addresses(view, &target, reply)?,
                (false, false) => reply.if_it_fits(|reply| put_addresses(view, &target, reply))?,
                _ => {}
            }
        }
    }
    Ok(Verdict::of(Rcode::NoError, Kind::Referral, ns.first_bytes()))
}

fn put_addresses(view: &View, target: &Name, reply: &mut Reply<'_>) -> Result<(), Stop> {
    let wire = target.ancestor(target.labels());
    let Some((_, node)) = node_at(view, wire)? else { return Ok(()) };
    for rtype in [rtype::A, rtype::AAAA] {
        if let Some(addresses) = node.rrset(rtype)? {
            reply.put_rrset(Section::Additional, Owner::Wire(wire), addresses, addresses.ttl)?;
        }
    }
    Ok(())
}
