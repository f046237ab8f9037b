//! A plane that answers names of others: from our zones first, then from the cache, then from whoever may be asked.
//!
//! It has sockets and memory of its own: nothing that is cached here can come into an authoritative answer. What it refuses: to answer
//! who is no client, to wait for a line that is known to be dead, and to let anything that was not asked for into the cache.
//!
//! How: UDP on threads of their own, in batches; what our zones and the cache know is answered there. What they do not goes through a
//! channel to [`flights`], the one task that knows what is being asked for: each question once, however many wait for it.

mod ask;
mod counters;
mod desk;
mod flights;
mod line;
mod peek;
mod recursion;
mod sources;
mod stream;
#[cfg(test)]
mod tests;
mod tiers;
mod trace;
mod udp;
mod validate;

pub use peek::{Peeked, peek};
pub use tiers::{Step, Tier};
pub use trace::{Fares, Looked};

use crate::counting::Audience;
use crate::settings::{Cache, Recursion, Tls};
use desk::{Desk, Order};
use holdfast_proto::dns::resolver::Clients;
use holdfast_proto::net::batch::BatchSocket;
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::net::stream::{self as connections, bind_both};
use holdfast_proto::net::workers::Workers;
use holdfast_proto::snapshot::Reader;
use rustls::ServerConfig;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tiers::Tiers;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Room for a burst while a worker is not scheduled: 10 000 queries.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// Questions on their way to [`flights`]; more at once is a flood, whose clients ask again.
const ORDER_LIMIT: usize = 8192;

/// What a plane is to be.
#[derive(Debug, Clone)]
pub struct Plane {
    /// Its name in metrics; the section of the configuration that it is from has the same.
    pub name: &'static str,
    /// UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// DNS over TLS (RFC 7858); nowhere without it.
    pub encrypted: Option<Encrypted>,
    /// Threads for UDP on each address; as many as the machine has cores without it.
    pub workers: Option<NonZero<usize>>,
    /// Whether a client that speaks cookies and has no good one is sent back for one.
    pub demands_cookies: bool,
    /// Names that are special elsewhere (RFC 6303, RFC 6761) and real here, with all below them.
    pub real_here: Vec<String>,
    /// What a departmental server is told that asks in the wrong place.
    pub hint: String,
    /// Whether signatures are looked at.
    pub validation: Option<Validation>,
    /// How much is kept, and for how long.
    pub cache: Cache,
    /// Who may be asked.
    pub asks: Vec<Asked>,
    /// Whether it is asked from the root on where none of them answers.
    pub recursion: Option<Recursion>,
    /// How much is asked for at once.
    pub flights: FlightLimits,
    /// Where strangers are left that were refused, for whoever writes them down; a full box drops them.
    pub refused: Option<mpsc::Sender<Refused>>,
}

/// How much is asked of others at once, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct FlightLimits {
    /// Questions that one client may wait for, so that nobody who makes up names takes all the room there is.
    pub of_client: usize,
    /// How long one may be under way, with all that proves its answer.
    pub time: Duration,
}

impl Default for FlightLimits {
    /// As for machines that ask for themselves.
    fn default() -> Self {
        Self { of_client: 512, time: Duration::from_secs(12) }
    }
}

/// A server that may be asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What it is to us.
    pub tier: Tier,
    /// Where it is.
    pub server: SocketAddr,
    /// Over TLS, and never otherwise; in the clear without it.
    pub tls: Option<Tls>,
}

/// Looking at signatures (RFC 4035).
#[derive(Debug, Clone, Default)]
pub struct Validation {
    /// DNSKEY records that are believed, one on a line; those of the root without it.
    pub anchors: Option<PathBuf>,
    /// Names below which nothing is looked at (RFC 7646).
    pub negative_anchors: Vec<String>,
}

/// Where DNS over TLS is spoken.
#[derive(Debug, Clone)]
pub struct Encrypted {
    /// TCP.
    pub listen: Vec<SocketAddr>,
    /// What clients are shown.
    pub shown: Shown,
}

/// What a client is shown at the moment that it comes; nothing where there is no certificate that can be read.
#[derive(Clone)]
pub struct Shown(pub Arc<dyn Fn() -> Option<Arc<ServerConfig>> + Send + Sync>);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shown(..)")
    }
}

/// A stranger who was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Who.
    pub client: IpAddr,
    /// What was asked, as it came.
    pub packet: Vec<u8>,
}

/// What changed about those who may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice<'a> {
    /// Nobody is there, so many seconds after the start.
    CutOff {
        /// Seconds since the start.
        after_s: u64,
    },
    /// Somebody is there again.
    Reconnected,
    /// How each of them is: a line for each.
    Servers(&'a str),
}

/// A plane with its sockets bound and nothing served yet.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<(Vec<BatchSocket>, TcpListener)>,
    encrypted: Vec<TcpListener>,
    plane: Plane,
    tiers: Arc<Tiers>,
    clock: Arc<TrustedClock>,
}

/// A plane that could serve.
pub struct Ready {
    sockets: Vec<(Vec<BatchSocket>, TcpListener)>,
    encrypted: Vec<TcpListener>,
    shown: Option<Shown>,
    desk: Arc<Desk>,
    ordered: mpsc::Receiver<Order>,
}

/// What may be said to a plane while it serves, and asked of it.
#[derive(Clone)]
pub struct Handle(Arc<Desk>);

impl Bound {
    /// Binds all addresses. Must be called inside a tokio runtime. `authorities` are those of the house, DER, for a server over TLS that
    /// names none.
    ///
    /// # Errors
    /// Names the address that could not be bound, or the setting that cannot be, and why.
    pub fn bind(plane: Plane, authorities: &[Vec<u8>], clock: Arc<TrustedClock>) -> io::Result<Self> {
        let name = plane.name;
        let named = |address: SocketAddr, wrong: io::Error| io::Error::new(wrong.kind(), format!("the {name} cannot bind {address}: {wrong}"));
        let workers = plane.workers.unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)).get();
        let both = |address: &SocketAddr| bind_both(*address, workers, RECEIVE_BUFFER_BYTES).map_err(|wrong| named(*address, wrong));
        let sockets: Vec<(Vec<BatchSocket>, TcpListener)> = plane.listen.iter().map(both).collect::<io::Result<_>>()?;
        let over_tls = plane.encrypted.iter().flat_map(|encrypted| &encrypted.listen);
        let encrypted: Vec<_> = over_tls.map(|address| connections::bind(*address).map_err(|wrong| named(*address, wrong))).collect::<io::Result<_>>()?;
        let own = sockets.iter().map(|(_, tcp)| tcp).chain(&encrypted).map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        let tiers = Arc::new(Tiers::new(&plane, &own, authorities, &clock)?);
        Ok(Self { sockets, encrypted, plane, tiers, clock })
    }

    /// What was bound in the clear, with the ports that the kernel chose for port 0.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(|(_, tcp)| tcp.local_addr()).collect()
    }

    /// Makes it ready to serve from these zones.
    ///
    /// # Errors
    /// Where the system gives no random numbers, or a name in the settings is none.
    pub fn ready(self, zone: Reader) -> io::Result<Ready> {
        let (orders, ordered) = mpsc::channel(ORDER_LIMIT);
        let desk = Arc::new(Desk::new(&self.plane, self.tiers, orders, zone, self.clock)?);
        let shown = self.plane.encrypted.map(|encrypted| encrypted.shown);
        Ok(Ready { sockets: self.sockets, encrypted: self.encrypted, shown, desk, ordered })
    }
}

impl Ready {
    /// By which it is spoken to while it serves.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.desk))
    }

    /// Serves until `cancelled` resolves, and tells what changes; returns earlier only where one of its own tasks or threads panicked,
    /// which is logged.
    pub async fn serve(self, tell: impl FnMut(Notice<'_>) + Send + 'static, cancelled: impl Future<Output = ()>) {
        let Self { sockets, encrypted, shown, desk, ordered } = self;
        let mut tasks = JoinSet::<Infallible>::new();
        let mut workers = Workers::default();
        tasks.spawn(desk::turn_secrets(Arc::clone(&desk)));
        tasks.spawn(flights::run(ordered, Arc::clone(&desk)));
        tasks.spawn(tiers::watch(Arc::clone(&desk), tell));
        let door = Arc::new(connections::Door::default());
        for (sockets, listener) in sockets {
            for socket in sockets {
                udp::start(&mut workers, socket, Arc::clone(&desk));
            }
            tasks.spawn(stream::serve(listener, None, Arc::clone(&door), Arc::clone(&desk)));
        }
        for listener in encrypted {
            tasks.spawn(stream::serve(listener, shown.clone(), Arc::clone(&door), Arc::clone(&desk)));
        }
        let name = desk.name;
        // Dropping the set ends the tasks, and the connections with the task that owns them.
        tokio::select! {
            () = cancelled => {}
            Some(ended) = tasks.join_next() => tracing::error!(event = "resolver_ended", ?ended, "the {name} stopped: one of its tasks ended, which is a bug"),
            () = workers.one_ended() => tracing::error!(event = "resolver_ended", "the {name} stopped: one of its threads ended, which is a bug"),
        }
        workers.stop().await;
    }
}

impl Handle {
    /// From now on these may ask.
    pub fn admit(&self, clients: Clients) {
        self.0.admit(clients);
    }

    /// Its clients, for who writes down which of them ask most.
    pub fn audience(&self) -> Arc<Audience> {
        Arc::clone(&self.0.audience)
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({})", self.0.name)
    }
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ready({})", self.desk.name)
    }
}
