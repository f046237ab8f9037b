//! The answer to one packet, from one view: authoritative, never recursive, for everybody.
//!
//! Why: a campus must go on resolving its own names whatever happens outside, so everything needed is in the view.
//! What it refuses: names that are not ours (no upward referral), other classes, transfers; it tells clients that
//! speak EDNS why (RFC 8914). How: RFC 1034 section 4.3.2 with the later rules named where they apply. An existing
//! name costs one probe; a missing one a probe per label up to its closest encloser, and one for the wildcard.

use super::message::{CLASS_IN, HEADER_BYTES, Malformed, Query, Rcode};
use super::name::Name;
use super::reply::{self, ExtendedError, Owner, QUESTION_OWNER, Reply, Section, Stop, TCP_MESSAGE_LIMIT_BYTES};
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
    Replied(Rcode),
    /// No reply: the buffer is empty.
    Silent(Reason),
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
/// Time changes no answer yet; it is here because it is the one shape of every core.
pub fn answer(view: &View, packet: &[u8], peer: Peer, _now: UnixMillis, out: &mut Vec<u8>) -> Outcome {
    out.clear();
    if let Some(reason) = silence(packet, peer) {
        return Outcome::Silent(reason);
    }
    let rcode = if reply::has_other_opcode(packet) {
        reply_with_error(packet, Malformed { readable_end: HEADER_BYTES }, Rcode::NotImp, out)
    } else {
        match Query::read(packet) {
            Ok(query) => reply_to(view, &query, peer.transport, out),
            Err(malformed) => reply_with_error(packet, malformed, Rcode::FormErr, out),
        }
    };
    Outcome::Replied(rcode)
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

fn reply_with_error(packet: &[u8], readable: Malformed, rcode: Rcode, out: &mut Vec<u8>) -> Rcode {
    reply::put_error(packet, readable, rcode, out);
    rcode
}

fn reply_to(view: &View, query: &Query<'_>, transport: Transport, out: &mut Vec<u8>) -> Rcode {
    let limit_bytes = match transport {
        Transport::Udp => reply::udp_limit_bytes(query.edns),
        Transport::Tcp | Transport::Tls => TCP_MESSAGE_LIMIT_BYTES,
    };
    let mut reply = Reply::begin(query, limit_bytes, out);
    let written = match refusal(view, query) {
        Some((rcode, why)) => Ok((rcode, why)),
        None => follow(view, query, &mut reply),
    };
    let (rcode, why) = match (written, transport) {
        (Ok(verdict), _) => verdict,
        (Err(Stop::Full), Transport::Udp) => {
            reply.truncate();
            (Rcode::NoError, None)
        }
        (Err(_), _) => {
            reply.clear();
            reply.authoritative = false;
            (Rcode::ServFail, Some(ExtendedError::InvalidData))
        }
    };
    reply.finish(rcode, why);
    rcode
}

type Verdict = (Rcode, Option<ExtendedError>);

/// What is decided before any name is looked up.
fn refusal(view: &View, query: &Query<'_>) -> Option<Verdict> {
    if query.edns.is_some_and(|edns| edns.version > 0) {
        return Some((Rcode::BadVers, None));
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
fn follow(view: &View, query: &Query<'_>, reply: &mut Reply<'_>) -> Result<Verdict, Stop> {
    let mut passed: [Option<*const u8>; ALIAS_LIMIT] = [None; ALIAS_LIMIT];
    let (mut alias, mut owner) = (None, QUESTION_OWNER);
    for step in 0..=ALIAS_LIMIT {
        let name: &Name = alias.as_ref().unwrap_or(&query.name);
        let found = find(view, name, query.qtype)?;
        reply.authoritative |= step == 0 && matches!(found, Found::Missing { .. } | Found::Here { .. });
        let (row, node, apex_labels) = match found {
            Found::Outside if step == 0 => return Ok((Rcode::Refused, Some(ExtendedError::NotAuthoritative))),
            Found::Outside => break,
            Found::Missing { apex_labels } => return put_negative(view, name, apex_labels, Rcode::NxDomain, reply),
            Found::Delegated { cut_labels, node } => return put_referral(view, name, cut_labels, node, reply),
            Found::Here { row, node, apex_labels } => (row, node, apex_labels),
        };
        if let Some(rrset) = wanted(node, query.qtype)? {
            reply.put_rrset(Section::Answer, owner, rrset, rrset.ttl)?;
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
    Ok((Rcode::NoError, None))
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
    let (_, node) = node_at(view, apex)?.ok_or(Stop::Damaged)?;
    let soa = node.rrset(rtype::SOA)?.ok_or(Stop::Damaged)?;
    let rdata = soa.rdatas().next().ok_or(Stop::Damaged)??;
    let minimum_s = reply::soa_minimum_s(rdata).ok_or(Stop::Damaged)?;
    reply.put_rrset(Section::Authority, Owner::Wire(apex), soa, soa.ttl.min(minimum_s))?;
    Ok((rcode, None))
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
    Ok((Rcode::NoError, None))
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
