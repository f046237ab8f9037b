//! Who had an address, when, and who gave it to them: what is asked after a complaint, out of the audit.
//!
//! A holder is told under the name and the hardware address that it had at the end of its time, or has now.

use super::network_sessions::{NetworkSession, with_address};
use super::quarantine::Held;
use super::{Problem, Refusal};
use crate::db::holders::{self, AddressChange};
use crate::db::{DbError, quarantine, subnets};
use chrono::{DateTime, Utc};
use holdfast_proto::words::Subnet;
use serde::Serialize;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use std::net::IpAddr;
use uuid::Uuid;

/// Sessions that are told.
const SESSIONS_TOLD: i64 = 20;

/// Somebody who had an address for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Holder {
    /// The host's name.
    pub host: String,
    /// The hardware address of its interface.
    pub mac: Option<String>,
    /// Since when it had the address.
    pub since: DateTime<Utc>,
    /// Until when; none: it has it.
    pub until: Option<DateTime<Utc>>,
    /// Who gave it the address.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// By which change set.
    pub change_set: Uuid,
}

/// All that is known of who had an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct WhoHad {
    /// The address.
    #[schema(value_type = String)]
    pub ip: IpAddr,
    /// Its subnet, where it is ours.
    #[schema(value_type = Option<String>)]
    pub subnet: Option<Subnet>,
    /// Who had it, the last one first; of a given time the one who had it then.
    pub items: Vec<Holder>,
    /// What holds it in quarantine.
    pub quarantine: Option<Held>,
    /// When it was last seen in use.
    pub last_seen: Option<DateTime<Utc>>,
    /// What saw it.
    pub source: Option<String>,
    /// Whose sessions NASs told of with it, the last one first; of a given time those that lasted then.
    pub sessions: Vec<NetworkSession>,
}

/// Who had an address: ever, or at a time.
pub async fn who_had(pool: &PgPool, ip: IpAddr, at: Option<DateTime<Utc>>) -> Result<WhoHad, Refusal> {
    if at.is_some_and(|at| at > Utc::now()) {
        return Err(Problem::new("time-not-known", "?at", "this time is yet to come").into());
    }
    let mut db = pool.acquire().await.map_err(DbError::from)?;
    let mut items = Vec::new();
    for span in spans(holders::of_address(&mut db, ip).await?).into_iter().rev().filter(|span| at.is_none_or(|at| span.holds(at))) {
        items.push(holder(&mut db, span).await?);
    }
    let held = quarantine::list(&mut db, Some(&[ip.to_string()]), None, 1).await?.pop().map(Held::from);
    let (last_seen, source) = holders::last_seen(&mut db, ip).await?.unzip();
    let subnet = subnets::networks(&mut db).await?.into_iter().map(|(_, network)| network).find(|network| network.net().contains(&ip));
    let sessions = with_address(&mut db, ip, at, SESSIONS_TOLD).await?;
    Ok(WhoHad { ip, subnet, items, quarantine: held, last_seen, source, sessions })
}

/// A time during which one host had the address.
struct Span {
    host: Uuid,
    iface: String,
    begun: AddressChange,
    ended: Option<AddressChange>,
}

impl Span {
    fn holds(&self, at: DateTime<Utc>) -> bool {
        self.begun.at <= at && self.ended.as_ref().is_none_or(|ended| at < ended.at)
    }
}

/// The changes of an address as times of holders, the first one first.
fn spans(changes: Vec<AddressChange>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for change in changes {
        let owner = change.after.as_ref().and_then(owner);
        if let Some(open) = spans.last_mut().filter(|span| span.ended.is_none()) {
            match &owner {
                Some((host, iface)) if *host == open.host => {
                    open.iface.clone_from(iface);
                    continue;
                }
                _ => open.ended = Some(change.clone()),
            }
        }
        spans.extend(owner.map(|(host, iface)| Span { host, iface, begun: change, ended: None }));
    }
    spans
}

fn owner(image: &Value) -> Option<(Uuid, String)> {
    Some((image["host_id"].as_str()?.parse().ok()?, image["iface_id"].as_str()?.to_owned()))
}

async fn holder(db: &mut PgConnection, span: Span) -> Result<Holder, DbError> {
    let Span { host, iface, begun, ended } = span;
    let last = ended.as_ref().map_or(i64::MAX, |ended| ended.ordinal);
    let name = holders::name_of(db, host, last).await?.unwrap_or_else(|| format!("host {host}"));
    let mac = holders::mac_of(db, host, &iface, last).await?;
    let AddressChange { at, actor, reason, change_set, .. } = begun;
    Ok(Holder { host: name, mac, since: at, until: ended.map(|ended| ended.at), actor, reason, change_set })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn change(ordinal: i64, before: Option<u128>, after: Option<u128>) -> AddressChange {
        let image = |host: Option<u128>| host.map(|host| json!({ "host_id": Uuid::from_u128(host), "iface_id": "i" }));
        let at = DateTime::from_timestamp(ordinal, 0).unwrap();
        AddressChange { ordinal, change_set: Uuid::nil(), at, actor: String::new(), reason: String::new(), before: image(before), after: image(after) }
    }

    #[test]
    fn an_address_has_one_holder_at_a_time() {
        let told =
            spans(vec![change(1, None, Some(7)), change(2, Some(7), Some(7)), change(3, Some(7), None), change(5, None, Some(8)), change(6, Some(8), Some(9))]);
        let times: Vec<(u128, i64, Option<i64>)> =
            told.iter().map(|span| (span.host.as_u128(), span.begun.ordinal, span.ended.as_ref().map(|end| end.ordinal))).collect();
        assert_eq!(times, [(7, 1, Some(3)), (8, 5, Some(6)), (9, 6, None)]);
        assert!(!told[0].holds(DateTime::from_timestamp(3, 0).unwrap()) && told[0].holds(DateTime::from_timestamp(2, 0).unwrap()));
    }
}
