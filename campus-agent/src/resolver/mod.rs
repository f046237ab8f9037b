//! The resolver plane: names of others for the campus's machines, beside names of ours from the same rows.
//!
//! Its own process, sockets and memory: nothing that is cached here can come into an authoritative answer. It asks the master
//! over plain DNS or TLS, like any upstream, with a deadline; it never asks whether a stream is up. The plane itself is the one that the
//! master runs, too (`holdfast-names`); here is who may ask it, whom it asks, and what the box tells people of it.

mod clients;
mod servers;
#[cfg(test)]
mod tests;
mod trace;

pub use servers::read_servers;
pub use trace::{Traced, trace};

use crate::config;
use crate::reports::Spool;
use holdfast_names::engine::{Asked, Bound, FlightLimits, Plane, Tier, Validation};
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::snapshot::Reader;
use holdfast_proto::words::NodeId;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::JoinSet;

/// The service with its sockets bound and nothing served yet.
#[derive(Debug)]
pub struct ResolverServer {
    bound: Bound,
    settings: config::Resolver,
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
        let bound = Bound::bind(plane(settings), authorities, clock)?;
        Ok(Self { bound, settings: settings.clone() })
    }

    /// What was bound, with the ports that the kernel chose for port 0.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.bound.local_addrs()
    }

    /// Serves until `cancelled` resolves; returns earlier only where one of its own tasks or threads panicked, which is logged.
    ///
    /// # Errors
    /// Where the system gives no random numbers, or a name in the settings is none: nothing is served then.
    pub async fn serve(self, surroundings: Surroundings, cancelled: impl Future<Output = ()>) -> io::Result<()> {
        let Surroundings { zone, bootptab, roster, node, run_dir, spool } = surroundings;
        let ready = self.bound.ready(zone)?;
        let handle = ready.handle();
        // Dropping the set ends the tasks.
        let mut tasks = JoinSet::<Infallible>::new();
        tasks.spawn(handle.audience().show(run_dir.clone(), "resolver"));
        tasks.spawn(clients::keep_up(handle.clone(), self.settings, node, bootptab, roster));
        tasks.spawn(trace::offer(run_dir.clone(), handle));
        tokio::select! {
            () = ready.serve(move |notice| servers::tell(&run_dir, &spool, notice), cancelled) => {}
            Some(ended) = tasks.join_next() => tracing::error!(event = "resolver_ended", ?ended, "the resolver stopped: one of its tasks ended, which is a bug"),
        }
        Ok(())
    }
}

fn plane(settings: &config::Resolver) -> Plane {
    let validation = Validation { anchors: settings.trust_anchors.clone(), negative_anchors: settings.negative_trust_anchors.clone() };
    let tiers = [(Tier::Master, &settings.master), (Tier::Peer, &settings.peers), (Tier::Upstream, &settings.upstream)];
    let tiers = tiers.into_iter().filter_map(|(tier, servers)| Some((tier, servers.as_ref()?)));
    let asks = tiers.flat_map(|(tier, kind)| kind.servers.iter().map(move |server| Asked { tier, server: *server, tls: kind.tls.clone() }));
    Plane {
        name: "resolver",
        listen: settings.listen.clone(),
        encrypted: None,
        workers: settings.workers,
        demands_cookies: settings.cookies == config::DnsCookies::Demanded,
        real_here: settings.real_here.clone(),
        hint: hint(settings),
        validation: settings.validate.then_some(validation),
        cache: settings.cache.clone(),
        asks: asks.collect(),
        recursion: settings.recursion.clone(),
        flights: FlightLimits::default(),
        refused: None,
    }
}

/// What a departmental server is told.
fn hint(settings: &config::Resolver) -> String {
    settings.department_hint.clone().unwrap_or_else(|| {
        let servers: Vec<String> = settings.master.iter().flat_map(|tier| &tier.servers).map(|server| server.ip().to_string()).collect();
        if servers.is_empty() { "forward to the master".to_owned() } else { format!("forward to the master: {}", servers.join(", ")) }
    })
}
