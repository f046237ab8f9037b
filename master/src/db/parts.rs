//! What an edit touched, read off the rows that its change set keeps, and in which areas that lies. Set-based: an import of many
//! hosts takes a handful of statements.

use super::{DbError, word, words};
use holdfast_proto::words::DomainName;
use sqlx::{PgConnection, query, query_as, query_scalar};
use std::net::IpAddr;
use uuid::Uuid;

/// Keys of what was touched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// Hosts, with everything that belongs to one.
    pub hosts: Vec<Uuid>,
    /// Names.
    pub nodes: Vec<i64>,
    /// Addresses.
    pub addresses: Vec<String>,
    /// Subnets.
    pub subnets: Vec<i64>,
    /// Subnets that came, went, or changed their place or their owner.
    pub placed_subnets: Vec<i64>,
    /// Zones.
    pub zones: Vec<i64>,
    /// Zones that came, went, or changed their owner.
    pub placed_zones: Vec<i64>,
    /// Tables of which no row is anybody's in particular.
    pub others: Vec<String>,
}

/// The last change of a change set; 0 where there is none.
pub async fn last_change(db: &mut PgConnection, change_set: Uuid) -> Result<i64, DbError> {
    let sql = query_scalar!(r#"select coalesce(max(ordinal), 0) as "last!" from change.change where change_set = $1"#, change_set);
    Ok(sql.fetch_one(db).await?)
}

/// What a change set touched after one of its changes. A table that this does not know goes by the columns it has: a host, a name,
/// a subnet or a zone that a row belongs to.
pub async fn touched(db: &mut PgConnection, change_set: Uuid, after: i64) -> Result<Touched, DbError> {
    let row = query!(
        r#"with changed as (
             select table_name as t, key, host_id, coalesce(after, before) as image, before is null or after is null as placed, before, after
             from change.change where change_set = $1 and ordinal > $2),
           keyed as (
             select t, host_id, placed or (t in ('ipam.subnet', 'dns.zone') and (
                 before -> 'network' <> after -> 'network' or before -> 'campus_id' <> after -> 'campus_id'
                 or before -> 'department_id' is distinct from after -> 'department_id')) as placed,
               case when t = 'ipam.address' then key end as address,
               case when t = 'dns.node' then key::bigint when t <> 'ipam.host' then (image ->> 'node_id')::bigint end as node,
               case when t = 'ipam.subnet' then key::bigint when t <> 'ipam.address' then (image ->> 'subnet_id')::bigint end as subnet,
               case when t = 'dns.zone' then key::bigint when t <> 'dns.node' then (image ->> 'zone_id')::bigint end as zone
             from changed
             union all
             select t, host_id, false, null, (side.image ->> 'node_id')::bigint, null, null
             from changed, lateral (values (before), (after)) as side (image)
             where t = 'ipam.host' and side.image is not null and before -> 'node_id' is distinct from after -> 'node_id')
           select coalesce(array_agg(distinct host_id) filter (where host_id is not null), '{}') as "hosts!",
             coalesce(array_agg(distinct node) filter (where node is not null), '{}') as "nodes!",
             coalesce(array_agg(distinct address) filter (where address is not null), '{}') as "addresses!",
             coalesce(array_agg(distinct subnet) filter (where subnet is not null), '{}') as "subnets!",
             coalesce(array_agg(distinct subnet) filter (where subnet is not null and placed and t = 'ipam.subnet'), '{}') as "placed_subnets!",
             coalesce(array_agg(distinct zone) filter (where zone is not null), '{}') as "zones!",
             coalesce(array_agg(distinct zone) filter (where zone is not null and placed and t = 'dns.zone'), '{}') as "placed_zones!",
             coalesce(array_agg(distinct t) filter (where coalesce(node, subnet, zone) is null and host_id is null and address is null), '{}') as "others!"
           from keyed"#,
        change_set,
        after
    )
    .fetch_one(db)
    .await?;
    Ok(Touched {
        hosts: row.hosts,
        nodes: row.nodes,
        addresses: row.addresses,
        subnets: row.subnets,
        placed_subnets: row.placed_subnets,
        zones: row.zones,
        placed_zones: row.placed_zones,
        others: row.others,
    })
}

/// Where one thing lies.
#[derive(Debug, Clone, PartialEq)]
pub struct PlaceRow {
    /// What people call it.
    pub label: String,
    /// The name it has.
    pub name: Option<DomainName>,
    /// The department that it belongs to: number and name.
    pub department: Option<(i64, String)>,
    /// The first and the last of its addresses, for each stretch of them.
    pub addresses: Vec<(IpAddr, IpAddr)>,
    /// The campuses of its addresses.
    pub campuses: Vec<i64>,
    /// The apex of the zone that gives its name to a department.
    pub owner_apex: Option<DomainName>,
}

/// A row as it comes.
struct Raw {
    label: String,
    name: Option<String>,
    department: Option<i64>,
    department_name: Option<String>,
    firsts: Vec<String>,
    lasts: Vec<String>,
    campuses: Vec<i64>,
    owner_apex: Option<String>,
}

fn place(raw: Raw) -> Result<PlaceRow, DbError> {
    let addresses = words::<IpAddr>(&raw.firsts)?.into_iter().zip(words::<IpAddr>(&raw.lasts)?).collect();
    let (name, owner_apex) = (raw.name.as_deref().map(word).transpose()?, raw.owner_apex.as_deref().map(word).transpose()?);
    Ok(PlaceRow { label: raw.label, name, department: raw.department.zip(raw.department_name), addresses, campuses: raw.campuses, owner_apex })
}

/// Where these hosts lie.
pub async fn hosts(db: &mut PgConnection, hosts: &[Uuid]) -> Result<Vec<PlaceRow>, DbError> {
    let sql = query_as!(
        Raw,
        r#"select n.name as "label!", n.name as "name?", d.id as "department?", d.name as "department_name?",
             array(select host(a.ip) from ipam.address a where a.host_id = h.id order by a.ip) as "firsts!",
             array(select host(a.ip) from ipam.address a where a.host_id = h.id order by a.ip) as "lasts!",
             array(select distinct s.campus_id from ipam.address a join ipam.subnet s on s.id = a.subnet_id where a.host_id = h.id) as "campuses!",
             null::text as "owner_apex?"
           from ipam.host h join dns.node n on n.id = h.node_id join dns.zone z on z.id = n.zone_id
             left join org.department d on d.id = coalesce(h.department_id, z.department_id)
           where h.id = any ($1)"#,
        hosts
    );
    sql.fetch_all(db).await?.into_iter().map(place).collect()
}

/// Where these names lie: an alias where the host is that it stands for.
pub async fn names(db: &mut PgConnection, nodes: &[i64]) -> Result<Vec<PlaceRow>, DbError> {
    let sql = query_as!(
        Raw,
        r#"select n.name as "label!", n.name as "name?", d.id as "department?", d.name as "department_name?",
             array(select host(a.ip) from ipam.address a where a.host_id = h.id and z.department_id is null order by a.ip) as "firsts!",
             array(select host(a.ip) from ipam.address a where a.host_id = h.id and z.department_id is null order by a.ip) as "lasts!",
             array(select distinct s.campus_id from ipam.address a join ipam.subnet s on s.id = a.subnet_id
                   where a.host_id = h.id and z.department_id is null) as "campuses!",
             case when z.department_id is not null then z.apex end as "owner_apex?"
           from dns.node n join dns.zone z on z.id = n.zone_id
             left join dns.record r on r.node_id = n.id and r.rtype = 5 left join dns.node t on t.name = r.target
             left join ipam.host h on h.node_id = coalesce(t.id, n.id)
             left join org.department d on d.id = coalesce(z.department_id, h.department_id)
           where n.id = any ($1)"#,
        nodes
    );
    sql.fetch_all(db).await?.into_iter().map(place).collect()
}

/// Where these addresses lie.
pub async fn addresses(db: &mut PgConnection, addresses: &[String]) -> Result<Vec<PlaceRow>, DbError> {
    let sql = query_as!(
        Raw,
        r#"select host(a.ip) as "label!", null::text as "name?", d.id as "department?", d.name as "department_name?",
             array[host(a.ip)] as "firsts!", array[host(a.ip)] as "lasts!", array[s.campus_id] as "campuses!", null::text as "owner_apex?"
           from ipam.address a join ipam.subnet s on s.id = a.subnet_id join ipam.host h on h.id = a.host_id
             join dns.node n on n.id = h.node_id join dns.zone z on z.id = n.zone_id
             left join org.department d on d.id = coalesce(s.department_id, h.department_id, z.department_id)
           where a.ip = any ($1::text[]::inet[])"#,
        addresses
    );
    sql.fetch_all(db).await?.into_iter().map(place).collect()
}

/// Where these subnets lie.
pub async fn subnets(db: &mut PgConnection, subnets: &[i64]) -> Result<Vec<PlaceRow>, DbError> {
    let sql = query_as!(
        Raw,
        r#"select s.network::text as "label!", null::text as "name?", d.id as "department?", d.name as "department_name?",
             array[host(s.network)] as "firsts!", array[host(broadcast(s.network))] as "lasts!", array[s.campus_id] as "campuses!", null::text as "owner_apex?"
           from ipam.subnet s left join org.department d on d.id = s.department_id where s.id = any ($1)"#,
        subnets
    );
    sql.fetch_all(db).await?.into_iter().map(place).collect()
}

/// Where these zones lie.
pub async fn zones(db: &mut PgConnection, zones: &[i64]) -> Result<Vec<PlaceRow>, DbError> {
    let sql = query_as!(
        Raw,
        r#"select z.apex as "label!", z.apex as "name?", d.id as "department?", d.name as "department_name?",
             '{}'::text[] as "firsts!", '{}'::text[] as "lasts!", '{}'::bigint[] as "campuses!",
             case when z.department_id is not null then z.apex end as "owner_apex?"
           from dns.zone z left join org.department d on d.id = z.department_id where z.id = any ($1)"#,
        zones
    );
    sql.fetch_all(db).await?.into_iter().map(place).collect()
}

/// Where zones lie that come or go: a department's only where the zone around them is the same department's, for a new zone takes
/// names from the one around it.
pub async fn placed_zones(db: &mut PgConnection, zones: &[i64]) -> Result<Vec<PlaceRow>, DbError> {
    let sql = query_as!(
        Raw,
        r#"select z.apex as "label!", z.apex as "name?", d.id as "department?", d.name as "department_name?",
             '{}'::text[] as "firsts!", '{}'::text[] as "lasts!", '{}'::bigint[] as "campuses!",
             case when d.id is not null then z.apex end as "owner_apex?"
           from dns.zone z
             left join lateral (select p.department_id from dns.zone p where z.apex like '%.' || p.apex order by length(p.apex) desc limit 1) around on true
             left join org.department d on d.id = z.department_id and d.id = around.department_id
           where z.id = any ($1)"#,
        zones
    );
    sql.fetch_all(db).await?.into_iter().map(place).collect()
}

/// Where each subnet lies.
pub async fn all_subnets(db: &mut PgConnection) -> Result<Vec<PlaceRow>, DbError> {
    let numbers = query_scalar!("select id from ipam.subnet").fetch_all(&mut *db).await?;
    subnets(db, &numbers).await
}

/// Where each zone lies.
pub async fn all_zones(db: &mut PgConnection) -> Result<Vec<PlaceRow>, DbError> {
    let numbers = query_scalar!("select id from dns.zone").fetch_all(&mut *db).await?;
    zones(db, &numbers).await
}

/// Areas, as [`search::within`](super::search::within) takes them.
#[derive(Debug, Clone, Copy)]
pub struct Within<'a> {
    /// Campuses.
    pub campuses: &'a [i64],
    /// Departments.
    pub departments: &'a [i64],
    /// Names themselves.
    pub apexes: &'a [String],
    /// Names above those that are meant.
    pub names: &'a [String],
    /// First addresses.
    pub firsts: &'a [String],
    /// Last addresses, pairwise.
    pub lasts: &'a [String],
}
