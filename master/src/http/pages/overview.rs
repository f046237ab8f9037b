//! The first page: what needs a person, then how things are.

use super::{Frame, Person, Refused, page};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{
        self, Action, ChangeQuery, ChangeSet, CopyRow, DraftState, SubnetNumbers, SubnetObject,
        checks::{self, FindingFilter, FindingRow, Severity},
        transfers,
    },
    nodes,
    probes::findings,
};
use askama::Template;
use axum::{extract::State, response::Response};
use holdfast_proto::words::DomainName;

/// A subnet with fewer than a tenth of its addresses free is nearly full.
const NEARLY_FULL: u128 = 10;
/// Subnets smaller than this are as their owners want them.
const LEAST_SIZE: u64 = 16;
/// Certificates that end sooner than this need somebody: they renew by themselves long before.
const CERTIFICATE_DAYS: i64 = 7;
/// How many of each are listed.
const SHOWN: usize = 10;

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Need {
    /// `bad`, or nothing for what can wait.
    class: &'static str,
    says: String,
    link: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    needs: Vec<Need>,
    /// Word and number.
    counts: Vec<(&'static str, &'static str, usize)>,
    feeds: Vec<(String, u64, usize, usize)>,
    recent: Vec<ChangeSet>,
}

pub(super) async fn show(State(app): State<App>, Person(visitor): Person) -> Result<Response, Refused> {
    let sight = visitor.sight()?;
    let subnets = inventory::subnets(&app.pool, &sight).await?;
    let zones: Vec<DomainName> = inventory::zones(&app.pool, &sight).await?.into_iter().map(|zone| zone.draft.apex).collect();
    let copies = transfers::copies(&app.pool, &zones).await?;
    let mut needs = of_boxes(&app).await?;
    needs.extend(copies.iter().filter_map(of_copy));
    needs.extend(subnets.iter().filter_map(of_subnet));
    if visitor.sees_all("all findings").is_ok() {
        let filter = FindingFilter { severity: Some(Severity::Error), limit: SHOWN as i64, ..FindingFilter::default() };
        needs.extend(checks::list(&app.pool, &filter).await?.0.into_iter().map(of_finding));
    }
    needs.extend(waiting(&app, &visitor).await?);
    needs.sort_by_key(|need| need.class.is_empty());
    let feeds = app.snapshots.feeds().await?.into_iter().filter_map(|feed| {
        let behind = feed.agents.iter().filter(|lag| lag.lags).count();
        Some((feed.feed, feed.newest?.generation, feed.agents.len() - behind, feed.agents.len()))
    });
    page(OverviewPage {
        frame: Frame::of(&app, &visitor, "").await?,
        needs,
        counts: vec![("subnets", "/subnets", subnets.len()), ("zones", "/zones", zones.len()), ("copies of zones", "/zones", copies.len())],
        // How generations go is for those who see everything, as it is by the API.
        feeds: if visitor.sees_all("all snapshots").is_ok() { feeds.collect() } else { vec![] },
        recent: recent(&app, &visitor).await?,
    })
}

/// Change sets of others that wait for a second person.
async fn waiting(app: &App, visitor: &Visitor) -> Result<Vec<Need>, Refused> {
    let proposed = inventory::draft_list(&app.pool, Some(DraftState::Proposed), None, SHOWN as u32).await?;
    let others = proposed.into_iter().filter(|draft| draft.author != visitor.name && visitor.authority.everywhere(Action::Read));
    Ok(others
        .map(|draft| Need { class: "", says: format!("{} asks for a second person: {}", draft.author, draft.reason), link: format!("/drafts/{}", draft.id) })
        .collect())
}

async fn recent(app: &App, visitor: &Visitor) -> Result<Vec<ChangeSet>, Refused> {
    let actor = if visitor.authority.everywhere(Action::Audit) { None } else { Some(visitor.name.clone()) };
    let query = ChangeQuery { actor, limit: SHOWN as u32, ..ChangeQuery::default() };
    Ok(inventory::change_sets(&app.pool, &query).await?.0)
}

/// Boxes without a line, services that do not answer, certificates that end.
async fn of_boxes(app: &App) -> Result<Vec<Need>, Problem> {
    let Some(boxes) = &app.boxes else { return Ok(vec![]) };
    let mut needs: Vec<Need> =
        (app.halt)().into_iter().map(|why| Need { class: "bad", says: format!("Nothing is published: {why}"), link: "/campuses".into() }).collect();
    let mut silent = findings(&app.pool).await?;
    silent.retain(|finding| !finding.answers);
    for node in nodes::list(&app.pool, &(boxes.lines)()).await?.into_iter().filter(|node| node.state == "in") {
        let link = format!("/nodes/{}", super::quote(&node.name));
        if node.role == "agent" && !node.connected {
            let says = format!("{} has no line to the master; it serves what it has", node.name);
            needs.push(Need { class: "bad", says, link: link.clone() });
            // Whether its services answer cannot be seen from here, then.
            silent.retain(|finding| finding.agent != node.name);
        }
        let left = node.certificate_end.map(|end| (end - chrono::Utc::now()).num_days());
        if let Some(days) = left.filter(|days| *days < CERTIFICATE_DAYS) {
            needs.push(Need { class: "", says: format!("the certificate of {} ends in {days} days and was not renewed", node.name), link });
        }
    }
    let silent = silent.into_iter().map(|finding| Need {
        class: "bad",
        says: format!("{} of {} does not answer, since {}", finding.service, finding.agent, super::moment(&finding.since)),
        link: format!("/nodes/{}", super::quote(&finding.agent)),
    });
    needs.extend(silent);
    Ok(needs)
}

fn of_copy(copy: &CopyRow) -> Option<Need> {
    let says = match () {
        () if copy.held_serial.is_some() => "waits: a transfer would take much away",
        () if copy.is_expired => "has expired: its names are answered with SERVFAIL",
        () if copy.failures > 0 => "was not answered for by its primaries",
        () => return None,
    };
    let class = if copy.is_expired || copy.held_serial.is_some() { "bad" } else { "" };
    Some(Need { class, says: format!("The copy of {} {says}", copy.apex), link: format!("/zones/{}", super::quote(&copy.apex)) })
}

fn of_subnet(subnet: &SubnetObject) -> Option<Need> {
    let SubnetNumbers::Now(numbers) = &subnet.numbers else { return None };
    let is_nearly_full = numbers.total >= LEAST_SIZE && u128::from(numbers.free) * NEARLY_FULL < u128::from(numbers.total);
    let network = subnet.draft.network;
    is_nearly_full.then(|| Need {
        class: "",
        says: format!("{network} has {} of {} addresses free", numbers.free, numbers.total),
        link: format!("/subnets/{network}"),
    })
}

fn of_finding(finding: FindingRow) -> Need {
    let FindingRow { code, detail, .. } = finding;
    Need { class: "bad", link: format!("/checks?code={}", super::quote(&code)), says: format!("{code}: {detail}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{SubnetDraft, Version, numbers::Numbers};
    use serde_json::json;

    fn subnet(total: u64, free: u64) -> SubnetObject {
        let draft: SubnetDraft = serde_json::from_value(json!({ "network": "10.1.4.0/24", "campus": "north" })).unwrap();
        let numbers = Numbers { total, free, used: total - free, quarantined: 0, excluded: 0 };
        SubnetObject { version: Version(1), draft, numbers: SubnetNumbers::Now(numbers) }
    }

    #[test]
    fn a_subnet_that_is_nearly_full_needs_somebody() {
        assert_eq!(of_subnet(&subnet(254, 26)), None);
        assert_eq!(of_subnet(&subnet(254, 25)).unwrap().says, "10.1.4.0/24 has 25 of 254 addresses free");
        assert_eq!(of_subnet(&subnet(2, 0)), None, "a link between two routers is full on purpose");
        assert_eq!(of_subnet(&subnet(u64::MAX, u64::MAX / 2)), None);
    }
}
