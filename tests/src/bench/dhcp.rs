//! BOOTP and DHCP as relays ask them: the same packets to this agent, to Kea and to bootpd (both Debian's), one after the other in the
//! same two boxes of a network, each server on one core and the load on another.
//!
//! The robust figure is the server's CPU for each exchange; answers per second are what came through beside whatever else runs on the
//! machine. Reserved hosts by BOOTP and by DORA (DISCOVER, OFFER, REQUEST, ACK: one exchange), and machines that nobody knows by DORA
//! from a pool, where ours alone has each lease on disk before it is acknowledged.

mod load;
mod peers;

use super::cores::{pinned, two};
use super::figures::{Line, Samples, Section};
use super::store::{self, Host};
use super::{Settings, go_on, process, tell};
use crate::folder::Folder;
use crate::netns::{self, Netns};
use crate::process::{Program, Recipe};
use crate::programs::programs;
use anyhow::{Context, Result};
use load::{Asks, Load, WINDOW};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Where the servers listen, and the relay that asks them.
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 255, 1);
const RELAY: Ipv4Addr = Ipv4Addr::new(192, 168, 255, 2);
/// Not counted: caches fill and the cores wake up.
const WARM_UP: Duration = Duration::from_millis(500);

/// A server under load: its name, what it can be asked, how it is started.
struct Server {
    name: &'static str,
    asks: &'static [Asks],
    start: fn(&Folder, &Boxes, u32) -> Result<Program>,
}

const SERVERS: [Server; 3] = [
    Server { name: "this agent", asks: &[Asks::Bootp, Asks::Reserved, Asks::Pool], start: start_own },
    Server { name: "Kea", asks: &[Asks::Bootp, Asks::Reserved, Asks::Pool], start: peers::start_kea },
    Server { name: "bootpd", asks: &[Asks::Bootp], start: peers::start_bootpd },
];

/// Two boxes and a cable.
pub(super) struct Boxes {
    pub server: Netns,
    relay: Netns,
}

impl Boxes {
    fn build() -> Result<Self> {
        let (server, relay) = (Netns::create(0, "dhcp-server")?, Netns::create(0, "dhcp-relay")?);
        server.ip(&["link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", relay.name()])?;
        for (namespace, address) in [(&server, SERVER), (&relay, RELAY)] {
            namespace.ip(&["addr", "add", &format!("{address}/24"), "dev", "wire"])?;
            namespace.ip(&["link", "set", "wire", "up"])?;
        }
        // The relay has an address on every subnet, and the servers know the way there.
        relay.ip(&["route", "add", "local", "10.0.0.0/8", "dev", "lo"])?;
        relay.ip(&["link", "set", "lo", "up"])?;
        server.ip(&["route", "add", "10.0.0.0/8", "via", &RELAY.to_string()])?;
        Ok(Self { server, relay })
    }
}

/// Every server that is installed, by everything that it can be asked.
pub(super) fn measure(settings: &Settings) -> Result<Vec<Section>> {
    if let Some(reason) = netns::hindrance() {
        tell(&format!("DHCP cannot be measured: {reason}"));
        return Ok(Vec::new());
    }
    let (server_core, load_core) = two()?;
    let mut lines = Vec::new();
    for server in &SERVERS {
        if let Some(missing) = peers::missing(server.name) {
            tell(&missing);
            continue;
        }
        tell(&format!("{} with {} reserved hosts", server.name, settings.hosts));
        let (folder, boxes) = (Folder::new("bench-dhcp")?, Boxes::build()?);
        let program = pinned(server_core, || (server.start)(&folder, &boxes, settings.hosts))??;
        for asks in server.asks {
            let measured = boxes.relay.inside(|| pinned(load_core, || rounds(&program, server.name, *asks, settings))?)?;
            lines.extend(measured.with_context(|| format!("{}: {}\n{}", server.name, asks.name(), program.log()))?);
        }
        let memory = process::memory(program.pid())?;
        lines.push(Line::from_one(format!("{}: memory after all of it (RSS)", server.name), memory.resident, "MiB"));
    }
    let title = format!("BOOTP and DHCP by relay: server on core {server_core}, load on core {load_core}, two network boxes, {WINDOW} under way");
    Ok(vec![Section { title, lines }])
}

fn rounds(program: &Program, name: &str, asks: Asks, settings: &Settings) -> Result<Vec<Line>> {
    let mut load = Load::start(asks, settings.hosts)?;
    load.run(WARM_UP)?;
    let (mut rates, mut costs, mut slow, mut lost) = (Samples::default(), Samples::default(), Samples::default(), 0);
    for _ in 0..settings.rounds {
        go_on()?;
        let before = process::cpu_time(program.pid())?;
        let tally = load.run(settings.round_time)?;
        let cpu = process::cpu_time(program.pid())?.saturating_sub(before);
        rates.push(tally.done as f64 / tally.time.as_secs_f64());
        costs.push(cpu.as_secs_f64() * 1e6 / tally.done as f64);
        slow.push(tally.p99.as_secs_f64() * 1000.0);
        lost += tally.lost;
    }
    let what = |figure: &str| format!("{name}: {}, {figure}", asks.name());
    let mut lines = vec![rates.line(what("exchanges, as measured"), "1/s"), costs.line(what("CPU for each"), "µs"), slow.line(what("99th percentile"), "ms")];
    if lost > 0 {
        lines.push(Line::from_one(what("exchanges lost"), lost as f64, ""));
    }
    Ok(lines)
}

/// The agent's DHCP on the store of a large institution.
fn start_own(folder: &Folder, boxes: &Boxes, hosts: u32) -> Result<Program> {
    let state = folder.path().join("state");
    store::write(&state, hosts)?;
    let config = folder.write("agent.toml", &format!("state_dir = {:?}\n", state.display().to_string()))?;
    let recipe = Recipe::new("dhcp", &programs()?.agent, folder.path()).args(["dhcp", "--config"]).args([config]).inside(&boxes.server);
    let mut program = recipe.start()?;
    program.wait_for_line("event=\"service_ready\"", Duration::from_secs(30))?;
    Ok(program)
}

/// A host in an order that no cache line foresees: a prime that divides no round number of hosts.
fn scattered(number: u64, hosts: u32) -> Host {
    Host((number * 48_271 % u64::from(hosts)) as u32)
}
