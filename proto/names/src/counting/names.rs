//! The counters of a service that answers names, on the authoritative and on the resolver's plane.

use super::tally::{OTHER_TYPES, SPANS_US, TYPES, Tally};
use holdfast_proto::dns::{CookieState, Rcode, Reason, Transport};
use holdfast_proto::net::stream::Note;
use metrics::{Counter, Gauge, counter, gauge};
use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, PoisonError};

/// Handles to everything that is counted, taken once: a look-up by name would cost more than an answer.
pub struct NameCounters {
    plane: &'static str,
    transports: [Counted; Transport::ALL.len()],
    /// Replies given up because the socket had no room: the client asks again, the others are not held up.
    pub unsent: Counter,
    /// Connections that are open, over TCP and TLS.
    pub connections: Gauge,
    /// Connections that were closed at once because there were too many.
    pub turned_away: Counter,
    /// Clients that came to the TLS port and did not get through the handshake.
    pub handshakes_failed: Counter,
    faults_told: Mutex<HashSet<(&'static str, io::ErrorKind)>>,
}

/// What is counted for each transport by itself: a [`Tally`] as the world sees it.
struct Counted {
    queries: [Counter; OTHER_TYPES + 1],
    replies: [Counter; Rcode::ALL.len()],
    silent: [Counter; Reason::ALL.len()],
    cookies: [Counter; CookieState::ALL.len()],
    truncated: Counter,
    slipped: Counter,
    dropped: Counter,
    /// As Prometheus has it: each holds those of the spans before it, too.
    spans: [Counter; SPANS_US.len() + 1],
    spent_us: Counter,
    timed: Counter,
}

impl Counted {
    fn of(plane: &'static str, transport: Transport) -> Self {
        let transport = transport.name();
        let span = |at: usize| SPANS_US.get(at).map_or_else(|| "+Inf".to_owned(), |us| (*us as f64 / 1e6).to_string());
        let limited = |how: &'static str| counter!("holdfast_dns_limited_total", "plane" => plane, "transport" => transport, "how" => how);
        Self {
            queries: std::array::from_fn(|at| {
                let name = TYPES.get(at).map_or("other", |(_, name)| name);
                counter!("holdfast_dns_queries_total", "plane" => plane, "transport" => transport, "type" => name)
            }),
            replies: Rcode::ALL.map(|rcode| counter!("holdfast_dns_replies_total", "plane" => plane, "transport" => transport, "rcode" => rcode.name())),
            silent: Reason::ALL.map(|reason| counter!("holdfast_dns_silent_total", "plane" => plane, "transport" => transport, "reason" => reason.name())),
            cookies: CookieState::ALL.map(|state| counter!("holdfast_dns_cookies_total", "plane" => plane, "transport" => transport, "state" => state.name())),
            truncated: counter!("holdfast_dns_truncated_total", "plane" => plane, "transport" => transport),
            slipped: limited("slip"),
            dropped: limited("drop"),
            spans: std::array::from_fn(|at| counter!("holdfast_dns_answer_seconds_bucket", "plane" => plane, "transport" => transport, "le" => span(at))),
            spent_us: counter!("holdfast_dns_answer_microseconds_sum", "plane" => plane, "transport" => transport),
            timed: counter!("holdfast_dns_answer_seconds_count", "plane" => plane, "transport" => transport),
        }
    }

    fn add(&self, tally: &Tally) {
        let add_all = |counters: &[Counter], numbers: &[u64]| {
            for (counter, number) in counters.iter().zip(numbers).filter(|(_, number)| **number > 0) {
                counter.increment(*number);
            }
        };
        add_all(&self.queries, &tally.queries);
        add_all(&self.replies, &tally.replies);
        add_all(&self.silent, &tally.silent);
        add_all(&self.cookies, &tally.cookies);
        let mut up_to = 0;
        let cumulative = tally.spans.map(|number| {
            up_to += number;
            up_to
        });
        add_all(&self.spans, &cumulative);
        let singles = [&self.truncated, &self.slipped, &self.dropped, &self.spent_us, &self.timed];
        for (counter, number) in singles.into_iter().zip([tally.truncated, tally.slipped, tally.dropped, tally.spent_us, up_to]) {
            counter.increment(number);
        }
    }
}

impl NameCounters {
    /// Of this plane: the authoritative one, or the one that recurses.
    pub fn new(plane: &'static str) -> Self {
        Self {
            plane,
            transports: Transport::ALL.map(|transport| Counted::of(plane, transport)),
            unsent: counter!("holdfast_dns_unsent_total", "plane" => plane),
            connections: gauge!("holdfast_dns_connections", "plane" => plane),
            turned_away: counter!("holdfast_dns_turned_away_total", "plane" => plane),
            handshakes_failed: counter!("holdfast_dns_handshakes_failed_total", "plane" => plane),
            faults_told: Mutex::default(),
        }
    }

    /// Takes in what was counted, and leaves nothing.
    pub fn take(&self, transport: Transport, tally: &mut Tally) {
        self.transports[transport as usize].add(tally);
        *tally = Tally::default();
    }

    /// What happened at the door.
    pub fn note(&self, note: &Note) {
        match note {
            Note::TurnedAway => self.turned_away.increment(1),
            Note::Fault(wrong) => self.fault("accept", wrong),
        }
    }

    /// A fault of a socket: counted always, told once per kind.
    pub fn fault(&self, verb: &'static str, wrong: &io::Error) {
        counter!("holdfast_dns_socket_errors_total", "plane" => self.plane, "while" => verb).increment(1);
        let first = self.faults_told.lock().unwrap_or_else(PoisonError::into_inner).insert((verb, wrong.kind()));
        if first {
            tracing::warn!(event = "dns_socket_error", %wrong, "the DNS socket failed to {verb}: {wrong}; serving goes on, and further faults of this kind are only counted");
        }
    }
}

impl std::fmt::Debug for NameCounters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NameCounters({})", self.plane)
    }
}
