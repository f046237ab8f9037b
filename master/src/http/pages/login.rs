//! Logging in and out, and one's own password.

use super::{Frame, Person, Refused, page, quote};
use crate::http::{
    App,
    login::{self, Origin},
    session::peer,
};
use askama::Template;
use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
};
use holdfast_proto::words::Secret;
use http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "login.html")]
pub(super) struct LoginPage {
    pub problem: Option<String>,
    pub name: String,
    pub next: String,
}

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Credentials {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn form(Query(Next { next }): Query<Next>) -> Result<Response, Refused> {
    page(LoginPage { problem: None, name: String::new(), next })
}

pub(super) async fn log_in(State(app): State<App>, extensions: Extensions, headers: HeaderMap, Form(given): Form<Credentials>) -> Result<Response, Refused> {
    let password = Secret::new(given.password);
    match login::log_in(&app, &given.name, password, &Origin::new(peer(&extensions), &headers)).await {
        Ok(started) if started.awaits_code => Ok(go(&format!("/login/code?next={}", quote(&inside(&given.next))), started.cookie)),
        Ok(started) if started.must_change => Ok(go("/password", started.cookie)),
        Ok(started) => Ok(go(&inside(&given.next), started.cookie)),
        Err(problem) if matches!(problem.status(), StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS) => {
            let status = problem.status();
            let again = page(LoginPage { problem: Some(sentence(&problem.detail)), name: given.name, next: given.next })?;
            Ok((status, again).into_response())
        }
        Err(problem) => Err(problem.into()),
    }
}

#[derive(Template)]
#[template(path = "code.html")]
struct CodePage {
    problem: Option<String>,
    next: String,
}

pub(super) async fn code_form(_: Person, Query(Next { next }): Query<Next>) -> Result<Response, Refused> {
    page(CodePage { problem: None, next })
}

#[derive(Deserialize)]
pub(super) struct GivenCode {
    code: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn give_code(State(app): State<App>, Person(visitor): Person, Form(given): Form<GivenCode>) -> Result<Response, Refused> {
    match login::give_code(&app, &visitor, &given.code).await {
        Ok(()) => Ok(Redirect::to(&inside(&given.next)).into_response()),
        Err(problem) if matches!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY | StatusCode::TOO_MANY_REQUESTS) => {
            let again = page(CodePage { problem: Some(sentence(&problem.detail)), next: given.next })?;
            Ok((problem.status(), again).into_response())
        }
        Err(problem) => Err(problem.into()),
    }
}

pub(super) async fn log_out(State(app): State<App>, headers: HeaderMap) -> Result<Response, Refused> {
    let cookie = login::log_out(&app, &headers).await?;
    Ok(go("/login", cookie))
}

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage {
    frame: Frame,
    must_change: bool,
    old_problem: Option<String>,
    new_problem: Option<String>,
}

pub(super) async fn password_form(State(app): State<App>, Person(visitor): Person) -> Result<Response, Refused> {
    page(PasswordPage { frame: Frame::of(&app, &visitor, "account").await?, must_change: visitor.must_change, old_problem: None, new_problem: None })
}

#[derive(Deserialize)]
pub(super) struct NewPassword {
    old: String,
    new: String,
}

pub(super) async fn change_password(
    State(app): State<App>,
    Person(visitor): Person,
    extensions: Extensions,
    headers: HeaderMap,
    Form(given): Form<NewPassword>,
) -> Result<Response, Refused> {
    let (old, new) = (Secret::new(given.old), Secret::new(given.new));
    match login::change_password(&app, &visitor, old, new.clone()).await {
        Ok(()) => {
            let started = login::log_in(&app, &visitor.name, new, &Origin::new(peer(&extensions), &headers)).await?;
            Ok(go(if started.awaits_code { "/login/code" } else { "/hosts" }, started.cookie))
        }
        Err(problem) if problem.status() == StatusCode::UNPROCESSABLE_ENTITY => {
            let of = |pointer: &str| problem.errors.iter().find(|error| error.pointer == pointer).map(|error| sentence(&error.detail));
            let (old_problem, new_problem) = (of("/old"), of("/new"));
            let again = page(PasswordPage { frame: Frame::of(&app, &visitor, "account").await?, must_change: visitor.must_change, old_problem, new_problem })?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, again).into_response())
        }
        Err(problem) => Err(problem.into()),
    }
}

fn go(to: &str, cookie: HeaderValue) -> Response {
    ([(header::SET_COOKIE, cookie)], Redirect::to(to)).into_response()
}

/// Where to go after logging in: a page of ours and nobody else's.
fn inside(next: &str) -> String {
    let is_ours = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n']) && next.is_ascii();
    if is_ours { next.to_owned() } else { "/hosts".to_owned() }
}

/// With a capital and a full stop.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::inside;

    #[test]
    fn nobody_is_sent_elsewhere_after_logging_in() {
        assert_eq!(inside("/hosts/www.uni.example"), "/hosts/www.uni.example");
        for elsewhere in ["https://evil.example/", "//evil.example", "/\\evil.example", "", "hosts", "/x\r\nset-cookie: a=b"] {
            assert_eq!(inside(elsewhere), "/hosts", "{elsewhere}");
        }
    }
}
