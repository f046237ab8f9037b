//! What an admin may do: the rules of the hostname database, and the only way to write it.
//!
//! Every write is an [`Edit`] handed to [`change`] inside a transaction: who may, what fits, rows, before and after images
//! and outbox keys, all or nothing. Refused edits come back with all their problems at once. Rules are asked first, so that
//! a sentence can name the other object; the constraints of the database have the last word, so that two admins at the
//! same second cannot both be right. Nothing here knows HTTP, generations or agents.

pub mod acl;
mod allocate;
pub mod approval;
pub mod authority;
pub mod boot;
pub mod checks;
pub mod dhcp_options;
pub mod discovery;
mod draft;
mod drafts;
mod effects;
pub mod explain;
pub mod export;
mod extra_names;
mod families;
pub mod faults;
mod hosts;
pub mod import;
mod interfaces;
pub mod leases;
pub mod machines;
mod moves;
mod names;
pub mod nas;
pub mod nas_config;
pub mod network_sessions;
pub mod numbers;
pub mod organisation;
mod particulars;
mod past;
pub mod pattern;
pub mod people;
mod places;
pub mod present;
pub mod privacy;
mod quarantine;
mod read;
pub mod reclaim;
pub mod records;
mod refusal;
pub mod search;
mod services;
mod shares;
mod space;
mod timeline;
pub mod topology;
pub mod transfers;
mod undo;
mod vendors;
mod wanted;
pub mod watched;
pub mod whohad;
mod world;

pub use approval::{ApprovalRule, approval_rules};
pub use authority::{Action, AreaDraft, Authority, Role, Sight, authorise, grants_of};
pub use draft::{
    ApprovalRuleDraft, BootParameters, CampusDraft, Edit, Equipment, HostContact, HostDraft, InterfaceDraft, NasAbout, NasDraft, NasPermits, OptionDraft,
    Pointer, RecordDraft, SubnetDraft, TemplateDraft, UnknownMachines, ZoneDraft,
};
pub use drafts::{Draft, DraftApplied, DraftEdit, DraftPreview, DraftState, NewEdit};
pub use drafts::{
    add_edits, apply_draft, approve_draft, begin_draft, draft, draft_list, preview_draft, preview_edits, propose_draft, remove_edit, withdraw_draft,
};
pub use effects::{BootEffect, Effects, HostsTouched, RecordEffect};
pub use families::{FamilyDraft, OtherAddressDraft, all as families};
pub use leases::{LeaseObject, lease_history, leases};
pub use machines::{UnknownMachine, unknown_machines};
pub use moves::{MoveDraft, PlannedMove, planned, tend, tend_once};
pub use past::{Moment, campuses_at, host_at, hosts_at, subnets_at, zones_at};
pub use quarantine::{Held, quarantined};
pub use read::{HistoryEntry, Host, HostPage, HostQuery, NasObject, SubnetNumbers, SubnetObject, ZoneObject};
pub use read::{campuses, history, host_by_name, host_list, nas, subnet_made_by, subnets, templates, zones};
pub use refusal::{Problem, Refusal};
pub use shares::{Share, shares};
pub use space::{ContainerDraft, ContainerObject, PoolDraft, PoolKind, PoolObject, SpaceEdit, containers, pools};
pub use timeline::{ChangeQuery, ChangeSet, FieldChange, HistoryLine, RowChange, Subject};
pub use timeline::{change_set_rows, change_set_summary, change_sets, history_of};
pub use undo::with_later;
pub use wanted::{NextFree, Policy, Range, Wanted};

pub use crate::db::copies::CopyRow;
pub use crate::db::transfers::{RefusedRow, TsigKeyRow};

use crate::db::{DbError, changes, subnets};
use authority::Own;
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection, PgPool, Postgres, Transaction};
use std::time::Instant;
use uuid::Uuid;

/// How often an edit is made again because it and another one stood in each other's way.
const COLLISIONS_LIMIT: usize = 4;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The login, as the audit line shows it.
    pub name: String,
    /// What they may do.
    pub authority: Authority,
    /// By which way they came: `web`, `api`, `import`, `seed`.
    pub via: &'static str,
}

/// How often an object was changed: for `ETag` and `If-Match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub i64);

/// What [`change`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// The change set of the transaction, for `wait=` and the history.
    pub change_set: Uuid,
    /// The object's version now; `None` where it is gone or has none.
    pub version: Option<Version>,
}

/// What [`apply`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The change set, for `wait=` and the history.
    pub change_set: Uuid,
    /// The object's version now; `None` where it is gone or has none.
    pub version: Option<Version>,
    /// What agents will answer differently.
    pub effects: Effects,
    /// When the database had it for good.
    pub committed_at: Instant,
}

/// Makes one edit inside the caller's transaction. The first edit of a transaction opens its change set with this actor and
/// reason; later ones join it. After a refusal the transaction must be rolled back.
pub async fn change(tx: &mut Transaction<'_, Postgres>, actor: &Actor, reason: &str, edit: Edit) -> Result<Changed, Refusal> {
    Ok(change_as(tx, actor, reason, edit).await?.0)
}

/// The same, and what the actor may be told of the effects; `None` where all.
async fn change_as(tx: &mut Transaction<'_, Postgres>, actor: &Actor, reason: &str, edit: Edit) -> Result<(Changed, Option<Own>), Refusal> {
    authority::authorise_edits(actor, edit.object())?;
    let change_set = change_set(tx, actor, reason).await?;
    if Action::EDITS.into_iter().all(|action| actor.authority.everywhere(action)) {
        let version = Box::pin(make(tx, edit)).await.map_err(refusal::from_constraint)?;
        return Ok((Changed { change_set, version }, None));
    }
    let (version, own) = Box::pin(authority::change_guarded(tx, actor, change_set, edit)).await?;
    let sees_all = actor.authority.everywhere(Action::Read);
    Ok((Changed { change_set, version }, (!sees_all).then_some(own)))
}

/// Tells what the edit would do, and does nothing.
pub async fn preview(pool: &PgPool, actor: &Actor, edit: Edit) -> Result<Effects, Refusal> {
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    let effects = rehearse(&mut tx, actor, edit).await;
    tx.rollback().await.map_err(DbError::from)?;
    effects
}

/// Makes one edit in a transaction of its own. With `if_match` only when the object still has that version. Where two edits
/// stand in each other's way and the database gives one of them up, that one is made again.
pub async fn apply(pool: &PgPool, actor: &Actor, reason: &str, edit: Edit, if_match: Option<Version>) -> Result<Applied, Refusal> {
    authority::authorise_edits(actor, edit.object())?;
    for _ in 0..COLLISIONS_LIMIT {
        match apply_once(pool, actor, reason, edit.clone(), if_match).await {
            Err(Refusal::Database(error)) if error.is_collision() => metrics::counter!("holdfast_edit_collisions_total").increment(1),
            done => return done,
        }
    }
    apply_once(pool, actor, reason, edit, if_match).await
}

async fn apply_once(pool: &PgPool, actor: &Actor, reason: &str, edit: Edit, if_match: Option<Version>) -> Result<Applied, Refusal> {
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    if let Some(version) = if_match {
        match_version(&mut tx, &edit, version).await?;
    }
    let (changed, effects) = match pool.try_acquire() {
        Some(mut spare) => change_and_tell(&mut tx, &mut spare, actor, reason, edit).await?,
        // To wait for a second connection while holding one is how a pool locks itself up.
        None => {
            let effects = rehearse(&mut tx, actor, edit.clone()).await?;
            (change(&mut tx, actor, reason, edit).await?, effects)
        }
    };
    commit(tx).await?;
    Ok(Applied { change_set: changed.change_set, version: changed.version, effects, committed_at: Instant::now() })
}

/// Commits. What only the commit finds out is told like all else.
pub(crate) async fn commit(tx: Transaction<'_, Postgres>) -> Result<(), Refusal> {
    tx.commit().await.map_err(|error| refusal::from_constraint(DbError::from(error).into()))
}

/// Makes the edit once. How it was before is read on another connection, which does not see the edit yet.
async fn change_and_tell(
    tx: &mut Transaction<'_, Postgres>,
    spare: &mut PgConnection,
    actor: &Actor,
    reason: &str,
    edit: Edit,
) -> Result<(Changed, Effects), Refusal> {
    let (changed, own) = change_as(tx, actor, reason, edit).await?;
    let keys = changes::outbox_keys(tx, changed.change_set).await?;
    let (before, after) = tokio::try_join!(effects::state(spare, &keys), effects::state(tx, &keys))?;
    let effects = effects::with_hosts(tx, effects::between(before, after)).await?;
    Ok((changed, authority::effects_seen(effects, own.as_ref())))
}

async fn change_set(db: &mut PgConnection, actor: &Actor, reason: &str) -> Result<Uuid, DbError> {
    if let Some(open) = changes::current(db).await? {
        return Ok(open);
    }
    let id = Uuid::now_v7();
    changes::open(db, id, &actor.name, reason, actor.via).await?;
    Ok(id)
}

async fn make(db: &mut PgConnection, edit: Edit) -> Result<Option<Version>, Refusal> {
    let in_batch = |n: usize| format!("/{n}");
    let alone = |_: usize| String::new();
    match edit {
        Edit::HostAdd(draft) => hosts::add(db, &[draft], alone).await.map(Some),
        Edit::HostsAdd(drafts) => hosts::add(db, &drafts, in_batch).await.map(|_| None),
        Edit::HostSet { name, draft } => hosts::set(db, &name, &draft).await.map(Some),
        Edit::HostDelete { name } => hosts::delete(db, &name).await.map(|()| None),
        Edit::SubnetAdd(draft) => places::add_subnet(db, &draft).await.map(Some),
        Edit::SubnetSet { network, draft } => places::set_subnet(db, network, &draft).await.map(Some),
        Edit::SubnetDelete { network } => places::delete_subnet(db, network).await.map(|()| None),
        Edit::CampusAdd(draft) => places::add_campus(db, &draft).await.map(|()| None),
        Edit::CampusSet { name, draft } => places::set_campus(db, &name, &draft).await.map(|()| None),
        Edit::ZoneAdd(draft) => names::add_zone(db, &draft).await.map(Some),
        Edit::ZoneSet { apex, draft } => names::set_zone(db, &apex, &draft).await.map(Some),
        Edit::ZoneDelete { apex } => names::delete_zone(db, &apex).await.map(|()| None),
        Edit::RecordAdd(draft) => names::add_records(db, &[draft], alone).await.map(|()| None),
        Edit::RecordsAdd(drafts) => names::add_records(db, &drafts, in_batch).await.map(|()| None),
        Edit::RecordDelete(draft) => names::delete_record(db, &draft).await.map(|()| None),
        Edit::TemplatePut(draft) => services::put_template(db, &draft).await.map(|()| None),
        Edit::NasPut(draft) => nas::put(db, &draft).await.map(|()| None),
        Edit::NasDelete { name } => nas::delete(db, &name).await.map(|()| None),
        Edit::ApprovalRuleAdd(draft) => approval::add(db, &draft).await.map(|()| None),
        Edit::ApprovalRuleDelete { id } => approval::delete(db, id).await.map(|()| None),
        Edit::Space(edit) => space::make(db, edit).await,
        Edit::Organisation(edit) => organisation::make(db, edit).await,
        Edit::Boot(edit) => boot::make(db, edit).await,
        Edit::Waiver(edit) => checks::make(db, edit).await.map(|()| None),
        Edit::Undo { change_sets, data_keys } => undo::undo(db, &change_sets, &data_keys).await.map(|()| None),
    }
}

/// Does the edit, looks at what it touched, takes it back, and looks again at how that was before.
async fn rehearse(tx: &mut Transaction<'_, Postgres>, actor: &Actor, edit: Edit) -> Result<Effects, Refusal> {
    let mut inner = tx.begin().await.map_err(DbError::from)?;
    let (changed, own) = change_as(&mut inner, actor, "preview", edit).await?;
    let keys = changes::outbox_keys(&mut inner, changed.change_set).await?;
    let after = effects::state(&mut inner, &keys).await?;
    inner.rollback().await.map_err(DbError::from)?;
    let before = effects::state(tx, &keys).await?;
    Ok(authority::effects_seen(effects::with_hosts(tx, effects::between(before, after)).await?, own.as_ref()))
}

/// Refuses when the object of the edit is not at this version any more. Takes the row lock of a host.
async fn match_version(db: &mut PgConnection, edit: &Edit, version: Version) -> Result<(), Refusal> {
    let now = match edit {
        Edit::HostSet { name, .. } | Edit::HostDelete { name } => hosts::existing(db, name).await?.version,
        Edit::SubnetSet { network, .. } | Edit::SubnetDelete { network } => places::existing_subnet(&subnets::all(db).await?, *network)?.version,
        Edit::ZoneSet { apex, .. } | Edit::ZoneDelete { apex } => names::existing_zone(&world::World::of_names(db, vec![]).await?, apex)?.version,
        Edit::Organisation(edit) => match organisation::version(db, edit).await? {
            Some(version) => version.0,
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    if now == version.0 { Ok(()) } else { Err(Refusal::Stale { now: Version(now) }) }
}
