//! The world outside: a root, a top-level domain, a zone of somebody's, and two national servers that ask them; one cable leads there.

use anyhow::Result;
use holdfast_lab::cables::{Network, Place};
use holdfast_lab::folder::Folder;
use holdfast_lab::netns::Netns;
use holdfast_lab::process::{Program, Recipe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
/// The name that the national servers' certificate shows.
pub const NATIONAL_NAME: &str = "dns.national.example";
/// The root's only server.
pub const ROOT: &str = "192.0.2.1";
const ORG: &str = "192.0.2.2";
const FAR: &str = "192.0.2.3";
/// The national servers: the first is asked over TLS, the second in the clear.
pub const NATIONAL: [&str; 2] = ["192.0.2.53", "192.0.2.54"];
/// A departmental server, in a subnet of the samples.
pub const DEPARTMENT: &str = "10.1.8.53";
/// The box at the other end of the cable, without a name or a role.
pub const SOMEBODY: &str = "10.0.9.2";
/// Where the forwarder serves.
pub const FORWARDER: &str = "10.0.0.2";

pub struct World {
    /// The box.
    pub at: Netns,
    folder: PathBuf,
    /// Root, org and far.org.
    tree: Vec<Program>,
    /// The national servers.
    pub national: Vec<Program>,
}

impl World {
    /// Lays the cable to the master's box and starts all servers. The master's box gets the forwarder's address, too.
    pub fn build(network: &Network, folder: &Folder) -> Result<Self> {
        static BUILT: AtomicUsize = AtomicUsize::new(1000);
        let at = Netns::create(BUILT.fetch_add(1, Ordering::Relaxed), "world")?;
        let master = network.at(Place::Master);
        let ip = |place: &Netns, line: &str| place.ip(&line.split_whitespace().collect::<Vec<_>>());
        ip(master, &format!("link add world type veth peer name master netns {}", at.name()))?;
        for (place, interface) in [(master, "world"), (&at, "master")] {
            place.exec("ethtool", &["-K", interface, "tx", "off"])?;
        }
        for line in ["addr add 10.0.9.1/30 dev world", "link set world up", &format!("addr add {FORWARDER}/32 dev lo"), "route add 192.0.2.0/24 via 10.0.9.2"] {
            ip(master, line)?;
        }
        ip(&at, &format!("addr add {SOMEBODY}/30 dev master"))?;
        ip(&at, "link set dev master up")?;
        ip(&at, "route add 10.0.0.0/8 via 10.0.9.1")?;
        ip(master, &format!("route add {DEPARTMENT} via 10.0.9.2"))?;
        for address in [ROOT, ORG, FAR, NATIONAL[0], NATIONAL[1], DEPARTMENT] {
            ip(&at, &format!("addr add {address}/32 dev lo"))?;
        }
        let mut world = Self { at, folder: folder.path().to_owned(), tree: Vec::new(), national: Vec::new() };
        let soa = |zone: &str, server: &str| format!("$ORIGIN {zone}\n@ 300 SOA {server} host.{server} 1 7200 900 1209600 60\n@ 300 NS {server}\n");
        world.zone(ROOT, ".", &format!("{}ns.root. 300 A {ROOT}\norg. 300 NS ns.org.\nns.org. 300 A {ORG}\n", soa(".", "ns.root.")))?;
        world.zone(ORG, "org", &format!("{}ns.org. 300 A {ORG}\nfar.org. 300 NS ns.far.org.\nns.far.org. 300 A {FAR}\n", soa("org.", "ns.org.")))?;
        let hosts: String = (1..=20).map(|n| format!("h{n} 300 A 192.0.2.{}\n", 100 + n)).collect();
        let far = format!("ns 300 A {FAR}\nwww 300 A 192.0.2.80\nbrief 2 A 192.0.2.81\nalias 300 CNAME www\nlost 300 CNAME nowhere\n{hosts}");
        world.zone(FAR, "far.org", &format!("{}{far}", soa("far.org.", "ns.far.org.")))?;
        for address in NATIONAL {
            let program = world.national_server(address)?;
            world.national.push(program);
        }
        Ok(world)
    }

    /// What the national servers' certificate is signed by.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("national.pem")
    }

    fn zone(&mut self, address: &str, zone: &str, text: &str) -> Result<()> {
        let home = self.folder.join(format!("nsd-{address}"));
        std::fs::create_dir_all(&home)?;
        std::fs::write(home.join("zone"), text)?;
        let shown = home.display();
        let config = format!(
            "server:\n  ip-address: {address}\n  zonesdir: \"{shown}\"\n  database: \"\"\n  pidfile: \"\"\n  xfrdfile: \"{shown}/xfrd.state\"\n  \
             zonelistfile: \"{shown}/zone.list\"\n  xfrdir: \"{shown}\"\n  username: \"\"\n  server-count: 1\n  verbosity: 2\nremote-control:\n  control-enable: no\n\
             zone:\n  name: \"{zone}\"\n  zonefile: \"zone\"\n"
        );
        std::fs::write(home.join("nsd.conf"), config)?;
        let config = home.join("nsd.conf");
        assert!(Path::new("/usr/sbin/nsd").exists(), "nsd is missing: apt-get install --no-install-recommends nsd");
        let mut program = Recipe::new(&format!("nsd-{zone}"), "/usr/sbin/nsd", &home).args(["-d", "-c"]).args([&config]).inside(&self.at).start()?;
        program.wait_for_line("nsd started", PATIENCE)?;
        self.tree.push(program);
        Ok(())
    }

    fn national_server(&self, address: &str) -> Result<Program> {
        let home = self.folder.join(format!("national-{address}"));
        std::fs::create_dir_all(&home)?;
        if !self.authority().exists() {
            let made = rcgen::generate_simple_self_signed(vec![NATIONAL_NAME.to_owned()])?;
            std::fs::write(self.authority(), made.cert.pem())?;
            std::fs::write(self.folder.join("national.key"), made.signing_key.serialize_pem())?;
        }
        std::fs::write(home.join("root.hints"), format!(". 300 NS ns.root.\nns.root. 300 A {ROOT}\n"))?;
        let config = format!(
            "server:\n  directory: \"{home}\"\n  chroot: \"\"\n  pidfile: \"\"\n  username: \"\"\n  use-syslog: no\n  log-queries: yes\n  num-threads: 1\n  \
             interface: {address}@53\n  interface: {address}@853\n  tls-service-pem: \"{ca}\"\n  tls-service-key: \"{key}\"\n  outgoing-interface: {address}\n  \
             access-control: 10.0.0.0/8 allow\n  module-config: \"iterator\"\n  root-hints: \"{home}/root.hints\"\nremote-control:\n  control-enable: no\n",
            home = home.display(),
            ca = self.authority().display(),
            key = self.folder.join("national.key").display(),
        );
        self.unbound(&format!("national-{address}"), &home, &config)
    }

    /// A department's cache, which forwards to the master.
    pub fn departmental_server(&self) -> Result<Program> {
        let home = self.folder.join("department");
        std::fs::create_dir_all(&home)?;
        let config = format!(
            "server:\n  directory: \"{home}\"\n  chroot: \"\"\n  pidfile: \"\"\n  username: \"\"\n  use-syslog: no\n  num-threads: 1\n  interface: {DEPARTMENT}\n  \
             outgoing-interface: {DEPARTMENT}\n  access-control: 10.0.0.0/8 allow_snoop\n  module-config: \"iterator\"\nremote-control:\n  control-enable: no\n\
             forward-zone:\n  name: \".\"\n  forward-addr: {FORWARDER}\n",
            home = home.display(),
        );
        self.unbound("department", &home, &config)
    }

    fn unbound(&self, name: &str, home: &Path, config: &str) -> Result<Program> {
        let path = home.join("unbound.conf");
        std::fs::write(&path, config)?;
        assert!(Path::new("/usr/sbin/unbound").exists(), "unbound is missing: apt-get install --no-install-recommends unbound");
        let mut program = Recipe::new(name, "/usr/sbin/unbound", home).args(["-d", "-d", "-c"]).args([&path]).inside(&self.at).start()?;
        program.wait_for_line("start of service", PATIENCE)?;
        Ok(program)
    }

    /// How often the national servers were asked for a name.
    pub fn asked(&self, name: &str) -> usize {
        let asked = format!(" {name}. ");
        self.national.iter().map(|server| server.log().to_lowercase().lines().filter(|line| line.contains(&asked)).count()).sum()
    }

    /// Pulls the cable: neither side knows of it but by its carrier.
    pub fn unplug(&self) -> Result<()> {
        self.at.ip(&["link", "set", "dev", "master", "down"]).map(drop)
    }

    /// Plugs it in again, with the routes that the kernel took away.
    pub fn plug_in(&self) -> Result<()> {
        self.at.ip(&["link", "set", "dev", "master", "up"])?;
        self.at.ip(&["route", "replace", "10.0.0.0/8", "via", "10.0.9.1"]).map(drop)
    }
}
