use holdfast_lab::cables::{Cable, Campus, End, Network, Place};
use holdfast_lab::door;
use holdfast_lab::lab::get;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// The lab's own ground: if cables cannot be trusted, nothing that is measured on them can.
#[test]
fn a_cable_carries_until_it_is_unplugged_and_again_when_plugged_in() {
    let Some(network) = super::network("cables") else { return };
    let (north, south) = (Campus::North, Campus::South);
    let agent = Place::Agent(north);
    assert!(network.reaches(agent, Network::MASTER).unwrap(), "the uplink");
    assert!(network.reaches(Place::Host(north), north.agent()).unwrap(), "the campus");
    assert!(network.reaches(Place::Host(north), south.agent()).unwrap(), "the other campus");
    assert!(network.reaches(agent, south.agent()).unwrap(), "from agent to agent");
    for end in [End::Far, End::Own, End::Port] {
        network.unplug(Cable::Uplink(north), end).unwrap();
        let has_carrier = |place, interface| network.at(place).ip(&["link", "show", "dev", interface]).unwrap().contains("LOWER_UP");
        let carriers = (has_carrier(agent, "uplink"), has_carrier(Place::Master, "to-north"));
        assert_eq!(carriers, (end == End::Port, true), "whose carrier goes at the {end:?} end");
        assert!(!network.reaches(agent, Network::MASTER).unwrap(), "the uplink is out at its {end:?} end");
        assert!(network.reaches(Place::Agent(south), Network::MASTER).unwrap(), "the other uplink is not");
        assert!(network.reaches(Place::Host(north), north.agent()).unwrap(), "nor is the campus");
        network.plug_in(Cable::Uplink(north)).unwrap();
        assert!(network.reaches(agent, Network::MASTER).unwrap(), "the uplink is back");
    }
}

#[test]
fn a_box_with_every_cable_out_reaches_nobody_and_comes_back() {
    let Some(network) = super::network("cables") else { return };
    let north = Campus::North;
    for end in [End::Far, End::Own] {
        network.unplug_all(Place::Agent(north), end).unwrap();
        assert!(!network.reaches(Place::Host(north), north.agent()).unwrap());
        assert!(!network.reaches(Place::Agent(north), Network::MASTER).unwrap());
        assert!(network.reaches(Place::Host(north), Campus::South.agent()).unwrap(), "its neighbours do not notice");
        network.plug_in_all(Place::Agent(north)).unwrap();
        assert!(network.reaches(Place::Host(north), north.agent()).unwrap());
        assert!(network.reaches(Place::Agent(north), Campus::South.agent()).unwrap());
    }
}

#[test]
fn the_far_end_leaves_addresses_alone_and_the_own_end_does_not() {
    let Some(network) = super::network("cables") else { return };
    let addresses = || network.at(Place::Agent(Campus::North)).ip(&["addr", "show", "dev", "lan"]).unwrap();
    let lan = Cable::Lan(Campus::North);
    network.unplug(lan, End::Far).unwrap();
    let seen = addresses();
    assert!(seen.contains("NO-CARRIER") && seen.contains("10.1.4.2/22") && seen.contains("2001:db8:1::2/64"), "{seen}");
    network.plug_in(lan).unwrap();
    network.unplug(lan, End::Own).unwrap();
    let seen = addresses();
    assert!(seen.contains("10.1.4.2/22") && !seen.contains("2001:db8:1::2/64"), "{seen}");
}

#[test]
fn a_network_takes_its_namespaces_away_even_when_a_test_panics() {
    let Some(network) = super::network("cables") else { return };
    let name = network.at(Place::Master).name().to_owned();
    let here = || std::path::Path::new("/run/netns").join(&name).exists();
    assert!(here());
    let fallen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _network = network;
        panic!("on purpose");
    }));
    assert!(fallen.is_err());
    assert!(!here());
}

#[test]
fn a_door_leads_from_this_machine_into_a_box_and_back() {
    let Some(network) = super::network("door") else { return };
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let page = network.at(Place::Master).inside(|| TcpListener::bind(loopback(8080)).unwrap()).unwrap();
    let server = std::thread::spawn(move || {
        let (mut guest, _) = page.accept().unwrap();
        let mut request = [0; 512];
        let len = guest.read(&mut request).unwrap();
        write!(guest, "HTTP/1.1 200 OK\r\n\r\n{len}").unwrap();
    });
    let here = door::open(loopback(0), network.at(Place::Master), loopback(8080)).unwrap();
    assert!(get(here, "/healthz").unwrap().starts_with("HTTP/1.1 200 OK"));
    server.join().unwrap();
}
