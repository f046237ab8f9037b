//! Looking at hosts: the list, one host, and who serves a change.

use super::{
    Frame, Person, Refused,
    form::{PARTICULARS, particulars},
    page, story,
};
use crate::{
    http::{
        App, Problem, Served,
        api::{open_cursor, seal_cursor},
        served::all_serve,
        session::Visitor,
    },
    inventory::{self, Host, HostContact, HostQuery},
};
use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::{Html, IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use holdfast_proto::words::HostName;
use http::header;
use serde::Deserialize;
use uuid::Uuid;

/// How many hosts stand on a page.
const PAGE_LENGTH: u32 = 50;

#[derive(Template)]
#[template(path = "hosts.html")]
pub(super) struct HostsPage {
    pub frame: Frame,
    pub search: String,
    pub hosts: Vec<Host>,
    pub paged: bool,
    pub next: Option<String>,
    /// A host that was just deleted, and who knows it already.
    pub gone: Option<String>,
    pub follow: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ListQuery {
    #[serde(default)]
    search: String,
    cursor: Option<String>,
    gone: Option<String>,
    change: Option<Uuid>,
}

pub(super) async fn list(State(app): State<App>, Person(visitor): Person, Query(given): Query<ListQuery>) -> Result<Response, Refused> {
    let search = given.search.trim().to_owned();
    let cursor = given.cursor.as_deref().map(open_cursor).transpose()?;
    let paged = cursor.is_some();
    let query = HostQuery { search: Some(search.clone()).filter(|text| !text.is_empty()), cursor, limit: PAGE_LENGTH, names_only: false };
    let found = inventory::host_list(&app.pool, &visitor.sight()?, &query).await?;
    let follow = match given.change {
        Some(change_set) => Some(follow(&app, change_set).await?),
        None => None,
    };
    let next = found.next.as_deref().map(seal_cursor);
    page(HostsPage { frame: Frame::of(&app, &visitor, "hosts").await?, search, hosts: found.hosts, paged, next, gone: given.gone, follow })
}

pub(super) fn addresses(host: &Host) -> Vec<String> {
    host.draft.interfaces.iter().flat_map(|interface| &interface.addresses).map(ToString::to_string).collect()
}

pub(super) fn macs(host: &Host) -> Vec<String> {
    host.draft.interfaces.iter().filter_map(|interface| interface.mac).map(|mac| mac.to_string()).collect()
}

#[derive(Template)]
#[template(path = "host.html")]
pub(super) struct HostPage {
    pub frame: Frame,
    pub host: Host,
    pub history: Vec<story::Step>,
    pub saved: bool,
    pub follow: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ShowQuery {
    saved: Option<Uuid>,
}

pub(super) async fn show(
    State(app): State<App>,
    Person(visitor): Person,
    Path(name): Path<String>,
    Query(given): Query<ShowQuery>,
) -> Result<Response, Refused> {
    let host = find(&app, &visitor, &name).await?;
    let history = story::tell(inventory::history(&app.pool, &visitor.sight()?, &host.draft.name).await?);
    let newest = given.saved.or_else(|| history.first().map(|step| step.change_set));
    let follow = match newest {
        Some(change_set) => Some(follow(&app, change_set).await?),
        None => None,
    };
    page(HostPage { frame: Frame::of(&app, &visitor, "hosts").await?, host, history, saved: given.saved.is_some(), follow })
}

fn facts(host: &Host) -> Vec<(&'static str, String)> {
    let draft = &host.draft;
    let words = [("Location", &draft.location), ("Contact", &draft.contact), ("Machine", &draft.hardware), ("System", &draft.os), ("Comment", &draft.comment)];
    let things = PARTICULARS.iter().map(|particular| particular.label).zip(particulars(draft)).filter(|(_, value)| !value.is_empty());
    words.into_iter().map(|(label, value)| (label, value.clone())).chain(things).collect()
}

/// In which way somebody answers for a host, as the API has it.
fn role_of(contact: &HostContact) -> String {
    serde_json::to_value(contact.role).ok().and_then(|role| role.as_str().map(str::to_owned)).unwrap_or_default()
}

/// More hosts than this are for the API and its pages.
const CSV_LIMIT: usize = 200_000;

/// The hosts of a search as CSV (RFC 4180): one line for each interface.
pub(super) async fn csv(State(app): State<App>, Person(visitor): Person, Query(given): Query<ListQuery>) -> Result<Response, Refused> {
    let (sight, search) = (visitor.sight()?, Some(given.search.trim().to_owned()).filter(|text| !text.is_empty()));
    let mut lines = csv::Writer::from_writer(Vec::new());
    lines.write_record(["name", "addresses", "mac", "location", "contact", "department", "hardware", "os", "comment"]).map_err(Problem::internal)?;
    let (mut cursor, mut count) = (None, 0);
    loop {
        let found = inventory::host_list(&app.pool, &sight, &HostQuery { search: search.clone(), cursor, limit: 1000, names_only: false }).await?;
        for host in &found.hosts {
            for line in csv_lines(host) {
                lines.write_record(line).map_err(Problem::internal)?;
            }
        }
        count += found.hosts.len();
        cursor = found.next;
        if cursor.is_none() || count >= CSV_LIMIT {
            break;
        }
    }
    let text = lines.into_inner().map_err(Problem::internal)?;
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8"), (header::CONTENT_DISPOSITION, "attachment; filename=\"hosts.csv\"")], text).into_response())
}

fn csv_lines(host: &Host) -> Vec<[String; 9]> {
    let draft = &host.draft;
    let line = |addresses: String, mac: String| {
        let department = draft.department.clone().unwrap_or_default();
        [
            draft.name.to_string(),
            addresses,
            mac,
            draft.location.clone(),
            draft.contact.clone(),
            department,
            draft.hardware.clone(),
            draft.os.clone(),
            draft.comment.clone(),
        ]
        .map(inert)
    };
    if draft.interfaces.is_empty() {
        return vec![line(String::new(), String::new())];
    }
    let of = |interface: &crate::inventory::InterfaceDraft| {
        let addresses: Vec<String> = interface.addresses.iter().map(ToString::to_string).collect();
        line(addresses.join(" "), interface.mac.map(|mac| mac.to_string()).unwrap_or_default())
    };
    draft.interfaces.iter().map(of).collect()
}

/// A spreadsheet takes what begins so for a formula; in quotes of its own it is text.
fn inert(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}

fn hexadecimal(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

/// The host of a page's address.
pub(super) async fn find(app: &App, visitor: &Visitor, name: &str) -> Result<Host, Refused> {
    let unknown = || Problem::not_found(format!("there is no host named {name}"));
    let parsed: HostName = name.parse().map_err(|_| unknown())?;
    Ok(inventory::host_by_name(&app.pool, &visitor.sight()?, &parsed).await?.ok_or_else(unknown)?)
}

#[derive(Template)]
#[template(path = "served.html")]
pub(super) struct ServedPart {
    pub served: Vec<Served>,
    pub done: bool,
}

impl ServedPart {
    /// Asking again is over when all agents serve it, not only those that can be reached.
    pub(super) fn new(served: Vec<Served>) -> Self {
        let done = all_serve(&served) && served.iter().all(|one| one.since.is_some());
        Self { served, done }
    }
}

/// The time of day, to the millisecond; with the day where it is not today's.
fn clock(at: &DateTime<Utc>) -> String {
    let is_today = at.date_naive() == Utc::now().date_naive();
    at.format(if is_today { "%H:%M:%S%.3f" } else { "%Y-%m-%d %H:%M:%S%.3f" }).to_string()
}

/// The part of a page that is asked for again until it is done.
pub(super) async fn served(State(app): State<App>, _: Person, Path(id): Path<Uuid>) -> Result<Response, Refused> {
    Ok(Html(ServedPart::new(app.served.now(id).await).render()?).into_response())
}

#[derive(Template)]
#[template(path = "follow.html")]
struct FollowPart {
    change_set: Uuid,
    served: String,
    done: bool,
}

pub(super) async fn follow(app: &App, change_set: Uuid) -> Result<String, Refused> {
    let part = ServedPart::new(app.served.now(change_set).await);
    let done = part.done;
    Ok(FollowPart { change_set, served: part.render()?, done }.render()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{HostDraft, Version};

    #[test]
    fn a_spreadsheet_takes_no_text_for_a_formula() {
        let mut draft = HostDraft::simple("www.uni.example".parse().unwrap(), None, "10.1.4.7".parse().unwrap());
        draft.comment = "=HYPERLINK(\"x\")".into();
        let host = Host { id: Uuid::nil(), version: Version(1), created_at: Utc::now(), updated_at: Utc::now(), draft };
        let lines = csv_lines(&host);
        assert_eq!((lines.len(), lines[0][1].as_str(), lines[0][8].as_str()), (1, "10.1.4.7", "'=HYPERLINK(\"x\")"));
    }
}
