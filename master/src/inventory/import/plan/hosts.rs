//! Boot entries and addresses: which of them are one host.

use super::records::ScannedZone;
use super::{PlannedHost, Planner, ROUTERS, database, full_name};
use crate::inventory::import::bootptab::{BootEntry, Bootptab};
use crate::inventory::import::place::Place;
use crate::inventory::{HostDraft, InterfaceDraft, OptionDraft, TemplateDraft};
use holdfast_proto::words::{DomainName, HostName, Subnet};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

/// The addresses that zone files give a name, with their lines.
pub(super) type ZoneAddresses<'z> = HashMap<&'z DomainName, Vec<(IpAddr, &'z Place)>>;

/// See [`ZoneAddresses`].
pub(super) fn zone_addresses(zones: &[ScannedZone]) -> ZoneAddresses<'_> {
    let mut addresses: ZoneAddresses<'_> = HashMap::new();
    for record in zones.iter().flat_map(|zone| &zone.records) {
        if let Some(address) = super::records::address(record) {
            addresses.entry(&record.owner).or_default().push((address, &record.place));
        }
    }
    addresses
}

impl Planner<'_> {
    pub(super) fn add_bootptab(&mut self, tab: Bootptab, zones: &[ScannedZone]) {
        self.out.errors.extend(tab.errors);
        for note in tab.notes {
            self.findings.info("tag-left-out", note.message, [note.place]);
        }
        for template in tab.templates {
            let draft = TemplateDraft { name: template.name, parents: template.parents, tags: template.tags };
            self.out.templates.push((template.place, draft));
        }
        let addresses = zone_addresses(zones);
        for entry in tab.entries {
            if let Some((name, address)) = self.identify(&entry, &addresses) {
                self.add_entry(entry, name, address, &addresses);
            }
        }
    }

    /// The entry's full name and address, or errors.
    pub(super) fn identify(&mut self, entry: &BootEntry, addresses: &ZoneAddresses<'_>) -> Option<(HostName, Ipv4Addr)> {
        let name = match full_name(entry, self.hints) {
            Ok(name) => name,
            Err(message) => {
                self.error(entry.place.clone(), message);
                return None;
            }
        };
        if self.zone_of(name.domain()).is_none() {
            let domain = name.domain().parent().map(|domain| domain.without_dot()).unwrap_or_default();
            self.error_once(entry.place.clone(), format!("{domain} lies in none of our zones: import its zone file in the same call"));
            return None;
        }
        if entry.effective.hardware.is_some() && entry.effective.htype != 1 {
            let message = format!("{name}: hardware type {} cannot be stored: only Ethernet (1)", entry.effective.htype);
            self.error(entry.place.clone(), message);
            return None;
        }
        // bootpd looks the name up where there is no ip.
        let by_name = || addresses.get(name.domain()).into_iter().flatten().find_map(|(address, _)| as_v4(*address));
        let known = || self.by_name.get(name.domain()).and_then(|index| first_v4(&self.hosts[*index].draft));
        let Some(address) = entry.effective.address.or_else(by_name).or_else(known) else {
            self.error(entry.place.clone(), format!("{name} has no ip, and no address by its name"));
            return None;
        };
        Some((name, address))
    }

    pub(super) fn add_entry(&mut self, entry: BootEntry, name: HostName, address: Ipv4Addr, addresses: &ZoneAddresses<'_>) {
        let Some(subnet) = self.subnet_for(&entry, address) else { return };
        if !subnet.can_hold(address.into()) {
            self.error(entry.place, format!("{name}: {address} is the network or broadcast address of {subnet}"));
            return;
        }
        if let Some((other, place)) = self.by_address.get(&address.into()).cloned() {
            self.meet(entry, &name, address, subnet, other, place);
            return;
        }
        self.compare_with_zone(&entry, &name, address, addresses);
        if self.by_name.get(name.domain()).is_some_and(|index| self.hosts[*index].known) {
            let message = format!("{name} has another address in the database than {address}: the database's stays, and this boot entry is left out");
            self.findings.warn("address-mismatch", message, [entry.place, database()]);
            return;
        }
        if !self.claim_mac(&entry, &name, subnet) {
            return;
        }
        let place = entry.place.clone();
        let interface = self.interface(entry, address, subnet);
        self.put_interface(name, interface, address.into(), place, Some(subnet));
    }

    /// The address is taken: by this host, then the entry may add to it; by another, then it is left out.
    fn meet(&mut self, entry: BootEntry, name: &HostName, address: Ipv4Addr, subnet: Subnet, other: usize, place: Place) {
        let host = &self.hosts[other];
        if host.draft.name != *name {
            let message = format!("{address} belongs to {}: the boot entry of {name} is left out", host.draft.name);
            self.findings.warn("address-shared", message, [entry.place, place]);
            return;
        }
        let at = host.draft.interfaces.iter().position(|interface| interface.addresses.contains(&address.into())).unwrap_or_default();
        let (mac, known) = (host.draft.interfaces[at].mac, host.known);
        if mac.is_some() && mac == entry.effective.mac() && (known || place.file != entry.place.file) {
            let (boot, said) = (&host.draft.interfaces[at].boot, &entry.effective.boot);
            let differs = !said.boot_file.is_empty() && boot.boot_file != said.boot_file || said.next_server.is_some() && boot.next_server != said.next_server;
            if differs {
                let message = format!("{name} boots {} from somebody else than this entry says: the entry is left out", boot.boot_file);
                self.findings.warn("boot-mismatch", message, [entry.place.clone(), place]);
            }
            self.hosts[other].met.get_or_insert(entry.place);
            return;
        }
        if mac.is_some() || !known {
            let message = format!("{name} with address {address} has a boot entry already: this one is left out");
            self.findings.warn("hardware-mismatch", message, [entry.place, place]);
            return;
        }
        if !self.claim_mac(&entry, name, subnet) {
            return;
        }
        let place = entry.place.clone();
        let interface = self.interface(entry, address, subnet);
        let host = &mut self.hosts[other];
        host.place = place;
        host.changed = true;
        let addresses = std::mem::take(&mut host.draft.interfaces[at].addresses);
        host.draft.interfaces[at] = InterfaceDraft { addresses, ..interface };
    }

    fn compare_with_zone(&mut self, entry: &BootEntry, name: &HostName, address: Ipv4Addr, addresses: &ZoneAddresses<'_>) {
        match addresses.get(name.domain()) {
            None if self.by_name.contains_key(name.domain()) => {}
            None => {
                let message = format!("{name} has a boot entry but no address record: it gets one");
                self.findings.info("only-in-bootptab", message, [entry.place.clone()]);
            }
            Some(said) if said.iter().any(|(other, _)| *other == IpAddr::from(address)) => {}
            Some(said) => {
                let others = said.iter().map(|(other, _)| other.to_string()).collect::<Vec<_>>().join(" and ");
                let message = format!("{name} boots with {address} but its zone file says {others}: the boot entry's address is served");
                self.overruled.insert(name.domain().clone());
                let places = std::iter::once(entry.place.clone()).chain(said.iter().map(|(_, place)| (*place).clone()));
                self.findings.warn("address-mismatch", message, places);
            }
        }
    }

    /// One hardware address once in a subnet; a second cannot be stored.
    fn claim_mac(&mut self, entry: &BootEntry, name: &HostName, subnet: Subnet) -> bool {
        let Some(mac) = entry.effective.mac() else { return true };
        if let Some(first) = self.macs.get(&(subnet, mac)) {
            let message = format!("{name}: {mac} has a boot entry in {subnet} already ({first}), where bootpd ignores a second: remove one");
            self.error(entry.place.clone(), message);
            return false;
        }
        self.macs.insert((subnet, mac), entry.place.clone());
        true
    }

    /// The interface of an entry; a gateway that is not the subnet's becomes an option of its own.
    fn interface(&self, entry: BootEntry, address: Ipv4Addr, subnet: Subnet) -> InterfaceDraft {
        let mac = entry.effective.mac();
        let mut boot = entry.effective.boot;
        let gateways = entry.effective.gateways;
        let usual = self.subnets[&subnet].draft.gateway;
        if !gateways.is_empty() && (gateways.len() > 1 || usual != Some(gateways[0].into())) {
            boot.options.retain(|option| option.code != ROUTERS);
            boot.options.push(OptionDraft { code: ROUTERS, value: Some(gateways.iter().flat_map(Ipv4Addr::octets).collect()) });
            boot.options.sort_by_key(|option| option.code);
        }
        InterfaceDraft { mac, addresses: vec![address.into()], next: vec![], templates: entry.parents, boot }
    }

    /// Gives an interface to the host of this name, which is made where there is none. `booted` is the subnet of a boot entry.
    pub(super) fn put_interface(&mut self, name: HostName, interface: InterfaceDraft, address: IpAddr, place: Place, booted: Option<Subnet>) {
        let domain = name.domain().clone();
        let index = match self.by_name.get(&domain) {
            Some(index) => *index,
            None => {
                self.hosts.push(PlannedHost { place: place.clone(), draft: HostDraft::named(name), known: false, changed: false, met: None });
                self.by_name.insert(domain, self.hosts.len() - 1);
                self.hosts.len() - 1
            }
        };
        let interfaces = &mut self.hosts[index].draft.interfaces;
        interfaces.push(interface);
        let at = interfaces.len() - 1;
        self.by_address.insert(address, (index, place));
        if let Some(planned) = booted.and_then(|subnet| self.subnets.get_mut(&subnet)) {
            planned.booted.push((index, at));
        }
    }
}

fn as_v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    }
}

fn first_v4(host: &HostDraft) -> Option<Ipv4Addr> {
    host.interfaces.iter().flat_map(|interface| &interface.addresses).find_map(|address| as_v4(*address))
}
