//! Who may do what, tried on every path into the master: single requests, imports, rollbacks, forms; and who comes in at all.

pub mod door;
mod roles;

use door::{House, Who, area, code, host};
use holdfast_lab::lab::Part;
use serde_json::{Value, json};

fn refused(house: &House, who: &Who, method: &str, path: &str, body: Value, says: &str) {
    let answer = house.ask(who, method, path, Some(body));
    assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
    assert!(answer.detail().contains(says), "{method} {path} says: {}", answer.detail());
}

#[test]
fn a_department_edits_and_sees_only_its_own_by_every_path() {
    let Some(house) = House::new("a department edits only its own") else { return };
    house.two_departments();
    let session = house.person("ann", &[("department-admin", area("department", "ph"))]);
    let ann = house.token(&session, &json!({ "name": "work" }));

    // Its own: made, seen, changed, deleted.
    let made = house.ask(&ann, "POST", "/api/v1/hosts", Some(host("lens.ph.uni.example", "10.1.8.241")));
    assert_eq!(made.status, 201, "{}", made.text);
    let told: Vec<&str> = made.body["effects"]["records"].as_array().unwrap().iter().map(|effect| effect["name"].as_str().unwrap()).collect();
    assert!(told.contains(&"lens.ph.uni.example.") && told.iter().all(|name| name.contains("lens.ph") || name.starts_with("241.8.1.10")), "{told:?}");
    let shown = house.ask(&ann, "GET", "/api/v1/hosts/lens.ph.uni.example", None);
    let etag = shown.etag.clone().unwrap();
    let patched = house.ask_if(&ann, "PATCH", "/api/v1/hosts/lens.ph.uni.example", Some(json!({ "comment": "ours" })), Some(&etag));
    assert_eq!(patched.status, 200, "{}", patched.text);

    // What is law's is not there for ann; the list, the search and the history are her own.
    let list = house.ask(&ann, "GET", "/api/v1/hosts", None);
    let names: Vec<&str> = list.body["items"].as_array().unwrap().iter().map(|host| host["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["first.ph.uni.example", "lens.ph.uni.example"]);
    let search = house.ask(&ann, "GET", "/api/v1/hosts?search=first", None);
    assert_eq!(search.body["items"].as_array().unwrap().len(), 1, "{}", search.text);
    for path in
        ["/api/v1/hosts/first.law.uni.example", "/api/v1/hosts/first.law.uni.example/history", "/api/v1/zones/law.uni.example", "/api/v1/subnets/10.1.16.0/24"]
    {
        assert_eq!(house.ask(&ann, "GET", path, None).status, 404, "{path}");
        assert_eq!(house.ask(&house.admin, "GET", path, None).status, 200, "{path}");
    }
    assert_eq!(house.ask(&ann, "GET", "/api/v1/hosts/lens.ph.uni.example/history", None).status, 200);
    assert_eq!(house.ask(&ann, "GET", "/api/v1/subnets/10.1.8.0/24", None).status, 200);
    refused(&house, &ann, "GET", "/api/v1/snapshots/zone", Value::Null, "ask an administrator");
    refused(&house, &ann, "GET", "/api/v1/nas", Value::Null, "ask an administrator");

    // Others' names, addresses and hosts, by single requests and dry runs.
    let law = "the department law";
    refused(&house, &ann, "POST", "/api/v1/hosts", host("spy.law.uni.example", "10.1.8.242"), law);
    refused(&house, &ann, "POST", "/api/v1/hosts?dry_run=true", host("spy.law.uni.example", "10.1.8.242"), law);
    refused(&house, &ann, "POST", "/api/v1/hosts", host("spy.ph.uni.example", "10.1.16.242"), law);
    let move_to = json!({ "subnet": "10.1.16.0/24" });
    refused(&house, &ann, "POST", "/api/v1/hosts/lens.ph.uni.example/move", move_to.clone(), law);
    let planned = json!({ "subnet": "10.1.16.0/24", "planned_at": "2199-01-01T00:00:00Z" });
    refused(&house, &ann, "POST", "/api/v1/hosts/lens.ph.uni.example/move", planned, law);
    let draft = house.do_as_admin("POST", "/api/v1/change-sets", json!({ "reason": "a draft of somebody else" }))["id"].as_str().unwrap().to_owned();
    let edits = json!({ "edits": [{ "method": "DELETE", "path": "/hosts/first.law.uni.example", "if_match": "*" }] });
    let slipped_in = house.ask(&ann, "POST", &format!("/api/v1/change-sets/{draft}/edits"), Some(edits));
    assert!([403, 404, 422].contains(&slipped_in.status), "{}", slipped_in.text);
    let with_alias = json!({ "name": "spy.ph.uni.example", "aliases": ["spy.law.uni.example"] });
    refused(&house, &ann, "POST", "/api/v1/hosts", with_alias, law);
    refused(&house, &ann, "POST", "/api/v1/campuses", json!({ "name": "moon" }), "ask an administrator");
    let own_zone = json!({ "apex": "new.uni.example", "primary_ns": "ns.north.uni.example", "mailbox": "hostmaster.uni.example" });
    refused(&house, &ann, "POST", "/api/v1/zones", own_zone, "ask an administrator");
    let moved = house.ask_if(&ann, "PATCH", "/api/v1/hosts/lens.ph.uni.example", Some(json!({ "name": "lens.law.uni.example" })), Some("*"));
    assert_eq!((moved.status, moved.detail().contains(law)), (403, true), "a host is not given away: {}", moved.text);
    let taken = house.ask_if(&ann, "DELETE", "/api/v1/hosts/first.law.uni.example", None, Some("*"));
    assert_eq!(taken.status, 404, "{}", taken.text);

    // By import: all or nothing.
    let zone = |name: &str, third: u8| json!({ "files": [{ "name": "x.bootptab", "text": format!("{name}:ht=ethernet:ha=0200000000{third:02x}:ip=10.1.{third}.243:sm=255.255.255.0:\n") }] });
    let import = house.ask(&ann, "POST", "/api/v1/import", Some(zone("in.law.uni.example", 16)));
    assert_eq!(import.status, 403, "{}", import.text);
    let import = house.ask(&ann, "POST", "/api/v1/import", Some(zone("in.ph.uni.example", 8)));
    assert_eq!(import.status, 201, "{}", import.text);

    // By the form: the preview is judged as the edit is.
    let form = "name=spy.law.uni.example&interface.0.mac=&interface.0.addresses=10.1.8.244&step=preview";
    let page = house.ask(&session, "POST", "/hosts/new", Some(Value::String(form.to_owned())));
    assert_eq!(page.status, 403, "{}", page.text);
    assert_eq!(house.ask(&session, "GET", "/hosts/first.law.uni.example", None).status, 404);

    // By rollback: what it would undo is judged row by row.
    let before = house.do_as_admin("GET", "/api/v1/snapshots/zone", Value::Null)["generation"].as_u64().unwrap();
    house.do_as_admin("POST", "/api/v1/hosts?wait=all", host("second.law.uni.example", "10.1.16.245"));
    crate::serving::eventually("it is published", || {
        Ok(house.do_as_admin("GET", "/api/v1/snapshots/zone", Value::Null)["generation"].as_u64().unwrap() > before)
    });
    let rollback = format!("/api/v1/snapshots/zone/rollback?to={before}");
    refused(&house, &ann, "POST", &rollback, Value::Null, "all that is published");
    let ben = house.person("ben", &[("department-admin", area("department", "ph")), ("viewer", json!({ "kind": "global" }))]);
    refused(&house, &ben, "POST", &rollback, Value::Null, "ben may not");
    assert_eq!(house.ask(&house.admin, "GET", "/api/v1/hosts/second.law.uni.example", None).status, 200);
    assert_eq!(house.ask(&house.admin, "POST", &rollback, None).status, 200);

    // She gives what she has, and nothing else.
    house.do_as_admin("POST", "/api/v1/principals", json!({ "name": "student" }));
    let give = |role: &str, area: Value| house.ask(&ann, "POST", "/api/v1/grants", Some(json!({ "principal": "student", "role": role, "area": area }))).status;
    assert_eq!(give("table-maintainer", area("department", "ph")), 201);
    assert_eq!(give("viewer", area("zone", "lab.ph.uni.example")), 201);
    assert_eq!(give("viewer", area("department", "law")), 403);
    assert_eq!(give("administrator", area("department", "ph")), 403);
    assert_eq!(give("viewer", json!({ "kind": "global" })), 403);
}

#[test]
fn a_name_belongs_to_whom_its_pattern_was_granted() {
    let Some(house) = House::new("a name belongs to whom it was granted") else { return };
    let subnet = json!({ "kind": "subnet", "network": "10.1.4.0/22" });
    house.do_as_admin("POST", "/api/v1/principals", json!({ "name": "lab-admins", "group": true }));
    house.do_as_admin(
        "POST",
        "/api/v1/grants",
        json!({ "principal": "lab-admins", "role": "table-maintainer", "area": { "kind": "name", "pattern": "*.lab.uni.example" } }),
    );
    house.do_as_admin("POST", "/api/v1/grants", json!({ "principal": "lab-admins", "role": "table-maintainer", "area": subnet }));
    let bob = house.person("bob", &[]);
    let cy = house.person("cy", &[("table-maintainer", area("zone", "uni.example")), ("table-maintainer", subnet)]);
    let boss = house.person("boss", &[("operator", json!({ "kind": "global" }))]);

    refused(&house, &bob, "POST", "/api/v1/hosts", host("one.lab.uni.example", "10.1.7.1"), "bob may not change hosts");
    house.do_as_admin("PUT", "/api/v1/principals/lab-admins/members/bob", Value::Null);
    let made = house.ask(&bob, "POST", "/api/v1/hosts", Some(host("one.lab.uni.example", "10.1.7.1")));
    assert_eq!(made.status, 201, "{}", made.text);
    refused(&house, &bob, "POST", "/api/v1/hosts", host("one.uni.example", "10.1.7.2"), "one.uni.example");
    refused(&house, &bob, "POST", "/api/v1/hosts", host("two.lab.uni.example", "10.1.8.2"), "10.1.8.2");
    refused(&house, &cy, "POST", "/api/v1/hosts", host("three.lab.uni.example", "10.1.7.3"), "is of lab-admins");
    assert_eq!(house.ask(&cy, "POST", "/api/v1/hosts", Some(host("three.uni.example", "10.1.7.3"))).status, 201);
    assert_eq!(house.ask(&boss, "POST", "/api/v1/hosts", Some(host("four.lab.uni.example", "10.1.7.4"))).status, 201);
    refused(&house, &boss, "POST", "/api/v1/nodes/x/token", json!({}), "boss may not change boxes");
    refused(&house, &boss, "POST", "/api/v1/principals", json!({ "name": "x" }), "boss may not grant");

    let backup = house.person("night", &[("backup-operator", json!({ "kind": "global" }))]);
    assert_eq!(house.ask(&backup, "GET", "/api/v1/hosts", None).status, 403);
    refused(&house, &backup, "POST", "/api/v1/hosts", host("x.uni.example", "10.1.7.5"), "night may not change hosts");
    let eve = house.person("eve", &[("auditor", json!({ "kind": "global" }))]);
    assert_eq!(house.ask(&eve, "GET", "/api/v1/snapshots/zone", None).status, 200);
    refused(&house, &eve, "POST", "/api/v1/hosts", host("x.uni.example", "10.1.7.5"), "eve may not change hosts");

    house.do_as_admin("DELETE", "/api/v1/principals/lab-admins/members/bob", Value::Null);
    assert_eq!(house.ask(&bob, "GET", "/api/v1/hosts", None).status, 403, "what the group has, only its members have");
    // The second person is passed over by administrators alone, and nobody adds to a draft what they could not do themselves.
    house.do_as_admin("POST", "/api/v1/approval-rules", json!({ "area_kind": "range", "area_value": "10.1.7.6-10.1.7.7" }));
    let in_rule = |who: &Who, last: u8| {
        let edit = json!({ "method": "POST", "path": "/hosts", "body": host(&format!("rule-{last}.uni.example"), &format!("10.1.7.{last}")) });
        let draft = house.ask(who, "POST", "/api/v1/change-sets", Some(json!({ "reason": "a test", "edits": [edit] })));
        assert_eq!(draft.status, 201, "{}", draft.text);
        draft.body["id"].as_str().unwrap().to_owned()
    };
    let (bosss, admins) = (in_rule(&boss, 6), in_rule(&house.admin, 7));
    refused(&house, &boss, "POST", &format!("/api/v1/change-sets/{bosss}/apply?break_glass=x"), Value::Null, "second person");
    let help = house.person("help", &[("help-desk", json!({ "kind": "global" }))]);
    let edits = json!({ "edits": [{ "method": "DELETE", "path": "/hosts/one.lab.uni.example", "if_match": "*" }] });
    refused(&house, &help, "POST", &format!("/api/v1/change-sets/{admins}/edits"), edits, "help");
    assert_eq!(house.ask(&help, "DELETE", &format!("/api/v1/change-sets/{admins}"), None).status, 403);
    assert_eq!(house.ask(&house.admin, "POST", &format!("/api/v1/change-sets/{admins}/apply?break_glass=x"), None).status, 200);

    let own = house.ask(&house.admin, "GET", "/api/v1/grants", None);
    let everything = own.body["items"].as_array().unwrap().iter().find(|grant| grant["principal"] == "admin").unwrap()["id"].clone();
    let last = house.ask(&house.admin, "DELETE", &format!("/api/v1/grants/{everything}"), None);
    assert_eq!((last.status, last.detail().contains("nobody would be left")), (422, true), "{}", last.text);
}

#[test]
fn tokens_do_no_more_than_they_say() {
    let Some(house) = House::new("tokens do no more than they say") else { return };
    let session = house.person("tom", &[("operator", json!({ "kind": "global" })), ("table-maintainer", area("campus", "north"))]);
    let reading = house.token(&session, &json!({ "name": "reading", "access": "read" }));
    assert_eq!(house.ask(&reading, "GET", "/api/v1/hosts?limit=1", None).status, 200);
    refused(&house, &reading, "POST", "/api/v1/hosts", host("t.uni.example", "10.1.7.9"), "may only read");
    refused(&house, &reading, "POST", "/api/v1/tokens", json!({ "name": "more" }), "may only read");

    let me = house.ask(&session, "GET", "/api/v1/me", None);
    let of = |role: &str| me.body["grants"].as_array().unwrap().iter().find(|grant| grant["role"] == role).unwrap()["id"].as_i64().unwrap();
    let narrow = house.token(&session, &json!({ "name": "narrow", "grants": [of("table-maintainer")] }));
    refused(&house, &narrow, "POST", "/api/v1/hosts", host("t.uni.example", "10.2.4.200"), "10.2.4.200");
    refused(&house, &narrow, "POST", "/api/v1/tokens", json!({ "name": "more" }), "with limits");
    assert_eq!(house.ask(&narrow, "POST", "/api/v1/hosts", Some(host("t.uni.example", "10.1.7.9"))).status, 201);
    let foreign = house.token(&session, &json!({ "name": "foreign", "grants": [1] }));
    assert_eq!(house.ask(&foreign, "GET", "/api/v1/hosts", None).status, 403, "others' grants are nothing to it");

    let tokens = house.ask(&session, "GET", "/api/v1/tokens", None);
    let wider = tokens.body["items"].as_array().unwrap().iter().find(|token| token["name"] == "reading").unwrap()["id"].as_str().unwrap().to_owned();
    refused(&house, &narrow, "DELETE", &format!("/api/v1/tokens/{wider}"), Value::Null, "less than you");
    let elsewhere = house.token(&session, &json!({ "name": "elsewhere", "sources": ["192.0.2.0/24", "2001:db8::/32"] }));
    assert_eq!(house.ask(&elsewhere, "GET", "/api/v1/hosts", None).status, 401);
    let here = house.token(&session, &json!({ "name": "here", "sources": ["127.0.0.0/8", "::1/128"] }));
    assert_eq!(house.ask(&here, "GET", "/api/v1/hosts?limit=1", None).status, 200);
    let list = house.ask(&session, "GET", "/api/v1/tokens", None);
    let listed = |name: &str| list.body["items"].as_array().unwrap().iter().find(|token| token["name"] == name).unwrap().clone();
    assert_eq!(listed("here")["last_used_from"], "127.0.0.1");
    assert!(listed("elsewhere")["last_used"].is_null() && listed("here")["expires"].is_string(), "{}", list.text);
    assert!(listed("here").get("hash").is_none());

    let long = house.ask(&session, "POST", "/api/v1/tokens", Some(json!({ "name": "long", "expires_days": 4000 })));
    assert_eq!((long.status, long.body["errors"][0]["pointer"].as_str()), (422, Some("/expires_days")), "{}", long.text);
    house.sql(&["update access.api_token set expires = now() - interval '1 second' where name = 'here'"]);
    assert_eq!(house.ask(&here, "GET", "/api/v1/hosts", None).status, 401);

    assert_eq!(house.ask(&house.admin, "POST", "/api/v1/principals/tom/disable", None).status, 204);
    for who in [&session, &narrow] {
        assert_eq!(house.ask(who, "GET", "/api/v1/hosts", None).status, 401, "who is shut out is out at once");
    }
    assert_eq!(house.come_in("tom").status, 401);
}

#[test]
fn a_second_factor_is_asked_for_and_each_code_works_once() {
    let Some(house) = House::new("a second factor") else { return };
    let everything = json!({ "kind": "global" });
    let session = house.person("una", &[("operator", everything)]);
    let policy = |asked: &str| json!({ "require_second_factor": asked, "token_days_default": 90, "token_days_limit": 366 });
    house.do_as_admin("PUT", "/api/v1/policy", policy("writes"));
    assert_eq!(house.ask(&session, "GET", "/api/v1/hosts?limit=1", None).status, 200);
    refused(&house, &session, "POST", "/api/v1/hosts", host("u.uni.example", "10.1.7.10"), "a change needs a second factor: set one up on the page /account");
    refused(&house, &session, "POST", "/api/v1/tokens", json!({ "name": "around" }), "a change needs a second factor");
    house.do_as_admin("PUT", "/api/v1/policy", policy("always"));
    assert_eq!(house.ask(&session, "GET", "/api/v1/hosts", None).status, 403);
    assert_eq!(house.ask(&session, "GET", "/account", None).status, 200);

    let post = |path: &str, body: Value| house.ask(&session, "POST", path, Some(body));
    assert_eq!(post("/api/v1/me/second-factor", json!({ "password": "wrong" })).status, 422);
    let started = post("/api/v1/me/second-factor", json!({ "password": "correct horse battery staple" }));
    let secret = started.body["secret"].as_str().unwrap().to_owned();
    assert!(started.body["address"].as_str().unwrap().starts_with("otpauth://totp/Holdfast:una?secret="), "{}", started.text);
    assert_eq!(post("/api/v1/me/second-factor/confirm", json!({ "code": "000000" })).status, 422);
    let first = code(&secret, -1);
    let confirmed = post("/api/v1/me/second-factor/confirm", json!({ "code": first }));
    let recovery: Vec<&str> = confirmed.body["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(recovery.len(), 10);
    assert_eq!(post("/api/v1/hosts", host("u.uni.example", "10.1.7.10")).status, 201, "this session has both now");

    let half = house.come_in("una");
    assert_eq!(half.place.as_deref(), Some("/login/code?next=/hosts"));
    let half = Who::Session(half.cookie.unwrap());
    assert_eq!(house.ask(&half, "GET", "/api/v1/hosts", None).status, 403);
    assert_eq!(house.ask(&half, "GET", "/account", None).status, 403);
    let give = |session: &Who, code: &str| house.ask(session, "POST", "/login/code", Some(Value::String(format!("code={code}")))).status;
    assert_eq!(give(&half, &first), 422, "a code that was used is refused");
    let second = code(&secret, 0);
    assert_eq!(give(&half, &second), 303);
    assert_eq!(house.ask(&half, "GET", "/api/v1/hosts?limit=1", None).status, 200);

    let again = Who::Session(house.come_in("una").cookie.unwrap());
    assert_eq!(give(&again, &second), 422, "and so it is in another session");
    assert_eq!(give(&again, recovery[0]), 303);
    let third = Who::Session(house.come_in("una").cookie.unwrap());
    assert_eq!(give(&third, recovery[0]), 422, "a recovery code works once");
    let left = house.ask(&again, "GET", "/api/v1/me", None);
    assert_eq!((left.body["second_factor"].as_bool(), left.body["recovery_codes_left"].as_i64()), (Some(true), Some(9)), "{}", left.text);

    let sessions = house.ask(&again, "GET", "/api/v1/sessions", None);
    assert_eq!(sessions.body["items"].as_array().unwrap().len(), 4, "{}", sessions.text);
    let first_session =
        sessions.body["items"].as_array().unwrap().iter().find(|one| one["factors"] == "awaits-code").unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(house.ask(&again, "DELETE", &format!("/api/v1/sessions/{first_session}"), None).status, 204);
    assert_eq!(house.ask(&third, "GET", "/login/code", None).status, 303, "its session is over");
    let fourth = Who::Session(house.come_in("una").cookie.unwrap());
    let tries: Vec<u16> = (0..8).map(|_| give(&fourth, "000000")).collect();
    assert!(tries.contains(&429), "guessing is slowed down: {tries:?}");
}

#[test]
fn the_brake_is_shared_and_glass_can_be_broken() {
    let Some(house) = House::new("the brake on guessing, and the emergency log-in") else { return };
    house.person("max", &[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let other_master = house.pool().await;
        for _ in 0..7 {
            holdfast_master::db::access::count_failure(&other_master, "pair 127.0.0.1 max", 5, 900.0, 900.0).await.unwrap();
        }
    });
    let blocked = house.come_in("max");
    assert_eq!(blocked.status, 429, "what another master counted holds here: {}", blocked.text);

    let policy = json!({ "require_second_factor": "always", "token_days_default": 90, "token_days_limit": 366 });
    house.do_as_admin("PUT", "/api/v1/policy", policy);
    let said = house.lab.run(Part::Master, &["admin", "break-glass", "--reason", "the log-in page is broken"]).unwrap();
    let password = said.split(" / ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let came = house.log_in("break-glass", &password);
    assert_eq!(came.status, 303, "{}", came.text);
    let glass = Who::Session(came.cookie.unwrap());
    assert_eq!(house.ask(&glass, "POST", "/api/v1/hosts", Some(host("g.uni.example", "10.1.7.11"))).status, 201, "no second factor is asked for");
    assert_eq!(house.log_in("break-glass", &password).status, 401, "it works once");
    house.sql(&[r"do $$ begin assert exists (select from change.change_set where via = 'box' and reason like '%emergency%the log-in page is broken'); end $$"]);
    house.sql(&["update access.session set expires = now() - interval '1 second' where factors = 'emergency'"]);
    assert_eq!(house.ask(&glass, "GET", "/api/v1/hosts", None).status, 401);
}
