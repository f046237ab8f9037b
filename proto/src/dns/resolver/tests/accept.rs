use super::*;
use crate::dns::Transport;
use crate::dns::resolver::accept::{Answer, Heard, Refusal, hear};
use hickory_proto::op::Message;
use proptest::prelude::*;

fn heard(question: &Question, packet: &[u8]) -> Heard {
    hear(question, packet, Transport::Udp).0
}

fn believed(name: &str, rtype: &str, rcode: u8, sections: [&[&str]; 3]) -> Answer {
    let question = question(&wanted(name, rtype));
    match heard(&question, &reply(&question, rcode, sections)) {
        Heard::Answer(answer) => *answer,
        other => panic!("{other:?}"),
    }
}

/// What an answer says, as another reads it: the records of both sections.
fn lines(answer: &Answer) -> [Vec<String>; 2] {
    let message = Message::from_vec(&answer.to_packet()).unwrap();
    [message.answers, message.authorities].map(|records| records.iter().map(|one| format!("{} {} {}", one.name, one.ttl, one.data)).collect())
}

const SOA: &str = "example 900 SOA ns.example host.example 1 7200 900 1209600 60";

#[test]
fn of_a_reply_the_chain_is_believed_and_nothing_else() {
    let answers = [
        "evil.test 300 A 192.0.2.66",
        "www.example 300 CNAME web.other.test",
        "web.other.test 60 A 192.0.2.1",
        "web.other.test 60 A 192.0.2.2",
        "web.other.test 60 TXT \"not asked for\"",
        "www.example 300 A 192.0.2.67",
    ];
    // An A beside a CNAME: the name itself has data, which ends the chain at once.
    let answer = believed("www.example", "A", 0, [&answers, &["test 9 NS ns.evil.test"], &["ns.evil.test 9 A 192.0.2.66"]]);
    assert_eq!(lines(&answer), [vec!["www.example. 300 192.0.2.67".to_owned()], vec![]]);
    let answer = believed("www.example", "A", 0, [&answers[..5], &["test 9 NS ns.evil.test"], &["ns.evil.test 9 A 192.0.2.66"]]);
    let chain = ["www.example. 300 web.other.test.", "web.other.test. 60 192.0.2.1", "web.other.test. 60 192.0.2.2"];
    assert_eq!(lines(&answer), [chain.map(str::to_owned).to_vec(), vec![]]);
    assert_eq!((answer.ttl_s(), answer.negative), (60, false));
}

#[test]
fn that_there_is_nothing_is_good_for_as_long_as_the_zone_says() {
    let answer = believed("no.example", "A", 3, [&[], &[SOA, "other.test 9 SOA ns.example host.example 1 1 1 1 1"], &[]]);
    let soa = "example. 60 ns.example. host.example. 1 7200 900 1209600 60";
    assert_eq!((lines(&answer), answer.ttl_s(), answer.negative), ([vec![], vec![soa.to_owned()]], 60, true));
    let answer = believed("a.example", "A", 3, [&["a.example 20 CNAME b.example"], &[SOA], &[]]);
    assert_eq!((lines(&answer)[0].len(), answer.ttl_s()), (1, 20), "an alias to nowhere");
    let answer = believed("no.example", "A", 3, [&[], &["other.test 9 SOA ns.example host.example 1 1 1 1 1"], &[]]);
    assert_eq!((lines(&answer), answer.ttl_s()), ([vec![], vec![]], 0), "another zone's word is none: not kept");
}

#[test]
fn what_is_no_answer_is_told_apart() {
    let question = question(&wanted("www.example", "A"));
    let refused = |rcode, sections| heard(&question, &reply(&question, rcode, sections));
    assert_eq!(refused(2, [&[], &[], &[]]), Heard::Refused(Refusal::Code(2)));
    assert_eq!(refused(0, [&[], &["example 9 NS ns.example"], &[]]), Heard::Refused(Refusal::Referral));
    let wrong_dname = ["example 9 DNAME other.test", "www.example 9 CNAME www.evil.test"];
    assert_eq!(refused(0, [&wrong_dname, &[], &[]]), Heard::Refused(Refusal::Malformed));
    let right_dname = ["example 9 DNAME other.test", "www.example 9 CNAME www.other.test", "www.other.test 9 A 192.0.2.1"];
    assert!(matches!(refused(0, [&right_dname, &[], &[]]), Heard::Answer(answer) if answer.counts == [3, 0]));
    let mut cut = reply(&question, 0, [&[], &[], &[]]);
    cut[2] |= 2;
    assert_eq!(heard(&question, &cut), Heard::Truncated);
    let mut torn = reply(&question, 0, [&["www.example 9 A 192.0.2.1"], &[], &[]]);
    torn.pop();
    assert_eq!(heard(&question, &torn), Heard::Refused(Refusal::Malformed));
}

#[test]
fn only_the_reply_to_this_very_question_is_one() {
    let question = question(&wanted("www.example", "A"));
    assert!(question.bytes()[12..].windows(1).any(|byte| byte[0].is_ascii_uppercase()), "the case is shuffled");
    let good = reply(&question, 0, [&["www.example 9 A 192.0.2.1"], &[], &[]]);
    assert!(matches!(heard(&question, &good), Heard::Answer(_)));
    let altered = |at: usize, bits: u8| {
        let mut packet = good.clone();
        packet[at] ^= bits;
        packet
    };
    // Id, QR, opcode, count of questions, the name, its type, its class.
    for (at, bits) in [(0, 1), (1, 0x80), (2, 0x80), (2, 0x10), (5, 3), (13, 1), (26, 2), (28, 2)] {
        assert_eq!(heard(&question, &altered(at, bits)), Heard::NotOurs, "byte {at}");
    }
    let letter = (13..24).find(|at| good[*at].is_ascii_alphabetic()).unwrap();
    assert_eq!(heard(&question, &altered(letter, 0x20)), Heard::OtherCase);
    assert!(matches!(hear(&question, &altered(letter, 0x20), Transport::Tcp).0, Heard::Answer(_)), "nobody guesses over TCP");
    for len in 0..question.question_end {
        assert_eq!(heard(&question, &good[..len]), Heard::NotOurs);
    }
}

#[test]
fn who_gave_a_cookie_must_show_it() {
    let credentials = |server: &[u8]| Credentials { client: *b"8 bytes.", server: server.to_vec() };
    let new = Question::write(&wanted("www.example", "A"), &[1; RANDOM_BYTES], &credentials(b""), 0);
    let known = Question::write(&wanted("www.example", "A"), &[1; RANDOM_BYTES], &credentials(b"theirs.."), 0);
    let with = |cookie: &[u8], extended: u8, low: u8| {
        let mut packet = reply(&new, low, [&["www.example 9 A 192.0.2.1"], &[], &[]]);
        packet[11] += 1;
        let option = [&[0, 10, 0, cookie.len() as u8], cookie].concat();
        packet.extend([&[0, 0, 41, 4, 0xd0, extended, 0, 0, 0, 0, option.len() as u8], &option[..]].concat());
        packet
    };
    let plain = reply(&new, 0, [&["www.example 9 A 192.0.2.1"], &[], &[]]);
    let good = with(b"8 bytes.theirs..", 0, 0);
    assert!(matches!(hear(&new, &good, Transport::Udp), (Heard::Answer(_), Some(cookie)) if cookie == b"theirs.."));
    assert!(matches!(hear(&known, &good, Transport::Udp), (Heard::Answer(_), Some(_))));
    assert!(matches!(hear(&new, &plain, Transport::Udp), (Heard::Answer(_), None)), "from who knows no cookies");
    assert_eq!(hear(&known, &plain, Transport::Udp), (Heard::NotOurs, None), "from who knew them before");
    assert!(matches!(hear(&known, &plain, Transport::Tcp), (Heard::Answer(_), None)));
    assert_eq!(hear(&new, &with(b"another!theirs..", 0, 0), Transport::Udp), (Heard::NotOurs, None));
    assert_eq!(hear(&new, &with(b"8 bytes.fresher.", 1, 7), Transport::Udp).0, Heard::BadCookie(b"fresher.".to_vec()));
}

#[test]
fn names_in_data_are_written_out_and_compression_goes_backwards() {
    let question = question(&wanted("example", "MX"));
    let mut packet = reply(&question, 0, [&[], &[], &[]]);
    packet[7] = 1;
    let mx = |pointer: u8| [&[0xc0, 12, 0, 15, 0, 1, 0, 0, 0, 9, 0, 9, 0, 5, 4][..], b"mail", &[0xc0, pointer]].concat();
    let good = [&packet[..], &mx(12)].concat();
    match heard(&question, &good) {
        Heard::Answer(answer) => assert_eq!(lines(&answer)[0], ["example. 9 5 mail.example."]),
        other => panic!("{other:?}"),
    }
    let itself = (packet.len() + 14) as u8;
    assert_eq!(heard(&question, &[&packet[..], &mx(itself)].concat()), Heard::Refused(Refusal::Malformed));
    assert_eq!(heard(&question, &[&packet[..], &mx(255)].concat()), Heard::Refused(Refusal::Malformed));
}

#[test]
fn signatures_go_with_what_they_sign_to_who_wants_them() {
    // Over A, algorithm 13, two labels; by example.
    let line = r"www.example 300 RRSIG \# 29 00010d020000012c70dbd8805e0be1001267076578616d706c65000102";
    let (signed, plain) = (Wanted::of(&wire("www.example"), 1, true, false).unwrap(), wanted("www.example", "A"));
    let [with, without] = [&signed, &plain].map(|wanted| {
        let question = question(wanted);
        match heard(&question, &reply(&question, 0, [&["www.example 300 A 192.0.2.1", line], &[], &[]])) {
            Heard::Answer(answer) => *answer,
            other => panic!("{other:?}"),
        }
    });
    assert_eq!((with.counts, without.counts), ([2, 0], [1, 0]));
    assert_eq!(with.as_wanted(&plain).unwrap(), without);
    // Over a CNAME.
    let over_alias = r"www.example 300 RRSIG \# 29 00050d020000012c70dbd8805e0be1001267076578616d706c65000102";
    let question = question(&signed);
    match heard(&question, &reply(&question, 0, [&["www.example 300 CNAME web.example", over_alias, "web.example 9 A 192.0.2.1"], &[], &[]])) {
        Heard::Answer(answer) => assert_eq!(answer.counts, [3, 0]),
        other => panic!("{other:?}"),
    }
}

proptest! {
    /// Whatever comes back, what is believed of it is a whole message about names on the chain from the question.
    #[test]
    fn what_is_believed_can_be_read_and_belongs_to_the_question(
        picks in proptest::collection::vec((0usize..8, 0usize..3), 0..8),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        rcode in 0u8..4,
    ) {
        const LINES: [&str; 8] = [
            "www.example 300 CNAME b.test", "b.test 30 CNAME www.example", "b.test 20 A 192.0.2.1", "www.example 9 A 192.0.2.2",
            "example 7 DNAME test", SOA, "x.test 5 A 192.0.2.3", "test 5 NS www.example",
        ];
        let question = question(&wanted("www.example", "A"));
        let section = |number: usize| picks.iter().filter(|(_, section)| *section == number).map(|(line, _)| LINES[*line]).collect::<Vec<_>>();
        let mut packet = reply(&question, rcode, [&section(0), &section(1), &section(2)]);
        for (at, byte) in edits {
            let at = at.index(packet.len() - question.question_end.min(packet.len() - 1)) + question.question_end.min(packet.len() - 1);
            packet[at] = byte;
        }
        if let Heard::Answer(answer) = heard(&question, &packet) {
            let message = Message::from_vec(&answer.to_packet()).unwrap();
            prop_assert_eq!(message.answers.len() + message.authorities.len(), usize::from(answer.counts[0] + answer.counts[1]));
            let mut known = vec!["www.example.".to_owned()];
            for record in &message.answers {
                let owner = record.name.to_lowercase().to_string();
                let is_above = known.iter().any(|name| name.ends_with(&owner));
                prop_assert!(known.contains(&owner) || record.record_type() == hickory_proto::rr::RecordType::DNAME && is_above, "{} {:?}", record, known);
                if record.record_type() == hickory_proto::rr::RecordType::CNAME {
                    known.push(record.data.to_string().to_lowercase());
                }
            }
            prop_assert!(answer.ttls_at.len() == message.answers.len() + message.authorities.len());
        }
    }
}
