//! When addresses were last seen in use, and hosts that were not.

use super::{DbError, word};
use chrono::{DateTime, Utc};
use holdfast_proto::words::HostName;
use sqlx::{PgConnection, query, query_scalar};
use std::net::IpAddr;

/// An address seen in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The address.
    pub ip: IpAddr,
    /// When.
    pub seen_at: DateTime<Utc>,
    /// By what: `lease`, `radius`, `probe`.
    pub source: String,
}

/// Remembers sightings; an older one than is known changes nothing.
pub async fn put(db: &mut PgConnection, seen: &[Sighting]) -> Result<(), DbError> {
    let ips: Vec<String> = seen.iter().map(|one| one.ip.to_string()).collect();
    let at: Vec<DateTime<Utc>> = seen.iter().map(|one| one.seen_at).collect();
    let sources: Vec<String> = seen.iter().map(|one| one.source.clone()).collect();
    query!(
        "insert into ipam.sighting (ip, last_seen, source)
         select distinct on (ip) ip::inet, at, source from unnest($1::text[], $2::timestamptz[], $3::text[]) as t (ip, at, source) order by ip, at desc
         on conflict (ip) do update set last_seen = excluded.last_seen, source = excluded.source where ipam.sighting.last_seen < excluded.last_seen",
        &ips,
        &at,
        &sources
    )
    .execute(db)
    .await?;
    Ok(())
}

/// By what an address was seen in use within these days; `None` where by nothing.
pub async fn within(db: &mut PgConnection, ip: IpAddr, days: i32) -> Result<Option<String>, DbError> {
    let sql =
        query_scalar!("select source from ipam.sighting where ip = $1::text::inet and last_seen > now() - make_interval(days => $2)", ip.to_string(), days);
    Ok(sql.fetch_optional(db).await?)
}

/// A host that was not seen for long.
#[derive(Debug, Clone)]
pub struct UnseenRow {
    /// Its name.
    pub name: HostName,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whom to ask.
    pub contact: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When one of its addresses was last seen; `None`: never.
    pub last_seen: Option<DateTime<Utc>>,
    /// By what.
    pub source: Option<String>,
}

/// Hosts with addresses that were made, and last seen, before this time: by name, after one.
pub async fn unseen_since(db: &mut PgConnection, since: DateTime<Utc>, after: Option<&str>, limit: i64) -> Result<Vec<UnseenRow>, DbError> {
    let rows = query!(
        r#"select n.name, array(select host(a.ip) from ipam.address a where a.host_id = h.id order by a.ip) as "addresses!", h.contact, h.created_at,
             last.last_seen as "last_seen?", last.source as "source?"
           from dns.node n join ipam.host h on h.node_id = n.id
             left join lateral (select s.last_seen, s.source from ipam.address a join ipam.sighting s on s.ip = a.ip where a.host_id = h.id
               order by s.last_seen desc limit 1) last on true
           where ($2::text is null or n.name > $2) and h.created_at < $1 and (last.last_seen is null or last.last_seen < $1)
             and exists (select from ipam.address a where a.host_id = h.id)
           order by n.name limit $3"#,
        since,
        after,
        limit
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        Ok(UnseenRow {
            name: word(&row.name)?,
            addresses: super::words(&row.addresses)?,
            contact: row.contact,
            created_at: row.created_at,
            last_seen: row.last_seen,
            source: row.source,
        })
    });
    rows.collect()
}
