//! `/principals`, `/grants`, `/policy`: who may come in, what they may do, and what is asked of them.

use super::{
    BODY_LIMIT_BYTES,
    hosts::Page,
    request::{Json as Body, Parameters, read},
};
use crate::{
    db::access::factors::{self, Policy},
    http::{App, FieldError, Problem, reset_password, secrets::OneTimePassword, secrets::hash_password, session::Visitor},
    inventory::people::{self, GrantDraft, GrantObject, Principal, Why},
    inventory::{Action, authorise},
};
use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use holdfast_proto::words::Secret;
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/principals", get(list).post(add))
        .route("/principals/{name}", get(show))
        .route("/principals/{name}/disable", post(disable))
        .route("/principals/{name}/enable", post(enable))
        .route("/principals/{name}/reset-password", post(reset))
        .route("/principals/{name}/members/{member}", put(join).delete(leave))
        .route("/grants", get(grants).post(give))
        .route("/grants/{id}", delete(take))
        .route("/policy", get(policy).put(set_policy))
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
        if self.dry_run { Json(json!({ "dry_run": true })).into_response() } else { StatusCode::NO_CONTENT.into_response() }
    }
}

async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<Principal>>, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: people::principals(&app.pool, &visitor.actor("api")).await?, next: None }))
}

async fn show(State(app): State<App>, visitor: Visitor, Path(name): Path<String>) -> Result<Json<Principal>, Problem> {
    let all = people::principals(&app.pool, &visitor.actor("api")).await?;
    all.into_iter().find(|one| one.name == name).map(Json).ok_or_else(|| Problem::not_found(format!("there is nobody named {name}")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrincipalDraft {
    name: String,
    #[serde(default)]
    group: bool,
}

async fn add(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Added {
        name: String,
        /// Told once; none of a group.
        one_time_password: Option<String>,
    }
    let (asked, draft) = (Asked::of(&uri)?, read::<PrincipalDraft>(body, &["name"])?);
    let one_time = (!draft.group).then(OneTimePassword::random);
    let phc = match &one_time {
        Some(password) => Some(hash_password(Secret::new(password.expose())).await?),
        None => None,
    };
    people::add_principal(&app.pool, &visitor.actor("api"), asked.why(), &draft.name, phc).await?;
    if asked.dry_run {
        return Ok(asked.answer());
    }
    let added = Added { name: draft.name, one_time_password: one_time.map(|password| password.expose().to_owned()) };
    Ok((StatusCode::CREATED, Json(added)).into_response())
}

async fn disable(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let asked = Asked::of(&uri)?;
    people::set_disabled(&app.pool, &visitor.actor("api"), asked.why(), &name, true).await?;
    Ok(asked.answer())
}

async fn enable(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let asked = Asked::of(&uri)?;
    people::set_disabled(&app.pool, &visitor.actor("api"), asked.why(), &name, false).await?;
    Ok(asked.answer())
}

async fn reset(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Reset {
        one_time_password: String,
    }
    Parameters::of(&uri, &[])?;
    authorise(&visitor.actor("api"), Action::Grant, "passwords")?;
    let password = reset_password(&app.pool, &name).await?;
    tracing::warn!(event = "access_password_reset", principal = name, by = visitor.name, "{} reset the password of {name}", visitor.name);
    Ok(Json(Reset { one_time_password: password.expose().to_owned() }).into_response())
}

async fn join(State(app): State<App>, visitor: Visitor, Path((group, member)): Path<(String, String)>, uri: Uri) -> Result<Response, Problem> {
    let asked = Asked::of(&uri)?;
    people::set_membership(&app.pool, &visitor.actor("api"), asked.why(), &group, &member, true).await?;
    Ok(asked.answer())
}

async fn leave(State(app): State<App>, visitor: Visitor, Path((group, member)): Path<(String, String)>, uri: Uri) -> Result<Response, Problem> {
    let asked = Asked::of(&uri)?;
    people::set_membership(&app.pool, &visitor.actor("api"), asked.why(), &group, &member, false).await?;
    Ok(asked.answer())
}

async fn grants(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<GrantObject>>, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: people::grants(&app.pool, &visitor.actor("api")).await?, next: None }))
}

async fn give(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Given {
        id: i64,
    }
    let (asked, draft) = (Asked::of(&uri)?, read::<GrantDraft>(body, &["principal", "role", "area"])?);
    let id = people::give(&app.pool, &visitor.actor("api"), asked.why(), &draft).await?;
    Ok(if asked.dry_run { asked.answer() } else { (StatusCode::CREATED, Json(Given { id })).into_response() })
}

async fn take(State(app): State<App>, visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let number = id.parse().map_err(|_| Problem::not_found(format!("there is no grant {id}")))?;
    let asked = Asked::of(&uri)?;
    people::take(&app.pool, &visitor.actor("api"), asked.why(), number).await?;
    Ok(asked.answer())
}

async fn policy(State(app): State<App>, _: Visitor, uri: Uri) -> Result<Json<Policy>, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(Json(factors::policy(&app.pool).await?))
}

async fn set_policy(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Json<Policy>, Problem> {
    let (asked, policy) = (Asked::of(&uri)?, read::<Policy>(body, &["require_second_factor", "token_days_default", "token_days_limit"])?);
    if !["never", "writes", "always"].contains(&policy.require_second_factor.as_str()) {
        let detail = "a second factor is asked for \"never\", for \"writes\", or \"always\"";
        return Err(Problem::refused(vec![FieldError::new("/require_second_factor", "value", detail)]));
    }
    people::set_policy(&app.pool, &visitor.actor("api"), asked.why(), &policy).await?;
    Ok(Json(policy))
}
