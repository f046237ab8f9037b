//! Machines that turned up: what waits to become a host, what became of the others, and how they are called.

use super::{DbError, number, word};
use chrono::{DateTime, Utc};
use holdfast_proto::words::{DomainName, Mac, Subnet};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, query, query_scalar};
use std::net::IpAddr;

/// How they are called where nobody said how.
const PATTERN_DEFAULT: &str = "new-{mac}";
/// How many in an hour where nobody said how many.
const PER_HOUR_DEFAULT: i32 = 20;
/// What is told of at once.
const TOLD_AT_ONCE: i64 = 200;
/// It is told when nothing came for so long, or when the first has waited for so long, in seconds.
const QUIET_SECS: f64 = 2.0;
const WAITED_SECS: f64 = 30.0;

/// How machines that turn up in a subnet become hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = discoveries::Rule)]
pub struct DiscoveryRule {
    /// The subnet.
    #[schema(value_type = String)]
    pub subnet: Subnet,
    /// What they are called: `dev-{mac}` under the subnet's domain, or a full name; `{mac}` is the hardware address, `{tail}` its last six
    /// digits.
    #[serde(default = "pattern_default")]
    pub name: String,
    /// How many in an hour, at most; the others are counted.
    #[serde(default = "per_hour_default")]
    pub per_hour: u16,
}

fn pattern_default() -> String {
    PATTERN_DEFAULT.to_owned()
}

fn per_hour_default() -> u16 {
    PER_HOUR_DEFAULT as u16
}

/// All rules, by subnet.
pub async fn rules(db: &mut PgConnection) -> Result<Vec<DiscoveryRule>, DbError> {
    let rows = query!(
        r#"select s.network::text as "network!", r.pattern, r.per_hour from ipam.discovery_rule r join ipam.subnet s on s.id = r.subnet_id order by s.network"#
    );
    let rows = rows.fetch_all(db).await?.into_iter();
    rows.map(|row| Ok(DiscoveryRule { subnet: word(&row.network)?, name: row.pattern, per_hour: number(i64::from(row.per_hour))? })).collect()
}

/// Keeps a rule, new or changed, of a subnet that is there.
pub async fn put_rule(db: &mut PgConnection, subnet: i64, rule: &DiscoveryRule) -> Result<(), DbError> {
    query!(
        "insert into ipam.discovery_rule (subnet_id, pattern, per_hour) values ($1, $2, $3)
         on conflict (subnet_id) do update set (pattern, per_hour) = (excluded.pattern, excluded.per_hour)",
        subnet,
        rule.name,
        i32::from(rule.per_hour)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes a rule away; false where there was none.
pub async fn delete_rule(db: &mut PgConnection, subnet: i64) -> Result<bool, DbError> {
    Ok(query!("delete from ipam.discovery_rule where subnet_id = $1", subnet).execute(db).await?.rows_affected() > 0)
}

/// A machine that turned up, as it is noted.
#[derive(Debug)]
pub struct NewDiscovery<'a> {
    /// Its hardware address.
    pub mac: Mac,
    /// Its subnet's number.
    pub subnet: i64,
    /// The address that it was seen with.
    pub ip: Option<IpAddr>,
    /// The port that it was seen at.
    pub port: &'a str,
    /// Who saw it.
    pub source: &'a str,
}

/// Notes one; one that waits already waits on.
pub async fn note(db: &mut PgConnection, new: &NewDiscovery<'_>) -> Result<(), DbError> {
    query!(
        "insert into ipam.discovery (hardware, subnet_id, ip, port, source) values ($1::text::macaddr, $2, $3::text::inet, $4, $5) on conflict do nothing",
        new.mac.to_string(),
        new.subnet,
        new.ip.map(|ip| ip.to_string()),
        new.port,
        new.source
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The subnet that an address lies in, or that is this network: number, network, and what becomes of strangers there.
pub async fn subnet_at(db: &mut PgConnection, place: &str) -> Result<Option<(i64, Subnet, String)>, DbError> {
    let row = query!(r#"select id, network::text as "network!", unknown_machines from ipam.subnet where network::inet >>= $1::text::inet"#, place);
    row.fetch_optional(db).await?.map(|row| Ok((row.id, word(&row.network)?, row.unknown_machines))).transpose()
}

/// Whether a host has this hardware address on a subnet.
pub async fn is_registered(db: &mut PgConnection, mac: Mac, subnet: i64) -> Result<bool, DbError> {
    let sql = query_scalar!(
        r#"select exists (select from ipam.link k where k.subnet_id = $2 and k.mac = $1::text::macaddr) as "is_there!""#,
        mac.to_string(),
        subnet
    );
    Ok(sql.fetch_one(db).await?)
}

/// The lowest address that a machine has on a subnet.
pub async fn address_of(db: &mut PgConnection, mac: Mac, subnet: i64) -> Result<Option<IpAddr>, DbError> {
    let sql = query_scalar!(
        r#"select host(min(a.ip)) from ipam.link k join ipam.address a on a.iface_id = k.iface_id and a.subnet_id = k.subnet_id
           where k.subnet_id = $2 and k.mac = $1::text::macaddr"#,
        mac.to_string(),
        subnet
    );
    sql.fetch_one(db).await?.as_deref().map(word).transpose()
}

/// A subnet where somebody waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceRow {
    /// Its number.
    pub id: i64,
    /// The network.
    pub network: Subnet,
    /// What becomes of strangers there.
    pub policy: String,
    /// The domain of its hosts.
    pub domain: Option<DomainName>,
    /// How they are called.
    pub pattern: String,
    /// How many in an hour.
    pub per_hour: i64,
}

/// The subnets where somebody waits.
pub async fn places(db: &mut PgConnection) -> Result<Vec<PlaceRow>, DbError> {
    let rows = query!(
        r#"select s.id, s.network::text as "network!", s.unknown_machines, s.domain, coalesce(r.pattern, $1) as "pattern!", coalesce(r.per_hour, $2) as "per_hour!"
           from ipam.subnet s left join ipam.discovery_rule r on r.subnet_id = s.id
           where s.id in (select d.subnet_id from ipam.discovery d where d.state = 'waiting') order by s.id"#,
        PATTERN_DEFAULT,
        PER_HOUR_DEFAULT
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| {
        Ok(PlaceRow {
            id: row.id,
            network: word(&row.network)?,
            policy: row.unknown_machines,
            domain: row.domain.as_deref().map(word).transpose()?,
            pattern: row.pattern,
            per_hour: i64::from(row.per_hour),
        })
    });
    rows.collect()
}

/// One that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingRow {
    /// Its number.
    pub id: i64,
    /// Its hardware address.
    pub mac: Mac,
    /// The address that it was seen with.
    pub ip: Option<IpAddr>,
    /// The port that it was seen at.
    pub port: String,
    /// Who saw it.
    pub source: String,
}

/// The one that has waited longest in a subnet, for this transaction alone; `None` where none waits, or the number of this hour is reached.
/// One master at a time decides, so that the number holds.
pub async fn take(db: &mut PgConnection, place: &PlaceRow) -> Result<Option<WaitingRow>, DbError> {
    query!("select pg_advisory_xact_lock(hashtext('ipam.discovery'))").execute(&mut *db).await?;
    let row = query!(
        r#"select id, hardware::text as "mac!", host(ip) as ip, port, source from ipam.discovery where subnet_id = $1 and state = 'waiting'
             and $2 > (select count(*) from ipam.discovery d where d.subnet_id = $1 and d.done_at > now() - interval '1 hour' and d.state in ('made', 'reported', 'refused'))
           order by ip is null, id limit 1 for update skip locked"#,
        place.id,
        place.per_hour
    );
    let row = row.fetch_optional(db).await?;
    let of = |row: &Option<String>| row.as_deref().map(word).transpose();
    row.map(|row| Ok(WaitingRow { id: row.id, mac: word(&row.mac)?, ip: of(&row.ip)?, port: row.port, source: row.source })).transpose()
}

/// Says what became of one.
pub async fn settle(db: &mut PgConnection, id: i64, state: &str, host: Option<&str>, ip: Option<IpAddr>, detail: &str) -> Result<(), DbError> {
    query!(
        "update ipam.discovery set state = $2, host = $3, ip = coalesce($4::text::inet, ip), detail = $5, done_at = now(), told = $2 = 'known' where id = $1",
        id,
        state,
        host,
        ip.map(|ip| ip.to_string()),
        detail
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Counts those that still wait in a subnet whose number of this hour is reached, and forgets them; how many those were.
pub async fn count_over(db: &mut PgConnection, place: &PlaceRow) -> Result<i64, DbError> {
    let sql = query_scalar!(
        r#"with over as (
             delete from ipam.discovery where subnet_id = $1 and state = 'waiting'
               and $2 <= (select count(*) from ipam.discovery d where d.subnet_id = $1 and d.done_at > now() - interval '1 hour' and d.state in ('made', 'reported', 'refused'))
             returning 1),
           counted as (
             insert into ipam.discovery_flood as f (subnet_id, over, untold, last_at) select $1, count(*), count(*), now() from over having count(*) > 0
             on conflict (subnet_id) do update set (over, untold, last_at) = (f.over + excluded.over, f.untold + excluded.untold, excluded.last_at))
           select count(*) as "over!" from over"#,
        place.id,
        place.per_hour
    );
    Ok(sql.fetch_one(db).await?)
}

/// A subnet of which there is something to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewsRow {
    /// Its number.
    pub id: i64,
    /// The network.
    pub network: Subnet,
    /// Its campus.
    pub campus: String,
    /// Its department.
    pub department: Option<String>,
    /// How many in an hour.
    pub per_hour: i64,
}

/// Subnets of which there is something to be told, where it has been quiet for a moment, or somebody has waited for long. Numbers alone are
/// told once an hour.
pub async fn news(db: &mut PgConnection) -> Result<Vec<NewsRow>, DbError> {
    let rows = query!(
        r#"with event as (
             select subnet_id, min(done_at) as first, max(done_at) as last from ipam.discovery where not told and state <> 'waiting' group by subnet_id),
           quiet as (
             select coalesce(e.subnet_id, f.subnet_id) as id from event e
               full join (select * from ipam.discovery_flood where untold > 0) f on f.subnet_id = e.subnet_id
             where (e.subnet_id is not null or f.told_at is null or f.told_at < now() - interval '1 hour')
               and (greatest(e.last, f.last_at) < now() - make_interval(secs => $2) or e.first < now() - make_interval(secs => $3)))
           select s.id, s.network::text as "network!", c.name as campus, d.name as "department?", coalesce(r.per_hour, $1) as "per_hour!"
           from quiet q join ipam.subnet s on s.id = q.id join org.campus c on c.id = s.campus_id left join org.department d on d.id = s.department_id
             left join ipam.discovery_rule r on r.subnet_id = s.id order by s.id"#,
        PER_HOUR_DEFAULT,
        QUIET_SECS,
        WAITED_SECS
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| {
        let (network, per_hour) = (word(&row.network)?, i64::from(row.per_hour));
        Ok(NewsRow { id: row.id, network, campus: row.campus, department: row.department, per_hour })
    });
    rows.collect()
}

/// What became of a machine that turned up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = discoveries::Discovery)]
pub struct DiscoveryRow {
    /// Its number.
    pub id: i64,
    /// Its hardware address.
    pub mac: String,
    /// Its subnet.
    #[schema(value_type = String)]
    pub subnet: Subnet,
    /// The address that it was seen with, or was given.
    #[schema(value_type = Option<String>)]
    pub ip: Option<IpAddr>,
    /// The port that it was seen at.
    pub port: String,
    /// Who saw it.
    pub source: String,
    /// When.
    pub at: DateTime<Utc>,
    /// `waiting`, `made` (it is a host now), `known` (it was one), `reported`, or `refused`.
    pub state: String,
    /// What it is called.
    pub host: Option<String>,
    /// Why not.
    pub detail: String,
}

/// What is to be told of a subnet, marked as told: what became of machines, and how many more there were.
pub async fn take_news(db: &mut PgConnection, subnet: i64) -> Result<(Vec<DiscoveryRow>, i64), DbError> {
    let over = query_scalar!(
        r#"update ipam.discovery_flood f set untold = 0, told_at = now() from (select * from ipam.discovery_flood where subnet_id = $1 for update) o
           where f.subnet_id = o.subnet_id and o.untold > 0 returning o.untold as "untold!""#,
        subnet
    );
    let over = over.fetch_optional(&mut *db).await?.unwrap_or_default();
    let ids = query_scalar!(
        "update ipam.discovery set told = true where id in (
           select id from ipam.discovery where subnet_id = $1 and not told and state <> 'waiting' order by id limit $2 for update skip locked) returning id",
        subnet,
        TOLD_AT_ONCE
    );
    let ids = ids.fetch_all(&mut *db).await?;
    Ok((list(db, &Wanted { ids: Some(&ids), limit: TOLD_AT_ONCE, ..Wanted::default() }).await?, over))
}

/// Which of them.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// These.
    pub ids: Option<&'a [i64]>,
    /// Of this subnet.
    pub subnet: Option<Subnet>,
    /// In this state.
    pub state: Option<&'a str>,
    /// Of this hardware address.
    pub mac: Option<Mac>,
    /// Below this number.
    pub below: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

/// What turned up, the last first.
pub async fn list(db: &mut PgConnection, wanted: &Wanted<'_>) -> Result<Vec<DiscoveryRow>, DbError> {
    let rows = query!(
        r#"select d.id, d.hardware::text as "mac!", s.network::text as "network!", host(d.ip) as ip, d.port, d.source, d.at, d.state, d.host, d.detail
           from ipam.discovery d join ipam.subnet s on s.id = d.subnet_id
           where ($1::bigint[] is null or d.id = any ($1)) and ($2::text is null or s.network = $2::text::cidr) and ($3::text is null or d.state = $3)
             and ($4::text is null or d.hardware = $4::text::macaddr) and ($5::bigint is null or d.id < $5) order by d.id desc limit $6"#,
        wanted.ids,
        wanted.subnet.map(|subnet| subnet.to_string()),
        wanted.state,
        wanted.mac.map(|mac| mac.to_string()),
        wanted.below,
        wanted.limit
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| {
        let (subnet, ip) = (word(&row.network)?, row.ip.as_deref().map(word).transpose()?);
        let (mac, port, source, at, state) = (row.mac, row.port, row.source, row.at, row.state);
        Ok(DiscoveryRow { id: row.id, mac, subnet, ip, port, source, at, state, host: row.host, detail: row.detail })
    });
    rows.collect()
}

/// Forgets what turned up before this time; how many those were.
pub async fn forget_before(db: &mut PgConnection, before: DateTime<Utc>) -> Result<u64, DbError> {
    Ok(query!("delete from ipam.discovery where at < $1 and state <> 'waiting' and told", before).execute(db).await?.rows_affected())
}
