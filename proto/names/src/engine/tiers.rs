//! Whom to ask, in which order: the master, then other agents, then upstreams, then from the root on; of each kind the fastest that is
//! there.
//!
//! A server that is gone is passed over until it has answered for a while again, so that a line that comes and goes does not
//! take every question with it. Where nobody is there the box is cut off, and says so at once to whoever asks.

use super::ask::{Failure, Way};
use super::desk::Desk;
use super::line::Line;
use super::recursion::Roots;
use super::{Notice, Plane};
use holdfast_proto::dns::ExtendedError;
use holdfast_proto::dns::resolver::{Answer, Credentials, Heed, Upstream, Wanted};
use holdfast_proto::net::clock::TrustedClock;
use metrics::{Counter, Gauge, counter, gauge};
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How often one that is gone is asked whether it is back.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// How long it may take to say so: a line may have become a longer one than any that its usual time speaks of.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// All servers that may be asked.
#[derive(Debug)]
pub(super) struct Tiers {
    servers: Vec<Arc<Server>>,
    cut_off: AtomicBool,
    begun: Instant,
}

/// What a server is to us; in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// The master of this house.
    Master,
    /// Another box of this house.
    Peer,
    /// Somebody who asks the world for us.
    Upstream,
    /// The root, and the way down from it.
    Root,
}

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) tier: Tier,
    pub(super) address: SocketAddr,
    pub(super) way: Way,
    pub(super) credentials: Mutex<Credentials>,
    health: Mutex<Upstream>,
    counted: Counted,
    begun: Instant,
}

/// One question to one server, for a trace.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it is to us.
    pub tier: Tier,
    /// What it is to us, where it is, and how it was asked.
    pub server: String,
    /// What became of it.
    pub outcome: &'static str,
    /// How long it took.
    pub time: Duration,
}

struct Counted {
    answers: Counter,
    refused: Counter,
    silent: Counter,
    unreachable: Counter,
    spent_us: Counter,
    up: Gauge,
}

impl Tier {
    /// Its name in metrics and for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Peer => "peer",
            Self::Upstream => "upstream",
            Self::Root => "root",
        }
    }
}

impl Tiers {
    /// # Errors
    /// Names a server that is this box itself, an authority that cannot be read, or recursion without a root.
    pub(super) fn new(plane: &Plane, own: &[SocketAddr], authorities: &[Vec<u8>], clock: &Arc<TrustedClock>) -> io::Result<Self> {
        let (begun, section) = (Instant::now(), plane.name);
        let mut servers = Vec::new();
        for asked in &plane.asks {
            let (tier, address) = (asked.tier, asked.server);
            if is_own(address, own) {
                return Err(io::Error::other(format!("[{section}] {}: {address} is this box itself: a question would go round in a circle", tier.name())));
            }
            let of_section = |wrong: io::Error| io::Error::new(wrong.kind(), format!("[{section}] {wrong}"));
            let way = match &asked.tls {
                Some(tls) => Way::Tls(Line::new(address, tls, authorities, clock).map_err(of_section)?),
                None => Way::Plain,
            };
            servers.push(Arc::new(Server::new(tier, address, way, begun)?));
        }
        if let Some(recursion) = &plane.recursion {
            let roots = Roots::new(recursion).map_err(|wrong| io::Error::other(format!("[{section}] {wrong}")))?;
            servers.push(Arc::new(Server::new(Tier::Root, roots.servers[0], Way::Roots(Box::new(roots)), begun)?));
        }
        let cut_off = AtomicBool::new(servers.is_empty());
        Ok(Self { servers, cut_off, begun })
    }

    /// Whether other boxes of this house are among those that may be asked.
    pub(super) fn has_peers(&self) -> bool {
        self.servers.iter().any(|server| server.tier == Tier::Peer)
    }

    /// Whether nobody that could be asked is there.
    pub(super) fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Relaxed)
    }

    pub(super) fn all(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// Those to be asked, best first. A question that came from a box of ours is not handed to another.
    fn in_order(&self, hops: u8) -> Vec<Arc<Server>> {
        let may_be_asked = |server: &&Arc<Server>| (hops == 0 || server.tier != Tier::Peer) && server.health().heed() != Heed::Gone;
        let mut servers: Vec<_> = self.servers.iter().filter(may_be_asked).cloned().collect();
        servers.sort_by_cached_key(|server| {
            let health = server.health();
            (health.heed(), server.tier, health.latency_ms())
        });
        servers
    }

    /// Asks one after the other until one answers.
    pub(super) async fn resolve(&self, wanted: &Wanted, hops: u8, mut steps: Option<&mut Vec<Step>>) -> Result<Answer, ExtendedError> {
        let (mut why, mut was_refused) = (ExtendedError::NoReachableAuthority, false);
        for server in self.in_order(hops) {
            // Who asks the world for us may have found that signatures do not hold: nobody looks at them on the way from the root.
            if server.tier == Tier::Root && was_refused {
                continue;
            }
            let begun = Instant::now();
            // What goes out of the house says nothing of how it came through it.
            let told_hops = if matches!(server.tier, Tier::Upstream | Tier::Root) { 0 } else { hops + 1 };
            let asked = server.ask(wanted, told_hops).await;
            server.counted.count(&asked, begun.elapsed());
            if let Some(steps) = steps.as_deref_mut() {
                steps.push(Step { tier: server.tier, server: server.to_string(), outcome: outcome(&asked), time: begun.elapsed() });
            }
            match asked {
                Ok(answer) => return Ok(answer),
                Err(failure @ (Failure::Refused | Failure::Late)) => {
                    why = ExtendedError::NetworkError;
                    was_refused |= failure == Failure::Refused;
                }
                Err(Failure::Unreachable | Failure::Silent) => {
                    server.lost();
                    self.look();
                }
            }
        }
        Err(why)
    }

    /// Looks anew whether anybody is there; gives whether somebody is who was not.
    fn look(&self) -> bool {
        let cut_off = self.servers.iter().all(|server| server.health().heed() == Heed::Gone);
        self.cut_off.swap(cut_off, Ordering::Relaxed) && !cut_off
    }
}

fn outcome(asked: &Result<Answer, Failure>) -> &'static str {
    match asked {
        Ok(_) => "answered",
        Err(Failure::Refused) => "gave no answer",
        Err(Failure::Silent) => "is silent",
        Err(Failure::Late) => "took too long",
        Err(Failure::Unreachable) => "cannot be reached",
    }
}

impl Server {
    fn new(tier: Tier, address: SocketAddr, way: Way, begun: Instant) -> io::Result<Self> {
        let mut credentials = Credentials::default();
        aws_lc_rs::rand::fill(&mut credentials.client).map_err(|_| io::Error::other("the system gives no random numbers"))?;
        let counted = Counted::of(tier, address);
        counted.up.set(1.0);
        Ok(Self { tier, address, way, credentials: Mutex::new(credentials), health: Mutex::default(), counted, begun })
    }

    pub(super) fn health(&self) -> MutexGuard<'_, Upstream> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    pub(super) fn heard(&self, since: Instant) {
        let mut health = self.health();
        health.heard(self.now_ms(), Some(since.elapsed().as_millis() as u64));
        self.counted.up.set(if health.heed() == Heed::Sound { 1.0 } else { 0.0 });
    }

    fn lost(&self) {
        if let Way::Tls(line) = &self.way {
            line.forget();
        }
        self.health().lost();
        self.counted.up.set(0.0);
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (tier, address) = (self.tier.name(), self.address);
        match &self.way {
            Way::Plain => write!(f, "{tier} {address}"),
            Way::Tls(_) => write!(f, "{tier} {address} over TLS"),
            Way::Roots(roots) => write!(f, "{tier} {} and {} more", address.ip(), roots.servers.len() - 1),
        }
    }
}

impl Counted {
    fn of(tier: Tier, address: SocketAddr) -> Self {
        let (tier, server) = (tier.name(), address.to_string());
        let asked = |outcome: &'static str| counter!("holdfast_resolver_asked_total", "tier" => tier, "server" => server.clone(), "outcome" => outcome);
        Self {
            answers: asked("answered"),
            refused: asked("refused"),
            silent: asked("silent"),
            unreachable: asked("unreachable"),
            spent_us: counter!("holdfast_resolver_asked_microseconds_sum", "tier" => tier, "server" => server.clone()),
            up: gauge!("holdfast_resolver_upstream_up", "tier" => tier, "server" => server.clone()),
        }
    }

    fn count(&self, asked: &Result<Answer, Failure>, time: Duration) {
        let counter = match asked {
            Ok(_) => &self.answers,
            Err(Failure::Refused) => &self.refused,
            Err(Failure::Silent | Failure::Late) => &self.silent,
            Err(Failure::Unreachable) => &self.unreachable,
        };
        counter.increment(1);
        self.spent_us.increment(time.as_micros() as u64);
    }
}

impl std::fmt::Debug for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counted(..)")
    }
}

/// Whether an address is one that this box answers at.
fn is_own(server: SocketAddr, own: &[SocketAddr]) -> bool {
    // Only an address of this box can be bound.
    let is_here = || UdpSocket::bind((server.ip(), 0)).is_ok();
    own.iter().any(|own| own.port() == server.port() && (own.ip() == server.ip() || own.ip().is_unspecified() && is_here()))
}

/// Asks those that are gone whether they are back, and tells when nobody is there, and when somebody is again.
pub(super) async fn watch(desk: Arc<Desk>, mut tell: impl FnMut(Notice<'_>) + Send) -> Infallible {
    let tiers = Arc::clone(&desk.sources.tiers);
    let (mut was_cut_off, mut shown) = (tiers.is_cut_off(), String::new());
    loop {
        let is_unsound = |server: &&Arc<Server>| server.health().heed() != Heed::Sound;
        let mut asked: JoinSet<()> = JoinSet::new();
        for server in tiers.servers.iter().filter(is_unsound) {
            let server = Arc::clone(server);
            asked.spawn(async move {
                let _ = server.is_there(PROBE_LIMIT).await;
            });
        }
        while asked.join_next().await.is_some() {}
        tiers.look();
        let is_cut_off = tiers.is_cut_off();
        if was_cut_off && !is_cut_off {
            desk.sources.cache.forgive();
        }
        if was_cut_off != is_cut_off {
            tell(if is_cut_off { Notice::CutOff { after_s: tiers.begun.elapsed().as_secs() } } else { Notice::Reconnected });
        }
        was_cut_off = is_cut_off;
        let (entries, bytes) = desk.sources.cache.size();
        desk.counters.entries.set(entries as f64);
        desk.counters.bytes.set(bytes as f64);
        desk.counters.cut_off.set(f64::from(u8::from(is_cut_off)));
        let now: String = tiers.servers.iter().map(|server| format!("{} asks {server}: {}\n", desk.name, server.health().heed().name())).collect();
        if now != shown {
            tell(Notice::Servers(&now));
            shown = now;
        }
        tokio::time::sleep(PROBE_EVERY).await;
    }
}
