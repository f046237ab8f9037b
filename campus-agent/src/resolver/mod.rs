//! The resolver plane: names of others for the campus's machines, beside names of ours from the same rows.
//!
//! Its own process, sockets and memory: nothing that is cached here can come into an authoritative answer. It asks the master
//! over plain DNS or TLS, like any upstream, with a deadline; it never asks whether a stream is up. What it refuses: to answer who
//! is no client, to wait for a line that is known to be dead, and to let anything that was not asked for into the cache.
//!
//! How: UDP on threads of their own, in batches; what our zones and the cache know is answered there. What they do not goes through a
//! channel to [`flights`], the one task that knows what is being asked for: each question once, however many wait for it.

mod ask;
mod clients;
mod counters;
mod desk;
mod flights;
mod line;
mod sources;
mod tcp;
#[cfg(test)]
mod tests;
mod tiers;
mod trace;
mod udp;
mod validate;

pub use tiers::read_servers;
pub use trace::{Traced, trace};

use crate::config;
use crate::reports::Spool;
use desk::Desk;
use holdfast_proto::net::batch::BatchSocket;
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::net::stream::{self, bind_both};
use holdfast_proto::net::workers::Workers;
use holdfast_proto::snapshot::Reader;
use holdfast_proto::words::NodeId;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use tiers::Tiers;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Room for a burst while a worker is not scheduled: 10 000 queries.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// Questions on their way to [`flights`]; more at once is a flood, whose clients ask again.
const ORDER_LIMIT: usize = 8192;

/// The service with its sockets bound and nothing served yet.
#[derive(Debug)]
pub struct ResolverServer {
    sockets: Vec<(Vec<BatchSocket>, TcpListener)>,
    settings: config::Resolver,
    tiers: Arc<Tiers>,
    clock: Arc<TrustedClock>,
}

/// What the service serves from.
#[derive(Debug)]
pub struct Surroundings {
    /// Our names.
    pub zone: Reader,
    /// The subnets of all campuses.
    pub bootptab: Reader,
    /// Our boxes.
    pub roster: Reader,
    /// Which of them this is.
    pub node: NodeId,
    /// Where it is said who asked most, and where a trace is asked for.
    pub run_dir: PathBuf,
    /// Where it is told that nobody can be asked any more.
    pub spool: Spool,
}

impl ResolverServer {
    /// Binds UDP and TCP on each address. Must be called inside a tokio runtime. `authorities` are those of the house, DER, for a
    /// tier over TLS that names none.
    ///
    /// # Errors
    /// Names the address that could not be bound, or the setting that cannot be, and why.
    pub fn bind(settings: &config::Resolver, authorities: &[Vec<u8>], clock: Arc<TrustedClock>) -> io::Result<Self> {
        let named = |address: SocketAddr, wrong: io::Error| io::Error::new(wrong.kind(), format!("the resolver cannot bind {address}: {wrong}"));
        let workers = settings.workers.unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)).get();
        let bind = |address: &SocketAddr| bind_both(*address, workers, RECEIVE_BUFFER_BYTES).map_err(|wrong| named(*address, wrong));
        let sockets: Vec<(Vec<BatchSocket>, TcpListener)> = settings.listen.iter().map(bind).collect::<io::Result<_>>()?;
        let own = sockets.iter().map(|(_, tcp)| tcp.local_addr()).collect::<io::Result<Vec<_>>>()?;
        let tiers = Arc::new(Tiers::new(settings, &own, authorities, &clock)?);
        Ok(Self { sockets, settings: settings.clone(), tiers, clock })
    }

    /// What was bound, with the ports that the kernel chose for port 0.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(|(_, tcp)| tcp.local_addr()).collect()
    }

    /// Serves until `cancelled` resolves; returns earlier only where one of its own tasks or threads panicked, which is logged.
    ///
    /// # Errors
    /// Where the system gives no random numbers, or a name in the settings is none: nothing is served then.
    pub async fn serve(self, surroundings: Surroundings, cancelled: impl Future<Output = ()>) -> io::Result<()> {
        let Surroundings { zone, bootptab, roster, node, run_dir, spool } = surroundings;
        let (orders, ordered) = mpsc::channel(ORDER_LIMIT);
        let desk = Arc::new(Desk::new(&self.settings, Arc::clone(&self.tiers), orders, zone, self.clock)?);
        let mut tasks = JoinSet::<Infallible>::new();
        let mut workers = Workers::default();
        tasks.spawn(desk::turn_secrets(Arc::clone(&desk)));
        tasks.spawn(Arc::clone(&desk.audience).show(run_dir.clone(), "resolver"));
        tasks.spawn(clients::keep_up(Arc::clone(&desk), self.settings, node, bootptab, roster));
        tasks.spawn(flights::run(ordered, Arc::clone(&desk)));
        tasks.spawn(tiers::watch(Arc::clone(&self.tiers), Arc::clone(&desk), spool, run_dir.clone()));
        tasks.spawn(trace::offer(run_dir, Arc::clone(&desk)));
        let door = Arc::new(stream::Door::default());
        for (sockets, listener) in self.sockets {
            for socket in sockets {
                udp::start(&mut workers, socket, Arc::clone(&desk));
            }
            tasks.spawn(tcp::serve(listener, Arc::clone(&door), Arc::clone(&desk)));
        }
        // Dropping the set ends the tasks, and the connections with the task that owns them.
        tokio::select! {
            () = cancelled => {}
            Some(ended) = tasks.join_next() => tracing::error!(event = "resolver_ended", ?ended, "the resolver stopped: one of its tasks ended, which is a bug"),
            () = workers.one_ended() => tracing::error!(event = "resolver_ended", "the resolver stopped: one of its threads ended, which is a bug"),
        }
        workers.stop().await;
        Ok(())
    }
}
