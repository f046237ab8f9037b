//! Headers, EDNS and limits: what a client may send, and how long a reply may be.

use super::*;
use hickory_proto::op::ResponseCode;

pub(super) fn host() -> View {
    compose(&records(
        "example 3600 SOA ns.example admin.example 1 7200 900 1209600 600
         example 3600 NS ns.example
         www.example 300 A 10.1.4.7",
    ))
}

pub(super) fn ask_www() -> Vec<u8> {
    query(&name("www.example"), rtype::A)
}

/// The reply's code and header bytes behind the id, for a packet that is no good query.
fn check(packet: &[u8], rcode: Rcode, header_hex: &str) {
    let (outcome, reply) = send(&host(), packet, Transport::Udp);
    assert_eq!(outcome, Ok(rcode), "{}", hex::encode(packet));
    assert_eq!((&reply[..2], hex::encode(&reply[2..12]).as_str()), (&packet[..2], header_hex), "{}", hex::encode(packet));
    Message::from_vec(&reply).unwrap();
}

#[test]
fn a_positive_reply_is_golden() {
    let (_, reply) = send(&host(), &ask_www(), Transport::Udp);
    let golden = "484285000001000100000000 03777777076578616d706c6500 00010001 c00c000100010000012c00040a010407";
    assert_eq!(hex::encode(reply), golden.replace(' ', ""));
}

#[test]
fn names_share_their_ends_with_the_question() {
    let view = compose(&records("example 9 SOA ns.example admin.example 1 2 3 4 5\n mail.example 9 MX 10 mx.example\n far.example 9 CNAME www.other"));
    let (_, reply) = send(&view, &query(&name("mail.example"), rtype::MX), Transport::Udp);
    assert_eq!(hex::encode(&reply[reply.len() - 9..]), "0007000a026d78c011");
    let (_, reply) = send(&view, &query(&name("far.example"), rtype::CNAME), Transport::Udp);
    assert!(reply.ends_with(b"\x00\x0b\x03www\x05other\x00"));
    let (_, reply) = send(&view, &query(&name("no.example"), rtype::A), Transport::Udp);
    assert_eq!(hex::encode(&reply[28..]), "c00f0006000100000005 0021 026e73c00f 0561646d696ec00f 0000000100000002000000030000000400000005".replace(' ', ""));
}

#[test]
fn the_question_comes_back_to_the_bit() {
    let mut packet = ask_www();
    packet[13..16].copy_from_slice(b"wWw");
    packet[17..24].copy_from_slice(b"eXAMplE");
    let (outcome, reply) = send(&host(), &packet, Transport::Udp);
    assert_eq!((outcome, &reply[12..29]), (Ok(Rcode::NoError), &packet[12..29]));
}

#[test]
fn silence_has_a_reason() {
    let mut response = ask_www();
    response[2] |= 0x80;
    for (packet, reason) in [(&b""[..], Reason::Short), (&[0; 11], Reason::Short), (&response, Reason::Response)] {
        assert_eq!(send(&host(), packet, Transport::Udp), (Err(reason), Vec::new()));
    }
    let nowhere = Peer { address: "192.0.2.1:0".parse().unwrap(), transport: Transport::Udp };
    assert_eq!(send_to(&host(), &ask_www(), nowhere, &policy()), (Outcome::Silent(Reason::NoReturnPort), Vec::new()));
}

#[test]
fn recursion_is_neither_offered_nor_are_other_flags_given_back() {
    let mut packet = ask_www();
    (packet[2], packet[3]) = (0x07, 0xff);
    let (_, reply) = send(&host(), &packet, Transport::Udp);
    assert_eq!(reply[2..4], [0x85, 0x00]);
    packet[2] = 0;
    assert_eq!(send(&host(), &packet, Transport::Udp).1[2], 0x84);
}

#[test]
fn other_opcodes_are_not_implemented() {
    for opcode in (1..16u8).filter(|opcode| ![4, 5].contains(opcode)) {
        let mut packet = ask_www();
        (packet[2], packet[3]) = (opcode << 3 | 0x07, 0xff);
        check(&packet, Rcode::NotImp, &format!("{:02x}040000000000000000", 0x80 | opcode << 3));
        check(&packet[..12], Rcode::NotImp, &format!("{:02x}040000000000000000", 0x80 | opcode << 3));
    }
}

#[test]
fn who_notifies_or_updates_is_refused_with_a_reason() {
    for opcode in [4u8, 5] {
        let mut packet = query(&name("example"), rtype::SOA);
        (packet[2], packet[3]) = (opcode << 3 | 0x07, 0xff);
        check(&packet, Rcode::Refused, &format!("{:02x}050001000000000000", 0x80 | opcode << 3));
        // An update has records behind its question; nothing of them comes back.
        let mut update = packet.clone();
        update[9] = 1;
        update.extend_from_slice(b"\x01x\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x0a\0\0\x01");
        check(&update, Rcode::Refused, &format!("{:02x}050001000000000000", 0x80 | opcode << 3));
        let (_, reply) = send(&host(), &with_edns(packet.clone(), 1232), Transport::Tcp);
        assert!(reply.ends_with(&[0, 6, 0, 15, 0, 2, 0, 18]), "EDE 18, Prohibited");
        check(&packet[..20], Rcode::FormErr, &format!("{:02x}010000000000000000", 0x80 | opcode << 3));
    }
}

#[test]
fn a_box_says_its_label_and_never_its_version() {
    let labelled = Policy { nsid: Some(b"north"[..].into()), ..policy() };
    let ask = |owner: &str, policy: &Policy| {
        let mut packet = query(&name(owner), rtype::TXT);
        *packet.last_mut().unwrap() = 3;
        send_to(&host(), &packet, peer(Transport::Udp), policy).1
    };
    for owner in ["id.server", "hostname.bind", "HostName.BIND"] {
        let reply = ask(owner, &labelled);
        assert_eq!((reply[3], &reply[reply.len() - 18..]), (0, &b"\xc0\x0c\0\x10\0\x03\0\0\0\0\0\x06\x05north"[..]), "{owner}");
        assert_eq!(ask(owner, &policy())[3], 5, "{owner}");
    }
    for owner in ["version.bind", "version.server", "authors.bind", "example"] {
        assert_eq!(ask(owner, &labelled)[3], 5, "{owner}");
    }
}

#[test]
fn questions_are_one_and_whole() {
    for count in [0, 2, 255] {
        let mut packet = ask_www();
        packet[5] = count;
        check(&packet, Rcode::FormErr, "80010000000000000000");
    }
    let whole = ask_www();
    for end in 12..whole.len() {
        check(&whole[..end], Rcode::FormErr, "80010000000000000000");
    }
    let mut pointing = ask_www();
    pointing[12] = 0xc0;
    check(&pointing, Rcode::FormErr, "80010000000000000000");
}

#[test]
fn other_classes_are_refused() {
    for class in [3, 4, 254, 255] {
        let mut packet = query(&name("version.bind"), rtype::TXT);
        *packet.last_mut().unwrap() = class;
        check(&packet, Rcode::Refused, "81050001000000000000");
    }
}

#[test]
fn edns_is_answered_with_our_payload_and_the_do_bit() {
    let mut packet = with_edns(ask_www(), 4096);
    let at = packet.len();
    packet[at - 4] = 0x80;
    let (_, reply) = send(&host(), &packet, Transport::Udp);
    assert_eq!(hex::encode(&reply[reply.len() - 11..]), "00002904d0000080000000");
    assert_eq!(reply[11], 1);
    // An unknown option changes nothing.
    packet[at - 1] = 5;
    packet.extend_from_slice(&[0xfd, 0xe9, 0, 1, 7]);
    assert_eq!(send(&host(), &packet, Transport::Udp).1, reply);
}

#[test]
fn edns_of_another_version_is_told_ours() {
    let mut packet = with_edns(ask_www(), 1232);
    let at = packet.len();
    packet[at - 5] = 1;
    let reply = exchange(&host(), &packet, Transport::Udp);
    assert_eq!((u16::from(reply.metadata.response_code), reply.answers.len(), reply.edns.map(|edns| edns.version())), (16, 0, Some(0)));
}

#[test]
fn opt_is_one_at_the_root_and_whole() {
    let good = with_edns(ask_www(), 1232);
    let question_end = ask_www().len();
    let mut twice = with_edns(good.clone(), 1232);
    twice[11] = 2;
    let mut named = good.clone();
    named.splice(question_end..=question_end, *b"\x01x\x00");
    let mut torn_option = good.clone();
    *torn_option.last_mut().unwrap() = 3;
    torn_option.extend_from_slice(&[0, 10, 0]);
    let mut as_answer = good.clone();
    (as_answer[7], as_answer[11]) = (1, 0);
    let mut promised = ask_www();
    promised[11] = 1;
    for packet in [twice, named, torn_option, as_answer, promised, good[..good.len() - 1].to_vec()] {
        check(&packet, Rcode::FormErr, "80010001000000000000");
    }
    check(&query(&name("www.example"), rtype::OPT), Rcode::FormErr, "81010001000000000000");
}

/// A set of `count` addresses at www.example.
fn crowd(count: u16) -> View {
    let mut lines = "example 3600 SOA ns.example admin.example 1 7200 900 1209600 600\n".to_owned();
    (0..count).for_each(|n| lines.push_str(&format!("www.example 300 A 10.1.{}.{}\n", n >> 8, n & 255)));
    compose(&records(&lines))
}

#[test]
fn a_reply_that_does_not_fit_is_cut_to_nothing() {
    // 29 bytes of header and question, 16 for each address: 30 fit into 512, 74 into 1232 with OPT.
    for (count, payload_bytes, fits) in
        [(30, None, true), (31, None, false), (29, Some(100), true), (30, Some(100), false), (74, Some(4096), true), (75, Some(4096), false)]
    {
        let packet = payload_bytes.map_or(ask_www(), |bytes| with_edns(ask_www(), bytes));
        let reply = exchange(&crowd(count), &packet, Transport::Udp);
        let answers = if fits { usize::from(count) } else { 0 };
        assert_eq!((reply.metadata.truncation, reply.answers.len()), (!fits, answers), "{count} {payload_bytes:?}");
        assert_eq!((reply.edns.is_some(), reply.metadata.authoritative), (payload_bytes.is_some(), true));
    }
    let reply = exchange(&crowd(1000), &ask_www(), Transport::Tcp);
    assert_eq!((reply.metadata.truncation, reply.answers.len()), (false, 1000));
    let reply = exchange(&crowd(4094), &ask_www(), Transport::Tcp);
    assert_eq!((reply.metadata.truncation, reply.answers.len()), (false, 4094));
    let reply = exchange(&crowd(4095), &ask_www(), Transport::Tcp);
    assert_eq!((reply.metadata.response_code, reply.answers.len()), (ResponseCode::ServFail, 0));
}

/// A delegation with `near` servers inside it and `far` ones beside it, two addresses each.
fn delegation(near: u8, far: u8) -> View {
    let mut lines = "example 3600 SOA ns.example admin.example 1 7200 900 1209600 600\n".to_owned();
    let near = (0..near).map(|n| format!("n{n}.sub.example"));
    for server in near.chain((0..far).map(|n| format!("f{n}.example"))) {
        lines.push_str(&format!("sub.example 300 NS {server}\n{server} 300 A 10.1.1.1\n{server} 300 AAAA 2001:db8::1\n"));
    }
    compose(&records(&lines))
}

#[test]
fn glue_that_is_needed_must_fit_and_other_glue_gives_way() {
    let ask = |view: &View| exchange(view, &query(&name("www.sub.example"), rtype::A), Transport::Udp);
    let reply = ask(&delegation(2, 7));
    assert_eq!((reply.metadata.truncation, reply.authorities.len()), (false, 9));
    let inside = |record: &&hickory_proto::rr::Record| record.name.to_string().ends_with(".sub.example.");
    assert_eq!(reply.additionals.iter().filter(inside).count(), 4);
    let beside = reply.additionals.len() - 4;
    assert!(beside > 0 && beside < 14 && beside % 2 == 0, "whole sets of both families, as many as fit: {beside}");
    let reply = ask(&delegation(9, 0));
    assert_eq!((reply.metadata.truncation, reply.authorities.len(), reply.additionals.len()), (true, 0, 0));
}
