//! Rows as they were at a time, put together in the database from the audit's images and what is there now. Nothing is locked.

use super::{DbError, json};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, query, query_scalar};
use std::collections::HashMap;
use uuid::Uuid;

/// When the first change set was made: nothing is known of the time before it.
pub async fn beginning(db: &mut PgConnection) -> Result<Option<DateTime<Utc>>, DbError> {
    Ok(query_scalar!("select min(at) from change.change_set").fetch_one(db).await?)
}

/// The host that had this name.
pub async fn host_named(db: &mut PgConnection, name: &str, at: DateTime<Utc>) -> Result<Option<Uuid>, DbError> {
    Ok(query_scalar!("select change.host_named_at($1, $2)", name, at).fetch_one(db).await?)
}

/// A page of hosts by name, after one.
pub async fn hosts(db: &mut PgConnection, at: DateTime<Utc>, after: &str, limit: i32) -> Result<Vec<(String, Value)>, DbError> {
    let rows = query!(r#"select name as "name!", host as "host!" from change.hosts_at($1, $2, $3)"#, at, after, limit).fetch_all(db).await?;
    Ok(rows.into_iter().map(|row| (row.name, row.host)).collect())
}

/// The rows of a table that belonged to these hosts.
pub async fn rows_of_hosts(db: &mut PgConnection, table: &str, key: &str, hosts: &[Uuid], at: DateTime<Utc>) -> Result<Vec<Value>, DbError> {
    Ok(query_scalar!(r#"select change.host_rows_at($1, $2, $3, $4) as "row!""#, table, key, hosts, at).fetch_all(db).await?)
}

/// All rows of a small table.
pub async fn rows(db: &mut PgConnection, table: &str, key: &str, at: DateTime<Utc>) -> Result<Vec<Value>, DbError> {
    Ok(query_scalar!(r#"select change.rows_at($1, $2, $3) as "row!""#, table, key, at).fetch_all(db).await?)
}

/// The name of a node.
pub async fn node_name(db: &mut PgConnection, node: i64, at: DateTime<Utc>) -> Result<Option<String>, DbError> {
    let row = query_scalar!("select change.row_at('dns.node', 'id', $1, $2)", node.to_string(), at).fetch_one(db).await?;
    Ok(row.and_then(|row| row["name"].as_str().map(str::to_owned)))
}

/// The aliases of each of these names.
pub async fn aliases(db: &mut PgConnection, names: &[String], at: DateTime<Utc>) -> Result<HashMap<String, Vec<String>>, DbError> {
    let rows = query!(r#"select n.name as "name!", a.alias from unnest($1::text[]) n (name), change.aliases_at(n.name, $2) a (alias)"#, names, at);
    let mut found: HashMap<String, Vec<String>> = HashMap::new();
    for row in rows.fetch_all(db).await? {
        found.entry(row.name).or_default().extend(row.alias);
    }
    Ok(found)
}

/// The data of the NS records at a name: wire form.
pub async fn name_servers(db: &mut PgConnection, name: &str, at: DateTime<Utc>) -> Result<Vec<Vec<u8>>, DbError> {
    let rows = query_scalar!(
        r#"select r.image as "image!" from (
             select n.id::text as node from dns.node n where n.name = $1
             union select c.key from change.change c where c.table_name = 'dns.node' and coalesce(c.after, c.before) ->> 'name' = $1) k,
           change.records_at(k.node, $2) r (image)
           where change.row_at('dns.node', 'id', k.node, $2) ->> 'name' = $1 and r.image ->> 'rtype' = '2'"#,
        name,
        at
    );
    let images = rows.fetch_all(db).await?;
    Ok(images.iter().filter_map(|image| hex::decode(image["rdata"].as_str()?.strip_prefix("\\x")?).ok()).collect())
}

/// How many more addresses each subnet had at that time than now, by the subnet's number: fewer are negative. Reads every
/// address that was changed since.
pub async fn more_addresses(db: &mut PgConnection, at: DateTime<Utc>) -> Result<HashMap<i64, i64>, DbError> {
    let rows = query!(
        r#"select v.subnet as "subnet!", sum(v.more)::bigint as "more!" from change.change_set s join change.change c on c.change_set = s.id
             cross join lateral (values ((c.before ->> 'subnet_id')::bigint, 1), ((c.after ->> 'subnet_id')::bigint, -1)) v (subnet, more)
           where s.at > $1 and c.table_name = 'ipam.address' and v.subnet is not null group by v.subnet"#,
        at
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.subnet, row.more)).collect())
}

/// How many addresses each subnet has now, by its number.
pub async fn addresses_now(db: &mut PgConnection) -> Result<HashMap<i64, i64>, DbError> {
    let rows = query!(r#"select subnet_id, count(*) as "count!" from ipam.address group by subnet_id"#).fetch_all(db).await?;
    Ok(rows.into_iter().map(|row| (row.subnet_id, row.count)).collect())
}

/// A column of an image, read as what it was written from.
pub fn column<T: serde::de::DeserializeOwned>(image: &Value, name: &str) -> Result<T, DbError> {
    json(image[name].clone())
}
