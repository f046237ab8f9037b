//! What all workers and connections of the service share: how this box answers, who heard how much, and what was counted.

use super::counters::Counters;
use super::tally::Tally;
use crate::config;
use arc_swap::ArcSwap;
use holdfast_proto::dns::{Cookies, Limiter, Limits, Order, Outcome, Peer, Policy, Talkers, Transport, Verdict, answer, cut};
use holdfast_proto::snapshot::View;
use holdfast_proto::words::UnixMillis;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How long cookies are made with one secret; it is believed for as long again.
const SECRET_PERIOD: Duration = Duration::from_secs(24 * 3600);
/// Room for half a million counts of rate limiting in 4 MiB: more networks than a second brings.
const LIMITER_COUNTS: usize = 1 << 19;
/// Where it stands who asked most, in the runtime directory.
const TALKERS_FILE: &str = "dns.clients";
const TALKERS_SHOWN: usize = 100;
const SHOW_TALKERS_EVERY: Duration = Duration::from_secs(10);
/// What fits beside everything else into the smallest reply; a label is meant to be short.
const NSID_LIMIT_BYTES: usize = 32;

pub(super) struct Desk {
    policy: ArcSwap<Policy>,
    seed: [u8; 32],
    limiter: Option<Limiter>,
    pub(super) counters: Counters,
    talkers: Mutex<Talkers>,
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
        Ok(Self { policy: ArcSwap::from_pointee(policy), seed, limiter, counters: Counters::new(), talkers: Mutex::default(), begun: Instant::now() })
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

    /// Takes over who asked how often, and leaves nothing.
    pub(super) fn hear_of(&self, talkers: &mut Talkers) {
        self.talkers.lock().unwrap_or_else(PoisonError::into_inner).absorb(talkers);
    }

    /// One question of a client's, from a connection.
    pub(super) fn hear(&self, client: IpAddr) {
        self.talkers.lock().unwrap_or_else(PoisonError::into_inner).count(client, 1);
    }

    /// Who asked most, as lines of address, questions at most, and how many of those may be others'.
    fn shown_talkers(&self) -> String {
        let top = self.talkers.lock().unwrap_or_else(PoisonError::into_inner).top(TALKERS_SHOWN);
        top.iter().map(|talker| format!("{} {} {}\n", talker.client, talker.count, talker.error)).collect()
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

/// Writes down who asked most since the box's midnight, again and again, for [`read_talkers`]; forgets it at midnight.
pub(super) async fn show_talkers(desk: Arc<Desk>, run_dir: PathBuf) -> Infallible {
    let mut day = day_of(SystemTime::now());
    loop {
        tokio::time::sleep(SHOW_TALKERS_EVERY).await;
        let (path, aside) = (run_dir.join(TALKERS_FILE), run_dir.join(format!("{TALKERS_FILE}.new")));
        // A file that cannot be written costs a list, and no answer.
        let _ = std::fs::write(&aside, desk.shown_talkers()).and_then(|()| std::fs::rename(&aside, &path));
        let today = day_of(SystemTime::now());
        if today != day {
            day = today;
            desk.talkers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

fn day_of(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() / (24 * 3600))
}

/// Who asked most today, as the process that answers DNS last wrote it down, the loudest first.
///
/// # Errors
/// Names the file where there is none: the process does not run, or has not for ten seconds.
pub fn read_talkers(run_dir: &Path) -> io::Result<String> {
    let path = run_dir.join(TALKERS_FILE);
    std::fs::read_to_string(&path)
        .map_err(|wrong| io::Error::new(wrong.kind(), format!("{}: {wrong}; it is written every ten seconds while DNS is served", path.display())))
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
    fn who_asked_most_is_shown_first() {
        let desk = Desk::new(&config::Dns::default(), "").unwrap();
        let mut talkers = Talkers::default();
        for (client, questions) in [([192, 0, 2, 1], 3), ([192, 0, 2, 2], 7)] {
            talkers.count(client.into(), questions);
        }
        desk.hear_of(&mut talkers);
        assert_eq!(desk.shown_talkers(), "192.0.2.2 7 0\n192.0.2.1 3 0\n");
        let folder = tempfile::tempdir().unwrap();
        assert!(read_talkers(folder.path()).unwrap_err().to_string().contains(TALKERS_FILE));
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
