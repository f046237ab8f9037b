//! Change sets, what they changed, and the keys they left in the outbox.

use super::{DbError, requests};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, query, query_as, query_scalar};
use uuid::Uuid;

/// By which way the publisher comes when it encrypts secrets anew: such a change set says nothing new, and nobody undoes it.
pub const PUBLISHER: &str = "publisher";

/// The change set of this transaction, where one is open.
pub async fn current(db: &mut PgConnection) -> Result<Option<Uuid>, DbError> {
    let text = query_scalar!("select current_setting('holdfast.change_set', true)").fetch_one(db).await?;
    Ok(text.as_deref().filter(|text| !text.is_empty()).and_then(|text| text.parse().ok()))
}

/// Opens the change set of this transaction.
pub async fn open(db: &mut PgConnection, id: Uuid, actor: &str, reason: &str, via: &str) -> Result<(), DbError> {
    query!("insert into change.change_set (id, actor, reason, via) values ($1, $2, $3, $4)", id, actor, reason, via).execute(&mut *db).await?;
    name(db, id).await
}

/// Opens the change set of this transaction for a draft: who wrote it, and who approved it.
pub async fn open_of_draft(
    db: &mut PgConnection,
    id: Uuid,
    actor: &str,
    reason: &str,
    via: &str,
    author: &str,
    approved_by: Option<&str>,
) -> Result<(), DbError> {
    query!(
        "insert into change.change_set (id, actor, reason, via, author, approved_by) values ($1, $2, $3, $4, $5, $6)",
        id,
        actor,
        reason,
        via,
        author,
        approved_by
    )
    .execute(&mut *db)
    .await?;
    name(db, id).await
}

async fn name(db: &mut PgConnection, id: Uuid) -> Result<(), DbError> {
    query!("select set_config('holdfast.change_set', $1, true)", id.to_string()).fetch_one(&mut *db).await?;
    requests::note(db, id).await
}

/// One (subject, key) of the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OutboxKey {
    /// `name`, `zone`, `subnet`, `reservation` or `nas`.
    pub subject: String,
    /// Which row, even after the object is gone.
    pub key: String,
}

/// What a change set touched, each key once.
pub async fn outbox_keys(db: &mut PgConnection, change_set: Uuid) -> Result<Vec<OutboxKey>, DbError> {
    let sql = query_as!(OutboxKey, "select distinct subject, key from publish.outbox where change_set = $1 order by subject, key", change_set);
    Ok(sql.fetch_all(db).await?)
}

/// The networks of the subnets that a change set made.
pub async fn subnets_made(db: &mut PgConnection, change_set: Uuid) -> Result<Vec<String>, DbError> {
    let sql = query_scalar!(
        r#"select after ->> 'network' as "network!" from change.change
           where change_set = $1 and table_name = 'ipam.subnet' and before is null and after is not null"#,
        change_set
    );
    Ok(sql.fetch_all(db).await?)
}

/// One changed row.
#[derive(Debug)]
pub struct ChangeRow {
    /// Its change set.
    pub change_set: Uuid,
    /// Who.
    pub actor: String,
    /// By which way.
    pub via: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Which table.
    pub table_name: String,
    /// The row before.
    pub before: Option<serde_json::Value>,
    /// The row after.
    pub after: Option<serde_json::Value>,
}

/// What happened to the host that has, or last had, this name: newest first, at most `limit` rows.
pub async fn of_host(db: &mut PgConnection, host: Uuid, limit: i64) -> Result<Vec<ChangeRow>, DbError> {
    let sql = query_as!(
        ChangeRow,
        "select c.change_set, s.actor, s.via, s.reason, s.at, c.table_name, c.before, c.after
         from change.change c join change.change_set s on s.id = c.change_set
         where c.host_id = $1 order by s.at desc, c.ordinal desc limit $2",
        host,
        limit
    );
    Ok(sql.fetch_all(db).await?)
}
