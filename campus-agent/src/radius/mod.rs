//! The RADIUS service: sockets, passwords on their own threads, and counters around the core in `proto`.
//!
//! It sees two readers, the agent's own key and the certificate of EAP and nothing else, so no answer depends on whether the master is reachable.
//! What it refuses: to let a slow password hash hold up a socket (a full queue drops, and the NAS asks again), to answer one
//! request with two different replies, and to end because a socket failed.
//!
//! How: one loop per socket owns its duplicate cache, its EAP conversations and its memory of verified passwords, so nothing is
//! locked; the newest views and the data keys opened for them are swapped in whole by [`world::follow`].

pub mod accounting;
mod certificate;
mod duplicates;
mod held;
mod listener;
mod refusals;
mod verify;
mod world;

pub use certificate::EapCertificate;

use crate::reports::Spool;
use arc_swap::ArcSwap;
use holdfast_proto::net::udp::{UdpOptions, UdpSocket};
use holdfast_proto::snapshot::{HpkePrivate, Reader};
use holdfast_proto::words::NodeId;
use listener::Listener;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::JoinSet;
use verify::HashPool;
use world::World;

/// Room for the burst that follows a power cut: 4000 requests of 250 bytes.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

/// The service with its sockets bound and nothing served yet.
#[derive(Debug)]
pub struct RadiusServer {
    sockets: Vec<UdpSocket>,
    eap: Option<Arc<EapCertificate>>,
}

impl RadiusServer {
    /// Binds the authentication port on each address: usually the wildcards `0.0.0.0:1812` and `[::]:1812`. Must be called inside a tokio runtime.
    pub fn bind(addresses: &[SocketAddr]) -> io::Result<Self> {
        let options = UdpOptions { receive_buffer_bytes: Some(RECEIVE_BUFFER_BYTES), ..UdpOptions::default() };
        let bind = |address: &SocketAddr| {
            let wrong = |wrong: io::Error| io::Error::new(wrong.kind(), format!("RADIUS cannot bind UDP {address}: {wrong}"));
            UdpSocket::bind(*address, options).map_err(wrong)
        };
        Ok(Self { sockets: addresses.iter().map(bind).collect::<io::Result<_>>()?, eap: None })
    }

    /// Speaks EAP with this certificate.
    pub fn with_eap(self, eap: Arc<EapCertificate>) -> Self {
        Self { eap: Some(eap), ..self }
    }

    /// What was bound, in the order asked for, with the ports that the kernel chose for port 0.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(UdpSocket::local_addr).collect()
    }

    /// Serves until `cancelled` resolves; returns earlier only where one of its own tasks panicked, which is logged. The readers are of the people and the access feed; `node` and `private` open their data keys.
    /// Whom it refuses goes into the spool.
    pub async fn serve(self, people: Reader, access: Reader, node: NodeId, private: HpkePrivate, spool: Spool, cancelled: impl Future<Output = ()>) {
        // Opened before the first packet is read: a NAS that asks at once must not be met with silence.
        let world = Arc::new(ArcSwap::from_pointee(World::open(people.current(), access.current(), node, &private)));
        let pool = HashPool::new();
        let mut tasks = JoinSet::<Infallible>::new();
        tasks.spawn(world::follow(people, access, node, private, Arc::clone(&world)));
        for socket in self.sockets {
            tasks.spawn(Listener::new(socket, Arc::clone(&world), pool.clone(), self.eap.clone(), spool.clone()).run());
        }
        // Dropping the set ends the tasks.
        tokio::select! {
            () = cancelled => {}
            Some(ended) = tasks.join_next() => tracing::error!(event = "radius_ended", ?ended, "RADIUS stopped serving: one of its tasks ended, which is a bug"),
        }
    }
}

#[cfg(test)]
mod tests;
