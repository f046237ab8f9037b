//! The door for people. Every page works without a script, by keyboard, and from 360 px on; forms preview before they save.
//!
//! What is refused comes back next to the field it is about; what fails altogether is a page that says so in words.

mod account;
mod edit;
mod effects;
mod form;
mod hosts;
mod login;
mod sessions;
mod story;

use super::{App, Problem, session::Visitor};
use crate::snapshots::Hold;
use askama::Template;
use axum::{
    Router,
    extract::FromRequestParts,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use chrono::{DateTime, Utc};
use http::{Method, StatusCode, Uri, request::Parts};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(async || Redirect::to("/hosts")))
        .route("/login", get(login::form).post(login::log_in))
        .route("/login/code", get(login::code_form).post(login::give_code))
        .route("/account", get(account::show))
        .route("/account/second-factor", post(account::start))
        .route("/account/second-factor/confirm", post(account::confirm))
        .route("/account/second-factor/remove", post(account::remove))
        .route("/account/sessions/{id}/end", post(account::end_session))
        .route("/account/tokens", post(account::make_token))
        .route("/account/tokens/{id}/revoke", post(account::revoke_token))
        .route("/logout", post(login::log_out))
        .route("/password", get(login::password_form).post(login::change_password))
        .route("/hosts", get(hosts::list))
        .route("/hosts/new", get(edit::new_form).post(edit::new_step))
        .route("/hosts/{name}", get(hosts::show))
        .route("/hosts/{name}/edit", get(edit::edit_form).post(edit::edit_step))
        .route("/hosts/{name}/delete", get(edit::delete_form).post(edit::delete))
        .route("/sessions", get(sessions::list))
        .route("/changes/{id}/served", get(hosts::served))
        .layer(axum::extract::DefaultBodyLimit::max(256 * 1024))
}

/// What stands on every page for somebody who is logged in.
pub struct Frame {
    name: String,
    may_edit: bool,
    build: &'static str,
    /// What the publisher's guard holds back: on every page, until somebody answers for it.
    holds: Vec<Hold>,
}

impl Frame {
    fn of(app: &App, visitor: &Visitor) -> Self {
        Self { name: visitor.name.clone(), may_edit: visitor.authority.edits(), build: app.build, holds: app.snapshots.holds() }
    }
}

/// A refusal as a page.
pub struct Refused(Problem);

impl<E: Into<Problem>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    problem: Problem,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = self.0.status();
        match (ProblemPage { problem: self.0 }).render() {
            Ok(text) => (status, Html(text)).into_response(),
            Err(error) => Problem::internal(error).into_response(),
        }
    }
}

/// Somebody who is logged in; anybody else is sent to the log-in page, and from there to where they wanted to go.
pub struct Person(pub Visitor);

impl FromRequestParts<App> for Person {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        match Visitor::from_request_parts(parts, app).await {
            Ok(visitor) => Ok(Self(visitor)),
            Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => Err(Redirect::to(&login_address(&parts.method, &parts.uri)).into_response()),
            Err(problem) => Err(Refused(problem).into_response()),
        }
    }
}

fn login_address(method: &Method, uri: &Uri) -> String {
    let wanted = uri.path_and_query().map(|path| path.as_str()).filter(|path| *method == Method::GET && *path != "/hosts");
    match wanted {
        Some(path) => format!("/login?next={}", quote(path)),
        None => "/login".to_owned(),
    }
}

/// Percent-encodes a value for a query (RFC 3986 section 2.3).
fn quote(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// Renders a page, or tells of the fault.
fn page(template: impl Template) -> Result<Response, Refused> {
    Ok(Html(template.render()?).into_response())
}

impl From<askama::Error> for Problem {
    fn from(error: askama::Error) -> Self {
        Self::internal(error)
    }
}

/// A moment as people read it.
fn moment(at: &DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The page for addresses where there is nothing.
pub(super) async fn not_found(uri: Uri) -> Refused {
    Refused(Problem::not_found(format!("there is nothing at {}", uri.path())))
}

#[cfg(test)]
mod tests;
