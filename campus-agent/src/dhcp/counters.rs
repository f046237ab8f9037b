//! Counters of the service. All are registered at the start, so that a rate exists before the first event.

use holdfast_proto::dhcp::{Kind, Outcome, Reason};
use metrics::{Counter, counter};
use std::collections::HashMap;

/// Handles, so that counting a packet neither allocates nor looks up a name.
#[derive(Debug)]
pub(super) struct Counters {
    requests: HashMap<Kind, Counter>,
    replies: HashMap<Kind, Counter>,
    silent: HashMap<Reason, Counter>,
}

impl Counters {
    pub(super) fn register() -> Self {
        let is_reply = |kind: &Kind| matches!(kind, Kind::Bootp | Kind::Offer | Kind::Ack | Kind::Nak);
        Self {
            requests: Kind::ALL.map(|kind| (kind, counter!("holdfast_dhcp_requests_total", "type" => kind.label()))).into(),
            replies: Kind::ALL.into_iter().filter(is_reply).map(|kind| (kind, counter!("holdfast_dhcp_replies_total", "type" => kind.label()))).collect(),
            silent: Reason::ALL.map(|reason| (reason, counter!("holdfast_dhcp_silent_total", "reason" => reason.label()))).into(),
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

    /// `operation` is "receive" or "send".
    pub(super) fn socket_failed(&self, operation: &'static str) {
        counter!("holdfast_dhcp_socket_errors_total", "operation" => operation).increment(1);
    }
}
