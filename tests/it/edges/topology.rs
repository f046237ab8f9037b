//! Where a department may run a server of its own, and where it is told how to get there.

use crate::changes::office::{Office, Person, free_port};
use crate::serving::eventually;
use serde_json::json;
use std::process::Command;

/// Two departments behind a router: computer science on a port of its own, law with the library on one port and one subnet.
fn furnish(office: &Office) {
    for name in ["cs", "law", "library"] {
        office.post("/departments", json!({ "name": name })).expect(201);
    }
    for (network, department) in [("10.1.8.0/24", "cs"), ("10.1.9.0/24", "law"), ("10.1.10.0/24", "library")] {
        office.post("/subnets", json!({ "network": network, "campus": "north", "department": department })).expect(201);
    }
    let ports = json!([
        { "name": "ge-0/0/1", "subnets": ["10.1.8.0/24"] },
        { "name": "ge-0/0/2", "subnets": ["10.1.9.0/24", "10.1.10.0/24"] },
    ]);
    office.post("/routers", json!({ "name": "gw1", "campus": "north", "ports": ports })).expect(201);
    office.post("/containers", json!({ "network": "10.1.0.0/16", "purpose": "north" })).expect(201);
}

fn server(name: &str, department: &str, address: &str) -> serde_json::Value {
    json!({ "name": name, "department": department, "kind": "member", "address": address })
}

#[test]
fn a_department_runs_a_server_only_where_it_shares_nothing() {
    let office = Office::open("topology");
    furnish(&office);
    office.post("/department-servers", server("cs-1", "cs", "10.1.8.53")).expect(201);
    // Its port is another department's as well; its address is nobody's in particular; another department's host is on its subnet.
    let refused = office.post("/department-servers", server("law-1", "law", "10.1.9.53")).expect(409);
    let told = refused.text("/errors/0/detail");
    assert_eq!(refused.text("/errors/0/code"), "shared-port");
    for word in ["ge-0/0/2", "gw1", "10.1.9.0/24", "10.1.10.0/24 of library", "dept-server advise law"] {
        assert!(told.contains(word), "{told} lacks {word}");
    }
    let refused = office.post("/department-servers", server("cs-2", "cs", "10.1.4.53")).expect(409);
    assert!(refused.text("/errors/0/detail").contains("10.1.4.0/22 belongs to nobody in particular"));
    assert_eq!(office.post("/department-servers", server("out", "cs", "192.0.2.1")).status, 422);
    assert_eq!(office.post("/department-servers", server("who", "physics", "10.1.8.54")).status, 422);
    assert_eq!(office.get("/department-servers").list("/items").len(), 1, "nothing is left of what was refused");

    // Nor may a router be changed so that a server's department comes to share a port.
    let both = json!({ "ports": [{ "name": "ge-0/0/1", "subnets": ["10.1.8.0/24", "10.1.9.0/24"] }] });
    let refused = office.ask(Person::Ada, "PATCH", "/routers/gw1", &[("if-match", "*")], Some(&both)).expect(409);
    assert!(refused.text("/errors/0/detail").contains("10.1.9.0/24 of law"));
    assert_eq!(office.get("/routers/gw1").list("/ports").len(), 2);
    // A subnet at a port is not deleted away from under it.
    let refused = office.ask(Person::Ada, "DELETE", "/subnets/10.1.10.0/24", &[("if-match", "*")], None);
    assert!(refused.status == 422 && refused.text("/errors/0/detail").contains("router"), "{:#}", refused.body);

    // What came to be shared since is told.
    let guest = json!({ "name": "guest.uni.example", "department": "law", "interfaces": [{ "addresses": ["10.1.8.7"] }] });
    office.post("/hosts", guest).expect(201);
    assert!(office.get("/department-servers/cs-1/standing").text("/shared/0/detail").contains("1 of law"));
    let lines = office.get("/topology").list("/items");
    let line = |subnet: &str| lines.iter().find(|line| line["subnet"] == subnet).unwrap().clone();
    assert_eq!((line("10.1.8.0/24")["port"].clone(), line("10.1.8.0/24")["servers"].clone()), (json!("ge-0/0/1"), json!(["cs-1"])));
    assert_eq!((line("10.1.4.0/22")["router"].clone(), line("10.1.8.0/24")["guests"].clone()), (json!(null), json!(["law"])));
}

#[test]
fn a_department_that_shares_is_told_how_to_move_and_then_has_its_server_undone_and_all() {
    let office = Office::open("advice");
    furnish(&office);
    for n in 1..=9 {
        let host = json!({ "name": format!("law{n}.uni.example"), "department": "law", "interfaces": [{ "addresses": [format!("10.1.4.{}", 20 + n)] }] });
        office.post("/hosts", host).expect(201);
    }
    let (code, told, _) = office.holdfast(&["dept-server", "advise", "law"]);
    assert_eq!(code, 0);
    // 10.1.0.0/27 is the first gap of the container with room for twice nine hosts.
    for word in [
        "9 hosts of law are on 10.1.4.0/22",
        "10.1.10.0/24 of library",
        "free: 10.1.0.0/27, for 9 hosts",
        "holdfast subnet add 10.1.0.0/27 --campus north",
        "holdfast host move law1.uni.example --subnet 10.1.0.0/27",
        "give 10.1.9.0/24 a port of its own",
    ] {
        assert!(told.contains(word), "{told}\nlacks {word}");
    }
    for n in 1..=9 {
        let path = format!("/hosts/law{n}.uni.example");
        office.ask(Person::Ada, "DELETE", &path, &[("if-match", "*")], None).expect(200);
    }
    for line in [
        "router port gw1 ge-0/0/2 10.1.10.0/24",
        "router port gw1 ge-0/0/3 10.1.9.0/24",
        "zone add law.example --primary-ns ns.uni.example --mailbox h.uni.example --department law",
        "dept-server add law-1 --department law --kind member --address 10.1.9.53",
    ] {
        let (code, told, said) = office.holdfast(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(code, 0, "{line}: {told}{said}");
    }
    assert!(office.holdfast(&["dept-server", "advise", "law"]).1.contains("nothing stands in the way"));
    let (_, shown, _) = office.holdfast(&["dept-server", "show", "law-1"]);
    assert!(
        shown.contains("member server of law at 10.1.9.53")
            && shown.contains("no feed: zone law.example; to give it: holdfast zone allow law.example --to 10.1.9.53"),
        "{shown}"
    );
    assert!(shown.contains("it has taken nothing yet") && shown.contains("relays for 10.1.9.0/24:\n ip helper-address 10.1.9.53"), "{shown}");
    assert_eq!(office.holdfast(&["zone", "allow", "law.example", "--to", "10.1.9.53"]).0, 0);
    assert!(office.holdfast(&["dept-server", "show", "law-1"]).1.contains("feed: zone law.example"));
    let (code, shown, _) = office.holdfast(&["topology", "show"]);
    assert!(code == 0 && shown.lines().any(|line| line.starts_with("gw1") && line.contains("ge-0/0/3") && line.contains("law-1")), "{shown}");

    let gone = office.ask(Person::Ada, "DELETE", "/routers/gw1", &[("if-match", "*")], None).expect(200).text("/change_set");
    assert!(office.get("/routers").list("/items").is_empty());
    assert_eq!(office.holdfast(&["revert", &gone]).0, 0);
    assert_eq!(office.get("/routers/gw1").list("/ports").len(), 3, "an undo brings the ports back");
    assert_eq!(office.holdfast(&["dept-server", "remove", "law-1"]).0, 0);
    assert_eq!(office.holdfast(&["dept-server", "list"]).1.lines().count(), 1);
}

#[test]
fn what_a_member_took_last_is_known() {
    let dns = free_port();
    let office = Office::open_with("pulls", &format!("[dns]\nlisten = [\"{dns}\"]\n"));
    let holdfast = |line: &str| {
        let (code, told, said) = office.holdfast(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(code, 0, "{line}: {told}{said}");
        told
    };
    // This machine is the department's server.
    for line in [
        "department add cs",
        "subnet add 127.0.0.0/24 --campus north",
        "subnet set 127.0.0.0/24 --department cs",
        "zone add cs.example --primary-ns ns.cs.example --mailbox h.cs.example --department cs",
        "dept-server add cs-1 --department cs --kind member --address 127.0.0.1",
    ] {
        holdfast(line);
    }
    let told = holdfast("dept-server show cs-1");
    assert!(told.contains("it has taken nothing yet") && told.contains("no feed: zone cs.example"), "{told}");
    let axfr = || {
        let port = dns.port().to_string();
        let output = Command::new("dig").args(["@127.0.0.1", "-p", &port, "cs.example", "AXFR", "+time=5", "+tries=1"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    eventually("the zone is there, and not for it", || Ok(axfr().contains("Transfer failed")));
    assert!(holdfast("dept-server show cs-1").contains("it has taken nothing yet"), "who was refused took nothing");
    holdfast("zone allow cs.example --to 127.0.0.1");
    eventually("it has the zone", || {
        let said = axfr();
        anyhow::ensure!(said.contains("SOA"), "{said}");
        Ok(true)
    });
    eventually("the master knows", || Ok(office.holdfast(&["dept-server", "show", "cs-1"]).1.contains("last pull: zone cs.example at")));
}
