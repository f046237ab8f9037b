//! Zone transfers and signatures: no message of another server may panic a core, and what is taken for a zone is the zone's alone.

use holdfast_proto::dns::transfer::{Incoming, Outcome, Progress, notify, query, read_message, wanted};
use holdfast_proto::dns::tsig::{Opened, Session, TsigKey, open, without_signature};
use holdfast_proto::dns::{Record, rtype};
use holdfast_proto::words::{DomainName, Secret, Serial};

const NOW_S: u64 = 1_700_000_000;

fn apex() -> DomainName {
    "uni.example".parse().expect("a name")
}

fn key() -> TsigKey {
    TsigKey { name: "lab.key".parse().expect("a name"), secret: Secret::new(*b"sixteen bytes...") }
}

fn soa(serial: u32) -> Record {
    let numbers = [serial, 1, 2, 3, 4].map(u32::to_be_bytes).concat();
    Record { owner: apex(), rtype: rtype::SOA, ttl: 60, rdata: [apex().wire(), apex().wire(), &numbers].concat() }
}

fn message(records: &[Record]) -> Vec<u8> {
    let mut out = query(7, &apex(), rtype::IXFR, None);
    (out[2], out[7]) = (0x84, records.len() as u8);
    for record in records {
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&[&record.rtype.to_be_bytes()[..], &[0, 1], &record.ttl.to_be_bytes(), &(record.rdata.len() as u16).to_be_bytes()].concat());
        out.extend_from_slice(&record.rdata);
    }
    out
}

/// Requests, notifications and transfers of every form, signed and not.
pub fn seeds() -> Vec<Vec<u8>> {
    let a = |last| Record { owner: apex(), rtype: rtype::A, ttl: 60, rdata: vec![10, 0, 0, last] };
    let mx = Record { owner: apex(), rtype: rtype::MX, ttl: 60, rdata: vec![0, 10, 1, b'm', 0xc0, 12] };
    let plain = [
        query(7, &apex(), rtype::AXFR, None),
        query(7, &apex(), rtype::IXFR, Some(&soa(1))),
        notify(7, &soa(2)),
        message(&[soa(2)]),
        message(&[soa(2), a(1), mx, soa(2)]),
        message(&[soa(3), soa(1), a(1), soa(2), a(2), soa(2), soa(3), a(3), soa(3)]),
    ];
    let signed = plain.iter().map(|message| {
        let mut message = message.clone();
        Session::ask(key(), &mut message, NOW_S);
        message
    });
    plain.iter().cloned().chain(signed).collect()
}

/// Takes any bytes as a request, as a signed one, and as an answer to a transfer.
///
/// # Panics
/// Where a core does, where a record outside the zone is taken, and where what was altered is believed.
pub fn target(bytes: &[u8]) {
    let _ = read_message(bytes);
    if let Some(wanted) = wanted(bytes) {
        assert!(wanted.head.len() <= bytes.len(), "a head that is longer than the request");
    }
    match open(bytes, |_| Some(key()), NOW_S) {
        Opened::Signed(plain, mut session) => {
            assert!(plain.len() < bytes.len(), "the signature is gone");
            let mut reply = message(&[soa(2)]);
            session.sign(&mut reply, NOW_S);
            assert_eq!(without_signature(&reply), message(&[soa(2)]), "a signature that cannot be taken off");
        }
        Opened::Refused(Some(reply), _) => {
            assert!(read_message(&without_signature(&reply)).is_none_or(|reply| reply.header.is_response), "a refusal is a reply")
        }
        Opened::Refused(None, _) | Opened::Unsigned => {}
    }
    for have in [None, Some(Serial(1))] {
        let mut incoming = Incoming::new(7, apex(), have);
        if let Ok(Progress::Done(Outcome::Whole(records))) = incoming.take(bytes) {
            assert!(records.iter().all(|record| record.owner.is_within(&apex())), "a record of another zone");
        }
        let _ = incoming.take(bytes);
    }
}
