//! `/subnets`, `/zones` and `/campuses`: list, read, add. Changing them comes with a later issue. `/nas`: list and delete; they
//! come in by imports, which can encrypt their secrets.

use super::{
    BODY_LIMIT_BYTES, changes,
    hosts::Page,
    request::{Json as Body, Parameters, read},
    write::{Wish, answer, make, with_header},
};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{self, Action, CampusDraft, Edit, NasObject, SubnetDraft, SubnetObject, ZoneDraft, ZoneObject, authorise},
};
use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use holdfast_proto::words::{DomainName, Subnet};
use http::{StatusCode, Uri, header};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/subnets", get(subnets).post(add_subnet))
        .route("/subnets/{address}/{length}", get(subnet))
        .route("/zones", get(zones).post(add_zone))
        .route("/zones/{apex}", get(zone))
        .route("/campuses", get(campuses).post(add_campus))
        .route("/campuses/{name}", get(campus))
        .route("/nas", get(nas))
        .route("/nas/{name}", delete(delete_nas))
}

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

async fn add_subnet(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let draft: SubnetDraft = read(body, &["network", "campus"])?;
    let network = draft.network;
    let outcome = make(&app, &visitor, &wish, Edit::SubnetAdd(draft), None).await?;
    let object = find_subnet(&app, &visitor, &network).await?;
    Ok(with_header(answer(&app, &wish, outcome, object, StatusCode::CREATED).await, header::LOCATION, &format!("/api/v1/subnets/{network}")))
}

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

async fn add_zone(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let draft: ZoneDraft = read(body, &["apex", "primary_ns", "mailbox"])?;
    let apex = draft.apex.clone();
    let outcome = make(&app, &visitor, &wish, Edit::ZoneAdd(draft), None).await?;
    let object = find_zone(&app, &visitor, &apex).await?;
    let place = format!("/api/v1/zones/{}", apex.without_dot());
    Ok(with_header(answer(&app, &wish, outcome, object, StatusCode::CREATED).await, header::LOCATION, &place))
}

async fn campuses(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<CampusDraft>>, Problem> {
    visitor.sight()?;
    let moment = changes::moment(&app, &visitor, &Parameters::of(&uri, &["at"])?).await?;
    let items = match moment {
        Some(moment) => inventory::campuses_at(&app.pool, moment).await?,
        None => inventory::campuses(&app.pool).await?,
    };
    Ok(Json(Page { items, next: None }))
}

async fn campus(State(app): State<App>, visitor: Visitor, Path(name): Path<String>) -> Result<Json<CampusDraft>, Problem> {
    visitor.sight()?;
    find_campus(&app, &name).await?.map(Json).ok_or_else(|| Problem::not_found(format!("there is no campus {name}")))
}

pub(super) async fn find_campus(app: &App, name: &str) -> Result<Option<CampusDraft>, Problem> {
    Ok(inventory::campuses(&app.pool).await?.into_iter().find(|campus| campus.name == name))
}

async fn add_campus(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let draft: CampusDraft = read(body, &["name"])?;
    let name = draft.name.clone();
    let outcome = make(&app, &visitor, &wish, Edit::CampusAdd(draft), None).await?;
    let object = find_campus(&app, &name).await?;
    Ok(with_header(answer(&app, &wish, outcome, object, StatusCode::CREATED).await, header::LOCATION, &format!("/api/v1/campuses/{name}")))
}

async fn nas(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<NasObject>>, Problem> {
    Parameters::of(&uri, &[])?;
    authorise(&visitor.actor("api"), Action::Read, "all NASs")?;
    Ok(Json(Page { items: inventory::nas(&app.pool).await?, next: None }))
}

/// Without `If-Match`: a NAS has no version, and whoever deletes one means it whatever its secret is.
async fn delete_nas(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let outcome = make(&app, &visitor, &wish, Edit::NasDelete { name }, None).await?;
    Ok(answer(&app, &wish, outcome, None::<NasObject>, StatusCode::OK).await)
}
