//! Two doors on one room: `pages` for people, `api` for programs. Both parse what comes in, call `inventory`, and say what
//! came of it; neither decides anything about hosts, and neither knows SQL, generations or agents.
//!
//! `run` builds an [`App`], hands in who knows which agent serves what, and serves [`router`].

mod api;
mod assets;
mod bearer;
mod forwarding;
mod guard;
mod login;
mod on_site;
mod one_time;
mod pages;
mod problem;
mod secrets;
mod served;
mod session;
mod status;
mod totp;

pub use api::Recorder;
pub use bearer::{Access, MadeToken, TokenDraft, create_token};
pub use forwarding::{Asked, Forwarder, Tier, Traced, Tracer};
pub use on_site::{create_first_admin, make_emergency_log_in, reset_password};
pub use problem::{FieldError, Problem};
pub use secrets::OneTimePassword;
pub use served::{Answer, Served, ServedReader};
pub use status::{Away, follow_database};

use crate::audit::Auditor;
use crate::feed::Feed;
use crate::keys::Keys;
use crate::snapshots::Snapshots;
use axum::{Router, extract::State, middleware, response::IntoResponse, routing::get};
use chrono::{DateTime, Utc};
use holdfast_proto::snapshot::DataKey;
use holdfast_proto::words::NodeId;
use http::{StatusCode, header};
use sqlx::PgPool;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, watch};

/// What the doors need to deal with our own boxes.
#[derive(Clone)]
pub struct Boxes {
    /// Trust and authorities, as they change.
    pub keys: watch::Receiver<Arc<Keys>>,
    /// Which boxes hold a line now.
    pub lines: Arc<dyn Fn() -> Vec<NodeId> + Send + Sync>,
    /// Since when a box without a line has none, where that is known.
    pub gone_since: Arc<dyn Fn(NodeId) -> Option<DateTime<Utc>> + Send + Sync>,
}

/// What the doors need to know.
#[derive(Clone)]
pub struct App {
    /// The hostname database.
    pub pool: PgPool,
    /// Which agents serve a change set.
    pub served: ServedReader,
    /// What is needed to deal with our own boxes; without it, that is refused.
    pub boxes: Option<Boxes>,
    /// Since when the database does not answer.
    pub away: Away,
    /// Who is asked for names of others; nobody is without it.
    pub forwarder: Option<Forwarder>,
    /// Why nothing is published, in a sentence; `None` while all is well.
    pub halt: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// What was published.
    pub snapshots: Snapshots,
    /// What RADIUS secrets are encrypted with, first, and what older ones can be read with, as it changes; without it, imports of
    /// RADIUS clients are refused, and what has to do with secrets cannot be undone.
    pub access_keys: Option<watch::Receiver<Arc<[DataKey]>>>,
    /// Links and verifies the audit.
    pub auditor: Auditor,
    /// What happens, event by event.
    pub feed: Feed,
    /// Where a write is noted instead of made: in the hands of a handler that is asked for an edit of a draft.
    pub recorder: Option<Recorder>,
    /// Rung after every commit: whoever publishes need not look.
    pub committed: Arc<Notify>,
    /// The text of `/metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The build, as `version` prints it.
    pub build: &'static str,
    /// Whether people come by TLS: cookies are then `Secure`, and browsers are told to stay with it.
    pub secure: bool,
}

impl App {
    /// What RADIUS secrets can be read with now, what they are encrypted with first; nothing where there is none.
    pub fn data_keys(&self) -> Arc<[DataKey]> {
        self.access_keys.as_ref().map(|keys| Arc::clone(&keys.borrow())).unwrap_or_default()
    }
}

/// All pages, the API, and what supervisors ask for. Serve it with connect info (`SocketAddr`), which the brake on guessing counts by.
pub fn router(app: App) -> Router {
    let supervisors = Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready)).route("/metrics", get(metrics));
    Router::new()
        .merge(pages::routes())
        .merge(assets::routes())
        .merge(supervisors)
        .merge(status::routes())
        .nest("/api", api::routes(&app))
        .fallback(pages::not_found)
        .layer(middleware::from_fn_with_state(app.clone(), status::refuse_edits_meanwhile))
        .layer(middleware::from_fn(guard::refuse_other_sites))
        .layer(middleware::from_fn_with_state(app.clone(), guard::harden))
        .with_state(app)
}

async fn metrics(State(app): State<App>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (app.metrics)())
}

/// Ready means that an edit would be stored and published: the database answers, and nothing stands against publishing.
/// Otherwise the master only serves what is published.
async fn ready(State(app): State<App>) -> (StatusCode, String) {
    const PATIENCE: Duration = Duration::from_secs(2);
    let answers = matches!(tokio::time::timeout(PATIENCE, app.pool.acquire()).await, Ok(Ok(_)));
    match (answers, (app.halt)()) {
        (true, None) => (StatusCode::OK, "ready\n".to_owned()),
        (true, Some(why)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n".to_owned()),
    }
}

#[cfg(test)]
mod tests;
