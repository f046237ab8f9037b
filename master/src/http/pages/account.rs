//! One's own account: second factor, sessions, tokens.

use super::{Frame, Person, Refused, login::sentence, page};
use crate::{
    db::access::{
        factors,
        sessions::{self, SessionRow},
        tokens::{self, TokenRow},
    },
    http::{
        App, Problem,
        bearer::{Access, TokenDraft, create_token},
        login::{NewAuthenticator, confirm_second_factor, remove_second_factor, start_second_factor},
        session::{IDLE_LIMIT_SECS, Via, Visitor},
    },
};
use askama::Template;
use axum::{
    Form,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use holdfast_proto::words::Secret;
use http::StatusCode;
use serde::Deserialize;
use uuid::Uuid;

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    /// The session of this page.
    session: Option<Uuid>,
    second_factor: bool,
    recovery_left: i64,
    sessions: Vec<SessionRow>,
    tokens: Vec<TokenRow>,
    said: Said,
}

impl AccountPage {
    fn is_this(&self, session: &Uuid) -> bool {
        self.session == Some(*session)
    }
}

/// What the last step led to.
#[derive(Default)]
struct Said {
    problem: Option<String>,
    started: Option<NewAuthenticator>,
    recovery_codes: Vec<String>,
    token: Option<String>,
}

async fn account(app: &App, visitor: &Visitor, said: Said) -> Result<Response, Refused> {
    let session = if let Via::Session { id, .. } = visitor.via { Some(id) } else { None };
    page(AccountPage {
        frame: Frame::of(app, visitor, "account").await?,
        session,
        second_factor: factors::totp(&app.pool, visitor.id).await?.is_some_and(|totp| totp.confirmed),
        recovery_left: factors::recovery_left(&app.pool, visitor.id).await?,
        sessions: sessions::list(&app.pool, Some(visitor.id), IDLE_LIMIT_SECS).await?,
        tokens: tokens::list(&app.pool, Some(visitor.id)).await?,
        said,
    })
}

/// The page again with what was wrong, where that is something that the visitor can put right.
async fn again(app: &App, visitor: &Visitor, problem: Problem, started: Option<NewAuthenticator>) -> Result<Response, Refused> {
    let status = problem.status();
    if !matches!(status, StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS) {
        return Err(problem.into());
    }
    let said = Said { problem: Some(sentence(&problem.detail)), started, ..Said::default() };
    Ok((status, account(app, visitor, said).await?).into_response())
}

pub(super) async fn show(State(app): State<App>, Person(visitor): Person) -> Result<Response, Refused> {
    account(&app, &visitor, Said::default()).await
}

#[derive(Deserialize)]
pub(super) struct Password {
    password: String,
}

pub(super) async fn start(State(app): State<App>, Person(visitor): Person, Form(given): Form<Password>) -> Result<Response, Refused> {
    match start_second_factor(&app, &visitor, Secret::new(given.password)).await {
        Ok(started) => account(&app, &visitor, Said { started: Some(started), ..Said::default() }).await,
        Err(problem) => again(&app, &visitor, problem, None).await,
    }
}

#[derive(Deserialize)]
pub(super) struct Code {
    code: String,
}

pub(super) async fn confirm(State(app): State<App>, Person(visitor): Person, Form(given): Form<Code>) -> Result<Response, Refused> {
    match confirm_second_factor(&app, &visitor, &given.code).await {
        Ok(recovery_codes) => account(&app, &visitor, Said { recovery_codes, ..Said::default() }).await,
        Err(problem) => {
            let started = NewAuthenticator::again(&app.pool, &visitor).await?;
            again(&app, &visitor, problem, started).await
        }
    }
}

pub(super) async fn remove(State(app): State<App>, Person(visitor): Person, Form(given): Form<Code>) -> Result<Response, Refused> {
    match remove_second_factor(&app, &visitor, &given.code).await {
        Ok(()) => Ok(Redirect::to("/account").into_response()),
        Err(problem) => again(&app, &visitor, problem, None).await,
    }
}

pub(super) async fn end_session(State(app): State<App>, Person(visitor): Person, Path(id): Path<Uuid>) -> Result<Response, Refused> {
    sessions::revoke(&app.pool, id, Some(visitor.id)).await?;
    Ok(Redirect::to("/account").into_response())
}

#[derive(Deserialize)]
pub(super) struct NewToken {
    name: String,
    access: Access,
}

pub(super) async fn make_token(State(app): State<App>, Person(visitor): Person, Form(given): Form<NewToken>) -> Result<Response, Refused> {
    if let Some(why) = visitor.authority.bar() {
        return Err(Problem::forbidden(why).into());
    }
    let draft = TokenDraft { access: given.access, ..TokenDraft::named(given.name.trim()) };
    match create_token(&app.pool, &visitor.name, &draft, None).await {
        Ok(made) => {
            let token = String::from_utf8_lossy(made.text.expose()).into_owned();
            account(&app, &visitor, Said { token: Some(token), ..Said::default() }).await
        }
        Err(problem) => again(&app, &visitor, problem, None).await,
    }
}

pub(super) async fn revoke_token(State(app): State<App>, Person(visitor): Person, Path(id): Path<Uuid>) -> Result<Response, Refused> {
    tokens::delete(&app.pool, id, Some(visitor.id)).await?;
    Ok(Redirect::to("/account").into_response())
}
