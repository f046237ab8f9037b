//! The DNS service: sockets, threads, connections and counters around the core in `proto`.
//!
//! It sees one reader and nothing else, so no answer depends on whether the master is reachable. What it refuses: to end
//! because a socket failed, to let one client fill the connections or hold up the others, and to log what a packet says.
//!
//! How: UDP on threads of their own, one socket each, in batches; TCP and TLS as one task per connection. A batch, and each
//! query of a connection, is answered from the newest view, so a new generation shows in the next answer. Sockets are bound
//! once, to wildcards, before there is a carrier or an address.

mod desk;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
mod udp;

use crate::config;
use desk::Desk;
use holdfast_proto::net::batch::BatchSocket;
use holdfast_proto::net::certificate::Certificate;
use holdfast_proto::net::stream::{self, bind_both};
use holdfast_proto::net::workers::Workers;
use holdfast_proto::snapshot::Reader;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Room for a burst while a worker is not scheduled: 10 000 queries.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// How long a loop rests after its socket failed, so that a lasting fault does not eat a core.
const REST_AFTER_ERROR: Duration = Duration::from_millis(20);

/// The service with its sockets bound and nothing served yet.
#[derive(Debug)]
pub struct DnsServer {
    plain: Vec<(Vec<BatchSocket>, TcpListener)>,
    encrypted: Vec<TcpListener>,
    certificate: Option<Arc<Certificate>>,
    desk: Desk,
}

impl DnsServer {
    /// Binds UDP and TCP on each address: usually the wildcards `0.0.0.0:53` and `[::]:53`, and TLS where the settings have it.
    /// Must be called inside a tokio runtime. Without an address nothing is served, and that is no error; nor is a certificate
    /// that cannot be read, which is told and tried again. `name` is the box's, the label that it is told by where the settings have none.
    ///
    /// # Errors
    /// Names the address that could not be bound and why.
    pub fn bind(settings: &config::Dns, name: &str) -> io::Result<Self> {
        let named = |address: SocketAddr, wrong: io::Error| io::Error::new(wrong.kind(), format!("DNS cannot bind {address}: {wrong}"));
        let workers = settings.workers.unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(std::num::NonZero::<usize>::MIN)).get();
        let plain = settings.listen.iter().map(|address| bind_both(*address, workers, RECEIVE_BUFFER_BYTES).map_err(|wrong| named(*address, wrong)));
        let plain = plain.collect::<io::Result<_>>()?;
        let tls = settings.tls.as_ref();
        let encrypted = tls.map_or(&[][..], |tls| &tls.listen).iter().map(|address| stream::bind(*address).map_err(|wrong| named(*address, wrong)));
        let encrypted = encrypted.collect::<io::Result<_>>()?;
        let certificate = tls.map(|tls| Arc::new(Certificate::of(&tls.certificate, &tls.key)));
        Ok(Self { plain, encrypted, certificate, desk: Desk::new(settings, name)? })
    }

    /// What was bound for UDP and TCP, with the ports that the kernel chose for port 0: the same for both.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.plain.iter().map(|(_, tcp)| tcp.local_addr()).collect()
    }

    /// What was bound for TLS.
    pub fn tls_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.encrypted.iter().map(TcpListener::local_addr).collect()
    }

    /// Serves until `cancelled` resolves; returns earlier only where one of its own tasks or threads panicked, which is logged.
    /// The reader is of the zone feed. Who asked most is written into `run_dir`, see [`read_audience`](crate::telemetry::read_audience).
    pub async fn serve(self, zone: Reader, run_dir: PathBuf, cancelled: impl Future<Output = ()>) {
        let desk = Arc::new(self.desk);
        let door = Arc::new(stream::Door::default());
        let mut tasks = JoinSet::<Infallible>::new();
        let mut workers = Workers::default();
        tasks.spawn(desk::turn_secrets(Arc::clone(&desk)));
        tasks.spawn(Arc::clone(&desk.audience).show(run_dir, "dns"));
        for (sockets, listener) in self.plain {
            for socket in sockets {
                udp::start(&mut workers, socket, zone.clone(), Arc::clone(&desk));
            }
            tasks.spawn(tcp::serve(listener, zone.clone(), Arc::clone(&door), Arc::clone(&desk)));
        }
        for (listener, certificate) in self.encrypted.into_iter().zip(self.certificate.iter().cycle()) {
            tasks.spawn(tls::serve(listener, Arc::clone(certificate), zone.clone(), Arc::clone(&door), Arc::clone(&desk)));
        }
        // Dropping the set ends the tasks, and the connections with the task that owns them.
        tokio::select! {
            () = cancelled => {}
            Some(ended) = tasks.join_next() => tracing::error!(event = "dns_ended", ?ended, "DNS stopped serving: one of its tasks ended, which is a bug"),
            () = workers.one_ended() => tracing::error!(event = "dns_ended", "DNS stopped serving: one of its threads ended, which is a bug"),
        }
        workers.stop().await;
    }
}
