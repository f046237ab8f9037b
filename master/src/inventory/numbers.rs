//! How full subnets are: numbers, and the stretches of a subnet one by one.

use super::{Problem, Refusal, allocate};
use crate::db::{DbError, free, subnets};
use holdfast_proto::words::Subnet;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use std::collections::HashMap;
use std::net::IpAddr;

/// How many addresses of a subnet are what. An IPv6 subnet can hold more than 64 bits count: such a number stops at their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Numbers {
    /// All that hosts can have.
    pub total: u64,
    /// Can be handed out now.
    pub free: u64,
    /// Belong to hosts.
    pub used: u64,
    /// Were given back and wait.
    pub quarantined: u64,
    /// Lie in dynamic or reserved pools.
    pub excluded: u64,
}

impl From<free::Numbers> for Numbers {
    fn from(row: free::Numbers) -> Self {
        let free::Numbers { total, free, quarantined, excluded, used } = row;
        Self { total, free, used, quarantined, excluded }
    }
}

/// Neighbouring addresses that are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = numbers::Run)]
pub struct Run {
    /// The first of them.
    #[schema(value_type = String)]
    pub first: IpAddr,
    /// The last of them.
    #[schema(value_type = String)]
    pub last: IpAddr,
    /// `free`, `used`, `quarantined`, `dynamic`, `reserved` or `gateway`.
    pub kind: String,
}

/// The numbers of all subnets, by the subnet's number.
pub(super) async fn of_all(db: &mut PgConnection) -> Result<HashMap<i64, Numbers>, DbError> {
    Ok(free::numbers(db, None).await?.into_iter().map(|(id, numbers)| (id, numbers.into())).collect())
}

/// The stretches of a subnet, in order.
pub async fn map(pool: &PgPool, network: Subnet) -> Result<Vec<Run>, Refusal> {
    let mut db = pool.acquire().await.map_err(DbError::from)?;
    let id = subnets::networks(&mut db).await?.into_iter().find(|(_, known)| *known == network).map(|(id, _)| id);
    let missing = || Refusal::Missing(Problem::new("no-such-subnet", "", format!("there is no subnet {network}")));
    let runs = free::map(&mut db, id.ok_or_else(missing)?).await?;
    Ok(runs.into_iter().map(|run| Run { first: run.first, last: run.last, kind: run.kind }).collect())
}

/// Which addresses somebody would get now who asks for the next free ones of a subnet. Nothing is kept for him.
pub async fn next(pool: &PgPool, network: Subnet, count: usize) -> Result<Vec<IpAddr>, Refusal> {
    allocate::next_of(&mut *pool.acquire().await.map_err(DbError::from)?, network, count).await
}

/// The subnets whose free ranges are not what follows from everything else: none, unless there is a fault.
pub async fn doubtful(pool: &PgPool) -> Result<Vec<Subnet>, DbError> {
    free::doubtful(&mut *pool.acquire().await?).await
}
