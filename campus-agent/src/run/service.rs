use super::Process;
use super::port::{Port, usable};
use crate::config::Config;
use crate::dhcp::{self as dhcp_service, Settings, Surroundings, Whereabouts};
use crate::dns::DnsServer;
use crate::peer;
use crate::radius::accounting::{self, AccountingServer, Budget};
use crate::radius::{EapCertificate, RadiusServer};
use crate::resolver::{self as resolver_service, ResolverServer};
use crate::store::Identity;
use holdfast_proto::snapshot::{Feed, HpkePrivate, Reader};
use holdfast_proto::words::NodeId;
use metrics_exporter_prometheus::PrometheusHandle;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

/// Answers names until SIGTERM, from the zone snapshot and the names log alone.
pub async fn dns(config: Config, metrics: PrometheusHandle) -> anyhow::Result<()> {
    let mut process = Process::begin("dns", config, metrics)?;
    // A card that cannot be read costs the box its label, and nothing else.
    let name = Identity::read_name(&process.folders.state).unwrap_or_default();
    let mut settings = process.config.dns.clone();
    settings.listen = usable(&settings.listen);
    if let Some(tls) = &mut settings.tls {
        tls.listen = usable(&tls.listen);
    }
    // Bound first: whoever reads what this process serves may ask it.
    let port = Port::new("DNS", &process.spool, move || DnsServer::bind(&settings, &name));
    let zone = process.follow(Feed::ZONE);
    let (zone, stop, run_dir) = (process.with_names(zone), process.stopped(), process.folders.run.clone());
    process.tasks.spawn(async move { port.bound().await.serve(zone, run_dir, stop).await });
    process.serve().await
}

/// Answers names of others and of ours for listed clients until SIGTERM, from the zone snapshot, its cache, and whom it may ask.
pub async fn resolver(config: Config, metrics: PrometheusHandle) -> anyhow::Result<()> {
    let mut process = Process::begin("resolver", config, metrics)?;
    let node = Identity::read_number(&process.folders.state)?;
    let mut settings = process.config.resolver.clone();
    settings.listen = usable(&settings.listen);
    let (authorities, clock) = (process.trusts.newest().draft().authorities.clone(), Arc::clone(&process.clock));
    let port = Port::new("the resolver", &process.spool, move || ResolverServer::bind(&settings, &authorities, Arc::clone(&clock)));
    let [zone, bootptab, roster] = [Feed::ZONE, Feed::BOOTPTAB, Feed::TRUST].map(|feed| process.follow(feed));
    let zone = process.with_names(zone);
    let (stop, run_dir, spool) = (process.stopped(), process.folders.run.clone(), process.spool.clone());
    let surroundings = resolver_service::Surroundings { zone, bootptab, roster, node, run_dir, spool };
    process.tasks.spawn(async move {
        if let Err(wrong) = port.bound().await.serve(surroundings, stop).await {
            tracing::error!(event = "resolver_not_served", %wrong, "the resolver cannot serve: {wrong}");
        }
    });
    process.serve().await
}

/// Answers BOOTP and DHCP until SIGTERM, from the bootptab snapshot and its own lease log.
pub async fn dhcp(config: Config, metrics: PrometheusHandle) -> anyhow::Result<()> {
    let mut process = Process::begin("dhcp", config, metrics)?;
    // A card that cannot be read costs BOOTP clients the choice of a server by name, and nothing else.
    let server_name = Identity::read_name(&process.folders.state).unwrap_or_default();
    let settings = Settings { listen: process.config.dhcp.listen, server_name };
    let port = Port::new("BOOTP and DHCP", &process.spool, move || dhcp_service::bind(&settings));
    let surroundings = dhcp_surroundings(&mut process)?;
    process.tasks.spawn(async move {
        port.bound().await.serve(surroundings).await;
    });
    process.serve().await
}

/// What DHCP serves from. Its own campus stands in the roster; which other campuses are silent it finds out by itself.
fn dhcp_surroundings(process: &mut Process) -> anyhow::Result<Surroundings> {
    let node = Identity::read_number(&process.folders.state)?;
    let (bootptab, roster) = (process.follow(Feed::BOOTPTAB), process.follow(Feed::TRUST));
    let (silent, is_silent) = watch::channel(BTreeSet::new());
    let (whereabouts, found) = watch::channel(Whereabouts::default());
    let (peers, asked) = (process.config.peers.clone(), bootptab.clone());
    process.tasks.spawn(async move { match peer::keep_asking_dhcp(peers, asked, silent).await {} });
    process.tasks.spawn(async move { match dhcp_service::keep_up(node, roster, is_silent, whereabouts).await {} });
    let (state_dir, spool, clock) = (process.folders.state.clone(), process.spool.clone(), Arc::clone(&process.clock));
    let names_of_others = Box::new(process.names_of_others(node, bootptab.clone()));
    Ok(Surroundings { bootptab, node, state_dir, whereabouts: found, spool, clock, names_of_others })
}

/// Answers RADIUS until SIGTERM, from the auth snapshots and the key that opens their secrets.
pub async fn radius(config: Config, metrics: PrometheusHandle) -> anyhow::Result<()> {
    let mut process = Process::begin("radius", config, metrics)?;
    let (node, hpke) = Identity::read_reader(&process.folders.state)?;
    let listen = usable(&process.config.radius.listen);
    let port = Port::new("RADIUS", &process.spool, move || RadiusServer::bind(&listen));
    let (people, access, stop) = (process.follow(Feed::PEOPLE), process.follow(Feed::ACCESS), process.stopped());
    let refusals = process.spool.clone();
    let eap = Arc::new(EapCertificate::of(&process.config.radius, Arc::clone(&process.clock) as _));
    serve_accounting(&mut process, access.clone(), node, hpke.clone());
    process.tasks.spawn(async move { port.bound().await.with_eap(eap).serve(people, access, node, hpke, refusals, stop).await });
    process.serve().await
}

/// Keeps what NASs say of sessions. On a port of its own: whoever has taken that one keeps nobody from logging in.
fn serve_accounting(process: &mut Process, access: Reader, node: NodeId, private: HpkePrivate) {
    let listen = usable(&process.config.radius.accounting);
    let port = Port::new("RADIUS accounting", &process.spool, move || AccountingServer::bind(&listen));
    let (state_dir, budget) = (process.folders.state.clone(), Budget(process.config.radius.accounting_bytes));
    let (clock, spool, stop) = (Arc::clone(&process.clock), process.spool.clone(), process.stopped());
    let surroundings = accounting::Surroundings { access, node, private, state_dir, budget, clock, spool };
    process.tasks.spawn(async move { port.bound().await.serve(surroundings, stop).await });
}
