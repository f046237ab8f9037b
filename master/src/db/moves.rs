//! Planned moves, and the TTLs of hosts that they lower.

use super::{DbError, number, word};
use chrono::{DateTime, Utc};
use holdfast_proto::words::Subnet;
use sqlx::{PgConnection, query, query_scalar};
use std::net::IpAddr;
use uuid::Uuid;

/// A planned move as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRow {
    /// Its identity.
    pub id: Uuid,
    /// The host.
    pub host: Uuid,
    /// The host's name; `None` where it is gone.
    pub name: Option<String>,
    /// Where to.
    pub network: Subnet,
    /// To which address; `None`: the next free one.
    pub address: Option<IpAddr>,
    /// Which of its interfaces.
    pub interface: u32,
    /// When.
    pub at: DateTime<Utc>,
    /// The host's own TTL before, in seconds.
    pub old_ttl: Option<u32>,
    /// When the last answer with the TTL before has run out.
    pub settled_at: DateTime<Utc>,
    /// Who planned it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// `planned`, `done`, `failed` or `cancelled`.
    pub state: String,
    /// Why it failed.
    pub why: String,
}

/// The planned moves by time: one of them, or all that are not over; with `due` only those whose time has come.
pub async fn list(db: &mut PgConnection, id: Option<Uuid>, due: bool) -> Result<Vec<PlannedRow>, DbError> {
    let rows = query!(
        r#"select m.id, m.host_id, n.name as "name?", m.network::text as "network!", host(m.address) as address, m.interface, m.at, m.old_ttl, m.settled_at,
             m.actor, m.reason, m.state, m.why
           from ipam.planned_move m left join ipam.host h on h.id = m.host_id left join dns.node n on n.id = h.node_id
           where (m.id = $1 or ($1::uuid is null and (m.state = 'planned' or m.at > now() - interval '30 days'))) and (not $2 or (m.state = 'planned' and m.at <= now()))
           order by m.at, m.id"#,
        id,
        due
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        Ok(PlannedRow {
            id: row.id,
            host: row.host_id,
            name: row.name,
            network: word(&row.network)?,
            address: row.address.as_deref().map(word).transpose()?,
            interface: number(i64::from(row.interface))?,
            at: row.at,
            old_ttl: row.old_ttl.map(number).transpose()?,
            settled_at: row.settled_at,
            actor: row.actor,
            reason: row.reason,
            state: row.state,
            why: row.why,
        })
    });
    rows.collect()
}

/// Locks a planned move that is still to be made; whether it is. Nobody waits for who has it.
pub async fn lock(db: &mut PgConnection, id: Uuid) -> Result<bool, DbError> {
    let sql = query_scalar!("select id from ipam.planned_move where id = $1 and state = 'planned' for update skip locked", id);
    Ok(sql.fetch_optional(db).await?.is_some())
}

/// Keeps a planned move; actor and reason are those of the open change set.
pub async fn insert(db: &mut PgConnection, row: &PlannedRow) -> Result<(), DbError> {
    query!(
        "insert into ipam.planned_move (id, host_id, network, address, interface, at, old_ttl, settled_at, actor, reason)
         select $1, $2, $3::text::cidr, $4::text::inet, $5, $6, $7, $8, s.actor, s.reason from change.change_set s where s.id = change.current_set()",
        row.id,
        row.host,
        row.network.to_string(),
        row.address.map(|address| address.to_string()),
        row.interface as i32,
        row.at,
        row.old_ttl.map(i64::from),
        row.settled_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// By which way a planned move was planned, and who approved that.
pub async fn approval_of(db: &mut PgConnection, id: Uuid) -> Result<(String, Option<String>), DbError> {
    let sql = query!(
        "select s.via, s.approved_by from change.change c join change.change_set s on s.id = c.change_set
         where c.table_name = 'ipam.planned_move' and c.key = $1 and c.before is null order by s.at desc limit 1",
        id.to_string()
    );
    Ok(sql.fetch_optional(db).await?.map(|row| (row.via, row.approved_by)).unwrap_or_default())
}

/// A planned move is over.
pub async fn end(db: &mut PgConnection, id: Uuid, state: &str, why: &str) -> Result<(), DbError> {
    query!("update ipam.planned_move set state = $2, why = $3 where id = $1", id, state, why).execute(db).await?;
    Ok(())
}

/// The planned move of a host, where there is one.
pub async fn of_host(db: &mut PgConnection, host: Uuid) -> Result<Option<(Uuid, DateTime<Utc>)>, DbError> {
    let row = query!("select id, at from ipam.planned_move where host_id = $1 and state = 'planned'", host);
    Ok(row.fetch_optional(db).await?.map(|row| (row.id, row.at)))
}

/// A host's own TTL, in seconds; `None`: its zones'.
pub async fn ttl(db: &mut PgConnection, host: Uuid) -> Result<Option<u32>, DbError> {
    let ttl = query_scalar!("select ttl from ipam.host where id = $1", host).fetch_optional(db).await?.flatten();
    ttl.map(number).transpose()
}

/// Sets a host's own TTL; its new version, `None` where it is gone.
pub async fn set_ttl(db: &mut PgConnection, host: Uuid, ttl: Option<u32>) -> Result<Option<i64>, DbError> {
    let sql =
        query_scalar!("update ipam.host set ttl = $2, version = version + 1, updated_at = now() where id = $1 returning version", host, ttl.map(i64::from));
    Ok(sql.fetch_optional(db).await?)
}

/// What a host answers for the longest, in seconds: the greatest TTL of its name's zone and of its addresses' reverse zones.
pub async fn longest_ttl(db: &mut PgConnection, host: Uuid) -> Result<u32, DbError> {
    let sql = query_scalar!(
        r#"select greatest(max(z.ttl), 0) as "ttl!" from ipam.host h join dns.node n on n.id = h.node_id
             join dns.zone z on z.id = n.zone_id or exists (select from ipam.address a where a.host_id = h.id and a.ip <<= z.network) where h.id = $1"#,
        host
    );
    number(sql.fetch_one(db).await?)
}
