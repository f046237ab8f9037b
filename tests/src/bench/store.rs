//! An agent's folder, made without a master: identity, keys and snapshots of a large institution.
//!
//! The rows are written by the encoders that the master composes with, signed by a key of the bench's own, and kept by the
//! agent's own keeper; so what the agent finds at its start is what it would have kept from the line: in each feed two bases
//! and a log.

use anyhow::{Context, Result};
use argon2::{Argon2, PasswordHasher};
use holdfast_agent::store::{Identity, Keeper, feed_dir, store_key};
use holdfast_master::keys::Authority;
use holdfast_proto::dhcp::policy::{POLICY, PolicyRow, Share, Unknown};
use holdfast_proto::dhcp::table::{RESERVATION, Reservation, SUBNET, SubnetRow, reservation_key, subnet_key};
use holdfast_proto::dns::{NODE, Node, Place, RrSet, ZONE, ZoneRow, rdata, rtype};
use holdfast_proto::radius::{ACCOUNT, Account, AccountState, FurtherVerifiers, NAS, Nas, NasRights, account_key, nas_key};
use holdfast_proto::snapshot::{
    Change, DataKey, Feed, Grant, HpkePrivate, HpkePublic, Institution, SigningKey, Stamp, State, Trust, TrustDraft, wrapped_key_row,
};
use holdfast_proto::words::{DomainName, Epoch, NodeId, Secret, Serial, UnixMillis};
use ipnet::{IpNet, Ipv4Net};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;

/// Who may log in, and with what.
pub(super) const ACCOUNTS: [(&str, &str); 2] = [("pascal.tesla0", "joule-89667-euler"), ("ada.ampere1", "volta-11235-newton")];
/// What the NAS at 127.0.0.1 and the agent share.
pub(super) const SHARED_SECRET: &[u8] = b"testing123";

const INSTITUTION: Institution = Institution(*b"bench.example-01");
pub(super) const NODE_ID: NodeId = NodeId([7; 16]);
const FORWARD: &str = "uni.example.";
const REVERSE: &str = "10.in-addr.arpa.";
const TTL_S: u32 = 3600;
/// A subnet for machines that nobody knows, and its router.
pub(crate) const POOL: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 192, 0, 0), 10);
pub(crate) const POOL_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 192, 0, 1);
/// A /22 is well filled with these.
pub(super) const HOSTS_PER_SUBNET: u32 = 1000;
const PREFIX_LEN: u8 = 22;
/// Generations after the first: the keeper folds the first of them into the second base, the rest stand in the log.
const LATER_GENERATIONS: usize = 2;

/// One host of the institution, by its number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Host(pub u32);

impl Host {
    /// `host17.uni.example`.
    pub fn name(self) -> DomainName {
        domain(&format!("host{}.{FORWARD}", self.0))
    }

    /// In the subnet of its thousand.
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::from(self.subnet().network().to_bits() + 10 + self.0 % HOSTS_PER_SUBNET)
    }

    /// Locally administered.
    pub fn mac(self) -> [u8; 6] {
        let [a, b, c, d] = self.0.to_be_bytes();
        [2, 0, a, b, c, d]
    }

    /// The router's address in its subnet.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.subnet().network().to_bits() + 1)
    }

    /// Where it stands.
    pub fn subnet(self) -> Ipv4Net {
        let network = u32::from_be_bytes([10, 16, 0, 0]) + ((self.0 / HOSTS_PER_SUBNET) << (32 - PREFIX_LEN));
        Ipv4Net::new(network.into(), PREFIX_LEN).expect("22 is a prefix length").trunc()
    }
}

/// Writes the folder of an agent of an institution with this many hosts.
pub(super) fn write(state_dir: &Path, hosts: u32) -> Result<()> {
    let publisher = Publisher::new()?;
    let public = publisher.keep_identity(state_dir, NODE_ID, "bench")?;
    let data_key = DataKey::generate()?;
    publisher.keep(state_dir, Feed::ZONE, names(hosts)?)?;
    publisher.keep(state_dir, Feed::BOOTPTAB, boot_entries(hosts))?;
    publisher.keep(state_dir, Feed::PEOPLE, people(&data_key, &public)?)?;
    publisher.keep(state_dir, Feed::ACCESS, access(&data_key, &public)?)?;
    Ok(())
}

/// Signs every feed: a real institution has two keys for that.
pub(crate) struct Publisher {
    key: SigningKey,
    trust: Trust,
    tls_key: Vec<u8>,
}

impl Publisher {
    /// With keys of its own.
    pub fn new() -> Result<Self> {
        let (root, key) = (SigningKey::generate()?.0, SigningKey::generate()?.0);
        let (authority, tls_key) = Authority::generate("bench")?;
        let draft = TrustDraft {
            version: 1,
            institution: INSTITUTION,
            name: "University of Benchmarks".into(),
            epoch: Epoch(1),
            threshold: 1,
            roots: vec![root.public()],
            grants: Feed::ALL.map(|feed| Grant { key: key.public(), kind: feed.kind, family: feed.scope.family }).to_vec(),
            authorities: vec![authority],
        };
        Ok(Self { key, trust: draft.sign(&[&root])?, tls_key })
    }

    /// Makes a folder that of an agent; gives what its secrets are encrypted to.
    pub fn keep_identity(&self, state_dir: &Path, node_id: NodeId, name: &str) -> Result<HpkePublic> {
        let (hpke, public) = HpkePrivate::generate()?;
        let identity = Identity {
            node_id,
            name: name.into(),
            // Nobody listens there: the agent is alone, as with its cable out.
            master: "127.0.0.1:9".into(),
            tls_key: Secret::new(self.tls_key.clone()),
            chain: self.trust.draft().authorities.clone(),
            hpke,
            trust: self.trust.clone(),
        };
        identity.keep(state_dir).context("keeping the identity")?;
        Ok(public)
    }

    /// Whom an agent of this publisher believes.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The next generation: sealed manifest, payload, and the state it leads to.
    pub fn publish(&self, state: &State, changes: Vec<Change>) -> Result<(Vec<u8>, Vec<u8>, State)> {
        let stamp = Stamp { institution: INSTITUTION, epoch: Epoch(1), issued_at: UnixMillis(1_795_000_000_000), soft_age_s: 0, hard_age_s: 0 };
        let draft = state.compose(changes)?.context("a generation without a change")?;
        let (sealed, payload, next) = draft.seal(&self.key, stamp)?;
        Ok((sealed.bytes().to_vec(), payload, next))
    }

    /// Publishes the rows, the last ones in generations of their own, and has the agent's keeper keep them.
    pub(super) fn keep(&self, state_dir: &Path, feed: Feed, mut rows: Vec<Change>) -> Result<(Keeper, State)> {
        let run_dir = state_dir.join("run");
        std::fs::create_dir_all(&run_dir)?;
        let (mut keeper, _) = Keeper::open(&feed_dir(state_dir, feed), &run_dir, feed, &self.trust.clone().into(), &store_key(state_dir))?;
        let later = rows.split_off(rows.len().saturating_sub(LATER_GENERATIONS).max(1));
        let mut state = State::empty(feed);
        for changes in [rows].into_iter().chain(later.into_iter().map(|row| vec![row])) {
            state = self.keep_next(&mut keeper, &state, changes)?;
            keeper.settle()?;
        }
        Ok((keeper, state))
    }

    fn keep_next(&self, keeper: &mut Keeper, state: &State, changes: Vec<Change>) -> Result<State> {
        let (sealed, payload, next) = self.publish(state, changes)?;
        let is_first = state.sealed().is_none();
        let kept = if is_first { keeper.take_rows(&self.trust, None, &sealed, &payload) } else { keeper.take_frame(&self.trust, &sealed, false, &payload) };
        kept?.disk_error.map_or(Ok(next), |wrong| Err(wrong).with_context(|| format!("keeping {}", state.view().feed())))
    }
}

/// The names of an institution on an agent's disk, and the one who may change them.
pub(super) struct Names {
    publisher: Publisher,
    keeper: Keeper,
    state: State,
}

impl Names {
    /// Writes the folder of a box that answers names alone.
    pub fn write(state_dir: &Path, hosts: u32) -> Result<Self> {
        let publisher = Publisher::new()?;
        publisher.keep_identity(state_dir, NODE_ID, "bench")?;
        let (keeper, state) = publisher.keep(state_dir, Feed::ZONE, names(hosts)?)?;
        Ok(Self { publisher, keeper, state })
    }

    /// The next generation, in which these hosts have another address; kept as what comes over the line is. The rows are sealed before
    /// the clock starts: what is measured is the agent's part.
    pub fn change(&mut self, hosts: impl Iterator<Item = Host>, address: Ipv4Addr) -> Result<std::time::Instant> {
        let row = |host: Host| node(&host.name(), Place::Inside, &domain(FORWARD), &[(rtype::A, address.octets().to_vec())]);
        let (sealed, payload, next) = self.publisher.publish(&self.state, hosts.map(row).collect())?;
        let begun = std::time::Instant::now();
        if let Some(wrong) = self.keeper.take_frame(&self.publisher.trust, &sealed, false, &payload)?.disk_error {
            return Err(wrong).context("keeping an edit");
        }
        self.state = next;
        Ok(begun)
    }
}

/// Two zones: names with A, addresses with PTR, and the empty names between (RFC 8020).
fn names(hosts: u32) -> Result<Vec<Change>> {
    let (forward, reverse) = (domain(FORWARD), domain(REVERSE));
    let mut rows = Vec::new();
    for apex in [&forward, &reverse] {
        rows.push(Change::put(ZONE, apex.wire(), ZoneRow { serial: Serial(1) }.encode()));
        let soa = rdata::parse_text("SOA", "ns.uni.example. hostmaster.uni.example. 1 3600 900 604800 300", None)?.1;
        let records = [(rtype::SOA, soa), (rtype::NS, domain("ns.uni.example.").wire().to_vec())];
        rows.push(node(apex, Place::Apex, apex, &records));
    }
    rows.push(node(&domain("ns.uni.example."), Place::Inside, &forward, &[(rtype::A, vec![10, 16, 0, 2])]));
    let mut between = BTreeSet::new();
    for host in (0..hosts).map(Host) {
        let (name, pointer) = (host.name(), DomainName::reverse_of(host.address().into()));
        rows.push(node(&name, Place::Inside, &forward, &[(rtype::A, host.address().octets().to_vec())]));
        rows.push(node(&pointer, Place::Inside, &reverse, &[(rtype::PTR, name.wire().to_vec())]));
        between.extend(std::iter::successors(pointer.parent(), DomainName::parent).take_while(|name| *name != reverse));
    }
    rows.extend(between.iter().map(|name| node(name, Place::Inside, &reverse, &[])));
    Ok(rows)
}

fn node(name: &DomainName, place: Place, apex: &DomainName, records: &[(u16, Vec<u8>)]) -> Change {
    let rrsets = records.iter().map(|(rtype, rdata)| RrSet { rtype: *rtype, ttl: TTL_S, rdatas: vec![rdata.clone()] }).collect();
    Change::put(NODE, name.wire(), Node { place, apex_labels: apex.label_count() as u8, rrsets }.encode())
}

/// Each host reserved in its subnet.
fn boot_entries(hosts: u32) -> Vec<Change> {
    let subnets = (0..hosts).step_by(HOSTS_PER_SUBNET as usize).map(|first| {
        let (net, gateway) = (Host(first).subnet(), Host(first).gateway().octets().to_vec());
        let resolvers = vec![10, 16, 0, 2, 10, 16, 0, 3];
        let options = vec![(1, net.netmask().octets().to_vec()), (3, gateway), (6, resolvers), (15, b"uni.example".to_vec()), (51, vec![0, 0, 0xa8, 0xc0])];
        Change::put(SUBNET, subnet_key(net), SubnetRow { campus: "north".into(), options }.encode())
    });
    let reservations = (0..hosts).map(Host).map(|host| {
        let entry = Reservation {
            address: host.address(),
            host_name: host.name().without_dot(),
            send_host_name: true,
            next_server: None,
            server_name: String::new(),
            boot_file: String::new(),
            wait_secs: 0,
            options: vec![],
        };
        Change::put(RESERVATION, reservation_key(host.subnet(), 1, &host.mac()), entry.encode())
    });
    subnets.chain(reservations).chain(pool()).collect()
}

/// One large share of this agent's.
fn pool() -> [Change; 2] {
    let net = Ipv4Net::new(POOL.0, POOL.1).expect("10 is a prefix length");
    let options = vec![
        (1, net.netmask().octets().to_vec()),
        (3, POOL_GATEWAY.octets().to_vec()),
        (6, vec![10, 16, 0, 2, 10, 16, 0, 3]),
        (15, b"uni.example".to_vec()),
        (51, vec![0, 0, 0xa8, 0xc0]),
    ];
    let first = Ipv4Addr::from_bits(POOL.0.to_bits() + 10);
    let share = Share { first, last: Ipv4Addr::from_bits(net.broadcast().to_bits() - 1), owner: NODE_ID };
    let policy = PolicyRow { unknown: Unknown::Off, shares: vec![share], ..PolicyRow::default() };
    let subnet = SubnetRow { campus: "north".into(), options };
    [Change::put(SUBNET, subnet_key(net), subnet.encode()), Change::put(POLICY, subnet_key(net), policy.encode())]
}

/// The accounts, with passwords hashed as the portal does.
fn people(key: &DataKey, agent: &HpkePublic) -> Result<Vec<Change>> {
    let mut rows = vec![wrapped_key_row(key, NODE_ID, agent)?];
    for (name, password) in ACCOUNTS {
        let verifier = Argon2::default().hash_password(password.as_bytes()).map_err(|wrong| anyhow::anyhow!("argon2id: {wrong}"))?.to_string();
        let row_key = account_key(name);
        // Service-Type = Framed (RFC 2865 section 5.6).
        let account = Account {
            state: AccountState::Active,
            verifier: key.encrypt(ACCOUNT, &row_key, verifier.as_bytes())?,
            further: FurtherVerifiers::default(),
            attributes: vec![6, 6, 0, 0, 0, 2],
        };
        rows.push(Change::put(ACCOUNT, row_key, account.encode()));
    }
    Ok(rows)
}

/// One NAS: this machine.
fn access(key: &DataKey, agent: &HpkePublic) -> Result<Vec<Change>> {
    let row_key = nas_key(IpNet::new(Ipv4Addr::LOCALHOST.into(), 32)?);
    let nas = Nas {
        name: "loopback".into(),
        secret: key.encrypt(NAS, &row_key, SHARED_SECRET)?,
        require_message_authenticator: true,
        has_former_secret: false,
        rights: NasRights::default(),
    };
    Ok(vec![wrapped_key_row(key, NODE_ID, agent)?, Change::put(NAS, row_key, nas.encode())])
}

fn domain(text: &str) -> DomainName {
    DomainName::parse(text, None).expect("the bench's own names are names")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;
    use holdfast_agent::store::best_state;

    #[test]
    fn what_is_written_is_what_an_agent_serves_from() {
        let folder = Folder::new("bench-store").unwrap();
        write(folder.path(), 2001).unwrap();
        let identity = Identity::read(folder.path()).unwrap();
        identity.tls().unwrap();
        let counts = Feed::ALL.map(|feed| {
            let (state, findings) = best_state(&feed_dir(folder.path(), feed), feed, &identity.trust.clone().into(), &store_key(folder.path()));
            assert_eq!(findings, vec![]);
            state.view().row_count()
        });
        // Boot: a pool with its policy beside subnets and hosts. Names: 2 zones and apexes, a server, A and PTR, and the names of 9 /24 and 1 /16.
        assert_eq!(counts, [4 + 1 + 2 * 2001 + 9 + 1, 3 + 2001 + 2, 3, 2, 0]);
        assert_eq!((Host(2000).address(), Host(2000).gateway()), (Ipv4Addr::new(10, 16, 8, 10), Ipv4Addr::new(10, 16, 8, 1)));
    }
}
