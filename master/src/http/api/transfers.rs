//! `/tsig-keys`, `/zone-copies`, `/refused-transfers`: zones between servers. An administrator's business: they tell things to the outside.

use super::{
    BODY_LIMIT_BYTES,
    hosts::Page,
    parameters::{DryRun, Tried},
    request::{Json as Body, Parameters, read},
};
use crate::{
    http::{App, FieldError, Problem, secrets::random_bytes, session::Visitor},
    inventory::{self, RefusedRow, TsigKeyRow, transfers},
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use holdfast_proto::words::{DomainName, Secret};
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(keys, add)).routes(routes!(remove)).routes(routes!(copies)).routes(routes!(refresh)).routes(routes!(refused))
}

#[utoipa::path(
    get,
    path = "/tsig-keys",
    operation_id = "listTsigKeys",
    summary = "Keys that servers sign transfers with, without their secrets.",
    responses((status = 200, body = Page<TsigKeyRow>)),
)]
async fn keys(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<TsigKeyRow>>, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: transfers::keys(&app.pool, &visitor.actor("api")).await?, next: None }))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = tsig::Draft)]
struct Draft {
    /// What both servers call it, such as `dept-cs.key`.
    name: String,
    /// In Base64, where the other server made it; one is made, where there is none.
    #[serde(default)]
    secret: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = tsig::Made)]
struct Made {
    name: String,
    /// `hmac-sha256`.
    #[schema(value_type = String)]
    algorithm: &'static str,
    /// Told once: in Base64, as name servers write it.
    secret: String,
}

#[utoipa::path(
    post,
    path = "/tsig-keys",
    operation_id = "addTsigKey",
    summary = "Keep a key that servers sign transfers with; its secret is told once.",
    request_body = Draft,
    params(DryRun, ("reason" = Option<String>, Query, description = "Why, for the history.")),
    responses((status = 201, body = Made), (status = 200, body = Tried)),
)]
async fn add(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let parameters = Parameters::of(&uri, &["dry_run", "reason"])?;
    let dry_run = parameters.flag("dry_run")?;
    let draft: Draft = read(body, &["name"])?;
    let wrong = |pointer, detail: String| Problem::refused(vec![FieldError::new(pointer, "value", detail)]);
    let name: DomainName = draft.name.parse().map_err(|error| wrong("/name", format!("a key is named as a host is: {error}")))?;
    let secret = match &draft.secret {
        Some(text) => Secret::new(STANDARD.decode(text.trim()).map_err(|_| wrong("/secret", "a secret is written in Base64".into()))?),
        None => Secret::new(random_bytes().to_vec()),
    };
    transfers::add_key(&app.pool, &visitor.actor("api"), parameters.text("reason").unwrap_or_default(), &name, &secret, dry_run).await?;
    if dry_run {
        return Ok(Json(Tried { dry_run: true }).into_response());
    }
    let made = Made { name: name.without_dot(), algorithm: "hmac-sha256", secret: STANDARD.encode(secret.expose()) };
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

#[utoipa::path(
    delete,
    path = "/tsig-keys/{name}",
    operation_id = "deleteTsigKey",
    summary = "Forget a key that no zone names.",
    params(DryRun, ("reason" = Option<String>, Query, description = "Why, for the history.")),
    responses((status = 204), (status = 200, body = Tried)),
)]
async fn remove(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let parameters = Parameters::of(&uri, &["dry_run", "reason"])?;
    let dry_run = parameters.flag("dry_run")?;
    transfers::delete_key(&app.pool, &visitor.actor("api"), parameters.text("reason").unwrap_or_default(), &name, dry_run).await?;
    Ok(if dry_run { Json(Tried { dry_run: true }).into_response() } else { StatusCode::NO_CONTENT.into_response() })
}

#[utoipa::path(
    get,
    path = "/zone-copies",
    operation_id = "listZoneCopies",
    summary = "Copies of other servers' zones: which state, since when, until when, and what went wrong.",
    params(("apex" = Option<String>, Query, description = "Only of this zone.")),
    responses((status = 200, body = Page<inventory::CopyRow>)),
)]
async fn copies(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<inventory::CopyRow>>, Problem> {
    let parameters = Parameters::of(&uri, &["apex"])?;
    let wanted = parameters.text("apex").map(|apex| apex.trim_end_matches('.').to_ascii_lowercase());
    let seen: Vec<DomainName> = inventory::zones(&app.pool, &visitor.sight()?).await?.into_iter().map(|zone| zone.draft.apex).collect();
    let items = transfers::copies(&app.pool, &seen).await?.into_iter().filter(|copy| wanted.as_ref().is_none_or(|wanted| *wanted == copy.apex));
    Ok(Json(Page { items: items.collect(), next: None }))
}

#[utoipa::path(
    post,
    path = "/zone-copies/{apex}/refresh",
    operation_id = "refreshZoneCopy",
    summary = "Ask the primaries of a copy now.",
    params(
        ("accept" = Option<bool>, Query, description = "Accept what a held transfer takes away."),
        ("reason" = Option<String>, Query, description = "Why, for the history."),
    ),
    responses((status = 202)),
)]
async fn refresh(State(app): State<App>, visitor: Visitor, Path(apex): Path<String>, uri: Uri) -> Result<StatusCode, Problem> {
    let parameters = Parameters::of(&uri, &["accept", "reason"])?;
    let apex: DomainName = apex.parse().map_err(|wrong| Problem::not_found(format!("there is no such zone: {wrong}")))?;
    let accept = parameters.flag("accept")?;
    transfers::refresh(&app.pool, &visitor.actor("api"), parameters.text("reason").unwrap_or_default(), &apex, accept).await?;
    Ok(StatusCode::ACCEPTED)
}

#[utoipa::path(
    get,
    path = "/refused-transfers",
    operation_id = "listRefusedTransfers",
    summary = "Transfers and notifications that were refused, the newest first.",
    responses((status = 200, body = Page<RefusedRow>)),
)]
async fn refused(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<RefusedRow>>, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: transfers::refused(&app.pool, &visitor.actor("api")).await?, next: None }))
}
