//! Others as witnesses: random zones, signed and not, asked of us and of BIND, NSD and Knot; and BIND's validator asked about us.
//!
//! The zones are written as text, signed by BIND's tools, loaded by all three, and transferred out of BIND into our rows. Every
//! answer must be the same, except where a rule below says why a witness does otherwise.

pub mod peers;
pub mod zones;

use hickory_proto::op::Message;
use hickory_proto::rr::Record as Shown;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use holdfast_agent::config;
use holdfast_agent::dns::DnsServer;
use holdfast_lab::folder::Folder;
use holdfast_proto::dns::{Record, Zone, rows, rtype};
use holdfast_proto::snapshot::{Feed, State, Writer, reader};
use holdfast_proto::words::DomainName;
use peers::{Peer, ask};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use zones::{Dice, RandomZone};

const ZONES: usize = 14;
const QUESTIONS: usize = 60;
const TYPES: [u16; 11] = [rtype::A, rtype::AAAA, rtype::NS, rtype::CNAME, rtype::SOA, rtype::MX, rtype::TXT, rtype::SRV, rtype::DS, rtype::DNSKEY, 65400];

/// Our server in this process, on ports of its own.
struct Ours {
    address: SocketAddr,
    _writer: Writer,
    _runtime: tokio::runtime::Runtime,
}

fn serve(zones: &[Zone], folder: &Path) -> Ours {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let settings = config::Dns { listen: vec!["127.0.0.1:0".parse().unwrap()], ..config::Dns::default() };
    let server = runtime.block_on(async { DnsServer::bind(&settings, "witness").unwrap() });
    let address = server.local_addrs().unwrap()[0];
    let (writer, zone) = reader(Feed::ZONE);
    writer.publish(State::empty(Feed::ZONE).compose(rows(zones)).unwrap().unwrap().into_view());
    runtime.spawn(server.serve(zone, folder.to_owned(), std::future::pending()));
    Ours { address, _writer: writer, _runtime: runtime }
}

/// What an answer says, in a form in which two may be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    rcode: u16,
    authoritative: bool,
    answers: BTreeSet<Record>,
    authority: BTreeSet<Record>,
    /// Of a referral, the addresses within the delegated zone; what else is added is each server's own choice.
    glue: BTreeSet<Record>,
}

fn record(shown: &Shown) -> Record {
    let mut rdata = Vec::new();
    let mut encoder = BinEncoder::new(&mut rdata);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    shown.data.emit(&mut encoder).unwrap();
    Record { owner: shown.name.to_ascii().parse().unwrap(), rtype: shown.record_type().into(), ttl: shown.ttl, rdata }
}

fn seen(reply: &[u8]) -> Seen {
    let message = Message::from_vec(reply).unwrap();
    let records = |section: &[Shown]| section.iter().map(record).collect::<BTreeSet<_>>();
    let (answers, mut authority) = (records(&message.answers), records(&message.authorities));
    let is_referral =
        !message.metadata.authoritative || authority.iter().any(|one| one.rtype == rtype::NS) && answers.iter().all(|one| one.rtype == rtype::CNAME);
    // Beside an answer, the zone's servers are a courtesy that some leave out.
    let covers = |one: &Record, rtype: u16| one.rtype == rtype::RRSIG && one.rdata.starts_with(&rtype.to_be_bytes());
    if !is_referral {
        authority.retain(|one| one.rtype != rtype::NS && !covers(one, rtype::NS));
    }
    let cut = authority.iter().find(|one| one.rtype == rtype::NS).map(|one| one.owner.clone());
    let in_domain = |one: &Record| cut.as_ref().is_some_and(|cut| one.owner.is_within(cut)) && [rtype::A, rtype::AAAA].contains(&one.rtype);
    let glue = records(&message.additionals).into_iter().filter(in_domain).collect();
    Seen { rcode: message.metadata.response_code.into(), authoritative: message.metadata.authoritative, answers, authority, glue }
}

/// A zone as BIND transfers it.
fn transferred(bind: SocketAddr, apex: &DomainName) -> Zone {
    let mut records: Vec<Record> = Vec::new();
    peers::transfer(bind, apex, |message| {
        records.extend(Message::from_vec(message).unwrap().answers.iter().map(record));
        records.iter().filter(|record| record.rtype == rtype::SOA).count() < 2
    });
    records.pop();
    Zone { apex: apex.clone(), records }
}

fn query(id: u16, name: &DomainName, qtype: u16, dnssec_ok: bool) -> Vec<u8> {
    let opt: &[u8] = if dnssec_ok { &[0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 0] } else { &[] };
    [&id.to_be_bytes()[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(dnssec_ok)], name.wire(), &qtype.to_be_bytes(), &[0, 1], opt].concat()
}

/// Where a witness does otherwise, and may.
fn is_explained(peer: &str, ours: &Seen, theirs: &Seen) -> bool {
    let is_alias = |one: &&Record| one.rtype == rtype::CNAME;
    let is_proof = |one: &&Record| one.rtype == rtype::NSEC || one.rtype == rtype::RRSIG && one.rdata.starts_with(&rtype::NSEC.to_be_bytes());
    let same_but_proofs = Seen { authority: ours.authority.clone(), ..theirs.clone() } == *ours
        && ours.authority.symmetric_difference(&theirs.authority).all(|one| is_proof(&one));
    let is_circle = ours.answers.iter().filter(is_alias).any(|one| one.rdata == one.owner.wire());
    match peer {
        // How far a chain is followed that leads nowhere, and what is said in the end, is left to each (RFC 1034 section 3.6.2).
        _ if ours.answers.iter().filter(is_alias).count() > 7 => true,
        "bind" if is_circle => theirs.rcode == 2,
        // That a wildcard which is an empty non-terminal lacks the type, too (RFC 4035 section 3.1.3.4), NSD shows as we do; these leave it out.
        "bind" | "knot" if same_but_proofs => theirs.authority.is_subset(&ours.authority),
        // Behind an alias NSD shows the gap of another name than the one that is missing; BIND and Knot show ours.
        "nsd" => same_but_proofs && ours.answers.iter().any(|one| is_alias(&one)),
        _ => false,
    }
}

#[test]
fn random_zones_are_answered_as_others_answer_them() {
    let folder = Folder::new("dns-witness").unwrap();
    let mut dice = Dice(0x686f_6c64_6661_7374);
    let zones: Vec<RandomZone> = (0..ZONES).map(|number| RandomZone::draw(&format!("z{number}.test"), &mut dice)).collect();
    for (number, zone) in zones.iter().enumerate() {
        // Every other one is signed.
        zone.write(folder.path(), number % 2 == 1);
    }
    let apexes: Vec<&DomainName> = zones.iter().map(|zone| &zone.apex).collect();
    let witnesses = [peers::bind(&folder, &apexes), peers::nsd(&folder, &apexes), peers::knot(&folder, &apexes)];
    let composed: Vec<Zone> = apexes.iter().map(|apex| transferred(witnesses[0].address, apex)).collect();
    let ours = serve(&composed, folder.path());
    let (mut wrong, mut asked) = (String::new(), 0);
    for zone in &zones {
        for number in 0..QUESTIONS {
            let (name, qtype) = (zone.question(&mut dice), TYPES[dice.below(TYPES.len())]);
            let packet = query(number as u16, &name, qtype, number % 3 > 0);
            let our_answer = seen(&ask(ours.address, &packet));
            for Peer { name: witness, address, .. } in &witnesses {
                let theirs = seen(&ask(*address, &packet));
                asked += 1;
                if theirs != our_answer && !is_explained(witness, &our_answer, &theirs) {
                    writeln!(wrong, "{name} {qtype} (DO {}):\n  we      {our_answer:?}\n  {witness:7} {theirs:?}", number % 3 > 0).unwrap();
                }
            }
        }
    }
    assert!(asked == ZONES * QUESTIONS * witnesses.len());
    let differences = wrong.lines().filter(|line| line.starts_with("  we")).count();
    assert!(wrong.is_empty(), "{differences} of {asked} answers differ; the zones stand below\n{wrong}\n{}", zones[0].text());
}

#[test]
fn a_validator_believes_what_a_box_says_of_signed_zones() {
    let folder = Folder::new("dns-delv").unwrap();
    let text = "@ A 10.0.0.1\nns A 10.0.0.53\nwww A 10.0.0.2\n*.wild TXT \"anything\"\nalias CNAME www\nfar CNAME x.wild\nin.between.deep A 10.0.0.3\n\
                bare NS ns.bare\nns.bare A 10.0.0.9\ndelegated NS ns.bare\ndelegated DS 12345 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n\
                moved DNAME wild\n";
    let zone = RandomZone::of("signed.test", text);
    zone.write(folder.path(), true);
    let bind = peers::bind(&folder, &[&zone.apex]);
    let ours = serve(&[transferred(bind.address, &zone.apex)], folder.path());
    let anchor = zones::anchor(folder.path(), &zone.apex);
    let anchors = folder.write("anchors", &anchor).unwrap();
    let delv = |name: &str, qtype: &str| {
        let port = ours.address.port().to_string();
        let arguments = ["@127.0.0.1", "-p", &port, "-a", anchors.to_str().unwrap(), "+root=signed.test", "+nottl", "-t", qtype, name];
        let output = Command::new("delv").args(arguments).output().expect("delv is started: apt-get install bind9-dnsutils");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    for (name, qtype, expected) in [
        ("signed.test", "SOA", "; fully validated"),
        ("www.signed.test", "A", "; fully validated"),
        ("alias.signed.test", "A", "; fully validated"),
        ("anything.wild.signed.test", "TXT", "; fully validated"),
        ("far.signed.test", "TXT", "; fully validated"),
        ("x.moved.signed.test", "TXT", "; fully validated"),
        ("www.signed.test", "MX", "; negative response, fully validated"),
        ("no.signed.test", "A", "; negative response, fully validated"),
        ("between.deep.signed.test", "A", "; negative response, fully validated"),
        ("anything.wild.signed.test", "A", "; negative response, fully validated"),
        ("bare.signed.test", "DS", "; negative response, fully validated"),
        ("delegated.signed.test", "DS", "; fully validated"),
    ] {
        let said = delv(name, qtype);
        assert!(said.contains(expected), "{name} {qtype}: {said}");
    }
}
