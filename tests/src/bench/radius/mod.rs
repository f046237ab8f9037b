//! RADIUS beside FreeRADIUS (Debian's): the same accounts, the same requests, each server on one core and the load on another, in turns.
//!
//! The robust figure is the server's CPU for each request; answers per second are what came through beside whatever else runs on the machine.
//! Ours has its records of accounting on disk before it answers, FreeRADIUS writes them without syncing. EAP is spoken by eapol_test, whose own
//! cost bounds the pace, so there only the CPU says something, and the kernel counts it in hundredths of a second.

mod freeradius;
mod own;
mod requests;

use super::cores::{pinned, two};
use super::figures::{Line, Samples, Section};
use super::load::{Load, WINDOW};
use super::requests::Requests;
use super::{Settings, free_port, go_on, process, tell};
use crate::clients::eapol_test;
use crate::folder::Folder;
use crate::process::{Program, Recipe};
use anyhow::{Context, Result, ensure};
use requests::Certificates;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

/// What the NAS and both servers share.
const SECRET: &str = "testing123";
/// Everybody's.
const PASSWORD: &str = "joule-89667-euler";
/// Not counted: caches fill and the cores wake up.
const WARM_UP: Duration = Duration::from_millis(500);
const START_LIMIT: Duration = Duration::from_secs(120);
/// Conversations of EAP for each figure.
const CONVERSATIONS: u32 = 60;

/// A server to be laid out and started.
struct Contender {
    name: &'static str,
    _folder: Folder,
    recipe: Recipe,
    login: SocketAddr,
    accounting: SocketAddr,
}

/// What was found of one.
#[derive(Default)]
struct Found {
    lines: Vec<Line>,
    /// CPU in microseconds, by what was asked.
    costs: Vec<(String, f64)>,
    /// Records of accounting in a second.
    rate: f64,
    start_ms: f64,
    memory_mib: f64,
}

/// Both, where FreeRADIUS is installed.
pub(super) fn measure(settings: &Settings) -> Result<Vec<Section>> {
    let (server_core, load_core) = two()?;
    let users = settings.hosts;
    let certificates = Certificates::new()?;
    let mut contenders = vec![own::lay_out(users, &certificates)?];
    if Path::new(freeradius::PROGRAM).exists() {
        contenders.push(freeradius::lay_out(users, &certificates)?);
    } else {
        tell("FreeRADIUS is not installed (apt-get install --no-install-recommends freeradius), so the peer is left out");
    }
    let mut found = Vec::new();
    for contender in &contenders {
        found.push(contender.measure(settings, (server_core, load_core), users, &certificates)?);
    }
    let lines: Vec<Line> = found.iter().flat_map(|found| found.lines.clone()).collect();
    let title = format!("RADIUS, {users} accounts: each server on core {server_core}, the load on core {load_core}, {WINDOW} requests under way");
    let mut sections = vec![Section { title, lines }];
    if let [own, peer] = &found[..] {
        sections.push(Section { title: "RADIUS: FreeRADIUS as a multiple of ours, and the bar".to_owned(), lines: ratios(own, peer) });
    }
    Ok(sections)
}

fn ratios(own: &Found, peer: &Found) -> Vec<Line> {
    let bar = |what: &str| match what {
        what if what.starts_with("EAP-TLS") => "1.8",
        what if what.starts_with("TTLS") || what.starts_with("PEAP") => "1.5",
        what if what.starts_with("accounting") => "none",
        _ => "4",
    };
    let cost = |what: &String, ours: f64| {
        let (_, theirs) = peer.costs.iter().find(|(of, _)| of == what)?;
        Some(Line::from_one(format!("CPU, {what} (bar {})", bar(what)), theirs / ours, ""))
    };
    let mut lines: Vec<Line> = own.costs.iter().filter_map(|(what, ours)| cost(what, *ours)).collect();
    lines.push(Line::from_one("our durable records of accounting in a second, as a multiple of its own (bar 1)", own.rate / peer.rate, ""));
    lines.push(Line::from_one("start to first Access-Accept (bar: ours within 250 ms)", peer.start_ms / own.start_ms, ""));
    lines.push(Line::from_one("memory (bar: ours within 60 MiB)", peer.memory_mib / own.memory_mib, ""));
    lines
}

impl Contender {
    fn measure(&self, settings: &Settings, (server_core, load_core): (usize, usize), users: u32, certificates: &Certificates) -> Result<Found> {
        tell(&format!("starting {}", self.name));
        let mut found = Found::default();
        let mut starts = Samples::default();
        for _ in 1..settings.rounds {
            let (mut program, took) = pinned(server_core, || self.start(users))??;
            starts.push(took.as_secs_f64() * 1000.0);
            program.stop()?;
        }
        let (program, took) = pinned(server_core, || self.start(users))??;
        starts.push(took.as_secs_f64() * 1000.0);
        found.start_ms = starts.median();
        found.lines.push(starts.line(format!("{}: process start to the first Access-Accept", self.name), "ms"));
        for asked in [requests::pap(users)?, requests::mschap(users)?] {
            self.load(&program, self.login, &asked, settings, load_core, &mut found)?;
        }
        let memory = process::memory(program.pid())?.proportional;
        found.memory_mib = memory;
        found.lines.push(Line::from_one(format!("{}: memory after that (PSS)", self.name), memory, "MiB"));
        found.rate = self.load(&program, self.accounting, &requests::accounting(), settings, load_core, &mut found)?;
        for (what, network) in certificates.methods(PASSWORD) {
            go_on()?;
            tell(&format!("{}: {what}", self.name));
            let cost = pinned(load_core, || self.converse(&program, &network))?.with_context(|| format!("{}: {what}\n{}", self.name, program.log()))?;
            found.lines.push(Line::from_one(format!("{}: {what}, CPU for each", self.name), cost, "µs"));
            found.costs.push((what.to_owned(), cost));
        }
        Ok(found)
    }

    /// Starts it and asks until somebody may come in.
    fn start(&self, users: u32) -> Result<(Program, Duration)> {
        let begun = Instant::now();
        let mut program = self.recipe.start()?;
        let asker = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        asker.connect(self.login)?;
        asker.set_read_timeout(Some(Duration::from_millis(5)))?;
        let mut reply = [0; 4096];
        for number in 0.. {
            // Another request each time: one that was lost on a server that did not listen yet is not answered from memory.
            let request = requests::login(users - 1, number)?;
            if asker.send(&request).and_then(|_| asker.recv(&mut reply)).is_ok_and(|len| requests::is_accept(&reply[..len])) {
                break;
            }
            ensure!(program.is_running(), "{} ended:\n{}", self.name, program.log());
            ensure!(begun.elapsed() < START_LIMIT, "{} did not answer within {START_LIMIT:?}:\n{}", self.name, program.log());
        }
        Ok((program, begun.elapsed()))
    }

    /// Rounds of one kind of request; gives how many were answered in a second.
    fn load(&self, program: &Program, at: SocketAddr, asked: &Requests, settings: &Settings, core: usize, found: &mut Found) -> Result<f64> {
        tell(&format!("{}: {}", self.name, asked.what));
        let (mut rates, mut costs, mut lost) = (Samples::default(), Samples::default(), 0);
        let rounds = || -> Result<()> {
            let mut load = Load::start(at, asked)?;
            // Every request once, so that whoever remembers passwords knows them all.
            let mut warm = 0;
            while warm < asked.packets.len() as u64 {
                let tally = load.run(WARM_UP)?;
                ensure!(tally.answered > 0, "nobody answers");
                warm += tally.answered + tally.wrong + tally.lost;
            }
            for _ in 0..settings.rounds {
                go_on()?;
                let before = process::cpu_time(program.pid())?;
                let tally = load.run(settings.round_time)?;
                let cpu = process::cpu_time(program.pid())?.saturating_sub(before);
                ensure!(tally.wrong * 100 <= tally.answered, "{} of {} replies are none that were asked for", tally.wrong, tally.answered);
                rates.push(tally.answered as f64 / tally.time.as_secs_f64());
                costs.push(cpu.as_secs_f64() * 1e6 / tally.answered as f64);
                lost += tally.lost;
            }
            Ok(())
        };
        pinned(core, rounds)?.with_context(|| format!("{}: {}\n{}", self.name, asked.what, program.log()))?;
        let (rate, cost) = (rates.median(), costs.median());
        let what = |figure: &str| format!("{}: {}, {figure}", self.name, asked.what);
        found.lines.extend([rates.line(what("answered, as measured"), "1/s"), costs.line(what("CPU for each"), "µs")]);
        if lost > 0 {
            found.lines.push(Line::from_one(what("lost"), lost as f64, ""));
        }
        found.costs.push((asked.what.to_owned(), cost));
        Ok(rate)
    }

    /// The server's CPU for one conversation, in microseconds.
    fn converse(&self, program: &Program, network: &str) -> Result<f64> {
        let converse = || -> Result<()> {
            let said = eapol_test(None, self.login, SECRET, network, &[])?;
            ensure!(said.is_accepted && said.keys_match, "it was not let in:\n{}", said.said);
            Ok(())
        };
        converse()?;
        let before = process::cpu_time(program.pid())?;
        (0..CONVERSATIONS).try_for_each(|_| converse())?;
        let cpu = process::cpu_time(program.pid())?.saturating_sub(before);
        Ok(cpu.as_secs_f64() * 1e6 / f64::from(CONVERSATIONS))
    }
}

/// The name of an account by its number.
fn user(number: u32) -> String {
    format!("user{number}")
}
