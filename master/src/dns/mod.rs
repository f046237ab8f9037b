//! The master among name servers: it answers for every zone that is published, gives zones to those who may have them, and fetches
//! copies of others' zones for all campuses.
//!
//! It answers from the generations that are published, as the agents do, so there is one path from the database to an answer. What it
//! refuses: to give a zone to anybody whom its rules do not name, and to fetch from anybody but a copy's primaries. No agent ever
//! transfers a zone; what is fetched here goes to them within the snapshot.
//!
//! How: `desk` decides what becomes of a message, `listen` has the sockets. `history` keeps what changed, `notify` tells others of it,
//! `rules` is what the database says of who may what, `refusals` what was refused, `pulls` what was given. `copies` and `fetch` are the secondary. `forward` is
//! apart from all of them: it asks others, for those who are registered.

mod copies;
mod desk;
mod fetch;
mod forward;
mod history;
mod listen;
mod notify;
mod pulls;
mod refusals;
mod rules;

pub use copies::Copies;
pub use forward::{Forwarder, Forwarding, Hop, Lines};

use crate::config;
use crate::publish::Latest;
use desk::Desk;
use holdfast_proto::net::stream;
use holdfast_proto::net::udp::{UdpOptions, UdpSocket};
use sqlx::PgPool;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Room for a burst while the loop is not scheduled.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

/// The name server with its sockets bound and nothing served yet.
#[derive(Debug)]
pub struct NameServer {
    sockets: Vec<(UdpSocket, TcpListener)>,
    source: Vec<IpAddr>,
}

impl NameServer {
    /// Binds UDP and TCP on each address; without one nothing is served, and that is no error.
    ///
    /// # Errors
    /// Names the address that could not be bound, and why.
    pub fn bind(settings: &config::Dns) -> io::Result<Self> {
        let both = |address: &SocketAddr| {
            let options = UdpOptions { receive_buffer_bytes: Some(RECEIVE_BUFFER_BYTES), ..UdpOptions::default() };
            let udp = UdpSocket::bind(*address, options)?;
            let tcp = stream::bind(udp.local_addr()?)?;
            Ok((udp, tcp))
        };
        let named = |address: &SocketAddr, wrong: io::Error| io::Error::new(wrong.kind(), format!("[dns] cannot bind {address}: {wrong}"));
        let sockets = settings.listen.iter().map(|address| both(address).map_err(|wrong| named(address, wrong))).collect::<io::Result<_>>()?;
        Ok(Self { sockets, source: settings.source.clone() })
    }

    /// Answers for ever. Into `heard` goes the number of a zone whose primary says that our copy is old.
    pub async fn serve(self, pool: PgPool, latest: watch::Receiver<Arc<Latest>>, heard: mpsc::Sender<i64>) -> Infallible {
        if self.sockets.is_empty() {
            return std::future::pending().await;
        }
        let mut tasks = JoinSet::<Infallible>::new();
        let (rules_seen, rules) = rules::follow(pool.clone());
        tasks.spawn(rules);
        let (refusals, refusals_kept) = refusals::keep(pool.clone());
        tasks.spawn(refusals_kept);
        let (pulls, pulls_kept) = pulls::keep(pool);
        tasks.spawn(pulls_kept);
        let journal = history::Shared::default();
        let desk = Arc::new(Desk::new(latest.clone(), rules_seen.clone(), journal.clone(), refusals, pulls, heard));
        let (rose, risen) = history::channel();
        tasks.spawn(history::keep(latest.clone(), journal, rose));
        tasks.spawn(notify::tell_for_ever(latest, rules_seen, risen, self.source.into()));
        let door = Arc::new(stream::Door::default());
        for (udp, tcp) in self.sockets {
            tasks.spawn(listen::udp(udp, Arc::clone(&desk)));
            tasks.spawn(listen::tcp(tcp, Arc::clone(&door), Arc::clone(&desk)));
        }
        if let Some(ended) = tasks.join_next().await {
            tracing::error!(event = "dns_ended", ?ended, "the master answers no names any more: one of its tasks ended, which is a bug");
        }
        std::future::pending().await
    }
}

/// Where a conversation with another server is begun from.
fn source_for(source: &[IpAddr], to: IpAddr) -> SocketAddr {
    let any = if to.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(source.iter().copied().find(|own| own.is_ipv4() == to.is_ipv4()).unwrap_or(any), 0)
}

/// Seconds since 1970: signatures carry them, and nothing else here depends on them.
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A number that nobody can guess.
fn random_u16() -> u16 {
    let mut bytes = [0; 2];
    // Without random numbers there is no TLS and no master; a fixed one would only make guessing easier.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u16::from_be_bytes(bytes)
}
