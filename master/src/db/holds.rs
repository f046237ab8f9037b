//! What the publisher's guard holds back, and who let it out.

use super::DbError;
use super::publish::numbers;
use chrono::{DateTime, Utc};
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::Generation;
use sqlx::{PgConnection, PgPool, query, query_as, query_scalar};
use uuid::Uuid;

/// A feed that is held.
#[derive(Debug, Clone)]
pub struct HoldRow {
    /// Its kind.
    pub kind: i16,
    /// Its family.
    pub family: i16,
    /// Its cut.
    pub cut: i32,
    /// Since when.
    pub since: DateTime<Utc>,
    /// What would go, in a sentence.
    pub detail: String,
    /// How much that is.
    pub removed: i64,
    /// Who lets it out.
    pub released_by: Option<String>,
    /// Why.
    pub release_reason: Option<String>,
}

impl HoldRow {
    /// Which feed; `None` where this build does not know it.
    pub fn feed(&self) -> Option<Feed> {
        Feed::from_numbers(self.kind as u32, self.family as u32, self.cut as u32)
    }
}

/// Every feed that is held.
pub async fn all(connection: &mut PgConnection) -> Result<Vec<HoldRow>, DbError> {
    let sql = query_as!(HoldRow, "select kind, family, cut, since, detail, removed, released_by, release_reason from publish.hold");
    Ok(sql.fetch_all(connection).await?)
}

/// Holds a feed, or says anew what is held; a release of something smaller is void then.
pub async fn put(connection: &mut PgConnection, feed: Feed, detail: &str, removed: i64) -> Result<(), DbError> {
    let (kind, family, cut) = numbers(feed);
    query!(
        "insert into publish.hold (kind, family, cut, detail, removed) values ($1, $2, $3, $4, $5)
         on conflict (kind, family, cut) do update
           set detail = excluded.detail, removed = excluded.removed, released_by = null, release_reason = null, released_at = null",
        kind,
        family,
        cut,
        detail,
        removed
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes who lets a feed out that is held because so many rows would go. `false` where it is not held, or because of more or fewer:
/// nobody answers for what they did not read.
pub async fn release(pool: &PgPool, feed: Feed, removed: i64, actor: &str, reason: &str) -> Result<bool, DbError> {
    let (kind, family, cut) = numbers(feed);
    let update = query!(
        "update publish.hold set released_by = $4, release_reason = $5, released_at = now()
         where (kind, family, cut) = ($1, $2, $3) and removed = $6",
        kind,
        family,
        cut,
        actor,
        reason,
        removed
    );
    Ok(update.execute(pool).await?.rows_affected() == 1)
}

/// Ends a hold in the transaction that publishes the feed; what was let out by somebody is remembered with its generation.
pub async fn lift(connection: &mut PgConnection, feed: Feed, epoch: i32, generation: Generation) -> Result<(), DbError> {
    let (kind, family, cut) = numbers(feed);
    query!(
        "with lifted as (delete from publish.hold where (kind, family, cut) = ($1, $2, $3) returning *)
         insert into publish.release (kind, family, cut, epoch, generation, actor, reason, at, detail)
           select kind, family, cut, $4, $5, released_by, release_reason, released_at, detail from lifted where released_by is not null
           on conflict do nothing",
        kind,
        family,
        cut,
        epoch,
        generation.0 as i64
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The newest key that waits, of these subjects: when it moves there is something to look at again.
pub async fn newest_waiting(connection: &mut PgConnection, subjects: &[String]) -> Result<i64, DbError> {
    Ok(query_scalar!(r#"select coalesce(max(id), 0) as "id!" from publish.outbox where subject = any ($1)"#, subjects).fetch_one(connection).await?)
}

/// What of a change set waits to be published: the newest key of each subject.
pub async fn waiting(pool: &PgPool, change_set: Uuid) -> Result<Vec<(String, i64)>, DbError> {
    let sql = query!(r#"select subject, max(id) as "newest!" from publish.outbox where change_set = $1 group by subject"#, change_set);
    Ok(sql.fetch_all(pool).await?.into_iter().map(|row| (row.subject, row.newest)).collect())
}

/// Who let a generation out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ReleaseRow {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What it removed.
    pub detail: String,
}

/// Who let this generation out, where the guard had held it.
pub async fn release_of(pool: &PgPool, feed: Feed, generation: Generation) -> Result<Option<ReleaseRow>, DbError> {
    let (kind, family, cut) = numbers(feed);
    let sql = query_as!(
        ReleaseRow,
        "select actor, reason, at, detail from publish.release where (kind, family, cut, generation) = ($1, $2, $3, $4) order by epoch desc limit 1",
        kind,
        family,
        cut,
        generation.0 as i64
    );
    Ok(sql.fetch_optional(pool).await?)
}
