//! Names of leased machines between those that were signed.

use super::*;
use crate::dns::lent::{LentRows, is_taken, nodes_of};
use crate::lent::{LENT, LentName, lent_value};
use crate::snapshot::Beside;
use crate::words::NodeId;
use std::net::Ipv4Addr;

const OURS: NodeId = NodeId([7; 16]);
const OTHERS: NodeId = NodeId([8; 16]);

const ZONES: &str = "
    dyn.uni.example 3600 SOA ns1.uni.example hostmaster.uni.example 9 7200 900 1209600 60
    dyn.uni.example 3600 NS ns1.uni.example
    printer.dyn.uni.example 600 A 10.1.4.9
    *.wild.dyn.uni.example 600 A 10.1.4.8
    lab.dyn.uni.example 600 NS ns.lab.dyn.uni.example
    1.10.in-addr.arpa 3600 SOA ns1.uni.example hostmaster.uni.example 7 7200 900 1209600 7200
    1.10.in-addr.arpa 3600 NS ns1.uni.example
    7.1.10.in-addr.arpa 3600 NS ns.elsewhere.example
";

fn lent(text: &str, last: [u8; 2]) -> LentName {
    LentName { address: Ipv4Addr::new(10, 1, last[0], last[1]), name: name(text), ttl: 200 }
}

/// The zones, with what another agent has lent in them.
fn view(of_others: &[LentName]) -> View {
    let records = records(ZONES);
    let mut rows: Vec<Change> = crate::dns::rows(&zones(&records));
    let others = of_others.iter().flat_map(nodes_of);
    rows.extend(others.map(|(owner, node)| Change::put(LENT, owner.wire(), lent_value(OTHERS, &node))));
    State::empty(Feed::ZONE).compose(rows).unwrap().unwrap().into_view()
}

/// Code, authority, and the data of the answers.
fn asked(view: &View, question: &str, qtype: u16) -> String {
    let reply = exchange(view, &query(&name(question), qtype), Transport::Udp);
    let data: Vec<String> = reply.answers.iter().map(|record| format!(" {} {}", record.ttl, record.data)).collect();
    format!("{:?}{}{}", reply.metadata.response_code, if reply.metadata.authoritative { " aa" } else { "" }, data.concat())
}

#[test]
fn a_signed_zone_says_itself_what_is_not_there() {
    let signed = format!("{ZONES}    1.10.in-addr.arpa 3600 TYPE48 0101030d00\n");
    let mut rows = LentRows::of(Some(OURS));
    rows.put(lent("pc7.dyn.uni.example", [6, 100]));
    let rows_of = |text: &str| crate::dns::rows(&zones(&records(text)));
    let view = State::empty(Feed::ZONE).compose(rows_of(&signed)).unwrap().unwrap().into_view().with_beside(rows.beside().clone());
    assert_eq!(asked(&view, "pc7.dyn.uni.example", rtype::A), "NoError aa 200 10.1.6.100", "that zone is not");
    for (question, qtype) in [("100.6.1.10.in-addr.arpa", rtype::PTR), ("6.1.10.in-addr.arpa", rtype::NS)] {
        assert_eq!(asked(&view, question, qtype), "NXDomain aa", "{question}");
    }
}

#[test]
fn what_is_lent_is_answered_while_it_is_lent() {
    let (signed, mut rows) = (view(&[]), LentRows::of(Some(OURS)));
    rows.put(lent("pc7.dyn.uni.example", [6, 100]));
    let at = |rows: &LentRows, question, qtype| asked(&signed.with_beside(rows.beside().clone()), question, qtype);
    assert_eq!(at(&rows, "pc7.dyn.uni.example", rtype::A), "NoError aa 200 10.1.6.100");
    assert_eq!(at(&rows, "PC7.dyn.uni.example", rtype::AAAA), "NoError aa", "the name is there, without that type");
    assert_eq!(at(&rows, "100.6.1.10.in-addr.arpa", rtype::PTR), "NoError aa 200 pc7.dyn.uni.example.");
    assert_eq!(at(&rows, "6.1.10.in-addr.arpa", rtype::NS), "NoError aa", "RFC 8020: it exists, as something lies below it");
    assert_eq!(at(&rows, "101.6.1.10.in-addr.arpa", rtype::PTR), "NXDomain aa");
    rows.put(lent("pc8.dyn.uni.example", [6, 101]));
    rows.take(Ipv4Addr::new(10, 1, 6, 100));
    assert_eq!(at(&rows, "pc7.dyn.uni.example", rtype::A), "NXDomain aa");
    assert_eq!(at(&rows, "6.1.10.in-addr.arpa", rtype::NS), "NoError aa", "there is another one yet");
    rows.take(Ipv4Addr::new(10, 1, 6, 101));
    assert_eq!(at(&rows, "6.1.10.in-addr.arpa", rtype::NS), "NXDomain aa");
    assert!(rows.beside().is_empty());
}

#[test]
fn a_machine_that_moves_takes_its_name_along_and_an_address_has_one_name() {
    let (signed, mut rows) = (view(&[]), LentRows::of(None));
    rows.put(lent("pc7.dyn.uni.example", [6, 100]));
    rows.put(lent("pc7.dyn.uni.example", [6, 102]));
    rows.put(lent("pc9.dyn.uni.example", [6, 102]));
    let view = signed.with_beside(rows.beside().clone());
    assert_eq!(asked(&view, "pc7.dyn.uni.example", rtype::A), "NXDomain aa");
    assert_eq!(asked(&view, "100.6.1.10.in-addr.arpa", rtype::PTR), "NXDomain aa");
    assert_eq!(asked(&view, "102.6.1.10.in-addr.arpa", rtype::PTR), "NoError aa 200 pc9.dyn.uni.example.");
}

#[test]
fn what_is_lent_hides_nothing_that_was_signed_and_leaves_our_zones_to_nobody() {
    let mut rows = LentRows::of(Some(OURS));
    for (owner, last) in [("printer.dyn.uni.example", 1), ("pc.lab.dyn.uni.example", 2), ("pc.elsewhere.example", 3), ("pc.wild.dyn.uni.example", 4)] {
        rows.put(lent(owner, [6, last]));
    }
    rows.put(lent("pc5.dyn.uni.example", [7, 5]));
    let view = view(&[]).with_beside(rows.beside().clone());
    assert_eq!(asked(&view, "printer.dyn.uni.example", rtype::A), "NoError aa 600 10.1.4.9");
    assert_eq!(asked(&view, "pc.lab.dyn.uni.example", rtype::A), "NoError", "it is delegated");
    assert_eq!(asked(&view, "pc.elsewhere.example", rtype::A), "Refused");
    assert_eq!(asked(&view, "pc.wild.dyn.uni.example", rtype::A), "NoError aa 200 10.1.6.4", "a name that is there is no wildcard's");
    assert_eq!(asked(&view, "other.wild.dyn.uni.example", rtype::A), "NoError aa 600 10.1.4.8");
    assert_eq!(asked(&view, "5.7.1.10.in-addr.arpa", rtype::PTR), "NoError", "its reverse name is delegated");
}

#[test]
fn of_what_a_box_lends_itself_the_snapshot_has_nothing_to_say() {
    let signed = view(&[lent("pc7.dyn.uni.example", [6, 100])]);
    let beside = |owner| asked(&signed.with_beside(Beside::of(owner)), "pc7.dyn.uni.example", rtype::A);
    assert_eq!(beside(Some(OURS)), "NoError aa 200 10.1.6.100", "the other campus lent it");
    assert_eq!(beside(None), "NoError aa 200 10.1.6.100");
    assert_eq!(beside(Some(OTHERS)), "NXDomain aa", "this box took it back, and the master does not know yet");
    let mut rows = LentRows::of(Some(OURS));
    rows.put(lent("pc7.dyn.uni.example", [6, 9]));
    assert_eq!(asked(&signed.with_beside(rows.beside().clone()), "pc7.dyn.uni.example", rtype::A), "NoError aa 200 10.1.6.9", "of two campuses our own");
    for (owner, of_ours, of_others) in [("pc7.dyn.uni.example", true, false), ("printer.dyn.uni.example", true, true), ("pc8.dyn.uni.example", false, false)] {
        assert_eq!([is_taken(&signed, OURS, &name(owner)), is_taken(&signed, OTHERS, &name(owner))], [of_ours, of_others], "{owner}");
    }
}
