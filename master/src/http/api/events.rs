//! `/events`: what the boxes reported, the newest first. `/probes`: whether the agents answer.

use super::{
    hosts::Page,
    parameters::Paging,
    request::{Parameters, open_cursor, seal_cursor, wrong_parameter},
};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{Action, authorise},
    probes::{Finding, findings},
    reports::{Event, EventQuery, events},
};
use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use http::Uri;
use utoipa_axum::{router::OpenApiRouter, routes};

const LIMIT_DEFAULT: u32 = 100;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(probes))
}

#[utoipa::path(
    get,
    path = "/events",
    operation_id = "listEvents",
    summary = "What boxes reported, the newest first.",
    params(
        Paging,
        ("node" = Option<String>, Query, description = "Of this box."),
        ("event" = Option<String>, Query, description = "With this name."),
        ("kind" = Option<String>, Query, description = "One of: event, audit."),
        ("since" = Option<chrono::DateTime<chrono::Utc>>, Query, description = "Then or later."),
    ),
    responses((status = 200, body = Page<Event>)),
)]
async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<Event>>, Problem> {
    authorise(&visitor.actor("api"), Action::Read, "all that boxes report")?;
    let (items, next) = events(&app.pool, &query(&uri)?).await?;
    Ok(Json(Page { items, next: next.map(|number| seal_cursor(&number.to_string())) }))
}

#[utoipa::path(
    get,
    path = "/probes",
    operation_id = "listProbes",
    summary = "Whether the agents answer.",
    responses((status = 200, body = Page<Finding>)),
)]
async fn probes(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<Finding>>, Problem> {
    Parameters::of(&uri, &[])?;
    visitor.sight()?;
    Ok(Json(Page { items: findings(&app.pool).await?, next: None }))
}

fn query(uri: &Uri) -> Result<EventQuery, Problem> {
    let parameters = Parameters::of(uri, &["node", "event", "kind", "since", "limit", "cursor"])?;
    let audit = match parameters.text("kind") {
        None => None,
        Some("audit") => Some(true),
        Some("event") => Some(false),
        Some(other) => return Err(wrong_parameter("kind", format!("\"{other}\" is neither event nor audit"))),
    };
    let time = |text: &str| text.parse::<DateTime<Utc>>().map_err(|_| wrong_parameter("since", format!("\"{text}\" is no time such as 2026-11-21T14:00:00Z")));
    let foreign = || wrong_parameter("cursor", "this is no cursor of this list".into());
    let number = |text: &str| open_cursor(text)?.parse().map_err(|_| foreign());
    Ok(EventQuery {
        node: parameters.text("node").map(str::to_owned),
        event: parameters.text("event").map(str::to_owned),
        audit,
        since: parameters.text("since").map(time).transpose()?,
        below: parameters.text("cursor").map(number).transpose()?,
        limit: parameters.number("limit", 1..=1000)?.unwrap_or(LIMIT_DEFAULT),
    })
}

#[cfg(test)]
mod tests {
    use super::query;

    #[test]
    fn filters_are_read_and_wrong_ones_named() {
        let read = |text: &str| query(&format!("/events?{text}").parse().unwrap());
        let found = read("node=north&event=disk_failed&kind=event&since=2026-11-21T14:00:00Z&limit=5").unwrap();
        assert_eq!((found.node.as_deref(), found.event.as_deref(), found.audit, found.limit), (Some("north"), Some("disk_failed"), Some(false), 5));
        for (wrong, pointer) in [("kind=x", "?kind"), ("since=yesterday", "?since"), ("cursor=1", "?cursor"), ("box=north", "?box"), ("limit=0", "?limit")] {
            let problem = read(wrong).unwrap_err();
            assert_eq!((problem.status, problem.errors[0].pointer.as_str()), (400, pointer), "{wrong}");
        }
    }
}
