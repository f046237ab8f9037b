//! What the checks ask the tables: each question is one statement over all rows, and its answer is bounded.

use super::{DbError, number, word};
use holdfast_proto::words::DomainName;
use sqlx::{PgConnection, query, query_as, query_scalar};

/// Of one fault no more than this many cases are told: whoever has more has one fault and not a thousand.
pub const CASES_LIMIT: i64 = 1000;

/// One case of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What it is about, as people call it.
    pub object: String,
    /// What a sentence needs beside it.
    pub what: String,
    /// The handle of who is responsible for it.
    pub owner: Option<String>,
}

/// Subnets without a department.
pub async fn subnets_without_department(db: &mut PgConnection) -> Result<Vec<Case>, DbError> {
    let sql = query_as!(
        Case,
        r#"select s.network::text as "object!", c.name as "what!", null::text as owner
           from ipam.subnet s join org.campus c on c.id = s.campus_id where s.department_id is null order by s.network limit $1"#,
        CASES_LIMIT
    );
    Ok(sql.fetch_all(db).await?)
}

/// IPv4 subnets of which more than this share of the hosts' addresses is in use.
pub async fn full_subnets(db: &mut PgConnection, percent: i64) -> Result<Vec<Case>, DbError> {
    let sql = query_as!(
        Case,
        r#"select s.network::text as "object!", format('%s of %s', u.used, size.hosts) as "what!",
             (select c.handle from org.responsibility r join org.contact c on c.id = r.contact_id
               where r.subnet_id = s.id order by r.role = 'technical' desc, r.rank, c.handle limit 1) as owner
           from ipam.subnet s
           cross join lateral (select count(*) as used from ipam.address a where a.subnet_id = s.id) u
           cross join lateral (select case when masklen(s.network) >= 31 then 2::bigint ^ (32 - masklen(s.network)) else 2::bigint ^ (32 - masklen(s.network)) - 2 end as hosts) size
           where family(s.network) = 4 and masklen(s.network) < 31 and u.used * 100 > size.hosts * $1 order by s.network limit $2"#,
        percent as f64,
        CASES_LIMIT
    );
    Ok(sql.fetch_all(db).await?)
}

/// Subnets in use of which some address lies in no reverse zone of ours.
pub async fn subnets_without_reverse_zone(db: &mut PgConnection) -> Result<Vec<Case>, DbError> {
    let sql = query_as!(
        Case,
        r#"select s.network::text as "object!", host(a.ip) as "what!", null::text as owner
           from ipam.subnet s cross join lateral (
             select a.ip from ipam.address a where a.subnet_id = s.id
               and not exists (select from dns.zone z where z.network is not null and a.ip <<= z.network) order by a.ip limit 1) a
           where not exists (select from dns.zone z where s.network <<= z.network)
           order by s.network limit $1"#,
        CASES_LIMIT
    );
    Ok(sql.fetch_all(db).await?)
}

/// Hosts of a class that has fixed addresses, which cannot be told theirs: no address, or no hardware address.
pub async fn static_hosts_without_place(db: &mut PgConnection) -> Result<Vec<Case>, DbError> {
    let sql = query_as!(
        Case,
        r#"select n.name as "object!", c.name as "what!",
             (select k.handle from org.responsibility r join org.contact k on k.id = r.contact_id
               where r.host_id = h.id order by r.role = 'technical' desc, r.rank, k.handle limit 1) as owner
           from ipam.device_class c join ipam.equipment q on q.class_id = c.id join ipam.host h on h.id = q.host_id join dns.node n on n.id = h.node_id
           where c.addressing = 'static'
             and not exists (select from ipam.iface i join ipam.address a on a.iface_id = i.id where i.host_id = h.id and i.mac is not null)
           order by n.name limit $1"#,
        CASES_LIMIT
    );
    Ok(sql.fetch_all(db).await?)
}

/// Hosts that nobody answers for: neither a contact nor words, nor a contact of their department.
pub async fn hosts_without_contact(db: &mut PgConnection) -> Result<Vec<Case>, DbError> {
    let sql = query_as!(
        Case,
        r#"select n.name as "object!", '' as "what!", null::text as owner
           from ipam.host h join dns.node n on n.id = h.node_id
           where h.contact = '' and not exists (select from org.responsibility r where r.host_id = h.id)
             and not exists (select from org.responsibility r where r.department_id = h.department_id) limit $1"#,
        CASES_LIMIT
    );
    Ok(sql.fetch_all(db).await?)
}

/// Departments and campuses without anybody to call.
pub async fn objects_without_contact(db: &mut PgConnection) -> Result<Vec<Case>, DbError> {
    let sql = query_as!(
        Case,
        r#"select x.name as "object!", x.kind as "what!", null::text as owner from (
             select d.name, 'department' as kind from org.department d where not exists (select from org.responsibility r where r.department_id = d.id)
             union all
             select c.name, 'campus' from org.campus c where not exists (select from org.responsibility r where r.campus_id = c.id)) x
           order by x.kind, x.name limit $1"#,
        CASES_LIMIT
    );
    Ok(sql.fetch_all(db).await?)
}

/// Contacts that were not found right for so many months, or never.
pub async fn unverified_contacts(db: &mut PgConnection, months: i32) -> Result<Vec<Case>, DbError> {
    let sql = query_as!(
        Case,
        r#"select c.handle as "object!", coalesce('since ' || c.verified_on::text, 'ever') as "what!", c.handle as owner from org.contact c
           where c.verified_on is null or c.verified_on < current_date - make_interval(months => $1) order by c.handle limit $2"#,
        months,
        CASES_LIMIT
    );
    Ok(sql.fetch_all(db).await?)
}

/// Contacts who can be reached by nothing.
pub async fn unreachable_contacts(db: &mut PgConnection) -> Result<Vec<Case>, DbError> {
    let sql = query_as!(
        Case,
        r#"select c.handle as "object!", c.name as "what!", null::text as owner from org.contact c
           where c.mail is null and c.phone is null order by c.handle limit $1"#,
        CASES_LIMIT
    );
    Ok(sql.fetch_all(db).await?)
}

/// Zones whose SOA names another mailbox than their hostmaster (RFC 2142 section 7).
pub async fn strange_soa_mailboxes(db: &mut PgConnection) -> Result<Vec<Case>, DbError> {
    let sql = query_as!(
        Case,
        r#"select z.apex as "object!", z.mailbox as "what!", null::text as owner from dns.zone z where z.mailbox not like 'hostmaster.%' order by z.apex limit $1"#,
        CASES_LIMIT
    );
    Ok(sql.fetch_all(db).await?)
}

/// Zones with fewer than two name servers: how many they have.
pub async fn zones_with_few_servers(db: &mut PgConnection) -> Result<Vec<Case>, DbError> {
    let sql = query_as!(
        Case,
        r#"select z.apex as "object!", x.n::text as "what!", null::text as owner from dns.zone z
           cross join lateral (select count(*) as n from dns.node n join dns.record r on r.node_id = n.id and r.rtype = 2 where n.name = z.apex) x
           where x.n < 2 order by z.apex limit $1"#,
        CASES_LIMIT
    );
    Ok(sql.fetch_all(db).await?)
}

/// Names with records of one type and several TTLs (RFC 2181 section 5.2).
pub async fn mixed_ttls(db: &mut PgConnection) -> Result<Vec<Case>, DbError> {
    let sql = query_as!(
        Case,
        r#"select n.name as "object!", x.rtype::text as "what!", null::text as owner
           from (select r.node_id, r.rtype from dns.record r group by r.node_id, r.rtype
                 having count(*) > 1 and (count(distinct r.ttl) > 1 or count(r.ttl) between 1 and count(*) - 1)) x
           join dns.node n on n.id = x.node_id order by n.name, x.rtype limit $1"#,
        CASES_LIMIT
    );
    Ok(sql.fetch_all(db).await?)
}

/// Aliases that stand for another alias: what that one is.
pub async fn alias_chains(db: &mut PgConnection) -> Result<Vec<Case>, DbError> {
    let sql = query_as!(
        Case,
        r#"select n.name as "object!", r.target as "what!", null::text as owner
           from dns.record r join dns.node n on n.id = r.node_id join dns.node t on t.name = r.target and t.kind = 'alias'
           where r.rtype = 5 order by n.name limit $1"#,
        CASES_LIMIT
    );
    Ok(sql.fetch_all(db).await?)
}

/// Addresses stored at a name whose reverse zone is ours, where nothing points back.
pub async fn addresses_without_pointer(db: &mut PgConnection) -> Result<Vec<Case>, DbError> {
    let sql = query_as!(
        Case,
        r#"select x.name as "object!", host(x.ip) as "what!", null::text as owner from (
             select n.name, (get_byte(r.rdata, 0) || '.' || get_byte(r.rdata, 1) || '.' || get_byte(r.rdata, 2) || '.' || get_byte(r.rdata, 3))::inet as ip
             from dns.record r join dns.node n on n.id = r.node_id where r.rtype = 1 and length(r.rdata) = 4) x
           where exists (select from dns.zone z where x.ip <<= z.network) and not exists (select from ipam.address a where a.ip = x.ip)
             and not exists (select from dns.node p join dns.record pr on pr.node_id = p.id and pr.rtype = 12 where p.name = dns.reverse_name(x.ip))
           order by x.name limit $1"#,
        CASES_LIMIT
    );
    Ok(sql.fetch_all(db).await?)
}

/// Boot servers that are no address of ours: of hosts' entries and of what is inherited.
pub async fn strange_boot_servers(db: &mut PgConnection) -> Result<Vec<Case>, DbError> {
    let sql = query_as!(
        Case,
        r#"select x.name as "object!", x.server as "what!", null::text as owner from (
             select n.name, e.parameters ->> 'next_server' as server from boot.entry e join ipam.host h on h.id = e.host_id join dns.node n on n.id = h.node_id
             union
             select trim(d.level || ' ' || coalesce(ca.name, s.network::text, c.name, '')), d.parameters ->> 'next_server' from boot.defaults d
               left join org.campus ca on ca.id = d.campus_id left join ipam.subnet s on s.id = d.subnet_id left join ipam.device_class c on c.id = d.class_id) x
           where x.server is not null and not exists (select from ipam.address a where a.ip = x.server::inet)
             and not exists (select from org.campus ca where ca.service_address = x.server::inet) order by x.name limit $1"#,
        CASES_LIMIT
    );
    Ok(sql.fetch_all(db).await?)
}

/// Services of agents that do not answer when they are asked.
pub async fn silent_services(db: &mut PgConnection) -> Result<Vec<Case>, DbError> {
    let sql = query_as!(
        Case,
        r#"select p.agent || ' ' || p.service as "object!", p.since::text as "what!", null::text as owner from report.probe p
           where not p.answers order by p.agent, p.service limit $1"#,
        CASES_LIMIT
    );
    Ok(sql.fetch_all(db).await?)
}

/// A record that names others, or a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpeakingRecord {
    /// The name that it stands at.
    pub name: String,
    /// The apex of its zone.
    pub apex: String,
    /// Its type.
    pub rtype: u16,
    /// Its data in wire form.
    pub rdata: Vec<u8>,
}

/// Records of these types, but for those of zones' own reverse trees.
pub async fn records(db: &mut PgConnection, rtypes: &[i32]) -> Result<Vec<SpeakingRecord>, DbError> {
    let sql = query!(
        "select n.name, z.apex, r.rtype, r.rdata from dns.record r join dns.node n on n.id = r.node_id join dns.zone z on z.id = n.zone_id
         where r.rtype in (2, 5, 15, 16, 33) and r.rtype = any ($1) order by n.name, r.rtype, r.rdata",
        rtypes
    );
    let record = |name, apex, rtype: i32, rdata| Ok(SpeakingRecord { name, apex, rtype: number(i64::from(rtype))?, rdata });
    sql.fetch_all(db).await?.into_iter().map(|row| record(row.name, row.apex, row.rtype, row.rdata)).collect()
}

/// What is known of a name that a record leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// It has addresses, by a host or by records.
    HasAddresses,
    /// It is an alias.
    Alias,
    /// It is there and has no addresses, or is not there at all, in a zone of ours.
    Nothing,
}

/// What these names are, in their order.
pub async fn targets(db: &mut PgConnection, names: &[String]) -> Result<Vec<Target>, DbError> {
    let sql = query!(
        r#"select coalesce(n.kind = 'alias', false) as "alias!",
             exists (select from ipam.host h join ipam.address a on a.host_id = h.id where h.node_id = n.id)
             or exists (select from ipam.extra_name x join ipam.address a on a.host_id = x.host_id where x.node_id = n.id)
             or exists (select from dns.record r where r.node_id = n.id and r.rtype in (1, 28)) as "addresses!"
           from unnest($1::text[]) with ordinality as t (name, place) left join dns.node n on n.name = t.name order by t.place"#,
        names
    );
    let target = |alias, addresses| match (alias, addresses) {
        (true, _) => Target::Alias,
        (false, true) => Target::HasAddresses,
        (false, false) => Target::Nothing,
    };
    Ok(sql.fetch_all(db).await?.into_iter().map(|row| target(row.alias, row.addresses)).collect())
}

/// Which mailboxes somebody reads, as `postmaster@uni.example`.
pub async fn mailboxes(db: &mut PgConnection) -> Result<Vec<String>, DbError> {
    Ok(query_scalar!(r#"select mailbox || '@' || domain as "address!" from org.mailbox"#).fetch_all(db).await?)
}

/// The apexes of all zones that are no reverse zones.
pub async fn forward_apexes(db: &mut PgConnection) -> Result<Vec<DomainName>, DbError> {
    let sql = query_scalar!("select apex from dns.zone where network is null and apex not like '%.arpa' order by apex");
    sql.fetch_all(db).await?.iter().map(|apex| word(apex)).collect()
}
