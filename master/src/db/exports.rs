//! What other systems take from us as it stands: hosts to be watched, and networks by port.

use super::{DbError, word};
use holdfast_proto::words::Subnet;
use sqlx::{PgConnection, query};
use std::net::IpAddr;

/// A host to be watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedRow {
    /// Its name.
    pub host: String,
    /// Its lowest address.
    pub ip: IpAddr,
    /// Its subnet.
    pub subnet: Subnet,
    /// Its campus.
    pub campus: String,
    /// Its department, or its subnet's.
    pub department: String,
    /// The building.
    pub building: String,
    /// The room in it.
    pub room: String,
    /// Its device class.
    pub class: String,
}

/// Hosts with an address, by name: of a campus, a department, a device class.
pub async fn watched(db: &mut PgConnection, campus: Option<&str>, department: Option<&str>, class: Option<&str>) -> Result<Vec<WatchedRow>, DbError> {
    let rows = query!(
        r#"select distinct on (n.name) n.name as host, host(a.ip) as "ip!", s.network::text as "network!", c.name as campus,
             coalesce(d.name, sd.name, '') as "department!", coalesce(e.building, '') as "building!", coalesce(e.room, '') as "room!",
             coalesce(k.name, '') as "class!"
           from ipam.host h join dns.node n on n.id = h.node_id join ipam.address a on a.host_id = h.id join ipam.subnet s on s.id = a.subnet_id
             join org.campus c on c.id = s.campus_id left join org.department d on d.id = h.department_id
             left join org.department sd on sd.id = s.department_id left join ipam.equipment e on e.host_id = h.id
             left join ipam.device_class k on k.id = e.class_id
           where ($1::text is null or c.name = $1) and ($2::text is null or coalesce(d.name, sd.name) = $2) and ($3::text is null or k.name = $3)
           order by n.name, a.ip"#,
        campus,
        department,
        class
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| {
        let (ip, subnet) = (word(&row.ip)?, word(&row.network)?);
        let (building, room, class) = (row.building, row.room, row.class);
        Ok(WatchedRow { host: row.host, ip, subnet, campus: row.campus, department: row.department, building, room, class })
    });
    rows.collect()
}
