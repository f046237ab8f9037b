//! The local window on the box: generation, age, line and health, for people and for their monitoring.
//!
//! `/status` is the same JSON that `holdfast-agent status` prints; what needs no running agent, `offline` reads from the disk.

mod counters;
mod offline;

pub use counters::offer_counters;
pub use offline::{OfflineStatus, read_offline, show_offline};

use crate::reports::Spool;
use crate::store::served;
use crate::telemetry::BUILD;
use crate::uplink::{Line, State};
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::snapshot::Feed;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// What the window looks at.
#[derive(Clone)]
pub struct Board {
    /// The box's name.
    pub name: String,
    /// The master's address.
    pub master: String,
    /// The line and the feeds.
    pub uplink: watch::Receiver<State>,
    /// What waits for delivery.
    pub spool: Spool,
    /// Trusted time.
    pub clock: Arc<TrustedClock>,
    /// The services that this box is to run, and the feeds of each.
    pub services: Vec<(&'static str, &'static [Feed])>,
    /// Where the processes say what they serve, and offer their counters.
    pub run_dir: PathBuf,
}

/// The state of the box.
#[derive(Debug, Serialize)]
pub struct Status {
    name: String,
    role: &'static str,
    build: &'static str,
    master: String,
    line: &'static str,
    line_since_ms: u64,
    line_error: Option<String>,
    now_ms: u64,
    snapshots: Vec<Snapshot>,
    reports_waiting: u64,
    reports_dropped: u64,
}

/// One snapshot that is served.
#[derive(Debug, Serialize)]
pub struct Snapshot {
    feed: String,
    epoch: u32,
    wanted: u64,
    applied: u64,
    durable: u64,
    digest: String,
    /// What each living service serves.
    serving: BTreeMap<String, u64>,
    issued_at_ms: u64,
    age_s: u64,
    last_error: Option<String>,
}

/// The routes of the window.
pub fn router(board: Board) -> Router {
    Router::new()
        .route("/status", get(async |Shared(board): Shared<Board>| Json(board.status())))
        .route("/metrics", get(async |Shared(board): Shared<Board>| counters::all_counters(&board.run_dir).await))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .with_state(board)
}

/// Healthy: every process of the box lives.
async fn healthy(Shared(board): Shared<Board>) -> (StatusCode, String) {
    let dead: Vec<&str> =
        board.services.iter().filter(|(service, feeds)| !feeds.iter().all(|feed| board.lives(service, *feed))).map(|(name, _)| *name).collect();
    answer(dead.is_empty(), "ok", || format!("does not run: {}", dead.join(", ")))
}

/// Ready: every service has a snapshot to serve, and can read it. Being cut off is no fault of the box.
async fn ready(Shared(board): Shared<Board>) -> (StatusCode, String) {
    let expected = board.services.iter().flat_map(|(service, feeds)| feeds.iter().map(move |feed| (*service, *feed)));
    let missing: Vec<String> = expected.filter_map(|(service, feed)| board.lacks(service, feed)).collect();
    answer(missing.is_empty(), "ready", || missing.join(", "))
}

fn answer(is_well: bool, word: &str, otherwise: impl FnOnce() -> String) -> (StatusCode, String) {
    if is_well { (StatusCode::OK, format!("{word}\n")) } else { (StatusCode::SERVICE_UNAVAILABLE, otherwise() + "\n") }
}

impl Board {
    /// The generation that a living service serves.
    fn serves(&self, service: &str, feed: Feed) -> Option<u64> {
        served(&self.run_dir, feed).into_iter().find(|(name, _)| name == service).map(|(_, served)| served.at.1.0)
    }

    /// What a service lacks to serve a feed.
    fn lacks(&self, service: &str, feed: Feed) -> Option<String> {
        if self.serves(service, feed).is_none_or(|generation| generation == 0) {
            return Some(format!("{service} has no {feed} to serve"));
        }
        let is_closed = self.uplink.borrow().feeds.get(&feed).is_some_and(|state| !state.is_readable);
        let giver = if feed == Feed::PEOPLE { "the auth portal gives it, once it has confirmed this box" } else { "the master gives it" };
        is_closed.then(|| format!("{service} has no key to {feed}: {giver}"))
    }

    fn lives(&self, service: &str, feed: Feed) -> bool {
        self.serves(service, feed).is_some()
    }

    fn status(&self) -> Status {
        let now_ms = self.clock.now().0;
        let state = self.uplink.borrow().clone();
        let (line, line_since_ms, line_error) = match state.line {
            Line::Starting => ("starting", now_ms, None),
            // It stands, and what comes over it is old.
            Line::Connected { since_ms } if state.is_stale => ("stale", since_ms, None),
            Line::Connected { since_ms } => ("connected", since_ms, None),
            Line::CutOff { since_ms, why } => ("cut off", since_ms, Some(why)),
        };
        let snapshots = state.feeds.into_iter().map(|(feed, state)| Snapshot {
            feed: feed.to_string(),
            epoch: state.applied.0.0,
            wanted: state.wanted.map_or(0, |(_, generation)| generation.0),
            applied: state.applied.1.0,
            durable: state.durable.1.0,
            digest: state.digest,
            serving: served(&self.run_dir, feed).into_iter().map(|(service, served)| (service, served.at.1.0)).collect(),
            issued_at_ms: state.issued_at_ms,
            age_s: now_ms.saturating_sub(state.issued_at_ms) / 1000,
            last_error: state.last_error,
        });
        Status {
            name: self.name.clone(),
            role: "campus agent",
            build: BUILD,
            master: self.master.clone(),
            line,
            line_since_ms,
            line_error,
            now_ms,
            snapshots: snapshots.collect(),
            reports_waiting: self.spool.waiting(),
            reports_dropped: self.spool.dropped(),
        }
    }
}
