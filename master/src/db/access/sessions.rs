//! Sessions of people in browsers.

use chrono::{DateTime, Utc};
use sqlx::{PgPool, query, query_as};
use uuid::Uuid;

/// A session that is being started.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// The digest of its secret.
    pub hash: &'a [u8],
    /// Whose.
    pub principal: Uuid,
    /// Its absolute end.
    pub expires: DateTime<Utc>,
    /// From where, as text.
    pub address: Option<String>,
    /// What the browser calls itself.
    pub browser: String,
    /// `password`, `awaits-code`, `both` or `emergency`.
    pub factors: &'a str,
}

/// Starts a session, and clears away those that are over.
pub async fn insert(pool: &PgPool, session: &NewSession<'_>) -> sqlx::Result<()> {
    query!("delete from access.session where expires < now()").execute(pool).await?;
    query!(
        "insert into access.session (hash, principal, expires, address, browser, factors) values ($1, $2, $3, $4::text::inet, $5, $6)",
        session.hash,
        session.principal,
        session.expires,
        session.address,
        session.browser,
        session.factors
    )
    .execute(pool)
    .await
    .map(drop)
}

/// Whose a live session is, and how far its log-in came.
#[derive(Debug, Clone)]
pub struct HolderRow {
    /// The session.
    pub session: Uuid,
    /// Whose.
    pub id: Uuid,
    /// Their name.
    pub name: String,
    /// Whether the password was made by the program and should be changed.
    pub must_change: bool,
    /// `password`, `awaits-code`, `both` or `emergency`.
    pub factors: String,
    /// What the institution asks for: `never`, `writes` or `always`.
    pub require_second_factor: String,
}

/// The holder of a live session, whose idle time starts again (written at most once a minute).
pub async fn holder(pool: &PgPool, hash: &[u8], idle_limit_secs: f64) -> sqlx::Result<Option<HolderRow>> {
    let found = query_as!(
        HolderRow,
        "select s.id as session, p.id, p.name, p.must_change, s.factors, policy.require_second_factor
         from access.session s join access.principal p on p.id = s.principal and p.disabled_at is null cross join access.policy
         where s.hash = $1 and s.expires > now() and s.last_seen > now() - make_interval(secs => $2)",
        hash,
        idle_limit_secs
    )
    .fetch_optional(pool)
    .await?;
    if found.is_some() {
        query!("update access.session set last_seen = now() where hash = $1 and last_seen < now() - interval '1 minute'", hash).execute(pool).await?;
    }
    Ok(found)
}

/// Says how far the log-in of a session came.
pub async fn set_factors(pool: &PgPool, session: Uuid, factors: &str) -> sqlx::Result<()> {
    query!("update access.session set factors = $2 where id = $1", session, factors).execute(pool).await.map(drop)
}

/// Ends a session by its secret's digest.
pub async fn delete(pool: &PgPool, hash: &[u8]) -> sqlx::Result<()> {
    query!("delete from access.session where hash = $1", hash).execute(pool).await.map(drop)
}

/// A live session as it is listed.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// What it is called.
    pub id: Uuid,
    /// Whose.
    pub principal: String,
    /// When it was started.
    pub created: DateTime<Utc>,
    /// When it was last used, to the minute.
    pub last_seen: DateTime<Utc>,
    /// From where it was started.
    pub address: Option<String>,
    /// What the browser calls itself.
    pub browser: String,
    /// How far its log-in came.
    pub factors: String,
}

/// The live sessions of all, or of one.
pub async fn list(pool: &PgPool, owner: Option<Uuid>, idle_limit_secs: f64) -> sqlx::Result<Vec<SessionRow>> {
    query_as!(
        SessionRow,
        r#"select s.id, p.name as principal, s.created, s.last_seen, host(s.address) as address, s.browser, s.factors
           from access.session s join access.principal p on p.id = s.principal
           where ($1::uuid is null or s.principal = $1) and s.expires > now() and s.last_seen > now() - make_interval(secs => $2)
           order by s.last_seen desc"#,
        owner,
        idle_limit_secs
    )
    .fetch_all(pool)
    .await
}

/// Ends a session by its name; `owner` limits it to that principal's own. False where there is none.
pub async fn revoke(pool: &PgPool, id: Uuid, owner: Option<Uuid>) -> sqlx::Result<bool> {
    let done = query!("delete from access.session where id = $1 and ($2::uuid is null or principal = $2)", id, owner).execute(pool).await?;
    Ok(done.rows_affected() == 1)
}
