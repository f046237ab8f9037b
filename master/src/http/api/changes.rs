//! `/changes`: who changed what, as a time line; one change set with all its rows; and the history of single objects.

use super::{
    hosts::Page,
    parameters::{Paging, Waiting},
    request::{Parameters, open_cursor, seal_cursor, wrong_parameter},
    write::propagation,
};
use crate::{
    http::{App, Problem, Served, served::all_serve, session::Visitor},
    inventory::{self, Action, ChangeQuery, ChangeSet, HistoryLine, Moment, RowChange, Sight, Subject},
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use http::Uri;
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

const LIMIT_DEFAULT: u32 = 100;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(rows))
        .routes(routes!(subnet))
        .routes(routes!(zone_history))
        .routes(routes!(campus_history))
        .routes(routes!(department_history))
        .routes(routes!(nas_history))
        .routes(routes!(template_history))
}

/// Who may not read what others did reads what they did themselves.
#[utoipa::path(
    get,
    path = "/changes",
    operation_id = "listChanges",
    summary = "Who changed what, the newest first.",
    params(
        Paging,
        ("actor" = Option<String>, Query, description = "Made or written by this one."),
        ("via" = Option<String>, Query, description = "By this way: web, api, import, break-glass."),
        ("kind" = Option<String>, Query, description = "With an object of this kind."),
        ("text" = Option<String>, Query, description = "With this in the reason, or with an object of this name."),
        ("since" = Option<chrono::DateTime<chrono::Utc>>, Query, description = "Then or later."),
        ("until" = Option<chrono::DateTime<chrono::Utc>>, Query, description = "Before."),
    ),
    responses((status = 200, body = Page<ChangeSet>)),
)]
async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<ChangeSet>>, Problem> {
    let parameters = Parameters::of(&uri, &["actor", "via", "kind", "text", "since", "until", "limit", "cursor"])?;
    let actor = if audits(&visitor) { parameters.text("actor") } else { Some(visitor.name.as_str()) };
    let query = ChangeQuery {
        actor: actor.map(str::to_owned),
        via: parameters.text("via").map(str::to_owned),
        kind: parameters.text("kind").map(str::to_owned),
        text: parameters.text("text").map(str::to_owned),
        since: time(&parameters, "since")?,
        until: time(&parameters, "until")?,
        below: parameters.text("cursor").map(position).transpose()?,
        limit: limit(&parameters)?,
    };
    let (items, next) = inventory::change_sets(&app.pool, &query).await?;
    Ok(Json(Page { items, next: next.map(|(at, id)| seal_cursor(&format!("{} {id}", at.timestamp_micros()))) }))
}

/// Where the page before ended: its last change set, by time and id.
fn position(text: &str) -> Result<(DateTime<Utc>, Uuid), Problem> {
    let key = open_cursor(text)?;
    let parts = key.split_once(' ').and_then(|(at, id)| Some((DateTime::from_timestamp_micros(at.parse().ok()?)?, id.parse().ok()?)));
    parts.ok_or_else(|| wrong_parameter("cursor", "this is no cursor of this list".into()))
}

#[derive(Serialize, utoipa::ToSchema)]
struct Change {
    #[serde(flatten)]
    set: ChangeSet,
    served_by_all: bool,
    propagation: Vec<Served>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<String>,
}

/// `GET /changes/{id}`: who made a change set and why, and which agents serve it.
#[utoipa::path(
    get,
    path = "/changes/{id}",
    operation_id = "getChange",
    summary = "Who made a change set and why, and which agents serve it.",
    params(Waiting),
    responses((status = 200, body = Change)),
)]
async fn show(State(app): State<App>, visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Json<Change>, Problem> {
    let parameters = Parameters::of(&uri, &["wait", "timeout"])?;
    let set = find(&app, &visitor, &id).await?;
    let (propagation, held) = propagation(&app, set.change_set, parameters.wait()?).await;
    Ok(Json(Change { set, served_by_all: all_serve(&propagation), propagation, held }))
}

#[utoipa::path(
    get,
    path = "/changes/{id}/rows",
    operation_id = "listChangeRows",
    summary = "What a change set changed, object by object.",
    params(Paging),
    responses((status = 200, body = Page<RowChange>)),
)]
async fn rows(State(app): State<App>, visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Json<Page<RowChange>>, Problem> {
    let parameters = Parameters::of(&uri, &["limit", "cursor"])?;
    let set = find(&app, &visitor, &id).await?;
    let (items, next) = inventory::change_set_rows(&app.pool, set.change_set, ordinal(&parameters, 0)?, limit(&parameters)?).await?;
    Ok(Json(Page { items, next: next.map(|ordinal| seal_cursor(&ordinal.to_string())) }))
}

fn audits(visitor: &Visitor) -> bool {
    visitor.authority.everywhere(Action::Audit)
}

async fn find(app: &App, visitor: &Visitor, id: &str) -> Result<ChangeSet, Problem> {
    let unknown = || Problem::not_found(format!("there is no change set {id}"));
    let parsed = Uuid::try_parse(id).map_err(|_| Problem::not_found(format!("\"{id}\" is not the id of a change set")))?;
    let found = inventory::change_set_summary(&app.pool, parsed).await?;
    found.filter(|set| audits(visitor) || set.actor == visitor.name).ok_or_else(unknown)
}

#[utoipa::path(
    get,
    path = "/subnets/{address}/{length}/history",
    operation_id = "subnetHistory",
    summary = "What happened to a subnet, the newest first.",
    params(Paging),
    responses((status = 200, body = Page<HistoryLine>)),
)]
async fn subnet(State(app): State<App>, visitor: Visitor, Path((address, length)): Path<(String, String)>, uri: Uri) -> Result<Response, Problem> {
    history(&app, &visitor, &uri, &Subject::Named("subnet", "network", format!("{address}/{length}"))).await
}

#[utoipa::path(
    get,
    path = "/zones/{name}/history",
    operation_id = "zoneHistory",
    summary = "What happened to a zone, the newest first.",
    params(Paging),
    responses((status = 200, body = Page<HistoryLine>)),
)]
async fn zone_history(app: State<App>, visitor: Visitor, path: Path<String>, uri: Uri) -> Result<Response, Problem> {
    of_named(app, visitor, path, uri, "zone", "apex").await
}

#[utoipa::path(
    get,
    path = "/campuses/{name}/history",
    operation_id = "campusHistory",
    summary = "What happened to a campus, the newest first.",
    params(Paging),
    responses((status = 200, body = Page<HistoryLine>)),
)]
async fn campus_history(app: State<App>, visitor: Visitor, path: Path<String>, uri: Uri) -> Result<Response, Problem> {
    of_named(app, visitor, path, uri, "campus", "name").await
}

#[utoipa::path(
    get,
    path = "/departments/{name}/history",
    operation_id = "departmentHistory",
    summary = "What happened to a department, the newest first.",
    params(Paging),
    responses((status = 200, body = Page<HistoryLine>)),
)]
async fn department_history(app: State<App>, visitor: Visitor, path: Path<String>, uri: Uri) -> Result<Response, Problem> {
    of_named(app, visitor, path, uri, "department", "name").await
}

#[utoipa::path(
    get,
    path = "/nas/{name}/history",
    operation_id = "nasHistory",
    summary = "What happened to a NAS, the newest first.",
    params(Paging),
    responses((status = 200, body = Page<HistoryLine>)),
)]
async fn nas_history(app: State<App>, visitor: Visitor, path: Path<String>, uri: Uri) -> Result<Response, Problem> {
    of_named(app, visitor, path, uri, "NAS", "name").await
}

#[utoipa::path(
    get,
    path = "/templates/{name}/history",
    operation_id = "templateHistory",
    summary = "What happened to a template, the newest first.",
    params(Paging),
    responses((status = 200, body = Page<HistoryLine>)),
)]
async fn template_history(app: State<App>, visitor: Visitor, path: Path<String>, uri: Uri) -> Result<Response, Problem> {
    of_named(app, visitor, path, uri, "template", "name").await
}

async fn of_named(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
    uri: Uri,
    kind: &'static str,
    column: &'static str,
) -> Result<Response, Problem> {
    history(&app, &visitor, &uri, &Subject::Named(kind, column, name.trim_end_matches('.').to_owned())).await
}

/// A page of the history of an object, the newest first. Of a host for whoever sees it; of what hosts share for those who see all.
pub(super) async fn history(app: &App, visitor: &Visitor, uri: &Uri, subject: &Subject) -> Result<Response, Problem> {
    let parameters = Parameters::of(uri, &["limit", "cursor"])?;
    let sight = visitor.sight()?;
    if matches!(subject, Subject::Named(..)) && sight != Sight::All {
        return Err(Problem::forbidden("this history is for those who see everything: ask an administrator"));
    }
    let (items, next) = inventory::history_of(&app.pool, &sight, subject, ordinal(&parameters, i64::MAX)?, limit(&parameters)?).await?;
    if items.is_empty() && parameters.text("cursor").is_none() {
        let name = match subject {
            Subject::Host(name) => format!("host {name}"),
            Subject::Named(kind, _, name) => format!("{kind} {name}"),
        };
        return Err(Problem::not_found(format!("there never was a {name}")));
    }
    Ok(Json(Page::<HistoryLine> { items, next: next.map(|ordinal| seal_cursor(&ordinal.to_string())) }).into_response())
}

fn ordinal(parameters: &Parameters, default: i64) -> Result<i64, Problem> {
    let parse = |text: &str| open_cursor(text)?.parse().map_err(|_| wrong_parameter("cursor", "this is no cursor of this list".into()));
    Ok(parameters.text("cursor").map(parse).transpose()?.unwrap_or(default))
}

fn limit(parameters: &Parameters) -> Result<u32, Problem> {
    Ok(parameters.number("limit", 1..=1000)?.unwrap_or(LIMIT_DEFAULT))
}

/// A parameter that is a time.
pub(super) fn time(parameters: &Parameters, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
    let parse = |text: &str| text.parse().map_err(|_| wrong_parameter(name, format!("\"{text}\" is no time such as 2026-11-21T14:00:00Z")));
    parameters.text(name).map(parse).transpose()
}

/// The time of `at=`, where a read asks for the past: for those who see everything, since whose an object was then is not kept by it.
pub(super) async fn moment(app: &App, visitor: &Visitor, parameters: &Parameters) -> Result<Option<Moment>, Problem> {
    match time(parameters, "at")? {
        Some(_) if visitor.sight()? != Sight::All => Err(Problem::forbidden("the past is shown to those who see everything: ask an administrator")),
        Some(at) => Ok(Some(Moment::of(&app.pool, at).await?)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::position;
    use crate::http::api::seal_cursor;
    use uuid::Uuid;

    #[test]
    fn the_cursor_of_the_time_line_is_its_own() {
        let id = Uuid::now_v7();
        let (at, read) = position(&seal_cursor(&format!("1700000000000001 {id}"))).unwrap();
        assert_eq!((at.timestamp_micros(), read), (1_700_000_000_000_001, id));
        assert_eq!(position(&seal_cursor("x")).unwrap_err().errors[0].pointer, "?cursor");
    }
}
