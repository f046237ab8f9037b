//! Names with addresses (`/etc/hosts`, NetBox), hardware addresses of names (`/etc/ethers`), and networks (NetBox).

use super::records::{A, AAAA, CNAME};
use super::{Planner, new_subnet};
use crate::inventory::import::claims::{Claim, Claims, Ether, Prefixes};
use crate::inventory::import::full_name;
use crate::inventory::import::zone::ZoneRecord;
use crate::inventory::{ContainerDraft, HostDraft, InterfaceDraft};
use holdfast_proto::words::{DomainName, HostName};
use std::net::IpAddr;

impl Planner<'_> {
    pub(super) fn add_prefixes(&mut self, prefixes: Prefixes) {
        self.out.errors.extend(prefixes.errors);
        for note in prefixes.notes {
            self.findings.info("left-out", note.message, [note.place]);
        }
        for prefix in prefixes.prefixes {
            let network = prefix.network;
            if prefix.is_container {
                if !self.containers.insert(network) {
                    self.out.same.push((prefix.place, format!("container {network}")));
                    continue;
                }
                self.out.containers.push((prefix.place, ContainerDraft { network, purpose: prefix.description }));
                continue;
            }
            match self.overlapping(network) {
                Some(other) if other == network => {
                    self.out.same.push((prefix.place, format!("subnet {network}")));
                    continue;
                }
                Some(other) => {
                    let message = format!("{network} overlaps {other}: subnets do not; a network that holds others has the status container");
                    self.error(prefix.place, message);
                    continue;
                }
                None => {}
            }
            let Some(campus) = prefix.site.or_else(|| self.hints.campus.map(str::to_owned)) else {
                self.error(prefix.place, format!("{network} has no site: write one, or give --campus"));
                continue;
            };
            self.need_campus(&campus, &prefix.place);
            self.need_department(prefix.tenant.as_deref(), &prefix.place);
            if !prefix.description.is_empty() {
                let message = format!("what is said of {network} (\"{}\") is left out: a subnet has no text", prefix.description);
                self.findings.info("left-out", message, [prefix.place.clone()]);
            }
            let mut draft = new_subnet(network, campus, None);
            (draft.vlan, draft.department) = (prefix.vlan, prefix.tenant);
            self.put_subnet(prefix.place, draft, true);
        }
    }

    pub(super) fn add_claims(&mut self, claims: Claims) {
        self.out.errors.extend(claims.errors);
        for note in claims.notes {
            self.findings.info("left-out", note.message, [note.place]);
        }
        for claim in claims.claims {
            if let Err(message) = self.add_claim(&claim) {
                self.error_once(claim.place, message);
            }
        }
    }

    fn add_claim(&mut self, claim: &Claim) -> Result<(), String> {
        let domain = self.domain_at(claim.address);
        let name = full_name(&claim.name, domain.as_deref())?;
        let ttl = self.zone_of(name.domain()).map(|zone| zone.ttl);
        let outside = || name.domain().parent().map(|domain| domain.without_dot()).unwrap_or_default();
        let ttl = ttl.ok_or_else(|| format!("{} lies in none of our zones: import its zone file in the same call", outside()))?;
        let (rtype, rdata) = match claim.address {
            IpAddr::V4(v4) => (A, v4.octets().to_vec()),
            IpAddr::V6(v6) => (AAAA, v6.octets().to_vec()),
        };
        self.add_address(ZoneRecord { place: claim.place.clone(), owner: name.domain().clone(), ttl, rtype, rdata }, claim.address);
        let Some(index) = self.by_name.get(name.domain()).copied() else { return Ok(()) };
        let mut draft = self.hosts[index].draft.clone();
        if draft.comment.is_empty() {
            draft.comment.clone_from(&claim.comment);
        }
        if draft.department.is_none() && !claim.department.is_empty() {
            self.need_department(Some(&claim.department), &claim.place);
            draft.department = Some(claim.department.clone());
        }
        for alias in &claim.aliases {
            let alias = full_name(alias, domain.as_deref())?;
            match self.alias_of(&alias, &name) {
                Ok(true) if !draft.aliases.contains(alias.domain()) && !draft.names.contains(alias.domain()) => draft.aliases.push(alias.domain().clone()),
                Ok(_) => {}
                Err(message) => self.findings.warn("alias-left-out", message, [claim.place.clone()]),
            }
        }
        self.put_host(Some(index), name, draft, &claim.place);
        Ok(())
    }

    /// Whether a name is to become another's alias; not where it is already, and why not where it cannot.
    fn alias_of(&self, alias: &HostName, name: &HostName) -> Result<bool, String> {
        if self.records.contains(&(alias.domain().clone(), CNAME, name.domain().wire().to_vec())) {
            return Ok(false);
        }
        if let Some(other) = self.by_name.get(alias.domain()) {
            return Err(format!("{alias} is a host ({}) and not an alias of {name}: the alias is left out", self.place_of(*other)));
        }
        if self.zone_of(alias.domain()).is_none() {
            return Err(format!("{alias}, an alias of {name}, lies in none of our zones and is left out"));
        }
        Ok(true)
    }

    /// The domain of bare names at an address: what the caller says, else its subnet's.
    fn domain_at(&self, address: IpAddr) -> Option<String> {
        let of_subnet = || self.subnet_of(address).and_then(|subnet| self.subnets[&subnet].draft.domain.as_ref().map(DomainName::without_dot));
        self.hints.domain.map(str::to_owned).or_else(of_subnet)
    }

    pub(super) fn add_ethers(&mut self, ethers: Vec<Ether>) {
        for ether in ethers {
            if let Err(message) = self.add_ether(&ether) {
                self.findings.warn("ether-left-out", message, [ether.place]);
            }
        }
    }

    /// Gives a machine that is known its hardware address.
    fn add_ether(&mut self, ether: &Ether) -> Result<(), String> {
        let address: Option<IpAddr> = ether.whose.parse().ok();
        let index = match address {
            Some(address) => self.by_address.get(&address).map(|(index, _)| *index),
            None => self.named(&ether.whose),
        };
        let index = index.ok_or_else(|| format!("{} is nobody here: {} is left out", ether.whose, ether.mac))?;
        let mut draft = self.hosts[index].draft.clone();
        let name = draft.name.clone();
        if draft.interfaces.iter().any(|interface| interface.mac == Some(ether.mac) && address.is_none_or(|address| interface.addresses.contains(&address))) {
            self.hosts[index].met.get_or_insert_with(|| ether.place.clone());
            return Ok(());
        }
        if let Some(address) = address.filter(|_| !self.hosts[index].known) {
            part(&mut draft, address);
        }
        let fits = |addresses: &[IpAddr]| address.map_or_else(|| addresses.iter().any(IpAddr::is_ipv4), |address| addresses.contains(&address));
        let interface = draft.interfaces.iter_mut().find(|interface| interface.mac.is_none() && fits(&interface.addresses));
        let interface = interface.ok_or_else(|| format!("{name} has another hardware address than {} already: that stays", ether.mac))?;
        let subnets = interface.addresses.iter().filter_map(|address| self.subnet_of(*address));
        if let Some(place) = subnets.into_iter().find_map(|subnet| self.macs.get(&(subnet, ether.mac))) {
            return Err(format!("{} of {name} is another's in its subnet already ({place})", ether.mac));
        }
        interface.mac = Some(ether.mac);
        self.put_host(Some(index), name, draft, &ether.place);
        Ok(())
    }

    /// The host of a name: as it stands, or completed by the hint, or by a zone of ours in which it is the only one.
    fn named(&self, text: &str) -> Option<usize> {
        let whole = full_name(text, self.hints.domain).ok().and_then(|name| self.by_name.get(name.domain()).copied());
        whole.or_else(|| {
            let mut found = self.zones.keys().filter_map(|apex| self.by_name.get(&DomainName::parse(text, Some(apex)).ok()?).copied());
            let first = found.next()?;
            found.all(|other| other == first).then_some(first)
        })
    }
}

/// An address that turns out to have a hardware address of its own is an interface of its own: a list of names alone cannot say so.
fn part(draft: &mut HostDraft, address: IpAddr) {
    let shared = |interface: &&mut InterfaceDraft| interface.mac.is_some() && interface.addresses.len() > 1 && interface.addresses.contains(&address);
    if let Some(interface) = draft.interfaces.iter_mut().find(shared) {
        interface.addresses.retain(|other| *other != address);
        draft.interfaces.push(InterfaceDraft { addresses: vec![address], ..InterfaceDraft::default() });
    }
}
