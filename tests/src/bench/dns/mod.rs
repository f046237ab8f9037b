//! Authoritative DNS beside Knot: the same zones, the same questions, the same core, in turns.
//!
//! Both have cookies, rate limiting and statistics on, and every question brings a good cookie, as a resolver's do. Of the
//! time that is measured the server's own (CPU) is what holds on a machine where others work.

pub(super) mod flood;
mod knot;

use super::bind::Update;
use super::cores::{pinned, two};
use super::edit::{ADDRESSES, HOST};
use super::figures::{Line, Samples, Section};
use super::process;
use super::requests::{self, question};
use super::store::{Host, Names};
use super::{Settings, free_port, go_on, tell};
use crate::folder::Folder;
use crate::process::{Program, Recipe};
use crate::programs::programs;
use anyhow::{Context, Result, ensure};
use flood::{Flood, Tally};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Questions under way at once.
const WINDOW: usize = 64;
/// Questions a second at which the slowest of a hundred replies is looked at.
const RATES: [u32; 3] = [10_000, 40_000, 80_000];
/// At which a host is changed.
const EDIT_RATE: u32 = 20_000;
const START_LIMIT: Duration = Duration::from_secs(180);
/// Not counted: caches fill, and all blocks of the store are read.
const WARM_UP: Duration = Duration::from_secs(2);

/// Each size of institution, ours and, where it is installed, Knot.
pub(super) fn measure(settings: &Settings) -> Result<Vec<Section>> {
    let sizes = [settings.hosts, settings.institution].into_iter().filter(|hosts| *hosts > 0);
    let mut sections = Vec::new();
    for hosts in sizes {
        sections.extend(one_size(settings, hosts)?);
    }
    Ok(sections)
}

/// A server that runs, and what is known of it.
struct Contender {
    name: &'static str,
    program: Program,
    address: SocketAddr,
    start: Duration,
    rates: Samples,
    costs: Samples,
    at_rates: Vec<Samples>,
}

fn one_size(settings: &Settings, hosts: u32) -> Result<Vec<Section>> {
    let folder = Folder::new("bench-dns")?;
    let (servers_core, loads_core) = two()?;
    tell(&format!("writing zones of {hosts} hosts"));
    let (ours, mut names) = our_recipe(&folder, hosts)?;
    let mut contenders = vec![pinned(servers_core, || Contender::start("Holdfast", &ours.0, ours.1, hosts))??];
    if Path::new(knot::KNOTD).exists() {
        let address = free_port()?;
        let recipe = knot::lay_out(&folder, address, hosts)?;
        contenders.push(pinned(servers_core, || Contender::start("Knot", &recipe, address, hosts))??);
    } else {
        tell("Knot is not installed (apt-get install --no-install-recommends knot), so the peer is left out");
    }
    pinned(loads_core, || rounds(settings, &mut contenders, hosts))??;
    let mut lines = Vec::new();
    let costs: Vec<f64> = contenders.iter().map(|contender| contender.costs.median()).collect();
    let memory = contenders.iter().map(|contender| Ok(process::memory(contender.program.pid())?.proportional)).collect::<Result<Vec<f64>>>()?;
    for (contender, memory) in contenders.iter().zip(&memory) {
        lines.extend(contender.lines(*memory));
    }
    if let ([our_cost, knots_cost], [ours, knots]) = (&costs[..], &memory[..]) {
        lines.push(Line::from_one("Knot's CPU for each answer as a multiple of ours", knots_cost / our_cost, ""));
        lines.push(Line::from_one("our memory as a share of Knot's", ours / knots, ""));
    }
    let title = format!(
        "Authoritative DNS, {hosts} hosts (A, PTR; 10 % negative), each server on core {servers_core}, the load on core {loads_core}, cookies, rate limiting and statistics on"
    );
    let edits = pinned(loads_core, || edits(settings, &mut contenders, &mut names, hosts))??;
    Ok(vec![Section { title, lines }, edits])
}

fn our_recipe(folder: &Folder, hosts: u32) -> Result<((Recipe, SocketAddr), Names)> {
    let (state, address) = (folder.path().join("state"), free_port()?);
    let names = Names::write(&state, hosts)?;
    let config = format!("state_dir = {:?}\n[dns]\nlisten = [\"{address}\"]\nworkers = 1\n", state.display().to_string());
    let config = folder.write("agent.toml", &config)?;
    let recipe = Recipe::new("agent", &programs()?.agent, folder.path()).args(["dns", "--config"]).args([config]);
    Ok(((recipe, address), names))
}

impl Contender {
    /// Starts it and waits until it answers for the last host.
    fn start(name: &'static str, recipe: &Recipe, address: SocketAddr, hosts: u32) -> Result<Self> {
        tell(&format!("starting {name}"));
        let begun = Instant::now();
        let mut program = recipe.start()?;
        let is_good = requests::dns(1).is_good;
        let (asker, mut reply) = (asker(address)?, [0; 512]);
        while !asker.send(&question(1, Host(hosts - 1))).and_then(|_| asker.recv(&mut reply)).is_ok_and(|len| is_good(&reply[..len])) {
            ensure!(program.is_running(), "{name} ended:\n{}", program.log());
            ensure!(begun.elapsed() < START_LIMIT, "{name} did not answer within {START_LIMIT:?}:\n{}", program.log());
            std::thread::sleep(Duration::from_millis(1));
        }
        let at_rates = vec![Samples::default(); RATES.len()];
        Ok(Self { name, program, address, start: begun.elapsed(), rates: Samples::default(), costs: Samples::default(), at_rates })
    }

    /// One round of the closed loop and one at each rate.
    fn round(&mut self, flood: &mut Flood, time: Duration) -> Result<()> {
        let before = process::cpu_time(self.program.pid())?;
        let tally = flood.closed(WINDOW, time)?;
        let cpu = process::cpu_time(self.program.pid())?.saturating_sub(before);
        self.check(&tally)?;
        self.rates.push(tally.answered as f64 / tally.time.as_secs_f64());
        self.costs.push(cpu.as_secs_f64() * 1e6 / tally.answered as f64);
        for (rate, samples) in RATES.into_iter().zip(&mut self.at_rates) {
            go_on()?;
            samples.push(flood.open(rate, time)?.quantile_us(0.99));
        }
        Ok(())
    }

    fn check(&self, tally: &Tally) -> Result<()> {
        ensure!(tally.wrong * 1000 <= tally.answered, "{}: {} wrong replies beside {} good ones", self.name, tally.wrong, tally.answered);
        if tally.lost > 0 {
            tell(&format!("{}: {} questions were lost beside {} answered", self.name, tally.lost, tally.answered));
        }
        Ok(())
    }

    fn lines(&self, memory: f64) -> Vec<Line> {
        let what = |figure: &str| format!("{}: {figure}", self.name);
        let mut lines = vec![
            Line::from_one(what("process start to the last host's answer"), self.start.as_secs_f64() * 1000.0, "ms"),
            Line::from_one(what("memory after all of it (PSS)"), memory, "MiB"),
            self.rates.clone().line(what(&format!("answers, {WINDOW} under way")), "1/s"),
            self.costs.clone().line(what("CPU for each"), "µs"),
        ];
        lines.extend(RATES.iter().zip(&self.at_rates).map(|(rate, samples)| samples.clone().line(what(&format!("p99 of a round at {rate}/s")), "µs")));
        lines
    }
}

fn rounds(settings: &Settings, contenders: &mut [Contender], hosts: u32) -> Result<()> {
    let mut floods = contenders.iter().map(|contender| Flood::towards(contender.address, hosts)).collect::<Result<Vec<_>>>()?;
    for (contender, flood) in contenders.iter().zip(&mut floods) {
        contender.check(&flood.closed(WINDOW, WARM_UP)?)?;
    }
    for round in 1..=settings.rounds {
        tell(&format!("{hosts} hosts: round {round} of {}", settings.rounds));
        for (contender, flood) in contenders.iter_mut().zip(&mut floods) {
            go_on()?;
            contender.round(flood, settings.round_time)?;
        }
    }
    Ok(())
}

/// One host is changed again and again while others ask.
fn edits(settings: &Settings, contenders: &mut [Contender], names: &mut Names, hosts: u32) -> Result<Section> {
    let mut lines = Vec::new();
    for contender in contenders {
        tell(&format!("{}: one host changed, over and over", contender.name));
        let (ended, server) = (AtomicBool::new(false), contender.address);
        let (shown, mut meanwhile) = std::thread::scope(|scope| {
            let flooding = scope.spawn(|| {
                let mut flood = Flood::towards(server, hosts)?;
                let mut all = Tally::default();
                while !ended.load(Ordering::Relaxed) {
                    let round = flood.open(EDIT_RATE, Duration::from_millis(500))?;
                    all.lost += round.lost;
                    all.longest_gap = all.longest_gap.max(round.longest_gap);
                    all.times_us.extend(round.times_us);
                }
                anyhow::Ok(all)
            });
            let shown = change_often(contender, names, hosts, settings.edits);
            ended.store(true, Ordering::Relaxed);
            let meanwhile = flooding.join().map_err(|_| anyhow::anyhow!("the flood fell over"))??;
            anyhow::Ok((shown?, meanwhile))
        })?;
        let what = |figure: &str| format!("{}: {figure}", contender.name);
        lines.extend(shown.into_iter().map(|(figure, samples)| samples.line(what(figure), "ms")));
        lines.push(Line::from_one(what("questions lost meanwhile"), meanwhile.lost as f64, ""));
        lines.push(Line::from_one(what("p99 meanwhile"), meanwhile.quantile_us(0.99), "µs"));
        lines.push(Line::from_one(what("longest time without any answer"), meanwhile.longest_gap.as_secs_f64() * 1000.0, "ms"));
    }
    Ok(Section { title: format!("One of {hosts} hosts is changed while {EDIT_RATE} questions a second are asked"), lines })
}

fn change_often(contender: &Contender, names: &mut Names, hosts: u32, edits: usize) -> Result<Vec<(&'static str, Samples)>> {
    if contender.name == "Knot" {
        let mut update = Update::new(contender.address)?;
        let mut acknowledged = Samples::default();
        // Each takes a quarter of a second: a few tell enough.
        for number in 0..edits.min(20) {
            go_on()?;
            let begun = Instant::now();
            update.send(ADDRESSES[number % ADDRESSES.len()]).with_context(|| format!("updating {HOST}"))?;
            acknowledged.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        return Ok(vec![("dynamic update sent to acknowledged and shown", acknowledged)]);
    }
    let (mut one, mut thousand) = (Samples::default(), Samples::default());
    for number in 0..edits {
        go_on()?;
        one.push(until_shown(contender, names, Host(hosts / 2)..Host(hosts / 2 + 1), number)?);
        std::thread::sleep(Duration::from_millis(20));
    }
    for number in 0..edits.min(20) {
        go_on()?;
        thousand.push(until_shown(contender, names, Host(0)..Host(1000), number)?);
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(vec![("one changed host taken by the box to shown", one), ("1000 changed hosts taken to the last one shown", thousand)])
}

/// How long it takes until the last of these hosts is answered with its new address, in milliseconds.
fn until_shown(contender: &Contender, names: &mut Names, hosts: std::ops::Range<Host>, number: usize) -> Result<f64> {
    let address = Ipv4Addr::new(10, 200, (number >> 8) as u8, number as u8);
    let (asker, mut reply) = (asker(contender.address)?, [0; 512]);
    let last = question(7, Host(hosts.end.0 - 1));
    let begun = names.change((hosts.start.0..hosts.end.0).map(Host), address)?;
    loop {
        asker.send(&last)?;
        let len = asker.recv(&mut reply).unwrap_or(0);
        if reply[..len].windows(4).any(|bytes| bytes == address.octets()) {
            return Ok(begun.elapsed().as_secs_f64() * 1000.0);
        }
        ensure!(begun.elapsed() < START_LIMIT, "the change was not shown within {START_LIMIT:?}");
    }
}

fn asker(server: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    Ok(socket)
}
