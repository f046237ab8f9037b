//! `/audit`: the chain over the audit, and recomputing it.

use super::{
    hosts::Page,
    parameters::Paging,
    request::{Parameters, open_cursor, seal_cursor, wrong_parameter},
};
use crate::{
    audit::{AuditLine, Verification},
    http::{App, Problem, session::Visitor},
    inventory::{Action, authorise},
};
use axum::{Json, extract::State};
use http::{StatusCode, Uri};
use utoipa_axum::{router::OpenApiRouter, routes};

const LIMIT_DEFAULT: u32 = 100;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(verify, progress))
}

#[utoipa::path(
    get,
    path = "/audit",
    operation_id = "listAudit",
    summary = "The audit chain, the newest link first.",
    params(Paging),
    responses((status = 200, body = Page<AuditLine>)),
)]
async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<AuditLine>>, Problem> {
    authorise(&visitor.actor("api"), Action::Audit, "the hostname database")?;
    let parameters = Parameters::of(&uri, &["limit", "cursor"])?;
    let below = |text: &str| open_cursor(text)?.parse().map_err(|_| wrong_parameter("cursor", "this is no cursor of this list".into()));
    let limit = parameters.number("limit", 1..=1000)?.unwrap_or(LIMIT_DEFAULT);
    let (items, next) = app.auditor.lines(parameters.text("cursor").map(below).transpose()?, limit).await?;
    Ok(Json(Page { items, next: next.map(|ordinal| seal_cursor(&ordinal.to_string())) }))
}

/// `POST /audit/verify`: begins, unless somebody has begun already. It takes as long as reading everything that ever changed.
#[utoipa::path(
    post,
    path = "/audit/verify",
    operation_id = "verifyAudit",
    summary = "Begin to recompute the audit chain, unless somebody has begun already.",
    responses((status = 202, body = Verification)),
)]
async fn verify(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<(StatusCode, Json<Verification>), Problem> {
    authorise(&visitor.actor("api"), Action::Audit, "the hostname database")?;
    Parameters::of(&uri, &[])?;
    Ok((StatusCode::ACCEPTED, Json(app.auditor.start_verification())))
}

/// `GET /audit/verify`: how far it is, and what it found.
#[utoipa::path(
    get,
    path = "/audit/verify",
    operation_id = "auditVerification",
    summary = "How far the verification is, and what it found.",
    responses((status = 200, body = Verification)),
)]
async fn progress(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Verification>, Problem> {
    authorise(&visitor.actor("api"), Action::Audit, "the hostname database")?;
    Parameters::of(&uri, &[])?;
    Ok(Json(app.auditor.verification()))
}
