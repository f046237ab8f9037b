//! Zones that change at random, told by one end and taken by the other: whatever happened between two views, a secondary that follows has
//! in the end what one that takes the whole zone has.

mod signed;

use super::*;
use crate::dns::{Record, Transport, Zone, rows, rtype};
use crate::snapshot::{Change, Feed, RowRef, State, View, encode_changes};
use crate::words::{DomainName, Serial};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn record(owner: &str, rtype: u16, rdata: &[u8]) -> Record {
    Record { owner: name(owner), rtype, ttl: 300, rdata: rdata.to_vec() }
}

fn soa(apex: &str, serial: u32) -> Record {
    let numbers = [serial, 3600, 600, 86400, 300].map(u32::to_be_bytes).concat();
    record(apex, rtype::SOA, &[name("ns.uni.example").wire(), name("admin.uni.example").wire(), &numbers].concat())
}

fn zone(apex: &str, serial: u32, records: impl IntoIterator<Item = Record>) -> Zone {
    let ns = record(apex, rtype::NS, name(&format!("ns.{apex}")).wire());
    let address = record(&format!("ns.{apex}"), rtype::A, &[10, 1, 1, 1]);
    Zone { apex: name(apex), records: [soa(apex, serial), ns, address].into_iter().chain(records).collect() }
}

/// A view, and another one with the payload that leads there.
struct Site {
    rows: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
    view: View,
}

impl Site {
    fn of(zones: &[Zone]) -> Self {
        let rows = keyed(zones);
        let changes = rows.iter().map(|((table, key), value)| Change::put(crate::snapshot::Table(*table), key.clone(), value.clone())).collect();
        Self { rows, view: State::empty(Feed::ZONE).compose(changes).unwrap().unwrap().into_view() }
    }

    fn payload_to(&self, other: &Self) -> Vec<u8> {
        let keys: BTreeSet<_> = self.rows.keys().chain(other.rows.keys()).cloned().collect();
        let changes: Vec<Change> = keys
            .into_iter()
            .filter(|key| self.rows.get(key) != other.rows.get(key))
            .map(|key| Change { table: crate::snapshot::Table(key.0), key: key.1.clone(), value: other.rows.get(&key).cloned() })
            .collect();
        encode_changes(changes.iter().map(|change| RowRef { table: change.table, key: &change.key, value: change.value.as_deref() })).unwrap()
    }
}

fn keyed(zones: &[Zone]) -> BTreeMap<(u8, Vec<u8>), Vec<u8>> {
    rows(zones).into_iter().map(|change| ((change.table.0, change.key), change.value.unwrap())).collect()
}

fn ask(apex: &str, qtype: u16, have: Option<&Record>) -> Wanted {
    wanted(&query(7, &name(apex), qtype, have)).unwrap()
}

fn sent(view: &View, wanted: &Wanted, steps: Option<&[std::sync::Arc<ZoneDelta>]>, transport: Transport) -> (Sent, Vec<Vec<u8>>) {
    let mut messages = Vec::new();
    let sent = transfer(view, wanted, steps, transport, |message| {
        messages.push(message);
        true
    });
    (sent.unwrap(), messages)
}

fn taken(apex: &str, have: Option<Serial>, messages: &[Vec<u8>]) -> Outcome {
    let mut incoming = Incoming::new(7, name(apex), have);
    for (n, message) in messages.iter().enumerate() {
        match incoming.take(message).unwrap() {
            Progress::Done(outcome) => {
                assert_eq!(n + 1, messages.len(), "nothing comes behind the end");
                return outcome;
            }
            Progress::More => {}
        }
    }
    panic!("the transfer has no end");
}

/// What a secondary of this zone has that takes all of it.
fn whole(view: &View, apex: &str) -> BTreeSet<Record> {
    let (how, messages) = sent(view, &ask(apex, rtype::AXFR, None), None, Transport::Tcp);
    assert_eq!(how, Sent::Whole);
    match taken(apex, None, &messages) {
        Outcome::Whole(records) => records.into_iter().collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_zone_has_what_delegates_the_zones_below_it_and_nothing_else_of_theirs() {
    let child = zone("cs.uni.example", 3, [record("www.cs.uni.example", rtype::A, &[10, 2, 2, 2])]);
    let mut parent = zone("uni.example", 9, [record("www.uni.example", rtype::A, &[10, 1, 1, 2])]);
    parent.records.push(record("cs.uni.example", rtype::DS, &[0, 1, 13, 2, 9, 9]));
    let site = Site::of(&[parent, child]);
    let told: Vec<String> = whole(&site.view, "uni.example").iter().map(|record| format!("{} {}", record.owner.without_dot(), record.rtype)).collect();
    let expected = ["cs.uni.example 2", "cs.uni.example 43", "ns.cs.uni.example 1", "ns.uni.example 1", "uni.example 2", "uni.example 6", "www.uni.example 1"];
    assert_eq!(told.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected.into());
    let told: Vec<u16> = whole(&site.view, "cs.uni.example").iter().map(|record| record.rtype).collect();
    assert!(!told.contains(&rtype::DS), "the parent's");
}

#[test]
fn a_large_zone_takes_many_messages_and_each_fits() {
    let hosts = (0..5000).map(|n| record(&format!("host-{n}.uni.example"), rtype::A, &[10, 1, (n >> 8) as u8, n as u8]));
    let site = Site::of(&[zone("uni.example", 1, hosts)]);
    let (_, messages) = sent(&site.view, &ask("uni.example", rtype::AXFR, None), None, Transport::Tcp);
    assert!(messages.len() > 3 && messages.iter().all(|message| message.len() <= 16 << 10));
    assert_eq!(whole(&site.view, "uni.example").len(), 5003);
}

#[test]
fn over_udp_a_secondary_hears_what_fits_or_the_newest_serial_alone() {
    let before = Site::of(&[zone("uni.example", 1, [])]);
    let after = Site::of(&[zone("uni.example", 2, [record("a.uni.example", rtype::A, &[10, 1, 1, 9])])]);
    let mut journal = Journal::default();
    assert_eq!(journal.take(&before.view, &after.view, [&before.payload_to(&after)[..]]), [name("uni.example")]);
    let steps = journal.since(&name("uni.example"), Serial(1)).unwrap();
    let old = ask("uni.example", rtype::IXFR, Some(&soa("uni.example", 1)));
    assert_eq!(sent(&after.view, &old, Some(&steps), Transport::Udp).0, Sent::Changes);
    let (how, messages) = sent(&after.view, &old, None, Transport::Udp);
    assert_eq!((how, taken("uni.example", Some(Serial(1)), &messages)), (Sent::Newest, Outcome::AskWhole));
    let (how, messages) = sent(&after.view, &ask("uni.example", rtype::IXFR, Some(&soa("uni.example", 2))), None, Transport::Tcp);
    assert_eq!((how, taken("uni.example", Some(Serial(2)), &messages)), (Sent::Newest, Outcome::Nothing(Serial(2))));
    assert!(journal.since(&name("uni.example"), Serial(7)).is_none());
}

#[test]
fn a_zone_that_is_cut_in_two_has_no_history() {
    let before = Site::of(&[zone("uni.example", 1, [record("www.cs.uni.example", rtype::A, &[10, 1, 1, 9])])]);
    let after = Site::of(&[zone("uni.example", 2, []), zone("cs.uni.example", 1, [record("www.cs.uni.example", rtype::A, &[10, 1, 1, 9])])]);
    let mut journal = Journal::default();
    let risen: BTreeSet<DomainName> = journal.take(&before.view, &after.view, [&before.payload_to(&after)[..]]).into_iter().collect();
    assert_eq!(risen, [name("uni.example"), name("cs.uni.example")].into());
    assert!(journal.since(&name("uni.example"), Serial(1)).is_none());
}

#[test]
fn what_a_primary_must_not_send_is_refused_or_left_out() {
    let message = |records: &[Record]| {
        let mut out = query(7, &name("uni.example"), rtype::AXFR, None);
        out[2] = 0x84;
        out[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        for record in records {
            out.extend_from_slice(record.owner.wire());
            out.extend_from_slice(&[&record.rtype.to_be_bytes()[..], &[0, 1], &record.ttl.to_be_bytes(), &(record.rdata.len() as u16).to_be_bytes()].concat());
            out.extend_from_slice(&record.rdata);
        }
        out
    };
    let take = |records: &[Record]| Incoming::new(7, name("uni.example"), None).take(&message(records));
    let a = |owner: &str| record(owner, rtype::A, &[10, 0, 0, 1]);
    assert_eq!(take(&[a("uni.example")]), Err(TransferError::NoSoa));
    assert_eq!(take(&[]), Err(TransferError::NoSoa));
    assert_eq!(take(&[soa("uni.example", 1), a("www.uni.example")]), Ok(Progress::More));
    let Ok(Progress::Done(Outcome::Whole(kept))) = take(&[soa("uni.example", 1), a("www.uni.example"), a("www.bank.example"), soa("uni.example", 1)]) else {
        panic!("it is whole")
    };
    assert_eq!(kept, [soa("uni.example", 1), a("www.uni.example")]);
    assert_eq!(take(&[soa("uni.example", 1), a("a.uni.example"), soa("uni.example", 2)]), Err(TransferError::Broken));
    let mut refused = message(&[]);
    refused[3] = 5;
    assert_eq!(Incoming::new(7, name("uni.example"), None).take(&refused), Err(TransferError::Rcode(5)));
    assert_eq!(Incoming::new(8, name("uni.example"), None).take(&refused), Err(TransferError::Malformed));
}

#[test]
fn names_in_data_are_followed_backwards_only() {
    // MX 10 mail, and behind it a pointer to the question's name.
    let mut reply = query(7, &name("uni.example"), rtype::MX, None);
    (reply[2], reply[7]) = (0x84, 1);
    reply.extend_from_slice(b"\xc0\x0c\x00\x0f\x00\x01\x00\x00\x01\x2c\x00\x09\x00\x0a\x04mail\xc0\x0c");
    assert_eq!(read_message(&reply).unwrap().answers, [record("uni.example", rtype::MX, &[&[0, 10], name("mail.uni.example").wire()].concat())]);
    let at = reply.len() - 1;
    reply[at] = at as u8 - 1;
    assert_eq!(read_message(&reply), None);
}

/// Owners that make hosts, delegations, names below them, servers of the child, and the child's top.
const OWNERS: [&str; 7] =
    ["www.uni.example", "cut.uni.example", "ns.cut.uni.example", "cs.uni.example", "ns.cs.uni.example", "ns2.cs.uni.example", "b.a.uni.example"];

fn any_records() -> impl Strategy<Value = Vec<Record>> {
    let one = (0..OWNERS.len(), 0..4u8, 0..4u8).prop_map(|(owner, kind, n)| match kind {
        0 | 1 => record(OWNERS[owner], rtype::A, &[10, 1, 1, n]),
        2 => record(OWNERS[owner], rtype::NS, name(OWNERS[usize::from(n) + 2]).wire()),
        _ => record(OWNERS[owner], rtype::MX, &[&[0, n], name("mail.uni.example").wire()].concat()),
    });
    proptest::collection::vec(one, 0..8)
}

/// Both zones with these records, each where it belongs. The serial is the step's number.
fn site(records: &[Record], serial: u32) -> Site {
    let in_child = |record: &&Record| record.owner.is_within(&name("cs.uni.example"));
    let child: Vec<Record> = records.iter().filter(in_child).cloned().collect();
    let parent: Vec<Record> = records.iter().filter(|record| !in_child(record)).cloned().collect();
    Site::of(&[zone("uni.example", serial, parent), zone("cs.uni.example", serial, child)])
}

proptest! {
    #[test]
    fn who_follows_has_what_who_takes_everything_has(steps in proptest::collection::vec(any_records(), 2..6), start in 0usize..5) {
        let sites: Vec<Site> = steps.iter().zip(1..).map(|(records, serial)| site(records, serial)).collect();
        let mut journal = Journal::default();
        for pair in sites.windows(2) {
            journal.take(&pair[0].view, &pair[1].view, [&pair[0].payload_to(&pair[1])[..]]);
        }
        let (start, last) = (start.min(sites.len() - 2), &sites[sites.len() - 1]);
        for apex in ["uni.example", "cs.uni.example"] {
            let have = soa_of(&sites[start].view, &name(apex)).unwrap();
            let steps = journal.since(&name(apex), have.1.serial).expect("all is at hand");
            let (how, messages) = sent(&last.view, &ask(apex, rtype::IXFR, Some(&have.0)), Some(&steps), Transport::Tcp);
            prop_assert_eq!(how, Sent::Changes);
            let Outcome::Changes(deltas) = taken(apex, Some(have.1.serial), &messages) else { panic!("steps were sent") };
            let mut followed = whole(&sites[start].view, apex);
            for delta in deltas {
                for record in delta.removed {
                    prop_assert!(followed.remove(&record), "{:?} goes and is not there", record);
                }
                for record in delta.added {
                    prop_assert!(followed.insert(record.clone()), "{:?} comes and is there", record);
                }
            }
            prop_assert_eq!(followed, whole(&last.view, apex));
        }
    }

    #[test]
    fn no_message_breaks_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let mut bytes = bytes;
        if bytes.len() > 12 {
            bytes[4..12].copy_from_slice(&[0, 0, 0, 2, 0, 1, 0, 0]);
        }
        let _ = read_message(&bytes);
        let _ = wanted(&bytes);
        let _ = Incoming::new(0, name("uni.example"), None).take(&bytes);
    }
}
