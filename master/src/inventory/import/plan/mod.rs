//! Turns parsed files into edits, without a database: `plan(known, files, hints)`.
//!
//! Rules. The same name with the same address is one host, whether a bootptab, a zone file or the database says so.
//! A mismatch is a finding that names both lines and stops nothing: the boot entry wins over the zone file, because the
//! machine really takes that address, and the database wins over both. Only tables of our own (`hosts.csv`, `subnets.csv`, `people.csv`) win over the
//! database: they are what people edit and give back. What cannot be stored is an error, and one error
//! stops the whole import. PTR records follow from addresses, so one that agrees adds nothing.

mod claims;
mod dhcp;
mod hosts;
mod records;
mod tables;

use super::bootptab::{self, BootEntry, Bootptab};
use super::claims::{Claims, Ether, Prefixes};
use super::clients::{Client, Clients};
use super::dhcp::{DhcpConfig, isc};
use super::hosts_table::Hosts;
use super::people::People;
use super::place::{ImportError, Place};
use super::report::{Counts, Finding, Findings, ROWS_LIMIT, Row, RowState};
use super::subnets::Subnets;
use super::zone::ZoneFile;
use crate::inventory::boot::BootDefaults;
use crate::inventory::organisation::{ContactDraft, DepartmentDraft};
use crate::inventory::{CampusDraft, ContainerDraft, HostDraft, OptionDraft, PoolDraft, RecordDraft, SubnetDraft, TemplateDraft, UnknownMachines, ZoneDraft};
use holdfast_proto::dns::rdata;
use holdfast_proto::words::{DomainName, HostName, Subnet};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

/// Where the database's objects are said to stand.
const DATABASE: &str = "database";
/// DHCP option codes, RFC 2132.
const ROUTERS: u8 = 3;
const DNS_SERVERS: u8 = 6;
const DOMAIN: u8 = 15;

/// What the database holds already.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Campuses by name.
    pub campuses: Vec<String>,
    /// Subnets.
    pub subnets: Vec<SubnetDraft>,
    /// Zones.
    pub zones: Vec<ZoneDraft>,
    /// Hosts.
    pub hosts: Vec<HostDraft>,
    /// Departments by name.
    pub departments: Vec<String>,
    /// Contacts.
    pub contacts: Vec<ContactDraft>,
    /// Containers.
    pub containers: Vec<Subnet>,
    /// First and last addresses of pools.
    pub pools: Vec<(IpAddr, IpAddr)>,
    /// Records that no host implies.
    pub records: Vec<RecordDraft>,
}

/// What the caller says that the files do not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hints<'h> {
    /// Where subnets belong that the files do not place.
    pub campus: Option<&'h str>,
    /// The domain of bare names that the files do not complete.
    pub domain: Option<&'h str>,
}

/// The files of one import, parsed except for those whose names are looked up in the others.
#[derive(Debug, Default)]
pub struct Files {
    /// Tables of subnets.
    pub subnets: Vec<Subnets>,
    /// Zone files with their names.
    pub zones: Vec<(String, ZoneFile)>,
    /// Bootptabs: name and text.
    pub bootptabs: Vec<(String, String)>,
    /// RADIUS clients.
    pub clients: Vec<Clients>,
    /// Tables of hosts.
    pub hosts: Vec<Hosts>,
    /// Tables of people, with their names.
    pub people: Vec<(String, People)>,
    /// Configurations of ISC dhcpd: name and text.
    pub dhcpd: Vec<(String, String)>,
    /// What those include, by base name.
    pub included: HashMap<String, String>,
    /// Configurations of Kea.
    pub kea: Vec<DhcpConfig>,
    /// Names with addresses.
    pub claims: Vec<Claims>,
    /// Hardware addresses of names.
    pub ethers: Vec<Ether>,
    /// NetBox's prefixes.
    pub prefixes: Vec<Prefixes>,
}

/// What is to be done, in this order, each object with its place.
#[derive(Debug, Default)]
pub struct Plan {
    /// New campuses.
    pub campuses: Vec<(Place, CampusDraft)>,
    /// New departments.
    pub departments: Vec<(Place, DepartmentDraft)>,
    /// New contacts.
    pub contacts: Vec<(Place, ContactDraft)>,
    /// Contacts of the database that a table says more of.
    pub contacts_changed: Vec<(Place, ContactDraft)>,
    /// New subnets.
    pub subnets: Vec<(Place, SubnetDraft)>,
    /// Subnets of the database that a table says more of.
    pub subnets_changed: Vec<(Place, SubnetDraft)>,
    /// New containers.
    pub containers: Vec<(Place, ContainerDraft)>,
    /// What all machines of a new subnet are told at boot, beside its options.
    pub defaults: Vec<(Place, Subnet, BootDefaults)>,
    /// New pools.
    pub pools: Vec<(Place, PoolDraft)>,
    /// New zones.
    pub zones: Vec<(Place, ZoneDraft)>,
    /// Templates.
    pub templates: Vec<(Place, TemplateDraft)>,
    /// New hosts.
    pub hosts: Vec<(Place, HostDraft)>,
    /// Hosts of the database that learnt something.
    pub changed: Vec<(Place, HostDraft)>,
    /// Records that no host implies.
    pub records: Vec<(Place, RecordDraft)>,
    /// RADIUS clients.
    pub clients: Vec<Client>,
    /// Objects of the database that are as the files say.
    pub same: Vec<(Place, String)>,
    /// What a person should look at.
    pub findings: Vec<Finding>,
    /// What stops the import.
    pub errors: Vec<ImportError>,
}

impl Plan {
    /// How many objects it makes.
    pub fn counts(&self) -> Counts {
        Counts {
            hosts: self.hosts.len(),
            hosts_changed: self.changed.len(),
            hosts_same: self.same.iter().filter(|(_, object)| object.starts_with("host ")).count(),
            records: self.records.len(),
            zones: self.zones.len(),
            campuses: self.campuses.len(),
            subnets: self.subnets.len(),
            subnets_changed: self.subnets_changed.len(),
            pools: self.pools.len(),
            containers: self.containers.len(),
            departments: self.departments.len(),
            contacts: self.contacts.len(),
            contacts_changed: self.contacts_changed.len(),
            templates: self.templates.len(),
            nas: self.clients.len(),
        }
    }

    /// What becomes of each line, in the files' order, up to [`ROWS_LIMIT`].
    pub fn rows(&self) -> Vec<Row> {
        fn all<'p, D>(of: &'p [(Place, D)], state: RowState, object: impl Fn(&D) -> String + 'p) -> impl Iterator<Item = Row> + 'p {
            of.iter().map(move |(place, draft)| Row { place: place.clone(), state, object: object(draft) })
        }
        let new = all(&self.campuses, RowState::New, |draft| format!("campus {}", draft.name))
            .chain(all(&self.departments, RowState::New, |draft| format!("department {}", draft.name)))
            .chain(all(&self.contacts, RowState::New, |draft| format!("contact {}", draft.handle)))
            .chain(all(&self.subnets, RowState::New, |draft| format!("subnet {}", draft.network)))
            .chain(all(&self.containers, RowState::New, |draft| format!("container {}", draft.network)))
            .chain(all(&self.pools, RowState::New, |draft| format!("pool {} to {}", draft.first, draft.last)))
            .chain(all(&self.zones, RowState::New, |draft| format!("zone {}", draft.apex)))
            .chain(all(&self.templates, RowState::New, |draft| format!("template {}", draft.name)))
            .chain(all(&self.hosts, RowState::New, |draft| format!("host {}", draft.name)))
            .chain(all(&self.records, RowState::New, |draft| format!("record {} {}", draft.name, rdata::type_name(draft.rtype))));
        let nas = self.clients.iter().map(|client| Row { place: client.place.clone(), state: RowState::New, object: format!("nas {}", client.name) });
        let changed = all(&self.changed, RowState::Changed, |draft| format!("host {}", draft.name))
            .chain(all(&self.subnets_changed, RowState::Changed, |draft| format!("subnet {}", draft.network)))
            .chain(all(&self.contacts_changed, RowState::Changed, |draft| format!("contact {}", draft.handle)));
        let same = all(&self.same, RowState::Same, String::clone);
        let mut rows: Vec<Row> = new.chain(nas).chain(changed).chain(same).collect();
        rows.sort_by(|a, b| a.place.cmp(&b.place));
        rows.truncate(ROWS_LIMIT);
        rows
    }
}

/// Plans an import.
pub fn plan(known: &Known, files: Files, hints: Hints<'_>) -> Plan {
    let mut planner = Planner::new(known, hints);
    files.people.into_iter().for_each(|(name, people)| planner.add_people(&name, people));
    files.subnets.into_iter().for_each(|table| planner.add_subnets(table));
    files.prefixes.into_iter().for_each(|prefixes| planner.add_prefixes(prefixes));
    let zones: Vec<_> = files.zones.into_iter().filter_map(|(name, file)| planner.add_zone(&name, file)).collect();
    let (tabs, mut configs): (Vec<Bootptab>, Vec<DhcpConfig>) = {
        let addresses = lookup_table(known, &zones, &files.claims, hints);
        let apexes: Vec<&DomainName> = planner.zones.keys().collect();
        let lookup = |name: &str| look_up(&addresses, &apexes, name);
        let include = |name: &str| files.included.get(name).cloned();
        let tabs = files.bootptabs.iter().map(|(name, text)| bootptab::parse(name, text, &lookup)).collect();
        let mut budget = isc::Budget::default();
        (tabs, files.dhcpd.iter().map(|(name, text)| isc::parse(name, text, &lookup, &include, &mut budget)).collect())
    };
    configs.extend(files.kea);
    // Subnets of all files first: a boot entry must not make one up that another file knows better.
    configs.iter_mut().for_each(|config| planner.add_dhcp_subnets(std::mem::take(&mut config.subnets)));
    for tab in tabs {
        planner.add_bootptab(tab, &zones);
    }
    for config in configs {
        planner.add_dhcp_entries(config, &zones);
    }
    planner.add_zone_records(zones);
    files.claims.into_iter().for_each(|claims| planner.add_claims(claims));
    planner.add_host_tables(files.hosts);
    planner.add_ethers(files.ethers);
    files.clients.into_iter().for_each(|clients| planner.add_clients(clients));
    planner.share_options();
    planner.finish()
}

/// A host that will be made or changed.
struct PlannedHost {
    place: Place,
    draft: HostDraft,
    /// Whether the database has it already.
    known: bool,
    changed: bool,
    /// The line that says what is known.
    met: Option<Place>,
}

struct PlannedSubnet {
    place: Place,
    draft: SubnetDraft,
    /// Whether it is made by this import.
    new: bool,
    /// Whether a table changes it.
    changed: bool,
    /// Whether the files themselves say what is the subnet's and what its hosts'.
    is_told: bool,
    /// The hosts with boot entries in it: host and interface.
    booted: Vec<(usize, usize)>,
}

struct Planner<'k> {
    hints: Hints<'k>,
    campuses: HashSet<String>,
    departments: HashSet<String>,
    contacts: HashMap<String, ContactDraft>,
    containers: HashSet<Subnet>,
    /// Last addresses by first ones; pools do not overlap.
    pools: BTreeMap<IpAddr, IpAddr>,
    /// Records that are there, in the database or by this import.
    records: HashSet<(DomainName, u16, Vec<u8>)>,
    subnets: HashMap<Subnet, PlannedSubnet>,
    /// The same by their first addresses; subnets do not overlap.
    by_first: BTreeMap<IpAddr, Subnet>,
    /// Where in the output the defaults of a new subnet stand.
    defaults_at: HashMap<Subnet, usize>,
    /// What a subnet tells for its pools' sake, so that a machine of which the configuration does not say it is not to have it.
    pooled: HashMap<Subnet, BTreeMap<u8, Vec<u8>>>,
    client_names: HashMap<String, usize>,
    client_prefixes: HashMap<Subnet, usize>,
    prefix_lengths: Vec<(bool, u8)>,
    zones: HashMap<DomainName, ZoneDraft>,
    hosts: Vec<PlannedHost>,
    by_name: HashMap<DomainName, usize>,
    /// Who has an address: the host and where that was said.
    by_address: HashMap<IpAddr, (usize, Place)>,
    macs: HashMap<(Subnet, holdfast_proto::words::Mac), Place>,
    /// Names whose boot entry disagrees with the zone file's addresses.
    overruled: HashSet<DomainName>,
    reported: HashSet<String>,
    findings: Findings,
    out: Plan,
}

impl<'k> Planner<'k> {
    fn new(known: &'k Known, hints: Hints<'k>) -> Self {
        let mut planner = Self {
            hints,
            campuses: known.campuses.iter().cloned().collect(),
            departments: known.departments.iter().cloned().collect(),
            contacts: known.contacts.iter().map(|contact| (contact.handle.clone(), contact.clone())).collect(),
            containers: known.containers.iter().copied().collect(),
            pools: known.pools.iter().copied().collect(),
            // The name servers of a zone are the zone's own, and records of its apex all the same.
            records: known
                .records
                .iter()
                .map(|record| (record.name.clone(), record.rtype, record.rdata.clone()))
                .chain(known.zones.iter().flat_map(|zone| zone.name_servers.iter().map(|server| (zone.apex.clone(), records::NS, server.wire().to_vec()))))
                .collect(),
            subnets: HashMap::new(),
            by_first: BTreeMap::new(),
            defaults_at: HashMap::new(),
            pooled: HashMap::new(),
            client_names: HashMap::new(),
            client_prefixes: HashMap::new(),
            prefix_lengths: vec![],
            zones: known.zones.iter().map(|zone| (zone.apex.clone(), zone.clone())).collect(),
            hosts: Vec::with_capacity(known.hosts.len()),
            by_name: HashMap::with_capacity(known.hosts.len()),
            by_address: HashMap::with_capacity(known.hosts.len()),
            macs: HashMap::new(),
            overruled: HashSet::new(),
            reported: HashSet::new(),
            findings: Findings::default(),
            out: Plan::default(),
        };
        known.subnets.iter().for_each(|draft| planner.put_subnet(database(), draft.clone(), false));
        known.hosts.iter().for_each(|draft| planner.put_known_host(draft));
        planner
    }

    fn put_known_host(&mut self, draft: &HostDraft) {
        let index = self.hosts.len();
        for interface in &draft.interfaces {
            for address in &interface.addresses {
                self.by_address.insert(*address, (index, database()));
                if let (Some(mac), Some(subnet)) = (interface.mac, self.subnet_of(*address)) {
                    self.macs.insert((subnet, mac), database());
                }
            }
        }
        self.by_name.insert(draft.name.domain().clone(), index);
        self.hosts.push(PlannedHost { place: database(), draft: draft.clone(), known: true, changed: false, met: None });
    }

    fn put_subnet(&mut self, place: Place, draft: SubnetDraft, new: bool) {
        let kind = (draft.network.net().addr().is_ipv4(), draft.network.net().prefix_len());
        if !self.prefix_lengths.contains(&kind) {
            self.prefix_lengths.push(kind);
        }
        self.by_first.insert(draft.network.net().network(), draft.network);
        self.subnets.insert(draft.network, PlannedSubnet { place, draft, new, changed: false, is_told: false, booted: vec![] });
    }

    /// The subnet that holds an address; subnets do not overlap.
    fn subnet_of(&self, address: IpAddr) -> Option<Subnet> {
        let fitting = self.prefix_lengths.iter().filter(|(is_v4, _)| *is_v4 == address.is_ipv4());
        fitting.filter_map(|(_, length)| Subnet::around(address, *length)).find(|subnet| self.subnets.contains_key(subnet))
    }

    /// The zone that a name lies in: the one with the longest apex.
    fn zone_of(&self, name: &DomainName) -> Option<&ZoneDraft> {
        let mut at = Some(name.clone());
        while let Some(candidate) = at {
            if let Some(zone) = self.zones.get(&candidate) {
                return Some(zone);
            }
            at = candidate.parent();
        }
        None
    }

    fn error(&mut self, place: Place, message: impl Into<String>) {
        self.out.errors.push(ImportError::new(place, message));
    }

    /// An error that would be the same for many lines is told once.
    fn error_once(&mut self, place: Place, message: String) {
        if self.reported.insert(message.clone()) {
            self.error(place, message);
        }
    }

    fn overlapping(&self, network: Subnet) -> Option<Subnet> {
        let net = network.net();
        let around = self.by_first.range(..=net.network()).next_back().filter(|(_, other)| other.net().contains(&net));
        let inside = || self.by_first.range(net.network()..=net.broadcast()).next();
        around.or_else(inside).map(|(_, other)| *other)
    }

    /// The subnet of a boot entry, made from its mask and gateway where it is not known.
    fn subnet_for(&mut self, entry: &BootEntry, address: Ipv4Addr) -> Option<Subnet> {
        if let Some(known) = self.subnet_of(address.into()) {
            self.compare_mask(entry, known);
            return Some(known);
        }
        let Some(mask) = entry.effective.mask else {
            let message = format!("{}: {address} lies in no known subnet and the entry has no sm: import the subnet first, or write sm and gw", entry.name);
            self.error(entry.place.clone(), message);
            return None;
        };
        let network = Subnet::around(address.into(), u32::from(mask).leading_ones() as u8)?;
        if let Some(other) = self.overlapping(network) {
            self.error_once(entry.place.clone(), format!("the subnet {network} (sm of {}) overlaps {other}: correct one of them", entry.name));
            return None;
        }
        let Some(campus) = self.campus_of(entry) else {
            let message =
                format!("the subnet {network} is not known and nothing says its campus: give --campus, or import a table of subnets in the same call");
            self.error_once(entry.place.clone(), message);
            return None;
        };
        let gateway = entry.effective.gateways.first().map(|gateway| IpAddr::from(*gateway)).filter(|gateway| network.can_hold(*gateway));
        self.put_subnet(entry.place.clone(), new_subnet(network, campus, gateway), true);
        Some(network)
    }

    fn compare_mask(&mut self, entry: &BootEntry, subnet: Subnet) {
        let length = entry.effective.mask.map(|mask| u32::from(mask).leading_ones() as u8);
        if length.is_some_and(|length| length != subnet.net().prefix_len()) {
            let places = [entry.place.clone(), self.subnets[&subnet].place.clone()];
            self.findings.warn("mask-mismatch", format!("{}: sm is not the mask of {subnet}; the subnet's is served", entry.name), places);
        }
    }

    /// From the option, or from a template such as `.north-cc` where there is a campus `north`.
    fn campus_of(&self, entry: &BootEntry) -> Option<String> {
        let prefixes = entry.parents.iter().filter_map(|name| name.strip_prefix('.')?.split(['-', '_', '.']).next());
        let by_template = || prefixes.map(str::to_owned).find(|prefix| self.campuses.contains(prefix));
        self.hints.campus.map(str::to_owned).or_else(by_template)
    }

    fn add_clients(&mut self, clients: Clients) {
        self.out.errors.extend(clients.errors);
        for client in clients.clients {
            let clash = self.client_names.get(&client.name).or_else(|| self.client_prefixes.get(&client.prefix));
            match clash.map(|at| self.out.clients[*at].place.clone()) {
                Some(other) => self.error(
                    client.place,
                    format!("the RADIUS client {} ({}) stands at {other} already: names and addresses are unique", client.name, client.prefix),
                ),
                None => {
                    self.client_names.insert(client.name.clone(), self.out.clients.len());
                    self.client_prefixes.insert(client.prefix, self.out.clients.len());
                    self.out.clients.push(client);
                }
            }
        }
    }

    /// What all boot entries of a new subnet say is the subnet's, so that one later edit changes it for all.
    fn share_options(&mut self) {
        let Self { subnets, hosts, .. } = self;
        for subnet in subnets.values_mut().filter(|subnet| subnet.new && !subnet.is_told && subnet.booted.len() > 1) {
            let options = |(host, interface): &(usize, usize)| &hosts[*host].draft.interfaces[*interface].boot.options;
            let (first, others) = subnet.booted.split_first().expect("it has more than one");
            let is_shared = |option: &&OptionDraft| option.value.is_some() && others.iter().all(|other| options(other).contains(option));
            let shared: Vec<OptionDraft> = options(first).iter().filter(is_shared).cloned().collect();
            for (host, interface) in &subnet.booted {
                hosts[*host].draft.interfaces[*interface].boot.options.retain(|option| !shared.contains(option));
            }
            shared.into_iter().for_each(|option| give_to_subnet(&mut subnet.draft, option));
        }
    }

    fn finish(mut self) -> Plan {
        let changed = self.subnets.values().filter(|subnet| !subnet.new && subnet.changed);
        self.out.subnets_changed = changed.map(|subnet| (subnet.place.clone(), subnet.draft.clone())).collect();
        self.out.subnets_changed.sort_by_key(|(_, draft)| draft.network);
        let mut subnets: Vec<_> = self.subnets.into_values().filter(|subnet| subnet.new).map(|subnet| (subnet.place, subnet.draft)).collect();
        subnets.sort_by_key(|(_, draft)| draft.network);
        self.out.subnets = subnets;
        for host in self.hosts {
            match (host.known, host.changed) {
                (false, _) => self.out.hosts.push((host.place, host.draft)),
                (true, true) => self.out.changed.push((host.place, host.draft)),
                (true, false) => self.out.same.extend(host.met.map(|place| (place, format!("host {}", host.draft.name)))),
            }
        }
        self.out.findings = self.findings.into_vec();
        self.out.errors.sort_by(|a, b| a.place.cmp(&b.place));
        self.out
    }
}

fn database() -> Place {
    Place { file: DATABASE.into(), line: 0, column: None }
}

fn new_subnet(network: Subnet, campus: String, gateway: Option<IpAddr>) -> SubnetDraft {
    SubnetDraft {
        network,
        campus,
        gateway,
        domain: None,
        dns_servers: vec![],
        options: vec![],
        vlan: None,
        classes: vec![],
        preference: 0,
        quarantine_secs: SubnetDraft::quarantine_default(),
        department: None,
        unknown_machines: UnknownMachines::default(),
        cover_after_secs: SubnetDraft::cover_default(),
        pool_lease_secs: SubnetDraft::pool_lease_default(),
        lease_zone: None,
    }
}

/// Puts an option where the subnet keeps it.
fn give_to_subnet(subnet: &mut SubnetDraft, option: OptionDraft) {
    let bytes = option.value.as_deref().unwrap_or_default();
    match option.code {
        DNS_SERVERS => subnet.dns_servers = bytes.chunks_exact(4).map(|octets| IpAddr::from([octets[0], octets[1], octets[2], octets[3]])).collect(),
        DOMAIN => match std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) {
            Some(domain) => subnet.domain = Some(domain),
            None => subnet.options.push(option),
        },
        _ => subnet.options.push(option),
    }
}

/// Every name with an IPv4 address: of the zone files first, then of the database, then of `/etc/hosts` and its like.
fn lookup_table(known: &Known, zones: &[records::ScannedZone], claims: &[Claims], hints: Hints<'_>) -> BTreeMap<DomainName, Ipv4Addr> {
    let mut table = BTreeMap::new();
    for claim in claims.iter().flat_map(|claims| &claims.claims) {
        for name in std::iter::once(&claim.name).chain(&claim.aliases) {
            if let (IpAddr::V4(address), Ok(name)) = (claim.address, super::full_name(name, hints.domain)) {
                table.insert(name.domain().clone(), address);
            }
        }
    }
    for host in &known.hosts {
        let first = host.interfaces.iter().flat_map(|interface| &interface.addresses).find_map(|address| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        });
        table.extend(first.map(|address| (host.name.domain().clone(), address)));
    }
    for record in zones.iter().flat_map(|zone| &zone.records) {
        if let Some(IpAddr::V4(address)) = records::address(record) {
            table.insert(record.owner.clone(), address);
        }
    }
    table
}

/// A name as it stands, then completed by each of our forward zones.
fn look_up(table: &BTreeMap<DomainName, Ipv4Addr>, apexes: &[&DomainName], name: &str) -> Option<Ipv4Addr> {
    let whole = name.parse::<DomainName>().ok().and_then(|name| table.get(&name).copied());
    whole.or_else(|| apexes.iter().find_map(|apex| table.get(&DomainName::parse(name, Some(apex)).ok()?).copied()))
}

/// The full name of a boot entry: with `dn` behind it where it is bare.
fn full_name(entry: &BootEntry, hints: Hints<'_>) -> Result<HostName, String> {
    let domain = entry.effective.domain.as_deref().or(hints.domain);
    if domain.is_none() && !entry.name.contains('.') {
        return Err(format!("{} has no domain: write its full name, or dn, or give --domain", entry.name));
    }
    super::full_name(&entry.name, domain)
}

#[cfg(test)]
mod formats_tests;
#[cfg(test)]
mod tests;
