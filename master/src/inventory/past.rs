//! The hostname database as it was at a time: current rows turned back by the audit's images. It only reads, and nobody waits
//! for it; the further back and the more was changed since, the longer it takes. Of a host it tells the names, interfaces,
//! addresses, boot entries, texts and department that it had; its equipment, contacts and further names are in its history.

use super::draft::{BootParameters, CampusDraft, HostDraft, InterfaceDraft, SubnetDraft, UnknownMachines, ZoneDraft};
use super::read::{Host, HostPage, HostQuery, SubnetNumbers, SubnetObject, ZoneObject};
use super::{Problem, Refusal, Version};
use crate::db::DbError;
use crate::db::past::{self, column};
use chrono::{DateTime, Utc};
use holdfast_proto::words::{DomainName, HostName, Serial};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;
use uuid::Uuid;

/// Hosts of a page when the caller does not say.
const PAGE_DEFAULT: u32 = 100;

/// A time that the audit knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(DateTime<Utc>);

impl Moment {
    /// Refuses times before the first change set and times to come.
    pub async fn of(pool: &PgPool, at: DateTime<Utc>) -> Result<Self, Refusal> {
        let beginning = past::beginning(&mut *pool.acquire().await.map_err(DbError::from)?).await?;
        let wrong = |detail: String| Err(Problem::new("time-not-known", "?at", detail).into());
        match beginning {
            _ if at > Utc::now() => wrong(format!("{at} is yet to come")),
            Some(beginning) if at >= beginning => Ok(Self(at)),
            Some(beginning) => wrong(format!("nothing is known of {at}: the history begins at {beginning}")),
            None => wrong("nothing was ever changed here, so nothing is known of the past".to_owned()),
        }
    }
}

/// The host that had this name.
pub async fn host_at(pool: &PgPool, name: &HostName, at: Moment) -> Result<Option<Host>, DbError> {
    let mut db = pool.acquire().await?;
    let Some(id) = past::host_named(&mut db, &name.to_string(), at.0).await? else { return Ok(None) };
    let rows = past::rows_of_hosts(&mut db, "ipam.host", "id", &[id], at.0).await?;
    let named = rows.into_iter().map(|row| (name.to_string(), row)).collect();
    Ok(assembled(&mut db, named, at).await?.pop())
}

/// One page of hosts, by name. It cannot search: `search` of the query does not count.
pub async fn hosts_at(pool: &PgPool, query: &HostQuery, at: Moment) -> Result<HostPage, DbError> {
    let mut db = pool.acquire().await?;
    let limit = if query.limit == 0 { PAGE_DEFAULT } else { query.limit } as usize;
    let mut rows = past::hosts(&mut db, at.0, query.cursor.as_deref().unwrap_or_default(), limit as i32 + 1).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|(name, _)| name.clone());
    Ok(HostPage { hosts: assembled(&mut db, rows, at).await?, next })
}

/// All subnets, by network.
pub async fn subnets_at(pool: &PgPool, at: Moment) -> Result<Vec<SubnetObject>, DbError> {
    let mut db = pool.acquire().await?;
    let campuses = names_of(&past::rows(&mut db, "org.campus", "id", at.0).await?)?;
    let departments = names_of(&past::rows(&mut db, "org.department", "id", at.0).await?)?;
    let (now, more) = (past::addresses_now(&mut db).await?, past::more_addresses(&mut db, at.0).await?);
    let used = |id: i64| now.get(&id).copied().unwrap_or(0) + more.get(&id).copied().unwrap_or(0);
    let mut subnets = Vec::new();
    for row in past::rows(&mut db, "ipam.subnet", "id", at.0).await? {
        let id: i64 = column(&row, "id")?;
        let draft = SubnetDraft {
            network: word(&row, "network")?,
            campus: campuses.get(&column(&row, "campus_id")?).cloned().unwrap_or_default(),
            gateway: optional(&row, "gateway")?,
            domain: optional(&row, "domain")?,
            dns_servers: column(&row, "dns_servers")?,
            options: column(&row, "options")?,
            vlan: column(&row, "vlan")?,
            classes: column(&row, "classes")?,
            preference: column(&row, "preference")?,
            quarantine_secs: column(&row, "quarantine_secs")?,
            department: named(&departments, &row)?,
            // Rows from before these were known have none.
            unknown_machines: column::<Option<String>>(&row, "unknown_machines")?.map_or_else(UnknownMachines::default, |text| UnknownMachines::of(&text)),
            cover_after_secs: column::<Option<u16>>(&row, "cover_after_secs")?.unwrap_or_else(SubnetDraft::cover_default),
            pool_lease_secs: column::<Option<u32>>(&row, "pool_lease_secs")?.unwrap_or_else(SubnetDraft::pool_lease_default),
            lease_zone: optional(&row, "lease_zone")?,
        };
        let numbers = SubnetNumbers::Then { used: used(id) };
        subnets.push(SubnetObject { version: Version(column(&row, "version")?), numbers, draft });
    }
    subnets.sort_by_key(|subnet| subnet.draft.network);
    Ok(subnets)
}

/// All zones, by apex. Of a serial only that of today is known, and that of a zone that is gone is not.
pub async fn zones_at(pool: &PgPool, at: Moment) -> Result<Vec<ZoneObject>, DbError> {
    let mut db = pool.acquire().await?;
    let departments = names_of(&past::rows(&mut db, "org.department", "id", at.0).await?)?;
    let serials: HashMap<i64, Serial> = crate::db::zones::all(&mut db).await?.into_iter().map(|zone| (zone.id, zone.serial)).collect();
    let mut zones = Vec::new();
    for row in past::rows(&mut db, "dns.zone", "id", at.0).await? {
        let apex: DomainName = word(&row, "apex")?;
        let servers = past::name_servers(&mut db, &apex.without_dot(), at.0).await?;
        let draft = ZoneDraft {
            name_servers: servers.iter().filter_map(|wire| DomainName::from_wire(wire)).collect(),
            primary_ns: word(&row, "primary_ns")?,
            mailbox: word(&row, "mailbox")?,
            refresh: column(&row, "refresh")?,
            retry: column(&row, "retry")?,
            expire: column(&row, "expire")?,
            minimum: column(&row, "minimum")?,
            ttl: column(&row, "ttl")?,
            serial: None,
            department: named(&departments, &row)?,
            publish_hinfo: column(&row, "publish_hinfo")?,
            publish_rp: column(&row, "publish_rp")?,
            primaries: listed(&row, "primaries")?,
            transfers: listed(&row, "transfers")?,
            apex,
        };
        let published = serials.get(&column(&row, "id")?).copied().unwrap_or(Serial(0));
        zones.push(ZoneObject { version: Version(column(&row, "version")?), draft, published });
    }
    zones.sort_by_key(|zone| zone.draft.apex.without_dot());
    Ok(zones)
}

/// All campuses, by name.
pub async fn campuses_at(pool: &PgPool, at: Moment) -> Result<Vec<CampusDraft>, DbError> {
    let rows = past::rows(&mut *pool.acquire().await?, "org.campus", "id", at.0).await?;
    let names = names_of(&rows)?;
    let campus = |row: &Value| {
        let backup = column::<Option<i64>>(row, "backup_id")?.and_then(|id| names.get(&id).cloned());
        Ok::<_, DbError>(CampusDraft { name: column(row, "name")?, service_address: optional(row, "service_address")?, backup })
    };
    let mut campuses: Vec<CampusDraft> = rows.iter().map(campus).collect::<Result<_, _>>()?;
    campuses.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(campuses)
}

/// Hosts out of the images of all their rows.
async fn assembled(db: &mut PgConnection, rows: Vec<(String, Value)>, at: Moment) -> Result<Vec<Host>, DbError> {
    let ids: Vec<Uuid> = rows.iter().map(|(_, row)| column(row, "id")).collect::<Result<_, _>>()?;
    let names: Vec<String> = rows.iter().map(|(name, _)| name.clone()).collect();
    let parts = Parts {
        departments: names_of(&past::rows(db, "org.department", "id", at.0).await?)?,
        interfaces: past::rows_of_hosts(db, "ipam.iface", "id", &ids, at.0).await?,
        addresses: past::rows_of_hosts(db, "ipam.address", "ip", &ids, at.0).await?,
        entries: past::rows_of_hosts(db, "boot.entry", "iface_id", &ids, at.0).await?,
    };
    let mut aliases = past::aliases(db, &names, at.0).await?;
    rows.iter().map(|(name, row)| host(name, row, &parts, aliases.remove(name).unwrap_or_default())).collect()
}

/// The images of what belongs to the hosts of a page.
struct Parts {
    departments: HashMap<i64, String>,
    interfaces: Vec<Value>,
    addresses: Vec<Value>,
    entries: Vec<Value>,
}

impl Parts {
    fn of_host(&self, host: &Value) -> Result<Vec<InterfaceDraft>, DbError> {
        let mut own: Vec<&Value> = self.interfaces.iter().filter(|row| row["host_id"] == *host).collect();
        own.sort_by_key(|row| row["ordinal"].as_i64());
        own.into_iter().map(|row| self.interface(row)).collect()
    }

    fn interface(&self, row: &Value) -> Result<InterfaceDraft, DbError> {
        let own = |rows: &'_ [Value]| rows.iter().filter(|part| part["iface_id"] == row["id"]).cloned().collect::<Vec<_>>();
        let mut addresses: Vec<std::net::IpAddr> = own(&self.addresses).iter().map(|part| word(part, "ip")).collect::<Result<_, _>>()?;
        addresses.sort();
        let entry = own(&self.entries).pop();
        let boot: BootParameters = entry.as_ref().map(|entry| column(entry, "parameters")).transpose()?.unwrap_or_default();
        let templates = entry.as_ref().map(|entry| column(entry, "templates")).transpose()?.unwrap_or_default();
        Ok(InterfaceDraft { mac: optional(row, "mac")?, addresses, next: vec![], templates, boot })
    }
}

fn host(name: &str, row: &Value, parts: &Parts, aliases: Vec<String>) -> Result<Host, DbError> {
    let name: HostName = name.parse().map_err(|wrong| damaged(&wrong))?;
    let draft = HostDraft {
        interfaces: parts.of_host(&row["id"])?,
        hardware: column(row, "hardware")?,
        os: column(row, "os")?,
        location: column(row, "location")?,
        contact: column(row, "contact")?,
        comment: column(row, "comment")?,
        department: named(&parts.departments, row)?,
        aliases: aliases.iter().map(|alias| alias.parse().map_err(|wrong| damaged(&wrong))).collect::<Result<_, _>>()?,
        ..HostDraft::named(name)
    };
    let (created_at, updated_at) = (column(row, "created_at")?, column(row, "updated_at")?);
    Ok(Host { id: column(row, "id")?, version: Version(column(row, "version")?), created_at, updated_at, draft })
}

fn names_of(rows: &[Value]) -> Result<HashMap<i64, String>, DbError> {
    rows.iter().map(|row| Ok((column(row, "id")?, column(row, "name")?))).collect()
}

/// The name of the row's department, where it has one.
fn named(departments: &HashMap<i64, String>, row: &Value) -> Result<Option<String>, DbError> {
    Ok(column::<Option<i64>>(row, "department_id")?.and_then(|id| departments.get(&id).cloned()))
}

fn damaged(wrong: &dyn Display) -> DbError {
    DbError::Damaged(wrong.to_string())
}

fn word<T: FromStr<Err: Display>>(row: &Value, name: &str) -> Result<T, DbError> {
    row[name].as_str().unwrap_or_default().parse().map_err(|wrong| damaged(&wrong))
}

/// A list that rows of an earlier day do not have.
fn listed<T: serde::de::DeserializeOwned>(row: &Value, name: &str) -> Result<Vec<T>, DbError> {
    if row[name].is_null() { Ok(Vec::new()) } else { column(row, name) }
}

fn optional<T: FromStr<Err: Display>>(row: &Value, name: &str) -> Result<Option<T>, DbError> {
    row[name].as_str().map(|text| text.parse().map_err(|wrong: T::Err| damaged(&wrong))).transpose()
}
