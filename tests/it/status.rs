//! What the master says and does while its database is away.

use crate::changes::office::Office;
use crate::serving::eventually;
use serde_json::{Value, json};

fn status(office: &Office) -> Value {
    let (code, _, text) = office.page("GET", "/status", "application/json");
    assert_eq!(code, 200);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_master_says_that_it_is_read_only_while_its_database_is_away_and_recovers_by_itself() {
    let office = Office::open("read-only");
    office.add_host("www.uni.example", "10.1.4.10").expect(201);
    eventually("the zone is published", || Ok(status(&office)["snapshots"].as_array().unwrap().iter().any(|one| one["feed"] == "zone")));
    assert_eq!(status(&office)["edits"], true);
    let published = status(&office)["snapshots"].clone();

    office.stop_database();
    eventually("the master knows", || Ok(status(&office)["edits"] == false));
    let told = status(&office);
    assert!(told["read_only_since"].is_string() && !told["works"].as_array().unwrap().is_empty(), "{told}");
    assert_eq!(told["snapshots"], published, "what was published is known without a database");
    let (code, _, page) = office.page("GET", "/status", "text/html");
    assert!(code == 200 && page.contains("Read-only") && page.contains("from their own disks"), "{page}");
    let (code, after, problem) = office.page("POST", "/api/v1/hosts", "application/json");
    assert_eq!((code, after.as_deref()), (503, Some("10")), "{problem}");
    assert!(problem.contains("urn:holdfast:problem:unavailable"), "{problem}");
    assert_eq!(office.page("GET", "/healthz", "*/*").0, 200);

    office.start_database();
    eventually("edits are taken again", || Ok(status(&office)["edits"] == true));
    office.post("/hosts", json!({ "name": "back.uni.example", "interfaces": [{ "addresses": ["10.1.4.11"] }] })).expect(201);
    eventually("and published", || Ok(status(&office)["snapshots"] != published && status(&office)["publishing_halted"].is_null()));
}
