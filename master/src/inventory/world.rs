//! What the rules ask about: who has which name, address and hardware address, and where things belong.
//!
//! It is loaded once for a batch of drafts by a handful of queries. A draft that passes is added to it, so that two drafts of one
//! batch cannot both have the same name. The rules on top of it are pure.

use super::particulars;
use crate::db::equipment::Words;
use crate::db::pools::{self, PoolRow};
use crate::db::quarantine::HeldRow;
use crate::db::zones::{self, NodeUse, ZoneIndex};
use crate::db::{DbError, hosts, subnets};
use crate::inventory::HostDraft;
use holdfast_proto::words::{DomainName, HostName, Mac, Subnet};
use sqlx::PgConnection;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use uuid::Uuid;

/// A host that has something, by identity and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// Its identity.
    pub id: Uuid,
    /// Its name.
    pub name: HostName,
}

/// The state of the database as far as a batch of drafts is concerned.
#[derive(Debug, Default)]
pub(super) struct World {
    /// Our zones.
    pub zones: ZoneIndex,
    /// Names in use.
    pub names: HashMap<DomainName, NodeUse>,
    /// Addresses in use.
    pub addresses: HashMap<IpAddr, Owner>,
    /// Hardware addresses in use, by subnet.
    pub macs: HashMap<(i64, Mac), Owner>,
    /// Wanted addresses that are in quarantine.
    pub held: HashMap<IpAddr, HeldRow>,
    /// Pools of the subnets concerned in which no host has its own address.
    pools: Vec<PoolRow>,
    /// Departments, classes, contacts and asset tags that the drafts speak of.
    pub words: Words,
    networks: HashMap<Subnet, i64>,
    lengths: BTreeSet<u8>,
}

impl World {
    /// What these drafts could collide with.
    pub async fn load(db: &mut PgConnection, drafts: &[&HostDraft]) -> Result<Self, DbError> {
        let names = drafts.iter().flat_map(|draft| [draft.name.domain()].into_iter().chain(&draft.aliases).chain(&draft.names));
        let mut world = Self::of_names(db, names.map(DomainName::without_dot).collect()).await?;
        world.place(subnets::networks(db).await?);
        let interfaces = || drafts.iter().flat_map(|draft| &draft.interfaces);
        let addresses: Vec<String> = interfaces().flat_map(|iface| &iface.addresses).map(IpAddr::to_string).collect();
        let subnets: HashSet<i64> =
            interfaces().flat_map(|iface| &iface.addresses).filter_map(|address| world.subnet_of(*address)).map(|(subnet, _)| subnet).collect();
        let subnets: Vec<i64> = subnets.into_iter().collect();
        world.pools = pools::of_subnets(db, Some(&subnets)).await?.into_iter().filter(|pool| pool.kind != "static").collect();
        world.held = super::quarantine::among(db, &subnets, &addresses).await?;
        let owners = hosts::address_owners(db, &addresses).await?;
        world.addresses = owners.into_iter().map(|(address, id, name)| (address, Owner { id, name })).collect();
        let macs: Vec<String> = interfaces().filter_map(|iface| iface.mac).map(|mac| mac.to_string()).collect();
        let owners = hosts::mac_owners(db, &macs).await?;
        world.words = particulars::words(db, drafts).await?;
        world.macs = owners.into_iter().map(|(subnet, mac, id, name)| ((subnet, mac), Owner { id, name })).collect();
        Ok(world)
    }

    /// What these names are used for, and our zones; no addresses.
    pub async fn of_names(db: &mut PgConnection, names: Vec<String>) -> Result<Self, DbError> {
        let zones = ZoneIndex::new(zones::all(db).await?);
        let uses = zones::uses(db, &names).await?;
        Ok(Self { zones, names: uses.into_iter().map(|used| (used.name.clone(), used)).collect(), ..Self::default() })
    }

    /// Takes the subnets in.
    pub fn place(&mut self, networks: Vec<(i64, Subnet)>) {
        self.lengths = networks.iter().map(|(_, network)| network.net().prefix_len()).collect();
        self.networks = networks.into_iter().map(|(id, network)| (network, id)).collect();
    }

    /// The pool of another kind that an address lies in.
    pub fn pool_of(&self, subnet: i64, address: IpAddr) -> Option<&PoolRow> {
        self.pools.iter().find(|pool| pool.subnet == subnet && pool.first <= address && address <= pool.last)
    }

    /// The subnet that an address lies in. They do not overlap, so there is at most one.
    pub fn subnet_of(&self, address: IpAddr) -> Option<(i64, Subnet)> {
        self.lengths.iter().find_map(|length| {
            let network = Subnet::around(address, *length)?;
            self.networks.get(&network).map(|id| (*id, network))
        })
    }
}
