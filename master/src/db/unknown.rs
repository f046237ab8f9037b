//! Machines that asked for an address and that nobody registered, as agents told.

use super::{DbError, word};
use chrono::{DateTime, Utc};
use holdfast_proto::words::{NodeId, Subnet};
use sqlx::{PgConnection, query};
use std::net::IpAddr;
use uuid::Uuid;

/// A machine as an agent told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineRow {
    /// Its hardware address, as people write it.
    pub hardware: String,
    /// Its hardware type.
    pub htype: i32,
    /// Where it asked.
    pub network: Subnet,
    /// The relay that brought its packets.
    pub relay: Option<IpAddr>,
    /// The relay's name for the port.
    pub port: String,
    /// What its maker calls it.
    pub vendor_class: String,
    /// When it was first seen.
    pub first_seen: DateTime<Utc>,
    /// When it was last seen.
    pub last_seen: DateTime<Utc>,
    /// How many packets came from it, as its agent counted.
    pub packets: i64,
}

/// Keeps what is known of a machine: first and last of all that was told.
pub async fn put(db: &mut PgConnection, node: NodeId, row: &MachineRow) -> Result<(), DbError> {
    query!(
        "insert into ipam.unknown_machine as m (hardware, network, htype, relay, port, vendor_class, first_seen, last_seen, packets, node_id)
         values ($1, $2::text::cidr, $3, $4::text::inet, $5, $6, $7, $8, $9, $10)
         on conflict (hardware, network) do update set (htype, relay, port, vendor_class, first_seen, last_seen, packets, node_id)
           = (excluded.htype, excluded.relay, excluded.port, excluded.vendor_class, least(m.first_seen, excluded.first_seen),
              greatest(m.last_seen, excluded.last_seen), greatest(m.packets, excluded.packets), excluded.node_id)",
        row.hardware,
        row.network.to_string(),
        row.htype,
        row.relay.map(|relay| relay.to_string()),
        row.port,
        row.vendor_class,
        row.first_seen,
        row.last_seen,
        row.packets,
        Uuid::from_bytes(node.0)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A machine that is not registered where it asked, with the agent's name and the address that it has on loan there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownRow {
    /// What the agent told.
    pub machine: MachineRow,
    /// The agent.
    pub agent: String,
    /// What it has on loan.
    pub lent: Option<IpAddr>,
}

/// Machines that nobody has registered since, the one that was seen last first: of one hardware address, of a subnet, or all, behind so
/// many.
pub async fn unknown(db: &mut PgConnection, hardware: Option<&str>, subnet: Option<Subnet>, skip: i64, limit: i64) -> Result<Vec<UnknownRow>, DbError> {
    let rows = query!(
        r#"select m.hardware, m.htype, m.network::text as "network!", host(m.relay) as relay, m.port, m.vendor_class, m.first_seen, m.last_seen, m.packets,
             n.name as agent, (select host(l.ip) from ipam.lease l
               where l.hardware = m.hardware and l.state = 'active' and l.until > now() and l.ip <<= m.network order by l.at desc limit 1) as lent
           from ipam.unknown_machine m join publish.node n on n.id = m.node_id
           where ($1::text is null or m.hardware = $1) and ($2::text is null or m.network <<= $2::text::cidr) and not exists (
             select from ipam.iface i join ipam.link k on k.iface_id = i.id join ipam.subnet s on s.id = k.subnet_id
               where i.mac::text = m.hardware and s.network = m.network)
           order by m.last_seen desc, m.hardware, m.network offset $3 limit $4"#,
        hardware,
        subnet.map(|subnet| subnet.to_string()),
        skip,
        limit
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| {
        let machine = MachineRow {
            hardware: row.hardware,
            htype: row.htype,
            network: word(&row.network)?,
            relay: row.relay.as_deref().map(word).transpose()?,
            port: row.port,
            vendor_class: row.vendor_class,
            first_seen: row.first_seen,
            last_seen: row.last_seen,
            packets: row.packets,
        };
        Ok(UnknownRow { machine, agent: row.agent, lent: row.lent.as_deref().map(word).transpose()? })
    });
    rows.collect()
}

/// Forgets machines that were last seen before this time, and the oldest of more than `rows`; how many those were.
pub async fn forget_before(db: &mut PgConnection, before: DateTime<Utc>, rows: i64) -> Result<u64, DbError> {
    let delete = query!(
        "delete from ipam.unknown_machine where last_seen < $1
           or last_seen < (select last_seen from ipam.unknown_machine order by last_seen desc offset $2 limit 1)",
        before,
        rows
    );
    Ok(delete.execute(db).await?.rows_affected())
}

/// How many addresses of a subnet's dynamic pools there are, are on loan, and are given up and wait; and what becomes of strangers there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolRow {
    /// What becomes of machines that nobody registered.
    pub unknown_machines: String,
    /// Addresses that agents may lend.
    pub lendable: i64,
    /// Of these, on loan.
    pub lent: i64,
    /// Addresses of shares that were given up.
    pub waiting: i64,
    /// Agents that lend them, by name, and whether each is in.
    pub agents: Vec<String>,
}

/// How the pools of a subnet are; `None` where there is no such subnet.
pub async fn pools_of(db: &mut PgConnection, network: Subnet) -> Result<Option<PoolRow>, DbError> {
    let row = query!(
        r#"select s.unknown_machines,
             coalesce((select sum(ipam.size(h.first, h.last)) from ipam.share h where h.given_up is null and h.first <<= s.network), 0)::bigint as "lendable!",
             coalesce((select sum(ipam.size(h.first, h.last)) from ipam.share h where h.given_up is not null and h.first <<= s.network), 0)::bigint as "waiting!",
             (select count(*) from ipam.lease l join ipam.share h on h.given_up is null and ipam.inetrange(h.first, h.last, '[]') @> l.ip
               where l.ip <<= s.network and l.until > now() and l.state <> 'released') as "lent!",
             array(select distinct n.name from ipam.share h join publish.node n on n.id = h.node_id where h.given_up is null and h.first <<= s.network order by n.name) as "agents!"
           from ipam.subnet s where s.network = $1::text::cidr"#,
        network.to_string()
    );
    let row = row.fetch_optional(db).await?;
    Ok(row.map(|row| PoolRow { unknown_machines: row.unknown_machines, lendable: row.lendable, lent: row.lent, waiting: row.waiting, agents: row.agents }))
}
