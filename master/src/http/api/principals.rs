//! `/principals`, `/grants`, `/policy`: who may come in, what they may do, and what is asked of them.

use super::{
    BODY_LIMIT_BYTES,
    hosts::Page,
    parameters::{OfTries, Tried},
    request::{Json as Body, Parameters, read},
};
use crate::{
    db::access::factors::{self, Policy},
    http::{
        App, FieldError, Problem,
        one_time::{add_principal, new_password},
        session::Visitor,
    },
    inventory::people::{self, GrantDraft, GrantObject, Principal, Why},
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(show))
        .routes(routes!(disable))
        .routes(routes!(enable))
        .routes(routes!(reset))
        .routes(routes!(join, leave))
        .routes(routes!(grants, give))
        .routes(routes!(take))
        .routes(routes!(policy, set_policy))
}

/// `reason` and `dry_run` of a request.
struct Asked {
    reason: String,
    dry_run: bool,
}

impl Asked {
    fn of(uri: &Uri) -> Result<Self, Problem> {
        let parameters = Parameters::of(uri, &["reason", "dry_run"])?;
        Ok(Self { reason: parameters.text("reason").unwrap_or_default().trim().to_owned(), dry_run: parameters.flag("dry_run")? })
    }

    fn why(&self) -> Why<'_> {
        Why { reason: &self.reason, dry_run: self.dry_run }
    }

    /// Done, with nothing to tell; or it could be done.
    fn answer(&self) -> Response {
        if self.dry_run { Json(Tried { dry_run: true }).into_response() } else { StatusCode::NO_CONTENT.into_response() }
    }
}

#[utoipa::path(
    get,
    path = "/principals",
    operation_id = "listPrincipals",
    summary = "People and groups.",
    responses((status = 200, body = Page<Principal>)),
)]
async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<Principal>>, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: people::principals(&app.pool, &visitor.actor("api")).await?, next: None }))
}

#[utoipa::path(
    get,
    path = "/principals/{name}",
    operation_id = "getPrincipal",
    summary = "A person or a group.",
    responses((status = 200, body = Principal)),
)]
async fn show(State(app): State<App>, visitor: Visitor, Path(name): Path<String>) -> Result<Json<Principal>, Problem> {
    let all = people::principals(&app.pool, &visitor.actor("api")).await?;
    all.into_iter().find(|one| one.name == name).map(Json).ok_or_else(|| Problem::not_found(format!("there is nobody named {name}")))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct PrincipalDraft {
    name: String,
    #[serde(default)]
    group: bool,
}

#[utoipa::path(
    post,
    path = "/principals",
    operation_id = "addPrincipal",
    summary = "Add a person, with a one-time password that is told once, or a group.",
    request_body = PrincipalDraft,
    params(OfTries),
    responses((status = 201, body = AddedPrincipal), (status = 200, body = Tried)),
)]
async fn add(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let (asked, draft) = (Asked::of(&uri)?, read::<PrincipalDraft>(body, &["name"])?);
    let one_time = add_principal(&app, &visitor.actor("api"), asked.why(), &draft.name, draft.group).await?;
    if asked.dry_run {
        return Ok(asked.answer());
    }
    let added = AddedPrincipal { name: draft.name, one_time_password: one_time.map(|password| password.expose().to_owned()) };
    Ok((StatusCode::CREATED, Json(added)).into_response())
}

#[utoipa::path(
    post,
    path = "/principals/{name}/disable",
    operation_id = "disablePrincipal",
    summary = "Shut somebody out: their sessions end, their tokens work no more.",
    params(OfTries),
    responses((status = 204), (status = 200, body = Tried)),
)]
async fn disable(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let asked = Asked::of(&uri)?;
    people::set_disabled(&app.pool, &visitor.actor("api"), asked.why(), &name, true).await?;
    Ok(asked.answer())
}

#[utoipa::path(
    post,
    path = "/principals/{name}/enable",
    operation_id = "enablePrincipal",
    summary = "Let somebody in again.",
    params(OfTries),
    responses((status = 204), (status = 200, body = Tried)),
)]
async fn enable(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let asked = Asked::of(&uri)?;
    people::set_disabled(&app.pool, &visitor.actor("api"), asked.why(), &name, false).await?;
    Ok(asked.answer())
}

#[utoipa::path(
    post,
    path = "/principals/{name}/reset-password",
    operation_id = "resetPassword",
    summary = "Give a person a new one-time password, told once.",
    responses((status = 200, body = ResetPassword)),
)]
async fn reset(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    let password = new_password(&app, &visitor, "api", &name).await?;
    Ok(Json(ResetPassword { one_time_password: password.expose().to_owned() }).into_response())
}

#[utoipa::path(
    put,
    path = "/principals/{name}/members/{member}",
    operation_id = "joinGroup",
    summary = "Put a person into a group.",
    params(OfTries),
    responses((status = 204), (status = 200, body = Tried)),
)]
async fn join(State(app): State<App>, visitor: Visitor, Path((group, member)): Path<(String, String)>, uri: Uri) -> Result<Response, Problem> {
    let asked = Asked::of(&uri)?;
    people::set_membership(&app.pool, &visitor.actor("api"), asked.why(), &group, &member, true).await?;
    Ok(asked.answer())
}

#[utoipa::path(
    delete,
    path = "/principals/{name}/members/{member}",
    operation_id = "leaveGroup",
    summary = "Take a person out of a group.",
    params(OfTries),
    responses((status = 204), (status = 200, body = Tried)),
)]
async fn leave(State(app): State<App>, visitor: Visitor, Path((group, member)): Path<(String, String)>, uri: Uri) -> Result<Response, Problem> {
    let asked = Asked::of(&uri)?;
    people::set_membership(&app.pool, &visitor.actor("api"), asked.why(), &group, &member, false).await?;
    Ok(asked.answer())
}

#[utoipa::path(
    get,
    path = "/grants",
    operation_id = "listGrants",
    summary = "Who may do what, and where.",
    responses((status = 200, body = Page<GrantObject>)),
)]
async fn grants(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<GrantObject>>, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: people::grants(&app.pool, &visitor.actor("api")).await?, next: None }))
}

#[utoipa::path(
    post,
    path = "/grants",
    operation_id = "giveGrant",
    summary = "Let somebody do something somewhere.",
    request_body = GrantDraft,
    params(OfTries),
    responses((status = 201, body = GivenGrant), (status = 200, body = Tried)),
)]
async fn give(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let (asked, draft) = (Asked::of(&uri)?, read::<GrantDraft>(body, &["principal", "role", "area"])?);
    let id = people::give(&app.pool, &visitor.actor("api"), asked.why(), &draft).await?;
    Ok(if asked.dry_run { asked.answer() } else { (StatusCode::CREATED, Json(GivenGrant { id })).into_response() })
}

#[utoipa::path(
    delete,
    path = "/grants/{id}",
    operation_id = "takeGrant",
    summary = "Take a grant.",
    params(OfTries),
    responses((status = 204), (status = 200, body = Tried)),
)]
async fn take(State(app): State<App>, visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let number = id.parse().map_err(|_| Problem::not_found(format!("there is no grant {id}")))?;
    let asked = Asked::of(&uri)?;
    people::take(&app.pool, &visitor.actor("api"), asked.why(), number).await?;
    Ok(asked.answer())
}

#[utoipa::path(
    get,
    path = "/policy",
    operation_id = "getPolicy",
    summary = "What is asked of those who come in.",
    responses((status = 200, body = Policy)),
)]
async fn policy(State(app): State<App>, _: Visitor, uri: Uri) -> Result<Json<Policy>, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(Json(factors::policy(&app.pool).await?))
}

#[utoipa::path(
    put,
    path = "/policy",
    operation_id = "setPolicy",
    summary = "Change what is asked of those who come in.",
    request_body = Policy,
    params(OfTries),
    responses((status = 200, body = Policy)),
)]
async fn set_policy(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Json<Policy>, Problem> {
    let (asked, policy) = (Asked::of(&uri)?, read::<Policy>(body, &["require_second_factor", "token_days_default", "token_days_limit"])?);
    if !["never", "writes", "always"].contains(&policy.require_second_factor.as_str()) {
        let detail = "a second factor is asked for \"never\", for \"writes\", or \"always\"";
        return Err(Problem::refused(vec![FieldError::new("/require_second_factor", "value", detail)]));
    }
    people::set_policy(&app.pool, &visitor.actor("api"), asked.why(), &policy).await?;
    Ok(Json(policy))
}
/// Somebody was added.
#[derive(Serialize, utoipa::ToSchema)]
struct AddedPrincipal {
    name: String,
    /// Told once; none of a group.
    one_time_password: Option<String>,
}

/// A password to log in with once.
#[derive(Serialize, utoipa::ToSchema)]
struct ResetPassword {
    one_time_password: String,
}

/// A grant was given.
#[derive(Serialize, utoipa::ToSchema)]
struct GivenGrant {
    id: i64,
}
