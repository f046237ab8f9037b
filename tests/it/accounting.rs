//! Accounting: what a NAS was answered for is not lost, whatever is cut or killed, and becomes one session at the master.

mod durable;
mod order;
mod registry;

use crate::serving::{NORTH, eventually, two_campuses};
use anyhow::Result;
use holdfast_lab::cables::{Cable, Campus, End, Place};
use holdfast_lab::clients::radclient_acct;
use holdfast_lab::lab::{Admin, Lab, Part};
use serde_json::Value;
use std::net::SocketAddrV4;

const SECRET: &str = "yupgpn753sb3uqwdp8tu";
const PORT: u16 = 1813;

/// What the terminal server of the north says to an agent; whether it is answered.
fn say(lab: &Lab, agent: Campus, status: &str, session: &str, more: &[&str]) -> bool {
    let (status, id) = (format!("Acct-Status-Type = {status}"), format!("Acct-Session-Id = \"{session}\""));
    let attributes = [&[&*status, &id, "NAS-IP-Address = 10.1.4.20"], more].concat();
    let reply = radclient_acct(lab.at(Place::Nas(NORTH)), SocketAddrV4::new(agent.agent(), PORT), SECRET, &attributes).unwrap();
    reply.is_some_and(|reply| reply.code == "Accounting-Response")
}

fn sessions(admin: &Admin, which: &[&str]) -> Result<Vec<Value>> {
    let printed = admin.holdfast(&[&["session", "list", "-o", "json"], which].concat())?;
    Ok(serde_json::from_str::<Value>(&printed)?["items"].as_array().cloned().unwrap_or_default())
}

/// Session, state and octets from the user.
fn told(sessions: &[Value]) -> Vec<(&str, &str, u64)> {
    sessions.iter().map(|item| (item["session_id"].as_str().unwrap(), item["state"].as_str().unwrap(), item["input_octets"].as_u64().unwrap())).collect()
}

#[test]
fn what_nass_say_to_a_cut_off_campus_is_one_session_later() {
    let Some(mut lab) = two_campuses("accounting while a campus is cut off") else { return };
    let admin = lab.admin().unwrap();
    let pascal = ["User-Name = \"pascal.tesla0\"", "Calling-Station-Id = \"02-00-00-00-AA-07\"", "Framed-IP-Address = 10.1.6.77", "NAS-Port-Id = \"tty7\""];
    assert!(say(&lab, NORTH, "Start", "s1", &pascal));
    let of_pascal = |admin: &Admin| sessions(admin, &["--user", "Pascal.Tesla0"]);
    eventually("the session is known", || Ok(told(&of_pascal(&admin)?) == [("s1", "open", 0)]));

    lab.network().unplug(Cable::Uplink(NORTH), End::Far).unwrap();
    let (octets, more) = ("Acct-Input-Octets = 7", "Acct-Input-Gigawords = 1");
    assert!(say(&lab, NORTH, "Interim-Update", "s1", &[&pascal[..], &[octets]].concat()));
    assert!(say(&lab, NORTH, "Stop", "s1", &[&pascal[..], &[octets, more, "Acct-Session-Time = 30", "Acct-Terminate-Cause = User-Request"]].concat()));
    assert!(say(&lab, NORTH, "Start", "s2", &["User-Name = \"ada\""]));
    // The process that keeps them dies, and what it was answered for is there.
    let supervisor = lab.program(Part::Agent(NORTH)).unwrap().pid();
    let radius = crate::store::process_of(supervisor, "radius").expect("it runs");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(radius), nix::sys::signal::Signal::SIGKILL).unwrap();
    eventually("it is there again", || Ok(say(&lab, NORTH, "Interim-Update", "s2", &["User-Name = \"ada\"", "Acct-Input-Octets = 99"])));
    assert_eq!(told(&of_pascal(&admin).unwrap()), [("s1", "open", 0)], "the line is cut");

    // The master comes back with the line, and goes once more while it is told.
    lab.kill(Part::Master).unwrap();
    lab.network().plug_in(Cable::Uplink(NORTH)).unwrap();
    lab.start(Part::Master).unwrap();
    eventually("the end is known, once", || Ok(told(&of_pascal(&admin)?) == [("s1", "stop", (1 << 32) + 7)]));
    eventually("and the other session", || Ok(told(&sessions(&admin, &["--open"])?) == [("s2", "open", 99)]));
    let ended = &of_pascal(&admin).unwrap()[0];
    assert_eq!((&ended["nas"], &ended["mac"], &ended["ip"]), (&"annex-north".into(), &"02:00:00:00:aa:07".into(), &"10.1.6.77".into()));
    assert_eq!((&ended["cause"], &ended["nas_port"], &ended["agent"]), (&"user request".into(), &"tty7".into(), &"north".into()));
    let files = || std::fs::read_dir(lab.folder().path().join("north/accounting")).unwrap().count();
    eventually("what the master has is kept no longer, but for what is written on", || Ok(files() <= 1));

    // Whoever asks who had the address is told.
    for which in [["--ip", "10.1.6.77"], ["--mac", "0200.0000.aa07"], ["--nas", "10.1.4.20"], ["--nas", "annex-north"]] {
        assert!(told(&sessions(&admin, &which).unwrap()).iter().any(|(session, ..)| *session == "s1"), "{which:?}");
    }
    let had: Value = serde_json::from_str(&admin.holdfast(&["whohad", "10.1.6.77", "-o", "json"]).unwrap()).unwrap();
    assert_eq!(had["sessions"][0]["user"], "pascal.tesla0");
    let explained = admin.holdfast(&["explain", "10.1.6.77"]).unwrap();
    assert!(explained.contains("pascal.tesla0 from 02:00:00:00:aa:07 with 10.1.6.77 by way of annex-north"), "{explained}");
    let report = admin.holdfast(&["session", "report", "--by", "user", "-o", "csv"]).unwrap();
    let line = report.lines().find(|line| line.starts_with("pascal.tesla0,1,0,")).unwrap_or_else(|| panic!("{report}"));
    assert!(line.ends_with(&format!(",{},0", (1u64 << 32) + 7)), "{line}");
}

#[test]
fn a_session_that_two_agents_hear_of_is_one_and_a_nas_that_starts_anew_has_none() {
    let Some(lab) = two_campuses("accounting by way of two agents") else { return };
    let admin = lab.admin().unwrap();
    let ada = ["User-Name = \"ada\"", "Acct-Session-Time = 60", "Acct-Input-Octets = 500"];
    // Its own agent was silent for it: the NAS went on to the other one, whose word comes first.
    assert!(say(&lab, Campus::South, "Interim-Update", "s1", &ada));
    eventually("the session is known by an interim word", || Ok(told(&sessions(&admin, &["--user", "ada"])?) == [("s1", "open", 500)]));
    assert!(say(&lab, NORTH, "Interim-Update", "s1", &["User-Name = \"ada\"", "Acct-Session-Time = 30", "Acct-Input-Octets = 200"]));
    assert!(say(&lab, NORTH, "Start", "s9", &["User-Name = \"grace\""]));
    eventually("an older word takes nothing away", || Ok(sessions(&admin, &["--user", "grace"])?.len() == 1));
    assert_eq!(told(&sessions(&admin, &["--user", "ada"]).unwrap()), [("s1", "open", 500)]);

    assert!(say(&lab, NORTH, "Accounting-On", "0", &[]));
    eventually("nobody is on", || Ok(sessions(&admin, &["--open"])?.is_empty()));
    assert_eq!(told(&sessions(&admin, &["--user", "grace"]).unwrap()), [("s9", "restart", 0)]);
    // A word that was late opens nothing.
    assert!(say(&lab, Campus::South, "Interim-Update", "s1", &ada));
    assert!(say(&lab, Campus::South, "Stop", "s8", &["User-Name = \"alan\"", "Acct-Session-Time = 3600", "Acct-Output-Octets = 5"]));
    eventually("a stop without a start is a session", || Ok(sessions(&admin, &["--user", "alan"])?.len() == 1));
    assert_eq!(told(&sessions(&admin, &["--user", "alan"]).unwrap()), [("s8", "stop", 0)]);
    assert_eq!(told(&sessions(&admin, &["--user", "ada"]).unwrap()), [("s1", "restart", 500)]);
}

#[test]
fn who_has_no_secret_is_not_heard() {
    let Some(lab) = two_campuses("accounting without the secret") else { return };
    let start = ["Acct-Status-Type = Start", "Acct-Session-Id = \"x\"", "User-Name = \"mallory\""];
    let server = SocketAddrV4::new(NORTH.agent(), PORT);
    let ask = |from: Place, secret: &str| radclient_acct(lab.at(from), server, secret, &start).unwrap();
    assert_eq!(ask(Place::Nas(NORTH), "a-guess"), None);
    assert_eq!(ask(Place::Host(NORTH), SECRET), None, "the host is no NAS");
    assert!(say(&lab, NORTH, "Start", "s1", &["User-Name = \"ada\""]));
    let admin = lab.admin().unwrap();
    eventually("only the NAS was heard", || Ok(sessions(&admin, &[])?.len() == 1));
}
