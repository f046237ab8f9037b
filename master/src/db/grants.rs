//! Grants: which role somebody has on which area. What that means is decided by the caller.

use super::{DbError, word};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool, query, query_scalar};
use std::net::IpAddr;
use uuid::Uuid;

/// A grant as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRow {
    /// Its number.
    pub id: i64,
    /// To whom: the name of a person or a group.
    pub principal: String,
    /// The role, as `Role` prints it.
    pub role: String,
    /// `global`, `campus`, `department`, `zone`, `name`, `subnet` or `range`.
    pub area_kind: String,
    /// The campus's number.
    pub campus_id: Option<i64>,
    /// The department's number.
    pub department_id: Option<i64>,
    /// The campus's or the department's name; of a zone its apex, of a pattern what stands behind the star.
    pub name: String,
    /// The first of its addresses.
    pub first: Option<IpAddr>,
    /// The last of its addresses.
    pub last: Option<IpAddr>,
    /// Who gave it.
    pub granted_by: String,
    /// When.
    pub created: DateTime<Utc>,
}

/// The grants that somebody has, their own and their groups'.
pub async fn held_by(pool: &PgPool, holder: Uuid) -> Result<Vec<GrantRow>, DbError> {
    rows(&mut *pool.acquire().await?, Some(holder)).await
}

/// All grants, by whom they were given to.
pub async fn all(db: &mut PgConnection) -> Result<Vec<GrantRow>, DbError> {
    rows(db, None).await
}

async fn rows(db: &mut PgConnection, holder: Option<Uuid>) -> Result<Vec<GrantRow>, DbError> {
    let numbers = match holder {
        Some(holder) => query_scalar!(r#"select distinct id as "id!" from access.held_grant where holder = $1"#, holder).fetch_all(&mut *db).await?,
        None => query_scalar!("select id from access.grant").fetch_all(&mut *db).await?,
    };
    let rows = query!(
        r#"select g.id, p.name as principal, g.role, g.area_kind, g.campus_id, g.department_id, coalesce(c.name, d.name, g.name) as "name!",
             host(g.first_address) as first, host(g.last_address) as last, g.granted_by, g.created
           from access.grant g join access.principal p on p.id = g.principal
             left join org.campus c on c.id = g.campus_id left join org.department d on d.id = g.department_id
           where g.id = any ($1) order by p.name, g.id"#,
        &numbers
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        Ok(GrantRow {
            id: row.id,
            principal: row.principal,
            role: row.role,
            area_kind: row.area_kind,
            campus_id: row.campus_id,
            department_id: row.department_id,
            name: row.name,
            first: row.first.as_deref().map(word).transpose()?,
            last: row.last.as_deref().map(word).transpose()?,
            granted_by: row.granted_by,
            created: row.created,
        })
    });
    rows.collect()
}

/// The zones and patterns that were granted for writing: kind, name, and to whom.
pub async fn claims(db: &mut PgConnection) -> Result<Vec<(String, String, String)>, DbError> {
    let rows = query!(
        "select g.area_kind, g.name, p.name as principal from access.grant g join access.principal p on p.id = g.principal
         where g.area_kind in ('zone', 'name') and g.role in ('administrator', 'operator', 'table-maintainer', 'department-admin')
           and p.disabled_at is null"
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.area_kind, row.name, row.principal)).collect())
}

/// The numbers of a campus and of a department by their names.
pub async fn numbers(db: &mut PgConnection, campus: Option<&str>, department: Option<&str>) -> Result<(Option<i64>, Option<i64>), DbError> {
    let campus = query_scalar!("select id from org.campus where name = $1", campus).fetch_optional(&mut *db).await?;
    let department = query_scalar!("select id from org.department where name = $1", department).fetch_optional(db).await?;
    Ok((campus, department))
}

/// A grant to be kept.
#[derive(Debug)]
pub struct NewGrant<'a> {
    /// To whom.
    pub principal: Uuid,
    /// The role, as `Role` prints it.
    pub role: &'a str,
    /// As [`GrantRow::area_kind`].
    pub area_kind: &'a str,
    /// The campus's number.
    pub campus_id: Option<i64>,
    /// The department's number.
    pub department_id: Option<i64>,
    /// Of a zone its apex, of a pattern what stands behind the star; else empty.
    pub name: String,
    /// The first and the last of its addresses.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// Who gives it.
    pub granted_by: &'a str,
}

/// Keeps a grant; its number.
pub async fn insert(db: &mut PgConnection, grant: &NewGrant<'_>) -> Result<i64, DbError> {
    let (first, last) = grant.addresses.map(|(first, last)| (first.to_string(), last.to_string())).unzip();
    let sql = query_scalar!(
        "insert into access.grant (principal, role, area_kind, campus_id, department_id, name, first_address, last_address, granted_by)
         values ($1, $2, $3, $4, $5, $6, $7::text::inet, $8::text::inet, $9) returning id",
        grant.principal,
        grant.role,
        grant.area_kind,
        grant.campus_id,
        grant.department_id,
        grant.name,
        first,
        last,
        grant.granted_by
    );
    Ok(sql.fetch_one(db).await?)
}

/// Takes a grant.
pub async fn delete(db: &mut PgConnection, id: i64) -> Result<(), DbError> {
    query!("delete from access.grant where id = $1", id).execute(db).await?;
    Ok(())
}

/// How many people who may come in are administrators everywhere, and could let others in.
pub async fn administrators(db: &mut PgConnection) -> Result<i64, DbError> {
    let sql = query_scalar!(
        r#"select count(distinct g.holder) as "count!" from access.held_grant g join access.principal p on p.id = g.holder
           where g.role = 'administrator' and g.area_kind = 'global' and p.kind = 'person' and p.disabled_at is null and p.emergency_until is null"#
    );
    Ok(sql.fetch_one(db).await?)
}

/// Whoever changes who may do what waits here for who did before: two who each leave one administrator would leave none.
pub async fn follow_one_another(db: &mut PgConnection) -> Result<(), DbError> {
    query!("lock table access.grant in share row exclusive mode").execute(db).await?;
    Ok(())
}
