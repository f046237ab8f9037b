//! One service of an agent without a master: a folder made for it, the real program in a box, and rows that a test publishes as it likes.
//!
//! Why it exists: how leases are lent and how names are resolved does not depend on a master, so a test of it need not wait for one. The
//! rows are sealed by a publisher of the test's own and kept by the agent's own keeper, as `uplink` does; so the program verifies and
//! follows them as ever.

use crate::bench::store::Publisher;
use crate::cables::{Campus, Network, Place};
use crate::folder::Folder;
use crate::process::{Program, Recipe};
use crate::programs::programs;
use anyhow::{Context, Result};
use holdfast_agent::store::{Keeper, feed_dir, store_key};
use holdfast_proto::radius::{NAS, Nas, NasRights, nas_key};
use holdfast_proto::snapshot::{Change, DataKey, Feed, HpkePublic, NODE, Node, NodeRole, NodeStatus, State, node_key, wrapped_key_row};
use holdfast_proto::words::NodeId;
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a start may take.
const START_LIMIT: Duration = Duration::from_secs(20);

/// One service of a campus's agent.
pub struct Lone {
    service: &'static str,
    recipe: Recipe,
    program: Option<Program>,
    keepers: BTreeMap<Feed, (Keeper, State)>,
    publisher: Publisher,
    /// What its secrets are encrypted to.
    hpke: HpkePublic,
    state_dir: PathBuf,
    folder: Folder,
}

impl Lone {
    /// The number of a campus's agent.
    pub fn number(campus: Campus) -> NodeId {
        NodeId([campus as u8; 16])
    }

    /// `holdfast-agent dhcp` with these rows of the bootptab feed; the roster names both campuses. Starts nothing.
    pub fn dhcp(network: &Network, campus: Campus, rows: Vec<Change>) -> Result<Self> {
        let peers: String =
            Campus::BOTH.iter().filter(|peer| **peer != campus).map(|peer| format!("[peers.{}]\ndhcp = \"{}:67\"\n", peer.name(), peer.agent())).collect();
        let mut lone = Self::lay_out(network, campus, "dhcp", &peers)?;
        lone.publish(Feed::BOOTPTAB, rows)?;
        Ok(lone)
    }

    /// `holdfast-agent resolver` with these lines of configuration, and rows of the zone and bootptab feeds.
    pub fn resolver(network: &Network, campus: Campus, settings: &str, zone: Vec<Change>, bootptab: Vec<Change>) -> Result<Self> {
        let mut lone = Self::lay_out(network, campus, "resolver", settings)?;
        lone.publish(Feed::ZONE, zone)?;
        lone.publish(Feed::BOOTPTAB, bootptab)?;
        Ok(lone)
    }

    /// `holdfast-agent radius` with these lines of configuration and NASs, by their networks and secrets; and nobody who could log in.
    pub fn radius(network: &Network, campus: Campus, settings: &str, nass: &[(&str, &str)]) -> Result<Self> {
        let mut lone = Self::lay_out(network, campus, "radius", settings)?;
        let (key, node) = (DataKey::generate()?, Self::number(campus));
        let wrapped = wrapped_key_row(&key, node, &lone.hpke)?;
        let row = |(net, secret): &(&str, &str)| {
            let row_key = nas_key(net.parse()?);
            let nas = Nas {
                name: (*net).to_owned(),
                secret: key.encrypt(NAS, &row_key, secret.as_bytes())?,
                require_message_authenticator: true,
                has_former_secret: false,
                rights: NasRights::default(),
            };
            Ok(Change::put(NAS, row_key, nas.encode()))
        };
        let rows = nass.iter().map(row).collect::<Result<Vec<_>>>()?;
        lone.publish(Feed::ACCESS, [vec![wrapped.clone()], rows].concat())?;
        lone.publish(Feed::PEOPLE, vec![wrapped])?;
        Ok(lone)
    }

    fn lay_out(network: &Network, campus: Campus, service: &'static str, settings: &str) -> Result<Self> {
        let folder = Folder::new(campus.name())?;
        let (publisher, state_dir) = (Publisher::new()?, folder.path().join("state"));
        let hpke = publisher.keep_identity(&state_dir, Self::number(campus), campus.name())?;
        let config = folder.write("agent.toml", &format!("state_dir = {:?}\n{settings}", state_dir.display().to_string()))?;
        let name = format!("{service}-{}", campus.name());
        let recipe = Recipe::new(&name, &programs()?.agent, folder.path()).args([service, "--config"]).args([config]).inside(network.at(Place::Agent(campus)));
        let mut lone = Self { service, recipe, program: None, keepers: BTreeMap::new(), publisher, hpke, state_dir, folder };
        lone.publish(Feed::TRUST, roster())?;
        Ok(lone)
    }

    /// The next generation of a feed: the program serves it a moment later.
    pub fn publish(&mut self, feed: Feed, rows: Vec<Change>) -> Result<()> {
        let (dir, run_dir, trust) = (feed_dir(&self.state_dir, feed), self.state_dir.join("run"), self.publisher.trust().clone());
        if !self.keepers.contains_key(&feed) {
            std::fs::create_dir_all(&run_dir)?;
            let (keeper, _) = Keeper::open(&dir, &run_dir, feed, &trust.clone().into(), &store_key(&self.state_dir))?;
            self.keepers.insert(feed, (keeper, State::empty(feed)));
        }
        let (keeper, state) = self.keepers.get_mut(&feed).context("it was opened above")?;
        let is_first = state.sealed().is_none();
        let (sealed, payload, next) = self.publisher.publish(state, rows)?;
        let kept = if is_first { keeper.take_rows(&trust, None, &sealed, &payload) } else { keeper.take_frame(&trust, &sealed, false, &payload) };
        if let Some(wrong) = kept?.disk_error {
            return Err(wrong).context("keeping a generation");
        }
        *state = next;
        keeper.settle()?;
        Ok(())
    }

    /// Starts the program and waits until it serves.
    pub fn start(&mut self) -> Result<()> {
        let mut program = self.recipe.start()?;
        program.wait_for_line("event=\"service_ready\"", START_LIMIT)?;
        self.program = Some(program);
        Ok(())
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) -> Result<()> {
        let mut program = self.program.take().context("it was not started")?;
        program.kill().map(drop)
    }

    /// Runs another command of the program with its configuration: what it printed.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        let output = std::process::Command::new(&programs()?.agent).arg("--config").arg(self.folder.path().join("agent.toml")).args(args).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        self.program.as_ref().map(Program::log).unwrap_or_default()
    }

    /// The sum of all its counters whose line begins like this.
    pub fn counted(&self, name: &str) -> Result<u64> {
        let mut text = String::new();
        UnixStream::connect(self.state_dir.join(format!("run/{}.counters", self.service)))?.read_to_string(&mut text)?;
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.map(|line| Ok(line.rsplit(' ').next().context("a counter has a value")?.parse::<f64>()? as u64)).sum()
    }

    /// Waits until a counter has reached a value.
    pub fn wait_counted(&self, name: &str, least: u64) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while self.counted(name)? < least {
            anyhow::ensure!(Instant::now() < deadline, "{name} did not reach {least}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Where its state is.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Where its files are.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }
}

fn roster() -> Vec<Change> {
    let row = |campus: Campus| {
        let (role, status) = (NodeRole::Agent, NodeStatus::Active);
        let node = Node { role, status, name: campus.name().into(), campus: campus.name().into(), hpke_public: vec![], addresses: vec![] };
        Change::put(NODE, node_key(Lone::number(campus)), node.encode().expect("short names fit"))
    };
    Campus::BOTH.map(row).into()
}
