use crate::config::Events;
use crate::db::events::{prune, prune_served};
use crate::db::leases::forget_before;
use crate::db::{DbError, accounting, discoveries, faults, unknown};
use chrono::{TimeDelta, Utc};
use sqlx::PgPool;
use std::convert::Infallible;
use std::time::Duration;

const PERIOD: Duration = Duration::from_secs(600);
/// Generations of each box and feed of which it is known since when they were served: more than people wait for.
const SERVED_KEPT: i64 = 10_000;
/// Machines that nobody registered: more than anybody reads through, whoever makes hardware addresses up.
const MACHINES_KEPT: i64 = 100_000;

/// Forgets what is older or more than the configuration allows, for as long as it is polled.
pub async fn prune_for_ever(pool: PgPool, kept: Events) -> Infallible {
    loop {
        match once(&pool, &kept).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(event = "events_pruned", rows, "old reports, acknowledgements, leases and sessions were forgotten"),
            Err(error) => tracing::error!(event = "database_failed", %error, "old reports could not be forgotten"),
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn once(pool: &PgPool, kept: &Events) -> Result<u64, DbError> {
    let before = Utc::now() - TimeDelta::days(i64::from(kept.days));
    let leases = forget_before(&mut *pool.acquire().await?, before).await?;
    let sessions = accounting::forget_before(&mut *pool.acquire().await?, before).await?;
    let unknown = unknown::forget_before(&mut *pool.acquire().await?, before, MACHINES_KEPT).await?;
    let faults = faults::forget_before(pool, before).await?;
    let discoveries = discoveries::forget_before(&mut *pool.acquire().await?, before).await?;
    Ok(faults + discoveries + unknown + prune(pool, before, kept.rows.into()).await? + prune_served(pool, SERVED_KEPT).await? + leases + sessions)
}
