use super::*;
use crate::dhcp::lease::LeaseState;
use crate::dhcp::message::{HEADER_BYTES, OPTIONS_COOKIE};
use crate::dhcp::policy::{POLICY, PolicyRow, Share, Unknown};
use crate::dhcp::table::{RESERVATION, Reservation, SUBNET, SubnetRow, reservation_key, subnet_key};
use crate::dhcp::{Kind, Standing};
use crate::snapshot::{Change, Feed, State};
use std::net::SocketAddr;

const HERE: Ipv4Addr = Ipv4Addr::new(10, 1, 4, 2);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 1, 4, 1);
const OURS: NodeId = NodeId([7; 16]);
const OTHERS: NodeId = NodeId([8; 16]);
const START: UnixMillis = UnixMillis(1_800_000_000_000);

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, 4, last)
}

fn policy() -> PolicyRow {
    let share = |first, last, owner| Share { first: address(first), last: address(last), owner };
    PolicyRow { lease_secs: 3600, shares: vec![share(1, 102, OURS), share(110, 119, OTHERS)], ..PolicyRow::default() }
}

fn reservation(last: u8) -> Reservation {
    Reservation {
        address: address(last),
        host_name: "ws7.uni.example".into(),
        send_host_name: false,
        next_server: None,
        server_name: String::new(),
        boot_file: String::new(),
        wait_secs: 0,
        options: vec![],
    }
}

/// The subnet of the router, with a policy; machine 7 is registered.
fn view(policy: &PolicyRow) -> View {
    let net: Ipv4Net = "10.1.4.0/22".parse().unwrap();
    let options = vec![(1, vec![255, 255, 252, 0]), (3, ROUTER.octets().to_vec()), (51, 7200u32.to_be_bytes().to_vec())];
    let rows = vec![
        Change::put(SUBNET, subnet_key(net), SubnetRow { campus: "north".into(), options }.encode()),
        Change::put(RESERVATION, reservation_key(net, 1, &mac(7)), reservation(200).encode()),
        Change::put(POLICY, subnet_key(net), policy.encode()),
    ];
    State::empty(Feed::BOOTPTAB).compose(rows).unwrap().unwrap().into_view()
}

fn mac(number: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, number]
}

/// A desk, its rows, and the time.
struct Office {
    desk: Desk,
    view: View,
    now: UnixMillis,
    out: Vec<u8>,
}

/// What a machine says.
#[derive(Clone, Copy)]
struct Says {
    machine: u8,
    kind: Kind,
    ciaddr: Ipv4Addr,
    giaddr: Ipv4Addr,
    wish: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
    /// Its relay stands for every server (RFC 5107).
    is_overridden: bool,
    /// What it calls itself.
    name: &'static str,
}

fn says(machine: u8, kind: Kind) -> Says {
    Says { machine, kind, ciaddr: Ipv4Addr::UNSPECIFIED, giaddr: Ipv4Addr::UNSPECIFIED, wish: None, server: None, is_overridden: false, name: "" }
}

impl Says {
    fn packet(self) -> Vec<u8> {
        let mut packet = vec![0; HEADER_BYTES];
        packet[..8].copy_from_slice(&[1, 1, 6, 0, 1, 2, 3, self.machine]);
        packet[12..16].copy_from_slice(&self.ciaddr.octets());
        packet[24..28].copy_from_slice(&self.giaddr.octets());
        packet[28..34].copy_from_slice(&mac(self.machine));
        packet.extend_from_slice(&OPTIONS_COOKIE);
        let mut option = |code: u8, data: &[u8]| packet.extend_from_slice(&[&[code, data.len() as u8], data].concat());
        self.kind.to_wire().iter().for_each(|kind| option(53, &[*kind]));
        self.wish.iter().for_each(|wish| option(50, &wish.octets()));
        self.server.iter().for_each(|server| option(54, &server.octets()));
        option(60, b"MSFT 5.0");
        if !self.name.is_empty() {
            option(12, self.name.as_bytes());
            option(81, &[4, 0, 0]);
        }
        if self.is_overridden {
            option(82, &[&[11, 4][..], &self.giaddr.octets()].concat());
        }
        packet.push(255);
        packet
    }
}

impl Office {
    fn with(policy: &PolicyRow) -> Self {
        Self { desk: Desk::new(Some(OURS), Leases::default()), view: view(policy), now: START, out: Vec::new() }
    }

    fn hear(&mut self, says: Says) -> Outcome {
        self.hear_at(says, Standing::default())
    }

    fn hear_at(&mut self, says: Says, standing: Standing<'_>) -> Outcome {
        let from = SocketAddr::from(([0, 0, 0, 0], 68));
        let peer = Peer { from, local: Some(HERE), interface_addresses: &[HERE], server_name: "", standing };
        self.desk.answer(&self.view, &says.packet(), peer, self.now, &mut self.out)
    }

    /// The kind of the reply and the address in it.
    fn reply(&mut self, says: Says) -> (Kind, u8) {
        let outcome = self.hear(says);
        let Outcome::Replied { kind, .. } = outcome else { panic!("{outcome:?}") };
        (kind, Message::parse(&self.out).unwrap().yiaddr.octets()[3])
    }

    /// DISCOVER and REQUEST: the address, and the record that came before it.
    fn lend(&mut self, machine: u8) -> (u8, Lease) {
        let (kind, offered) = self.reply(says(machine, Kind::Discover));
        assert_eq!((kind, self.desk.take_record()), (Kind::Offer, None), "an offer is no promise");
        let taken = self.reply(Says { wish: Some(address(offered)), server: Some(HERE), ..says(machine, Kind::Request) });
        assert_eq!(taken, (Kind::Ack, offered));
        (offered, self.desk.take_record().expect("an acknowledgement has a record"))
    }
}

#[test]
fn an_unregistered_machine_gets_nothing_and_is_reported() {
    let mut office = Office::with(&PolicyRow::default());
    for kind in [Kind::Bootp, Kind::Discover] {
        assert_eq!(office.hear(says(9, kind)), Outcome::Silent(Reason::UnknownHost));
    }
    let [Note::Unknown(told)] = &office.desk.take_notes()[..] else { panic!("one note") };
    assert_eq!((told.chaddr.as_slice(), told.vendor_class.as_slice(), told.net.to_string()), (&mac(9)[..], &b"MSFT 5.0"[..], "10.1.4.0/22".to_owned()));
    assert_eq!(office.reply(says(7, Kind::Discover)), (Kind::Offer, 200));
    assert_eq!(office.desk.take_notes(), [], "a registered machine is no news");
    let mut quiet = Office::with(&PolicyRow { unknown: Unknown::Off, ..PolicyRow::default() });
    assert_eq!(quiet.hear(says(9, Kind::Discover)), Outcome::Silent(Reason::UnknownHost));
    assert_eq!(quiet.desk.take_notes(), []);
}

#[test]
fn a_machine_that_is_registered_works_with_its_next_packet() {
    let mut office = Office::with(&PolicyRow::default());
    assert_eq!(office.hear(says(9, Kind::Discover)), Outcome::Silent(Reason::UnknownHost));
    let net = "10.1.4.0/22".parse().unwrap();
    let row = Change::put(RESERVATION, reservation_key(net, 1, &mac(9)), reservation(201).encode());
    let subnet = Change::put(SUBNET, subnet_key(net), SubnetRow::default().encode());
    office.view = State::empty(Feed::BOOTPTAB).compose(vec![subnet, row]).unwrap().unwrap().into_view();
    assert_eq!(office.reply(says(9, Kind::Discover)), (Kind::Offer, 201));
}

#[test]
fn an_address_is_lent_from_the_own_share_and_written_down_first() {
    let mut office = Office::with(&policy());
    let (lent, record) = office.lend(9);
    assert_eq!(lent, 3, "neither the router's nor our own");
    assert_eq!((record.address, record.state, record.until), (address(3), LeaseState::Active, UnixMillis(START.0 + 3_600_000)));
    let ack = Message::parse(&office.out).unwrap();
    assert_eq!(ack.options.fixed(51).map(u32::from_be_bytes), Some(3600), "the policy's, not the subnet's");
    assert_eq!(office.lend(10).0, 4);
    assert!((0..200).all(|_| office.reply(says(11, Kind::Discover)).1 < 103), "never from another's share");
}

#[test]
fn a_share_without_a_free_address_is_silent_and_told_of() {
    let mut office = Office::with(&PolicyRow { shares: vec![Share { first: address(50), last: address(50), owner: OURS }], ..policy() });
    office.lend(9);
    office.desk.take_notes();
    for _ in 0..2 {
        assert_eq!(office.hear(says(10, Kind::Discover)), Outcome::Silent(Reason::NoFreeAddress));
    }
    let notes = office.desk.take_notes();
    assert_eq!(notes.iter().filter(|note| matches!(note, Note::Exhausted(_))).count(), 1, "{notes:?}");
    let mut others = Office::with(&PolicyRow { shares: vec![Share { first: address(50), last: address(50), owner: OTHERS }], ..policy() });
    assert_eq!(others.hear(says(10, Kind::Discover)), Outcome::Silent(Reason::OthersShare));
}

#[test]
fn a_client_is_told_apart_by_what_it_says_of_its_address() {
    let mut office = Office::with(&policy());
    let (lent, _) = office.lend(9);
    let request = |machine| says(machine, Kind::Request);
    let ours = address(lent);
    assert_eq!(office.reply(Says { ciaddr: ours, ..request(9) }), (Kind::Ack, lent), "RENEWING");
    assert!(office.desk.take_record().is_some(), "a longer lease is written down, too");
    assert_eq!(office.reply(Says { wish: Some(ours), ..request(9) }), (Kind::Ack, lent), "INIT-REBOOT");
    assert_eq!(office.reply(Says { wish: Some(ours), ..request(10) }), (Kind::Nak, 0), "our record says that it is another's");
    assert_eq!(office.reply(Says { ciaddr: ours, ..request(10) }), (Kind::Nak, 0));
    assert_eq!(office.reply(Says { wish: Some(ours), server: Some(HERE), ..request(10) }), (Kind::Nak, 0), "SELECTING what was never offered");
    assert_eq!(office.hear(Says { wish: Some(address(77)), ..request(10) }), Outcome::Silent(Reason::NoRecord), "RFC 2131 section 4.3.2");
    assert_eq!(office.hear(Says { wish: Some(address(115)), ..request(10) }), Outcome::Silent(Reason::OthersShare), "its owner may know better");
    assert_eq!(office.hear(Says { ciaddr: address(115), ..request(10) }), Outcome::Silent(Reason::OthersShare));
    let elsewhere = Ipv4Addr::new(192, 168, 1, 9);
    assert_eq!(office.reply(Says { wish: Some(elsewhere), ..request(10) }), (Kind::Nak, 0), "the wrong network is sure");
    assert_eq!(office.reply(Says { ciaddr: elsewhere, giaddr: ROUTER, ..request(10) }), (Kind::Nak, 0), "also for one that moved while it slept");
    let other = Says { wish: Some(ours), server: Some(address(222)), ..request(9) };
    assert_eq!(office.hear(other), Outcome::Silent(Reason::OtherServer));
}

#[test]
fn an_offer_that_another_server_got_is_free_again() {
    let mut office = Office::with(&PolicyRow { shares: vec![Share { first: address(50), last: address(50), owner: OURS }], ..policy() });
    assert_eq!(office.reply(says(9, Kind::Discover)), (Kind::Offer, 50));
    assert_eq!(office.hear(says(10, Kind::Discover)), Outcome::Silent(Reason::NoFreeAddress));
    let other = Says { wish: Some(address(115)), server: Some(address(222)), ..says(9, Kind::Request) };
    assert_eq!(office.hear(other), Outcome::Silent(Reason::OtherServer));
    assert_eq!(office.reply(says(10, Kind::Discover)), (Kind::Offer, 50));
}

#[test]
fn what_is_given_back_or_declined_is_written_down() {
    let mut office = Office::with(&policy());
    let (lent, _) = office.lend(9);
    let release = Says { ciaddr: address(lent), server: Some(HERE), ..says(9, Kind::Release) };
    assert_eq!(office.hear(Says { machine: 10, ..release }), Outcome::Silent(Reason::Released));
    assert_eq!(office.desk.take_record(), None, "another's is not to be released");
    assert_eq!(office.hear(Says { server: Some(address(222)), ..release }), Outcome::Silent(Reason::OtherServer), "nor what another server lent");
    assert_eq!(office.hear(release), Outcome::Silent(Reason::Released));
    assert_eq!(office.desk.take_record().map(|record| record.state), Some(LeaseState::Released));
    assert_eq!(office.lend(9).0, lent);
    office.desk.take_notes();
    assert_eq!(office.hear(Says { wish: Some(address(lent)), server: Some(HERE), ..says(9, Kind::Decline) }), Outcome::Silent(Reason::Declined));
    assert_eq!(office.desk.take_record().map(|record| record.state), Some(LeaseState::Declined));
    assert_eq!(office.desk.take_notes(), [Note::InUse { address: address(lent), chaddr: mac(9).to_vec() }]);
    assert_ne!(office.lend(9).0, lent);
}

#[test]
fn a_reserved_address_that_somebody_uses_is_told_of() {
    let mut office = Office::with(&policy());
    let decline = Says { wish: Some(address(200)), server: Some(HERE), ..says(7, Kind::Decline) };
    assert_eq!(office.hear(decline), Outcome::Silent(Reason::Declined));
    assert_eq!((office.desk.take_notes(), office.desk.take_record()), (vec![Note::InUse { address: address(200), chaddr: mac(7).to_vec() }], None));
}

#[test]
fn a_decline_is_told_of_once_and_only_by_whoever_was_told_of_the_address() {
    let mut office = Office::with(&policy());
    let decline = Says { wish: Some(address(200)), server: Some(HERE), ..says(7, Kind::Decline) };
    assert_eq!(office.hear(Says { wish: Some(address(77)), ..decline }), Outcome::Silent(Reason::NoRecord));
    assert_eq!(office.hear(Says { server: Some(address(222)), ..decline }), Outcome::Silent(Reason::OtherServer));
    assert_eq!(office.hear(Says { server: None, ..decline }), Outcome::Silent(Reason::NoRecord), "RFC 2131 table 5: it must name its server");
    assert_eq!(office.desk.take_notes(), []);
    for _ in 0..3 {
        assert_eq!(office.hear(decline), Outcome::Silent(Reason::Declined));
    }
    assert_eq!(office.desk.take_notes().len(), 1);
}

#[test]
fn an_offer_of_another_agent_is_not_refused_where_the_relay_calls_all_by_one_name() {
    let mut office = Office::with(&policy());
    let override_of = |says: Says| Says { giaddr: ROUTER, server: Some(ROUTER), is_overridden: true, ..says };
    let request = override_of(Says { wish: Some(address(115)), ..says(9, Kind::Request) });
    assert_eq!(office.hear(request), Outcome::Silent(Reason::OthersShare), "it took the other agent's offer");
    assert_eq!(office.reply(Says { wish: Some(address(222)), ..request }), (Kind::Nak, 0), "nobody's");
    assert_eq!(office.reply(Says { wish: Some(address(1)), ..request }), (Kind::Nak, 0), "ours, and the router's");
}

#[test]
fn a_late_copy_of_a_request_refuses_nobody_what_was_lent_before_the_share_was_given_up() {
    let mut office = Office::with(&policy());
    let (lent, lease) = office.lend(9);
    let request = Says { wish: Some(address(lent)), server: Some(HERE), ..says(9, Kind::Request) };
    office.view = view(&PolicyRow { shares: policy().shares.split_off(1), ..policy() });
    assert_eq!(office.hear(request), Outcome::Silent(Reason::OthersShare));
    office.now = UnixMillis(lease.until.0 + 1);
    assert_eq!(office.reply(request), (Kind::Nak, 0), "it holds nothing any more");
}

#[test]
fn while_the_disk_takes_no_record_nothing_is_offered_and_reserved_hosts_are_served() {
    let mut office = Office::with(&policy());
    office.desk.set_lending(false);
    assert_eq!(office.hear(says(9, Kind::Discover)), Outcome::Silent(Reason::LeaseLogFails));
    assert_eq!(office.reply(says(7, Kind::Discover)), (Kind::Offer, 200));
    office.desk.set_lending(true);
    assert_eq!(office.lend(9).0, 3);
}

#[test]
fn bootp_is_lent_nothing_and_an_inform_is_told_the_options() {
    let mut office = Office::with(&policy());
    assert_eq!(office.hear(says(9, Kind::Bootp)), Outcome::Silent(Reason::UnknownHost), "RFC 1534");
    assert_eq!(office.reply(Says { ciaddr: address(88), ..says(9, Kind::Inform) }), (Kind::Ack, 0));
    let reply = Message::parse(&office.out).unwrap();
    assert!(reply.options.has(3) && !reply.options.has(51) && office.desk.take_record().is_none());
}

#[test]
fn in_quarantine_an_address_is_lent_for_minutes() {
    let mut office = Office::with(&PolicyRow { unknown: Unknown::Quarantine, ..policy() });
    let (_, record) = office.lend(9);
    assert_eq!(record.until.0 - record.at.0, 300_000);
}

#[test]
fn a_leased_machine_that_is_registered_moves_at_its_next_renewal() {
    let mut office = Office::with(&policy());
    let (lent, _) = office.lend(9);
    let net = "10.1.4.0/22".parse().unwrap();
    let rows = vec![
        Change::put(SUBNET, subnet_key(net), SubnetRow::default().encode()),
        Change::put(RESERVATION, reservation_key(net, 1, &mac(9)), reservation(201).encode()),
        Change::put(POLICY, subnet_key(net), policy().encode()),
    ];
    office.view = State::empty(Feed::BOOTPTAB).compose(rows).unwrap().unwrap().into_view();
    assert_eq!(office.reply(Says { ciaddr: address(lent), ..says(9, Kind::Request) }), (Kind::Nak, 0));
    assert_eq!(office.reply(says(9, Kind::Discover)), (Kind::Offer, 201));
}

#[test]
fn a_backup_lends_when_the_client_was_heard_for_long_enough() {
    let mut office = Office::with(&policy());
    let south = Standing { campus: "south", ..Standing::default() };
    assert_eq!(office.hear_at(says(9, Kind::Discover), south), Outcome::Silent(Reason::TooEarly));
    office.now.0 += 2000;
    assert!(matches!(office.hear_at(says(9, Kind::Discover), south), Outcome::Replied { kind: Kind::Offer, .. }), "its secs are 0, our memory is not");
    assert_eq!(office.hear_at(says(10, Kind::Discover), south), Outcome::Silent(Reason::TooEarly));
    let silent = ["north".to_owned()];
    assert!(matches!(office.hear_at(says(10, Kind::Discover), Standing { silent: &silent, ..south }), Outcome::Replied { .. }));
}

#[test]
fn leases_outlive_the_desk() {
    let mut office = Office::with(&policy());
    let records = [office.lend(9).1, office.lend(10).1];
    let mut leases = Leases::default();
    records.iter().for_each(|record| leases.restore(Lease::decode(&record.encode()).unwrap()));
    office.desk = Desk::new(Some(OURS), leases);
    assert_eq!(office.reply(Says { ciaddr: records[0].address, ..says(9, Kind::Request) }), (Kind::Ack, records[0].address.octets()[3]));
    assert_eq!(office.reply(Says { wish: Some(records[1].address), ..says(11, Kind::Discover) }).0, Kind::Offer);
    assert_ne!(Message::parse(&office.out).unwrap().yiaddr, records[1].address);
}

/// The subnet of the others, whose machines get names in dyn.uni.example, with leases that are to end.
fn naming_view(ended: &[(Ipv4Addr, Vec<u8>)]) -> View {
    let net: Ipv4Net = "10.1.4.0/22".parse().unwrap();
    let naming = crate::lent::Naming { zone: "dyn.uni.example".parse().unwrap() };
    let mut rows = vec![
        Change::put(
            SUBNET,
            subnet_key(net),
            SubnetRow { campus: "north".into(), options: vec![(3, ROUTER.octets().to_vec()), (15, b"uni.example".to_vec())] }.encode(),
        ),
        Change::put(POLICY, subnet_key(net), policy().encode()),
        Change::put(crate::lent::NAMING, subnet_key(net), naming.encode()),
    ];
    rows.extend((!ended.is_empty()).then(|| Change::put(ENDED, subnet_key(net), ended::encode(ended))));
    State::empty(Feed::BOOTPTAB).compose(rows).unwrap().unwrap().into_view()
}

impl Office {
    /// The name of a lease, and what the client is told of it: options 12, 15, and 81 behind its flags.
    fn lend_named(&mut self, machine: u8, name: &'static str) -> (String, [Vec<u8>; 3]) {
        let (_, offered) = self.reply(Says { name, ..says(machine, Kind::Discover) });
        self.reply(Says { name, wish: Some(address(offered)), server: Some(HERE), ..says(machine, Kind::Request) });
        let record = self.desk.take_record().unwrap();
        let told = Message::parse(&self.out).unwrap().options;
        let [label, domain, fqdn] = [12, 15, 81].map(|code| told.bytes(code).collect::<Vec<u8>>());
        (record.name.map(|name| name.without_dot()).unwrap_or_default(), [label, domain, fqdn.get(3..).unwrap_or_default().to_vec()])
    }
}

#[test]
fn a_leased_machine_is_called_what_it_wants_while_nobody_else_is() {
    let mut office = Office::with(&policy());
    assert_eq!(office.lend_named(8, "pc8"), (String::new(), [vec![], vec![], vec![]]), "no subnet gives names by itself");
    office.view = naming_view(&[]);
    office.desk = Desk::new(Some(OURS), Leases::default()).with_names_of_others(|name| name.to_string() == "printer.dyn.uni.example.");
    let wire = |text: &str| text.parse::<DomainName>().unwrap().wire().to_vec();
    let told = |name: &str, label: &str| (name.to_owned(), [label.as_bytes().to_vec(), b"dyn.uni.example".to_vec(), wire(name)]);
    assert_eq!(office.lend_named(9, "PC7.home"), told("pc7.dyn.uni.example", "pc7"));
    let others = office.lend_named(10, "pc7");
    assert_eq!(others.0, "dhcp-10-1-4-4.dyn.uni.example", "another machine has that name");
    assert_eq!(office.lend_named(11, "printer").0, "dhcp-10-1-4-5.dyn.uni.example", "as has a host");
    assert_eq!(office.lend_named(9, "pc7").0, "pc7.dyn.uni.example", "its own it keeps");
    let renewed = |office: &mut Office, name| {
        office.reply(Says { ciaddr: address(3), name, ..says(9, Kind::Request) });
        office.desk.take_record().unwrap().name.map(|name| name.without_dot())
    };
    assert_eq!(renewed(&mut office, "").as_deref(), Some("pc7.dyn.uni.example"), "though it does not say it again");
    assert_eq!(renewed(&mut office, "pc9").as_deref(), Some("pc9.dyn.uni.example"), "until it is called something else");
    assert_eq!(office.lend_named(10, "pc7").0, "pc7.dyn.uni.example", "then the name is free");
    office.now.0 += 3_600_001;
    assert_eq!(office.lend_named(12, "pc9").0, "pc9.dyn.uni.example", "as it is when its lease has ended");
}

#[test]
fn a_lease_that_is_to_end_ends_once_and_its_client_begins_anew() {
    let mut office = Office::with(&policy());
    let (lent, record) = office.lend(9);
    let order = (address(lent), record.client.clone());
    office.view = naming_view(&[order.clone(), (address(77), vec![0, 1, 9])]);
    office.desk.set_lending(false);
    assert_eq!(office.desk.heed(&office.view, office.now), [], "while nothing can be written nothing ends");
    office.desk.set_lending(true);
    let [ended] = &office.desk.heed(&office.view, office.now)[..] else { panic!("one record") };
    assert_eq!((ended.state, ended.address, &ended.client), (LeaseState::Withdrawn, address(lent), &record.client));
    assert_eq!(office.desk.heed(&office.view, office.now), [], "the same generation");
    assert_eq!(office.reply(Says { ciaddr: address(lent), ..says(9, Kind::Request) }), (Kind::Nak, 0));
    let (again, _) = office.lend(9);
    assert_ne!(again, lent);
    office.now.0 += 2 * 3_600_000;
    office.reply(Says { wish: Some(address(lent)), ..says(9, Kind::Discover) });
    office.reply(Says { wish: Some(address(lent)), server: Some(HERE), ..says(9, Kind::Request) });
    office.desk.take_record().unwrap();
    office.desk.heeded = None;
    assert_eq!(office.desk.heed(&office.view, office.now), [], "an order that stays ends no later lease");
}
