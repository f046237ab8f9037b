//! All of Holdfast in one value: the network, a master, a portal and two agents, each with its configuration.
//!
//! [`Lab::build`] lays everything out and starts nothing; a test or the demo then starts the parts it wants, in its own order and
//! at its own time of day, and what it started ends with the value. This is the one place that knows how our programs are
//! started: their arguments, their configuration files, and where each says that it is well.

use crate::cables::{Campus, Network, Place};
use crate::folder::Folder;
use crate::netns::Netns;
use crate::process::{Program, Recipe};
use crate::programs::programs;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a part may take to say that it is well: the master makes a database at its first start.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Where agents and the portal dial in.
const CONTROL_PORT: u16 = 7443;

/// A program of ours, in its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// `holdfast-master serve`.
    Master,
    /// `holdfast-master auth-portal serve`.
    Portal,
    /// `holdfast-agent run`.
    Agent(Campus),
}

/// What the parts stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// Boxes, cables and real ports. Needs root.
    Cables,
    /// This machine's loopback and high ports, for a plain user.
    Loopback,
}

/// The whole of it. The programs end before the network and the folder go.
#[derive(Debug)]
pub struct Lab {
    running: BTreeMap<Part, Program>,
    recipes: BTreeMap<Part, Recipe>,
    ground: Ground,
    network: Option<Network>,
    folder: Folder,
}

impl Part {
    /// All of them, in the order in which they are started.
    pub const ALL: [Self; 4] = [Self::Master, Self::Portal, Self::Agent(Campus::North), Self::Agent(Campus::South)];

    /// Its name: also that of its folder, its log and its configuration file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Portal => "portal",
            Self::Agent(campus) => campus.name(),
        }
    }

    fn place(self) -> Place {
        match self {
            Self::Master | Self::Portal => Place::Master,
            Self::Agent(campus) => Place::Agent(campus),
        }
    }

    fn role(self) -> &'static [&'static str] {
        match self {
            Self::Master => &["serve"],
            Self::Portal => &["auth-portal", "serve"],
            Self::Agent(_) => &["run"],
        }
    }
}

impl Ground {
    /// Where a part says `/healthz`, `/readyz` and `/metrics`: on the loopback of its box. The master says it at its web door.
    pub fn status(self, part: Part) -> SocketAddr {
        let port = match (part, self) {
            (Part::Master, _) => 8080,
            (Part::Portal, _) => 9154,
            (Part::Agent(_), Self::Cables) => 9153,
            (Part::Agent(campus), Self::Loopback) => 9160 + campus as u16,
        };
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    /// Where the master answers names, and gives and takes zones.
    pub fn master_dns(self) -> SocketAddr {
        match self {
            Self::Cables => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 53)),
            Self::Loopback => SocketAddr::from((Ipv4Addr::LOCALHOST, 5310)),
        }
    }

    /// Where an agent answers names.
    pub fn dns(self, campus: Campus) -> SocketAddr {
        self.service(campus, 53, 5310)
    }

    /// Where an agent answers BOOTP and DHCP.
    pub fn dhcp(self, campus: Campus) -> SocketAddr {
        self.service(campus, 67, 6710)
    }

    /// Where an agent answers RADIUS.
    pub fn radius(self, campus: Campus) -> SocketAddr {
        self.service(campus, 1812, 18120)
    }

    /// Where an agent takes what NASs say of sessions.
    pub fn accounting(self, campus: Campus) -> SocketAddr {
        self.service(campus, 1813, 18130)
    }

    fn service(self, campus: Campus, real: u16, high: u16) -> SocketAddr {
        match self {
            Self::Cables => SocketAddr::from((campus.agent(), real)),
            Self::Loopback => SocketAddr::from((Ipv4Addr::LOCALHOST, high + campus as u16)),
        }
    }

    /// Where the master is dialled by agents and the portal.
    pub fn control(self) -> SocketAddr {
        match self {
            Self::Cables => SocketAddr::from((Network::MASTER, CONTROL_PORT)),
            Self::Loopback => SocketAddr::from((Ipv4Addr::LOCALHOST, CONTROL_PORT)),
        }
    }

    /// A part's configuration file.
    fn config(self, part: Part, state_dir: &str) -> String {
        let status = self.status(part);
        match part {
            Part::Master => {
                let control = self.control();
                let (dns, own, probes) = (self.master_dns(), control.ip(), self.probes());
                let dns = format!("[dns]\nlisten = [\"{dns}\"]\nsource = [\"{own}\"]\n");
                format!("state_dir = {state_dir:?}\n[web]\nlisten = \"{status}\"\n[control]\nlisten = \"{control}\"\n{dns}{probes}")
            }
            Part::Portal => format!("state_dir = {state_dir:?}\n[status]\nlisten = \"{status}\"\n"),
            Part::Agent(campus) => {
                format!("state_dir = {state_dir:?}\n[uplink]\nmaster = \"{}\"\n[status]\nlisten = \"{status}\"\n{}", self.control(), self.services(campus))
            }
        }
    }

    /// Where the master asks the agents whether they answer: the samples name no service addresses.
    fn probes(self) -> String {
        let of = |campus: Campus| {
            let (name, dns, dhcp, radius) = (campus.name(), self.dns(campus), self.dhcp(campus), self.radius(campus));
            format!("[probe.agents.{name}]\ndns = \"{dns}\"\ndhcp = \"{dhcp}\"\nradius = \"{radius}\"\n")
        };
        Campus::BOTH.map(of).concat()
    }

    /// On cables an agent listens where it does by default: on wildcards and the protocols' own ports.
    fn services(self, campus: Campus) -> String {
        match self {
            Self::Cables => String::new(),
            Self::Loopback => {
                let (dns, dhcp, radius, accounting) = (self.dns(campus), self.dhcp(campus), self.radius(campus), self.accounting(campus));
                format!("[dns]\nlisten = [\"{dns}\"]\n[dhcp]\nlisten = \"{dhcp}\"\n[radius]\nlisten = [\"{radius}\"]\naccounting = [\"{accounting}\"]\n")
            }
        }
    }
}

impl Lab {
    /// Builds the programs, lays the network, writes the configuration. Nothing runs yet.
    pub fn build(ground: Ground, folder: Folder) -> Result<Self> {
        let programs = programs()?;
        let network = if ground == Ground::Cables { Some(Network::build()?) } else { None };
        let mut recipes = BTreeMap::new();
        for part in Part::ALL {
            let state = folder.path().join(part.name());
            let config = ground.config(part, &state.display().to_string());
            let config = folder.write(&format!("{}.toml", part.name()), &config)?;
            let program = if let Part::Agent(_) = part { &programs.agent } else { &programs.master };
            let mut recipe = Recipe::new(part.name(), program, &folder.path().join("logs")).args(part.role()).args(["--config"]).args([config]);
            if let Some(network) = &network {
                recipe = recipe.inside(network.at(part.place()));
            }
            recipes.insert(part, recipe);
        }
        Ok(Self { running: BTreeMap::new(), recipes, ground, network, folder })
    }

    /// Runs a program of a part's to its end, in the part's box and with its configuration: what it printed.
    pub fn run(&self, part: Part, args: &[&str]) -> Result<String> {
        let config = self.folder.path().join(format!("{}.toml", part.name()));
        let programs = programs()?;
        let program = if let Part::Agent(_) = part { &programs.agent } else { &programs.master };
        let mut command = self.command_at(part.place(), program);
        command.arg("--config").arg(config).args(args);
        said(command, &format!("{} {}", part.name(), args.join(" ")))
    }

    /// The admin, who works while parts come and go.
    pub fn admin(&self) -> Result<Admin> {
        let token = std::fs::read_to_string(self.token_file()).context("the lab has no token yet: bring it up first")?;
        Ok(Admin {
            cli: programs()?.cli.clone(),
            namespace: self.at(Place::Master).map(|namespace| namespace.name().to_owned()),
            server: format!("http://{}", self.ground.status(Part::Master)),
            token: token.trim().to_owned(),
        })
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    fn command_at(&self, place: Place, program: &Path) -> Command {
        match self.at(place) {
            Some(namespace) => namespace.command(program),
            None => Command::new(program),
        }
    }

    /// What it stands on.
    pub fn ground(&self) -> Ground {
        self.ground
    }

    /// Its cables, where it has any.
    ///
    /// # Panics
    /// Where it stands on the loopback: a test that pulls cables asks for them first.
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("a lab on cables")
    }

    /// The box of a part or a client; `None` on the loopback.
    pub fn at(&self, place: Place) -> Option<&Netns> {
        self.network.as_ref().map(|network| network.at(place))
    }

    /// Where everything is kept: `<part>/` is its state, `<part>.toml` its configuration, `logs/<part>.log` its words.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// How a part is started, to be changed before it is: its clock, its environment.
    ///
    /// # Panics
    /// Never: every part has a recipe.
    pub fn recipe(&mut self, part: Part) -> &mut Recipe {
        self.recipes.get_mut(&part).expect("every part has a recipe")
    }

    /// Starts a part and waits until it is well: it runs and answers `/healthz`. Whether it has anything to serve is for
    /// [`Lab::wait_until`] with `/readyz`.
    pub fn start(&mut self, part: Part) -> Result<()> {
        ensure!(!self.running.contains_key(&part), "{} runs already", part.name());
        self.refuse_taken_ports(part)?;
        let program = self.recipes[&part].start()?;
        self.running.insert(part, program);
        self.wait_until(part, "/healthz", START_LIMIT)
    }

    /// On the loopback every part needs ports that nobody else has: otherwise somebody else's answers would pass for its own.
    fn refuse_taken_ports(&self, part: Part) -> Result<()> {
        if self.ground == Ground::Cables {
            return Ok(());
        }
        let (mut tcp, mut udp) = (vec![self.ground.status(part)], Vec::new());
        match part {
            Part::Master => {
                tcp.extend([self.ground.control(), self.ground.master_dns()]);
                udp.push(self.ground.master_dns());
            }
            Part::Portal => {}
            Part::Agent(campus) => udp.extend([self.ground.dns(campus), self.ground.dhcp(campus), self.ground.radius(campus), self.ground.accounting(campus)]),
        }
        let taken = |address: &SocketAddr| format!("{address} is taken by another program (another demo?): stop it, then start again");
        for address in &tcp {
            std::net::TcpListener::bind(address).with_context(|| taken(address))?;
        }
        for address in &udp {
            std::net::UdpSocket::bind(address).with_context(|| taken(address))?;
        }
        Ok(())
    }

    /// A part that was started: to read its log, stop it, kill it, restart it.
    pub fn program(&mut self, part: Part) -> Result<&mut Program> {
        self.running.get_mut(&part).with_context(|| format!("{} was not started", part.name()))
    }

    /// Stops a part in order; the next [`Lab::start`] starts it anew.
    pub fn stop(&mut self, part: Part) -> Result<()> {
        let mut program = self.running.remove(&part).with_context(|| format!("{} was not started", part.name()))?;
        let status = program.stop()?;
        ensure!(status.success(), "{} ended with {status} when it was asked to stop", part.name());
        Ok(())
    }

    /// Kills a part as a power cut does; the next [`Lab::start`] starts it anew.
    pub fn kill(&mut self, part: Part) -> Result<()> {
        let mut program = self.running.remove(&part).with_context(|| format!("{} was not started", part.name()))?;
        program.kill().map(drop)
    }

    /// Stops everything, agents first.
    pub fn stop_all(&mut self) -> Result<()> {
        Part::ALL.into_iter().rev().filter(|part| self.running.contains_key(part)).collect::<Vec<_>>().into_iter().try_for_each(|part| self.stop(part))
    }

    /// Waits until a part says 200 to a path of its status page.
    pub fn wait_until(&mut self, part: Part, path: &str, limit: Duration) -> Result<()> {
        let address = self.ground.status(part);
        let deadline = Instant::now() + limit;
        loop {
            let said = on_ground(self.at(part.place()), || get(address, path))?;
            if said.as_ref().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return Ok(());
            }
            let program = self.program(part)?;
            if !program.is_running() || Instant::now() >= deadline {
                let said = said.unwrap_or_else(|wrong| format!("{wrong:#}"));
                bail!("{} did not say 200 to {path} within {limit:?}, but: {said}\nits words:\n{}", part.name(), program.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The admin's command line, as `holdfast` on the master's host.
#[derive(Debug, Clone)]
pub struct Admin {
    cli: PathBuf,
    namespace: Option<String>,
    server: String,
    token: String,
}

impl Admin {
    /// The same admin, who asks the master at another web door.
    pub fn at(self, web: SocketAddr) -> Self {
        Self { server: format!("http://{web}"), ..self }
    }

    /// Runs `holdfast` with these arguments: what it printed, or what it said against them.
    pub fn holdfast(&self, args: &[&str]) -> Result<String> {
        let mut command = match &self.namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(&self.cli);
                command
            }
            None => Command::new(&self.cli),
        };
        command.args(args).env("HOLDFAST_SERVER", &self.server).env("HOLDFAST_TOKEN", &self.token);
        said(command, &format!("holdfast {}", args.join(" ")))
    }
}

impl Drop for Lab {
    /// A killed master or portal leaves its database running, to be adopted; the lab's folder is about to go.
    fn drop(&mut self) {
        self.running.clear();
        for (part, args) in [(Part::Master, &["engine", "stop"][..]), (Part::Portal, &["auth-portal", "engine-stop"])] {
            if self.folder.path().join(part.name()).join("postgres/data/postmaster.pid").exists()
                && let Err(wrong) = self.run(part, args)
            {
                eprintln!("the database of the {} could not be stopped: {wrong:#}", part.name());
            }
        }
    }
}

/// Runs a command to its end: what it printed. A failure says what it said.
fn said(mut command: Command, what: &str) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{what} cannot be started"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{what} ended with {}: {}{}", output.status, String::from_utf8_lossy(&output.stderr), printed);
    Ok(printed)
}

/// Runs a function inside a box, or here on the loopback.
pub fn on_ground<T: Send>(place: Option<&Netns>, work: impl FnOnce() -> T + Send) -> Result<T> {
    match place {
        Some(namespace) => namespace.inside(work),
        None => Ok(work()),
    }
}

/// One GET over plain HTTP: the whole answer as it came.
pub fn get(address: SocketAddr, path: &str) -> Result<String> {
    let patience = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configurations_are_read_by_the_programs() {
        for ground in [Ground::Cables, Ground::Loopback] {
            let master: holdfast_master::config::Config = toml::from_str(&ground.config(Part::Master, "/x")).unwrap();
            assert_eq!((master.control.listen, &master.dns.listen[..]), (ground.control(), &[ground.master_dns()][..]));
            toml::from_str::<holdfast_master::config::PortalConfig>(&ground.config(Part::Portal, "/x")).unwrap();
            for campus in Campus::BOTH {
                let agent: holdfast_agent::config::Config = toml::from_str(&ground.config(Part::Agent(campus), "/x")).unwrap();
                assert_eq!(agent.dns.listen[0].port(), ground.dns(campus).port());
                assert_eq!(agent.radius.listen[0].port(), ground.radius(campus).port());
            }
        }
    }
}
