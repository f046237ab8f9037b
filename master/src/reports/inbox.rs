use crate::db::events::{NewEvent, put};
use chrono::{DateTime, Utc};
use holdfast_proto::control::Report;
use holdfast_proto::syslog::Severity;
use holdfast_proto::words::NodeId;
use sqlx::PgPool;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Longer details are cut: a report is a sentence.
const DETAIL_LIMIT_CHARS: usize = 2000;
const EVENT_LIMIT_CHARS: usize = 64;

/// Where reports arrive.
#[derive(Debug, Clone)]
pub struct Inbox {
    pub(super) pool: PgPool,
    /// Who writes sessions down: one at a time.
    pub(super) accounting_turn: Arc<Mutex<()>>,
}

impl Inbox {
    /// Into this database.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, accounting_turn: Arc::default() }
    }

    /// Stores a report; gives whether it is safe now, so that the box may forget it.
    pub async fn take(&self, node: NodeId, name: &str, report: Report) -> bool {
        let row = NewEvent {
            spool: hex::encode(&report.spool_id[..report.spool_id.len().min(32)]),
            sequence: report.sequence,
            at: DateTime::from_timestamp_millis(report.at_ms as i64).unwrap_or_else(Utc::now),
            kind: i16::from(report.kind == 1),
            severity: Severity::of(report.severity) as i16,
            event: clean(&report.event, EVENT_LIMIT_CHARS),
            detail: clean(&report.detail, DETAIL_LIMIT_CHARS),
        };
        match put(&self.pool, node, &row).await {
            Ok(new) => {
                if new {
                    tell(name, &row);
                    if let Err(error) = self.note_machine(node, &row.event, &row.detail).await {
                        // The report itself is safe; the machine is told of again while it asks.
                        tracing::error!(event = "database_failed", %error, "an unknown machine could not be noted");
                    }
                }
                true
            }
            Err(error) => {
                tracing::error!(event = "database_failed", %error, "an agent's report could not be stored and will come again");
                false
            }
        }
    }
}

/// An audit record is for whoever asks; an event is worth waking somebody for.
fn tell(name: &str, row: &NewEvent) {
    if row.kind == 1 {
        tracing::info!(event = "agent_report", agent = name, report = row.event, detail = row.detail, "an agent's audit");
    } else {
        tracing::warn!(event = "agent_report", agent = name, report = row.event, detail = row.detail, "an agent reports");
    }
    metrics::counter!("holdfast_agent_reports_total").increment(1);
}

/// One line of printable text.
fn clean(text: &str, limit: usize) -> String {
    text.chars().take(limit).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
