//! MAC authentication: a machine of the hostname database comes into its VLAN, at NASs that may ask so, whatever is cut.

use super::serving::{NORTH, eventually, two_campuses};
use holdfast_lab::cables::{Cable, Campus, End, Place};
use holdfast_lab::clients::{RadiusReply, radclient};
use holdfast_lab::lab::Lab;
use std::net::SocketAddrV4;

const SOUTH: Campus = Campus::South;

/// What the NAS of a campus hears of a machine from an agent: the address is the name and the password.
fn asked(lab: &Lab, nas: Campus, agent: Campus, mac: &str) -> RadiusReply {
    let secret = if nas == NORTH { "yupgpn753sb3uqwdp8tu" } else { "wwsxpwzmghtx6cw9nd67" };
    let reply = radclient(lab.at(Place::Nas(nas)), SocketAddrV4::new(agent.agent(), 1812), secret, mac, mac, &["Service-Type = Call-Check"]);
    reply.unwrap().expect("a reply")
}

/// The VLAN that it comes into: nothing where it stays out, "" for the port's own.
fn vlan(lab: &Lab, nas: Campus, agent: Campus, mac: &str) -> Option<String> {
    let reply = asked(lab, nas, agent, mac);
    let group = reply.attribute("Tunnel-Private-Group-Id:0").map(str::to_owned);
    if group.is_some() {
        assert_eq!((reply.attribute("Tunnel-Type:0"), reply.attribute("Tunnel-Medium-Type:0")), (Some("VLAN"), Some("IEEE-802")));
    }
    reply.is_accept().then(|| group.unwrap_or_default())
}

const PRINTER: &str = "02-aa-00-00-00-01";
const CAMERA: &str = "02aa.0000.0002";

#[test]
fn a_machine_comes_into_its_vlan_where_the_registry_lets_it_be_asked_of_whatever_is_cut() {
    let Some(lab) = two_campuses("MAC authentication") else { return };
    let admin = lab.admin().unwrap();
    let holdfast = |line: &str| admin.holdfast(&line.split(' ').collect::<Vec<_>>()).unwrap();
    for line in [
        "department add physics-lab --vlan 300",
        "subnet set 10.1.4.0/22 --vlan 104",
        "host add printer.uni.example --mac 02:aa:00:00:00:01 --address 10.1.4.99 --department physics-lab",
        "host add camera.uni.example --mac 02:aa:00:00:00:02 --address 10.1.8.99 --wait",
    ] {
        holdfast(line);
    }
    assert_eq!(vlan(&lab, NORTH, NORTH, PRINTER), None, "nobody may ask of machines yet");
    holdfast("nas set annex-north --campus north --mac-authentication yes --wait");
    for agent in Campus::BOTH {
        eventually("the machines are known", || Ok(vlan(&lab, NORTH, agent, PRINTER).as_deref() == Some("104")));
        assert_eq!(vlan(&lab, NORTH, agent, CAMERA).as_deref(), Some(""), "its subnet has no VLAN, and it has no department");
        assert_eq!(vlan(&lab, SOUTH, agent, PRINTER), None, "the other NAS may not ask of machines");
        assert_eq!(vlan(&lab, NORTH, agent, "02:aa:00:00:00:03"), None, "nobody knows it");
    }
    // What changes arrives as everything else does: a VLAN, a department, a guests' VLAN, a machine that comes and one that goes.
    holdfast("nas set annex-south --campus south --mac-authentication yes --guest-vlan 999 --wait");
    assert_eq!(vlan(&lab, SOUTH, SOUTH, PRINTER).as_deref(), Some("300"), "it has no address there, and a department");
    assert_eq!(vlan(&lab, SOUTH, SOUTH, "02:aa:00:00:00:03").as_deref(), Some("999"), "a guest");
    holdfast("department set physics-lab --vlan 301 --wait");
    assert_eq!(vlan(&lab, SOUTH, SOUTH, PRINTER).as_deref(), Some("301"));
    holdfast("subnet set 10.1.8.0/24 --vlan 108 --wait");
    assert_eq!(vlan(&lab, NORTH, NORTH, CAMERA).as_deref(), Some("108"));
    let told = holdfast("explain 02:aa:00:00:00:01");
    assert!(told.contains("NAS annex-north lets it in, into VLAN 104") && told.contains("NAS annex-south lets it in, into VLAN 301"), "{told}");
    let told = holdfast("explain 02:aa:00:00:00:03");
    assert!(told.contains("annex-north lets it not in: no host has") && told.contains("annex-south lets it into VLAN 999, as a guest"), "{told}");

    lab.network().unplug(Cable::Uplink(NORTH), End::Far).unwrap();
    holdfast("host del camera.uni.example");
    holdfast("host add scanner.uni.example --mac 02:aa:00:00:00:04 --address 10.1.4.98");
    eventually("the campus with a line has the edits", || Ok(vlan(&lab, NORTH, SOUTH, "02:aa:00:00:00:04").as_deref() == Some("104")));
    assert_eq!(vlan(&lab, NORTH, SOUTH, CAMERA), None);
    assert_eq!(vlan(&lab, NORTH, NORTH, PRINTER).as_deref(), Some("104"), "the campus without one answers what it knows");
    assert_eq!(vlan(&lab, NORTH, NORTH, CAMERA).as_deref(), Some("108"));
    lab.network().plug_in(Cable::Uplink(NORTH)).unwrap();
    eventually("and the news when there is a line", || {
        Ok(vlan(&lab, NORTH, NORTH, "02:aa:00:00:00:04").is_some() && vlan(&lab, NORTH, NORTH, CAMERA).is_none())
    });

    // The name of a machine is no user's, with whatever password.
    let user = |mac: &str, password: &str| {
        radclient(lab.at(Place::Nas(NORTH)), SocketAddrV4::new(NORTH.agent(), 1812), "yupgpn753sb3uqwdp8tu", mac, password, &[]).unwrap().expect("a reply")
    };
    assert!(!user(PRINTER, "secret").is_accept() && user("pascal.tesla0", "joule-89667-euler").is_accept());
    holdfast("snapshot audit");

    for nas in ["annex-north", "annex-south"] {
        holdfast(&format!("nas set {nas} --mac-authentication no --wait"));
    }
    eventually("nobody may ask of machines any more", || Ok(vlan(&lab, NORTH, NORTH, PRINTER).is_none()));
    // What is published is what would be composed anew: no machine at all.
    holdfast("snapshot audit");
}
