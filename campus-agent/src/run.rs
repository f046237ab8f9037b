//! The one who knows everybody: reads, binds, spawns, drains.
//!
//! Nothing up to "ready" waits for anything but this box's own disk: no carrier, no address, no clock, no name, no master.

use crate::config::Config;
use crate::dhcp::{self, Settings};
use crate::dns::DnsServer;
use crate::radius::RadiusServer;
use crate::reports::Spool;
use crate::status::{self, Board};
use crate::store::{Floor, FloorFile, Identity, Keeper, Opening};
use crate::uplink::Uplink;
use anyhow::Context;
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::snapshot::{Feed, Reader};
use metrics_exporter_prometheus::PrometheusHandle;
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Runs every service of the box until SIGTERM or SIGINT.
pub async fn run(config: Config, metrics: PrometheusHandle) -> anyhow::Result<()> {
    let started = Instant::now();
    let identity = Identity::read(&config.state_dir)?;
    let (floor_file, floor) = FloorFile::open(&config.state_dir);
    let clock = Arc::new(TrustedClock::new(floor.time));
    let spool = Spool::open(&config.state_dir, Arc::clone(&clock));
    let (keepers, readers) = open_store(&config, &identity, &floor, &spool)?;
    let services = Services::bind(&config, &identity)?;
    let uplink =
        Uplink::new(identity.clone(), config.uplink.master.clone(), config.state_dir.clone(), keepers, (floor_file, floor), spool.clone(), Arc::clone(&clock));
    let board = Board {
        name: identity.name.clone(),
        master: config.uplink.master.clone().unwrap_or_else(|| identity.master.clone()),
        uplink: uplink.state(),
        spool,
        clock,
        metrics,
    };
    let window = TcpListener::bind(config.status.listen).await.with_context(|| format!("the status page cannot listen on {}", config.status.listen))?;
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    services.spawn(&mut tasks, &readers, &identity, &stopped);
    tasks.spawn(async move { drop(axum::serve(window, status::router(board)).await) });
    tasks.spawn(uplink.run());
    tracing::info!(event = "agent_ready", agent = identity.name, milliseconds = started.elapsed().as_millis() as u64, "serving from disk");
    wait_for_signal().await?;
    tracing::info!(event = "agent_stopping", agent = identity.name, "stopping");
    stop.send_replace(true);
    tasks.shutdown().await;
    Ok(())
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

/// Every service, bound and not serving yet.
struct Services {
    dns: DnsServer,
    dhcp: dhcp::Service,
    radius: RadiusServer,
}

impl Services {
    fn bind(config: &Config, identity: &Identity) -> anyhow::Result<Self> {
        let dhcp = Settings { listen: config.dhcp.listen, server_name: identity.name.clone() };
        Ok(Self { dns: DnsServer::bind(&usable(&config.dns.listen))?, dhcp: dhcp::bind(&dhcp)?, radius: RadiusServer::bind(&usable(&config.radius.listen))? })
    }

    fn spawn(self, tasks: &mut JoinSet<()>, readers: &BTreeMap<Feed, Reader>, identity: &Identity, stopped: &watch::Receiver<bool>) {
        let reader = |feed| readers[&feed].clone();
        let (zone, bootptab) = (reader(Feed::ZONE), reader(Feed::BOOTPTAB));
        let (people, access) = (reader(Feed::PEOPLE), reader(Feed::ACCESS));
        let (node, hpke) = (identity.node_id, identity.hpke.clone());
        tasks.spawn(self.dns.serve(zone, until(stopped.clone())));
        tasks.spawn(async move {
            self.dhcp.serve(bootptab).await;
        });
        tasks.spawn(self.radius.serve(people, access, node, hpke, until(stopped.clone())));
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
