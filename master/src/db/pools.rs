//! Pools within subnets, and the containers that subnets are cut from.

use super::{DbError, word};
use holdfast_proto::words::Subnet;
use sqlx::{PgConnection, query, query_scalar};
use std::net::IpAddr;

/// A pool as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolRow {
    /// Its number; of a new one 0.
    pub id: i64,
    /// Its subnet's number.
    pub subnet: i64,
    /// Its subnet's network.
    pub network: Subnet,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Its first address.
    pub first: IpAddr,
    /// Its last address.
    pub last: IpAddr,
    /// `static`, `dynamic` or `reserved`.
    pub kind: String,
    /// Why, where it is reserved.
    pub reason: String,
}

/// The pools of these subnets, of all where there is no list: by address.
pub async fn of_subnets(db: &mut PgConnection, subnets: Option<&[i64]>) -> Result<Vec<PoolRow>, DbError> {
    let rows = query!(
        r#"select p.id, p.subnet_id, s.network::text as "network!", p.name, host(p.first) as "first!", host(p.last) as "last!", p.kind, p.reason
           from ipam.pool p join ipam.subnet s on s.id = p.subnet_id where $1::bigint[] is null or p.subnet_id = any ($1) order by p.first"#,
        subnets
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        Ok(PoolRow {
            id: row.id,
            subnet: row.subnet_id,
            network: word(&row.network)?,
            name: row.name,
            first: word(&row.first)?,
            last: word(&row.last)?,
            kind: row.kind,
            reason: row.reason,
        })
    });
    rows.collect()
}

/// Keeps a new pool.
pub async fn insert(db: &mut PgConnection, row: &PoolRow) -> Result<(), DbError> {
    query!(
        "insert into ipam.pool (subnet_id, name, first, last, kind, reason) values ($1, $2, $3::text::inet, $4::text::inet, $5, $6)",
        row.subnet,
        row.name,
        row.first.to_string(),
        row.last.to_string(),
        row.kind,
        row.reason
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a pool.
pub async fn delete(db: &mut PgConnection, id: i64) -> Result<(), DbError> {
    query!("delete from ipam.pool where id = $1", id).execute(db).await?;
    Ok(())
}

/// Deletes the pools of a subnet that goes.
pub async fn delete_of(db: &mut PgConnection, subnet: i64) -> Result<(), DbError> {
    query!("delete from ipam.pool where subnet_id = $1", subnet).execute(db).await?;
    Ok(())
}

/// The lowest address of a host within a stretch, and the host.
pub async fn somebody_in(db: &mut PgConnection, first: IpAddr, last: IpAddr) -> Result<Option<(IpAddr, String)>, DbError> {
    let row = query!(
        r#"select host(a.ip) as "ip!", n.name from ipam.address a join ipam.host h on h.id = a.host_id join dns.node n on n.id = h.node_id
           where a.ip between $1::text::inet and $2::text::inet order by a.ip limit 1"#,
        first.to_string(),
        last.to_string()
    );
    row.fetch_optional(db).await?.map(|row| Ok((word(&row.ip)?, row.name))).transpose()
}

/// A container as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRow {
    /// Its number.
    pub id: i64,
    /// Its network.
    pub network: Subnet,
    /// What it is for.
    pub purpose: String,
    /// How many subnets lie in it.
    pub subnets: i64,
}

/// All containers, by network.
pub async fn containers(db: &mut PgConnection) -> Result<Vec<ContainerRow>, DbError> {
    let rows = query!(
        r#"select c.id, c.network::text as "network!", c.purpose,
             (select count(*) from ipam.subnet s where s.network <<= c.network) as "subnets!" from ipam.container c order by c.network"#
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|row| Ok(ContainerRow { id: row.id, network: word(&row.network)?, purpose: row.purpose, subnets: row.subnets })).collect()
}

/// Locks a container for the rest of the transaction; whether it is there.
pub async fn lock_container(db: &mut PgConnection, network: Subnet) -> Result<bool, DbError> {
    let sql = query_scalar!("select id from ipam.container where network = $1::text::cidr for update", network.to_string());
    Ok(sql.fetch_optional(db).await?.is_some())
}

/// Keeps a new container.
pub async fn insert_container(db: &mut PgConnection, network: Subnet, purpose: &str) -> Result<(), DbError> {
    query!("insert into ipam.container (network, purpose) values ($1::text::cidr, $2)", network.to_string(), purpose).execute(db).await?;
    Ok(())
}

/// Deletes a container; whether it was there.
pub async fn delete_container(db: &mut PgConnection, network: Subnet) -> Result<bool, DbError> {
    let sql = query!("delete from ipam.container where network = $1::text::cidr", network.to_string());
    Ok(sql.execute(db).await?.rows_affected() > 0)
}
