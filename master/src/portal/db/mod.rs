//! The portal's SQL, one file per kind of record. Nothing here knows a rule; nothing elsewhere in the portal knows SQL.

pub(super) mod accounts;
pub(super) mod agents;
pub(super) mod generations;
pub(super) mod kept;

use sqlx::PgPool;
use sqlx::migrate::MigrateError;

/// Brings the database to this build's shape.
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    sqlx::migrate!("../migrations/portal").run(pool).await
}
