//! The peer for an edit: BIND as primary and secondaries, by dynamic update, NOTIFY and incremental transfer (RFC 2136, 1996, 1995).
//!
//! Measured as our own edit is: from the moment that the change is acknowledged (there it is in the journal, here committed)
//! until the last server answers with it. Once as BIND comes, and once with every knob turned for speed.

use super::edit::{ADDRESSES, HOST, SERVED_LIMIT, Watch};
use super::figures::{Line, Samples, Section};
use super::{Settings, free_port, go_on, tell};
use crate::folder::Folder;
use crate::process::{Program, Recipe};
use anyhow::{Context, Result, ensure};
use holdfast_proto::words::DomainName;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

/// Debian's.
const NAMED: &str = "/usr/sbin/named";
const APEX: &str = "uni.example";
/// With BIND's own settings a change takes seconds: a few of them tell enough.
const EDITS_AS_IT_COMES: usize = 5;
/// Edits that are not counted.
const WARM_UP: usize = 3;
const START_LIMIT: Duration = Duration::from_secs(60);

/// BIND as it comes with one secondary, and tuned with so many.
pub(super) fn measure(settings: &Settings) -> Result<Vec<Section>> {
    if !Path::new(NAMED).exists() {
        tell("BIND is not installed (apt-get install --no-install-recommends bind9), so the peer is left out");
        return Ok(Vec::new());
    }
    let mut sections = vec![series("as it comes", "", 1, EDITS_AS_IT_COMES)?];
    for secondaries in settings.peers.iter().copied() {
        sections.push(series("tuned: notify-delay 0, rates of 1000/s", TUNED, secondaries, settings.edits)?);
    }
    Ok(sections)
}

const TUNED: &str = "notify-delay 0; notify-rate 1000; startup-notify-rate 1000; serial-query-rate 1000; transfers-in 1000; transfers-out 1000; \
                     transfers-per-ns 1000; min-refresh-time 1; max-journal-size unlimited;";

fn series(how: &str, tuning: &str, secondaries: usize, edits: usize) -> Result<Section> {
    tell(&format!("BIND {how}: {edits} edits with {secondaries} secondaries"));
    let folder = Folder::new("bench-bind")?;
    let primary = free_port()?;
    let ports = (0..secondaries).map(|_| free_port()).collect::<Result<Vec<_>>>()?;
    let _primary = start_primary(&folder, tuning, primary, &ports)?;
    let _secondaries = ports.iter().map(|port| start_secondary(&folder, tuning, primary, *port)).collect::<Result<Vec<_>>>()?;
    let mut watch = Watch::new(ports.iter().copied())?;
    let mut update = Update::new(primary)?;
    update.send(ADDRESSES[1])?;
    watch.until_all_serve(ADDRESSES[1], START_LIMIT)?;
    let mut last = Samples::default();
    for number in 0..WARM_UP + edits {
        go_on()?;
        let address = ADDRESSES[number % ADDRESSES.len()];
        let (acknowledged, served) = std::thread::scope(|scope| {
            let watching = scope.spawn(|| watch.until_all_serve(address, SERVED_LIMIT));
            update.send(address)?;
            let acknowledged = Instant::now();
            let served = watching.join().map_err(|_| anyhow::anyhow!("the watch fell over"))?;
            anyhow::Ok((acknowledged, served))
        })?;
        // A NOTIFY that was lost is made up for by the zone's refresh, for which nobody waits here.
        let latest = served.map_or_else(|_| acknowledged + SERVED_LIMIT, |served| served.into_iter().max().unwrap_or(acknowledged));
        if number >= WARM_UP {
            last.push(latest.saturating_duration_since(acknowledged).as_secs_f64() * 1000.0);
        }
        std::thread::sleep(Duration::from_millis(number as u64 * 7 % 50));
    }
    let lines: Vec<Line> = vec![last.line("UPDATE acknowledged to answer at the last secondary", "ms")];
    Ok(Section { title: format!("The peer: BIND, {how}, one primary and {secondaries} secondaries (one process each, loopback)"), lines })
}

fn start_primary(folder: &Folder, tuning: &str, address: SocketAddr, secondaries: &[SocketAddr]) -> Result<Program> {
    let home = folder.path().join("primary");
    std::fs::create_dir_all(&home)?;
    let zone = format!("$TTL 60\n@ IN SOA ns.{APEX}. hostmaster.{APEX}. 1 3600 900 604800 300\n@ IN NS ns.{APEX}.\nns IN A 127.0.0.1\n");
    std::fs::write(home.join("zone"), zone)?;
    let mut notified = String::new();
    for secondary in secondaries {
        write!(notified, "127.0.0.1 port {}; ", secondary.port())?;
    }
    let zone = format!("type primary; file \"zone\"; allow-update {{ 127.0.0.1; }}; notify explicit; also-notify {{ {notified}}};");
    start("primary", &home, address, tuning, &zone, folder)
}

fn start_secondary(folder: &Folder, tuning: &str, primary: SocketAddr, address: SocketAddr) -> Result<Program> {
    let name = format!("secondary-{}", address.port());
    let home = folder.path().join(&name);
    std::fs::create_dir_all(&home)?;
    // Tuning of both sides stands in the options; what only a zone of this kind may have stands here.
    let zone = format!("type secondary; file \"zone\"; primaries {{ 127.0.0.1 port {}; }};", primary.port());
    start(&name, &home, address, tuning, &zone, folder)
}

fn start(name: &str, home: &Path, address: SocketAddr, tuning: &str, zone: &str, folder: &Folder) -> Result<Program> {
    let home = home.display();
    let config = format!(
        "options {{ directory \"{home}\"; pid-file none; listen-on port {} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; minimal-responses yes; \
         dnssec-validation no; allow-transfer {{ 127.0.0.1; }}; {tuning} }};\ncontrols {{}};\nzone \"{APEX}\" {{ {zone} }};\n",
        address.port()
    );
    let config = folder.write(&format!("{name}.conf"), &config)?;
    let mut program = Recipe::new(name, NAMED, folder.path()).args(["-g", "-n", "1", "-c"]).args([config]).start()?;
    program.wait_for_line("running", START_LIMIT)?;
    Ok(program)
}

/// A dynamic update (RFC 2136) that gives the bench's host another address.
pub(super) struct Update {
    socket: UdpSocket,
    number: u16,
}

impl Update {
    /// Towards a primary.
    pub fn new(primary: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(primary)?;
        socket.set_read_timeout(Some(SERVED_LIMIT))?;
        Ok(Self { socket, number: 0 })
    }

    /// Sends it and waits until it is acknowledged.
    pub fn send(&mut self, address: Ipv4Addr) -> Result<()> {
        self.number += 1;
        let (apex, host): (DomainName, DomainName) = (APEX.parse()?, HOST.parse()?);
        let id = self.number.to_be_bytes();
        // Opcode UPDATE; one zone, no prerequisites, two updates, nothing more.
        let header = [&id[..], &[5 << 3, 0, 0, 1, 0, 0, 0, 2, 0, 0]].concat();
        let zone = [apex.wire(), &[0, 6, 0, 1]].concat();
        // Class ANY, no data: the whole RRset goes. Then the new one comes.
        let gone = [host.wire(), &[0, 1, 0, 255, 0, 0, 0, 0, 0, 0]].concat();
        let new = [host.wire(), &[0, 1, 0, 1, 0, 0, 0, 60, 0, 4], &address.octets()].concat();
        self.socket.send(&[header, zone, gone, new].concat())?;
        let mut reply = [0; 512];
        let len = self.socket.recv(&mut reply).context("the primary did not acknowledge an update")?;
        ensure!(len >= 12 && reply[..2] == id && reply[3] & 15 == 0, "the primary refused an update with RCODE {}", reply[3] & 15);
        Ok(())
    }
}
