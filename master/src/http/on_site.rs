//! What whoever sits at the master's own machine can do without logging in: they own it anyway.

use super::{
    Problem,
    secrets::{OneTimePassword, hash_password},
};
use crate::{
    db::access,
    inventory::people::{add_first_administrator, break_glass},
};
use chrono::{DateTime, Duration, Utc};
use holdfast_proto::words::Secret;
use sqlx::PgPool;

/// How long the log-in for emergencies is good, and the session that it starts.
const EMERGENCY_HOURS: i64 = 1;

/// Makes the administrator `admin` where there is no principal yet. The password is to be printed once, and kept nowhere.
pub async fn create_first_admin(pool: &PgPool) -> Result<Option<OneTimePassword>, Problem> {
    if access::count_principals(pool).await? > 0 {
        return Ok(None);
    }
    let one_time = OneTimePassword::random();
    let password = hash_password(Secret::new(one_time.expose())).await?;
    Ok(add_first_administrator(pool, "admin", password).await?.then_some(one_time))
}

/// Gives a person a new one-time password and ends their sessions: the way back in, for who has the box.
pub async fn reset_password(pool: &PgPool, name: &str) -> Result<OneTimePassword, Problem> {
    let one_time = OneTimePassword::random();
    let password = hash_password(Secret::new(one_time.expose())).await?;
    if !access::set_password(pool, name, &password, true).await? {
        return Err(Problem::not_found(format!("there is nobody named {name}")));
    }
    Ok(one_time)
}

/// Makes a log-in that works once, within the hour, whatever the web's own log-in asks for; it stands in the history, and is an
/// event for whoever watches.
pub async fn make_emergency_log_in(pool: &PgPool, by: &str, reason: &str) -> Result<(OneTimePassword, DateTime<Utc>), Problem> {
    let one_time = OneTimePassword::random();
    let password = hash_password(Secret::new(one_time.expose())).await?;
    let until = Utc::now() + Duration::hours(EMERGENCY_HOURS);
    break_glass(pool, by, reason, &password, until).await?;
    tracing::error!(event = "break_glass_made", by, %until, "an emergency log-in was made at this master");
    Ok((one_time, until))
}
