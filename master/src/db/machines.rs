//! Machines as NASs may ask of them: by their hardware addresses, and into which VLAN.

use super::{DbError, number, word};
use holdfast_proto::words::Mac;
use sqlx::{PgConnection, query};
use uuid::Uuid;

/// A machine that some NAS may ask of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineFacts {
    /// Its hardware address.
    pub mac: Mac,
    /// The VLAN of its department, where its hosts agree on one.
    pub vlan: Option<u16>,
    /// Campus and VLAN of the subnets that it has an address in; of several at one campus the first.
    pub places: Vec<(String, u16)>,
}

/// The machines with these hardware addresses; none where no NAS may ask of machines.
pub async fn of(db: &mut PgConnection, macs: &[String]) -> Result<Vec<MachineFacts>, DbError> {
    let rows = query!(
        r#"select m.mac::text as "mac!", d.vlan as "vlan?", coalesce(p.campuses, '{}') as "campuses!", coalesce(p.vlans, '{}') as "vlans!"
           from unnest($1::text[]::macaddr[]) as m (mac)
           cross join lateral (
             select case when count(distinct d.vlan) = 1 then min(d.vlan) end as vlan
             from ipam.iface i join ipam.host h on h.id = i.host_id join org.department d on d.id = h.department_id where i.mac = m.mac) d
           cross join lateral (
             select array_agg(c.name order by s.network) as campuses, array_agg(s.vlan order by s.network) as vlans
             from ipam.iface i join ipam.link l on l.iface_id = i.id join ipam.subnet s on s.id = l.subnet_id join org.campus c on c.id = s.campus_id
             where i.mac = m.mac and s.vlan is not null) p
           where exists (select from ipam.iface i where i.mac = m.mac) and exists (select from access.nas n where n.mac_authentication)"#,
        macs
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let mut places: Vec<(String, u16)> = Vec::new();
        for (campus, vlan) in row.campuses.into_iter().zip(row.vlans) {
            if !places.iter().any(|(of, _)| *of == campus) {
                places.push((campus, number(i64::from(vlan))?));
            }
        }
        Ok(MachineFacts { mac: word(&row.mac)?, vlan: row.vlan.map(|vlan| number(i64::from(vlan))).transpose()?, places })
    });
    rows.collect()
}

/// Has every machine looked at again, under these change sets: some NAS begins to ask of them, or the last one ceases to.
pub async fn note_all(db: &mut PgConnection, change_sets: &[Uuid]) -> Result<(), DbError> {
    query!(
        "insert into publish.outbox (change_set, subject, key)
           select c.id, 'machine', m.mac::text from unnest($1::uuid[]) as c (id), (select distinct mac from ipam.iface where mac is not null) m",
        change_sets
    )
    .execute(db)
    .await?;
    Ok(())
}
