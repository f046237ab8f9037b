//! Cookies, NSID, keepalive and padding: what is told to whom.

use super::packets::{ask_www, host};
use super::*;

/// A query for www.example with these options.
fn asking(options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut packet = with_edns(ask_www(), 1232);
    let at = packet.len();
    for (code, value) in options {
        packet.extend_from_slice(&[&code.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat());
    }
    let len = (packet.len() - at) as u16;
    packet[at - 2..at].copy_from_slice(&len.to_be_bytes());
    packet
}

/// The options of a reply: OPT is its last record, and its first byte behind the last record before it.
fn options(reply: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let at = reply.windows(5).rposition(|bytes| bytes == [0, 0, 41, 0x04, 0xd0]).expect("a reply to EDNS has OPT");
    let (mut rest, mut found) = (&reply[at + 11..], Vec::new());
    assert_eq!(usize::from(u16::from_be_bytes([reply[at + 9], reply[at + 10]])), rest.len(), "the options fill their record");
    while let [c0, c1, l0, l1, tail @ ..] = rest {
        let (value, next) = tail.split_at(usize::from(u16::from_be_bytes([*l0, *l1])));
        found.push((u16::from_be_bytes([*c0, *c1]), value.to_vec()));
        rest = next;
    }
    found
}

fn ask(options: &[(u16, &[u8])], transport: Transport, policy: &Policy) -> (Told, Vec<u8>) {
    match send_to(&host(), &asking(options), peer(transport), policy) {
        (Outcome::Replied(told), reply) => (told, reply),
        (silent, _) => panic!("{silent:?}"),
    }
}

#[test]
fn a_client_that_speaks_cookies_is_given_one_and_known_by_it() {
    let (told, reply) = ask(&[(10, b"8 bytes.")], Transport::Udp, &policy());
    assert_eq!((told.rcode, told.cookie), (Rcode::NoError, CookieState::Unproven));
    let given = options(&reply).remove(0);
    assert_eq!((given.0, given.1.len(), &given.1[..12]), (10, 24, &b"8 bytes.\x01\0\0\0"[..]));
    let (told, reply) = ask(&[(10, &given.1)], Transport::Udp, &policy());
    assert_eq!((told.cookie, options(&reply)), (CookieState::Good, vec![given.clone()]));
    let mut forged = given.1;
    forged[23] ^= 1;
    assert_eq!(ask(&[(10, &forged)], Transport::Udp, &policy()).0.cookie, CookieState::Unproven);
    assert_eq!(ask(&[], Transport::Udp, &policy()).0.cookie, CookieState::Without);
}

#[test]
fn a_cookie_of_no_length_that_a_cookie_has_is_a_format_error() {
    for len in [0, 7, 9, 15, 41] {
        let (told, reply) = ask(&[(10, &[1; 41][..len])], Transport::Udp, &policy());
        assert_eq!((told.rcode, reply[3]), (Rcode::FormErr, 1), "{len}");
    }
}

#[test]
fn a_box_that_demands_cookies_answers_who_has_one_or_speaks_none() {
    let strict = Policy { demands_cookies: true, ..policy() };
    let (told, reply) = ask(&[(10, b"8 bytes.")], Transport::Udp, &strict);
    let message = Message::from_vec(&reply).unwrap();
    assert_eq!((told.rcode, u16::from(message.metadata.response_code), message.answers.len()), (Rcode::BadCookie, 23, 0));
    let given = options(&reply).remove(0).1;
    assert_eq!(ask(&[(10, &given)], Transport::Udp, &strict).0.rcode, Rcode::NoError);
    assert_eq!(ask(&[], Transport::Udp, &strict).0.rcode, Rcode::NoError);
    assert_eq!(ask(&[(10, b"8 bytes.")], Transport::Tcp, &strict).0.rcode, Rcode::NoError, "TCP has proven the address");
}

#[test]
fn who_hears_too_much_is_sent_to_tcp_or_given_a_cookie_and_no_answer() {
    let cut_reply = |packet: &[u8]| {
        let mut out = Vec::new();
        cut(packet, peer(Transport::Udp), &policy(), NOW, &mut out);
        Message::from_vec(&out).unwrap()
    };
    for packet in [ask_www(), asking(&[]), asking(&[(3, b"")])] {
        let reply = cut_reply(&packet);
        assert_eq!((reply.metadata.truncation, u16::from(reply.metadata.response_code), reply.answers.len()), (true, 0, 0));
    }
    let reply = cut_reply(&asking(&[(10, b"8 bytes.")]));
    assert_eq!((reply.metadata.truncation, u16::from(reply.metadata.response_code), reply.answers.len()), (false, 23, 0));
    let mut out = vec![1];
    cut(b"no query at all", peer(Transport::Udp), &policy(), NOW, &mut out);
    assert!(out.is_empty());
}

#[test]
fn the_label_of_the_box_is_told_to_who_asks_and_only_where_there_is_one() {
    let labelled = Policy { nsid: Some(b"north"[..].into()), ..policy() };
    assert_eq!(options(&ask(&[(3, b"")], Transport::Udp, &labelled).1), [(3, b"north".to_vec())]);
    assert_eq!(options(&ask(&[], Transport::Udp, &labelled).1), []);
    assert_eq!(options(&ask(&[(3, b"")], Transport::Udp, &policy()).1), []);
}

#[test]
fn keepalive_is_told_on_connections_and_never_by_udp() {
    let idle = Policy { idle_timeout_100ms: 250, ..policy() };
    for (transport, told) in [(Transport::Udp, vec![]), (Transport::Tcp, vec![(11, vec![0, 250])]), (Transport::Tls, vec![(11, vec![0, 250])])] {
        assert_eq!(options(&ask(&[(11, b"")], transport, &idle).1), told);
    }
}

#[test]
fn padding_fills_replies_over_tls_to_whole_blocks() {
    let (_, reply) = ask(&[(12, &[0; 9])], Transport::Tls, &policy());
    assert_eq!(reply.len(), 468);
    assert!(options(&reply)[0].1.iter().all(|byte| *byte == 0));
    assert!(ask(&[(12, &[0; 9])], Transport::Tcp, &policy()).1.len() < 100, "whoever listens on the way sees it anyhow");
    assert!(ask(&[], Transport::Tls, &policy()).1.len() < 100, "it was not asked for");
}

#[test]
fn options_that_are_not_ours_change_nothing() {
    let bare = ask(&[], Transport::Udp, &policy()).1;
    for option in [(8, &b"\0\x01\x18\0\x0a\x01\x01"[..]), (5, b"\x08"), (9, b""), (65001, b"experiment")] {
        assert_eq!(ask(&[option], Transport::Udp, &policy()).1, bare, "{option:?}");
    }
}

#[test]
fn every_option_of_ours_is_within_the_limit_of_a_small_payload() {
    let policy = Policy { nsid: Some([b'n'; 32].into()), ..policy() };
    let mut packet = asking(&[(10, b"8 bytes."), (3, b"")]);
    let at = ask_www().len() + 3;
    packet[at..at + 2].copy_from_slice(&512u16.to_be_bytes());
    let many = (0..40).map(|n| format!("www.example 300 A 10.1.4.{n}\n")).collect::<String>();
    let view = compose(&records(&format!("example 3600 SOA ns.example admin.example 1 7200 900 1209600 600\n{many}")));
    let (outcome, reply) = send_to(&view, &packet, peer(Transport::Udp), &policy);
    assert!(matches!(outcome, Outcome::Replied(Told { truncated: true, .. })) && reply.len() <= 512, "{outcome:?} {}", reply.len());
}
