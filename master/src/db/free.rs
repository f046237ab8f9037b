//! What is free, and what a subnet's addresses are. The triggers of the migration keep the free ranges; here they are read.

use super::{DbError, word};
use holdfast_proto::words::Subnet;
use sqlx::{PgConnection, query, query_scalar};
use std::net::IpAddr;

/// Locks subnets for the rest of the transaction, always in the same order: who takes or gives back an address holds this.
pub async fn lock(db: &mut PgConnection, subnets: &[i64]) -> Result<(), DbError> {
    query!("select ipam.lock_subnets($1)", subnets).fetch_one(db).await?;
    Ok(())
}

/// Makes the free ranges of every subnet with shares anew: shares were put where no rule had a look.
pub async fn remake_around_shares(db: &mut PgConnection) -> Result<(), DbError> {
    query!(
        "select ipam.remake_free_ranges(array(select distinct s.id from ipam.share h join ipam.subnet s
           on ipam.inetrange(h.first, h.last, '[]') && ipam.inetrange(ipam.lowest(s.network), ipam.highest(s.network), '[]')))"
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// The lowest free ranges of a subnet that touch `first` to `last`, in order; the outer ones may reach beyond.
pub async fn ranges(db: &mut PgConnection, subnet: i64, first: IpAddr, last: IpAddr, limit: i64) -> Result<Vec<(IpAddr, IpAddr)>, DbError> {
    // The range that `first` lies in, and those that begin behind it: two looks at the index, however many there are.
    let rows = query!(
        r#"select host(first) as "first!", host(last) as "last!" from (
             (select f.first, f.last from ipam.free_range f where f.subnet_id = $1 and f.first < $2::text::inet order by f.first desc limit 1)
             union all
             (select f.first, f.last from ipam.free_range f where f.subnet_id = $1 and f.first >= $2::text::inet and f.first <= $3::text::inet
              order by f.first limit $4)) near
           where near.last >= $2::text::inet order by near.first"#,
        subnet,
        first.to_string(),
        last.to_string(),
        limit
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|row| Ok((word(&row.first)?, word(&row.last)?))).collect()
}

/// Which subnets suit a wish.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Of this campus.
    pub campus: Option<&'a str>,
    /// Of this department.
    pub department: Option<&'a str>,
    /// With this VLAN.
    pub vlan: Option<i32>,
    /// For devices of this class.
    pub class: Option<&'a str>,
    /// 4 or 6.
    pub family: i32,
}

/// The subnets that suit, in the order in which they are to be filled.
pub async fn suitable(db: &mut PgConnection, wanted: Wanted<'_>) -> Result<Vec<(i64, Subnet)>, DbError> {
    let rows = query!(
        r#"select s.id, s.network::text as "network!" from ipam.subnet s join org.campus c on c.id = s.campus_id
             left join org.department d on d.id = s.department_id
           where ($1::text is null or c.name = $1) and ($2::text is null or d.name = $2) and ($3::int is null or s.vlan = $3)
             and ($4::text is null or s.classes @> array[$4]) and family(s.network) = $5
           order by s.preference, s.network"#,
        wanted.campus,
        wanted.department,
        wanted.vlan,
        wanted.class,
        wanted.family
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|row| Ok((row.id, word(&row.network)?))).collect()
}

/// How many addresses of a subnet are what. IPv6 subnets hold more than a machine number does: such counts stop at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// All that hosts can have.
    pub total: u64,
    /// Can be handed out now.
    pub free: u64,
    /// Were given back and wait.
    pub quarantined: u64,
    /// Lie in dynamic or reserved pools.
    pub excluded: u64,
    /// Belong to hosts.
    pub used: u64,
}

/// The numbers of all subnets, or of one.
pub async fn numbers(db: &mut PgConnection, subnet: Option<i64>) -> Result<Vec<(i64, Numbers)>, DbError> {
    let rows = query!(
        r#"select id as "id!", total::text as "total!", free::text as "free!", quarantined as "quarantined!", excluded::text as "excluded!", used as "used!"
           from ipam.subnet_numbers where $1::bigint is null or id = $1"#,
        subnet
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let numbers = Numbers {
            total: whole(&row.total)?,
            free: whole(&row.free)?,
            quarantined: super::number(row.quarantined)?,
            excluded: whole(&row.excluded)?,
            used: super::number(row.used)?,
        };
        Ok((row.id, numbers))
    });
    rows.collect()
}

fn whole(text: &str) -> Result<u64, DbError> {
    let number: u128 = text.parse().map_err(|_| DbError::Damaged(format!("the count {text}")))?;
    Ok(number.try_into().unwrap_or(u64::MAX))
}

/// A stretch of a subnet's addresses that are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The first of them.
    pub first: IpAddr,
    /// The last of them.
    pub last: IpAddr,
    /// `free`, `used`, `quarantined`, `dynamic`, `reserved` or `gateway`.
    pub kind: String,
}

/// What every address of a subnet is, in order: neighbours that are the same lie in one stretch. A quarantined address in a
/// pool of another kind is told as that pool's.
pub async fn map(db: &mut PgConnection, subnet: i64) -> Result<Vec<Run>, DbError> {
    let rows = query!(
        r#"with each as (
             select f.first, f.last, 'free' as kind from ipam.free_range f where f.subnet_id = $1
             union all select p.first, p.last, p.kind from ipam.pool p where p.subnet_id = $1 and p.kind <> 'static'
             union all select a.ip, a.ip, 'used' from ipam.address a where a.subnet_id = $1
             union all select q.ip, q.ip, 'quarantined' from ipam.quarantine q where q.subnet_id = $1 and not exists (
               select from ipam.pool p where p.subnet_id = $1 and p.kind <> 'static' and q.ip between p.first and p.last)
             union all select s.gateway, s.gateway, 'gateway' from ipam.subnet s where s.id = $1 and s.gateway is not null
               and not exists (select from ipam.address a where a.ip = s.gateway) and not exists (select from ipam.quarantine q where q.ip = s.gateway)
               and not exists (select from ipam.pool p where p.subnet_id = $1 and p.kind <> 'static' and s.gateway between p.first and p.last)),
           marked as (select *, coalesce(first > ipam.after(lag(last) over w) or kind <> lag(kind) over w, true) as starts from each window w as (order by first)),
           numbered as (select *, sum(starts::int) over (order by first) as run from marked)
           select host(min(first)) as "first!", host(max(last)) as "last!", min(kind) as "kind!" from numbered group by run order by min(first)"#,
        subnet
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|row| Ok(Run { first: word(&row.first)?, last: word(&row.last)?, kind: row.kind })).collect()
}

/// Whether the free ranges are what follows from everything else, for whoever doubts the triggers: the subnets where not.
pub async fn doubtful(db: &mut PgConnection) -> Result<Vec<Subnet>, DbError> {
    let networks = query_scalar!(
        r#"select s.network::text as "network!" from ipam.subnet s where exists (
             (select f.first, f.last from ipam.free_range f where f.subnet_id = s.id except select e.first, e.last from ipam.expected_ranges(s.id) e)
             union all
             (select e.first, e.last from ipam.expected_ranges(s.id) e except select f.first, f.last from ipam.free_range f where f.subnet_id = s.id))
           or (select n.used from ipam.subnet_numbers n where n.id = s.id) <> (select count(*) from ipam.address a where a.subnet_id = s.id)
           order by s.network"#
    )
    .fetch_all(db)
    .await?;
    networks.iter().map(|network| word(network)).collect()
}
