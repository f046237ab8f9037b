//! The numbered feed of what happens.

use super::DbError;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgPool, query, query_as, query_scalar};

/// Keeps a second master from numbering at the same time.
const LOCK: i64 = 0x0048_4f4c_4446_0002;

/// One event.
#[derive(Debug, Clone)]
pub struct FeedRow {
    /// Its number: none below it comes later.
    pub number: i64,
    /// `change`, `served` or `node`.
    pub kind: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub data: Value,
}

/// Gives numbers to what waits, at most so many; how many that were, and nothing where another master is at it.
pub async fn number(pool: &PgPool, limit: i32) -> Result<i64, DbError> {
    let mut tx = pool.begin().await?;
    if !query_scalar!(r#"select pg_try_advisory_xact_lock($1) as "locked!""#, LOCK).fetch_one(&mut *tx).await? {
        return Ok(0);
    }
    let numbered = query_scalar!(r#"select feed.number_what_waits($1) as "numbered!""#, limit).fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(numbered)
}

/// The last number that was given.
pub async fn newest(pool: &PgPool) -> Result<i64, DbError> {
    Ok(query_scalar!("select last_number from feed.numbered").fetch_one(pool).await?)
}

/// The lowest number that is still kept.
pub async fn oldest(pool: &PgPool) -> Result<Option<i64>, DbError> {
    Ok(query_scalar!("select min(number) from feed.event").fetch_one(pool).await?)
}

/// Events of these kinds after a number, in order.
pub async fn after(pool: &PgPool, number: i64, kinds: &[String], limit: i64) -> Result<Vec<FeedRow>, DbError> {
    let sql = query_as!(
        FeedRow,
        "select number, kind, at, data from feed.event where number > $1 and kind = any ($2) order by number limit $3",
        number,
        kinds,
        limit
    );
    Ok(sql.fetch_all(pool).await?)
}

/// Forgets events older than this many days. Gives how many.
pub async fn prune(pool: &PgPool, days: i32) -> Result<u64, DbError> {
    Ok(query!("delete from feed.event where at < now() - make_interval(days => $1)", days).execute(pool).await?.rows_affected())
}
