//! BIND, NSD and Knot as secondaries of the master, and as primaries that it copies from: in the master's box, on addresses of their own.

use holdfast_lab::cables::Network;
use holdfast_lab::clients::Dig;
use holdfast_lab::folder::Folder;
use holdfast_lab::netns::Netns;
use holdfast_lab::process::{Program, Recipe};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The name of the key that all of them share with the master.
pub const KEY: &str = "lab.key";
/// Where the master hears them.
pub const MASTER: Ipv4Addr = Network::MASTER;

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bind,
    Nsd,
    Knot,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Bind, Self::Nsd, Self::Knot];

    pub fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Nsd => "nsd",
            Self::Knot => "knot",
        }
    }

    /// Its address in the master's box; the port is 5300 and something, so that the master can have its own.
    pub fn address(self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2 + self as u8), 5300))
    }
}

/// What it is for a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It has the zone from the master.
    Secondary,
    /// The master has the zone from it.
    Primary,
}

/// A server, for as long as it is held.
pub struct Peer {
    pub kind: Kind,
    program: Program,
    folder: PathBuf,
}

impl Peer {
    /// Starts with one zone.
    pub fn start(kind: Kind, role: Role, folder: &Folder, at: &Netns, zone: &str, secret: &str) -> Self {
        let home = folder.path().join(format!("{}-{role:?}", kind.name()));
        std::fs::create_dir_all(home.join("knot")).unwrap();
        let (program, text) = match kind {
            Kind::Bind => ("/usr/sbin/named", bind(role, &home, zone, secret)),
            Kind::Nsd => ("/usr/sbin/nsd", nsd(role, &home, zone, secret)),
            Kind::Knot => ("/usr/sbin/knotd", knot(role, &home, zone, secret)),
        };
        // BIND listens on addresses that an interface has, and nowhere else.
        at.exec("ip", &["address", "replace", &format!("{}/32", kind.address().ip()), "dev", "lo"]).unwrap();
        assert!(Path::new(program).exists(), "{program} is missing: apt-get install --no-install-recommends bind9 bind9-utils nsd knot");
        let config = home.join("server.conf");
        std::fs::write(&config, text).unwrap();
        let config = config.to_str().unwrap();
        let arguments: &[&str] = match kind {
            Kind::Bind => &["-g", "-n", "1", "-c", config],
            Kind::Nsd => &["-d", "-c", config],
            Kind::Knot => &["-c", config],
        };
        let program = Recipe::new(kind.name(), program, &home).args(arguments).inside(at).start().unwrap();
        Self { kind, program, folder: home }
    }

    /// Writes the zone's file anew and tells the server.
    pub fn write(&mut self, zone: &str, serial: u32, hosts: &[(&str, &str)]) {
        write_zone(&self.folder, zone, serial, hosts);
        // NSD compares times of whole seconds.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        write_zone(&self.folder, zone, serial, hosts);
        self.program.signal(nix::sys::signal::Signal::SIGHUP).unwrap();
    }

    pub fn log(&self) -> String {
        self.program.log()
    }
}

/// A zone file beside the server's configuration.
fn write_zone(home: &Path, zone: &str, serial: u32, hosts: &[(&str, &str)]) {
    // One of them is to be given up soon after its primary is gone.
    let times = if zone.starts_with("knot") { "2 2 10 60" } else { "3600 2 86400 60" };
    let mut text = format!("$ORIGIN {zone}.\n$TTL 300\n@ SOA ns hostmaster {serial} {times}\n@ NS ns\nns A 192.0.2.53\n");
    for (host, address) in hosts {
        writeln!(text, "{host} A {address}").unwrap();
    }
    std::fs::write(home.join("zone"), text).unwrap();
}

/// The file that a primary starts with.
pub fn first_file(folder: &Folder, kind: Kind, zone: &str, serial: u32, hosts: &[(&str, &str)]) {
    let home = folder.path().join(format!("{}-{:?}", kind.name(), Role::Primary));
    std::fs::create_dir_all(&home).unwrap();
    write_zone(&home, zone, serial, hosts);
}

fn bind(role: Role, home: &Path, zone: &str, secret: &str) -> String {
    let (address, home) = (Kind::Bind.address(), home.display());
    let (ip, port) = (address.ip(), address.port());
    let zone_text = match role {
        Role::Secondary => {
            format!("type secondary; file \"zone\"; primaries {{ {MASTER} key {KEY}; }}; masterfile-format text; min-refresh-time 1; min-retry-time 1;")
        }
        Role::Primary => format!(
            "type primary; file \"zone\"; ixfr-from-differences yes; allow-transfer {{ key {KEY}; }}; notify explicit; also-notify {{ {MASTER} key {KEY}; }};"
        ),
    };
    format!(
        "key \"{KEY}\" {{ algorithm hmac-sha256; secret \"{secret}\"; }};\noptions {{ directory \"{home}\"; pid-file none; session-keyfile none; listen-on port {port} {{ {ip}; }}; \
         listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; notify-source {ip}; transfer-source {ip}; notify-delay 0; serial-query-rate 100; \
         allow-notify {{ {MASTER}; }}; }};\ncontrols {{}};\nzone \"{zone}\" {{ {zone_text} }};\n"
    )
}

fn nsd(role: Role, home: &Path, zone: &str, secret: &str) -> String {
    let (address, home) = (Kind::Nsd.address(), home.display());
    let (ip, port) = (address.ip(), address.port());
    let zone_text = match role {
        Role::Secondary => format!("  request-xfr: {MASTER}@53 {KEY}\n  allow-notify: {MASTER} {KEY}\n  outgoing-interface: {ip}\n"),
        Role::Primary => format!("  notify: {MASTER} {KEY}\n  provide-xfr: {MASTER} {KEY}\n  outgoing-interface: {ip}\n"),
    };
    format!(
        "server:\n  ip-address: {ip}@{port}\n  zonesdir: \"{home}\"\n  database: \"\"\n  pidfile: \"\"\n  xfrdfile: \"{home}/xfrd.state\"\n  zonelistfile: \"{home}/zone.list\"\n  \
         xfrdir: \"{home}\"\n  username: \"\"\n  server-count: 1\n  verbosity: 2\nremote-control:\n  control-enable: no\nkey:\n  name: \"{KEY}\"\n  algorithm: hmac-sha256\n  \
         secret: \"{secret}\"\nzone:\n  name: \"{zone}\"\n  zonefile: \"zone\"\n{zone_text}"
    )
}

fn knot(role: Role, home: &Path, zone: &str, secret: &str) -> String {
    let (address, home) = (Kind::Knot.address(), home.display());
    let (ip, port) = (address.ip(), address.port());
    let zone_text = match role {
        Role::Secondary => "    master: holdfast\n    acl: heard\n    zonefile-sync: -1\n    zonefile-load: none\n".to_owned(),
        Role::Primary => {
            "    notify: holdfast\n    acl: given\n    zonefile-sync: -1\n    zonefile-load: difference\n    journal-content: changes\n".to_owned()
        }
    };
    format!(
        "server:\n  listen: {ip}@{port}\n  rundir: {home}\n  udp-workers: 1\n  tcp-workers: 1\nlog:\n  - target: stderr\n    any: info\ndatabase:\n  storage: {home}/knot\nkey:\n  - id: {KEY}\n    \
         algorithm: hmac-sha256\n    secret: {secret}\nremote:\n  - id: holdfast\n    address: {MASTER}@53\n    via: {ip}\n    key: {KEY}\nacl:\n  - id: heard\n    address: {MASTER}\n    key: {KEY}\n    \
         action: notify\n  - id: given\n    key: {KEY}\n    action: transfer\nzone:\n  - domain: {zone}\n    storage: {home}\n    file: zone\n{zone_text}"
    )
}

/// The serial that a server has for a zone, with authority; `None` where it has none.
pub fn serial(at: &Netns, server: SocketAddr, zone: &str) -> Option<u32> {
    let answer = Dig::ask(Some(at), server.ip(), zone, "SOA").at_port(server.port()).with("+norecurse").run().ok()?;
    let is_good = answer.status == "NOERROR" && answer.flags.iter().any(|flag| flag == "aa");
    answer.answer.first().filter(|_| is_good)?.data.split(' ').nth(2)?.parse().ok()
}
