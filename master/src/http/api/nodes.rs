//! `/nodes`: our own boxes. Everybody may look; only administrators let one in or throw one out.

use super::{
    BODY_LIMIT_BYTES,
    hosts::Page,
    parameters::OfTries,
    request::{Json as Body, Parameters, read},
};
use crate::{
    http::{App, Boxes, Problem, session::Visitor},
    inventory::{Action, authorise},
    nodes::{self, CertificateObject, NewToken, NodeError, NodeObject, TokenError, WorkList},
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(token)).routes(routes!(revoke)).routes(routes!(certificates))
}

fn boxes(app: &App) -> Result<&Boxes, Problem> {
    app.boxes.as_ref().ok_or_else(|| Problem::not_found("this master has no boxes"))
}

/// All boxes, and what stands against publishing, if anything does.
#[derive(Serialize, utoipa::ToSchema)]
struct NodeList {
    #[serde(flatten)]
    page: Page<NodeObject>,
    publishing_halted: Option<String>,
}

#[utoipa::path(
    get,
    path = "/nodes",
    operation_id = "listNodes",
    summary = "Our own boxes, and what stands against publishing.",
    responses((status = 200, body = NodeList)),
)]
async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<NodeList>, Problem> {
    Parameters::of(&uri, &[])?;
    visitor.sight()?;
    let items = nodes::list(&app.pool, &(boxes(&app)?.lines)()).await?;
    Ok(Json(NodeList { page: Page { items, next: None }, publishing_halted: (app.halt)() }))
}

#[utoipa::path(
    get,
    path = "/nodes/{name}",
    operation_id = "getNode",
    summary = "A box: its certificate, its build, and how far it has each feed.",
    responses((status = 200, body = NodeObject)),
)]
async fn show(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Json<NodeObject>, Problem> {
    Parameters::of(&uri, &[])?;
    visitor.sight()?;
    let boxes = boxes(&app)?;
    let keys = Arc::clone(&boxes.keys.borrow());
    Ok(Json(nodes::show(&app.pool, &keys, &(boxes.lines)(), &name).await?))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = nodes::TokenDraft)]
struct TokenDraft {
    #[serde(default)]
    role: Role,
    #[serde(default)]
    campus: Option<String>,
    #[serde(default)]
    replace: bool,
}

#[derive(Deserialize, Default, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = nodes::Role)]
enum Role {
    #[default]
    Agent,
    Portal,
}

#[utoipa::path(
    post,
    path = "/nodes/{name}/token",
    operation_id = "makeNodeToken",
    summary = "Make a one-time token for a new box.",
    request_body = TokenDraft,
    responses((status = 201, body = MadeToken)),
)]
async fn token(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    let actor = visitor.actor("api");
    authorise(&actor, Action::Boxes, "boxes")?;
    let draft: TokenDraft = read(body, &[])?;
    let role = match draft.role {
        Role::Agent => "agent",
        Role::Portal => "portal",
    };
    let new = NewToken { name, role, campus: draft.campus, replace: draft.replace };
    let keys = Arc::clone(&boxes(&app)?.keys.borrow());
    let token = nodes::issue_token(&app.pool, &keys, &new, &actor.name, actor.via).await?;
    Ok((StatusCode::CREATED, Json(MadeToken { name: new.name, token: token.to_string() })).into_response())
}

#[utoipa::path(
    post,
    path = "/nodes/{name}/revoke",
    operation_id = "revokeNode",
    summary = "Throw a box out, and tell what is left to be done.",
    params(OfTries),
    responses((status = 200, body = WorkList)),
)]
async fn revoke(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Json<WorkList>, Problem> {
    let parameters = Parameters::of(&uri, &["reason", "dry_run"])?;
    let actor = visitor.actor("api");
    authorise(&actor, Action::Boxes, "boxes")?;
    let reason = parameters.text("reason").unwrap_or_default();
    let list = nodes::revoke(&app.pool, &name, &actor.name, reason, actor.via, parameters.flag("dry_run")?).await?;
    if list.dry_run {
        return Ok(Json(list));
    }
    app.committed.notify_one();
    Ok(Json(nodes::await_rotation(&app.pool, list, nodes::ROTATION_LIMIT).await?))
}

#[utoipa::path(
    get,
    path = "/certificates",
    operation_id = "listCertificates",
    summary = "Certificates of boxes, and the authorities that they stand under.",
    responses((status = 200, body = Page<CertificateObject>)),
)]
async fn certificates(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<CertificateObject>>, Problem> {
    Parameters::of(&uri, &[])?;
    visitor.sight()?;
    let keys = Arc::clone(&boxes(&app)?.keys.borrow());
    Ok(Json(Page { items: nodes::certificates(&app.pool, &keys).await?, next: None }))
}

impl From<NodeError> for Problem {
    fn from(wrong: NodeError) -> Self {
        match wrong {
            NodeError::Missing(_) => Self::not_found(wrong.to_string()),
            NodeError::Database(error) => error.into(),
        }
    }
}

impl From<TokenError> for Problem {
    fn from(wrong: TokenError) -> Self {
        match wrong {
            TokenError::Campus(_) | TokenError::Name(_) | TokenError::NothingToReplace(_) => Self::malformed(wrong.to_string(), vec![]),
            TokenError::NameTaken(_) => Self::conflict(wrong.to_string(), vec![]),
            TokenError::Random => Self::malformed(wrong.to_string(), vec![]),
            TokenError::Database(error) => error.into(),
        }
    }
}
/// A token for a box, told once.
#[derive(Serialize, utoipa::ToSchema)]
struct MadeToken {
    name: String,
    token: String,
}
