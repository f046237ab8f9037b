//! Families of addresses beyond IP, and the addresses of hosts in them.

use super::DbError;
use sqlx::{PgConnection, query, query_as, query_scalar};
use uuid::Uuid;

/// A family as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FamilyRow {
    /// Its number; of a new one 0.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// What a whole value matches.
    pub pattern: String,
    /// Whether two hosts may not have the same value.
    pub is_unique: bool,
    /// Of a counted family the first number.
    pub first: Option<i64>,
    /// And the last.
    pub last: Option<i64>,
    /// The value around a number.
    pub template: String,
}

/// All families, by name.
pub async fn all(db: &mut PgConnection) -> Result<Vec<FamilyRow>, DbError> {
    Ok(query_as!(FamilyRow, "select id, name, pattern, is_unique, first, last, template from ipam.family order by name").fetch_all(db).await?)
}

/// Keeps a new family. A pattern that is no regular expression is an error of SQLSTATE 2201B.
pub async fn insert(db: &mut PgConnection, row: &FamilyRow) -> Result<(), DbError> {
    query!("select '' ~ ('^(?:' || $1 || ')$') as is_one", row.pattern).fetch_one(&mut *db).await?;
    query!(
        "insert into ipam.family (name, pattern, is_unique, first, last, template) values ($1, $2, $3, $4, $5, $6)",
        row.name,
        row.pattern,
        row.is_unique,
        row.first,
        row.last,
        row.template
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a family; whether it was there.
pub async fn delete(db: &mut PgConnection, name: &str) -> Result<bool, DbError> {
    Ok(query!("delete from ipam.family where name = $1", name).execute(db).await?.rows_affected() > 0)
}

/// Whether a value is one of the family.
pub async fn matches(db: &mut PgConnection, family: i64, value: &str) -> Result<bool, DbError> {
    let sql = query_scalar!(r#"select $2 ~ ('^(?:' || pattern || ')$') as "fits!" from ipam.family where id = $1"#, family, value);
    Ok(sql.fetch_one(db).await?)
}

/// The lowest value of a counted family that nobody has. Locks the family, so that two who ask get different ones.
pub async fn next(db: &mut PgConnection, family: i64) -> Result<Option<String>, DbError> {
    query!("select id from ipam.family where id = $1 for no key update", family).fetch_one(&mut *db).await?;
    let sql = query_scalar!(
        r#"select replace(f.template, '{}', n::text) as "value!" from ipam.family f, generate_series(f.first, f.last) n
           where f.id = $1 and not exists (select from ipam.other_address o where o.family_id = f.id and o.value = replace(f.template, '{}', n::text)) limit 1"#,
        family
    );
    Ok(sql.fetch_optional(db).await?)
}

/// An address beyond IP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherRow {
    /// Its host.
    pub host: Uuid,
    /// Its family's name.
    pub family: String,
    /// The value.
    pub value: String,
}

/// The other addresses of these hosts, by family and value.
pub async fn of_hosts(db: &mut PgConnection, hosts: &[Uuid]) -> Result<Vec<OtherRow>, DbError> {
    let sql = query_as!(
        OtherRow,
        "select o.host_id as host, f.name as family, o.value from ipam.other_address o join ipam.family f on f.id = o.family_id
         where o.host_id = any ($1) order by f.name, o.value",
        hosts
    );
    Ok(sql.fetch_all(db).await?)
}

/// Who has a value of a family whose values only one may have.
pub async fn owner(db: &mut PgConnection, family: i64, value: &str) -> Result<Option<(Uuid, String)>, DbError> {
    let row = query!(
        "select o.host_id, n.name from ipam.other_address o join ipam.host h on h.id = o.host_id join dns.node n on n.id = h.node_id
         where o.family_id = $1 and o.value = $2 and o.is_unique",
        family,
        value
    );
    Ok(row.fetch_optional(db).await?.map(|row| (row.host_id, row.name)))
}

/// Keeps an address of a host.
pub async fn put(db: &mut PgConnection, host: Uuid, family: &FamilyRow, value: &str) -> Result<(), DbError> {
    query!("insert into ipam.other_address (host_id, family_id, is_unique, value) values ($1, $2, $3, $4)", host, family.id, family.is_unique, value)
        .execute(db)
        .await?;
    Ok(())
}

/// Takes an address from a host.
pub async fn take(db: &mut PgConnection, host: Uuid, family: &str, value: &str) -> Result<(), DbError> {
    query!(
        "delete from ipam.other_address o using ipam.family f where f.id = o.family_id and o.host_id = $1 and f.name = $2 and o.value = $3",
        host,
        family,
        value
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes all of them from a host that goes.
pub async fn take_all(db: &mut PgConnection, host: Uuid) -> Result<(), DbError> {
    query!("delete from ipam.other_address where host_id = $1", host).execute(db).await?;
    Ok(())
}
