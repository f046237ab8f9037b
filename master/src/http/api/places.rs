//! Changing subnets, zones and campuses: `PUT`, `PATCH` and `DELETE` of what is there, in the version that was read.

use super::{
    BODY_LIMIT_BYTES,
    networks::{find_campus, find_subnet, find_zone},
    parameters::{IfMatch, OfWrites, Patch},
    request::{Json as Body, check_if_match, merge_patch, read},
    write::{Wish, Written, answer, make},
};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{CampusDraft, Edit, SubnetDraft, SubnetObject, ZoneDraft, ZoneObject},
};
use axum::{
    extract::{Path, State},
    response::Response,
};
use holdfast_proto::words::{DomainName, Subnet};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde::Serialize;
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(replace_subnet, change_subnet, delete_subnet))
        .routes(routes!(replace_zone, change_zone, delete_zone))
        .routes(routes!(replace_campus, change_campus))
}

#[utoipa::path(
    put,
    path = "/subnets/{address}/{length}",
    operation_id = "replaceSubnet",
    summary = "Make a subnet what the draft says.",
    request_body = SubnetDraft,
    params(IfMatch, OfWrites),
    responses((status = 200, body = Written<SubnetObject>)),
)]
async fn replace_subnet(
    app: State<App>,
    visitor: Visitor,
    path: Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
    body: Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    write_subnet(app, visitor, path, &Method::PUT, headers, uri, body).await
}

#[utoipa::path(
    patch,
    path = "/subnets/{address}/{length}",
    operation_id = "changeSubnet",
    summary = "Change what is named of a subnet (RFC 7396).",
    request_body = Patch,
    params(IfMatch, OfWrites),
    responses((status = 200, body = Written<SubnetObject>)),
)]
async fn change_subnet(
    app: State<App>,
    visitor: Visitor,
    path: Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
    body: Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    write_subnet(app, visitor, path, &Method::PATCH, headers, uri, body).await
}

#[utoipa::path(
    put,
    path = "/zones/{apex}",
    operation_id = "replaceZone",
    summary = "Make a zone what the draft says.",
    request_body = ZoneDraft,
    params(IfMatch, OfWrites),
    responses((status = 200, body = Written<ZoneObject>)),
)]
async fn replace_zone(
    app: State<App>,
    visitor: Visitor,
    path: Path<String>,
    headers: HeaderMap,
    uri: Uri,
    body: Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    write_zone(app, visitor, path, &Method::PUT, headers, uri, body).await
}

#[utoipa::path(
    patch,
    path = "/zones/{apex}",
    operation_id = "changeZone",
    summary = "Change what is named of a zone (RFC 7396).",
    request_body = Patch,
    params(IfMatch, OfWrites),
    responses((status = 200, body = Written<ZoneObject>)),
)]
async fn change_zone(
    app: State<App>,
    visitor: Visitor,
    path: Path<String>,
    headers: HeaderMap,
    uri: Uri,
    body: Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    write_zone(app, visitor, path, &Method::PATCH, headers, uri, body).await
}

#[utoipa::path(
    put,
    path = "/campuses/{name}",
    operation_id = "replaceCampus",
    summary = "Make a campus what the draft says.",
    request_body = CampusDraft,
    params(OfWrites),
    responses((status = 200, body = Written<CampusDraft>)),
)]
async fn replace_campus(app: State<App>, visitor: Visitor, path: Path<String>, uri: Uri, body: Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    write_campus(app, visitor, path, &Method::PUT, uri, body).await
}

#[utoipa::path(
    patch,
    path = "/campuses/{name}",
    operation_id = "changeCampus",
    summary = "Change what is named of a campus (RFC 7396).",
    request_body = Patch,
    params(OfWrites),
    responses((status = 200, body = Written<CampusDraft>)),
)]
async fn change_campus(app: State<App>, visitor: Visitor, path: Path<String>, uri: Uri, body: Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    write_campus(app, visitor, path, &Method::PATCH, uri, body).await
}

async fn write_subnet(
    State(app): State<App>,
    visitor: Visitor,
    Path((address, length)): Path<(String, String)>,
    method: &Method,
    headers: HeaderMap,
    uri: Uri,
    Body(body): Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let called = format!("{address}/{length}");
    let network: Subnet = called.parse().map_err(|wrong| Problem::not_found(format!("there is no such subnet: {wrong}")))?;
    let found = subnet_read(&app, &visitor, &headers, &network).await?;
    let draft: SubnetDraft = read(wanted(method, &found.draft, body)?, &["network", "campus"])?;
    let new = draft.network;
    let outcome = make(&app, &visitor, &wish, Edit::SubnetSet { network, draft }, Some(found.version)).await?;
    let object = find_subnet(&app, &visitor, &new).await?;
    Ok(answer(&app, &wish, outcome, object, StatusCode::OK).await)
}

async fn write_zone(
    State(app): State<App>,
    visitor: Visitor,
    Path(apex): Path<String>,
    method: &Method,
    headers: HeaderMap,
    uri: Uri,
    Body(body): Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let name: DomainName = apex.parse().map_err(|wrong| Problem::not_found(format!("there is no such zone: {wrong}")))?;
    let found = zone_read(&app, &visitor, &headers, &name).await?;
    let draft: ZoneDraft = read(wanted(method, &found.draft, body)?, &["apex", "primary_ns", "mailbox"])?;
    let outcome = make(&app, &visitor, &wish, Edit::ZoneSet { apex: name.clone(), draft }, Some(found.version)).await?;
    let object = find_zone(&app, &visitor, &name).await?;
    Ok(answer(&app, &wish, outcome, object, StatusCode::OK).await)
}

/// The subnet, which has to be what the sender has read.
async fn subnet_read(app: &App, visitor: &Visitor, headers: &HeaderMap, network: &Subnet) -> Result<SubnetObject, Problem> {
    let found = find_subnet(app, visitor, network).await?.ok_or_else(|| Problem::not_found(format!("there is no subnet {network}")))?;
    check_if_match(headers, &format!("\"{}\"", found.version.0))?;
    Ok(found)
}

/// The zone, which has to be what the sender has read.
async fn zone_read(app: &App, visitor: &Visitor, headers: &HeaderMap, apex: &DomainName) -> Result<ZoneObject, Problem> {
    let found = find_zone(app, visitor, apex).await?.ok_or_else(|| Problem::not_found(format!("there is no zone {apex}")))?;
    check_if_match(headers, &format!("\"{}\"", found.version.0))?;
    Ok(found)
}

#[utoipa::path(
    delete,
    path = "/subnets/{address}/{length}",
    operation_id = "deleteSubnet",
    summary = "Delete a subnet that no host has an address in.",
    params(IfMatch, OfWrites),
    responses((status = 200, body = Written<SubnetObject>)),
)]
async fn delete_subnet(
    State(app): State<App>,
    visitor: Visitor,
    Path((address, length)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let called = format!("{address}/{length}");
    let network: Subnet = called.parse().map_err(|wrong| Problem::not_found(format!("there is no such subnet: {wrong}")))?;
    let found = subnet_read(&app, &visitor, &headers, &network).await?;
    let outcome = make(&app, &visitor, &wish, Edit::SubnetDelete { network }, Some(found.version)).await?;
    Ok(answer(&app, &wish, outcome, None::<SubnetObject>, StatusCode::OK).await)
}

#[utoipa::path(
    delete,
    path = "/zones/{apex}",
    operation_id = "deleteZone",
    summary = "Delete a zone that has nothing but its apex.",
    params(IfMatch, OfWrites),
    responses((status = 200, body = Written<ZoneObject>)),
)]
async fn delete_zone(State(app): State<App>, visitor: Visitor, Path(apex): Path<String>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let apex: DomainName = apex.parse().map_err(|wrong| Problem::not_found(format!("there is no such zone: {wrong}")))?;
    let found = zone_read(&app, &visitor, &headers, &apex).await?;
    let outcome = make(&app, &visitor, &wish, Edit::ZoneDelete { apex }, Some(found.version)).await?;
    Ok(answer(&app, &wish, outcome, None::<ZoneObject>, StatusCode::OK).await)
}

/// Without `If-Match`: a campus has no version, and little to lose.
async fn write_campus(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
    method: &Method,
    uri: Uri,
    Body(body): Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    visitor.sight()?;
    let wish = Wish::of(&uri)?;
    let found = find_campus(&app, &name).await?.ok_or_else(|| Problem::not_found(format!("there is no campus {name}")))?;
    let draft: CampusDraft = read(wanted(method, &found, body)?, &["name"])?;
    let new = draft.name.clone();
    let outcome = make(&app, &visitor, &wish, Edit::CampusSet { name, draft }, None).await?;
    let object = find_campus(&app, &new).await?;
    Ok(answer(&app, &wish, outcome, object, StatusCode::OK).await)
}

/// A PUT is the whole draft; a PATCH goes over what is there (RFC 7396).
fn wanted(method: &Method, draft: &impl Serialize, body: Value) -> Result<Value, Problem> {
    if method == Method::PUT {
        return Ok(body);
    }
    let mut merged = serde_json::to_value(draft).map_err(Problem::internal)?;
    merge_patch(&mut merged, body);
    Ok(merged)
}
