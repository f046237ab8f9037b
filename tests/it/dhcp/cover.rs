//! Two campuses' agents hear the same clients through relays: the one at home answers, the other when it does not.

use super::{net, registered, subnets};
use holdfast_lab::cables::{Campus, Network, Place};
use holdfast_lab::clients::relay::{self, Reply};
use holdfast_lab::clients::{Dhcrelay, udhcpc};
use holdfast_lab::lone::Lone;
use holdfast_proto::dhcp::table::{RESERVATION, Reservation, reservation_key};
use holdfast_proto::snapshot::Change;
use holdfast_proto::words::Mac;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

const NORTH: Campus = Campus::North;
const SOUTH: Campus = Campus::South;
const SECOND: Duration = Duration::from_secs(1);

fn agent(network: &Network, campus: Campus) -> Lone {
    let mut agent = Lone::dhcp(network, campus, [subnets(), vec![registered(NORTH), machine(9)]].concat()).unwrap();
    agent.start().unwrap();
    agent
}

/// Another registered machine of the northern campus, so that a memory of the first one says nothing of it.
fn machine(number: u8) -> Change {
    let address = [10, 1, 4, 100 + number].into();
    let row = Reservation {
        address,
        host_name: String::new(),
        send_host_name: false,
        next_server: None,
        server_name: String::new(),
        boot_file: String::new(),
        wait_secs: 0,
        options: vec![],
    };
    Change::put(RESERVATION, reservation_key(net(NORTH), 1, &[2, 0, 0, 0, 0, number]), row.encode())
}

/// What the northern router hears from a campus's agent for a machine that asks by DISCOVER.
fn hears(network: &Network, from: Campus, mac: [u8; 6], limit: Duration) -> Option<Reply> {
    let server = SocketAddrV4::new(from.agent(), 67);
    network.at(Place::Router(NORTH)).inside(|| relay::ask(NORTH.router(), server, mac, &[53, 1, 1], limit)).unwrap().unwrap()
}

#[test]
fn the_backup_waits_for_home_and_answers_when_home_is_gone() {
    let Some(network) = crate::network("cover across campuses") else { return };
    let (mut north, south) = (agent(&network, NORTH), agent(&network, SOUTH));
    let mac: Mac = NORTH.host_mac().parse().unwrap();
    assert_eq!(hears(&network, NORTH, mac.0, SECOND).expect("home answers at once").yiaddr, NORTH.host());
    assert_eq!(hears(&network, SOUTH, mac.0, SECOND), None, "the backup waits");
    // The client goes on asking, with secs 0 as many do.
    let begun = Instant::now();
    let covered = std::iter::repeat_with(|| hears(&network, SOUTH, mac.0, SECOND)).take(8).flatten().next();
    assert_eq!(covered.expect("the backup answers one that goes on asking").yiaddr, NORTH.host(), "the same address");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());

    north.kill().unwrap();
    // A peer is known to be silent after three questions, two seconds apart.
    std::thread::sleep(Duration::from_secs(10));
    let before = south.counted("holdfast_dhcp_silent_total{reason=\"too_early\"}").unwrap();
    let reply = hears(&network, SOUTH, [2, 0, 0, 0, 0, 9], SECOND);
    assert_eq!(reply.expect("its very first packet").yiaddr, std::net::Ipv4Addr::new(10, 1, 4, 109), "{}", south.log());
    assert_eq!(south.counted("holdfast_dhcp_silent_total{reason=\"too_early\"}").unwrap(), before, "nobody waited");
}

#[test]
fn a_client_behind_another_houses_relay_is_served_by_home_and_by_the_backup() {
    let Some(network) = crate::network("a relay of another house") else { return };
    // Nobody hears the client's broadcast but the relay.
    let mut north = agent(&network, NORTH);
    let _south = agent(&network, SOUTH);
    let _relay = Dhcrelay::start(network.at(Place::Router(NORTH)), "lan", "core", &[SOUTH.agent()]).unwrap();
    let host = Some(network.at(Place::Host(NORTH)));
    assert_eq!(udhcpc(host, 3, &[]).unwrap().expect("a lease from home").word("serverid"), NORTH.agent().to_string());
    north.kill().unwrap();
    let lease = udhcpc(host, 8, &[]).unwrap().expect("a lease from the backup");
    assert_eq!((lease.address(), lease.word("serverid")), (Some(NORTH.host()), SOUTH.agent().to_string().as_str()));
}
