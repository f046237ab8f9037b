//! The door for people. Every page works without a script, by keyboard, and from 360 px on; forms preview before they save.
//!
//! What is refused comes back next to the field it is about; what fails altogether is a page that says so in words.

mod account;
mod ask;
mod boot;
mod changes;
mod checks;
mod dhcp;
mod drafts;
mod edit;
mod effects;
mod find;
mod form;
mod hosts;
mod import;
mod login;
mod moves;
mod nas;
mod nodes;
mod organisation;
mod overview;
mod people;
mod sessions;
mod story;
mod strip;
mod subnets;
mod zones;

use super::{App, Problem, session::Visitor};
use crate::{inventory::Action, snapshots::Hold};
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
        .route("/", get(overview::show))
        .route("/find", get(find::find))
        .route("/strip", get(strip::part))
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
        .route("/hosts.csv", get(hosts::csv))
        .route("/hosts/{name}/move", get(moves::form).post(moves::step))
        .route("/hosts/{name}/delete", get(edit::delete_form).post(edit::delete))
        .route("/sessions", get(sessions::list))
        .merge(places())
        .merge(work())
        .route("/changes/{id}/served", get(hosts::served))
        .layer(axum::extract::DefaultBodyLimit::max(256 * 1024))
        .merge(import::routes())
}

/// Where hosts are: subnets, zones, campuses.
fn places() -> Router<App> {
    Router::new()
        .route("/subnets", get(subnets::list))
        .route("/subnets/new", get(subnets::new_form).post(subnets::new_step))
        .route("/subnets/{address}/{length}", get(subnets::show))
        .route("/subnets/{address}/{length}/edit", get(subnets::edit_form).post(subnets::edit_step))
        .route("/subnets/{address}/{length}/delete", get(subnets::delete_form).post(subnets::delete_step))
        .route("/subnets/{address}/{length}/pool", get(subnets::pool_form).post(subnets::pool_step))
        .route("/zones", get(zones::list))
        .route("/zones/new", get(zones::new_form).post(zones::new_step))
        .route("/zones/{apex}", get(zones::show))
        .route("/zones/{apex}/record", get(zones::record_form).post(zones::record_step))
        .route("/zones/{apex}/drop", get(zones::drop_form).post(zones::drop_step))
        .route("/zones/{apex}/refresh", post(zones::refresh))
        .route("/boot", get(boot::list))
        .route("/boot/{level}", get(boot::form_of_all).post(boot::step_of_all))
        .route("/boot/{level}/{*object}", get(boot::form_of_one).post(boot::step_of_one))
        .route("/campuses", get(nodes::list))
        .route("/campuses/{campus}/join", get(nodes::join_form).post(nodes::join_step))
        .route("/nodes/{name}", get(nodes::show))
        .route("/nodes/{name}/replace", get(nodes::replace_form).post(nodes::replace_step))
        .route("/nodes/{name}/revoke", get(nodes::revoke_form).post(nodes::revoke_step))
}

/// What is going on, and what was done.
fn work() -> Router<App> {
    Router::new()
        .route("/changes", get(changes::list))
        .route("/changes/{id}", get(changes::show))
        .route("/changes/{id}/revert", get(changes::revert_form).post(changes::revert_step))
        .route("/drafts", get(drafts::list))
        .route("/drafts/{id}", get(drafts::show).post(drafts::step))
        .merge(persons())
        .route("/checks", get(checks::list))
        .route("/checks/run", post(checks::run))
        .route("/checks/waive", get(checks::waive_form).post(checks::waive_step))
        .route("/checks/fix", get(checks::fix_form).post(checks::fix_step))
        .route("/dhcp", get(dhcp::show))
        .route("/nas", get(nas::list))
        .route("/nas/new", get(nas::new_form).post(nas::new_step))
        .route("/nas/{name}", get(nas::show))
        .route("/nas/{name}/edit", get(nas::edit_form).post(nas::edit_step))
        .route("/nas/{name}/delete", get(nas::delete_form).post(nas::delete_step))
        .route("/nas/{name}/secret", post(nas::show_secret))
}

/// Who may come in, and what everything refers to.
fn persons() -> Router<App> {
    Router::new()
        .route("/people", get(people::list))
        .route("/people/new", get(people::new_form).post(people::new_step))
        .route("/people/{name}", get(people::show))
        .route("/people/{name}/grant", get(people::grant_form).post(people::grant_step))
        .route("/people/{name}/group", get(people::group_form).post(people::group_step))
        .route("/people/{name}/door", get(people::door_form).post(people::door_step))
        .route("/people/{name}/password", post(people::reset))
        .route("/people/grants/{id}/take", get(people::take_form).post(people::take_step))
        .route("/organisation", get(organisation::list))
        .route("/organisation/{shelf}", get(organisation::new_form).post(organisation::new_step))
        .route("/organisation/{shelf}/{name}", get(organisation::edit_form).post(organisation::edit_step))
        .route("/organisation/{shelf}/{name}/delete", get(organisation::delete_form).post(organisation::delete_step))
}

/// A place of the navigation.
struct Place {
    /// The first part of its path.
    path: &'static str,
    word: &'static str,
    /// The key that leads there after `g`.
    key: char,
    is_for: Who,
}

/// Who is shown a place: what is not somebody's to see is not offered.
enum Who {
    Everybody,
    SeesAll,
    Grants,
    Edits,
}

const PLACES: [Place; 12] = [
    Place { path: "hosts", word: "Hosts", key: 'h', is_for: Who::Everybody },
    Place { path: "subnets", word: "Subnets", key: 's', is_for: Who::Everybody },
    Place { path: "zones", word: "Zones", key: 'z', is_for: Who::Everybody },
    Place { path: "dhcp", word: "DHCP", key: 'd', is_for: Who::SeesAll },
    Place { path: "boot", word: "Boot", key: 'b', is_for: Who::Everybody },
    Place { path: "nas", word: "Network access", key: 'n', is_for: Who::SeesAll },
    Place { path: "campuses", word: "Campuses", key: 'p', is_for: Who::Everybody },
    Place { path: "changes", word: "Changes", key: 'c', is_for: Who::Everybody },
    Place { path: "checks", word: "Checks", key: 'k', is_for: Who::SeesAll },
    Place { path: "organisation", word: "Organisation", key: 'r', is_for: Who::Everybody },
    Place { path: "people", word: "People", key: 'e', is_for: Who::Grants },
    Place { path: "import", word: "Import", key: 'i', is_for: Who::Edits },
];

/// What stands on every page for somebody who is logged in.
pub struct Frame {
    name: String,
    may_edit: bool,
    /// Whether they see everything: what is not theirs to see is not offered.
    sees_all: bool,
    may_grant: bool,
    /// The first part of the path of the place in the navigation that the page belongs to.
    here: &'static str,
    /// The campuses and how they are.
    strip: String,
    build: &'static str,
    /// What the publisher's guard holds back: on every page, until somebody answers for it.
    holds: Vec<Hold>,
}

impl Frame {
    async fn of(app: &App, visitor: &Visitor, here: &'static str) -> Result<Self, Problem> {
        Ok(Self {
            name: visitor.name.clone(),
            may_edit: visitor.authority.edits(),
            sees_all: visitor.sees_all("everything").is_ok(),
            may_grant: visitor.authority.somewhere(Action::Grant),
            here,
            strip: strip::strip(app).await?.render()?,
            build: app.build,
            holds: app.snapshots.holds(),
        })
    }

    /// The places there are, for who sees them.
    fn places(&self) -> impl Iterator<Item = &'static Place> {
        let (sees_all, may_grant, may_edit) = (self.sees_all, self.may_grant, self.may_edit);
        PLACES.iter().filter(move |place| match place.is_for {
            Who::Everybody => true,
            Who::SeesAll => sees_all,
            Who::Grants => may_grant,
            Who::Edits => sees_all && may_edit,
        })
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
    let wanted = uri.path_and_query().map(|path| path.as_str()).filter(|path| *method == Method::GET && *path != "/");
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

/// How long ago something was, in words; the exact time is for the title of the element.
fn ago(at: &DateTime<Utc>) -> String {
    format!("{} ago", strip::duration(Utc::now() - *at))
}

/// The part of a page that shows who serves a change; nothing where none is named.
async fn follow(app: &App, change_set: Option<uuid::Uuid>) -> Result<Option<String>, Refused> {
    match change_set {
        Some(change_set) => Ok(Some(hosts::follow(app, change_set).await?)),
        None => Ok(None),
    }
}

/// What a page comes back with after something was changed.
#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
pub struct Changed {
    change: Option<uuid::Uuid>,
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
