//! Subnets.

use super::boot::OptionDraft;
use super::{DbError, json, number, to_json, word, words};
use holdfast_proto::words::{DomainName, Subnet};
use sqlx::{PgConnection, query, query_scalar};
use std::net::IpAddr;

/// A subnet as it is kept.
#[derive(Debug, Clone)]
pub struct SubnetRow {
    /// Its number; of a new one 0.
    pub id: i64,
    /// The network.
    pub network: Subnet,
    /// Its campus's number.
    pub campus_id: i64,
    /// Its campus's name.
    pub campus: String,
    /// Its router.
    pub gateway: Option<IpAddr>,
    /// The domain its hosts are told.
    pub domain: Option<DomainName>,
    /// The DNS servers its hosts are told; empty: the agents.
    pub dns_servers: Vec<IpAddr>,
    /// Further options.
    pub options: Vec<OptionDraft>,
    /// Its VLAN.
    pub vlan: Option<u16>,
    /// The classes of devices that it is for.
    pub classes: Vec<String>,
    /// Which of several is filled first: the lower.
    pub preference: i32,
    /// How long an address that was given back waits, in seconds.
    pub quarantine_secs: u32,
    /// Its department's name.
    pub department: Option<String>,
    /// What becomes of machines that nobody registered: `off`, `report`, `quarantine` or `auto`.
    pub unknown_machines: String,
    /// How long agents of other campuses wait, in seconds.
    pub cover_after_secs: u16,
    /// How long an address of its dynamic pools is lent, in seconds.
    pub pool_lease_secs: u32,
    /// Under which zone machines that have its addresses on loan get names.
    pub lease_zone: Option<DomainName>,
    /// How often it was changed.
    pub version: i64,
    /// How many addresses are in use.
    pub used: i64,
}

/// All subnets by network.
pub async fn all(db: &mut PgConnection) -> Result<Vec<SubnetRow>, DbError> {
    let rows = query!(
        r#"select s.id, s.network::text as "network!", s.campus_id, c.name as campus, host(s.gateway) as gateway, s.domain,
             array(select host(d) from unnest(s.dns_servers) d) as "dns_servers!", s.options, s.version, s.vlan, s.classes, s.preference,
             s.quarantine_secs, s.unknown_machines, s.cover_after_secs, s.pool_lease_secs, s.lease_zone,
             d.name as "department?", (select n.used from ipam.subnet_numbers n where n.id = s.id) as "used!"
           from ipam.subnet s join org.campus c on c.id = s.campus_id left join org.department d on d.id = s.department_id order by s.network"#
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        Ok(SubnetRow {
            id: row.id,
            network: word(&row.network)?,
            campus_id: row.campus_id,
            campus: row.campus,
            gateway: row.gateway.as_deref().map(word).transpose()?,
            domain: row.domain.as_deref().map(word).transpose()?,
            dns_servers: words(&row.dns_servers)?,
            options: json(row.options)?,
            vlan: row.vlan.map(|vlan| number(i64::from(vlan))).transpose()?,
            classes: row.classes,
            preference: row.preference,
            quarantine_secs: number(row.quarantine_secs)?,
            department: row.department,
            unknown_machines: row.unknown_machines,
            cover_after_secs: number(i64::from(row.cover_after_secs))?,
            pool_lease_secs: number(row.pool_lease_secs)?,
            lease_zone: row.lease_zone.as_deref().map(word).transpose()?,
            version: row.version,
            used: row.used,
        })
    });
    rows.collect()
}

/// Every subnet's number and network: enough to place addresses.
pub async fn networks(db: &mut PgConnection) -> Result<Vec<(i64, Subnet)>, DbError> {
    let rows = query!(r#"select id, network::text as "network!" from ipam.subnet"#).fetch_all(db).await?;
    rows.into_iter().map(|row| Ok((row.id, word(&row.network)?))).collect()
}

/// The campus of the subnet that an address lies in.
pub async fn campus_of(db: &mut PgConnection, address: IpAddr) -> Result<Option<String>, DbError> {
    let sql = query_scalar!("select c.name from ipam.subnet s join org.campus c on c.id = s.campus_id where s.network >>= $1::text::inet", address.to_string());
    Ok(sql.fetch_optional(db).await?)
}

/// Keeps a new subnet.
pub async fn insert(db: &mut PgConnection, row: &SubnetRow) -> Result<(), DbError> {
    let servers: Vec<String> = row.dns_servers.iter().map(IpAddr::to_string).collect();
    query!(
        "insert into ipam.subnet (campus_id, network, gateway, domain, dns_servers, options, vlan, classes, preference, quarantine_secs, department_id,
           unknown_machines, cover_after_secs, pool_lease_secs, lease_zone)
         values ($1, $2::text::cidr, $3::text::inet, $4, $5::text[]::inet[], $6, $7, $8, $9, $10, (select id from org.department where name = $11), $12, $13, $14, $15)",
        row.campus_id,
        row.network.to_string(),
        row.gateway.map(|gateway| gateway.to_string()),
        row.domain.as_ref().map(DomainName::without_dot),
        &servers,
        to_json(&row.options),
        row.vlan.map(i32::from),
        &row.classes,
        row.preference,
        i64::from(row.quarantine_secs),
        row.department,
        row.unknown_machines,
        i32::from(row.cover_after_secs),
        i64::from(row.pool_lease_secs),
        row.lease_zone.as_ref().map(DomainName::without_dot)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Changes a subnet; its new version.
pub async fn update(db: &mut PgConnection, row: &SubnetRow) -> Result<i64, DbError> {
    let servers: Vec<String> = row.dns_servers.iter().map(IpAddr::to_string).collect();
    let sql = query_scalar!(
        "update ipam.subnet set campus_id = $2, network = $3::text::cidr, gateway = $4::text::inet, domain = $5, dns_servers = $6::text[]::inet[],
           options = $7, vlan = $8, classes = $9, preference = $10, quarantine_secs = $11, department_id = (select id from org.department where name = $12),
           unknown_machines = $13, cover_after_secs = $14, pool_lease_secs = $15, lease_zone = $16, version = version + 1 where id = $1 returning version",
        row.id,
        row.campus_id,
        row.network.to_string(),
        row.gateway.map(|gateway| gateway.to_string()),
        row.domain.as_ref().map(DomainName::without_dot),
        &servers,
        to_json(&row.options),
        row.vlan.map(i32::from),
        &row.classes,
        row.preference,
        i64::from(row.quarantine_secs),
        row.department,
        row.unknown_machines,
        i32::from(row.cover_after_secs),
        i64::from(row.pool_lease_secs),
        row.lease_zone.as_ref().map(DomainName::without_dot)
    );
    Ok(sql.fetch_one(db).await?)
}

/// Deletes a subnet that nobody is on.
pub async fn delete(db: &mut PgConnection, id: i64) -> Result<(), DbError> {
    query!("delete from ipam.subnet where id = $1", id).execute(db).await?;
    Ok(())
}
