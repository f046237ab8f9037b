//! Signed zones: which signatures and which gaps go with what. That the gaps prove what they should is tried by others'
//! validators in the lab; here the signatures are made up.

use super::*;

/// A child that is not ours and signed, one that is not, and one that is ours and signed; a wildcard, an empty non-terminal, an alias.
const SIGNED: &str = "
    u 3600 SOA ns.u admin.u 1 2 3 4 300
    u 3600 NS ns.u
    a.u 60 A 10.0.0.1
    b.u 60 CNAME w.x.u
    cut.u 60 NS ns.cut.u
    ns.cut.u 60 A 10.0.0.2
    dep.u 60 NS ns.cut.u
    dep.u 60 TYPE43 0001080201020304
    ns.u 60 A 10.0.0.3
    *.x.u 60 A 10.0.0.4
    own.u 3600 SOA ns.u admin.u 1 2 3 4 100
    own.u 3600 NS ns.u
    h.own.u 60 A 10.0.0.5
";

/// The zones with a signature of each set that has one: its type, and a mark of whose it is.
fn signed() -> View {
    let mut parts = zones(&records(SIGNED));
    let signature = |owner: &DomainName, covered: u16, mark: u8| Record {
        owner: owner.clone(),
        rtype: rtype::RRSIG,
        ttl: 60,
        // RFC 4034 section 3.1: algorithm, labels, three times and a key's tag, the signer (the root), and the signature.
        rdata: [&covered.to_be_bytes()[..], &[13, 1, 0, 0, 0, 60, 0, 0, 0, 2, 0, 0, 0, 1, 0, 9, 0], &[mark; 4]].concat(),
    };
    let gap = |owner: &str, next: &str| Record { owner: name(owner), rtype: rtype::NSEC, ttl: 300, rdata: [name(next).wire(), &[0, 1, 0x40]].concat() };
    for zone in &mut parts {
        let mark = if zone.apex == name("own.u") { 7 } else { 8 };
        let chain: Vec<(&str, &str)> = match mark {
            7 => vec![("own.u", "h.own.u"), ("h.own.u", "own.u")],
            _ => vec![
                ("u", "a.u"),
                ("a.u", "b.u"),
                ("b.u", "cut.u"),
                ("cut.u", "dep.u"),
                ("dep.u", "ns.u"),
                ("ns.u", "own.u"),
                ("own.u", "*.x.u"),
                ("*.x.u", "u"),
            ],
        };
        let is_signed = |record: &&Record| ![rtype::NS].contains(&record.rtype) && record.owner != name("ns.cut.u") || record.owner == zone.apex;
        let mut sets: BTreeSet<(DomainName, u16)> = zone.records.iter().filter(is_signed).map(|record| (record.owner.clone(), record.rtype)).collect();
        for (owner, next) in chain {
            zone.records.push(gap(owner, next));
            sets.insert((name(owner), rtype::NSEC));
        }
        zone.records.extend(sets.into_iter().map(|(owner, covered)| signature(&owner, covered, mark)));
    }
    State::empty(Feed::ZONE).compose(rows(&parts)).unwrap().unwrap().into_view()
}

/// Owner and type of each record of a section; of a signature the type that it covers in brackets, with its mark.
fn shown(section: &[hickory_proto::rr::Record]) -> Vec<String> {
    let show = |record: &hickory_proto::rr::Record| {
        let bytes = record.data.to_string();
        let number = u16::from(record.record_type());
        let what = match number {
            rtype::RRSIG => bytes,
            other => other.to_string(),
        };
        format!("{} {what}", record.name.to_ascii().trim_end_matches('.'))
    };
    section.iter().map(show).collect()
}

fn ask(question: &str, qtype: u16, dnssec_ok: bool) -> Message {
    let mut packet = with_edns(query(&name(question), qtype), 1232);
    let at = packet.len() - 4;
    packet[at] = if dnssec_ok { 0x80 } else { 0 };
    exchange(&signed(), &packet, Transport::Udp)
}

/// Types in a section, with owners: `47@a.u` is the gap that begins at a.u.
fn types(section: &[hickory_proto::rr::Record]) -> String {
    section.iter().map(|record| format!("{}@{}", u16::from(record.record_type()), record.name.to_ascii().trim_end_matches('.'))).collect::<Vec<_>>().join(" ")
}

fn check(question: &str, qtype: u16, code: u16, answer: &str, authority: &str) {
    let reply = ask(question, qtype, true);
    let told = (u16::from(reply.metadata.response_code), types(&reply.answers), types(&reply.authorities));
    assert_eq!(told, (code, answer.to_owned(), authority.to_owned()), "{question} {qtype}\n{:?}\n{:?}", shown(&reply.answers), shown(&reply.authorities));
}

#[test]
fn sets_go_with_their_signatures_to_who_understands_them() {
    check("a.u", rtype::A, 0, "1@a.u 46@a.u", "");
    assert_eq!(types(&ask("a.u", rtype::A, false).answers), "1@a.u");
    check("u", rtype::SOA, 0, "6@u 46@u", "");
    check("a.u", rtype::ANY, 0, "1@a.u 46@a.u", "");
    check("a.u", rtype::NSEC, 0, "47@a.u 46@a.u", "");
    let reply = ask("u", rtype::NS, true);
    assert_eq!(types(&reply.additionals), "1@ns.u 46@ns.u");
}

#[test]
fn what_is_missing_is_shown_missing() {
    check("a0.u", rtype::A, 3, "", "6@u 46@u 47@a.u 46@a.u 47@u 46@u");
    check("aa.a.u", rtype::A, 3, "", "6@u 46@u 47@a.u 46@a.u");
    check("a.u", rtype::MX, 0, "", "6@u 46@u 47@a.u 46@a.u");
    // The empty non-terminal lies in the gap before what is below it.
    check("x.u", rtype::A, 0, "", "6@u 46@u 47@own.u 46@own.u");
    check("zz.u", rtype::A, 3, "", "6@u 46@u 47@*.x.u 46@*.x.u 47@u 46@u");
    assert_eq!(types(&ask("a0.u", rtype::A, false).authorities), "6@u");
}

#[test]
fn a_wildcard_shows_that_nothing_nearer_is_there() {
    check("q.x.u", rtype::A, 0, "1@q.x.u 46@q.x.u", "47@*.x.u 46@*.x.u");
    check("q.x.u", rtype::MX, 0, "", "6@u 46@u 47@*.x.u 46@*.x.u");
    check("b.u", rtype::A, 0, "5@b.u 46@b.u 1@w.x.u 46@w.x.u", "47@*.x.u 46@*.x.u");
    check("*.x.u", rtype::A, 0, "1@*.x.u 46@*.x.u", "");
}

#[test]
fn delegations_say_whether_the_child_is_signed() {
    check("www.dep.u", rtype::A, 0, "", "2@dep.u 43@dep.u 46@dep.u");
    check("www.cut.u", rtype::A, 0, "", "2@cut.u 47@cut.u 46@cut.u");
    check("dep.u", rtype::DS, 0, "43@dep.u 46@dep.u", "");
    check("cut.u", rtype::DS, 0, "", "6@u 46@u 47@cut.u 46@cut.u");
}

#[test]
fn at_a_childs_top_each_zone_denies_for_itself() {
    let marks = |question: &str, qtype: u16| {
        let (_, reply) = send(
            &signed(),
            &{
                let mut packet = with_edns(query(&name(question), qtype), 1232);
                let at = packet.len() - 4;
                packet[at] = 0x80;
                packet
            },
            Transport::Udp,
        );
        [7u8, 8].map(|mark| reply.windows(4).filter(|bytes| *bytes == [mark; 4]).count())
    };
    check("own.u", rtype::DS, 0, "", "6@u 46@u 47@own.u 46@own.u");
    assert_eq!(marks("own.u", rtype::DS), [0, 2], "the parent's SOA and gap");
    check("own.u", rtype::MX, 0, "", "6@own.u 46@own.u 47@own.u 46@own.u");
    assert_eq!(marks("own.u", rtype::MX), [2, 0], "the child's");
    check("no.own.u", rtype::A, 3, "", "6@own.u 46@own.u 47@h.own.u 46@h.own.u 47@own.u 46@own.u");
}

#[test]
fn a_zone_that_is_not_signed_proves_nothing() {
    let view = compose(&records(SIGNED));
    let mut packet = with_edns(query(&name("a0.u"), rtype::A), 1232);
    let at = packet.len() - 4;
    packet[at] = 0x80;
    let reply = exchange(&view, &packet, Transport::Udp);
    assert_eq!(types(&reply.authorities), "6@u");
}
