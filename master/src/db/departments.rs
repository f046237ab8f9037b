//! Departments and device classes: short words that hosts, subnets and zones refer to.

use super::{DbError, number};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool, query, query_scalar};
use std::net::IpAddr;

/// What is found by a short word, and how often it was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept<T> {
    /// How often it was changed: for `ETag` and `If-Match`.
    pub version: i64,
    /// What an admin may write.
    #[serde(flatten)]
    pub draft: T,
}

/// A department as an admin writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DepartmentDraft {
    /// Its name: a short word.
    pub name: String,
    /// Its full name.
    #[serde(default)]
    pub title: String,
    /// Where its machines come in by MAC authentication that have no address in a subnet with a VLAN of the NAS's campus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
}

/// All departments by name.
pub async fn all(db: &mut PgConnection) -> Result<Vec<Kept<DepartmentDraft>>, DbError> {
    let rows = query!("select name, title, vlan, version from org.department order by name").fetch_all(db).await?;
    let rows = rows.into_iter().map(|row| {
        let vlan = row.vlan.map(|vlan| number(i64::from(vlan))).transpose()?;
        Ok(Kept { version: row.version, draft: DepartmentDraft { name: row.name, title: row.title, vlan } })
    });
    rows.collect()
}

/// Keeps a new department.
pub async fn insert(db: &mut PgConnection, draft: &DepartmentDraft) -> Result<(), DbError> {
    query!("insert into org.department (name, title, vlan) values ($1, $2, $3)", draft.name, draft.title, draft.vlan.map(i32::from)).execute(db).await?;
    Ok(())
}

/// Changes a department; its new version, `None` where there is none of that name.
pub async fn update(db: &mut PgConnection, name: &str, draft: &DepartmentDraft) -> Result<Option<i64>, DbError> {
    let sql = query_scalar!(
        "update org.department set name = $2, title = $3, vlan = $4, version = version + 1 where name = $1 returning version",
        name,
        draft.name,
        draft.title,
        draft.vlan.map(i32::from)
    );
    Ok(sql.fetch_optional(db).await?)
}

/// Deletes a department; false where there was none.
pub async fn delete(db: &mut PgConnection, name: &str) -> Result<bool, DbError> {
    Ok(query!("delete from org.department where name = $1", name).execute(db).await?.rows_affected() > 0)
}

/// How a machine of a class gets its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Addressing {
    /// It has one of its own and is always told the same: printers, routers, servers.
    Static,
    /// It takes what a pool has: visitors, laptops.
    Pool,
    /// Either way.
    #[default]
    Either,
}

/// A device class as an admin writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassDraft {
    /// Its name: a short word.
    pub name: String,
    /// What it is, in words.
    #[serde(default)]
    pub title: String,
    /// How its machines get their addresses.
    #[serde(default)]
    pub addressing: Addressing,
}

/// All device classes by name.
pub async fn classes(db: &mut PgConnection) -> Result<Vec<Kept<ClassDraft>>, DbError> {
    let rows = query!(r#"select name, title, addressing as "addressing: Addressing", version from ipam.device_class order by name"#).fetch_all(db).await?;
    let kept = rows.into_iter().map(|row| Kept { version: row.version, draft: ClassDraft { name: row.name, title: row.title, addressing: row.addressing } });
    Ok(kept.collect())
}

/// Keeps a new device class.
pub async fn insert_class(db: &mut PgConnection, draft: &ClassDraft) -> Result<(), DbError> {
    query!("insert into ipam.device_class (name, title, addressing) values ($1, $2, $3)", draft.name, draft.title, draft.addressing as _).execute(db).await?;
    Ok(())
}

/// Changes a device class; its new version, `None` where there is none of that name.
pub async fn update_class(db: &mut PgConnection, name: &str, draft: &ClassDraft) -> Result<Option<i64>, DbError> {
    let sql = query_scalar!(
        "update ipam.device_class set name = $2, title = $3, addressing = $4, version = version + 1 where name = $1 returning version",
        name,
        draft.name,
        draft.title,
        draft.addressing as _
    );
    Ok(sql.fetch_optional(db).await?)
}

/// Deletes a device class; false where there was none.
pub async fn delete_class(db: &mut PgConnection, name: &str) -> Result<bool, DbError> {
    Ok(query!("delete from ipam.device_class where name = $1", name).execute(db).await?.rows_affected() > 0)
}

/// A host of a device class, at one of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostOfClass {
    /// Its name.
    pub name: String,
    /// The address.
    pub address: IpAddr,
}

/// All addresses of the hosts of a device class.
pub async fn addresses_of_class(pool: &PgPool, class: &str) -> Result<Vec<HostOfClass>, DbError> {
    let rows = query!(
        r#"select n.name, host(a.ip) as "ip!"
           from ipam.device_class c join ipam.equipment q on q.class_id = c.id join ipam.host h on h.id = q.host_id join dns.node n on n.id = h.node_id
           join ipam.address a on a.host_id = h.id
           where c.name = $1 order by a.ip"#,
        class
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(|row| Ok(HostOfClass { name: row.name, address: super::word(&row.ip)? })).collect()
}
