//! A fault of an address, a hardware address or a port reaches operations with whom to call, told by a program that can do nothing else.

use crate::changes::events::Receiver;
use crate::changes::office::{Office, Person};
use crate::serving::eventually;
use serde_json::{Value, json};

/// Two departments with a host each, people who answer for things, and a program that watches the network: its token.
pub fn furnish(office: &Office) -> String {
    for name in ["physics", "law"] {
        office.post("/departments", json!({ "name": name })).expect(201);
    }
    for (handle, name, phone) in [("keeper", "Kim Keeper", "+31 20 555 0100"), ("noc", "The NOC", "+31 20 555 0199")] {
        office.post("/contacts", json!({ "handle": handle, "kind": "person", "name": name, "phone": phone })).expect(201);
    }
    office.post("/responsibilities", json!({ "kind": "institution", "contact": "noc", "role": "escalation" })).expect(201);
    let host = json!({
        "name": "lab1.uni.example", "department": "physics", "interfaces": [{ "mac": "02:00:00:00:00:17", "addresses": ["10.1.4.17"] }],
        "equipment": { "building": "Main", "room": "2.17", "switch_port": "sw-3 Gi1/0/7" }, "contacts": [{ "role": "technical", "contact": "keeper" }],
    });
    office.post("/hosts", host).expect(201);
    office.post("/hosts", json!({ "name": "law1.uni.example", "department": "law", "interfaces": [{ "addresses": ["10.1.4.18"] }] })).expect(201);
    office.post("/principals", json!({ "name": "nms" })).expect(201);
    office.post("/grants", json!({ "principal": "nms", "role": "network-management", "area": { "kind": "global" } })).expect(201);
    office.token_of("nms")
}

/// The data of all events of a kind that a receiver heard.
pub fn heard(receiver: &Receiver, kind: &str) -> Vec<Value> {
    let events = receiver.bodies().into_iter().filter(|body| body["kind"] == kind);
    events.map(|body| body["data"].clone()).collect()
}

fn hook(office: &Office, name: &str, receiver: &Receiver, area: Value) {
    let mut body = json!({ "name": name, "url": format!("http://{}/", receiver.address), "kinds": ["fault", "incident"] });
    body.as_object_mut().unwrap().extend(area.as_object().unwrap().clone());
    office.post("/webhooks", body).expect(201);
}

#[test]
fn a_fault_reaches_operations_with_whom_to_call_and_an_incident_its_owner_too() {
    let office = Office::open("faults");
    let token = furnish(&office);
    let (operations, physics, law) = (Receiver::open(true), Receiver::open(true), Receiver::open(true));
    hook(&office, "operations", &operations, json!({}));
    hook(&office, "physics", &physics, json!({ "kinds": ["incident"], "area_kind": "department", "area_value": "physics" }));
    hook(&office, "law", &law, json!({ "area_kind": "department", "area_value": "law" }));
    let tell = |body: Value| office.ask_with(&token, "POST", "/faults", Some(&body));

    for of in [json!({ "ip": "10.1.4.17" }), json!({ "mac": "0200.0000.0017" }), json!({ "port": "SW-3 gi1/0/7" })] {
        let mut body = json!({ "text": "no answer", "severity": "critical" });
        body.as_object_mut().unwrap().extend(of.as_object().unwrap().clone());
        let told = tell(body).expect(201);
        assert_eq!(told.text("/concerns/0/host"), "lab1.uni.example", "{of}");
        let place = ["/concerns/0/room", "/concerns/0/building", "/concerns/0/department", "/concerns/0/subnet", "/campuses/0/campus"].map(|at| told.text(at));
        assert_eq!(place, ["2.17", "Main", "physics", "10.1.4.0/22", "north"], "{of}");
        assert_eq!((told.text("/person/phone"), told.text("/escalation/1/name")), ("+31 20 555 0100".into(), "The NOC".into()), "{of}");
        assert_eq!(told.text("/campuses/0/state"), "no agent");
    }
    eventually("operations hear all three", || Ok(heard(&operations, "fault").len() == 3));
    let event = &heard(&operations, "fault")[0];
    let message = event["message"].as_str().unwrap();
    for word in ["critical", "lab1.uni.example (10.1.4.17)", "Main 2.17", "physics", "north", "no answer", "Kim Keeper", "+31 20 555 0100"] {
        assert!(message.contains(word), "{message} lacks {word}");
    }
    assert_eq!(event["person"]["phone"], "+31 20 555 0100");

    // The same again at once is no news; an incident is told to its owner, and to nobody else's.
    let again = tell(json!({ "text": "no answer", "severity": "critical", "ip": "10.1.4.17" })).expect(201);
    assert_eq!(again.body["repeated"], true);
    tell(json!({ "kind": "incident", "text": "it is flooded from outside", "ip": "10.1.4.17" })).expect(201);
    eventually("both hear of the incident", || Ok(heard(&operations, "incident").len() == 1 && heard(&physics, "incident").len() == 1));
    assert_eq!((heard(&operations, "fault").len(), heard(&physics, "fault").len(), law.count()), (3, 0, 0));
    assert!(heard(&physics, "incident")[0]["message"].as_str().unwrap().starts_with("Security incident at lab1.uni.example"));

    // What nobody knows goes to those who answer for the institution; a subnet is known by its address.
    let unknown = tell(json!({ "text": "who is this?", "ip": "192.0.2.1" })).expect(201);
    assert_eq!((unknown.list("/concerns").len(), unknown.text("/person/name")), (0, "The NOC".into()));
    let empty = tell(json!({ "text": "who is this?", "ip": "10.1.4.99" })).expect(201);
    assert_eq!((empty.text("/concerns/0/subnet"), empty.body["concerns"][0]["host"].clone()), ("10.1.4.0/22".into(), Value::Null));

    let kept = office.get("/faults").list("/items");
    assert_eq!(kept.len(), 6);
    assert_eq!((kept[5]["repeats"].clone(), kept[5]["reported_by"].clone()), (json!(1), json!("nms")));
    assert!(!office.get("/faults").body.to_string().contains("555"), "people are not kept with it");
    assert_eq!(office.get("/faults?kind=incident&limit=1").list("/items").len(), 1);
}

#[test]
fn the_program_that_tells_of_faults_can_do_nothing_else() {
    let office = Office::open("fault-scope");
    let token = furnish(&office);
    let fault = json!({ "text": "down", "ip": "10.1.4.17" });
    let status = |method: &str, path: &str, body: Option<&Value>| office.ask_with(&token, method, path, body).status;
    assert_eq!(status("POST", "/faults", Some(&fault)), 201);
    for path in ["/faults", "/hosts", "/subnets", "/contacts", "/escalation/10.1.4.17", "/fault-templates", "/explain/10.1.4.17", "/webhooks"] {
        assert_eq!(status("GET", path, None), 403, "{path}");
    }
    assert_eq!(status("POST", "/hosts", Some(&json!({ "name": "x.uni.example" }))), 403);
    assert_eq!(status("PUT", "/fault-templates/fault", Some(&json!({ "text": "x" }))), 403);
    // Who reads everything may not tell of faults for all that.
    office.post("/principals", json!({ "name": "vera" })).expect(201);
    office.post("/grants", json!({ "principal": "vera", "role": "viewer", "area": { "kind": "global" } })).expect(201);
    assert_eq!(office.ask_with(&office.token_of("vera"), "POST", "/faults", Some(&fault)).status, 403);

    let wrong = office.post("/faults", json!({ "text": "" })).expect(422);
    assert_eq!(wrong.list("/errors").len(), 2, "{:#}", wrong.body);
    assert_eq!(office.post("/faults", json!({ "text": "x", "mac": "nonsense" })).status, 422);
    let path = "/fault-templates/incident";
    assert_eq!(office.ask(Person::Ada, "PUT", path, &[], Some(&json!({ "text": "{whom} is attacked" }))).status, 422);
    office.ask(Person::Ada, "PUT", path, &[], Some(&json!({ "text": "{host} is attacked" }))).expect(200);
    let told = office.post("/faults", json!({ "kind": "incident", "text": "x", "ip": "10.1.4.17" })).expect(201);
    assert_eq!(told.text("/message"), "lab1.uni.example is attacked");
}

#[test]
fn faults_have_their_command() {
    let office = Office::open("fault-command");
    furnish(&office);
    let (code, told, _) = office.holdfast(&["fault", "report", "no link", "--port", "sw-3 Gi1/0/7"]);
    assert!(code == 0 && told.contains("lab1.uni.example") && told.contains("call Kim Keeper (lab1.uni.example): +31 20 555 0100"), "{told}");
    assert!(office.holdfast(&["fault", "report", "no link", "--port", "sw-3 Gi1/0/7"]).1.contains("told a moment ago"));
    let (code, list, _) = office.holdfast(&["fault", "list"]);
    assert!(code == 0 && list.contains("no link") && list.contains("ada"), "{list}");
    assert_eq!(office.holdfast(&["fault", "report", "of nothing"]).0, 1);
    assert_eq!(office.holdfast(&["fault", "template", "fault", "{host}: {text}"]).0, 0);
    assert!(office.holdfast(&["fault", "template"]).1.contains("{host}: {text}"));
}
