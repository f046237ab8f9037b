//! Writes the inventory as files of other programs: the way out, and what people edit and give back.
//!
//! Writing is pure: an [`Estate`] in, text out, always in the same order and with no clock in it, so that two exports of one state are equal
//! and a difference can be read. Files are grouped by campus and building, with comments. What a format has no words for stands in a comment
//! beside what it is about. Reading the estate is in `read`, and gives each actor what they may see and no more.

mod bootptab;
mod dhcpd;
mod groups;
mod kea;
mod lists;
mod read;
mod tables;
mod zone;

use super::import::clients::Client;
use super::organisation::{ContactDraft, DepartmentDraft};
use super::{CampusDraft, HostDraft, PoolDraft, RecordDraft, SubnetDraft, TemplateDraft, ZoneDraft};
use crate::db::defaults::DefaultsRow;
use holdfast_proto::words::{Secret, Subnet};
use std::fmt::{Result, Write};

pub use read::{export, files};

/// Everything that is exported. It is read page by page: what is changed meanwhile may stand in it as before or as after.
#[derive(Debug, Clone, Default)]
pub struct Estate {
    /// Campuses by name.
    pub campuses: Vec<CampusDraft>,
    /// Departments by name.
    pub departments: Vec<DepartmentDraft>,
    /// Contacts by handle.
    pub contacts: Vec<ContactDraft>,
    /// Subnets.
    pub subnets: Vec<SubnetDraft>,
    /// Pools.
    pub pools: Vec<PoolDraft>,
    /// Zones, with the serials last published.
    pub zones: Vec<ZoneDraft>,
    /// Records that no host implies, and aliases.
    pub records: Vec<RecordDraft>,
    /// Bootptab templates.
    pub templates: Vec<TemplateDraft>,
    /// What is inherited at boot.
    pub defaults: Vec<DefaultsRow>,
    /// Hosts by name.
    pub hosts: Vec<HostDraft>,
    /// NASs.
    pub nas: Vec<Nas>,
}

/// A NAS, with its secret for who may have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nas {
    /// Its name.
    pub name: String,
    /// The source addresses it may use.
    pub prefix: Subnet,
    /// Its secret, where it may be told.
    pub secret: Option<Secret>,
    /// Whether its requests must carry a Message-Authenticator.
    pub require_message_authenticator: bool,
    /// What it is.
    pub kind: String,
    /// Its campus.
    pub campus: Option<String>,
}

impl From<Client> for Nas {
    fn from(client: Client) -> Self {
        let Client { place: _, name, prefix, secret, require_message_authenticator } = client;
        Self { name, prefix, secret: Some(secret), require_message_authenticator, kind: String::new(), campus: None }
    }
}

/// A file that can be exported, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum File {
    /// bootpd's table.
    Bootptab,
    /// ISC dhcpd's configuration.
    Dhcpd,
    /// The configuration of Kea's DHCPv4 server.
    Kea,
    /// `/etc/hosts`.
    EtcHosts,
    /// `/etc/ethers`.
    Ethers,
    /// Our table of hosts.
    HostsCsv,
    /// Our table of subnets.
    SubnetsCsv,
    /// Our table of people.
    PeopleCsv,
    /// FreeRADIUS's clients.
    Clients,
    /// A zone file, by its apex without the last dot.
    Zone(String),
}

impl File {
    /// All but the zones.
    pub const PLAIN: [Self; 9] =
        [Self::Bootptab, Self::Dhcpd, Self::Kea, Self::EtcHosts, Self::Ethers, Self::HostsCsv, Self::SubnetsCsv, Self::PeopleCsv, Self::Clients];

    /// Its name, as in a folder of exports and in the API.
    pub fn name(&self) -> String {
        match self {
            Self::Bootptab => "bootptab".into(),
            Self::Dhcpd => "dhcpd.conf".into(),
            Self::Kea => "kea-dhcp4.conf".into(),
            Self::EtcHosts => "hosts".into(),
            Self::Ethers => "ethers".into(),
            Self::HostsCsv => "hosts.csv".into(),
            Self::SubnetsCsv => "subnets.csv".into(),
            Self::PeopleCsv => "people.csv".into(),
            Self::Clients => "clients.conf".into(),
            Self::Zone(apex) => format!("db.{apex}"),
        }
    }

    /// The file of this name. Whether there is such a zone is seen when it is read.
    pub fn named(name: &str) -> Option<Self> {
        let zone = || name.strip_prefix("db.").filter(|apex| !apex.is_empty()).map(|apex| Self::Zone(apex.trim_end_matches('.').to_lowercase()));
        Self::PLAIN.into_iter().find(|file| file.name() == name).or_else(zone)
    }
}

impl Estate {
    /// Writes a file. Only the writing itself can fail.
    pub fn write(&self, file: &File, out: &mut dyn Write) -> Result {
        match file {
            File::Bootptab => bootptab::write(self, out),
            File::Dhcpd => dhcpd::write(self, out),
            File::Kea => kea::write(self, out),
            File::EtcHosts => lists::hosts(self, out),
            File::Ethers => lists::ethers(self, out),
            File::HostsCsv => tables::hosts(self, out),
            File::SubnetsCsv => tables::subnets(self, out),
            File::PeopleCsv => tables::people(self, out),
            File::Clients => lists::clients(self, out),
            File::Zone(apex) => zone::write(self, apex, out),
        }
    }
}

/// Text of people in a comment: in one line, without control characters.
fn remark(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests;
