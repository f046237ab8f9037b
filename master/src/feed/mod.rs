//! What happens, told to others: change sets, what agents came to serve, what boxes reported; each event with a number.
//!
//! Everything is in the database before anybody is told, and whoever remembers the last number that it saw misses nothing,
//! whatever is restarted meanwhile: events wait in a table that the transaction of what happened wrote, and one numberer takes
//! them from there. So a number, once seen, has none below it that comes later.

mod address;
mod sign;
mod webhooks;

pub use webhooks::{Delivery, NewHook, Webhook, Webhooks, deliver_for_ever};

use crate::db::DbError;
use crate::db::{feed, requests};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use std::convert::Infallible;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What events there are.
pub const KINDS: [&str; 6] = ["change", "served", "node", "fault", "incident", "discovery"];
/// How often is looked for what waits.
const TICK: Duration = Duration::from_millis(500);
/// How many get their numbers in one transaction.
const EVENTS_PER_TRANSACTION: i32 = 1000;
/// How long events are kept, in days.
const KEEP_DAYS: i32 = 30;
/// How long answers to requests with a key are kept, in days.
const KEEP_REQUESTS_DAYS: i32 = 7;
/// How often is looked for what is too old.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FeedEvent {
    /// Its number.
    pub number: i64,
    /// One of [`KINDS`].
    pub kind: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub data: Value,
}

/// Where events are read.
#[derive(Debug, Clone)]
pub struct Feed {
    pool: PgPool,
    newest: watch::Receiver<i64>,
}

/// Gives events their numbers.
#[derive(Debug)]
pub struct Numberer {
    pool: PgPool,
    newest: watch::Sender<i64>,
}

/// The two ends of the feed of a database.
pub fn open(pool: PgPool) -> (Numberer, Feed) {
    let (sender, newest) = watch::channel(0);
    (Numberer { pool: pool.clone(), newest: sender }, Feed { pool, newest })
}

impl Numberer {
    /// Numbers what waits, for ever, and forgets what is too old.
    pub async fn run(self) -> Infallible {
        let mut tick = tokio::time::interval(TICK);
        let mut pruned: Option<Instant> = None;
        loop {
            tick.tick().await;
            let done = self.number().await;
            if done.is_ok() && pruned.is_none_or(|at| at.elapsed() > PRUNE_EVERY) {
                pruned = Some(Instant::now());
                self.prune().await.unwrap_or_else(|error| tracing::warn!(event = "feed_not_pruned", %error, "old events stay for now"));
            }
            if let Err(error) = done {
                tracing::warn!(event = "feed_not_numbered", %error, "events wait for their numbers");
            }
        }
    }

    async fn number(&self) -> Result<(), DbError> {
        while feed::number(&self.pool, EVENTS_PER_TRANSACTION).await? > 0 {}
        // Another master may be the one that numbers: what counts is what the database has.
        let newest = feed::newest(&self.pool).await?;
        self.newest.send_if_modified(|known| std::mem::replace(known, newest) != newest);
        Ok(())
    }

    async fn prune(&self) -> Result<(), DbError> {
        feed::prune(&self.pool, KEEP_DAYS).await?;
        crate::db::webhooks::prune(&self.pool, KEEP_DAYS).await?;
        requests::prune(&self.pool, KEEP_REQUESTS_DAYS).await?;
        Ok(())
    }
}

impl Feed {
    /// A feed to which nothing is ever added, for whoever needs none.
    pub fn of_nothing(pool: PgPool) -> Self {
        Self { pool, newest: watch::channel(0).1 }
    }

    /// The last number given.
    pub async fn newest(&self) -> Result<i64, DbError> {
        feed::newest(&self.pool).await
    }

    /// Whether events after this number were forgotten already.
    pub async fn has_gap_after(&self, number: i64) -> Result<bool, DbError> {
        let oldest = feed::oldest(&self.pool).await?;
        let newest = feed::newest(&self.pool).await?;
        Ok(number < newest && oldest.is_none_or(|oldest| number + 1 < oldest))
    }

    /// Events of these kinds after a number, in order.
    pub async fn after(&self, number: i64, kinds: &[String], limit: u32) -> Result<Vec<FeedEvent>, DbError> {
        let rows = feed::after(&self.pool, number, kinds, limit.into()).await?;
        Ok(rows.into_iter().map(|row| FeedEvent { number: row.number, kind: row.kind, at: row.at, data: row.data }).collect())
    }

    /// Waits until there may be more, at most so long.
    pub async fn wait(&mut self, at_most: Duration) {
        // A numberer that is gone would make `changed` return at once, for ever.
        if let Ok(Err(_)) = tokio::time::timeout(at_most, self.newest.changed()).await {
            tokio::time::sleep(at_most).await;
        }
    }
}
