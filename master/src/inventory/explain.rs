//! What is known of a name, an address or a hardware address, in sentences: for whoever answers the telephone.
//!
//! It tells first what services do with it and why, then what it is, then whom to call. It only reads.

use super::network_sessions::{NetworkSession, from_mac};
use super::whohad::{WhoHad, who_had};
use super::{Host, Problem, Refusal, Sight, boot, host_by_name, machines, numbers, organisation, records, zones};
use crate::db::nas::{self, NasLine};
use crate::db::{DbError, holders, hosts, machines as on_networks, subnets, timeline};
use holdfast_proto::radius::Machine;
use holdfast_proto::words::{DomainName, HostName, Mac, Subnet};
use serde::Serialize;
use sqlx::PgPool;
use std::net::IpAddr;

/// Reports that are looked through.
const REPORTS_LOOKED_AT: i64 = 20_000;
/// And told at most.
const REPORTS_TOLD: i64 = 5;
/// Former holders of an address that are told.
const FORMER_TOLD: usize = 5;
/// Sessions that are told.
const SESSIONS_TOLD: usize = 5;
/// People who are told.
const PEOPLE_TOLD: usize = 4;

/// What is known of something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Explained {
    /// What was asked about, as we write it.
    pub object: String,
    /// `address`, `mac` or `name`.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// What is known, the most important first.
    pub facts: Vec<Fact>,
}

/// One thing that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Fact {
    /// What it is about: `dns`, `boot`, `address`, `subnet`, `host`, `before`, `session`, `seen`, `report`, `call`, `network`.
    #[schema(value_type = String)]
    pub about: &'static str,
    /// A sentence.
    pub says: String,
}

/// Explains a name, an address or a hardware address. Who sees only a part is told of hosts of that part alone.
pub async fn explain(pool: &PgPool, sight: &Sight, text: &str) -> Result<Explained, Refusal> {
    let mut notes = Notes { pool, sight, facts: Vec::new() };
    let (object, kind) = if let Ok(ip) = text.parse::<IpAddr>() {
        notes.address(ip).await?;
        (ip.to_string(), "address")
    } else if let Ok(mac) = text.parse::<Mac>() {
        notes.mac(mac).await?;
        (mac.to_string(), "mac")
    } else {
        let wrong = |_| Problem::new("no-such-object", "", format!("\"{text}\" is neither an address nor a hardware address nor a name"));
        let name = text.parse::<DomainName>().map_err(wrong)?;
        notes.name(&name).await?;
        (name.without_dot(), "name")
    };
    notes.reports(&object).await?;
    notes.people(&object).await?;
    Ok(Explained { object, kind, facts: notes.facts })
}

struct Notes<'a> {
    pool: &'a PgPool,
    sight: &'a Sight,
    facts: Vec<Fact>,
}

impl Notes<'_> {
    fn add(&mut self, about: &'static str, says: impl Into<String>) {
        self.facts.push(Fact { about, says: says.into() });
    }

    fn sees_all(&self) -> bool {
        *self.sight == Sight::All
    }

    async fn address(&mut self, ip: IpAddr) -> Result<(), Refusal> {
        let mut db = self.pool.acquire().await.map_err(DbError::from)?;
        let subnet = subnets::networks(&mut db).await?.into_iter().map(|(_, network)| network).find(|network| network.net().contains(&ip));
        let owner = hosts::address_owners(&mut db, &[ip.to_string()]).await?.pop().map(|(.., name)| name);
        drop(db);
        let Some(subnet) = subnet else {
            self.add("subnet", format!("{ip} lies in none of our subnets: nothing of ours hands it out or points back to it"));
            return self.before(ip).await;
        };
        self.subnet(ip, subnet, owner.is_some()).await?;
        if let Some(name) = owner {
            self.host(&name).await?;
        }
        self.before(ip).await
    }

    async fn subnet(&mut self, ip: IpAddr, network: Subnet, is_used: bool) -> Result<(), Refusal> {
        let subnet = super::subnets(self.pool, self.sight).await?.into_iter().find(|subnet| subnet.draft.network == network);
        let Some(subnet) = subnet else {
            self.add("subnet", format!("{ip} lies in {network}, of which you may see nothing"));
            return Ok(());
        };
        let run = numbers::map(self.pool, network).await?.into_iter().find(|run| run.first <= ip && ip <= run.last);
        let is = match run.as_ref().map(|run| run.kind.as_str()) {
            Some("free") => "free: no host has it, so DNS has no name for it and BOOTP and DHCP give it to nobody",
            Some("quarantined") => "in quarantine: it was given back, and nobody else gets it yet",
            Some("dynamic") => "in a dynamic pool: it is for leases, and no host can have it for good",
            Some("reserved") => "reserved: nobody gets it",
            Some("gateway") => "the gateway of its subnet",
            _ if is_used => "in use",
            _ => "no address that hosts can have",
        };
        let vlan = subnet.draft.vlan.map(|vlan| format!(", VLAN {vlan}")).unwrap_or_default();
        let gateway = subnet.draft.gateway.map_or("no gateway".to_owned(), |gateway| format!("gateway {gateway}"));
        self.add("subnet", format!("{ip} is {is}; subnet {network} of campus {}, {gateway}{vlan}", subnet.draft.campus));
        Ok(())
    }

    /// Who had an address before, what holds it, when it was seen. Whose it was then is not for those who see a part.
    async fn before(&mut self, ip: IpAddr) -> Result<(), Refusal> {
        if !self.sees_all() {
            return Ok(());
        }
        let WhoHad { items, quarantine, last_seen, source, sessions, .. } = who_had(self.pool, ip, None).await?;
        if let Some(held) = quarantine {
            let waiting = if held.waiting_for.is_empty() { String::new() } else { format!("; {}", held.waiting_for.join("; ")) };
            self.add("before", format!("{} gave it back at {}; it waits until {}{waiting}", held.host, held.freed_at, held.until));
        }
        for holder in items.iter().filter(|holder| holder.until.is_some()).take(FORMER_TOLD) {
            let mac = holder.mac.as_ref().map(|mac| format!(" ({mac})")).unwrap_or_default();
            let until = holder.until.map(|until| until.to_string()).unwrap_or_default();
            self.add("before", format!("{}{mac} had it from {} to {until}", holder.host, holder.since));
        }
        for session in sessions.iter().take(SESSIONS_TOLD) {
            self.add("session", told_session(session));
        }
        match (last_seen, source) {
            (Some(at), Some(source)) => self.add("seen", format!("last seen in use at {at} by {source}")),
            _ => self.add("seen", "never seen in use"),
        }
        Ok(())
    }

    async fn mac(&mut self, mac: Mac) -> Result<(), Refusal> {
        let mut db = self.pool.acquire().await.map_err(DbError::from)?;
        let names = holders::hosts_with_mac(&mut db, &mac.to_string()).await?;
        if names.is_empty() {
            self.add("boot", format!("no host has the hardware address {mac}: BOOTP and DHCP have no entry for it, and it gets at most an address on loan"));
            let last = holders::last_with_mac(&mut db, &mac.to_string()).await?.filter(|_| self.sees_all());
            if let Some((host, ordinal, at)) = last {
                let name = holders::name_of(&mut db, host, ordinal).await?.unwrap_or_else(|| "a host that is gone".to_owned());
                self.add("before", format!("{name} had it until {at}"));
            }
        }
        let sessions = if self.sees_all() { from_mac(&mut db, mac, SESSIONS_TOLD as i64).await? } else { vec![] };
        let registered = holders::subnets_with_mac(&mut db, &mac.to_string()).await?;
        let why = if self.sees_all() { machines::why(&mut db, mac, &registered).await? } else { vec![] };
        drop(db);
        for says in why {
            self.add("address", says);
        }
        let is_known = !names.is_empty();
        for name in names {
            self.host(&name).await?;
        }
        self.network_access(mac, is_known).await?;
        for session in &sessions {
            self.add("session", told_session(session));
        }
        Ok(())
    }

    /// What NASs hear that ask of a machine by its hardware address. They are for those who see everything, as the registry is.
    async fn network_access(&mut self, mac: Mac, is_known: bool) -> Result<(), Refusal> {
        if !self.sees_all() {
            return Ok(());
        }
        let mut db = self.pool.acquire().await.map_err(DbError::from)?;
        let asking: Vec<NasLine> = nas::all(&mut db).await?.into_iter().filter(|nas| nas.rights.mac_authentication).collect();
        let machine = on_networks::of(&mut db, &[mac.to_string()]).await?.pop();
        let machine = machine.map(|facts| Machine { vlan: facts.vlan, places: facts.places });
        drop(db);
        for nas in &asking {
            let campus = nas.campus.as_deref().unwrap_or_default();
            let answer = match (&machine, nas.rights.guest_vlan) {
                (Some(machine), _) => machine.vlan_at(campus).map_or("in, into its port's own VLAN".to_owned(), |vlan| format!("in, into VLAN {vlan}")),
                (None, Some(guests)) => format!("into VLAN {guests}, as a guest"),
                (None, None) => "not in: no host has this hardware address".to_owned(),
            };
            self.add("network", format!("by MAC authentication, NAS {} lets it {answer}", nas.name));
        }
        if asking.is_empty() && is_known {
            self.add("network", "no NAS asks of machines by their hardware address: it gets in as its user, or not at all");
        }
        Ok(())
    }

    async fn name(&mut self, name: &DomainName) -> Result<(), Refusal> {
        if let Ok(host) = name.without_dot().parse::<HostName>()
            && self.host(&host).await?
        {
            return Ok(());
        }
        let zones = zones(self.pool, self.sight).await?;
        let zone = zones.iter().filter(|zone| name.is_within(&zone.draft.apex)).max_by_key(|zone| zone.draft.apex.label_count());
        let Some(zone) = zone else {
            self.add("dns", format!("{} lies in none of the zones that you see: agents ask elsewhere for it", name.without_dot()));
            return Ok(());
        };
        let query = records::RecordQuery { name: Some(name.clone()), limit: 20, ..Default::default() };
        let (found, _) = records::records(self.pool, &query).await?;
        for record in &found {
            self.add("dns", format!("{} {} {}", name.without_dot(), record.record.rtype, record.record.data));
            if let Some(host) = &record.host {
                self.add("dns", format!("it is an alias of the host {host}"));
            }
        }
        if found.is_empty() {
            self.add(
                "dns",
                format!("there is nothing at {}: agents answer that there is no such name (zone {})", name.without_dot(), zone.draft.apex.without_dot()),
            );
            self.former_host(name).await?;
        }
        Ok(())
    }

    async fn former_host(&mut self, name: &DomainName) -> Result<(), Refusal> {
        let Ok(host) = name.without_dot().parse::<HostName>() else { return Ok(()) };
        let last = super::history(self.pool, self.sight, &host).await?.into_iter().next();
        if let Some(last) = last {
            self.add("before", format!("there was a host {host}; the last change of it was made by {} at {}: {}", last.actor, last.at, last.reason));
        }
        Ok(())
    }

    /// All of a host; false where there is none that is seen.
    async fn host(&mut self, name: &HostName) -> Result<bool, Refusal> {
        let Some(host) = host_by_name(self.pool, self.sight, name).await? else { return Ok(false) };
        let addresses: Vec<IpAddr> = host.draft.interfaces.iter().flat_map(|iface| iface.addresses.iter().copied()).collect();
        if addresses.is_empty() {
            self.add("dns", format!("{name} has no address: agents have no A or AAAA record for it"));
        } else {
            let list: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            self.add("dns", format!("{name} is {}", list.join(", ")));
        }
        self.boot(&host).await?;
        self.add("host", particulars(&host));
        let mut db = self.pool.acquire().await.map_err(DbError::from)?;
        for ip in addresses {
            if let Some((at, source)) = holders::last_seen(&mut db, ip).await? {
                self.add("seen", format!("{ip} was last seen in use at {at} by {source}"));
            }
        }
        let last = timeline::last_set_of(&mut db, "ipam.host", &host.id.to_string(), Some(host.id)).await?.filter(|_| self.sees_all());
        if let Some(set) = last {
            let why = if set.reason.is_empty() { String::new() } else { format!(": {}", set.reason) };
            self.add("host", format!("last changed by {} at {}{why}", set.actor, set.at));
        }
        Ok(true)
    }

    async fn boot(&mut self, host: &Host) -> Result<(), Refusal> {
        let told = boot::told(self.pool, &host.draft.name).await?;
        for place in &told {
            let file = place.values.iter().find(|value| value.what == "boot_file").and_then(|value| value.value.clone());
            let file = file.map(|file| format!(", boots {file}")).unwrap_or_default();
            self.add("boot", format!("{} is given {} in {}{file}", place.mac, place.address, place.subnet));
        }
        for iface in host.draft.interfaces.iter().filter(|iface| iface.mac.is_none() && !iface.addresses.is_empty()) {
            let list: Vec<String> = iface.addresses.iter().map(IpAddr::to_string).collect();
            self.add("boot", format!("no hardware address is known for {}: BOOTP and DHCP do not hand it out", list.join(", ")));
        }
        Ok(())
    }

    /// What boxes said of it lately: for those who see everything, as all reports are.
    async fn reports(&mut self, object: &str) -> Result<(), Refusal> {
        if self.sees_all() {
            let mut db = self.pool.acquire().await.map_err(DbError::from)?;
            for said in holders::said_of(&mut db, &object.to_lowercase(), REPORTS_LOOKED_AT, REPORTS_TOLD).await? {
                self.add("report", format!("{} at {}: {}", said.node, said.at, said.detail));
            }
        }
        Ok(())
    }

    async fn people(&mut self, object: &str) -> Result<(), Refusal> {
        // What is nobody's, or no object of ours, has nobody to call.
        let Ok(chain) = organisation::escalation(self.pool, object).await else { return Ok(()) };
        for step in chain.items.into_iter().take(PEOPLE_TOLD) {
            let ways: Vec<String> = [step.phone, step.mail].into_iter().flatten().collect();
            self.add("call", format!("{} ({}): {}", step.name, step.object, ways.join(", ")));
        }
        Ok(())
    }
}

/// Who was on the network, where, and when.
fn told_session(session: &NetworkSession) -> String {
    let who = if session.user.is_empty() { "somebody without a name" } else { &session.user };
    let from = session.mac.as_deref().or(Some(session.calling_station.as_str()).filter(|station| !station.is_empty()));
    let from = from.map(|station| format!(" from {station}")).unwrap_or_default();
    let ip = session.ip.map(|ip| format!(" with {ip}")).unwrap_or_default();
    let until = session.until.map_or_else(|| format!("and was last heard of at {}", session.heard), |until| format!("until {until}"));
    format!("{who}{from}{ip} by way of {} since {} {until}", session.nas, session.since)
}

/// What a host is as a thing, and whose.
fn particulars(host: &Host) -> String {
    let draft = &host.draft;
    let named = [("of", draft.department.clone().unwrap_or_default()), ("at", draft.location.clone()), ("contact", draft.contact.clone())];
    let told: Vec<String> = named.into_iter().filter(|(_, value)| !value.is_empty()).map(|(word, value)| format!("{word} {value}")).collect();
    let people: Vec<String> = draft.contacts.iter().map(|one| one.contact.clone()).collect();
    let people = if people.is_empty() { String::new() } else { format!("; answered for by {}", people.join(", ")) };
    let what = if told.is_empty() { "nothing more is known of it".to_owned() } else { told.join(", ") };
    format!("host {}: {what}{people}", draft.name)
}
