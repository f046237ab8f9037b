//! `/hosts`: list, add, read, replace, patch, delete, history.

use super::{
    BODY_LIMIT_BYTES, changes,
    request::{Json as Body, Parameters, check_if_match, merge_patch, open_cursor, read, seal_cursor},
    write::{Outcome, Wish, answer, is_known, make, with_header},
};
use crate::{
    http::{App, FieldError, Problem, session::Visitor},
    inventory::{self, Edit, Host, HostDraft, HostQuery, Subject, pattern},
};
use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use holdfast_proto::words::HostName;
use http::{HeaderMap, StatusCode, Uri, header};
use serde::Serialize;
use serde_json::Value;

/// Without these there is no host.
const REQUIRED: &[&str] = &["name"];

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/hosts", get(list).post(add))
        .route("/hosts/{name}", get(show).put(replace).patch(patch).delete(delete))
        .route("/hosts/{name}/history", get(history))
}

/// Every list looks like this.
#[derive(Serialize)]
pub(super) struct Page<T> {
    /// The objects.
    pub items: Vec<T>,
    /// The cursor of the next page; none at the end.
    pub next: Option<String>,
}

async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<Host>>, Problem> {
    let parameters = Parameters::of(&uri, &["search", "name__ic", "limit", "cursor", "at"])?;
    let moment = changes::moment(&app, &visitor, &parameters).await?;
    let part = parameters.text("name__ic").map(str::to_owned);
    if part.is_some() && parameters.text("search").is_some() {
        return Err(super::request::wrong_parameter("name__ic", "give either search or name__ic".into()));
    }
    let query = HostQuery {
        names_only: part.is_some(),
        search: parameters.text("search").map(str::to_owned).or(part).filter(|text| !text.trim().is_empty()),
        cursor: parameters.text("cursor").map(open_cursor).transpose()?,
        limit: parameters.number("limit", 1..=1000)?.unwrap_or(0),
    };
    if moment.is_some() && query.search.is_some() {
        return Err(super::request::wrong_parameter("at", "the past can be listed and not searched: leave search and name__ic out".into()));
    }
    let page = match moment {
        Some(moment) => inventory::hosts_at(&app.pool, &query, moment).await?,
        None => inventory::host_list(&app.pool, &visitor.sight()?, &query).await?,
    };
    Ok(Json(Page { items: page.hosts, next: page.next.as_deref().map(seal_cursor) }))
}

async fn add(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    match body.get("name").and_then(Value::as_str).and_then(pattern::names) {
        Some(names) => add_many(&app, &visitor, &wish, body.clone(), names).await,
        None => add_host(&app, &visitor, &wish, read(body, REQUIRED)?).await,
    }
}

/// Adds one host.
pub(super) async fn add_host(app: &App, visitor: &Visitor, wish: &Wish, draft: HostDraft) -> Result<Response, Problem> {
    let name = draft.name.clone();
    let outcome = make(app, visitor, wish, Edit::HostAdd(draft), None).await?;
    let response = tell(app, visitor, wish, outcome, &name, StatusCode::CREATED).await?;
    Ok(with_header(response, header::LOCATION, &format!("/api/v1/hosts/{name}")))
}

/// Adds a host for each name of a pattern, all alike, all or none.
async fn add_many(app: &App, visitor: &Visitor, wish: &Wish, body: Value, names: Result<Vec<HostName>, String>) -> Result<Response, Problem> {
    let wrong = |detail: String| Problem::refused(vec![FieldError::new("/name", "value", detail)]);
    let names = names.map_err(wrong)?;
    let draft = |name: &HostName| {
        let mut one = body.clone();
        one["name"] = name.to_string().into();
        read::<HostDraft>(one, REQUIRED)
    };
    let drafts = names.iter().map(draft).collect::<Result<Vec<_>, _>>()?;
    let outcome = make(app, visitor, wish, Edit::HostsAdd(drafts), None).await?;
    let mut made = Vec::new();
    if let Outcome::Did(_) = &outcome {
        for name in &names {
            made.extend(inventory::host_by_name(&app.pool, &visitor.sight()?, name).await?);
        }
    }
    Ok(answer(app, wish, outcome, Some(made), StatusCode::CREATED).await)
}

async fn show(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    let parameters = Parameters::of(&uri, &["at"])?;
    if let Some(moment) = changes::moment(&app, &visitor, &parameters).await? {
        let was = inventory::host_at(&app.pool, &parse_name(&name)?, moment).await?;
        return Ok(Json(was.ok_or_else(|| Problem::not_found(format!("there was no host named {name} then")))?).into_response());
    }
    let host = find(&app, &visitor, &name).await?;
    let tag = etag(&host);
    if is_known(&headers, &tag) {
        return Ok(with_header(StatusCode::NOT_MODIFIED.into_response(), header::ETAG, &tag));
    }
    Ok(with_header(Json(host).into_response(), header::ETAG, &tag))
}

async fn replace(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    Body(body): Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let draft: HostDraft = read(body, REQUIRED)?;
    let host = find(&app, &visitor, &name).await?;
    check_if_match(&headers, &etag(&host))?;
    set(&app, &visitor, &wish, host, draft).await
}

async fn patch(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    Body(body): Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let host = find(&app, &visitor, &name).await?;
    check_if_match(&headers, &etag(&host))?;
    let mut merged = serde_json::to_value(&host.draft).map_err(Problem::internal)?;
    merge_patch(&mut merged, body);
    let draft: HostDraft = read(merged, REQUIRED)?;
    set(&app, &visitor, &wish, host, draft).await
}

/// `If-Match: *` was compared with what is there now, too: the version read here is the one that must still hold at the write.
async fn set(app: &App, visitor: &Visitor, wish: &Wish, host: Host, draft: HostDraft) -> Result<Response, Problem> {
    let name = draft.name.clone();
    let edit = Edit::HostSet { name: host.draft.name, draft };
    let outcome = make(app, visitor, wish, edit, Some(host.version)).await?;
    tell(app, visitor, wish, outcome, &name, StatusCode::OK).await
}

async fn delete(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let host = find(&app, &visitor, &name).await?;
    check_if_match(&headers, &etag(&host))?;
    let outcome = make(&app, &visitor, &wish, Edit::HostDelete { name: host.draft.name }, Some(host.version)).await?;
    Ok(answer(&app, &wish, outcome, None::<Host>, StatusCode::OK).await)
}

async fn history(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Response, Problem> {
    changes::history(&app, &visitor, &uri, &Subject::Host(parse_name(&name)?)).await
}

pub(super) async fn tell(app: &App, visitor: &Visitor, wish: &Wish, outcome: Outcome, name: &HostName, status: StatusCode) -> Result<Response, Problem> {
    let host = match &outcome {
        Outcome::Would(_) => None,
        Outcome::Did(_) => inventory::host_by_name(&app.pool, &visitor.sight()?, name).await?,
    };
    let tag = host.as_ref().map(etag);
    let response = answer(app, wish, outcome, host, status).await;
    Ok(match tag {
        Some(tag) => with_header(response, header::ETAG, &tag),
        None => response,
    })
}

async fn find(app: &App, visitor: &Visitor, name: &str) -> Result<Host, Problem> {
    inventory::host_by_name(&app.pool, &visitor.sight()?, &parse_name(name)?).await?.ok_or_else(|| unknown(name))
}

pub(super) fn parse_name(name: &str) -> Result<HostName, Problem> {
    name.parse().map_err(|wrong| Problem::not_found(format!("there is no such host: {wrong}")))
}

fn unknown(name: &str) -> Problem {
    Problem::not_found(format!("there is no host named {name}"))
}

/// The identity is part of it, so that a host made anew under an old name is never taken for the old one.
fn etag(host: &Host) -> String {
    format!("\"{}-{}\"", host.id.simple(), host.version.0)
}
