//! The forwarder: boxes and departmental servers ask here for names of others, and the master asks the world.
//!
//! It is the plane that the boxes run (`holdfast-names`), with sockets, a cache and memory of its own: the name servers of `[dns]` answer
//! everybody and never ask anybody. Names of ours, and of the zones that are copied, come first, from what is published; then the cache;
//! then upstreams; then, where that is wished, the way from the root. What it refuses: to answer anybody who is not registered.

mod clients;
mod trace;

pub use trace::Hop;

use super::{now_s, refusals};
use crate::config;
use crate::publish::Latest;
use clients::Registered;
use holdfast_names::engine::{Asked, Bound, Encrypted, FlightLimits, Handle, Notice, Plane, Ready, Refused, Shown, Tier, Validation};
use holdfast_names::settings::Tls;
use holdfast_proto::net::certificate::Certificate;
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::snapshot::{Feed, reader};
use holdfast_proto::words::{NodeId, UnixMillis};
use rustls::ServerConfig;
use sqlx::PgPool;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// A box asks for its whole campus, and gives up after four and a half seconds: what comes later is for nobody.
const FLIGHTS: FlightLimits = FlightLimits { of_client: 2048, time: Duration::from_millis(4300) };
/// Strangers that wait to be written down.
const REFUSED_LIMIT: usize = 64;

/// The forwarder with its sockets bound and nothing served yet.
#[derive(Debug)]
pub struct Forwarder {
    ready: Ready,
    settings: config::Forwarder,
    latest: watch::Receiver<Arc<Latest>>,
    zones: holdfast_proto::snapshot::Writer,
    refused: mpsc::Receiver<Refused>,
    registered: watch::Sender<Arc<Registered>>,
}

/// What is asked of the forwarder while it serves: how those are that it asks, and what becomes of a question.
#[derive(Debug, Clone)]
pub struct Forwarding {
    handle: Handle,
    latest: watch::Receiver<Arc<Latest>>,
    registered: watch::Receiver<Arc<Registered>>,
    settings: Arc<config::Forwarder>,
}

/// Where our boxes dial in from, by what their lines say.
pub type Lines = Arc<dyn Fn() -> Vec<(NodeId, IpAddr)> + Send + Sync>;

impl Forwarder {
    /// Binds all addresses; `None` where none is configured. `own` is what is shown over TLS where no certificate is named. Must be called
    /// inside a tokio runtime.
    ///
    /// # Errors
    /// Names the address that could not be bound, or the setting that cannot be, and why.
    pub fn bind(settings: &config::Forwarder, own: watch::Receiver<Arc<ServerConfig>>, latest: watch::Receiver<Arc<Latest>>) -> io::Result<Option<Self>> {
        if settings.listen.is_empty() && settings.tls_listen.is_empty() {
            return Ok(None);
        }
        let (sender, refused) = mpsc::channel(REFUSED_LIMIT);
        // Of the time in others' certificates the wall clock is the only witness here.
        let clock = Arc::new(TrustedClock::new(UnixMillis(now_s() * 1000)));
        let bound = Bound::bind(plane(settings, own, sender)?, &[], clock)?;
        let (zones, zone) = reader(Feed::ZONE);
        zones.publish(latest.borrow().state(Feed::ZONE).view().clone());
        let (registered, _) = watch::channel(Arc::default());
        Ok(Some(Self { ready: bound.ready(zone)?, settings: settings.clone(), latest, zones, refused, registered }))
    }

    /// By which it is asked about itself while it serves.
    pub fn forwarding(&self) -> Forwarding {
        Forwarding {
            handle: self.ready.handle(),
            latest: self.latest.clone(),
            registered: self.registered.subscribe(),
            settings: Arc::new(self.settings.clone()),
        }
    }

    /// Answers for as long as none of its own tasks panics, which is logged: it is better to be started anew than to serve without it.
    pub async fn serve(self, pool: PgPool, lines: Lines) {
        let Self { ready, settings, latest, zones, refused, registered } = self;
        let mut tasks = JoinSet::<Infallible>::new();
        let mut published = latest.clone();
        tasks.spawn(async move {
            while published.changed().await.is_ok() {
                let newest = Arc::clone(&published.borrow_and_update());
                zones.publish(newest.state(Feed::ZONE).view().clone());
            }
            // The publisher is gone: what was published last stays good.
            std::future::pending().await
        });
        let (left, kept) = refusals::keep(pool.clone());
        tasks.spawn(kept);
        tasks.spawn(clients::write_down(refused, left));
        tasks.spawn(clients::keep_up(ready.handle(), settings, pool, latest, lines, registered));
        tokio::select! {
            () = ready.serve(tell, std::future::pending()) => {}
            Some(ended) = tasks.join_next() => tracing::error!(event = "forwarder_ended", ?ended, "nothing is forwarded any more: a task ended, which is a bug"),
        }
    }
}

impl Forwarding {
    /// How those are that it asks: a line for each.
    pub fn servers(&self) -> Vec<String> {
        self.handle.servers().iter().map(|fares| format!("{}: {}, {} ms", fares.server, fares.heed.name(), fares.latency_ms)).collect()
    }
}

fn tell(notice: Notice<'_>) {
    match notice {
        Notice::CutOff { after_s } => tracing::error!(
            event = "forwarder_cut_off",
            after_s,
            "nobody can be asked for names of others: what is known of them is told on, past its time if need be"
        ),
        Notice::Reconnected => tracing::info!(event = "forwarder_reconnected", "somebody can be asked for names of others again"),
        Notice::Servers(servers) => servers.lines().for_each(|line| tracing::info!(event = "forwarder_asks", "the {line}")),
    }
}

fn plane(settings: &config::Forwarder, own: watch::Receiver<Arc<ServerConfig>>, refused: mpsc::Sender<Refused>) -> io::Result<Plane> {
    let wrong = |what: &str| io::Error::other(format!("[forwarder] {what}"));
    let shown = match (&settings.certificate, &settings.key) {
        (Some(chain), Some(key)) => {
            let certificate = Certificate::of(chain, key);
            Shown(Arc::new(move || certificate.current()))
        }
        (None, None) => Shown(Arc::new(move || Some(over_dns(&own.borrow())))),
        _ => return Err(wrong("needs both certificate and key, or neither")),
    };
    let is_over_tls = settings.upstreams.iter().any(|upstream| upstream.name.is_some());
    if is_over_tls && settings.upstream_ca.is_none() {
        return Err(wrong("upstreams: one is asked over TLS: name the authorities to believe with upstream_ca = \"FILE\""));
    }
    let asked = |upstream: &config::Upstream| {
        let tls = upstream.name.as_ref().map(|name| Tls { name: Some(name.clone()), ca: settings.upstream_ca.clone() });
        Asked { tier: Tier::Upstream, server: upstream.server, tls }
    };
    let validation = Validation { anchors: settings.trust_anchors.clone(), negative_anchors: settings.negative_trust_anchors.clone() };
    Ok(Plane {
        name: "forwarder",
        listen: settings.listen.clone(),
        encrypted: Some(Encrypted { listen: settings.tls_listen.clone(), shown }),
        workers: settings.workers,
        demands_cookies: false,
        real_here: settings.real_here.clone(),
        hint: String::new(),
        validation: settings.validate.then_some(validation),
        cache: settings.cache.clone(),
        asks: settings.upstreams.iter().map(asked).collect(),
        recursion: settings.recursion.clone(),
        flights: FLIGHTS,
        refused: Some(refused),
    })
}

/// The same certificate, for DNS over TLS: no other protocol is spoken there.
fn over_dns(config: &Arc<ServerConfig>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::clone(config);
    config.alpn_protocols = vec![b"dot".to_vec()];
    Arc::new(config)
}
