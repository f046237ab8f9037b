//! `/boot-defaults`: what an institution, a campus, a subnet and a device class say about booting; `/hosts/{name}/boot`: what a
//! host is told, and from where each value comes.

use super::{
    BODY_LIMIT_BYTES,
    hosts::Page,
    parameters::OfWrites,
    request::{Json as Body, Parameters, read},
    write::{Wish, Written, answer, make},
};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{
        self, Edit,
        boot::{BootDefaults, BootEdit, DefaultsRow, Level, Told},
    },
};
use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use holdfast_proto::words::HostName;
use http::{StatusCode, Uri};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(put_institution, delete_institution))
        .routes(routes!(put_level, delete_level))
        .routes(routes!(told))
}

#[utoipa::path(
    get,
    path = "/boot-defaults",
    operation_id = "listBootDefaults",
    summary = "What every level says about booting.",
    responses((status = 200, body = Page<DefaultsRow>)),
)]
async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<DefaultsRow>>, Problem> {
    visitor.sight()?;
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: inventory::boot::all_defaults(&app.pool).await?, next: None }))
}

/// Without `If-Match`, like everything that is put by the name of its object and has no name of its own.
#[utoipa::path(
    put,
    path = "/boot-defaults/{level}/{*object}",
    operation_id = "putBootDefaults",
    summary = "Say what everything below a campus, a subnet or a class is told at boot.",
    request_body = BootDefaults,
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn put_level(
    State(app): State<App>,
    visitor: Visitor,
    Path((level, object)): Path<(String, String)>,
    uri: Uri,
    Body(body): Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    let parameters: BootDefaults = read(body, &[])?;
    write(&app, &visitor, &uri, BootEdit::Put { level: level_of(&level)?, object, parameters }).await
}

#[utoipa::path(
    put,
    path = "/boot-defaults/{level}",
    operation_id = "putInstitutionBootDefaults",
    summary = "Say what everything is told at boot. The level is `institution`.",
    request_body = BootDefaults,
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn put_institution(
    State(app): State<App>,
    visitor: Visitor,
    Path(level): Path<String>,
    uri: Uri,
    Body(body): Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    let parameters: BootDefaults = read(body, &[])?;
    write(&app, &visitor, &uri, BootEdit::Put { level: level_of(&level)?, object: String::new(), parameters }).await
}

#[utoipa::path(
    delete,
    path = "/boot-defaults/{level}/{*object}",
    operation_id = "deleteBootDefaults",
    summary = "Let a campus, a subnet or a class inherit everything.",
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn delete_level(State(app): State<App>, visitor: Visitor, Path((level, object)): Path<(String, String)>, uri: Uri) -> Result<Response, Problem> {
    write(&app, &visitor, &uri, BootEdit::Delete { level: level_of(&level)?, object }).await
}

#[utoipa::path(
    delete,
    path = "/boot-defaults/{level}",
    operation_id = "deleteInstitutionBootDefaults",
    summary = "Say nothing of booting at the institution any more.",
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn delete_institution(State(app): State<App>, visitor: Visitor, Path(level): Path<String>, uri: Uri) -> Result<Response, Problem> {
    write(&app, &visitor, &uri, BootEdit::Delete { level: level_of(&level)?, object: String::new() }).await
}

async fn write(app: &App, visitor: &Visitor, uri: &Uri, edit: BootEdit) -> Result<Response, Problem> {
    let wish = Wish::of(uri)?;
    let outcome = make(app, visitor, &wish, Edit::Boot(edit), None).await?;
    Ok(answer(app, &wish, outcome, None::<DefaultsRow>, StatusCode::OK).await)
}

fn level_of(text: &str) -> Result<Level, Problem> {
    let unknown = |_| Problem::not_found(format!("\"{text}\" is no level: institution, campus, subnet or class"));
    serde_json::from_value(text.into()).map_err(unknown)
}

#[utoipa::path(
    get,
    path = "/hosts/{name}/boot",
    operation_id = "hostBoot",
    summary = "What a host is told at boot, and from where each value comes.",
    responses((status = 200, body = Page<Told>)),
)]
async fn told(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Json<Page<Told>>, Problem> {
    Parameters::of(&uri, &[])?;
    let name: HostName = name.parse().map_err(|wrong| Problem::not_found(format!("there is no such host: {wrong}")))?;
    if inventory::host_by_name(&app.pool, &visitor.sight()?, &name).await?.is_none() {
        return Err(Problem::not_found(format!("there is no host named {name}")));
    }
    Ok(Json(Page { items: inventory::boot::told(&app.pool, &name).await?, next: None }))
}
