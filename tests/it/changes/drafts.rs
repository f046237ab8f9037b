//! Drafts, the second person, undoing, and requests that come twice.

use super::office::{Answer, Office, Person};
use serde_json::{Value, json};

fn host(number: u8) -> Value {
    json!({ "method": "POST", "path": "/hosts", "body": { "name": format!("lab-{number}.uni.example"), "interfaces": [{ "addresses": [format!("10.1.5.{number}")] }] } })
}

fn draft(office: &Office, edits: Vec<Value>) -> Answer {
    office.post("/change-sets", json!({ "reason": "a new lab", "edits": edits })).expect(201)
}

fn step(office: &Office, who: Person, id: &str, what: &str, headers: &[(&str, &str)]) -> Answer {
    office.ask(who, "POST", &format!("/change-sets/{id}/{what}"), headers, None)
}

#[test]
fn thirty_edits_are_applied_at_once_or_not_at_all() {
    let office = Office::open("thirty-edits");
    office.add_host("old.uni.example", "10.1.4.10").expect(201);
    let etag = office.get("/hosts/old.uni.example").etag;
    let renumber = json!({ "method": "PATCH", "path": "/hosts/old.uni.example", "if_match": etag, "body": { "interfaces": [{ "addresses": ["10.1.4.11"] }] } });
    let edits: Vec<Value> = (10..39).map(host).chain([renumber]).collect();
    let id = draft(&office, edits).text("/id");

    let preview = step(&office, Person::Ada, &id, "preview", &[]).expect(200);
    assert_eq!(office.get("/hosts/lab-10.uni.example").status, 404, "a preview does nothing");
    let applied = step(&office, Person::Ada, &id, "apply", &[]).expect(200);
    assert_eq!(preview.body["effects"], applied.body["effects"], "what was told is what happened");
    assert_eq!(applied.list("/effects/records").len(), 30, "every name, once");
    for number in 10..39 {
        office.get(&format!("/hosts/lab-{number}.uni.example")).expect(200);
    }
    let set = applied.text("/change_set");
    let told = office.get(&format!("/changes/{set}")).expect(200);
    assert_eq!((told.text("/actor"), told.text("/author"), told.text("/reason")), ("ada".into(), "ada".into(), "a new lab".into()));
    assert_eq!(told.body["rows"]["host"], 30, "{:#}", told.body);
    assert_eq!(office.get(&format!("/change-sets/{id}")).text("/state"), "applied");
    assert_eq!(step(&office, Person::Ada, &id, "apply", &[]).expect(422).text("/errors/0/code"), "wrong-state");

    // Three of these do not fit, and so none of the others comes either.
    office.add_host("taken.uni.example", "10.1.5.100").expect(201);
    let id = draft(&office, (98..103).map(host).chain([host(10), json!({ "method": "DELETE", "path": "/hosts/old.uni.example", "if_match": "*" })]).collect())
        .text("/id");
    office.patch_host("old.uni.example", json!({ "os": "Plan 9" })).expect(200);
    let before = office.number("select count(*) from change.change_set");
    let refused = step(&office, Person::Ada, &id, "apply", &[]);
    let errors: Vec<(String, String)> =
        refused.list("/errors").iter().map(|error| (error["pointer"].as_str().unwrap().to_owned(), error["code"].as_str().unwrap().to_owned())).collect();
    let at = |pointer: &str, code: &str| errors.contains(&(pointer.to_owned(), code.to_owned()));
    assert!(at("/edits/2/body/interfaces/0/addresses/0", "duplicate-address"), "{errors:?}");
    assert!(at("/edits/5/body/name", "duplicate-name") && at("/edits/5/body/interfaces/0/addresses/0", "duplicate-address"), "{errors:?}");
    assert!(at("/edits/6", "moved-on"), "somebody changed it since: {errors:?}");
    assert_eq!(office.get("/hosts/lab-98.uni.example").status, 404, "nothing came of the others");
    assert_eq!(office.number("select count(*) from change.change_set"), before);
}

#[test]
fn what_cannot_be_in_a_draft_is_told_where_it_stands() {
    let office = Office::open("wrong-drafts");
    let wrong = json!([host(1), { "method": "POST", "path": "/tokens", "body": { "name": "x" } }, { "method": "POST", "path": "/hosts", "body": { "name": "-", "colour": 1 } },
        { "method": "PATCH", "path": "/hosts/nobody.uni.example", "if_match": "*", "body": {} }]);
    let refused = office.post("/change-sets", json!({ "edits": wrong })).expect(422);
    let pointers: Vec<String> = refused.list("/errors").iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect();
    assert!(["/edits/1", "/edits/2/body/colour", "/edits/2/body/name", "/edits/3"].iter().all(|place| pointers.contains(&(*place).to_owned())), "{pointers:?}");
    assert_eq!(office.number("select count(*) from change.draft") + office.number("select count(*) from access.api_token where name = 'x'"), 0);

    let id = draft(&office, vec![host(1)]).text("/id");
    let path = format!("/change-sets/{id}/edits");
    let edit = json!({ "method": "DELETE", "path": "/campuses/north" });
    assert_eq!(office.post(&path, json!({ "edits": [edit] })).status, 422, "there is no such request");
    office.ask(Person::Ada, "DELETE", &format!("{path}/1"), &[], None).expect(200);
    assert_eq!(step(&office, Person::Ada, &id, "apply", &[]).expect(422).text("/errors/0/code"), "nothing-to-do");
    office.ask(Person::Ada, "DELETE", &format!("/change-sets/{id}"), &[], None).expect(200);
    assert_eq!(office.post(&path, json!({ "edits": [host(2)] })).expect(422).text("/errors/0/code"), "wrong-state");
}

#[test]
fn nobody_changes_such_an_area_alone() {
    let office = Office::open("second-person");
    office.add_host("www.uni.example", "10.1.4.10").expect(201);
    office.post("/approval-rules", json!({ "area_kind": "range", "area_value": "10.1.5.0-10.1.5.255", "comment": "servers" })).expect(201);
    office.add_host("elsewhere.uni.example", "10.1.4.11").expect(201);
    let alone = office.add_host("lab-1.uni.example", "10.1.5.1").expect(403);
    assert!(alone.text("/type").ends_with(":needs-approval") && alone.text("/detail").contains("range 10.1.5.0-10.1.5.255"), "{:#}", alone.body);
    assert_eq!(office.get("/hosts/lab-1.uni.example").status, 404);
    office.post("/approval-rules", json!({ "area_kind": "zone", "area_value": "big.example" })).expect(201);
    let text = "$ORIGIN big.example.\n$TTL 1h\n@ SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n";
    let import = office.post("/import", json!({ "files": [{ "name": "db.big.example", "text": text }] }));
    assert!(import.status == 403 && office.get("/zones/big.example").status == 404, "an import is no way around it: {:#}", import.body);

    let id = draft(&office, vec![host(1)]).text("/id");
    assert_eq!(step(&office, Person::Ada, &id, "preview", &[]).expect(200).list("/needs_approval"), ["range 10.1.5.0-10.1.5.255"]);
    step(&office, Person::Ada, &id, "apply", &[]).expect(403);
    let read = step(&office, Person::Ada, &id, "propose", &[]).expect(200);
    step(&office, Person::Grace, &id, "approve", &[]).expect(428);
    step(&office, Person::Ada, &id, "approve", &[("if-match", &read.etag)]).expect(403);
    let path = format!("/change-sets/{id}/edits");
    office.post(&path, json!({ "edits": [host(2)] })).expect(200);
    step(&office, Person::Grace, &id, "approve", &[("if-match", &read.etag)]).expect(412);
    let read = step(&office, Person::Ada, &id, "propose", &[]).expect(200);
    let approved = step(&office, Person::Grace, &id, "approve", &[("if-match", &read.etag)]).expect(200);
    assert_eq!(approved.text("/approved_by"), "grace");
    let set = step(&office, Person::Ada, &id, "apply", &[]).expect(200).text("/change_set");
    let told = office.get(&format!("/changes/{set}")).expect(200);
    assert_eq!((told.text("/actor"), told.text("/approved_by")), ("ada".into(), "grace".into()));

    office.patch_host("lab-1.uni.example", json!({ "comment": "mine" })).expect(403);
    office.ask(Person::Ada, "DELETE", "/hosts/lab-2.uni.example", &[("if-match", "*")], None).expect(403);
    assert_eq!(office.post(&format!("/change-sets/{set}/revert"), json!({})).status, 403, "neither is undoing");
    let rule = office.get("/approval-rules").body["items"][0]["id"].clone();
    office.ask(Person::Ada, "DELETE", &format!("/approval-rules/{rule}"), &[], None).expect(403);

    let id = draft(&office, vec![host(3)]).text("/id");
    office.ask(Person::Ada, "POST", &format!("/change-sets/{id}/apply?break_glass="), &[], None).expect(400);
    let set = office.ask(Person::Ada, "POST", &format!("/change-sets/{id}/apply?break_glass=fire"), &[], None).expect(200).text("/change_set");
    let told = office.get(&format!("/changes/{set}"));
    assert_eq!((told.text("/via"), told.text("/reason")), ("break-glass".into(), "a new lab (without a second person: fire)".into()));
}

#[test]
fn several_change_sets_are_undone_at_once_and_conflicts_name_who_stands_against_it() {
    let office = Office::open("revert");
    let first = office.add_host("www.uni.example", "10.1.4.10").expect(201).text("/change_set");
    let second = office.patch_host("www.uni.example", json!({ "os": "BSD", "comment": "old" })).expect(200).text("/change_set");
    let body = json!({ "comment": "new" });
    office.ask(Person::Grace, "PATCH", "/hosts/www.uni.example", &[("if-match", "*")], Some(&body)).expect(200);

    let (code, _, said) = office.holdfast(&["revert", &second]);
    assert!(code == 1 && said.contains("has another comment since") && said.contains("grace"), "{said}");
    let third = office.get("/changes?actor=grace").text("/items/0/change_set");
    let (code, printed, said) = office.holdfast(&["revert", &second, &third, "--dry-run"]);
    assert!(code == 0 && printed.contains("nothing is changed"), "{printed}{said}");
    assert_eq!(office.get("/hosts/www.uni.example").text("/os"), "BSD");
    let (code, printed, said) = office.holdfast(&["revert", &second, &third, "--reason", "back"]);
    assert!(code == 0 && printed.starts_with("done"), "{printed}{said}");
    let host = office.get("/hosts/www.uni.example");
    assert_eq!((host.text("/os"), host.text("/comment")), (String::new(), String::new()));
    office.post(&format!("/change-sets/{first}/revert"), json!({})).expect(200);
    assert_eq!(office.get("/hosts/www.uni.example").status, 404, "and so it was never made");
    office.post("/change-sets/00000000-0000-0000-0000-000000000000/revert", json!({})).expect(404);
}

#[test]
fn a_request_that_comes_twice_is_answered_once() {
    let office = Office::open("twice");
    let body = json!({ "name": "www.uni.example", "interfaces": [{ "addresses": ["10.1.4.10"] }] });
    let send = |who, key: &str, body: &Value| office.ask(who, "POST", "/hosts", &[("idempotency-key", key)], Some(body));
    let first = send(Person::Ada, "k1", &body).expect(201);
    let second = send(Person::Ada, "k1", &body).expect(201);
    assert!(!first.is_replayed && second.is_replayed);
    assert_eq!((&first.body, &first.etag), (&second.body, &second.etag));
    assert_eq!(send(Person::Ada, "k1", &json!({ "name": "other.uni.example" })).expect(422).text("/errors/0/code"), "idempotency-key-used");
    assert_eq!(send(Person::Grace, "k1", &body).status, 409, "keys are everybody's own, and the name is taken");
    send(Person::Ada, "", &body).expect(400);
    // What may hold a secret is told once, and not kept to be told again.
    let token = |headers: &[(&str, &str)]| office.ask(Person::Ada, "POST", "/tokens", headers, Some(&json!({ "name": "script" })));
    assert!(token(&[("idempotency-key", "k5")]).expect(400).text("/detail").contains("secret"));

    let gone = |key: &str| office.ask(Person::Ada, "DELETE", "/hosts/www.uni.example", &[("if-match", "*"), ("idempotency-key", key)], None);
    gone("k2").expect(200);
    assert!(gone("k2").expect(200).is_replayed, "the host is gone, and still the answer is the same");
    gone("k3").expect(404);

    // The master died between the commit and the answer.
    send(Person::Ada, "k4", &body).expect(201);
    office.sql("update change.idempotent set status = null, body = null, began_at = now() - interval '1 hour' where key = 'k4'").unwrap();
    let lost = send(Person::Ada, "k4", &body).expect(200);
    assert!(lost.is_replayed && lost.body["change_set"].is_string(), "{:#}", lost.body);
}
