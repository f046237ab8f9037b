//! An edit under guard: made once to see what it touches, taken back, judged as things are, made again, judged as they would be.
//!
//! What it touches is read off its own change set, so no kind of edit can be forgotten: an undo and an import are judged as a form
//! is. Who may do everything everywhere pays nothing for it.

use super::{Area, Claim, Part, What, allow};
use crate::db::DbError;
use crate::db::grants;
use crate::db::parts::{self, PlaceRow, Touched};
use crate::inventory::{Actor, Edit, Effects, Refusal, SpaceEdit, Version, make, refusal};
use holdfast_proto::words::DomainName;
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use std::collections::BTreeSet;
use uuid::Uuid;

/// What somebody may be told of what their edit does: what lies in the parts that they may write.
#[derive(Debug, Default)]
pub(in crate::inventory) struct Own {
    names: BTreeSet<DomainName>,
    labels: BTreeSet<String>,
}

impl Own {
    /// Takes what somebody may be told of another edit of theirs.
    pub(in crate::inventory) fn extend(&mut self, other: Self) {
        self.names.extend(other.names);
        self.labels.extend(other.labels);
    }
}

/// Makes an edit of somebody whose grants do not reach everywhere.
pub(in crate::inventory) async fn change_guarded(
    tx: &mut Transaction<'_, Postgres>,
    actor: &Actor,
    change_set: Uuid,
    edit: Edit,
) -> Result<(Option<Version>, Own), Refusal> {
    if let Edit::Space(SpaceEdit::PlanMove { name, to, .. }) = &edit {
        // Who may not make a move now may not plan it either.
        let mut trial = tx.begin().await.map_err(DbError::from)?;
        Box::pin(change_guarded(&mut trial, actor, change_set, Edit::Space(SpaceEdit::Move { name: name.clone(), to: to.clone() }))).await?;
        trial.rollback().await.map_err(DbError::from)?;
    }
    let mark = parts::last_change(tx, change_set).await?;
    let claims = claims(tx).await?;
    let mut trial = tx.begin().await.map_err(DbError::from)?;
    Box::pin(make(&mut trial, edit.clone())).await.map_err(refusal::from_constraint)?;
    let touched = parts::touched(&mut trial, change_set, mark).await?;
    trial.rollback().await.map_err(DbError::from)?;
    let before = lie(tx, &touched).await?;
    allow(actor, &before, &claims)?;
    let version = Box::pin(make(tx, edit)).await.map_err(refusal::from_constraint)?;
    let touched = parts::touched(tx, change_set, mark).await?;
    let after = lie(tx, &touched).await?;
    allow(actor, &after, &claims)?;
    Ok((version, own(before.into_iter().chain(after))))
}

/// Where all that was touched lies now; what is not there has no part.
async fn lie(db: &mut PgConnection, touched: &Touched) -> Result<Vec<Part>, Refusal> {
    let mut found = Vec::new();
    let mut add = |what, rows: Vec<PlaceRow>| found.extend(rows.into_iter().map(|row| part(what, row)));
    add(What::Host, parts::hosts(db, &touched.hosts).await?);
    add(What::Name, parts::names(db, &touched.nodes).await?);
    add(What::Address, parts::addresses(db, &touched.addresses).await?);
    add(What::Subnet, parts::subnets(db, &touched.subnets).await?);
    add(What::PlacedSubnet, parts::subnets(db, &touched.placed_subnets).await?);
    add(What::Zone, parts::zones(db, &touched.zones).await?);
    add(What::Zone, parts::placed_zones(db, &touched.placed_zones).await?);
    found.extend(touched.others.iter().map(|table| of_all(table)));
    Ok(found)
}

/// What is nobody's in particular: campuses, departments, templates, NASs.
fn of_all(table: &str) -> Part {
    let label = format!("what belongs to the whole institution ({table})");
    Part { what: What::Institution, label, name: None, department: None, addresses: vec![], campuses: vec![], owned_labels: 0 }
}

/// A part, from where it lies.
pub(in crate::inventory) fn part(what: What, row: PlaceRow) -> Part {
    let PlaceRow { label, name, department, addresses, campuses, owner_apex } = row;
    Part { what, label, name, department, addresses, campuses, owned_labels: owner_apex.map_or(0, |apex| apex.label_count()) }
}

async fn claims(db: &mut PgConnection) -> Result<Vec<Claim>, Refusal> {
    let claim = |(kind, name, holder): (String, String, String)| {
        let damaged = |_| DbError::Damaged(format!("a grant on {name}"));
        let name: DomainName = name.parse().map_err(damaged)?;
        Ok(Claim { area: if kind == "zone" { Area::Zone(name) } else { Area::Below(name) }, holder })
    };
    grants::claims(db).await?.into_iter().map(claim).collect()
}

fn own(parts: impl Iterator<Item = Part>) -> Own {
    let mut own = Own::default();
    for part in parts {
        own.names.extend(part.addresses.iter().filter(|(first, last)| first == last).map(|(address, _)| DomainName::reverse_of(*address)));
        own.names.extend(part.name);
        own.labels.insert(part.label);
    }
    own
}

/// The effects that may be told; others are counted.
pub(in crate::inventory) fn effects_seen(mut effects: Effects, own: Option<&Own>) -> Effects {
    let Some(own) = own else { return effects };
    let count = |effects: &Effects| effects.records.len() + effects.boot.len() + effects.others.len();
    let all = count(&effects);
    effects.records.retain(|record| own.names.contains(&record.name));
    // A boot entry begins with its address.
    let is_own = |line: &Option<String>| line.as_deref().and_then(|line| line.split(' ').next()).is_some_and(|address| own.labels.contains(address));
    effects.boot.retain(|entry| is_own(&entry.before) || is_own(&entry.after));
    effects.others.retain(|other| other.strip_prefix("subnet ").is_some_and(|network| own.labels.contains(network)));
    effects.hidden = all - count(&effects);
    effects
}
