//! The room that addresses live in: pools within subnets, and containers that subnets are cut from.

use super::draft::SubnetDraft;
use super::families::FamilyDraft;
use super::moves::MoveDraft;
use super::places::{existing_subnet, refuse};
use super::wanted::Range;
use super::{Problem, Refusal, Version, discovery, families, leases, moves, places, quarantine, shares};
use crate::db::discoveries::DiscoveryRule;
use crate::db::pools::{self, PoolRow};
use crate::db::{free, subnets};
use chrono::{DateTime, Utc};
use holdfast_proto::words::{HostName, Subnet};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use std::net::IpAddr;
use uuid::Uuid;

/// One wish to change what addresses there are and who waits for which.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpaceEdit {
    /// A new pool.
    PoolAdd(PoolDraft),
    /// A pool goes: its addresses are free for hosts again.
    PoolDelete(Range),
    /// A new container.
    ContainerAdd(ContainerDraft),
    /// A container goes; its subnets stay.
    ContainerDelete(Subnet),
    /// A new subnet in the first gap of a container: everything of the draft but its network.
    SubnetNext {
        /// The container.
        container: Subnet,
        /// The length of the new network's prefix.
        length: u8,
        /// What else it shall be; its network is not looked at.
        draft: SubnetDraft,
    },
    /// A quarantined address is free at once. The reason of the change set says why.
    Release(IpAddr),
    /// The lease of an address is to end.
    EndLease(IpAddr),
    /// A host moves to another subnet now.
    Move {
        /// The host.
        name: HostName,
        /// Where to.
        to: MoveDraft,
    },
    /// A host will move; its TTL is lowered now.
    PlanMove {
        /// The identity of the plan.
        id: Uuid,
        /// The host.
        name: HostName,
        /// Where to.
        to: MoveDraft,
        /// When.
        at: DateTime<Utc>,
    },
    /// A planned move is made.
    CarryOut(Uuid),
    /// A planned move could not be made, and why.
    GiveUp(Uuid, String),
    /// A planned move will not be made.
    CancelMove(Uuid),
    /// A new family of addresses.
    FamilyAdd(FamilyDraft),
    /// A family that nobody uses goes.
    FamilyDelete(String),
    /// How machines that turn up in a subnet become hosts.
    DiscoveryRulePut(DiscoveryRule),
    /// Nobody says so of a subnet any more.
    DiscoveryRuleDelete(Subnet),
}

impl SpaceEdit {
    /// What a refusal calls the object.
    pub fn object(&self) -> &'static str {
        match self {
            Self::PoolAdd(_) | Self::PoolDelete(_) => "pools",
            Self::ContainerAdd(_) | Self::ContainerDelete(_) => "containers",
            Self::SubnetNext { .. } => "subnets",
            Self::Release(_) => "the quarantine",
            Self::EndLease(_) => "leases",
            Self::Move { .. } | Self::PlanMove { .. } | Self::CarryOut(_) | Self::GiveUp(..) | Self::CancelMove(_) => "hosts",
            Self::FamilyAdd(_) | Self::FamilyDelete(_) => "families of addresses",
            Self::DiscoveryRulePut(_) | Self::DiscoveryRuleDelete(_) => "what becomes of machines that turn up",
        }
    }
}

/// A pool as an admin writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolDraft {
    /// Its name, where it needs one: a short word.
    #[serde(default)]
    pub name: Option<String>,
    /// Its first address.
    #[schema(value_type = String)]
    pub first: IpAddr,
    /// Its last address.
    #[schema(value_type = String)]
    pub last: IpAddr,
    /// What its addresses are for.
    pub kind: PoolKind,
    /// Why nobody may have them; needed where they are reserved.
    #[serde(default)]
    pub reason: String,
}

/// What the addresses of a pool are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PoolKind {
    /// Hosts with addresses of their own, as outside of any pool; a name to take them by.
    Static,
    /// Leases.
    Dynamic,
    /// Nobody.
    Reserved,
}

impl PoolKind {
    fn text(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
            Self::Reserved => "reserved",
        }
    }
}

/// A container as an admin writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerDraft {
    /// The network.
    #[schema(value_type = String)]
    pub network: Subnet,
    /// What it is for.
    #[serde(default)]
    pub purpose: String,
}

pub(super) async fn make(db: &mut PgConnection, edit: SpaceEdit) -> Result<Option<Version>, Refusal> {
    match edit {
        SpaceEdit::PoolAdd(draft) => add_pool(db, &draft).await,
        SpaceEdit::PoolDelete(pool) => delete_pool(db, &pool).await,
        SpaceEdit::ContainerAdd(draft) => add_container(db, &draft).await,
        SpaceEdit::ContainerDelete(network) => delete_container(db, network).await,
        SpaceEdit::SubnetNext { container, length, draft } => return add_next_subnet(db, container, length, draft).await.map(Some),
        SpaceEdit::Release(ip) => quarantine::release(db, ip).await,
        SpaceEdit::EndLease(ip) => leases::end(db, ip).await,
        SpaceEdit::Move { name, to } => return moves::make(db, &name, &to).await.map(Some),
        SpaceEdit::PlanMove { id, name, to, at } => moves::plan(db, id, &name, &to, at).await,
        SpaceEdit::CarryOut(id) => moves::carry_out(db, id).await,
        SpaceEdit::GiveUp(id, why) => moves::end(db, id, "failed", &why).await,
        SpaceEdit::CancelMove(id) => moves::end(db, id, "cancelled", "").await,
        SpaceEdit::FamilyAdd(draft) => families::add(db, &draft).await,
        SpaceEdit::FamilyDelete(name) => families::delete(db, &name).await,
        SpaceEdit::DiscoveryRulePut(rule) => {
            let subnet = existing_subnet(&subnets::all(db).await?, rule.subnet)?.id;
            discovery::put_rule(db, subnet, &rule).await
        }
        SpaceEdit::DiscoveryRuleDelete(network) => {
            let subnet = existing_subnet(&subnets::all(db).await?, network)?.id;
            discovery::delete_rule(db, subnet, network).await
        }
    }
    .map(|()| None)
}

async fn add_pool(db: &mut PgConnection, draft: &PoolDraft) -> Result<(), Refusal> {
    let PoolDraft { name, first, last, kind, reason } = draft;
    let networks = subnets::networks(db).await?;
    let around = networks.into_iter().find(|(_, network)| network.can_hold(*first) && network.can_hold(*last));
    let mut problems = Vec::new();
    if first > last || first.is_ipv4() != last.is_ipv4() {
        problems.push(Problem::new("bad-range", "/last", format!("{first}-{last} ends before it begins")));
    } else if around.is_none() {
        problems.push(Problem::new("address-outside-subnets", "/first", format!("{first}-{last} does not lie in one of our subnets")));
    }
    if *kind == PoolKind::Reserved && reason.trim().is_empty() {
        problems.push(Problem::new("reason-missing", "/reason", "say why nobody may have these addresses"));
    }
    refuse(problems)?;
    let Some((subnet, network)) = around else { return Ok(()) };
    free::lock(db, &[subnet]).await?;
    let mut problems = Vec::new();
    for other in pools::of_subnets(db, Some(&[subnet])).await?.iter().filter(|other| *first <= other.last && other.first <= *last) {
        problems.push(Problem::new("pool-overlap", "/first", format!("{first}-{last} overlaps the {} pool {}-{}", other.kind, other.first, other.last)));
    }
    if *kind != PoolKind::Static
        && let Some((ip, host)) = pools::somebody_in(db, *first, *last).await?
    {
        problems.push(Problem::new("pool-holds-addresses", "/first", format!("{ip} is the address of {host}: move it out of {first}-{last} first")));
    }
    refuse(problems)?;
    let row = PoolRow { id: 0, subnet, network, name: name.clone(), first: *first, last: *last, kind: kind.text().to_owned(), reason: reason.clone() };
    pools::insert(db, &row).await?;
    shares::settle(db, &[subnet]).await
}

async fn delete_pool(db: &mut PgConnection, which: &Range) -> Result<(), Refusal> {
    let is_it = |pool: &&PoolRow| match which {
        Range::Between(first, last) => (pool.first, pool.last) == (*first, *last),
        Range::Pool(name) => pool.name.as_ref() == Some(name),
    };
    let missing = || Refusal::Missing(Problem::new("no-such-pool", "", format!("there is no pool {which}")));
    let all = pools::of_subnets(db, None).await?;
    let found = all.iter().find(is_it).ok_or_else(missing)?;
    free::lock(db, &[found.subnet]).await?;
    pools::delete(db, found.id).await?;
    shares::settle(db, &[found.subnet]).await
}

async fn add_container(db: &mut PgConnection, draft: &ContainerDraft) -> Result<(), Refusal> {
    if pools::containers(db).await?.iter().any(|other| other.network == draft.network) {
        return Err(Problem::new("duplicate-network", "/network", format!("there is a container {} already", draft.network)).into());
    }
    Ok(pools::insert_container(db, draft.network, &draft.purpose).await?)
}

async fn delete_container(db: &mut PgConnection, network: Subnet) -> Result<(), Refusal> {
    if pools::delete_container(db, network).await? { Ok(()) } else { Err(no_container(network)) }
}

fn no_container(network: Subnet) -> Refusal {
    Refusal::Missing(Problem::new("no-such-container", "", format!("there is no container {network}")))
}

async fn add_next_subnet(db: &mut PgConnection, container: Subnet, length: u8, draft: SubnetDraft) -> Result<Version, Refusal> {
    if !pools::lock_container(db, container).await? {
        return Err(no_container(container));
    }
    let taken: Vec<Subnet> = subnets::networks(db).await?.into_iter().map(|(_, network)| network).collect();
    let reserved =
        pools::containers(db).await?.into_iter().map(|row| row.network).filter(|inner| *inner != container && container.net().contains(&inner.net()));
    let full = || Problem::new("no-free-subnet", "/length", format!("{container} has no room for a /{length}"));
    let network = first_gap(container, length, taken.into_iter().chain(reserved)).ok_or_else(full)?;
    places::add_subnet(db, &SubnetDraft { network, ..draft }).await
}

/// The lowest network of this length within a container that overlaps none of these.
pub(super) fn first_gap(container: Subnet, length: u8, taken: impl Iterator<Item = Subnet>) -> Option<Subnet> {
    let mut taken: Vec<Subnet> = taken.filter(|other| overlap(container, *other)).collect();
    taken.sort();
    let mut at = Some(container.net().network());
    while let Some(address) = at {
        let candidate = Subnet::around(address, length).filter(|one| length >= container.net().prefix_len() && container.net().contains(&one.net()))?;
        let Some(other) = taken.iter().find(|other| overlap(candidate, **other)) else { return Some(candidate) };
        // Behind the greater of the two: neither can hold the next candidate.
        let end = candidate.net().broadcast().max(other.net().broadcast());
        at = super::allocate::after(end);
    }
    None
}

fn overlap(one: Subnet, other: Subnet) -> bool {
    one.net().contains(&other.net()) || other.net().contains(&one.net())
}

/// A pool as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PoolObject {
    /// Its subnet.
    #[schema(value_type = String)]
    pub subnet: Subnet,
    /// Its name.
    pub name: Option<String>,
    /// Its first address.
    #[schema(value_type = String)]
    pub first: IpAddr,
    /// Its last address.
    #[schema(value_type = String)]
    pub last: IpAddr,
    /// `static`, `dynamic` or `reserved`.
    pub kind: String,
    /// Why, where it is reserved.
    pub reason: String,
}

/// All pools, by address; of one subnet where it is given.
pub async fn pools(pool: &sqlx::PgPool, of: Option<Subnet>) -> Result<Vec<PoolObject>, Refusal> {
    let mut db = pool.acquire().await.map_err(crate::db::DbError::from)?;
    let rows = match of {
        Some(network) => {
            let id = existing_subnet(&subnets::all(&mut db).await?, network)?.id;
            pools::of_subnets(&mut db, Some(&[id])).await?
        }
        None => pools::of_subnets(&mut db, None).await?,
    };
    let object = |row: PoolRow| PoolObject { subnet: row.network, name: row.name, first: row.first, last: row.last, kind: row.kind, reason: row.reason };
    Ok(rows.into_iter().map(object).collect())
}

/// A container as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ContainerObject {
    /// The network.
    #[schema(value_type = String)]
    pub network: Subnet,
    /// What it is for.
    pub purpose: String,
    /// How many subnets lie in it.
    pub subnets: i64,
}

/// All containers, by network.
pub async fn containers(pool: &sqlx::PgPool) -> Result<Vec<ContainerObject>, crate::db::DbError> {
    let rows = pools::containers(&mut *pool.acquire().await?).await?;
    Ok(rows.into_iter().map(|row| ContainerObject { network: row.network, purpose: row.purpose, subnets: row.subnets }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(container: &str, length: u8, taken: &[&str], expected: Option<&str>) {
        let net = |text: &str| text.parse::<Subnet>().unwrap();
        assert_eq!(first_gap(net(container), length, taken.iter().map(|text| net(text))), expected.map(net), "/{length} in {container}");
    }

    #[test]
    fn the_next_subnet_is_the_first_gap_that_is_large_enough() {
        check("10.1.0.0/16", 24, &[], Some("10.1.0.0/24"));
        check("10.1.0.0/16", 26, &["10.1.0.0/26", "10.1.0.128/25"], Some("10.1.0.64/26"));
        check("10.1.0.0/16", 24, &["10.1.0.64/26", "10.1.1.0/24"], Some("10.1.2.0/24"));
        check("10.1.0.0/23", 24, &["10.1.0.0/24", "10.1.1.128/25"], None);
        check("10.1.0.0/16", 8, &[], None);
        check("10.1.0.0/16", 33, &[], None);
        check("2001:db8::/48", 64, &["2001:db8::/64", "2001:db8:0:1::/64"], Some("2001:db8:0:2::/64"));
        check("255.255.255.0/24", 25, &["255.255.255.0/25", "255.255.255.128/26"], None);
    }
}
