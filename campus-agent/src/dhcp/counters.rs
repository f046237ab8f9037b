//! Counters of the service. All are registered at the start, so that a rate exists before the first event.

use holdfast_proto::dhcp::{Kind, Outcome, Reason};
use metrics::{Counter, Gauge, counter, gauge};
use std::collections::HashMap;

/// Handles, so that counting a packet neither allocates nor looks up a name.
#[derive(Debug)]
pub(super) struct Counters {
    requests: HashMap<Kind, Counter>,
    replies: HashMap<Kind, Counter>,
    silent: HashMap<Reason, Counter>,
    committed: Counter,
    not_durable: Counter,
    leases: Gauge,
    unknown: Gauge,
}

impl Counters {
    pub(super) fn register() -> Self {
        let is_reply = |kind: &Kind| matches!(kind, Kind::Bootp | Kind::Offer | Kind::Ack | Kind::Nak);
        Self {
            requests: Kind::ALL.map(|kind| (kind, counter!("holdfast_dhcp_requests_total", "type" => kind.label()))).into(),
            replies: Kind::ALL.into_iter().filter(is_reply).map(|kind| (kind, counter!("holdfast_dhcp_replies_total", "type" => kind.label()))).collect(),
            silent: Reason::ALL.map(|reason| (reason, counter!("holdfast_dhcp_silent_total", "reason" => reason.label()))).into(),
            committed: counter!("holdfast_dhcp_leases_written_total"),
            not_durable: counter!("holdfast_dhcp_leases_not_written_total"),
            leases: gauge!("holdfast_dhcp_leases"),
            unknown: gauge!("holdfast_dhcp_unknown_machines"),
        }
    }

    pub(super) fn asked(&self, kind: Kind) {
        self.requests.get(&kind).inspect(|counter| counter.increment(1));
    }

    pub(super) fn answered(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Replied { kind, .. } => self.replies.get(&kind),
            Outcome::Silent(reason) => self.silent.get(&reason),
        };
        counter.inspect(|counter| counter.increment(1));
    }

    /// Records of leases that are on disk.
    pub(super) fn committed(&self, count: usize) {
        self.committed.increment(count as u64);
    }

    /// Records that the disk did not take, and whose replies were not sent.
    pub(super) fn not_durable(&self, count: usize) {
        self.not_durable.increment(count as u64);
    }

    /// How many leases are known, ended ones among them, and how many machines that nobody registered.
    pub(super) fn known(&self, leases: usize, unknown: usize) {
        self.leases.set(leases as f64);
        self.unknown.set(unknown as f64);
    }

    /// `operation` is "receive" or "send".
    pub(super) fn socket_failed(&self, operation: &'static str) {
        counter!("holdfast_dhcp_socket_errors_total", "operation" => operation).increment(1);
    }
}
