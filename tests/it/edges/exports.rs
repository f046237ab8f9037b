//! What others take from us in their own format, read by the programs that it is for where they can read it.

use super::faults::furnish;
use crate::changes::office::Office;
use serde_json::json;
use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn prometheus_finds_hosts_with_where_they_stand() {
    let office = Office::open("prometheus");
    let nms = furnish(&office);
    let found = office.get("/prometheus-sd").body;
    // As https://prometheus.io/docs/prometheus/latest/http_sd/ says: a list of objects with a list of targets and labels that are text.
    let groups = found.as_array().unwrap();
    for group in groups {
        assert_eq!(group.as_object().unwrap().keys().collect::<BTreeSet<_>>(), BTreeSet::from([&"labels".to_owned(), &"targets".to_owned()]));
        assert!(group["targets"].as_array().unwrap().iter().all(|target| target.as_str().unwrap().rsplit_once(':').unwrap().1.parse::<u16>().is_ok()));
        let is_label = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        assert!(group["labels"].as_object().unwrap().iter().all(|(name, value)| is_label(name) && value.is_string()), "{group}");
    }
    let labels = json!({ "host": "lab1.uni.example", "campus": "north", "department": "physics", "building": "Main", "room": "2.17", "subnet": "10.1.4.0/22" });
    assert!(groups.contains(&json!({ "targets": ["10.1.4.17:9100"], "labels": labels })), "{found:#}");
    let of_law = office.get("/prometheus-sd?department=law&port=9182").body;
    assert_eq!(of_law[0]["targets"], json!(["10.1.4.18:9182"]));
    assert_eq!((of_law.as_array().unwrap().len(), office.get("/prometheus-sd?port=0").status), (1, 400));
    assert_eq!(office.ask_with(&nms, "GET", "/prometheus-sd", None).status, 403);
}

#[test]
fn what_may_come_in_from_a_subnet_or_by_a_port_is_a_list_that_routers_read() {
    let office = Office::open("acl");
    office.post("/subnets", json!({ "network": "2001:db8:4::/64", "campus": "north" })).expect(201);
    let ports = json!([{ "name": "ge-0/0/1", "subnets": ["10.1.4.0/22", "2001:db8:4::/64"] }, { "name": "ge-0/0/2" }]);
    office.post("/routers", json!({ "name": "gw1", "campus": "north", "ports": ports })).expect(201);
    let acl = |of: &[&str]| office.holdfast(&[&["export", "acl"], of].concat());
    let (code, cisco, said) = acl(&["--subnet", "10.1.4.0/22", "--format", "cisco"]);
    assert!(code == 0 && cisco.contains(" permit ip 10.1.4.0 0.0.3.255 any\n deny ip any any log\n"), "{cisco}{said}");
    let (_, lists, _) = acl(&["--router", "gw1", "--port", "ge-0/0/1", "--format", "prefix-list"]);
    assert!(lists.contains("ip prefix-list HOLDFAST_GW1_GE_0_0_1 seq 5 permit 10.1.4.0/22\nipv6 prefix-list"), "{lists}");
    assert_eq!(acl(&["--subnet", "10.9.9.0/24", "--format", "nft"]).0, 1);
    assert!(acl(&["--router", "gw1", "--port", "ge-0/0/2", "--format", "nft"]).2.contains("a list of nothing"));
    assert_eq!(acl(&["--format", "nft"]).0, 2);

    let (_, nft, _) = acl(&["--router", "gw1", "--port", "ge-0/0/1", "--format", "nft"]);
    if let Some(reason) = holdfast_lab::netns::hindrance() {
        return holdfast_lab::skipped("nft reads the list", &reason);
    }
    let network = crate::network("nft reads the list").unwrap();
    let file = office.write("sources.nft", &nft);
    let nft = |args: &[&str]| -> std::process::Output {
        let place = holdfast_lab::cables::Place::Router(crate::serving::NORTH);
        let mut command: Command = network.at(place).command("nft");
        command.args(args).output().unwrap()
    };
    for args in [&["-c", "-f", file.as_str()][..], &["-f", &file], &["-f", &file]] {
        let output = nft(args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let listed = String::from_utf8(nft(&["list", "table", "inet", "holdfast_gw1_ge_0_0_1"]).stdout).unwrap();
    assert!(listed.contains("10.1.4.0/22") && listed.contains("ip saddr !=") && listed.contains("drop"), "{listed}");
}
