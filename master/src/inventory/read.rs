//! What is in the hostname database, for the page, the API and the imports.

use super::{CampusDraft, HostDraft, SubnetDraft, TemplateDraft, Version, ZoneDraft};
use crate::db::DbError;
use chrono::{DateTime, Utc};
use holdfast_proto::words::{HostName, Serial};
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

/// A host as it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Host {
    /// Its identity: stays when the name changes.
    pub id: Uuid,
    /// For `ETag` and `If-Match`.
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
    /// Part of a name, an address, or a hardware address in any spelling.
    pub search: Option<String>,
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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SubnetObject {
    /// For `ETag` and `If-Match`.
    pub version: Version,
    /// What an admin may write.
    #[serde(flatten)]
    pub draft: SubnetDraft,
    /// How many addresses are in use.
    pub used: i64,
}

/// A zone as it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ZoneObject {
    /// For `ETag` and `If-Match`.
    pub version: Version,
    /// What an admin may write; `name_servers` are the NS records of the apex.
    #[serde(flatten)]
    pub draft: ZoneDraft,
    /// The serial as last published.
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

/// The host with this name.
pub async fn host_by_name(pool: &PgPool, name: &HostName) -> Result<Option<Host>, DbError> {
    let _ = (pool, name);
    Ok(None)
}

/// One page of hosts, by name.
pub async fn host_list(pool: &PgPool, query: &HostQuery) -> Result<HostPage, DbError> {
    let _ = (pool, query);
    Ok(HostPage { hosts: vec![], next: None })
}

/// All subnets, by network.
pub async fn subnets(pool: &PgPool) -> Result<Vec<SubnetObject>, DbError> {
    let _ = pool;
    Ok(vec![])
}

/// All zones, by apex.
pub async fn zones(pool: &PgPool) -> Result<Vec<ZoneObject>, DbError> {
    let _ = pool;
    Ok(vec![])
}

/// All campuses, by name.
pub async fn campuses(pool: &PgPool) -> Result<Vec<CampusDraft>, DbError> {
    let _ = pool;
    Ok(vec![])
}

/// All bootptab templates, by name.
pub async fn templates(pool: &PgPool) -> Result<Vec<TemplateDraft>, DbError> {
    let _ = pool;
    Ok(vec![])
}

/// What happened to a host, newest first.
pub async fn history(pool: &PgPool, name: &HostName) -> Result<Vec<HistoryEntry>, DbError> {
    let _ = (pool, name);
    Ok(vec![])
}
