//! Pools as an admin makes them: lent within a second, by the agents that are to, and nobody else's before the last lease is over.

use crate::serving::{NORTH, eventually, two_campuses};
use holdfast_lab::cables::Place;
use holdfast_lab::clients::udhcpc;
use holdfast_lab::lab::Admin;
use serde_json::Value;
use std::net::Ipv4Addr;

/// First address, agent and state of every share.
fn shares(admin: &Admin) -> Vec<(String, String, String)> {
    let printed = admin.holdfast(&["-o", "json", "pool", "shares", "--subnet", "10.1.4.0/22"]).unwrap();
    let told: Value = serde_json::from_str(&printed).unwrap();
    let items = told["items"].as_array().or(told.as_array()).unwrap();
    let text = |item: &Value, field: &str| item[field].as_str().unwrap().to_owned();
    items.iter().map(|item| (text(item, "first"), text(item, "agent"), text(item, "state"))).collect()
}

fn expect(told: Vec<(String, String, String)>, expected: &[(&str, &str, &str)]) -> bool {
    told.iter().map(|(first, agent, state)| (first.as_str(), agent.as_str(), state.as_str())).eq(expected.iter().copied())
}

#[test]
fn a_pool_is_lent_as_soon_as_it_is_saved_and_waits_for_its_leases_when_it_goes() {
    let Some(lab) = two_campuses("a pool that an admin makes") else { return };
    let (network, admin) = (lab.network(), lab.admin().unwrap());
    let host = Some(network.at(Place::Host(NORTH)));
    network.replace_machine(Place::Host(NORTH), "02:00:00:00:aa:01").unwrap();
    assert_eq!(udhcpc(host, 2, &[]).unwrap(), None, "nobody registered it, and nothing is lent");

    admin.holdfast(&["subnet", "set", "10.1.4.0/22", "--pool-lease", "600"]).unwrap();
    admin.holdfast(&["pool", "add", "10.1.6.100", "10.1.6.109", "--kind", "dynamic", "--wait"]).unwrap();
    let lent = [("10.1.6.100", "north", "lent"), ("10.1.6.107", "south", "lent")];
    assert!(expect(shares(&admin), &lent), "{:?}", shares(&admin));
    let lease = udhcpc(host, 5, &[]).unwrap().expect("a lease from the pool");
    assert_eq!((lease.address(), lease.word("lease")), (Some(Ipv4Addr::new(10, 1, 6, 100)), "600"));

    admin.holdfast(&["pool", "delete", "10.1.6.100-10.1.6.109"]).unwrap();
    let refused = admin.holdfast(&["host", "add", "hasty.uni.example", "--address", "10.1.6.100"]).unwrap_err().to_string();
    assert!(refused.contains("may still have it on loan"), "{refused}");
    let ending = [("10.1.6.100", "north", "ending"), ("10.1.6.107", "south", "ending")];
    eventually("both agents confirm that they lend no more", || Ok(expect(shares(&admin), &ending)));
    network.replace_machine(Place::Host(NORTH), "02:00:00:00:aa:02").unwrap();
    assert_eq!(udhcpc(host, 2, &[]).unwrap(), None, "nothing is lent any more");

    admin.holdfast(&["pool", "add", "10.1.6.100", "10.1.6.109", "--kind", "dynamic", "--wait"]).unwrap();
    assert!(expect(shares(&admin), &lent), "who had it has it again at once: {:?}", shares(&admin));
    network.replace_machine(Place::Host(NORTH), "02:00:00:00:aa:01").unwrap();
    assert_eq!(udhcpc(host, 5, &[]).unwrap().expect("the same lease").address(), lease.address());
}
