//! Requests with an Idempotency-Key: what was asked, and what was answered.

use super::DbError;
use serde_json::Value;
use sqlx::{PgConnection, PgPool, query, query_as};
use uuid::Uuid;

/// Whose request, and under which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// Who asks.
    pub principal: Uuid,
    /// Their key.
    pub key: String,
}

tokio::task_local! {
    /// The request that this task answers, where it carries a key. Its change set notes itself under it in its own transaction,
    /// however deep below the door it is opened.
    pub static REQUEST: RequestKey;
}

/// What is known of a request.
#[derive(Debug, Clone)]
pub struct RequestRow {
    /// SHA-256 of what was asked.
    pub digest: Vec<u8>,
    /// The change set that came of it.
    pub change_set: Option<Uuid>,
    /// The answer's status; none while it is being answered.
    pub status: Option<i16>,
    /// The answer's headers that count.
    pub headers: Option<Value>,
    /// The answer's body.
    pub body: Option<Vec<u8>>,
    /// Whether it began so long ago that nobody can be at it any more.
    pub is_abandoned: bool,
}

/// Notes that a request is being answered. `None` where it is new; otherwise what is known of it. One that was abandoned without
/// a change set begins anew.
pub async fn begin(pool: &PgPool, request: &RequestKey, digest: &[u8], patience_secs: f64) -> Result<Option<RequestRow>, DbError> {
    let begun = query!(
        "insert into change.idempotent as i (principal, key, digest) values ($1, $2, $3)
         on conflict (principal, key) do update set digest = excluded.digest, began_at = now()
           where i.status is null and i.change_set is null and i.began_at < now() - make_interval(secs => $4)",
        request.principal,
        request.key,
        digest,
        patience_secs
    );
    if begun.execute(pool).await?.rows_affected() == 1 {
        return Ok(None);
    }
    let sql = query_as!(
        RequestRow,
        r#"select digest, change_set, status, headers, body, began_at < now() - make_interval(secs => $3) as "is_abandoned!"
           from change.idempotent where (principal, key) = ($1, $2)"#,
        request.principal,
        request.key,
        patience_secs
    );
    Ok(sql.fetch_optional(pool).await?)
}

/// Notes the change set under the request of this task, where there is one.
pub(super) async fn note(db: &mut PgConnection, change_set: Uuid) -> Result<(), DbError> {
    let Ok(request) = REQUEST.try_with(Clone::clone) else { return Ok(()) };
    query!("update change.idempotent set change_set = $3 where (principal, key) = ($1, $2)", request.principal, request.key, change_set).execute(db).await?;
    Ok(())
}

/// Keeps the answer.
pub async fn answer(pool: &PgPool, request: &RequestKey, status: i16, headers: &Value, body: &[u8]) -> Result<(), DbError> {
    query!(
        "update change.idempotent set status = $3, headers = $4, body = $5 where (principal, key) = ($1, $2)",
        request.principal,
        request.key,
        status,
        headers,
        body
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Forgets a request that came to nothing, so that it can be sent again; one that left a change set stays.
pub async fn forget(pool: &PgPool, request: &RequestKey) -> Result<(), DbError> {
    query!("delete from change.idempotent where (principal, key) = ($1, $2) and change_set is null", request.principal, request.key).execute(pool).await?;
    Ok(())
}

/// Forgets requests older than this many days. Gives how many.
pub async fn prune(pool: &PgPool, days: i32) -> Result<u64, DbError> {
    Ok(query!("delete from change.idempotent where began_at < now() - make_interval(days => $1)", days).execute(pool).await?.rows_affected())
}
