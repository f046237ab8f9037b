//! The command line as people and scripts use it: forms of output, plans of files, and the questions of a help desk.

use crate::changes::office::{Office, Person};
use serde_json::{Value, json};

/// Every command that lists something.
const LISTS: [&str; 34] = [
    "host list",
    "subnet list",
    "zone list",
    "campus list",
    "record list",
    "pool list",
    "container list",
    "family list",
    "move list",
    "nas list",
    "node list",
    "department list",
    "contact list",
    "external list",
    "class list",
    "mailbox list",
    "boot list",
    "snapshot list",
    "snapshot list zone",
    "events",
    "changes",
    "change-set list",
    "audit list",
    "user list",
    "grant list",
    "session list",
    "session logins",
    "session report --by user",
    "token list",
    "webhook list",
    "approval list",
    "approval waiting",
    "privacy fields",
    "ip quarantine",
];

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn done(office: &Office, args: &[&str]) -> String {
    let (code, printed, said) = office.holdfast(args);
    assert_eq!(code, 0, "{args:?}: {printed}{said}");
    printed
}

#[test]
fn every_list_comes_as_a_table_as_json_as_csv_and_as_yaml() {
    let office = Office::open("lists");
    office.add_host("www.uni.example", "10.1.4.10").expect(201);
    for list in LISTS {
        let args = words(list);
        let in_form = |form: &str| done(&office, &[&args[..], &["-o", form]].concat());
        let body: Value = serde_json::from_str(&in_form("json")).unwrap();
        let count = body["items"].as_array().map_or(0, Vec::len);
        let csv = in_form("csv");
        let headings = csv.lines().next().unwrap_or_default();
        assert_eq!(
            headings.to_uppercase().split(',').collect::<Vec<_>>(),
            in_form("table").lines().next().unwrap().split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect::<Vec<_>>(),
            "{list}"
        );
        assert!(csv.lines().count() > count.min(1) && in_form("yaml").contains("items:"), "{list}: {csv}");
    }
    assert!(done(&office, &["host", "list", "-o", "csv"]).contains("\nwww.uni.example,10.1.4.10,,\n"));
    assert!(done(&office, &["host", "show", "www.uni.example", "-o", "yaml"]).contains("name: www.uni.example\n"));
    assert!(done(&office, &["host", "show", "www.uni.example", "-o", "csv"]).starts_with("field,value\n"));
    for shell in ["bash", "zsh", "fish"] {
        let script = done(&office, &["completion", shell]);
        for word in ["plan", "apply", "explain", "whohad", "webhook", "approval", "yaml"] {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
    }
}

#[test]
fn a_dry_run_of_any_edit_changes_nothing() {
    let office = Office::open("dry-runs");
    office.add_host("www.uni.example", "10.1.4.10").expect(201);
    office.post("/principals", json!({ "name": "staff", "group": true })).expect(201);
    let sets = office.number("select count(*) from change.change_set");
    let edits = [
        "host add new.uni.example --address 10.1.4.11",
        "host set www.uni.example --os BSD",
        "host del www.uni.example",
        "subnet add 10.9.0.0/24 --campus north",
        "subnet del 10.1.4.0/22",
        "zone add x.example --primary-ns ns.x.example --mailbox h.x.example",
        "campus add south",
        "campus set north --service-address 10.1.4.2",
        "record add uni.example MX 10_mail.uni.example",
        "pool add 10.1.4.200 10.1.4.210 --kind dynamic",
        "department add physics",
        "contact add ada",
        "approval add --zone uni.example",
        "user add bob",
        "user disable grace",
        "user join staff ada",
        "grant give grace viewer --everywhere",
        "policy set --second-factor never",
        "webhook add chat https://chat.uni.example/7",
    ];
    for edit in edits {
        let args: Vec<String> = words(edit).into_iter().map(|word| word.replace('_', " ")).chain(["--dry-run".to_owned()]).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        // What cannot be done is told by a dry run as well: the subnet has a host.
        let (code, printed, said) = office.holdfast(&args);
        assert_eq!(code, i32::from(edit.starts_with("subnet del")), "{edit}: {printed}{said}");
    }
    assert_eq!(office.number("select count(*) from change.change_set"), sets);
    assert_eq!(office.number("select count(*) from access.principal where name = 'bob' or disabled_at is not null"), 0);
}

const LAB: &str = "
owns:
  hosts: ['*.lab.uni.example']
  records: ['lab.uni.example', '*.lab.uni.example']
  subnets: [10.9.0.0/16]
  pools: [10.9.0.0/16]
departments:
  - {name: physics, title: Physics}
contacts:
  - {handle: ada-l, kind: person, name: Ada L., mail: ada@uni.example}
zones:
  - {apex: lab.uni.example, primary_ns: ns.uni.example, mailbox: hostmaster.uni.example, name_servers: [ns.uni.example], department: physics}
subnets:
  - {network: 10.9.1.0/24, campus: north, gateway: 10.9.1.1, quarantine_secs: 0}
pools:
  - {first: 10.9.1.200, last: 10.9.1.220, kind: dynamic}
hosts:
  - name: PC1.lab.uni.example
    location: A 1
    department: physics
    contacts: [{role: technical, contact: ada-l}]
    interfaces: [{mac: '0200.0000.0001', addresses: [{next: {subnet: 10.9.1.0/24}}], boot: {boot_file: pxe.0}}]
  - {name: pc2.lab.uni.example, interfaces: [{mac: '02:00:00:00:00:02', addresses: [10.9.1.77]}]}
records:
  - {name: lab.uni.example, type: MX, data: 10 Mail.uni.example}
  - {name: lab.uni.example, type: TXT, data: v=spf1 -all}
";

#[test]
fn a_file_is_planned_applied_and_then_differs_in_nothing() {
    let office = Office::open("plans");
    let file = office.write("lab.yaml", LAB);
    let sets = office.number("select count(*) from change.change_set");
    let (code, planned, said) = office.holdfast(&["plan", &file]);
    assert_eq!(code, 10, "{planned}{said}");
    assert!(planned.contains("+ host pc1.lab.uni.example\n") && planned.contains("9 to add, 0 to change, 0 to delete"), "{planned}");
    assert!(planned.contains("+ pc2.lab.uni.example. A 10.9.1.77"), "the effects are told: {planned}");
    assert_eq!(office.number("select count(*) from change.change_set"), sets);
    assert_eq!(office.number("select count(*) from change.draft"), 0, "a plan leaves nothing behind");

    let applied = done(&office, &["apply", &file, "--reason", "a new lab"]);
    assert!(applied.starts_with(&planned) && applied.contains("done"), "the same is shown: {applied}");
    assert_eq!(office.number("select count(*) from change.change_set"), sets + 1, "one change set");
    assert_eq!(office.get("/changes?limit=1").text("/items/0/reason"), "a new lab");
    let pc1 = office.get("/hosts/pc1.lab.uni.example").expect(200);
    assert_eq!((pc1.text("/interfaces/0/addresses/0"), pc1.text("/interfaces/0/boot/boot_file")), ("10.9.1.2".into(), "pxe.0".into()));
    assert_eq!(done(&office, &["plan", &file]), "everything is as the file says\n");
    assert_eq!(done(&office, &["apply", &file]), "everything is as the file says\n");

    // Somebody changes things by hand; one host is put there that the file does not know.
    office.patch_host("pc1.lab.uni.example", json!({ "location": "B 2", "comment": "stays" })).expect(200);
    office.add_host("pc9.lab.uni.example", "10.9.1.99").expect(201);
    office.add_host("elsewhere.uni.example", "10.1.4.99").expect(201);
    let (code, planned, _) = office.holdfast(&["plan", &file]);
    assert_eq!(code, 10);
    assert!(planned.contains("~ host pc1.lab.uni.example\n    location: \"B 2\" -> \"A 1\"\n0 to add, 1 to change, 0 to delete"), "{planned}");
    assert!(planned.contains("host pc9.lab.uni.example first: --prune deletes them"), "{planned}");
    let smaller = office.write(
        "smaller.yaml",
        &LAB.replace(
            "  - {first: 10.9.1.200, last: 10.9.1.220, kind: dynamic}\n",
            "  - {first: 10.9.1.200, last: 10.9.1.220, kind: reserved, reason: printers}\n",
        ),
    );
    let (code, planned, said) = office.holdfast(&["plan", &smaller, "--prune", "-o", "json"]);
    assert_eq!(code, 10, "{said}");
    let edits: Vec<String> = serde_json::from_str::<Value>(&planned).unwrap()["edits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edit| format!("{} {} {}", edit["what"].as_str().unwrap(), edit["kind"].as_str().unwrap(), edit["object"].as_str().unwrap()))
        .collect();
    assert_eq!(
        edits,
        ["delete host pc9.lab.uni.example", "delete pool 10.9.1.200-10.9.1.220", "add pool 10.9.1.200-10.9.1.220", "change host pc1.lab.uni.example"]
    );
    done(&office, &["apply", &smaller, "--prune"]);
    assert_eq!(office.get("/hosts/pc9.lab.uni.example").status, 404);
    assert_eq!(office.get("/hosts/pc1.lab.uni.example").text("/comment"), "stays", "what the file does not name stays");
    office.get("/hosts/elsewhere.uni.example").expect(200);
    assert_eq!(done(&office, &["plan", &smaller, "--prune"]), "everything is as the file says\n");

    let empty = office.write(
        "empty.yaml",
        "owns: {hosts: ['*.lab.uni.example'], records: ['lab.uni.example', '*.lab.uni.example'], pools: [10.9.0.0/16], subnets: [10.9.0.0/16], zones: [lab.uni.example], contacts: [ada-l], departments: [physics]}",
    );
    done(&office, &["apply", &empty, "--prune"]);
    assert_eq!(office.number("select count(*) from dns.zone where apex like 'lab.%'") + office.number("select count(*) from org.contact"), 0);
}

#[test]
fn a_file_that_cannot_be_is_refused_whole_and_by_object() {
    let office = Office::open("wrong-plans");
    let file = office.write(
        "wrong.yaml",
        "hosts:\n  - {name: a.uni.example, interfaces: [{addresses: [10.1.4.10]}]}\n  - {name: b.uni.example, interfaces: [{addresses: [10.1.4.10]}]}\n  - {name: c.elsewhere.example}\n",
    );
    for command in ["plan", "apply"] {
        let (code, printed, said) = office.holdfast(&[command, &file]);
        assert_eq!((code, printed.as_str()), (1, ""), "{said}");
        assert!(said.contains("host b.uni.example/interfaces/0/addresses/0: ") && said.contains("host c.elsewhere.example/name: "), "{said}");
    }
    assert_eq!(office.get("/hosts/a.uni.example").status, 404);
    let (code, _, said) = office.holdfast(&["plan", &office.write("words.yaml", "hots: []")]);
    assert!(code == 1 && said.contains("there is no list \"hots\""), "{said}");

    // Where a second person is asked for, the plan says so and the apply leaves a proposal.
    done(&office, &["approval", "add", "--range", "10.1.5.0-10.1.5.255", "--comment", "servers"]);
    assert!(done(&office, &["approval", "list"]).contains("range 10.1.5.0-10.1.5.255"));
    let file = office.write("second.yaml", "hosts: [{name: s.uni.example, interfaces: [{addresses: [10.1.5.7]}]}]");
    let (code, planned, _) = office.holdfast(&["plan", &file]);
    assert!(code == 10 && planned.contains("needs a second person: range 10.1.5.0-10.1.5.255"), "{planned}");
    let (code, _, said) = office.holdfast(&["apply", &file]);
    assert!(code == 1 && said.contains("holdfast change-set approve"), "{said}");
    let id = office.get("/change-sets?state=proposed").text("/items/0/id");
    let read = office.get(&format!("/change-sets/{id}"));
    office.ask(Person::Grace, "POST", &format!("/change-sets/{id}/approve"), &[("if-match", &read.etag)], None).expect(200);
    done(&office, &["change-set", "apply", &id]);
    assert!(done(&office, &["plan", &file]).starts_with("everything"));
}

#[test]
fn who_had_an_address_is_known_and_what_is_known_is_explained() {
    let office = Office::open("whohad");
    let host = |name: &str| json!({ "name": name, "contact": "desk", "interfaces": [{ "mac": "02:00:00:00:00:07", "addresses": ["10.1.4.10"] }] });
    office.post("/hosts?reason=first", host("old.uni.example")).expect(201);
    let between = office.block_on(async { chrono_now() });
    std::thread::sleep(std::time::Duration::from_millis(20));
    done(&office, &["host", "set", "old.uni.example", "--rename", "older.uni.example"]);
    done(&office, &["host", "del", "older.uni.example"]);
    let (code, told, _) = office.holdfast(&["explain", "02-00-00-00-00-07"]);
    assert!(code == 0 && told.contains("no host has the hardware address 02:00:00:00:00:07") && told.contains("older.uni.example had it until"), "{told}");
    office.post("/hosts?reason=second", host("new.uni.example")).expect(201);

    let holders = office.get("/addresses/10.1.4.10/holders").expect(200);
    let line = |place: usize| {
        (holders.text(&format!("/items/{place}/host")), holders.text(&format!("/items/{place}/reason")), holders.body["items"][place]["until"].is_null())
    };
    assert_eq!(
        (line(0), line(1)),
        (("new.uni.example".into(), "second".into(), true), ("older.uni.example".into(), "first".into(), false)),
        "{:#}",
        holders.body
    );
    let then = done(&office, &["whohad", "10.1.4.10", "--at", &between, "-o", "csv"]);
    assert!(then.lines().count() == 2 && then.contains("older.uni.example,02:00:00:00:00:07,"), "{then}");
    let (code, printed, said) = office.holdfast(&["whohad", "10.1.4.11"]);
    assert!(code == 0 && printed.lines().count() == 1 && said.contains("no host ever had 10.1.4.11"), "{printed}{said}");
    assert_eq!(office.holdfast(&["whohad", "10.1.4.10", "--at", "2999-01-01T00:00:00Z"]).0, 1);

    for (object, parts) in [
        ("10.1.4.10", ["is in use; subnet 10.1.4.0/22 of campus north", "new.uni.example is 10.1.4.10", "older.uni.example (02:00:00:00:00:07) had it from"]),
        ("10.1.4.12", ["is free: no host has it", "subnet 10.1.4.0/22", "never seen in use"]),
        ("192.0.2.1", ["lies in none of our subnets", "subnet", "never seen"]),
        ("new.uni.example", ["02:00:00:00:00:07 is given 10.1.4.10 in 10.1.4.0/22", "contact desk", "last changed by ada"]),
        ("nobody.uni.example", ["there is nothing at nobody.uni.example", "no such name", "zone uni.example"]),
        ("www.example.org", ["lies in none of the zones", "agents ask elsewhere", "dns"]),
    ] {
        let told = done(&office, &["explain", object]);
        for part in parts {
            assert!(told.contains(part), "{object}: \"{part}\" is not in:\n{told}");
        }
    }
    assert_eq!(office.holdfast(&["explain", "..."]).0, 1);
}

fn chrono_now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    // Seconds are enough: the test waits around it.
    let text = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{}.{:09}", now.as_secs(), now.subsec_nanos()), "+%Y-%m-%dT%H:%M:%S.%NZ"])
        .output()
        .unwrap();
    String::from_utf8(text.stdout).unwrap().trim().to_owned()
}

#[test]
fn webhooks_and_records_have_their_commands() {
    let office = Office::open("webhooks-cli");
    let secret = done(&office, &["webhook", "add", "chat", "http://127.0.0.1:9/x", "--kind", "change", "--area", "zone:uni.example"]);
    assert_eq!(secret.trim().len(), 64, "{secret}");
    assert!(done(&office, &["webhook", "list", "-o", "csv"]).contains(",zone uni.example,"));
    assert!(done(&office, &["webhook", "deliveries", "chat", "-o", "json"]).contains("items"));
    assert!(done(&office, &["webhook", "del", "chat", "--dry-run"]).starts_with("nothing"));
    done(&office, &["webhook", "del", "chat"]);
    assert_eq!(office.holdfast(&["webhook", "del", "chat"]).0, 1);

    done(&office, &["record", "add", "uni.example", "mx", "10 mail.uni.example", "--ttl", "600", "--reason", "mail"]);
    let (code, _, said) = office.holdfast(&["record", "add", "uni.example", "MX", "10 mail.uni.example."]);
    assert!(code == 1 && said.contains("has this record already"), "{said}");
    assert!(done(&office, &["record", "list", "--zone", "uni.example", "-o", "csv"]).contains("uni.example.,MX,600,10 mail.uni.example.,\n"));
    done(&office, &["record", "del", "uni.example", "MX", "10 mail.uni.example"]);
    assert_eq!(office.get("/records").list("/items").len(), 0, "the NS records of an apex are its zone's");
    done(&office, &["zone", "add", "x.example", "--primary-ns", "ns.uni.example", "--mailbox", "h.uni.example"]);
    done(&office, &["zone", "del", "x.example"]);
    done(&office, &["campus", "set", "north", "--service-address", "10.1.4.2"]);
    assert_eq!(office.get("/campuses/north").text("/service_address"), "10.1.4.2");
    done(&office, &["subnet", "del", "10.1.4.0/22"]);
}
