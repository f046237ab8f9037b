//! Masters that come in twos, and masters that die at the wrong moment: no number of a generation ever means two things, and
//! what was acknowledged is served.

use crate::serving::{NORTH, eventually, names, status, two_campuses};
use crate::trust::{SOUTH, master_is_ready, serves_edit, snapshot, state_dir};
use anyhow::Result;
use holdfast_lab::cables::{Campus, Network, Place};
use holdfast_lab::lab::{Admin, Lab, Part, get, on_ground};
use holdfast_lab::process::{Program, Recipe};
use holdfast_lab::programs::programs;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// A master that starts waits ten seconds for an agent to say what it holds; this is far more.
const LEAD_LIMIT: Duration = Duration::from_secs(60);

/// A second master on the master's host: the same keys, doors of its own.
struct Second(Program);

impl Second {
    const WEB: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);
    const CONTROL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Network::MASTER), 7444);

    /// Starts on the first one's database.
    fn beside(lab: &Lab) -> Self {
        let first = state_dir(lab, Part::Master);
        let second = lab.folder().path().join("second");
        fs::create_dir_all(&second).unwrap();
        for entry in fs::read_dir(&first).unwrap().map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("postgres")) {
            copy(&entry, &second);
        }
        let socket = first.join("postgres/run");
        Self::start(lab, &format!("[database]\nurl = \"postgres:///hostdb?host={}&user=holdfast\"\n", socket.display()))
    }

    /// Starts on a copy of everything that the first one, which is stopped, has.
    fn on_a_copy(lab: &Lab) -> Self {
        let (first, second) = (state_dir(lab, Part::Master), lab.folder().path().join("second"));
        copy(&first, &second);
        // The copied database would open its door where the first one has its own.
        let config = second.join("postgres/data/holdfast.conf");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, text.replace(first.to_str().unwrap(), second.to_str().unwrap())).unwrap();
        Self::start(lab, "")
    }

    fn start(lab: &Lab, database: &str) -> Self {
        let (folder, web, control) = (lab.folder().path(), Self::WEB, Self::CONTROL);
        let state_dir = folder.join("second");
        let config = format!("state_dir = {state_dir:?}\n[web]\nlisten = \"{web}\"\n[control]\nlisten = \"{control}\"\n[probe]\nenabled = false\n{database}");
        let config = lab.folder().write("second.toml", &config).unwrap();
        let recipe = Recipe::new("second", &programs().unwrap().master, &folder.join("logs")).args(["serve", "--config"]).args([config]);
        let mut program = recipe.inside(lab.network().at(Place::Master)).start().unwrap();
        program.wait_for_line("master_ready", LEAD_LIMIT).unwrap();
        Self(program)
    }

    fn admin(lab: &Lab) -> Admin {
        lab.admin().unwrap().at(Self::WEB)
    }

    fn is_ready(lab: &Lab) -> Result<String> {
        on_ground(lab.at(Place::Master), || get(Self::WEB, "/readyz"))?
    }

    fn leads(&self) -> bool {
        self.0.log().contains("publisher_leads")
    }
}

impl Drop for Second {
    /// In order, so that a database of its own ends with it.
    fn drop(&mut self) {
        let _ = self.0.stop();
    }
}

/// Tells a thread beside the test that it is over, also where the test falls.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Tells an agent to dial this master from now on.
fn dials(lab: &mut Lab, campus: Campus, master: SocketAddr) {
    let config = lab.folder().path().join(format!("{}.toml", campus.name()));
    let text = fs::read_to_string(&config).unwrap();
    let lines = text.lines().map(|line| if line.starts_with("master = ") { format!("master = \"{master}\"") } else { line.to_owned() });
    fs::write(&config, lines.collect::<Vec<_>>().join("\n")).unwrap();
    lab.stop(Part::Agent(campus)).unwrap();
    lab.start(Part::Agent(campus)).unwrap();
    eventually("it has a line", || Ok(status(lab, campus)["line"] == "connected"));
}

/// The generations of the zone feed in the order in which an agent came to serve them, over all its starts.
fn applied(lab: &Lab, campus: Campus) -> Vec<u64> {
    let log = fs::read_to_string(lab.folder().path().join(format!("logs/{}.log", campus.name()))).unwrap();
    let of_zone = log.lines().filter_map(|line| line.split_once("event=\"generation_applied\" feed=zone generation="));
    of_zone.map(|(_, rest)| rest.split(' ').next().unwrap().parse().unwrap()).collect()
}

fn rises(lab: &Lab) {
    for campus in Campus::BOTH {
        let applied = applied(lab, campus);
        assert!(!applied.is_empty() && applied.is_sorted_by(|before, after| before < after), "{campus:?}: every number once, and rising: {applied:?}");
    }
}

#[test]
fn two_masters_on_one_database_publish_as_one() {
    let Some(mut lab) = two_campuses("two masters on one database") else { return };
    let mut second = Second::beside(&lab);
    dials(&mut lab, SOUTH, Second::CONTROL);
    let doors = [lab.admin().unwrap(), Second::admin(&lab)];
    doors[0].holdfast(&["host", "add", "order.uni.example", "--address", "10.1.4.200"]).unwrap();
    let is_done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let watched = scope.spawn(|| {
            let mut seen = Vec::new();
            while !is_done.load(Ordering::Relaxed) {
                seen.extend(names(lab.network(), NORTH, NORTH, "order.uni.example").unwrap());
                seen.dedup();
            }
            seen
        });
        let at_end = AtEnd(&is_done);
        for n in 1..=20 {
            doors[n % 2].holdfast(&["host", "set", "order.uni.example", "--address", &format!("10.1.4.{}", 200 + n)]).unwrap();
        }
        for campus in Campus::BOTH {
            eventually("the last edit is served, whichever master the box has a line to", || {
                Ok(names(lab.network(), campus, campus, "order.uni.example")? == ["10.1.4.220"])
            });
        }
        drop(at_end);
        watched.join().unwrap()
    });
    assert!(seen.len() > 2 && seen.is_sorted(), "edits are served in the order in which they were made: {seen:?}");
    assert!(!second.leads(), "one publishes");
    rises(&lab);

    lab.kill(Part::Master).unwrap();
    second.0.wait_for_line("publisher_leads", LEAD_LIMIT).unwrap();
    dials(&mut lab, NORTH, Second::CONTROL);
    let said = doors[1].holdfast(&["host", "add", "alone.uni.example", "--address", "10.1.4.221", "--wait=15s"]).unwrap();
    assert!(said.contains("north serves it since") && said.contains("south serves it since"), "{said}");

    // The first one comes back, and waits its turn.
    lab.start(Part::Master).unwrap();
    doors[0].holdfast(&["host", "add", "back.uni.example", "--address", "10.1.4.222"]).unwrap();
    for campus in Campus::BOTH {
        eventually("it is served", || Ok(names(lab.network(), campus, campus, "back.uni.example")? == ["10.1.4.222"]));
    }
    assert!(!lab.program(Part::Master).unwrap().log().contains("publisher_leads"), "the second one still publishes");
    rises(&lab);
    drop(second);
    lab.program(Part::Master).unwrap().wait_for_line("publisher_leads", LEAD_LIMIT).unwrap();
}

/// Somebody starts a second master on a copy of the first one's database. Nothing that the two share can keep them apart, so
/// it is for the boxes to see.
#[test]
fn two_masters_on_two_copies_are_told_apart_by_the_boxes() {
    let Some(mut lab) = two_campuses("two masters on two copies of a database") else { return };
    lab.stop(Part::Master).unwrap();
    let mut second = Second::on_a_copy(&lab);
    lab.start(Part::Master).unwrap();
    second.0.wait_for_line("publisher_leads", LEAD_LIMIT).unwrap();
    // Both give the next number of both feeds away, and the second one another of the zone's besides.
    let add = |admin: &Admin, name: &str, last: u8| {
        let (mac, address) = (format!("02:00:00:00:00:{last:02x}"), format!("10.1.4.{last}"));
        admin.holdfast(&["host", "add", name, "--mac", &mac, "--address", &address]).unwrap();
    };
    add(&lab.admin().unwrap(), "first.uni.example", 211);
    let at_south = |lab: &Lab, name: &str| names(lab.network(), SOUTH, SOUTH, name).unwrap();
    eventually("the first master's edit is served", || Ok(at_south(&lab, "first.uni.example") == ["10.1.4.211"]));
    let held = ["zone", "bootptab"].map(|feed| snapshot(&lab, SOUTH, feed));
    let published = |feed: &str| {
        let said = Second::admin(&lab).holdfast(&["snapshot", "show", feed, "-o", "json"])?;
        Ok::<_, anyhow::Error>(serde_json::from_str::<serde_json::Value>(&said)?["generation"].as_u64())
    };
    add(&Second::admin(&lab), "second.uni.example", 212);
    eventually("the second master has used the same numbers", || {
        Ok(published("zone")? == held[0]["applied"].as_u64() && published("bootptab")? == held[1]["applied"].as_u64())
    });
    Second::admin(&lab).holdfast(&["host", "add", "third.uni.example", "--address", "10.1.4.213"]).unwrap();
    eventually("and one more", || Ok(published("zone")? > held[0]["applied"].as_u64()));

    dials(&mut lab, SOUTH, Second::CONTROL);
    eventually("the second master says that another one publishes", || {
        let said = Second::is_ready(&lab)?;
        Ok(said.contains("south holds") && said.contains("another master published"))
    });
    Second::admin(&lab).holdfast(&["host", "add", "fourth.uni.example", "--address", "10.1.4.214"]).unwrap();
    // Long enough for a whole snapshot to come, if one came.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(at_south(&lab, "first.uni.example"), ["10.1.4.211"], "it serves what it held");
    for name in ["second", "third", "fourth"] {
        assert!(at_south(&lab, &format!("{name}.uni.example")).is_empty(), "{name}: the box belongs to the first master's history");
    }
    for held in &held {
        let now = snapshot(&lab, SOUTH, held["feed"].as_str().unwrap());
        assert_eq!((&now["applied"], &now["digest"]), (&held["applied"], &held["digest"]), "one number, one content");
    }

    let ground = lab.ground().control();
    dials(&mut lab, SOUTH, ground);
    assert!(master_is_ready(&lab).unwrap().starts_with("HTTP/1.1 200"), "the first master is none the worse");
    serves_edit(&lab, "again.uni.example", "10.1.4.215");
}

#[test]
fn a_master_killed_while_it_publishes_loses_no_edit() {
    let Some(mut lab) = two_campuses("kill -9 of a master in a burst of edits") else { return };
    let kills = if crate::is_long() { 100 } else { 8 };
    let (admin, is_done, heard) = (lab.admin().unwrap(), AtomicBool::new(false), AtomicUsize::new(0));
    let acknowledged = std::thread::scope(|scope| {
        let burst = scope.spawn(|| {
            let (mut acknowledged, mut n) = (Vec::new(), 0);
            while !is_done.load(Ordering::Relaxed) && n < 750 {
                let (name, address) = (format!("burst{n}.uni.example"), format!("10.1.{}.{}", 5 + n / 250, 1 + n % 250));
                match admin.holdfast(&["host", "add", &name, "--address", &address]) {
                    Ok(_) => {
                        acknowledged.push((name, address));
                        heard.fetch_add(1, Ordering::Relaxed);
                    }
                    // Nobody was there to hear it.
                    Err(wrong) if wrong.to_string().contains("Connection refused") => continue,
                    // What a dying master did not acknowledge may have been kept or not.
                    Err(_) => {}
                }
                n += 1;
                std::thread::sleep(Duration::from_millis(if crate::is_long() { 200 } else { 0 }));
            }
            acknowledged
        });
        let at_end = AtEnd(&is_done);
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..kills {
            lab.program(Part::Master).unwrap().wait_for_line("publisher_leads", LEAD_LIMIT).unwrap();
            let before = heard.load(Ordering::Relaxed);
            eventually("edits are acknowledged", || Ok(heard.load(Ordering::Relaxed) > before + 1));
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            std::thread::sleep(Duration::from_millis(seed >> 57));
            lab.kill(Part::Master).unwrap();
            lab.start(Part::Master).unwrap();
        }
        drop(at_end);
        burst.join().unwrap()
    });
    serves_edit(&lab, "after.uni.example", "10.1.4.211");
    for (name, address) in &acknowledged {
        for campus in Campus::BOTH {
            assert_eq!(names(lab.network(), campus, campus, name).unwrap(), [address.as_str()], "{name} was acknowledged, and {campus:?} does not serve it");
        }
    }
    rises(&lab);
    let verified = lab.admin().unwrap().holdfast(&["snapshot", "verify"]).unwrap();
    assert_eq!(verified.matches("holds together").count(), 5, "{verified}");
}
