//! What becomes of a message: an answer, a transfer, a note that a copy is old, or a refusal that is written down.

use super::history::Shared;
use super::pulls::Pulls;
use super::refusals::Refusals;
use super::rules::Rules;
use super::{now_s, random_u16};
use crate::db::topology::PullRow;
use crate::db::transfers::RefusedRow;
use crate::publish::Latest;
use chrono::Utc;
use holdfast_proto::dns::transfer::{ContentsError, Wanted, What, ZoneDelta, notify_reply, refuse, transfer, wanted};
use holdfast_proto::dns::tsig::{self, Opened, Session};
use holdfast_proto::dns::{Cookies, Limiter, Limits, Outcome, Peer, Policy, Rcode, Transport, Verdict, answer, cut};
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::{DomainName, UnixMillis};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, watch};

/// As an agent has it when nobody says otherwise.
const LIMITS: Limits = Limits { same_per_second: 200, all_per_second: 1000, burst_seconds: 5, slip: 2, counts: 1 << 16 };

pub(super) struct Desk {
    latest: watch::Receiver<Arc<Latest>>,
    rules: watch::Receiver<Arc<Rules>>,
    journal: Shared,
    refusals: Refusals,
    pulls: Pulls,
    /// Where it is left that a copy is old, by the number of its zone.
    heard: mpsc::Sender<i64>,
    policy: Policy,
    limiter: Limiter,
    begun: Instant,
}

/// What becomes of a message.
pub(super) enum Handled {
    /// Nothing is said.
    Silent,
    /// This is said.
    Reply(Vec<u8>),
    /// A zone goes out.
    Transfer(Box<Job>),
}

/// A transfer that was granted.
pub(super) struct Job {
    latest: Arc<Latest>,
    pub(super) wanted: Wanted,
    steps: Option<Vec<Arc<ZoneDelta>>>,
    pub(super) session: Option<Session>,
}

impl Job {
    /// Writes the transfer as messages, which `send` takes as long as it gives `true`.
    pub(super) fn write(&self, transport: Transport, send: impl FnMut(Vec<u8>) -> bool) -> Result<(), ContentsError> {
        let sent = transfer(self.latest.state(Feed::ZONE).view(), &self.wanted, self.steps.as_deref(), transport, send)?;
        metrics::counter!("holdfast_transfers_out_total", "how" => format!("{sent:?}").to_lowercase()).increment(1);
        Ok(())
    }
}

impl Desk {
    pub(super) fn new(
        latest: watch::Receiver<Arc<Latest>>,
        rules: watch::Receiver<Arc<Rules>>,
        journal: Shared,
        refusals: Refusals,
        pulls: Pulls,
        heard: mpsc::Sender<i64>,
    ) -> Self {
        let mut seed = [0; 32];
        seed.chunks_exact_mut(2).for_each(|pair| pair.copy_from_slice(&random_u16().to_be_bytes()));
        let policy = Policy::new(Cookies::of_period(&seed, 0));
        Self { latest, rules, journal, refusals, pulls, heard, policy, limiter: Limiter::new(LIMITS), begun: Instant::now() }
    }

    /// Decides what becomes of a message.
    pub(super) fn handle(&self, packet: &[u8], peer: Peer) -> Handled {
        let rules = Arc::clone(&self.rules.borrow());
        match tsig::open(packet, |name| rules.key(name), now_s()) {
            Opened::Unsigned => self.decide(&rules, packet, peer, None),
            Opened::Signed(plain, session) => self.decide(&rules, &plain, peer, Some(session)),
            Opened::Refused(reply, why) => {
                if let Some(asked) = wanted(&tsig::without_signature(packet)) {
                    self.note(&asked, peer, tsig::key_named(packet).as_ref(), &why.to_string());
                }
                reply.map_or(Handled::Silent, Handled::Reply)
            }
        }
    }

    fn decide(&self, rules: &Rules, plain: &[u8], peer: Peer, session: Option<Session>) -> Handled {
        let Some(wanted) = wanted(plain) else { return self.answer(plain, peer, session) };
        let key = session.as_ref().map(Session::key);
        if let What::Told(_) = wanted.what {
            return match rules.copied_from(&wanted.apex, peer.address.ip(), key) {
                Some(zone) => self.hear(zone, &wanted, session),
                None => self.refuse(&wanted, peer, session, "it is no primary of this zone"),
            };
        }
        if !rules.may_have(&wanted.apex, peer.address.ip(), key) {
            return self.refuse(&wanted, peer, session, "no rule of the zone lets it have the zone");
        }
        if wanted.what == What::Whole && peer.transport == Transport::Udp {
            // A whole zone goes over a stream (RFC 5936 section 4.2).
            return reply(refuse(&wanted, Rcode::FormErr), session);
        }
        self.note_pull(&wanted, peer, session.as_ref().map(Session::key));
        let steps = match wanted.what {
            What::Since(serial) => self.journal.since(&wanted.apex, serial),
            _ => None,
        };
        Handled::Transfer(Box::new(Job { latest: Arc::clone(&self.latest.borrow()), wanted, steps, session }))
    }

    fn answer(&self, plain: &[u8], peer: Peer, session: Option<Session>) -> Handled {
        let latest = Arc::clone(&self.latest.borrow());
        let (mut out, now) = (Vec::new(), UnixMillis(now_s() * 1000));
        let outcome = answer(latest.state(Feed::ZONE).view(), plain, peer, &self.policy, now, &mut out);
        let Outcome::Replied(told) = outcome else { return Handled::Silent };
        metrics::counter!("holdfast_dns_replies_total", "plane" => "master", "transport" => peer.transport.name(), "rcode" => told.rcode.name()).increment(1);
        // Who signs has proven who it is.
        if peer.transport == Transport::Udp && session.is_none() {
            match self.limiter.judge(peer.address.ip(), &told, self.begun.elapsed().as_micros() as u64) {
                Verdict::Pass => {}
                Verdict::Slip => cut(plain, peer, &self.policy, now, &mut out),
                Verdict::Drop => return Handled::Silent,
            }
        }
        reply(out, session)
    }

    /// A primary says that a copy is old: it is asked at once (RFC 1996 section 4.3). Who is not answered comes again.
    fn hear(&self, zone: i64, wanted: &Wanted, session: Option<Session>) -> Handled {
        match self.heard.try_send(zone) {
            Ok(()) => reply(notify_reply(wanted, Rcode::NoError), session),
            Err(_) => Handled::Silent,
        }
    }

    fn refuse(&self, wanted: &Wanted, peer: Peer, session: Option<Session>, why: &str) -> Handled {
        self.note(wanted, peer, session.as_ref().map(Session::key), why);
        reply(refuse(wanted, Rcode::Refused), session)
    }

    fn note_pull(&self, wanted: &Wanted, peer: Peer, key: Option<&DomainName>) {
        let asked = if wanted.what == What::Whole { "axfr" } else { "ixfr" }.to_owned();
        let (client, key) = (peer.address.ip().to_canonical().to_string(), key.map(DomainName::without_dot).unwrap_or_default());
        self.pulls.leave(PullRow { zone: wanted.apex.without_dot(), client, key, asked, at: Utc::now() });
    }

    fn note(&self, wanted: &Wanted, peer: Peer, key: Option<&DomainName>, why: &str) {
        let asked = match wanted.what {
            What::Whole => "axfr",
            What::Since(_) => "ixfr",
            What::Told(_) => "notify",
        };
        let (client, zone, key) = (peer.address.ip().to_string(), wanted.apex.without_dot(), key.map(DomainName::without_dot));
        metrics::counter!("holdfast_transfers_refused_total", "asked" => asked).increment(1);
        self.refusals.leave(RefusedRow { at: Utc::now(), client, zone, asked: asked.into(), key, why: why.into() });
    }
}

fn reply(mut message: Vec<u8>, session: Option<Session>) -> Handled {
    if let Some(mut session) = session {
        session.sign(&mut message, now_s());
    }
    Handled::Reply(message)
}

/// The reply to a transfer that could not begin.
pub(super) fn no_contents(wanted: &Wanted, why: ContentsError) -> Vec<u8> {
    let rcode = if why == ContentsError::NoZone { Rcode::NotAuth } else { Rcode::ServFail };
    refuse(wanted, rcode)
}
