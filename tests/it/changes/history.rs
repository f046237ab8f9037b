//! What is remembered: the time line, single objects, the state at a time, the audit chain, and the views for other programs.

use super::eventually;
use super::office::{Office, Person};
use serde_json::{Value, json};
use sqlx::types::chrono::Utc;
use std::time::Duration;

/// A time between what was and what comes.
fn now() -> String {
    std::thread::sleep(Duration::from_millis(20));
    let now = Utc::now();
    std::thread::sleep(Duration::from_millis(20));
    now.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

#[test]
fn every_object_tells_its_history_in_words() {
    let office = Office::open("history");
    office.add_host("www.uni.example", "10.1.4.10").expect(201);
    let body = json!({ "os": "BSD", "interfaces": [{ "addresses": ["10.1.4.11"], "mac": "02:00:00:00:00:01" }] });
    office.ask(Person::Grace, "PATCH", "/hosts/www.uni.example?reason=moved", &[("if-match", "*")], Some(&body)).expect(200);
    office.patch_host("www.uni.example", json!({ "name": "web.uni.example" })).expect(200);

    let lines = office.get("/hosts/web.uni.example/history").expect(200).list("/items");
    let of = |kind: &str, what: &str| {
        lines.iter().find(|line| line["kind"] == kind && line["what"] == what).unwrap_or_else(|| panic!("{kind} {what} in {lines:#?}"))
    };
    assert_eq!(of("host", "changed")["fields"], json!([{ "field": "os", "before": null, "after": "BSD" }]));
    assert_eq!((&of("host", "changed")["actor"], &of("host", "changed")["reason"]), (&json!("grace"), &json!("moved")));
    assert_eq!(of("address", "deleted")["object"], "10.1.4.10");
    assert_eq!(of("interface", "added")["object"], "web.uni.example", "by the name that it has now");
    for (path, kind) in [("/subnets/10.1.4.0/22", "subnet"), ("/zones/uni.example", "zone"), ("/campuses/north", "campus")] {
        let lines = office.get(&format!("{path}/history")).expect(200).list("/items");
        assert_eq!((lines[0]["kind"].as_str(), lines[0]["what"].as_str()), (Some(kind), Some("added")), "{lines:#?}");
    }
    assert_eq!(office.get("/zones/nobody.example/history").status, 404);

    let of_grace = office.get("/changes?actor=grace").expect(200).list("/items");
    assert_eq!((of_grace.len(), of_grace[0]["reason"].as_str()), (1, Some("moved")));
    assert_eq!(office.get("/changes?text=moved").list("/items"), of_grace);
    assert_eq!(office.get("/changes?kind=campus").list("/items").len(), 1);
    assert_eq!(office.get("/changes?kind=hat").status, 422);
    let mut all = Vec::new();
    let mut path = "/changes?limit=2".to_owned();
    loop {
        let page = office.get(&path).expect(200);
        all.extend(page.list("/items"));
        let Some(next) = page.body["next"].as_str() else { break };
        path = format!("/changes?limit=2&cursor={next}");
    }
    let mut ids: Vec<&str> = all.iter().filter_map(|set| set["change_set"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((all.len(), ids.len()), (7, 7), "each once: {all:#?}");
    let (code, printed, _) = office.holdfast(&["changes", "show", of_grace[0]["change_set"].as_str().unwrap()]);
    assert!(code == 0 && printed.contains("by grace (api): moved") && printed.contains("os: nothing -> BSD"), "{printed}");
    let (_, printed, _) = office.holdfast(&["changes", "--actor", "grace"]);
    assert_eq!(printed.lines().count(), 2, "{printed}");
}

#[test]
fn the_past_is_read_as_it_was() {
    let office = Office::open("past");
    let body = json!({ "name": "www.uni.example", "aliases": ["web.uni.example"], "os": "BSD",
        "interfaces": [{ "mac": "02:00:00:00:00:01", "addresses": ["10.1.4.10"], "boot": { "boot_file": "/boot/a" } }] });
    office.post("/hosts", body).expect(201);
    office.add_host("other.uni.example", "10.1.4.20").expect(201);
    let then = now();
    let read = |path: &str| office.get(&format!("{path}{}at={then}", if path.contains('?') { '&' } else { '?' }));
    let (www, list, subnets, zones) =
        (office.get("/hosts/www.uni.example").body, office.get("/hosts").body, office.get("/subnets").body, office.get("/zones").body);

    let change = json!({ "name": "moved.uni.example", "aliases": [], "os": "Plan 9", "interfaces": [{ "addresses": ["10.1.4.30", "10.1.4.31"] }] });
    office.patch_host("www.uni.example", change).expect(200);
    office.ask(Person::Ada, "DELETE", "/hosts/other.uni.example", &[("if-match", "*")], None).expect(200);
    office.add_host("new.uni.example", "10.1.4.10").expect(201);
    office.add_host("other.uni.example", "10.1.4.40").expect(201);
    office.post("/subnets", json!({ "network": "10.2.0.0/24", "campus": "north" })).expect(201);
    let zone = json!({ "apex": "cs.uni.example", "primary_ns": "ns.uni.example", "mailbox": "x.uni.example", "name_servers": ["ns.uni.example"] });
    office.post("/zones", zone).expect(201);

    assert_eq!(read("/hosts/www.uni.example").expect(200).body, www);
    assert_eq!(read("/hosts").expect(200).body, list);
    // Of the addresses of a subnet it is known how many were used, and no more.
    let with_used_alone = |mut body: Value| {
        for subnet in body["items"].as_array_mut().unwrap() {
            ["total", "free", "quarantined", "excluded"].iter().for_each(|number| drop(subnet.as_object_mut().unwrap().remove(*number)));
        }
        body
    };
    assert_eq!(read("/subnets").expect(200).body, with_used_alone(subnets));
    // Of serials only those of today are known.
    let without_serials = |mut body: Value| {
        body["items"].as_array_mut().unwrap().iter_mut().for_each(|zone| zone["published"] = json!(0));
        body
    };
    assert_eq!(without_serials(read("/zones").expect(200).body), without_serials(zones));
    assert_eq!(read("/hosts/moved.uni.example").status, 404);
    assert_eq!(read("/hosts/new.uni.example").status, 404);
    assert_eq!(read("/hosts?limit=1").expect(200).body["items"], json!([list["items"][0]]));
    let (_, printed, _) = office.holdfast(&["host", "show", "www.uni.example", "--at", &then]);
    assert!(printed.contains("10.1.4.10") && printed.contains("web.uni.example") && printed.contains("BSD"), "{printed}");
    assert_eq!(office.get("/hosts?at=2001-01-01T00:00:00Z").expect(422).text("/errors/0/code"), "time-not-known");
    assert_eq!(office.get("/hosts?at=2999-01-01T00:00:00Z").status, 422);
}

fn verify(office: &Office) -> (i32, String) {
    let linked = "select count(*) from change.unchained";
    eventually("everything is linked", || Ok(office.number(linked) == 0));
    let (code, printed, said) = office.holdfast(&["audit", "verify"]);
    (code, printed + &said)
}

#[test]
fn a_history_that_was_written_anew_is_found() {
    let office = Office::open("chain");
    for number in 10..15 {
        office.add_host(&format!("h{number}.uni.example"), &format!("10.1.4.{number}")).expect(201);
    }
    let (code, said) = verify(&office);
    assert!(code == 0 && said.contains("9 of 9 change sets and 1 signed heads fit"), "{said}");
    assert!(office.sql("update change.change_set set actor = 'nobody'").is_err(), "the audit is append-only");

    // The database's owner can switch that off, and alters a row of the sixth change set.
    let tamper = "begin; set local session_replication_role = replica;
        update change.change set after = jsonb_set(after, '{comment}', '\"forged\"') where table_name = 'ipam.host'
          and change_set = (select change_set from change.chain where ordinal = 6); commit";
    office.sql(tamper).unwrap();
    let sixth = office.get("/audit?limit=4").list("/items")[3]["change_set"].as_str().unwrap().to_owned();
    let (code, said) = verify(&office);
    assert!(code == 1 && said.contains(&format!("link 6, change set {sixth}")), "{said}");
    let undo = "begin; set local session_replication_role = replica;
        update change.change set after = jsonb_set(after, '{comment}', '\"\"') where table_name = 'ipam.host'
          and change_set = (select change_set from change.chain where ordinal = 6); commit";
    office.sql(undo).unwrap();
    assert_eq!(verify(&office).0, 0);

    for (forged, found) in [
        ("update change.change_set set actor = 'grace' where id = (select change_set from change.chain where ordinal = 4)", &["link 4"][..]),
        (
            "update change.change_set set actor = 'ada' where actor = 'grace'; delete from change.chain where ordinal = 9",
            &["no link in the chain", "the chain ends before a place"][..],
        ),
    ] {
        let text: &'static str = Box::leak(format!("begin; set local session_replication_role = replica; {forged}; commit").into_boxed_str());
        office.sql(text).unwrap();
        let (code, said) = verify(&office);
        let is_found = found.iter().any(|words| said.contains(words));
        assert!(code == 1 && is_found, "{forged}: {said}");
    }
}

#[test]
fn other_programs_read_views_and_nothing_else() {
    let office = Office::open("views");
    office.add_host("www.uni.example", "10.1.4.10").expect(201);
    let may = |what: &str| {
        let text = format!("begin; set local role holdfast_reader; {what}; rollback");
        office.sql(Box::leak(text.into_boxed_str())).is_ok()
    };
    for view in ["campuses", "departments", "hosts", "addresses", "subnets", "zones", "records", "changes"] {
        assert!(may(&format!("select * from api.{view}")), "{view}");
        assert!(!may(&format!("delete from api.{view}")) && !may(&format!("insert into api.{view} default values")), "{view}");
    }
    for secret in ["access.principal", "access.api_token", "access.nas", "access.session", "change.change", "ipam.host", "feed.webhook", "publish.node"] {
        assert!(!may(&format!("select * from {secret}")), "{secret}");
    }
    assert!(!may("create table api.x ()") && !may("create table public.x ()"));
    let undescribed = "select count(*) from pg_attribute a join pg_class c on c.oid = a.attrelid
        where c.relnamespace = 'api'::regnamespace and a.attnum > 0 and col_description(a.attrelid, a.attnum) is null";
    assert_eq!(office.number(undescribed), 0, "every column says what it is");
    assert_eq!(office.number("select count(*) from api.addresses where host = 'www.uni.example' and campus = 'north'"), 1);
    assert_eq!(office.number("select count(*) from api.changes where table_name like 'access.%' and (before is not null or after is not null)"), 0);
}
