//! Zones between servers, as an admin rules them: keys, who may have a zone, and the copies of other servers' zones.
//!
//! Who may have a zone, and whose copy it is, stands in the zone's draft; here are the rules of that, and what is no part of a zone.

use super::{Action, Actor, Problem, Refusal, ZoneDraft, authorise, change_set, commit};
use crate::db::copies::{self, CopyRow};
use crate::db::transfers::{self, RefusedRow, TsigKeyRow};
use crate::db::{DbError, zones};
use holdfast_proto::words::{DomainName, Secret};
use sqlx::{PgConnection, PgPool};

/// Of how many refusals one is told.
const REFUSED_SHOWN: i64 = 1000;

/// All that is wrong with who may have a zone and whose copy it is.
pub(super) async fn check(db: &mut PgConnection, draft: &ZoneDraft) -> Result<Vec<Problem>, DbError> {
    let of_primaries = draft.primaries.iter().enumerate().filter_map(|(n, primary)| Some((format!("/primaries/{n}/key"), primary.key.clone()?)));
    let of_transfers = draft.transfers.iter().enumerate().filter_map(|(n, transfer)| Some((format!("/transfers/{n}/key"), transfer.key.clone()?)));
    let named: Vec<(String, String)> = of_primaries.chain(of_transfers).collect();
    let known = transfers::known_keys(db, &named.iter().map(|(_, key)| key.clone()).collect::<Vec<_>>()).await?;
    let unknown = named.into_iter().filter(|(_, key)| !known.contains(key));
    let mut problems: Vec<Problem> = unknown
        .map(|(pointer, key)| Problem::new("no-such-key", pointer, format!("there is no TSIG key {key}: make it first, `holdfast tsig-key add`")))
        .collect();
    for (n, transfer) in draft.transfers.iter().enumerate() {
        if transfer.prefix.is_none() && transfer.key.is_none() {
            problems.push(Problem::new(
                "open-to-all",
                format!("/transfers/{n}"),
                "say from which addresses, or with which key: a zone is not given to everybody",
            ));
        }
        if transfer.notify.is_some_and(|target| target.port() == 0) {
            problems.push(Problem::new("bad-address", format!("/transfers/{n}/notify"), "nobody listens on port 0"));
        }
    }
    for (n, primary) in draft.primaries.iter().enumerate() {
        if primary.port == 0 || primary.address.is_unspecified() || primary.address.is_multicast() {
            problems.push(Problem::new("bad-address", format!("/primaries/{n}/address"), "this is no server's address and port"));
        }
    }
    Ok(problems)
}

/// All keys, without their secrets.
pub async fn keys(pool: &PgPool, actor: &Actor) -> Result<Vec<TsigKeyRow>, Refusal> {
    authorise(actor, Action::Boxes, "TSIG keys")?;
    Ok(transfers::keys(&mut *pool.acquire().await.map_err(DbError::from)?).await?)
}

/// Keeps a key. Its secret is in no image of the history.
pub async fn add_key(pool: &PgPool, actor: &Actor, reason: &str, name: &DomainName, secret: &Secret, dry_run: bool) -> Result<(), Refusal> {
    authorise(actor, Action::Boxes, "TSIG keys")?;
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    change_set(&mut tx, actor, reason).await?;
    let inserted = transfers::insert_key(&mut tx, &name.without_dot(), &actor.name, secret.expose()).await;
    inserted.map_err(|error| super::refusal::from_constraint(error.into()))?;
    if dry_run { Ok(tx.rollback().await.map_err(DbError::from)?) } else { commit(tx).await }
}

/// Deletes a key that no zone names.
pub async fn delete_key(pool: &PgPool, actor: &Actor, reason: &str, name: &str, dry_run: bool) -> Result<(), Refusal> {
    authorise(actor, Action::Boxes, "TSIG keys")?;
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    change_set(&mut tx, actor, reason).await?;
    let missing = || Refusal::Missing(Problem::new("no-such-key", "", format!("there is no TSIG key {name}")));
    let key = transfers::keys(&mut tx).await?.into_iter().find(|key| key.name == name).ok_or_else(missing)?;
    if !key.zones.is_empty() {
        return Err(Problem::new("key-in-use", "", format!("{name} is named by {}: take it from there first", key.zones.join(", "))).into());
    }
    transfers::delete_key(&mut tx, name).await?;
    if dry_run { Ok(tx.rollback().await.map_err(DbError::from)?) } else { commit(tx).await }
}

/// What is known of the copies of these zones, by apex.
pub async fn copies(pool: &PgPool, seen: &[DomainName]) -> Result<Vec<CopyRow>, DbError> {
    let seen: std::collections::HashSet<String> = seen.iter().map(DomainName::without_dot).collect();
    Ok(copies::all(pool).await?.into_iter().filter(|copy| seen.contains(&copy.apex)).collect())
}

/// Has a copy asked for now. With `accept`, what a held transfer takes away is accepted, and that stands in the history.
pub async fn refresh(pool: &PgPool, actor: &Actor, reason: &str, apex: &DomainName, accept: bool) -> Result<(), Refusal> {
    authorise(actor, Action::Boxes, "copies of zones")?;
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    let missing = || Refusal::Missing(Problem::new("no-such-copy", "", format!("{} is no copy of another server's zone", apex.without_dot())));
    let zone = zones::all(&mut tx).await?.into_iter().find(|zone| zone.apex == *apex).filter(|zone| !zone.primaries.is_empty()).ok_or_else(missing)?;
    if accept {
        let nothing = || Problem::new("nothing-held", "", format!("no transfer of {} waits to be accepted", apex.without_dot()));
        let serial = copies::accept(&mut tx, zone.id).await?.ok_or_else(nothing)?;
        change_set(&mut tx, actor, &format!("the loss of records in {} at serial {serial} is accepted: {reason}", apex.without_dot())).await?;
    }
    copies::ask_now(&mut tx, zone.id).await?;
    commit(tx).await
}

/// Transfers that were not given, the newest first.
pub async fn refused(pool: &PgPool, actor: &Actor) -> Result<Vec<RefusedRow>, Refusal> {
    authorise(actor, Action::Boxes, "refused transfers")?;
    Ok(transfers::refused(pool, REFUSED_SHOWN).await?)
}
