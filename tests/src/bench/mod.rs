//! The measurements: how soon an edit is served, and what an agent of a large institution costs and gives.
//!
//! Why it exists: numbers in a README are believed when one command prints them again. What it refuses: it never runs in CI,
//! where a busy machine would make it lie, and it knows no bars; it prints, and people judge. How: [`edit`] times edits
//! through the real API on a lab on the loopback, with one agent and with two, [`fleet`] with a thousand; [`agent`] starts the real agent on a store
//! that [`store`] writes for a hundred thousand hosts, and [`load`] asks it as fast as it answers; [`dns`] asks it and Knot in turn, [`resolver`] its
//! resolver and unbound,
//! [`dhcp`] asks as relays do, [`radius`] as NASs, with peers beside it.
//!
//! As root everything happens in a network box of its own, so that a demo on the same machine is not in the way.

mod agent;
mod base;
mod bind;
mod cores;
mod database;
mod dhcp;
mod dns;
mod edit;
mod figures;
mod fleet;
mod interruption;
mod link;
mod load;
mod million;
mod process;
mod radius;
mod requests;
mod resolver;
pub(crate) mod store;
mod writers;

use crate::netns::{self, Netns};
use crate::programs::programs;
use anyhow::Result;
use figures::Section;
use interruption::go_on;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

/// How much to measure.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Edits for each number of agents.
    pub edits: usize,
    /// Hosts in the store of the agent under load.
    pub hosts: u32,
    /// Cold starts, and rounds of load for each protocol.
    pub rounds: usize,
    /// How long a round of load takes.
    pub round_time: Duration,
    /// How many agents in one process, in rising order; none leaves the fleet out.
    pub fleet: Vec<usize>,
    /// How many secondaries BIND has as the peer, in rising order.
    pub peers: Vec<usize>,
    /// Hosts of the institution that a new box fetches; none leaves it out.
    pub institution: u32,
    /// The parts to be measured, see [`parts`]; all where none is named.
    pub only: Vec<String>,
}

type Part = fn(&Settings) -> Result<Vec<Section>>;

/// What can be measured, in its order.
const PARTS: [(&str, Part); 13] = [
    ("edit", edit::measure),
    ("bind", bind::measure),
    ("fleet", fleet::measure),
    ("link", link::measure),
    ("institution", million::measure),
    ("writers", writers::measure),
    ("database", database::measure),
    ("base", base::measure),
    ("agent", agent::measure),
    ("dns", dns::measure),
    ("resolver", resolver::measure),
    ("dhcp", dhcp::measure),
    ("radius", radius::measure),
];

/// The names of what can be measured.
pub fn parts() -> [&'static str; PARTS.len()] {
    PARTS.map(|(name, _)| name)
}

/// Measures and prints the table; tells on standard error what it is doing.
pub fn bench(settings: &Settings) -> Result<()> {
    tell("building the programs");
    programs()?;
    let _listening = interruption::listen()?;
    let before = load_average();
    let mut sections = Vec::new();
    let ended = match netns::hindrance() {
        None => {
            netns::sweep();
            let own = Netns::create(0, "bench")?;
            own.inside(|| measure(settings, &mut sections))?
        }
        Some(_) => measure(settings, &mut sections),
    };
    // What was measured before something failed, or somebody had enough, took its time, too.
    print!("{}{}", header(&before), figures::table(&sections));
    ended
}

fn measure(settings: &Settings, sections: &mut Vec<Section>) -> Result<()> {
    for (name, part) in PARTS {
        if settings.only.is_empty() || settings.only.iter().any(|only| only == name) {
            sections.extend(part(settings)?);
        }
    }
    Ok(())
}

/// What the numbers hang on, for whoever compares two tables.
fn header(load_before: &str) -> String {
    let now = Command::new("date").args(["-u", "+%F %R UTC"]).output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let profile = if cfg!(debug_assertions) { "a debug build: its numbers say nothing" } else { "release build" };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "Holdfast benchmarks, {}\nbuild {} ({profile}), {cores} cores of {}\nload average {load_before} before, {} after. Where others work on the same machine, times and requests/s \
         waver by tens of percent; the CPU times hold.\n\n",
        now.unwrap_or_default(),
        holdfast_agent::telemetry::BUILD,
        processor(),
        load_average(),
    )
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "an unnamed processor".to_owned(), |(_, name)| name.trim().to_owned())
}

/// Of the last minute.
fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default().to_owned()
}

/// A port of the loopback that is free for TCP, and so far for UDP: nobody here takes one without the other.
fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn tell(what: &str) {
    eprintln!("bench: {what}");
}
