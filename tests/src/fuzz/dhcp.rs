//! BOOTP and DHCP packets, and the rows that answer them.
//!
//! The first byte chooses what the rest is: a packet (three kinds of arrival), a subnet's row, a reservation's row, a row and a
//! packet that is answered from it, a policy's row, a record of the lease log or of the names log, leases that are to end, or a packet for
//! a desk that lends.

use holdfast_proto::dhcp::ended;
use holdfast_proto::dhcp::lease::{Lease, LeaseState, Leases};
use holdfast_proto::dhcp::message::{HEADER_BYTES, Message, OPTIONS_COOKIE};
use holdfast_proto::dhcp::policy::{POLICY, PolicyRow, Share};
use holdfast_proto::dhcp::reply::{LONGEST_REPLY_BYTES, SHORTEST_REPLY_BYTES};
use holdfast_proto::dhcp::table::{RESERVATION, Reservation, SUBNET, SubnetRow, reservation_key, subnet_key};
use holdfast_proto::dhcp::{Desk, Destination, Kind, Outcome, Peer, Standing, answer};
use holdfast_proto::lent::{LentName, NAMING, NameRecord, Naming};
use holdfast_proto::snapshot::{Change, Feed, State, View};
use holdfast_proto::words::{DomainName, HostName, NodeId, UnixMillis};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;

const HERE: Ipv4Addr = Ipv4Addr::new(10, 1, 4, 2);
const HOST: Ipv4Addr = Ipv4Addr::new(10, 1, 4, 10);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 1, 4, 1);
const MAC: [u8; 6] = [8, 0, 0x20, 0xdb, 0xb6, 0x7f];
/// How the packet came: on the hosts' own wire, through a socket that knows no address, on a wire with two subnets.
const ARRIVALS: [&[Ipv4Addr]; 3] = [&[HERE], &[], &[Ipv4Addr::new(10, 9, 0, 1), HERE]];

/// Valid inputs: each kind of packet by each way, and both rows.
pub fn seeds() -> Vec<Vec<u8>> {
    let packets = packets();
    let tagged = (0..ARRIVALS.len()).flat_map(|arrival| packets.iter().map(move |packet| tag(arrival, packet)));
    let row = reservation().encode();
    let framed = [&(row.len() as u16).to_be_bytes()[..], &row, &packets[1]].concat();
    let lent = packets.iter().map(|packet| tag(8, packet));
    let rows = [tag(3, &subnet().encode()), tag(4, &row), tag(5, &framed), tag(6, &policy().encode()), tag(7, &lease().encode())];
    let name = NameRecord::Put(LentName { address: HOST, name: "pc7.dyn.uni.example".parse().expect("a name"), ttl: 200 });
    let more = [tag(9, &name.encode()), tag(9, &NameRecord::All(3).encode()), tag(10, &ended::encode(&[(HOST, vec![0, 1, 2])]))];
    tagged.chain(rows).chain(lent).chain(more).collect()
}

/// Takes any bytes; a reply must be whole, within its limits and for the one who asked.
pub fn target(bytes: &[u8]) {
    let Some((reader, body)) = bytes.split_first() else { return };
    match reader % 11 {
        arrival @ 0..=2 => ask(view(), body, ARRIVALS[usize::from(arrival)]),
        3 => read_subnet(body),
        4 => read_reservation(body),
        5 => ask_of_row(body),
        6 => read_policy(body),
        7 => read_lease(body),
        9 => read_name(body),
        10 => read_ended(body),
        _ => lend(body),
    }
}

fn read_policy(bytes: &[u8]) {
    if let Ok(row) = PolicyRow::decode(bytes) {
        assert_eq!(row.encode(), bytes, "a policy has one encoding");
    }
}

fn read_lease(bytes: &[u8]) {
    if let Ok(lease) = Lease::decode(bytes) {
        assert_eq!(Lease::decode(&lease.encode()), Ok(lease), "what was written is read");
    }
}

fn read_name(bytes: &[u8]) {
    if let Some(record) = NameRecord::decode(bytes) {
        assert_eq!(record.encode(), bytes, "a record of the names log has one encoding");
    }
}

fn read_ended(bytes: &[u8]) {
    if let Ok(leases) = ended::decode(bytes) {
        assert_eq!(ended::encode(&leases), bytes, "leases that are to end have one encoding");
    }
}

/// A desk that lends: a promise has a record, the address is in its own share, and its client's name is a host's name in the zone.
fn lend(packet: &[u8]) {
    let policy = Change::put(POLICY, subnet_key(net()), policy().encode());
    let zone: DomainName = "dyn.uni.example".parse().expect("a name");
    let naming = Change::put(NAMING, subnet_key(net()), Naming { zone: zone.clone() }.encode());
    let view = compose(vec![Change::put(SUBNET, subnet_key(net()), subnet().encode()), policy, naming]);
    let mut leases = Leases::default();
    leases.restore(lease());
    let (mut desk, mut out) = (Desk::new(Some(NODE), leases), Vec::new());
    let from = SocketAddr::from(([0, 0, 0, 0], 68));
    let peer = Peer { from, local: Some(HERE), interface_addresses: ARRIVALS[0], server_name: "", standing: Standing::default() };
    let outcome = desk.answer(&view, packet, peer, UnixMillis(1_800_000_000_000), &mut out);
    let Outcome::Replied { kind, to } = outcome else { return };
    check_reply(packet, &out, kind, to);
    let given = Message::parse(&out).expect("a reply is readable").yiaddr;
    let is_own = given.is_unspecified() || policy_of_shares().iter().any(|share| share.owner == NODE && share.contains(given));
    assert!(is_own, "{given} is not to be lent");
    let is_promise = kind == Kind::Ack && !given.is_unspecified();
    let record = desk.take_record();
    assert_eq!(record.as_ref().is_some_and(|record| record.address == given), is_promise, "a promise has a record");
    let name = record.and_then(|record| record.name);
    assert!(name.is_none_or(|name| name.parent() == Some(zone) && HostName::try_from(name).is_ok()), "a name is a host's, in its zone");
}

fn tag(reader: usize, body: &[u8]) -> Vec<u8> {
    [&[reader as u8][..], body].concat()
}

fn read_subnet(bytes: &[u8]) {
    if let Ok(row) = SubnetRow::decode(bytes) {
        assert_eq!(row.encode(), bytes, "a subnet has one encoding");
    }
}

fn read_reservation(bytes: &[u8]) {
    if let Ok(row) = Reservation::decode(bytes) {
        assert_eq!(row.encode(), bytes, "a reservation has one encoding");
    }
}

/// The rows are signed, yet a wrong one must not take the service down.
fn ask_of_row(bytes: &[u8]) {
    let Some((len, rest)) = bytes.split_first_chunk() else { return };
    let Some((row, packet)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len))) else { return };
    let changes = vec![Change::put(SUBNET, subnet_key(net()), subnet().encode()), Change::put(RESERVATION, reservation_key(net(), 1, &MAC), row)];
    ask(&compose(changes), packet, ARRIVALS[0]);
}

fn ask(view: &View, packet: &[u8], interface_addresses: &[Ipv4Addr]) {
    let from = SocketAddr::from(([0, 0, 0, 0], 68));
    let peer = Peer { from, local: interface_addresses.first().copied(), interface_addresses, server_name: "north.uni.example", standing: Standing::default() };
    let (mut out, mut again) = (Vec::new(), vec![0xff; 9]);
    let outcome = answer(view, packet, peer, &mut out);
    assert_eq!((answer(view, packet, peer, &mut again), &again), (outcome, &out), "the same packet has the same answer");
    match outcome {
        Outcome::Silent(_) => assert!(out.is_empty(), "silence has no bytes"),
        Outcome::Replied { kind, to } => check_reply(packet, &out, kind, to),
    }
}

fn check_reply(packet: &[u8], out: &[u8], kind: Kind, to: Destination) {
    assert!((SHORTEST_REPLY_BYTES..=LONGEST_REPLY_BYTES).contains(&out.len()), "a reply of {} bytes", out.len());
    let request = Message::parse(packet).expect("only a readable packet is answered");
    let reply = Message::parse(out).expect("a reply is readable");
    assert_eq!((reply.xid, reply.chaddr, reply.giaddr), (request.xid, request.chaddr, request.giaddr), "a reply is for the one who asked");
    assert_eq!((reply.kind(), reply.vendor), (kind, request.vendor));
    if kind == Kind::Nak {
        assert!(reply.yiaddr.is_unspecified(), "a refusal gives nothing");
    }
    if let Destination::Relay(address, _) | Destination::Unicast(address, _) = to {
        assert!(!address.is_multicast() && !address.is_broadcast() && !address.is_unspecified(), "a reply to {address}");
    }
    if let Destination::Hardware { mac, .. } = to {
        assert!(mac[0] & 1 == 0 && !request.wants_broadcast(), "a frame to {mac:?}");
    }
}

fn net() -> ipnet::Ipv4Net {
    ipnet::Ipv4Net::new(Ipv4Addr::new(10, 1, 4, 0), 22).expect("a prefix of 22")
}

fn subnet() -> SubnetRow {
    let options = vec![(1, vec![255, 255, 252, 0]), (3, ROUTER.octets().into()), (6, HERE.octets().into()), (121, vec![0, 10, 1, 4, 1])];
    SubnetRow { campus: "north".into(), options }
}

fn reservation() -> Reservation {
    Reservation {
        address: HOST,
        host_name: "darwin826.uni.example".into(),
        send_host_name: true,
        next_server: Some(Ipv4Addr::new(10, 1, 4, 5)),
        server_name: "boot".into(),
        boot_file: "/tftpboot/Xncd15r".into(),
        wait_secs: 0,
        options: vec![(3, None), (17, Some(b"/export/root".to_vec())), (128, Some(vec![b'x'; 300]))],
    }
}

const NODE: NodeId = NodeId([7; 16]);

fn policy_of_shares() -> Vec<Share> {
    let share = |first, last, owner| Share { first: Ipv4Addr::new(10, 1, 4, first), last: Ipv4Addr::new(10, 1, 4, last), owner };
    vec![share(8, 19, NODE), share(20, 29, NodeId([8; 16]))]
}

fn policy() -> PolicyRow {
    PolicyRow { shares: policy_of_shares(), ..PolicyRow::default() }
}

/// The host of the packets has an address of the share.
fn lease() -> Lease {
    let (at, until) = (UnixMillis(1_799_999_000_000), UnixMillis(1_800_001_000_000));
    let client = [&[61, 1][..], &MAC].concat();
    Lease {
        state: LeaseState::Active,
        net: net(),
        address: HOST,
        at,
        until,
        client,
        htype: 1,
        chaddr: MAC.to_vec(),
        host_name: b"pc".to_vec(),
        told: at,
        name: None,
    }
}

fn compose(changes: Vec<Change>) -> View {
    let draft = State::empty(Feed::BOOTPTAB).compose(changes).expect("rows within their limits");
    draft.expect("there are rows").into_view()
}

fn view() -> &'static View {
    static VIEW: OnceLock<View> = OnceLock::new();
    VIEW.get_or_init(|| {
        compose(vec![
            Change::put(SUBNET, subnet_key(net()), subnet().encode()),
            Change::put(RESERVATION, reservation_key(net(), 1, &MAC), reservation().encode()),
        ])
    })
}

fn packets() -> Vec<Vec<u8>> {
    let address = |code: u8, address: Ipv4Addr| [&[code, 4][..], &address.octets()].concat();
    let client = [55, 4, 1, 3, 121, 67, 61, 7, 1, 8, 0, 0x20, 0xdb, 0xb6, 0x7f, 57, 2, 5, 0xc0, 12, 2, 0xe9, b'x'];
    let selecting = [&[53, 1, 3][..], &address(54, HERE), &address(50, HOST), &client].concat();
    let relayed = [&[53, 1, 1][..], &client, &[82, 10, 1, 2, 7, 7, 5, 4, 10, 1, 4, 1]].concat();
    vec![
        packet(Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, &[]),
        packet(Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, &[&[53, 1, 1][..], &client].concat()),
        packet(Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, &selecting),
        packet(Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, &[&[53, 1, 3, 52, 1, 3][..], &address(50, ROUTER)].concat()),
        packet(HOST, Ipv4Addr::UNSPECIFIED, &[53, 1, 3]),
        packet(HOST, Ipv4Addr::UNSPECIFIED, &[53, 1, 8]),
        packet(Ipv4Addr::UNSPECIFIED, ROUTER, &relayed),
        packet(Ipv4Addr::UNSPECIFIED, ROUTER, &[])[..HEADER_BYTES].to_vec(),
    ]
}

fn packet(ciaddr: Ipv4Addr, giaddr: Ipv4Addr, options: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; HEADER_BYTES];
    packet[..8].copy_from_slice(&[1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef]);
    packet[12..16].copy_from_slice(&ciaddr.octets());
    packet[24..28].copy_from_slice(&giaddr.octets());
    packet[28..34].copy_from_slice(&MAC);
    [&packet[..], &OPTIONS_COOKIE, options, &[255]].concat()
}
