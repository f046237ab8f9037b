//! Whether the other agents answer: each is asked by its peers as well as by the master, who may be cut off from both.
//!
//! The questions are those of `proto::probe`, for what this box itself serves. What it refuses: to accuse a peer when it is
//! this box's own cable that is out. A question over an interface without carrier is not counted.

use crate::config::Peer;
use crate::reports::Spool;
use holdfast_proto::net::ask::{Asker, ask_framed};
use holdfast_proto::probe::{Health, Known, PATIENCE_MS, PERIOD_MS, Service, Turn};
use holdfast_proto::radius::probe;
use holdfast_proto::snapshot::{DataKeyRing, Feed, HpkePrivate, Reader, View};
use holdfast_proto::words::{NodeId, Secret};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_millis(PATIENCE_MS);

/// What this box serves itself, and so may ask for.
#[derive(Clone)]
pub struct Served {
    /// The zone feed.
    pub zone: Reader,
    /// The bootptab feed.
    pub bootptab: Reader,
    /// The access feed.
    pub access: Reader,
    /// Whose data keys can be opened.
    pub node: NodeId,
    /// With what.
    pub hpke: HpkePrivate,
}

/// Asks every peer every two seconds, for as long as it is polled. A silence, and its end, go into the spool.
pub async fn watch(peers: BTreeMap<String, Peer>, served: Served, spool: Spool) -> Infallible {
    let mut health: BTreeMap<(String, Service), Health> = BTreeMap::new();
    let mut tick = tokio::time::interval(Duration::from_millis(PERIOD_MS));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let secret = newest_secret(&served).map(Arc::new);
        let mut asked = JoinSet::new();
        for (name, service, server) in targets(&peers) {
            let (served, secret) = (served.clone(), secret.clone());
            asked.spawn(async move { (name, service, ask(&served.zone.current(), &served.bootptab.current(), secret.as_deref(), server, service).await) });
        }
        while let Some(Ok((name, service, heard))) = asked.join_next().await {
            let Some(heard) = heard else { continue };
            count(&name, service, heard);
            let turn = health.entry((name.clone(), service)).or_default().heard(heard.is_some());
            if let Some(turn) = turn {
                tell(&spool, &name, service, turn);
            }
        }
    }
}

/// Tells which peers, by name, do not answer DHCP, for the service that then answers in their place. It reports nothing: that is
/// [`watch`]'s part. A silence only makes an answer come sooner, so that the peer's own word is enough.
pub async fn keep_asking_dhcp(peers: BTreeMap<String, Peer>, bootptab: Reader, told: watch::Sender<BTreeSet<String>>) -> Infallible {
    let servers: Vec<(String, SocketAddr)> = peers.into_iter().filter_map(|(name, peer)| Some((name, peer.dhcp?))).collect();
    if servers.is_empty() {
        return std::future::pending().await;
    }
    let mut health: BTreeMap<String, Health> = BTreeMap::new();
    let mut tick = tokio::time::interval(Duration::from_millis(PERIOD_MS));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let mut asked = JoinSet::new();
        for (name, server) in servers.clone() {
            let bootptab = bootptab.current();
            asked.spawn(async move { (name, ask(&View::empty(Feed::ZONE), &bootptab, None, server, Service::Dhcp).await) });
        }
        while let Some(Ok((name, heard))) = asked.join_next().await {
            if let Some(heard) = heard {
                health.entry(name).or_default().heard(heard.is_some());
            }
        }
        let silent: BTreeSet<String> = health.iter().filter(|(_, health)| health.answers() == Some(false)).map(|(name, _)| name.clone()).collect();
        told.send_if_modified(|before| std::mem::replace(before, silent.clone()) != silent);
    }
}

fn targets(peers: &BTreeMap<String, Peer>) -> Vec<(String, Service, SocketAddr)> {
    let of_peer = |(name, peer): (&String, &Peer)| {
        let address = |service| match service {
            Service::DnsUdp | Service::DnsTcp => peer.dns,
            Service::Dhcp => peer.dhcp,
            Service::Radius => peer.radius,
        };
        Service::ALL.into_iter().filter_map(|service| Some((name.clone(), service, address(service)?))).collect::<Vec<_>>()
    };
    peers.iter().flat_map(of_peer).collect()
}

/// The ring is in the order of its keys' ids: during a rotation either key is known to every box.
fn newest_secret(served: &Served) -> Option<Secret> {
    let (ring, _) = DataKeyRing::open(&served.access.current(), served.node, &served.hpke);
    probe::of_ring(&ring).next()
}

/// Asks once: how long the answer took, or that there was none. `None` where nothing can be learned from it.
async fn ask(zone: &View, bootptab: &View, secret: Option<&Secret>, server: SocketAddr, service: Service) -> Option<Option<Duration>> {
    let begun = Instant::now();
    // Without a way there, it is this box that is cut off.
    let asker = Asker::towards(server).await.ok()?;
    let own = asker.address().ok().filter(|own| has_carrier(*own))?;
    let known = Known { zone, bootptab, secret };
    let question = service.question(&known, own, uuid::Uuid::new_v4().into_bytes())?;
    let heard = if service.is_framed() {
        ask_framed(server, question.bytes(), PATIENCE, |reply| question.is_answer(reply)).await
    } else {
        asker.ask(question.bytes(), PATIENCE, |reply| question.is_answer(reply)).await
    };
    let heard = heard.inspect_err(|error: &io::Error| tracing::debug!(event = "probe_unanswered", %server, service = service.name(), %error, "no answer"));
    Some(heard.ok().map(|()| begun.elapsed()))
}

/// Whether the interface with this address has a carrier; where that cannot be found out, it is taken to have one.
fn has_carrier(own: IpAddr) -> bool {
    let Ok(mut interfaces) = getifaddrs() else { return true };
    let address_of = |interface: &nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    };
    let found = interfaces.find(|interface| address_of(interface) == Some(own));
    found.is_none_or(|interface| interface.flags.contains(InterfaceFlags::IFF_RUNNING))
}

fn count(peer: &str, service: Service, heard: Option<Duration>) {
    let labels = [("agent", peer.to_owned()), ("service", service.name().to_owned())];
    metrics::gauge!("holdfast_probe_up", &labels).set(f64::from(u8::from(heard.is_some())));
    if let Some(took) = heard {
        metrics::histogram!("holdfast_probe_seconds", &labels).record(took.as_secs_f64());
    }
}

fn tell(spool: &Spool, peer: &str, service: Service, turn: Turn) {
    match turn {
        Turn::Silent => spool.raise("service_silent", format!("{} of {peer} does not answer, asked by its peer", service.name())),
        Turn::Answers { after_silence: true } => spool.raise("service_answers", format!("{} of {peer} answers again, asked by its peer", service.name())),
        // That a peer answers at the start is no news.
        Turn::Answers { after_silence: false } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_an_address_is_asked() {
        let peer = Peer { dns: Some(([127, 0, 0, 1], 53).into()), dhcp: None, radius: Some(([127, 0, 0, 1], 1812).into()) };
        let found: Vec<Service> = targets(&BTreeMap::from([("south".to_owned(), peer)])).into_iter().map(|(_, service, _)| service).collect();
        assert_eq!(found, [Service::DnsUdp, Service::DnsTcp, Service::Radius]);
    }

    #[test]
    fn this_box_has_a_carrier_on_its_loopback() {
        assert!(has_carrier([127, 0, 0, 1].into()));
    }
}
