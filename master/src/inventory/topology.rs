//! What stands behind which port of which router, and whether a department may run a server of its own there.
//!
//! A department's own server hears what its subnets ask only if its routers hand that on, and a router hands on by port. So a server is
//! good where the department shares neither a subnet nor a port with others; everywhere else it is refused, with what is shared, and there
//! is advice on how to get there. Deciding is pure; the rows come from the database.

use super::organisation::{Entry, ServerDraft, ServerKind};
use super::places::refuse;
use super::{Problem, Refusal};
use crate::db::topology::{self as db, RouterDraft, SubnetRow};
pub use crate::db::topology::{PortDraft, PullRow};
use crate::db::{DbError, campuses, pools, subnets};
use holdfast_proto::words::Subnet;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Hosts of a plan that are named one by one.
const MOVES_TOLD: usize = 20;
/// The smallest subnet that is proposed, and the largest, as lengths of prefixes.
const LENGTHS: std::ops::RangeInclusive<u8> = 16..=28;

/// A subnet, and the port that it stands behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = topology::Line)]
pub struct TopologyLine {
    /// The router; none where nobody has said.
    pub router: Option<String>,
    /// Its port.
    pub port: Option<String>,
    /// The subnet; none at a port without one.
    #[schema(value_type = Option<String>)]
    pub subnet: Option<Subnet>,
    /// Its campus.
    pub campus: String,
    /// Whose it is.
    pub department: Option<String>,
    /// How many hosts it has.
    pub hosts: i64,
    /// Other departments with hosts on it.
    pub guests: Vec<String>,
    /// Departments' own servers on it.
    pub servers: Vec<String>,
}

/// Something that a department shares with others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = topology::Shared)]
pub struct Shared {
    /// `subnet`, `hosts` or `port`.
    #[schema(value_type = String)]
    pub what: &'static str,
    /// The subnet of it.
    #[schema(value_type = String)]
    pub subnet: Subnet,
    /// Of a port: its router.
    pub router: Option<String>,
    /// In a sentence.
    pub detail: String,
}

/// How a department gets to where it may run a server of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = topology::Advice)]
pub struct Advice {
    /// The department.
    pub department: String,
    /// Whether nothing stands in the way.
    pub fits: bool,
    /// What stands in the way.
    pub obstacles: Vec<String>,
    /// A free network for what has to move; none where nothing has to, or there is none.
    #[schema(value_type = Option<String>)]
    pub network: Option<Subnet>,
    /// How many hosts have to move.
    pub hosts: usize,
    /// What to do, in order.
    pub steps: Vec<String>,
}

/// A zone that a member may be given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = servers::ZoneFeed)]
pub struct ZoneFeed {
    /// The zone.
    pub zone: String,
    /// Whether a rule of it lets the server have it, by its address and key.
    pub allowed: bool,
    /// What to do where not; or that it is the department's own, which we copy.
    pub note: String,
}

/// What a router of the department's is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = servers::Relay)]
pub struct Relay {
    /// The subnet.
    #[schema(value_type = String)]
    pub subnet: Subnet,
    /// Where its BOOTP and DHCP requests go, in order.
    #[schema(value_type = Vec<String>)]
    pub servers: Vec<IpAddr>,
    /// As lines for a router (Cisco IOS).
    pub snippet: String,
}

/// What a department's server is given, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = servers::Standing)]
pub struct ServerStanding {
    /// The server.
    pub server: ServerDraft,
    /// What has come to be shared since it was registered.
    pub shared: Vec<Shared>,
    /// The zones of its department; nothing for an independent one.
    pub zones: Vec<ZoneFeed>,
    /// What it took, and when last, as far as this master gave it.
    pub pulls: Vec<PullRow>,
    /// What the routers of the department are to be told.
    pub relays: Vec<Relay>,
}

/// All subnets by router and port; those at no port last.
pub async fn topology(pool: &PgPool) -> Result<Vec<TopologyLine>, DbError> {
    let mut db = pool.acquire().await?;
    let (subnets, servers) = (db::subnets(&mut db, None).await?, db::servers(&mut db).await?);
    let routers: Vec<RouterDraft> = db::routers(&mut db).await?.into_iter().map(|kept| kept.draft).collect();
    let servers: Vec<ServerDraft> = servers.into_iter().map(|kept| kept.draft).collect();
    Ok(lines(&routers, &subnets, &servers))
}

fn lines(routers: &[RouterDraft], subnets: &[SubnetRow], servers: &[ServerDraft]) -> Vec<TopologyLine> {
    let line = |at: Option<(&RouterDraft, &PortDraft)>, of: Option<&SubnetRow>| TopologyLine {
        router: at.map(|(router, _)| router.name.clone()),
        port: at.map(|(_, port)| port.name.clone()),
        subnet: of.map(|row| row.network),
        campus: of.map(|row| row.campus.clone()).or_else(|| at.map(|(router, _)| router.campus.clone())).unwrap_or_default(),
        department: of.and_then(|row| row.department.clone()),
        hosts: of.map_or(0, |row| row.hosts),
        guests: of.map(|row| row.guests.iter().map(|(name, _)| name.clone()).collect()).unwrap_or_default(),
        servers: servers.iter().filter(|one| of.is_some_and(|row| row.network.net().contains(&one.address))).map(|one| one.name.clone()).collect(),
    };
    let row = |network: &Subnet| subnets.iter().find(|row| row.network == *network);
    let mut lines = Vec::new();
    for router in routers {
        for port in &router.ports {
            lines.extend(port.subnets.iter().map(|network| line(Some((router, port)), row(network))));
            lines.extend(port.subnets.is_empty().then(|| line(Some((router, port)), None)));
        }
    }
    let is_placed = |network: Subnet| routers.iter().flat_map(|router| &router.ports).any(|port| port.subnets.contains(&network));
    lines.extend(subnets.iter().filter(|row| !is_placed(row.network)).map(|row| line(None, Some(row))));
    lines
}

/// What a department shares with others: the subnets that it has or has a server in, hosts of others there, ports with others' subnets.
fn shared(department: &str, servers: &[IpAddr], subnets: &[SubnetRow], routers: &[RouterDraft]) -> Vec<Shared> {
    let is_own = |row: &SubnetRow| row.department.as_deref() == Some(department);
    let holds_server = |row: &SubnetRow| servers.iter().any(|address| row.network.net().contains(address));
    let owner = |row: &SubnetRow| row.department.clone().unwrap_or_else(|| "nobody in particular".to_owned());
    let mut found = Vec::new();
    for row in subnets.iter().filter(|row| is_own(row) || holds_server(row)) {
        let mut add = |what, router: Option<&RouterDraft>, detail| {
            found.push(Shared { what, subnet: row.network, router: router.map(|router| router.name.clone()), detail });
        };
        if !is_own(row) {
            add("subnet", None, format!("the subnet {} belongs to {}", row.network, owner(row)));
        }
        let guests: Vec<String> = row.guests.iter().filter(|(name, _)| name != department).map(|(name, hosts)| format!("{hosts} of {name}")).collect();
        if !guests.is_empty() {
            add("hosts", None, format!("the subnet {} is shared with hosts of others: {}", row.network, guests.join(", ")));
        }
        for (router, port) in routers.iter().flat_map(|router| router.ports.iter().map(move |port| (router, port))) {
            if !port.subnets.contains(&row.network) {
                continue;
            }
            let others = port.subnets.iter().filter_map(|other| subnets.iter().find(|known| known.network == *other)).filter(|other| !is_own(other));
            let others: Vec<String> =
                others.filter(|other| other.network != row.network).map(|other| format!("{} of {}", other.network, owner(other))).collect();
            if !others.is_empty() {
                add("port", Some(router), format!("the port {} of router {} has {} and {}", port.name, router.name, row.network, others.join(", ")));
            }
        }
    }
    found
}

/// Everything about one department.
struct Ground {
    subnets: Vec<SubnetRow>,
    routers: Vec<RouterDraft>,
    servers: Vec<ServerDraft>,
}

impl Ground {
    async fn of(db: &mut PgConnection, department: &str) -> Result<Self, DbError> {
        let subnets = db::subnets(db, Some(department)).await?;
        let routers = db::routers(db).await?.into_iter().map(|kept| kept.draft).collect();
        let servers = db::servers(db).await?.into_iter().map(|kept| kept.draft).filter(|server| server.department == department).collect();
        Ok(Self { subnets, routers, servers })
    }

    fn shared(&self, department: &str) -> Vec<Shared> {
        let addresses: Vec<IpAddr> = self.servers.iter().map(|server| server.address).collect();
        shared(department, &addresses, &self.subnets, &self.routers)
    }
}

/// Refuses, after a router or a server was written, what a department with a server now shares: the transaction is taken back.
pub(super) async fn refuse_shared(db: &mut PgConnection, entry: &Entry) -> Result<(), Refusal> {
    let departments: BTreeSet<String> = match entry {
        Entry::Server(draft) => BTreeSet::from([draft.department.clone()]),
        Entry::Router(_) => db::servers(db).await?.into_iter().map(|kept| kept.draft.department).collect(),
        _ => return Ok(()),
    };
    let mut problems = Vec::new();
    for department in departments {
        let mut shared = Ground::of(db, &department).await?.shared(&department);
        if let Entry::Router(draft) = entry {
            // What came to be shared otherwise, or elsewhere, is no reason against this router.
            shared.retain(|one| one.router.as_ref() == Some(&draft.name));
        }
        let advice = format!("`holdfast dept-server advise {department}` has a plan");
        let kind = |what| if what == "port" { "shared-port" } else { "shared-subnet" };
        let why = |one: Shared| {
            let detail = format!("{}: {department} cannot run a server of its own beside others; {advice}", one.detail);
            Problem::new(kind(one.what), if matches!(entry, Entry::Server(_)) { "/address" } else { "/ports" }, detail)
        };
        problems.extend(shared.into_iter().map(why));
    }
    refuse(problems)
}

/// What stands in the way of a department's own server, and a plan.
pub async fn advise(pool: &PgPool, department: &str) -> Result<Advice, Refusal> {
    let mut db = pool.acquire().await.map_err(DbError::from)?;
    let known = crate::db::departments::all(&mut db).await?.into_iter().any(|kept| kept.draft.name == department);
    if !known {
        return Err(Refusal::Missing(Problem::new("no-such-entry", "", format!("there is no department {department}"))));
    }
    let ground = Ground::of(&mut db, department).await?;
    let shared = ground.shared(department);
    let crowded = crowded(department, &ground.subnets, &shared);
    let hosts = db::hosts_on(&mut db, department, &crowded).await?;
    let mut advice = Advice {
        department: department.to_owned(),
        fits: false,
        obstacles: obstacles(department, &ground, &shared),
        network: None,
        hosts: hosts.len(),
        steps: vec![],
    };
    let campus = ground.subnets.iter().find(|row| crowded.contains(&row.network)).or(ground.subnets.first()).map(|row| row.campus.clone());
    if !hosts.is_empty() {
        advice.network = free_network(&mut db, hosts.len(), &ground.subnets, campus.as_deref()).await?;
    }
    advice.steps = steps(&advice, campus.as_deref(), &shared, &hosts);
    advice.fits = advice.obstacles.is_empty();
    Ok(advice)
}

/// The subnets that a department's hosts have to leave: those that it shares with others' hosts, and those of others that it is a guest on.
fn crowded(department: &str, subnets: &[SubnetRow], shared: &[Shared]) -> Vec<Subnet> {
    let is_guest = |row: &&SubnetRow| row.guests.iter().any(|(name, _)| name == department);
    let of_others = |row: &&SubnetRow| shared.iter().any(|one| one.subnet == row.network && one.what != "port");
    subnets.iter().filter(|row| is_guest(row) || of_others(row)).map(|row| row.network).collect()
}

fn obstacles(department: &str, ground: &Ground, shared: &[Shared]) -> Vec<String> {
    let mut told: Vec<String> = shared.iter().map(|one| one.detail.clone()).collect();
    let is_own = |row: &&SubnetRow| row.department.as_deref() == Some(department);
    if !ground.subnets.iter().any(|row| is_own(&row)) {
        told.push(format!("{department} has no subnet of its own"));
    }
    for row in &ground.subnets {
        let hosts: i64 = row.guests.iter().filter(|(name, _)| name == department).map(|(_, hosts)| hosts).sum();
        if hosts > 0 {
            told.push(format!("{hosts} hosts of {department} are on {}, which is not its own", row.network));
        }
    }
    let is_placed = |row: &&SubnetRow| ground.routers.iter().flat_map(|router| &router.ports).any(|port| port.subnets.contains(&row.network));
    let unplaced = ground.subnets.iter().filter(is_own).filter(|row| !is_placed(row));
    told.extend(unplaced.map(|row| format!("nobody has said which router port {} stands behind: `holdfast router set`", row.network)));
    told
}

/// A network with room for twice as many hosts, out of a container; first of those that the campus has subnets in.
async fn free_network(db: &mut PgConnection, hosts: usize, known: &[SubnetRow], campus: Option<&str>) -> Result<Option<Subnet>, DbError> {
    let taken: Vec<Subnet> = subnets::networks(db).await?.into_iter().map(|(_, network)| network).collect();
    let containers: Vec<Subnet> = pools::containers(db).await?.into_iter().map(|row| row.network).filter(|network| network.net().addr().is_ipv4()).collect();
    let length = length_for(hosts);
    let near = |container: &Subnet| known.iter().any(|row| Some(row.campus.as_str()) == campus && container.net().contains(&row.network.net()));
    let mut in_order = containers.clone();
    in_order.sort_by_key(|container| !near(container));
    Ok(in_order.into_iter().find_map(|container| {
        let inner = containers.iter().copied().filter(|inner| *inner != container && container.net().contains(&inner.net()));
        super::space::first_gap(container, length, taken.iter().copied().chain(inner))
    }))
}

/// The prefix of the smallest subnet with room for twice as many hosts, its router and its server.
fn length_for(hosts: usize) -> u8 {
    let wanted = 2 * hosts as u64 + 4;
    LENGTHS.rev().find(|length| (1u64 << (32 - length)) >= wanted).unwrap_or(*LENGTHS.start())
}

fn steps(advice: &Advice, campus: Option<&str>, shared: &[Shared], hosts: &[(String, IpAddr)]) -> Vec<String> {
    let (department, campus) = (&advice.department, campus.unwrap_or("CAMPUS"));
    let mut steps = Vec::new();
    match advice.network {
        Some(network) => {
            let gateway = network.net().hosts().next().map(|first| format!(" --gateway {first}")).unwrap_or_default();
            steps.push(format!("holdfast subnet add {network} --campus {campus}{gateway}"));
            steps.push(format!("holdfast subnet set {network} --department {department}"));
            steps.push(format!("give it a port of its own at the router, and say so: holdfast router port ROUTER PORT {network}"));
            steps.extend(hosts.iter().take(MOVES_TOLD).map(|(name, _)| format!("holdfast host move {name} --subnet {network} --planned TIME")));
            if hosts.len() > MOVES_TOLD {
                steps.push(format!("and so on with the other {}", hosts.len() - MOVES_TOLD));
            }
        }
        None if !hosts.is_empty() => steps.push(format!(
            "no container has room for a /{}: `holdfast container add NETWORK` tells what subnets may be cut from, then ask again",
            length_for(hosts.len())
        )),
        None => {}
    }
    let ports: BTreeSet<Subnet> = shared.iter().filter(|one| one.what == "port").map(|one| one.subnet).collect();
    steps.extend(ports.iter().map(|subnet| format!("give {subnet} a port of its own at the router, and say so: holdfast router port ROUTER PORT {subnet}")));
    steps.push(format!("holdfast dept-server add NAME --department {department} --kind member --address ADDRESS"));
    steps
}

/// How a server stands, and what it is given.
pub async fn standing(pool: &PgPool, name: &str) -> Result<ServerStanding, Refusal> {
    let mut db = pool.acquire().await.map_err(DbError::from)?;
    let missing = || Refusal::Missing(Problem::new("no-such-entry", "", format!("there is no department's server {name}")));
    let server = db::servers(&mut db).await?.into_iter().map(|kept| kept.draft).find(|server| server.name == name).ok_or_else(missing)?;
    let ground = Ground::of(&mut db, &server.department).await?;
    let is_member = server.kind == ServerKind::Member;
    let zones = if is_member { db::zones_of(&mut db, &server.department).await? } else { vec![] };
    let zones = zones.into_iter().map(|row| zone_feed(&server, row)).collect();
    let agents = campuses::all(&mut db).await?;
    let service = |campus: &str| agents.iter().find(|one| one.name == campus);
    let relay = |row: &SubnetRow| {
        let mut servers: Vec<IpAddr> = ground.servers.iter().map(|server| server.address).collect();
        if is_member {
            let home = service(&row.campus);
            let backup = home.and_then(|home| home.backup.as_deref()).and_then(service);
            servers.extend([home, backup].into_iter().flatten().filter_map(|campus| campus.service_address));
        }
        let snippet = servers.iter().map(|address| format!(" ip helper-address {address}\n")).collect();
        Relay { subnet: row.network, servers, snippet }
    };
    let relays = ground.subnets.iter().filter(|row| row.department.as_ref() == Some(&server.department)).map(relay).collect();
    let pulls = db::pulls(&mut db, server.address).await?;
    Ok(ServerStanding { shared: ground.shared(&server.department), server, zones, pulls, relays })
}

fn zone_feed(server: &ServerDraft, row: db::ZoneRow) -> ZoneFeed {
    let allowed =
        row.transfers.iter().any(|rule| rule.prefix.is_none_or(|prefix| prefix.contains(&server.address)) && (rule.key.is_none() || rule.key == server.key));
    let key = server.key.as_ref().map(|key| format!(" --key {key}")).unwrap_or_default();
    let note = match (row.is_copy, allowed) {
        (true, _) => "copied from its own servers".to_owned(),
        (false, true) => String::new(),
        (false, false) => format!("holdfast zone allow {} --to {}{key} --notify {}", row.apex, server.address, server.address),
    };
    ZoneFeed { zone: row.apex, allowed: allowed || row.is_copy, note }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(network: &str, department: Option<&str>, guests: &[(&str, i64)]) -> SubnetRow {
        let guests = guests.iter().map(|(name, hosts)| ((*name).to_owned(), *hosts)).collect();
        SubnetRow { network: network.parse().unwrap(), campus: "north".into(), department: department.map(str::to_owned), guests, hosts: 3 }
    }

    fn router(ports: &[(&str, &[&str])]) -> RouterDraft {
        let port = |(name, subnets): &(&str, &[&str])| PortDraft { name: (*name).into(), subnets: subnets.iter().map(|text| text.parse().unwrap()).collect() };
        RouterDraft { name: "gw".into(), title: String::new(), campus: "north".into(), ports: ports.iter().map(port).collect() }
    }

    fn check(servers: &[&str], subnets: &[SubnetRow], routers: &[RouterDraft], expected: &[(&str, &str)]) {
        let servers: Vec<IpAddr> = servers.iter().map(|text| text.parse().unwrap()).collect();
        let found = shared("cs", &servers, subnets, routers);
        assert_eq!(found.iter().map(|one| one.what).collect::<Vec<_>>(), expected.iter().map(|(what, _)| *what).collect::<Vec<_>>(), "{found:?}");
        for (one, (_, says)) in found.iter().zip(expected) {
            assert!(one.detail.contains(says), "{} lacks {says}", one.detail);
        }
    }

    #[test]
    fn what_is_shared_is_named() {
        let cs = row("10.1.8.0/24", Some("cs"), &[]);
        let law = row("10.1.9.0/24", Some("law"), &[]);
        let alone = router(&[("ge-0", &["10.1.8.0/24"]), ("ge-1", &["10.1.9.0/24"])]);
        check(&["10.1.8.53"], &[cs.clone(), law.clone()], &[alone], &[]);
        let together = router(&[("ge-0", &["10.1.8.0/24", "10.1.9.0/24"])]);
        check(&["10.1.8.53"], &[cs.clone(), law.clone()], std::slice::from_ref(&together), &[("port", "10.1.9.0/24 of law")]);
        check(&[], &[cs.clone(), law.clone()], &[together], &[("port", "port ge-0 of router gw")]);
        check(&["10.1.9.53"], &[law], &[], &[("subnet", "belongs to law")]);
        check(&["10.1.4.53"], &[row("10.1.4.0/22", None, &[("cs", 2), ("law", 7)])], &[], &[("subnet", "nobody in particular"), ("hosts", "7 of law")]);
        check(&[], &[row("10.1.8.0/24", Some("cs"), &[("law", 1)])], &[], &[("hosts", "1 of law")]);
    }

    #[test]
    fn a_subnet_is_proposed_with_room_to_grow() {
        for (hosts, length) in [(1, 28), (6, 28), (7, 27), (126, 24), (127, 23), (100_000, 16)] {
            assert_eq!(length_for(hosts), length, "{hosts}");
        }
    }
}
