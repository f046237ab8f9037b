//! Who had an address or a hardware address, out of the audit; and what was seen of them last.

use super::{DbError, word};
use chrono::{DateTime, Utc};
use holdfast_proto::words::{HostName, Subnet};
use serde_json::Value;
use sqlx::{PgConnection, query, query_as, query_scalar};
use std::net::IpAddr;
use uuid::Uuid;

/// A change of the row of an address.
#[derive(Debug, Clone)]
pub struct AddressChange {
    /// Its place in the order of all changes.
    pub ordinal: i64,
    /// The change set.
    pub change_set: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The row before.
    pub before: Option<Value>,
    /// The row after.
    pub after: Option<Value>,
}

/// All that happened to an address, in order.
pub async fn of_address(db: &mut PgConnection, ip: IpAddr) -> Result<Vec<AddressChange>, DbError> {
    let sql = query_as!(
        AddressChange,
        "select c.ordinal, c.change_set, s.at, s.actor, s.reason, c.before, c.after from change.change c join change.change_set s on s.id = c.change_set
         where c.table_name = 'ipam.address' and c.key = host($1::text::inet) order by c.ordinal",
        ip.to_string()
    );
    Ok(sql.fetch_all(db).await?)
}

/// The name of a host as it was at this place in the order of all changes; `None` where nothing is kept of it.
pub async fn name_of(db: &mut PgConnection, host: Uuid, ordinal: i64) -> Result<Option<String>, DbError> {
    let sql = query_scalar!(
        "select coalesce(n.after, n.before) ->> 'name' from change.change n
         where n.table_name = 'dns.node' and n.host_id is null and n.ordinal <= $2 and n.key = (
           select coalesce(h.after, h.before) ->> 'node_id' from change.change h
           where h.host_id = $1 and h.table_name = 'ipam.host' and h.ordinal <= $2 order by h.ordinal desc limit 1)
         order by n.ordinal desc limit 1",
        host,
        ordinal
    );
    Ok(sql.fetch_optional(db).await?.flatten())
}

/// The hardware address of an interface as it was at this place in the order of all changes.
pub async fn mac_of(db: &mut PgConnection, host: Uuid, iface: &str, ordinal: i64) -> Result<Option<String>, DbError> {
    let sql = query_scalar!(
        "select coalesce(after, before) ->> 'mac' from change.change
         where host_id = $1 and table_name = 'ipam.iface' and key = $2 and ordinal <= $3 order by ordinal desc limit 1",
        host,
        iface,
        ordinal
    );
    Ok(sql.fetch_optional(db).await?.flatten())
}

/// The hosts that have a hardware address, by name.
pub async fn hosts_with_mac(db: &mut PgConnection, mac: &str) -> Result<Vec<HostName>, DbError> {
    let sql = query_scalar!(
        "select distinct n.name from ipam.iface i join ipam.host h on h.id = i.host_id join dns.node n on n.id = h.node_id
         where i.mac = $1::text::macaddr order by n.name",
        mac
    );
    sql.fetch_all(db).await?.iter().map(|name| word(name)).collect()
}

/// The subnets that a hardware address is registered on, by network.
pub async fn subnets_with_mac(db: &mut PgConnection, mac: &str) -> Result<Vec<Subnet>, DbError> {
    let sql = query_scalar!(
        r#"select distinct s.network::text as "network!" from ipam.iface i join ipam.link l on l.iface_id = i.id join ipam.subnet s on s.id = l.subnet_id
           where i.mac = $1::text::macaddr order by 1"#,
        mac
    );
    sql.fetch_all(db).await?.iter().map(|network| word(network)).collect()
}

/// The host that had a hardware address last and has it no more, and when that ended.
pub async fn last_with_mac(db: &mut PgConnection, mac: &str) -> Result<Option<(Uuid, i64, DateTime<Utc>)>, DbError> {
    let sql = query!(
        r#"select c.host_id as "host!", c.ordinal, s.at from change.change c join change.change_set s on s.id = c.change_set
           where c.table_name = 'ipam.iface' and coalesce(c.after, c.before) ->> 'mac' = $1 and c.host_id is not null order by c.ordinal desc limit 1"#,
        mac
    );
    Ok(sql.fetch_optional(db).await?.map(|row| (row.host, row.ordinal, row.at)))
}

/// When and by what an address was seen last.
pub async fn last_seen(db: &mut PgConnection, ip: IpAddr) -> Result<Option<(DateTime<Utc>, String)>, DbError> {
    let row = query!("select last_seen, source from ipam.sighting where ip = $1::text::inet", ip.to_string()).fetch_optional(db).await?;
    Ok(row.map(|row| (row.last_seen, row.source)))
}

/// What boxes said of somebody: when, which box, and the sentence.
#[derive(Debug, Clone)]
pub struct Said {
    /// When.
    pub at: DateTime<Utc>,
    /// Which box.
    pub node: String,
    /// What.
    pub detail: String,
}

/// The last reports with this text in them, among the newest `among`: nobody waits for a search through years.
pub async fn said_of(db: &mut PgConnection, text: &str, among: i64, limit: i64) -> Result<Vec<Said>, DbError> {
    let sql = query_as!(
        Said,
        "select e.at, n.name as node, e.detail from (select * from report.event order by number desc limit $2) e join publish.node n on n.id = e.node_id
         where position($1 in lower(e.detail)) > 0 order by e.number desc limit $3",
        text,
        among,
        limit
    );
    Ok(sql.fetch_all(db).await?)
}
