//! The time line: change sets and the rows they changed, as they are listed.

use super::DbError;
use super::changes::PUBLISHER;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, query, query_as, query_scalar};
use std::collections::HashMap;
use uuid::Uuid;

/// A change set.
#[derive(Debug, Clone)]
pub struct SetRow {
    /// Its identity.
    pub id: Uuid,
    /// Who.
    pub actor: String,
    /// Who wrote it, where it was a draft.
    pub author: Option<String>,
    /// Who approved it.
    pub approved_by: Option<String>,
    /// By which way.
    pub via: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// Which change sets.
#[derive(Debug, Clone, Copy, Default)]
pub struct SetFilter<'a> {
    /// Made or written by this one.
    pub actor: Option<&'a str>,
    /// By this way.
    pub via: Option<&'a str>,
    /// With a row of this table.
    pub table: Option<&'a str>,
    /// With this in the reason, or with a row of this key or name.
    pub text: Option<&'a str>,
    /// At this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Before this time.
    pub until: Option<DateTime<Utc>>,
    /// Older than this one: the next page.
    pub below: Option<(DateTime<Utc>, Uuid)>,
    /// How many at most.
    pub limit: i64,
}

/// Change sets, the newest first. The publisher's own say nothing new, so they are not among them unless they are asked for.
pub async fn sets(db: &mut PgConnection, filter: SetFilter<'_>) -> Result<Vec<SetRow>, DbError> {
    let (below_at, below_id) = filter.below.unzip();
    let sql = query_as!(
        SetRow,
        "select s.id, s.actor, s.author, s.approved_by, s.via, s.reason, s.at from change.change_set s
         where (s.at, s.id) < (coalesce($1::timestamptz, 'infinity'), coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
           and s.at >= coalesce($3::timestamptz, '-infinity') and s.at < coalesce($4::timestamptz, 'infinity')
           and ($5::text is null or s.actor = $5 or s.author = $5) and (s.via = $6 or ($6::text is null and s.via <> $7))
           and ($8::text is null or exists (select from change.change c where c.change_set = s.id and c.table_name = $8))
           and ($9::text is null or position(lower($9) in lower(s.reason)) > 0 or exists (
             select from change.change c where c.change_set = s.id and (c.key = $9 or coalesce(c.after, c.before) ->> 'name' = lower($9))))
         order by s.at desc, s.id desc limit $10",
        below_at,
        below_id,
        filter.since,
        filter.until,
        filter.actor,
        filter.via,
        PUBLISHER,
        filter.table,
        filter.text,
        filter.limit
    );
    Ok(sql.fetch_all(db).await?)
}

/// One change set.
pub async fn set(db: &mut PgConnection, id: Uuid) -> Result<Option<SetRow>, DbError> {
    let sql = query_as!(SetRow, "select id, actor, author, approved_by, via, reason, at from change.change_set where id = $1", id);
    Ok(sql.fetch_optional(db).await?)
}

/// How many rows of each table these change sets changed, of each change set so many rows at most.
pub async fn counts(db: &mut PgConnection, sets: &[Uuid], at_most: i64) -> Result<HashMap<Uuid, Vec<(String, i64)>>, DbError> {
    let rows = query!(
        r#"select s.id as "id!", c.table_name as "table_name!", count(*) as "count!" from unnest($1::uuid[]) s (id)
             cross join lateral (select table_name from change.change where change_set = s.id order by ordinal limit $2) c
           group by s.id, c.table_name order by s.id, c.table_name"#,
        sets,
        at_most
    );
    let mut found: HashMap<Uuid, Vec<(String, i64)>> = HashMap::new();
    for row in rows.fetch_all(db).await? {
        found.entry(row.id).or_default().push((row.table_name, row.count));
    }
    Ok(found)
}

/// A changed row.
#[derive(Debug, Clone)]
pub struct RowRow {
    /// Its change set.
    pub change_set: Uuid,
    /// Its place in the order of all changes.
    pub ordinal: i64,
    /// Which table.
    pub table_name: String,
    /// Which row of it.
    pub key: String,
    /// Whose, where it is a host's.
    pub host_id: Option<Uuid>,
    /// The row before.
    pub before: Option<Value>,
    /// The row after.
    pub after: Option<Value>,
}

/// The rows of a change set after one, in order.
pub async fn rows_of_set(db: &mut PgConnection, set: Uuid, after: i64, limit: i64) -> Result<Vec<RowRow>, DbError> {
    let sql = query_as!(
        RowRow,
        "select change_set, ordinal, table_name, key, host_id, before, after from change.change
         where change_set = $1 and ordinal > $2 order by ordinal limit $3",
        set,
        after,
        limit
    );
    Ok(sql.fetch_all(db).await?)
}

/// What happened to a row that is no host's, the newest first.
pub async fn rows_of_object(db: &mut PgConnection, table: &str, key: &str, below: i64, limit: i64) -> Result<Vec<RowRow>, DbError> {
    let sql = query_as!(
        RowRow,
        "select change_set, ordinal, table_name, key, host_id, before, after from change.change
         where table_name = $1 and key = $2 and host_id is null and ordinal < $3 order by ordinal desc limit $4",
        table,
        key,
        below,
        limit
    );
    Ok(sql.fetch_all(db).await?)
}

/// What happened to a host and to what is its own, the newest first.
pub async fn rows_of_host(db: &mut PgConnection, host: Uuid, below: i64, limit: i64) -> Result<Vec<RowRow>, DbError> {
    let sql = query_as!(
        RowRow,
        "select change_set, ordinal, table_name, key, host_id, before, after from change.change
         where host_id = $1 and ordinal < $2 order by ordinal desc limit $3",
        host,
        below,
        limit
    );
    Ok(sql.fetch_all(db).await?)
}

/// These change sets.
pub async fn sets_by_id(db: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<SetRow>, DbError> {
    let sql = query_as!(SetRow, "select id, actor, author, approved_by, via, reason, at from change.change_set where id = any ($1)", ids);
    Ok(sql.fetch_all(db).await?)
}

/// The key of the row of a small table that last had this value in a column, even when it is gone.
pub async fn last_key(db: &mut PgConnection, table: &str, column: &str, value: &str) -> Result<Option<String>, DbError> {
    let sql = query_scalar!(
        "select key from change.change where table_name = $1 and host_id is null and coalesce(after, before) ->> $2 = $3 order by ordinal desc limit 1",
        table,
        column,
        value
    );
    Ok(sql.fetch_optional(db).await?)
}

/// Who changed a row last: the change set.
pub async fn last_set_of(db: &mut PgConnection, table: &str, key: &str, host: Option<Uuid>) -> Result<Option<SetRow>, DbError> {
    let sql = query_as!(
        SetRow,
        "select s.id, s.actor, s.author, s.approved_by, s.via, s.reason, s.at from change.change_set s where s.id = (
           select c.change_set from change.change c where c.table_name = $1 and c.key = $2 and c.host_id is not distinct from $3
             and (c.host_id = $3 or c.host_id is null) order by c.ordinal desc limit 1)",
        table,
        key,
        host
    );
    Ok(sql.fetch_optional(db).await?)
}

/// What numbers in rows stand for: names by table and key.
pub type Names = HashMap<(&'static str, String), String>;

/// Numbers in rows whose names are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of hosts.
    pub hosts: Vec<Uuid>,
    /// Of nodes.
    pub nodes: Vec<i64>,
    /// Of zones.
    pub zones: Vec<i64>,
    /// Of subnets.
    pub subnets: Vec<i64>,
    /// Of campuses.
    pub campuses: Vec<i64>,
    /// Of departments.
    pub departments: Vec<i64>,
}

/// The names that these numbers have now.
pub async fn names(db: &mut PgConnection, wanted: &Wanted) -> Result<Names, DbError> {
    const TABLES: [&str; 6] = ["ipam.host", "dns.node", "dns.zone", "ipam.subnet", "org.campus", "org.department"];
    let rows = query!(
        r#"select 0 as "table!", h.id::text as "key!", n.name as "name!" from ipam.host h join dns.node n on n.id = h.node_id where h.id = any ($1)
           union all select 1, id::text, name from dns.node where id = any ($2)
           union all select 2, id::text, apex from dns.zone where id = any ($3)
           union all select 3, id::text, network::text from ipam.subnet where id = any ($4)
           union all select 4, id::text, name from org.campus where id = any ($5)
           union all select 5, id::text, name from org.department where id = any ($6)"#,
        &wanted.hosts,
        &wanted.nodes,
        &wanted.zones,
        &wanted.subnets,
        &wanted.campuses,
        &wanted.departments
    );
    let rows = rows.fetch_all(db).await?;
    Ok(rows.into_iter().filter_map(|row| Some(((*TABLES.get(row.table as usize)?, row.key), row.name))).collect())
}
