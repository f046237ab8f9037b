//! Addresses that were given back, and what holds each of them.

use super::{DbError, word};
use chrono::{DateTime, Utc};
use holdfast_proto::words::{Mac, Subnet};
use sqlx::{PgConnection, query, query_scalar};
use std::net::IpAddr;
use uuid::Uuid;

/// A quarantined address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRow {
    /// The address.
    pub ip: IpAddr,
    /// Its subnet.
    pub network: Subnet,
    /// Who had it.
    pub host: Uuid,
    /// The name that host had.
    pub name: String,
    /// The hardware address it was used with.
    pub mac: Option<Mac>,
    /// The change set that gave it back.
    pub change_set: Uuid,
    /// When that was.
    pub freed_at: DateTime<Utc>,
    /// The end of the time it waits in any case.
    pub until: DateTime<Utc>,
    /// The agents that may still answer with it, in words.
    pub waiting_for: Vec<String>,
}

/// The quarantined ones among these addresses; all where there is no list, after `after`, at most `limit`: by address.
pub async fn list(db: &mut PgConnection, of: Option<&[String]>, after: Option<&str>, limit: i64) -> Result<Vec<HeldRow>, DbError> {
    let rows = query!(
        r#"with chosen as materialized (
             select q.* from ipam.quarantine q
             where ($1::text[] is null or q.ip = any ($1::text[]::inet[])) and ($2::text is null or q.ip > $2::text::inet) order by q.ip limit $3),
           holders as materialized (select * from ipam.waiting_for(array(select distinct change_set from chosen)))
           select host(q.ip) as "ip!", s.network::text as "network!", q.host_id as "host_id!", q.name as "name!", q.mac::text as mac, q.change_set as "change_set!",
             q.freed_at as "freed_at!", q.until as "until!",
             array(select distinct case when h.generation is null then 'the master has not published the change yet: agent ' || h.agent || ' cannot know it'
                   else 'agent ' || h.agent || ' has not confirmed generation ' || h.generation || ' yet' end
                   from holders h where h.change_set = q.change_set order by 1) as "waiting_for!"
           from chosen q join ipam.subnet s on s.id = q.subnet_id order by q.ip"#,
        of,
        after,
        limit
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        Ok(HeldRow {
            ip: word(&row.ip)?,
            network: word(&row.network)?,
            host: row.host_id,
            name: row.name,
            mac: row.mac.as_deref().map(word).transpose()?,
            change_set: row.change_set,
            freed_at: row.freed_at,
            until: row.until,
            waiting_for: row.waiting_for,
        })
    });
    rows.collect()
}

/// Whether any address of these subnets is quarantined.
pub async fn is_any_of(db: &mut PgConnection, subnets: &[i64]) -> Result<bool, DbError> {
    let sql = query_scalar!(r#"select exists (select from ipam.quarantine where subnet_id = any ($1)) as "any!""#, subnets);
    Ok(sql.fetch_one(db).await?)
}

/// Gives free what nothing holds any more, of these subnets or of all, at most so many: how many it was.
pub async fn release_due(db: &mut PgConnection, subnets: Option<&[i64]>, at_most: i32) -> Result<i64, DbError> {
    Ok(query_scalar!(r#"select ipam.release_due($1, $2) as "released!""#, subnets, at_most).fetch_one(db).await?)
}

/// Gives one address free at once, and leaves it in the history as a row that went; whether it was quarantined.
pub async fn release(db: &mut PgConnection, ip: IpAddr) -> Result<bool, DbError> {
    query!("select ipam.lock_subnets(array(select subnet_id from ipam.quarantine where ip = $1::text::inet))", ip.to_string()).fetch_one(&mut *db).await?;
    let sql = query_scalar!(
        r#"with gone as (delete from ipam.quarantine where ip = $1::text::inet returning *),
           kept as (insert into change.change (change_set, table_name, key, before)
             select change.current_set(), 'ipam.quarantine', host(ip), to_jsonb(g) from gone g)
           select ipam.give(array_agg(subnet_id), array_agg(ip)) is not null as "given!" from gone having count(*) > 0"#,
        ip.to_string()
    );
    Ok(sql.fetch_optional(db).await?.is_some())
}
