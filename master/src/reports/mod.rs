//! What the boxes observed: into the database, once, however often it is delivered; kept for a time; listed for people; and
//! handed on to the institution's own log by syslog.

mod accounting;
mod inbox;
mod leases;
mod machines;
mod retention;
mod syslog;

pub use inbox::Inbox;
pub use retention::prune_for_ever;
pub use syslog::{Syslog, stop_queueing};

use crate::db::DbError;
use crate::db::events::{EventFilter, list};
use chrono::{DateTime, Utc};
use holdfast_proto::syslog::Severity;
use serde::Serialize;
use sqlx::PgPool;

/// One observation, as people and programs see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Event {
    /// The box.
    pub node: String,
    /// `event`, or `audit` where somebody did something or was refused.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// `alert` to `info`.
    #[schema(value_type = String)]
    pub severity: &'static str,
    /// When, by the box.
    pub at: DateTime<Utc>,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// Its stable name.
    pub event: String,
    /// A sentence.
    pub detail: String,
}

/// Which observations.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// Only of this box.
    pub node: Option<String>,
    /// Only with this name.
    pub event: Option<String>,
    /// Only audit records, or only events.
    pub audit: Option<bool>,
    /// Only what was seen at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Where the page before ended.
    pub below: Option<i64>,
    /// How many at most.
    pub limit: u32,
}

/// A page of observations, the newest first, and where the next page starts.
pub async fn events(pool: &PgPool, query: &EventQuery) -> Result<(Vec<Event>, Option<i64>), DbError> {
    let limit = i64::from(query.limit);
    let filter = EventFilter {
        node: query.node.as_deref(),
        event: query.event.as_deref(),
        kind: query.audit.map(i16::from),
        since: query.since,
        below: query.below,
        limit: limit + 1,
    };
    let mut rows = list(pool, filter).await?;
    let more = rows.len() as i64 > limit;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.number);
    let events = rows.into_iter().map(|row| Event {
        node: row.node,
        kind: kind_name(row.kind),
        severity: Severity::of(row.severity as u32).name(),
        at: row.at,
        received_at: row.received_at,
        event: row.event,
        detail: row.detail,
    });
    Ok((events.collect(), next))
}

fn kind_name(kind: i16) -> &'static str {
    if kind == 1 { "audit" } else { "event" }
}
