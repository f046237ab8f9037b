//! Second factors, and what the institution asks for.

use sqlx::{PgPool, query, query_as, query_scalar};
use uuid::Uuid;

/// What an administrator decides for the institution.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Who needs a second factor: `never`, `writes` or `always`.
    pub require_second_factor: String,
    /// How long a new token is good where nothing is said, in days.
    pub token_days_default: i32,
    /// And at most.
    pub token_days_limit: i32,
}

/// What is decided now.
pub async fn policy(pool: &PgPool) -> sqlx::Result<Policy> {
    query_as!(Policy, "select require_second_factor, token_days_default, token_days_limit from access.policy").fetch_one(pool).await
}

/// Decides otherwise.
pub async fn set_policy(db: &mut sqlx::PgConnection, policy: &Policy) -> sqlx::Result<()> {
    query!(
        "update access.policy set require_second_factor = $1, token_days_default = $2, token_days_limit = $3",
        policy.require_second_factor,
        policy.token_days_default,
        policy.token_days_limit
    )
    .execute(db)
    .await
    .map(drop)
}

/// Somebody's authenticator.
#[derive(Debug)]
pub struct TotpRow {
    /// What its codes are made from.
    pub secret: Vec<u8>,
    /// Whether a first code of it was right: from then on it counts.
    pub confirmed: bool,
    /// The newest time step whose code was used.
    pub last_step: i64,
}

/// The authenticator of a principal.
pub async fn totp(pool: &PgPool, principal: Uuid) -> sqlx::Result<Option<TotpRow>> {
    query_as!(TotpRow, r#"select secret, confirmed_at is not null as "confirmed!", last_step from access.totp where principal = $1"#, principal)
        .fetch_optional(pool)
        .await
}

/// Keeps a new authenticator, not confirmed yet; false where a confirmed one is there.
pub async fn start_totp(pool: &PgPool, principal: Uuid, secret: &[u8]) -> sqlx::Result<bool> {
    let done = query!(
        "insert into access.totp (principal, secret) values ($1, $2)
         on conflict (principal) do update set secret = excluded.secret, last_step = 0 where totp.confirmed_at is null",
        principal,
        secret
    );
    Ok(done.execute(pool).await?.rows_affected() == 1)
}

/// Uses the code of a time step up: false where it, or a later one, was used before.
pub async fn use_step(pool: &PgPool, principal: Uuid, step: i64) -> sqlx::Result<bool> {
    let done = query!("update access.totp set last_step = $2 where principal = $1 and last_step < $2", principal, step).execute(pool).await?;
    Ok(done.rows_affected() == 1)
}

/// From now on the authenticator counts, and these are the digests of the ways around a lost one.
pub async fn confirm_totp(pool: &PgPool, principal: Uuid, recovery: &[Vec<u8>]) -> sqlx::Result<()> {
    let mut tx = pool.begin().await?;
    query!("update access.totp set confirmed_at = now() where principal = $1", principal).execute(&mut *tx).await?;
    query!("delete from access.recovery_code where principal = $1", principal).execute(&mut *tx).await?;
    query!("insert into access.recovery_code (hash, principal) select h, $1 from unnest($2::bytea[]) h", principal, recovery).execute(&mut *tx).await?;
    tx.commit().await
}

/// Takes the authenticator of a principal away, and the ways around it.
pub async fn remove_totp(pool: &PgPool, principal: Uuid) -> sqlx::Result<()> {
    let mut tx = pool.begin().await?;
    query!("delete from access.recovery_code where principal = $1", principal).execute(&mut *tx).await?;
    query!("delete from access.totp where principal = $1", principal).execute(&mut *tx).await?;
    tx.commit().await
}

/// Uses a recovery code up; false where it is none, or was used.
pub async fn use_recovery(pool: &PgPool, principal: Uuid, hash: &[u8]) -> sqlx::Result<bool> {
    let done = query!("delete from access.recovery_code where principal = $1 and hash = $2", principal, hash).execute(pool).await?;
    Ok(done.rows_affected() == 1)
}

/// How many recovery codes are left.
pub async fn recovery_left(pool: &PgPool, principal: Uuid) -> sqlx::Result<i64> {
    query_scalar!(r#"select count(*) as "count!" from access.recovery_code where principal = $1"#, principal).fetch_one(pool).await
}
