//! Webhooks and what is delivered to them.

use super::DbError;
use chrono::{DateTime, Utc};
use sqlx::{PgPool, query, query_as, query_scalar};
use uuid::Uuid;

/// A webhook, without its secret.
#[derive(Debug, Clone)]
pub struct WebhookRow {
    /// Its identity.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// Where it is sent.
    pub url: String,
    /// What is sent.
    pub kinds: Vec<String>,
    /// Which change sets are sent: the kind of the area.
    pub area_kind: String,
    /// And which one.
    pub area_value: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// How many deliveries wait.
    pub waiting: i64,
    /// How many were given up.
    pub dead: i64,
}

/// A delivery.
#[derive(Debug, Clone)]
pub struct DeliveryRow {
    /// Its number.
    pub id: i64,
    /// The event's number.
    pub number: i64,
    /// The event's kind.
    pub kind: String,
    /// `waiting`, `delivered` or `dead`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When it was made.
    pub made_at: DateTime<Utc>,
    /// When it is tried next.
    pub next_at: DateTime<Utc>,
    /// When it came to its end.
    pub ended_at: Option<DateTime<Utc>>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// What is needed to send one.
#[derive(Debug, Clone)]
pub struct DueRow {
    /// Its number.
    pub id: i64,
    /// Whose.
    pub webhook_id: Uuid,
    /// Where to.
    pub url: String,
    /// What signs it.
    pub secret: Vec<u8>,
    /// The event's kind.
    pub kind: String,
    /// What is sent.
    pub body: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When it was made.
    pub made_at: DateTime<Utc>,
}

/// Everything that makes a webhook.
#[derive(Debug, Clone, Copy)]
pub struct NewWebhook<'a> {
    /// Its identity.
    pub id: Uuid,
    /// What it is called.
    pub name: &'a str,
    /// Where it is sent.
    pub url: &'a str,
    /// What signs it.
    pub secret: &'a [u8],
    /// What is sent.
    pub kinds: &'a [String],
    /// Which change sets.
    pub area_kind: &'a str,
    /// And which one.
    pub area_value: &'a str,
    /// Who makes it.
    pub created_by: &'a str,
}

/// Keeps a webhook that begins with what happens from now on; false where the name is taken.
pub async fn insert(pool: &PgPool, new: NewWebhook<'_>) -> Result<bool, DbError> {
    let insert = query!(
        "insert into feed.webhook (id, name, url, secret, kinds, area_kind, area_value, created_by, looked_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, (select last_number from feed.numbered)) on conflict (name) do nothing",
        new.id,
        new.name,
        new.url,
        new.secret,
        new.kinds,
        new.area_kind,
        new.area_value,
        new.created_by
    );
    Ok(insert.execute(pool).await?.rows_affected() == 1)
}

/// All webhooks, by name.
pub async fn all(pool: &PgPool) -> Result<Vec<WebhookRow>, DbError> {
    let sql = query_as!(
        WebhookRow,
        r#"select w.id, w.name, w.url, w.kinds, w.area_kind, w.area_value, w.created_by, w.created_at,
             (select count(*) from feed.delivery d where d.webhook_id = w.id and d.state = 'waiting') as "waiting!",
             (select count(*) from feed.delivery d where d.webhook_id = w.id and d.state = 'dead') as "dead!"
           from feed.webhook w order by w.name"#
    );
    Ok(sql.fetch_all(pool).await?)
}

/// Deletes a webhook with its deliveries; false where there is none.
pub async fn delete(pool: &PgPool, id: Uuid) -> Result<bool, DbError> {
    Ok(query!("delete from feed.webhook where id = $1", id).execute(pool).await?.rows_affected() == 1)
}

/// Makes deliveries of what a webhook has not seen yet; false where there is nothing more.
pub async fn look(pool: &PgPool, id: Uuid, limit: i32) -> Result<bool, DbError> {
    let seen = query_scalar!(r#"select feed.deliver($1, $2) as "seen!""#, id, limit).fetch_one(pool).await?;
    Ok(seen > 0)
}

/// Webhooks with something that is due.
pub async fn with_due(pool: &PgPool) -> Result<Vec<Uuid>, DbError> {
    let sql = query_scalar!(
        "select w.id from feed.webhook w where exists (select from feed.delivery d where d.webhook_id = w.id and d.state = 'waiting' and d.next_at <= now())"
    );
    Ok(sql.fetch_all(pool).await?)
}

/// What is due of a webhook, the oldest first.
pub async fn due(pool: &PgPool, webhook: Uuid, limit: i64) -> Result<Vec<DueRow>, DbError> {
    let sql = query_as!(
        DueRow,
        "select d.id, d.webhook_id, w.url, w.secret, d.kind, d.body, d.attempts, d.made_at
         from feed.delivery d join feed.webhook w on w.id = d.webhook_id
         where d.webhook_id = $1 and d.state = 'waiting' and d.next_at <= now() order by d.next_at, d.id limit $2",
        webhook,
        limit
    );
    Ok(sql.fetch_all(pool).await?)
}

/// It arrived.
pub async fn delivered(pool: &PgPool, id: i64) -> Result<(), DbError> {
    query!("update feed.delivery set state = 'delivered', attempts = attempts + 1, ended_at = now(), last_error = null where id = $1", id)
        .execute(pool)
        .await?;
    Ok(())
}

/// It did not arrive: it is tried again after so many seconds, or given up.
pub async fn failed(pool: &PgPool, id: i64, why: &str, again_secs: Option<f64>) -> Result<(), DbError> {
    query!(
        "update feed.delivery set attempts = attempts + 1, last_error = $2, next_at = now() + make_interval(secs => coalesce($3::float8, 0)),
           state = case when $3::float8 is null then 'dead' else 'waiting' end, ended_at = case when $3::float8 is null then now() end
         where id = $1",
        id,
        why,
        again_secs
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Deliveries of a webhook, the newest first.
pub async fn deliveries(pool: &PgPool, webhook: Uuid, state: Option<&str>, below: i64, limit: i64) -> Result<Vec<DeliveryRow>, DbError> {
    let sql = query_as!(
        DeliveryRow,
        "select id, number, kind, state, attempts, made_at, next_at, ended_at, last_error from feed.delivery
         where webhook_id = $1 and ($2::text is null or state = $2) and id < $3 order by id desc limit $4",
        webhook,
        state,
        below,
        limit
    );
    Ok(sql.fetch_all(pool).await?)
}

/// Has a delivery tried again, at once and for a day; false where there is none.
pub async fn send_again(pool: &PgPool, webhook: Uuid, id: i64) -> Result<bool, DbError> {
    let update =
        query!("update feed.delivery set state = 'waiting', made_at = now(), next_at = now(), ended_at = null where webhook_id = $1 and id = $2", webhook, id);
    Ok(update.execute(pool).await?.rows_affected() == 1)
}

/// Forgets what was delivered more than this many days ago.
pub async fn prune(pool: &PgPool, days: i32) -> Result<u64, DbError> {
    let delete = query!("delete from feed.delivery where state = 'delivered' and ended_at < now() - make_interval(days => $1)", days);
    Ok(delete.execute(pool).await?.rows_affected())
}
