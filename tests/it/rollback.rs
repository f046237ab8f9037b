//! Going back without going back: rollbacks are newer generations with the old rows, and what would take much away is held.

use crate::serving::{NORTH, eventually, names, two_campuses};
use holdfast_lab::cables::Campus;
use holdfast_lab::clients::Dig;
use holdfast_lab::lab::{Admin, Lab};
use std::time::Instant;

/// The newest generation of a snapshot.
fn newest(admin: &Admin, feed: &str) -> u64 {
    let said = admin.holdfast(&["snapshot", "show", feed, "-o", "json"]).unwrap();
    serde_json::from_str::<serde_json::Value>(&said).unwrap()["generation"].as_u64().unwrap()
}

fn serves(lab: &Lab, name: &str, addresses: &[&str]) -> bool {
    Campus::BOTH.into_iter().all(|agent| names(lab.network(), NORTH, agent, name).is_ok_and(|found| found == addresses))
}

#[test]
fn a_rollback_is_a_newer_generation_with_the_old_rows() {
    let Some(lab) = two_campuses("a rollback") else { return };
    let admin = lab.admin().unwrap();
    let before = newest(&admin, "zone");
    admin.holdfast(&["host", "add", "slip.uni.example", "--mac", "02:00:00:00:00:98", "--address", "10.1.8.98", "--alias", "oops.uni.example"]).unwrap();
    admin.holdfast(&["host", "set", "darwin826.uni.example", "--address", "10.1.8.97"]).unwrap();
    admin.holdfast(&["host", "set", "slip.uni.example", "--rename", "slipped.uni.example", "--comment", "worse"]).unwrap();
    admin.holdfast(&["host", "del", "zeno214.uni.example", "--wait=20s"]).unwrap();
    assert!(serves(&lab, "darwin826.uni.example", &["10.1.8.97"]) && serves(&lab, "zeno214.uni.example", &[]));

    let to = before.to_string();
    let would = admin.holdfast(&["rollback", "zone", "--to", &to, "--dry-run"]).unwrap();
    assert_eq!(would.matches("would be undone: ").count(), 4, "{would}");
    assert!(would.contains("- slipped.uni.example. A 10.1.8.98") && would.contains("+ darwin826.uni.example. A 10.1.4.10"), "{would}");
    assert!(would.contains("- boot 02:00:00:00:00:98 in 10.1.8.0/24"), "what else was changed is told, too: {would}");
    assert!(serves(&lab, "zeno214.uni.example", &[]), "nothing was done");

    let begun = Instant::now();
    let said = admin.holdfast(&["rollback", "zone", "--to", &to, "--wait=20s", "--reason", "all a mistake"]).unwrap();
    eprintln!("rolled back and served by both in {:?}", begun.elapsed());
    assert!(said.contains("north serves it since") && said.contains("south serves it since"), "{said}");
    let after = newest(&admin, "zone");
    assert!(after > before && said.contains(&format!("generation {after} has the rows of generation {before}")), "{said}");
    assert!(serves(&lab, "darwin826.uni.example", &["10.1.4.10"]) && serves(&lab, "slipped.uni.example", &[]) && serves(&lab, "oops.uni.example", &[]));
    assert!(!serves(&lab, "zeno214.uni.example", &[]), "it is back");

    let shown = admin.holdfast(&["snapshot", "show", "zone"]).unwrap();
    assert!(shown.contains("by admin (api): all a mistake"), "{shown}");
    let diff = admin.holdfast(&["snapshot", "diff", "zone", &to, &after.to_string()]).unwrap();
    assert!(!diff.is_empty() && diff.lines().all(|line| line.contains(" SOA ") || line.contains("with serial")), "only serials differ: {diff}");
    let verified = admin.holdfast(&["snapshot", "verify"]).unwrap();
    assert_eq!(verified.matches("holds together").count(), 5, "{verified}");
    let again = admin.holdfast(&["rollback", "zone", "--to", &to]).unwrap_err().to_string();
    assert!(again.contains("nothing to undo"), "{again}");
    let people = admin.holdfast(&["rollback", "auth-people", "--to", "1"]).unwrap_err().to_string();
    assert!(people.contains("the auth portal's"), "{people}");
}

/// Two hundred names of a zone of their own.
fn import_big(lab: &Lab, admin: &Admin) {
    let records: String = (0..200).map(|n| format!("n{n} A 192.0.2.{n}\n")).collect();
    let zone = format!("$ORIGIN big.example.\n$TTL 1h\n@ SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n{records}");
    let file = lab.folder().write("big/db.big.example", &zone).unwrap();
    admin.holdfast(&["import", file.to_str().unwrap()]).unwrap();
    eventually("the new zone is served", || Ok(serves(lab, "n7.big.example", &["192.0.2.7"])));
}

#[test]
fn what_would_silence_a_zone_is_held_until_somebody_answers_for_it() {
    let Some(lab) = two_campuses("the publisher's guard") else { return };
    let admin = lab.admin().unwrap();
    let before = newest(&admin, "zone").to_string();
    import_big(&lab, &admin);

    let said = admin.holdfast(&["rollback", "zone", "--to", &before, "--wait=20s"]).unwrap();
    assert!(said.contains("held: zone big.example would lose 202 of its 202 names"), "{said}");
    let said = admin.holdfast(&["host", "add", "after.uni.example", "--address", "10.1.4.247", "--wait=20s"]).unwrap();
    assert!(said.contains("held: "), "what comes later waits behind it, and says so: {said}");
    let list = admin.holdfast(&["snapshot", "list"]).unwrap();
    assert!(list.contains("zone is held: zone big.example would lose"), "{list}");
    assert!(serves(&lab, "n7.big.example", &["192.0.2.7"]) && serves(&lab, "after.uni.example", &[]), "nobody loses a name");
    let boot = admin.holdfast(&["host", "set", "darwin826.uni.example", "--boot-file", "/boot/new"]).unwrap();
    assert!(!boot.contains("held"), "what is not held goes on: {boot}");

    let release = |feed, removed, reason| admin.holdfast(&["snapshot", "release", feed, "--removed", removed, "--reason", reason]);
    assert!(release("bootptab", "1", "x").unwrap_err().to_string().contains("nothing of bootptab is held"));
    let wrong = release("zone", "201", "x").unwrap_err().to_string();
    assert!(wrong.contains("would lose 202 of its 202 names") && wrong.contains("read it again"), "nobody answers for what they did not read: {wrong}");
    release("zone", "202", "the zone has moved away").unwrap();
    eventually("it is let out", || Ok(serves(&lab, "after.uni.example", &["10.1.4.247"])));
    let gone = Dig::ask(Some(lab.network().at(holdfast_lab::cables::Place::Host(NORTH))), NORTH.agent(), "n7.big.example", "A").run().unwrap();
    assert_ne!(gone.status, "NOERROR");
    let shown = admin.holdfast(&["snapshot", "show", "zone"]).unwrap();
    assert!(shown.contains("the zone has moved away") && shown.contains("would lose 202"), "{shown}");
}

#[test]
fn what_is_put_back_is_held_no_longer() {
    let Some(lab) = two_campuses("putting back what is held") else { return };
    let admin = lab.admin().unwrap();
    let before = newest(&admin, "zone").to_string();
    import_big(&lab, &admin);
    let full = newest(&admin, "zone").to_string();
    let said = admin.holdfast(&["rollback", "zone", "--to", &before, "--wait=20s"]).unwrap();
    assert!(said.contains("held: "), "{said}");
    let said = admin.holdfast(&["rollback", "zone", "--to", &full, "--wait=20s"]).unwrap();
    assert!(!said.contains("held: "), "{said}");
    assert!(serves(&lab, "n7.big.example", &["192.0.2.7"]));
    assert!(!admin.holdfast(&["snapshot", "list"]).unwrap().contains("is held"));
}
