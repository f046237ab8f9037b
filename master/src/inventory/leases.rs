//! What agents lend, for people: who has which address of a pool, and who had it; and what an administrator may do about it.
//!
//! What is lent is an agent's to say. So a lease is ended by an order that reaches its agent in the snapshot, and it has ended when the
//! agent says so. The names of leased machines are published from here for the other campuses, what has come together within a second
//! at once: their own campus has them already.

use super::{Actor, Problem, Refusal, change_set};
use crate::db::DbError;
use crate::db::leases::{self, LeaseRow};
use chrono::{DateTime, Utc};
use holdfast_proto::words::{Mac, Subnet};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use std::net::IpAddr;

/// The most leases of one page, and of one history.
const LIMIT: i64 = 1000;

/// A lease that is, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LeaseObject {
    /// The address.
    #[schema(value_type = String)]
    pub ip: IpAddr,
    /// The hardware address of the machine.
    pub mac: String,
    /// What the machine calls itself.
    pub host_name: String,
    /// The agent that lent it.
    pub agent: String,
    /// `active`; `ended`, `released` or `declined` where nobody has it any more.
    pub state: String,
    /// Since when the machine had it.
    pub since: DateTime<Utc>,
    /// When it ends, or ended.
    pub until: DateTime<Utc>,
    /// What DNS calls the machine while it has the address.
    pub name: Option<String>,
}

impl From<LeaseRow> for LeaseObject {
    fn from(row: LeaseRow) -> Self {
        let LeaseRow { ip, agent, hardware, host_name, state, since, until, name } = row;
        Self { ip, mac: hardware, host_name, agent, state, since, until, name }
    }
}

/// The newest lease of each address, of a subnet or of all, behind an address: a page.
pub async fn leases(pool: &PgPool, of: Option<Subnet>, after: Option<IpAddr>) -> Result<(Vec<LeaseObject>, Option<IpAddr>), DbError> {
    let mut rows = leases::current(&mut *pool.acquire().await?, of, after, LIMIT + 1).await?;
    let more = rows.len() as i64 > LIMIT;
    rows.truncate(LIMIT as usize);
    let next = rows.last().filter(|_| more).map(|row| row.ip);
    Ok((rows.into_iter().map(LeaseObject::from).collect(), next))
}

/// Who had an address on loan, or which ones a machine had, or everything: the last first.
pub async fn lease_history(pool: &PgPool, ip: Option<IpAddr>, mac: Option<Mac>) -> Result<Vec<LeaseObject>, DbError> {
    let mut db = pool.acquire().await?;
    let rows = leases::history(&mut db, ip, mac.map(|mac| mac.to_string()).as_deref(), LIMIT).await?;
    Ok(rows.into_iter().map(LeaseObject::from).collect())
}

/// Has the agent that lent an address end the lease.
pub(super) async fn end(db: &mut PgConnection, ip: IpAddr) -> Result<(), Refusal> {
    let missing = || Refusal::Missing(Problem::new("no-such-lease", "", format!("nobody has {ip} on loan: `holdfast lease list` tells who has what")));
    let lease = leases::endable(db, ip).await?.filter(|lease| lease.is_active).ok_or_else(missing)?;
    Ok(leases::end(db, ip, &lease).await?)
}

/// Publishes what has changed of names, and takes back orders that were carried out; whether anything was changed.
pub(super) async fn tend(pool: &PgPool) -> Result<bool, DbError> {
    let mut db = pool.acquire().await?;
    let settled = leases::settle_names(&mut db).await?;
    if !leases::has_done_ends(&mut db).await? {
        return Ok(settled);
    }
    drop(db);
    let mut tx = pool.begin().await?;
    change_set(&mut tx, &Actor::administrator("holdfast".to_owned(), "leases"), "leases that were to end have ended").await?;
    leases::take_done_ends(&mut tx).await?;
    tx.commit().await?;
    Ok(true)
}
