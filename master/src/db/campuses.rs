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
    /// The name of the campus whose agents stand in for its own, where one is named.
    pub backup: Option<String>,
}

/// All campuses by name.
pub async fn all(db: &mut PgConnection) -> Result<Vec<CampusRow>, DbError> {
    let rows = query!(
        r#"select c.id, c.name, host(c.service_address) as address, b.name as "backup?"
           from org.campus c left join org.campus b on b.id = c.backup_id order by c.name"#
    );
    let rows = rows.fetch_all(db).await?.into_iter();
    rows.map(|row| Ok(CampusRow { id: row.id, name: row.name, service_address: row.address.as_deref().map(word).transpose()?, backup: row.backup })).collect()
}

/// Keeps a new campus.
pub async fn insert(db: &mut PgConnection, name: &str, service_address: Option<IpAddr>, backup: Option<&str>) -> Result<(), DbError> {
    let address = service_address.map(|address| address.to_string());
    let sql = query!(
        "insert into org.campus (name, service_address, backup_id) values ($1, $2::text::inet, (select id from org.campus where name = $3))",
        name,
        address,
        backup
    );
    sql.execute(db).await?;
    Ok(())
}

/// Changes a campus.
pub async fn update(db: &mut PgConnection, id: i64, name: &str, service_address: Option<IpAddr>, backup: Option<&str>) -> Result<(), DbError> {
    let address = service_address.map(|address| address.to_string());
    let sql = query!(
        "update org.campus set name = $2, service_address = $3::text::inet, backup_id = (select id from org.campus where name = $4) where id = $1",
        id,
        name,
        address,
        backup
    );
    sql.execute(db).await?;
    Ok(())
}
