//! Clients of other houses ask the real agent on real cables.

use super::{pool, registered, subnets};
use holdfast_lab::cables::{Campus, Network, Place};
use holdfast_lab::clients::{bootptest, dhclient, dhcping, udhcpc};
use holdfast_lab::lone::Lone;
use holdfast_proto::snapshot::{Change, Feed};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

const NORTH: Campus = Campus::North;

/// The agent of the northern campus with these rows, serving.
fn agent(network: &Network, rows: Vec<Change>) -> Lone {
    let mut agent = Lone::dhcp(network, NORTH, [subnets(), rows].concat()).unwrap();
    agent.start().unwrap();
    agent
}

/// How many packets the terminal server beside the host hears on the clients' port while something happens.
fn overheard(network: &Network, happens: impl FnOnce()) -> usize {
    let socket = network.at(Place::Nas(NORTH)).inside(|| UdpSocket::bind("0.0.0.0:68").unwrap()).unwrap();
    happens();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut packet = [0; 1500];
    std::iter::from_fn(|| socket.recv(&mut packet).ok()).count()
}

#[test]
fn a_registered_machine_gets_its_address_from_every_client() {
    let Some(network) = crate::network("registered machines") else { return };
    let agent = agent(&network, vec![registered(NORTH)]);
    let host = Some(network.at(Place::Host(NORTH)));
    let lease = udhcpc(host, 3, &[]).unwrap().expect("a lease by udhcpc");
    assert_eq!((lease.address(), lease.word("router"), lease.word("serverid")), (Some(NORTH.host()), "10.1.4.1", "10.1.4.2"), "{}", agent.log());
    let lease = dhclient(host, 8).unwrap().expect("a lease by dhclient");
    assert_eq!((lease.address(), lease.word("new_dhcp_lease_time")), (Some(NORTH.host()), "3600"));
    let [reply] = &bootptest(host, NORTH.agent()).unwrap()[..] else { panic!("one reply by BOOTP") };
    assert_eq!((reply.tag("Y"), reply.tag("GW")), ("10.1.4.10", "10.1.4.1"));
    assert!(dhcping(host, NORTH.agent(), NORTH.host(), NORTH.host_mac()).unwrap(), "dhcping hears the server");
}

#[test]
fn a_client_that_takes_a_unicast_wakes_nobody_else() {
    let Some(network) = crate::network("unicast to a client without an address") else { return };
    let _agent = agent(&network, vec![registered(NORTH)]);
    let host = Some(network.at(Place::Host(NORTH)));
    let lease = |args: &[&str]| assert_eq!(udhcpc(host, 3, args).unwrap().expect("a lease").address(), Some(NORTH.host()));
    assert_eq!(overheard(&network, || lease(&[])), 0, "it got frames of its own");
    assert!(overheard(&network, || lease(&["-B"])) >= 2, "it asked for broadcasts");
}

#[test]
fn an_unknown_machine_gets_nothing_until_it_is_registered_and_then_its_next_packet_is_answered() {
    let Some(network) = crate::network("registering a machine") else { return };
    let mut agent = agent(&network, vec![]);
    let host = network.at(Place::Host(NORTH));
    assert_eq!(udhcpc(Some(host), 2, &[]).unwrap(), None, "nobody knows it");
    agent.wait_counted("holdfast_dhcp_unknown_machines", 1).unwrap();
    assert!(agent.log().contains(&format!("unregistered machine {} on 10.1.4.0/22", NORTH.host_mac())), "{}", agent.log());
    let lease = std::thread::scope(|scope| {
        let asking = scope.spawn(|| udhcpc(Some(host), 20, &[]).unwrap());
        let heard = agent.counted("holdfast_dhcp_silent_total{reason=\"unknown_host\"}").unwrap();
        agent.wait_counted("holdfast_dhcp_silent_total{reason=\"unknown_host\"}", heard + 1).unwrap();
        agent.publish(Feed::BOOTPTAB, vec![registered(NORTH)]).unwrap();
        asking.join().unwrap()
    });
    assert_eq!(lease.expect("a lease without asking anew").address(), Some(NORTH.host()));
}

#[test]
fn machines_are_lent_addresses_of_the_pool_which_they_keep_over_a_power_cut() {
    let Some(network) = crate::network("a dynamic pool") else { return };
    let mut agent = agent(&network, vec![pool(NORTH, 2)]);
    let host = Some(network.at(Place::Host(NORTH)));
    let machine = |number: u8| network.replace_machine(Place::Host(NORTH), &format!("02:00:00:00:00:{number:02x}")).unwrap();
    let address = |last| Some(Ipv4Addr::new(10, 1, 6, last));
    machine(1);
    let lease = udhcpc(host, 3, &[]).unwrap().expect("a lease by udhcpc");
    assert_eq!((lease.address(), lease.word("lease")), (address(10), "600"));
    machine(2);
    let lease = dhclient(host, 8).unwrap().expect("a lease by dhclient");
    assert_eq!((lease.address(), lease.word("new_dhcp_lease_time")), (address(11), "600"));
    machine(3);
    assert_eq!(udhcpc(host, 2, &[]).unwrap(), None, "the pool has two addresses");

    agent.kill().unwrap();
    agent.start().unwrap();
    assert_eq!(udhcpc(host, 2, &[]).unwrap(), None, "what was lent is lent still");
    machine(2);
    assert_eq!(dhclient(host, 8).unwrap().expect("a lease by dhclient").address(), address(11), "the same as before");
    machine(1);
    assert_eq!(udhcpc(host, 3, &[]).unwrap().expect("a lease by udhcpc").address(), address(10));
}
