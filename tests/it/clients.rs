use holdfast_lab::cables::{Campus, Network, Place};
use holdfast_lab::clients::{bootptest, dhclient, relay, udhcpc};
use holdfast_lab::folder::Folder;
use holdfast_lab::process::{Program, Recipe};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

const NORTH: Campus = Campus::North;

/// The clients are tried on another house's server, so that a fault of ours cannot hide in both.
fn bootpd(network: &Network, folder: &Folder) -> Program {
    let table = ".default:ht=ethernet:hn:sm=255.255.252.0:gw=10.1.4.1:ds=10.1.4.2 10.2.4.2:vm=auto:T51=00000e10:\n\
                 darwin826:tc=.default:ha=080020dbb67f:ip=10.1.4.10:\n\
                 zeno214:tc=.default:ha=08002047f191:ip=10.1.8.11:bf=/boot/zeno:\n";
    let table = folder.write("bootptab", table).unwrap();
    let recipe = Recipe::new("bootpd", "/usr/sbin/bootpd", folder.path()).args(["-s", "-d4"]).args([table]);
    let mut program = recipe.inside(network.at(Place::Agent(NORTH))).start().unwrap();
    program.wait_for_line("read 3 entries", Duration::from_secs(5)).unwrap();
    program
}

#[test]
fn boot_clients_of_other_houses_hear_another_houses_server() {
    let Some(network) = super::network("boot clients") else { return };
    let folder = Folder::new("clients").unwrap();
    let _bootpd = bootpd(&network, &folder);
    let host = Some(network.at(Place::Host(NORTH)));

    let replies = bootptest(host, NORTH.agent()).unwrap();
    let [reply] = &replies[..] else { panic!("one reply was to come: {replies:?}") };
    assert_eq!((reply.tag("Y"), reply.tag("SM"), reply.tag("GW"), reply.requests), ("10.1.4.10", "255.255.252.0", "10.1.4.1", 1));

    let lease = udhcpc(host, 2, &[]).unwrap().expect("a lease by udhcpc");
    assert_eq!((lease.address(), lease.word("dns")), (Some(NORTH.host()), "10.1.4.2 10.2.4.2"));
    let lease = dhclient(host, 5).unwrap().expect("a lease by dhclient");
    assert_eq!((lease.address(), lease.word("new_routers")), (Some(NORTH.host()), "10.1.4.1"));

    network.replace_machine(Place::Host(NORTH), "02:00:00:00:00:99").unwrap();
    assert_eq!(udhcpc(host, 1, &[]).unwrap(), None, "a machine that nobody knows");
}

#[test]
fn a_relay_hears_the_reply_for_a_subnet_behind_it() {
    let Some(network) = super::network("relay") else { return };
    let folder = Folder::new("relay").unwrap();
    let _bootpd = bootpd(&network, &folder);
    let server = SocketAddrV4::new(NORTH.agent(), 67);
    let ask = |mac| network.at(Place::Router(NORTH)).inside(|| relay::ask(NORTH.relay(), server, mac, &[], Duration::from_secs(1))).unwrap().unwrap();
    let reply = ask([0x08, 0, 0x20, 0x47, 0xf1, 0x91]).expect("a reply");
    assert_eq!((reply.yiaddr, reply.giaddr), (Ipv4Addr::new(10, 1, 8, 11), NORTH.relay()));
    assert_eq!(reply.options[&3], [10, 1, 4, 1]);
    assert_eq!(ask([2, 0, 0, 0, 0, 1]), None);
}
