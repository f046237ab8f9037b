//! What the configuration of a DHCP server says, whichever server's it is: subnets with what they are told, pools, reservations.
//!
//! Each reader gives what can be kept, with what it inherits worked in as far as our model has no place for the level it came from, and a note
//! with its line for everything that cannot be kept. Pure: text in, entries, notes and errors out.

pub mod isc;
mod json;
pub mod kea;

use super::bootptab::{BootEntry, Effective, Note};
use super::place::{ImportError, Place};
use crate::inventory::{BootParameters, OptionDraft};
use holdfast_proto::words::{Mac, Subnet};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Blocks may lie within blocks so deep; a hostile file would fill the stack otherwise.
pub const DEPTH_LIMIT: usize = 64;

/// So many notes of one configuration are kept; the rest is counted.
pub const NOTES_LIMIT: usize = 1_000;

/// What a configuration says.
#[derive(Debug, Default)]
pub struct DhcpConfig {
    /// Subnets in the file's order.
    pub subnets: Vec<DhcpSubnet>,
    /// Reservations; one without a name has the empty one, and is found by its address.
    pub entries: Vec<BootEntry>,
    /// What was left out, and why.
    pub notes: Vec<Note>,
    /// How many notes more there were.
    pub more_notes: usize,
    /// All that is wrong.
    pub errors: Vec<ImportError>,
}

impl DhcpConfig {
    fn note(&mut self, place: Place, message: String) {
        match self.notes.len() {
            held if held < NOTES_LIMIT => self.notes.push(Note { place, message }),
            _ => self.more_notes += 1,
        }
    }
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpSubnet {
    /// Where it stands.
    pub place: Place,
    /// The network.
    pub network: Subnet,
    /// What its machines are told, with all that it inherits.
    pub told: Told,
    /// Its ranges of addresses to lend.
    pub pools: Vec<(Place, Ipv4Addr, Ipv4Addr)>,
    /// How long those are lent, in seconds, where it is said apart.
    pub pool_lease_secs: Option<u32>,
    /// What each pool tells its clients beyond the subnet: options by code.
    pub pool_options: Vec<BTreeMap<u8, Vec<u8>>>,
    /// The campus that it belongs to, where it is said.
    pub campus: Option<String>,
}

impl DhcpSubnet {
    /// The options that all its pools tell and the subnet does not, and the codes of others that only some of them tell. Here pools tell what
    /// their subnet does.
    pub fn pooled(&self) -> (BTreeMap<u8, Vec<u8>>, BTreeSet<u8>) {
        let all = |code: &u8, value: &Vec<u8>| self.pool_options.iter().all(|pool| pool.get(code) == Some(value)) && !self.told.options.contains_key(code);
        let said = self.pool_options.iter().flatten();
        let (shared, others): (Vec<_>, Vec<_>) = said.partition(|(code, value)| all(code, value));
        let inherited = |(code, value): &(&u8, &Vec<u8>)| self.told.options.get(*code) == Some(*value);
        let others = others.into_iter().filter(|one| !inherited(one)).map(|(code, _)| *code).collect();
        (shared.into_iter().map(|(code, value)| (*code, value.clone())).collect(), others)
    }
}

/// What machines are told at one level, and what it inherits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// Options by code.
    pub options: BTreeMap<u8, Vec<u8>>,
    /// Whom to fetch the boot file from.
    pub next_server: Option<Ipv4Addr>,
    /// The name of the boot server.
    pub server_name: Option<String>,
    /// The boot file.
    pub boot_file: Option<String>,
    /// How long an address is lent, in seconds.
    pub lease_secs: Option<u32>,
}

impl Told {
    /// What holds at a level within this one that says this much itself.
    fn with(&self, inner: &Self) -> Self {
        let mut told = self.clone();
        told.options.extend(inner.options.clone());
        told.next_server = inner.next_server.or(told.next_server);
        told.server_name = inner.server_name.clone().or(told.server_name);
        told.boot_file = inner.boot_file.clone().or(told.boot_file);
        told.lease_secs = inner.lease_secs.or(told.lease_secs);
        told
    }

    /// Whether it says anything that a subnet would have to say.
    fn is_for_subnets(&self) -> bool {
        const DOMAIN: u8 = 15;
        // Names are completed by the domain wherever it stands.
        let said =
            Self { options: self.options.iter().filter(|(code, _)| **code != DOMAIN).map(|(code, value)| (*code, value.clone())).collect(), ..self.clone() };
        said != Self::default()
    }

    /// The boot parameters that this is for a machine called by this first label.
    fn boot(&self, label: &str, told_its_name: bool) -> BootParameters {
        const HOST_NAME: u8 = 12;
        let named = self.options.get(&HOST_NAME).is_some_and(|name| name.eq_ignore_ascii_case(label.as_bytes()));
        let mut options: BTreeMap<u8, Vec<u8>> = self.options.clone();
        if named {
            options.remove(&HOST_NAME);
        }
        options.extend(self.lease_secs.map(|secs| (51, secs.to_be_bytes().to_vec())));
        BootParameters {
            next_server: self.next_server,
            server_name: self.server_name.clone().unwrap_or_default(),
            boot_file: self.boot_file.clone().unwrap_or_default(),
            wait_secs: 0,
            send_host_name: named || told_its_name,
            options: options.into_iter().map(|(code, value)| OptionDraft { code, value: Some(value) }).collect(),
        }
    }
}

/// The entry of a reservation.
fn entry(place: Place, name: String, domain: Option<String>, mac: Mac, address: Ipv4Addr, boot: BootParameters) -> BootEntry {
    let effective = Effective { address: Some(address), htype: 1, hardware: Some(mac.0.to_vec()), mask: None, gateways: vec![], domain, boot };
    BootEntry { place, name, parents: vec![], tags: vec![], effective }
}

/// What BOOTP's fields hold with their final zero, RFC 951.
fn check_texts(told: &Told, say: &mut dyn FnMut(String)) {
    let texts = [("the boot file", &told.boot_file, 127), ("the name of the boot server", &told.server_name, 63)];
    for (what, text, limit) in texts {
        if text.as_ref().is_some_and(|text| text.len() > limit || text.contains(char::is_control)) {
            say(format!("{what} must fit into {limit} bytes, without control characters"));
        }
    }
}
