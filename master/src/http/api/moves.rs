//! `/hosts/{name}/move`, `/moves`, `/quarantine` and `/reports/unused`: addresses that come, go and lie idle.

use super::{
    BODY_LIMIT_BYTES,
    hosts::{self, Page},
    parameters::OfWrites,
    request::{Json as Body, Parameters, open_cursor, read, seal_cursor},
    space::write,
    write::{Wish, Written, answer, make},
};
use crate::{
    http::{App, FieldError, Problem, session::Visitor},
    inventory::{self, Edit, Held, MoveDraft, PlannedMove, SpaceEdit, reclaim},
};
use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use chrono::{DateTime, Utc};
use http::{StatusCode, Uri};
use std::net::IpAddr;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// So many days without a sign of life make a host look unused, where nothing is said.
const UNUSED_DAYS: u32 = 90;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(move_host))
        .routes(routes!(moves))
        .routes(routes!(cancel))
        .routes(routes!(quarantine))
        .routes(routes!(release))
        .routes(routes!(unused))
}

/// `{"subnet": "10.2.4.0/24"}`, and `planned_at` for a move at a time to come.
#[utoipa::path(
    post,
    path = "/hosts/{name}/move",
    operation_id = "moveHost",
    summary = "Move a host to another subnet, now or at a time.",
    request_body = MoveBody,
    params(OfWrites),
    responses((status = 200, body = Written<inventory::Host>, headers(("ETag" = String, description = "The version, for If-Match."))), (status = 201, body = Written<PlannedMove>)),
)]
async fn move_host(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
    uri: Uri,
    Body(mut body): Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let name = hosts::parse_name(&name)?;
    let planned_at = body.as_object_mut().and_then(|fields| fields.remove("planned_at")).filter(|at| !at.is_null());
    let to: MoveDraft = read(body, &["subnet"])?;
    let Some(at) = planned_at else {
        let outcome = make(&app, &visitor, &wish, Edit::Space(SpaceEdit::Move { name: name.clone(), to }), None).await?;
        return hosts::tell(&app, &visitor, &wish, outcome, &name, StatusCode::OK).await;
    };
    let wrong = || Problem::refused(vec![FieldError::new("/planned_at", "value", "this is no time such as 2026-11-30T06:00:00Z")]);
    let at: DateTime<Utc> = at.as_str().and_then(|at| at.parse().ok()).ok_or_else(wrong)?;
    let id = Uuid::now_v7();
    let outcome = make(&app, &visitor, &wish, Edit::Space(SpaceEdit::PlanMove { id, name, to, at }), None).await?;
    let plan = inventory::planned(&app.pool).await?.into_iter().find(|plan| plan.id == id);
    Ok(answer(&app, &wish, outcome, plan, StatusCode::CREATED).await)
}

#[utoipa::path(
    get,
    path = "/moves",
    operation_id = "listMoves",
    summary = "Planned moves, and those of the last 30 days.",
    responses((status = 200, body = Page<PlannedMove>)),
)]
async fn moves(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<PlannedMove>>, Problem> {
    visitor.sees_all("all planned moves")?;
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: inventory::planned(&app.pool).await?, next: None }))
}

#[utoipa::path(
    delete,
    path = "/moves/{id}",
    operation_id = "cancelMove",
    summary = "Cancel a planned move.",
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn cancel(State(app): State<App>, visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let id = Uuid::try_parse(&id).map_err(|_| Problem::not_found(format!("\"{id}\" is not the id of a planned move")))?;
    write(&app, &visitor, &uri, SpaceEdit::CancelMove(id)).await
}

#[utoipa::path(
    get,
    path = "/quarantine",
    operation_id = "listQuarantine",
    summary = "Addresses that were given back and are not safe to have yet, and what holds each.",
    params(("cursor" = Option<String>, Query, description = "Where the page before ended.")),
    responses((status = 200, body = Page<Held>)),
)]
async fn quarantine(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<Held>>, Problem> {
    visitor.sees_all("the whole quarantine")?;
    let parameters = Parameters::of(&uri, &["cursor"])?;
    let after = parameters.text("cursor").map(open_cursor).transpose()?.and_then(|key| key.parse().ok());
    let (items, next) = inventory::quarantined(&app.pool, after).await?;
    Ok(Json(Page { items, next: next.map(|ip| seal_cursor(&ip.to_string())) }))
}

#[utoipa::path(
    post,
    path = "/quarantine/{ip}/release",
    operation_id = "releaseAddress",
    summary = "Give an address free at once, and answer for it; needs a reason.",
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn release(State(app): State<App>, visitor: Visitor, Path(ip): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let ip: IpAddr = ip.parse().map_err(|_| Problem::not_found(format!("\"{ip}\" is no IP address")))?;
    if Wish::of(&uri)?.reason.trim().is_empty() {
        let detail = "say why the address may be given to somebody else before the quarantine ends: reason=...";
        return Err(Problem::malformed(detail, vec![FieldError::new("?reason", "missing", detail)]));
    }
    write(&app, &visitor, &uri, SpaceEdit::Release(ip)).await
}

#[utoipa::path(
    get,
    path = "/reports/unused",
    operation_id = "listUnused",
    summary = "Hosts whose addresses were not seen in use for long.",
    params(
        ("days" = Option<u64>, Query, description = "For so many days."),
        ("cursor" = Option<String>, Query, description = "Where the page before ended."),
    ),
    responses((status = 200, body = Page<reclaim::Unused>)),
)]
async fn unused(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<reclaim::Unused>>, Problem> {
    visitor.sees_all("what nobody uses")?;
    let parameters = Parameters::of(&uri, &["days", "cursor"])?;
    let after = parameters.text("cursor").map(open_cursor).transpose()?;
    let days = parameters.number("days", 0..=36_500)?.unwrap_or(UNUSED_DAYS);
    let (items, next) = reclaim::unused(&app.pool, days, after.as_deref()).await?;
    Ok(Json(Page { items, next: next.as_deref().map(seal_cursor) }))
}

/// Where a host moves to, and when; now where no time is given.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it describes what is read field by field")]
struct MoveBody {
    subnet: String,
    address: Option<String>,
    interface: Option<u32>,
    location: Option<String>,
    planned_at: Option<DateTime<Utc>>,
}
