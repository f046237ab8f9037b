//! What agents lend and have lent, as they say.

use super::zones::reverse_bounds;
use super::{DbError, number, word};
use chrono::{DateTime, Utc};
use holdfast_proto::words::{DomainName, NodeId, Subnet};
use sqlx::{PgConnection, query, query_scalar};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use uuid::Uuid;

/// One record of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaidRow {
    /// The address.
    pub ip: IpAddr,
    /// What its client is known by, in hexadecimal.
    pub client: String,
    /// Its client's hardware address, as people write it.
    pub hardware: String,
    /// What its client calls itself.
    pub host_name: String,
    /// `active`, `released` or `declined`.
    pub state: &'static str,
    /// When that was.
    pub at: DateTime<Utc>,
    /// When the lease ends.
    pub until: DateTime<Utc>,
    /// What DNS calls the client while it has the address.
    pub name: Option<String>,
}

/// Which of these addresses an agent lends, or did; also those of no subnet of ours, of which nobody is told anything.
pub async fn lent_by(db: &mut PgConnection, node: NodeId, said: &[SaidRow]) -> Result<HashSet<IpAddr>, DbError> {
    let ips: Vec<String> = said.iter().map(|row| row.ip.to_string()).collect();
    let rows = query_scalar!(
        r#"select distinct t.ip as "ip!" from unnest($2::text[]) as t (ip)
           where ipam.may_lend($1, t.ip::inet) or not exists (select from ipam.subnet s where s.network >>= t.ip::inet)"#,
        Uuid::from_bytes(node.0),
        &ips
    );
    rows.fetch_all(db).await?.iter().map(|ip| word(ip)).collect()
}

/// Keeps what an agent said of addresses that it does not lend apart, and tells of it as of something that the agent reported, once in
/// ten minutes.
pub async fn put_foreign(db: &mut PgConnection, node: NodeId, said: &[SaidRow], event: &str) -> Result<(), DbError> {
    let texts = |of: fn(&SaidRow) -> String| said.iter().map(of).collect::<Vec<String>>();
    let (ips, hardware, names) = (texts(|row| row.ip.to_string()), texts(|row| row.hardware.clone()), texts(|row| row.host_name.clone()));
    let (states, at) = (texts(|row| row.state.to_owned()), said.iter().map(|row| row.at).collect::<Vec<DateTime<Utc>>>());
    query!(
        "insert into ipam.foreign_lease as f (node_id, ip, hardware, host_name, state, said_at)
         select distinct on (t.ip) $1, t.ip::inet, t.hardware, t.host_name, t.state, t.at
         from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[]) with ordinality as t (ip, hardware, host_name, state, at, ordinal)
         order by t.ip, t.ordinal desc
         on conflict (node_id, ip) do update set (hardware, host_name, state, said_at, received_at, times)
           = (excluded.hardware, excluded.host_name, excluded.state, excluded.said_at, now(), f.times + 1)",
        Uuid::from_bytes(node.0),
        &ips,
        &hardware,
        &names,
        &states,
        &at
    )
    .execute(&mut *db)
    .await?;
    let detail = format!(
        "the agent spoke of {} leases of addresses that it has no share of, the first of {}: they stand in no history, and the box should be looked at",
        said.len(),
        ips.first().map_or("none", String::as_str)
    );
    query!(
        "insert into report.event (node_id, spool, sequence, at, kind, severity, event, detail)
         select $1, 'master', coalesce((select max(sequence) from report.event where node_id = $1 and spool = 'master'), 0) + 1, now(), 0, 3, $2, $3
         where not exists (select from report.event where node_id = $1 and event = $2 and received_at > now() - interval '10 minutes')
         on conflict do nothing",
        Uuid::from_bytes(node.0),
        event,
        detail
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps records in their order; an address of no subnet of ours was lent by nobody.
pub async fn put(db: &mut PgConnection, node: NodeId, said: &[SaidRow]) -> Result<(), DbError> {
    let texts = |of: fn(&SaidRow) -> String| said.iter().map(of).collect::<Vec<String>>();
    let (ips, clients, hardware) = (texts(|row| row.ip.to_string()), texts(|row| row.client.clone()), texts(|row| row.hardware.clone()));
    let (names, states) = (texts(|row| row.host_name.clone()), texts(|row| row.state.to_owned()));
    let at: Vec<DateTime<Utc>> = said.iter().map(|row| row.at).collect();
    let until: Vec<DateTime<Utc>> = said.iter().map(|row| row.until).collect();
    let dns_names: Vec<Option<String>> = said.iter().map(|row| row.name.clone()).collect();
    query!(
        r#"select count(ipam.note_lease(row(t.ip::inet, $1, t.client, t.hardware, t.host_name, t.state, t.at, t.at, t.until, t.name)::ipam.lease) order by t.ordinal)
           from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[], $9::text[])
             with ordinality as t (ip, client, hardware, host_name, state, at, until, name, ordinal)
           where exists (select from ipam.subnet s where s.network >>= t.ip::inet)"#,
        Uuid::from_bytes(node.0),
        &ips,
        &clients,
        &hardware,
        &names,
        &states,
        &at,
        &until,
        &dns_names as _
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// A lease that is, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    /// The address.
    pub ip: IpAddr,
    /// The agent's name.
    pub agent: String,
    /// The client's hardware address.
    pub hardware: String,
    /// What the client calls itself.
    pub host_name: String,
    /// `active`, `ended`, `released` or `declined`.
    pub state: String,
    /// Since when the client had it.
    pub since: DateTime<Utc>,
    /// When it ends, or ended.
    pub until: DateTime<Utc>,
    /// What DNS calls the client, where it has the address and a name.
    pub name: Option<String>,
}

/// The newest lease of each address, of a subnet or of all, behind an address, by address.
pub async fn current(db: &mut PgConnection, subnet: Option<Subnet>, after: Option<IpAddr>, limit: i64) -> Result<Vec<LeaseRow>, DbError> {
    let rows = query!(
        r#"select host(l.ip) as "ip!", n.name, l.hardware, l.host_name, l.begun_at, l.until,
             case when l.state = 'active' and l.until > now() then l.name end as dns_name,
             case when l.state = 'active' and l.until <= now() then 'ended' else l.state end as "state!"
           from ipam.lease l join publish.node n on n.id = l.node_id
           where ($1::text is null or l.ip <<= $1::text::cidr) and ($2::text is null or l.ip > $2::text::inet) order by l.ip limit $3"#,
        subnet.map(|subnet| subnet.to_string()),
        after.map(|after| after.to_string()),
        limit
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| {
        let (hardware, host_name, state, since, until) = (row.hardware, row.host_name, row.state, row.begun_at, row.until);
        Ok(LeaseRow { ip: word(&row.ip)?, agent: row.name, hardware, host_name, state, since, until, name: row.dns_name })
    });
    rows.collect()
}

/// All that is known of who had an address, or of what a machine had, on loan: the last first, at most `limit`.
pub async fn history(db: &mut PgConnection, ip: Option<IpAddr>, hardware: Option<&str>, limit: i64) -> Result<Vec<LeaseRow>, DbError> {
    let rows = query!(
        r#"select host(l.ip) as "ip!", n.name as "name!", l.hardware as "hardware!", l.host_name as "host_name!", l.state as "state!",
             l.begun_at as "begun_at!", l.until as "until!"
           from (
             select ip, node_id, hardware, host_name, 'active' as state, begun_at, until from ipam.lease where state = 'active' and until > now()
             union all
             select ip, node_id, hardware, host_name, 'ended', begun_at, until from ipam.lease where state = 'active' and until <= now()
             union all
             select ip, node_id, hardware, host_name, 'ended', begun_at, ended_at from ipam.past_lease) l
           join publish.node n on n.id = l.node_id
           where ($1::text is null or l.ip = $1::text::inet) and ($2::text is null or l.hardware = $2) order by l.begun_at desc, l.ip limit $3"#,
        ip.map(|ip| ip.to_string()),
        hardware,
        limit
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| {
        let (hardware, host_name, state, since, until) = (row.hardware, row.host_name, row.state, row.begun_at, row.until);
        Ok(LeaseRow { ip: word(&row.ip)?, agent: row.name, hardware, host_name, state, since, until, name: None })
    });
    rows.collect()
}

/// Forgets leases that ended before this time; how many those were.
pub async fn forget_before(db: &mut PgConnection, before: DateTime<Utc>) -> Result<u64, DbError> {
    let past = query!("delete from ipam.past_lease where ended_at < $1", before).execute(&mut *db).await?.rows_affected();
    let last = query!("delete from ipam.lease where until < $1", before).execute(&mut *db).await?.rows_affected();
    query!("delete from ipam.foreign_lease where received_at < $1", before).execute(db).await?;
    Ok(past + last)
}

/// Makes the names that are published what the leases say; whether anything was wrong.
pub async fn settle_names(db: &mut PgConnection) -> Result<bool, DbError> {
    Ok(query_scalar!(r#"select ipam.settle_lent_names() as "settled!""#).fetch_one(db).await? > 0)
}

/// What somebody who wants to end a lease has to know of it.
#[derive(Debug, Clone)]
pub struct EndableRow {
    /// The agent that lent it.
    pub node: Uuid,
    /// The agent's name.
    pub agent: String,
    /// Its client, in hexadecimal.
    pub client: String,
    /// Its client's hardware address.
    pub hardware: String,
    /// Its subnet's number.
    pub subnet: i64,
    /// Its subnet.
    pub network: Subnet,
    /// Whether it runs.
    pub is_active: bool,
}

/// The lease of an address of ours.
pub async fn endable(db: &mut PgConnection, ip: IpAddr) -> Result<Option<EndableRow>, DbError> {
    let row = query!(
        r#"select l.node_id, n.name as agent, l.client, l.hardware, s.id as subnet, s.network::text as "network!",
             l.state = 'active' and l.until > now() as "is_active!"
           from ipam.lease l join publish.node n on n.id = l.node_id join ipam.subnet s on s.network >>= l.ip where l.ip = $1::text::inet"#,
        ip.to_string()
    );
    let Some(row) = row.fetch_optional(db).await? else { return Ok(None) };
    let (node, agent, client, hardware) = (row.node_id, row.agent, row.client, row.hardware);
    Ok(Some(EndableRow { node, agent, client, hardware, subnet: row.subnet, network: word(&row.network)?, is_active: row.is_active }))
}

/// Has its agent end a lease.
pub async fn end(db: &mut PgConnection, ip: IpAddr, row: &EndableRow) -> Result<(), DbError> {
    query!(
        "insert into ipam.lease_end (ip, subnet_id, agent_id, client) values ($1::text::inet, $2, $3, $4)
         on conflict (ip) do update set (subnet_id, agent_id, client) = (excluded.subnet_id, excluded.agent_id, excluded.client)",
        ip.to_string(),
        row.subnet,
        row.node,
        row.client
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether there are ends of which nothing is left to be done.
pub async fn has_done_ends(db: &mut PgConnection) -> Result<bool, DbError> {
    Ok(query_scalar!(r#"select exists (select from ipam.done_lease_end) as "has!""#).fetch_one(db).await?)
}

/// Takes these away.
pub async fn take_done_ends(db: &mut PgConnection) -> Result<(), DbError> {
    query!("delete from ipam.lease_end where ip in (select ip from ipam.done_lease_end)").execute(db).await?;
    Ok(())
}

/// What is published of names of leased machines at these names.
#[derive(Debug, Clone)]
pub struct LentFacts {
    /// The address of a machine with this name: agent, address and TTL in seconds.
    pub forward: Option<(NodeId, Ipv4Addr, u32)>,
    /// The name of the machine at this reverse name's address: agent, name and TTL in seconds.
    pub reverse: Option<(NodeId, DomainName, u32)>,
    /// Whether reverse names lie below it.
    pub is_between: bool,
}

/// What is lent at these names, in their order.
pub async fn lent_at(db: &mut PgConnection, names: &[DomainName]) -> Result<Vec<LentFacts>, DbError> {
    let bounds: Vec<Option<(IpAddr, IpAddr)>> = names.iter().map(reverse_bounds).collect();
    let texts: Vec<String> = names.iter().map(DomainName::without_dot).collect();
    let addresses: Vec<Option<String>> = names.iter().map(|name| Some(name.reversed_address()?.to_string())).collect();
    let first: Vec<Option<String>> = bounds.iter().map(|bounds| Some(bounds.as_ref()?.0.to_string())).collect();
    let last: Vec<Option<String>> = bounds.iter().map(|bounds| Some(bounds.as_ref()?.1.to_string())).collect();
    let rows = query!(
        r#"select host(f.ip) as "ip?", f.node_id as "forward_node?", f.ttl as "forward_ttl?", r.name as "name?", r.node_id as "reverse_node?", r.ttl as "reverse_ttl?",
             exists (select from ipam.lent_name b where b.ip >= t.first::inet and b.ip <= t.last::inet) as "is_between!"
           from unnest($1::text[], $2::text[], $3::text[], $4::text[]) with ordinality as t (name, address, first, last, place)
           left join ipam.lent_name f on f.name = t.name left join ipam.lent_name r on r.ip = t.address::inet order by t.place"#,
        &texts,
        &addresses as _,
        &first as _,
        &last as _
    );
    let node = |id: Uuid| NodeId(*id.as_bytes());
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| {
        let forward = row.ip.zip(row.forward_node).zip(row.forward_ttl).map(|((ip, id), ttl)| Ok::<_, DbError>((node(id), word(&ip)?, number(ttl)?)));
        let reverse = row.name.zip(row.reverse_node).zip(row.reverse_ttl).map(|((name, id), ttl)| Ok::<_, DbError>((node(id), word(&name)?, number(ttl)?)));
        Ok(LentFacts { forward: forward.transpose()?, reverse: reverse.transpose()?, is_between: row.is_between })
    });
    rows.collect()
}
