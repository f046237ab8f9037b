//! Names beside a host's own that have all its addresses, and the names that an address points back to.

use super::{DbError, word};
use holdfast_proto::words::DomainName;
use sqlx::{PgConnection, query};
use std::net::IpAddr;
use uuid::Uuid;

/// The other names of these hosts, by name.
pub async fn of_hosts(db: &mut PgConnection, hosts: &[Uuid]) -> Result<Vec<(Uuid, DomainName)>, DbError> {
    let sql = query!("select x.host_id, n.name from ipam.extra_name x join dns.node n on n.id = x.node_id where x.host_id = any ($1) order by n.name", hosts);
    sql.fetch_all(db).await?.into_iter().map(|row| Ok((row.host_id, word(&row.name)?))).collect()
}

/// A name that a host shall have beside its own.
#[derive(Debug)]
pub struct NewName {
    /// The host.
    pub host: Uuid,
    /// The zone that the name lies in.
    pub zone: i64,
    /// The name; it may have records already.
    pub name: DomainName,
}

/// Keeps other names of hosts, and their nodes where there are none yet.
pub async fn insert(db: &mut PgConnection, rows: &[NewName]) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    let hosts: Vec<Uuid> = rows.iter().map(|row| row.host).collect();
    let zones: Vec<i64> = rows.iter().map(|row| row.zone).collect();
    let names: Vec<String> = rows.iter().map(|row| row.name.without_dot()).collect();
    query!(
        "insert into dns.node (zone_id, name, kind) select z, n, 'data' from unnest($1::bigint[], $2::text[]) as t (z, n) on conflict (name) do nothing",
        &zones,
        &names
    )
    .execute(&mut *db)
    .await?;
    query!(
        "insert into ipam.extra_name (node_id, host_id) select n.id, t.host from unnest($1::uuid[], $2::text[]) as t (host, name) join dns.node n on n.name = t.name",
        &hosts,
        &names
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes those of a host's other names away that are not to be kept; the nodes that they had.
pub async fn delete(db: &mut PgConnection, host: Uuid, keep: &[String]) -> Result<Vec<i64>, DbError> {
    let sql = query!(
        "delete from ipam.extra_name x using dns.node n where n.id = x.node_id and x.host_id = $1 and n.name <> all ($2) returning x.node_id",
        host,
        keep
    );
    Ok(sql.fetch_all(db).await?.into_iter().map(|row| row.node_id).collect())
}

/// Which names the addresses of these hosts point back to, where that was said.
pub async fn pointers(db: &mut PgConnection, hosts: &[Uuid]) -> Result<Vec<(Uuid, IpAddr, DomainName)>, DbError> {
    let sql = query!(
        r#"select p.host_id, host(p.ip) as "ip!", n.name from ipam.pointer p join dns.node n on n.id = p.node_id
           where p.host_id = any ($1) order by p.ip, n.name"#,
        hosts
    );
    sql.fetch_all(db).await?.into_iter().map(|row| Ok((row.host_id, word(&row.ip)?, word(&row.name)?))).collect()
}

/// Keeps which names addresses point back to: host, address, name.
pub async fn insert_pointers(db: &mut PgConnection, rows: &[(Uuid, IpAddr, &DomainName)]) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    let hosts: Vec<Uuid> = rows.iter().map(|(host, ..)| *host).collect();
    let addresses: Vec<String> = rows.iter().map(|(_, address, _)| address.to_string()).collect();
    let names: Vec<String> = rows.iter().map(|(.., name)| name.without_dot()).collect();
    query!(
        "insert into ipam.pointer (host_id, ip, node_id)
         select t.host, t.ip::inet, n.id from unnest($1::uuid[], $2::text[], $3::text[]) as t (host, ip, name) join dns.node n on n.name = t.name",
        &hosts,
        &addresses,
        &names
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets the addresses of a host point back to its own name again.
pub async fn delete_pointers(db: &mut PgConnection, host: Uuid) -> Result<(), DbError> {
    query!("delete from ipam.pointer where host_id = $1", host).execute(db).await?;
    Ok(())
}
