//! The order of every file, by campus and building, and what each machine is told where it boots.

use super::Estate;
use crate::db::boot::BootParameters;
use crate::db::campuses::CampusRow;
use crate::db::compose::SubnetFacts;
use crate::db::defaults::{BootDefaults, Level, inherited};
use crate::db::told;
use crate::inventory::{HostDraft, InterfaceDraft, SubnetDraft};
use holdfast_proto::words::{Mac, Subnet};
use ipnet::{IpNet, Ipv4Net};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

/// A machine's place: one interface, one address, one subnet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat<'e> {
    pub campus: &'e str,
    pub building: &'e str,
    pub address: IpAddr,
    pub subnet: Option<&'e SubnetDraft>,
    pub host: &'e HostDraft,
    pub interface: &'e InterfaceDraft,
}

/// Finds subnets by their addresses.
pub(super) struct Map<'e> {
    subnets: HashMap<Subnet, &'e SubnetDraft>,
    lengths: Vec<(bool, u8)>,
}

impl<'e> Map<'e> {
    pub(super) fn of(estate: &'e Estate) -> Self {
        let subnets: HashMap<Subnet, &SubnetDraft> = estate.subnets.iter().map(|subnet| (subnet.network, subnet)).collect();
        let mut lengths: Vec<(bool, u8)> = subnets.keys().map(|network| (network.net().addr().is_ipv4(), network.net().prefix_len())).collect();
        lengths.sort_unstable();
        lengths.dedup();
        Self { subnets, lengths }
    }

    pub(super) fn around(&self, address: IpAddr) -> Option<&'e SubnetDraft> {
        let fitting = self.lengths.iter().filter(|(is_v4, _)| *is_v4 == address.is_ipv4());
        fitting.filter_map(|(_, length)| self.subnets.get(&Subnet::around(address, *length)?).copied()).next()
    }
}

/// All places, by campus, building and address.
pub(super) fn seats<'e>(estate: &'e Estate, map: &Map<'e>) -> Vec<Seat<'e>> {
    let mut seats = Vec::new();
    for host in &estate.hosts {
        for interface in &host.interfaces {
            for address in &interface.addresses {
                let subnet = map.around(*address);
                let campus = subnet.map_or("", |subnet| subnet.campus.as_str());
                seats.push(Seat { campus, building: &host.equipment.building, address: *address, subnet, host, interface });
            }
        }
    }
    seats.sort_by(|a, b| (a.campus, a.building, a.address, &a.host.name).cmp(&(b.campus, b.building, b.address, &b.host.name)));
    seats
}

/// A machine that boots somewhere: of several addresses in one subnet it is given the lowest, as the boxes do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Booting<'e> {
    pub seat: Seat<'e>,
    pub address: Ipv4Addr,
    pub mac: Mac,
    pub subnet: &'e SubnetDraft,
}

/// The machines that boot, by campus, building and address.
pub(super) fn booting<'e>(seats: &[Seat<'e>]) -> Vec<Booting<'e>> {
    let mut seen: HashMap<(Subnet, Mac), Booting<'e>> = HashMap::new();
    for seat in seats {
        let (IpAddr::V4(address), Some(mac), Some(subnet)) = (seat.address, seat.interface.mac, seat.subnet) else { continue };
        let booting = Booting { seat: *seat, address, mac, subnet };
        let held = seen.entry((subnet.network, mac)).or_insert(booting);
        if address < held.address {
            *held = booting;
        }
    }
    let mut all: Vec<Booting<'e>> = seen.into_values().collect();
    all.sort_by(|a, b| (a.seat.campus, a.seat.building, a.address).cmp(&(b.seat.campus, b.seat.building, b.address)));
    all
}

/// What machines of a subnet are told.
pub(super) struct SubnetTold {
    /// Options by code, with the mask and the lease.
    pub options: BTreeMap<u8, Vec<u8>>,
    /// What goes beside the options.
    pub boot: BootParameters,
}

/// What is inherited, by level.
pub(super) struct Levels<'e> {
    by: HashMap<(Level, &'e str), &'e BootDefaults>,
    campuses: Vec<CampusRow>,
}

impl<'e> Levels<'e> {
    pub(super) fn of(estate: &'e Estate) -> Self {
        let by = estate.defaults.iter().map(|row| ((row.level, row.object.as_str()), &row.parameters)).collect();
        let row =
            |campus: &crate::inventory::CampusDraft| CampusRow { id: 0, name: campus.name.clone(), service_address: campus.service_address, backup: None };
        Self { by, campuses: estate.campuses.iter().map(row).collect() }
    }

    /// What a subnet inherits, the institution first.
    fn outer(&self, subnet: &SubnetDraft) -> Vec<BootDefaults> {
        let network = subnet.network.to_string();
        let levels = [(Level::Institution, ""), (Level::Campus, subnet.campus.as_str()), (Level::Subnet, network.as_str())];
        levels.into_iter().filter_map(|level| self.by.get(&level).map(|said| (*said).clone())).collect()
    }

    pub(super) fn subnet(&self, subnet: &SubnetDraft, net: Ipv4Net) -> SubnetTold {
        let mut outer = self.outer(subnet);
        let facts = SubnetFacts {
            network: subnet.network,
            campus: subnet.campus.clone(),
            gateway: subnet.gateway,
            domain: subnet.domain.clone(),
            dns_servers: subnet.dns_servers.clone(),
            options: subnet.options.clone(),
            inherited: outer.clone(),
        };
        let options = told::subnet_options(net, &facts, &self.campuses).into_iter().collect();
        outer.reverse();
        SubnetTold { options, boot: inherited(BootParameters { options: vec![], ..BootParameters::default() }, None, &outer) }
    }

    /// What a machine is told over the options of its subnet, with all that it inherits.
    pub(super) fn machine(&self, booting: &Booting<'_>) -> BootParameters {
        let mut outer = self.outer(booting.subnet);
        outer.reverse();
        let class = booting.seat.host.equipment.class.as_deref().and_then(|class| self.by.get(&(Level::Class, class)).copied());
        inherited(booting.seat.interface.boot.clone(), class, &outer)
    }
}

/// The IPv4 network of a subnet.
pub(super) fn v4(subnet: &SubnetDraft) -> Option<Ipv4Net> {
    match subnet.network.net() {
        IpNet::V4(net) => Some(net),
        IpNet::V6(_) => None,
    }
}

/// A subnet with its machines, as DHCP servers want them.
pub(super) struct Scope<'e> {
    pub subnet: &'e SubnetDraft,
    pub net: Ipv4Net,
    /// What all its machines are told.
    pub told: SubnetTold,
    /// Options that are said to each machine in place of the subnet, and so to each pool: their clients have no exceptions.
    pub pooled: BTreeMap<u8, Vec<u8>>,
    /// Its machines by building and address, with what each is told beyond that.
    pub machines: Vec<(Booting<'e>, BootParameters)>,
    /// Its dynamic pools.
    pub pools: Vec<(Ipv4Addr, Ipv4Addr)>,
}

/// All IPv4 subnets by campus and network.
///
/// Other servers have no way to take an inherited option away from one machine, so an option that any machine of a subnet is not to have is
/// said to each of the others, and to the pools, in place of the subnet.
pub(super) fn scopes(estate: &Estate) -> Vec<Scope<'_>> {
    let map = Map::of(estate);
    let levels = Levels::of(estate);
    let mut machines: HashMap<Subnet, Vec<Booting<'_>>> = HashMap::new();
    for booting in booting(&seats(estate, &map)) {
        machines.entry(booting.subnet.network).or_default().push(booting);
    }
    let mut subnets: Vec<(&SubnetDraft, Ipv4Net)> = estate.subnets.iter().filter_map(|subnet| Some((subnet, v4(subnet)?))).collect();
    subnets.sort_by_key(|(subnet, _)| (&subnet.campus, subnet.network));
    let mut out = Vec::new();
    for (subnet, net) in subnets {
        let mut told = levels.subnet(subnet, net);
        let of = machines.remove(&subnet.network).unwrap_or_default();
        let mut of: Vec<(Booting<'_>, BootParameters)> = of.into_iter().map(|booting| (booting, levels.machine(&booting))).collect();
        let pooled = spread_what_is_taken_away(&mut told, &mut of);
        let inside = estate.pools.iter().filter(|pool| pool.kind == crate::inventory::PoolKind::Dynamic);
        let v4 = inside.filter_map(|pool| match (pool.first, pool.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) if net.contains(&first) => Some((first, last)),
            _ => None,
        });
        let mut pools: Vec<(Ipv4Addr, Ipv4Addr)> = v4.collect();
        pools.sort_unstable();
        out.push(Scope { subnet, net, told, pooled, machines: of, pools });
    }
    out
}

fn spread_what_is_taken_away(told: &mut SubnetTold, machines: &mut [(Booting<'_>, BootParameters)]) -> BTreeMap<u8, Vec<u8>> {
    let mut spread = BTreeMap::new();
    let gone: HashSet<u8> = machines.iter().flat_map(|(_, boot)| &boot.options).filter(|option| option.value.is_none()).map(|option| option.code).collect();
    for code in gone {
        let Some(value) = told.options.remove(&code) else { continue };
        for (_, boot) in machines.iter_mut() {
            if !boot.options.iter().any(|option| option.code == code) {
                boot.options.push(crate::inventory::OptionDraft { code, value: Some(value.clone()) });
                boot.options.sort_by_key(|option| option.code);
            }
        }
        spread.insert(code, value);
    }
    spread
}
