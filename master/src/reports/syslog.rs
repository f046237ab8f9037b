use crate::db::DbError;
use crate::db::events::{OutgoingRow, outgoing, set_forwarding, took};
use holdfast_proto::net::forward::Records;
use holdfast_proto::syslog::{Facility, Message, Severity, octet_counted};
use holdfast_proto::words::UnixMillis;
use sqlx::PgPool;
use std::collections::VecDeque;

/// How many records may be on their way at once.
const WINDOW: usize = 1000;

/// The master's own audit and everything that boxes report, as syslog messages. What a box reported stands in the
/// structured data as the box itself would send it, so that a double can be told.
#[derive(Debug)]
pub struct Syslog {
    pool: PgPool,
    element: String,
    on_their_way: VecDeque<i64>,
}

impl Syslog {
    /// From now on everything new is queued until the receiver has it. `enterprise` is the institution's number.
    pub async fn open(pool: PgPool, enterprise: u32) -> Result<Self, DbError> {
        set_forwarding(&pool, true).await?;
        Ok(Self { pool, element: format!("report@{enterprise}"), on_their_way: VecDeque::new() })
    }

    fn message(&self, row: &OutgoingRow) -> Vec<u8> {
        let (node, host) = row.node.as_ref().map_or((String::new(), "master"), |(node, name)| (node.simple().to_string(), name));
        let parameters = [("node", node), ("spool", row.spool.clone()), ("seq", row.sequence.to_string())];
        let message = Message {
            facility: if row.kind == 1 { Facility::AuthPriv } else { Facility::Daemon },
            severity: Severity::of(row.severity as u32),
            at: UnixMillis(u64::try_from(row.at.timestamp_millis()).unwrap_or_default()),
            host,
            app: "holdfast-master",
            id: &row.event,
            element: &self.element,
            parameters: &parameters,
            text: &row.detail,
        };
        octet_counted(&message.text())
    }
}

/// Nobody takes the queue: nothing is put into it any more.
pub async fn stop_queueing(pool: &PgPool) -> Result<(), DbError> {
    set_forwarding(pool, false).await
}

impl Records for Syslog {
    async fn due(&mut self) -> Vec<Vec<u8>> {
        let room = WINDOW - self.on_their_way.len();
        if room == 0 {
            return Vec::new();
        }
        let rows = outgoing(&self.pool, self.on_their_way.make_contiguous(), room as i64).await;
        let rows =
            rows.inspect_err(|error| tracing::error!(event = "database_failed", %error, "what is to be logged elsewhere cannot be read")).unwrap_or_default();
        self.on_their_way.extend(rows.iter().map(|row| row.id));
        rows.iter().map(|row| self.message(row)).collect()
    }

    async fn taken(&mut self, count: usize) {
        let ids: Vec<i64> = self.on_their_way.drain(..count.min(self.on_their_way.len())).collect();
        if let Err(error) = took(&self.pool, &ids).await {
            // They stay in the queue and go out again: the receiver knows them by spool and number.
            tracing::error!(event = "database_failed", %error, "what was logged elsewhere cannot be taken from the queue");
        }
    }

    fn rewind(&mut self) {
        self.on_their_way.clear();
    }
}
