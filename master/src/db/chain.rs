//! The chain over the audit.

use super::DbError;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::{PgConnection, PgPool, query, query_as, query_scalar};
use uuid::Uuid;

/// Keeps a second master from linking at the same time.
const LOCK: i64 = 0x0048_4f4c_4446_0001;

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRow {
    /// Its place, from one.
    pub ordinal: i64,
    /// The change set.
    pub change_set: Uuid,
    /// The hash of the link before.
    pub previous: Vec<u8>,
    /// Its own hash.
    pub hash: Vec<u8>,
}

/// A change set as the chain covers it.
#[derive(Debug, Clone)]
pub struct CoveredRow {
    /// Its identity.
    pub id: Uuid,
    /// When, in microseconds since 1970.
    pub at_micros: i64,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// By which way.
    pub via: String,
    /// Who wrote it.
    pub author: Option<String>,
    /// Who approved it.
    pub approved_by: Option<String>,
}

/// A changed row as the chain covers it: the images as Postgres writes them, which is always in the same way.
#[derive(Debug, Clone)]
pub struct CoveredChange {
    /// Its place in the order of all changes.
    pub ordinal: i64,
    /// Which table.
    pub table_name: String,
    /// Which row.
    pub key: String,
    /// Whose.
    pub host_id: Option<Uuid>,
    /// The row before.
    pub before: Option<String>,
    /// The row after.
    pub after: Option<String>,
}

/// A head that was signed.
#[derive(Debug, Clone)]
pub struct HeadRow {
    /// The last link that it covers.
    pub ordinal: i64,
    /// That link's hash.
    pub hash: Vec<u8>,
    /// The key.
    pub key_id: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Takes the right to link until the transaction ends; false where another master has it.
pub async fn try_lock(db: &mut PgConnection) -> Result<bool, DbError> {
    Ok(query_scalar!(r#"select pg_try_advisory_xact_lock($1) as "locked!""#, LOCK).fetch_one(db).await?)
}

/// Change sets that have no link yet, the oldest first.
pub async fn unchained(db: &mut PgConnection, limit: i64) -> Result<Vec<Uuid>, DbError> {
    Ok(query_scalar!("select change_set from change.unchained order by change_set limit $1", limit).fetch_all(db).await?)
}

/// The last link.
pub async fn last(db: &mut PgConnection) -> Result<Option<LinkRow>, DbError> {
    let sql = query_as!(LinkRow, "select ordinal, change_set, previous, hash from change.chain order by ordinal desc limit 1");
    Ok(sql.fetch_optional(db).await?)
}

/// Links after one, in order.
pub async fn after(pool: &PgPool, ordinal: i64, limit: i64) -> Result<Vec<LinkRow>, DbError> {
    let sql = query_as!(LinkRow, "select ordinal, change_set, previous, hash from change.chain where ordinal > $1 order by ordinal limit $2", ordinal, limit);
    Ok(sql.fetch_all(pool).await?)
}

/// What the chain covers of a change set itself.
pub async fn covered(db: &mut PgConnection, id: Uuid) -> Result<Option<CoveredRow>, DbError> {
    let sql = query_as!(
        CoveredRow,
        r#"select id, (extract(epoch from at) * 1000000)::bigint as "at_micros!", actor, reason, via, author, approved_by
           from change.change_set where id = $1"#,
        id
    );
    Ok(sql.fetch_optional(db).await?)
}

/// Hands every changed row of a change set on in order, one at a time: an import has millions.
pub async fn each_change(db: &mut PgConnection, id: Uuid, mut take: impl FnMut(&CoveredChange)) -> Result<(), DbError> {
    let sql = query_as!(
        CoveredChange,
        "select ordinal, table_name, key, host_id, before::text, after::text from change.change where change_set = $1 order by ordinal",
        id
    );
    let mut rows = sql.fetch(db);
    while let Some(row) = rows.try_next().await? {
        take(&row);
    }
    Ok(())
}

/// Adds a link, and takes its change set from those that wait.
pub async fn put(db: &mut PgConnection, link: &LinkRow) -> Result<(), DbError> {
    query!("insert into change.chain (ordinal, change_set, previous, hash) values ($1, $2, $3, $4)", link.ordinal, link.change_set, link.previous, link.hash)
        .execute(&mut *db)
        .await?;
    query!("delete from change.unchained where change_set = $1", link.change_set).execute(db).await?;
    Ok(())
}

/// A change set that neither has a link nor waits for one, where there is such a one.
pub async fn stray(pool: &PgPool) -> Result<Option<Uuid>, DbError> {
    let sql = query_scalar!(
        "select s.id from change.change_set s where not exists (select from change.chain c where c.change_set = s.id)
           and not exists (select from change.unchained u where u.change_set = s.id) order by s.id limit 1"
    );
    Ok(sql.fetch_optional(pool).await?)
}

/// How many links there are.
pub async fn length(pool: &PgPool) -> Result<i64, DbError> {
    Ok(query_scalar!(r#"select coalesce(max(ordinal), 0) as "length!" from change.chain"#).fetch_one(pool).await?)
}

/// Every signed head, the oldest first.
pub async fn heads(pool: &PgPool) -> Result<Vec<HeadRow>, DbError> {
    Ok(query_as!(HeadRow, "select ordinal, hash, key_id, signature, at from change.chain_head order by ordinal").fetch_all(pool).await?)
}

/// The newest signed head.
pub async fn newest_head(db: &mut PgConnection) -> Result<Option<HeadRow>, DbError> {
    let sql = query_as!(HeadRow, "select ordinal, hash, key_id, signature, at from change.chain_head order by ordinal desc limit 1");
    Ok(sql.fetch_optional(db).await?)
}

/// Keeps a signed head.
pub async fn put_head(db: &mut PgConnection, ordinal: i64, hash: &[u8], key_id: &[u8], signature: &[u8]) -> Result<(), DbError> {
    query!("insert into change.chain_head (ordinal, hash, key_id, signature) values ($1, $2, $3, $4)", ordinal, hash, key_id, signature).execute(db).await?;
    Ok(())
}

/// A link with its change set, as auditors read it.
#[derive(Debug, Clone)]
pub struct AuditRow {
    /// Its place.
    pub ordinal: i64,
    /// Its hash.
    pub hash: Vec<u8>,
    /// The change set.
    pub change_set: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// Who wrote it.
    pub author: Option<String>,
    /// Who approved it.
    pub approved_by: Option<String>,
    /// By which way.
    pub via: String,
    /// Why.
    pub reason: String,
}

/// The chain backwards.
pub async fn audit(pool: &PgPool, below: i64, limit: i64) -> Result<Vec<AuditRow>, DbError> {
    let sql = query_as!(
        AuditRow,
        "select c.ordinal, c.hash, c.change_set, s.at, s.actor, s.author, s.approved_by, s.via, s.reason
         from change.chain c join change.change_set s on s.id = c.change_set where c.ordinal < $1 order by c.ordinal desc limit $2",
        below,
        limit
    );
    Ok(sql.fetch_all(pool).await?)
}
