//! What a reply says to a question: the records of its name, of the names that aliases lead to, and the proof where there are none.
//!
//! Sections are written in their order, so what the answer section finds out (a wildcard that stood in for a name) is kept
//! until the authority section comes. To who understands DNSSEC each set goes with its signatures (RFC 4035 section 3.1), and
//! what is missing with the gap that it is missing in.

use super::answer::{Asked, Verdict};
use super::denial::{self, Gap};
use super::edns::ExtendedError;
use super::message::Rcode;
use super::name::Name;
use super::order::SORT_LIMIT;
use super::reply::{self, Owner, QUESTION_OWNER, Reply, Section, Stop};
use super::search::{Found, checked_apex, find, node_at};
use super::{Kind, NodeRef, Place, RrSetRef, rtype};
use crate::snapshot::View;

/// How many aliases one answer follows: more than anybody means, few enough to bound the work of a question.
pub(super) const ALIAS_LIMIT: usize = 8;
/// How many targets of one set are looked up for the additional section.
const TARGET_LIMIT: usize = 8;
/// More gaps than one answer can show: two of its own, and one for each alias.
const GAP_LIMIT: usize = ALIAS_LIMIT + 2;

/// Answers for the question's name and for the names that its aliases lead to. The last of them gives the code (RFC 6604 section 3),
/// the first the AA bit (RFC 1035 section 4.1.1).
pub(super) fn follow(view: &View, asked: &Asked<'_>, reply: &mut Reply<'_>) -> Result<Verdict, Stop> {
    follow_out(view, asked, reply).map(|(verdict, _)| verdict)
}

/// The same; gives also the name that is another's to answer, where the question or its aliases lead to one.
pub(super) fn follow_out(view: &View, asked: &Asked<'_>, reply: &mut Reply<'_>) -> Result<(Verdict, Option<Name>), Stop> {
    let mut chain = Chain { view, asked, alias: None, owner: QUESTION_OWNER, passed: [None; ALIAS_LIMIT], wild: Vec::new() };
    let end = chain.walk(reply)?;
    let name = chain.alias.as_ref().unwrap_or(&asked.query.name);
    let mut proofs = Proofs { view, shown: [std::ptr::null(); GAP_LIMIT], count: 0 };
    for (stood_for, apex_labels) in &chain.wild {
        proofs.put(*apex_labels, stood_for, stood_for.labels(), false, reply)?;
    }
    let verdict = match end {
        End::Data { verdict, node, rrset } => {
            put_additional(view, asked, node, rrset, reply)?;
            verdict
        }
        End::Nothing(verdict) => verdict,
        End::Outside(verdict) => return Ok((verdict, chain.alias)),
        End::Missing(missing) => put_negative(asked, name, &missing, &mut proofs, reply)?,
        End::Delegated { .. } if asked.recurses => return Ok((Verdict::new(Rcode::NoError, Kind::Data, &[]), Some(name.clone()))),
        End::Delegated { cut_labels, node } => put_referral(asked, name, cut_labels, node, &mut proofs, reply)?,
    };
    Ok((verdict, None))
}

/// The names that a question leads through.
struct Chain<'a> {
    view: &'a View,
    asked: &'a Asked<'a>,
    /// The name that is looked for now, where it is not the question's.
    alias: Option<Name>,
    /// Where that name stands in the message.
    owner: Owner<'static>,
    /// The rows of the aliases so far.
    passed: [Option<*const u8>; ALIAS_LIMIT],
    /// Names that a wildcard stood in for, and the labels of their zone's apex: to be proven not to exist by themselves.
    wild: Vec<(Name, usize)>,
}

/// Where a chain ends.
enum End<'v> {
    Data {
        verdict: Verdict,
        node: NodeRef<'v>,
        rrset: RrSetRef<'v>,
    },
    Nothing(Verdict),
    /// An alias leads out of our zones.
    Outside(Verdict),
    Missing(Missing),
    Delegated {
        cut_labels: usize,
        node: NodeRef<'v>,
    },
}

/// What is not there: the name, or the type at it.
struct Missing {
    rcode: Rcode,
    apex_labels: usize,
    /// Below so many labels a wildcard is not there either, or lacks the type as well.
    wildcard_below: Option<usize>,
}

impl<'a> Chain<'a> {
    fn walk(&mut self, reply: &mut Reply<'_>) -> Result<End<'a>, Stop> {
        let qtype = self.asked.query.qtype;
        let mut verdict = Verdict::new(Rcode::NoError, Kind::Data, &[]);
        for step in 0..=ALIAS_LIMIT {
            let name: &Name = self.alias.as_ref().unwrap_or(&self.asked.query.name);
            let found = find(self.view, name, qtype)?;
            reply.authoritative |= step == 0 && !matches!(found, Found::Outside | Found::Delegated { .. });
            let (row, node, apex_labels, wildcard_below) = match found {
                Found::Outside if step == 0 => return Ok(End::Nothing(Verdict::error(Rcode::Refused, Some(ExtendedError::NotAuthoritative)))),
                Found::Outside => return Ok(End::Outside(verdict)),
                Found::Missing { apex_labels, encloser_labels } => {
                    return Ok(End::Missing(Missing { rcode: Rcode::NxDomain, apex_labels, wildcard_below: Some(encloser_labels) }));
                }
                Found::Delegated { cut_labels, node } => return Ok(End::Delegated { cut_labels, node }),
                Found::Redirected { row, node, labels } => {
                    verdict = Verdict::new(Rcode::NoError, Kind::Data, row);
                    match self.redirect(step, row, node, labels, reply)? {
                        Redirection::Done if step < ALIAS_LIMIT && qtype != rtype::CNAME => continue,
                        Redirection::Done => break,
                        Redirection::TooLong => return Ok(End::Nothing(Verdict::new(Rcode::YxDomain, Kind::Data, row))),
                    }
                }
                Found::Here { row, node, apex_labels, wildcard_below } => (row, node, apex_labels, wildcard_below),
            };
            verdict = Verdict::new(Rcode::NoError, Kind::Data, row);
            if qtype == rtype::NSEC
                && let Some(gap) = denial::gap_at(self.view, apex_labels, name)?
            {
                put_gap(&gap, Section::Answer, self.owner, reply)?;
                break;
            }
            if let Some(rrset) = wanted(node, qtype)? {
                put_answer(self.asked, self.owner, node, rrset, reply)?;
                self.note_wildcard(apex_labels, wildcard_below);
                return Ok(End::Data { verdict, node, rrset });
            }
            let Some(cname) = node.rrset(rtype::CNAME)? else {
                return Ok(End::Missing(Missing { rcode: Rcode::NoError, apex_labels, wildcard_below }));
            };
            // A row has one target, so the second visit is a loop, through a wildcard too.
            if step == ALIAS_LIMIT || self.passed.contains(&Some(row.as_ptr())) {
                break;
            }
            self.passed[step] = Some(row.as_ptr());
            let target_at = put_set(self.asked, Section::Answer, self.owner, node, cname, cname.ttl, reply)?;
            self.note_wildcard(apex_labels, wildcard_below);
            let target = cname.rdatas().next().ok_or(Stop::Damaged)??;
            self.alias = Some(Name::read(target).ok_or(Stop::Damaged)?);
            self.owner = reply::owner_at(target_at).ok_or(Stop::Full)?;
        }
        Ok(End::Nothing(verdict))
    }

    fn note_wildcard(&mut self, apex_labels: usize, wildcard_below: Option<usize>) {
        if self.asked.dnssec_ok() && wildcard_below.is_some() {
            let name = self.alias.as_ref().unwrap_or(&self.asked.query.name);
            self.wild.push((name.clone(), apex_labels));
        }
    }

    /// Writes a DNAME, and the CNAME that it makes of the name below it (RFC 6672 section 3.1); that name's target is next.
    fn redirect(&mut self, step: usize, row: &[u8], node: NodeRef<'_>, labels: usize, reply: &mut Reply<'_>) -> Result<Redirection, Stop> {
        let name = self.alias.as_ref().unwrap_or(&self.asked.query.name);
        let dname = node.rrset(rtype::DNAME)?.ok_or(Stop::Damaged)?;
        if !self.passed.contains(&Some(row.as_ptr())) {
            put_set(self.asked, Section::Answer, Owner::Wire(name.ancestor(labels)), node, dname, dname.ttl, reply)?;
        }
        if let Some(place) = self.passed.get_mut(step) {
            *place = Some(row.as_ptr());
        }
        let target = Name::read(dname.rdatas().next().ok_or(Stop::Damaged)??).ok_or(Stop::Damaged)?;
        let Some(target) = name.below(labels, &target) else { return Ok(Redirection::TooLong) };
        let target_at = reply.put_record(Section::Answer, self.owner, rtype::CNAME, dname.ttl, target.ancestor(target.labels()))?;
        self.owner = reply::owner_at(target_at).ok_or(Stop::Full)?;
        self.alias = Some(target);
        Ok(Redirection::Done)
    }
}

enum Redirection {
    Done,
    TooLong,
}

/// The records that answer a type: of ANY, the first set alone (RFC 8482 section 4.1).
fn wanted<'v>(node: NodeRef<'v>, qtype: u16) -> Result<Option<RrSetRef<'v>>, Stop> {
    match qtype {
        rtype::ANY => Ok(node.rrsets().find(|rrset| rrset.as_ref().map_or(true, |rrset| rrset.rtype != rtype::RRSIG)).transpose()?),
        _ => Ok(node.rrset(qtype)?),
    }
}

/// Writes the records that were asked for, addresses in the order that the site wishes.
fn put_answer(asked: &Asked<'_>, owner: Owner<'_>, node: NodeRef<'_>, rrset: RrSetRef<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
    let turn = u16::from_be_bytes([asked.query.packet[0], asked.query.packet[1]]);
    match asked.policy.order.of(rrset, asked.peer.address.ip(), turn, &mut [0; SORT_LIMIT]) {
        Some(places) => {
            reply.put_sorted(Section::Answer, owner, rrset, places)?;
            put_signatures(asked, Section::Answer, owner, node, rrset.rtype, rrset.ttl, reply)
        }
        None => put_set(asked, Section::Answer, owner, node, rrset, rrset.ttl, reply).map(drop),
    }
}

/// Writes a set and its signatures; gives the offset of the set's last rdata.
fn put_set(
    asked: &Asked<'_>,
    section: Section,
    owner: Owner<'_>,
    node: NodeRef<'_>,
    rrset: RrSetRef<'_>,
    ttl: u32,
    reply: &mut Reply<'_>,
) -> Result<usize, Stop> {
    let rdata_at = reply.put_rrset(section, owner, rrset, ttl)?;
    put_signatures(asked, section, owner, node, rrset.rtype, ttl, reply)?;
    Ok(rdata_at)
}

/// The signatures over one set of a node, for who understands them.
fn put_signatures(asked: &Asked<'_>, section: Section, owner: Owner<'_>, node: NodeRef<'_>, covered: u16, ttl: u32, reply: &mut Reply<'_>) -> Result<(), Stop> {
    if !asked.dnssec_ok() {
        return Ok(());
    }
    let Some(signatures) = node.rrset(rtype::RRSIG)? else { return Ok(()) };
    for rdata in signatures.rdatas() {
        let rdata = rdata?;
        if rdata.starts_with(&covered.to_be_bytes()) {
            reply.put_record(section, owner, rtype::RRSIG, ttl, rdata)?;
        }
    }
    Ok(())
}

/// The gaps that a reply shows, each once.
struct Proofs<'a> {
    view: &'a View,
    shown: [*const u8; GAP_LIMIT],
    count: usize,
}

impl Proofs<'_> {
    /// Shows the gap in which the name with `labels` of `name`'s last labels is missing, or the wildcard below that.
    fn put(&mut self, apex_labels: usize, name: &Name, labels: usize, wildcard: bool, reply: &mut Reply<'_>) -> Result<(), Stop> {
        let Some(gap) = denial::gap(self.view, apex_labels, name, labels, wildcard)? else { return Ok(()) };
        if self.shown[..self.count].contains(&gap.identity) {
            return Ok(());
        }
        if let Some(place) = self.shown.get_mut(self.count) {
            *place = gap.identity;
            self.count += 1;
        }
        put_gap(&gap, Section::Authority, Owner::Wire(gap.owner.wire()), reply)
    }
}

fn put_gap(gap: &Gap<'_>, section: Section, owner: Owner<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
    let nsec = gap.node.rrset(rtype::NSEC)?.ok_or(Stop::Damaged)?;
    reply.put_rrset(section, owner, nsec, nsec.ttl)?;
    let Some(signatures) = gap.node.rrset(rtype::RRSIG)? else { return Ok(()) };
    for rdata in signatures.rdatas() {
        reply.put_record(section, owner, rtype::RRSIG, nsec.ttl, rdata?)?;
    }
    Ok(())
}

/// No such name, or no such data: the SOA says for how long (RFC 2308 section 3), and gaps prove it (RFC 4035 section 3.1.3).
fn put_negative(asked: &Asked<'_>, name: &Name, missing: &Missing, proofs: &mut Proofs<'_>, reply: &mut Reply<'_>) -> Result<Verdict, Stop> {
    let apex = name.ancestor(missing.apex_labels);
    let (row, node) = node_at(proofs.view, apex)?.ok_or(Stop::Damaged)?;
    let soa = node.rrset(rtype::SOA)?.ok_or(Stop::Damaged)?;
    let rdata = soa.rdatas().next().ok_or(Stop::Damaged)??;
    let minimum_s = reply::soa_minimum_s(rdata).ok_or(Stop::Damaged)?;
    put_set(asked, Section::Authority, Owner::Wire(apex), node, soa, soa.ttl.min(minimum_s), reply)?;
    if asked.dnssec_ok() && node.rrset(rtype::RRSIG)?.is_some() {
        proofs.put(missing.apex_labels, name, name.labels(), false, reply)?;
        if let Some(labels) = missing.wildcard_below {
            proofs.put(missing.apex_labels, name, labels, true, reply)?;
        }
    }
    Ok(Verdict::new(missing.rcode, Kind::Missing, row))
}

/// The servers of another's zone and whether it is signed, with the addresses that are known here. Those within the delegated zone
/// must fit (RFC 9471); the others are dropped where they do not.
fn put_referral(asked: &Asked<'_>, name: &Name, cut_labels: usize, node: NodeRef<'_>, proofs: &mut Proofs<'_>, reply: &mut Reply<'_>) -> Result<Verdict, Stop> {
    let (cut, view) = (name.ancestor(cut_labels), proofs.view);
    let ns = node.rrset(rtype::NS)?.ok_or(Stop::Damaged)?;
    reply.put_rrset(Section::Authority, Owner::Wire(cut), ns, ns.ttl)?;
    if asked.dnssec_ok() {
        // RFC 4035 section 3.1.4: the parent vouches for the child's key, or for its having none.
        match node.rrset(rtype::DS)? {
            Some(ds) => drop(put_set(asked, Section::Authority, Owner::Wire(cut), node, ds, ds.ttl, reply)?),
            None => proofs.put(checked_apex(node, cut_labels)?, name, cut_labels, false, reply)?,
        }
    }
    for needed in [true, false] {
        for target in ns.rdatas() {
            let target = Name::read(target?).ok_or(Stop::Damaged)?;
            let in_domain = target.labels() >= cut_labels && target.ancestor(cut_labels) == cut;
            match (needed, in_domain) {
                (true, true) => put_addresses(view, asked, &target, true, reply)?,
                (false, false) => reply.if_it_fits(|reply| put_addresses(view, asked, &target, true, reply))?,
                _ => {}
            }
        }
    }
    Ok(Verdict::new(Rcode::NoError, Kind::Referral, ns.first_bytes()))
}

/// The addresses of the machines that an answer names, so that nobody has to ask for them, too. They give way where there is no room.
fn put_additional(view: &View, asked: &Asked<'_>, node: NodeRef<'_>, rrset: RrSetRef<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
    let fixed_bytes = match rrset.rtype {
        rtype::NS => 0,
        rtype::MX => 2,
        rtype::SRV => 6,
        _ => return Ok(()),
    };
    // Of a zone's servers glue may be told, because their own zone is reached by it.
    let with_glue = rrset.rtype == rtype::NS && node.place == Place::Apex;
    let mut last: &[u8] = &[];
    for rdata in rrset.rdatas().take(TARGET_LIMIT) {
        let target = rdata?.get(fixed_bytes..).ok_or(Stop::Damaged)?;
        // Several services of one machine stand beside each other.
        if target != last {
            let target = Name::read(target).ok_or(Stop::Damaged)?;
            reply.if_it_fits(|reply| put_addresses(view, asked, &target, with_glue, reply))?;
        }
        last = target;
    }
    Ok(())
}

fn put_addresses(view: &View, asked: &Asked<'_>, target: &Name, with_glue: bool, reply: &mut Reply<'_>) -> Result<(), Stop> {
    let wire = target.ancestor(target.labels());
    let Some((_, node)) = node_at(view, wire)? else { return Ok(()) };
    if !with_glue && matches!(node.place, Place::Cut | Place::BelowCut) {
        return Ok(());
    }
    for rtype in [rtype::A, rtype::AAAA] {
        if let Some(addresses) = node.rrset(rtype)? {
            put_set(asked, Section::Additional, Owner::Wire(wire), node, addresses, addresses.ttl, reply)?;
        }
    }
    Ok(())
}
