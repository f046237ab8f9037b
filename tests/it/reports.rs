//! What a box saw reaches the master and the institution's log host: in order, once, none lost, whatever is cut or killed
//! meanwhile; and a box that answers nobody is known within seconds.

use crate::serving::{NORTH, eventually, status, two_campuses};
use holdfast_lab::cables::{Cable, Campus, End, Network, Place};
use holdfast_lab::clients::{is_installed, radclient};
use holdfast_lab::lab::{Admin, Lab, Part};
use holdfast_lab::syslog::LogHost;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddrV4;
use std::process::Command;
use std::time::{Duration, Instant};

const SECRET: &str = "yupgpn753sb3uqwdp8tu";
const GUESS: &str = "a-guessed-password-4711";

/// What the master has of a box, oldest first: names and sentences.
fn events(admin: &Admin, args: &[&str]) -> Vec<(String, String)> {
    let said = admin.holdfast(&[&["events", "--limit", "1000", "-o", "json"], args].concat()).unwrap();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let text = |item: &serde_json::Value, name: &str| item[name].as_str().unwrap().to_owned();
    said["items"].as_array().unwrap().iter().rev().map(|item| (text(item, "event"), text(item, "detail"))).collect()
}

fn refuse(lab: &Lab, person: &str) {
    let reply = radclient(Some(lab.network().at(Place::Nas(NORTH))), SocketAddrV4::new(NORTH.agent(), 1812), SECRET, person, GUESS, &[]);
    assert!(!reply.unwrap().expect("a reply").is_accept());
}

fn append(lab: &Lab, part: Part, section: &str) {
    let path = lab.folder().path().join(format!("{}.toml", part.name()));
    OpenOptions::new().append(true).open(path).unwrap().write_all(section.as_bytes()).unwrap();
}

/// The people whose refusals stand in these sentences, in order.
fn people<'a>(details: impl Iterator<Item = &'a str>) -> Vec<String> {
    details.filter_map(|detail| detail.strip_prefix("\"refused-")?.split('"').next().map(str::to_owned)).collect()
}

#[test]
fn what_a_cut_off_box_saw_arrives_in_order_and_once() {
    let Some(mut lab) = two_campuses("reports of a cut-off box") else { return };
    if !is_installed("rsyslogd") {
        return holdfast_lab::skipped("reports of a cut-off box", "rsyslog is not installed");
    }
    let mut log_host = LogHost::lay_out(lab.folder().path(), lab.network().at(Place::Master), &Network::MASTER.to_string()).unwrap();
    log_host.start().unwrap();
    for part in [Part::Agent(NORTH), Part::Master] {
        lab.stop(part).unwrap();
        append(&lab, part, &log_host.section());
        lab.start(part).unwrap();
    }
    let expected: Vec<String> = (0..9).map(|number| number.to_string()).collect();
    refuse(&lab, "refused-0");
    let admin = lab.admin().unwrap();
    eventually("the first refusal is known", || Ok(people(events(&admin, &[]).iter().map(|(_, detail)| detail.as_str())) == expected[..1]));

    lab.network().unplug(Cable::Uplink(NORTH), End::Far).unwrap();
    eventually("the box knows that it is cut off", || Ok(status(&lab, NORTH)["line"] == "cut off"));
    let before = status(&lab, NORTH)["reports_waiting"].as_u64().unwrap();
    (1..4).for_each(|number| refuse(&lab, &format!("refused-{number}")));
    eventually("they are kept", || Ok(status(&lab, NORTH)["reports_waiting"].as_u64().unwrap() >= before + 3));
    lab.kill(Part::Agent(NORTH)).unwrap();
    lab.start(Part::Agent(NORTH)).unwrap();
    lab.wait_until(Part::Agent(NORTH), "/readyz", Duration::from_secs(20)).unwrap();
    (4..8).for_each(|number| refuse(&lab, &format!("refused-{number}")));
    lab.network().plug_in(Cable::Uplink(NORTH)).unwrap();
    // The log host falls while it is being told: what it had not taken in comes again.
    log_host.kill().unwrap();
    log_host.start().unwrap();
    refuse(&lab, "refused-8");

    eventually("everything is delivered", || Ok(status(&lab, NORTH)["reports_waiting"] == 0));
    let kept = events(&admin, &["--node", "north", "--audit"]);
    assert_eq!(people(kept.iter().map(|(_, detail)| detail.as_str())), expected, "in order, once, none lost");
    let written = || log_host.lines().unwrap().into_iter().filter(|line| line.app == "holdfast-agent").collect::<Vec<_>>();
    eventually("the log host has everything", || Ok(people(written().iter().map(|line| line.text.trim())).last() == expected.last()));
    // At least once: a repetition is known by its spool and number, which stand in the structured data.
    let mut seen = BTreeSet::new();
    let once: Vec<_> = written().into_iter().filter(|line| seen.insert(line.data.clone())).collect();
    assert_eq!(people(once.iter().map(|line| line.text.trim())), expected, "{once:?}");
    assert!(once.iter().all(|line| line.host == "north" && line.data.starts_with("[report@32473 node=\"")), "{once:?}");
    assert!(once.iter().any(|line| line.id == "service_started"));

    admin.holdfast(&["host", "add", "logged.uni.example", "--address", "10.1.4.240", "--wait"]).unwrap();
    let of_master = || log_host.lines().unwrap().into_iter().filter(|line| line.app == "holdfast-master").collect::<Vec<_>>();
    eventually("the master's own audit is logged, too", || Ok(of_master().iter().any(|line| line.id == "change_set" && line.text.contains("ipam.host 1"))));
    eventually("so is what it heard from the box", || Ok(people(of_master().iter().map(|line| line.text.trim())).last() == expected.last()));
    no_secret_is_written_down(&lab);
}

/// Neither logs nor spools hold a password, a shared secret or a token, and nobody else may read them.
fn no_secret_is_written_down(lab: &Lab) {
    let folder = lab.folder().path();
    let token = std::fs::read_to_string(folder.join("token")).unwrap();
    let pattern = format!("{GUESS}|{SECRET}|joule-|{}", token.trim());
    let found =
        Command::new("grep").args(["-rlaE", &pattern]).args([folder.join("logs"), folder.join("north/reports"), folder.join("loghost")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    let open = Command::new("find").arg(folder.join("north/reports")).arg(folder.join("logs")).args(["-type", "f", "-perm", "/007"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&open.stdout), "", "others could read it");
}

#[test]
fn a_box_that_answers_nobody_is_known_within_seconds() {
    let Some(lab) = two_campuses("a silent box") else { return };
    let admin = lab.admin().unwrap();
    let up = |campus: Campus, value: &str| {
        let metrics = holdfast_lab::lab::on_ground(lab.at(Place::Master), || holdfast_lab::lab::get(lab.ground().status(Part::Master), "/metrics"))??;
        let services = ["dns_udp", "dns_tcp", "dhcp", "radius"];
        let line = |service: &str| format!("holdfast_probe_up{{agent=\"{}\",service=\"{service}\"}} {value}\n", campus.name());
        anyhow::Ok(services.iter().all(|service| metrics.contains(&line(service))))
    };
    eventually("every service of every agent answers", || Ok(up(NORTH, "1")? && up(Campus::South, "1")?));
    assert_eq!(events(&admin, &["--event", "service_silent"]), [], "nobody was ever silent");

    let cut = Instant::now();
    lab.network().unplug(Cable::Uplink(NORTH), End::Far).unwrap();
    eventually("the silence of four services is an event", || Ok(events(&admin, &["--event", "service_silent", "--node", "north"]).len() == 4));
    eprintln!("the silence was known after {:.1} s", cut.elapsed().as_secs_f64());
    assert_eq!(events(&admin, &["--event", "service_silent", "--node", "south"]), [], "the other one answers");
    lab.network().plug_in(Cable::Uplink(NORTH)).unwrap();
    eventually("that they answer again is an event", || Ok(events(&admin, &["--event", "service_answers", "--node", "north"]).len() == 4));
}
