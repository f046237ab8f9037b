//! BIND, NSD and Knot with the same zone files, and questions over TCP, where nothing is cut.

use holdfast_lab::folder::Folder;
use holdfast_lab::process::{Program, Recipe};
use holdfast_proto::words::DomainName;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Another server, for as long as it is held.
pub struct Peer {
    pub name: &'static str,
    pub address: SocketAddr,
    _program: Program,
}

/// The file of a zone in the folder.
pub fn file_of(apex: &DomainName) -> String {
    format!("{}.zone", apex.without_dot())
}

pub fn bind(folder: &Folder, apexes: &[&DomainName]) -> Peer {
    let address = free_port();
    let mut config = format!(
        "options {{ directory \"{}\"; pid-file none; listen-on port {} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; minimal-responses yes; \
         minimal-any yes; zero-no-soa-ttl no; dnssec-validation no; allow-transfer {{ 127.0.0.1; }}; notify no; check-names primary ignore; }};\ncontrols {{}};\n",
        folder.path().display(),
        address.port()
    );
    for apex in apexes {
        writeln!(config, "zone \"{apex}\" {{ type primary; file \"{}\"; check-integrity no; }};", file_of(apex)).unwrap();
    }
    let config = folder.write("named.conf", &config).unwrap();
    start("bind", "/usr/sbin/named", folder, address, &["-g", "-n", "1", "-c", config.to_str().unwrap()], apexes)
}

pub fn nsd(folder: &Folder, apexes: &[&DomainName]) -> Peer {
    let (address, home) = (free_port(), folder.path().display());
    let mut config = format!(
        "server:\n  ip-address: 127.0.0.1@{}\n  zonesdir: \"{home}\"\n  database: \"\"\n  pidfile: \"\"\n  xfrdfile: \"{home}/xfrd.state\"\n  zonelistfile: \"{home}/zone.list\"\n  \
         xfrdir: \"{home}\"\n  username: \"\"\n  server-count: 1\n  minimal-responses: yes\nremote-control:\n  control-enable: no\n",
        address.port()
    );
    for apex in apexes {
        writeln!(config, "zone:\n  name: \"{apex}\"\n  zonefile: \"{}\"", file_of(apex)).unwrap();
    }
    let config = folder.write("nsd.conf", &config).unwrap();
    start("nsd", "/usr/sbin/nsd", folder, address, &["-d", "-c", config.to_str().unwrap()], apexes)
}

pub fn knot(folder: &Folder, apexes: &[&DomainName]) -> Peer {
    let (address, home) = (free_port(), folder.path().display());
    let mut config = format!(
        "server:\n  listen: 127.0.0.1@{}\n  rundir: {home}\n  udp-workers: 1\n  tcp-workers: 1\nlog:\n  - target: stderr\n    any: info\ndatabase:\n  storage: {home}/knot\n\
         template:\n  - id: default\n    storage: {home}\n    semantic-checks: off\n    zonefile-sync: -1\nzone:\n",
        address.port()
    );
    for apex in apexes {
        writeln!(config, "  - domain: {apex}\n    file: {}", file_of(apex)).unwrap();
    }
    let config = folder.write("knot.conf", &config).unwrap();
    start("knot", "/usr/sbin/knotd", folder, address, &["-c", config.to_str().unwrap()], apexes)
}

/// Starts it and waits until it answers with authority for every zone.
fn start(name: &'static str, program: &str, folder: &Folder, address: SocketAddr, arguments: &[&str], apexes: &[&DomainName]) -> Peer {
    assert!(Path::new(program).exists(), "{program} is missing: apt-get install --no-install-recommends bind9 bind9-utils nsd knot");
    let mut program = Recipe::new(name, program, folder.path()).args(arguments).start().unwrap();
    let begun = Instant::now();
    for apex in apexes {
        let soa = super::query(1, apex, 6, false);
        while !try_ask(address, &soa).is_ok_and(|reply| reply[2] & 4 != 0 && reply[3] & 15 == 0) {
            assert!(program.is_running() && begun.elapsed() < PATIENCE, "{name} does not serve {apex}:\n{}", program.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Peer { name, address, _program: program }
}

fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// One question and its answer.
pub fn ask(server: SocketAddr, packet: &[u8]) -> Vec<u8> {
    try_ask(server, packet).unwrap_or_else(|wrong| panic!("{server} does not answer: {wrong}"))
}

fn try_ask(server: SocketAddr, packet: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = connect(server, packet)?;
    read(&mut stream)
}

/// A zone transfer, message by message, for as long as `more` wants another.
pub fn transfer(server: SocketAddr, apex: &DomainName, mut more: impl FnMut(&[u8]) -> bool) {
    let mut stream = connect(server, &super::query(7, apex, 252, false)).unwrap();
    while more(&read(&mut stream).unwrap()) {}
}

fn connect(server: SocketAddr, packet: &[u8]) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[&(packet.len() as u16).to_be_bytes(), packet].concat())?;
    Ok(stream)
}

fn read(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}
