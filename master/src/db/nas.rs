//! NASs: who may ask RADIUS.

use super::DbError;
use sqlx::{PgConnection, query};

/// A NAS to be kept.
#[derive(Debug)]
pub struct NasRow<'a> {
    /// Its name.
    pub name: &'a str,
    /// The source addresses it may use.
    pub prefix: String,
    /// The secret, encrypted.
    pub secret: &'a [u8],
    /// Whether its requests must carry a Message-Authenticator.
    pub require_message_authenticator: bool,
}

/// Keeps a NAS, new or changed.
pub async fn put(db: &mut PgConnection, row: &NasRow<'_>) -> Result<(), DbError> {
    query!(
        "insert into access.nas (name, prefix, secret, require_message_authenticator) values ($1, $2::text::cidr, $3, $4)
         on conflict (name) do update set prefix = excluded.prefix, secret = excluded.secret,
           require_message_authenticator = excluded.require_message_authenticator",
        row.name,
        row.prefix,
        row.secret,
        row.require_message_authenticator
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a NAS; false where there was none.
pub async fn delete(db: &mut PgConnection, name: &str) -> Result<bool, DbError> {
    Ok(query!("delete from access.nas where name = $1", name).execute(db).await?.rows_affected() > 0)
}
