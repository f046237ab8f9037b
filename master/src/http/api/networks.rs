//! `/subnets`, `/zones` and `/campuses`: list, read, add.

use super::{
    BODY_LIMIT_BYTES, changes,
    hosts::Page,
    parameters::{At, OfWrites},
    request::{Json as Body, Parameters, read},
    write::{Wish, Written, answer, make, with_header},
};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{self, CampusDraft, Edit, SubnetDraft, SubnetObject, ZoneDraft, ZoneObject},
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use holdfast_proto::words::{DomainName, Subnet};
use http::{StatusCode, Uri, header};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(subnets, add_subnet))
        .routes(routes!(subnet))
        .routes(routes!(zones, add_zone))
        .routes(routes!(zone))
        .routes(routes!(campuses, add_campus))
        .routes(routes!(campus))
}

#[utoipa::path(
    get,
    path = "/subnets",
    operation_id = "listSubnets",
    summary = "Subnets.",
    params(At),
    responses((status = 200, body = Page<SubnetObject>)),
)]
async fn subnets(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<SubnetObject>>, Problem> {
    Ok(Json(Page { items: all_subnets(&app, &visitor, &uri).await?, next: None }))
}

/// Those of now, or of the time that is asked for.
async fn all_subnets(app: &App, visitor: &Visitor, uri: &Uri) -> Result<Vec<SubnetObject>, Problem> {
    let moment = changes::moment(app, visitor, &Parameters::of(uri, &["at"])?).await?;
    Ok(match moment {
        Some(moment) => inventory::subnets_at(&app.pool, moment).await?,
        None => inventory::subnets(&app.pool, &visitor.sight()?).await?,
    })
}

#[utoipa::path(
    get,
    path = "/subnets/{address}/{length}",
    operation_id = "getSubnet",
    summary = "A subnet.",
    params(At),
    responses((status = 200, body = SubnetObject, headers(("ETag" = String, description = "The version, for If-Match.")))),
)]
async fn subnet(State(app): State<App>, visitor: Visitor, Path((address, length)): Path<(String, String)>, uri: Uri) -> Result<Response, Problem> {
    let text = format!("{address}/{length}");
    let network: Subnet = text.parse().map_err(|wrong| Problem::not_found(format!("there is no such subnet: {wrong}")))?;
    let found = all_subnets(&app, &visitor, &uri).await?.into_iter().find(|subnet| subnet.draft.network == network);
    let found = found.ok_or_else(|| Problem::not_found(format!("there is no subnet {text}")))?;
    let etag = format!("\"{}\"", found.version.0);
    Ok(with_header(Json(found).into_response(), header::ETAG, &etag))
}

pub(super) async fn find_subnet(app: &App, visitor: &Visitor, network: &Subnet) -> Result<Option<SubnetObject>, Problem> {
    Ok(inventory::subnets(&app.pool, &visitor.sight()?).await?.into_iter().find(|subnet| subnet.draft.network == *network))
}

/// Refused as if it were not there, where the visitor does not see it.
pub(super) async fn seen_subnet(app: &App, visitor: &Visitor, network: &Subnet) -> Result<(), Problem> {
    let found = find_subnet(app, visitor, network).await?;
    found.map(drop).ok_or_else(|| Problem::not_found(format!("there is no subnet {network}")))
}

#[utoipa::path(
    post,
    path = "/subnets",
    operation_id = "addSubnet",
    summary = "Add a subnet.",
    request_body = SubnetDraft,
    params(OfWrites),
    responses((status = 201, body = Written<SubnetObject>)),
)]
async fn add_subnet(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let draft: SubnetDraft = read(body, &["network", "campus"])?;
    let network = draft.network;
    let outcome = make(&app, &visitor, &wish, Edit::SubnetAdd(draft), None).await?;
    let object = find_subnet(&app, &visitor, &network).await?;
    Ok(with_header(answer(&app, &wish, outcome, object, StatusCode::CREATED).await, header::LOCATION, &format!("/api/v1/subnets/{network}")))
}

#[utoipa::path(get, path = "/zones", operation_id = "listZones", summary = "Zones.", params(At), responses((status = 200, body = Page<ZoneObject>)))]
async fn zones(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<ZoneObject>>, Problem> {
    Ok(Json(Page { items: all_zones(&app, &visitor, &uri).await?, next: None }))
}

/// Those of now, or of the time that is asked for.
async fn all_zones(app: &App, visitor: &Visitor, uri: &Uri) -> Result<Vec<ZoneObject>, Problem> {
    let moment = changes::moment(app, visitor, &Parameters::of(uri, &["at"])?).await?;
    Ok(match moment {
        Some(moment) => inventory::zones_at(&app.pool, moment).await?,
        None => inventory::zones(&app.pool, &visitor.sight()?).await?,
    })
}

#[utoipa::path(
    get,
    path = "/zones/{apex}",
    operation_id = "getZone",
    summary = "A zone.",
    params(At),
    responses((status = 200, body = ZoneObject, headers(("ETag" = String, description = "The version, for If-Match.")))),
)]
async fn zone(State(app): State<App>, visitor: Visitor, Path(apex): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let name: DomainName = apex.parse().map_err(|wrong| Problem::not_found(format!("there is no such zone: {wrong}")))?;
    let found = all_zones(&app, &visitor, &uri).await?.into_iter().find(|zone| zone.draft.apex == name);
    let found = found.ok_or_else(|| Problem::not_found(format!("there is no zone {apex}")))?;
    let etag = format!("\"{}\"", found.version.0);
    Ok(with_header(Json(found).into_response(), header::ETAG, &etag))
}

pub(super) async fn find_zone(app: &App, visitor: &Visitor, apex: &DomainName) -> Result<Option<ZoneObject>, Problem> {
    Ok(inventory::zones(&app.pool, &visitor.sight()?).await?.into_iter().find(|zone| zone.draft.apex == *apex))
}

#[utoipa::path(
    post,
    path = "/zones",
    operation_id = "addZone",
    summary = "Add a zone.",
    request_body = ZoneDraft,
    params(OfWrites),
    responses((status = 201, body = Written<ZoneObject>)),
)]
async fn add_zone(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let draft: ZoneDraft = read(body, &["apex", "primary_ns", "mailbox"])?;
    let apex = draft.apex.clone();
    let outcome = make(&app, &visitor, &wish, Edit::ZoneAdd(draft), None).await?;
    let object = find_zone(&app, &visitor, &apex).await?;
    let place = format!("/api/v1/zones/{}", apex.without_dot());
    Ok(with_header(answer(&app, &wish, outcome, object, StatusCode::CREATED).await, header::LOCATION, &place))
}

#[utoipa::path(
    get,
    path = "/campuses",
    operation_id = "listCampuses",
    summary = "Campuses.",
    params(At),
    responses((status = 200, body = Page<CampusDraft>)),
)]
async fn campuses(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<CampusDraft>>, Problem> {
    visitor.sight()?;
    let moment = changes::moment(&app, &visitor, &Parameters::of(&uri, &["at"])?).await?;
    let items = match moment {
        Some(moment) => inventory::campuses_at(&app.pool, moment).await?,
        None => inventory::campuses(&app.pool).await?,
    };
    Ok(Json(Page { items, next: None }))
}

#[utoipa::path(get, path = "/campuses/{name}", operation_id = "getCampus", summary = "A campus.", responses((status = 200, body = CampusDraft)))]
async fn campus(State(app): State<App>, visitor: Visitor, Path(name): Path<String>) -> Result<Json<CampusDraft>, Problem> {
    visitor.sight()?;
    find_campus(&app, &name).await?.map(Json).ok_or_else(|| Problem::not_found(format!("there is no campus {name}")))
}

pub(super) async fn find_campus(app: &App, name: &str) -> Result<Option<CampusDraft>, Problem> {
    Ok(inventory::campuses(&app.pool).await?.into_iter().find(|campus| campus.name == name))
}

#[utoipa::path(
    post,
    path = "/campuses",
    operation_id = "addCampus",
    summary = "Add a campus.",
    request_body = CampusDraft,
    params(OfWrites),
    responses((status = 201, body = Written<CampusDraft>)),
)]
async fn add_campus(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let draft: CampusDraft = read(body, &["name"])?;
    let name = draft.name.clone();
    let outcome = make(&app, &visitor, &wish, Edit::CampusAdd(draft), None).await?;
    let object = find_campus(&app, &name).await?;
    Ok(with_header(answer(&app, &wish, outcome, object, StatusCode::CREATED).await, header::LOCATION, &format!("/api/v1/campuses/{name}")))
}
