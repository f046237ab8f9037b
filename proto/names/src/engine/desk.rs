//! What all workers and connections of the resolver share: the cache, who may ask, how this box answers, and what was counted.

use super::counters::{Counters, Origins};
use super::sources::Sources;
use super::tiers::{Step, Tiers};
use super::validate::Validator;
use super::{FlightLimits, Plane, Refused};
use crate::counting::{Audience, NameCounters, Tally};
use crate::settings;
use arc_swap::ArcSwap;
use holdfast_proto::dns::resolver::{Answer, CacheLimits, Clients, End, LocalZones, Moment, Origin, Response, Standing, Wanted, World, respond, settle};
use holdfast_proto::dns::{Cookies, ExtendedError, Limiter, Limits, Outcome, Peer, Policy, Rcode, Told, Transport, Verdict};
use holdfast_proto::net::batch::BatchSocket;
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::net::udp::Via;
use holdfast_proto::snapshot::{Reader, View};
use holdfast_proto::words::{DomainName, UnixMillis};
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc;

/// How long cookies are made with one secret; it is believed for as long again.
const SECRET_PERIOD: Duration = Duration::from_secs(24 * 3600);
/// A network of strangers hears so often in a second that it is refused; above that it hears nothing.
const REFUSALS_PER_SECOND: u32 = 10;
/// What fits beside everything else into the smallest reply.
const HINT_LIMIT_BYTES: usize = 120;
/// Room for the counts of strangers' networks.
const REFUSAL_COUNTS: usize = 1 << 14;

pub(super) struct Desk {
    /// The plane's.
    pub(super) name: &'static str,
    pub(super) sources: Arc<Sources>,
    validator: Option<Validator>,
    clients: ArcSwap<Clients>,
    policy: ArcSwap<Policy>,
    zones: ArcSwap<LocalZones>,
    zone: Reader,
    passes: Vec<Box<[u8]>>,
    hint: String,
    seed: [u8; 32],
    strangers: Limiter,
    pub(super) flights: FlightLimits,
    refused: Option<mpsc::Sender<Refused>>,
    orders: mpsc::Sender<Order>,
    pub(super) names: NameCounters,
    pub(super) counters: Counters,
    pub(super) audience: Arc<Audience>,
}

/// Something that somebody has to be asked for, and who waits for it: nobody, where it is fetched ahead.
pub(super) struct Order {
    pub(super) wanted: Wanted,
    pub(super) hops: u8,
    pub(super) waiter: Option<Waiter>,
}

/// A client who waits.
pub(super) struct Waiter {
    pub(super) packet: Vec<u8>,
    pub(super) peer: Peer,
    pub(super) back: Back,
    /// There is an answer that has run out, for when it has waited long enough.
    pub(super) has_stale: bool,
    pub(super) since: Instant,
}

/// The way back to a client.
#[derive(Clone)]
pub(super) enum Back {
    Udp(Arc<BatchSocket>, Via),
    Stream(mpsc::Sender<Vec<u8>>),
}

/// What became of a packet.
pub(super) enum Done {
    /// The reply, if there is one, stands in the buffer.
    Now,
    /// Others are asked; the reply comes later, by the way back.
    Later,
}

/// What is known of a question without asking anybody.
pub(super) enum Known {
    /// The reply that a client is sent.
    Told { origin: Origin, reply: Vec<u8> },
    /// Others have to be asked.
    Wanting { has_stale: bool },
}

/// One moment, the same for all that is answered together.
pub(super) struct Instance {
    view: Arc<View>,
    zones: arc_swap::Guard<Arc<LocalZones>>,
    clients: arc_swap::Guard<Arc<Clients>>,
    policy: arc_swap::Guard<Arc<Policy>>,
    moment: Moment,
    since_begin_us: u64,
}

/// What one worker or connection counted.
#[derive(Default)]
pub(super) struct Count {
    pub(super) tally: Tally,
    origins: Origins,
}

impl Desk {
    /// Whether somebody is on no list.
    pub(super) fn is_stranger(&self, client: IpAddr) -> bool {
        self.clients.load().standing(client) == Standing::Stranger
    }

    /// With a secret that nobody knows and no disk keeps.
    pub(super) fn new(plane: &Plane, tiers: Arc<Tiers>, orders: mpsc::Sender<Order>, zone: Reader, clock: Arc<TrustedClock>) -> io::Result<Self> {
        let sources = Arc::new(Sources::new(cache_limits(&plane.cache), tiers));
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed).map_err(|_| io::Error::other("the system gives no random numbers"))?;
        let (demands_cookies, idle_timeout_100ms) = (plane.demands_cookies, (super::stream::IDLE_TIMEOUT.as_millis() / 100) as u16);
        let policy = Policy { demands_cookies, idle_timeout_100ms, ..Policy::new(Cookies::of_period(&seed, 0)) };
        let limits = Limits { same_per_second: 0, all_per_second: REFUSALS_PER_SECOND, burst_seconds: 1, slip: 0, counts: REFUSAL_COUNTS };
        let of_section = |wrong: io::Error| io::Error::new(wrong.kind(), format!("[{}] {wrong}", plane.name));
        let validator = plane.validation.as_ref().map(|validation| Validator::new(validation, clock, Arc::clone(&sources)));
        let hint_end = plane.hint.floor_char_boundary(HINT_LIMIT_BYTES);
        Ok(Self {
            name: plane.name,
            validator: validator.transpose().map_err(of_section)?,
            sources,
            clients: ArcSwap::default(),
            policy: ArcSwap::from_pointee(policy),
            zones: ArcSwap::from_pointee(LocalZones::of(&zone.current())),
            zone,
            passes: plane.real_here.iter().map(|name| pass(name)).collect::<io::Result<_>>().map_err(of_section)?,
            hint: plane.hint[..hint_end].to_owned(),
            seed,
            strangers: Limiter::new(limits),
            flights: plane.flights,
            refused: plane.refused.clone(),
            orders,
            names: NameCounters::new(plane.name),
            counters: Counters::new(),
            audience: Arc::default(),
        })
    }

    pub(super) fn admit(&self, clients: Clients) {
        self.clients.store(Arc::new(clients));
    }

    /// Asks others, and looks at their signatures where that is wanted.
    pub(super) async fn resolve(&self, wanted: &Wanted, hops: u8, steps: Option<&mut Vec<Step>>) -> Result<Answer, ExtendedError> {
        match &self.validator {
            Some(validator) if validator.is_for(wanted) => validator.resolve(wanted, hops, steps).await,
            _ => self.sources.tiers.resolve(wanted, hops, steps).await,
        }
    }

    pub(super) fn instance(&self) -> Instance {
        let view = self.zone.current();
        if !self.zones.load().is_of(&view) {
            self.zones.store(Arc::new(LocalZones::of(&view)));
        }
        // No answer hangs on this clock being right: it says how old a cookie is, and nothing else.
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let moment = Moment { now: UnixMillis(unix.as_millis() as u64), now_s: self.sources.now_s(), cut_off: self.sources.tiers.is_cut_off() };
        let since_begin_us = self.sources.begun.elapsed().as_micros() as u64;
        Instance { view, zones: self.zones.load(), clients: self.clients.load(), policy: self.policy.load(), moment, since_begin_us }
    }

    fn world<'a>(&'a self, instance: &'a Instance) -> World<'a> {
        let Instance { view, zones, clients, policy, moment, .. } = instance;
        World { view, zones, cache: &self.sources.cache, clients, policy, passes: &self.passes, hint: &self.hint, moment: *moment }
    }

    /// Answers one packet and counts it, or has others asked. A reply that is left empty is not to be sent. `back` is called where the
    /// reply comes later.
    pub(super) fn answer(&self, instance: &Instance, packet: &[u8], peer: Peer, back: impl FnOnce() -> Back, reply: &mut Vec<u8>, count: &mut Count) -> Done {
        let response = respond(&self.world(instance), packet, peer, reply);
        match response {
            Response::Silent(reason) => count.tally.count(Outcome::Silent(reason)),
            Response::Replied { told, origin, refresh } => {
                count.tally.count(Outcome::Replied(told));
                count.origins[origin as usize] += 1;
                if let Some(wanted) = refresh {
                    self.refresh(wanted);
                }
                if told.rcode == Rcode::Refused {
                    self.refused(instance, packet, peer, &told, reply);
                }
            }
            Response::Wanting { wanted, has_stale, hops } => {
                let waiter = Waiter { packet: packet.to_vec(), peer, back: back(), has_stale, since: Instant::now() };
                if let Err(full) = self.orders.try_send(Order { wanted, hops, waiter: Some(waiter) }) {
                    self.counters.overflowed.increment(1);
                    let turned_away = full.into_inner().waiter;
                    turned_away.iter().for_each(|waiter| self.settle(waiter, End::Failed(ExtendedError::NetworkError)));
                }
                return Done::Later;
            }
        }
        Done::Now
    }

    /// A refusal: a network hears so many of them and no more, and the stranger goes on record.
    fn refused(&self, instance: &Instance, packet: &[u8], peer: Peer, told: &Told, reply: &mut Vec<u8>) {
        let client = peer.address.ip();
        if self.strangers.judge(client, told, instance.since_begin_us) != Verdict::Pass {
            if peer.transport == Transport::Udp {
                self.counters.ignored.increment(1);
                reply.clear();
            }
            return;
        }
        if let Some(refused) = self.refused.as_ref().filter(|_| instance.clients.standing(client) == Standing::Stranger) {
            // A full box: those that are in it will do for the record.
            let _ = refused.try_send(Refused { client, packet: packet.to_vec() });
        }
    }

    /// What a client is and would be told now.
    pub(super) fn look(&self, wanted: &Wanted, from: IpAddr) -> (Standing, Known) {
        let (instance, mut reply) = (self.instance(), Vec::new());
        let peer = Peer { address: (from, u16::MAX).into(), transport: Transport::Tcp };
        let known = match respond(&self.world(&instance), &wanted.query(), peer, &mut reply) {
            Response::Wanting { has_stale, .. } => Known::Wanting { has_stale },
            Response::Replied { origin, refresh, .. } => {
                refresh.into_iter().for_each(|wanted| self.refresh(wanted));
                Known::Told { origin, reply }
            }
            Response::Silent(_) => Known::Wanting { has_stale: false },
        };
        (instance.clients.standing(from), known)
    }

    fn refresh(&self, wanted: Wanted) {
        // Where there is no room for it, it runs out, and is asked for then.
        if self.orders.try_send(Order { wanted, hops: 0, waiter: None }).is_ok() {
            self.counters.refreshed.increment(1);
        }
    }

    /// Answers a client that waited.
    pub(super) fn settle(&self, waiter: &Waiter, end: End<'_>) {
        let (instance, mut reply, mut count) = (self.instance(), Vec::new(), Count::default());
        match settle(&self.world(&instance), &waiter.packet, waiter.peer, end, &mut reply) {
            Response::Replied { told, origin, .. } => {
                count.tally.count(Outcome::Replied(told));
                self.counters.count(origin);
            }
            // Its name became ours while it waited, or ceased to be: it asks again.
            Response::Wanting { .. } | Response::Silent(_) => return,
        }
        count.tally.spent(1, waiter.since.elapsed().as_micros() as u64);
        self.names.take(waiter.peer.transport, &mut count.tally);
        match &waiter.back {
            Back::Udp(socket, via) => {
                if let Err(wrong) = socket.send_one(&reply, waiter.peer.address, *via) {
                    self.names.fault("send", &wrong);
                }
            }
            // A connection that is gone, or that takes nothing, needs no reply.
            Back::Stream(replies) => drop(replies.try_send(reply)),
        }
    }

    /// Takes in what was counted, and leaves nothing.
    pub(super) fn take(&self, transport: Transport, count: &mut Count) {
        self.names.take(transport, &mut count.tally);
        self.counters.take(&mut count.origins);
    }

    fn turn_to(&self, period: u64) {
        self.policy.rcu(|policy| Policy { cookies: Cookies::of_period(&self.seed, period), ..Policy::clone(policy) });
    }
}

impl Instance {
    /// Microseconds since it was.
    pub(super) fn age_us(&self, desk: &Desk) -> u64 {
        (desk.sources.begun.elapsed().as_micros() as u64).saturating_sub(self.since_begin_us)
    }
}

/// A new secret for each period.
pub(super) async fn turn_secrets(desk: Arc<Desk>) -> Infallible {
    for period in 1.. {
        tokio::time::sleep(SECRET_PERIOD).await;
        desk.turn_to(period);
    }
    std::future::pending().await
}

fn cache_limits(settings: &settings::Cache) -> CacheLimits {
    let settings::Cache { mebibytes, ttl_floor_s, ttl_cap_s, negative_cap_s, stale_s } = *settings;
    CacheLimits { bytes: mebibytes << 20, ttl_floor_s, ttl_cap_s, negative_cap_s, stale_s }
}

fn pass(name: &str) -> io::Result<Box<[u8]>> {
    let name = DomainName::parse(name, None).map_err(|wrong| io::Error::other(format!("real_here: {wrong}")))?;
    Ok(name.wire().to_ascii_lowercase().into())
}
