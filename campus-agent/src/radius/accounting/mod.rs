//! The accounting port: what NASs say of sessions, kept before it is answered.
//!
//! One loop per socket asks the core, hands the record to the [`journal`], which writes for all of them, and sends the reply when the
//! record is on the disk. What it refuses: to answer for a record that the disk does not have, because a NAS that has its answer
//! forgets; and to say that it lives while it cannot keep anything, so that a NAS goes to the other campus's agent.

mod journal;
#[cfg(test)]
mod tests;

pub use journal::Budget;

use super::duplicates::{Duplicates, RequestKey, Seen};
use crate::reports::Spool;
use crate::store::Room;
use arc_swap::ArcSwap;
use holdfast_proto::net::clock::{TrustedClock, boot_id, since_boot_ms};
use holdfast_proto::net::udp::{Received, UdpOptions, UdpSocket, Via};
use holdfast_proto::radius::accounting::{ACCOUNTING_REQUEST, Arrival, Outcome, Pending, Status, account};
use holdfast_proto::radius::packet::{PACKET_LIMIT_BYTES, code::STATUS_SERVER};
use holdfast_proto::snapshot::{DataKeyRing, Feed, HpkePrivate, Reader, View};
use holdfast_proto::words::NodeId;
use journal::{Journal, NotKept};
use metrics::counter;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// All NASs of a campus come back at once after a power cut, each with what it kept: 4000 requests of 250 bytes.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// How long a reply may wait for room in the socket.
const SEND_PATIENCE: Duration = Duration::from_millis(50);
/// How long the loop rests after its socket failed, so that a lasting fault does not eat a core.
const REST_AFTER_ERROR: Duration = Duration::from_millis(20);

/// What the service serves from, and whom it tells.
#[derive(Debug)]
pub struct Surroundings {
    /// The access feed.
    pub access: Reader,
    /// Whose data keys of it are opened,
    pub node: NodeId,
    /// with this key.
    pub private: HpkePrivate,
    /// Where the log is.
    pub state_dir: PathBuf,
    /// How large it may become.
    pub budget: Budget,
    /// The time that records are told with.
    pub clock: Arc<TrustedClock>,
    /// For what goes wrong.
    pub spool: Spool,
}

/// The service with its sockets bound and nothing served yet.
#[derive(Debug)]
pub struct AccountingServer {
    sockets: Vec<UdpSocket>,
}

impl AccountingServer {
    /// Binds the accounting port on each address: usually the wildcards `0.0.0.0:1813` and `[::]:1813`. Must be called inside a tokio runtime.
    pub fn bind(addresses: &[SocketAddr]) -> io::Result<Self> {
        let options = UdpOptions { receive_buffer_bytes: Some(RECEIVE_BUFFER_BYTES), ..UdpOptions::default() };
        let bind = |address: &SocketAddr| {
            let wrong = |wrong: io::Error| io::Error::new(wrong.kind(), format!("RADIUS accounting cannot bind UDP {address}: {wrong}"));
            UdpSocket::bind(*address, options).map_err(wrong)
        };
        Ok(Self { sockets: addresses.iter().map(bind).collect::<io::Result<_>>()? })
    }

    /// What was bound, in the order asked for, with the ports that the kernel chose for port 0.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(UdpSocket::local_addr).collect()
    }

    /// Serves until `cancelled` resolves; returns earlier only where one of its own tasks panicked, which is logged.
    pub async fn serve(self, surroundings: Surroundings, cancelled: impl Future<Output = ()>) {
        if self.sockets.is_empty() {
            return cancelled.await;
        }
        let Surroundings { mut access, node, private, state_dir, budget, clock, spool } = surroundings;
        let journal = match Journal::start(state_dir, budget, spool) {
            Ok(journal) => journal,
            Err(error) => {
                tracing::error!(event = "no_thread", %error, "accounting has no thread to write on: {error}");
                return cancelled.await;
            }
        };
        let registry = Arc::new(ArcSwap::from_pointee(Registry::open(access.current(), node, &private)));
        let mut tasks = JoinSet::<Infallible>::new();
        for socket in self.sockets {
            tasks.spawn(Listener::new(socket, Arc::clone(&registry), journal.clone(), Arc::clone(&clock)).run());
        }
        tasks.spawn(async move { follow(&mut access, node, private, registry).await });
        // Dropping the set ends the tasks.
        tokio::select! {
            () = cancelled => {}
            Some(ended) = tasks.join_next() => tracing::error!(event = "radius_ended", ?ended, "RADIUS accounting stopped serving: one of its tasks ended, which is a bug"),
        }
    }
}

/// The NASs, and the keys that open their secrets.
#[derive(Debug)]
struct Registry {
    access: Arc<View>,
    keys: DataKeyRing,
}

impl Registry {
    fn open(access: Arc<View>, node: NodeId, private: &HpkePrivate) -> Self {
        let (keys, failed) = DataKeyRing::open(&access, node, private);
        if failed > 0 {
            let feed = Feed::ACCESS.to_string();
            tracing::warn!(event = "radius_data_key_unreadable", %feed, failed, "{failed} data keys of {feed} do not open with this agent's key: its NASs are not heard here");
        }
        Self { access, keys }
    }
}

/// Keeps the registry at the newest view. Opening keys is public-key work, so it happens off the packet path, once per change.
async fn follow(access: &mut Reader, node: NodeId, private: HpkePrivate, registry: Arc<ArcSwap<Registry>>) -> Infallible {
    loop {
        if !access.changed().await {
            // The writer is gone: the last view stays good.
            return std::future::pending().await;
        }
        let (newest, private) = (access.current(), private.clone());
        match tokio::task::spawn_blocking(move || Registry::open(newest, node, &private)).await {
            Ok(opened) => registry.store(Arc::new(opened)),
            Err(wrong) => tracing::error!(event = "radius_world_failed", %wrong, "the newest NASs could not be opened, the ones before are heard: {wrong}"),
        }
    }
}

/// Where a reply goes.
#[derive(Debug, Clone, Copy)]
struct Asker {
    key: RequestKey,
    from: SocketAddr,
    via: Via,
}

/// A record that the journal is done with.
struct Done {
    asker: Asker,
    reply: Vec<u8>,
    kept: Result<(), NotKept>,
}

struct Listener {
    socket: UdpSocket,
    registry: Arc<ArcSwap<Registry>>,
    journal: Journal,
    clock: Arc<TrustedClock>,
    /// Which boot of the box this is.
    boot: [u8; 16],
    duplicates: Duplicates,
    /// Never fuller than the journal's own queue.
    to_loop: mpsc::UnboundedSender<Done>,
    done: mpsc::UnboundedReceiver<Done>,
    datagram: Box<[u8; PACKET_LIMIT_BYTES]>,
}

impl Listener {
    fn new(socket: UdpSocket, registry: Arc<ArcSwap<Registry>>, journal: Journal, clock: Arc<TrustedClock>) -> Self {
        let (to_loop, done) = mpsc::unbounded_channel();
        let (boot, duplicates, datagram) = (boot_id(), Duplicates::default(), Box::new([0; PACKET_LIMIT_BYTES]));
        Self { socket, registry, journal, clock, boot, duplicates, to_loop, done, datagram }
    }

    /// Runs until it is dropped.
    async fn run(mut self) -> Infallible {
        loop {
            // Outgoing first, then what comes in.
            tokio::select! {
                biased;
                Some(done) = self.done.recv() => self.conclude(done).await,
                received = self.socket.recv(&mut self.datagram[..]) => match received {
                    Ok(received) => self.on_datagram(received).await,
                    Err(wrong) => rest_after("receive", &wrong).await,
                },
            }
        }
    }

    async fn on_datagram(&mut self, received: Received) {
        let Received { len, from, via } = received;
        let now = Instant::now();
        let Some(key) = RequestKey::of(from, &self.datagram[..len]) else { return silent("malformed") };
        counter!("holdfast_radius_accounting_requests_total", "code" => code_label(self.datagram[0])).increment(1);
        match self.duplicates.seen(&key, now) {
            Seen::InProgress => return silent("in_progress"),
            Seen::Answered(reply) => {
                counter!("holdfast_radius_accounting_duplicates_total").increment(1);
                return send(&self.socket, reply, from, via).await;
            }
            Seen::Never => {}
        }
        let registry = self.registry.load_full();
        let asker = Asker { key, from, via };
        let arrival = Arrival { received: self.clock.now(), boot: self.boot, since_boot_ms: since_boot_ms() };
        match account(&registry.access, &registry.keys, &self.datagram[..len], from, arrival) {
            Outcome::Keep(pending) => self.keep(asker, *pending, now),
            Outcome::Alive(reply) if self.journal.room() > Room::None => send(&self.socket, &reply, from, via).await,
            Outcome::Alive(_) => silent("no_room"),
            Outcome::Silent(reason) => silent(reason.label()),
        }
    }

    fn keep(&mut self, asker: Asker, pending: Pending, now: Instant) {
        self.duplicates.begin(asker.key, now);
        let Pending { record, reply } = pending;
        let (to_loop, status) = (self.to_loop.clone(), record.status);
        let tell = Box::new(move |kept: Result<(), NotKept>| {
            if kept.is_ok() {
                counter!("holdfast_radius_accounting_kept_total", "status" => status.label()).increment(1);
            }
            // The loop is gone when the service ends: nobody is answered any more.
            let _ = to_loop.send(Done { asker, reply, kept });
        });
        if let Err(why) = self.journal.keep(record.encode(), status == Status::Interim, tell) {
            self.duplicates.forget(&asker.key);
            silent(why.label());
        }
    }

    async fn conclude(&mut self, Done { asker, reply, kept }: Done) {
        match kept {
            Ok(()) => {
                self.duplicates.finish(&asker.key, &reply);
                send(&self.socket, &reply, asker.from, asker.via).await;
            }
            // The NAS keeps it and asks again, here or at the other campus's agent.
            Err(why) => {
                self.duplicates.forget(&asker.key);
                silent(why.label());
            }
        }
    }
}

/// A NAS that is gone must not hold up the others while its packets wait in the socket: it asks again, and is answered from memory.
async fn send(socket: &UdpSocket, reply: &[u8], to: SocketAddr, via: Via) {
    match tokio::time::timeout(SEND_PATIENCE, socket.send(reply, to, via)).await {
        Ok(Ok(())) => counter!("holdfast_radius_accounting_replies_total").increment(1),
        Ok(Err(wrong)) => rest_after("send", &wrong).await,
        Err(_) => counter!("holdfast_radius_unsent_total").increment(1),
    }
}

/// A fault of the network is counted, never the end of the service.
async fn rest_after(verb: &'static str, wrong: &io::Error) {
    counter!("holdfast_radius_socket_errors_total", "while" => verb).increment(1);
    tracing::debug!(event = "radius_socket_error", %wrong, "the accounting socket failed to {verb}: {wrong}");
    if verb == "receive" {
        tokio::time::sleep(REST_AFTER_ERROR).await;
    }
}

fn silent(reason: &'static str) {
    counter!("holdfast_radius_accounting_silent_total", "reason" => reason).increment(1);
}

fn code_label(code: u8) -> &'static str {
    match code {
        ACCOUNTING_REQUEST => "accounting_request",
        STATUS_SERVER => "status_server",
        _ => "other",
    }
}
