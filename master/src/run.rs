//! The one who knows everybody: opens the database, builds the rooms, plugs the channels, drains.

use crate::audit::Auditor;
use crate::config::{Config, Web};
use crate::control::{self, Control, Ledger};
use crate::db::publish as db;
use crate::dns::{Copies, Forwarder, Forwarding, Hop, NameServer};
use crate::engine::{self, Engine};
use crate::feed::{Numberer, deliver_for_ever};
use crate::http::{self, App, Boxes, Served, ServedReader, create_first_admin, follow_database, router};
use crate::inventory::{self, checks};
use crate::keys::Keys;
use crate::nodes;
use crate::probes::Prober;
use crate::publish::{Halt, Latest, Limits, Publisher};
use crate::reports::{Inbox, Syslog, prune_for_ever, stop_queueing};
use crate::snapshots::{Snapshots, every_night};
use crate::telemetry::BUILD;
use anyhow::Context;
use axum::extract::{ConnectInfo, Request, connect_info};
use axum::middleware;
use axum::serve::IncomingStream;
use control::Connected;
use holdfast_proto::net::accept::{Line, accept};
use holdfast_proto::net::forward::{Receiver, forward};
use holdfast_proto::net::tls;
use holdfast_proto::words::{NodeId, UnixMillis};
use metrics_exporter_prometheus::PrometheusHandle;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

/// The hostname database's own name in the cluster.
pub const DATABASE: &str = "hostdb";
/// Whom the pages, the API and the lines of the agents act as; see migration 0025.
const DOORS_ROLE: &str = "holdfast_web";
/// Whom the publisher acts as.
const PUBLISHER_ROLE: &str = "holdfast_publisher";
/// How long a request in flight may take when the master is told to stop. An agent's line never ends by itself.
const DRAIN_LIMIT: Duration = Duration::from_millis(1500);
/// How soon a running master takes up a trust that was installed beside it.
const KEYS_TICK: Duration = Duration::from_secs(1);
/// Words of primaries that wait to be heeded.
const HEARD_LIMIT: usize = 1024;
static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/master");

/// Opens the hostname database, brought to this build's shape.
pub async fn open_database(config: &Config) -> anyhow::Result<(PgPool, Option<Engine>)> {
    let (pool, engine) = engine::open(&config.database, &config.state_dir, DATABASE).await?;
    MIGRATIONS.run(&pool).await.context("bringing the hostname database to this build's shape")?;
    Ok((pool, engine))
}

/// Runs the master until SIGTERM or SIGINT.
pub async fn serve(config: Config, metrics: PrometheusHandle) -> anyhow::Result<()> {
    let (keys, keys_work) = follow_keys(&config)?;
    let (owner, engine) = open_database(&config).await?;
    greet_first_admin(&owner).await?;
    let (pool, publishing) = (engine::acting_as(&owner, DOORS_ROLE).await?, engine::acting_as(&owner, PUBLISHER_ROLE).await?);
    let (wake, connected) = (Arc::new(Notify::new()), Connected::default());
    let (publisher, published) =
        Publisher::open(publishing.clone(), &config.state_dir, keys.clone(), Arc::clone(&wake), connected.greetings(), limits(&config)).await?;
    let (revoked, revoked_work) = nodes::follow(pool.clone(), Arc::clone(&wake));
    let snapshots = Snapshots::new(pool.clone(), keys.clone(), published.latest.clone());
    let (probed, access_key, named) = (published.latest.clone(), published.access_key.clone(), published.latest.clone());
    let (gate_keeper, gate) = control::gate(published.latest.clone());
    let (pulse, signed) = watch::channel(control::sign(&Arc::clone(&keys.borrow()), &Arc::clone(&published.latest.borrow()), now()));
    let ledger = Ledger::default();
    let control = Control {
        pool: pool.clone(),
        keys: keys.clone(),
        revoked,
        latest: published.latest.clone(),
        gate,
        signed,
        bulk_bytes_per_second: config.control.bulk_bytes_per_second,
        door: published.door,
        inbox: Inbox::new(pool.clone()),
        connected: connected.clone(),
        ledger: ledger.clone(),
        wake: Arc::clone(&wake),
    };
    let nightly = snapshots.clone();
    let auditor = Auditor::new(pool.clone(), Some(keys.clone()));
    let (numberer, feed) = crate::feed::open(pool.clone());
    let (tasks_stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(control::pulse(keys.clone(), published.latest.clone(), now, pulse));
    let (noting, lines, gone) = (pool.clone(), connected.clone(), connected.clone());
    tasks.spawn(async move { match ledger.write(noting, lines).await {} });
    let (control_tls, tls_work) = control_tls(keys.clone())?;
    let forwarder = Forwarder::bind(&config.forwarder, control_tls.clone(), published.latest.clone())?;
    let served = served_reader(pool.clone(), connected.clone(), published.latest, &mut tasks);
    let origins = connected.clone();
    let (away, looking) = follow_database(pool.clone());
    tasks.spawn(looking);
    let app = App {
        away,
        pool: pool.clone(),
        served,
        boxes: Some(Boxes { keys: keys.clone(), lines: Arc::new(move || connected.nodes()), gone_since: Arc::new(move |node| gone.gone_since(node)) }),
        forwarder: forwarder.as_ref().map(|forwarder| forwarder_door(forwarder.forwarding())),
        halt: halt_reader(published.halt),
        snapshots,
        auditor: auditor.clone(),
        feed,
        recorder: None,
        metrics: Arc::new(move || metrics.render()),
        build: BUILD,
        secure: web_is_secure(&config.web),
        help: Arc::new(config.web.help.clone()),
        access_keys: Some(published.access_keys),
        committed: Arc::clone(&wake),
    };
    let (hears, heard) = mpsc::channel(HEARD_LIMIT);
    let copies = Copies {
        pool: pool.clone(),
        committed: Arc::clone(&wake),
        limits: limits(&config),
        source: config.dns.source.clone(),
        serve_past_expire: config.dns.serve_past_expire,
    };
    let tending = inventory::tend(pool.clone(), Arc::clone(&wake));
    let discovering = inventory::discovery::tend(pool.clone(), wake);
    let tended = async move { match tending.await {} };
    let names = NameServer::bind(&config.dns)?;
    let control_listener = listen(config.control.listen).await?;
    let web_listener = listen(config.web.listen).await?;
    let web_tls = web_tls(&config.web, &Arc::clone(&keys.borrow()))?;
    spawn_reports(&mut tasks, &config, &pool).await?;
    spawn_history(&mut tasks, &config, &pool, auditor, numberer);
    let of_names = pool.clone();
    tasks.spawn(async move { match names.serve(of_names, named, hears).await {} });
    tasks.spawn(async move { match copies.keep(heard).await {} });
    if let Some(forwarder) = forwarder {
        let of_clients = pool.clone();
        tasks.spawn(forwarder.serve(of_clients, Arc::new(move || origins.origins())));
    }
    if config.probe.enabled {
        let prober = Prober::new(pool.clone(), access_key, probed, config.probe.clone());
        tasks.spawn(async move { match prober.run().await {} });
    }
    tasks.spawn(async move {
        if let Err(error) = publisher.run().await {
            tracing::error!(event = "publisher_ended", error = format!("{error:#}"), "nothing is published any more");
        }
    });
    tasks.spawn(tended);
    tasks.spawn(async move { match discovering.await {} });
    tasks.spawn(gate_keeper.run());
    tasks.spawn(keys_work);
    tasks.spawn(revoked_work);
    tasks.spawn(tls_work);
    tasks.spawn(checks::every_night(pool.clone(), config.publisher.audit_hour));
    tasks.spawn(every_night(nightly, config.publisher.audit_hour, config.publisher.keep_days));
    tasks.spawn(log_end("control", control::serve(control, control_listener, control_tls, until(stopped.clone()))));
    tasks.spawn(log_end("web", serve_web(app, web_listener, web_tls, until(stopped))));
    let institution = keys.borrow().trust.draft().name.clone();
    tracing::info!(event = "master_ready", web = %config.web.listen, control = %config.control.listen, institution, "the master serves");
    let ended = tokio::select! {
        signal = wait_for_signal() => signal,
        // A room that ends by itself is a fault: better to be started anew than to serve without it.
        _ = tasks.join_next() => Err(anyhow::anyhow!("a room of the master ended by itself; its last words are above")),
    };
    tracing::info!(event = "master_stopping", "stopping");
    tasks_stop.send_replace(true);
    // What is being answered is answered; the publisher and the lines of the agents have no end of their own.
    drain(&mut tasks, RoomsWithAnEnd(2)).await;
    tasks.shutdown().await;
    for pool in [pool, publishing, owner] {
        pool.close().await;
    }
    stop_engine(engine).await.and(ended)
}

/// Reads the keys, and again whenever a newer trust was installed: within a second, or at SIGHUP.
fn follow_keys(config: &Config) -> anyhow::Result<(watch::Receiver<Arc<Keys>>, impl Future<Output = ()> + Send + use<>)> {
    let state_dir = config.state_dir.clone();
    let (sender, keys) = watch::channel(Arc::new(Keys::read(&state_dir)?));
    let mut hangup = signal(SignalKind::hangup())?;
    let work = async move {
        let mut tick = tokio::time::interval(KEYS_TICK);
        let mut said = String::new();
        loop {
            let is_asked = tokio::select! {
                _ = tick.tick() => false,
                _ = hangup.recv() => true,
            };
            let held = Arc::clone(&sender.borrow());
            if !is_asked && !held.are_outdated(&state_dir) {
                continue;
            }
            match Keys::read(&state_dir) {
                Ok(keys) => {
                    tracing::info!(event = "trust_installed", version = keys.trust.draft().version, epoch = %keys.trust.draft().epoch, "works under the newest trust");
                    sender.send_replace(Arc::new(keys));
                }
                // Said once: it is tried again every second.
                Err(error) if said != format!("{error:#}") => {
                    said = format!("{error:#}");
                    tracing::error!(event = "trust_not_installed", error = said, "the trust on disk cannot be used; the one before is");
                }
                Err(_) => {}
            }
        }
    };
    Ok((keys, work))
}

/// What agents and the portal find when they dial in, made anew when the trust names other authorities.
fn control_tls(mut keys: watch::Receiver<Arc<Keys>>) -> anyhow::Result<(watch::Receiver<Arc<rustls::ServerConfig>>, impl Future<Output = ()> + Send + use<>)> {
    let make = |keys: &Keys| {
        let identity = keys.serving_authority().master_identity(Vec::new())?;
        Ok::<_, anyhow::Error>(Arc::new(tls::server_config(identity, &keys.trust.draft().authorities)?))
    };
    let (sender, config) = watch::channel(make(&Arc::clone(&keys.borrow_and_update()))?);
    let work = async move {
        while keys.changed().await.is_ok() {
            match make(&Arc::clone(&keys.borrow_and_update())) {
                Ok(config) => drop(sender.send_replace(config)),
                Err(error) => tracing::error!(event = "certificate_not_made", error = format!("{error:#}"), "the master shows its old certificate"),
            }
        }
    };
    Ok((config, work))
}

/// The forwarder as the doors know it.
fn forwarder_door(forwarding: Forwarding) -> http::Forwarder {
    let servers = forwarding.clone();
    let trace = move |asked: http::Asked| {
        let forwarding = forwarding.clone();
        Box::pin(async move {
            let hops = forwarding.trace(&asked.name, &asked.rtype, asked.from).await?;
            let tier = |Hop { tier, name, server, state, time, reply }: Hop| {
                let time_ms = time.map(|time| time.as_secs_f64() * 1000.0);
                http::Tier { tier, name: name.to_owned(), server, state, time_ms, reply }
            };
            Ok(hops.into_iter().map(tier).collect())
        }) as http::Traced
    };
    http::Forwarder { servers: Arc::new(move || servers.servers()), trace: Arc::new(trace) }
}

/// Why nothing is published, in a sentence, for whoever asks.
fn halt_reader(halt: watch::Receiver<Option<Halt>>) -> Arc<dyn Fn() -> Option<String> + Send + Sync> {
    Arc::new(move || halt.borrow().as_ref().map(Halt::to_string))
}

fn limits(config: &Config) -> Limits {
    Limits { rows: config.publisher.guard_rows, share_percent: config.publisher.guard_share_percent }
}

/// What was reported is kept for a time, and handed on where somebody wants it.
async fn spawn_reports(tasks: &mut JoinSet<()>, config: &Config, pool: &PgPool) -> anyhow::Result<()> {
    let (kept, of_pruning) = (config.events.clone(), pool.clone());
    tasks.spawn(async move { match prune_for_ever(of_pruning, kept).await {} });
    let Some(syslog) = &config.syslog else { return Ok(stop_queueing(pool).await?) };
    let clock = Arc::new(rustls::time_provider::DefaultTimeProvider);
    let receiver = Receiver::of_files(&syslog.server, &syslog.ca, syslog.certificate.as_deref(), syslog.key.as_deref(), clock).context("[syslog]")?;
    let records = Syslog::open(pool.clone(), syslog.enterprise).await?;
    tasks.spawn(async move { match forward(receiver, records).await {} });
    Ok(())
}

/// What happened is linked, numbered, and told to those who want to hear it.
fn spawn_history(tasks: &mut JoinSet<()>, config: &Config, pool: &PgPool, auditor: Auditor, numberer: Numberer) {
    let (of_webhooks, settings) = (pool.clone(), config.webhooks.clone());
    tasks.spawn(async move { match auditor.link_for_ever().await {} });
    tasks.spawn(async move { match numberer.run().await {} });
    tasks.spawn(async move { match deliver_for_ever(of_webhooks, settings).await {} });
}

/// How many rooms end when they are told to: control and web.
struct RoomsWithAnEnd(usize);

async fn drain(tasks: &mut JoinSet<()>, rooms: RoomsWithAnEnd) {
    let ends = async {
        for _ in 0..rooms.0 {
            tasks.join_next().await;
        }
    };
    let _ = tokio::time::timeout(DRAIN_LIMIT, ends).await;
}

/// Stops the managed database with the program that manages it.
pub async fn stop_engine(engine: Option<Engine>) -> anyhow::Result<()> {
    let Some(engine) = engine else { return Ok(()) };
    tokio::task::spawn_blocking(move || engine.stop()).await?
}

/// A database without an administrator gets one, and the password is said once, here.
async fn greet_first_admin(pool: &PgPool) -> anyhow::Result<()> {
    if let Some(password) = create_first_admin(pool).await.map_err(|wrong| anyhow::anyhow!("{wrong}"))? {
        println!("First log-in: admin / {}   (shown once; change it on the web)", password.expose());
    }
    Ok(())
}

/// Joins what the database knows of acknowledgements with who holds a line now.
fn served_reader(pool: PgPool, connected: Connected, mut latest: watch::Receiver<Arc<Latest>>, tasks: &mut JoinSet<()>) -> ServedReader {
    let (moved, changed) = watch::channel(0);
    let mut acks = connected.acks();
    tasks.spawn(async move {
        loop {
            tokio::select! {
                ended = acks.changed() => if ended.is_err() { return },
                ended = latest.changed() => if ended.is_err() { return },
            }
            moved.send_modify(|count| *count += 1);
        }
    });
    let read = move |change_set| {
        let (pool, connected) = (pool.clone(), connected.clone());
        Box::pin(async move { served(&pool, &connected, change_set).await }) as crate::http::Answer
    };
    ServedReader::new(read, changed)
}

async fn served(pool: &PgPool, connected: &Connected, change_set: Uuid) -> Vec<Served> {
    let lines = connected.nodes();
    match db::served(pool, change_set).await {
        Ok(rows) => {
            let of_row = |row: db::ServedRow| Served { connected: lines.contains(&NodeId(*row.node.as_bytes())), agent: row.agent, since: row.since };
            rows.into_iter().map(of_row).collect()
        }
        Err(error) => {
            tracing::error!(event = "database_failed", %error, "who serves a change could not be read");
            Vec::new()
        }
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// People's passwords travel in the clear only where nobody else can listen.
fn web_is_secure(web: &Web) -> bool {
    web.certificate.is_some() || !web.listen.ip().is_loopback()
}

fn web_tls(web: &Web, keys: &Keys) -> anyhow::Result<Option<Arc<rustls::ServerConfig>>> {
    if !web_is_secure(web) {
        return Ok(None);
    }
    let identity = match (&web.certificate, &web.key) {
        (Some(certificate), Some(key)) => read_identity(certificate, key)?,
        (None, None) => keys.serving_authority().master_identity(own_names(web)?)?,
        _ => anyhow::bail!("[web] needs both certificate and key, or neither"),
    };
    Ok(Some(Arc::new(tls::web_server_config(identity)?)))
}

/// What our own authority's certificate for the web is to fit.
fn own_names(web: &Web) -> anyhow::Result<Vec<String>> {
    let listen = Some(web.listen.ip()).filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string());
    let names: Vec<String> = web.names.iter().cloned().chain(listen).collect();
    anyhow::ensure!(!names.is_empty(), "[web] names is empty: write the names that people type to reach the master, or give it a certificate and key");
    Ok(names)
}

fn read_identity(certificate: &Path, key: &Path) -> anyhow::Result<tls::Identity> {
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).with_context(|| format!("reading {}", certificate.display()))?;
    Ok(tls::Identity { chain, key: PrivateKeyDer::from_pem_file(key).with_context(|| format!("reading {}", key.display()))? })
}

async fn serve_web(
    app: App,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let service = router(app);
    match tls {
        None => axum::serve(listener, service.into_make_service_with_connect_info::<SocketAddr>()).with_graceful_shutdown(stopped).await?,
        Some(config) => {
            let local = listener.local_addr()?;
            let lines = Lines { incoming: accept(listener, watch::channel(config).1), local };
            let service = service.layer(middleware::map_request(with_plain_address));
            axum::serve(lines, service.into_make_service_with_connect_info::<WebCaller>()).with_graceful_shutdown(stopped).await?;
        }
    }
    Ok(())
}

/// TLS lines as axum takes them.
struct Lines {
    incoming: ReceiverStream<std::io::Result<Line>>,
    local: SocketAddr,
}

impl axum::serve::Listener for Lines {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        loop {
            match self.incoming.next().await {
                Some(Ok(line)) => {
                    let from = line.from();
                    return (line, from);
                }
                Some(Err(_)) => {}
                // The acceptor only ends with its listener's runtime.
                None => std::future::pending().await,
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.local)
    }
}

/// The address of a browser behind TLS.
#[derive(Debug, Clone, Copy)]
struct WebCaller(SocketAddr);

impl connect_info::Connected<IncomingStream<'_, Lines>> for WebCaller {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// The doors look for a plain address, whichever way a caller came.
async fn with_plain_address(ConnectInfo(WebCaller(from)): ConnectInfo<WebCaller>, mut request: Request) -> Request {
    request.extensions_mut().insert(ConnectInfo(from));
    request
}

/// The wall clock: what the master signs as the time.
fn now() -> UnixMillis {
    UnixMillis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64)
}

async fn log_end(room: &'static str, work: impl Future<Output = anyhow::Result<()>>) {
    if let Err(error) = work.await {
        tracing::error!(event = "room_ended", room, error = format!("{error:#}"), "a room of the master ended");
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Waits for SIGTERM or SIGINT.
pub async fn wait_for_signal() -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
