//! Change sets that are being written: what each would do, who has to approve it, and applying it.

use super::{Frame, Person, Refused, ask::given, effects, page};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{self, Action, Draft, DraftEdit, DraftState, Version},
};
use askama::Template;
use axum::{
    Form,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use uuid::Uuid;

/// Drafts on the page.
const SHOWN: u32 = 100;

#[derive(Template)]
#[template(path = "drafts.html")]
struct DraftsPage {
    frame: Frame,
    drafts: Vec<Draft>,
}

pub(super) async fn list(State(app): State<App>, Person(visitor): Person) -> Result<Response, Refused> {
    let mut drafts = inventory::draft_list(&app.pool, None, None, SHOWN).await?;
    drafts.retain(|draft| is_seen(&visitor, draft));
    drafts.sort_by_key(|draft| !is_open(draft));
    page(DraftsPage { frame: Frame::of(&app, &visitor, "changes").await?, drafts })
}

fn is_seen(visitor: &Visitor, draft: &Draft) -> bool {
    draft.author == visitor.name || visitor.authority.everywhere(Action::Read)
}

fn is_open(draft: &Draft) -> bool {
    matches!(draft.state, DraftState::Draft | DraftState::Proposed | DraftState::Approved)
}

#[derive(Template)]
#[template(path = "draft.html")]
struct DraftPage {
    frame: Frame,
    draft: Draft,
    /// What it would do, or why it could not be done now.
    effects: Result<String, String>,
    agents: Vec<String>,
    needs_approval: Vec<String>,
    /// Whether the visitor wrote it, or a part of it.
    is_own: bool,
}

pub(super) async fn show(State(app): State<App>, Person(visitor): Person, Path(id): Path<Uuid>) -> Result<Response, Refused> {
    let draft = find(&app, &visitor, id).await?;
    let (mut agents, mut needs_approval) = (vec![], vec![]);
    let effects = if is_open(&draft) {
        match inventory::preview_draft(&app.pool, &visitor.actor("web"), draft.id).await.map_err(Problem::from) {
            Ok(preview) => {
                (agents, needs_approval) = (preview.agents, preview.needs_approval);
                Ok(effects::render(&preview.effects)?)
            }
            Err(problem) => Err(problem.errors.first().map_or(problem.detail, |error| error.detail.clone())),
        }
    } else {
        Ok(String::new())
    };
    let is_own = draft.author == visitor.name || draft.edits.iter().any(|edit| edit.author == visitor.name);
    page(DraftPage { frame: Frame::of(&app, &visitor, "changes").await?, draft, effects, agents, needs_approval, is_own })
}

/// An edit as the request that it was.
fn told(edit: &DraftEdit) -> String {
    let text = |name: &str| edit.request[name].as_str().unwrap_or_default().to_owned();
    let body = &edit.request["body"];
    let body = if body.is_null() { String::new() } else { format!(" {body}") };
    format!("{} {}{body}", text("method"), text("path"))
}

async fn find(app: &App, visitor: &Visitor, id: Uuid) -> Result<Draft, Refused> {
    let draft = inventory::draft(&app.pool, id).await?;
    if is_seen(visitor, &draft) { Ok(draft) } else { Err(Problem::not_found(format!("there is no change set {id}")).into()) }
}

/// One button of the page of a draft: `propose`, `approve`, `apply` or `withdraw`.
pub(super) async fn step(
    State(app): State<App>,
    Person(visitor): Person,
    Path(id): Path<Uuid>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Refused> {
    let draft = find(&app, &visitor, id).await?;
    let actor = visitor.actor("web");
    match given(&pairs, "step") {
        "propose" => drop(inventory::propose_draft(&app.pool, &actor, id).await?),
        // As it was read: a draft that moved on since is read again first.
        "approve" => drop(inventory::approve_draft(&app.pool, &actor, id, Version(given(&pairs, "version").parse().unwrap_or_default())).await?),
        "withdraw" => drop(inventory::withdraw_draft(&app.pool, &actor, id).await?),
        "apply" => {
            let applied = inventory::apply_draft(&app.pool, &actor, draft.id, None).await;
            app.committed.notify_one();
            return Ok(Redirect::to(&format!("/changes/{}", applied?.change_set)).into_response());
        }
        other => return Err(Problem::malformed(format!("there is no step \"{other}\""), vec![]).into()),
    }
    Ok(Redirect::to(&format!("/drafts/{id}")).into_response())
}
