use super::super::store::{HOSTS_PER_SUBNET, Host, POOL, POOL_GATEWAY};
use super::Boxes;
use crate::folder::Folder;
use crate::process::{Program, Recipe};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

const KEA: &str = "/usr/sbin/kea-dhcp4";
const BOOTPD: &str = "/usr/sbin/bootpd";
/// Reading a hundred thousand hosts takes them seconds.
const START_LIMIT: Duration = Duration::from_secs(120);

/// What to install for a peer that is not there.
pub fn missing(name: &str) -> Option<String> {
    let (program, package) = match name {
        "Kea" => (KEA, "kea-dhcp4-server"),
        "bootpd" => (BOOTPD, "bootp"),
        _ => return None,
    };
    (!Path::new(program).exists()).then(|| format!("{name} is not installed (apt-get install --no-install-recommends {package}), so this peer is left out"))
}

/// Kea as it comes: leases in a file, one thread, BOOTP by its own library.
pub fn start_kea(folder: &Folder, boxes: &Boxes, hosts: u32) -> Result<Program> {
    let hooks = ["/usr/lib/x86_64-linux-gnu/kea/hooks", "/usr/lib/aarch64-linux-gnu/kea/hooks"].into_iter().find(|folder| Path::new(folder).exists());
    let bootp = hooks.context("Kea's libraries are not where Debian puts them")?;
    let leases = folder.path().join("leases.csv");
    let mut subnets = String::new();
    for first in (0..hosts).step_by(HOSTS_PER_SUBNET as usize) {
        let (net, gateway) = (Host(first).subnet(), Host(first).gateway());
        let hosts = (first..hosts.min(first + HOSTS_PER_SUBNET)).map(Host);
        let reserved: Vec<String> =
            hosts.map(|host| format!("{{\"hw-address\":\"{}\",\"ip-address\":\"{}\"}}", hardware(host.mac()), host.address())).collect();
        writeln!(subnets, "{{\"id\":{},\"subnet\":\"{net}\",{},\"reservations\":[{}]}},", first + 1, routers(gateway), reserved.join(","))?;
    }
    let (network, prefix_len) = POOL;
    let last = std::net::Ipv4Addr::from_bits(network.to_bits() + (1 << (32 - prefix_len)) - 2);
    let first = std::net::Ipv4Addr::from_bits(network.to_bits() + 10);
    write!(subnets, "{{\"id\":4000000,\"subnet\":\"{network}/{prefix_len}\",{},\"pools\":[{{\"pool\":\"{first} - {last}\"}}]}}", routers(POOL_GATEWAY))?;
    let config = format!(
        "{{\"Dhcp4\":{{\"interfaces-config\":{{\"interfaces\":[\"wire\"],\"dhcp-socket-type\":\"udp\"}},\n\
         \"lease-database\":{{\"type\":\"memfile\",\"persist\":true,\"lfc-interval\":0,\"name\":\"{}\"}},\n\
         \"hooks-libraries\":[{{\"library\":\"{bootp}/libdhcp_bootp.so\"}}],\n\
         \"valid-lifetime\":43200,\"loggers\":[{{\"name\":\"kea-dhcp4\",\"severity\":\"INFO\",\"output_options\":[{{\"output\":\"stdout\"}}]}}],\n\
         \"subnet4\":[{subnets}]}}}}\n",
        leases.display()
    );
    let config = folder.write("kea.json", &config)?;
    let run = folder.path().display().to_string();
    let recipe = Recipe::new("kea", KEA, folder.path()).args(["-c"]).args([config]).env("KEA_PIDFILE_DIR", &run).env("KEA_LOCKFILE_DIR", &run);
    let mut program = recipe.inside(&boxes.server).start()?;
    program.wait_for_line("DHCP4_STARTED", START_LIMIT)?;
    Ok(program)
}

/// bootpd with all hosts in one file. It stays in the foreground only while it tells what it does, which is part of its cost here.
pub fn start_bootpd(folder: &Folder, boxes: &Boxes, hosts: u32) -> Result<Program> {
    let mut table = String::from(".default:ht=ethernet:hn:sm=255.255.252.0:ds=10.16.0.2 10.16.0.3:dn=uni.example:vm=auto:\n");
    for host in (0..hosts).map(Host) {
        let mac: String = host.mac().iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(table, "host{}:tc=.default:ha={mac}:ip={}:gw={}:", host.0, host.address(), host.gateway())?;
    }
    let table = folder.write("bootptab", &table)?;
    let recipe = Recipe::new("bootpd", BOOTPD, folder.path()).args(["-s", "-d4"]).args([table]).inside(&boxes.server);
    let mut program = recipe.start()?;
    program.wait_for_line("read ", START_LIMIT)?;
    Ok(program)
}

fn routers(gateway: std::net::Ipv4Addr) -> String {
    let data = [("routers", gateway.to_string()), ("domain-name-servers", "10.16.0.2, 10.16.0.3".to_owned()), ("domain-name", "uni.example".to_owned())];
    let data: Vec<String> = data.into_iter().map(|(name, data)| format!("{{\"name\":\"{name}\",\"data\":\"{data}\"}}")).collect();
    format!("\"option-data\":[{}]", data.join(","))
}

fn hardware(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
