//! The real agent on the store of a large institution: how soon it answers, what it holds, how much it answers.

use super::cores::{pinned, two};
use super::figures::{Line, Samples, Section};
use super::load::{Load, Tally, WINDOW};
use super::process::{self, Memory};
use super::requests::{self, Requests};
use super::store::{self, Host};
use super::{Settings, free_port, go_on, tell};
use crate::folder::Folder;
use crate::process::{Program, Recipe};
use crate::programs::programs;
use anyhow::{Context, Result, ensure};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a starting agent is asked.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// No start takes longer.
const START_LIMIT: Duration = Duration::from_secs(60);
/// After its first answer an agent still opens its data keys; then it is at rest.
const SETTLE: Duration = Duration::from_millis(500);
/// Not counted: caches fill and the cores wake up.
const WARM_UP: Duration = Duration::from_millis(500);

/// Cold starts and memory, then requests per second.
pub(super) fn measure(settings: &Settings) -> Result<Vec<Section>> {
    tell(&format!("writing the store of an agent for {} hosts", settings.hosts));
    let agent = Agent::lay_out(settings.hosts)?;
    Ok(vec![agent.starts(settings)?, agent.loads(settings)?])
}

/// An agent's folder, configuration and ports.
struct Agent {
    folder: Folder,
    recipe: Recipe,
    hosts: u32,
    dns: SocketAddr,
    bootp: SocketAddr,
    radius: SocketAddr,
}

impl Agent {
    fn lay_out(hosts: u32) -> Result<Self> {
        let folder = Folder::new("bench-agent")?;
        let state = folder.path().join("state");
        store::write(&state, hosts)?;
        let [dns, bootp, radius, status] = [free_port()?, free_port()?, free_port()?, free_port()?];
        let config = format!(
            "state_dir = {:?}\n[dns]\nlisten = [\"{dns}\"]\n[dhcp]\nlisten = \"{bootp}\"\n[radius]\nlisten = [\"{radius}\"]\naccounting = []\n[status]\nlisten = \"{status}\"\n",
            state.display().to_string()
        );
        let config = folder.write("agent.toml", &config)?;
        let recipe = Recipe::new("agent", &programs()?.agent, folder.path()).args(["run", "--config"]).args([config]);
        Ok(Self { folder, recipe, hosts, dns, bootp, radius })
    }

    /// Starts it over and over.
    fn starts(&self, settings: &Settings) -> Result<Section> {
        let (mut times, mut memory) = (Samples::default(), Vec::new());
        for round in 1..=settings.rounds {
            tell(&format!("cold start {round} of {}", settings.rounds));
            go_on()?;
            self.forget_pages()?;
            let (mut program, took) = self.start()?;
            times.push(took.as_secs_f64() * 1000.0);
            std::thread::sleep(SETTLE);
            memory.push(process::memory(program.pid())?);
            program.stop()?;
        }
        let of = |what: &str, part: fn(&Memory) -> f64| memory.iter().map(part).collect::<Samples>().line(what, "MiB");
        let mut lines = vec![
            times.line("process start to first DNS answer, files not in memory", "ms"),
            of("agent memory, its proportional share (PSS)", |memory| memory.proportional),
            of("agent memory, resident (RSS)", |memory| memory.resident),
            of("agent memory, peak while it starts (RSS)", |memory| memory.peak),
        ];
        lines.extend(self.sizes()?);
        Ok(Section { title: format!("Cold start and memory: an agent with {} hosts (A, PTR, reservation)", self.hosts), lines })
    }

    /// The size of all files, and of the live bases alone.
    fn sizes(&self) -> Result<[Line; 2]> {
        let (mut all, mut base) = (0, 0);
        for path in self.files()? {
            let len = fs::metadata(&path)?.len();
            all += len;
            // Both slots hold a base; the second one is the one before or after.
            base += if path.ends_with("b/base") { len } else { 0 };
        }
        let line = |bytes: u64, what: &str| Samples::from_iter([bytes as f64 / f64::from(1 << 20)]).line(what, "MiB");
        Ok([line(all, "store on disk, all slots and logs"), line(base, "store on disk, one base of each feed")])
    }

    /// Starts it and asks until it answers.
    fn start(&self) -> Result<(Program, Duration)> {
        let question = requests::question(1, Host(self.hosts / 2));
        let is_good = requests::dns(1).is_good;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(self.dns)?;
        socket.set_read_timeout(Some(ASK_EVERY))?;
        let mut reply = [0; 512];
        let begun = Instant::now();
        let mut program = self.recipe.start()?;
        while begun.elapsed() < START_LIMIT {
            let asked = Instant::now();
            // Until its socket is bound, ICMP refuses both the sending and the receiving, at once.
            if socket.send(&question).and_then(|_| socket.recv(&mut reply)).is_ok_and(|len| is_good(&reply[..len])) {
                return Ok((program, begun.elapsed()));
            }
            std::thread::sleep(ASK_EVERY.saturating_sub(asked.elapsed()));
        }
        ensure!(program.is_running(), "the agent ended:\n{}", program.log());
        anyhow::bail!("the agent did not answer within {START_LIMIT:?}:\n{}", program.log())
    }

    /// Takes the files out of the kernel's memory, as after a power cut.
    fn forget_pages(&self) -> Result<()> {
        for path in self.files()? {
            let file = File::open(&path)?;
            file.sync_all()?;
            posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).with_context(|| format!("cannot forget {}", path.display()))?;
        }
        Ok(())
    }

    fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        collect(&self.folder.path().join("state"), &mut files)?;
        Ok(files)
    }

    /// Each protocol in turn, the agent on one core and the load on another.
    fn loads(&self, settings: &Settings) -> Result<Section> {
        let (agents_core, loads_core) = two()?;
        let (program, _) = pinned(agents_core, || self.start())??;
        std::thread::sleep(SETTLE);
        let protocols = [(self.dns, requests::dns(self.hosts)), (self.bootp, requests::bootp(self.hosts)), (self.radius, requests::radius()?)];
        let mut lines = Vec::new();
        for (server, requests) in &protocols {
            tell(&format!("{}: {} rounds of {:?}", requests.what, settings.rounds, settings.round_time));
            lines.extend(pinned(loads_core, || load(&program, *server, requests, settings))??);
        }
        let memory = process::memory(program.pid())?;
        lines.push(Samples::from_iter([memory.proportional]).line("agent memory after all of it (PSS)", "MiB"));
        let title = format!("Requests on one core: the same agent on core {agents_core}, the load on core {loads_core}, loopback, {WINDOW} under way");
        Ok(Section { title, lines })
    }
}

/// Rounds of one protocol's load: what came through beside whatever else runs here, the core's time for each answer, and what
/// that makes of a core that does nothing else.
fn load(program: &Program, server: SocketAddr, requests: &Requests, settings: &Settings) -> Result<[Line; 3]> {
    let (mut rates, mut costs, mut whole) = (Samples::default(), Samples::default(), Samples::default());
    let mut load = Load::start(server, requests)?;
    load.run(WARM_UP)?;
    for _ in 0..settings.rounds {
        go_on()?;
        let before = process::cpu_time(program.pid())?;
        let tally = load.run(settings.round_time)?;
        let cpu = process::cpu_time(program.pid())?.saturating_sub(before);
        check(requests, tally)?;
        rates.push(tally.answered as f64 / tally.time.as_secs_f64());
        costs.push(cpu.as_secs_f64() * 1e6 / tally.answered as f64);
        whole.push(tally.answered as f64 / cpu.as_secs_f64());
    }
    let what = |figure: &str| format!("{}: {figure}", requests.what);
    Ok([rates.line(what("answers, as measured"), "1/s"), costs.line(what("agent's CPU for each"), "µs"), whole.line(what("answers per second of CPU"), "1/s")])
}

fn check(requests: &Requests, tally: Tally) -> Result<()> {
    ensure!(tally.wrong == 0, "{}: {} wrong replies beside {} good ones", requests.what, tally.wrong, tally.answered);
    if tally.lost > 0 {
        tell(&format!("{}: {} requests were lost beside {} answered", requests.what, tally.lost, tally.answered));
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}
