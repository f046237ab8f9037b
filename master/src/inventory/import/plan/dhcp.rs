//! What configurations of other DHCP servers say: subnets with what they are told, pools, reservations.

use super::hosts::zone_addresses;
use super::records::ScannedZone;
use super::{DNS_SERVERS, DOMAIN, Planner, ROUTERS, give_to_subnet, new_subnet};
use crate::inventory::boot::BootDefaults;
use crate::inventory::import::bootptab::Effective;
use crate::inventory::import::dhcp::{DhcpConfig, DhcpSubnet};
use crate::inventory::{OptionDraft, SubnetDraft};
use holdfast_proto::words::{DomainName, Subnet};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};

/// DHCP option codes, RFC 2132.
const MASK: u8 = 1;
const HOST_NAME: u8 = 12;
const LEASE_SECS: u8 = 51;

impl Planner<'_> {
    pub(super) fn add_dhcp_subnets(&mut self, subnets: Vec<DhcpSubnet>) {
        for subnet in subnets {
            let network = subnet.network;
            let other = self.overlapping(network);
            if let Some(other) = other.filter(|other| *other != network) {
                let message = format!("{network} overlaps {other} of campus {}: correct one of them", self.subnets[&other].draft.campus);
                self.error(subnet.place, message);
                continue;
            }
            if other.is_none() {
                let Some(campus) = subnet.campus.clone().or_else(|| self.hints.campus.map(str::to_owned)) else {
                    let message = format!("nothing says to which campus {network} belongs: give --campus, or import a table of subnets in the same call");
                    self.error_once(subnet.place, message);
                    continue;
                };
                self.need_campus(&campus, &subnet.place);
                self.put_subnet(subnet.place.clone(), new_subnet(network, campus, None), true);
            }
            for (place, first, last) in &subnet.pools {
                self.add_pool(place, (*first).into(), (*last).into());
            }
            self.tell_subnet(subnet);
        }
    }

    /// A new subnet learns what nothing else said of it; one that is known stays as it is.
    fn tell_subnet(&mut self, subnet: DhcpSubnet) {
        let (pooled, only_some) = subnet.pooled();
        if !only_some.is_empty() {
            let codes: Vec<String> = only_some.iter().map(u8::to_string).collect();
            let message = format!("{}: options {} of a pool are left out: pools here tell what their subnet does", subnet.network, codes.join(", "));
            self.findings.warn("left-out", message, [subnet.place.clone()]);
        }
        let said = draft_of(&subnet, &pooled);
        let told = &subnet.told;
        let planned = self.subnets.get_mut(&subnet.network).expect("it was just put there");
        let (mut differing, new) = (Vec::new(), planned.new);
        merge(&mut planned.draft, said, new, &mut differing);
        planned.is_told |= new;
        let pooled: BTreeMap<u8, Vec<u8>> = pooled.into_iter().filter(|(code, value)| says(&planned.draft, *code, value)).collect();
        let place = planned.place.clone();
        self.pooled.insert(subnet.network, pooled);
        if !new {
            if told.boot_file.is_some() || told.next_server.is_some() || told.server_name.is_some() {
                differing.push("its boot file and server".to_owned());
            }
            self.out.same.push((subnet.place.clone(), format!("subnet {}", subnet.network)));
        } else if told.boot_file.is_some() || told.next_server.is_some() || told.server_name.is_some() {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let (server_name, boot_file) = (text(&told.server_name), text(&told.boot_file));
            let parameters = BootDefaults { next_server: told.next_server, server_name, boot_file, ..BootDefaults::default() };
            match self.defaults_at.get(&subnet.network).map(|at| &self.out.defaults[*at].2) {
                Some(other) if *other == parameters => {}
                Some(_) => differing.push("its boot file and server".to_owned()),
                None => {
                    self.defaults_at.insert(subnet.network, self.out.defaults.len());
                    self.out.defaults.push((subnet.place.clone(), subnet.network, parameters));
                }
            }
        }
        if !differing.is_empty() {
            let message = format!("{} is told otherwise in {}: it stays as it is", subnet.network, differing.join(", "));
            self.findings.warn("subnet-differs", message, [subnet.place, place]);
        }
    }

    pub(super) fn add_dhcp_entries(&mut self, config: DhcpConfig, zones: &[ScannedZone]) {
        self.out.errors.extend(config.errors);
        for note in config.notes {
            self.findings.warn("left-out", note.message, [note.place]);
        }
        self.findings.warn_more("left-out", config.more_notes);
        let addresses = zone_addresses(zones);
        let names: HashMap<IpAddr, &DomainName> = addresses.iter().flat_map(|(name, said)| said.iter().map(move |(address, _)| (*address, *name))).collect();
        for mut entry in config.entries {
            let Some(address) = entry.effective.address.map(IpAddr::from) else { continue };
            let Some(subnet) = self.subnet_of(address) else {
                let message = format!("{address} of \"{}\" lies in no known subnet: import the subnet first", entry.name);
                self.error(entry.place, message);
                continue;
            };
            if entry.name.is_empty() {
                let known = self.by_address.get(&address).map(|(index, _)| self.hosts[*index].draft.name.domain().without_dot());
                let Some(name) = known.or_else(|| names.get(&address).map(|name| name.without_dot())) else {
                    self.error(entry.place, format!("the reservation of {address} has no name, and nothing else says whose the address is"));
                    continue;
                };
                entry.name = name;
            }
            if entry.effective.domain.is_none() {
                entry.effective.domain = self.subnets[&subnet].draft.domain.as_ref().map(DomainName::without_dot);
            }
            // Routers of its own are compared with the subnet's.
            let options = &mut entry.effective.boot.options;
            if let Some(at) = options.iter().position(|option| option.code == ROUTERS) {
                let routers = options.remove(at).value.unwrap_or_default();
                entry.effective.gateways = routers.chunks_exact(4).map(|four| Ipv4Addr::new(four[0], four[1], four[2], four[3])).collect();
            }
            if let Some(pooled) = self.pooled.get(&subnet) {
                except(&mut entry.effective, pooled);
            }
            if let Some((name, address)) = self.identify(&entry, &addresses) {
                self.add_entry(entry, name, address, &addresses);
            }
        }
    }
}

/// Takes away from a machine what the subnet tells for its pools' sake alone, and says nothing where the machine is told the same.
fn except(effective: &mut Effective, pooled: &BTreeMap<u8, Vec<u8>>) {
    let options = &mut effective.boot.options;
    for (code, value) in pooled {
        let is_told_otherwise = match *code {
            ROUTERS => !effective.gateways.is_empty(),
            HOST_NAME => effective.boot.send_host_name,
            _ => false,
        };
        match options.iter().position(|option| option.code == *code) {
            Some(at) if options[at].value.as_ref() == Some(value) => drop(options.remove(at)),
            None if !is_told_otherwise => options.push(OptionDraft { code: *code, value: None }),
            _ => {}
        }
    }
    options.sort_by_key(|option| option.code);
}

/// Whether a subnet tells this option so.
fn says(draft: &SubnetDraft, code: u8, value: &[u8]) -> bool {
    let octets = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(_) => vec![],
    };
    let kept_elsewhere = match code {
        ROUTERS => draft.gateway.as_ref().map(octets),
        DNS_SERVERS => Some(draft.dns_servers.iter().flat_map(octets).collect()),
        DOMAIN => draft.domain.as_ref().map(|domain| domain.without_dot().into_bytes()),
        _ => None,
    };
    // Names are the same in any case, and addresses are not.
    let is_it = |kept: Vec<u8>| if code == DOMAIN { kept.eq_ignore_ascii_case(value) } else { kept == value };
    kept_elsewhere.is_some_and(is_it) || draft.options.iter().any(|option| option.code == code && option.value.as_deref() == Some(value))
}

/// The subnet as the configuration alone would have it, with what its pools say.
fn draft_of(subnet: &DhcpSubnet, pooled: &BTreeMap<u8, Vec<u8>>) -> SubnetDraft {
    let mut draft = new_subnet(subnet.network, String::new(), None);
    let mut options = subnet.told.options.clone();
    options.extend(pooled.clone());
    if let Some(router) = options.get(&ROUTERS).and_then(|bytes| <[u8; 4]>::try_from(bytes.as_slice()).ok()).map(IpAddr::from)
        && subnet.network.can_hold(router)
    {
        options.remove(&ROUTERS);
        draft.gateway = Some(router);
    }
    let is_its_mask = |bytes: &Vec<u8>| IpAddr::from(<[u8; 4]>::try_from(bytes.as_slice()).unwrap_or_default()) == mask_of(subnet.network);
    if options.get(&MASK).is_some_and(is_its_mask) {
        options.remove(&MASK);
    }
    let lease = subnet.told.lease_secs.map(|secs| (LEASE_SECS, secs.to_be_bytes().to_vec()));
    options.extend(lease);
    if let Some(secs) = subnet.pool_lease_secs.or(subnet.told.lease_secs) {
        draft.pool_lease_secs = secs;
    }
    for (code, value) in options {
        give_to_subnet(&mut draft, OptionDraft { code, value: Some(value) });
    }
    draft
}

fn mask_of(network: Subnet) -> IpAddr {
    network.net().netmask()
}

/// Works what was said into a subnet: where it says nothing itself, and only where it is new. What differs is named.
fn merge(draft: &mut SubnetDraft, said: SubnetDraft, new: bool, differing: &mut Vec<String>) {
    if said.gateway.is_some() && said.gateway != draft.gateway {
        if new && draft.gateway.is_none() { draft.gateway = said.gateway } else { differing.push("its router".to_owned()) }
    }
    if said.domain.is_some() && said.domain != draft.domain {
        if new && draft.domain.is_none() { draft.domain = said.domain } else { differing.push("its domain".to_owned()) }
    }
    if !said.dns_servers.is_empty() && said.dns_servers != draft.dns_servers {
        if new && draft.dns_servers.is_empty() { draft.dns_servers = said.dns_servers } else { differing.push("its DNS servers".to_owned()) }
    }
    if said.pool_lease_secs != SubnetDraft::pool_lease_default() && new {
        draft.pool_lease_secs = said.pool_lease_secs;
    }
    for option in said.options {
        match draft.options.iter().find(|held| held.code == option.code) {
            Some(held) if *held == option => {}
            None if new => draft.options.push(option),
            _ => differing.push(format!("option {}", option.code)),
        }
    }
    draft.options.sort_by_key(|option| option.code);
}
