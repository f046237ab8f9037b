//! What publishing costs those who write: many writers at once through the real inventory, with a publisher and without.
//!
//! Without one the outbox is filled and emptied by nobody, so the difference is the publisher alone: its reads, its locks,
//! its own COMMITs on the same disk. The rounds take turns, because the disk of a shared machine has its moods.

use super::figures::{Line, Samples, Section};
use super::{Settings, go_on, tell};
use crate::folder::Folder;
use anyhow::{Result, ensure};
use holdfast_master::config::Config;
use holdfast_master::inventory::{self, Actor, CampusDraft, Edit, HostDraft};
use holdfast_master::keys::{Keys, ceremony};
use holdfast_master::publish::{Limits, Publisher};
use holdfast_master::run::{open_database, stop_engine};
use holdfast_proto::snapshot::{Feed, SigningKey};
use serde_json::json;
use sqlx::PgPool;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// People and programs that write at once.
const WRITERS: usize = 16;
/// How long the publisher may need for what was left by nobody.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);
/// Appends that tell how long the disk takes.
const SYNCS: usize = 100;

/// The master's own parts, without doors.
struct Bench {
    pool: PgPool,
    state_dir: PathBuf,
    keys: watch::Receiver<Arc<Keys>>,
    wake: Arc<Notify>,
    actor: Actor,
}

/// Edits per second of all writers together, with a publisher and without, in turns.
pub(super) fn measure(settings: &Settings) -> Result<Vec<Section>> {
    let folder = Folder::new("bench-writers")?;
    let sync = sync_times(folder.path())?;
    let lines = tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(measured(settings, folder.path()))?;
    let title = format!("{WRITERS} writers at once, each changing a host of its own over and over (inventory, without HTTP)");
    Ok(vec![Section { title, lines: lines.into_iter().chain([sync]).collect() }])
}

async fn measured(settings: &Settings, state_dir: &Path) -> Result<Vec<Line>> {
    let (portal, _) = SigningKey::generate()?;
    ceremony::init(state_dir, "bench", portal.public(), &[], 1)?;
    let config = Config { state_dir: state_dir.to_owned(), ..Config::default() };
    let (pool, engine) = open_database(&config).await?;
    let actor = Actor::administrator("bench", "seed");
    let bench = Bench {
        pool: pool.clone(),
        state_dir: state_dir.to_owned(),
        keys: watch::channel(Arc::new(Keys::read(state_dir)?)).1,
        wake: Arc::new(Notify::new()),
        actor,
    };
    let lines = bench.rounds(settings).await;
    pool.close().await;
    stop_engine(engine).await?;
    lines
}

impl Bench {
    async fn rounds(&self, settings: &Settings) -> Result<Vec<Line>> {
        self.furnish().await?;
        let (mut with, mut without, mut ratios) = (Samples::default(), Samples::default(), Samples::default());
        for round in 1..=settings.rounds {
            go_on()?;
            tell(&format!("{WRITERS} writers, round {round} of {}", settings.rounds));
            let publishing = self.publishing(settings.round_time).await?;
            let alone = self.edits_per_second(settings.round_time).await?;
            with.push(publishing);
            without.push(alone);
            ratios.push(100.0 * publishing / alone);
        }
        Ok(vec![
            with.line("edits while the publisher publishes", "/s"),
            without.line("edits while nobody does", "/s"),
            ratios.line("the first as a share of the second", "%"),
        ])
    }

    /// A campus, a zone, a subnet, and a host for each writer.
    async fn furnish(&self) -> Result<()> {
        self.make(Edit::CampusAdd(CampusDraft { name: "north".into(), service_address: None, backup: None })).await?;
        let zone = json!({ "apex": "bench.example", "primary_ns": "ns.bench.example", "mailbox": "hostmaster.bench.example" });
        self.make(Edit::ZoneAdd(serde_json::from_value(zone)?)).await?;
        self.make(Edit::SubnetAdd(serde_json::from_value(json!({ "network": "10.9.0.0/16", "campus": "north" }))?)).await?;
        self.make(Edit::HostsAdd((0..WRITERS).map(|writer| host(writer, 0)).collect::<Result<_>>()?)).await
    }

    async fn make(&self, edit: Edit) -> Result<()> {
        inventory::apply(&self.pool, &self.actor, "bench", edit, None).await?;
        self.wake.notify_one();
        Ok(())
    }

    /// The same with a publisher, once it has published what was left.
    async fn publishing(&self, time: Duration) -> Result<f64> {
        let (keys, heard) = (self.keys.clone(), watch::channel(0).1);
        let (publisher, published) = Publisher::open(self.pool.clone(), &self.state_dir, keys, Arc::clone(&self.wake), heard, Limits::default()).await?;
        let latest = published.latest;
        let running = tokio::spawn(publisher.run());
        let generation = || latest.borrow().state(Feed::ZONE).view().generation();
        let (begun, first) = (Instant::now(), generation());
        while generation() == first {
            ensure!(begun.elapsed() < DRAIN_LIMIT, "the publisher published nothing within {DRAIN_LIMIT:?}");
            self.wake.notify_one();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let rate = self.edits_per_second(time).await;
        running.abort();
        // Its connection, and with it the lock, goes with the task.
        let _ = running.await;
        rate
    }

    async fn edits_per_second(&self, time: Duration) -> Result<f64> {
        let (begun, mut writers) = (Instant::now(), JoinSet::new());
        for writer in 0..WRITERS {
            let (pool, actor, wake) = (self.pool.clone(), self.actor.clone(), Arc::clone(&self.wake));
            writers.spawn(async move {
                let mut edits = 0u32;
                while begun.elapsed() < time {
                    let draft = host(writer, edits as usize + 1)?;
                    let edit = Edit::HostSet { name: draft.name.clone(), draft };
                    inventory::apply(&pool, &actor, "bench", edit, None).await?;
                    wake.notify_one();
                    edits += 1;
                }
                anyhow::Ok(edits)
            });
        }
        let mut edits = 0;
        while let Some(done) = writers.join_next().await {
            edits += done??;
        }
        Ok(f64::from(edits) / begun.elapsed().as_secs_f64())
    }
}

/// A writer's own host, at another address each time.
fn host(writer: usize, edit: usize) -> Result<HostDraft> {
    let address = Ipv4Addr::new(10, 9, writer as u8 + 1, (edit % 2) as u8 + 1);
    let mac = format!("02:00:00:00:09:{writer:02x}").parse()?;
    Ok(HostDraft::simple(format!("w{writer}.bench.example").parse()?, Some(mac), address.into()))
}

/// What an append and its way to the disk cost, without any database.
fn sync_times(folder: &Path) -> Result<Line> {
    let mut file = std::fs::File::create(folder.join("sync"))?;
    let one = |_| {
        let begun = Instant::now();
        file.write_all(&[0; 512])?;
        file.sync_data()?;
        Ok(begun.elapsed().as_secs_f64() * 1000.0)
    };
    Ok((0..SYNCS).map(one).collect::<Result<Samples>>()?.line("for comparison: append of 512 bytes and fdatasync", "ms"))
}
