//! BOOTP and DHCP for machines as they are: registered and not, on the agent's wire and behind relays, while agents die.

mod clients;
mod cover;
mod names;
mod pools;
mod simulation;

use holdfast_lab::cables::Campus;
use holdfast_lab::lone::Lone;
use holdfast_proto::dhcp::policy::{POLICY, PolicyRow, Share};
use holdfast_proto::dhcp::table::{RESERVATION, Reservation, SUBNET, SubnetRow, reservation_key, subnet_key};
use holdfast_proto::snapshot::Change;
use holdfast_proto::words::Mac;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// The first subnet of a campus.
fn net(campus: Campus) -> Ipv4Net {
    Ipv4Net::new(campus.agent(), 22).unwrap().trunc()
}

/// Both campuses' first subnets, as every agent has them.
fn subnets() -> Vec<Change> {
    let row = |campus: Campus| {
        let options = vec![
            (1, vec![255, 255, 252, 0]),
            (3, campus.router().octets().to_vec()),
            (6, campus.agent().octets().to_vec()),
            (51, 3600u32.to_be_bytes().to_vec()),
        ];
        Change::put(SUBNET, subnet_key(net(campus)), SubnetRow { campus: campus.name().into(), options }.encode())
    };
    Campus::BOTH.map(row).into()
}

/// The user's machine of a campus is registered there.
fn registered(campus: Campus) -> Change {
    let row = Reservation {
        address: campus.host(),
        host_name: "darwin826.uni.example".into(),
        send_host_name: true,
        next_server: None,
        server_name: String::new(),
        boot_file: String::new(),
        wait_secs: 0,
        options: vec![],
    };
    let mac: Mac = campus.host_mac().parse().unwrap();
    Change::put(RESERVATION, reservation_key(net(campus), 1, &mac.0), row.encode())
}

/// So many addresses of a campus's subnet may be lent by its own agent, from 10.x.6.10 on.
fn pool(campus: Campus, addresses: u8) -> Change {
    let first = Ipv4Addr::new(10, campus as u8, 6, 10);
    let last = Ipv4Addr::from_bits(first.to_bits() + u32::from(addresses) - 1);
    let share = Share { first, last, owner: Lone::number(campus) };
    Change::put(POLICY, subnet_key(net(campus)), PolicyRow { lease_secs: 600, shares: vec![share], ..PolicyRow::default() }.encode())
}
