//! Moves: a host gets an address in another subnet, and everything that follows from its address follows: its records, its
//! PTR, its boot entry. The old address goes into quarantine.
//!
//! A planned move lowers the TTL of the host's own records first (its column `ttl`), so that answers with the old address
//! have run out when the time comes; then the master makes the move by itself and puts the TTL back.

use super::drafts::BREAK_GLASS;
use super::wanted::{NextFree, Wanted};
use super::{Actor, Authority, Edit, Problem, Refusal, Sight, SpaceEdit, Version, change, commit, grants_of, hosts, leases, read, shares};
use crate::db::access::principal_by_name;
use crate::db::moves::{self, PlannedRow};
use crate::db::{DbError, changes, quarantine};
use chrono::{DateTime, Utc};
use holdfast_proto::words::{HostName, Subnet};
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection, PgPool};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use uuid::Uuid;

/// The TTL of a host that is about to move, in seconds.
const LOWERED_TTL_SECS: u32 = 60;
/// How often it is looked for moves that are due and for addresses that nothing holds any more.
const TICK: Duration = Duration::from_secs(1);
/// By which way planned moves are made.
const PLANNED: &str = "planned";
/// So many addresses leave the quarantine in one transaction, which holds the locks of their subnets.
const RELEASED_AT_ONCE: i32 = 10_000;

/// Where a host moves to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveDraft {
    /// The new subnet.
    #[schema(value_type = String)]
    pub subnet: Subnet,
    /// The new address; the next free one where it is not given.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// Which of its interfaces moves, counted from 0.
    #[serde(default)]
    pub interface: usize,
    /// Where it will stand. Not given, a location that begins with the name of the old campus becomes the new campus.
    #[serde(default)]
    pub location: Option<String>,
}

/// A planned move as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PlannedMove {
    /// Its identity.
    pub id: Uuid,
    /// The host; none where it is gone.
    pub host: Option<String>,
    /// Where to.
    #[schema(value_type = String)]
    pub subnet: Subnet,
    /// To which address; none: the next free one at that time.
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// When.
    pub at: DateTime<Utc>,
    /// When the last answer with the TTL before has run out: a move before that is noticed by some.
    pub settled_at: DateTime<Utc>,
    /// Who planned it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// `planned`, `done`, `failed` or `cancelled`.
    pub state: String,
    /// Why it failed.
    pub why: String,
}

/// All moves that are planned, and those of the last 30 days: by time.
pub async fn planned(pool: &PgPool) -> Result<Vec<PlannedMove>, DbError> {
    let rows = moves::list(&mut *pool.acquire().await?, None, false).await?;
    let show = |row: PlannedRow| PlannedMove {
        id: row.id,
        host: row.name,
        subnet: row.network,
        address: row.address,
        at: row.at,
        settled_at: row.settled_at,
        actor: row.actor,
        reason: row.reason,
        state: row.state,
        why: row.why,
    };
    Ok(rows.into_iter().map(show).collect())
}

/// Moves a host now.
pub(super) async fn make(db: &mut PgConnection, name: &HostName, to: &MoveDraft) -> Result<Version, Refusal> {
    let missing = || Refusal::Missing(Problem::new("no-such-host", "", format!("there is no host {name}")));
    let mut draft = read::host(db, &Sight::All, name).await?.ok_or_else(missing)?.draft;
    let old_campus = campus_of(db, draft.interfaces.get(to.interface).and_then(|iface| iface.addresses.first().copied())).await?;
    let new_campus = campus_of(db, Some(to.subnet.net().network())).await?;
    let count = draft.interfaces.len();
    let no_interface =
        || Problem::new("no-such-interface", "/interface", format!("{name} has {count} interfaces: counted from 0, there is no {}", to.interface));
    let iface = draft.interfaces.get_mut(to.interface).ok_or_else(no_interface)?;
    let is_v4 = to.subnet.net().network().is_ipv4();
    let place = iface.addresses.iter().position(|address| address.is_ipv4() == is_v4).unwrap_or(iface.addresses.len());
    let moving = iface.addresses.iter().filter(|address| address.is_ipv4() == is_v4).count();
    if moving > 1 {
        let detail = format!("this interface of {name} has {moving} addresses of one kind: say with `holdfast host set` which stay");
        return Err(Problem::new("several-addresses", "/interface", detail).into());
    }
    if to.address.is_some_and(|address| !to.subnet.net().contains(&address)) {
        return Err(Problem::new("address-outside-subnets", "/address", format!("the new address does not lie in {}", to.subnet)).into());
    }
    if iface.addresses.get(place).is_some_and(|address| to.subnet.net().contains(address) && to.address.is_none()) {
        return Err(Problem::new("nothing-to-move", "/subnet", format!("{name} is in {} already", to.subnet)).into());
    }
    iface.addresses.retain(|address| address.is_ipv4() != is_v4);
    match to.address {
        Some(address) => iface.addresses.insert(place, address),
        None => iface.next.push(Wanted { place, next: NextFree::Subnet(to.subnet) }),
    }
    draft.location = location(&draft.location, to, old_campus.as_deref(), new_campus.as_deref());
    hosts::set(db, name, &draft).await
}

async fn campus_of(db: &mut PgConnection, address: Option<IpAddr>) -> Result<Option<String>, DbError> {
    let Some(address) = address else { return Ok(None) };
    crate::db::subnets::campus_of(db, address).await
}

fn location(now: &str, to: &MoveDraft, old_campus: Option<&str>, new_campus: Option<&str>) -> String {
    let first_word = now.split([',', ' ', '/']).next().unwrap_or_default();
    match (&to.location, old_campus, new_campus) {
        (Some(location), ..) => location.clone(),
        (None, Some(old), Some(new)) if old != new && first_word.eq_ignore_ascii_case(old) => new.to_owned(),
        _ => now.to_owned(),
    }
}

/// Plans a move: tried now, so that what cannot be is refused now, and then only the TTL is lowered.
pub(super) async fn plan(db: &mut PgConnection, id: Uuid, name: &HostName, to: &MoveDraft, at: DateTime<Utc>) -> Result<(), Refusal> {
    let host = hosts::existing(db, name).await?;
    if at <= Utc::now() {
        return Err(Problem::new("time-out-of-range", "/planned_at", "the time of a planned move lies in the future").into());
    }
    if let Some((_, other)) = moves::of_host(db, host.id).await? {
        let detail = format!("{name} moves at {} already: cancel that first", other.format("%Y-%m-%d %H:%M:%S UTC"));
        return Err(Problem::new("duplicate-move", "/planned_at", detail).into());
    }
    let mut trial = db.begin().await.map_err(DbError::from)?;
    make(&mut trial, name, to).await?;
    trial.rollback().await.map_err(DbError::from)?;
    let old_ttl = moves::ttl(db, host.id).await?;
    let lasts = old_ttl.map_or(moves::longest_ttl(db, host.id).await?, |own| own);
    let row = PlannedRow {
        id,
        host: host.id,
        name: None,
        network: to.subnet,
        address: to.address,
        interface: to.interface as u32,
        at,
        old_ttl,
        settled_at: Utc::now() + Duration::from_secs(u64::from(lasts)),
        actor: String::new(),
        reason: String::new(),
        state: String::new(),
        why: String::new(),
    };
    moves::insert(db, &row).await?;
    moves::set_ttl(db, host.id, Some(lasts.min(LOWERED_TTL_SECS))).await?;
    Ok(())
}

/// Makes a planned move, and puts the TTL back.
pub(super) async fn carry_out(db: &mut PgConnection, id: Uuid) -> Result<(), Refusal> {
    let row = existing(db, id).await?;
    let gone = || Refusal::Missing(Problem::new("no-such-host", "", "the host is gone"));
    let name = row.name.as_deref().ok_or_else(gone)?.parse().map_err(|_| gone())?;
    let to = MoveDraft { subnet: row.network, address: row.address, interface: row.interface as usize, location: None };
    make(db, &name, &to).await?;
    end(db, id, "done", "").await
}

/// Ends a plan in this way; the host has its old TTL again.
pub(super) async fn end(db: &mut PgConnection, id: Uuid, state: &str, why: &str) -> Result<(), Refusal> {
    let row = existing(db, id).await?;
    moves::set_ttl(db, row.host, row.old_ttl).await?;
    Ok(moves::end(db, id, state, why).await?)
}

/// The host goes: it does not move any more.
pub(super) async fn forget(db: &mut PgConnection, host: Uuid) -> Result<(), Refusal> {
    let Some((id, _)) = moves::of_host(db, host).await? else { return Ok(()) };
    Ok(moves::end(db, id, "cancelled", "the host was deleted").await?)
}

async fn existing(db: &mut PgConnection, id: Uuid) -> Result<PlannedRow, Refusal> {
    let missing = || Refusal::Missing(Problem::new("no-such-move", "", format!("no move {id} is planned")));
    moves::list(db, Some(id), false).await?.into_iter().find(|row| row.state == "planned").ok_or_else(missing)
}

/// Makes what is due, for ever: planned moves at their time, and addresses free that nothing holds any more. Several masters
/// may do this at once.
pub async fn tend(pool: PgPool, committed: Arc<Notify>) -> Infallible {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_well = true;
    loop {
        tick.tick().await;
        match tend_once(&pool).await {
            Ok(made) => {
                is_well = true;
                if made > 0 {
                    committed.notify_one();
                }
            }
            // Said once: the database may be away for long, and then this is tried again every second.
            Err(error) if is_well => {
                is_well = false;
                tracing::warn!(event = "addresses_not_tended", %error, "planned moves and the quarantine wait");
            }
            Err(_) => {}
        }
    }
}

/// Does once what is due now; how many edits that were.
pub async fn tend_once(pool: &PgPool) -> Result<usize, DbError> {
    let mut db = pool.acquire().await?;
    while quarantine::release_due(&mut db, None, RELEASED_AT_ONCE).await? == i64::from(RELEASED_AT_ONCE) {}
    let due = moves::list(&mut db, None, true).await?;
    drop(db);
    let (mut made, mut failed) = (usize::from(shares::tend(pool).await?) + usize::from(leases::tend(pool).await?), None);
    for row in due {
        // One that cannot be made now must not keep the others waiting.
        match tend_move(pool, &row).await {
            Ok(is_made) => made += usize::from(is_made),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(made), Err)
}

async fn tend_move(pool: &PgPool, row: &PlannedRow) -> Result<bool, DbError> {
    match make_planned(pool, row).await {
        Ok(made) => Ok(made),
        // Not refused but unlucky: the next tick tries again.
        Err(Refusal::Database(error)) => Err(error),
        Err(refusal) => give_up(pool, row, refusal.to_string()).await,
    }
}

/// Makes a move whose time has come; `false` where somebody else does.
async fn make_planned(pool: &PgPool, row: &PlannedRow) -> Result<bool, Refusal> {
    let actor = planner(pool, row).await?;
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    if !moves::lock(&mut tx, row.id).await? {
        return Ok(false);
    }
    open(&mut tx, &actor, row).await?;
    change(&mut tx, &actor, &row.reason, Edit::Space(SpaceEdit::CarryOut(row.id))).await?;
    commit(tx).await?;
    Ok(true)
}

async fn give_up(pool: &PgPool, row: &PlannedRow, why: String) -> Result<bool, DbError> {
    tracing::warn!(event = "planned_move_failed", host = row.name, why, "a planned move could not be made");
    let actor = Actor::administrator(row.actor.clone(), PLANNED);
    let mut tx = pool.begin().await?;
    if !moves::lock(&mut tx, row.id).await? {
        return Ok(false);
    }
    let gave_up = async {
        open(&mut tx, &actor, row).await?;
        change(&mut tx, &actor, &row.reason, Edit::Space(SpaceEdit::GiveUp(row.id, why))).await?;
        commit(tx).await
    };
    let as_error = |refusal| if let Refusal::Database(error) = refusal { error } else { DbError::Damaged(refusal.to_string()) };
    gave_up.await.map(|()| true).map_err(as_error)
}

/// Who planned a move, with what they may do now. Whoever is no principal was the administrator of the master itself.
async fn planner(pool: &PgPool, row: &PlannedRow) -> Result<Actor, Refusal> {
    let Some(principal) = principal_by_name(pool, &row.actor).await.map_err(DbError::from)? else {
        return Ok(Actor::administrator(row.actor.clone(), PLANNED));
    };
    let grants = if principal.disabled_at.is_some() { vec![] } else { grants_of(pool, principal.id).await? };
    Ok(Actor { name: row.actor.clone(), authority: Authority::new(grants), via: PLANNED })
}

/// Opens the change set of a planned move: who approved the plan, or broke the glass for it, did so for the move.
async fn open(db: &mut PgConnection, actor: &Actor, row: &PlannedRow) -> Result<(), DbError> {
    let (via, approved_by) = moves::approval_of(db, row.id).await?;
    let via = if via == BREAK_GLASS { BREAK_GLASS } else { actor.via };
    changes::open_of_draft(db, Uuid::now_v7(), &actor.name, &row.reason, via, &actor.name, approved_by.as_deref()).await
}

#[cfg(test)]
mod tests {
    use super::{MoveDraft, location};

    #[test]
    fn the_location_follows_the_campus_where_it_names_one() {
        let to =
            |location: Option<&str>| MoveDraft { subnet: "10.2.4.0/24".parse().unwrap(), address: None, interface: 0, location: location.map(str::to_owned) };
        let check = |now, given, expected| assert_eq!(location(now, &to(given), Some("north"), Some("south")), expected);
        check("north, building 3, room 12", None, "south");
        check("building 3", None, "building 3");
        check("north", Some("south, room 7"), "south, room 7");
        assert_eq!(location("north, room 12", &to(None), Some("north"), Some("north")), "north, room 12");
    }
}
