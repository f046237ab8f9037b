//! Routers with what stands behind their ports, and servers that departments run themselves.

use super::departments::Kept;
use super::{DbError, json, word};
use crate::db::transfers::Transfer;
use chrono::{DateTime, Utc};
use holdfast_proto::words::Subnet;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, query, query_scalar};
use std::net::IpAddr;

/// A port of a router as an admin writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PortDraft {
    /// What the router calls it: `ge-0/0/1`.
    pub name: String,
    /// The subnets behind it.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub subnets: Vec<Subnet>,
}

/// A router as an admin writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouterDraft {
    /// Its name.
    pub name: String,
    /// What it is, in words.
    #[serde(default)]
    pub title: String,
    /// Where it stands.
    pub campus: String,
    /// Its ports.
    #[serde(default)]
    pub ports: Vec<PortDraft>,
}

/// What a department's server is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum ServerKind {
    /// A part of the system: it is given zones, and campus agents answer beside it.
    Member,
    /// Stands alone: names are delegated to it and questions forwarded, no more.
    Independent,
}

/// A server that a department runs itself, as an admin writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerDraft {
    /// Its name, a short word.
    pub name: String,
    /// Whose it is.
    pub department: String,
    /// What it is to us.
    pub kind: ServerKind,
    /// Its address, in a subnet that is the department's alone.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// The TSIG key that it signs its questions with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Anything else.
    #[serde(default)]
    pub note: String,
}

/// All routers with their ports, by name.
pub async fn routers(db: &mut PgConnection) -> Result<Vec<Kept<RouterDraft>>, DbError> {
    let rows = query!(
        r#"select r.name, r.title, c.name as campus, r.version, coalesce((
             select jsonb_agg(jsonb_build_object('name', p.name, 'subnets', (
               select coalesce(jsonb_agg(s.network::text order by s.network), '[]') from ipam.port_subnet k join ipam.subnet s on s.id = k.subnet_id
               where k.port_id = p.id)) order by p.name)
             from ipam.router_port p where p.router_id = r.id), '[]') as "ports!"
           from ipam.router r join org.campus c on c.id = r.campus_id order by r.name"#
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| {
        let draft = RouterDraft { name: row.name, title: row.title, campus: row.campus, ports: json(row.ports)? };
        Ok(Kept { version: row.version, draft })
    });
    rows.collect()
}

/// Keeps a new router at a campus that is there.
pub async fn insert_router(db: &mut PgConnection, draft: &RouterDraft) -> Result<(), DbError> {
    let sql = query_scalar!(
        "insert into ipam.router (name, title, campus_id) select $1, $2, id from org.campus where name = $3 returning id",
        draft.name,
        draft.title,
        draft.campus
    );
    let router = sql.fetch_one(&mut *db).await?;
    put_ports(db, router, &draft.ports).await
}

/// Changes a router; its new version, `None` where there is none of that name.
pub async fn update_router(db: &mut PgConnection, name: &str, draft: &RouterDraft) -> Result<Option<i64>, DbError> {
    let sql = query!(
        "update ipam.router set name = $2, title = $3, campus_id = (select id from org.campus where name = $4), version = version + 1
         where name = $1 returning id, version",
        name,
        draft.name,
        draft.title,
        draft.campus
    );
    let Some(row) = sql.fetch_optional(&mut *db).await? else { return Ok(None) };
    put_ports(db, row.id, &draft.ports).await?;
    Ok(Some(row.version))
}

/// The ports of a router become these; what is there already stays as it is.
async fn put_ports(db: &mut PgConnection, router: i64, ports: &[PortDraft]) -> Result<(), DbError> {
    let names: Vec<String> = ports.iter().map(|port| port.name.clone()).collect();
    let (of, networks): (Vec<String>, Vec<String>) =
        ports.iter().flat_map(|port| port.subnets.iter().map(|subnet| (port.name.clone(), subnet.to_string()))).unzip();
    query!(
        "delete from ipam.port_subnet k using ipam.router_port p, ipam.subnet s where p.id = k.port_id and s.id = k.subnet_id and p.router_id = $1
           and not exists (select from unnest($2::text[], $3::text[]) as t (port, network) where t.port = p.name and t.network::cidr = s.network)",
        router,
        &of,
        &networks
    )
    .execute(&mut *db)
    .await?;
    query!("delete from ipam.router_port where router_id = $1 and not name = any ($2)", router, &names).execute(&mut *db).await?;
    query!("insert into ipam.router_port (router_id, name) select $1, name from unnest($2::text[]) as t (name) on conflict do nothing", router, &names)
        .execute(&mut *db)
        .await?;
    query!(
        "insert into ipam.port_subnet (port_id, subnet_id) select p.id, s.id from unnest($2::text[], $3::text[]) as t (port, network)
           join ipam.router_port p on p.router_id = $1 and p.name = t.port join ipam.subnet s on s.network = t.network::cidr on conflict do nothing",
        router,
        &of,
        &networks
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a router with its ports; false where there was none.
pub async fn delete_router(db: &mut PgConnection, name: &str) -> Result<bool, DbError> {
    let Some(router) = query_scalar!("select id from ipam.router where name = $1", name).fetch_optional(&mut *db).await? else { return Ok(false) };
    put_ports(db, router, &[]).await?;
    Ok(query!("delete from ipam.router where id = $1", router).execute(db).await?.rows_affected() > 0)
}

/// All departments' servers, by name.
pub async fn servers(db: &mut PgConnection) -> Result<Vec<Kept<ServerDraft>>, DbError> {
    let rows = query!(
        r#"select s.name, d.name as department, s.kind as "kind: ServerKind", host(s.address) as "address!", s.tsig_key, s.note, s.version
           from org.server s join org.department d on d.id = s.department_id order by s.name"#
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| {
        let (kind, address) = (row.kind, word(&row.address)?);
        Ok(Kept { version: row.version, draft: ServerDraft { name: row.name, department: row.department, kind, address, key: row.tsig_key, note: row.note } })
    });
    rows.collect()
}

/// Keeps a new server of a department that is there.
pub async fn insert_server(db: &mut PgConnection, draft: &ServerDraft) -> Result<(), DbError> {
    query!(
        "insert into org.server (name, department_id, kind, address, tsig_key, note) select $1, id, $3, $4::text::inet, $5, $6 from org.department where name = $2",
        draft.name,
        draft.department,
        draft.kind as _,
        draft.address.to_string(),
        draft.key,
        draft.note
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Changes a server; its new version, `None` where there is none of that name.
pub async fn update_server(db: &mut PgConnection, name: &str, draft: &ServerDraft) -> Result<Option<i64>, DbError> {
    let sql = query_scalar!(
        "update org.server set name = $2, department_id = (select id from org.department where name = $3), kind = $4, address = $5::text::inet, tsig_key = $6,
           note = $7, version = version + 1 where name = $1 returning version",
        name,
        draft.name,
        draft.department,
        draft.kind as _,
        draft.address.to_string(),
        draft.key,
        draft.note
    );
    Ok(sql.fetch_optional(db).await?)
}

/// Deletes a server; false where there was none.
pub async fn delete_server(db: &mut PgConnection, name: &str) -> Result<bool, DbError> {
    Ok(query!("delete from org.server where name = $1", name).execute(db).await?.rows_affected() > 0)
}

/// A subnet with what says whose it is and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetRow {
    /// The network.
    pub network: Subnet,
    /// Its campus.
    pub campus: String,
    /// Its department.
    pub department: Option<String>,
    /// Its hosts by the department that is named at them, which is not the subnet's: department and how many.
    pub guests: Vec<(String, i64)>,
    /// How many hosts it has.
    pub hosts: i64,
}

/// All subnets, by network; of one department only those that it has, has a server or a host in, or that stand at a port with one of these.
pub async fn subnets(db: &mut PgConnection, department: Option<&str>) -> Result<Vec<SubnetRow>, DbError> {
    let rows = query!(
        r#"select s.network::text as "network!", c.name as campus, d.name as "department?",
             (select count(distinct a.host_id) from ipam.address a where a.subnet_id = s.id) as "hosts!", (
               select coalesce(jsonb_agg(jsonb_build_array(g.name, g.hosts) order by g.name), '[]') from (
                 select o.name, count(distinct h.id) as hosts from ipam.host h join org.department o on o.id = h.department_id
                   join ipam.address a on a.host_id = h.id
                 where h.department_id is not null and a.subnet_id = s.id and h.department_id is distinct from s.department_id group by o.name) g) as "guests!"
           from ipam.subnet s join org.campus c on c.id = s.campus_id left join org.department d on d.id = s.department_id
           where $1::text is null or s.id in (
             with own as (
               select o.id from ipam.subnet o join org.department od on od.id = o.department_id where od.name = $1
               union select o.id from org.server v join org.department od on od.id = v.department_id join ipam.subnet o on o.network >>= v.address where od.name = $1
               union select a.subnet_id from ipam.host h join org.department od on od.id = h.department_id join ipam.address a on a.host_id = h.id where od.name = $1)
             select id from own union select b.subnet_id from own join ipam.port_subnet k on k.subnet_id = own.id join ipam.port_subnet b on b.port_id = k.port_id)
           order by s.network"#,
        department
    );
    let rows =
        rows.fetch_all(db).await?.into_iter().map(|row| {
            Ok(SubnetRow { network: word(&row.network)?, campus: row.campus, department: row.department, guests: json(row.guests)?, hosts: row.hosts })
        });
    rows.collect()
}

/// The names of a department's hosts that have an address on one of these networks, with their first address there.
pub async fn hosts_on(db: &mut PgConnection, department: &str, networks: &[Subnet]) -> Result<Vec<(String, IpAddr)>, DbError> {
    let networks: Vec<String> = networks.iter().map(Subnet::to_string).collect();
    let rows = query!(
        r#"select n.name, host(min(a.ip)) as "ip!" from ipam.subnet s join ipam.address a on a.subnet_id = s.id join ipam.host h on h.id = a.host_id
             join dns.node n on n.id = h.node_id left join org.department d on d.id = coalesce(h.department_id, s.department_id)
           where s.network = any ($2::text[]::cidr[]) and d.name = $1 group by n.name order by n.name"#,
        department,
        &networks
    );
    rows.fetch_all(db).await?.into_iter().map(|row| Ok((row.name, word(&row.ip)?))).collect()
}

/// A zone of a department, and who may have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneRow {
    /// Its apex.
    pub apex: String,
    /// Who may have it.
    pub transfers: Vec<Transfer>,
    /// Whether we copy it from others.
    pub is_copy: bool,
}

/// The zones of a department, and those that cover its subnets' addresses, by name.
pub async fn zones_of(db: &mut PgConnection, department: &str) -> Result<Vec<ZoneRow>, DbError> {
    let rows = query!(
        r#"select z.apex, z.transfers, z.primaries <> '[]' as "is_copy!" from dns.zone z left join org.department d on d.id = z.department_id
           where d.name = $1 or exists (select from ipam.subnet s join org.department o on o.id = s.department_id where o.name = $1 and s.network <<= z.network)
           order by z.apex"#,
        department
    );
    rows.fetch_all(db).await?.into_iter().map(|row| Ok(ZoneRow { apex: row.apex, transfers: json(row.transfers)?, is_copy: row.is_copy })).collect()
}

/// A zone that somebody took, or asked after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = servers::Pull)]
pub struct PullRow {
    /// The zone.
    pub zone: String,
    /// Who.
    pub client: String,
    /// The key that they signed with; empty where they did not.
    pub key: String,
    /// `axfr`, or `ixfr` for what changed since.
    pub asked: String,
    /// When last.
    pub at: DateTime<Utc>,
}

/// Notes that somebody was given a zone.
pub async fn note_pulled(pool: &sqlx::PgPool, row: &PullRow) -> Result<(), DbError> {
    query!(
        "insert into dns.pulled (zone, client, key, asked, at) values ($1, $2::text::inet, $3, $4, $5)
         on conflict (zone, client, key) do update set asked = excluded.asked, at = excluded.at",
        row.zone,
        row.client,
        row.key,
        row.asked,
        row.at
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// What this address was given, the last first.
pub async fn pulls(db: &mut PgConnection, client: IpAddr) -> Result<Vec<PullRow>, DbError> {
    let rows =
        query!(r#"select zone, host(client) as "client!", key, asked, at from dns.pulled where client = $1::text::inet order by at desc"#, client.to_string());
    let rows = rows.fetch_all(db).await?;
    Ok(rows.into_iter().map(|row| PullRow { zone: row.zone, client: row.client, key: row.key, asked: row.asked, at: row.at }).collect())
}
