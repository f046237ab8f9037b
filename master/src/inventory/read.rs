//! What is in the hostname database, for the page, the API and the imports.

use super::authority::{Sight, What, part};
use super::extra_names;
use super::numbers::{self, Numbers};
use super::search::sought;
use super::{CampusDraft, HostContact, HostDraft, InterfaceDraft, OtherAddressDraft, SubnetDraft, TemplateDraft, UnknownMachines, Version, ZoneDraft};
use crate::db::hosts::{HostRow, IfaceRow};
use crate::db::search::Stretch;
use crate::db::{self, DbError};
use chrono::{DateTime, Utc};
use holdfast_proto::words::{DomainName, HostName, Serial};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use uuid::Uuid;

/// A host as it is.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Host {
    /// Its identity: stays when the name changes.
    pub id: Uuid,
    /// For `ETag` and `If-Match`.
    #[schema(value_type = i64)]
    pub version: Version,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// What an admin may write: name, interfaces and the rest.
    #[serde(flatten)]
    pub draft: HostDraft,
}

/// Which hosts to list.
#[derive(Debug, Clone, Default)]
pub struct HostQuery {
    /// See [`sought`].
    pub search: Option<String>,
    /// The search looks at names alone.
    pub names_only: bool,
    /// The `next` of the page before.
    pub cursor: Option<String>,
    /// How many at most: 1 to 1000, 100 where it is 0.
    pub limit: u32,
}

/// One page of hosts, by name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostPage {
    /// The hosts.
    pub hosts: Vec<Host>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<String>,
}

/// A subnet as it is.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SubnetObject {
    /// For `ETag` and `If-Match`.
    #[schema(value_type = i64)]
    pub version: Version,
    /// What an admin may write.
    #[serde(flatten)]
    pub draft: SubnetDraft,
    /// How many of its addresses are what.
    #[serde(flatten)]
    pub numbers: SubnetNumbers,
}

/// How many addresses of a subnet are what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum SubnetNumbers {
    /// Now.
    Now(Numbers),
    /// At a time in the past, of which less is known.
    Then {
        /// Belonged to hosts.
        used: i64,
    },
}

/// A zone as it is.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ZoneObject {
    /// For `ETag` and `If-Match`.
    #[schema(value_type = i64)]
    pub version: Version,
    /// What an admin may write; `name_servers` are the NS records of the apex.
    #[serde(flatten)]
    pub draft: ZoneDraft,
    /// The serial as last published.
    #[schema(value_type = u32)]
    pub published: Serial,
}

/// One row changed by one change set, newest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HistoryEntry {
    /// The change set.
    pub change_set: Uuid,
    /// Who.
    pub actor: String,
    /// By which way: `web`, `api`, `import`.
    pub via: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Which table.
    pub table: String,
    /// The row before.
    pub before: Option<serde_json::Value>,
    /// The row after.
    pub after: Option<serde_json::Value>,
}

/// The most hosts of one page.
const PAGE_LIMIT: u32 = 1000;
/// The hosts of a page when the caller does not say.
const PAGE_DEFAULT: u32 = 100;
/// The most rows of a history.
const HISTORY_LIMIT: i64 = 500;

/// The host with this name, where it is seen.
pub async fn host_by_name(pool: &PgPool, sight: &Sight, name: &HostName) -> Result<Option<Host>, DbError> {
    host(&mut *pool.acquire().await?, sight, name).await
}

/// The same within a transaction.
pub(super) async fn host(db: &mut PgConnection, sight: &Sight, name: &HostName) -> Result<Option<Host>, DbError> {
    let mut rows = db::hosts::named(db, &[name.to_string()]).await?;
    if let Some(host) = rows.first().filter(|_| *sight != Sight::All)
        && !sees_host(db, sight, host.id).await?
    {
        rows.clear();
    }
    Ok(complete(db, rows).await?.pop())
}

async fn sees_host(db: &mut PgConnection, sight: &Sight, host: Uuid) -> Result<bool, DbError> {
    Ok(db::parts::hosts(db, &[host]).await?.into_iter().any(|row| sight.sees(&part(What::Host, row))))
}

/// One page of hosts, by name.
pub async fn host_list(pool: &PgPool, sight: &Sight, query: &HostQuery) -> Result<HostPage, DbError> {
    let mut db = pool.acquire().await?;
    let limit = if query.limit == 0 { PAGE_DEFAULT } else { query.limit.min(PAGE_LIMIT) } as usize;
    let sought = query.search.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(|text| sought(text, query.names_only));
    let stretch = Stretch { after: query.cursor.as_deref().unwrap_or_default(), limit: limit as i64 + 1 };
    let mut names = match (sight.lists(), &sought) {
        (Some(lists), sought) => db::search::within(&mut db, lists.within(), sought.as_ref(), stretch).await?,
        (None, Some(sought)) => db::search::found(&mut db, sought, stretch).await?,
        (None, None) => db::search::all(&mut db, stretch).await?,
    };
    let more = names.len() > limit;
    names.truncate(limit);
    let next = names.last().filter(|_| more).cloned();
    let rows = db::hosts::named(&mut db, &names).await?;
    Ok(HostPage { hosts: complete(&mut db, rows).await?, next })
}

/// Rows with their interfaces and aliases.
async fn complete(db: &mut PgConnection, rows: Vec<HostRow>) -> Result<Vec<Host>, DbError> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut interfaces: HashMap<Uuid, Vec<InterfaceDraft>> = HashMap::new();
    for row in db::hosts::interfaces(db, &ids).await? {
        interfaces.entry(row.host).or_default().push(interface(row));
    }
    let mut aliases: HashMap<Uuid, Vec<DomainName>> = HashMap::new();
    for (host, alias) in db::hosts::aliases(db, &ids).await? {
        aliases.entry(host).or_default().push(alias);
    }
    let mut others: HashMap<Uuid, Vec<OtherAddressDraft>> = HashMap::new();
    for row in db::families::of_hosts(db, &ids).await? {
        others.entry(row.host).or_default().push(OtherAddressDraft { family: row.family, value: Some(row.value) });
    }
    let mut names: HashMap<Uuid, Vec<DomainName>> = HashMap::new();
    for (host, name) in db::extra_names::of_hosts(db, &ids).await? {
        names.entry(host).or_default().push(name);
    }
    let mut pointers: HashMap<Uuid, Vec<(IpAddr, DomainName)>> = HashMap::new();
    for (host, address, name) in db::extra_names::pointers(db, &ids).await? {
        pointers.entry(host).or_default().push((address, name));
    }
    let mut equipment = db::equipment::of_hosts(db, &ids).await?;
    let mut contacts: HashMap<Uuid, Vec<HostContact>> = HashMap::new();
    for (host, contact) in db::equipment::contacts_of_hosts(db, &ids).await? {
        contacts.entry(host).or_default().push(contact);
    }
    let host = |row: HostRow| Host {
        id: row.id,
        version: Version(row.version),
        created_at: row.created_at,
        updated_at: row.updated_at,
        draft: HostDraft {
            name: row.name,
            interfaces: interfaces.remove(&row.id).unwrap_or_default(),
            hardware: row.hardware,
            os: row.os,
            location: row.location,
            contact: row.contact,
            comment: row.comment,
            aliases: aliases.remove(&row.id).unwrap_or_default(),
            other_addresses: others.remove(&row.id).unwrap_or_default(),
            names: names.remove(&row.id).unwrap_or_default(),
            pointers: extra_names::gathered(pointers.remove(&row.id).unwrap_or_default()),
            department: row.department,
            contacts: contacts.remove(&row.id).unwrap_or_default(),
            equipment: equipment.remove(&row.id).unwrap_or_default(),
        },
    };
    Ok(rows.into_iter().map(host).collect())
}

/// An interface as an admin would write it.
pub(super) fn interface(row: IfaceRow) -> InterfaceDraft {
    let (templates, boot) = row.entry.unwrap_or_default();
    InterfaceDraft { mac: row.mac, addresses: row.addresses, next: vec![], templates, boot }
}

/// The subnets that are seen, by network.
pub async fn subnets(pool: &PgPool, sight: &Sight) -> Result<Vec<SubnetObject>, DbError> {
    let mut db = pool.acquire().await?;
    let numbers = numbers::of_all(&mut db).await?;
    let mut rows = db::subnets::all(&mut db).await?;
    if *sight != Sight::All {
        let seen = labels_seen(sight, What::Subnet, db::parts::all_subnets(&mut db).await?);
        rows.retain(|row| seen.contains(&row.network.to_string()));
    }
    // A subnet that came in between is in the next answer.
    let rows = rows.into_iter().filter_map(|row| Some((*numbers.get(&row.id)?, row)));
    let object = |(numbers, row): (Numbers, db::subnets::SubnetRow)| SubnetObject {
        version: Version(row.version),
        numbers: SubnetNumbers::Now(numbers),
        draft: SubnetDraft {
            network: row.network,
            campus: row.campus,
            gateway: row.gateway,
            domain: row.domain,
            dns_servers: row.dns_servers,
            options: row.options,
            vlan: row.vlan,
            classes: row.classes,
            preference: row.preference,
            quarantine_secs: row.quarantine_secs,
            department: row.department,
            unknown_machines: UnknownMachines::of(&row.unknown_machines),
            cover_after_secs: row.cover_after_secs,
            pool_lease_secs: row.pool_lease_secs,
            lease_zone: row.lease_zone,
        },
    };
    Ok(rows.map(object).collect())
}

/// The subnet that a change set made.
pub async fn subnet_made_by(pool: &PgPool, sight: &Sight, change_set: Uuid) -> Result<Option<SubnetObject>, DbError> {
    let made = db::changes::subnets_made(&mut *pool.acquire().await?, change_set).await?;
    Ok(subnets(pool, sight).await?.into_iter().find(|subnet| made.contains(&subnet.draft.network.to_string())))
}

/// The labels of the places that are seen.
fn labels_seen(sight: &Sight, what: What, places: Vec<db::parts::PlaceRow>) -> HashSet<String> {
    places.into_iter().map(|row| part(what, row)).filter(|part| sight.sees_place(part)).map(|part| part.label).collect()
}

/// The zones that are seen, by apex.
pub async fn zones(pool: &PgPool, sight: &Sight) -> Result<Vec<ZoneObject>, DbError> {
    let mut db = pool.acquire().await?;
    let mut rows = db::zones::all(&mut db).await?;
    if *sight != Sight::All {
        let seen = labels_seen(sight, What::Zone, db::parts::all_zones(&mut db).await?);
        rows.retain(|row| seen.contains(&row.apex.without_dot()));
    }
    let mut servers: HashMap<i64, Vec<DomainName>> = HashMap::new();
    for (zone, rdata) in db::zones::apex_name_servers(&mut db).await? {
        servers.entry(zone).or_default().extend(DomainName::from_wire(&rdata));
    }
    let object = |row: db::zones::ZoneRow| ZoneObject {
        version: Version(row.version),
        published: row.serial,
        draft: ZoneDraft {
            name_servers: servers.remove(&row.id).unwrap_or_default(),
            apex: row.apex,
            primary_ns: row.primary_ns,
            mailbox: row.mailbox,
            refresh: row.refresh,
            retry: row.retry,
            expire: row.expire,
            minimum: row.minimum,
            ttl: row.ttl,
            serial: None,
            department: row.department,
            publish_hinfo: row.publish_hinfo,
            publish_rp: row.publish_rp,
            primaries: row.primaries,
            transfers: row.transfers,
        },
    };
    Ok(rows.into_iter().map(object).collect())
}

/// All campuses, by name.
pub async fn campuses(pool: &PgPool) -> Result<Vec<CampusDraft>, DbError> {
    let rows = db::campuses::all(&mut *pool.acquire().await?).await?;
    Ok(rows.into_iter().map(|row| CampusDraft { name: row.name, service_address: row.service_address, backup: row.backup }).collect())
}

/// A NAS as it is. Its secret is for agents alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct NasObject {
    /// Its name.
    pub name: String,
    /// The source addresses it may use.
    pub prefix: String,
    /// Whether its requests must carry a Message-Authenticator; one that need not is open to BlastRADIUS.
    pub require_message_authenticator: bool,
    /// Whether the secret before this one is taken still.
    pub has_former_secret: bool,
    /// Whether it may ask CHAP and MS-CHAPv2 outside of tunnels, where whoever hears them can guess passwords at leisure.
    pub may_chap: bool,
    /// Whether it may ask of machines by their hardware addresses.
    pub mac_authentication: bool,
    /// Where machines go that nobody knows; out without it.
    pub guest_vlan: Option<u16>,
    /// What it is.
    pub kind: String,
    /// Who looks after it.
    pub contact: String,
    /// Its campus: its agents are asked first.
    pub campus: Option<String>,
    /// What else people should know.
    pub note: String,
}

impl From<db::nas::NasLine> for NasObject {
    fn from(row: db::nas::NasLine) -> Self {
        let db::nas::NasLine { name, prefix, require_message_authenticator, has_former_secret, rights, kind, contact, campus, note } = row;
        let db::nas::NasRightsRow { may_chap, mac_authentication, guest_vlan } = rights;
        Self { name, prefix, require_message_authenticator, has_former_secret, may_chap, mac_authentication, guest_vlan, kind, contact, campus, note }
    }
}

/// All NASs, by name.
pub async fn nas(pool: &PgPool) -> Result<Vec<NasObject>, DbError> {
    let rows = db::nas::all(&mut *pool.acquire().await?).await?;
    Ok(rows.into_iter().map(NasObject::from).collect())
}

/// All bootptab templates, by name.
pub async fn templates(pool: &PgPool) -> Result<Vec<TemplateDraft>, DbError> {
    let rows = db::boot::templates(&mut *pool.acquire().await?).await?;
    Ok(rows.into_iter().map(|row| TemplateDraft { name: row.name, parents: row.parents, tags: row.tags }).collect())
}

/// The identity of the host that has this name, or had it last, where one sees it. Of a host that is gone only for those who
/// see all: whose it was, nobody can tell any more.
pub(super) async fn host_id(db: &mut PgConnection, sight: &Sight, name: &HostName) -> Result<Option<Uuid>, DbError> {
    let text = name.to_string();
    Ok(match db::hosts::named(db, std::slice::from_ref(&text)).await?.pop() {
        Some(row) if *sight == Sight::All || sees_host(db, sight, row.id).await? => Some(row.id),
        None if *sight == Sight::All => db::hosts::last_with_name(db, &text).await?,
        _ => None,
    })
}

/// What happened to the host that has this name, or had it last: newest first, the last 500 rows.
pub async fn history(pool: &PgPool, sight: &Sight, name: &HostName) -> Result<Vec<HistoryEntry>, DbError> {
    let mut db = pool.acquire().await?;
    let Some(id) = host_id(&mut db, sight, name).await? else { return Ok(vec![]) };
    let rows = db::changes::of_host(&mut db, id, HISTORY_LIMIT).await?;
    let entry = |row: db::changes::ChangeRow| HistoryEntry {
        change_set: row.change_set,
        actor: row.actor,
        via: row.via,
        reason: row.reason,
        at: row.at,
        table: row.table_name,
        before: row.before,
        after: row.after,
    };
    Ok(rows.into_iter().map(entry).collect())
}
