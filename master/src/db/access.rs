//! Principals, sessions, tokens and the brake on guessing: SQL only. Who may do what is decided by the caller.
//!
//! No secret passes through here in clear: callers hand over argon2id strings and SHA-256 digests.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

/// One who may come in.
#[derive(Debug, Clone)]
pub struct PrincipalRow {
    /// Its identity; the name may change.
    pub id: Uuid,
    /// The name it logs in with.
    pub name: String,
    /// `administrator` or `viewer`.
    pub role: String,
    /// The PHC string, where it has a password.
    pub password: Option<String>,
    /// Whether the password was made by the program and should be changed.
    pub must_change: bool,
}

/// A token for programs, without its secret.
#[derive(Debug, Clone)]
pub struct TokenRow {
    /// The public half of the token.
    pub id: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// The owner's name.
    pub principal: String,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it ends, if ever.
    pub expires: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used: Option<DateTime<Utc>>,
}

/// How many principals there are.
pub async fn count_principals(pool: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from access.principal"#).fetch_one(pool).await
}

/// Adds a principal; false where the name is taken.
pub async fn insert_principal(pool: &PgPool, principal: &PrincipalRow) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into access.principal (id, name, role, password, must_change) values ($1, $2, $3, $4, $5) on conflict (name) do nothing",
        principal.id,
        principal.name,
        principal.role,
        principal.password,
        principal.must_change
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The principal of this name.
pub async fn principal_by_name(pool: &PgPool, name: &str) -> sqlx::Result<Option<PrincipalRow>> {
    sqlx::query_as!(PrincipalRow, "select id, name, role, password, must_change from access.principal where name = $1", name).fetch_optional(pool).await
}

/// Sets a password and ends every session of the principal; false where there is no such name.
pub async fn set_password(pool: &PgPool, name: &str, password: &str, must_change: bool) -> sqlx::Result<bool> {
    let mut tx = pool.begin().await?;
    let id = sqlx::query_scalar!("update access.principal set password = $2, must_change = $3 where name = $1 returning id", name, password, must_change)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(id) = id else { return Ok(false) };
    sqlx::query!("delete from access.session where principal = $1", id).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(true)
}

/// Starts a session, and clears away those that are over.
pub async fn insert_session(pool: &PgPool, hash: &[u8], principal: Uuid, expires: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("delete from access.session where expires < now()").execute(pool).await?;
    sqlx::query!("insert into access.session (hash, principal, expires) values ($1, $2, $3)", hash, principal, expires).execute(pool).await?;
    Ok(())
}

/// The principal of a live session, whose idle time starts again (written at most once a minute).
pub async fn principal_of_session(pool: &PgPool, hash: &[u8], idle_limit_secs: f64) -> sqlx::Result<Option<PrincipalRow>> {
    let found = sqlx::query_as!(
        PrincipalRow,
        "select p.id, p.name, p.role, p.password, p.must_change from access.session s join access.principal p on p.id = s.principal
         where s.hash = $1 and s.expires > now() and s.last_seen > now() - make_interval(secs => $2)",
        hash,
        idle_limit_secs
    )
    .fetch_optional(pool)
    .await?;
    if found.is_some() {
        sqlx::query!("update access.session set last_seen = now() where hash = $1 and last_seen < now() - interval '1 minute'", hash).execute(pool).await?;
    }
    Ok(found)
}

/// Ends a session.
pub async fn delete_session(pool: &PgPool, hash: &[u8]) -> sqlx::Result<()> {
    sqlx::query!("delete from access.session where hash = $1", hash).execute(pool).await.map(drop)
}

/// Adds a token; false where its owner already has one of that name.
pub async fn insert_token(pool: &PgPool, id: Uuid, name: &str, principal: Uuid, hash: &[u8], expires: Option<DateTime<Utc>>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into access.api_token (id, name, principal, hash, expires) values ($1, $2, $3, $4, $5) on conflict (principal, name) do nothing",
        id,
        name,
        principal,
        hash,
        expires
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The owner of a live token, if id and digest belong together.
pub async fn principal_of_token(pool: &PgPool, id: Uuid, hash: &[u8]) -> sqlx::Result<Option<PrincipalRow>> {
    let found = sqlx::query_as!(
        PrincipalRow,
        "select p.id, p.name, p.role, p.password, p.must_change from access.api_token t join access.principal p on p.id = t.principal
         where t.id = $1 and t.hash = $2 and (t.expires is null or t.expires > now())",
        id,
        hash
    )
    .fetch_optional(pool)
    .await?;
    if found.is_some() {
        sqlx::query!("update access.api_token set last_used = now() where id = $1 and (last_used is null or last_used < now() - interval '1 minute')", id)
            .execute(pool)
            .await?;
    }
    Ok(found)
}

/// All tokens, or those of one owner, by name.
pub async fn tokens(pool: &PgPool, owner: Option<Uuid>) -> sqlx::Result<Vec<TokenRow>> {
    sqlx::query_as!(
        TokenRow,
        "select t.id, t.name, p.name as principal, t.created, t.expires, t.last_used from access.api_token t
         join access.principal p on p.id = t.principal where $1::uuid is null or t.principal = $1 order by p.name, t.name",
        owner
    )
    .fetch_all(pool)
    .await
}

/// Revokes a token; `owner` limits it to that principal's own. False where there is none.
pub async fn delete_token(pool: &PgPool, id: Uuid, owner: Option<Uuid>) -> sqlx::Result<bool> {
    let done = sqlx::query!("delete from access.api_token where id = $1 and ($2::uuid is null or principal = $2)", id, owner).execute(pool).await?;
    Ok(done.rows_affected() == 1)
}

/// Until when log-ins of any of these subjects are refused.
pub async fn blocked_until(pool: &PgPool, subjects: &[String]) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("select max(blocked_until) from access.login_throttle where subject = any($1) and blocked_until > now()", subjects)
        .fetch_one(pool)
        .await
}

/// Counts one failed log-in of a subject. From `free` failures within the window on, each one doubles the wait, up to the limit.
pub async fn count_failure(pool: &PgPool, subject: &str, free: i32, window_secs: f64, limit_secs: f64) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into access.login_throttle as t (subject, failures, window_start) values ($1, 1, now())
         on conflict (subject) do update set
           failures = case when t.window_start < now() - make_interval(secs => $3) then 1 else t.failures + 1 end,
           window_start = case when t.window_start < now() - make_interval(secs => $3) then now() else t.window_start end,
           blocked_until = case when t.window_start >= now() - make_interval(secs => $3) and t.failures + 1 >= $2
             then now() + make_interval(secs => least($4, power(2, least(t.failures + 1 - $2, 20)))) end",
        subject,
        free,
        window_secs,
        limit_secs
    )
    .execute(pool)
    .await
    .map(drop)
}

/// Forgets the failures of a subject.
pub async fn forget_failures(pool: &PgPool, subject: &str) -> sqlx::Result<()> {
    sqlx::query!("delete from access.login_throttle where subject = $1", subject).execute(pool).await.map(drop)
}
