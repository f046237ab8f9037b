//! The resolver: no packet of a client's and no reply of another's may panic it, and whatever is believed must come out whole.

use holdfast_proto::dns::resolver::{
    Cache, CacheLimits, Clients, Credentials, End, Heard, LocalZones, Moment, Question, RANDOM_BYTES, Response, Standing, Wanted, World, asked_in_words,
    extended_error, hear, in_words, respond, settle,
};
use holdfast_proto::dns::{Cookies, Peer, Policy, Record, TCP_MESSAGE_LIMIT_BYTES, Transport, UDP_PAYLOAD_LIMIT_BYTES, Zone, rdata, rows};
use holdfast_proto::snapshot::{Feed, State, View};
use holdfast_proto::words::{DomainName, UnixMillis};
use std::sync::{Arc, LazyLock};

static VIEW: LazyLock<View> = LazyLock::new(|| {
    let lines = ["example SOA ns.example host.example 1 1 1 1 1", "away.example CNAME www.far.org", "cut.example NS ns.far.org", "example NS ns.example"];
    let record = |line: &&str| {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let (rtype, rdata) = rdata::parse_text(words[1], words[2], None).expect("a record");
        Record { owner: words[0].parse().expect("a name"), rtype, ttl: 300, rdata }
    };
    let zone = Zone { apex: "example".parse().expect("a name"), records: lines.iter().map(record).collect() };
    State::empty(Feed::ZONE).compose(rows(&[zone])).expect("short rows").expect("a change").into_view()
});
static ZONES: LazyLock<LocalZones> = LazyLock::new(|| LocalZones::of(&VIEW));
static CLIENTS: LazyLock<Clients> = LazyLock::new(|| Clients::new([("192.0.2.0/24".parse().expect("a network"), Standing::Client)]));
static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy::new(Cookies::of_period(&[0; 32], 0)));

fn wire(name: &str) -> Vec<u8> {
    name.parse::<DomainName>().expect("a name").wire().to_vec()
}

/// What every reply is held against: signatures are wanted, so that all that can be believed is.
fn question() -> Question {
    let wanted = Wanted::of(&wire("www.far.org"), 1, true, false).expect("a question");
    Question::write(&wanted, &[0; RANDOM_BYTES], &Credentials { client: *b"8 bytes.", server: Vec::new() }, 1)
}

fn record(owner: &str, rtype: &str, data: &str) -> Vec<u8> {
    let (rtype, rdata) = rdata::parse_text(rtype, data, None).expect("data");
    [&wire(owner)[..], &rtype.to_be_bytes(), &[0, 1, 0, 0, 1, 44], &(rdata.len() as u16).to_be_bytes(), &rdata].concat()
}

/// Queries of clients, and replies of every kind to the question.
pub fn seeds() -> Vec<Vec<u8>> {
    let asked = question();
    let head = |rcode: u8, counts: [u8; 3]| {
        let mut packet = asked.bytes()[..12 + wire("www.far.org").len() + 4].to_vec();
        packet[2..12].copy_from_slice(&[0x81, 0x80 | rcode, 0, 1, 0, counts[0], 0, counts[1], 0, counts[2]]);
        packet
    };
    let chain = [record("www.far.org", "CNAME", "web.far.org"), record("web.far.org", "A", "192.0.2.1"), record("x.org", "A", "192.0.2.2")].concat();
    let dname = [record("far.org", "DNAME", "near.org"), record("www.far.org", "CNAME", "www.near.org"), record("www.near.org", "A", "192.0.2.1")].concat();
    let soa = record("far.org", "SOA", "ns.far.org host.far.org 1 2 3 4 5");
    let signature = record("www.far.org", "RRSIG", r"\# 29 00010d020000012c70dbd8805e0be1001267076578616d706c65000102");
    let opt = [&[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 20, 0, 10, 0, 16][..], b"8 bytes.servers."].concat();
    let replies = [
        [head(0, [3, 0, 1]), chain, opt].concat(),
        [head(0, [3, 0, 0]), dname].concat(),
        [head(3, [0, 1, 0]), soa].concat(),
        [head(0, [2, 0, 0]), record("www.far.org", "A", "192.0.2.1"), signature].concat(),
        [head(0, [1, 0, 0]), record("www.far.org", "MX", "5 mail.far.org")].concat(),
        [head(0, [1, 0, 0]), record("www.far.org", "NAPTR", r"\# 12 00010001 00 00 00 0361626300")].concat(),
    ];
    let queries = ["www.example", "away.example", "x.cut.example", "www.far.org", "localhost", "1.0.0.127.in-addr.arpa", "10.in-addr.arpa"];
    let queries = queries.map(|name| Wanted::of(&wire(name), 1, false, false).expect("a question").query());
    replies.into_iter().chain(queries).chain([asked.bytes().to_vec()]).collect()
}

/// Takes any bytes as a client's packet, and as a reply to the question, which is then kept and told.
///
/// # Panics
/// Where the core does, and where a reply is over its limit or cannot be read.
pub fn target(bytes: &[u8]) {
    let cache = Cache::new(CacheLimits { bytes: 1 << 16, ..CacheLimits::default() });
    let mut packets = vec![bytes.to_vec()];
    // What people are told of them.
    let _ = (asked_in_words(bytes), extended_error(bytes));
    for transport in [Transport::Udp, Transport::Tcp] {
        if let Heard::Answer(answer) = hear(&question(), bytes, transport).0 {
            assert!(in_words(&answer.to_packet()).is_some(), "what is believed cannot be read again");
            cache.keep(&Arc::from(answer.clone()), 0);
            packets.push(question().bytes().to_vec());
            packets.push(Wanted::of(&wire("away.example"), 1, false, false).expect("a question").query());
            ask(&cache, &packets[packets.len() - 1], Some(End::Found(&answer)));
        }
    }
    packets.iter().for_each(|packet| ask(&cache, packet, None));
}

fn ask(cache: &Cache, packet: &[u8], end: Option<End<'_>>) {
    for (transport, now_s) in [(Transport::Udp, 0), (Transport::Tcp, 1), (Transport::Udp, 100_000)] {
        let limit_bytes = if transport == Transport::Udp { UDP_PAYLOAD_LIMIT_BYTES } else { TCP_MESSAGE_LIMIT_BYTES };
        let peer = Peer { address: ([192, 0, 2, 1], 5353).into(), transport };
        let moment = Moment { now: UnixMillis(0), now_s, cut_off: now_s > 1 };
        let world = World { view: &VIEW, zones: &ZONES, cache, clients: &CLIENTS, policy: &POLICY, passes: &[], hint: "the master", moment };
        let mut reply = vec![0xff; 7];
        let response = match end {
            Some(end) => settle(&world, packet, peer, end, &mut reply),
            None => respond(&world, packet, peer, &mut reply),
        };
        match response {
            Response::Silent(_) => assert!(reply.is_empty(), "a silent core left bytes"),
            Response::Wanting { .. } => {}
            Response::Replied { .. } => {
                assert!(reply.len() <= limit_bytes, "a reply of {} bytes", reply.len());
                assert_eq!(reply[..2], packet[..2], "the id");
                let has_question = reply[4..6] == [0, 1];
                assert!(!has_question || in_words(&reply).is_some(), "a reply that cannot be read");
            }
        }
    }
}
