//! BOOTP and DHCP: the loop around the core in `proto`.
//!
//! Why it exists: somebody must own port 67. What it refuses: to end. A cable that is out, an interface that goes away, a
//! client that cannot be reached are counted, and the next packet is waited for. How: the wildcard address is bound once,
//! before there is a carrier or an address, so that a broadcast comes once however many interfaces there are; a thread of its
//! own ([`worker`]) takes all that has come, answers it from one view, and sends all replies ([`delivery`]); those that promise a
//! lease go by way of the disk ([`commit`]), and where their clients get names, by way of this box's DNS ([`names`]). [`whereabouts`] says whom this agent stands in for, [`notes`] tells what it saw.

mod commit;
mod counters;
mod delivery;
mod interfaces;
mod names;
mod notes;
mod whereabouts;
mod worker;

pub use whereabouts::{Whereabouts, keep_up};

use crate::reports::Spool;
use crate::store::{FoundLeases, LeaseLog};
use commit::Committer;
use counters::Counters;
use delivery::Delivery;
use holdfast_proto::dhcp::lease::{Lease, Leases};
use holdfast_proto::dhcp::{Desk, SERVER_PORT};
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::net::datagrams::Datagrams;
use holdfast_proto::snapshot::Reader;
use holdfast_proto::words::{DomainName, NodeId, UnixMillis};
use names::Names;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{oneshot, watch};
use worker::Worker;

/// Where records of leases are missing, and no longer lease is known: how long nothing is lent of which nothing is known, in
/// milliseconds. Half a day, which is what a subnet's hosts are lent for where nothing is said.
const DOUBT_LEAST_MS: u64 = 43_200_000;
/// Room for a boot storm: some ten thousand packets while the loop is elsewhere.
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;

/// What the service is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen. On a port other than 67, which a plain user needs, a reply goes to the address and port that the
    /// packet came from: nobody waits on port 67 or 68 there.
    pub listen: SocketAddr,
    /// This box's host name, for BOOTP clients that ask for one server.
    pub server_name: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, SERVER_PORT)), server_name: String::new() }
    }
}

/// Whether a name is another's already.
pub type NamesOfOthers = Box<dyn Fn(&DomainName) -> bool + Send>;

/// What the service serves from, and whom it tells.
pub struct Surroundings {
    /// The bootptab feed.
    pub bootptab: Reader,
    /// Whose shares it lends from.
    pub node: NodeId,
    /// Where the lease log is.
    pub state_dir: PathBuf,
    /// Where it stands among the campuses.
    pub whereabouts: watch::Receiver<Whereabouts>,
    /// For what it sees.
    pub spool: Spool,
    /// The time by which leases end.
    pub clock: Arc<TrustedClock>,
    /// What only DNS knows.
    pub names_of_others: NamesOfOthers,
}

/// The port could not be taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for BOOTP and DHCP on {listen}: {source}; look for another DHCP server on the port, and for the right to use ports below 1024")]
pub struct BindError {
    listen: SocketAddr,
    source: io::Error,
}

/// A bound service that does not answer yet.
#[derive(Debug)]
pub struct Service {
    socket: Arc<Datagrams>,
    server_name: String,
    /// See [`Settings::listen`].
    replies_to_source: bool,
}

/// Takes the port. Neither carrier nor address is needed.
pub fn bind(settings: &Settings) -> Result<Service, BindError> {
    let failed = |source| BindError { listen: settings.listen, source };
    let SocketAddr::V4(listen) = settings.listen else {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "BOOTP and DHCP are spoken over IPv4 only")));
    };
    let socket = Datagrams::bind(listen, RECEIVE_BUFFER_BYTES).map_err(failed)?;
    Ok(Service { socket: Arc::new(socket), server_name: settings.server_name.clone(), replies_to_source: listen.port() != SERVER_PORT })
}

impl Service {
    /// The address that was bound.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr().map(SocketAddr::V4)
    }

    /// Answers until its future is dropped, each batch from the newest view. Comes back only by a fault of its thread.
    pub async fn serve(self, surroundings: Surroundings) {
        let worker = self.worker(surroundings);
        let stop = StopOnDrop::default();
        let stopped = Arc::clone(&stop.0);
        let (alive, gone) = oneshot::channel::<()>();
        let spawned = std::thread::Builder::new().name("dhcp".to_owned()).spawn(move || {
            let _alive = alive;
            worker.run(&stopped);
        });
        match spawned {
            // It never says anything; that it is gone is heard.
            Ok(_) => drop(gone.await),
            Err(error) => tracing::error!(event = "no_thread", %error, "BOOTP and DHCP have no thread to run on: {error}"),
        }
    }

    fn worker(self, surroundings: Surroundings) -> Worker {
        let Surroundings { bootptab, node, state_dir, whereabouts, spool, clock, names_of_others } = surroundings;
        let counters = Arc::new(Counters::register());
        let delivery = Delivery::new(Arc::clone(&self.socket), self.replies_to_source, Arc::clone(&counters));
        let opened = LeaseLog::open(&state_dir).and_then(|(log, found)| {
            let (leases, lease_clock) = restored(found, clock.now(), &spool);
            let lease_clock = Arc::new(lease_clock);
            let names = Names::begin(leases.iter(), Arc::clone(&lease_clock), state_dir.clone(), spool.clone());
            let committer = Committer::start(log, names, delivery.clone(), Arc::clone(&counters), spool.clone())?;
            Ok((committer, (leases, lease_clock)))
        });
        let (committer, desk, lease_clock) = match opened {
            Ok((committer, (leases, lease_clock))) => (Some(committer), Desk::new(Some(node), leases).with_names_of_others(names_of_others), lease_clock),
            Err(error) => {
                // What was lent is not known, so nothing may be.
                spool.raise(
                    "lease_log_failed",
                    format!("the lease log in {} cannot be read, so no address is lent: {error}; reserved hosts are served", state_dir.display()),
                );
                (None, Desk::new(None, Leases::default()), Arc::new(TrustedClock::new(clock.now())))
            }
        };
        Worker {
            socket: self.socket,
            delivery,
            committer,
            counters,
            reader: bootptab,
            desk,
            whereabouts,
            lease_clock,
            clock,
            spool,
            server_name: self.server_name,
        }
    }
}

/// The leases of the log, and the time by which they run: that of the newest record, and on from there. Time in which nobody lent
/// anything does not count, so that a lease can last too long but never end early: the box may have been off for days, or its
/// clock may have lagged by days when it lent.
fn restored(found: FoundLeases, floor: UnixMillis, spool: &Spool) -> (Leases, TrustedClock) {
    let (mut leases, mut newest, mut longest, mut lost) = (Leases::default(), None, DOUBT_LEAST_MS, found.lost);
    for record in found.records {
        match Lease::decode(&record) {
            Ok(lease) => {
                newest = newest.max(Some(lease.at));
                longest = longest.max(lease.until.0.saturating_sub(lease.at.0));
                leases.restore(lease);
            }
            Err(error) => {
                lost += 1;
                tracing::error!(event = "lease_record_damaged", %error, "{error}");
            }
        }
    }
    let clock = TrustedClock::new(newest.unwrap_or(floor));
    if lost > 0 {
        leases.doubt_until(UnixMillis(clock.now().0.saturating_add(longest)));
        let hours = longest.div_ceil(3_600_000);
        spool.raise(
            "lease_log_damaged",
            format!("{lost} records of the lease log cannot be read: for {hours} hours only addresses that are known are lent, so that nobody gets one that was lent in them"),
        );
    }
    tracing::info!(event = "leases_restored", leases = leases.len(), lost, "the lease log was read");
    (leases, clock)
}

/// Ends the thread with the future that waits for it.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
