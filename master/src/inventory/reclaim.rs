//! What nobody seems to need any more: hosts whose addresses were not seen in use for long.

use crate::db::DbError;
use crate::db::sightings::{self, UnseenRow};
use chrono::{DateTime, Days, Utc};
use holdfast_proto::words::HostName;
use serde::Serialize;
use sqlx::PgPool;
use std::net::IpAddr;

pub use crate::db::sightings::Sighting;

/// The hosts of a page.
const PAGE_LIMIT: i64 = 500;

/// A host that was not seen for long.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Unused {
    /// Its name.
    #[schema(value_type = String)]
    pub name: HostName,
    /// Its addresses.
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<IpAddr>,
    /// Whom to ask.
    pub contact: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last seen; none: never since it was made.
    pub last_seen: Option<DateTime<Utc>>,
    /// What saw it.
    pub source: Option<String>,
}

/// Hosts that were made, and last seen, more than so many days ago: by name, after one.
pub async fn unused(pool: &PgPool, days: u32, after: Option<&str>) -> Result<(Vec<Unused>, Option<String>), DbError> {
    let since = Utc::now().checked_sub_days(Days::new(u64::from(days))).unwrap_or(DateTime::<Utc>::MIN_UTC);
    let mut rows = sightings::unseen_since(&mut *pool.acquire().await?, since, after, PAGE_LIMIT + 1).await?;
    let more = rows.len() > PAGE_LIMIT as usize;
    rows.truncate(PAGE_LIMIT as usize);
    let next = rows.last().filter(|_| more).map(|row| row.name.to_string());
    let show = |row: UnseenRow| Unused {
        name: row.name,
        addresses: row.addresses,
        contact: row.contact,
        created_at: row.created_at,
        last_seen: row.last_seen,
        source: row.source,
    };
    Ok((rows.into_iter().map(show).collect(), next))
}

/// Notes addresses that were seen in use. An observation and no edit: it makes no change set.
pub async fn saw(pool: &PgPool, seen: &[Sighting]) -> Result<(), DbError> {
    sightings::put(&mut *pool.acquire().await?, seen).await
}
