use holdfast_proto::dns::{Outcome, Rcode, Reason, Transport};
use metrics::{Counter, Gauge, counter, gauge};
use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, PoisonError};

/// Handles to everything that is counted, taken once: a look-up by name would cost more than an answer.
pub(super) struct Counters {
    udp_queries: Counter,
    tcp_queries: Counter,
    tls_queries: Counter,
    replies: [Counter; Rcode::ALL.len()],
    silent: [Counter; Reason::ALL.len()],
    /// Replies given up because the socket had no room: the client asks again, the others are not held up.
    pub(super) unsent: Counter,
    /// TCP connections that are open.
    pub(super) connections: Gauge,
    /// TCP connections that were closed at once because there were too many.
    pub(super) turned_away: Counter,
    /// Clients that came to the TLS port and did not get through the handshake.
    pub(super) handshakes_failed: Counter,
    faults_told: Mutex<HashSet<(&'static str, io::ErrorKind)>>,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            udp_queries: counter!("holdfast_dns_queries_total", "transport" => "udp"),
            tcp_queries: counter!("holdfast_dns_queries_total", "transport" => "tcp"),
            tls_queries: counter!("holdfast_dns_queries_total", "transport" => "tls"),
            replies: Rcode::ALL.map(|rcode| counter!("holdfast_dns_replies_total", "rcode" => rcode.name())),
            silent: Reason::ALL.map(|reason| counter!("holdfast_dns_silent_total", "reason" => reason.name())),
            unsent: counter!("holdfast_dns_unsent_total"),
            connections: gauge!("holdfast_dns_tcp_connections"),
            turned_away: counter!("holdfast_dns_tcp_turned_away_total"),
            handshakes_failed: counter!("holdfast_dns_handshakes_failed_total"),
            faults_told: Mutex::default(),
        }
    }

    /// One packet and what became of it.
    pub(super) fn count(&self, transport: Transport, outcome: Outcome) {
        match transport {
            Transport::Udp => self.udp_queries.increment(1),
            Transport::Tcp => self.tcp_queries.increment(1),
            Transport::Tls => self.tls_queries.increment(1),
        }
        let place = match outcome {
            Outcome::Replied(rcode) => Rcode::ALL.iter().position(|one| *one == rcode).map(|at| &self.replies[at]),
            Outcome::Silent(reason) => Reason::ALL.iter().position(|one| *one == reason).map(|at| &self.silent[at]),
        };
        if let Some(counter) = place {
            counter.increment(1);
        }
    }

    /// A fault of a socket: counted always, told once per kind.
    pub(super) fn fault(&self, verb: &'static str, wrong: &io::Error) {
        counter!("holdfast_dns_socket_errors_total", "while" => verb).increment(1);
        let first = self.faults_told.lock().unwrap_or_else(PoisonError::into_inner).insert((verb, wrong.kind()));
        if first {
            tracing::warn!(event = "dns_socket_error", %wrong, "the DNS socket failed to {verb}: {wrong}; serving goes on, and further faults of this kind are only counted");
        }
    }
}
