//! Campuses.

use super::{DbError, word};
use sqlx::{PgConnection, query};
use std::net::IpAddr;

/// A campus as it is kept.
#[derive(Debug, Clone)]
pub struct CampusRow {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Where its agent answers.
    pub service_address: Option<IpAddr>,
}

/// All campuses by name.
pub async fn all(db: &mut PgConnection) -> Result<Vec<CampusRow>, DbError> {
    let rows = query!("select id, name, host(service_address) as address from org.campus order by name").fetch_all(db).await?;
    rows.into_iter().map(|row| Ok(CampusRow { id: row.id, name: row.name, service_address: row.address.as_deref().map(word).transpose()? })).collect()
}

/// Keeps a new campus.
pub async fn insert(db: &mut PgConnection, name: &str, service_address: Option<IpAddr>) -> Result<(), DbError> {
    let address = service_address.map(|address| address.to_string());
    query!("insert into org.campus (name, service_address) values ($1, $2::text::inet)", name, address).execute(db).await?;
    Ok(())
}

/// Changes a campus.
pub async fn update(db: &mut PgConnection, id: i64, name: &str, service_address: Option<IpAddr>) -> Result<(), DbError> {
    let address = service_address.map(|address| address.to_string());
    query!("update org.campus set name = $2, service_address = $3::text::inet where id = $1", id, name, address).execute(db).await?;
    Ok(())
}
