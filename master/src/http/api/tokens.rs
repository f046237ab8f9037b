//! `/tokens`: a principal's own tokens, and for administrators everybody's. The text of a token is told once, when it is made.

use super::{
    BODY_LIMIT_BYTES,
    hosts::Page,
    me::own_unless_granting,
    request::{Json as Body, Parameters, read},
};
use crate::{
    db::access::tokens::{self, TokenRow},
    http::{
        App, Problem,
        bearer::{TokenDraft, create_token},
        session::{Via, Visitor},
    },
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use http::{StatusCode, Uri};
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(revoke))
}

#[derive(Serialize, utoipa::ToSchema)]
struct Token {
    id: Uuid,
    name: String,
    principal: String,
    created: DateTime<Utc>,
    expires: Option<DateTime<Utc>>,
    last_used: Option<DateTime<Utc>>,
    last_used_from: Option<String>,
    access: String,
    grants: Option<Vec<i64>>,
    sources: Vec<String>,
}

impl From<TokenRow> for Token {
    fn from(row: TokenRow) -> Self {
        let TokenRow { id, name, principal, created, expires, last_used, last_used_from, access, grants, sources } = row;
        Self { id, name, principal, created, expires, last_used, last_used_from, access, grants, sources }
    }
}

#[utoipa::path(
    get,
    path = "/tokens",
    operation_id = "listTokens",
    summary = "My tokens, or everybody's for who may grant everywhere.",
    responses((status = 200, body = Page<Token>)),
)]
async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<Token>>, Problem> {
    Parameters::of(&uri, &[])?;
    let rows = tokens::list(&app.pool, own_unless_granting(&visitor)).await?;
    Ok(Json(Page { items: rows.into_iter().map(Token::from).collect(), next: None }))
}

#[utoipa::path(
    post,
    path = "/tokens",
    operation_id = "makeToken",
    summary = "Make a token; it is told once.",
    request_body = TokenDraft,
    responses((status = 201, body = NewToken)),
)]
async fn add(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    let draft: TokenDraft = read(body, &["name"])?;
    let latest = check_maker(&visitor)?;
    let made = create_token(&app.pool, &visitor.name, &draft, latest).await?;
    let token = String::from_utf8_lossy(made.text.expose()).into_owned();
    Ok((StatusCode::CREATED, Json(NewToken { id: made.id, name: draft.name, token, expires: made.expires })).into_response())
}

/// A token that may do less than its owner makes no others, and none makes one that outlives it. What is barred is not to be had by a
/// token either. Gives the latest end that the new one may have.
fn check_maker(visitor: &Visitor) -> Result<Option<DateTime<Utc>>, Problem> {
    if let Some(why) = visitor.authority.bar() {
        return Err(Problem::forbidden(why));
    }
    match visitor.via {
        Via::Token { limited: true, .. } => Err(Problem::forbidden("a token with limits cannot make others: log in, or use one without")),
        Via::Token { expires, .. } => Ok(expires),
        Via::Session { .. } => Ok(None),
    }
}

#[utoipa::path(delete, path = "/tokens/{id}", operation_id = "revokeToken", summary = "Revoke a token.", responses((status = 204)))]
async fn revoke(State(app): State<App>, visitor: Visitor, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let unknown = || Problem::not_found(format!("there is no token {id}"));
    let parsed = Uuid::try_parse(&id).map_err(|_| unknown())?;
    if visitor.token() != Some(parsed) {
        visitor.whole()?;
    }
    if !tokens::delete(&app.pool, parsed, own_unless_granting(&visitor)).await? {
        return Err(unknown());
    }
    tracing::info!(event = "access_token_revoked", principal = visitor.name, token = %parsed, "a token was revoked");
    Ok(StatusCode::NO_CONTENT)
}
/// A new token, told once.
#[derive(Serialize, utoipa::ToSchema)]
struct NewToken {
    id: Uuid,
    name: String,
    token: String,
    expires: DateTime<Utc>,
}
