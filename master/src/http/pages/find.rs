//! The one search box: what can mean one thing alone is jumped to, everything else is shown, kind by kind.

use super::{Frame, Person, Refused, page, quote};
use crate::{
    http::{App, session::Visitor},
    inventory::{
        self, Host, HostQuery, Sight, SubnetObject, ZoneObject,
        explain::{Fact, explain},
    },
};
use askama::Template;
use axum::{
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
};
use holdfast_proto::words::{DomainName, Mac, Subnet};
use serde::Deserialize;
use std::net::IpAddr;

/// How many of each kind are shown.
const SHOWN: usize = 20;

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    search: String,
}

#[derive(Template)]
#[template(path = "find.html")]
pub(super) struct FindPage {
    pub frame: Frame,
    pub search: String,
    pub hosts: Vec<Host>,
    pub more_hosts: bool,
    pub zones: Vec<ZoneObject>,
    pub subnets: Vec<SubnetObject>,
    pub facts: Vec<Fact>,
    /// An address or a hardware address that no host has.
    pub new_host: Option<String>,
}

pub(super) async fn find(State(app): State<App>, Person(visitor): Person, Query(asked): Query<Asked>) -> Result<Response, Refused> {
    let search = asked.search.trim().to_owned();
    if search.is_empty() {
        return Ok(Redirect::to("/hosts").into_response());
    }
    let sight = visitor.sight()?;
    let all_zones = inventory::zones(&app.pool, &sight).await?;
    let all_subnets = inventory::subnets(&app.pool, &sight).await?;
    if let Some(place) = place_of(&search, &all_zones, &all_subnets) {
        return Ok(Redirect::to(&place).into_response());
    }
    let query = HostQuery { search: Some(search.clone()), limit: SHOWN as u32, ..HostQuery::default() };
    let found = inventory::host_list(&app.pool, &sight, &query).await?;
    if let ([host], None) = (found.hosts.as_slice(), &found.next) {
        return Ok(Redirect::to(&format!("/hosts/{}", host.draft.name)).into_response());
    }
    let lower = search.to_ascii_lowercase();
    let mut zones = all_zones;
    zones.retain(|zone| zone.draft.apex.without_dot().contains(&lower));
    let mut subnets = all_subnets;
    let address = search.parse::<IpAddr>().ok();
    subnets.retain(|subnet| subnet_matches(subnet, &lower, address));
    zones.truncate(SHOWN);
    subnets.truncate(SHOWN);
    let facts = if found.hosts.is_empty() { facts(&app, &visitor, &sight, &search).await } else { vec![] };
    let may_be_new = found.hosts.is_empty() && visitor.authority.edits();
    let new_host = if may_be_new { new_host(&search, !subnets.is_empty()) } else { None };
    page(FindPage {
        frame: Frame::of(&app, &visitor, "hosts").await?,
        search,
        more_hosts: found.next.is_some(),
        hosts: found.hosts,
        zones,
        subnets,
        facts,
        new_host,
    })
}

/// Where a search leads that names a zone or a network as a whole.
fn place_of(search: &str, zones: &[ZoneObject], subnets: &[SubnetObject]) -> Option<String> {
    if let Ok(network) = search.parse::<Subnet>() {
        return subnets.iter().any(|subnet| subnet.draft.network == network).then(|| format!("/subnets/{network}"));
    }
    let name: DomainName = search.parse().ok()?;
    let zone = zones.iter().find(|zone| zone.draft.apex == name)?;
    Some(format!("/zones/{}", quote(&zone.draft.apex.without_dot())))
}

fn subnet_matches(subnet: &SubnetObject, lower: &str, address: Option<IpAddr>) -> bool {
    let draft = &subnet.draft;
    let is_said = |text: &Option<String>| text.as_ref().is_some_and(|text| text.to_lowercase() == lower);
    match address {
        Some(address) => draft.network.net().contains(&address),
        None => draft.network.to_string().starts_with(lower) || draft.campus.to_lowercase() == lower || is_said(&draft.department),
    }
}

/// What is known of something that is no host of ours. That nothing can be said of it is no fault of the page.
async fn facts(app: &App, visitor: &Visitor, sight: &Sight, search: &str) -> Vec<Fact> {
    if visitor.sees_all("what is known of others").is_err() {
        return vec![];
    }
    explain(&app.pool, sight, search).await.map(|explained| explained.facts).unwrap_or_default()
}

/// The query for the form of a host that would have what was looked for.
fn new_host(search: &str, is_ours: bool) -> Option<String> {
    let mac = search.parse::<Mac>().ok().map(|mac| format!("mac={mac}"));
    let address = search.parse::<IpAddr>().ok().filter(|_| is_ours).map(|address| format!("address={address}"));
    mac.or(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_has_can_be_given_to_a_new_host() {
        assert_eq!(new_host("0800.20db.b67f", false).as_deref(), Some("mac=08:00:20:db:b6:7f"));
        assert_eq!(new_host("10.1.4.9", true).as_deref(), Some("address=10.1.4.9"));
        assert_eq!(new_host("192.0.2.1", false), None, "that lies in no subnet of ours");
        assert_eq!(new_host("printer", true), None);
    }
}
