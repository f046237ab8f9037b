use super::port::Port;
use super::{Process, alone_on};
use crate::config::Config;
use crate::peer;
use crate::reports::{Outbox, SYSLOG, Spool, Syslog};
use crate::status::{self, Board};
use crate::store::{Floor, FloorFile, Identity, Keeper, feed_dir};
use crate::uplink::Uplink;
use anyhow::Context;
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::net::forward::{Receiver, forward};
use holdfast_proto::snapshot::{Feed, Reader};
use metrics_exporter_prometheus::PrometheusHandle;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Follows the master, writes the store and shows how the box is, until SIGTERM.
pub async fn uplink(config: Config, metrics: PrometheusHandle) -> anyhow::Result<()> {
    // Two writers of one store would each cut what the other has promised to keep.
    let _alone = alone_on(&config.state_dir)?;
    let mut process = Process::begin("uplink", config, metrics)?;
    let keepers = open_store(&process)?;
    let keepers_readers: BTreeMap<Feed, Reader> = keepers.iter().map(|keeper| (keeper.state().view().feed(), keeper.reader())).collect();
    let identity = Identity::read(&process.folders.state)?;
    let (config, clock, spool) = (process.config.clone(), Arc::clone(&process.clock), process.spool.clone());
    let master = config.uplink.master.clone().unwrap_or_else(|| identity.master.clone());
    let name = identity.name.clone();
    let line = Uplink::new(
        (identity, process.trusts.clone()),
        master.clone(),
        process.folders.clone(),
        keepers,
        FloorFile::open(&process.folders.state),
        spool.clone(),
        Arc::clone(&clock),
    );
    let board = Board { name, master, uplink: line.state(), spool: spool.clone(), clock, services: services(&config), run_dir: process.folders.run.clone() };
    watch_peers(&mut process, &keepers_readers);
    forward_reports(&mut process)?;
    process.tasks.spawn(serve_window(config.status.listen, board, spool));
    process.tasks.spawn(line.run());
    process.serve().await
}

/// What this box is to answer, by its configuration: a service without an address is not expected to.
fn services(config: &Config) -> Vec<(&'static str, &'static [Feed])> {
    let all: [(_, &'static [Feed], _); 4] = [
        ("dns", &[Feed::ZONE], !config.dns.listen.is_empty()),
        ("resolver", &[Feed::ZONE], !config.resolver.listen.is_empty()),
        ("dhcp", &[Feed::BOOTPTAB], true),
        ("radius", &[Feed::PEOPLE, Feed::ACCESS], !config.radius.listen.is_empty()),
    ];
    let is_named = |service: &str| config.services.as_ref().is_none_or(|named| named.iter().any(|name| name == service));
    all.into_iter().filter(|(service, _, is_expected)| *is_expected && is_named(service)).map(|(service, feeds, _)| (service, feeds)).collect()
}

/// The other agents are asked whether they answer, where any are named.
fn watch_peers(process: &mut Process, readers: &BTreeMap<Feed, Reader>) {
    let Ok((node, hpke)) = Identity::read_reader(&process.folders.state) else { return };
    if process.config.peers.is_empty() {
        return;
    }
    let reader = |feed| readers[&feed].clone();
    let served = peer::Served { zone: reader(Feed::ZONE), bootptab: reader(Feed::BOOTPTAB), access: reader(Feed::ACCESS), node, hpke };
    let (peers, spool) = (process.config.peers.clone(), process.spool.clone());
    process.tasks.spawn(async move { match peer::watch(peers, served, spool).await {} });
}

/// Reports go to a syslog receiver as well, where one is configured.
fn forward_reports(process: &mut Process) -> anyhow::Result<()> {
    let state_dir = &process.folders.state;
    let Some(syslog) = &process.config.syslog else {
        Outbox::close(state_dir, SYSLOG);
        return Ok(());
    };
    let clock: Arc<TrustedClock> = Arc::clone(&process.clock);
    let receiver = Receiver::of_files(&syslog.server, &syslog.ca, syslog.certificate.as_deref(), syslog.key.as_deref(), clock).context("[syslog]")?;
    let (node, _) = Identity::read_reader(state_dir)?;
    let records = Syslog::open(state_dir, node, &Identity::read_name(state_dir)?, syslog.enterprise, process.spool.clone());
    process.tasks.spawn(async move { match forward(receiver, records).await {} });
    Ok(())
}

/// Opens every feed's folder; what was kept out is reported, and nothing of it stops the start.
fn open_store(process: &Process) -> anyhow::Result<Vec<Keeper>> {
    let (_, floor) = FloorFile::open(&process.folders.state);
    let open = |feed| {
        let dir = feed_dir(&process.folders.state, feed);
        let (keeper, findings) =
            Keeper::open(&dir, &process.folders.run, feed, &process.trusts, &process.key).with_context(|| format!("opening {}", dir.display()))?;
        for finding in findings {
            process.spool.raise("snapshot_refused", format!("{}: {}", finding.path.display(), finding.what));
        }
        tell_if_it_went_back(feed, &keeper, &floor, &process.spool);
        Ok(keeper)
    };
    Feed::ALL.into_iter().map(open).collect()
}

fn tell_if_it_went_back(feed: Feed, keeper: &Keeper, floor: &Floor, spool: &Spool) {
    let held = (keeper.state().view().epoch(), keeper.state().view().generation());
    if let Some(once) = floor.of(feed).filter(|once| *once > held) {
        spool.raise("snapshot_went_back", format!("{feed}: this disk once held generation {}.{} and now leads to {}.{}", once.0, once.1, held.0, held.1));
    }
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
