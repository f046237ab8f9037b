//! What agents lend and have lent, as they say.

use super::{DbError, word};
use chrono::{DateTime, Utc};
use holdfast_proto::words::{NodeId, Subnet};
use sqlx::{PgConnection, query};
use std::net::IpAddr;
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
}

/// Keeps records in their order; an address of no subnet of ours was lent by nobody.
pub async fn put(db: &mut PgConnection, node: NodeId, said: &[SaidRow]) -> Result<(), DbError> {
    let texts = |of: fn(&SaidRow) -> String| said.iter().map(of).collect::<Vec<String>>();
    let (ips, clients, hardware) = (texts(|row| row.ip.to_string()), texts(|row| row.client.clone()), texts(|row| row.hardware.clone()));
    let (names, states) = (texts(|row| row.host_name.clone()), texts(|row| row.state.to_owned()));
    let at: Vec<DateTime<Utc>> = said.iter().map(|row| row.at).collect();
    let until: Vec<DateTime<Utc>> = said.iter().map(|row| row.until).collect();
    query!(
        r#"select count(ipam.note_lease(row(t.ip::inet, $1, t.client, t.hardware, t.host_name, t.state, t.at, t.at, t.until)::ipam.lease) order by t.ordinal)
           from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[])
             with ordinality as t (ip, client, hardware, host_name, state, at, until, ordinal)
           where exists (select from ipam.subnet s where s.network >>= t.ip::inet)"#,
        Uuid::from_bytes(node.0),
        &ips,
        &clients,
        &hardware,
        &names,
        &states,
        &at,
        &until
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
}

/// The newest lease of each address, of a subnet or of all, behind an address, by address.
pub async fn current(db: &mut PgConnection, subnet: Option<Subnet>, after: Option<IpAddr>, limit: i64) -> Result<Vec<LeaseRow>, DbError> {
    let rows = query!(
        r#"select host(l.ip) as "ip!", n.name, l.hardware, l.host_name, l.begun_at, l.until,
             case when l.state = 'active' and l.until <= now() then 'ended' else l.state end as "state!"
           from ipam.lease l join publish.node n on n.id = l.node_id
           where ($1::text is null or l.ip <<= $1::text::cidr) and ($2::text is null or l.ip > $2::text::inet) order by l.ip limit $3"#,
        subnet.map(|subnet| subnet.to_string()),
        after.map(|after| after.to_string()),
        limit
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| {
        let (hardware, host_name, state, since, until) = (row.hardware, row.host_name, row.state, row.begun_at, row.until);
        Ok(LeaseRow { ip: word(&row.ip)?, agent: row.name, hardware, host_name, state, since, until })
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
        Ok(LeaseRow { ip: word(&row.ip)?, agent: row.name, hardware, host_name, state, since, until })
    });
    rows.collect()
}

/// Forgets leases that ended before this time; how many those were.
pub async fn forget_before(db: &mut PgConnection, before: DateTime<Utc>) -> Result<u64, DbError> {
    let past = query!("delete from ipam.past_lease where ended_at < $1", before).execute(&mut *db).await?.rows_affected();
    let last = query!("delete from ipam.lease where until < $1", before).execute(db).await?.rows_affected();
    Ok(past + last)
}
