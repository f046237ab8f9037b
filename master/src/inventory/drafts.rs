//! Drafts of change sets: edits that are written down, looked at together, approved where that is asked for, and applied in one
//! transaction as one change set, or not at all.
//!
//! An edit is kept twice: as the request that was sent, which people read, and as the [`Edit`] that it meant, with the version
//! that it was made against. So a draft says at any later time which of its objects moved on, and means then what it meant when
//! it was written. Nothing that carries a secret is kept in a draft.

use super::approval::areas_touched;
use super::authority::{Own, authorise_edits, change_guarded, effects_seen};
use super::{Action, Actor, Edit, Effects, Problem, Refusal, Version, authorise, change_as, commit, effects, match_version};
use crate::db::drafts::{self, DraftEditRow, DraftRow};
use crate::db::{DbError, changes};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::{Connection, PgConnection, PgPool, Postgres, Transaction};
use std::time::Instant;
use uuid::Uuid;

/// The most edits of one draft: what is more is an import.
const EDITS_LIMIT: usize = 1000;
/// What the refusals of drafts call them.
const OBJECT: &str = "change sets";
/// How a draft that was applied over the second person's head is marked in the audit.
pub(super) const BREAK_GLASS: &str = "break-glass";

/// Where a draft stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DraftState {
    /// It is being written.
    Draft,
    /// It waits for a second person.
    Proposed,
    /// A second person has approved it as it is.
    Approved,
    /// It is a change set now.
    Applied,
    /// Nobody wants it any more.
    Withdrawn,
}

impl DraftState {
    const ALL: [(Self, &str); 5] =
        [(Self::Draft, "draft"), (Self::Proposed, "proposed"), (Self::Approved, "approved"), (Self::Applied, "applied"), (Self::Withdrawn, "withdrawn")];

    /// As it is kept and written.
    pub fn text(self) -> &'static str {
        Self::ALL.iter().find(|(state, _)| *state == self).map_or("", |(_, text)| text)
    }

    /// The state of this name.
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(state, _)| *state)
    }

    fn is_open(self) -> bool {
        matches!(self, Self::Draft | Self::Proposed | Self::Approved)
    }
}

/// A draft as it is.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Draft {
    /// Its identity; the change set that comes of it has another one.
    pub id: Uuid,
    /// For `ETag` and `If-Match`: who approves says what they have read.
    #[schema(value_type = i64)]
    pub version: Version,
    /// Where it stands.
    pub state: DraftState,
    /// Who began it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Who approved it.
    pub approved_by: Option<String>,
    /// What came of it.
    pub change_set: Option<Uuid>,
    /// Its edits in order.
    #[schema(value_type = Vec<Object>)]
    pub edits: Vec<DraftEdit>,
}

/// One edit of a draft.
#[derive(Debug, Clone, Serialize)]
pub struct DraftEdit {
    /// Its number, to take it out by.
    pub number: i32,
    /// Who wrote it.
    pub author: String,
    /// The request as it was sent: `method`, `path`, `body`.
    #[serde(flatten)]
    pub request: Value,
    /// The version that it was made against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    #[serde(skip)]
    edit: Option<Edit>,
}

/// An edit to be added.
#[derive(Debug)]
pub struct NewEdit {
    /// The request as it was sent.
    pub request: Value,
    /// What it means.
    pub edit: Edit,
    /// The version that it was made against.
    pub if_match: Option<Version>,
}

/// What a draft would do.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DraftPreview {
    /// What agents would answer differently.
    pub effects: Effects,
    /// The agents that would.
    pub agents: Vec<String>,
    /// The areas for which a second person has to approve it.
    pub needs_approval: Vec<String>,
}

/// What became of a draft.
#[derive(Debug, Clone)]
pub struct DraftApplied {
    /// The change set.
    pub change_set: Uuid,
    /// What agents answer differently.
    pub effects: Effects,
    /// When the database had it for good.
    pub committed_at: Instant,
}

/// Begins a draft.
pub async fn begin_draft(pool: &PgPool, actor: &Actor, reason: &str) -> Result<Draft, Refusal> {
    authorise_edits(actor, OBJECT)?;
    let (id, mut db) = (Uuid::now_v7(), pool.acquire().await.map_err(DbError::from)?);
    drafts::insert(&mut db, id, &actor.name, reason).await?;
    whole(&mut db, id).await
}

/// A draft with its edits.
pub async fn draft(pool: &PgPool, id: Uuid) -> Result<Draft, Refusal> {
    whole(&mut *pool.acquire().await.map_err(DbError::from)?, id).await
}

/// Drafts without their edits, the newest first.
pub async fn draft_list(pool: &PgPool, state: Option<DraftState>, below: Option<Uuid>, limit: u32) -> Result<Vec<Draft>, Refusal> {
    let rows = drafts::list(&mut *pool.acquire().await.map_err(DbError::from)?, state.map(DraftState::text), below, limit.into()).await?;
    rows.into_iter().map(|row| shown(row, vec![])).collect()
}

/// Adds edits. A draft that was proposed or approved is only a draft again: nobody has approved what it has become.
pub async fn add_edits(pool: &PgPool, actor: &Actor, id: Uuid, edits: Vec<NewEdit>) -> Result<Draft, Refusal> {
    authorise_edits(actor, OBJECT)?;
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    lock_open(&mut tx, id).await?;
    let known = drafts::edits(&mut tx, id).await?;
    refuse_doubles(&known, &edits)?;
    let first = known.last().map_or(1, |row| row.number + 1);
    judge(&mut tx, actor, id, &edits).await?;
    for (number, new) in (first..).zip(edits) {
        let edit = serde_json::to_value(&new.edit).map_err(|_| Problem::new("not-in-a-draft", "", format!("{} are not kept in drafts", new.edit.object())))?;
        let row = DraftEditRow { number, author: actor.name.clone(), request: new.request, edit, if_match: new.if_match.map(|version| version.0) };
        drafts::insert_edit(&mut tx, id, &row).await?;
    }
    reopen(tx, id).await
}

/// Refuses edits that who adds them could not make: they will be made by somebody who can. What stands in the draft already is made
/// first, as far as it can be, since they may rest on it.
async fn judge(tx: &mut Transaction<'_, Postgres>, actor: &Actor, id: Uuid, edits: &[NewEdit]) -> Result<(), Refusal> {
    if Action::EDITS.into_iter().all(|action| actor.authority.everywhere(action)) {
        return Ok(());
    }
    let draft = whole(tx, id).await?;
    let mut trial = tx.begin().await.map_err(DbError::from)?;
    let change_set = open(&mut trial, actor, &draft).await?;
    let anybody = Actor::administrator(actor.name.clone(), actor.via);
    for edit in &draft.edits {
        let mut step = trial.begin().await.map_err(DbError::from)?;
        match make(&mut step, &anybody, &draft.reason, edit).await {
            Ok(_) => step.commit().await.map_err(DbError::from)?,
            Err(_) => step.rollback().await.map_err(DbError::from)?,
        }
    }
    for new in edits {
        let mut step = trial.begin().await.map_err(DbError::from)?;
        match change_guarded(&mut step, actor, change_set, new.edit.clone()).await {
            Ok(_) => step.commit().await.map_err(DbError::from)?,
            Err(Refusal::Forbidden(why)) => return Err(Refusal::Forbidden(why)),
            // What is wrong with it beyond that is told when it is tried.
            Err(_) => step.rollback().await.map_err(DbError::from)?,
        }
    }
    Ok(trial.rollback().await.map_err(DbError::from)?)
}

/// Refuses who neither wrote a part of a draft nor could make all of it.
async fn own_or_able(tx: &mut Transaction<'_, Postgres>, actor: &Actor, id: Uuid) -> Result<(), Refusal> {
    let draft = whole(tx, id).await?;
    let is_own = draft.author == actor.name || draft.edits.iter().any(|edit| edit.author == actor.name);
    if is_own || Action::EDITS.into_iter().all(|action| actor.authority.everywhere(action)) {
        return Ok(());
    }
    rehearse(tx, actor, &draft).await.map(drop)
}

/// Takes an edit out, by its number.
pub async fn remove_edit(pool: &PgPool, actor: &Actor, id: Uuid, number: i32) -> Result<Draft, Refusal> {
    authorise_edits(actor, OBJECT)?;
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    lock_open(&mut tx, id).await?;
    own_or_able(&mut tx, actor, id).await?;
    if !drafts::delete_edit(&mut tx, id, number).await? {
        return Err(Refusal::Missing(Problem::new("no-such-edit", "", format!("the change set has no edit {number}"))));
    }
    reopen(tx, id).await
}

/// Asks for a second person, without an edit from now on.
pub async fn propose_draft(pool: &PgPool, actor: &Actor, id: Uuid) -> Result<Draft, Refusal> {
    authorise_edits(actor, OBJECT)?;
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    let (row, _) = lock_open(&mut tx, id).await?;
    if drafts::edits(&mut tx, id).await?.is_empty() {
        return Err(Problem::new("nothing-to-do", "", "the change set has no edit yet: add one first").into());
    }
    let state = if row.state == DraftState::Approved.text() { DraftState::Approved } else { DraftState::Proposed };
    drafts::set_state(&mut tx, id, state.text(), row.approved_by.as_deref(), None).await?;
    finish(tx, id).await
}

/// Approves a draft as it was at this version. Nobody approves what they have written themselves.
pub async fn approve_draft(pool: &PgPool, actor: &Actor, id: Uuid, read: Version) -> Result<Draft, Refusal> {
    authorise_edits(actor, OBJECT)?;
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    let (row, state) = lock_open(&mut tx, id).await?;
    if row.version != read.0 {
        return Err(Refusal::Stale { now: Version(row.version) });
    }
    if state != DraftState::Proposed {
        return Err(Problem::new("wrong-state", "", format!("the change set is {}: only one that is proposed can be approved", row.state)).into());
    }
    let edits = drafts::edits(&mut tx, id).await?;
    if row.author == actor.name || edits.iter().any(|edit| edit.author == actor.name) {
        return Err(Refusal::Forbidden(format!("{} wrote this change set, or a part of it: somebody else has to approve it", actor.name)));
    }
    // Whoever may not make an edit cannot answer for it either.
    let draft = whole(&mut tx, id).await?;
    rehearse(&mut tx, actor, &draft).await?;
    drafts::set_state(&mut tx, id, DraftState::Approved.text(), Some(&actor.name), None).await?;
    finish(tx, id).await
}

/// Gives a draft up.
pub async fn withdraw_draft(pool: &PgPool, actor: &Actor, id: Uuid) -> Result<Draft, Refusal> {
    authorise_edits(actor, OBJECT)?;
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    lock_open(&mut tx, id).await?;
    own_or_able(&mut tx, actor, id).await?;
    drafts::set_state(&mut tx, id, DraftState::Withdrawn.text(), None, None).await?;
    finish(tx, id).await
}

/// Tells what a draft would do, and does nothing.
pub async fn preview_draft(pool: &PgPool, actor: &Actor, id: Uuid) -> Result<DraftPreview, Refusal> {
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    let draft = whole(&mut tx, id).await?;
    let preview = rehearse(&mut tx, actor, &draft).await;
    tx.rollback().await.map_err(DbError::from)?;
    preview
}

/// Tells what edits would do together that are no draft yet, and does nothing.
pub async fn preview_edits(pool: &PgPool, actor: &Actor, edits: Vec<NewEdit>) -> Result<DraftPreview, Refusal> {
    authorise_edits(actor, OBJECT)?;
    refuse_doubles(&[], &edits)?;
    let now = Utc::now();
    let edit =
        |(number, new): (i32, NewEdit)| DraftEdit { number, author: actor.name.clone(), request: new.request, version: new.if_match, edit: Some(new.edit) };
    let draft = Draft {
        id: Uuid::now_v7(),
        version: Version(1),
        state: DraftState::Draft,
        author: actor.name.clone(),
        reason: String::new(),
        created_at: now,
        updated_at: now,
        approved_by: None,
        change_set: None,
        edits: (1..).zip(edits).map(edit).collect(),
    };
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    let preview = rehearse(&mut tx, actor, &draft).await;
    tx.rollback().await.map_err(DbError::from)?;
    preview
}

/// Applies a draft as one change set. With `break_glass`, the reason to do without the second person, an administrator goes
/// over their head; that stands in the audit.
pub async fn apply_draft(pool: &PgPool, actor: &Actor, id: Uuid, break_glass: Option<&str>) -> Result<DraftApplied, Refusal> {
    authorise_edits(actor, OBJECT)?;
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    lock_open(&mut tx, id).await?;
    let mut draft = whole(&mut tx, id).await?;
    let DraftPreview { effects, needs_approval, .. } = rehearse(&mut tx, actor, &draft).await?;
    let mut actor = actor.clone();
    if draft.state != DraftState::Approved && !needs_approval.is_empty() {
        let Some(why) = break_glass else { return Err(Refusal::NeedsApproval(super::approval::sentence(&needs_approval.join(", ")))) };
        authorise(&actor, Action::Grant, "anything without the second person")?;
        tracing::warn!(event = "approval_overridden", actor = actor.name, draft = %id, why, "{} applied a change set that nobody approved", actor.name);
        actor.via = BREAK_GLASS;
        draft.reason = format!("{} (without a second person: {why})", draft.reason).trim_start().to_owned();
    }
    let change_set = open(&mut tx, &actor, &draft).await?;
    make_all(&mut tx, &actor, &draft).await?;
    drafts::set_state(&mut tx, id, DraftState::Applied.text(), draft.approved_by.as_deref(), Some(change_set)).await?;
    commit(tx).await?;
    Ok(DraftApplied { change_set, effects, committed_at: Instant::now() })
}

/// Does everything, looks at it, and takes it back.
async fn rehearse(tx: &mut Transaction<'_, Postgres>, actor: &Actor, draft: &Draft) -> Result<DraftPreview, Refusal> {
    let mut inner = tx.begin().await.map_err(DbError::from)?;
    let change_set = open(&mut inner, actor, draft).await?;
    let own = make_all(&mut inner, actor, draft).await?;
    let keys = changes::outbox_keys(&mut inner, change_set).await?;
    let after = effects::state(&mut inner, &keys).await?;
    let needs_approval = areas_touched(&mut inner, change_set).await?;
    inner.rollback().await.map_err(DbError::from)?;
    let before = effects::state(tx, &keys).await?;
    let agents = if keys.is_empty() { vec![] } else { drafts::agents(tx).await? };
    Ok(DraftPreview { effects: effects_seen(effects::between(before, after), own.as_ref()), agents, needs_approval })
}

async fn open(db: &mut PgConnection, actor: &Actor, draft: &Draft) -> Result<Uuid, DbError> {
    let id = Uuid::now_v7();
    let approved_by = draft.approved_by.as_deref().filter(|_| draft.state == DraftState::Approved);
    changes::open_of_draft(db, id, &actor.name, &draft.reason, actor.via, &draft.author, approved_by).await?;
    Ok(id)
}

/// Makes every edit, each in a savepoint of its own, so that the problems of all of them are found at once. Gives what the actor may
/// be told of the effects; `None` where all.
async fn make_all(tx: &mut Transaction<'_, Postgres>, actor: &Actor, draft: &Draft) -> Result<Option<Own>, Refusal> {
    if draft.edits.is_empty() {
        return Err(Problem::new("nothing-to-do", "", "the change set has no edit yet: add one first").into());
    }
    let (mut problems, mut seen) = (Vec::new(), None);
    for (index, edit) in draft.edits.iter().enumerate() {
        let mut step = tx.begin().await.map_err(DbError::from)?;
        match make(&mut step, actor, &draft.reason, edit).await {
            Ok(own) => {
                step.commit().await.map_err(DbError::from)?;
                if let Some(own) = own {
                    seen.get_or_insert_with(Own::default).extend(own);
                }
            }
            Err(refusal) => {
                step.rollback().await.map_err(DbError::from)?;
                problems.extend(placed(index, edit, refusal)?);
            }
        }
    }
    super::places::refuse(problems)?;
    Ok(seen)
}

async fn make(tx: &mut Transaction<'_, Postgres>, actor: &Actor, reason: &str, edit: &DraftEdit) -> Result<Option<Own>, Refusal> {
    let wanted = edit.edit.clone().ok_or_else(|| Problem::new("not-in-a-draft", "", "this edit was kept by another build: make it anew"))?;
    if let Some(version) = edit.version {
        match_version(tx, &wanted, version).await?;
    }
    Ok(change_as(tx, actor, reason, wanted).await?.1)
}

/// The problems of one edit, each with its place in the draft.
fn placed(index: usize, edit: &DraftEdit, refusal: Refusal) -> Result<Vec<Problem>, Refusal> {
    let at = |pointer: &str| format!("/edits/{index}{pointer}");
    match refusal {
        Refusal::Invalid(problems) => {
            let place = |problem: Problem| Problem::new(problem.kind, at(&format!("/body{}", problem.pointer)), problem.detail);
            Ok(problems.into_iter().map(place).collect())
        }
        Refusal::Missing(problem) => Ok(vec![Problem::new(problem.kind, at(""), problem.detail)]),
        Refusal::Stale { now } => {
            let (path, was) = (edit.request["path"].as_str().unwrap_or_default(), edit.version.map_or(0, |version| version.0));
            let detail = format!("{path} moved on since: it was at version {was} and is at {} now; take edit {} out and make it anew", now.0, edit.number);
            Ok(vec![Problem::new("moved-on", at(""), detail)])
        }
        other => Err(other),
    }
}

/// One object has one edit in a draft: the second one was made without seeing the first.
fn refuse_doubles(known: &[DraftEditRow], new: &[NewEdit]) -> Result<(), Refusal> {
    let target = |request: &Value| (request["method"] != "POST").then(|| request["path"].clone());
    let mut problems = Vec::new();
    for (index, edit) in new.iter().enumerate() {
        let Some(path) = target(&edit.request) else { continue };
        let before = known.iter().find(|row| target(&row.request).as_ref() == Some(&path));
        if let Some(row) = before {
            let detail = format!("edit {} changes {} already: take it out and put both into one", row.number, path.as_str().unwrap_or_default());
            problems.push(Problem::new("duplicate-edit", format!("/edits/{index}"), detail));
        } else if new[..index].iter().any(|other| target(&other.request).as_ref() == Some(&path)) {
            problems.push(Problem::new(
                "duplicate-edit",
                format!("/edits/{index}"),
                format!("{} is changed twice: put both into one", path.as_str().unwrap_or_default()),
            ));
        }
    }
    if known.len() + new.len() > EDITS_LIMIT {
        problems.push(Problem::new("too-many-edits", "/edits", format!("a change set has {EDITS_LIMIT} edits at most: import what is more")));
    }
    super::places::refuse(problems)
}

async fn lock_open(db: &mut PgConnection, id: Uuid) -> Result<(DraftRow, DraftState), Refusal> {
    let row = drafts::lock(db, id).await?.ok_or_else(|| missing(id))?;
    let state = DraftState::named(&row.state).filter(|state| state.is_open());
    let closed = || Problem::new("wrong-state", "", format!("the change set is {} already: begin a new one", row.state));
    let state = state.ok_or_else(closed)?;
    Ok((row, state))
}

async fn reopen(mut tx: Transaction<'_, Postgres>, id: Uuid) -> Result<Draft, Refusal> {
    drafts::set_state(&mut tx, id, DraftState::Draft.text(), None, None).await?;
    finish(tx, id).await
}

async fn finish(mut tx: Transaction<'_, Postgres>, id: Uuid) -> Result<Draft, Refusal> {
    let draft = whole(&mut tx, id).await?;
    commit(tx).await?;
    Ok(draft)
}

async fn whole(db: &mut PgConnection, id: Uuid) -> Result<Draft, Refusal> {
    let row = drafts::find(db, id).await?.ok_or_else(|| missing(id))?;
    shown(row, drafts::edits(db, id).await?)
}

fn shown(row: DraftRow, edits: Vec<DraftEditRow>) -> Result<Draft, Refusal> {
    let state = DraftState::named(&row.state).ok_or_else(|| DbError::Damaged(format!("the state {} of a draft", row.state)))?;
    let edit = |row: DraftEditRow| DraftEdit {
        number: row.number,
        author: row.author,
        request: row.request,
        version: row.if_match.map(Version),
        // An edit of an older build may have another shape by now; it is refused when it is applied, and can be taken out.
        edit: serde_json::from_value(row.edit).ok(),
    };
    Ok(Draft {
        id: row.id,
        version: Version(row.version),
        state,
        author: row.author,
        reason: row.reason,
        created_at: row.created_at,
        updated_at: row.updated_at,
        approved_by: row.approved_by,
        change_set: row.change_set,
        edits: edits.into_iter().map(edit).collect(),
    })
}

fn missing(id: Uuid) -> Refusal {
    Refusal::Missing(Problem::new("no-such-change-set", "", format!("there is no change set {id} that is being written")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn new(method: &str, path: &str) -> NewEdit {
        let edit = Edit::HostDelete { name: "a.uni.example".parse().unwrap() };
        NewEdit { request: json!({ "method": method, "path": path }), edit, if_match: None }
    }

    #[test]
    fn one_object_has_one_edit() {
        let known = [DraftEditRow { number: 3, author: String::new(), request: new("PATCH", "/hosts/a").request, edit: json!({}), if_match: None }];
        let pointers = |edits: &[NewEdit]| match refuse_doubles(&known, edits) {
            Err(Refusal::Invalid(problems)) => problems.into_iter().map(|problem| problem.pointer).collect(),
            _ => Vec::new(),
        };
        assert_eq!(pointers(&[new("DELETE", "/hosts/a"), new("DELETE", "/hosts/b"), new("PUT", "/hosts/b")]), ["/edits/0", "/edits/2"]);
        assert!(pointers(&[new("POST", "/hosts"), new("POST", "/hosts")]).is_empty());
    }

    #[test]
    fn an_edit_is_read_as_it_was_kept() {
        let kept = serde_json::to_value(new("DELETE", "/hosts/a").edit).unwrap();
        assert_eq!(kept, json!({ "host-delete": { "name": "a.uni.example" } }));
        assert!(matches!(serde_json::from_value(kept).unwrap(), Edit::HostDelete { .. }));
        assert!(serde_json::to_value(Edit::Undo { change_sets: vec![], data_keys: Default::default() }).is_err(), "secrets are kept in no draft");
    }
}
