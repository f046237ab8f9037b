//! The one who knows everybody: reads, binds, spawns, drains.
//!
//! A box is several processes: `uplink`, which alone knows the master and writes the store, and one for each service, which
//! reads the store by itself. Each may be started by itself, under a user of its own that sees its own kinds alone; [`supervise`]
//! starts them all and starts anew what ends, for small sites. One that dies takes no other with it.
//!
//! Nothing up to "ready" waits for anything but this box's own disk: no carrier, no address, no clock, no name, no master.

mod lent;
mod port;
mod service;
mod supervisor;
mod uplink;

pub use service::{dhcp, dns, radius, resolver};
pub use supervisor::supervise;
pub use uplink::uplink;

use crate::config::Config;
use crate::config::Folders;
use crate::reports::{Spool, caller};
use crate::status::offer_counters;
use crate::store::{self, Follower, Following, Trusts, store_key};
use anyhow::Context;
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::snapshot::file::StoreKey;
use holdfast_proto::snapshot::{Feed, Reader};
use metrics_exporter_prometheus::PrometheusHandle;
use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// How soon a process knows the time that the uplink has learned.
const TIME_TICK: Duration = Duration::from_secs(1);

/// Set for a process that [`supervise`] started: it ends when its standard input does, so that it never outlives its supervisor.
const SUPERVISED: &str = "HOLDFAST_SUPERVISED";

/// Set for a process whose predecessor ended by a fault that no panic tells of.
const FELL: &str = "HOLDFAST_FELL";

/// What every process of the box starts from.
struct Process {
    name: &'static str,
    config: Config,
    folders: Folders,
    trusts: Trusts,
    key: StoreKey,
    /// The one before ended by a fault of its own.
    fell: bool,
    spool: Spool,
    clock: Arc<TrustedClock>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    started: Instant,
}

impl Process {
    /// Reads what the disk says. Only the trust is needed: whoever serves names must not care what became of a TLS key.
    fn begin(name: &'static str, config: Config, metrics: PrometheusHandle) -> anyhow::Result<Self> {
        let started = Instant::now();
        let folders = config.folders();
        std::fs::create_dir_all(&folders.run).with_context(|| format!("making {}", folders.run.display()))?;
        let trusts = Trusts::read(&folders.state)?;
        let key = store_key(&folders.state);
        let clock = Arc::new(TrustedClock::new(crate::store::FloorFile::open(&folders.state).1.time));
        let fell = store::fell_over(&folders.run, name) || std::env::var_os(FELL).is_some();
        let spool = Spool::open(&folders.state, name, Arc::clone(&clock));
        spool.audit("service_started", format!("{name}, by {}", caller()));
        let mut tasks = JoinSet::new();
        tasks.spawn(offer_counters(folders.run.clone(), name, metrics));
        tasks.spawn(learn_time(Arc::clone(&clock), folders.state.clone()));
        Ok(Self { name, config, folders, trusts, key, fell, spool, clock, tasks, stop: watch::channel(false).0, started })
    }

    /// A feed from the disk, followed from now on.
    fn follow(&mut self, feed: Feed) -> Reader {
        let Following { follower, reader, findings } = Follower::open(&self.folders, feed, self.name, self.fell, &self.trusts, &self.key);
        let (epoch, generation) = follower.serves();
        tracing::info!(event = "snapshot_opened", %feed, epoch = epoch.0, generation = generation.0, "verified from disk");
        let spool = self.spool.clone();
        let tell = move |finding: crate::store::Finding| spool.raise("snapshot_refused", format!("{}: {}", finding.path.display(), finding.what));
        findings.into_iter().for_each(&tell);
        self.tasks.spawn(async move { match follower.run(tell).await {} });
        reader
    }

    fn stopped(&self) -> impl Future<Output = ()> + use<> {
        let mut stopped = self.stop.subscribe();
        async move {
            // A sender that is gone means the same.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }
    }

    /// Serves until SIGTERM, SIGINT, or the end of a supervisor.
    async fn serve(mut self) -> anyhow::Result<()> {
        let milliseconds = self.started.elapsed().as_millis() as u64;
        tracing::info!(event = "service_ready", service = self.name, milliseconds, "serving from disk");
        let ended = tokio::select! {
            signal = wait_for_signal() => signal,
            () = supervisor_is_gone() => Ok(()),
            // A task that ends by itself is a fault: better to be started anew than to go on without it.
            _ = self.tasks.join_next() => Err(anyhow::anyhow!("a part of {} ended by itself; its last words are above", self.name)),
        };
        tracing::info!(event = "service_stopping", service = self.name, "stopping");
        self.stop.send_replace(true);
        self.tasks.shutdown().await;
        ended
    }
}

/// Learns for ever what the uplink learns: only it hears the master, and it writes the time down beside each generation.
async fn learn_time(clock: Arc<TrustedClock>, state_dir: PathBuf) {
    loop {
        clock.learn(crate::store::FloorFile::open(&state_dir).1.time);
        tokio::time::sleep(TIME_TICK).await;
    }
}

/// Locks a folder for as long as its file is held: so that nobody else does the same on it.
fn alone_on(folder: &Path) -> anyhow::Result<File> {
    let file = File::open(folder).with_context(|| format!("opening {}", folder.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => anyhow::bail!("another holdfast-agent runs on {}", folder.display()),
        // A file system without locks is no reason not to serve.
        Err(TryLockError::Error(error)) => {
            tracing::warn!(event = "no_lock", %error, "the state folder cannot be locked");
            Ok(file)
        }
    }
}

async fn wait_for_signal() -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn supervisor_is_gone() {
    if std::env::var_os(SUPERVISED).is_none() {
        return std::future::pending().await;
    }
    let gone = Arc::new(Notify::new());
    let tell = Arc::clone(&gone);
    // Nothing is ever written there: it ends with whoever holds the other end.
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        tell.notify_one();
    });
    gone.notified().await;
}
