use holdfast_proto::syslog::Severity;
use serde::{Deserialize, Serialize};

/// Longer details are cut: a report is a sentence.
const DETAIL_LIMIT_CHARS: usize = 2000;

/// What sort of report. Each sort is kept by itself, so that a flood of one cannot push out the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Something happened to the box.
    Event = 0,
    /// Somebody did something on the box, or was refused.
    Audit = 1,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Event, Self::Audit];

    /// Its folder's name, and its name elsewhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Audit => "audit",
        }
    }
}

/// One observation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When, in trusted time.
    pub at_ms: u64,
    /// How grave it is.
    pub severity: Severity,
    /// A stable name, such as `snapshot_refused`.
    pub event: String,
    /// A sentence for people. Never a secret.
    pub detail: String,
}

impl Report {
    /// A report whose severity follows from its name.
    pub(super) fn new(at_ms: u64, event: &str, detail: &str) -> Self {
        Self { at_ms, severity: severity(event), event: event.to_owned(), detail: detail.chars().take(DETAIL_LIMIT_CHARS).collect() }
    }

    /// As it is kept.
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are always JSON")
    }

    /// Reads what was kept. Where another build wrote what this one does not know, that is what is told: its number must
    /// not be left out.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let unreadable = |wrong| Self::new(0, "report_unreadable", &format!("a report of another build cannot be read: {wrong}"));
        serde_json::from_slice(bytes).unwrap_or_else(unreadable)
    }
}

fn severity(event: &str) -> Severity {
    match event {
        "audit_dropped" => Severity::Alert,
        "disk_failed" | "service_silent" | "lease_log_failed" => Severity::Error,
        "port_free"
        | "service_answers"
        | "radius_refused"
        | "command_run"
        | "service_started"
        | "unknown_machine"
        | "unknown_machine_auto"
        | "lease_log_works" => Severity::Notice,
        _ => Severity::Warning,
    }
}
