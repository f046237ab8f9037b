//! The resolver beside unbound: the same upstream, the same questions, the same core, in turns.
//!
//! The first round asks for each name once, so that everything has to be asked for; all later ones find it in the cache. Of the time
//! that is measured the server's own (CPU) is what holds on a machine where others work.

use super::cores::{pinned, two};
use super::dns::flood::Flood;
use super::figures::{Line, Samples, Section};
use super::process;
use super::requests::{self, question};
use super::store::{Host, Names, Publisher};
use super::{Settings, free_port, go_on, tell};
use crate::folder::Folder;
use crate::process::{Program, Recipe};
use crate::programs::programs;
use anyhow::{Context, Result, ensure};
use holdfast_proto::words::NodeId;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

/// Debian's.
const UNBOUND: &str = "/usr/sbin/unbound";
/// Names, each asked for in up to two types: they all fit into either cache.
const HOSTS: u32 = 50_000;
/// Questions under way at once.
const WINDOW: usize = 64;
const START_LIMIT: Duration = Duration::from_secs(60);
/// Long enough to ask for everything once.
const FILL_LIMIT: Duration = Duration::from_secs(60);

struct Contender {
    name: &'static str,
    program: Program,
    address: SocketAddr,
    miss_cost_us: f64,
    rates: Samples,
    costs: Samples,
}

/// Misses and hits, ours and, where it is installed, unbound's.
pub(super) fn measure(settings: &Settings) -> Result<Vec<Section>> {
    let folder = Folder::new("bench-resolver")?;
    let (servers_core, loads_core) = two()?;
    let hosts = settings.hosts.min(HOSTS);
    tell(&format!("writing an upstream of {hosts} hosts"));
    let (upstream_address, state) = (free_port()?, folder.path().join("upstream"));
    let _names = Names::write(&state, hosts)?;
    // Without a limit: all that it hears comes from one network.
    let config = format!("state_dir = {:?}\n[dns]\nlisten = [\"{upstream_address}\"]\nworkers = 1\n", state.display().to_string());
    let config = folder.write("upstream.toml", &config)?;
    let upstream = Recipe::new("upstream", &programs()?.agent, folder.path()).args(["dns", "--config"]).args([config]);
    let mut upstream = pinned(loads_core, || upstream.start())??;
    wait_for(&mut upstream, upstream_address)?;
    let mut contenders = vec![pinned(servers_core, || ours(&folder, upstream_address))??];
    if Path::new(UNBOUND).exists() {
        contenders.push(pinned(servers_core, || unbound(&folder, upstream_address))??);
    } else {
        tell("unbound is not installed (apt-get install --no-install-recommends unbound), so the peer is left out");
    }
    pinned(loads_core, || rounds(settings, &mut contenders, hosts))??;
    let mut lines = Vec::new();
    for contender in &contenders {
        let what = |figure: &str| format!("{}: {figure}", contender.name);
        lines.push(Line::from_one(what("CPU for each question that is asked on"), contender.miss_cost_us, "µs"));
        lines.push(contender.rates.clone().line(what(&format!("answers from the cache, {WINDOW} under way")), "1/s"));
        lines.push(contender.costs.clone().line(what("CPU for each of them"), "µs"));
        lines.push(Line::from_one(what("memory after all of it (PSS)"), process::memory(contender.program.pid())?.proportional, "MiB"));
    }
    if let [ours, theirs] = &contenders[..] {
        lines.push(Line::from_one("unbound's CPU for each hit as a multiple of ours", theirs.costs.median() / ours.costs.median(), ""));
        lines.push(Line::from_one("unbound's CPU for each miss as a multiple of ours", theirs.miss_cost_us / ours.miss_cost_us, ""));
    }
    let title = format!("Resolver, {hosts} hosts (A, PTR; 10 % negative), each server on core {servers_core}, load and upstream on core {loads_core}");
    Ok(vec![Section { title, lines }])
}

fn ours(folder: &Folder, upstream: SocketAddr) -> Result<Contender> {
    let (address, state) = (free_port()?, folder.path().join("resolver"));
    Publisher::new()?.keep_identity(&state, NodeId([9; 16]), "resolver")?;
    let config = format!(
        "state_dir = {:?}\n[resolver]\nlisten = [\"{address}\"]\nworkers = 1\nreal_here = [\"10.in-addr.arpa\"]\n[resolver.cache]\nmebibytes = 256\n\
         [resolver.upstream]\nservers = [\"{upstream}\"]\n",
        state.display().to_string()
    );
    let config = folder.write("resolver.toml", &config)?;
    start("Holdfast", address, &Recipe::new("resolver", &programs()?.agent, folder.path()).args(["resolver", "--config"]).args([config]))
}

fn unbound(folder: &Folder, upstream: SocketAddr) -> Result<Contender> {
    let address = free_port()?;
    let config = format!(
        "server:\n  directory: \"{}\"\n  chroot: \"\"\n  pidfile: \"\"\n  username: \"\"\n  use-syslog: no\n  num-threads: 1\n  interface: 127.0.0.1@{}\n  \
         access-control: 127.0.0.0/8 allow\n  do-not-query-localhost: no\n  module-config: \"iterator\"\n  local-zone: \"10.in-addr.arpa.\" nodefault\n  \
         msg-cache-size: 128m\n  rrset-cache-size: 256m\n  outgoing-range: 4096\n  num-queries-per-thread: 2048\n  prefetch: yes\n  statistics-interval: 0\n\
         remote-control:\n  control-enable: no\nforward-zone:\n  name: \".\"\n  forward-addr: {}@{}\n",
        folder.path().display(),
        address.port(),
        upstream.ip(),
        upstream.port(),
    );
    let config = folder.write("unbound.conf", &config)?;
    start("unbound", address, &Recipe::new("unbound", UNBOUND, folder.path()).args(["-d", "-d", "-c"]).args([config]))
}

fn start(name: &'static str, address: SocketAddr, recipe: &Recipe) -> Result<Contender> {
    tell(&format!("starting {name}"));
    let mut program = recipe.start()?;
    wait_for(&mut program, address)?;
    Ok(Contender { name, program, address, miss_cost_us: f64::NAN, rates: Samples::default(), costs: Samples::default() })
}

/// Waits until a server answers for the first host.
fn wait_for(program: &mut Program, address: SocketAddr) -> Result<()> {
    let begun = Instant::now();
    let asker = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    asker.connect(address)?;
    asker.set_read_timeout(Some(Duration::from_millis(50)))?;
    let (mut asked, is_good, mut reply) = (question(1, Host(0)), requests::dns(1).is_good, [0; 512]);
    // Recursion is desired: one that has authority does not mind.
    asked[2] = 1;
    while !asker.send(&asked).and_then(|_| asker.recv(&mut reply)).is_ok_and(|len| is_good(&reply[..len])) {
        ensure!(program.is_running() && begun.elapsed() < START_LIMIT, "{address} does not answer:\n{}", program.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn rounds(settings: &Settings, contenders: &mut [Contender], hosts: u32) -> Result<()> {
    let mut floods = contenders.iter().map(|contender| Flood::at_resolver(contender.address, hosts)).collect::<Result<Vec<_>>>()?;
    for (contender, flood) in contenders.iter_mut().zip(&mut floods) {
        tell(&format!("{}: everything once", contender.name));
        let before = process::cpu_time(contender.program.pid())?;
        let tally = flood.once(WINDOW, FILL_LIMIT)?;
        let cpu = process::cpu_time(contender.program.pid())?.saturating_sub(before);
        ensure!(tally.answered > 0 && tally.wrong * 100 <= tally.answered, "{}: {} wrong, {} good", contender.name, tally.wrong, tally.answered);
        contender.miss_cost_us = cpu.as_secs_f64() * 1e6 / tally.answered as f64;
        // What was lost on the way is asked for again, so that the rounds find all of it.
        flood.once(WINDOW, FILL_LIMIT).context("asking again")?;
    }
    for round in 1..=settings.rounds {
        tell(&format!("resolver: round {round} of {}", settings.rounds));
        for (contender, flood) in contenders.iter_mut().zip(&mut floods) {
            go_on()?;
            let before = process::cpu_time(contender.program.pid())?;
            let tally = flood.closed(WINDOW, settings.round_time)?;
            let cpu = process::cpu_time(contender.program.pid())?.saturating_sub(before);
            ensure!(tally.wrong * 1000 <= tally.answered, "{}: {} wrong, {} good", contender.name, tally.wrong, tally.answered);
            contender.rates.push(tally.answered as f64 / tally.time.as_secs_f64());
            contender.costs.push(cpu.as_secs_f64() * 1e6 / tally.answered as f64);
        }
    }
    Ok(())
}
