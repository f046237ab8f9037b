//! Makes addresses of wishes. Whoever does this holds the row locks of the subnets concerned until the end of the transaction,
//! so two who want the next free address wait for each other and get different ones.

use super::wanted::{NextFree, Policy, Range, Wanted};
use super::world::World;
use super::{HostDraft, Problem, Refusal};
use crate::db::free::{self, Wanted as Suitable};
use crate::db::pools::{self, PoolRow};
use crate::db::{DbError, quarantine, subnets};
use holdfast_proto::words::Subnet;
use sqlx::PgConnection;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;

/// A stretch of a subnet that addresses are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Source {
    subnet: i64,
    network: Subnet,
    first: IpAddr,
    last: IpAddr,
}

/// The drafts with addresses in the place of wishes. `at` gives the pointer to a draft; `also` are further subnets that the
/// edit will touch. Their locks are taken here, all in one order.
pub(super) async fn resolve<'d>(
    db: &mut PgConnection,
    drafts: &'d [HostDraft],
    also: &[i64],
    at: impl Fn(usize) -> String,
) -> Result<Cow<'d, [HostDraft]>, Refusal> {
    let mut places = World::default();
    places.place(subnets::networks(db).await?);
    let given: Vec<IpAddr> = drafts.iter().flat_map(|draft| &draft.interfaces).flat_map(|iface| iface.addresses.iter().copied()).collect();
    let mut concerned: HashSet<i64> =
        given.iter().filter_map(|address| places.subnet_of(*address)).map(|(subnet, _)| subnet).chain(also.iter().copied()).collect();
    let sources = sources(db, drafts, &places, at).await?;
    concerned.extend(sources.values().flatten().map(|source| source.subnet));
    free::lock(db, &concerned.into_iter().collect::<Vec<_>>()).await?;
    if sources.is_empty() {
        return Ok(Cow::Borrowed(drafts));
    }
    let mut supply = Supply { limit: (sources.len() + given.len()) as i64, taken: given.into_iter().collect(), ranges: HashMap::new() };
    Ok(Cow::Owned(fill(db, drafts, &sources, &mut supply).await?))
}

/// Which address somebody would get now who asks for the next free one: nothing is kept for him.
pub(super) async fn next_of(db: &mut PgConnection, network: Subnet, count: usize) -> Result<Vec<IpAddr>, Refusal> {
    let missing = || Refusal::Missing(Problem::new("no-such-subnet", "", format!("there is no subnet {network}")));
    let id = subnets::networks(db).await?.into_iter().find(|(_, known)| *known == network).map(|(id, _)| id).ok_or_else(missing)?;
    let source = whole(id, network);
    let mut supply = Supply { limit: count as i64, taken: HashSet::new(), ranges: HashMap::new() };
    let mut found = Vec::new();
    while found.len() < count
        && let Some(address) = supply.next(db, source).await?
    {
        found.push(address);
    }
    if found.is_empty() { Err(exhausted("", &[source])) } else { Ok(found) }
}

/// Where each wish may be satisfied, in order of preference; by draft, interface and place.
type Sources = HashMap<(usize, usize, usize), Vec<Source>>;

async fn sources(db: &mut PgConnection, drafts: &[HostDraft], places: &World, at: impl Fn(usize) -> String) -> Result<Sources, Refusal> {
    let (mut sources, mut problems, mut pools) = (Sources::new(), Vec::new(), None);
    for (n, draft) in drafts.iter().enumerate() {
        for (m, iface) in draft.interfaces.iter().enumerate() {
            for wanted in &iface.next {
                if pools.is_none() && matches!(wanted.next, NextFree::Range(Range::Pool(_))) {
                    pools = Some(pools::of_subnets(db, None).await?);
                }
                let pointer = format!("{}/interfaces/{m}/addresses/{}/next", at(n), wanted.place);
                match sources_of(db, wanted, places, pools.as_deref().unwrap_or_default()).await? {
                    Ok(found) => drop(sources.insert((n, m, wanted.place), found)),
                    Err((kind, detail)) => problems.push(Problem::new(kind, pointer, detail)),
                }
            }
        }
    }
    super::places::refuse(problems).map(|()| sources)
}

type Wrong = (&'static str, String);

async fn sources_of(db: &mut PgConnection, wanted: &Wanted, places: &World, pools: &[PoolRow]) -> Result<Result<Vec<Source>, Wrong>, DbError> {
    Ok(match &wanted.next {
        NextFree::Subnet(network) => match places.subnet_of(network.net().network()) {
            Some((subnet, known)) if known == *network => Ok(vec![whole(subnet, known)]),
            _ => Err(("no-such-subnet", format!("there is no subnet {network}"))),
        },
        NextFree::Range(Range::Between(first, last)) => match (places.subnet_of(*first), places.subnet_of(*last)) {
            (Some((subnet, network)), Some((other, _))) if subnet == other => Ok(vec![Source { subnet, network, first: *first, last: *last }]),
            _ => Err(("no-such-subnet", format!("{first}-{last} does not lie in one of our subnets"))),
        },
        NextFree::Range(Range::Pool(name)) => match pools.iter().find(|pool| pool.name.as_ref() == Some(name)) {
            Some(pool) if pool.kind == "static" => Ok(vec![Source { subnet: pool.subnet, network: pool.network, first: pool.first, last: pool.last }]),
            Some(pool) => Err(("address-in-other-pool", format!("the pool {name} is {}: no host gets an address of its own from it", pool.kind))),
            None => Err(("no-such-pool", format!("there is no pool {name}"))),
        },
        NextFree::Policy(policy) => by_policy(db, policy).await?,
    })
}

async fn by_policy(db: &mut PgConnection, policy: &Policy) -> Result<Result<Vec<Source>, Wrong>, DbError> {
    let Policy { campus, department, vlan, class, family } = policy;
    let family = family.unwrap_or(4);
    if family != 4 && family != 6 {
        return Ok(Err(("no-such-family", format!("{family} is no version of IP: give 4 or 6"))));
    }
    let wanted = Suitable {
        campus: campus.as_deref(),
        department: department.as_deref(),
        vlan: vlan.map(i32::from),
        class: class.as_deref(),
        family: i32::from(family),
    };
    let found: Vec<Source> = free::suitable(db, wanted).await?.into_iter().map(|(subnet, network)| whole(subnet, network)).collect();
    Ok(if found.is_empty() {
        Err(("no-such-subnet", "no subnet is like that: give fewer conditions, or set the classes of a subnet".to_owned()))
    } else {
        Ok(found)
    })
}

fn whole(subnet: i64, network: Subnet) -> Source {
    Source { subnet, network, first: network.net().network(), last: network.net().broadcast() }
}

async fn fill(db: &mut PgConnection, drafts: &[HostDraft], sources: &Sources, supply: &mut Supply) -> Result<Vec<HostDraft>, Refusal> {
    let (mut filled, mut problems) = (drafts.to_vec(), Vec::new());
    for (n, draft) in filled.iter_mut().enumerate() {
        for (m, iface) in draft.interfaces.iter_mut().enumerate() {
            for wanted in std::mem::take(&mut iface.next) {
                let from = &sources[&(n, m, wanted.place)];
                match supply.first_of(db, from).await? {
                    Some(address) => iface.addresses.insert(wanted.place.min(iface.addresses.len()), address),
                    None => problems.push(format!("/interfaces/{m}/addresses/{}/next", wanted.place)),
                }
            }
        }
        if let Some(pointer) = problems.first() {
            let prefix = if drafts.len() > 1 { format!("/{n}") } else { String::new() };
            let from = sources.iter().find(|((of, ..), _)| *of == n).map_or(&[][..], |(_, from)| from);
            return Err(exhausted(&format!("{prefix}{pointer}"), from));
        }
    }
    Ok(filled)
}

fn exhausted(pointer: &str, from: &[Source]) -> Refusal {
    let names: Vec<String> = from.iter().map(|source| source.network.to_string()).collect();
    let detail = format!("nothing is free in {}: `holdfast subnet show` tells what is used, excluded and quarantined", names.join(", "));
    Problem::new("no-free-address", pointer, detail).into()
}

/// What can be handed out, read as far as it is needed.
struct Supply {
    /// So many ranges are enough, as each has at least one address.
    limit: i64,
    taken: HashSet<IpAddr>,
    ranges: HashMap<Source, VecDeque<(IpAddr, IpAddr)>>,
}

impl Supply {
    async fn first_of(&mut self, db: &mut PgConnection, sources: &[Source]) -> Result<Option<IpAddr>, DbError> {
        for source in sources {
            if let Some(address) = self.next(db, *source).await? {
                return Ok(Some(address));
            }
        }
        Ok(None)
    }

    async fn next(&mut self, db: &mut PgConnection, source: Source) -> Result<Option<IpAddr>, DbError> {
        if !self.ranges.contains_key(&source) {
            let mut ranges = free::ranges(db, source.subnet, source.first, source.last, self.limit).await?;
            // What nothing holds any more is given free within seconds; whoever finds nothing else need not wait for that.
            if ranges.is_empty() && quarantine::release_due(db, Some(&[source.subnet]), i32::MAX).await? > 0 {
                ranges = free::ranges(db, source.subnet, source.first, source.last, self.limit).await?;
            }
            self.ranges.insert(source, ranges.into_iter().map(|(first, last)| (first.max(source.first), last.min(source.last))).collect());
        }
        let ranges = self.ranges.entry(source).or_default();
        while let Some((first, last)) = ranges.pop_front() {
            if let Some(next) = after(first).filter(|next| *next <= last) {
                ranges.push_front((next, last));
            }
            if self.taken.insert(first) {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }
}

/// The next address; `None` behind the last of its family.
pub(super) fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(v6) => v6.to_bits().checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    }
}
