//! DNS: no packet and no row may panic the core, and whatever it replies must be a whole message, within its limit, to that query.

use holdfast_proto::dns::{
    Cookies, NODE, Node, NodeRef, Order, Outcome, Peer, Place, Policy, RrSet, TCP_MESSAGE_LIMIT_BYTES, Transport, UDP_PAYLOAD_LIMIT_BYTES, answer, cut, rtype,
};
use holdfast_proto::snapshot::{Change, Feed, State, View};
use holdfast_proto::words::{DomainName, UnixMillis};
use std::sync::LazyLock;

const HEADER_BYTES: usize = 12;
/// RFC 1035 section 2.3.4.
const NAME_LIMIT_BYTES: usize = 255;

static WORLD: LazyLock<View> = LazyLock::new(|| view(nodes()));

/// A box that tells all that it can tell.
static POLICY: LazyLock<Policy> =
    LazyLock::new(|| Policy { nsid: Some([b'n'; 32].into()), order: Order::Near, ..Policy::new(Cookies::of_period(&[0; 32], 0)) });

fn name(text: &str) -> DomainName {
    text.parse().expect("a name")
}

fn wire(text: &str) -> Vec<u8> {
    name(text).wire().to_vec()
}

fn view(nodes: Vec<(&str, Vec<u8>)>) -> View {
    let rows = nodes.into_iter().map(|(owner, row)| Change::put(NODE, name(owner).wire(), row)).collect();
    State::empty(Feed::ZONE).compose(rows).expect("short rows").expect("a change").into_view()
}

/// A small zone with every turn that an answer can take.
fn nodes() -> Vec<(&'static str, Vec<u8>)> {
    let node = |place, sets: &[(u16, Vec<Vec<u8>>)]| {
        let rrsets = sets.iter().map(|(rtype, rdatas)| RrSet { rtype: *rtype, ttl: 300, rdatas: rdatas.clone() }).collect();
        Node { place, apex_labels: 1, rrsets }.encode()
    };
    let soa = [wire("ns.example"), wire("admin.example"), vec![0; 20]].concat();
    let crowd = (0..200).map(|n| vec![10, 1, 1, n]).collect();
    let servers = ["ns.cut.example", "ns.example", "ns.other"].map(wire).to_vec();
    vec![
        (
            "example",
            node(
                Place::Apex,
                &[(rtype::SOA, vec![soa]), (rtype::NS, vec![wire("ns.example")]), (rtype::MX, vec![[vec![0, 10], wire("a.b.example")].concat()])],
            ),
        ),
        ("ns.example", node(Place::Inside, &[(rtype::A, crowd), (rtype::AAAA, vec![vec![0x20; 16]])])),
        ("b.example", node(Place::Inside, &[])),
        ("a.b.example", node(Place::Inside, &[(rtype::A, vec![vec![10, 1, 1, 1]]), (rtype::TXT, vec![b"\x05hello".to_vec()])])),
        ("*.b.example", node(Place::Inside, &[(rtype::CNAME, vec![wire("c.example")])])),
        ("c.example", node(Place::Inside, &[(rtype::CNAME, vec![wire("d.example")])])),
        ("d.example", node(Place::Inside, &[(rtype::CNAME, vec![wire("x.b.example")])])),
        ("cut.example", node(Place::Cut, &[(rtype::NS, servers), (rtype::DS, vec![vec![0, 1, 8, 2, 1, 2, 3, 4]])])),
        ("ns.cut.example", node(Place::BelowCut, &[(rtype::A, vec![vec![10, 2, 2, 2]])])),
    ]
}

fn query(owner: &str, qtype: u16, opt: &[u8]) -> Vec<u8> {
    let additionals = if opt.is_empty() { 0 } else { 1 };
    [&[0x48, 0x42, 1, 0, 0, 1, 0, 0, 0, 0, 0, additionals], &wire(owner)[..], &qtype.to_be_bytes(), &[0, 1], opt].concat()
}

/// Valid queries of every kind, with and without EDNS, and rows.
pub fn seeds() -> Vec<Vec<u8>> {
    let plain_opt = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0];
    let cookie_opt = [0, 0, 41, 0x02, 0x00, 0, 0, 0x80, 0, 0, 12, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let every_opt = [0, 0, 41, 0x02, 0x00, 0, 0, 0x80, 0, 0, 24, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 3, 0, 0, 0, 11, 0, 0, 0, 12, 0, 0];
    let owners = [
        "a.b.example",
        "A.b.EXAMPLE",
        "ns.example",
        "b.example",
        "x.b.example",
        "c.example",
        "no.example",
        "cut.example",
        "w.cut.example",
        "example",
        "other",
        ".",
    ];
    let types = [rtype::A, rtype::MX, rtype::DS, rtype::SOA, rtype::ANY, rtype::AXFR, 65400];
    let questions = owners.iter().flat_map(|owner| types.map(|qtype| (*owner, qtype)));
    let queries = questions.flat_map(|(owner, qtype)| [&[][..], &plain_opt, &cookie_opt, &every_opt].map(|opt| query(owner, qtype, opt)));
    queries.chain(nodes().into_iter().map(|(_, row)| row)).collect()
}

/// Takes any bytes as a packet, by UDP and by TCP, and as a row that queries then meet.
///
/// # Panics
/// Where the core does, where a reply is not a whole message to its query, and where a row decodes that is not the one encoding.
pub fn target(bytes: &[u8]) {
    ask(&WORLD, bytes);
    if let Ok(node) = Node::decode(bytes) {
        assert_eq!(node.encode(), bytes, "a row that is not the one encoding of its meaning");
    }
    if NodeRef::new(bytes).is_ok() {
        let mut rows = nodes();
        rows.push(("row.example", bytes.to_vec()));
        let damaged = view(rows);
        for (owner, qtype) in [("row.example", rtype::A), ("row.example", rtype::ANY), ("x.row.example", rtype::MX)] {
            ask(&damaged, &query(owner, qtype, &[]));
        }
    }
}

fn ask(view: &View, packet: &[u8]) {
    for transport in Transport::ALL {
        let limit_bytes = if transport == Transport::Udp { UDP_PAYLOAD_LIMIT_BYTES } else { TCP_MESSAGE_LIMIT_BYTES };
        let peer = Peer { address: ([192, 0, 2, 1], 5353).into(), transport };
        let mut reply = vec![0xff; 7];
        match answer(view, packet, peer, &POLICY, UnixMillis(0), &mut reply) {
            Outcome::Silent(_) => assert!(reply.is_empty(), "a silent core left bytes"),
            Outcome::Replied(told) => {
                assert!(reply.len() <= limit_bytes, "a reply of {} bytes", reply.len());
                assert_eq!(reply[3], told.rcode as u8 & 15, "RA, AD and CD are clear, and the code is the one that is counted");
                check(packet, &reply);
                cut(packet, peer, &POLICY, UnixMillis(0), &mut reply);
                if transport == Transport::Udp && !reply.is_empty() {
                    assert!(reply.len() <= packet.len() + 100, "what is cut is of no use to who forges");
                    check(packet, &reply);
                }
            }
        }
    }
}

/// That the reply answers this packet and is whole to its last byte.
fn check(packet: &[u8], reply: &[u8]) {
    assert_eq!(reply[..2], packet[..2], "the id");
    assert_eq!(reply[2] & 0xf8, 0x80 | packet[2] & 0x78, "QR and the opcode");
    let count = |at: usize| usize::from(u16::from_be_bytes([reply[at], reply[at + 1]]));
    let mut at = HEADER_BYTES;
    assert!(count(4) <= 1, "one question at most");
    if count(4) == 1 {
        at = name_end(reply, at) + 4;
        assert_eq!(reply[..at][HEADER_BYTES..], packet[..at][HEADER_BYTES..], "the question, to the bit");
    }
    for _ in 0..count(6) + count(8) + count(10) {
        let fields = name_end(reply, at);
        at = fields + 10 + count(fields + 8);
    }
    assert_eq!(at, reply.len(), "bytes behind the last record, or a record behind the last byte");
}

/// Follows a name to its root, pointers backwards only; gives where it ends in place.
fn name_end(message: &[u8], start: usize) -> usize {
    let (mut at, mut end, mut len) = (start, None, 1);
    loop {
        match message[at] {
            0 => return end.unwrap_or(at + 1),
            label @ 1..=63 => {
                at += 1 + usize::from(label);
                len += 1 + usize::from(label);
                assert!(len <= NAME_LIMIT_BYTES, "a name of {len} bytes");
            }
            pointer => {
                assert!(pointer >= 0xc0, "a label of an unknown kind");
                let target = usize::from(pointer & 0x3f) << 8 | usize::from(message[at + 1]);
                assert!(target < at, "a pointer that does not go back");
                end = end.or(Some(at + 2));
                at = target;
            }
        }
    }
}
