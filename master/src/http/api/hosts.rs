//! `/hosts`: list, add, read, replace, patch, delete, history.

use super::{
    BODY_LIMIT_BYTES, changes,
    parameters::{At, IfMatch, OfWrites, Paging, Patch},
    request::{Json as Body, Parameters, check_if_match, merge_patch, open_cursor, read, seal_cursor},
    write::{Outcome, Wish, Written, answer, is_known, make, with_header},
};
use crate::{
    http::{App, FieldError, Problem, session::Visitor},
    inventory::{self, Edit, Host, HostDraft, HostQuery, Subject, pattern},
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use holdfast_proto::words::HostName;
use http::{HeaderMap, StatusCode, Uri, header};
use serde::Serialize;
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Without these there is no host.
const REQUIRED: &[&str] = &["name"];

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(show, replace, patch, delete)).routes(routes!(history))
}

/// A host, or all that a pattern made.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what is told of either kind")]
pub(super) enum HostOrHosts {
    One(Box<Host>),
    Many(Vec<Host>),
}

/// Every list looks like this.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Page<T> {
    /// The objects.
    pub items: Vec<T>,
    /// The cursor of the next page; none at the end.
    pub next: Option<String>,
}

#[utoipa::path(
    get,
    path = "/hosts",
    operation_id = "listHosts",
    summary = "Hosts by name.",
    params(
        Paging,
        At,
        ("search" = Option<String>, Query, description = "Part of a name, an address or a hardware address."),
        ("name__ic" = Option<String>, Query, description = "Part of a name."),
    ),
    responses((status = 200, body = Page<Host>)),
)]
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

#[utoipa::path(
    post,
    path = "/hosts",
    operation_id = "addHost",
    summary = "Add a host, or many by a pattern such as lab-{01..40}.uni.example; an address can be {\"next\": {\"subnet\": \"10.1.4.0/24\"}}.",
    request_body = HostDraft,
    params(OfWrites),
    responses((status = 201, body = Written<HostOrHosts>, headers(("ETag" = String, description = "The version, for If-Match.")))),
)]
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

#[utoipa::path(
    get,
    path = "/hosts/{name}",
    operation_id = "getHost",
    summary = "A host.",
    params(At),
    responses((status = 200, body = Host, headers(("ETag" = String, description = "The version, for If-Match."))), (status = 304)),
)]
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

#[utoipa::path(
    put,
    path = "/hosts/{name}",
    operation_id = "replaceHost",
    summary = "Make a host what the draft says.",
    request_body = HostDraft,
    params(IfMatch, OfWrites),
    responses((status = 200, body = Written<Host>, headers(("ETag" = String, description = "The version, for If-Match.")))),
)]
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

#[utoipa::path(
    patch,
    path = "/hosts/{name}",
    operation_id = "changeHost",
    summary = "Change what is named of a host (RFC 7396).",
    request_body = Patch,
    params(IfMatch, OfWrites),
    responses((status = 200, body = Written<Host>, headers(("ETag" = String, description = "The version, for If-Match.")))),
)]
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

#[utoipa::path(
    delete,
    path = "/hosts/{name}",
    operation_id = "deleteHost",
    summary = "Delete a host.",
    params(IfMatch, OfWrites),
    responses((status = 200, body = Written<Host>)),
)]
async fn delete(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let host = find(&app, &visitor, &name).await?;
    check_if_match(&headers, &etag(&host))?;
    let outcome = make(&app, &visitor, &wish, Edit::HostDelete { name: host.draft.name }, Some(host.version)).await?;
    Ok(answer(&app, &wish, outcome, None::<Host>, StatusCode::OK).await)
}

#[utoipa::path(
    get,
    path = "/hosts/{name}/history",
    operation_id = "hostHistory",
    summary = "What happened to a host, the newest first.",
    params(Paging),
    responses((status = 200, body = Page<inventory::HistoryLine>)),
)]
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
