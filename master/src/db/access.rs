//! Principals, sessions, tokens and the brake on guessing: SQL only. Who may do what is decided by the caller.
//!
//! No secret passes through here in clear but that of an authenticator, which has to be read to know its codes: callers hand over
//! argon2id strings and SHA-256 digests.

pub mod factors;
pub mod sessions;
pub mod tokens;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// One who may come in, or a group of them.
#[derive(Debug, Clone)]
pub struct PrincipalRow {
    /// Its identity; the name may change.
    pub id: Uuid,
    /// The name it logs in with.
    pub name: String,
    /// `person` or `group`.
    pub kind: String,
    /// The PHC string, where it has a password.
    pub password: Option<String>,
    /// Whether the password was made by the program and should be changed.
    pub must_change: bool,
    /// When it was shut out, if it was.
    pub disabled_at: Option<DateTime<Utc>>,
    /// Until when its one-time log-in is good, where it is one for emergencies.
    pub emergency_until: Option<DateTime<Utc>>,
}

/// How many principals there are.
pub async fn count_principals(pool: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from access.principal"#).fetch_one(pool).await
}

/// Adds a principal; false where the name is taken.
pub async fn insert_principal(db: &mut PgConnection, principal: &PrincipalRow) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into access.principal (id, name, kind, password, must_change, emergency_until) values ($1, $2, $3, $4, $5, $6) on conflict (name) do nothing",
        principal.id,
        principal.name,
        principal.kind,
        principal.password,
        principal.must_change,
        principal.emergency_until
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The principal of this name.
pub async fn principal_by_name(pool: &PgPool, name: &str) -> sqlx::Result<Option<PrincipalRow>> {
    sqlx::query_as!(PrincipalRow, "select id, name, kind, password, must_change, disabled_at, emergency_until from access.principal where name = $1", name)
        .fetch_optional(pool)
        .await
}

/// All principals, by name.
pub async fn principals(pool: &PgPool) -> sqlx::Result<Vec<PrincipalRow>> {
    sqlx::query_as!(PrincipalRow, "select id, name, kind, password, must_change, disabled_at, emergency_until from access.principal order by name")
        .fetch_all(pool)
        .await
}

/// Who is in which group: names of both, by group.
pub async fn memberships(pool: &PgPool) -> sqlx::Result<Vec<(String, String)>> {
    let rows = sqlx::query!(
        "select g.name as owner_group, m.name as member from access.membership s join access.principal g on g.id = s.owner_group
         join access.principal m on m.id = s.member order by g.name, m.name"
    );
    Ok(rows.fetch_all(pool).await?.into_iter().map(|row| (row.owner_group, row.member)).collect())
}

/// Puts somebody into a group.
pub async fn join(db: &mut PgConnection, group: Uuid, member: Uuid) -> sqlx::Result<()> {
    sqlx::query!("insert into access.membership (owner_group, member) values ($1, $2) on conflict do nothing", group, member).execute(db).await.map(drop)
}

/// Takes somebody out of a group; false where they are not in it.
pub async fn leave(db: &mut PgConnection, group: Uuid, member: Uuid) -> sqlx::Result<bool> {
    let done = sqlx::query!("delete from access.membership where owner_group = $1 and member = $2", group, member).execute(db).await?;
    Ok(done.rows_affected() == 1)
}

/// Sets a password and ends every session of the principal; false where there is no such person.
pub async fn set_password(pool: &PgPool, name: &str, password: &str, must_change: bool) -> sqlx::Result<bool> {
    let mut tx = pool.begin().await?;
    let sql = sqlx::query_scalar!(
        "update access.principal set password = $2, must_change = $3 where name = $1 and kind = 'person' returning id",
        name,
        password,
        must_change
    );
    let id = sql.fetch_optional(&mut *tx).await?;
    let Some(id) = id else { return Ok(false) };
    sqlx::query!("delete from access.session where principal = $1", id).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(true)
}

/// Shuts somebody out, or lets them in again; who is shut out has no session any more.
pub async fn set_disabled(db: &mut PgConnection, id: Uuid, disabled: bool) -> sqlx::Result<()> {
    sqlx::query!("update access.principal set disabled_at = case when $2 then coalesce(disabled_at, now()) end where id = $1", id, disabled)
        .execute(&mut *db)
        .await?;
    if disabled {
        sqlx::query!("delete from access.session where principal = $1", id).execute(db).await?;
    }
    Ok(())
}

/// Gives somebody a one-time log-in that is good until then.
pub async fn set_emergency(db: &mut PgConnection, id: Uuid, password: &str, until: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("update access.principal set password = $2, must_change = false, disabled_at = null, emergency_until = $3 where id = $1", id, password, until)
        .execute(db)
        .await
        .map(drop)
}

/// Uses a one-time log-in up; false where somebody was faster, or it is over.
pub async fn use_emergency(pool: &PgPool, id: Uuid) -> sqlx::Result<bool> {
    let done = sqlx::query!("update access.principal set password = null where id = $1 and password is not null and emergency_until > now()", id);
    Ok(done.execute(pool).await?.rows_affected() == 1)
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
