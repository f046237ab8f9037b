//! One small university, asked for everything once.

use super::*;
use std::fmt::Write;
use std::net::SocketAddr;

const ZONES: &str = "
    uni.example 3600 SOA ns1.uni.example hostmaster.uni.example 2026112101 7200 900 1209600 600
    uni.example 3600 NS ns1.uni.example
    uni.example 3600 NS ns.elsewhere.example
    uni.example 3600 MX 10 mail.uni.example
    ns1.uni.example 3600 A 10.1.0.53
    ns1.uni.example 3600 AAAA 2001:db8:1::53
    mail.uni.example 3600 A 10.1.0.25
    www.cs.uni.example 300 A 10.1.4.7
    www.cs.uni.example 300 A 10.1.4.8
    www.cs.uni.example 600 HINFO PC UNIX
    www.cs.uni.example 600 TXT hello world
    www.cs.uni.example 600 TYPE65400 c0ffee
    _ldap._tcp.uni.example 600 SRV 0 5 389 www.cs.uni.example
    uni.example 600 CAA issue ca.example
    ftp.uni.example 900 CNAME www.cs.uni.example
    old.uni.example 900 CNAME ftp.uni.example
    away.uni.example 900 CNAME www.elsewhere.example
    gone.uni.example 900 CNAME nowhere.uni.example
    round.uni.example 900 CNAME about.uni.example
    about.uni.example 900 CNAME round.uni.example
    toward.uni.example 900 CNAME www.med.uni.example
    *.dyn.uni.example 60 A 10.1.9.9
    deep.b.dyn.uni.example 60 A 10.1.9.1
    *.alias.uni.example 60 CNAME www.cs.uni.example
    *.turn.uni.example 60 CNAME x.turn.uni.example
    med.uni.example 1800 NS ns.med.uni.example
    med.uni.example 1800 NS ns.law.uni.example
    med.uni.example 1800 NS ns1.uni.example
    ns.med.uni.example 1800 A 10.7.0.53
    med.uni.example 1800 TYPE43 0001080201020304
    law.uni.example 1800 NS ns.law.uni.example
    ns.law.uni.example 1800 A 10.8.0.53
    moved.uni.example 900 DNAME dyn.uni.example
    moved.uni.example 900 TXT still here
    under.moved.uni.example 900 A 10.1.1.1
    lib.uni.example 3600 SOA ns1.uni.example hostmaster.uni.example 1 7200 900 1209600 60
    lib.uni.example 3600 NS ns1.uni.example
    www.lib.uni.example 3600 A 10.1.6.7
    1.10.in-addr.arpa 3600 SOA ns1.uni.example hostmaster.uni.example 7 7200 900 1209600 7200
    1.10.in-addr.arpa 3600 NS ns1.uni.example
    7.4.1.10.in-addr.arpa 300 PTR www.cs.uni.example
";

fn university() -> View {
    compose(&records(ZONES))
}

/// A reply as a person would write it down: code, flags, then records; `~` marks authority, `+` additional.
fn written(reply: &Message) -> String {
    let flags = &reply.metadata;
    let mut text = format!("{:?}", flags.response_code).to_uppercase();
    for (set, flag) in [(flags.authoritative, " aa"), (flags.truncation, " tc"), (flags.recursion_available, " ra"), (flags.authentic_data, " ad")] {
        text.push_str(if set { flag } else { "" });
    }
    for (mark, section) in [("", &reply.answers), ("~ ", &reply.authorities), ("+ ", &reply.additionals)] {
        for record in section {
            write!(text, "\n{mark}{} {} {} {}", record.name, record.ttl, record.record_type(), record.data).unwrap();
        }
    }
    text
}

fn check(question: &str, qtype: u16, expected: &str) {
    let reply = exchange(&university(), &query(&name(question), qtype), Transport::Udp);
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(written(&reply), expected.join("\n"), "{question} {qtype}");
    assert_eq!((reply.metadata.id, reply.metadata.recursion_desired, reply.queries.len()), (0x4842, true, 1));
}

const SOA: &str = "~ uni.example. 600 SOA ns1.uni.example. hostmaster.uni.example. 2026112101 7200 900 1209600 600";

#[test]
fn data_is_answered_with_authority() {
    check("www.cs.uni.example", rtype::A, "NOERROR aa\n www.cs.uni.example. 300 A 10.1.4.7\n www.cs.uni.example. 300 A 10.1.4.8");
    check("ns1.uni.example", rtype::AAAA, "NOERROR aa\n ns1.uni.example. 3600 AAAA 2001:db8:1::53");
    check("7.4.1.10.in-addr.arpa", rtype::PTR, "NOERROR aa\n 7.4.1.10.in-addr.arpa. 300 PTR www.cs.uni.example.");
    check("uni.example", rtype::MX, "NOERROR aa\n uni.example. 3600 MX 10 mail.uni.example.\n + mail.uni.example. 3600 A 10.1.0.25");
    let servers = "NOERROR aa\n uni.example. 3600 NS ns.elsewhere.example.\n uni.example. 3600 NS ns1.uni.example.
        + ns1.uni.example. 3600 A 10.1.0.53\n + ns1.uni.example. 3600 AAAA 2001:db8:1::53";
    check("uni.example", rtype::NS, servers);
    let soa = "NOERROR aa\n uni.example. 3600 SOA ns1.uni.example. hostmaster.uni.example. 2026112101 7200 900 1209600 600";
    check("uni.example", rtype::SOA, soa);
    check("www.cs.uni.example", rtype::TXT, "NOERROR aa\n www.cs.uni.example. 600 TXT helloworld");
    check("www.cs.uni.example", rtype::HINFO, "NOERROR aa\n www.cs.uni.example. 600 HINFO PC UNIX");
    check(
        "_ldap._tcp.uni.example",
        rtype::SRV,
        "NOERROR aa\n _ldap._tcp.uni.example. 600 SRV 0 5 389 www.cs.uni.example.\n + www.cs.uni.example. 300 A 10.1.4.7\n + www.cs.uni.example. 300 A 10.1.4.8",
    );
    check("uni.example", rtype::CAA, "NOERROR aa\n uni.example. 600 CAA 0 issue \"ca.example\"");
}

#[test]
fn unknown_types_go_as_they_are() {
    let (_, reply) = send(&university(), &query(&name("www.cs.uni.example"), 65400), Transport::Udp);
    assert_eq!(hex::encode(&reply[reply.len() - 15..]), "c00cff78000100000258 0003c0ffee".replace(' ', ""));
}

#[test]
fn any_is_kept_small() {
    check("www.cs.uni.example", rtype::ANY, "NOERROR aa\n www.cs.uni.example. 300 A 10.1.4.7\n www.cs.uni.example. 300 A 10.1.4.8");
    check("ftp.uni.example", rtype::ANY, "NOERROR aa\n ftp.uni.example. 900 CNAME www.cs.uni.example.");
}

#[test]
fn what_does_not_exist_is_denied_with_the_soa() {
    check("nowhere.uni.example", rtype::A, &format!("NXDOMAIN aa\n{SOA}"));
    check("a.b.www.cs.uni.example", rtype::A, &format!("NXDOMAIN aa\n{SOA}"));
    check("www.cs.uni.example", rtype::MX, &format!("NOERROR aa\n{SOA}"));
    check("cs.uni.example", rtype::A, &format!("NOERROR aa\n{SOA}"));
    check("cs.uni.example", rtype::ANY, &format!("NOERROR aa\n{SOA}"));
    // The TTL of the SOA where it is the smaller one.
    let reverse = "~ 1.10.in-addr.arpa. 3600 SOA ns1.uni.example. hostmaster.uni.example. 7 7200 900 1209600 7200";
    check("9.4.1.10.in-addr.arpa", rtype::PTR, &format!("NXDOMAIN aa\n{reverse}"));
    check("nowhere.lib.uni.example", rtype::A, "NXDOMAIN aa\n ~ lib.uni.example. 60 SOA ns1.uni.example. hostmaster.uni.example. 1 7200 900 1209600 60");
}

#[test]
fn what_is_not_ours_is_refused() {
    for question in ["elsewhere.example", "example", ".", "muni.example", "10.in-addr.arpa"] {
        check(question, rtype::A, "REFUSED");
    }
    check("uni.example", rtype::AXFR, "REFUSED");
    check("uni.example", rtype::IXFR, "REFUSED");
}

#[test]
fn aliases_are_followed_within_our_zones() {
    let target = "www.cs.uni.example. 300 A 10.1.4.7\n www.cs.uni.example. 300 A 10.1.4.8";
    check("ftp.uni.example", rtype::A, &format!("NOERROR aa\n ftp.uni.example. 900 CNAME www.cs.uni.example.\n {target}"));
    let two = "old.uni.example. 900 CNAME ftp.uni.example.\n ftp.uni.example. 900 CNAME www.cs.uni.example.";
    check("old.uni.example", rtype::A, &format!("NOERROR aa\n {two}\n {target}"));
    check("old.uni.example", rtype::MX, &format!("NOERROR aa\n {two}\n {SOA}"));
    check("ftp.uni.example", rtype::CNAME, "NOERROR aa\n ftp.uni.example. 900 CNAME www.cs.uni.example.");
    check("away.uni.example", rtype::A, "NOERROR aa\n away.uni.example. 900 CNAME www.elsewhere.example.");
    check("gone.uni.example", rtype::A, &format!("NXDOMAIN aa\n gone.uni.example. 900 CNAME nowhere.uni.example.\n {SOA}"));
    check("round.uni.example", rtype::A, "NOERROR aa\n round.uni.example. 900 CNAME about.uni.example.\n about.uni.example. 900 CNAME round.uni.example.");
}

#[test]
fn wildcards_stand_for_names_that_do_not_exist() {
    check("x.dyn.uni.example", rtype::A, "NOERROR aa\n x.dyn.uni.example. 60 A 10.1.9.9");
    check("x.y.dyn.uni.example", rtype::A, "NOERROR aa\n x.y.dyn.uni.example. 60 A 10.1.9.9");
    check("*.dyn.uni.example", rtype::A, "NOERROR aa\n *.dyn.uni.example. 60 A 10.1.9.9");
    check("x.dyn.uni.example", rtype::MX, &format!("NOERROR aa\n{SOA}"));
    check("dyn.uni.example", rtype::A, &format!("NOERROR aa\n{SOA}"));
    // The empty non-terminal b exists, and so the wildcard beside it says nothing below it.
    check("b.dyn.uni.example", rtype::A, &format!("NOERROR aa\n{SOA}"));
    check("x.b.dyn.uni.example", rtype::A, &format!("NXDOMAIN aa\n{SOA}"));
    let alias = "x.alias.uni.example. 60 CNAME www.cs.uni.example.\n www.cs.uni.example. 300 A 10.1.4.7\n www.cs.uni.example. 300 A 10.1.4.8";
    check("x.alias.uni.example", rtype::A, &format!("NOERROR aa\n{alias}"));
    check("y.turn.uni.example", rtype::A, "NOERROR aa\n y.turn.uni.example. 60 CNAME x.turn.uni.example.");
}

#[test]
fn a_dname_moves_all_that_lies_below_it() {
    // hickory-proto shows the rdata of what it does not know in base64.
    let moved = "moved.uni.example. 900 DNAME A2R5bgN1bmkHZXhhbXBsZQA=";
    let made = "x.moved.uni.example. 900 CNAME x.dyn.uni.example.\n x.dyn.uni.example. 60 A 10.1.9.9";
    check("x.moved.uni.example", rtype::A, &format!("NOERROR aa\n {moved}\n {made}"));
    check("x.moved.uni.example", rtype::CNAME, &format!("NOERROR aa\n {moved}\n x.moved.uni.example. 900 CNAME x.dyn.uni.example."));
    check("moved.uni.example", rtype::TXT, "NOERROR aa\n moved.uni.example. 900 TXT stillhere");
    check("moved.uni.example", rtype::A, &format!("NOERROR aa\n{SOA}"));
    let hidden = exchange(&university(), &query(&name("under.moved.uni.example"), rtype::A), Transport::Udp);
    assert!(written(&hidden).contains("under.moved.uni.example. 900 CNAME under.dyn.uni.example."), "what lies below is not there");
    let long = [&[63; 1][..], &[b'x'; 63]].concat().repeat(3);
    let below = |labels: &[u8]| DomainName::from_wire(&[labels, &[60], &[b'y'; 60], name("moved.uni.example").wire()].concat()).unwrap();
    let view = compose(&records(&format!("{ZONES}\n far.uni.example 5 DNAME {}", below(&[]))));
    let deep = DomainName::from_wire(&[&long, name("far.uni.example").wire()].concat()).unwrap();
    assert_eq!(send(&view, &query(&deep, rtype::A), Transport::Udp).0, Ok(Rcode::YxDomain));
}

#[test]
fn the_nearest_address_comes_first_where_the_site_wishes() {
    let view = compose(&records(
        "uni.example 9 SOA ns.uni.example admin.uni.example 1 2 3 4 5
         gate.uni.example 9 A 10.1.1.100\n gate.uni.example 9 A 10.2.1.100\n gate.uni.example 9 A 10.3.1.100
         gate.uni.example 9 AAAA 2001:db8:1::1\n gate.uni.example 9 AAAA 2001:db8:2::1",
    ));
    let order = |order, client: &str, id: u8, rtype| {
        let peer = Peer { address: SocketAddr::new(client.parse().unwrap(), 5353), transport: Transport::Udp };
        let mut packet = query(&name("gate.uni.example"), rtype);
        packet[1] = id;
        let (_, reply) = send_to(&view, &packet, peer, &Policy { order, ..policy() });
        let addresses = Message::from_vec(&reply).unwrap().answers.iter().map(|record| record.data.to_string()).collect::<Vec<_>>();
        addresses.join(" ")
    };
    for (client, first) in
        [("10.1.1.7", "10.1.1.100 10.2.1.100 10.3.1.100"), ("10.3.9.9", "10.3.1.100 10.2.1.100 10.1.1.100"), ("192.0.2.1", "10.1.1.100 10.2.1.100 10.3.1.100")]
    {
        assert_eq!(order(Order::Near, client, 0, rtype::A), first);
    }
    assert_eq!(order(Order::Near, "2001:db8:2::77", 0, rtype::AAAA), "2001:db8:2::1 2001:db8:1::1");
    assert_eq!(order(Order::Fixed, "10.3.9.9", 1, rtype::A), "10.1.1.100 10.2.1.100 10.3.1.100");
    assert_eq!(order(Order::Rotated, "10.3.9.9", 1, rtype::A), "10.2.1.100 10.3.1.100 10.1.1.100");
}

#[test]
fn delegations_are_referred_with_glue_and_without_authority() {
    let servers = "~ med.uni.example. 1800 NS ns.law.uni.example.\n ~ med.uni.example. 1800 NS ns.med.uni.example.
        ~ med.uni.example. 1800 NS ns1.uni.example.\n + ns.med.uni.example. 1800 A 10.7.0.53\n + ns.law.uni.example. 1800 A 10.8.0.53
        + ns1.uni.example. 3600 A 10.1.0.53\n + ns1.uni.example. 3600 AAAA 2001:db8:1::53";
    for (question, qtype) in [
        ("med.uni.example", rtype::NS),
        ("med.uni.example", rtype::ANY),
        ("www.med.uni.example", rtype::A),
        ("ns.med.uni.example", rtype::A),
        ("x.ns.med.uni.example", rtype::A),
        ("www.med.uni.example", rtype::DS),
    ] {
        check(question, qtype, &format!("NOERROR\n{servers}"));
    }
    check("toward.uni.example", rtype::A, &format!("NOERROR aa\n toward.uni.example. 900 CNAME www.med.uni.example.\n {servers}"));
}

#[test]
fn the_parent_answers_for_ds() {
    let (outcome, reply) = send(&university(), &query(&name("med.uni.example"), rtype::DS), Transport::Udp);
    assert_eq!((outcome, reply[2], &reply[6..12]), (Ok(Rcode::NoError), 0x85, &[0, 1, 0, 0, 0, 0][..]));
    assert!(reply.ends_with(&[0, 1, 8, 2, 1, 2, 3, 4]));
    check("law.uni.example", rtype::DS, &format!("NOERROR aa\n{SOA}"));
    check("lib.uni.example", rtype::DS, &format!("NOERROR aa\n{SOA}"));
    check("uni.example", rtype::DS, &format!("NOERROR aa\n{SOA}"));
}

#[test]
fn before_the_first_generation_everything_is_refused_with_a_reason() {
    let view = View::empty(Feed::ZONE);
    let (outcome, reply) = send(&view, &with_edns(query(&name("www.cs.uni.example"), rtype::A), 1232), Transport::Udp);
    assert_eq!(outcome, Ok(Rcode::Refused));
    assert!(reply.ends_with(&[0, 6, 0, 15, 0, 2, 0, 14]), "EDE 14, Not Ready");
    assert_eq!(written(&exchange(&view, &query(&name("www.cs.uni.example"), rtype::A), Transport::Udp)), "REFUSED");
}

#[test]
fn a_row_that_nobody_may_write_is_a_server_failure() {
    let soa_gone = Node { place: Place::Inside, apex_labels: 1, rrsets: Vec::new() }.encode();
    for row in [vec![], vec![9, 1], vec![0, 9], vec![0, 1, 0, 1, 0], vec![3, 1], vec![2, 1], soa_gone] {
        let change = Change::put(NODE, name("host.example").wire(), row.clone());
        let view = State::empty(Feed::ZONE).compose(vec![change]).unwrap().unwrap().into_view();
        assert_eq!(written(&exchange(&view, &query(&name("host.example"), rtype::A), Transport::Tcp)), "SERVFAIL", "{row:?}");
    }
}
