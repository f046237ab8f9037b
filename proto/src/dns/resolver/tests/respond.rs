use super::*;
use crate::dns::resolver::accept::{Answer, Heard, hear};
use crate::dns::resolver::{
    Cache, CacheLimits, Clients, End, LocalZones, Moment, Origin, Response, Standing, World, asked_in_words, extended_error, respond, settle,
};
use crate::dns::{Cookies, ExtendedError, Peer, Policy, Record, Transport, Zone, rows};
use crate::snapshot::{Feed, State, View};
use crate::words::UnixMillis;
use hickory_proto::op::Message;
use std::sync::Arc;

const ZONE: &[&str] = &[
    "uni.example 600 SOA ns.uni.example host.uni.example 1 7200 900 1209600 60",
    "uni.example 600 NS ns.uni.example",
    "ns.uni.example 600 A 10.1.0.53",
    "www.uni.example 600 A 10.1.0.80",
    "away.uni.example 600 CNAME www.far.org",
    "here.uni.example 600 CNAME www.uni.example",
    "self.uni.example 600 CNAME localhost",
    "dept.uni.example 600 NS ns.dept.uni.example",
    "ns.dept.uni.example 600 A 10.1.7.53",
];

/// A box with a zone, a cache, and three kinds of clients.
struct Box {
    view: View,
    zones: LocalZones,
    cache: Cache,
    clients: Clients,
    policy: Policy,
    cut_off: bool,
    now_s: u32,
}

impl Box {
    fn new() -> Self {
        let record = |line: &&str| {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            let (rtype, rdata) = rdata::parse_text(words[2], words[3], None).unwrap();
            Record { owner: words[0].parse().unwrap(), rtype, ttl: words[1].parse().unwrap(), rdata }
        };
        let zone = Zone { apex: "uni.example".parse().unwrap(), records: ZONE.iter().map(record).collect() };
        let view = State::empty(Feed::ZONE).compose(rows(&[zone])).unwrap().unwrap().into_view();
        let networks = [("10.0.0.0/8", Standing::Client), ("10.1.7.0/24", Standing::Department)];
        let clients = Clients::new(networks.map(|(net, standing)| (net.parse().unwrap(), standing)));
        let zones = LocalZones::of(&view);
        let policy = Policy::new(Cookies::of_period(&[7; 32], 1));
        Self { view, zones, cache: Cache::new(CacheLimits::default()), clients, policy, cut_off: false, now_s: 0 }
    }

    fn world(&self) -> World<'_> {
        let Self { view, zones, cache, clients, policy, cut_off, now_s } = self;
        let moment = Moment { now: UnixMillis(1_800_000_000_000), now_s: *now_s, cut_off: *cut_off };
        World { view, zones, cache, clients, policy, passes: &[], hint: "forward to the master: 10.0.0.1", moment }
    }

    fn ask(&self, from: &str, packet: &[u8]) -> (Response, Vec<u8>) {
        let mut out = b"left from before".to_vec();
        let peer = Peer { address: format!("{from}:4000").parse().unwrap(), transport: Transport::Udp };
        (respond(&self.world(), packet, peer, &mut out), out)
    }

    fn settle(&self, packet: &[u8], end: End<'_>) -> (Response, Vec<u8>) {
        let mut out = Vec::new();
        let peer = Peer { address: "10.1.4.10:4000".parse().unwrap(), transport: Transport::Udp };
        (settle(&self.world(), packet, peer, end, &mut out), out)
    }

    /// What a client of the campus hears.
    fn hears(&self, name: &str, rtype: &str) -> String {
        let (response, reply) = self.ask("10.1.4.10", &client_query(name, rtype));
        written(&response, &reply)
    }

    fn keep(&self, name: &str, sections: [&[&str]; 3], rcode: u8) -> Arc<Answer> {
        let answer = answered(name, sections, rcode);
        self.cache.keep(&answer, self.now_s);
        answer
    }
}

fn answered(name: &str, sections: [&[&str]; 3], rcode: u8) -> Arc<Answer> {
    let question = question(&wanted(name, "A"));
    match hear(&question, &reply(&question, rcode, sections), Transport::Udp).0 {
        Heard::Answer(answer) => Arc::from(answer),
        other => panic!("{other:?}"),
    }
}

/// With RD, an OPT record, and an id of its own.
fn client_query(name: &str, rtype: &str) -> Vec<u8> {
    let mut packet = wanted(name, rtype).query();
    packet[..2].copy_from_slice(b"id");
    packet[11] = 1;
    packet.extend_from_slice(&[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
    packet
}

/// Code, flags, extended error, then the records: `~` marks authority.
fn written(response: &Response, reply: &[u8]) -> String {
    let (origin, told) = match response {
        Response::Wanting { wanted, has_stale, .. } => {
            return format!("wants {}{}", DomainName::from_wire(wanted.name()).unwrap().without_dot(), if *has_stale { ", has old" } else { "" });
        }
        Response::Silent(reason) => return format!("{reason:?}"),
        Response::Replied { origin, told, .. } => (origin, told),
    };
    let message = Message::from_vec(reply).unwrap();
    assert_eq!((&reply[..2], told.rcode as u16), (&b"id"[..], u16::from(message.metadata.response_code)));
    let mut text = format!("{} {}", origin.name(), told.rcode.name());
    for (set, flag) in [(message.metadata.authoritative, " aa"), (message.metadata.recursion_available, " ra"), (message.metadata.truncation, " tc")] {
        text.push_str(if set { flag } else { "" });
    }
    if let Some(at) = reply.windows(2).rposition(|pair| pair == [0, 15]).filter(|at| reply.get(at + 2) == Some(&0)) {
        text.push_str(&format!(" ede{}", reply[at + 5]));
        let remark = &reply[at + 6..at + 4 + usize::from(reply[at + 3])];
        text.push_str(std::str::from_utf8(remark).unwrap());
    }
    for (records, mark) in [(&message.answers, ""), (&message.authorities, "~")] {
        for record in records {
            text.push_str(&format!("; {mark}{} {} {}", record.name, record.ttl, record.data));
        }
    }
    text
}

#[test]
fn names_of_ours_are_answered_with_authority_and_wait_for_nobody() {
    let mut own = Box::new();
    for cut_off in [false, true] {
        own.cut_off = cut_off;
        assert_eq!(own.hears("www.uni.example", "A"), "local noerror aa ra; www.uni.example. 600 10.1.0.80");
        let soa = "~uni.example. 60 ns.uni.example. host.uni.example. 1 7200 900 1209600 60";
        assert_eq!(own.hears("no.uni.example", "A"), format!("local nxdomain aa ra; {soa}"));
        let chain = "here.uni.example. 600 www.uni.example.; www.uni.example. 600 10.1.0.80";
        assert_eq!(own.hears("here.uni.example", "A"), format!("local noerror aa ra; {chain}"));
        let to_itself = "self.uni.example. 600 localhost.; localhost. 10800 127.0.0.1";
        assert_eq!(own.hears("self.uni.example", "A"), format!("local noerror aa ra; {to_itself}"));
    }
}

#[test]
fn names_of_others_are_asked_for_kept_and_counted_down() {
    let mut own = Box::new();
    assert_eq!(own.hears("www.far.org", "A"), "wants www.far.org");
    let answer = own.keep("www.far.org", [&["www.far.org 300 CNAME web.far.org", "web.far.org 60 A 192.0.2.1"], &[], &[]], 0);
    let (response, reply) = own.settle(&client_query("www.far.org", "A"), End::Found(&answer));
    assert_eq!(written(&response, &reply), "asked noerror ra; www.far.org. 300 web.far.org.; web.far.org. 60 192.0.2.1");
    own.now_s = 20;
    assert_eq!(own.hears("www.far.org", "A"), "cache noerror ra; www.far.org. 280 web.far.org.; web.far.org. 40 192.0.2.1");
    let (response, _) = own.ask("10.1.4.10", &client_query("www.far.org", "AAAA"));
    assert!(matches!(response, Response::Wanting { .. }), "another type is another question");
    own.keep("no.far.org", [&[], &["far.org 900 SOA ns.far.org host.far.org 1 1 1 1 50"], &[]], 3);
    own.now_s = 30;
    assert_eq!(own.hears("no.far.org", "A"), "cache nxdomain ra; ~far.org. 40 ns.far.org. host.far.org. 1 1 1 1 50");
    own.now_s = 75;
    let (response, _) = own.ask("10.1.4.10", &client_query("www.far.org", "A"));
    assert_eq!(written(&response, &[]), "wants www.far.org, has old");
}

#[test]
fn an_alias_that_leads_out_is_followed() {
    let mut own = Box::new();
    assert_eq!(own.hears("away.uni.example", "A"), "wants www.far.org");
    let answer = own.keep("www.far.org", [&["www.far.org 300 A 192.0.2.1"], &[], &[]], 0);
    let (response, reply) = own.settle(&client_query("away.uni.example", "A"), End::Found(&answer));
    assert_eq!(written(&response, &reply), "asked noerror aa ra; away.uni.example. 600 www.far.org.; www.far.org. 300 192.0.2.1");
    own.now_s = 100;
    assert_eq!(own.hears("away.uni.example", "A"), "cache noerror aa ra; away.uni.example. 600 www.far.org.; www.far.org. 200 192.0.2.1");
    (own.now_s, own.cut_off) = (400, true);
    assert_eq!(own.hears("away.uni.example", "A"), "stale noerror aa ra ede3; away.uni.example. 600 www.far.org.; www.far.org. 30 192.0.2.1");
    assert_eq!(own.hears("host.dept.uni.example", "A"), "nowhere servfail ra ede22", "delegated below ours: another's");
    own.cut_off = false;
    assert_eq!(own.hears("host.dept.uni.example", "A"), "wants host.dept.uni.example");
    assert_eq!(own.hears("uni.example", "DS"), "wants uni.example", "the parent's to say");
}

#[test]
fn cut_off_old_answers_are_told_as_old_and_the_rest_fails_at_once() {
    let mut own = Box::new();
    own.keep("www.far.org", [&["www.far.org 300 A 192.0.2.1"], &[], &[]], 0);
    own.keep("no.far.org", [&[], &["far.org 900 SOA ns.far.org host.far.org 1 1 1 1 50"], &[]], 3);
    (own.now_s, own.cut_off) = (1000, true);
    assert_eq!(own.hears("www.far.org", "A"), "stale noerror ra ede3; www.far.org. 30 192.0.2.1");
    assert_eq!(own.hears("no.far.org", "A"), "stale nxdomain ra ede19; ~far.org. 30 ns.far.org. host.far.org. 1 1 1 1 50");
    assert_eq!(own.hears("new.far.org", "A"), "nowhere servfail ra ede22");
    own.cut_off = false;
    let late = client_query("www.far.org", "A");
    let (response, reply) = own.settle(&late, End::Late);
    assert_eq!(written(&response, &reply), "stale noerror ra ede3; www.far.org. 30 192.0.2.1");
    own.cache.fail(&wanted("new.far.org", "A"), ExtendedError::NetworkError, 1000);
    assert_eq!(own.hears("new.far.org", "A"), "nowhere servfail ra ede13");
    let (response, reply) = own.settle(&client_query("newer.far.org", "A"), End::Failed(ExtendedError::NoReachableAuthority));
    assert_eq!(written(&response, &reply), "nowhere servfail ra ede22");
}

#[test]
fn people_are_told_what_was_asked_and_why_it_was_refused() {
    let (held, question) = (Box::new(), question(&wanted("WWW.far.org", "MX")));
    assert_eq!(asked_in_words(question.bytes()).unwrap().to_lowercase().replace(". ", " "), "www.far.org mx");
    let (_, refused) = held.ask("192.0.2.1", question.bytes());
    assert_eq!(extended_error(&refused), Some(ExtendedError::Prohibited as u16));
    // Whoever asks only for what is known here is told that it is not.
    let peeking = question.without_recursion();
    let (response, reply) = held.ask("10.1.4.10", peeking.bytes());
    assert!(matches!(response, Response::Replied { .. }) && extended_error(&reply) == Some(ExtendedError::NotAuthoritative as u16), "{response:?}");
    for torn in 0..reply.len() {
        assert_eq!(extended_error(&reply[..torn]), None, "{torn} bytes");
    }
    assert_eq!((asked_in_words(&[]), asked_in_words(&reply[..20])), (None, None));
}

#[test]
fn strangers_departments_and_transfers_are_refused_each_with_its_reason() {
    let own = Box::new();
    let heard = |from: &str, name: &str, rtype: &str| {
        let (response, reply) = own.ask(from, &client_query(name, rtype));
        written(&response, &reply)
    };
    for name in ["www.uni.example", "www.far.org", "localhost"] {
        assert_eq!(heard("192.0.2.9", name, "A"), "nowhere refused ede18");
        assert_eq!(heard("10.1.7.53", name, "A"), "nowhere refused ede18forward to the master: 10.0.0.1");
    }
    let mut transfer = client_query("uni.example", "A");
    transfer[12 + 13 + 1] = 252;
    let (response, reply) = own.ask("10.1.4.10", &transfer);
    assert_eq!(written(&response, &reply), "nowhere refused ra ede18");
    assert_eq!(heard("10.1.4.10", "a.localhost", "A"), "special noerror ra; a.localhost. 10800 127.0.0.1");
    let nobody = "~10.in-addr.arpa. 10800 10.in-addr.arpa. nobody.invalid. 1 3600 1200 604800 10800";
    assert_eq!(heard("10.1.4.10", "9.9.9.10.in-addr.arpa", "PTR"), format!("special nxdomain ra; {nobody}"));
}

#[test]
fn who_wants_no_recursion_hears_what_is_here_and_nobody_is_asked() {
    let own = Box::new();
    own.keep("www.far.org", [&["www.far.org 300 A 192.0.2.1"], &[], &[]], 0);
    let heard = |name: &str| {
        let mut packet = client_query(name, "A");
        packet[2] = 0;
        let (response, reply) = own.ask("10.1.4.10", &packet);
        written(&response, &reply)
    };
    assert_eq!(heard("www.uni.example"), "local noerror aa ra; www.uni.example. 600 10.1.0.80");
    assert_eq!(heard("www.far.org"), "cache noerror ra; www.far.org. 300 192.0.2.1");
    assert_eq!(heard("other.far.org"), "nowhere refused ra ede20");
    assert_eq!(heard("host.dept.uni.example"), "nowhere refused ra ede20");
}

#[test]
fn a_question_that_goes_round_ends() {
    let own = Box::new();
    let through = |hops: u8| {
        let packet = Question::write(&wanted("www.far.org", "A"), b"id................................", &Credentials::default(), hops);
        own.ask("10.1.4.10", packet.bytes())
    };
    assert!(matches!(through(1).0, Response::Wanting { hops: 1, .. }));
    let (response, reply) = through(super::super::HOP_LIMIT);
    assert!(written(&response, &reply).starts_with("nowhere servfail ra ede22"), "{}", written(&response, &reply));
}

#[test]
fn what_does_not_fit_says_so_and_flags_go_back_as_they_came() {
    let own = Box::new();
    let lines: Vec<String> = (0..100).map(|n| format!("www.far.org 300 A 192.0.2.{n}")).collect();
    let question = question(&wanted("www.far.org", "A"));
    let packet = reply(&question, 0, [&lines.iter().map(String::as_str).collect::<Vec<_>>(), &[], &[]]);
    let Heard::Answer(answer) = hear(&question, &packet, Transport::Udp).0 else { panic!("no answer") };
    own.cache.keep(&Arc::from(answer.judged(true, None)), 0);
    assert_eq!(own.hears("www.far.org", "A"), "cache noerror ra tc");
    let mut query = client_query("www.far.org", "A");
    query[3] = 0x20;
    let (_, told) = own.ask("10.1.4.10", &query);
    assert_eq!(told[3] & 0xf0, 0xa0, "AD to who asks for it");
    let (_, told) = own.ask("10.1.4.10", &client_query("www.far.org", "A"));
    assert_eq!(told[3] & 0xf0, 0x80, "and to nobody else");
    query[3] = 0x10;
    assert!(matches!(own.ask("10.1.4.10", &query).0, Response::Wanting { wanted, .. } if wanted.checking_disabled()));
    let peer = Peer { address: "10.1.4.10:4000".parse().unwrap(), transport: Transport::Tcp };
    let mut out = Vec::new();
    respond(&own.world(), &client_query("www.far.org", "A"), peer, &mut out);
    assert_eq!(Message::from_vec(&out).unwrap().answers.len(), 100);
    assert!(matches!(own.ask("10.1.4.10", &client_query("www.far.org", "A")).0, Response::Replied { origin: Origin::Cache, .. }));
}
