//! `/status`: whether the master takes edits, what works where it does not, what was published last. It needs neither a login nor the
//! database: it is asked when nothing else answers. What it tells is numbers; whose hosts they are is told to nobody here.

use super::{App, Problem};
use askama::Template;
use axum::{
    Json, Router,
    extract::{Request, State},
    middleware::Next,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, Utc};
use http::{HeaderMap, Method, header};
use serde::Serialize;
use sqlx::{Connection, PgPool};
use std::time::Duration;
use tokio::sync::watch;

/// How often the database is asked whether it is there.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long it may take to say so.
const PATIENCE: Duration = Duration::from_secs(2);
/// What goes on without the database.
const WORKS: [&str; 4] = [
    "agents answer DNS, BOOTP, DHCP and RADIUS from their own disks",
    "agents that hold a line keep it, and get what was published before",
    "people log in to the network with the passwords they have",
    "this page, /healthz and /metrics",
];
/// And what does not.
const WAITS: [&str; 3] = [
    "edits: they are refused, and nothing is half done",
    "looking hosts up here, and logging in here",
    "publishing: it goes on by itself when the database is back",
];

/// Since when the database does not answer; nothing while it does.
pub type Away = watch::Receiver<Option<DateTime<Utc>>>;

/// Follows whether the database answers.
pub fn follow_database(pool: PgPool) -> (Away, impl Future<Output = ()> + Send) {
    let (sender, away) = watch::channel(None);
    let work = async move {
        loop {
            let answers = matches!(tokio::time::timeout(PATIENCE, ask(&pool)).await, Ok(Ok(())));
            metrics::gauge!("holdfast_database_up").set(f64::from(u8::from(answers)));
            let since = *sender.borrow();
            match (answers, since) {
                (false, None) => {
                    tracing::error!(event = "database_away", "the database does not answer: read-only until it does");
                    sender.send_replace(Some(Utc::now()));
                }
                (true, Some(since)) => {
                    tracing::info!(event = "database_back", away_since = %since, "the database answers again: edits are taken");
                    sender.send_replace(None);
                }
                _ => {}
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    (away, work)
}

async fn ask(pool: &PgPool) -> sqlx::Result<()> {
    pool.acquire().await?.ping().await
}

/// What is told.
#[derive(Debug, Serialize)]
struct Status {
    /// Whether edits are taken.
    edits: bool,
    /// Since when not.
    read_only_since: Option<DateTime<Utc>>,
    /// Why nothing is published, where that is so.
    publishing_halted: Option<String>,
    /// What works meanwhile.
    works: Vec<&'static str>,
    /// What waits.
    waits: Vec<&'static str>,
    /// The newest generation of each snapshot that was published.
    snapshots: Vec<Newest>,
    /// Who is asked for names of others, and how they are; empty where nothing is forwarded.
    forwarder: Vec<String>,
    /// How many boxes hold a line to this master.
    boxes_connected: usize,
    /// The build.
    build: &'static str,
}

#[derive(Debug, Serialize)]
struct Newest {
    feed: String,
    epoch: u32,
    generation: u64,
}

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    status: Status,
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/status", get(status))
}

/// For people where a browser asks, for programs otherwise.
async fn status(State(app): State<App>, headers: HeaderMap) -> Response {
    let status = of(&app);
    let wants_page = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|text| text.contains("text/html"));
    if !wants_page {
        return Json(status).into_response();
    }
    match (StatusPage { status }).render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => Problem::internal(error).into_response(),
    }
}

fn of(app: &App) -> Status {
    let since = *app.away.borrow();
    let newest = |(feed, epoch, generation)| Newest { feed, epoch, generation };
    Status {
        edits: since.is_none(),
        read_only_since: since,
        publishing_halted: (app.halt)(),
        works: if since.is_some() { WORKS.to_vec() } else { vec![] },
        waits: if since.is_some() { WAITS.to_vec() } else { vec![] },
        snapshots: app.snapshots.newest().into_iter().map(newest).collect(),
        forwarder: app.forwarder.as_ref().map(|forwarder| (forwarder.servers)()).unwrap_or_default(),
        boxes_connected: app.boxes.as_ref().map_or(0, |boxes| (boxes.lines)().len()),
        build: app.build,
    }
}

/// Refuses edits at once while the database is known to be away: whoever waits for it learns nothing more.
pub(super) async fn refuse_edits_meanwhile(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_edit = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let is_away = app.away.borrow().is_some();
    if is_edit && is_away && request.uri().path().starts_with("/api/") {
        return Problem::unavailable().into_response();
    }
    next.run(request).await
}
