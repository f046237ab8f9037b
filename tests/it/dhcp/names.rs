//! Machines that nobody registered, by name: found at their campus the moment that they have an address, and everywhere soon after.

use crate::serving::{NORTH, eventually, two_campuses};
use anyhow::{Result, ensure};
use holdfast_lab::cables::{Cable, Campus, End, Network, Place};
use holdfast_lab::clients::{Dig, dhclient_named, udhcpc};
use holdfast_lab::lab::{Admin, Lab, Part};
use holdfast_lab::netns::Netns;
use std::net::Ipv4Addr;

const ZONE: &str = "pool.uni.example";
const SOUTH: Campus = Campus::South;

/// What a host of a campus hears from an agent: status, and data.
fn asked(network: &Network, agent: Campus, name: &str) -> (String, Vec<String>) {
    let answer = Dig::ask(Some(network.at(Place::Nas(NORTH))), agent.agent(), name, "A").run().unwrap();
    (answer.status, answer.answer.into_iter().map(|record| format!("{} {}", record.ttl, record.data)).collect())
}

/// Whether it is told of this address.
fn is(network: &Network, agent: Campus, name: &str, address: &str) -> Result<bool> {
    let told = asked(network, agent, name);
    ensure!(told == ("NOERROR".to_owned(), vec![format!("200 {address}")]), "{} says of {name}: {told:?}", agent.name());
    Ok(true)
}

/// Whether it is told that there is no such name.
fn is_gone(network: &Network, agent: Campus, name: &str) -> Result<bool> {
    let told = asked(network, agent, name);
    ensure!(told == ("NXDOMAIN".to_owned(), vec![]), "{} says of {name}: {told:?}", agent.name());
    Ok(true)
}

fn host(lab: &Lab) -> Option<&Netns> {
    Some(lab.network().at(Place::Host(NORTH)))
}

/// A pool of the northern campus whose machines get names.
fn named_pool(lab: &Lab) -> Admin {
    let admin = lab.admin().unwrap();
    // As in the field, the box has heard the time from its master before it lends anything.
    lab.network().replace_machine(Place::Host(NORTH), "02:00:00:00:aa:77").unwrap();
    assert_eq!(udhcpc(host(lab), 3, &[]).unwrap(), None, "nothing is lent yet");
    admin.holdfast(&["zone", "add", ZONE, "--primary-ns", "ns.north.uni.example", "--mailbox", "hostmaster.uni.example"]).unwrap();
    admin.holdfast(&["subnet", "set", "10.1.4.0/22", "--pool-lease", "600", "--lease-zone", ZONE]).unwrap();
    admin.holdfast(&["pool", "add", "10.1.6.100", "10.1.6.109", "--kind", "dynamic", "--wait"]).unwrap();
    admin
}

#[test]
fn a_leased_machine_is_found_by_name_at_once_cut_off_or_not_and_over_a_cold_boot() {
    let Some(mut lab) = two_campuses("names of leased machines") else { return };
    let admin = named_pool(&lab);
    let machine = |lab: &Lab, number: u8| lab.network().replace_machine(Place::Host(NORTH), &format!("02:00:00:00:aa:{number:02x}")).unwrap();

    machine(&lab, 1);
    let lease = udhcpc(host(&lab), 5, &["-x", "hostname:Ann-PC"]).unwrap().expect("a lease by udhcpc");
    assert_eq!((lease.word("hostname"), lease.word("domain")), ("ann-pc", ZONE));
    let address = lease.address().unwrap().to_string();
    eventually("its own campus knows the name", || is(lab.network(), NORTH, "ann-pc.pool.uni.example", &address));
    let pointers = || Dig::reverse(Some(lab.network().at(Place::Nas(NORTH))), NORTH.agent(), lease.address().unwrap()).short().unwrap();
    assert_eq!(pointers(), ["ann-pc.pool.uni.example."]);
    eventually("the other campus knows it, too", || is(lab.network(), SOUTH, "ann-pc.pool.uni.example", &address));
    assert!(admin.holdfast(&["lease", "list"]).unwrap().contains("ann-pc.pool.uni.example"));

    lab.network().unplug(Cable::Uplink(NORTH), End::Far).unwrap();
    machine(&lab, 2);
    let lease = dhclient_named(host(&lab), 10, "bob-pc").unwrap().expect("a lease by dhclient, cut off");
    assert_eq!((lease.word("new_host_name"), lease.word("new_domain_name")), ("bob-pc", ZONE));
    let bobs = lease.address().unwrap().to_string();
    eventually("the campus knows it, cut off", || is(lab.network(), NORTH, "bob-pc.pool.uni.example", &bobs));
    machine(&lab, 3);
    let lease = udhcpc(host(&lab), 5, &["-x", "hostname:bob-pc"]).unwrap().expect("a lease");
    let generated = format!("dhcp-{}", lease.address().unwrap().to_string().replace('.', "-"));
    assert_eq!(lease.word("hostname"), generated, "the name is another machine's");
    assert_eq!(asked(lab.network(), SOUTH, "bob-pc.pool.uni.example"), ("NXDOMAIN".to_owned(), vec![]), "nobody could tell the other campus");

    lab.kill(Part::Agent(NORTH)).unwrap();
    lab.start(Part::Agent(NORTH)).unwrap();
    eventually("a cold boot knows the names, cut off", || is(lab.network(), NORTH, "bob-pc.pool.uni.example", &bobs));
    assert!(is(lab.network(), NORTH, "ann-pc.pool.uni.example", &address).unwrap());

    lab.network().plug_in(Cable::Uplink(NORTH)).unwrap();
    eventually("the other campus hears of it", || is(lab.network(), SOUTH, "bob-pc.pool.uni.example", &bobs));
    admin.holdfast(&["lease", "release", &address]).unwrap();
    eventually("a name goes with its lease", || is_gone(lab.network(), NORTH, "ann-pc.pool.uni.example"));
    eventually("everywhere", || is_gone(lab.network(), SOUTH, "ann-pc.pool.uni.example"));
}

#[test]
fn a_name_that_is_a_hosts_is_no_machines() {
    let Some(lab) = two_campuses("names of hosts and of leased machines") else { return };
    let (network, admin) = (lab.network(), named_pool(&lab));
    admin.holdfast(&["host", "add", "printer.pool.uni.example", "--address", "10.1.4.99", "--wait"]).unwrap();
    let host = Some(network.at(Place::Host(NORTH)));
    network.replace_machine(Place::Host(NORTH), "02:00:00:00:aa:01").unwrap();
    let lease = udhcpc(host, 5, &["-x", "hostname:printer"]).unwrap().expect("a lease");
    assert!(lease.word("hostname").starts_with("dhcp-10-1-6-"), "{:?}", lease.words);
    assert_eq!(asked(network, NORTH, "printer.pool.uni.example").1.len(), 1);
    let refused = admin.holdfast(&["subnet", "set", "10.1.4.0/22", "--lease-zone", "pool.elsewhere.example"]).unwrap_err().to_string();
    assert!(refused.contains("there is no zone pool.elsewhere.example"), "{refused}");
    admin.holdfast(&["subnet", "set", "10.1.4.0/22", "--lease-zone", "none", "--wait"]).unwrap();
    let name = format!("{}.{ZONE}", lease.word("hostname"));
    let lease = udhcpc(host, 5, &["-x", "hostname:printer"]).unwrap().expect("the lease again");
    assert!(!lease.word("hostname").starts_with("dhcp-"));
    eventually("no machine has a name any more", || Ok(is_gone(network, NORTH, &name)? && is_gone(network, SOUTH, &name)?));
}

#[test]
fn a_lease_that_an_administrator_ends_is_renewed_no_more() {
    let Some(lab) = two_campuses("a lease that is to end") else { return };
    let (network, admin) = (lab.network(), named_pool(&lab));
    let host = Some(network.at(Place::Host(NORTH)));
    network.replace_machine(Place::Host(NORTH), "02:00:00:00:aa:01").unwrap();
    let first = udhcpc(host, 5, &["-x", "hostname:ann-pc"]).unwrap().expect("a lease").address().unwrap();
    let has =
        |state: &str| admin.holdfast(&["-o", "csv", "lease", "list"]).unwrap().lines().any(|line| line.contains(&first.to_string()) && line.contains(state));
    eventually("the master knows the lease", || Ok(has("active")));
    let refused = admin.holdfast(&["lease", "release", "10.1.6.109"]).unwrap_err().to_string();
    assert!(refused.contains("nobody has 10.1.6.109 on loan"), "{refused}");
    admin.holdfast(&["lease", "release", &first.to_string(), "--reason", "it floods the network", "--wait"]).unwrap();
    eventually("its agent has ended it", || Ok(has("released")));
    assert!(is_gone(network, NORTH, "ann-pc.pool.uni.example").unwrap());
    let again = udhcpc(host, 5, &["-r", &first.to_string()]).unwrap().expect("another lease").address().unwrap();
    assert_ne!(again, first, "the address is nobody's for now");
    let changes = || admin.holdfast(&["changes"]).unwrap();
    assert!(changes().contains("it floods the network"), "{}", changes());
    eventually("the order was carried out", || Ok(changes().contains("leases that were to end have ended")));
}

#[test]
fn a_machine_that_asked_is_listed_explained_and_registered_by_one_command() {
    let Some(lab) = two_campuses("unknown machines") else { return };
    let (network, admin) = (lab.network(), lab.admin().unwrap());
    let (host, mac) = (Some(network.at(Place::Host(NORTH))), "02:00:00:00:aa:01");
    let explained = || admin.holdfast(&["explain", mac]).unwrap();
    assert!(explained().contains("no agent has told of it"), "{}", explained());
    network.replace_machine(Place::Host(NORTH), mac).unwrap();
    assert_eq!(udhcpc(host, 2, &[]).unwrap(), None, "nobody registered it, and nothing is lent");
    let listed = || admin.holdfast(&["-o", "csv", "machine", "list"]).unwrap();
    eventually("it is on the list", || Ok(listed().contains(mac)));
    assert!(listed().contains("10.1.4.0/22") && listed().contains("north"), "{}", listed());
    assert!(explained().contains("the subnet has no dynamic pool"), "{}", explained());

    admin.holdfast(&["pool", "add", "10.1.6.100", "10.1.6.101", "--kind", "dynamic", "--wait"]).unwrap();
    assert!(explained().contains("there are addresses to lend"), "{}", explained());
    let lent = udhcpc(host, 5, &[]).unwrap().expect("a lease").address().unwrap();
    eventually("it has one on loan", || Ok(explained().contains(&format!("it has {lent} on loan"))));
    network.replace_machine(Place::Host(NORTH), "02:00:00:00:aa:02").unwrap();
    udhcpc(host, 3, &[]).unwrap();

    network.replace_machine(Place::Host(NORTH), mac).unwrap();
    let made = admin.holdfast(&["machine", "register", mac, "--name", "pc77.uni.example", "--wait"]).unwrap();
    let address: Ipv4Addr = made.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("an address: {made}"));
    assert!(!listed().contains(mac), "{}", listed());
    assert_eq!(udhcpc(host, 5, &[]).unwrap().expect("its own address").address(), Some(address));
    let refused = admin.holdfast(&["machine", "register", mac, "--name", "pc78.uni.example"]).unwrap_err().to_string();
    assert!(refused.contains("or it is registered already"), "{refused}");
}
