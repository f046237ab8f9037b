//! What a host is as a thing: its class, where it stands, its tag; and who answers for it. Most imported hosts have none of it.

use super::DbError;
use super::departments::Addressing;
use super::responsibility::ContactRole;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, query};
use std::collections::HashMap;
use uuid::Uuid;

/// A machine as a thing, as an admin writes it. Empty is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Equipment {
    /// Its device class, by name: says how it gets its address.
    pub class: Option<String>,
    /// The building.
    pub building: String,
    /// The room in it.
    pub room: String,
    /// The outlet in the wall.
    pub outlet: String,
    /// The rack.
    pub rack: String,
    /// Where in the rack: `U17-18`.
    pub rack_position: String,
    /// The port of the switch that its cable ends at: `sw-cc-3 Gi1/0/7`.
    pub switch_port: String,
    /// The number on its tag; no two hosts have the same.
    pub asset_tag: String,
}

impl Equipment {
    /// Its texts by field.
    pub fn texts(&self) -> [(&'static str, &str); 7] {
        let Self { class: _, building, room, outlet, rack, rack_position, switch_port, asset_tag } = self;
        let places = [("building", building), ("room", room), ("outlet", outlet), ("rack", rack), ("rack_position", rack_position)];
        let [a, b, c, d, e] = places.map(|(field, text)| (field, text.as_str()));
        [a, b, c, d, e, ("switch_port", switch_port), ("asset_tag", asset_tag)]
    }
}

/// Somebody who answers for a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HostContact {
    /// In which way.
    pub role: ContactRole,
    /// Their handle.
    pub contact: String,
}

/// What drafts may refer to by a short word.
#[derive(Debug, Default)]
pub struct Words {
    /// Numbers of departments by name.
    pub departments: HashMap<String, i64>,
    /// Numbers and addressing of device classes by name.
    pub classes: HashMap<String, (i64, Addressing)>,
    /// Numbers of contacts by handle.
    pub contacts: HashMap<String, i64>,
    /// Whose asset tag it is.
    pub asset_tags: HashMap<String, Uuid>,
}

/// Those of these words that are there. Nothing is asked where nothing is referred to, as in most imports.
pub async fn words(db: &mut PgConnection, departments: &[String], classes: &[String], contacts: &[String], tags: &[String]) -> Result<Words, DbError> {
    if [departments, classes, contacts, tags].iter().all(|words| words.is_empty()) {
        return Ok(Words::default());
    }
    let found = query!("select id, name from org.department where name = any ($1)", departments).fetch_all(&mut *db).await?;
    let departments = found.into_iter().map(|row| (row.name, row.id)).collect();
    let sql = query!(r#"select id, name, addressing as "addressing: Addressing" from ipam.device_class where name = any ($1)"#, classes);
    let classes = sql.fetch_all(&mut *db).await?.into_iter().map(|row| (row.name, (row.id, row.addressing))).collect();
    let found = query!("select id, handle from org.contact where handle = any ($1)", contacts).fetch_all(&mut *db).await?;
    let contacts = found.into_iter().map(|row| (row.handle, row.id)).collect();
    let found = query!("select asset_tag, host_id from ipam.equipment where asset_tag <> '' and asset_tag = any ($1)", tags).fetch_all(db).await?;
    let asset_tags = found.into_iter().map(|row| (row.asset_tag, row.host_id)).collect();
    Ok(Words { departments, classes, contacts, asset_tags })
}

/// The equipment of these hosts; those without any are left out.
pub async fn of_hosts(db: &mut PgConnection, hosts: &[Uuid]) -> Result<HashMap<Uuid, Equipment>, DbError> {
    let sql = query!(
        r#"select e.host_id as "host_id!", c.name as "class?", e.building as "building!", e.room as "room!", e.outlet as "outlet!", e.rack as "rack!",
             e.rack_position as "rack_position!", e.switch_port as "switch_port!", e.asset_tag as "asset_tag!" from ipam.equipment e left join ipam.device_class c on c.id = e.class_id where e.host_id = any ($1)"#,
        hosts
    );
    let rows = sql.fetch_all(db).await?.into_iter().map(|row| {
        let equipment = Equipment {
            class: row.class,
            building: row.building,
            room: row.room,
            outlet: row.outlet,
            rack: row.rack,
            rack_position: row.rack_position,
            switch_port: row.switch_port,
            asset_tag: row.asset_tag,
        };
        (row.host_id, equipment)
    });
    Ok(rows.collect())
}

/// Keeps the equipment of hosts, new or changed.
pub async fn put(db: &mut PgConnection, rows: &[(Uuid, &Equipment)]) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    let hosts: Vec<Uuid> = rows.iter().map(|(host, _)| *host).collect();
    let classes: Vec<Option<String>> = rows.iter().map(|(_, equipment)| equipment.class.clone()).collect();
    let texts: [Vec<String>; 7] = std::array::from_fn(|n| rows.iter().map(|(_, equipment)| equipment.texts()[n].1.to_owned()).collect());
    let [building, room, outlet, rack, rack_position, switch_port, asset_tag] = texts;
    query!(
        "insert into ipam.equipment (host_id, class_id, building, room, outlet, rack, rack_position, switch_port, asset_tag)
         select t.host, c.id, t.building, t.room, t.outlet, t.rack, t.rack_position, t.switch_port, t.asset_tag
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
           as t (host, class, building, room, outlet, rack, rack_position, switch_port, asset_tag)
         left join ipam.device_class c on c.name = t.class
         on conflict (host_id) do update set class_id = excluded.class_id, building = excluded.building, room = excluded.room, outlet = excluded.outlet,
           rack = excluded.rack, rack_position = excluded.rack_position, switch_port = excluded.switch_port, asset_tag = excluded.asset_tag",
        &hosts,
        &classes as _,
        &building,
        &room,
        &outlet,
        &rack,
        &rack_position,
        &switch_port,
        &asset_tag
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes the equipment of a host away.
pub async fn delete(db: &mut PgConnection, host: Uuid) -> Result<(), DbError> {
    query!("delete from ipam.equipment where host_id = $1", host).execute(db).await?;
    Ok(())
}

/// Who answers for these hosts: by role, the first to be asked first.
pub async fn contacts_of_hosts(db: &mut PgConnection, hosts: &[Uuid]) -> Result<Vec<(Uuid, HostContact)>, DbError> {
    let sql = query!(
        r#"select r.host_id as "host_id!", c.handle, r.role as "role: ContactRole" from org.responsibility r join org.contact c on c.id = r.contact_id
           where r.host_id = any ($1) order by r.role, r.rank, c.handle"#,
        hosts
    );
    Ok(sql.fetch_all(db).await?.into_iter().map(|row| (row.host_id, HostContact { role: row.role, contact: row.handle })).collect())
}
