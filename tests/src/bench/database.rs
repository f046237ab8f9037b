//! The hostname database among a million hosts, in this process: lists, searches, new hosts, the next free address of one hot
//! pool beside the query that looks for a gap, and what a bulk change does to somebody who makes one edit.
//!
//! Server time: the inventory's own functions, without HTTP. Nobody publishes, so that the database alone is judged.

use super::figures::{Line, Samples, Section};
use super::store::Host;
use super::{Settings, go_on, million, tell};
use crate::folder::Folder;
use anyhow::{Context, Result};
use holdfast_master::config::Config;
use holdfast_master::db::hosts::{NewAddress, insert_interfaces};
use holdfast_master::db::{changes, free};
use holdfast_master::inventory::{self, Actor, CampusDraft, Edit, HostDraft, HostQuery, Sight};
use holdfast_master::run::{open_database, stop_engine};
use holdfast_proto::words::{Mac, Subnet};
use serde_json::json;
use sqlx::{PgPool, Row, query, types::Uuid};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Half of the hot pool is taken, from its beginning: where looking for a gap takes longest is where pools are.
const POOL: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 0);
const POOL_PREFIX_LEN: u8 = 12;
/// Addresses taken in one statement.
const TOGETHER: u32 = 5000;
/// Who wants an address at once.
const TAKERS: usize = 8;
/// Rows of the bulk change.
const BULK_ROWS: u32 = 100_000;
/// What a page of the web shows.
const PAGE_LENGTH: u32 = 50;
/// Hosts with a person to ask.
const PERSONS: u32 = 200;
const STRIDE: u64 = 48_271;
/// Between two single edits: people are not faster.
const PAUSE: Duration = Duration::from_millis(5);

struct Bench {
    pool: PgPool,
    actor: Actor,
    hosts: u32,
    samples: usize,
    round_time: Duration,
}

/// All of it, on a database of its own.
pub(super) fn measure(settings: &Settings) -> Result<Vec<Section>> {
    if settings.institution == 0 {
        return Ok(Vec::new());
    }
    let folder = Folder::new("bench-database")?;
    let config = Config { state_dir: folder.path().to_owned(), ..Config::default() };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let (pool, engine) = open_database(&config).await?;
        let samples = settings.edits.max(100);
        let actor = Actor::administrator("bench", "seed");
        let bench = Bench { pool: pool.clone(), actor, hosts: settings.institution, samples, round_time: settings.round_time };
        let sections = bench.sections().await;
        pool.close().await;
        stop_engine(engine).await?;
        sections
    })
}

impl Bench {
    async fn sections(&self) -> Result<Vec<Section>> {
        self.furnish().await?;
        let filled = million::fill(&self.pool, self.hosts).await?.line("hosts taken in by edits of 5000, nobody publishes", "/s");
        query("analyze").execute(&self.pool).await?;
        let title = |what: &str| format!("{what} among {} hosts (inventory, without HTTP)", self.hosts);
        Ok(vec![
            Section {
                title: title("Lists, searches and new hosts"),
                lines: [vec![filled], self.pages().await?, self.searches().await?, self.creation().await?].concat(),
            },
            Section { title: title(&format!("{TAKERS} at once want the next free address of one pool of a million")), lines: self.next_free().await? },
            Section { title: title(&format!("One edit at a time, beside a change set of {BULK_ROWS} hosts")), lines: self.beside_bulk().await? },
        ])
    }

    async fn make(&self, edit: Edit) -> Result<()> {
        inventory::apply(&self.pool, &self.actor, "bench", edit, None).await?;
        Ok(())
    }

    async fn furnish(&self) -> Result<()> {
        self.make(Edit::CampusAdd(CampusDraft { name: "north".into(), service_address: None, backup: None })).await?;
        let zone = json!({ "apex": "uni.example", "primary_ns": "ns.uni.example", "mailbox": "hostmaster.uni.example" });
        self.make(Edit::ZoneAdd(serde_json::from_value(zone)?)).await
    }

    /// A host somewhere, in an order that no cache foresees.
    fn somewhere(&self, number: usize) -> Host {
        Host((number as u64 * STRIDE % u64::from(self.hosts)) as u32)
    }

    async fn pages(&self) -> Result<Vec<Line>> {
        let first = |_| HostQuery { limit: PAGE_LENGTH, ..HostQuery::default() };
        let later = |number| HostQuery { limit: PAGE_LENGTH, cursor: Some(self.somewhere(number).name().to_string()), ..HostQuery::default() };
        Ok(vec![self.listed(first, "the first page of 50 hosts").await?, self.listed(later, "a later page of 50 hosts").await?])
    }

    async fn searches(&self) -> Result<Vec<Line>> {
        tell("hosts with persons");
        for number in 0..PERSONS {
            let host = self.somewhere(number as usize);
            let mut draft = HostDraft::simple(host.name().to_string().parse()?, Some(Mac(host.mac())), host.address().into());
            draft.contact = format!("Professor Number{number} of Astronomy");
            self.make(Edit::HostSet { name: draft.name.clone(), draft }).await?;
        }
        let search = |text: String| HostQuery { limit: PAGE_LENGTH, search: Some(text), ..HostQuery::default() };
        let number = |n: usize| self.somewhere(n).0;
        let mac = |n: usize| Mac(self.somewhere(n).mac()).to_string();
        Ok(vec![
            self.listed(|n| search(format!("host{}.", number(n))), "search by a name").await?,
            self.listed(|n| search(format!("{:05}", number(n) % 100_000)), "search by five digits of a name").await?,
            self.listed(|_| search("uni.example".into()), "search for what all names have").await?,
            self.listed(|n| search(self.somewhere(n).address().to_string()), "search by an address").await?,
            self.listed(|n| search(self.somewhere(n).subnet().to_string()), "search by a network").await?,
            self.listed(|n| search(mac(n)), "search by a hardware address").await?,
            self.listed(|n| search(mac(n)[9..].to_owned()), "search by the end of a hardware address").await?,
            self.listed(|n| search(format!("number{} ", n as u32 % PERSONS)), "search by a person").await?,
            self.listed(|_| search("no such thing".into()), "search for what nobody has").await?,
        ])
    }

    async fn listed(&self, query: impl Fn(usize) -> HostQuery, what: &str) -> Result<Line> {
        tell(what);
        let mut samples = Samples::default();
        for number in 0..self.samples {
            go_on()?;
            let (query, begun) = (query(number), Instant::now());
            inventory::host_list(&self.pool, &Sight::All, &query).await?;
            samples.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(samples.line(what, "ms"))
    }

    async fn creation(&self) -> Result<Vec<Line>> {
        tell("new hosts");
        self.make(Edit::SubnetAdd(serde_json::from_value(json!({ "network": "10.48.0.0/16", "campus": "north" }))?)).await?;
        let given = |number: usize| json!(Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 48, 128, 0)) + number as u32));
        let next = |_| json!({ "next": { "subnet": "10.48.0.0/16" } });
        Ok(vec![self.created("given", given).await?, self.created("next", next).await?])
    }

    async fn created(&self, which: &str, address: impl Fn(usize) -> serde_json::Value) -> Result<Line> {
        let mut samples = Samples::default();
        for number in 0..self.samples {
            go_on()?;
            let draft = json!({ "name": format!("{which}{number}.uni.example"), "interfaces": [{ "addresses": [address(number)] }] });
            let (edit, begun) = (Edit::HostAdd(serde_json::from_value(draft)?), Instant::now());
            self.make(edit).await?;
            samples.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(samples.line(format!("a new host with the {which} address"), "ms"))
    }

    async fn next_free(&self) -> Result<Vec<Line>> {
        let place = self.hot_pool().await?;
        let mut lines = Vec::new();
        tell("next free addresses");
        for taking in [Taking::Address, Taking::Host, Taking::Gap] {
            lines.push(self.taken(&place, taking).await?);
        }
        let ratio = lines[0].median() / lines[2].median();
        lines.push(Line::from_one("the first as a multiple of the last", ratio, ""));
        Ok(lines)
    }

    /// A pool of a million, half of it taken; and the same in a table for comparison.
    async fn hot_pool(&self) -> Result<Place> {
        let network: Subnet = format!("{POOL}/{POOL_PREFIX_LEN}").parse()?;
        self.make(Edit::SubnetAdd(serde_json::from_value(json!({ "network": network.to_string(), "campus": "north" }))?)).await?;
        let first = u32::from(POOL) + 1;
        self.make(Edit::HostAdd(HostDraft::simple("pool.uni.example".parse()?, None, Ipv4Addr::from(first).into()))).await?;
        let row = query("select iface_id, host_id, subnet_id from ipam.address where ip = $1::text::inet")
            .bind(Ipv4Addr::from(first).to_string())
            .fetch_one(&self.pool)
            .await?;
        let place = Place { iface: row.get(0), host: row.get(1), subnet: row.get(2), network };
        let end = first + (1 << (32 - POOL_PREFIX_LEN)) / 2;
        let mut next = first + 1;
        while next < end {
            go_on()?;
            let addresses: Vec<IpAddr> = (next..end.min(next + TOGETHER)).map(|bits| Ipv4Addr::from(bits).into()).collect();
            let mut tx = self.pool.begin().await?;
            place.keep(&mut tx, &addresses).await?;
            tx.commit().await?;
            next += TOGETHER;
        }
        query("create table public.taken as select ip from ipam.address where subnet_id = $1").bind(place.subnet).execute(&self.pool).await?;
        query("alter table public.taken add primary key (ip)").execute(&self.pool).await?;
        query("analyze").execute(&self.pool).await?;
        Ok(place)
    }

    async fn taken(&self, place: &Place, taking: Taking) -> Result<Line> {
        let (begun, mut takers) = (Instant::now(), JoinSet::new());
        for taker in 0..TAKERS {
            let (pool, place, actor, limit) = (self.pool.clone(), place.clone(), self.actor.clone(), self.round_time);
            takers.spawn(async move {
                let mut taken = 0u32;
                while begun.elapsed() < limit {
                    match taking {
                        Taking::Address => place.take(&pool).await?,
                        Taking::Gap => gap(&pool, place.network).await?,
                        Taking::Host => {
                            let wish = json!({ "name": format!("taker{taker}-{taken}.uni.example"), "interfaces": [{ "addresses": [{ "next": { "subnet": place.network.to_string() } }] }] });
                            inventory::apply(&pool, &actor, "bench", Edit::HostAdd(serde_json::from_value(wish)?), None).await?;
                        }
                    }
                    taken += 1;
                }
                anyhow::Ok(taken)
            });
        }
        let mut taken = 0;
        while let Some(done) = takers.join_next().await {
            taken += done??;
        }
        let what = match taking {
            Taking::Address => "next free addresses taken, with their audit",
            Taking::Host => "hosts made with the next free address",
            Taking::Gap => "for comparison: gaps found and taken under an advisory lock, without an audit",
        };
        Ok(Line::from_one(what, f64::from(taken) / begun.elapsed().as_secs_f64(), "/s"))
    }

    async fn beside_bulk(&self) -> Result<Vec<Line>> {
        tell("single edits, first alone, then beside a bulk change");
        let alone = self.singles(|number| number < self.samples).await?;
        self.make(Edit::SubnetAdd(serde_json::from_value(json!({ "network": "10.80.0.0/12", "campus": "north" }))?)).await?;
        let draft = |number: u32| {
            Ok(HostDraft::simple(format!("bulk{number}.uni.example").parse()?, None, Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 80, 0, 1)) + number).into()))
        };
        let bulk = Edit::HostsAdd((0..BULK_ROWS).map(draft).collect::<Result<_>>()?);
        let is_done = Arc::new(AtomicBool::new(false));
        let (pool, actor, done, begun) = (self.pool.clone(), self.actor.clone(), Arc::clone(&is_done), Instant::now());
        let running = tokio::spawn(async move {
            let made = inventory::apply(&pool, &actor, "bench", bulk, None).await;
            done.store(true, Ordering::Release);
            made.map(|_| begun.elapsed())
        });
        let beside = self.singles(|_| !is_done.load(Ordering::Acquire)).await?;
        let took = running.await??;
        let ratio = beside.quantile(0.99) / alone.quantile(0.99);
        Ok(vec![
            alone.line("an edit while nothing else happens", "ms"),
            beside.line("an edit while the change set is made", "ms"),
            Line::from_one("p99 of the second as a multiple of that of the first", ratio, ""),
            Line::from_one("the change set", took.as_secs_f64(), "s"),
        ])
    }

    /// Edits of one host after the other, for as long as it is wanted.
    async fn singles(&self, go: impl Fn(usize) -> bool) -> Result<Samples> {
        let (mut samples, mut number) = (Samples::default(), 0);
        while go(number) {
            go_on()?;
            let host = self.somewhere(number);
            let mut draft = HostDraft::simple(host.name().to_string().parse()?, Some(Mac(host.mac())), host.address().into());
            draft.comment = format!("edit {number}");
            let begun = Instant::now();
            self.make(Edit::HostSet { name: draft.name.clone(), draft }).await?;
            samples.push(begun.elapsed().as_secs_f64() * 1000.0);
            number += 1;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(samples)
    }
}

/// By which way somebody takes an address.
#[derive(Debug, Clone, Copy)]
enum Taking {
    Address,
    Host,
    Gap,
}

/// Where addresses of the hot pool go.
#[derive(Debug, Clone)]
struct Place {
    iface: Uuid,
    host: Uuid,
    subnet: i64,
    network: Subnet,
}

impl Place {
    /// What the inventory does for the next free address, alone.
    async fn take(&self, pool: &PgPool) -> Result<()> {
        let mut tx = pool.begin().await?;
        free::lock(&mut tx, &[self.subnet]).await?;
        let net = self.network.net();
        let (first, _) = *free::ranges(&mut tx, self.subnet, net.network(), net.broadcast(), 1).await?.first().context("the pool is full")?;
        self.keep(&mut tx, &[first]).await?;
        Ok(tx.commit().await?)
    }

    async fn keep(&self, tx: &mut sqlx::PgConnection, addresses: &[IpAddr]) -> Result<()> {
        changes::open(tx, Uuid::now_v7(), "bench", "bench", "seed").await?;
        let new = |ip: &IpAddr| NewAddress { ip: *ip, iface: self.iface, host: self.host, mac: None, subnet: self.subnet, network: self.network };
        Ok(insert_interfaces(tx, &[], &addresses.iter().map(new).collect::<Vec<_>>()).await?)
    }
}

/// What others do: the lowest address that is taken and whose neighbour is not.
async fn gap(pool: &PgPool, network: Subnet) -> Result<()> {
    let mut tx = pool.begin().await?;
    query("select pg_advisory_xact_lock(4711)").execute(&mut *tx).await?;
    query(
        "insert into public.taken select t.ip + 1 from public.taken t where t.ip <<= $1::text::cidr
           and not exists (select from public.taken n where n.ip = t.ip + 1) order by t.ip limit 1",
    )
    .bind(network.to_string())
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}
