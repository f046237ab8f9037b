//! What all writes have in common: dry run or change, ETag of what came of it, and waiting until agents serve it.

use super::request::{OF_WRITES, Parameters};
use crate::{
    http::{App, Problem, Served, session::Visitor},
    inventory::{self, Applied, Edit, Effects, Version},
};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use serde::Serialize;
use std::{sync::PoisonError, time::Duration};
use uuid::Uuid;

/// What a write asks for beside the edit itself.
pub struct Wish {
    /// Tell the effects and do nothing.
    pub dry_run: bool,
    /// Why, for the history.
    pub reason: String,
    /// Wait so long for agents.
    pub wait: Option<Duration>,
}

impl Wish {
    /// Reads the parameters of a write.
    pub fn of(uri: &Uri) -> Result<Self, Problem> {
        let parameters = Parameters::of(uri, OF_WRITES)?;
        Ok(Self { dry_run: parameters.flag("dry_run")?, reason: parameters.text("reason").unwrap_or_default().to_owned(), wait: parameters.wait()? })
    }
}

/// The answer to a write.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Written<T> {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// The change set, for the history and `/changes/{id}`; none for a dry run.
    pub change_set: Option<Uuid>,
    /// The object as it is now; none for a dry run or when it is gone.
    pub object: Option<T>,
    /// What agents answer differently.
    pub effects: Effects,
    /// Which agents serve it; empty for a dry run.
    pub propagation: Vec<Served>,
    /// Why nobody will serve it for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// What came of an edit: either effects alone, or an applied change.
pub enum Outcome {
    /// A dry run.
    Would(Effects),
    /// Done.
    Did(Applied),
}

/// Makes the edit, or tells what it would do; where a draft is being written, notes it.
pub async fn make(app: &App, visitor: &Visitor, wish: &Wish, edit: Edit, if_match: Option<Version>) -> Result<Outcome, Problem> {
    if let Some(recorder) = &app.recorder {
        *recorder.lock().unwrap_or_else(PoisonError::into_inner) = Some((edit, if_match));
        return Ok(Outcome::Would(Effects::default()));
    }
    let actor = visitor.actor("api");
    if wish.dry_run {
        return Ok(Outcome::Would(inventory::preview(&app.pool, &actor, edit).await?));
    }
    let applied = inventory::apply(&app.pool, &actor, &wish.reason, edit, if_match).await?;
    app.committed.notify_one();
    Ok(Outcome::Did(applied))
}

/// Tells what came of it, after waiting for agents where that was wished.
pub async fn answer<T: Serialize>(app: &App, wish: &Wish, outcome: Outcome, object: Option<T>, status: StatusCode) -> Response {
    match outcome {
        Outcome::Would(effects) => {
            let none = Written::<T> { dry_run: true, change_set: None, object: None, effects, propagation: vec![], held: None };
            Json(none).into_response()
        }
        Outcome::Did(applied) => {
            let (propagation, held) = propagation(app, applied.change_set, wish.wait).await;
            let written = Written { dry_run: false, change_set: Some(applied.change_set), object, effects: applied.effects, propagation, held };
            let response = (status, Json(written)).into_response();
            // For whoever measures how soon an edit is served: COMMIT was so long before this answer (W3C Server Timing, in ms).
            let timing = format!("since-commit;dur={:.3}", applied.committed_at.elapsed().as_secs_f64() * 1000.0);
            with_header(response, HeaderName::from_static("server-timing"), &timing)
        }
    }
}

/// Which agents serve a change set, after waiting for them where that was wished; and why there is nothing to wait for,
/// where the publisher's guard holds it.
pub async fn propagation(app: &App, change_set: Uuid, wait: Option<Duration>) -> (Vec<Served>, Option<String>) {
    let Some(at_most) = wait else {
        // A database that fails here has failed for the agents' part, too, and is told there.
        let held = app.snapshots.held(change_set).await.unwrap_or_default();
        return (app.served.now(change_set).await, held);
    };
    tokio::select! {
        served = app.served.wait(change_set, at_most) => (served, None),
        held = app.snapshots.until_held(change_set) => (app.served.now(change_set).await, Some(held)),
    }
}

/// Adds a header whose value is made of printable ASCII.
pub fn with_header(mut response: Response, name: header::HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Whether the reader already has this version (If-None-Match, weak comparison).
pub fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|line| line.split(',')).any(|tag| matches!(tag.trim(), "*") || tag.trim().trim_start_matches("W/") == etag)
}
