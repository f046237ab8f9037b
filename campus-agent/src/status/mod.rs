//! The local window on the box: generation, age, line and health, for people and for their monitoring.
//!
//! `/status` is the same JSON that `holdfast-agent status` prints; what needs no running agent, `offline` reads from the disk.

mod counters;
mod offline;

pub use counters::offer_counters;
pub use offline::{OfflineStatus, read_offline};

use crate::reports::Spool;
use crate::store::served;
use crate::telemetry::BUILD;
use crate::uplink::{FeedState, Line, State};
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
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(board)
}

/// Ready: every snapshot that a service answers from is there. Being cut off is no fault of the box.
async fn ready(Shared(board): Shared<Board>) -> (StatusCode, String) {
    let is_missing = |feed: &Feed, state: &FeedState| *feed != Feed::TRUST && state.applied.1.0 == 0;
    let missing: Vec<String> = board.uplink.borrow().feeds.iter().filter(|(feed, state)| is_missing(feed, state)).map(|(feed, _)| feed.to_string()).collect();
    if missing.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("no snapshot yet of: {}\n", missing.join(", ")))
}

impl Board {
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
            serving: served(&self.run_dir, feed).into_iter().map(|(service, (_, generation))| (service, generation.0)).collect(),
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
