use super::*;
use crate::dhcp::compose::DEFAULT_LEASE_SECS;
use crate::dhcp::message::{HEADER_BYTES, OPTIONS_COOKIE};
use crate::dhcp::reply::LONGEST_REPLY_BYTES;
use crate::dhcp::table::{RESERVATION, Reservation, SUBNET, SubnetRow, reservation_key, subnet_key};
use crate::snapshot::{Change, Feed, State};
use dhcproto::v4::{DhcpOption, Message as Witness, MessageType, OptionCode};
use dhcproto::{Decodable, Decoder};
use proptest::prelude::*;

const MAC: [u8; 6] = [0x08, 0x00, 0x20, 0xdb, 0xb6, 0x7f];
const HERE: Ipv4Addr = Ipv4Addr::new(10, 1, 4, 2);
const HOST: Ipv4Addr = Ipv4Addr::new(10, 1, 4, 10);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 1, 4, 1);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 1, 8, 1);
const BROADCAST: Destination = Destination::BroadcastOnArrivalInterface;
const TO_MAC: Destination = Destination::Hardware { address: HOST, mac: MAC, server: HERE };

fn reservation() -> Reservation {
    Reservation {
        address: HOST,
        host_name: "darwin826.uni.example".into(),
        send_host_name: true,
        next_server: None,
        server_name: String::new(),
        boot_file: "/tftpboot/Xncd15r".into(),
        wait_secs: 0,
        options: vec![(15, None), (17, Some(b"/export/root".to_vec()))],
    }
}

/// Two subnets: 10.1.4.0/22 with the reservation, 10.1.8.0/24 with another of the same machine.
fn rows(reservation: &Reservation) -> Vec<Change> {
    let (north, physics) = ("10.1.4.0/22".parse().unwrap(), "10.1.8.0/24".parse().unwrap());
    let options = |router: u8| {
        let routes = vec![0, 10, 1, router, 1];
        vec![(1, vec![255, 255, 252, 0]), (3, vec![10, 1, router, 1]), (6, vec![10, 1, 4, 2, 10, 2, 4, 2]), (15, b"uni.example".to_vec()), (121, routes)]
    };
    vec![
        Change::put(SUBNET, subnet_key(north), SubnetRow { campus: "north".into(), options: options(4) }.encode()),
        Change::put(SUBNET, subnet_key(physics), SubnetRow { campus: "north".into(), options: options(8) }.encode()),
        Change::put(RESERVATION, reservation_key(north, 1, &MAC), reservation.encode()),
        Change::put(RESERVATION, reservation_key(physics, 1, &MAC), Reservation { address: Ipv4Addr::new(10, 1, 8, 10), ..reservation.clone() }.encode()),
    ]
}

fn view(reservation: &Reservation) -> View {
    State::empty(Feed::BOOTPTAB).compose(rows(reservation)).unwrap().unwrap().into_view()
}

/// A client's packet, built field by field.
#[derive(Clone)]
struct Client(Vec<u8>);

impl Client {
    fn bare() -> Self {
        let mut packet = vec![0; HEADER_BYTES];
        packet[..8].copy_from_slice(&[1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef]);
        packet[28..34].copy_from_slice(&MAC);
        Self(packet)
    }

    fn bootp() -> Self {
        let mut client = Self::bare();
        client.0.extend_from_slice(&OPTIONS_COOKIE);
        client.0.extend_from_slice(&[255; 60]);
        client
    }

    fn dhcp(kind: Kind) -> Self {
        let mut client = Self::bare();
        client.0.extend_from_slice(&OPTIONS_COOKIE);
        client.option(code::MESSAGE_TYPE, &[kind.to_wire().unwrap()])
    }

    fn set(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn secs(self, secs: u16) -> Self {
        self.set(8, &secs.to_be_bytes())
    }

    fn ciaddr(self, address: Ipv4Addr) -> Self {
        self.set(12, &address.octets())
    }

    fn giaddr(self, address: Ipv4Addr) -> Self {
        self.set(24, &address.octets())
    }

    fn option(mut self, code: u8, data: &[u8]) -> Self {
        self.0.extend_from_slice(&[code, data.len() as u8]);
        self.0.extend_from_slice(data);
        self
    }

    fn address(self, code: u8, address: Ipv4Addr) -> Self {
        self.option(code, &address.octets())
    }
}

fn ask(view: &View, client: &Client, out: &mut Vec<u8>) -> Outcome {
    let from = SocketAddr::from(([0, 0, 0, 0], CLIENT_PORT));
    let peer = Peer { from, local: Some(HERE), interface_addresses: &[HERE], server_name: "north.uni.example", standing: Standing::default() };
    answer(view, &client.0, peer, out)
}

fn outcome(client: Client) -> Outcome {
    ask(&view(&reservation()), &client, &mut Vec::new())
}

fn replied(kind: Kind, to: Destination) -> Outcome {
    Outcome::Replied { kind, to }
}

/// The reply as another implementation reads it.
fn witness(reservation: &Reservation, client: &Client) -> (Vec<u8>, Witness) {
    let mut out = Vec::new();
    let outcome = ask(&view(reservation), client, &mut out);
    assert!(matches!(outcome, Outcome::Replied { .. }), "{outcome:?}");
    let message = Witness::decode(&mut Decoder::new(&out)).unwrap();
    (out, message)
}

#[test]
fn bootp_gives_the_address_and_the_vendor_fields_in_64_bytes() {
    let (out, reply) = witness(&reservation(), &Client::bootp());
    assert_eq!((out.len(), reply.yiaddr(), reply.siaddr(), reply.xid()), (300, HOST, HERE, 0xdead_beef));
    assert_eq!(reply.fname(), Some(&b"/tftpboot/Xncd15r\0"[..]));
    let options = reply.opts();
    assert_eq!(options.get(OptionCode::SubnetMask), Some(&DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 252, 0))));
    assert_eq!(options.get(OptionCode::Router), Some(&DhcpOption::Router(vec![ROUTER])));
    assert_eq!(options.get(OptionCode::Hostname), Some(&DhcpOption::Hostname("darwin826".into())));
    assert_eq!(options.get(OptionCode::RootPath), Some(&DhcpOption::RootPath("/export/root".into())));
    assert_eq!(options.get(OptionCode::DomainName), None, "taken away by the reservation");
    assert!(!options.contains(OptionCode::AddressLeaseTime) && !options.contains(OptionCode::ServerIdentifier), "RFC 1534");
}

#[test]
fn bootp_answers_in_the_clients_own_style() {
    let mut out = Vec::new();
    for (vendor, expected) in [(&[][..], [0; 8]), (&[0; 64], [0; 8]), (b"CMU\0", [b'C', b'M', b'U', 0, 0, 0, 0, 1])] {
        let client = Client([&Client::bare().0, vendor].concat());
        assert_eq!(ask(&view(&reservation()), &client, &mut out), replied(Kind::Bootp, TO_MAC));
        assert_eq!((out.len(), &out[HEADER_BYTES..HEADER_BYTES + 8]), (300, &expected[..]));
    }
    assert_eq!(out[HEADER_BYTES + 8..HEADER_BYTES + 24], [255, 255, 252, 0, 10, 1, 4, 1, 10, 1, 4, 2, 10, 2, 4, 2]);
}

#[test]
fn a_bootp_client_may_name_its_server_and_its_file() {
    for name in [&b"north"[..], b"NORTH.uni.example"] {
        assert_eq!(outcome(Client::bootp().set(44, name)), replied(Kind::Bootp, TO_MAC));
    }
    assert_eq!(outcome(Client::bootp().set(44, b"south")), Outcome::Silent(Reason::OtherServerName));
    for (asked, given) in [("vmunix", "/tftpboot/vmunix\0"), ("/boot/own", "/boot/own\0")] {
        let (_, reply) = witness(&reservation(), &Client::bootp().set(108, asked.as_bytes()));
        assert_eq!(reply.fname(), Some(given.as_bytes()));
    }
}

#[test]
fn replies_go_where_the_client_can_hear_them() {
    let discover = || Client::dhcp(Kind::Discover);
    let relay = Destination::Relay(ROUTER, 67);
    let client = Destination::Unicast(HOST, 68);
    assert_eq!(outcome(discover()), replied(Kind::Offer, TO_MAC));
    assert_eq!(outcome(Client::bootp()), replied(Kind::Bootp, TO_MAC));
    assert_eq!(outcome(Client::bootp().set(10, &[0x80])), replied(Kind::Bootp, BROADCAST));
    assert_eq!(outcome(discover().set(10, &[0x80])), replied(Kind::Offer, BROADCAST));
    assert_eq!(outcome(discover().giaddr(ROUTER)), replied(Kind::Offer, relay));
    assert_eq!(outcome(Client::bootp().giaddr(ROUTER)), replied(Kind::Bootp, relay));
    assert_eq!(outcome(Client::bootp().ciaddr(HOST)), replied(Kind::Bootp, client));
    assert_eq!(outcome(Client::dhcp(Kind::Request).ciaddr(HOST)), replied(Kind::Ack, client));
    assert_eq!(outcome(Client::dhcp(Kind::Request).ciaddr(HOST).giaddr(ROUTER)), replied(Kind::Ack, relay));
    assert_eq!(outcome(Client::dhcp(Kind::Inform).ciaddr(HOST).giaddr(ROUTER)), replied(Kind::Ack, client));
    let shouted = Client::bootp().ciaddr(Ipv4Addr::new(10, 1, 7, 255));
    assert_eq!(outcome(shouted), replied(Kind::Bootp, TO_MAC), "a directed broadcast is no client");
    for bad in [Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1), Ipv4Addr::new(10, 1, 7, 255)] {
        assert_eq!(outcome(discover().giaddr(bad)), Outcome::Silent(Reason::BadRelay));
    }
}

#[test]
fn an_offer_and_its_ack_carry_lease_server_and_identity() {
    let asked = |kind| Client::dhcp(kind).option(61, &[1, 2, 3]).option(55, &[3, 6, 67]);
    let offered = witness(&reservation(), &asked(Kind::Discover)).1;
    let taken = asked(Kind::Request).address(54, HERE).address(50, HOST);
    let granted = witness(&reservation(), &taken).1;
    for (reply, kind) in [(offered, MessageType::Offer), (granted, MessageType::Ack)] {
        assert_eq!((reply.opts().msg_type(), reply.yiaddr(), reply.siaddr()), (Some(kind), HOST, HERE));
        let lease = DEFAULT_LEASE_SECS;
        let expected = [
            DhcpOption::AddressLeaseTime(lease),
            DhcpOption::Renewal(lease / 2),
            DhcpOption::Rebinding(lease / 8 * 7),
            DhcpOption::ServerIdentifier(HERE),
            DhcpOption::ClientIdentifier(vec![1, 2, 3]),
            DhcpOption::BootfileName(b"/tftpboot/Xncd15r".to_vec()),
            DhcpOption::Router(vec![ROUTER]),
        ];
        for option in expected {
            assert_eq!(reply.opts().get(OptionCode::from(&option)), Some(&option));
        }
    }
}

#[test]
fn a_configured_lease_is_kept_and_an_endless_one_needs_no_renewal() {
    let leased = |secs: u32| Reservation { options: vec![(51, Some(secs.to_be_bytes().to_vec()))], ..reservation() };
    let (_, reply) = witness(&leased(3600), &Client::dhcp(Kind::Discover));
    assert_eq!(reply.opts().get(OptionCode::Renewal), Some(&DhcpOption::Renewal(1800)));
    let (_, reply) = witness(&leased(u32::MAX), &Client::dhcp(Kind::Discover));
    assert_eq!(reply.opts().get(OptionCode::AddressLeaseTime), Some(&DhcpOption::AddressLeaseTime(u32::MAX)));
    assert_eq!(reply.opts().get(OptionCode::Renewal), None);
}

#[test]
fn the_four_kinds_of_request_are_told_apart() {
    let (request, other) = (|| Client::dhcp(Kind::Request), Ipv4Addr::new(10, 1, 4, 99));
    let (ack, nak) = (replied(Kind::Ack, TO_MAC), replied(Kind::Nak, BROADCAST));
    assert_eq!(outcome(request().address(54, HERE).address(50, HOST)), ack, "SELECTING");
    assert_eq!(outcome(request().address(54, HERE).address(50, other)), nak);
    assert_eq!(outcome(request().address(54, other).address(50, HOST)), Outcome::Silent(Reason::OtherServer));
    assert_eq!(outcome(request().address(50, HOST)), ack, "INIT-REBOOT");
    assert_eq!(outcome(request().address(50, other)), nak);
    assert_eq!(outcome(request().address(50, Ipv4Addr::new(192, 168, 1, 9))), nak, "came from another network");
    assert_eq!(outcome(request().ciaddr(other)), nak, "RENEWING");
    assert_eq!(outcome(request().ciaddr(HOST).giaddr(ELSEWHERE)), replied(Kind::Nak, Destination::Relay(ELSEWHERE, 67)), "REBINDING on another wire");
    assert_eq!(outcome(request().ciaddr(Ipv4Addr::new(192, 168, 1, 9))), Outcome::Silent(Reason::UnknownSubnet));
    assert_eq!(outcome(request()), Outcome::Silent(Reason::Unsupported));
    assert_eq!(outcome(request().option(54, &[10]).address(50, HOST)), Outcome::Silent(Reason::Unsupported), "a torn server name is not ours");
}

#[test]
fn a_relayed_nak_is_broadcast_and_promises_nothing() {
    let client = Client::dhcp(Kind::Request).address(50, HOST).giaddr(ELSEWHERE).option(82, &[1, 2, 7, 7]);
    let (_, reply) = witness(&reservation(), &client);
    assert_eq!((reply.opts().msg_type(), reply.yiaddr(), reply.flags().broadcast()), (Some(MessageType::Nak), Ipv4Addr::UNSPECIFIED, true));
    assert!(!reply.opts().contains(OptionCode::AddressLeaseTime) && reply.opts().contains(OptionCode::RelayAgentInformation));
}

#[test]
fn an_inform_gets_options_and_neither_address_nor_lease() {
    let (_, reply) = witness(&reservation(), &Client::dhcp(Kind::Inform).ciaddr(HOST));
    assert_eq!((reply.opts().msg_type(), reply.yiaddr(), reply.ciaddr()), (Some(MessageType::Ack), Ipv4Addr::UNSPECIFIED, HOST));
    assert!(reply.opts().contains(OptionCode::Router) && !reply.opts().contains(OptionCode::AddressLeaseTime));
}

#[test]
fn silence_has_a_reason() {
    let discover = || Client::dhcp(Kind::Discover);
    let cases = [
        (Client(vec![1; 20]), Reason::Malformed),
        (discover().set(2, &[17]), Reason::Malformed),
        (discover().set(0, &[2]), Reason::NotRequest),
        (Client::dhcp(Kind::Offer), Reason::Unsupported),
        (discover().set(28, &[2]), Reason::UnknownHost),
        (Client::bootp().set(2, &[0]), Reason::UnknownHost),
        (discover().giaddr(Ipv4Addr::new(10, 9, 9, 9)), Reason::UnknownSubnet),
        (Client::dhcp(Kind::Decline).address(54, HERE).address(50, HOST), Reason::Declined),
        (Client::dhcp(Kind::Decline).address(54, HERE).address(50, ELSEWHERE), Reason::NoRecord),
        (Client::dhcp(Kind::Release), Reason::Released),
    ];
    for (client, reason) in cases {
        assert_eq!(outcome(client), Outcome::Silent(reason));
    }
}

#[test]
fn a_second_server_waits_for_those_who_ask_everybody() {
    let view = view(&Reservation { wait_secs: 4, ..reservation() });
    let early = |client: Client| ask(&view, &client, &mut Vec::new()) == Outcome::Silent(Reason::TooEarly);
    for client in [Client::bootp(), Client::dhcp(Kind::Discover), Client::dhcp(Kind::Request).address(50, HOST)] {
        assert!(early(client.clone()) && early(client.clone().secs(3)) && !early(client.secs(4)));
    }
    assert!(!early(Client::dhcp(Kind::Request).address(54, HERE).address(50, HOST)), "it took our offer");
    assert!(!early(Client::dhcp(Kind::Request).ciaddr(HOST)), "it renews with us");
}

#[test]
fn an_agent_of_another_campus_answers_who_has_asked_long_enough() {
    let (view, mut out) = (view(&reservation()), Vec::new());
    let silent = ["north".to_owned()];
    let mut answers = |client: Client, campus, heard_for_secs, silent| {
        let from = SocketAddr::from(([0, 0, 0, 0], CLIENT_PORT));
        let peer = Peer { from, local: Some(ELSEWHERE), interface_addresses: &[], server_name: "", standing: Standing { campus, silent, heard_for_secs } };
        answer(&view, &client.giaddr(ROUTER).0, peer, &mut out) != Outcome::Silent(Reason::TooEarly)
    };
    let discover = || Client::dhcp(Kind::Discover);
    for client in [Client::bootp(), discover(), Client::dhcp(Kind::Request).address(50, HOST)] {
        assert!(answers(client.clone(), "north", 0, &[]), "at home nobody waits");
        assert!(!answers(client.clone(), "south", 0, &[]) && !answers(client.clone().secs(1), "south", 1, &[]));
        assert!(answers(client.clone().secs(2), "south", 0, &[]), "the client says so");
        assert!(answers(client.clone(), "south", 2, &[]), "or the agent heard it");
        assert!(answers(client.clone(), "south", 0, &silent), "the home is known to be silent");
    }
    assert!(answers(Client::dhcp(Kind::Request).ciaddr(HOST), "south", 0, &[]), "a client that renews asks whom it can reach");
}

#[test]
fn the_relays_link_selection_wins_over_its_own_address() {
    let client = Client::dhcp(Kind::Discover).giaddr(ROUTER).option(82, &[5, 4, 10, 1, 8, 1]);
    let (out, reply) = witness(&reservation(), &client);
    assert_eq!((reply.yiaddr(), reply.giaddr()), (Ipv4Addr::new(10, 1, 8, 10), ROUTER));
    let last = Message::parse(&out).unwrap().options.iter().last();
    assert_eq!(last, Some((82, &[5, 4, 10, 1, 8, 1][..])), "copied back raw and last");
}

#[test]
fn a_relay_that_wants_to_be_the_server_is() {
    let relayed = |kind| Client::dhcp(kind).giaddr(ROUTER).option(82, &[11, 4, 10, 1, 4, 1]);
    let (_, reply) = witness(&reservation(), &relayed(Kind::Discover));
    assert_eq!(reply.opts().get(OptionCode::ServerIdentifier), Some(&DhcpOption::ServerIdentifier(ROUTER)));
    let taken = |server| outcome(relayed(Kind::Request).address(54, server).address(50, HOST));
    assert_eq!(taken(ROUTER), replied(Kind::Ack, Destination::Relay(ROUTER, 67)));
    assert_eq!(taken(ELSEWHERE), Outcome::Silent(Reason::OtherServer));
    let plain = Client::dhcp(Kind::Request).giaddr(ROUTER).address(54, ROUTER).address(50, HOST);
    assert_eq!(outcome(plain), Outcome::Silent(Reason::OtherServer), "without the relay's word the router is somebody else");
}

#[test]
fn who_brings_a_name_is_told_its_own() {
    let reply = |option: &[u8]| {
        let mut out = Vec::new();
        ask(&view(&reservation()), &Client::dhcp(Kind::Discover).option(81, option), &mut out);
        Message::parse(&out).unwrap().options.bytes(81).collect::<Vec<u8>>()
    };
    assert_eq!(reply(&[5, 0, 0, 3, b'p', b'c', b'7']), [&[5, 255, 255, 9][..], b"darwin826", &[3], b"uni", &[7], b"example", &[0]].concat());
    assert_eq!(reply(&[0, 0, 0, b'p', b'c']), [&[3, 255, 255][..], b"darwin826.uni.example"].concat(), "the old encoding, against its wish");
    assert!(reply(&[]).is_empty(), "an empty option is no question");
}

#[test]
fn only_who_asks_is_told_to_do_without_ipv4() {
    let six = Reservation { options: vec![(108, Some(vec![0, 0, 7, 8]))], ..reservation() };
    let told = |list: &[u8]| {
        let mut out = Vec::new();
        ask(&view(&six), &Client::dhcp(Kind::Discover).option(55, list), &mut out);
        Message::parse(&out).unwrap().options.fixed::<4>(108)
    };
    assert_eq!((told(&[1, 108]), told(&[1, 3])), (Some([0, 0, 7, 8]), None));
}

#[test]
fn a_machine_that_boots_over_http_is_understood() {
    let class = |class: &[u8]| {
        let mut out = Vec::new();
        ask(&view(&reservation()), &Client::dhcp(Kind::Discover).option(60, class), &mut out);
        Message::parse(&out).unwrap().options.bytes(60).collect::<Vec<u8>>()
    };
    assert_eq!(class(b"HTTPClient:Arch:00016:UNDI:003001"), b"HTTPClient");
    assert_eq!(class(b"PXEClient:Arch:00007"), b"");
}

#[test]
fn of_several_subnets_on_a_wire_the_reserved_one_is_taken() {
    let mut rows = rows(&reservation());
    rows.retain(|row| row.key != reservation_key("10.1.4.0/22".parse().unwrap(), 1, &MAC));
    let view = State::empty(Feed::BOOTPTAB).compose(rows).unwrap().unwrap().into_view();
    let from = SocketAddr::from(([0, 0, 0, 0], CLIENT_PORT));
    let peer = Peer { from, local: Some(HERE), interface_addresses: &[HERE, Ipv4Addr::new(10, 1, 8, 2)], server_name: "", standing: Standing::default() };
    let mut out = Vec::new();
    assert_eq!(
        answer(&view, &Client::dhcp(Kind::Discover).0, peer, &mut out),
        replied(Kind::Offer, Destination::Hardware { address: Ipv4Addr::new(10, 1, 8, 10), mac: MAC, server: Ipv4Addr::new(10, 1, 8, 2) })
    );
    let message = Message::parse(&out).unwrap();
    assert_eq!(message.options.address(54), Some(Ipv4Addr::new(10, 1, 8, 2)), "our address on the client's own subnet");
}

#[test]
fn classless_routes_replace_the_router_for_who_asked_for_them() {
    let reply = |list: &[u8]| witness(&reservation(), &Client::dhcp(Kind::Discover).option(55, list)).1;
    let both = reply(&[3, 121]);
    assert!(both.opts().contains(OptionCode::ClasslessStaticRoute) && !both.opts().contains(OptionCode::Router));
    assert!(reply(&[3]).opts().contains(OptionCode::Router));
}

#[test]
fn when_space_is_short_what_was_asked_for_stays() {
    let large = |code| (code, Some(vec![b'x'; 200]));
    let crowded = Reservation { options: vec![large(128), large(129), large(130)], ..reservation() };
    let (out, reply) = witness(&crowded, &Client::dhcp(Kind::Discover).option(55, &[130, 3]));
    assert!(out.len() <= 548 && reply.opts().contains(OptionCode::Router) && reply.opts().contains(OptionCode::from(130)));
    assert!(!reply.opts().contains(OptionCode::from(129)));
    let (out, reply) = witness(&crowded, &Client::dhcp(Kind::Discover).option(57, &1400u16.to_be_bytes()));
    assert!(out.len() <= 1372 && [128, 129, 130].iter().all(|code| reply.opts().contains(OptionCode::from(*code))));
    let (out, _) = witness(&crowded, &Client::bootp());
    assert_eq!(out.len(), 300, "a BOOTP client has 64 bytes");
    let longer = Client([&Client::bootp().0[..], &[0; 248]].concat());
    assert!(witness(&crowded, &longer).0.len() > 300, "unless it sent more");
}

#[test]
fn an_interface_without_address_answers_nobody_and_takes_nothing_down() {
    let from = SocketAddr::from(([0, 0, 0, 0], CLIENT_PORT));
    let peer = Peer { from, local: None, interface_addresses: &[], server_name: "", standing: Standing::default() };
    let silent = |client: Client| answer(&view(&reservation()), &client.0, peer, &mut Vec::new());
    assert_eq!(silent(Client::dhcp(Kind::Discover)), Outcome::Silent(Reason::UnknownSubnet));
    assert_eq!(silent(Client::dhcp(Kind::Discover).giaddr(ROUTER)), Outcome::Silent(Reason::NoAddress));
}

proptest! {
    #[test]
    fn whatever_comes_the_reply_is_whole_and_within_its_budget(
        flips in prop::collection::vec((0usize..320, any::<u8>()), 0..8),
        tail in prop::collection::vec(any::<u8>(), 0..120),
        kind in 0u8..9,
    ) {
        let mut client = Kind::from_wire(kind).to_wire().map_or_else(Client::bootp, |_| Client::dhcp(Kind::from_wire(kind)));
        client.0.extend_from_slice(&tail);
        for (at, byte) in flips {
            if let Some(slot) = client.0.get_mut(at) {
                *slot = byte;
            }
        }
        let mut out = Vec::new();
        match ask(&view(&reservation()), &client, &mut out) {
            Outcome::Silent(_) => prop_assert!(out.is_empty()),
            Outcome::Replied { kind, .. } => {
                let (request, reply) = (Message::parse(&client.0).unwrap(), Message::parse(&out).unwrap());
                prop_assert!((300..=LONGEST_REPLY_BYTES).contains(&out.len()));
                prop_assert_eq!((reply.xid, reply.chaddr, reply.giaddr), (request.xid, request.chaddr, request.giaddr));
                prop_assert_eq!(reply.kind(), kind);
                prop_assert!([HOST, Ipv4Addr::new(10, 1, 8, 10), Ipv4Addr::UNSPECIFIED].contains(&reply.yiaddr));
            }
        }
    }
}
