//! `/change-sets`: drafts of change sets, and undoing change sets that were applied. `/approval-rules`: where a second person is
//! asked for.
//!
//! An edit is written as the request that would make it at once: `{"method": "PATCH", "path": "/hosts/www.uni.example", "body":
//! {...}, "if_match": "\"...\""}`. So whoever knows the API knows how to write drafts, a command line can put any of its writes
//! into one, and an edit is checked by the very handler that would make it. The handler runs with a [`Recorder`] in its hands:
//! where it would have made the edit, the edit is noted instead.

use super::{
    BODY_LIMIT_BYTES,
    hosts::Page,
    parameters::{DryRun, IfMatch, OfWrites, Paging, Waiting},
    request::{Json as Body, Parameters, check_if_match, open_cursor, read, seal_cursor, wrong_parameter},
    write::{Outcome, Wish, Written, answer, make, propagation, with_header},
};
use crate::{
    http::{App, FieldError, Problem, Served, session::Visitor},
    inventory::{self, Action, ApprovalRuleDraft, Draft, DraftPreview, DraftState, Edit, Effects, NewEdit, Version},
};
use axum::{
    Json, Router,
    body::Body as RawBody,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use tower::ServiceExt;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// Where the requests of a draft may go: to handlers that only write by way of `make`.
const PLACES: [&str; 16] = [
    "hosts",
    "subnets",
    "zones",
    "records",
    "campuses",
    "pools",
    "containers",
    "families",
    "departments",
    "contacts",
    "externals",
    "device-classes",
    "responsibilities",
    "mailboxes",
    "nas",
    "approval-rules",
];
/// The longest list of edits that comes in one request.
const EDITS_LIMIT_BYTES: usize = 8 * 1024 * 1024;
/// The longest answer of a handler that is only asked what it would do, in bytes.
const ANSWER_LIMIT_BYTES: usize = 1024 * 1024;
const LIMIT_DEFAULT: u32 = 100;

/// The handlers that are asked; made once, since they come with their descriptions.
static WRITES: LazyLock<Router<App>> = LazyLock::new(|| super::writes().into());

/// What a handler would have done.
pub type Recorder = Arc<Mutex<Option<(Edit, Option<Version>)>>>;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, begin))
        .routes(routes!(revert_many))
        .routes(routes!(show, withdraw))
        .routes(routes!(add_edits))
        .routes(routes!(remove_edit))
        .routes(routes!(preview))
        .routes(routes!(propose))
        .routes(routes!(approve))
        .routes(routes!(apply))
        .routes(routes!(revert))
        .routes(routes!(rules, add_rule))
        .routes(routes!(delete_rule))
}

/// One edit as it is sent and kept.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = change_sets::Edit)]
struct Wanted {
    #[schema(pattern = "^(POST|PUT|PATCH|DELETE)$")]
    method: String,
    #[schema(pattern = "^/[a-z]")]
    path: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Option<Object>)]
    body: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    if_match: Option<String>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Begun {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    edits: Vec<Wanted>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Added {
    edits: Vec<Wanted>,
}

/// Those of others are shown to whoever sees everything.
#[utoipa::path(
    get,
    path = "/change-sets",
    operation_id = "listChangeSets",
    summary = "Change sets that are, or were, being written.",
    params(Paging, ("state" = Option<String>, Query, description = "One of: draft, proposed, approved, applied, withdrawn.")),
    responses((status = 200, body = Page<Draft>)),
)]
async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<Draft>>, Problem> {
    let parameters = Parameters::of(&uri, &["state", "limit", "cursor"])?;
    let state = |text: &str| DraftState::named(text).ok_or_else(|| wrong_parameter("state", format!("\"{text}\" is no state of a change set")));
    let below = |text: &str| open_cursor(text)?.parse().map_err(|_| wrong_parameter("cursor", "this is no cursor of this list".into()));
    let limit = parameters.number("limit", 1..=1000)?.unwrap_or(LIMIT_DEFAULT);
    let drafts = inventory::draft_list(&app.pool, parameters.text("state").map(state).transpose()?, parameters.text("cursor").map(below).transpose()?, limit);
    let mut items = drafts.await?;
    let next = items.last().filter(|_| items.len() == limit as usize).map(|draft| seal_cursor(&draft.id.to_string()));
    items.retain(|draft| is_seen(&visitor, draft));
    Ok(Json(Page { items, next }))
}

fn is_seen(visitor: &Visitor, draft: &Draft) -> bool {
    draft.author == visitor.name || visitor.authority.everywhere(Action::Read)
}

/// A draft that this visitor may see.
async fn find(app: &App, visitor: &Visitor, id: &str) -> Result<Draft, Problem> {
    let draft = inventory::draft(&app.pool, parse(id)?).await?;
    if is_seen(visitor, &draft) { Ok(draft) } else { Err(Problem::not_found(format!("there is no change set {id}"))) }
}

/// With its edits at once, where they are given: either all of them are taken or there is no draft.
/// With `dry_run=true` only what the edits would do is told, and nothing is begun.
#[utoipa::path(
    post,
    path = "/change-sets",
    operation_id = "beginChangeSet",
    summary = "Begin a change set, with its edits or without. A dry run tells what the edits would do and begins nothing.",
    request_body = Begun,
    params(DryRun),
    responses((status = 201, body = Draft, headers(("ETag" = String, description = "The version, for If-Match."))), (status = 200, body = DraftPreview)),
)]
async fn begin(State(app): State<App>, visitor: Visitor, headers: HeaderMap, uri: Uri, Body(body): Body<EDITS_LIMIT_BYTES>) -> Result<Response, Problem> {
    let dry_run = Parameters::of(&uri, &["dry_run"])?.flag("dry_run")?;
    let begun: Begun = read(body, &[])?;
    let edits = recorded(&app, &headers, begun.edits).await?;
    let actor = visitor.actor("api");
    if dry_run {
        return Ok(Json(inventory::preview_edits(&app.pool, &actor, edits).await?).into_response());
    }
    let mut draft = inventory::begin_draft(&app.pool, &actor, &begun.reason).await?;
    if !edits.is_empty() {
        draft = inventory::add_edits(&app.pool, &actor, draft.id, edits).await?;
    }
    let place = format!("/api/v1/change-sets/{}", draft.id);
    Ok(with_header(told(&draft, StatusCode::CREATED), header::LOCATION, &place))
}

#[utoipa::path(
    get,
    path = "/change-sets/{id}",
    operation_id = "getChangeSet",
    summary = "A change set with its edits.",
    responses((status = 200, body = Draft, headers(("ETag" = String, description = "The version, for If-Match.")))),
)]
async fn show(State(app): State<App>, visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(told(&find(&app, &visitor, &id).await?, StatusCode::OK))
}

#[utoipa::path(
    delete,
    path = "/change-sets/{id}",
    operation_id = "withdrawChangeSet",
    summary = "Give a change set up.",
    responses((status = 200, body = Draft, headers(("ETag" = String, description = "The version, for If-Match.")))),
)]
async fn withdraw(State(app): State<App>, visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(told(&inventory::withdraw_draft(&app.pool, &visitor.actor("api"), find(&app, &visitor, &id).await?.id).await?, StatusCode::OK))
}

#[utoipa::path(
    post,
    path = "/change-sets/{id}/edits",
    operation_id = "addEdits",
    summary = "Add edits to a change set.",
    request_body = Added,
    responses((status = 200, body = Draft, headers(("ETag" = String, description = "The version, for If-Match.")))),
)]
async fn add_edits(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    Body(body): Body<EDITS_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    let added: Added = read(body, &["edits"])?;
    let edits = recorded(&app, &headers, added.edits).await?;
    Ok(told(&inventory::add_edits(&app.pool, &visitor.actor("api"), find(&app, &visitor, &id).await?.id, edits).await?, StatusCode::OK))
}

#[utoipa::path(
    delete,
    path = "/change-sets/{id}/edits/{number}",
    operation_id = "removeEdit",
    summary = "Take an edit out of a change set.",
    responses((status = 200, body = Draft, headers(("ETag" = String, description = "The version, for If-Match.")))),
)]
async fn remove_edit(State(app): State<App>, visitor: Visitor, Path((id, number)): Path<(String, String)>, uri: Uri) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    let number = number.parse().map_err(|_| Problem::not_found(format!("\"{number}\" is not the number of an edit")))?;
    Ok(told(&inventory::remove_edit(&app.pool, &visitor.actor("api"), find(&app, &visitor, &id).await?.id, number).await?, StatusCode::OK))
}

#[utoipa::path(
    post,
    path = "/change-sets/{id}/preview",
    operation_id = "previewChangeSet",
    summary = "What a change set would do.",
    responses((status = 200, body = DraftPreview)),
)]
async fn preview(State(app): State<App>, visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Json<DraftPreview>, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(Json(inventory::preview_draft(&app.pool, &visitor.actor("api"), find(&app, &visitor, &id).await?.id).await?))
}

#[utoipa::path(
    post,
    path = "/change-sets/{id}/propose",
    operation_id = "proposeChangeSet",
    summary = "Ask for a second person.",
    responses((status = 200, body = Draft, headers(("ETag" = String, description = "The version, for If-Match.")))),
)]
async fn propose(State(app): State<App>, visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(told(&inventory::propose_draft(&app.pool, &visitor.actor("api"), find(&app, &visitor, &id).await?.id).await?, StatusCode::OK))
}

/// With `If-Match`: nobody approves what they have not read.
#[utoipa::path(
    post,
    path = "/change-sets/{id}/approve",
    operation_id = "approveChangeSet",
    summary = "Approve what somebody else wrote, as it was read.",
    params(IfMatch),
    responses((status = 200, body = Draft, headers(("ETag" = String, description = "The version, for If-Match.")))),
)]
async fn approve(State(app): State<App>, visitor: Visitor, Path(id): Path<String>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    let draft = find(&app, &visitor, &id).await?;
    check_if_match(&headers, &etag(&draft))?;
    Ok(told(&inventory::approve_draft(&app.pool, &visitor.actor("api"), draft.id, draft.version).await?, StatusCode::OK))
}

#[derive(Serialize, utoipa::ToSchema)]
struct Applied {
    change_set: Uuid,
    effects: Effects,
    propagation: Vec<Served>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<String>,
}

/// `POST /change-sets/{id}/apply?break_glass=WHY`: the reason to do without the second person, for emergencies.
#[utoipa::path(
    post,
    path = "/change-sets/{id}/apply",
    operation_id = "applyChangeSet",
    summary = "Apply a change set: everything, or nothing.",
    params(Waiting, ("break_glass" = Option<String>, Query, description = "Do without the second person, for this reason.")),
    responses((status = 200, body = Applied)),
)]
async fn apply(State(app): State<App>, visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Json<Applied>, Problem> {
    let parameters = Parameters::of(&uri, &["break_glass", "wait", "timeout"])?;
    let why = parameters.text("break_glass").map(str::trim);
    if why == Some("") {
        return Err(wrong_parameter("break_glass", "say why nobody else is asked: the reason stands in the history".into()));
    }
    let wait = parameters.wait()?;
    let applied = inventory::apply_draft(&app.pool, &visitor.actor("api"), find(&app, &visitor, &id).await?.id, why).await?;
    app.committed.notify_one();
    let (propagation, held) = propagation(&app, applied.change_set, wait).await;
    Ok(Json(Applied { change_set: applied.change_set, effects: applied.effects, propagation, held }))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Reverted {
    change_sets: Vec<Uuid>,
}

/// `POST /change-sets/{id}/revert`: what it changed becomes what it was before, as a change set of its own.
#[utoipa::path(
    post,
    path = "/change-sets/{id}/revert",
    operation_id = "revertChangeSet",
    summary = "Undo a change set.",
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn revert(State(app): State<App>, visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Response, Problem> {
    undo(&app, &visitor, &uri, vec![parse(&id)?]).await
}

/// `POST /change-sets/revert`: several at once.
#[utoipa::path(
    post,
    path = "/change-sets/revert",
    operation_id = "revertChangeSets",
    summary = "Undo several change sets at once.",
    request_body = Reverted,
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn revert_many(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wanted: Reverted = read(body, &["change_sets"])?;
    undo(&app, &visitor, &uri, wanted.change_sets).await
}

async fn undo(app: &App, visitor: &Visitor, uri: &Uri, change_sets: Vec<Uuid>) -> Result<Response, Problem> {
    let mut wish = Wish::of(uri)?;
    for id in &change_sets {
        let known = inventory::change_set_summary(&app.pool, *id).await?;
        known.ok_or_else(|| Problem::not_found(format!("there is no change set {id}: see /api/v1/changes")))?;
    }
    if wish.reason.is_empty() {
        wish.reason = format!("revert of {}", change_sets.iter().map(Uuid::to_string).collect::<Vec<_>>().join(", "));
    }
    let outcome = make(app, visitor, &wish, Edit::Undo { change_sets, data_keys: app.data_keys() }, None).await?;
    Ok(answer(app, &wish, outcome, None::<()>, StatusCode::OK).await)
}

#[utoipa::path(
    get,
    path = "/approval-rules",
    operation_id = "listApprovalRules",
    summary = "Where a second person is asked for.",
    responses((status = 200, body = Page<inventory::ApprovalRule>)),
)]
async fn rules(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<inventory::ApprovalRule>>, Problem> {
    visitor.sight()?;
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: inventory::approval_rules(&app.pool).await?, next: None }))
}

#[utoipa::path(
    post,
    path = "/approval-rules",
    operation_id = "addApprovalRule",
    summary = "Ask for a second person in an area.",
    request_body = ApprovalRuleDraft,
    params(OfWrites),
    responses((status = 201, body = Written<ApprovalRuleDraft>)),
)]
async fn add_rule(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let draft: ApprovalRuleDraft = read(body, &["area_kind"])?;
    let outcome = make(&app, &visitor, &wish, Edit::ApprovalRuleAdd(draft.clone()), None).await?;
    let rule = Some(draft).filter(|_| matches!(outcome, Outcome::Did(_)));
    Ok(answer(&app, &wish, outcome, rule, StatusCode::CREATED).await)
}

#[utoipa::path(
    delete,
    path = "/approval-rules/{id}",
    operation_id = "deleteApprovalRule",
    summary = "Ask for nobody else in an area any more.",
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn delete_rule(State(app): State<App>, visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let id = id.parse().map_err(|_| Problem::not_found(format!("there is no approval rule {id}")))?;
    let outcome = make(&app, &visitor, &wish, Edit::ApprovalRuleDelete { id }, None).await?;
    Ok(answer(&app, &wish, outcome, None::<ApprovalRuleDraft>, StatusCode::OK).await)
}

/// What these requests would do, or all that is wrong with them, each with its place.
async fn recorded(app: &App, headers: &HeaderMap, wanted: Vec<Wanted>) -> Result<Vec<NewEdit>, Problem> {
    let (mut edits, mut errors) = (Vec::new(), Vec::new());
    for (index, one) in wanted.into_iter().enumerate() {
        match record(app, headers, &one).await {
            Ok((edit, if_match)) => edits.push(NewEdit { request: serde_json::to_value(&one).map_err(Problem::internal)?, edit, if_match }),
            Err(problem) if problem.status().is_server_error() => return Err(problem),
            Err(problem) => errors.extend(placed(index, problem)),
        }
    }
    if errors.is_empty() { Ok(edits) } else { Err(Problem::refused(errors)) }
}

fn placed(index: usize, problem: Problem) -> Vec<FieldError> {
    let code = problem.code().to_owned();
    if problem.errors.is_empty() {
        return vec![FieldError::new(format!("/edits/{index}"), code, problem.detail)];
    }
    let place = |error: FieldError| FieldError { pointer: format!("/edits/{index}/body{}", error.pointer), ..error };
    problem.errors.into_iter().map(place).collect()
}

/// Has the handler of a request say what it would do, as the one who asks.
async fn record(app: &App, headers: &HeaderMap, wanted: &Wanted) -> Result<(Edit, Option<Version>), Problem> {
    let request = request(headers, wanted)?;
    let recorder = Recorder::default();
    let within = App { recorder: Some(Arc::clone(&recorder)), ..app.clone() };
    // Boxed: the handlers of drafts would otherwise hold themselves.
    let Ok(answer) = Box::pin(WRITES.clone().with_state(within).oneshot(request)).await;
    let found = recorder.lock().unwrap_or_else(PoisonError::into_inner).take();
    match found {
        Some(found) => Ok(found),
        None => Err(refusal(wanted, answer).await),
    }
}

fn request(headers: &HeaderMap, wanted: &Wanted) -> Result<Request<RawBody>, Problem> {
    let malformed = |detail: String| Problem::malformed(detail, vec![]);
    let place = wanted.path.strip_prefix('/').and_then(|path| path.split(['/', '?']).next()).unwrap_or_default();
    let is_write = matches!(wanted.method.as_str(), "POST" | "PUT" | "PATCH" | "DELETE");
    if !is_write || !PLACES.contains(&place) || wanted.path.contains('?') {
        let detail =
            format!("\"{} {}\" cannot be a part of a change set: give POST, PUT, PATCH or DELETE and a path such as /hosts", wanted.method, wanted.path);
        return Err(malformed(detail));
    }
    let method = Method::from_bytes(wanted.method.as_bytes()).map_err(|wrong| malformed(wrong.to_string()))?;
    let mut request = Request::builder().method(method).uri(&wanted.path).header(header::CONTENT_TYPE, "application/json");
    for name in [header::AUTHORIZATION, header::COOKIE] {
        for value in headers.get_all(&name) {
            request = request.header(&name, value);
        }
    }
    if let Some(etag) = &wanted.if_match {
        request = request.header(header::IF_MATCH, etag);
    }
    let body = if wanted.body.is_null() { RawBody::empty() } else { RawBody::from(wanted.body.to_string()) };
    request.body(body).map_err(|wrong| malformed(format!("{}: {wrong}", wanted.path)))
}

/// What the handler said against it; one that said nothing does not write what drafts hold.
async fn refusal(wanted: &Wanted, answer: Response) -> Problem {
    let body = axum::body::to_bytes(answer.into_body(), ANSWER_LIMIT_BYTES).await.unwrap_or_default();
    let no_edit = || Problem::malformed(format!("{} {} cannot be a part of a change set", wanted.method, wanted.path), vec![]);
    serde_json::from_slice(&body).unwrap_or_else(|_| no_edit())
}

fn told(draft: &Draft, status: StatusCode) -> Response {
    with_header((status, Json(draft)).into_response(), header::ETAG, &etag(draft))
}

fn etag(draft: &Draft) -> String {
    format!("\"{}-{}\"", draft.id.simple(), draft.version.0)
}

fn parse(id: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(id).map_err(|_| Problem::not_found(format!("\"{id}\" is not the id of a change set")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, expected: bool) {
        let wanted = Wanted { method: method.into(), path: path.into(), body: Value::Null, if_match: None };
        assert_eq!(request(&HeaderMap::new(), &wanted).is_ok(), expected, "{method} {path}");
    }

    #[test]
    fn a_draft_holds_edits_of_the_hostname_database_alone() {
        check("PATCH", "/hosts/www.uni.example", true);
        check("POST", "/subnets", true);
        for (method, path) in
            [("GET", "/hosts"), ("POST", "/tokens"), ("POST", "/change-sets"), ("POST", "hosts"), ("POST", "/hosts?dry_run=true"), ("POST", "/import")]
        {
            check(method, path, false);
        }
    }
}
