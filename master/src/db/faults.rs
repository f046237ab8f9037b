//! Faults and incidents as they were told, what they concern, and the sentences that they are told with.

use super::{DbError, json, to_json, word};
use chrono::{DateTime, Utc};
use holdfast_proto::words::{Mac, Subnet};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool, query, query_scalar};
use std::net::IpAddr;

/// Hosts that are looked at for one fault: a port may have a whole room behind it.
const CONCERNED_LIMIT: i64 = 50;
/// The same fault told again so soon is no news, in seconds.
const SAME_WITHIN_SECS: f64 = 60.0;

/// Something that a fault concerns: a host with its address, or a subnet alone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = faults::Concerned)]
pub struct Concerned {
    /// The host's name.
    pub host: Option<String>,
    /// Its address.
    #[schema(value_type = Option<String>)]
    pub ip: Option<IpAddr>,
    /// Its hardware address.
    #[schema(value_type = Option<String>)]
    pub mac: Option<Mac>,
    /// The building.
    pub building: String,
    /// The room in it.
    pub room: String,
    /// The outlet in the wall.
    pub outlet: String,
    /// The port of the switch.
    pub switch_port: String,
    /// Its device class.
    pub class: Option<String>,
    /// Whose it is: its own department, or its subnet's, or its zone's.
    pub department: Option<String>,
    /// Its subnet.
    #[schema(value_type = Option<String>)]
    pub subnet: Option<Subnet>,
    /// Its campus.
    pub campus: Option<String>,
    /// Who is on the network with it now, as NASs tell.
    pub user: Option<String>,
}

/// The hosts that a fault concerns, by address, hardware address, or the port that their cable ends at.
pub async fn hosts(db: &mut PgConnection, ip: Option<IpAddr>, mac: Option<Mac>, port: Option<&str>) -> Result<Vec<Concerned>, DbError> {
    let rows = query!(
        r#"with found as (
             select a.iface_id from ipam.address a where a.ip = $1::text::inet
             union select i.id from ipam.iface i where i.mac = $2::text::macaddr
             union select i.id from ipam.equipment e join ipam.iface i on i.host_id = e.host_id where e.switch_port <> '' and lower(e.switch_port) = lower($3))
           select n.name as "host!", host(a.ip) as "ip?", i.mac::text as "mac?", coalesce(e.building, '') as "building!", coalesce(e.room, '') as "room!",
             coalesce(e.outlet, '') as "outlet!", coalesce(e.switch_port, '') as "switch_port!", k.name as "class?",
             coalesce(d.name, sd.name, zd.name) as "department?", s.network::text as "subnet?", c.name as "campus?",
             (select u.user_name from report.network_session u where u.mac = i.mac::text and u.ended_at is null order by u.started_at desc limit 1) as "user?"
           from found f join ipam.iface i on i.id = f.iface_id join ipam.host h on h.id = i.host_id join dns.node n on n.id = h.node_id
             join dns.zone z on z.id = n.zone_id left join ipam.address a on a.iface_id = i.id left join ipam.subnet s on s.id = a.subnet_id
             left join org.campus c on c.id = s.campus_id left join ipam.equipment e on e.host_id = h.id left join ipam.device_class k on k.id = e.class_id
             left join org.department d on d.id = h.department_id left join org.department sd on sd.id = s.department_id
             left join org.department zd on zd.id = z.department_id
           where $1::text is null or $3::text is not null or a.ip = $1::text::inet or i.mac = $2::text::macaddr
           order by n.name, a.ip limit $4"#,
        ip.map(|ip| ip.to_string()),
        mac.map(|mac| mac.to_string()),
        port,
        CONCERNED_LIMIT
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| {
        Ok(Concerned {
            host: Some(row.host),
            ip: row.ip.as_deref().map(word).transpose()?,
            mac: row.mac.as_deref().map(word).transpose()?,
            building: row.building,
            room: row.room,
            outlet: row.outlet,
            switch_port: row.switch_port,
            class: row.class,
            department: row.department,
            subnet: row.subnet.as_deref().map(word).transpose()?,
            campus: row.campus,
            user: row.user,
        })
    });
    rows.collect()
}

/// Where a machine is that is no host: the subnet of its address, of the address that it has on loan, or where it last asked for one.
pub async fn place(db: &mut PgConnection, ip: Option<IpAddr>, mac: Option<Mac>) -> Result<Option<Concerned>, DbError> {
    let row = query!(
        r#"with lent as (
             select l.ip from ipam.lease l where l.state = 'active' and l.until > now() and l.hardware = $2 order by l.at desc limit 1),
           asked as (select u.network from ipam.unknown_machine u where u.hardware = $2 order by u.last_seen desc limit 1)
           select s.network::text as "subnet!", c.name as campus, d.name as "department?", (select host(ip) from lent) as "lent?",
             (select u.user_name from report.network_session u where u.mac = $2 and u.ended_at is null order by u.started_at desc limit 1) as "user?"
           from ipam.subnet s join org.campus c on c.id = s.campus_id left join org.department d on d.id = s.department_id
           where s.network::inet >>= coalesce($1::text::inet, (select ip from lent), (select network::inet from asked)) limit 1"#,
        ip.map(|ip| ip.to_string()),
        mac.map(|mac| mac.to_string())
    );
    let Some(row) = row.fetch_optional(db).await? else { return Ok(None) };
    let lent: Option<IpAddr> = row.lent.as_deref().map(word).transpose()?;
    let subnet: Subnet = word(&row.subnet)?;
    Ok(Some(Concerned {
        ip: ip.or(lent),
        mac,
        subnet: Some(subnet),
        department: row.department,
        campus: Some(row.campus),
        user: row.user,
        ..Concerned::default()
    }))
}

/// A fault to be kept.
#[derive(Debug)]
pub struct NewFault<'a> {
    /// `fault` or `incident`.
    pub kind: &'a str,
    /// `info` to `critical`.
    pub severity: &'a str,
    /// What is wrong.
    pub text: &'a str,
    /// Of which address.
    pub ip: Option<IpAddr>,
    /// Of which hardware address.
    pub mac: Option<Mac>,
    /// Of which port.
    pub port: Option<&'a str>,
    /// Who told it.
    pub reported_by: &'a str,
    /// What it concerns.
    pub concerns: &'a [Concerned],
}

/// A fault as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = faults::Kept)]
pub struct FaultRow {
    /// Its number.
    pub number: i64,
    /// `fault` or `incident`.
    pub kind: String,
    /// `info`, `warning`, `error` or `critical`.
    pub severity: String,
    /// What is wrong.
    pub text: String,
    /// Of which address.
    #[schema(value_type = Option<String>)]
    pub ip: Option<IpAddr>,
    /// Of which hardware address.
    #[schema(value_type = Option<String>)]
    pub mac: Option<Mac>,
    /// Of which port.
    pub port: Option<String>,
    /// Who told it.
    pub reported_by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// How often it was told again at once.
    pub repeats: i32,
    /// When it was told last.
    pub last_at: DateTime<Utc>,
    /// What it concerned then.
    pub concerns: Vec<Concerned>,
}

/// The number of the same fault, told a moment ago by the same: counted there once more.
pub async fn told_again(db: &mut PgConnection, new: &NewFault<'_>) -> Result<Option<i64>, DbError> {
    let sql = query_scalar!(
        "update report.fault set repeats = repeats + 1, last_at = now() where number = (
           select number from report.fault where last_at > now() - make_interval(secs => $8) and (kind, severity, text, reported_by) = ($1, $2, $3, $4)
             and ip is not distinct from $5::text::inet and mac is not distinct from $6::text::macaddr and port is not distinct from $7
           order by last_at desc limit 1)
         returning number",
        new.kind,
        new.severity,
        new.text,
        new.reported_by,
        new.ip.map(|ip| ip.to_string()),
        new.mac.map(|mac| mac.to_string()),
        new.port,
        SAME_WITHIN_SECS
    );
    Ok(sql.fetch_optional(db).await?)
}

/// Keeps a fault; its number and time.
pub async fn insert(db: &mut PgConnection, new: &NewFault<'_>) -> Result<(i64, DateTime<Utc>), DbError> {
    let row = query!(
        "insert into report.fault (kind, severity, text, ip, mac, port, reported_by, concerns)
         values ($1, $2, $3, $4::text::inet, $5::text::macaddr, $6, $7, $8) returning number, at",
        new.kind,
        new.severity,
        new.text,
        new.ip.map(|ip| ip.to_string()),
        new.mac.map(|mac| mac.to_string()),
        new.port,
        new.reported_by,
        to_json(&new.concerns)
    );
    let row = row.fetch_one(db).await?;
    Ok((row.number, row.at))
}

/// Has an event told to whoever listens, with the data that it brings.
pub async fn tell(db: &mut PgConnection, kind: &str, data: &serde_json::Value) -> Result<(), DbError> {
    query!("insert into feed.waiting (kind, data) values ($1, $2)", kind, data).execute(db).await?;
    Ok(())
}

/// Faults, the last first, below a number.
pub async fn list(db: &mut PgConnection, kind: Option<&str>, below: Option<i64>, limit: i64) -> Result<Vec<FaultRow>, DbError> {
    let rows = query!(
        r#"select number, kind, severity, text, host(ip) as ip, mac::text as mac, port, reported_by, at, repeats, last_at, concerns from report.fault
           where ($1::text is null or kind = $1) and ($2::bigint is null or number < $2) order by number desc limit $3"#,
        kind,
        below,
        limit
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| {
        Ok(FaultRow {
            number: row.number,
            kind: row.kind,
            severity: row.severity,
            text: row.text,
            ip: row.ip.as_deref().map(word).transpose()?,
            mac: row.mac.as_deref().map(word).transpose()?,
            port: row.port,
            reported_by: row.reported_by,
            at: row.at,
            repeats: row.repeats,
            last_at: row.last_at,
            concerns: json(row.concerns)?,
        })
    });
    rows.collect()
}

/// The sentence that events of a kind begin with, with its gaps.
pub async fn template(db: &mut PgConnection, kind: &str) -> Result<String, DbError> {
    Ok(query_scalar!("select text from report.notice_template where kind = $1", kind).fetch_one(db).await?)
}

/// All of them, by kind.
pub async fn templates(db: &mut PgConnection) -> Result<Vec<(String, String)>, DbError> {
    let rows = query!("select kind, text from report.notice_template order by kind").fetch_all(db).await?;
    Ok(rows.into_iter().map(|row| (row.kind, row.text)).collect())
}

/// Changes one.
pub async fn set_template(db: &mut PgConnection, kind: &str, text: &str) -> Result<(), DbError> {
    query!("insert into report.notice_template (kind, text) values ($1, $2) on conflict (kind) do update set text = excluded.text", kind, text)
        .execute(db)
        .await?;
    Ok(())
}

/// Forgets faults that were last told before this time; how many those were.
pub async fn forget_before(pool: &PgPool, before: DateTime<Utc>) -> Result<u64, DbError> {
    Ok(query!("delete from report.fault where last_at < $1", before).execute(pool).await?.rows_affected())
}
