//! `/snapshots`: what was published, what differs, whether it holds together; rolling back, and letting a held generation out.

use super::{
    hosts::Page,
    parameters::{OfWrites, Paging},
    request::{OF_WRITES, Parameters, open_cursor, seal_cursor, wrong_parameter},
    write::{Outcome as Edited, Wish, make, propagation},
};
use crate::{
    http::{App, Problem, Served, session::Visitor},
    inventory::{self, Action, Edit, Effects, authorise},
    snapshots::{Audit, Diff, FeedSummary, Kept, Outcome, PastError, Shown, Verified, feed_named},
};
use axum::{
    Json,
    extract::{Path, State},
};
use holdfast_proto::snapshot::{Feed, Kind};
use holdfast_proto::words::{Epoch, Generation};
use http::Uri;
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// Generations on a page, where nothing is said.
const PAGE_LENGTH: u32 = 50;
/// And at most.
const PAGE_LIMIT: u32 = 500;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(newest))
        .routes(routes!(generations))
        .routes(routes!(show))
        .routes(routes!(diff))
        .routes(routes!(verify))
        .routes(routes!(audit))
        .routes(routes!(rollback))
        .routes(routes!(release))
}

impl From<PastError> for Problem {
    fn from(error: PastError) -> Self {
        match error {
            PastError::Database(error) => error.into(),
            PastError::Missing(detail) => Self::not_found(detail),
            damaged @ PastError::Wrong(_) => Self::internal(damaged),
        }
    }
}

fn feed(name: &str) -> Result<Feed, Problem> {
    let known = || Feed::ALL.map(|feed| feed.to_string()).join(", ");
    feed_named(name).ok_or_else(|| Problem::not_found(format!("there is no snapshot {name}; there are: {}", known())))
}

#[utoipa::path(
    get,
    path = "/snapshots",
    operation_id = "listSnapshots",
    summary = "Every snapshot, its newest generation, and how far each agent is.",
    responses((status = 200, body = Page<FeedSummary>)),
)]
async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<FeedSummary>>, Problem> {
    authorise(&visitor.actor("api"), Action::Read, "all that is published")?;
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: app.snapshots.feeds().await?, next: None }))
}

#[utoipa::path(
    get,
    path = "/snapshots/{feed}",
    operation_id = "getSnapshot",
    summary = "The newest generation of a snapshot.",
    responses((status = 200, body = Shown)),
)]
async fn newest(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Json<Shown>, Problem> {
    authorise(&visitor.actor("api"), Action::Read, "all that is published")?;
    Parameters::of(&uri, &[])?;
    let shown = app.snapshots.show(feed(&name)?, None).await?;
    shown.map(Json).ok_or_else(|| Problem::not_found(format!("nothing of {name} was published yet")))
}

#[utoipa::path(
    get,
    path = "/snapshots/{feed}/generations/{generation}",
    operation_id = "getGeneration",
    summary = "What is in a generation, and who changed what.",
    responses((status = 200, body = Shown)),
)]
async fn show(State(app): State<App>, visitor: Visitor, Path((name, generation)): Path<(String, String)>, uri: Uri) -> Result<Json<Shown>, Problem> {
    authorise(&visitor.actor("api"), Action::Read, "all that is published")?;
    Parameters::of(&uri, &[])?;
    let missing = || Problem::not_found(format!("generation {generation} of {name} is not kept"));
    let number = generation.parse().map(Generation).map_err(|_| missing())?;
    app.snapshots.show(feed(&name)?, Some(number)).await?.map(Json).ok_or_else(missing)
}

#[utoipa::path(
    get,
    path = "/snapshots/{feed}/generations",
    operation_id = "listGenerations",
    summary = "Generations of a snapshot, the newest first.",
    params(Paging),
    responses((status = 200, body = Page<Kept>)),
)]
async fn generations(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Json<Page<Kept>>, Problem> {
    authorise(&visitor.actor("api"), Action::Read, "all that is published")?;
    let parameters = Parameters::of(&uri, &["limit", "cursor"])?;
    let limit = parameters.number("limit", 1..=PAGE_LIMIT)?.unwrap_or(PAGE_LENGTH);
    let below = parameters.text("cursor").map(open_cursor).transpose()?.map(|text| position(&text)).transpose()?;
    let items = app.snapshots.page(feed(&name)?, below, limit).await?;
    let is_full = items.len() == limit as usize;
    let next = items.last().filter(|_| is_full).map(|last| seal_cursor(&format!("{}.{}", last.epoch, last.generation)));
    Ok(Json(Page { items, next }))
}

/// Epoch and generation, as our cursors have them.
fn position(text: &str) -> Result<(Epoch, Generation), Problem> {
    let parts = text.split_once('.').and_then(|(epoch, generation)| Some((Epoch(epoch.parse().ok()?), Generation(generation.parse().ok()?))));
    parts.ok_or_else(|| wrong_parameter("cursor", "this is no cursor of this list".into()))
}

#[utoipa::path(
    get,
    path = "/snapshots/{feed}/diff",
    operation_id = "diffGenerations",
    summary = "What differs between two generations, in words.",
    params(
        ("from" = u64, Query, description = "The generation to begin with."),
        ("to" = u64, Query, description = "The generation to end with."),
    ),
    responses((status = 200, body = Diff)),
)]
async fn diff(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Json<Diff>, Problem> {
    authorise(&visitor.actor("api"), Action::Read, "all that is published")?;
    let parameters = Parameters::of(&uri, &["from", "to"])?;
    let (from, to) = (generation(&parameters, "from")?, generation(&parameters, "to")?);
    Ok(Json(app.snapshots.diff(feed(&name)?, from, to).await?))
}

fn generation(parameters: &Parameters, name: &str) -> Result<Generation, Problem> {
    let text = parameters.text(name).ok_or_else(|| wrong_parameter(name, format!("say {name} which generation, such as {name}=17")))?;
    text.parse().map(Generation).map_err(|_| wrong_parameter(name, format!("\"{text}\" is no generation")))
}

#[utoipa::path(
    post,
    path = "/snapshots/{feed}/verify",
    operation_id = "verifySnapshot",
    summary = "Verify the kept history of a snapshot again.",
    responses((status = 200, body = Verified)),
)]
async fn verify(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Json<Verified>, Problem> {
    authorise(&visitor.actor("api"), Action::Read, "all that is published")?;
    Parameters::of(&uri, &[])?;
    Ok(Json(app.snapshots.verify(feed(&name)?).await?))
}

/// `POST /snapshots/audit?repair=true`: everything composed anew and compared with what is published.
#[utoipa::path(
    post,
    path = "/snapshots/audit",
    operation_id = "auditSnapshots",
    summary = "Compose everything anew and compare it with what is published.",
    params(("repair" = Option<bool>, Query, description = "Have what differs published as it should be.")),
    responses((status = 200, body = Audit)),
)]
async fn audit(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Audit>, Problem> {
    let repair = Parameters::of(&uri, &["repair"])?.flag("repair")?;
    let actor = visitor.actor("api");
    authorise(&actor, if repair { Action::Boxes } else { Action::Read }, "what is published")?;
    let audit = app.snapshots.audit(&actor.name, repair).await?;
    app.committed.notify_one();
    Ok(Json(audit))
}

/// What came of a rollback, or would come of it.
#[derive(Serialize, utoipa::ToSchema)]
struct RolledBack {
    dry_run: bool,
    /// The change set that undoes the others.
    change_set: Option<Uuid>,
    /// The change sets that are undone, whole, oldest first.
    undone: Vec<crate::snapshots::ChangeSet>,
    effects: Effects,
    propagation: Vec<Served>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<String>,
    /// Where it led; only after waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
}

/// `POST /snapshots/{feed}/rollback?to=N`: a new, higher generation with the old rows.
#[utoipa::path(
    post,
    path = "/snapshots/{feed}/rollback",
    operation_id = "rollbackSnapshot",
    summary = "Make a new generation with the rows of an earlier one.",
    params(OfWrites, ("to" = u64, Query, description = "The generation whose rows are wanted.")),
    responses((status = 200, body = RolledBack)),
)]
async fn rollback(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Json<RolledBack>, Problem> {
    let known = [&["to"], OF_WRITES].concat();
    let parameters = Parameters::of(&uri, &known)?;
    let (feed, to) = (feed(&name)?, generation(&parameters, "to")?);
    refuse_what_others_own(feed)?;
    authorise(&visitor.actor("api"), Action::Read, "all that is published")?;
    let reason = parameters.text("reason").map_or_else(|| format!("rollback of {feed} to generation {to}"), str::to_owned);
    let wish = Wish { dry_run: parameters.flag("dry_run")?, reason, wait: parameters.wait()? };
    let undoing = app.snapshots.undoing(feed, to).await?;
    let change_sets = inventory::with_later(&app.pool, &undoing.change_sets).await?;
    let undone = app.snapshots.change_sets(&change_sets).await?;
    match make(&app, &visitor, &wish, Edit::Undo { change_sets, data_keys: app.data_keys() }, None).await? {
        Edited::Would(effects) => Ok(Json(RolledBack { dry_run: true, change_set: None, undone, effects, propagation: vec![], held: None, outcome: None })),
        Edited::Did(applied) => {
            let (propagation, held) = propagation(&app, applied.change_set, wish.wait).await;
            let is_out = wish.wait.is_some() && held.is_none();
            let outcome = if is_out { Some(app.snapshots.outcome(feed, to).await?) } else { None };
            let change_set = Some(applied.change_set);
            Ok(Json(RolledBack { dry_run: false, change_set, undone, effects: applied.effects, propagation, held, outcome }))
        }
    }
}

fn refuse_what_others_own(feed: Feed) -> Result<(), Problem> {
    if feed == Feed::PEOPLE {
        return Err(Problem::forbidden("people's data are the auth portal's: it alone can sign them, so it alone can roll them back"));
    }
    if feed.kind == Kind::Trust {
        return Err(Problem::forbidden("trust never goes back: enrol or revoke boxes instead"));
    }
    Ok(())
}

#[derive(Serialize, utoipa::ToSchema)]
struct Released {
    feed: String,
    released: bool,
}

/// `POST /snapshots/{feed}/release?removed=N&reason=...`: somebody answers for a generation that removes much, and says how much
/// that was when they looked.
#[utoipa::path(
    post,
    path = "/snapshots/{feed}/release",
    operation_id = "releaseSnapshot",
    summary = "Answer for a generation that removes much, so that it is published.",
    params(("removed" = u64, Query, description = "How many rows go."), ("reason" = String, Query, description = "Why all that may go.")),
    responses((status = 200, body = Released)),
)]
async fn release(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Json<Released>, Problem> {
    let parameters = Parameters::of(&uri, &["removed", "reason"])?;
    let removed = parameters.number("removed", 0..=u32::MAX)?;
    let removed = removed.ok_or_else(|| wrong_parameter("removed", "say how many rows go, as \"removed\" of what is held tells it: removed=202".into()))?;
    let reason = parameters.text("reason").map(str::trim).filter(|reason| !reason.is_empty());
    let reason = reason.ok_or_else(|| wrong_parameter("reason", "say why all that may go: the reason stands in the history".into()))?;
    let actor = visitor.actor("api");
    authorise(&actor, Action::Boxes, "what is published")?;
    let feed = feed(&name)?;
    app.snapshots.release(feed, removed, &actor.name, reason).await?.map_err(|held| Problem::conflict(held, vec![]))?;
    app.committed.notify_one();
    Ok(Json(Released { feed: feed.to_string(), released: true }))
}
