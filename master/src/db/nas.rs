//! NASs: who may ask RADIUS.

use super::DbError;
use sqlx::{PgConnection, query, query_as};

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

/// A NAS's secret as it is kept.
#[derive(Debug, Clone)]
pub struct NasSecret {
    /// Its name.
    pub name: String,
    /// The source addresses it may use.
    pub prefix: String,
    /// The secret, encrypted.
    pub secret: Vec<u8>,
}

/// Every NAS with its secret, by name.
pub async fn secrets(db: &mut PgConnection) -> Result<Vec<NasSecret>, DbError> {
    Ok(query_as!(NasSecret, r#"select name, prefix::text as "prefix!", secret from access.nas order by name"#).fetch_all(db).await?)
}

/// The same, locked against other writers until the transaction ends: waits for those who are at it.
pub async fn lock_secrets(db: &mut PgConnection) -> Result<Vec<NasSecret>, DbError> {
    Ok(query_as!(NasSecret, r#"select name, prefix::text as "prefix!", secret from access.nas order by name for update"#).fetch_all(db).await?)
}

/// The same, without those that some writer is at: waits for nobody.
pub async fn lock_idle_secrets(db: &mut PgConnection) -> Result<Vec<NasSecret>, DbError> {
    Ok(query_as!(NasSecret, r#"select name, prefix::text as "prefix!", secret from access.nas order by name for update skip locked"#).fetch_all(db).await?)
}

/// Replaces the encrypted secret of a NAS.
pub async fn set_secret(db: &mut PgConnection, name: &str, secret: &[u8]) -> Result<(), DbError> {
    query!("update access.nas set secret = $2 where name = $1", name, secret).execute(db).await?;
    Ok(())
}

/// What may be known of a NAS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NasLine {
    /// Its name.
    pub name: String,
    /// The source addresses it may use.
    pub prefix: String,
    /// Whether its requests must carry a Message-Authenticator.
    pub require_message_authenticator: bool,
}

/// Every NAS, by name, without its secret.
pub async fn all(db: &mut PgConnection) -> Result<Vec<NasLine>, DbError> {
    let sql = query_as!(NasLine, r#"select name, prefix::text as "prefix!", require_message_authenticator from access.nas order by name"#);
    Ok(sql.fetch_all(db).await?)
}
