//! What every machine on a subnet is told at boot: worked out once, for the boxes and for the files of other servers.

use super::boot::OptionDraft;
use super::campuses::CampusRow;
use super::compose::SubnetFacts;
use super::defaults::BootDefaults;
use ipnet::Ipv4Net;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// How long a reserved host may keep its address before it asks again, where its subnet does not say: half a day, in seconds.
pub const LEASE_DEFAULT_SECS: u32 = 43_200;

/// What every host on the subnet is told: what goes without saying, over it what the subnet inherits, over that what it says
/// itself.
pub fn subnet_options(net: Ipv4Net, facts: &SubnetFacts, campuses: &[CampusRow]) -> Vec<(u8, Vec<u8>)> {
    let mut options = BTreeMap::from([(1, net.netmask().octets().to_vec()), (51, LEASE_DEFAULT_SECS.to_be_bytes().to_vec())]);
    let servers = |servers: Vec<Ipv4Addr>| (!servers.is_empty()).then(|| (6, servers.iter().flat_map(Ipv4Addr::octets).collect::<Vec<u8>>()));
    options.extend(servers(agents(facts, campuses)));
    put_options(&mut options, facts.inherited.iter().flat_map(BootDefaults::all_options));
    if let Some(IpAddr::V4(gateway)) = facts.gateway {
        options.insert(3, gateway.octets().to_vec());
    }
    options.extend(servers(facts.dns_servers.iter().copied().filter_map(only_v4).collect()));
    if let Some(domain) = &facts.domain {
        options.insert(15, domain.without_dot().into_bytes());
    }
    put_options(&mut options, facts.options.iter().cloned());
    options.into_iter().collect()
}

fn put_options(options: &mut BTreeMap<u8, Vec<u8>>, over: impl Iterator<Item = OptionDraft>) {
    for OptionDraft { code, value } in over {
        match value {
            Some(value) => drop(options.insert(code, value)),
            None => drop(options.remove(&code)),
        }
    }
}

fn only_v4(address: IpAddr) -> Option<Ipv4Addr> {
    if let IpAddr::V4(v4) = address { Some(v4) } else { None }
}

/// The agents as DNS servers: the one at home first, then the others by campus name.
fn agents(facts: &SubnetFacts, campuses: &[CampusRow]) -> Vec<Ipv4Addr> {
    let mut agents: Vec<&CampusRow> = campuses.iter().collect();
    agents.sort_by_key(|campus| (campus.name != facts.campus, &campus.name));
    agents.into_iter().filter_map(|campus| campus.service_address.and_then(only_v4)).collect()
}
