//! Machines that turn up: hosts by themselves where their subnet wants that, an event elsewhere, and a number where they are too many.

use super::faults::{furnish, heard};
use crate::changes::events::Receiver;
use crate::changes::office::Office;
use crate::serving::{NORTH, eventually, names, two_campuses};
use holdfast_lab::cables::{Campus, Place};
use holdfast_lab::clients::udhcpc;
use serde_json::{Value, json};

const NET: &str = "10.1.4.0/22";

fn listen(office: &Office) -> Receiver {
    let receiver = Receiver::open(true);
    let hook = json!({ "name": "owner", "url": format!("http://{}/", receiver.address), "kinds": ["discovery"], "area_kind": "subnet", "area_value": NET });
    office.post("/webhooks", hook).expect(201);
    receiver
}

fn set(office: &Office, policy: &str) {
    let (code, _, said) = office.holdfast(&["subnet", "set", NET, "--unknown-machines", policy, "--domain", "uni.example"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_machine_that_was_seen_becomes_a_host_where_its_subnet_wants_that() {
    let office = Office::open("discovery");
    let token = furnish(&office);
    let owner = listen(&office);
    let seen = |body: Value| office.ask_with(&token, "POST", "/discoveries", Some(&body));
    let state = |mac: &str| office.get("/discoveries").list("/items").into_iter().find(|one| one["mac"] == mac).map(|one| one["state"].clone());

    // A subnet that wants to be told is told, and nothing is made.
    assert_eq!(seen(json!({ "mac": "02:00:00:00:aa:01", "ip": "10.1.4.200" })).expect(202).text("/policy"), "report");
    eventually("it was dealt with", || Ok(state("02:00:00:00:aa:01") == Some(json!("reported"))));
    eventually("the owner hears of it", || Ok(heard(&owner, "discovery").len() == 1));
    assert_eq!(heard(&owner, "discovery")[0]["reported"][0]["mac"], "02:00:00:00:aa:01");

    set(&office, "auto");
    let rule = ["discovery", "rule", NET, "--name", "dev-{tail}", "--per-hour", "5"];
    assert_eq!(office.holdfast(&rule).0, 0);
    // It keeps the address that it was seen with, where that is free, and gets another one where it is somebody's.
    seen(json!({ "mac": "02:00:00:00:aa:02", "ip": "10.1.4.200", "port": "sw-3 Gi1/0/9", "source": "arp gw1" })).expect(202);
    seen(json!({ "mac": "02:00:00:00:aa:03", "ip": "10.1.4.17" })).expect(202);
    eventually("both are hosts", || Ok(["02", "03"].iter().all(|n| state(&format!("02:00:00:00:aa:{n}")) == Some(json!("made")))));
    let host = office.get("/hosts/dev-00aa02.uni.example");
    assert_eq!(host.text("/interfaces/0/addresses/0"), "10.1.4.200");
    assert_eq!((host.text("/equipment/class"), host.text("/equipment/switch_port")), ("discovered".into(), "sw-3 Gi1/0/9".into()));
    assert_ne!(office.get("/hosts/dev-00aa03.uni.example").text("/interfaces/0/addresses/0"), "10.1.4.17");
    assert_eq!(office.get("/changes?limit=1").text("/items/0/actor"), "discovery");
    assert_eq!(seen(json!({ "mac": "02:00:00:00:aa:02", "ip": "10.1.4.200" })).expect(202).text("/state"), "known");
    eventually("the owner hears of both", || {
        let made: usize = heard(&owner, "discovery").iter().map(|event| event["made"].as_array().map_or(0, Vec::len)).sum();
        Ok(made == 2)
    });
    let told = office.holdfast(&["explain", "02:00:00:00:aa:02"]).1;
    assert!(told.contains("dev-00aa02.uni.example"), "{told}");

    // Who may say how machines of a subnet are called has no names of others by that.
    let zone = json!({ "apex": "phys.example", "primary_ns": "ns.uni.example", "mailbox": "h.uni.example", "name_servers": ["ns.uni.example"], "department": "physics" });
    office.post("/zones", zone).expect(201);
    assert_eq!(office.holdfast(&["discovery", "rule", NET, "--name", "www-{tail}.phys.example", "--per-hour", "5"]).0, 0);
    seen(json!({ "mac": "02:00:00:00:aa:04", "subnet": NET })).expect(202);
    eventually("it was refused", || Ok(state("02:00:00:00:aa:04") == Some(json!("refused"))));
    assert!(office.holdfast(&["explain", "02:00:00:00:aa:04"]).1.contains("phys.example, which is physics's"));
    assert_eq!(office.get("/hosts/www-00aa04.phys.example").status, 404);

    for (wrong, status) in [
        (json!({ "mac": "ff:ff:ff:ff:ff:ff", "ip": "10.1.4.5" }), 422),
        (json!({ "mac": "02:00:00:00:aa:05" }), 422),
        (json!({ "mac": "02:00:00:00:aa:05", "ip": "192.0.2.1" }), 422),
        (json!({ "mac": "02:00:00:00:aa:05", "ip": "10.1.4.5", "port": "x\ny" }), 422),
    ] {
        assert_eq!(seen(wrong.clone()).status, status, "{wrong}");
    }
    assert_eq!(office.holdfast(&["discovery", "rule", NET, "--name", "always-the-same"]).0, 1, "a name without the hardware address");
    assert_eq!(office.ask_with(&token, "GET", "/discoveries", None).status, 403);
    assert!(office.holdfast(&["discovery", "rules"]).1.contains("www-{tail}"));
}

#[test]
fn a_flood_of_machines_is_a_few_hosts_and_one_event_with_a_number() {
    let office = Office::open("discovery-flood");
    let token = furnish(&office);
    set(&office, "auto");
    assert_eq!(office.holdfast(&["discovery", "rule", NET, "--per-hour", "7"]).0, 0);
    let owner = listen(&office);
    let before = office.number("select count(*) from ipam.host");
    for n in 0..1000u32 {
        let mac = format!("02:00:00:bb:{:02x}:{:02x}", n >> 8, n & 255);
        office.ask_with(&token, "POST", "/discoveries", Some(&json!({ "mac": mac, "subnet": NET, "source": "arp" }))).expect(202);
    }
    eventually("all are dealt with", || Ok(office.number("select count(*) from ipam.discovery where state = 'waiting'") == 0));
    assert_eq!(office.number("select count(*) from ipam.host"), before + 7);
    let total = |field: &str| -> i64 {
        let of = |event: &Value| event[field].as_array().map_or_else(|| event[field].as_i64().unwrap_or(0), |list| list.len() as i64);
        heard(&owner, "discovery").iter().map(of).sum()
    };
    eventually("the owner hears of the hosts", || Ok(total("made") == 7));
    // On a machine that stalls the hosts may be told of before the flood is over; the number is told once an hour.
    eventually("and of how many more there were", || Ok(total("over") > 0));
    assert!(heard(&owner, "discovery").len() <= 2, "{:?}", heard(&owner, "discovery"));
    assert_eq!(office.number("select over from ipam.discovery_flood"), 993);
    assert!(heard(&owner, "discovery")[0]["message"].as_str().unwrap().contains("machines turned up in 10.1.4.0/22"));
}

#[test]
fn a_machine_in_an_auto_subnet_has_an_address_and_a_name_everywhere() {
    let Some(lab) = two_campuses("machines that register themselves") else { return };
    let (network, admin) = (lab.network(), lab.admin().unwrap());
    let host = Some(network.at(Place::Host(NORTH)));
    network.replace_machine(Place::Host(NORTH), "02:00:00:00:aa:01").unwrap();
    assert_eq!(udhcpc(host, 2, &[]).unwrap(), None, "nobody registered it, and the subnet wants to be told only");

    admin.holdfast(&["discovery", "rule", NET, "--name", "dev-{mac}.uni.example"]).unwrap();
    admin.holdfast(&["subnet", "set", NET, "--unknown-machines", "auto", "--wait"]).unwrap();
    let lease = udhcpc(host, 20, &[]).unwrap().expect("an address");
    let name = "dev-02000000aa01.uni.example";
    let address = lease.address().unwrap().to_string();
    for agent in Campus::BOTH {
        eventually("its name is answered", || Ok(names(network, NORTH, agent, name)? == [address.clone()]));
    }
    let told = admin.holdfast(&["discovery", "list"]).unwrap();
    assert!(told.contains("02:00:00:00:aa:01") && told.contains("made") && told.contains("agent north"), "{told}");
    // One that nobody saw yet is told of by its agent and registered while it asks.
    network.replace_machine(Place::Host(NORTH), "02:00:00:00:aa:02").unwrap();
    assert!(udhcpc(host, 20, &[]).unwrap().is_some());
    eventually("it has a name", || Ok(!names(network, NORTH, Campus::South, "dev-02000000aa02.uni.example")?.is_empty()));
    assert!(admin.holdfast(&["host", "show", name]).unwrap().contains("discovered"));
}
