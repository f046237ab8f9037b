//! The answers, asked as a client asks and read by another's parser (hickory-proto).

mod dnssec;
mod edns;
mod examples;
mod lent;
mod model;
mod packets;

use super::follow::ALIAS_LIMIT;
use super::*;
use crate::snapshot::{Change, Feed, State, View};
use crate::words::{DomainName, UnixMillis};
use hickory_proto::op::Message;
use std::collections::{BTreeMap, BTreeSet};

/// In 2027.
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

/// `owner ttl TYPE rdata`, full names throughout.
fn record(line: &str) -> Record {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (rtype, rdata) = rdata(words[2], &words[3..]);
    Record { owner: name(words[0]), rtype, ttl: words[1].parse().unwrap(), rdata }
}

fn rdata(rtype: &str, words: &[&str]) -> (u16, Vec<u8>) {
    let wire = |text: &str| name(text).wire().to_vec();
    let number = |text: &str| text.parse::<u16>().unwrap().to_be_bytes().to_vec();
    let texts = |words: &[&str]| words.iter().flat_map(|text| [&[text.len() as u8], text.as_bytes()].concat()).collect();
    match rtype {
        "A" => (rtype::A, words[0].parse::<std::net::Ipv4Addr>().unwrap().octets().to_vec()),
        "AAAA" => (rtype::AAAA, words[0].parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec()),
        "DNAME" => (rtype::DNAME, wire(words[0])),
        "NS" => (rtype::NS, wire(words[0])),
        "CNAME" => (rtype::CNAME, wire(words[0])),
        "PTR" => (rtype::PTR, wire(words[0])),
        "MX" => (rtype::MX, [number(words[0]), wire(words[1])].concat()),
        "SRV" => (rtype::SRV, [number(words[0]), number(words[1]), number(words[2]), wire(words[3])].concat()),
        "TXT" => (rtype::TXT, texts(words)),
        "HINFO" => (rtype::HINFO, texts(words)),
        "CAA" => (rtype::CAA, [&[0, words[0].len() as u8], words[0].as_bytes(), words[1].as_bytes()].concat()),
        "SOA" => {
            let numbers = words[2..].iter().flat_map(|number| number.parse::<u32>().unwrap().to_be_bytes());
            (rtype::SOA, [wire(words[0]), wire(words[1]), numbers.collect()].concat())
        }
        other => (other.strip_prefix("TYPE").unwrap().parse().unwrap(), hex::decode(words[0]).unwrap()),
    }
}

fn records(lines: &str) -> Vec<Record> {
    lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(record).collect()
}

fn has_type(records: &[Record], owner: &DomainName, rtype: u16) -> bool {
    records.iter().any(|record| record.owner == *owner && record.rtype == rtype)
}

/// A name and its ancestors.
fn upward(from: &DomainName) -> impl Iterator<Item = DomainName> {
    std::iter::successors(Some(from.clone()), DomainName::parent)
}

/// The apex of the zone that a name lies in.
fn apex_of(records: &[Record], owner: &DomainName) -> Option<DomainName> {
    upward(owner).find(|name| has_type(records, name, rtype::SOA))
}

/// The zones that these records make up, each with what lies in it.
fn zones(records: &[Record]) -> Vec<Zone> {
    let apexes: BTreeSet<DomainName> = records.iter().filter(|record| record.rtype == rtype::SOA).map(|record| record.owner.clone()).collect();
    let of = |apex: &DomainName| Zone {
        apex: apex.clone(),
        records: records.iter().filter(|record| apex_of(records, &record.owner).as_ref() == Some(apex)).cloned().collect(),
    };
    apexes.iter().map(of).collect()
}

/// What the master's composer does, in short: a row for every name that exists, with its place.
fn compose(records: &[Record]) -> View {
    let mut names: BTreeSet<DomainName> = BTreeSet::new();
    for record in records {
        let apex = apex_of(records, &record.owner).unwrap();
        let top = apex.parent().and_then(|above| apex_of(records, &above)).unwrap_or(apex);
        names.extend(upward(&record.owner).take_while(|name| name.is_within(&top)));
    }
    let rows = names.iter().map(|owner| Change::put(NODE, owner.wire(), node(records, owner).encode()));
    State::empty(Feed::ZONE).compose(rows.collect()).unwrap().unwrap().into_view()
}

fn node(records: &[Record], owner: &DomainName) -> Node {
    let mut sets: BTreeMap<u16, RrSet> = BTreeMap::new();
    for record in records.iter().filter(|record| record.owner == *owner) {
        let empty = RrSet { rtype: record.rtype, ttl: record.ttl, rdatas: Vec::new() };
        sets.entry(record.rtype).or_insert(empty).rdatas.push(record.rdata.clone());
    }
    let apex = apex_of(records, owner).unwrap();
    let mut above = upward(owner).take_while(|name| *name != apex);
    let is_cut = |name: &DomainName| has_type(records, name, rtype::NS);
    let hides = |name: &DomainName| is_cut(name) || has_type(records, name, rtype::DNAME);
    let place = match above.next() {
        None => Place::Apex,
        Some(_) if above.any(|name| hides(&name)) || has_type(records, &apex, rtype::DNAME) => Place::BelowCut,
        Some(own) if is_cut(&own) => Place::Cut,
        Some(_) => Place::Inside,
    };
    Node { place, apex_labels: apex.label_count() as u8, rrsets: sets.into_values().collect() }
}

/// A query with one question: id 0x4842, RD set.
fn query(name: &DomainName, qtype: u16) -> Vec<u8> {
    [b"\x48\x42\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", name.wire(), &qtype.to_be_bytes(), &[0, 1]].concat()
}

/// The same with an OPT record.
fn with_edns(mut query: Vec<u8>, payload_bytes: u16) -> Vec<u8> {
    query[11] += 1;
    query.extend_from_slice(&[0, 0, 41]);
    query.extend_from_slice(&payload_bytes.to_be_bytes());
    query.extend_from_slice(&[0; 6]);
    query
}

fn peer(transport: Transport) -> Peer {
    Peer { address: "192.0.2.1:5353".parse().unwrap(), transport }
}

/// A policy that tells nothing of the box, with secrets that everybody knows.
fn policy() -> Policy {
    Policy::new(Cookies::of_period(&[7; 32], 1))
}

fn send(view: &View, packet: &[u8], transport: Transport) -> (Result<Rcode, Reason>, Vec<u8>) {
    let (outcome, reply) = send_to(view, packet, peer(transport), &policy());
    let rcode = match outcome {
        Outcome::Replied(told) => Ok(told.rcode),
        Outcome::Silent(reason) => Err(reason),
    };
    (rcode, reply)
}

fn send_to(view: &View, packet: &[u8], peer: Peer, policy: &Policy) -> (Outcome, Vec<u8>) {
    let mut out = b"left from before".to_vec();
    (answer(view, packet, peer, policy, NOW, &mut out), out)
}

/// Sends and lets hickory-proto read the reply.
fn exchange(view: &View, packet: &[u8], transport: Transport) -> Message {
    let (outcome, reply) = send(view, packet, transport);
    assert!(outcome.is_ok(), "{outcome:?}");
    Message::from_vec(&reply).unwrap()
}
