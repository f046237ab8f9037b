//! Files of other programs, in and out: the samples go in, all files come out, the other programs take them and say the same, and what came out
//! goes in again without a change.

use crate::changes::office::Office;
use crate::serving::eventually;
use holdfast_lab::cables::{Campus, Network, Place};
use holdfast_lab::clients::relay;
use holdfast_lab::folder::Folder;
use holdfast_lab::process::{Program, Recipe};
use holdfast_lab::programs::house;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// All samples of one university.
const SAMPLES: [&str; 10] =
    ["people.csv", "subnets.csv", "db.uni.example", "db.10.1", "db.10.2", "db.10.3", "bootptab", "dhcpd.conf", "kea-dhcp4.conf", "hosts.csv"];

fn sample(name: &str) -> String {
    house().join("tests/samples").join(name).display().to_string()
}

/// A master with all samples in it and nothing else.
fn university(name: &str) -> Office {
    let office = Office::open(name);
    for args in [["zone", "del", "uni.example"], ["subnet", "del", "10.1.4.0/22"]] {
        assert_eq!(office.holdfast(&args).0, 0);
    }
    let files = SAMPLES.map(sample);
    let args: Vec<&str> = std::iter::once("import").chain(files.iter().map(String::as_str)).collect();
    let (code, printed, said) = office.holdfast(&args);
    assert_eq!(code, 0, "{said}");
    assert!(printed.contains("hosts 187") && printed.contains("contacts 15") && printed.contains("pools 3"), "{printed}");
    eventually("the secrets of NASs can be encrypted", || Ok(office.holdfast(&["import", &sample("clients.conf")]).0 == 0));
    office
}

/// Runs another program, which has to be content.
fn content(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {}: {said}", args.join(" "));
    said
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

#[test]
fn all_that_is_exported_is_taken_by_other_programs_and_by_us_again() {
    let office = university("formats");
    let into = Path::new(&office.write("exports/.keep", "")).parent().unwrap().to_owned();
    let (code, _, said) = office.holdfast(&["export", "all", &into.display().to_string(), "--secrets"]);
    assert_eq!(code, 0, "{said}");

    content("dhcpd", &["-t", "-cf", &path(&into, "dhcpd.conf")]);
    let kea = content("kea-dhcp4", &["-t", &path(&into, "kea-dhcp4.conf")]);
    assert!(!kea.to_lowercase().contains("error"), "{kea}");
    for zone in ["uni.example", "1.10.in-addr.arpa", "2.10.in-addr.arpa", "3.10.in-addr.arpa"] {
        let said = content("named-checkzone", &["-i", "local", zone, &path(&into, &format!("db.{zone}"))]);
        assert!(said.contains("OK"), "{said}");
    }
    let radius = "name = radiusd\nprefix = /usr\nlibdir = /usr/lib/freeradius\nsecurity { allow_vulnerable_openssl = yes }\nmodules { }\n$INCLUDE clients.conf\n\
                  server default {\n listen {\n  type = auth\n  ipaddr = 127.0.0.1\n  port = 18120\n }\n authorize { }\n}\n";
    fs::write(into.join("radiusd.conf"), radius).unwrap();
    content("freeradius", &["-C", "-l", "stdout", "-d", &into.display().to_string(), "-n", "radiusd"]);
    let clients = fs::read_to_string(into.join("clients.conf")).unwrap();
    assert!(clients.contains("secret = yupgpn753sb3uqwdp8tu") && clients.contains("ipaddr = 10.1.250.0/24"), "{clients}");
    assert_eq!(fs::metadata(into.join("clients.conf")).unwrap().permissions().mode() & 0o777, 0o600, "a file with secrets is its owner's");

    // All of it goes in again, and changes nothing.
    let names =
        ["people.csv", "subnets.csv", "hosts.csv", "bootptab", "dhcpd.conf", "kea-dhcp4.conf", "hosts", "ethers", "db.uni.example", "db.1.10.in-addr.arpa"];
    let files = names.map(|name| path(&into, name));
    let args: Vec<&str> = ["import", "--dry-run", "--rows"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let (code, printed, said) = office.holdfast(&args);
    assert_eq!(code, 0, "{said}{printed}");
    let differing: Vec<&str> =
        printed.lines().filter(|line| (line.contains(": new ") || line.contains(": changed ")) && !line.contains(" template ")).collect();
    assert_eq!(differing, Vec::<&str>::new(), "{printed}");
    assert!(printed.contains(": same host darwin826.uni.example") && printed.contains("hosts same 187"), "{printed}");
}

#[test]
fn what_is_edited_in_a_table_is_edited_in_the_database() {
    let office = university("formats-table");
    let (code, table, said) = office.holdfast(&["export", "csv", "hosts"]);
    assert_eq!(code, 0, "{said}");
    let edited = table.replace("2/251", "9/999").replacen("08:00:09:63:2d:c6", "02:00:00:00:00:42", 1);
    let file = office.write("hosts.csv", &edited);
    let (code, printed, said) = office.holdfast(&["import", &file]);
    assert_eq!(code, 0, "{said}");
    assert!(printed.contains("hosts changed 2"), "{printed}");
    let (_, shown, _) = office.holdfast(&["host", "show", "volta264.uni.example", "-o", "json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["interfaces"][0]["mac"], "02:00:00:00:00:42");
    let (_, printed, _) = office.holdfast(&["import", &file]);
    assert!(printed.contains("hosts same 187") && !printed.contains("changed"), "{printed}");

    // A table of somebody else's, with its own words for our columns.
    let foreign = office.write("machines.csv", "Machine,NIC,Address\nnew1,02:00:00:00:00:51,10.1.4.201\n");
    let args = ["import", &foreign, "--map", "name=Machine", "--map", "mac=NIC", "--map", "ip=Address", "--domain", "uni.example"];
    let (code, printed, said) = office.holdfast(&args);
    assert_eq!((code, printed.contains("hosts 1")), (0, true), "{said}{printed}");
    let bad = office.write("bad.csv", "name,mac,ip\nnew2.uni.example,x,10.1.4.202\nnew3.uni.example,,10.99.0.1\n");
    let (code, _, said) = office.holdfast(&["import", &bad]);
    assert_eq!(code, 1);
    assert!(said.contains("bad.csv:2"), "{said}");
}

#[test]
fn who_may_not_read_a_thing_does_not_get_it() {
    let office = university("formats-rights");
    let law = json!({ "apex": "law.uni.example", "primary_ns": "ns.north.uni.example", "mailbox": "hostmaster.uni.example", "department": "law" });
    office.post("/zones", law).expect(201);
    let viewer = |name: &str, area: Value| {
        office.post("/principals", json!({ "name": name })).expect(201);
        office.post("/grants", json!({ "principal": name, "role": "viewer", "area": area })).expect(201);
        office.token_of(name)
    };
    let cathy = viewer("cathy", json!({ "kind": "department", "name": "cc" }));
    let vera = viewer("vera", json!({ "kind": "global" }));
    let get = |token: &str, path: &str| office.ask_with(token, "GET", path, None);
    let listed =
        |token: &str| get(token, "/exports").expect(200).list("/items").iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();

    // Who sees one department has its hosts in every file, and no other's zone and no client.
    let names = listed(&cathy);
    assert!(names.contains(&"hosts.csv".to_owned()) && !names.iter().any(|name| name == "db.law.uni.example" || name == "clients.conf"), "{names:?}");
    for file in ["hosts.csv", "hosts", "bootptab", "dhcpd.conf", "kea-dhcp4.conf"] {
        let (hers, all) = (get(&cathy, &format!("/exports/{file}")).expect(200).raw, get(&vera, &format!("/exports/{file}")).expect(200).raw);
        assert!(hers.contains("darwin826") && !hers.contains("sagan572"), "{file}: {hers}");
        assert!(all.contains("darwin826") && all.contains("sagan572"), "{file}: {all}");
    }
    assert_eq!(get(&cathy, "/exports/db.law.uni.example").status, 404);
    for path in ["/exports/clients.conf", "/exports/clients.conf?secrets=true"] {
        assert_eq!(get(&cathy, path).status, 403, "{path}");
    }
    // Who sees everything sees the clients, and no secret for all that.
    let names = listed(&vera);
    assert!(names.contains(&"db.law.uni.example".to_owned()) && names.contains(&"clients.conf".to_owned()), "{names:?}");
    get(&vera, "/exports/db.law.uni.example").expect(200);
    let clients = get(&vera, "/exports/clients.conf").expect(200).raw;
    assert!(clients.contains("annex-north") && !clients.contains("yupgpn753sb3uqwdp8tu"), "{clients}");
    assert_eq!(get(&vera, "/exports/clients.conf?secrets=true").status, 403);
    assert!(!office.holdfast(&["changes"]).1.contains("read the secrets of all NASs"), "who was refused has read nothing");

    // An administrator, as the commands are run.
    let listed = office.get("/exports").expect(200);
    assert!(listed.list("/items").iter().any(|item| item["name"] == "db.uni.example"));
    let (code, printed, _) = office.holdfast(&["export", "clients"]);
    assert!(code == 0 && !printed.contains("yupgpn753sb3uqwdp8tu") && printed.contains("#client annex-north {"), "{printed}");
    let (code, printed, _) = office.holdfast(&["export", "clients", "--secrets"]);
    assert!(code == 0 && printed.contains("secret = yupgpn753sb3uqwdp8tu"), "{printed}");
    let (_, history, _) = office.holdfast(&["changes"]);
    assert!(history.contains("read the secrets of all NASs"), "{history}");
    let (code, _, said) = office.holdfast(&["zone", "export", "nowhere.example"]);
    assert!(code == 1 && said.contains("there is no zone nowhere.example"), "{said}");
    let (code, printed, _) = office.holdfast(&["zone", "export", "uni.example"]);
    assert!(code == 0 && printed.contains("darwin826\tA\t10.1.4.10"), "{printed}");
}

/// Address, boot server, boot file and options.
type Heard = (Ipv4Addr, Ipv4Addr, String, BTreeMap<u8, Vec<u8>>);

/// What bootpd tells machines from a table.
fn told(network: &Network, folder: &Folder, table: &str, macs: &[[u8; 6]]) -> Vec<Option<Heard>> {
    const NORTH: Campus = Campus::North;
    let recipe = Recipe::new("bootpd", "/usr/sbin/bootpd", folder.path()).args(["-s", "-d4"]).args([table]);
    let mut program: Program = recipe.inside(network.at(Place::Agent(NORTH))).start().unwrap();
    program.wait_for_line("entries", Duration::from_secs(10)).unwrap();
    let server = SocketAddrV4::new(NORTH.agent(), 67);
    let ask = |mac: &[u8; 6]| {
        let reply = network.at(Place::Router(NORTH)).inside(|| relay::ask(NORTH.relay(), server, *mac, &[], Duration::from_secs(2))).unwrap().unwrap();
        reply.map(|reply| (reply.yiaddr, reply.siaddr, reply.file, reply.options))
    };
    let heard = macs.iter().map(ask).collect();
    program.kill().unwrap();
    heard
}

#[test]
fn bootpd_tells_the_same_by_our_table_as_by_the_one_that_came_in() {
    let Some(network) = crate::network("bootpd with our table") else { return };
    let office = university("formats-bootpd");
    let (code, table, said) = office.holdfast(&["bootptab", "export"]);
    assert_eq!(code, 0, "{said}");
    let folder = Folder::new("formats-bootpd-tables").unwrap();
    let ours = folder.write("bootptab.ours", &table).unwrap().display().to_string();
    // A machine that boots from elsewhere is among them, and one that nobody knows.
    let macs = ["080020dbb67f", "080009632dc6", "0800094c54a9", "020000000001"].map(|mac| <[u8; 6]>::try_from(hex::decode(mac).unwrap()).unwrap());
    let theirs = told(&network, &folder, &sample("bootptab"), &macs);
    let again = told(&network, &folder, &ours, &macs);
    assert!(theirs[..3].iter().all(Option::is_some) && theirs[3].is_none(), "{theirs:?}");
    for (place, (theirs, ours)) in theirs.into_iter().zip(again).enumerate() {
        let Some(mut theirs) = theirs else { continue };
        let mut ours = ours.expect("it is told something");
        // `to=auto` is the clock of bootpd's own machine, which no import can know; how long a lease is goes to DHCP clients alone.
        for code in [2, 51] {
            theirs.3.remove(&code);
            ours.3.remove(&code);
        }
        assert_eq!(ours, theirs, "machine {place}");
    }
}
