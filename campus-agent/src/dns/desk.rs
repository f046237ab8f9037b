//! What all workers and connections of the service share: how this box answers, who heard how much, and what was counted.

use crate::config;
use crate::telemetry::{Audience, NameCounters, Tally};
use arc_swap::ArcSwap;
use holdfast_proto::dns::{Cookies, Limiter, Limits, Order, Outcome, Peer, Policy, Transport, Verdict, answer, cut};
use holdfast_proto::snapshot::View;
use holdfast_proto::words::UnixMillis;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How long cookies are made with one secret; it is believed for as long again.
const SECRET_PERIOD: Duration = Duration::from_secs(24 * 3600);
/// Room for half a million counts of rate limiting in 4 MiB: more networks than a second brings.
const LIMITER_COUNTS: usize = 1 << 19;
/// What fits beside everything else into the smallest reply; a label is meant to be short.
const NSID_LIMIT_BYTES: usize = 32;

pub(super) struct Desk {
    policy: ArcSwap<Policy>,
    seed: [u8; 32],
    limiter: Option<Limiter>,
    pub(super) counters: NameCounters,
    pub(super) audience: Arc<Audience>,
    begun: Instant,
}

/// One moment, the same for all that is answered together.
pub(super) struct Moment {
    policy: arc_swap::Guard<Arc<Policy>>,
    now: UnixMillis,
    since_begin_us: u64,
}

impl Desk {
    /// With a secret that nobody knows and no disk keeps.
    pub(super) fn new(settings: &config::Dns, name: &str) -> io::Result<Self> {
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed).map_err(|_| io::Error::other("the system gives no random numbers"))?;
        let label = settings.nsid.as_deref().unwrap_or(name);
        if label.len() > NSID_LIMIT_BYTES {
            return Err(io::Error::other(format!(
                "DNS: the NSID \"{label}\" has more than {NSID_LIMIT_BYTES} bytes: set a shorter [dns] nsid, or \"\" for none"
            )));
        }
        let policy = Policy {
            demands_cookies: settings.cookies == config::DnsCookies::Demanded,
            nsid: (!label.is_empty()).then(|| label.as_bytes().into()),
            idle_timeout_100ms: (super::tcp::IDLE_TIMEOUT.as_millis() / 100) as u16,
            order: match settings.order {
                config::DnsOrder::Fixed => Order::Fixed,
                config::DnsOrder::Near => Order::Near,
                config::DnsOrder::Rotated => Order::Rotated,
            },
            ..Policy::new(Cookies::of_period(&seed, 0))
        };
        let limit = &settings.rate_limit;
        let limits = Limits {
            same_per_second: limit.same_per_second,
            all_per_second: limit.all_per_second,
            burst_seconds: limit.burst_seconds,
            slip: limit.slip,
            counts: LIMITER_COUNTS,
        };
        let limiter = (limit.same_per_second > 0 || limit.all_per_second > 0).then(|| Limiter::new(limits));
        Ok(Self {
            policy: ArcSwap::from_pointee(policy),
            seed,
            limiter,
            counters: NameCounters::new("authoritative"),
            audience: Arc::default(),
            begun: Instant::now(),
        })
    }

    pub(super) fn moment(&self) -> Moment {
        // No answer hangs on this clock being right: it says how old a cookie is, and nothing else.
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Moment { policy: self.policy.load(), now: UnixMillis(unix.as_millis() as u64), since_begin_us: self.begun.elapsed().as_micros() as u64 }
    }

    /// Answers one packet and counts it; a reply that is left empty is not to be sent.
    pub(super) fn answer(&self, view: &View, packet: &[u8], peer: Peer, moment: &Moment, reply: &mut Vec<u8>, tally: &mut Tally) -> Outcome {
        let outcome = answer(view, packet, peer, &moment.policy, moment.now, reply);
        tally.count(outcome);
        if let (Outcome::Replied(told), Some(limiter), Transport::Udp) = (outcome, &self.limiter, peer.transport) {
            match limiter.judge(peer.address.ip(), &told, moment.since_begin_us) {
                Verdict::Pass => {}
                Verdict::Slip => {
                    tally.slipped += 1;
                    cut(packet, peer, &moment.policy, moment.now, reply);
                }
                Verdict::Drop => {
                    tally.dropped += 1;
                    reply.clear();
                }
            }
        }
        outcome
    }

    fn turn_to(&self, period: u64) {
        self.policy.rcu(|policy| Policy { cookies: Cookies::of_period(&self.seed, period), ..Policy::clone(policy) });
    }
}

impl Moment {
    /// Microseconds since it was.
    pub(super) fn age_us(&self, desk: &Desk) -> u64 {
        (desk.begun.elapsed().as_micros() as u64).saturating_sub(self.since_begin_us)
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Desk({:?})", self.limiter)
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

/// Who sent a packet over UDP.
pub(super) fn udp_peer(address: SocketAddr) -> Peer {
    Peer { address, transport: Transport::Udp }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_is_no_label_is_refused_and_an_empty_one_switches_it_off() {
        let desk = |nsid: Option<&str>| Desk::new(&config::Dns { nsid: nsid.map(str::to_owned), ..config::Dns::default() }, "north");
        let label = |nsid| desk(nsid).unwrap().policy.load().nsid.as_deref().map(<[u8]>::to_vec);
        assert_eq!([label(None), label(Some("n1")), label(Some(""))], [Some(b"north".to_vec()), Some(b"n1".to_vec()), None]);
        assert!(desk(Some(&"x".repeat(33))).unwrap_err().to_string().contains("nsid"));
    }

    #[test]
    fn a_secret_that_turned_is_believed_for_one_more_period() {
        let desk = Desk::new(&config::Dns::default(), "").unwrap();
        let query = |cookie: &[u8]| {
            let option = [&[0, 10, 0, cookie.len() as u8], cookie].concat();
            [&b"\0\x01\0\0\0\x01\0\0\0\0\0\x01\0\0\x01\0\x01\0\0\x29\x04\xd0\0\0\0\0\0"[..], &[option.len() as u8], &option].concat()
        };
        let state = |cookie: &[u8], reply: &mut Vec<u8>| {
            let view = View::empty(holdfast_proto::snapshot::Feed::ZONE);
            match desk.answer(&view, &query(cookie), udp_peer(([192, 0, 2, 1], 53).into()), &desk.moment(), reply, &mut Tally::default()) {
                Outcome::Replied(told) => told.cookie.name(),
                Outcome::Silent(_) => "silent",
            }
        };
        let mut reply = Vec::new();
        assert_eq!(state(b"8 bytes.", &mut reply), "unproven");
        let at = reply.windows(8).position(|bytes| bytes == b"8 bytes.").unwrap();
        let cookie = reply[at..at + 24].to_vec();
        for (period, expected) in [(0, "good"), (1, "good"), (2, "unproven")] {
            desk.turn_to(period);
            assert_eq!(state(&cookie, &mut reply), expected, "{period}");
        }
    }
}
