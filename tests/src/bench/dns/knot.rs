//! The peer: Knot DNS of Debian (package knot) with the same zones, and with cookies, rate limiting and statistics on, as we have them.

use super::super::store::Host;
use crate::folder::Folder;
use crate::process::Recipe;
use anyhow::Result;
use holdfast_proto::words::DomainName;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::Path;

/// Debian's.
pub(super) const KNOTD: &str = "/usr/sbin/knotd";

/// Writes zones and configuration; the program, which stays in the foreground, is not started yet.
pub(super) fn lay_out(folder: &Folder, address: SocketAddr, hosts: u32) -> Result<Recipe> {
    let home = folder.path().join("knot");
    std::fs::create_dir_all(&home)?;
    write_zones(&home, hosts)?;
    let shown = home.display();
    let mut config = format!(
        "server:\n  listen: {}@{}\n  rundir: {shown}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
         log:\n  - target: stderr\n    any: info\n\
         database:\n  storage: {shown}\n\
         acl:\n  - id: update\n    address: 127.0.0.1\n    action: update\n\
         mod-cookies:\n  - id: on\nmod-rrl:\n  - id: on\n    rate-limit: 200\n    slip: 2\nmod-stats:\n  - id: on\n\
         template:\n  - id: default\n    storage: {shown}\n    file: \"%s.zone\"\n    semantic-checks: off\n    acl: update\n    zonefile-sync: -1\n    \
         global-module: [mod-cookies/on, mod-rrl/on, mod-stats/on]\nzone:\n",
        address.ip(),
        address.port(),
    );
    ["uni.example", "10.in-addr.arpa"].iter().try_for_each(|zone| writeln!(config, "  - domain: {zone}"))?;
    let config = folder.write("knot.conf", &config)?;
    Ok(Recipe::new("knot", Path::new(KNOTD), folder.path()).args(["-c"]).args([config]))
}

fn write_zones(home: &Path, hosts: u32) -> Result<()> {
    let head = "$TTL 3600\n@ IN SOA ns.uni.example. hostmaster.uni.example. 1 3600 900 604800 300\n@ IN NS ns.uni.example.\n";
    let mut forward = BufWriter::new(File::create(home.join("uni.example.zone"))?);
    let mut reverse = BufWriter::new(File::create(home.join("10.in-addr.arpa.zone"))?);
    writeln!(forward, "{head}ns IN A 10.16.0.2")?;
    reverse.write_all(head.as_bytes())?;
    for host in (0..hosts).map(Host) {
        writeln!(forward, "{} IN A {}", host.name(), host.address())?;
        writeln!(reverse, "{} IN PTR {}", DomainName::reverse_of(host.address().into()), host.name())?;
    }
    forward.flush()?;
    Ok(reverse.flush()?)
}
