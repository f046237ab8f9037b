//! Tells secondaries that a zone has a new serial (RFC 1996), again and again until they answer or there is something newer.

use super::rules::Rules;
use super::{now_s, random_u16, source_for};
use crate::publish::Latest;
use holdfast_proto::dns::Record;
use holdfast_proto::dns::transfer::{notify, read_message, soa_of};
use holdfast_proto::dns::tsig::{Session, TsigKey, without_signature};
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::DomainName;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Between two attempts at first; each time it is doubled.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// RFC 1996 section 3.6 gives five as an example; a minute in all is enough for a restart.
const ATTEMPTS: u32 = 6;
/// How many are told at the same time.
static AT_ONCE: Semaphore = Semaphore::const_new(64);
const REPLY_LIMIT_BYTES: usize = 4096;

/// One who is told of one zone.
type Target = (DomainName, SocketAddr);

/// Tells for ever: of zones that rose, and of zones whose rules name somebody new.
pub(super) async fn tell_for_ever(
    latest: watch::Receiver<Arc<Latest>>,
    mut rules: watch::Receiver<Arc<Rules>>,
    mut risen: mpsc::Receiver<Vec<DomainName>>,
    source: Arc<[IpAddr]>,
) -> Infallible {
    let mut telling = JoinSet::new();
    let mut under_way: HashMap<Target, AbortHandle> = HashMap::new();
    let mut known = Arc::clone(&rules.borrow_and_update());
    loop {
        let due: Vec<Target> = tokio::select! {
            Some(zones) = risen.recv() => zones.into_iter().flat_map(|apex| targets(&known, &apex)).collect(),
            Ok(()) = rules.changed() => {
                let before = std::mem::replace(&mut known, Arc::clone(&rules.borrow_and_update()));
                let all: Vec<Target> = known.zones().flat_map(|zone| targets(&known, &zone.apex)).collect();
                all.into_iter().filter(|target| !targets(&before, &target.0).contains(target)).collect()
            }
            Some(_) = telling.join_next() => continue,
            else => return std::future::pending().await,
        };
        for target in due {
            let Ok((soa, _)) = soa_of(latest.borrow().state(Feed::ZONE).view(), &target.0) else { continue };
            let key = key_of(&known, &target);
            // The newest serial says all that an older one would have said.
            if let Some(older) = under_way.insert(target.clone(), telling.spawn(tell(source_for(&source, target.1.ip()), target.1, soa, key))) {
                older.abort();
            }
        }
        under_way.retain(|_, task| !task.is_finished());
    }
}

fn targets(rules: &Rules, apex: &DomainName) -> Vec<Target> {
    let transfers = rules.zone(apex).map_or(&[][..], |zone| &zone.transfers);
    transfers.iter().filter_map(|transfer| Some((apex.clone(), transfer.notify?))).collect()
}

fn key_of(rules: &Rules, (apex, address): &Target) -> Option<TsigKey> {
    let transfer = rules.zone(apex)?.transfers.iter().find(|transfer| transfer.notify == Some(*address))?;
    rules.key(&transfer.key.as_ref()?.parse().ok()?)
}

async fn tell(from: SocketAddr, to: SocketAddr, soa: Record, key: Option<TsigKey>) {
    let zone = soa.owner.without_dot();
    let mut pause = FIRST_PAUSE;
    let mut said = String::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        let Ok(_place) = AT_ONCE.acquire().await else { return };
        match tell_once(from, to, &soa, key.clone()).await {
            Ok(()) => {
                tracing::debug!(event = "notify_heard", zone, %to, "a secondary heard that there is something new");
                metrics::counter!("holdfast_notifies_total", "outcome" => "heard").increment(1);
                return;
            }
            Err(error) => said = error.to_string(),
        }
    }
    tracing::warn!(event = "notify_unheard", zone, %to, said, "a secondary does not hear that there is something new: it finds out when it asks");
    metrics::counter!("holdfast_notifies_total", "outcome" => "unheard").increment(1);
}

async fn tell_once(from: SocketAddr, to: SocketAddr, soa: &Record, key: Option<TsigKey>) -> io::Result<()> {
    let socket = UdpSocket::bind(from).await?;
    socket.connect(to).await?;
    let id = random_u16();
    let mut message = notify(id, soa);
    let mut session = key.map(|key| Session::ask(key, &mut message, now_s()));
    socket.send(&message).await?;
    let mut buffer = vec![0; REPLY_LIMIT_BYTES];
    let heard = async {
        loop {
            let len = socket.recv(&mut buffer).await?;
            let Some(reply) = read_message(&without_signature(&buffer[..len])).filter(|reply| reply.header.id == id && reply.header.is_response) else {
                continue;
            };
            if let Some(session) = &mut session {
                session.check(&buffer[..len], now_s()).map_err(io::Error::other)?;
            }
            return match reply.header.rcode {
                0 => Ok(()),
                code => Err(io::Error::other(format!("it answers with code {code}"))),
            };
        }
    };
    timeout(ANSWER_LIMIT, heard).await.map_err(|_| io::Error::other("it does not answer"))?
}
