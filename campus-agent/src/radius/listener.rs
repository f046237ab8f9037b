//! One socket's loop: receive, ask the core, send. Owns everything that changes.

use super::certificate::EapCertificate;
use super::duplicates::{Duplicates, RequestKey, Seen};
use super::held::Held;
use super::refusals::Refusals;
use super::verify::{Full, HashPool, KnownPasswords, Tag};
use super::world::World;
use crate::reports::Spool;
use arc_swap::ArcSwap;
use aws_lc_rs::rand;
use holdfast_proto::net::udp::{Received, UdpSocket, Via};
use holdfast_proto::radius::eap::{EapOutcome, EapRequest, Moment, Sessions, Surroundings};
use holdfast_proto::radius::packet::{PACKET_LIMIT_BYTES, Packet, attribute, code};
use holdfast_proto::radius::{Outcome, Patience, PendingCheck, Replied, ReplyBuffer, Verdict, Watch, answer};
use metrics::{counter, gauge};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long a reply may wait for room in the socket.
const SEND_PATIENCE: Duration = Duration::from_millis(50);
/// How soon refusals that were only counted are told.
const REFUSALS_TICK: Duration = Duration::from_secs(1);
/// How long the loop rests after its socket failed, so that a lasting fault does not eat a core.
const REST_AFTER_ERROR: Duration = Duration::from_millis(20);

/// Where a reply goes.
#[derive(Debug, Clone, Copy)]
struct Asker {
    key: RequestKey,
    from: SocketAddr,
    via: Via,
}

/// A password that was verified in the background.
struct Verified {
    asker: Asker,
    check: Box<PendingCheck>,
    tag: Tag,
    right: bool,
}

pub(super) struct Listener {
    socket: UdpSocket,
    world: Arc<ArcSwap<World>>,
    pool: HashPool,
    eap: Option<Arc<EapCertificate>>,
    sessions: Sessions,
    patience: Patience,
    started: Instant,
    duplicates: Duplicates,
    known: KnownPasswords,
    refusals: Refusals,
    held: Held,
    to_loop: mpsc::Sender<Verified>,
    verified: mpsc::Receiver<Verified>,
    datagram: Box<[u8; PACKET_LIMIT_BYTES]>,
    reply: Box<ReplyBuffer>,
}

impl Listener {
    pub fn new(socket: UdpSocket, world: Arc<ArcSwap<World>>, pool: HashPool, eap: Option<Arc<EapCertificate>>, spool: Spool) -> Self {
        let (to_loop, verified) = mpsc::channel(HashPool::limit());
        let (datagram, reply) = (Box::new([0; PACKET_LIMIT_BYTES]), Box::new([0; PACKET_LIMIT_BYTES]));
        let (duplicates, known, refusals) = (Duplicates::default(), KnownPasswords::new(), Refusals::new(spool));
        Self {
            socket,
            world,
            pool,
            eap,
            sessions: Sessions::default(),
            patience: Patience::default(),
            started: Instant::now(),
            duplicates,
            known,
            refusals,
            held: Held::default(),
            to_loop,
            verified,
            datagram,
            reply,
        }
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) -> Infallible {
        loop {
            // Outgoing first, then what comes in.
            tokio::select! {
                biased;
                Some(verified) = self.verified.recv() => self.conclude(verified).await,
                received = self.socket.recv(&mut self.datagram[..]) => match received {
                    Ok(received) => self.on_datagram(received).await,
                    Err(wrong) => rest_after("receive", &wrong).await,
                },
                () = tokio::time::sleep(REFUSALS_TICK), if self.refusals.is_due() => self.refusals.settle(Instant::now()),
            }
        }
    }

    async fn on_datagram(&mut self, received: Received) {
        let Received { len, from, via } = received;
        counter!("holdfast_radius_requests_total", "code" => code_label(self.datagram.first().copied().filter(|_| len > 0))).increment(1);
        let now = Instant::now();
        let Some(key) = RequestKey::of(from, &self.datagram[..len]) else { return silent("malformed") };
        match self.duplicates.seen(&key, now) {
            Seen::InProgress => return silent("in_progress"),
            Seen::Answered(reply) => {
                counter!("holdfast_radius_duplicates_total").increment(1);
                return send(&self.socket, reply, from, via).await;
            }
            Seen::Never => {}
        }
        let world = self.world.load_full();
        let datagram = &self.datagram[..len];
        if self.held.refuses(datagram, from) {
            return silent("held_to_message_authenticator");
        }
        let asker = Asker { key, from, via };
        let watch = Watch { patience: &self.patience, now: now.duration_since(self.started) };
        let outcome = answer(&world.people, &world.access, &world.keys, datagram, from, watch, &mut self.reply);
        if !matches!(outcome, Outcome::Silent(_)) {
            self.held.learn(datagram, from);
        }
        match outcome {
            Outcome::Replied(replied) => {
                self.duplicates.begin(key, now);
                self.note(replied, &user_name(&self.datagram[..len]), from);
                self.send_reply(asker, replied).await;
            }
            Outcome::Check(check) => self.on_check(asker, check, now).await,
            Outcome::Eap(request) => self.on_eap(asker, *request, &world, now).await,
            Outcome::Silent(reason) => silent(reason.label()),
        }
    }

    /// A piece of EAP. Its TLS is done here: a millisecond for a whole conversation, most of it one signature; how many begin is bounded.
    async fn on_eap(&mut self, asker: Asker, request: EapRequest, world: &World, now: Instant) {
        let tls = self.eap.as_ref().and_then(|certificate| certificate.current());
        let before = self.sessions.len();
        let outcome = {
            let with = Surroundings { people: &world.people, keys: &world.keys, tls: tls.as_deref(), patience: &self.patience };
            self.sessions.on_request(request, &with, &moment(self.started, now), &mut self.reply)
        };
        count_sessions(before, self.sessions.len());
        match outcome {
            EapOutcome::Replied(replied, name) => {
                self.duplicates.begin(asker.key, now);
                self.note(replied, &name, asker.from);
                self.send_reply(asker, replied).await;
            }
            EapOutcome::Check(check) => self.on_check(asker, check, now).await,
            EapOutcome::Silent(reason) => {
                // The conversation is gone: what comes again is left unanswered, too, so that the NAS asks another agent.
                self.duplicates.begin(asker.key, now);
                silent(reason.label());
            }
            EapOutcome::Busy => silent("handshakes_busy"),
        }
    }

    /// A password: known already, or for the hash threads, or too many wait and the NAS will ask again.
    async fn on_check(&mut self, asker: Asker, check: Box<PendingCheck>, now: Instant) {
        self.duplicates.begin(asker.key, now);
        let tag = self.known.tag(&check);
        if self.known.knows(&tag, now) {
            return self.settle(asker, check, true).await;
        }
        let to_loop = self.to_loop.clone();
        let tell = move |check, right| {
            // The channel holds as many as may wait, so it is full only while this loop is being dropped.
            let _ = to_loop.try_send(Verified { asker, check, tag, right });
        };
        if let Err(Full(check)) = self.pool.submit(check, tell) {
            self.patience.give_back(&check.who(), now.duration_since(self.started));
            let before = self.sessions.len();
            self.sessions.put_back(*check, now.duration_since(self.started));
            count_sessions(before, self.sessions.len());
            self.duplicates.forget(&asker.key);
            silent("queue_full");
        }
    }

    async fn conclude(&mut self, verified: Verified) {
        let Verified { asker, check, tag, right } = verified;
        if right {
            self.known.learn(tag, Instant::now());
        }
        self.settle(asker, check, right).await;
    }

    /// A password whose verdict is known: the reply, or the next word of the conversation that it came in.
    async fn settle(&mut self, asker: Asker, check: Box<PendingCheck>, right: bool) {
        let (name, before, moment): (Box<[u8]>, _, _) = (check.name().into(), self.sessions.len(), moment(self.started, Instant::now()));
        self.patience.learn(&check.who(), right, moment.now);
        let replied = self.sessions.conclude(*check, right, &moment, &mut self.reply);
        count_sessions(before, self.sessions.len());
        self.note(replied, &name, asker.from);
        self.send_reply(asker, replied).await;
    }

    fn note(&mut self, replied: Replied, name: &[u8], from: SocketAddr) {
        match replied.verdict {
            Verdict::Reject(why) => self.refusals.record(name, from.ip(), why, Instant::now()),
            Verdict::Accept | Verdict::Challenge | Verdict::Alive => {}
        }
    }

    async fn send_reply(&mut self, asker: Asker, replied: Replied) {
        let reply = &self.reply[..replied.len];
        self.duplicates.finish(&asker.key, reply);
        count_reply(replied.verdict);
        send(&self.socket, reply, asker.from, asker.via).await;
    }
}

/// Now, and 256 bits that nobody knows.
fn moment(started: Instant, now: Instant) -> Moment {
    let mut random = [0; 32];
    rand::fill(&mut random).expect("the operating system gives random bytes");
    Moment { now: now.duration_since(started), random }
}

/// Every socket's loop has conversations of its own; they are counted together.
fn count_sessions(before: usize, after: usize) {
    gauge!("holdfast_radius_eap_sessions").increment(after as f64 - before as f64);
}

/// Who wants in, where it can be read.
fn user_name(datagram: &[u8]) -> Vec<u8> {
    Packet::parse(datagram).ok().and_then(|packet| packet.values(attribute::USER_NAME).next().map(<[u8]>::to_vec)).unwrap_or_default()
}

/// A NAS that is gone must not hold up the others while its packets wait in the socket: it asks again, and is answered from memory.
async fn send(socket: &UdpSocket, reply: &[u8], to: SocketAddr, via: Via) {
    match tokio::time::timeout(SEND_PATIENCE, socket.send(reply, to, via)).await {
        Ok(Ok(())) => {}
        Ok(Err(wrong)) => rest_after("send", &wrong).await,
        Err(_) => metrics::counter!("holdfast_radius_unsent_total").increment(1),
    }
}

/// A fault of the network is counted, never the end of the service.
async fn rest_after(verb: &'static str, wrong: &io::Error) {
    counter!("holdfast_radius_socket_errors_total", "while" => verb).increment(1);
    tracing::debug!(event = "radius_socket_error", %wrong, "the RADIUS socket failed to {verb}: {wrong}");
    if verb == "receive" {
        tokio::time::sleep(REST_AFTER_ERROR).await;
    }
}

fn silent(reason: &'static str) {
    counter!("holdfast_radius_silent_total", "reason" => reason).increment(1);
}

fn count_reply(verdict: Verdict) {
    let code = match verdict {
        Verdict::Accept => "access_accept",
        Verdict::Alive => "status_alive",
        Verdict::Challenge => "access_challenge",
        Verdict::Reject(why) => {
            counter!("holdfast_radius_rejects_total", "reason" => why.label()).increment(1);
            "access_reject"
        }
    };
    counter!("holdfast_radius_replies_total", "code" => code).increment(1);
}

fn code_label(code: Option<u8>) -> &'static str {
    match code {
        Some(code::ACCESS_REQUEST) => "access_request",
        Some(code::STATUS_SERVER) => "status_server",
        _ => "other",
    }
}
