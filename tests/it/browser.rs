//! Chromium in front of a real master and two agents: what an administrator does most, by mouse and by keyboard alone; every screen
//! looked at by axe, light and dark; pictures of all of them. What it does stands in `tests/browser`.
//!
//! `tests/run long` brings Chromium and the driver and tries it; the pictures are in `tests/browser/output/pictures` then.

use crate::access::door::{House, PASSWORD};
use holdfast_lab::cables::Place;
use holdfast_lab::door;
use holdfast_lab::lab::Part;
use holdfast_lab::programs::house;
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

#[test]
fn an_admins_day_is_done_in_a_browser() {
    if !crate::is_long() {
        return;
    }
    const BEHAVIOUR: &str = "an admin's day in a browser";
    let folder = house().join("tests/browser");
    if !folder.join("node_modules/@playwright/test").exists() {
        return holdfast_lab::skipped(BEHAVIOUR, "its driver is not there: npm ci in tests/browser");
    }
    let Some(house) = House::with_agents(BEHAVIOUR) else { return };
    for (campus, address) in [("north", "10.1.4.2"), ("south", "10.2.4.2")] {
        house.lab.admin().unwrap().holdfast(&["campus", "set", campus, "--service-address", address]).unwrap();
    }
    house.person("ada", &[("administrator", json!({ "kind": "global" }))]);
    let master = house.lab.at(Place::Master).expect("it is on cables");
    let web = door::open(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), master, house.lab.ground().status(Part::Master)).unwrap();
    // The far end, as a pulled cable has it: the box keeps its addresses and routes, and finds back when the end is up again.
    let cable = |state: &str| format!("ip -n {} link set north {state}", master.name());
    let done = Command::new("npx")
        .args(["--no-install", "playwright", "test"])
        .current_dir(folder)
        .env("HOLDFAST_URL", format!("http://{web}"))
        .env("HOLDFAST_NAME", "ada")
        .env("HOLDFAST_PASSWORD", PASSWORD)
        .env("HOLDFAST_PULL", cable("down"))
        .env("HOLDFAST_PLUG", cable("up"))
        .status()
        .expect("npx starts");
    assert!(done.success(), "the browser found something: its pictures are in tests/browser/output");
}
