//! The quarantine: who gave an address back, what holds it, and who may have it at once.
//!
//! An address that was given back is known to services under its old owner until every agent has the change on its own disk,
//! and to the old machine until its lease ran out. Whoever got it earlier would answer to two names.

use super::{Problem, Refusal};
use crate::db::quarantine::{self, HeldRow};
use crate::db::{DbError, subnets};
use chrono::{DateTime, Utc};
use holdfast_proto::words::{HostName, Mac, Subnet};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use std::collections::HashMap;
use std::net::IpAddr;
use uuid::Uuid;

/// The most quarantined addresses of one page.
const PAGE_LIMIT: i64 = 1000;

/// A quarantined address as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Held {
    /// The address.
    #[schema(value_type = String)]
    pub ip: IpAddr,
    /// Its subnet.
    #[schema(value_type = String)]
    pub subnet: Subnet,
    /// The name of the host that had it.
    pub host: String,
    /// The hardware address it was used with.
    #[schema(value_type = Option<String>)]
    pub mac: Option<Mac>,
    /// The change set that gave it back.
    pub change_set: Uuid,
    /// When that was.
    pub freed_at: DateTime<Utc>,
    /// Before this nobody else gets it.
    pub until: DateTime<Utc>,
    /// What else holds it, in sentences: agents that may still answer with it.
    pub waiting_for: Vec<String>,
}

impl From<HeldRow> for Held {
    fn from(row: HeldRow) -> Self {
        let HeldRow { ip, network, host: _, name, mac, change_set, freed_at, until, waiting_for } = row;
        Self { ip, subnet: network, host: name, mac, change_set, freed_at, until, waiting_for }
    }
}

/// The quarantined addresses, by address, after one: a page.
pub async fn quarantined(pool: &PgPool, after: Option<IpAddr>) -> Result<(Vec<Held>, Option<IpAddr>), DbError> {
    let after = after.map(|ip| ip.to_string());
    let mut rows = quarantine::list(&mut *pool.acquire().await?, None, after.as_deref(), PAGE_LIMIT + 1).await?;
    let more = rows.len() > PAGE_LIMIT as usize;
    rows.truncate(PAGE_LIMIT as usize);
    let next = rows.last().filter(|_| more).map(|row| row.ip);
    Ok((rows.into_iter().map(Held::from).collect(), next))
}

/// The quarantined ones among these addresses of these subnets; what nothing holds any more is given free first.
pub(super) async fn among(db: &mut PgConnection, subnets: &[i64], addresses: &[String]) -> Result<HashMap<IpAddr, HeldRow>, DbError> {
    if !quarantine::is_any_of(db, subnets).await? {
        return Ok(HashMap::new());
    }
    let mut held = quarantine::list(db, Some(addresses), None, i64::MAX).await?;
    let is_due = |row: &HeldRow| row.until <= Utc::now() && row.waiting_for.is_empty();
    if held.iter().any(is_due) {
        quarantine::release_due(db, Some(subnets), i32::MAX).await?;
        held = quarantine::list(db, Some(addresses), None, i64::MAX).await?;
    }
    Ok(held.into_iter().map(|row| (row.ip, row)).collect())
}

/// Whether this is who had the address: the same host, the same hardware, or the same name as far as nothing else is known.
/// The trigger of the migration decides in the same way.
pub(super) fn had_it(held: &HeldRow, own: Option<Uuid>, name: &HostName, mac: Option<Mac>) -> bool {
    own == Some(held.host) || (held.mac.is_some() && held.mac == mac) || (held.name == name.to_string() && (held.mac.is_none() || mac.is_none()))
}

/// Why somebody else cannot have it yet.
pub(super) fn why(held: &HeldRow) -> String {
    let HeldRow { ip, name, until, waiting_for, .. } = held;
    let mut holders = waiting_for.clone();
    if *until > Utc::now() {
        holders.insert(0, format!("it waits until {}", until.format("%Y-%m-%d %H:%M:%S UTC")));
    }
    let holders = if holders.is_empty() { "it is given free in this moment".to_owned() } else { holders.join("; ") };
    format!("{ip} was given back by {name} and is in quarantine: {holders}. Choose another one, or `holdfast ip quarantine release {ip} --reason ...`")
}

/// Gives one address free at once.
pub(super) async fn release(db: &mut PgConnection, ip: IpAddr) -> Result<(), Refusal> {
    if quarantine::release(db, ip).await? {
        return Ok(());
    }
    let is_ours = subnets::networks(db).await?.iter().any(|(_, network)| network.net().contains(&ip));
    let why = if is_ours { "is not in quarantine" } else { "lies in none of our subnets" };
    Err(Refusal::Missing(Problem::new("not-in-quarantine", "", format!("{ip} {why}"))))
}
