//! What agents lend, for people: who has which address of a pool, and who had it.

use crate::db::DbError;
use crate::db::leases::{self, LeaseRow};
use chrono::{DateTime, Utc};
use holdfast_proto::words::{Mac, Subnet};
use serde::Serialize;
use sqlx::PgPool;
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
}

impl From<LeaseRow> for LeaseObject {
    fn from(row: LeaseRow) -> Self {
        let LeaseRow { ip, agent, hardware, host_name, state, since, until } = row;
        Self { ip, mac: hardware, host_name, agent, state, since, until }
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
