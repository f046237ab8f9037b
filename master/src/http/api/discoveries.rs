//! `/discoveries`: machines that turned up, told by agents or by whoever watches the network. `/discovery-rules`: how they become hosts.

use super::{
    BODY_LIMIT_BYTES,
    hosts::Page,
    leases::word,
    networks::seen_subnet,
    parameters::{OfWrites, Paging},
    request::{Json as Body, Parameters, open_cursor, read, seal_cursor, wrong_parameter},
    write::{Wish, Written, answer, make},
};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{
        Edit, SpaceEdit,
        discovery::{self, DiscoveryDraft, DiscoveryRow, DiscoveryRule, Noted},
    },
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use holdfast_proto::words::Subnet;
use http::{StatusCode, Uri};
use utoipa_axum::{router::OpenApiRouter, routes};

const LIMIT_DEFAULT: u32 = 100;
const STATES: [&str; 5] = ["waiting", "made", "known", "reported", "refused"];

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, note))
}

pub(super) fn writes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(rules, put_rule)).routes(routes!(delete_rule))
}

/// For whoever may tell of faults, too: the role `network-management`.
#[utoipa::path(
    post,
    path = "/discoveries",
    operation_id = "noteDiscovery",
    summary = "Tell of a machine that was seen; where its subnet wants that, it becomes a host within seconds.",
    request_body = DiscoveryDraft,
    responses((status = 202, body = Noted)),
)]
async fn note(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    let draft: DiscoveryDraft = read(body, &["mac"])?;
    let noted = discovery::note(&app.pool, &visitor.actor("api"), &draft).await?;
    Ok((StatusCode::ACCEPTED, Json(noted)).into_response())
}

#[utoipa::path(
    get,
    path = "/discoveries",
    operation_id = "listDiscoveries",
    summary = "Machines that turned up, and what became of them, the last first.",
    params(
        Paging,
        ("subnet" = Option<String>, Query, description = "Of this subnet."),
        ("state" = Option<String>, Query, description = "One of: waiting, made, known, reported, refused."),
    ),
    responses((status = 200, body = Page<DiscoveryRow>)),
)]
async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<DiscoveryRow>>, Problem> {
    let parameters = Parameters::of(&uri, &["subnet", "state", "limit", "cursor"])?;
    let subnet = word::<Subnet>(&parameters, "subnet")?;
    match &subnet {
        Some(subnet) => seen_subnet(&app, &visitor, subnet).await?,
        None => visitor.sees_all("all machines that turned up")?,
    }
    let state = parameters.text("state");
    if let Some(other) = state.filter(|state| !STATES.contains(state)) {
        return Err(wrong_parameter("state", format!("\"{other}\" is none of {}", STATES.join(", "))));
    }
    let below = |text: &str| open_cursor(text)?.parse::<i64>().map_err(|_| wrong_parameter("cursor", "this is no cursor of this list".into()));
    let limit = parameters.number("limit", 1..=1000)?.unwrap_or(LIMIT_DEFAULT);
    let items = discovery::list(&app.pool, subnet, state, parameters.text("cursor").map(below).transpose()?, limit).await?;
    let next = items.last().filter(|_| items.len() == limit as usize).map(|last| seal_cursor(&last.id.to_string()));
    Ok(Json(Page { items, next }))
}

#[utoipa::path(
    get,
    path = "/discovery-rules",
    operation_id = "listDiscoveryRules",
    summary = "How machines that turn up become hosts, by subnet, where somebody said so.",
    responses((status = 200, body = Page<DiscoveryRule>)),
)]
async fn rules(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<DiscoveryRule>>, Problem> {
    visitor.sees_all("all subnets")?;
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: discovery::rules(&app.pool).await?, next: None }))
}

#[utoipa::path(
    post,
    path = "/discovery-rules",
    operation_id = "putDiscoveryRule",
    summary = "Say how machines that turn up in a subnet are called, and how many in an hour become hosts.",
    request_body = DiscoveryRule,
    params(OfWrites),
    responses((status = 201, body = Written<serde_json::Value>)),
)]
async fn put_rule(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let rule: DiscoveryRule = read(body, &["subnet"])?;
    let outcome = make(&app, &visitor, &wish, Edit::Space(SpaceEdit::DiscoveryRulePut(rule)), None).await?;
    Ok(answer(&app, &wish, outcome, None::<serde_json::Value>, StatusCode::CREATED).await)
}

#[utoipa::path(
    delete,
    path = "/discovery-rules/{*subnet}",
    operation_id = "deleteDiscoveryRule",
    summary = "Machines that turn up in a subnet are called as where nobody said how.",
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn delete_rule(State(app): State<App>, visitor: Visitor, Path(subnet): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let subnet: Subnet = subnet.parse().map_err(|_| Problem::not_found(format!("\"{subnet}\" is no subnet")))?;
    let outcome = make(&app, &visitor, &wish, Edit::Space(SpaceEdit::DiscoveryRuleDelete(subnet)), None).await?;
    Ok(answer(&app, &wish, outcome, None::<serde_json::Value>, StatusCode::OK).await)
}
