//! BOOTP and DHCP: the loop around the core in `proto`.
//!
//! Why it exists: somebody must own port 67. What it refuses: to end. A cable that is out, an interface that goes away, a
//! client that cannot be reached are counted, and the next packet is waited for. How: the wildcard address is bound once,
//! before there is a carrier or an address, so that a broadcast comes once however many interfaces there are; a thread of its
//! own ([`worker`]) takes all that has come, answers it from one view, and sends all replies ([`delivery`]).

mod counters;
mod delivery;
mod interfaces;
mod worker;

use counters::Counters;
use delivery::Delivery;
use holdfast_proto::dhcp::SERVER_PORT;
use holdfast_proto::net::datagrams::Datagrams;
use holdfast_proto::snapshot::Reader;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;
use worker::Worker;

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
    pub async fn serve(self, reader: Reader) {
        let counters = Arc::new(Counters::register());
        let delivery = Delivery::new(Arc::clone(&self.socket), self.replies_to_source, Arc::clone(&counters));
        let worker = Worker::new(self.socket, delivery, reader, counters, self.server_name);
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
