//! The one who knows everybody: reads, binds, spawns, drains.
//!
//! Nothing up to "ready" waits for anything but this box's own disk: no carrier, no address, no clock, no name, no master.

use crate::config::Config;
use crate::dhcp::{self, Settings};
use crate::dns::DnsServer;
use crate::peer;
use crate::radius::RadiusServer;
use crate::reports::{Outbox, SYSLOG, Spool, Syslog, caller};
use crate::status::{self, Board};
use crate::store::{Floor, FloorFile, Identity, Keeper, Opening};
use crate::uplink::Uplink;
use anyhow::Context;
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::net::forward::{Receiver, forward};
use holdfast_proto::snapshot::{Feed, Reader};
use metrics_exporter_prometheus::PrometheusHandle;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{File, TryLockError};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often a port that was taken is tried again.
const PORT_RETRY: Duration = Duration::from_secs(1);

/// Runs every service of the box until SIGTERM or SIGINT.
pub async fn run(config: Config, metrics: PrometheusHandle) -> anyhow::Result<()> {
    let started = Instant::now();
    let _alone = alone_on(&config.state_dir)?;
    let identity = Identity::read(&config.state_dir)?;
    let (floor_file, floor) = FloorFile::open(&config.state_dir);
    let clock = Arc::new(TrustedClock::new(floor.time));
    let spool = Spool::open(&config.state_dir, "agent", Arc::clone(&clock));
    spool.audit("service_started", format!("by {}", caller()));
    let (keepers, readers) = open_store(&config, &identity, &floor, &spool)?;
    let uplink =
        Uplink::new(identity.clone(), config.uplink.master.clone(), config.state_dir.clone(), keepers, (floor_file, floor), spool.clone(), Arc::clone(&clock));
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    spawn_services(&mut tasks, &config, &identity, &readers, &spool, &stopped);
    spawn_peers(&mut tasks, &config, &identity, &readers, &spool);
    spawn_syslog(&mut tasks, &config, &identity, &clock, &spool)?;
    let board = Board {
        name: identity.name.clone(),
        master: config.uplink.master.clone().unwrap_or_else(|| identity.master.clone()),
        uplink: uplink.state(),
        spool: spool.clone(),
        clock,
        metrics,
    };
    tasks.spawn(serve_window(config.status.listen, board, spool));
    tasks.spawn(uplink.run());
    tracing::info!(event = "agent_ready", agent = identity.name, milliseconds = started.elapsed().as_millis() as u64, "serving from disk");
    let ended = tokio::select! {
        signal = wait_for_signal() => signal,
        // A service that ends by itself is a fault: better to be started anew than to go on without it.
        _ = tasks.join_next() => Err(anyhow::anyhow!("a service of the box ended by itself; its last words are above")),
    };
    tracing::info!(event = "agent_stopping", agent = identity.name, "stopping");
    stop.send_replace(true);
    tasks.shutdown().await;
    ended
}

/// Locks the state folder: two agents on one store would each cut what the other has promised to keep.
fn alone_on(state_dir: &Path) -> anyhow::Result<File> {
    let folder = File::open(state_dir).with_context(|| format!("opening {}", state_dir.display()))?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => anyhow::bail!("another holdfast-agent runs on {}", state_dir.display()),
        // A file system without locks is no reason not to serve.
        Err(TryLockError::Error(error)) => {
            tracing::warn!(event = "no_lock", %error, "the state folder cannot be locked");
            Ok(folder)
        }
    }
}

/// Opens every feed's folder; what was kept out is reported, and nothing of it stops the start.
fn open_store(config: &Config, identity: &Identity, floor: &Floor, spool: &Spool) -> anyhow::Result<(Vec<Keeper>, BTreeMap<Feed, Reader>)> {
    let (mut keepers, mut readers) = (Vec::new(), BTreeMap::new());
    for feed in Feed::ALL {
        let dir = config.state_dir.join("snapshots").join(feed.to_string());
        let Opening { keeper, reader, findings } = Keeper::open(&dir, feed, &identity.trust).with_context(|| format!("opening {}", dir.display()))?;
        for finding in findings {
            spool.raise("snapshot_refused", format!("{}: {}", finding.path.display(), finding.what));
        }
        let held = (keeper.state().view().epoch(), keeper.state().view().generation());
        if let Some(once) = floor.of(feed).filter(|once| *once > held) {
            spool.raise("snapshot_went_back", format!("{feed}: this disk once held generation {}.{} and now leads to {}.{}", once.0, once.1, held.0, held.1));
        }
        tracing::info!(event = "snapshot_opened", feed = %feed, generation = held.1.0, rows = keeper.state().view().row_count(), "verified from disk");
        keepers.push(keeper);
        readers.insert(feed, reader);
    }
    Ok((keepers, readers))
}

/// Every service by itself: a port that another program holds silences one of them, until it is free, and not the others.
fn spawn_services(
    tasks: &mut JoinSet<()>,
    config: &Config,
    identity: &Identity,
    readers: &BTreeMap<Feed, Reader>,
    spool: &Spool,
    stopped: &watch::Receiver<bool>,
) {
    let reader = |feed| readers[&feed].clone();
    let (listen, zone, stop) = (usable(&config.dns.listen), reader(Feed::ZONE), until(stopped.clone()));
    let dns = Port::new("DNS", spool, move || DnsServer::bind(&listen));
    tasks.spawn(async move { dns.bound().await.serve(zone, stop).await });
    let settings = Settings { listen: config.dhcp.listen, server_name: identity.name.clone() };
    let bootptab = reader(Feed::BOOTPTAB);
    let dhcp = Port::new("BOOTP and DHCP", spool, move || dhcp::bind(&settings));
    tasks.spawn(async move {
        dhcp.bound().await.serve(bootptab).await;
    });
    let (listen, people, access, stop) = (usable(&config.radius.listen), reader(Feed::PEOPLE), reader(Feed::ACCESS), until(stopped.clone()));
    let (node, hpke) = (identity.node_id, identity.hpke.clone());
    let radius = Port::new("RADIUS", spool, move || RadiusServer::bind(&listen));
    let refusals = spool.clone();
    tasks.spawn(async move { radius.bound().await.serve(people, access, node, hpke, refusals, stop).await });
}

/// The other agents are asked whether they answer, where any are named.
fn spawn_peers(tasks: &mut JoinSet<()>, config: &Config, identity: &Identity, readers: &BTreeMap<Feed, Reader>, spool: &Spool) {
    if config.peers.is_empty() {
        return;
    }
    let reader = |feed| readers[&feed].clone();
    let (zone, bootptab, access) = (reader(Feed::ZONE), reader(Feed::BOOTPTAB), reader(Feed::ACCESS));
    let served = peer::Served { zone, bootptab, access, node: identity.node_id, hpke: identity.hpke.clone() };
    let (peers, spool) = (config.peers.clone(), spool.clone());
    tasks.spawn(async move { match peer::watch(peers, served, spool).await {} });
}

/// Reports go to a syslog receiver as well, where one is configured.
fn spawn_syslog(tasks: &mut JoinSet<()>, config: &Config, identity: &Identity, clock: &Arc<TrustedClock>, spool: &Spool) -> anyhow::Result<()> {
    let Some(syslog) = &config.syslog else {
        Outbox::close(&config.state_dir, SYSLOG);
        return Ok(());
    };
    let clock: Arc<TrustedClock> = Arc::clone(clock);
    let receiver = Receiver::of_files(&syslog.server, &syslog.ca, syslog.certificate.as_deref(), syslog.key.as_deref(), clock).context("[syslog]")?;
    let records = Syslog::open(&config.state_dir, identity.node_id, &identity.name, syslog.enterprise, spool.clone());
    tasks.spawn(async move { match forward(receiver, records).await {} });
    Ok(())
}

async fn serve_window(listen: SocketAddr, board: Board, spool: Spool) {
    let bind = move || {
        let listener = std::net::TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    let listener = Port::new("the status page", &spool, bind).bound().await;
    drop(axum::serve(listener, status::router(board)).await);
}

/// A service on its way to its port. The first attempt is made at once, so that "ready" means bound wherever that is possible.
struct Port<T, B> {
    service: &'static str,
    first: Option<T>,
    bind: B,
    spool: Spool,
}

impl<T, E: Display, B: Fn() -> Result<T, E>> Port<T, B> {
    fn new(service: &'static str, spool: &Spool, bind: B) -> Self {
        let first = bind().map_err(|wrong| spool.raise("port_taken", format!("{service} waits: {wrong}"))).ok();
        Self { service, first, bind, spool: spool.clone() }
    }

    async fn bound(self) -> T {
        if let Some(first) = self.first {
            return first;
        }
        loop {
            tokio::time::sleep(PORT_RETRY).await;
            if let Ok(bound) = (self.bind)() {
                self.spool.raise("port_free", format!("{} serves now", self.service));
                return bound;
            }
        }
    }
}

/// The addresses that this kernel has a family for: the IPv6 wildcards stand in every default, and some kernels have no IPv6.
fn usable(listen: &[SocketAddr]) -> Vec<SocketAddr> {
    let ipv6 = UdpSocket::bind("[::]:0").is_ok();
    if !ipv6 {
        tracing::warn!(event = "no_ipv6", "this kernel has no IPv6: its addresses are left out");
    }
    listen.iter().copied().filter(|address| ipv6 || address.is_ipv4()).collect()
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn wait_for_signal() -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
