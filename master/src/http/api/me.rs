//! `/me`: who I am here and what I may do, and my second factor. `/sessions`: mine, and for who may grant everywhere everybody's.

use super::{
    BODY_LIMIT_BYTES,
    hosts::Page,
    request::{Json as Body, Parameters, read},
};
use crate::{
    db::access::{
        factors,
        sessions::{self, SessionRow},
    },
    http::{
        App, Problem,
        login::{NewAuthenticator, confirm_second_factor, remove_second_factor, start_second_factor},
        session::{IDLE_LIMIT_SECS, Visitor},
    },
    inventory::{Action, Role, authorise},
};
use axum::{
    Json,
    extract::{Path, State},
};
use chrono::{DateTime, Utc};
use holdfast_proto::words::Secret;
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(me)).routes(routes!(start)).routes(routes!(confirm)).routes(routes!(remove)).routes(routes!(list)).routes(routes!(end))
}

#[derive(Serialize, utoipa::ToSchema)]
struct Me {
    name: String,
    grants: Vec<Held>,
    second_factor: bool,
    recovery_codes_left: i64,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = me::Held)]
struct Held {
    id: i64,
    role: Role,
}

#[utoipa::path(get, path = "/me", operation_id = "me", summary = "Who I am here, and what I may do.", responses((status = 200, body = Me)))]
async fn me(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Me>, Problem> {
    Parameters::of(&uri, &[])?;
    let grants = visitor.authority.grants().iter().map(|grant| Held { id: grant.id, role: grant.role }).collect();
    let second_factor = factors::totp(&app.pool, visitor.id).await?.is_some_and(|totp| totp.confirmed);
    let recovery_codes_left = factors::recovery_left(&app.pool, visitor.id).await?;
    Ok(Json(Me { name: visitor.name, grants, second_factor, recovery_codes_left }))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Password {
    password: String,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Code {
    code: String,
}

#[utoipa::path(
    post,
    path = "/me/second-factor",
    operation_id = "startSecondFactor",
    summary = "Begin to set up a second factor. Needs a session.",
    request_body = Password,
    responses((status = 200, body = NewAuthenticator)),
)]
async fn start(State(app): State<App>, visitor: Visitor, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Json<NewAuthenticator>, Problem> {
    let given: Password = read(body, &["password"])?;
    Ok(Json(start_second_factor(&app, &visitor, Secret::new(given.password)).await?))
}

#[utoipa::path(
    post,
    path = "/me/second-factor/confirm",
    operation_id = "confirmSecondFactor",
    summary = "Confirm a second factor with a code of it; tells the recovery codes, once.",
    request_body = Code,
    responses((status = 200, body = RecoveryCodes)),
)]
async fn confirm(State(app): State<App>, visitor: Visitor, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Json<RecoveryCodes>, Problem> {
    let given: Code = read(body, &["code"])?;
    let codes = confirm_second_factor(&app, &visitor, &given.code).await?;
    Ok(Json(RecoveryCodes { recovery_codes: codes }))
}

#[utoipa::path(
    post,
    path = "/me/second-factor/remove",
    operation_id = "removeSecondFactor",
    summary = "Remove the second factor, with a code of it.",
    request_body = Code,
    responses((status = 204)),
)]
async fn remove(State(app): State<App>, visitor: Visitor, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<StatusCode, Problem> {
    let given: Code = read(body, &["code"])?;
    remove_second_factor(&app, &visitor, &given.code).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize, utoipa::ToSchema)]
struct Session {
    id: Uuid,
    principal: String,
    created: DateTime<Utc>,
    last_seen: DateTime<Utc>,
    address: Option<String>,
    browser: String,
    factors: String,
}

#[utoipa::path(
    get,
    path = "/sessions",
    operation_id = "listSessions",
    summary = "Who is logged in: I, or everybody for who may grant everywhere.",
    responses((status = 200, body = Page<Session>)),
)]
async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<Session>>, Problem> {
    Parameters::of(&uri, &[])?;
    let show = |row: SessionRow| {
        let SessionRow { id, principal, created, last_seen, address, browser, factors } = row;
        Session { id, principal, created, last_seen, address, browser, factors }
    };
    let rows = sessions::list(&app.pool, own_unless_granting(&visitor), IDLE_LIMIT_SECS).await?;
    Ok(Json(Page { items: rows.into_iter().map(show).collect(), next: None }))
}

#[utoipa::path(delete, path = "/sessions/{id}", operation_id = "endSession", summary = "End a session.", responses((status = 204)))]
async fn end(State(app): State<App>, visitor: Visitor, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let unknown = || Problem::not_found(format!("there is no session {id}"));
    let parsed = Uuid::try_parse(&id).map_err(|_| unknown())?;
    visitor.whole()?;
    if !sessions::revoke(&app.pool, parsed, own_unless_granting(&visitor)).await? {
        return Err(unknown());
    }
    tracing::info!(event = "access_session_ended", by = visitor.name, session = %parsed, "a session was ended");
    Ok(StatusCode::NO_CONTENT)
}

/// Codes that stand in for the second factor, each once; told once.
#[derive(Serialize, utoipa::ToSchema)]
struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

/// Whose sessions and tokens a visitor deals with: their own, or everybody's for who may grant everywhere now.
pub(super) fn own_unless_granting(visitor: &Visitor) -> Option<Uuid> {
    authorise(&visitor.actor("api"), Action::Grant, "others' sessions").is_err().then_some(visitor.id)
}
