//! Which agent lends which addresses of a dynamic pool.
//!
//! Why it exists: agents that cannot hear each other, or the master, must never lend one address twice, and each must have some
//! to lend. What it refuses: an address with two agents. How: [`plan`] says who shall lend what; a share that its agent is to
//! lend no more waits in the database until that agent has confirmed and the last lease has run out, and only then is anybody's.
//! The agents of a subnet's campus lend seven addresses of ten, those of the campus that stands in for it the others.

mod plan;
#[cfg(test)]
mod tests;

use super::{Actor, Refusal, change_set};
use crate::db::shares::{self, GroundRow, ShareRow};
use crate::db::{DbError, changes, free};
use chrono::{DateTime, Utc};
use holdfast_proto::words::{NodeId, Subnet};
use plan::{Lenders, Piece, Stretch, plan, without};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use std::net::{IpAddr, Ipv4Addr};
use uuid::Uuid;

/// Makes the shares of these subnets what they shall be, inside the caller's change set.
pub(super) async fn settle(db: &mut PgConnection, subnets: &[i64]) -> Result<(), Refusal> {
    free::lock(db, subnets).await?;
    Ok(settle_locked(db, subnets).await?)
}

/// Ends what may end, and makes every share what it shall be: agents come and go, pools were put back by an undo. Whether
/// anything was changed. Several masters may do this at once.
pub(super) async fn tend(pool: &PgPool) -> Result<bool, DbError> {
    let mut db = pool.acquire().await?;
    shares::end(&mut db).await?;
    let world = World::read(&mut db, None).await?;
    let wrong: Vec<i64> = world.grounds.iter().filter(|ground| world.change_of(ground, Uuid::nil()).is_some()).map(|ground| ground.subnet).collect();
    let is_orphaned = |share: &ShareRow| share.given_up.is_none() && !world.grounds.iter().any(|ground| touches(ground, share));
    if wrong.is_empty() && !world.shares.iter().any(is_orphaned) {
        return Ok(false);
    }
    drop(db);
    let mut tx = pool.begin().await?;
    free::lock(&mut tx, &wrong).await?;
    let set = change_set(&mut tx, &Actor::administrator("holdfast".to_owned(), "shares"), "who lends which addresses of the pools").await?;
    shares::give_up_orphans(&mut tx, set).await?;
    settle_locked(&mut tx, &wrong).await?;
    tx.commit().await?;
    Ok(true)
}

async fn settle_locked(db: &mut PgConnection, subnets: &[i64]) -> Result<(), DbError> {
    let Some(set) = changes::current(db).await? else { return Ok(()) };
    let world = World::read(db, Some(subnets)).await?;
    let changes: Vec<Change> = world.grounds.iter().filter_map(|ground| world.change_of(ground, set)).collect();
    for Change { gone, come } in changes {
        shares::replace(db, &gone, &come).await?;
    }
    Ok(())
}

/// Everything that decides who lends.
struct World {
    grounds: Vec<GroundRow>,
    shares: Vec<ShareRow>,
    agents: Vec<(NodeId, i64)>,
    campuses: Vec<(i64, Option<i64>)>,
}

/// What becomes of one subnet's shares.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    gone: Vec<Ipv4Addr>,
    come: Vec<ShareRow>,
}

impl World {
    async fn read(db: &mut PgConnection, subnets: Option<&[i64]>) -> Result<Self, DbError> {
        let (grounds, shares) = (shares::grounds(db, subnets).await?, shares::all(db).await?);
        let (agents, campuses) = shares::agents(db).await?;
        Ok(Self { grounds, shares, agents, campuses })
    }

    /// Who lends at a campus: its own agents, and those of the campus that stands in for it. Where none is named, of the first
    /// other one that has agents: the order of their numbers does not change when a campus is added.
    fn lenders(&self, campus: i64) -> Lenders {
        let at = |campus: i64| self.agents.iter().filter(|(_, of)| *of == campus).map(|(agent, _)| *agent).collect::<Vec<_>>();
        let named = self.campuses.iter().find(|(id, _)| *id == campus).and_then(|(_, backup)| *backup);
        let first_other = || self.campuses.iter().map(|(id, _)| *id).find(|id| *id != campus && !at(*id).is_empty());
        Lenders { home: at(campus), backup: named.or_else(first_other).map_or(vec![], at) }
    }

    /// What has to be written by this change set so that the shares of a subnet are what they shall be; `None` where they are.
    fn change_of(&self, ground: &GroundRow, set: Uuid) -> Option<Change> {
        let whole: Vec<Stretch> = ground.pools.iter().map(|(first, last)| Stretch { first: *first, last: *last }).collect();
        let pools = without(&whole, ground.taken.iter().map(|ip| Stretch { first: *ip, last: *ip }));
        let before: Vec<&ShareRow> = self.shares.iter().filter(|share| touches(ground, share)).collect();
        let now: Vec<Piece> = before.iter().map(|share| piece(share)).collect();
        let planned = plan(&pools, &now, &self.lenders(ground.campus));
        let come: Vec<ShareRow> = planned.into_iter().map(|piece| row(ground, &before, piece, set)).filter(|row| !before.contains(&row)).collect();
        let gone: Vec<Ipv4Addr> =
            before.iter().filter(|share| come.iter().any(|row| row.first <= share.last && share.first <= row.last)).map(|share| share.first).collect();
        (!come.is_empty()).then_some(Change { gone, come })
    }
}

/// The row of a piece: it inherits from the shares that it was made of.
fn row(ground: &GroundRow, before: &[&ShareRow], piece: Piece, set: Uuid) -> ShareRow {
    let Piece { stretch: Stretch { first, last }, owner, is_lent } = piece;
    let origins = || before.iter().filter(|share| share.first <= last && first <= share.last);
    let stopped = origins().find(|share| share.given_up.is_some()).filter(|_| !is_lent);
    // Until it was told to stop, its agent may have lent for as long as the subnet says now.
    let at_least = if stopped.is_some() { 0 } else { i64::from(ground.lease_secs) };
    ShareRow {
        first,
        last,
        node: owner,
        lease_secs: origins().map(|share| share.lease_secs).fold(at_least, i64::max),
        given_up: (!is_lent).then(|| stopped.and_then(|share| share.given_up).unwrap_or(set)),
        until: stopped.and_then(|share| share.until),
    }
}

fn touches(ground: &GroundRow, share: &ShareRow) -> bool {
    let net = ground.network.net();
    net.contains(&IpAddr::V4(share.first)) || net.contains(&IpAddr::V4(share.last))
}

fn piece(share: &ShareRow) -> Piece {
    Piece { stretch: Stretch { first: share.first, last: share.last }, owner: share.node, is_lent: share.given_up.is_none() }
}

/// A share as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Share {
    /// Its first address.
    #[schema(value_type = String)]
    pub first: Ipv4Addr,
    /// Its last address.
    #[schema(value_type = String)]
    pub last: Ipv4Addr,
    /// The agent that lends it, or did.
    pub agent: String,
    /// `lent`; `stopping` until the agent has confirmed that it lends no more; `ending` until the last lease has run out.
    pub state: &'static str,
    /// When the addresses are free for others.
    pub until: Option<DateTime<Utc>>,
}

/// The shares of a subnet, or of all, by address.
pub async fn shares(pool: &PgPool, of: Option<Subnet>) -> Result<Vec<Share>, DbError> {
    let seen = shares::seen(&mut *pool.acquire().await?, of).await?.into_iter().map(|row| {
        let state = if !row.is_given_up {
            "lent"
        } else if row.until.is_none() {
            "stopping"
        } else {
            "ending"
        };
        Share { first: row.first, last: row.last, agent: row.agent, state, until: row.until }
    });
    Ok(seen.collect())
}
