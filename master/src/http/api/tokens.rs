//! `/tokens`: a principal's own tokens, and for administrators everybody's. The text of a token is told once, when it is made.

use super::{
    BODY_LIMIT_BYTES,
    hosts::Page,
    request::{Json as Body, Parameters, read},
};
use crate::{
    db::access,
    http::{App, Problem, create_token, session::Visitor},
};
use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use chrono::{DateTime, Duration, Utc};
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/tokens", get(list).post(add)).route("/tokens/{id}", delete(revoke))
}

#[derive(Serialize)]
struct Token {
    id: Uuid,
    name: String,
    principal: String,
    created: DateTime<Utc>,
    expires: Option<DateTime<Utc>>,
    last_used: Option<DateTime<Utc>>,
}

async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<Token>>, Problem> {
    Parameters::of(&uri, &[])?;
    let rows = access::tokens(&app.pool, own_unless_administrator(&visitor)).await?;
    let show = |row: access::TokenRow| Token {
        id: row.id,
        name: row.name,
        principal: row.principal,
        created: row.created,
        expires: row.expires,
        last_used: row.last_used,
    };
    Ok(Json(Page { items: rows.into_iter().map(show).collect(), next: None }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenDraft {
    name: String,
    #[serde(default)]
    expires_days: Option<u16>,
}

async fn add(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Made {
        id: Uuid,
        name: String,
        token: String,
    }
    Parameters::of(&uri, &[])?;
    let draft: TokenDraft = read(body, &["name"])?;
    if draft.name.is_empty() || draft.name.chars().count() > 100 {
        return Err(Problem::refused(vec![crate::http::FieldError::new("/name", "length", "a token's name has 1 to 100 characters")]));
    }
    let expires = draft.expires_days.map(|days| Utc::now() + Duration::days(days.into()));
    let (id, secret) = create_token(&app.pool, &visitor.name, &draft.name, expires).await?;
    let token = String::from_utf8_lossy(secret.expose()).into_owned();
    Ok((StatusCode::CREATED, Json(Made { id, name: draft.name, token })).into_response())
}

async fn revoke(State(app): State<App>, visitor: Visitor, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let unknown = || Problem::not_found(format!("there is no token {id}"));
    let parsed = Uuid::try_parse(&id).map_err(|_| unknown())?;
    if !access::delete_token(&app.pool, parsed, own_unless_administrator(&visitor)).await? {
        return Err(unknown());
    }
    tracing::info!(event = "access_token_revoked", principal = visitor.name, token = %parsed, "a token was revoked");
    Ok(StatusCode::NO_CONTENT)
}

fn own_unless_administrator(visitor: &Visitor) -> Option<Uuid> {
    (!visitor.is_administrator).then_some(visitor.id)
}
