//! Who may come in, and what they are granted. Every change leaves a change set with who made it and why, as an edit of a host does.

use super::authority::{Area, AreaDraft, What, part};
use super::{Action, Actor, Authority, Problem, Refusal, Role, authorise, commit};
use crate::db::access::factors::{self, Policy};
use crate::db::access::{self, PrincipalRow};
use crate::db::grants::{self, GrantRow, NewGrant};
use crate::db::{DbError, changes, parts};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Somebody who may come in, or a group of them.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Principal {
    /// The login.
    pub name: String,
    /// `person` or `group`.
    pub kind: String,
    /// Shut out.
    pub disabled: bool,
    /// The groups that they are in.
    pub groups: Vec<String>,
    /// Who is in the group.
    pub members: Vec<String>,
}

/// A grant as it is.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct GrantObject {
    /// Its number.
    pub id: i64,
    /// To whom.
    pub principal: String,
    /// What may be done.
    pub role: String,
    /// And where: the kind of area.
    pub kind: String,
    /// And which one, as people write it; empty where it is everywhere.
    pub area: String,
    /// Who gave it.
    pub granted_by: String,
    /// When.
    pub created: DateTime<Utc>,
}

impl From<GrantRow> for GrantObject {
    fn from(row: GrantRow) -> Self {
        let area = match (row.area_kind.as_str(), row.first, row.last) {
            ("name", ..) => format!("*.{}", row.name),
            (_, Some(first), Some(last)) => format!("{first} - {last}"),
            _ => row.name,
        };
        Self { id: row.id, principal: row.principal, role: row.role, kind: row.area_kind, area, granted_by: row.granted_by, created: row.created }
    }
}

/// A grant as somebody wants to give it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantDraft {
    /// To whom: a person or a group.
    pub principal: String,
    /// What may be done.
    pub role: Role,
    /// And where.
    pub area: AreaDraft,
}

/// Why somebody changes who may come in or what they may do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Why<'a> {
    /// In words, for the history.
    pub reason: &'a str,
    /// Only to see whether it could be done: everything is checked and nothing is kept.
    pub dry_run: bool,
}

/// All principals, for those who grant.
pub async fn principals(pool: &PgPool, actor: &Actor) -> Result<Vec<Principal>, Refusal> {
    authorise_granting(actor)?;
    let (rows, memberships) = (access::principals(pool).await.map_err(DbError::from)?, access::memberships(pool).await.map_err(DbError::from)?);
    let principal = |row: PrincipalRow| Principal {
        disabled: row.disabled_at.is_some(),
        groups: memberships.iter().filter(|(_, member)| *member == row.name).map(|(group, _)| group.clone()).collect(),
        members: memberships.iter().filter(|(group, _)| *group == row.name).map(|(_, member)| member.clone()).collect(),
        name: row.name,
        kind: row.kind,
    };
    Ok(rows.into_iter().map(principal).collect())
}

/// The principal of this name.
pub async fn principal(pool: &PgPool, name: &str) -> Result<PrincipalRow, Refusal> {
    let missing = || Refusal::Missing(Problem::new("no-such-principal", "", format!("there is nobody named {name}")));
    access::principal_by_name(pool, name).await.map_err(DbError::from)?.ok_or_else(missing)
}

/// Adds a person, or a group where there is no password. Nothing is granted yet.
pub async fn add_principal(pool: &PgPool, actor: &Actor, why: Why<'_>, name: &str, password: Option<String>) -> Result<(), Refusal> {
    authorise(actor, Action::Grant, "people")?;
    let kind = if password.is_some() { "person" } else { "group" };
    let row = PrincipalRow { must_change: password.is_some(), password, ..bare(name, kind) };
    let mut tx = begin(pool, actor, why.reason, &format!("added the {kind} {name}")).await?;
    if !access::insert_principal(&mut tx, &row).await.map_err(DbError::from).map_err(Refusal::from).map_err(super::refusal::from_constraint)? {
        return Err(Problem::new("duplicate-name", "/name", format!("there is somebody named {name} already")).into());
    }
    finish(tx, why).await
}

fn bare(name: &str, kind: &str) -> PrincipalRow {
    let (name, kind) = (name.to_owned(), kind.to_owned());
    PrincipalRow { id: Uuid::now_v7(), name, kind, password: None, must_change: false, disabled_at: None, emergency_until: None }
}

/// Makes the first administrator; false where somebody was faster.
pub async fn add_first_administrator(pool: &PgPool, name: &str, password: String) -> Result<bool, Refusal> {
    let actor = Actor::administrator(name, "box");
    let row = PrincipalRow { password: Some(password), must_change: true, ..bare(name, "person") };
    let mut tx = begin(pool, &actor, "", "the first start of this master").await?;
    if !access::insert_principal(&mut tx, &row).await.map_err(DbError::from)? {
        return Ok(false);
    }
    give_everything(&mut tx, row.id, name).await?;
    commit(tx).await.map(|()| true)
}

/// The name of the one-time log-in for emergencies.
pub const EMERGENCY: &str = "break-glass";

/// Makes the one-time log-in for emergencies, good until then. For whoever is on the master's own machine: it is not asked who
/// may, only said who did.
pub async fn break_glass(pool: &PgPool, by: &str, reason: &str, password: &str, until: DateTime<Utc>) -> Result<(), Refusal> {
    let actor = Actor::administrator(by, "box");
    let known = access::principal_by_name(pool, EMERGENCY).await.map_err(DbError::from)?;
    let mut tx = begin(pool, &actor, reason, &format!("{by} made a one-time emergency log-in at the master, good until {until}")).await?;
    let id = match known {
        Some(row) => row.id,
        None => {
            let row = bare(EMERGENCY, "person");
            access::insert_principal(&mut tx, &row).await.map_err(DbError::from)?;
            give_everything(&mut tx, row.id, by).await?;
            row.id
        }
    };
    access::set_emergency(&mut tx, id, password, until).await.map_err(DbError::from)?;
    commit(tx).await
}

async fn give_everything(db: &mut PgConnection, principal: Uuid, by: &str) -> Result<(), Refusal> {
    let everything = NewGrant {
        principal,
        role: Role::Administrator.name(),
        area_kind: "global",
        campus_id: None,
        department_id: None,
        name: String::new(),
        addresses: None,
        granted_by: by,
    };
    grants::insert(db, &everything).await?;
    Ok(())
}

/// Shuts somebody out, or lets them in again.
pub async fn set_disabled(pool: &PgPool, actor: &Actor, why: Why<'_>, name: &str, disabled: bool) -> Result<(), Refusal> {
    authorise(actor, Action::Grant, "people")?;
    let row = principal(pool, name).await?;
    let mut tx = begin(pool, actor, why.reason, &format!("{} {name}", if disabled { "shut out" } else { "let in again" })).await?;
    access::set_disabled(&mut tx, row.id, disabled).await.map_err(DbError::from)?;
    refuse_without_administrator(&mut tx).await?;
    finish(tx, why).await
}

/// Puts somebody into a group, or takes them out.
pub async fn set_membership(pool: &PgPool, actor: &Actor, why: Why<'_>, group: &str, member: &str, is_in: bool) -> Result<(), Refusal> {
    authorise(actor, Action::Grant, "groups")?;
    let (of, who) = (principal(pool, group).await?, principal(pool, member).await?);
    if of.kind != "group" || who.kind != "person" {
        return Err(Problem::new("no-group", "", format!("{group} has to be a group, and {member} a person")).into());
    }
    let mut tx = begin(pool, actor, why.reason, &format!("{member} {} {group}", if is_in { "joins" } else { "leaves" })).await?;
    if is_in {
        access::join(&mut tx, of.id, who.id).await.map_err(DbError::from)?;
    } else if !access::leave(&mut tx, of.id, who.id).await.map_err(DbError::from)? {
        return Err(Refusal::Missing(Problem::new("no-such-member", "", format!("{member} is not in {group}"))));
    }
    refuse_without_administrator(&mut tx).await?;
    finish(tx, why).await
}

/// The grants that an actor may see: all for who may grant everywhere, else those that they could have given.
pub async fn grants(pool: &PgPool, actor: &Actor) -> Result<Vec<GrantObject>, Refusal> {
    authorise_granting(actor)?;
    let mut db = pool.acquire().await.map_err(DbError::from)?;
    let mut seen = Vec::new();
    for row in grants::all(&mut db).await? {
        if may_grant(&mut db, &actor.authority, &super::authority::grant(&row)?.area).await? {
            seen.push(GrantObject::from(row));
        }
    }
    Ok(seen)
}

/// Gives a grant; its number.
pub async fn give(pool: &PgPool, actor: &Actor, why: Why<'_>, draft: &GrantDraft) -> Result<i64, Refusal> {
    authorise_granting(actor)?;
    let to = principal(pool, &draft.principal).await?;
    let mut tx = begin(pool, actor, why.reason, &format!("granted {} to {}", draft.role, draft.principal)).await?;
    let area = resolve(&mut tx, &draft.area).await?;
    check_granting(&mut tx, actor, draft.role, &area).await?;
    let (campus_id, department_id) = match area {
        Area::Campus(id) => (Some(id), None),
        Area::Department(id) => (None, Some(id)),
        _ => (None, None),
    };
    let (name, addresses) = match &area {
        Area::Zone(name) | Area::Below(name) => (name.without_dot(), None),
        Area::Addresses(first, last) => (String::new(), Some((*first, *last))),
        _ => (String::new(), None),
    };
    let new = NewGrant {
        principal: to.id,
        role: draft.role.name(),
        area_kind: draft.area.kind(),
        campus_id,
        department_id,
        name,
        addresses,
        granted_by: &actor.name,
    };
    let id = grants::insert(&mut tx, &new).await.map_err(|error| super::refusal::from_constraint(error.into()))?;
    finish(tx, why).await.map(|()| id)
}

/// Takes a grant.
pub async fn take(pool: &PgPool, actor: &Actor, why: Why<'_>, id: i64) -> Result<(), Refusal> {
    authorise_granting(actor)?;
    let mut tx = begin(pool, actor, why.reason, &format!("took grant {id}")).await?;
    let missing = || Refusal::Missing(Problem::new("no-such-grant", "", format!("there is no grant {id}")));
    let row = grants::all(&mut tx).await?.into_iter().find(|row| row.id == id).ok_or_else(missing)?;
    let held = super::authority::grant(&row)?;
    check_granting(&mut tx, actor, held.role, &held.area).await?;
    grants::delete(&mut tx, id).await?;
    refuse_without_administrator(&mut tx).await?;
    finish(tx, why).await
}

/// Decides what the institution asks for of those who come in.
pub async fn set_policy(pool: &PgPool, actor: &Actor, why: Why<'_>, policy: &Policy) -> Result<(), Refusal> {
    authorise(actor, Action::Grant, "the policy of log-ins")?;
    let mut tx =
        begin(pool, actor, why.reason, &format!("second factor: {}, tokens: {} days at most", policy.require_second_factor, policy.token_days_limit)).await?;
    factors::set_policy(&mut tx, policy).await.map_err(|error| super::refusal::from_constraint(DbError::from(error).into()))?;
    finish(tx, why).await
}

async fn resolve(db: &mut PgConnection, draft: &AreaDraft) -> Result<Area, Refusal> {
    let (campus, department) = match draft {
        AreaDraft::Campus { name } => (Some(name.as_str()), None),
        AreaDraft::Department { name } => (None, Some(name.as_str())),
        _ => (None, None),
    };
    let (campus, department) = grants::numbers(db, campus, department).await?;
    let wrong = || {
        Problem::new(
            "no-such-area",
            "/area",
            "there is no such area: name a campus or a department that there is, a pattern such as *.lab.uni.example, or a range that goes upwards",
        )
    };
    Ok(draft.resolved(campus, department).ok_or_else(wrong)?)
}

fn authorise_granting(actor: &Actor) -> Result<(), Refusal> {
    actor.authority.check_bar(Action::Grant)?;
    if actor.authority.somewhere(Action::Grant) { Ok(()) } else { authorise(actor, Action::Grant, "anything") }
}

/// A department gives what it has itself: nothing beyond it, and no role that is above its own.
async fn check_granting(db: &mut PgConnection, actor: &Actor, role: Role, area: &Area) -> Result<(), Refusal> {
    let everywhere = actor.authority.everywhere(Action::Grant);
    let is_low = matches!(role, Role::DepartmentAdmin | Role::TableMaintainer | Role::HelpDesk | Role::Auditor | Role::Viewer);
    if everywhere || (is_low && may_grant(db, &actor.authority, area).await?) {
        return Ok(());
    }
    Err(Refusal::Forbidden(format!("{} may not grant {role} there: ask an administrator", actor.name)))
}

/// Whether an area lies within one that may be granted on.
async fn may_grant(db: &mut PgConnection, authority: &Authority, area: &Area) -> Result<bool, DbError> {
    let held: Vec<&Area> = authority.grants().iter().filter(|grant| grant.role.may(Action::Grant)).map(|grant| &grant.area).collect();
    if held.iter().any(|held| **held == Area::Global || **held == *area) {
        return Ok(true);
    }
    let around = match area {
        Area::Zone(name) | Area::Below(name) => {
            let zones = parts::all_zones(db).await?.into_iter().filter(|row| row.name.as_ref().is_some_and(|apex| name.is_within(apex)));
            zones.max_by_key(|row| row.name.as_ref().map(holdfast_proto::words::DomainName::label_count)).map(|row| part(What::Zone, row))
        }
        Area::Addresses(first, last) => {
            let holds = |row: &parts::PlaceRow| row.addresses.iter().all(|(from, to)| from <= first && last <= to);
            parts::all_subnets(db).await?.into_iter().find(holds).map(|row| part(What::Subnet, row))
        }
        _ => None,
    };
    Ok(around.is_some_and(|around| held.iter().any(|held| held.covers(&around))))
}

/// Somebody has to be left who can let others in.
async fn refuse_without_administrator(db: &mut PgConnection) -> Result<(), Refusal> {
    if grants::administrators(db).await? > 0 {
        return Ok(());
    }
    Err(Problem::new("last-administrator", "", "nobody would be left who may do everything: make somebody else an administrator first").into())
}

/// A transaction with a change set of its own, after any other that changes who may do what.
async fn begin<'a>(pool: &'a PgPool, actor: &Actor, reason: &str, what: &str) -> Result<sqlx::Transaction<'a, sqlx::Postgres>, Refusal> {
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    grants::follow_one_another(&mut tx).await?;
    let told = if reason.is_empty() { what.to_owned() } else { format!("{what}: {reason}") };
    changes::open(&mut tx, Uuid::now_v7(), &actor.name, &told, actor.via).await?;
    Ok(tx)
}

/// Commits, or takes everything back where that was all that was asked for.
async fn finish(mut tx: sqlx::Transaction<'_, sqlx::Postgres>, why: Why<'_>) -> Result<(), Refusal> {
    if !why.dry_run {
        return commit(tx).await;
    }
    crate::db::undo::check_references(&mut tx).await.map_err(|error| super::refusal::from_constraint(error.into()))?;
    Ok(tx.rollback().await.map_err(DbError::from)?)
}
