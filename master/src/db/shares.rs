//! Which agent lends which addresses of the dynamic pools.

use super::{DbError, number, word};
use chrono::{DateTime, Utc};
use holdfast_proto::words::{NodeId, Subnet};
use sqlx::{PgConnection, query, query_scalar};
use std::net::Ipv4Addr;
use uuid::Uuid;

/// A subnet on which addresses are lent, or were.
#[derive(Debug, Clone)]
pub struct GroundRow {
    /// The subnet's number.
    pub subnet: i64,
    /// Its network.
    pub network: Subnet,
    /// Its campus's number.
    pub campus: i64,
    /// How long an address is lent, in seconds.
    pub lease_secs: u32,
    /// What lies in its dynamic pools, from first to last, by address.
    pub pools: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// Addresses in them that nobody can be lent now: its gateway, what is in quarantine. By address.
    pub taken: Vec<Ipv4Addr>,
}

/// A share as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareRow {
    /// Its first address.
    pub first: Ipv4Addr,
    /// Its last address.
    pub last: Ipv4Addr,
    /// The agent.
    pub node: NodeId,
    /// The longest lease that the agent may have given, in seconds.
    pub lease_secs: i64,
    /// The change set that took it away; `None` while its agent lends.
    pub given_up: Option<Uuid>,
    /// When the last lease has run out; `None` until its agent has confirmed that it lends no more.
    pub until: Option<DateTime<Utc>>,
}

/// The subnets with dynamic pools or shares, all of them or these, by number.
pub async fn grounds(db: &mut PgConnection, subnets: Option<&[i64]>) -> Result<Vec<GroundRow>, DbError> {
    let rows = query!(
        r#"select s.id, s.network::text as "network!", s.campus_id, s.pool_lease_secs,
             array(select host(p.first) from ipam.pool p where p.subnet_id = s.id and p.kind = 'dynamic' order by p.first) as "firsts!",
             array(select host(p.last) from ipam.pool p where p.subnet_id = s.id and p.kind = 'dynamic' order by p.first) as "lasts!",
             array(select host(t.ip) from (select q.ip from ipam.quarantine q where q.subnet_id = s.id union select s.gateway where s.gateway is not null) t
               where exists (select from ipam.pool p where p.subnet_id = s.id and p.kind = 'dynamic' and t.ip between p.first and p.last)
                 and not exists (select from ipam.share h where ipam.inetrange(h.first, h.last, '[]') @> t.ip)
               order by t.ip) as "taken!"
           from ipam.subnet s
           where family(s.network) = 4 and ($1::bigint[] is null or s.id = any ($1))
             and (exists (select from ipam.pool p where p.subnet_id = s.id and p.kind = 'dynamic')
               or exists (select from ipam.share h
                 where ipam.inetrange(h.first, h.last, '[]') && ipam.inetrange(ipam.lowest(s.network), ipam.highest(s.network), '[]')))
           order by s.id"#,
        subnets
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let ends = row.firsts.iter().zip(&row.lasts);
        Ok(GroundRow {
            subnet: row.id,
            network: word(&row.network)?,
            campus: row.campus_id,
            lease_secs: number(row.pool_lease_secs)?,
            pools: ends.map(|(first, last)| Ok((word(first)?, word(last)?))).collect::<Result<_, DbError>>()?,
            taken: super::words(&row.taken)?,
        })
    });
    rows.collect()
}

/// All shares, by address.
pub async fn all(db: &mut PgConnection) -> Result<Vec<ShareRow>, DbError> {
    let rows = query!(r#"select host(first) as "first!", host(last) as "last!", node_id, lease_secs, given_up, until from ipam.share order by first"#);
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| {
        Ok(ShareRow {
            first: word(&row.first)?,
            last: word(&row.last)?,
            node: NodeId(*row.node_id.as_bytes()),
            lease_secs: row.lease_secs,
            given_up: row.given_up,
            until: row.until,
        })
    });
    rows.collect()
}

/// The agents that are in, with the numbers of their campuses, by name; and of each campus which one stands in for it.
pub async fn agents(db: &mut PgConnection) -> Result<(Vec<(NodeId, i64)>, Vec<(i64, Option<i64>)>), DbError> {
    let agents = query!(
        r#"select id, campus_id as "campus_id!" from publish.node where role = 'agent' and revoked_at is null and campus_id is not null order by name"#
    );
    let agents = agents.fetch_all(&mut *db).await?.into_iter().map(|row| (NodeId(*row.id.as_bytes()), row.campus_id)).collect();
    let campuses = query!("select id, backup_id from org.campus order by id").fetch_all(db).await?;
    Ok((agents, campuses.into_iter().map(|row| (row.id, row.backup_id)).collect()))
}

/// Takes the shares that begin at these addresses away, and keeps the others in their place.
pub async fn replace(db: &mut PgConnection, gone: &[Ipv4Addr], come: &[ShareRow]) -> Result<(), DbError> {
    let texts = |addresses: &mut dyn Iterator<Item = Ipv4Addr>| addresses.map(|address| address.to_string()).collect::<Vec<_>>();
    let gone = texts(&mut gone.iter().copied());
    query!("delete from ipam.share where first = any ($1::text[]::inet[])", &gone).execute(&mut *db).await?;
    let (firsts, lasts) = (texts(&mut come.iter().map(|row| row.first)), texts(&mut come.iter().map(|row| row.last)));
    let nodes: Vec<Uuid> = come.iter().map(|row| Uuid::from_bytes(row.node.0)).collect();
    let secs: Vec<i64> = come.iter().map(|row| row.lease_secs).collect();
    let sets: Vec<Option<Uuid>> = come.iter().map(|row| row.given_up).collect();
    let until: Vec<Option<DateTime<Utc>>> = come.iter().map(|row| row.until).collect();
    query!(
        "insert into ipam.share (first, last, node_id, lease_secs, given_up, until)
         select first::inet, last::inet, node, secs, given_up, until
         from unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[], $5::uuid[], $6::timestamptz[]) as t (first, last, node, secs, given_up, until)",
        &firsts,
        &lasts,
        &nodes,
        &secs,
        &sets as _,
        &until as _
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What is lent on no subnet of ours any more is given up; how many shares that were.
pub async fn give_up_orphans(db: &mut PgConnection, change_set: Uuid) -> Result<u64, DbError> {
    let sql = query!(
        "update ipam.share h set given_up = $1 where h.given_up is null and not exists (select from ipam.subnet s where s.network >>= h.first)",
        change_set
    );
    Ok(sql.execute(db).await?.rows_affected())
}

/// Ends what was given up, was confirmed and has run out; how many shares that were.
pub async fn end(db: &mut PgConnection) -> Result<i64, DbError> {
    Ok(query_scalar!(r#"select ipam.end_shares() as "ended!""#).fetch_one(db).await?)
}

/// A share as people see it.
#[derive(Debug, Clone)]
pub struct ShareView {
    /// Its first address.
    pub first: Ipv4Addr,
    /// Its last address.
    pub last: Ipv4Addr,
    /// The agent's name.
    pub agent: String,
    /// Its agent was told to lend no more.
    pub is_given_up: bool,
    /// When the addresses are free; `None` before the agent has confirmed.
    pub until: Option<DateTime<Utc>>,
}

/// The shares that touch a subnet, or all of them, by address.
pub async fn seen(db: &mut PgConnection, network: Option<Subnet>) -> Result<Vec<ShareView>, DbError> {
    let rows = query!(
        r#"select host(h.first) as "first!", host(h.last) as "last!", n.name, h.given_up is not null as "is_given_up!", h.until
           from ipam.share h join publish.node n on n.id = h.node_id
           where $1::text is null or h.first <<= $1::text::cidr or h.last <<= $1::text::cidr order by h.first"#,
        network.map(|network| network.to_string())
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| {
        Ok(ShareView { first: word(&row.first)?, last: word(&row.last)?, agent: row.name, is_given_up: row.is_given_up, until: row.until })
    });
    rows.collect()
}
