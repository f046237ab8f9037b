//! The main job: an edit is served everywhere, and everything goes on being served when cables are pulled and boxes boot alone.

use anyhow::Result;
use holdfast_lab::cables::{Cable, Campus, End, Network, Place};
use holdfast_lab::clients::Dig;
use holdfast_lab::clients::counting::Counting;
use holdfast_lab::clients::{bootptest, radclient, relay};
use holdfast_lab::folder::Folder;
use holdfast_lab::lab::{Ground, Lab, Part, get, on_ground};
use holdfast_lab::netns;
use holdfast_proto::words::{DomainName, Mac};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

pub const NORTH: Campus = Campus::North;
/// Far more than anything here takes; a busy machine is no fault of the product's.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two campuses that serve the samples; `None`, said plainly, where this user may not have cables.
pub fn two_campuses(behaviour: &str) -> Option<Lab> {
    if let Some(reason) = netns::hindrance() {
        holdfast_lab::skipped(behaviour, &reason);
        return None;
    }
    let mut lab = Lab::build(Ground::Cables, Folder::new("lab").unwrap()).unwrap();
    lab.bring_up(&mut ()).unwrap();
    Some(lab)
}

/// What a host of a campus hears from an agent.
pub fn names(network: &Network, from: Campus, agent: Campus, name: &str) -> Result<Vec<String>> {
    Dig::ask(Some(network.at(Place::Host(from))), agent.agent(), name, "A").short()
}

/// The three services of an agent, each asked by the client that people use, from a machine of its campus.
pub fn all_three_answer(network: &Network, campus: Campus) -> Result<bool> {
    let (host, nas) = (Some(network.at(Place::Host(campus))), Some(network.at(Place::Nas(campus))));
    let name = Dig::reverse(host, campus.agent(), campus.host()).short().is_ok_and(|names| names.len() == 1);
    let boot = bootptest(host, campus.agent())?.iter().any(|reply| reply.tag("Y") == campus.host().to_string());
    let server = SocketAddrV4::new(campus.agent(), 1812);
    let login = radclient(nas, server, "yupgpn753sb3uqwdp8tu", "pascal.tesla0", "joule-89667-euler", &[])?;
    let login = login.is_some_and(|reply| reply.is_accept() && reply.attribute("Tunnel-Private-Group-Id:0") == Some("100"));
    Ok(name && boot && login)
}

/// Tries again until it holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> Result<bool>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let tried = holds();
        if matches!(tried, Ok(true)) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: still not so after {PATIENCE:?}: {tried:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The state of an agent, as its own page tells it.
pub fn status(lab: &Lab, campus: Campus) -> serde_json::Value {
    let address = lab.ground().status(Part::Agent(campus));
    let answer = on_ground(lab.at(Place::Agent(campus)), || get(address, "/status")).unwrap().unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn edit_is_served_everywhere() {
    let Some(lab) = two_campuses("an edit is served everywhere") else { return };
    let (network, admin) = (lab.network(), lab.admin().unwrap());
    let mac: Mac = "02:00:00:00:00:99".parse().unwrap();
    let boot = |agent: Campus| {
        let server = SocketAddrV4::new(agent.agent(), 67);
        let ask = || network.at(Place::Router(NORTH)).inside(|| relay::ask(NORTH.relay(), server, mac.0, &[], Duration::from_millis(2100))).unwrap().unwrap();
        // The agent of the other campus answers whoever has asked for two seconds.
        ask().or_else(ask)
    };
    assert_eq!(boot(NORTH), None, "a machine that nobody knows");

    let said = admin.holdfast(&["host", "add", "new.uni.example", "--mac", &mac.to_string(), "--address", "10.1.8.99", "--wait"]).unwrap();
    assert!(said.contains("north serves it since") && said.contains("south serves it since"), "{said}");
    // No second look is needed: the command came back when both served it.
    for agent in Campus::BOTH {
        assert_eq!(names(network, NORTH, agent, "new.uni.example").unwrap(), ["10.1.8.99"]);
        let pointer = Dig::reverse(Some(network.at(Place::Host(NORTH))), agent.agent(), Ipv4Addr::new(10, 1, 8, 99)).short().unwrap();
        assert_eq!(pointer, ["new.uni.example."]);
        let reply = boot(agent).expect("a boot entry");
        assert_eq!(
            (reply.yiaddr, &reply.options[&3][..], &reply.options[&6][..]),
            (Ipv4Addr::new(10, 1, 8, 99), &[10, 1, 8, 1][..], &[10, 1, 4, 2, 10, 2, 4, 2][..])
        );
    }

    admin.holdfast(&["host", "del", "new.uni.example", "--wait"]).unwrap();
    for agent in Campus::BOTH {
        let gone = Dig::ask(Some(network.at(Place::Host(NORTH))), agent.agent(), "new.uni.example", "A").run().unwrap();
        assert_eq!((gone.status.as_str(), gone.is_authoritative(), gone.authority.len()), ("NXDOMAIN", true, 1));
        assert_eq!(boot(agent), None);
    }
}

#[test]
fn agent_answers_while_uplink_is_cut() {
    let Some(mut lab) = two_campuses("an agent answers while its uplink is cut") else { return };
    let admin = lab.admin().unwrap();
    let name: DomainName = "darwin826.uni.example".parse().unwrap();
    let server = SocketAddr::from((NORTH.agent(), 53));
    for end in [End::Far, End::Own, End::Port] {
        let counting = Counting::start(lab.at(Place::Host(NORTH)), server, &name, Duration::from_millis(10));
        lab.network().unplug(Cable::Uplink(NORTH), end).unwrap();
        let added: Vec<String> = (0..3).map(|n| format!("cut-{}-{n}.uni.example", end as u8)).collect();
        for (n, host) in added.iter().enumerate() {
            let address = format!("10.1.4.{}", 200 + 10 * end as usize + n);
            admin.holdfast(&["host", "add", host, "--address", &address]).unwrap();
        }
        let network = lab.network();
        eventually("the campus with a line has the edits", || Ok(names(network, Campus::South, Campus::South, &added[2])?.len() == 1));
        eventually("the campus without one knows that it is cut off", || Ok(status(&lab, NORTH)["line"] == "cut off"));
        assert_eq!(names(network, NORTH, NORTH, &added[2]).unwrap(), Vec::<String>::new());
        assert!(all_three_answer(network, NORTH).unwrap(), "everything but news is served");

        network.plug_in(Cable::Uplink(NORTH)).unwrap();
        for host in &added {
            eventually("what happened meanwhile arrives", || Ok(names(network, NORTH, NORTH, host)?.len() == 1));
        }
        let tally = counting.stop().unwrap();
        assert!(tally.asked > 50, "{tally:?}");
        assert_eq!((tally.lost(), tally.refused), (0, 0), "no local answer was lost: {tally:?}");
        eventually("the report of the cut arrives", || Ok(status(&lab, NORTH)["reports_waiting"] == 0));
    }
    let log = lab.program(Part::Agent(NORTH)).unwrap().log();
    let applied: Vec<&str> = log.lines().filter_map(|line| line.split_once("event=\"generation_applied\" ")).map(|(_, rest)| rest).collect();
    let once: std::collections::BTreeSet<&&str> = applied.iter().collect();
    assert_eq!(once.len(), applied.len(), "every generation arrived once: {applied:?}");
    // A busy machine may cut the line once more by itself: what was raised is what arrived.
    let raised = log.matches("report raised event=\"uplink_cut_off\"").count();
    let log = lab.program(Part::Master).unwrap().log();
    let arrived = log.matches("report=\"uplink_cut_off\"").count();
    assert!(raised >= 3 && arrived == raised, "every report arrived once: {raised} raised, {arrived} arrived:\n{log}");
}

#[test]
fn agent_boots_with_every_cable_out() {
    let Some(mut lab) = two_campuses("an agent boots with every cable out") else { return };
    lab.stop(Part::Agent(NORTH)).unwrap();
    for end in [End::Far, End::Own] {
        lab.network().unplug_all(Place::Agent(NORTH), end).unwrap();
        let recipe = lab.recipe(Part::Agent(NORTH)).clone();
        *lab.recipe(Part::Agent(NORTH)) = recipe.clone().at_time("@1970-01-01 00:00:10");
        lab.start(Part::Agent(NORTH)).unwrap();
        lab.wait_until(Part::Agent(NORTH), "/readyz", PATIENCE).unwrap();
        let pid = lab.program(Part::Agent(NORTH)).unwrap().pid();
        assert!(names(lab.network(), NORTH, NORTH, "darwin826.uni.example").is_err(), "no cable, no answer");

        lab.network().plug_in(Cable::Lan(NORTH)).unwrap();
        eventually("all three services answer", || all_three_answer(lab.network(), NORTH));
        assert_eq!(lab.program(Part::Agent(NORTH)).unwrap().pid(), pid, "without a restart");

        let host = format!("late-{}.uni.example", end as u8);
        lab.admin().unwrap().holdfast(&["host", "add", &host, "--address", &format!("10.1.4.{}", 220 + end as u8)]).unwrap();
        lab.network().plug_in(Cable::Uplink(NORTH)).unwrap();
        eventually("in 1970, too, the master is believed", || Ok(names(lab.network(), NORTH, NORTH, &host)?.len() == 1));
        lab.stop(Part::Agent(NORTH)).unwrap();
        *lab.recipe(Part::Agent(NORTH)) = recipe;
    }
}

#[test]
fn a_password_and_a_suspension_reach_every_campus() {
    let Some(lab) = two_campuses("a password reaches every campus") else { return };
    let login = |campus: Campus, password: &str| {
        let secret = if campus == NORTH { "yupgpn753sb3uqwdp8tu" } else { "wwsxpwzmghtx6cw9nd67" };
        let server = SocketAddrV4::new(campus.agent(), 1812);
        radclient(Some(lab.network().at(Place::Nas(campus))), server, secret, "ohm.bell1", password, &[]).unwrap()
    };
    let is_accepted = |campus, password| login(campus, password).is_some_and(|reply| reply.is_accept());
    eventually("both campuses accept", || Ok(Campus::BOTH.into_iter().all(|campus| is_accepted(campus, "joule-27697-kepler"))));
    assert!(login(NORTH, "a guess").is_some_and(|reply| !reply.is_accept()));
    lab.run(Part::Portal, &["auth-portal", "suspend", "ohm.bell1"]).unwrap();
    for campus in Campus::BOTH {
        eventually("the suspended person is refused", || Ok(login(campus, "joule-27697-kepler").is_some_and(|reply| !reply.is_accept())));
    }
    let disk = lab.folder().path().join("north");
    let found = std::process::Command::new("grep").args(["-rlaE", "joule-27697-kepler|yupgpn753sb3uqwdp8tu|argon2id"]).arg(disk).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "", "no password, verifier or secret is readable on the agent's disk");
}

#[test]
fn a_taken_port_silences_one_service_and_only_until_it_is_free() {
    let Some(mut lab) = two_campuses("a taken port") else { return };
    lab.stop(Part::Agent(NORTH)).unwrap();
    let taken = lab.network().at(Place::Agent(NORTH)).inside(|| std::net::UdpSocket::bind("0.0.0.0:67")).unwrap().unwrap();
    lab.start(Part::Agent(NORTH)).unwrap();
    let second = lab.run(Part::Agent(NORTH), &["run"]).unwrap_err().to_string();
    assert!(second.contains("another holdfast-agent runs on"), "{second}");
    assert_eq!(names(lab.network(), NORTH, NORTH, "darwin826.uni.example").unwrap(), ["10.1.4.10"]);
    assert!(bootptest(Some(lab.network().at(Place::Host(NORTH))), NORTH.agent()).unwrap().is_empty());
    drop(taken);
    eventually("all three services answer", || all_three_answer(lab.network(), NORTH));
}

#[test]
fn a_revoked_agent_gets_nothing_more_and_serves_on() {
    let Some(lab) = two_campuses("a revoked agent") else { return };
    lab.run(Part::Master, &["node", "revoke", "south"]).unwrap();
    eventually("the line of the revoked box ends", || Ok(status(&lab, Campus::South)["line"] == "cut off"));
    let said = lab.admin().unwrap().holdfast(&["host", "add", "after.uni.example", "--address", "10.1.4.245", "--wait"]).unwrap();
    assert!(said.contains("north serves it since") && !said.contains("south"), "{said}");
    assert_eq!(names(lab.network(), Campus::South, Campus::South, "after.uni.example").unwrap(), Vec::<String>::new());
    assert_eq!(names(lab.network(), Campus::South, Campus::South, "darwin826.uni.example").unwrap(), ["10.1.4.10"]);
}

#[test]
fn a_bad_import_names_every_line_and_stores_nothing() {
    let Some(lab) = two_campuses("a bad import") else { return };
    let zone = "$ORIGIN bad.example.\n$TTL 1h\n@ SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 10.1.4.300\nx MX ten mail\ngood A 10.1.4.250\n";
    let table = ".d:sm=255.255.252.0:gw=10.1.4.1:\nfine:tc=.d:ha=020000000077:ip=10.1.4.251:\nlame:tc=.nowhere:ha=02000000007:ip=10.1.4.252:\n";
    let (zone, table) = (lab.folder().write("bad/db.bad.example", zone).unwrap(), lab.folder().write("bad/bootptab", table).unwrap());
    let admin = lab.admin().unwrap();
    let said = admin.holdfast(&["import", zone.to_str().unwrap(), table.to_str().unwrap()]).unwrap_err().to_string();
    for place in ["db.bad.example:5", "db.bad.example:6", "bootptab:3"] {
        assert!(said.contains(place), "{place} is not in:\n{said}");
    }
    assert!(!admin.holdfast(&["zone", "list"]).unwrap().contains("bad.example"));
    assert!(admin.holdfast(&["host", "show", "fine.uni.example"]).is_err());
}

#[test]
fn a_name_that_no_message_could_carry_is_refused_and_holds_up_nobody() {
    let Some(lab) = two_campuses("an oversized name") else { return };
    let records: String = (0..400).map(|n| format!("big TXT \"{n:0200}\"\n")).collect();
    let zone = format!("$ORIGIN big.example.\n$TTL 1h\n@ SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n{records}");
    let file = lab.folder().write("big/db.big.example", &zone).unwrap();
    let admin = lab.admin().unwrap();
    let said = admin.holdfast(&["import", file.to_str().unwrap()]).unwrap_err().to_string();
    assert!(said.contains("more records than one DNS answer can hold"), "{said}");
    let said = admin.holdfast(&["host", "add", "next.uni.example", "--address", "10.1.4.246", "--wait"]).unwrap();
    assert!(said.contains("north serves it since") && said.contains("south serves it since"), "{said}");
}
