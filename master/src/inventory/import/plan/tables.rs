//! Tables of subnets, of hosts and of people: what people edit and give back, so what they say wins over the database.

use super::{PlannedSubnet, Planner, database, new_subnet};
use crate::inventory::import::hosts_table::{HostLine, Hosts};
use crate::inventory::import::people::People;
use crate::inventory::import::place::Place;
use crate::inventory::import::subnets::{SubnetLine, Subnets};
use crate::inventory::organisation::DepartmentDraft;
use crate::inventory::{CampusDraft, HostDraft, InterfaceDraft, PoolDraft, PoolKind};
use holdfast_proto::words::{HostName, Subnet};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// Columns about the host itself: they stand in its first line.
const OF_THE_HOST: [&str; 20] = [
    "department",
    "building",
    "room",
    "outlet",
    "rack",
    "rack_position",
    "switch_port",
    "asset_tag",
    "class",
    "owner",
    "contacts",
    "hardware",
    "os",
    "location",
    "contact",
    "comment",
    "aliases",
    "names",
    "pointers",
    "other_addresses",
];

impl Planner<'_> {
    pub(super) fn add_subnets(&mut self, table: Subnets) {
        self.out.errors.extend(table.errors);
        for line in table.subnets {
            if let Some(other) = self.overlapping(line.network) {
                self.meet_subnet(&line, other);
                continue;
            }
            self.need_campus(&line.campus, &line.place);
            self.need_department(line.department.as_deref(), &line.place);
            let mut draft = new_subnet(line.network, line.campus.clone(), line.gateway);
            line.apply(&mut draft);
            self.put_subnet(line.place.clone(), draft, true);
            self.add_dynamic(&line);
        }
    }

    /// A line about a network that is there: it may say more of it, and must not be about another.
    fn meet_subnet(&mut self, line: &SubnetLine, other: Subnet) {
        let there = &self.subnets[&other];
        if other != line.network || there.draft.campus != line.campus {
            let message = format!("{} overlaps {other} of campus {} ({})", line.network, there.draft.campus, there.place);
            return self.error(line.place.clone(), message);
        }
        let mut draft = there.draft.clone();
        line.apply(&mut draft);
        match (draft == there.draft, there.new) {
            (true, false) => self.out.same.push((line.place.clone(), format!("subnet {other}"))),
            (true, true) => {}
            (false, true) => {
                let message = format!("{other} stands at {} already, and otherwise: its lines may differ in their pools alone", there.place);
                self.error(line.place.clone(), message);
            }
            (false, false) => {
                self.need_department(line.department.as_deref(), &line.place);
                let PlannedSubnet { place, draft: held, changed, .. } = self.subnets.get_mut(&other).expect("it was just looked at");
                (*place, *held, *changed) = (line.place.clone(), draft, true);
            }
        }
        self.add_dynamic(line);
    }

    fn add_dynamic(&mut self, line: &SubnetLine) {
        if let Some((first, last)) = line.dynamic {
            self.add_pool(&line.place, first, last);
        }
    }

    /// A pool of addresses to lend, unless it is there.
    pub(super) fn add_pool(&mut self, place: &Place, first: IpAddr, last: IpAddr) {
        if self.pools.get(&first) == Some(&last) {
            return self.out.same.push((place.clone(), format!("pool {first} to {last}")));
        }
        let before = self.pools.range(..=last).next_back();
        if let Some((a, b)) = before.filter(|(a, b)| a.is_ipv4() == first.is_ipv4() && first <= **b) {
            return self.error(place.clone(), format!("the pool {first} to {last} overlaps the pool {a} to {b}: correct one of them"));
        }
        self.pools.insert(first, last);
        let draft = PoolDraft { name: None, first, last, kind: PoolKind::Dynamic, reason: String::new() };
        self.out.pools.push((place.clone(), draft));
    }

    pub(super) fn need_campus(&mut self, name: &str, place: &Place) {
        if self.campuses.insert(name.to_owned()) {
            self.out.campuses.push((place.clone(), CampusDraft { name: name.to_owned(), service_address: None, backup: None }));
        }
    }

    /// A department that is not known is made.
    pub(super) fn need_department(&mut self, name: Option<&str>, place: &Place) {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return };
        if self.departments.insert(name.to_owned()) {
            let draft = DepartmentDraft { name: name.to_owned(), title: String::new(), vlan: None };
            self.out.departments.push((place.clone(), draft));
        }
    }

    pub(super) fn add_people(&mut self, file: &str, people: People) {
        self.out.errors.extend(people.errors);
        for column in people.left_out {
            let message = format!(
                "the column \"{column}\" is left out: a contact has no such thing; who answers for what is said of hosts, subnets, zones and departments"
            );
            self.findings.info("column-left-out", message, [Place::new(&file.into(), 1)]);
        }
        let mut seen: HashMap<String, Place> = HashMap::new();
        for person in people.people {
            if let Some(first) = seen.insert(person.login.clone(), person.place().clone()) {
                self.error(person.place().clone(), format!("{} stands at {first} already: logins are unique", person.login));
                continue;
            }
            let known = self.contacts.get(&person.login).cloned();
            let mut draft = known.clone().unwrap_or_else(|| person.new_contact());
            if let Err(problem) = person.apply(&mut draft) {
                self.error(person.place().clone(), problem);
                continue;
            }
            match known {
                None => self.out.contacts.push((person.place().clone(), draft.clone())),
                Some(known) if known == draft => self.out.same.push((person.place().clone(), format!("contact {}", person.login))),
                Some(_) => self.out.contacts_changed.push((person.place().clone(), draft.clone())),
            }
            self.contacts.insert(person.login, draft);
        }
    }

    pub(super) fn add_host_tables(&mut self, tables: Vec<Hosts>) {
        let mut groups: Vec<(HostName, Vec<HostLine>)> = Vec::new();
        let mut by_name: HashMap<HostName, usize> = HashMap::new();
        for table in tables {
            self.out.errors.extend(table.errors);
            for line in table.lines {
                match line.full_name(self.hints.domain) {
                    Err(message) => self.error(line.place().clone(), message),
                    Ok(name) => {
                        let at = *by_name.entry(name.clone()).or_insert(groups.len());
                        if at == groups.len() {
                            groups.push((name, vec![]));
                        }
                        groups[at].1.push(line);
                    }
                }
            }
        }
        for (name, lines) in groups {
            if let Err((place, message)) = self.add_host_lines(name, &lines) {
                self.error(place, message);
            }
        }
    }

    /// One host with all its lines.
    fn add_host_lines(&mut self, name: HostName, lines: &[HostLine]) -> Result<(), (Place, String)> {
        let first = &lines[0];
        let wrong = |line: &HostLine, message: String| (line.place().clone(), format!("{name}: {message}"));
        if self.zone_of(name.domain()).is_none() {
            let domain = name.domain().parent().map(|domain| domain.without_dot()).unwrap_or_default();
            self.error_once(first.place().clone(), format!("{domain} lies in none of our zones: import its zone file in the same call"));
            return Ok(());
        }
        let index = self.by_name.get(name.domain()).copied();
        let mut draft = index.map_or_else(|| HostDraft::named(name.clone()), |index| self.hosts[index].draft.clone());
        first.apply(&mut draft).map_err(|problems| wrong(first, problems.join("; ")))?;
        for line in &lines[1..] {
            let differing = OF_THE_HOST.into_iter().find(|column| line.cell(column).is_some() && line.cell(column) != first.cell(column));
            if let Some(column) = differing {
                return Err(wrong(line, format!("{column} differs from that of {}: it is the same host", first.place())));
            }
        }
        self.need_department(draft.department.as_deref(), first.place());
        self.find_contacts(&mut draft, first);
        let mut taken = HashSet::new();
        for line in lines.iter().filter(|line| line.has_interface()) {
            let at = self.interface_of(&draft, line, lines, &taken).unwrap_or_else(|| {
                draft.interfaces.push(InterfaceDraft::default());
                draft.interfaces.len() - 1
            });
            taken.insert(at);
            self.fill_interface(&mut draft, at, line, index).map_err(|message| wrong(line, message))?;
        }
        self.put_host(index, name, draft, first.place());
        Ok(())
    }

    /// Contacts that nobody knows become free words, so that nothing is lost.
    fn find_contacts(&mut self, draft: &mut HostDraft, line: &HostLine) {
        let (known, unknown): (Vec<_>, Vec<_>) = std::mem::take(&mut draft.contacts).into_iter().partition(|one| self.contacts.contains_key(&one.contact));
        draft.contacts = known;
        for one in unknown {
            let message = format!("{}: there is no contact {}: it stands in the free words; import people.csv in the same call", draft.name, one.contact);
            self.findings.warn("contact-unknown", message, [line.place().clone()]);
            if !draft.contact.split_ascii_whitespace().any(|word| word == one.contact) {
                draft.contact = format!("{} {}", draft.contact, one.contact).trim().to_owned();
            }
        }
    }

    /// The interface that a line means: the one with its address, with its hardware address, or the only one of a host with one line.
    fn interface_of(&self, draft: &HostDraft, line: &HostLine, lines: &[HostLine], taken: &HashSet<usize>) -> Option<usize> {
        let find = |fits: &dyn Fn(&InterfaceDraft) -> bool| (0..draft.interfaces.len()).find(|at| !taken.contains(at) && fits(&draft.interfaces[*at]));
        find(&|interface| interface.addresses.iter().any(|address| line.addresses.contains(address)))
            .or_else(|| find(&|interface| interface.mac.is_some() && interface.mac == line.mac))
            .or_else(|| (lines.len() == 1 && draft.interfaces.len() == 1).then_some(0))
    }

    fn fill_interface(&self, draft: &mut HostDraft, at: usize, line: &HostLine, index: Option<usize>) -> Result<(), String> {
        for address in &line.addresses {
            let subnet = self.subnet_of(*address).ok_or_else(|| format!("{address} lies in no known subnet: import the subnet first"))?;
            if !subnet.can_hold(*address) {
                return Err(format!("{address} is the network or broadcast address of {subnet}"));
            }
            if let Some((owner, place)) = self.by_address.get(address).filter(|(owner, _)| Some(*owner) != index) {
                return Err(format!("{address} belongs to {} ({place})", self.hosts[*owner].draft.name));
            }
            let campus = &self.subnets[&subnet].draft.campus;
            if let Some(said) = line.cell("campus").filter(|said| said != campus) {
                return Err(format!("{address} lies in {subnet} of campus {campus}, not of {said}"));
            }
        }
        let interface = &mut draft.interfaces[at];
        let before = (interface.mac, interface.addresses.clone());
        line.apply_to_interface(interface).map_err(|problems| problems.join("; "))?;
        let families: HashSet<bool> = line.addresses.iter().map(IpAddr::is_ipv4).collect();
        let rest = interface.addresses.iter().filter(|address| !families.contains(&address.is_ipv4())).copied();
        let after: Vec<IpAddr> = line.addresses.iter().copied().chain(rest).collect();
        let same = after.len() == interface.addresses.len() && after.iter().all(|address| interface.addresses.contains(address));
        if line.says("ip") && !same {
            interface.addresses = after;
        }
        let moved = |subnet: Subnet| before.0 != interface.mac || !before.1.iter().any(|address| self.subnet_of(*address) == Some(subnet));
        for subnet in interface.addresses.iter().filter_map(|address| self.subnet_of(*address)) {
            if let Some(place) = interface.mac.filter(|_| moved(subnet)).and_then(|mac| self.macs.get(&(subnet, mac))) {
                return Err(format!("{} is another's in {subnet} already ({place})", interface.mac.map(|mac| mac.to_string()).unwrap_or_default()));
            }
        }
        Ok(())
    }

    /// Puts a host as it shall be, and keeps who has which address.
    pub(super) fn put_host(&mut self, index: Option<usize>, name: HostName, draft: HostDraft, place: &Place) {
        let index = index.unwrap_or_else(|| {
            self.by_name.insert(name.domain().clone(), self.hosts.len());
            let empty = HostDraft::named(name);
            self.hosts.push(super::PlannedHost { place: place.clone(), draft: empty, known: false, changed: false, met: None });
            self.hosts.len() - 1
        });
        let before = std::mem::replace(&mut self.hosts[index].draft, draft);
        if before == self.hosts[index].draft {
            self.hosts[index].met.get_or_insert_with(|| place.clone());
            return;
        }
        for interface in &before.interfaces {
            for address in &interface.addresses {
                self.by_address.remove(address);
                if let (Some(mac), Some(subnet)) = (interface.mac, self.subnet_of(*address)) {
                    self.macs.remove(&(subnet, mac));
                }
            }
        }
        let host = &mut self.hosts[index];
        host.changed = true;
        host.place = place.clone();
        for interface in host.draft.interfaces.clone() {
            for address in interface.addresses {
                self.by_address.insert(address, (index, place.clone()));
                if let (Some(mac), Some(subnet)) = (interface.mac, self.subnet_of(address)) {
                    self.macs.insert((subnet, mac), place.clone());
                }
            }
        }
    }

    /// Where a host of the database is said to stand.
    pub(super) fn place_of(&self, index: usize) -> Place {
        if self.hosts[index].known { database() } else { self.hosts[index].place.clone() }
    }
}
