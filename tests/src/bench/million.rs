//! An institution of a million hosts, for real: a master with that many in its database, a new box that fetches them all, and
//! one edit among them.
//!
//! The hosts go into the real inventory, in this process, while the real master publishes. A box without a snapshot then
//! fetches everything over an uplink of a known rate, beside which the same number of bytes is sent bare over the same cable.

use super::edit::{self, Api, Progress};
use super::figures::{Line, Samples, Section};
use super::store::Host;
use super::{Settings, go_on, tell};
use crate::cables::{Campus, Network, Place};
use crate::clients::Dig;
use crate::folder::Folder;
use crate::lab::{Ground, Lab, Part, on_ground};
use crate::netns;
use anyhow::{Context, Result, ensure};
use holdfast_master::config::Config;
use holdfast_master::inventory::{self, Actor, Edit, HostDraft};
use holdfast_master::run::open_database;
use holdfast_proto::words::Mac;
use serde_json::json;
use sqlx::PgPool;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Hosts in one edit: as an import has them.
const TOGETHER: u32 = 5000;
/// What a campus's uplink carries.
const RATES: [(&str, &str); 2] = [("100 Mbit/s", "100mbit"), ("1 Gbit/s", "1gbit")];
/// The whole institution is on a new box by then, or something is wrong.
const SYNC_LIMIT: Duration = Duration::from_secs(300);
const NORTH: Campus = Campus::North;
const RAW_PORT: u16 = 9999;

/// Import, full transfer, edits; nothing where the user may lay no cables.
pub(super) fn measure(settings: &Settings) -> Result<Vec<Section>> {
    if settings.institution == 0 {
        return Ok(Vec::new());
    }
    if let Some(reason) = netns::hindrance() {
        tell(&format!("the large institution is left out: {reason}"));
        return Ok(Vec::new());
    }
    let mut lab = Lab::build(Ground::Cables, Folder::new("bench-million")?)?;
    lab.bring_up(&mut Progress)?;
    lab.stop(Part::Agent(Campus::South))?;
    lab.stop(Part::Agent(NORTH))?;
    let imported = import(&lab, settings.institution)?;
    let mut lines = vec![imported];
    for (name, rate) in RATES {
        lines.extend(full_transfer(&mut lab, settings.institution, name, rate)?);
    }
    let filled = Section { title: format!("A master of {} hosts, and a box that is new (namespaces and cables, real programs)", settings.institution), lines };
    lab.network().at(Place::Master).exec("tc", &["qdisc", "del", "dev", "north", "root"])?;
    lab.start(Part::Agent(NORTH))?;
    lab.wait_until(Part::Agent(NORTH), "/readyz", SYNC_LIMIT)?;
    let edits = on_ground(lab.at(Place::Master), || {
        let mut api = Api::of(&lab)?;
        api.ask("POST", "/hosts", &edit::host(edit::ADDRESSES[1]))?;
        edit::series(&lab, &mut api, &[NORTH], settings.edits)
    })??;
    lab.stop_all()?;
    Ok(vec![filled, Section { title: format!("{}, among {} hosts", edits.title, settings.institution), lines: edits.lines }])
}

/// Puts the hosts into the database that the lab's master serves from.
fn import(lab: &Lab, hosts: u32) -> Result<Line> {
    let config = Config { state_dir: lab.folder().path().join(Part::Master.name()), ..Config::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rates = runtime.block_on(async {
        let (pool, _) = open_database(&config).await?;
        let rates = fill(&pool, hosts).await;
        pool.close().await;
        rates
    })?;
    Ok(rates.line(format!("hosts taken in by edits of {TOGETHER}, published meanwhile"), "/s"))
}

/// Puts that many hosts of `uni.example` into an inventory that has the zone and a campus `north`; how fast each edit was.
pub(super) async fn fill(pool: &PgPool, hosts: u32) -> Result<Samples> {
    let actor = Actor::administrator("bench", "seed");
    let make = |edit| inventory::apply(pool, &actor, "bench", edit, None);
    for second in 16..32 {
        let zone = json!({ "apex": format!("{second}.10.in-addr.arpa"), "primary_ns": "ns.uni.example", "mailbox": "hostmaster.uni.example" });
        make(Edit::ZoneAdd(serde_json::from_value(zone)?)).await?;
    }
    let (mut rates, mut first) = (Samples::default(), 0);
    while first < hosts {
        go_on()?;
        let batch: Vec<Host> = (first..hosts.min(first + TOGETHER)).map(Host).collect();
        for host in batch.iter().filter(|host| host.0 % super::store::HOSTS_PER_SUBNET == 0) {
            let subnet = json!({ "network": host.subnet().to_string(), "campus": "north", "gateway": host.gateway() });
            make(Edit::SubnetAdd(serde_json::from_value(subnet)?)).await?;
        }
        let begun = Instant::now();
        let draft = |host: &Host| Ok(HostDraft::simple(host.name().to_string().parse()?, Some(Mac(host.mac())), host.address().into()));
        make(Edit::HostsAdd(batch.iter().map(draft).collect::<Result<_>>()?)).await?;
        rates.push(batch.len() as f64 / begun.elapsed().as_secs_f64());
        first += TOGETHER;
        if first % 100_000 < TOGETHER {
            tell(&format!("{first} of {hosts} hosts taken in"));
        }
    }
    Ok(rates)
}

/// A box without a snapshot is started, and asked for the last host until it answers.
fn full_transfer(lab: &mut Lab, hosts: u32, name: &str, rate: &str) -> Result<[Line; 3]> {
    tell(&format!("a new box fetches {hosts} hosts over {name}"));
    let part = Part::Agent(NORTH);
    lab.network().at(Place::Master).exec("tc", &["qdisc", "replace", "dev", "north", "root", "tbf", "rate", rate, "burst", "256kb", "latency", "50ms"])?;
    let state = lab.folder().path().join(part.name());
    for kept in ["snapshots", "run"] {
        let _ = std::fs::remove_dir_all(state.join(kept));
    }
    let before = received(lab)?;
    let begun = Instant::now();
    lab.start(part)?;
    let last = Host(hosts - 1);
    while Dig::ask(lab.at(Place::Host(NORTH)), NORTH.agent(), &last.name().to_string(), "A").short().unwrap_or_default() != [last.address().to_string()] {
        ensure!(begun.elapsed() < SYNC_LIMIT, "the new box does not have the last host after {SYNC_LIMIT:?}");
        go_on()?;
    }
    lab.wait_until(part, "/readyz", SYNC_LIMIT)?;
    let took = begun.elapsed().as_secs_f64();
    let bytes = received(lab)? - before;
    let bare = bare_transfer(lab, bytes)?.as_secs_f64();
    lab.stop(part)?;
    let line = |what: String, value, unit| Line::from_one(what, value, unit);
    Ok([
        line(format!("start of a box with nothing to answers and readiness, over {name}"), took, "s"),
        line(format!("the {:.0} MiB that it received, sent bare over the same cable", bytes as f64 / f64::from(1 << 20)), bare, "s"),
        line("the first as a multiple of the second".into(), took / bare, ""),
    ])
}

fn received(lab: &Lab) -> Result<u64> {
    let text = lab.network().at(Place::Agent(NORTH)).exec("cat", &["/sys/class/net/uplink/statistics/rx_bytes"])?;
    text.trim().parse().context("the kernel counts no bytes")
}

/// How long so many bytes take from the master's box to the agent's over TCP alone.
fn bare_transfer(lab: &Lab, bytes: u64) -> Result<Duration> {
    let (master, agent) = (lab.network().at(Place::Master), lab.network().at(Place::Agent(NORTH)));
    let listener = master.inside(|| TcpListener::bind((Network::MASTER, RAW_PORT)))??;
    std::thread::scope(|scope| {
        let sending = scope.spawn(move || {
            let (mut stream, _) = listener.accept()?;
            let (block, mut left) = ([0x5a; 64 << 10], bytes);
            while left > 0 {
                let len = left.min(block.len() as u64);
                stream.write_all(&block[..len as usize])?;
                left -= len;
            }
            anyhow::Ok(())
        });
        let took = agent.inside(|| {
            let begun = Instant::now();
            let mut stream = TcpStream::connect((Network::MASTER, RAW_PORT))?;
            std::io::copy(&mut Read::by_ref(&mut stream), &mut std::io::sink())?;
            anyhow::Ok(begun.elapsed())
        })??;
        sending.join().map_err(|_| anyhow::anyhow!("the sender fell over"))??;
        Ok(took)
    })
}
