//! Random zones and questions: the answer is that of RFC 1034 section 4.3.2 told naively, over plain records.

use super::*;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use proptest::prelude::*;
use proptest::sample::select;

/// Code, AA, and the records of the three sections in any order.
type Told = (u16, bool, [BTreeSet<Record>; 3]);

fn in_zone<'a>(records: &'a [Record], apex: &DomainName) -> Vec<&'a Record> {
    records.iter().filter(|record| apex_of(records, &record.owner).as_ref() == Some(apex)).collect()
}

/// What keeps a zone from answering for a name itself.
enum Turn {
    /// The delegation at or above it.
    Cut(DomainName),
    /// The DNAME above it.
    Dname(DomainName),
}

/// The first turn on the way from the apex down to the name.
fn turn_of(records: &[Record], apex: &DomainName, name: &DomainName) -> Option<Turn> {
    let own = in_zone(records, apex);
    let has = |name: &DomainName, rtype| own.iter().any(|record| record.owner == *name && record.rtype == rtype);
    let way: Vec<DomainName> = upward(name).take_while(|step| step.is_within(apex)).collect();
    way.into_iter().rev().find_map(|step| match step {
        step if step != *name && has(&step, rtype::DNAME) => Some(Turn::Dname(step)),
        step if step != *apex && has(&step, rtype::NS) => Some(Turn::Cut(step)),
        _ => None,
    })
}

fn zone_for(records: &[Record], name: &DomainName, qtype: u16) -> Option<DomainName> {
    let apex = apex_of(records, name)?;
    let above = name.parent().filter(|_| apex == *name && qtype == rtype::DS);
    let holds = |zone: &DomainName, above: &DomainName| turn_of(records, zone, above).is_none() && !has_type(records, above, rtype::DNAME);
    let parent_zone = above.and_then(|above| apex_of(records, &above).filter(|zone| holds(zone, &above)));
    Some(parent_zone.unwrap_or(apex))
}

fn exists(records: &[Record], name: &DomainName) -> bool {
    records.iter().any(|record| record.owner.is_within(name))
}

/// The name whose records speak for `name`: itself, or a wildcard.
fn source(records: &[Record], name: &DomainName) -> Option<DomainName> {
    if exists(records, name) {
        return Some(name.clone());
    }
    let encloser = upward(name).find(|ancestor| exists(records, ancestor))?;
    let wildcard = DomainName::parse("*", Some(&encloser)).unwrap();
    exists(records, &wildcard).then_some(wildcard)
}

fn referral(records: &[Record], cut: &DomainName, told: &mut Told) {
    for ns in records.iter().filter(|record| record.owner == *cut && record.rtype == rtype::NS) {
        told.2[1].insert(ns.clone());
        let target = DomainName::from_wire(&ns.rdata).unwrap();
        let glue = records.iter().filter(|record| record.owner == target && [rtype::A, rtype::AAAA].contains(&record.rtype));
        told.2[2].extend(glue.cloned());
    }
}

/// The addresses of the machines that these records name: glue only of the servers of a zone of ours.
fn additional(records: &[Record], data: &[Record], at_apex: bool, told: &mut Told) {
    let fixed_bytes = |rtype: u16| [(rtype::NS, 0), (rtype::MX, 2), (rtype::SRV, 6)].into_iter().find(|(one, _)| *one == rtype).map(|(_, bytes)| bytes);
    let sorted: BTreeSet<&Record> = data.iter().collect();
    for record in sorted.into_iter().take(8) {
        let Some(bytes) = fixed_bytes(record.rtype) else { return };
        let target = DomainName::from_wire(&record.rdata[bytes..]).unwrap();
        let is_hidden = apex_of(records, &target).is_none_or(|apex| turn_of(records, &apex, &target).is_some());
        let with_glue = record.rtype == rtype::NS && at_apex;
        if !is_hidden || with_glue {
            let addresses = records.iter().filter(|record| record.owner == target && [rtype::A, rtype::AAAA].contains(&record.rtype));
            told.2[2].extend(addresses.cloned());
        }
    }
}

fn negative(records: &[Record], apex: &DomainName, told: &mut Told) {
    let soa = records.iter().find(|record| record.owner == *apex && record.rtype == rtype::SOA).unwrap();
    let minimum = u32::from_be_bytes(soa.rdata[soa.rdata.len() - 4..].try_into().unwrap());
    told.2[1].insert(Record { ttl: soa.ttl.min(minimum), ..soa.clone() });
}

fn model(records: &[Record], question: &DomainName, qtype: u16) -> Told {
    let mut told: Told = (0, false, Default::default());
    let (mut name, mut passed) = (question.clone(), Vec::new());
    loop {
        let first = passed.is_empty();
        let Some(apex) = zone_for(records, &name, qtype) else {
            told.0 = if first { 5 } else { 0 };
            return told;
        };
        match turn_of(records, &apex, &name) {
            Some(Turn::Cut(cut)) if cut != name || qtype != rtype::DS => {
                referral(records, &cut, &mut told);
                return told;
            }
            Some(Turn::Dname(from)) => {
                told.1 |= first;
                let dname = records.iter().find(|record| record.owner == from && record.rtype == rtype::DNAME).unwrap();
                let target = [&name.wire()[..name.wire().len() - from.wire().len()], &dname.rdata].concat();
                let cname = Record { owner: name.clone(), rtype: rtype::CNAME, ttl: dname.ttl, rdata: target.clone() };
                told.2[0].extend([dname.clone(), cname]);
                if qtype == rtype::CNAME || passed.len() == ALIAS_LIMIT {
                    return told;
                }
                passed.push(from);
                name = DomainName::from_wire(&target).unwrap();
                continue;
            }
            _ => {}
        }
        told.1 |= first;
        let Some(source) = source(records, &name) else {
            told.0 = 3;
            negative(records, &apex, &mut told);
            return told;
        };
        let here: Vec<&Record> = records.iter().filter(|record| record.owner == source).collect();
        let first_type = here.iter().map(|record| record.rtype).min();
        let wanted = if qtype == rtype::ANY { first_type } else { Some(qtype) };
        let own = |record: &&&Record, rtype| Some(record.rtype) == rtype;
        let renamed = |record: &Record| Record { owner: name.clone(), ..record.clone() };
        let data: Vec<Record> = here.iter().filter(|record| own(record, wanted)).map(|record| renamed(record)).collect();
        if !data.is_empty() {
            additional(records, &data, source == apex, &mut told);
            told.2[0].extend(data);
            return told;
        }
        let Some(alias) = here.iter().find(|record| record.rtype == rtype::CNAME).map(|record| renamed(record)) else {
            negative(records, &apex, &mut told);
            return told;
        };
        if passed.contains(&source) || passed.len() == ALIAS_LIMIT {
            return told;
        }
        passed.push(source);
        name = DomainName::from_wire(&alias.rdata).unwrap();
        told.2[0].insert(alias);
    }
}

fn told(reply: &Message) -> Told {
    let plain = |record: &hickory_proto::rr::Record| Record {
        owner: name(&record.name.to_ascii()),
        rtype: record.record_type().into(),
        ttl: record.ttl,
        rdata: uncompressed(&record.data),
    };
    let sections = [&reply.answers, &reply.authorities, &reply.additionals].map(|section| section.iter().map(plain).collect());
    (reply.metadata.response_code.into(), reply.metadata.authoritative, sections)
}

fn uncompressed(rdata: &hickory_proto::rr::RData) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    rdata.emit(&mut encoder).unwrap();
    bytes
}

fn any_name() -> impl Strategy<Value = DomainName> {
    let label = select(vec!["a", "b", "c", "*"]);
    let origin = select(vec!["z", "z", "z", "y", "x"]);
    (proptest::collection::vec(label, 0..4), origin).prop_map(|(labels, origin)| name(&[&labels[..], &[origin]].concat().join(".")))
}

fn any_record() -> impl Strategy<Value = Record> {
    let rtype = select(vec![rtype::A, rtype::A, rtype::AAAA, rtype::NS, rtype::CNAME, rtype::CNAME, rtype::DNAME, rtype::MX, rtype::TXT, rtype::DS]);
    (any_name(), rtype, any_name(), 0..3u8).prop_map(|(owner, rtype, target, number)| {
        let rdata = match rtype {
            rtype::A => vec![10, 0, 0, number],
            rtype::AAAA => [&[0x20; 15][..], &[number]].concat(),
            rtype::MX => [&[0, number], target.wire()].concat(),
            rtype::TXT => vec![1, b'0' + number],
            rtype::DS => vec![0, number, 8, 2, 1, 2, 3, 4],
            _ => target.wire().to_vec(),
        };
        Record { owner, rtype, ttl: 100 + u32::from(rtype), rdata }
    })
}

/// Two zones or three, with records that may stand beside each other: an alias alone and single, no server at a wildcard or below nothing of ours.
fn any_zones() -> impl Strategy<Value = Vec<Record>> {
    (proptest::collection::vec(any_record(), 0..30), any_name().prop_filter("no wildcard", |name| !name.to_string().contains('*'))).prop_map(
        |(drawn, child)| {
            let mut records: Vec<Record> = Vec::new();
            for apex in [name("z"), name("y"), child].into_iter().filter(|apex| !apex.is_within(&name("x"))) {
                let soa = record(&format!("{apex} 3600 SOA ns.z admin.z 1 2 3 4 {}", 50 + apex.label_count()));
                records.extend(
                    [soa, record(&format!("{apex} 102 NS ns.z"))].into_iter().filter(|record| !has_type(&records, &apex, record.rtype)).collect::<Vec<_>>(),
                );
            }
            for record in drawn {
                let beside = |rtype| has_type(&records, &record.owner, rtype);
                let alone = record.rtype != rtype::CNAME || !records.iter().any(|other| other.owner == record.owner);
                let wild_server = record.rtype == rtype::NS && record.owner.to_string().starts_with('*');
                // RFC 6672 section 2.4: a DNAME is single, at no alias, at no delegation, and not at a wildcard if one means well.
                let is_apex = beside(rtype::SOA);
                let server_and_dname = !is_apex && (record.rtype == rtype::NS && beside(rtype::DNAME) || record.rtype == rtype::DNAME && beside(rtype::NS));
                let wild_dname = record.rtype == rtype::DNAME && (record.owner.to_string().starts_with('*') || beside(rtype::DNAME));
                if alone
                    && !beside(rtype::CNAME)
                    && !wild_server
                    && !server_and_dname
                    && !wild_dname
                    && apex_of(&records, &record.owner).is_some()
                    && !records.contains(&record)
                {
                    records.push(record);
                }
            }
            records
        },
    )
}

fn any_question() -> impl Strategy<Value = (DomainName, u16)> {
    (any_name(), select(vec![rtype::A, rtype::AAAA, rtype::NS, rtype::CNAME, rtype::SOA, rtype::MX, rtype::DS, rtype::ANY, 65400]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn answers_are_those_of_the_model(records in any_zones(), questions in proptest::collection::vec(any_question(), 20)) {
        let view = compose(&records);
        for (question, qtype) in questions {
            let reply = exchange(&view, &query(&question, qtype), Transport::Tcp);
            prop_assert_eq!(told(&reply), model(&records, &question, qtype), "{} {}", question, qtype);
        }
    }

    #[test]
    fn the_composer_cuts_zones_as_the_model_does(records in any_zones()) {
        let composed = State::empty(Feed::ZONE).compose(rows(&zones(&records))).unwrap().unwrap().into_view();
        let nodes = |view: &View| view.iter(NODE).map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect::<Vec<_>>();
        prop_assert_eq!(nodes(&composed), nodes(&compose(&records)));
    }

    #[test]
    fn no_packet_panics_and_every_reply_is_one(records in any_zones(), question in any_question(), at in 0usize..60, bytes in proptest::collection::vec(any::<u8>(), 0..6), edns in any::<bool>()) {
        let view = compose(&records);
        let mut packet = query(&question.0, question.1);
        if edns {
            packet = with_edns(packet, 600);
        }
        let at = at.min(packet.len());
        let end = (at + bytes.len()).min(packet.len());
        packet.splice(at..end, bytes);
        let (outcome, reply) = send(&view, &packet, Transport::Udp);
        match outcome {
            Err(_) => prop_assert!(reply.is_empty()),
            Ok(_) => {
                prop_assert!(reply.len() <= 600 && reply[..2] == packet[..2] && reply[2] & 0x80 != 0);
                prop_assert!(Message::from_vec(&reply).is_ok());
            }
        }
    }
}
