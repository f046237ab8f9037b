//! The master's and the portal's configuration: one short TOML file each, unknown keys refused, everything with a default.

mod forwarder;
mod help;

pub use forwarder::{Forwarder, Upstream};
pub use help::{Help, SecurityContact};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// The master's file. An empty file is a valid one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Keys, trust and the managed database.
    pub state_dir: PathBuf,
    /// Pages and API.
    pub web: Web,
    /// Where agents and the portal dial in.
    pub control: Control,
    /// The hostname database.
    pub database: Database,
    /// What is published, and what is kept of it.
    pub publisher: Publisher,
    /// How long reports are kept.
    pub events: Events,
    /// Whether and where agents are asked if they answer.
    pub probe: Probe,
    /// Where names are answered, and zones go to and from other servers; nowhere without an address.
    pub dns: Dns,
    /// Where names of others are asked for, and who is asked for them; nowhere without an address.
    pub forwarder: Forwarder,
    /// Where webhooks may be sent.
    pub webhooks: Webhooks,
    /// Where changes and reports go as syslog messages, too; nowhere without it.
    pub syslog: Option<Syslog>,
}

/// Where names are answered, and zones go to and from other servers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// UDP and TCP, such as `["0.0.0.0:53", "[::]:53"]`. Copies of other servers' zones are fetched without it, too.
    pub listen: Vec<SocketAddr>,
    /// The addresses that other servers know this one by, one of each family: it asks and tells them from there. The system chooses, without.
    pub source: Vec<IpAddr>,
    /// Whether copies are served on when no primary has answered for as long as their SOA says; an alarm is raised all the same.
    pub serve_past_expire: bool,
}

/// Where webhooks may be sent, beside the whole world by https.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhooks {
    /// Networks that may be reached though they are private, also by plain http: `["10.1.9.0/24"]`.
    pub allowed: Vec<ipnet::IpNet>,
}

/// What is published, and what is kept of it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Publisher {
    /// A generation that removes more of a zone or subnet than this, in percent, is held until somebody answers for it.
    pub guard_share_percent: u64,
    /// So many rows of a zone or subnet may go without a question.
    pub guard_rows: u64,
    /// For how many days past generations can be shown, compared and rolled back to.
    pub keep_days: i32,
    /// At which hour, UTC, everything is composed anew and compared with what is published.
    pub audit_hour: u8,
}

/// Pages and API.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Web {
    /// Where browsers and API clients come in.
    pub listen: SocketAddr,
    /// The names and addresses that people type; they stand in the certificate of our own authority.
    pub names: Vec<String>,
    /// PEM files. Without them: plain HTTP on loopback, a certificate of our own authority elsewhere.
    pub certificate: Option<PathBuf>,
    /// PEM, PKCS #8.
    pub key: Option<PathBuf>,
    /// Whom people ask.
    pub help: Help,
}

/// Where agents and the portal dial in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// gRPC over TLS.
    pub listen: SocketAddr,
    /// What whole snapshots may take of the line, for all agents together, in bytes a second. Zero: no limit.
    pub bulk_bytes_per_second: u64,
}

/// How long what the boxes report is kept: events, who had which address on loan, and which sessions NASs told of.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    /// Older ones are forgotten.
    pub days: u32,
    /// So are the oldest of more than this many.
    pub rows: u32,
}

/// Whether and where agents are asked if they answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Probe {
    /// Without it nobody is asked.
    pub enabled: bool,
    /// In place of the campus's service address and the protocol's port, by agent.
    pub agents: BTreeMap<String, ProbeAddresses>,
}

/// Where one agent is asked; what is left out is asked at the campus's service address and the protocol's port.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeAddresses {
    /// Names.
    pub dns: Option<SocketAddr>,
    /// BOOTP and DHCP.
    pub dhcp: Option<SocketAddr>,
    /// Network authentication.
    pub radius: Option<SocketAddr>,
}

/// What an agent speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Names.
    Dns,
    /// BOOTP and DHCP.
    Dhcp,
    /// Network authentication.
    Radius,
}

impl Probe {
    /// Where an agent of this name is asked; `None` where nobody has said.
    pub fn address(&self, agent: &str, protocol: Protocol, service_address: Option<IpAddr>) -> Option<SocketAddr> {
        let own = self.agents.get(agent);
        let (own, port) = match protocol {
            Protocol::Dns => (own.and_then(|own| own.dns), 53),
            Protocol::Dhcp => (own.and_then(|own| own.dhcp), 67),
            Protocol::Radius => (own.and_then(|own| own.radius), 1812),
        };
        own.or(service_address.map(|address| SocketAddr::new(address, port)))
    }
}

/// A receiver of syslog messages over TLS (RFC 5425).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Syslog {
    /// `host:port`; the host stands in the receiver's certificate.
    pub server: String,
    /// PEM: the authorities to believe.
    pub ca: PathBuf,
    /// PEM chain, where the receiver asks who we are.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// PEM, PKCS #8.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// The institution's enterprise number; that of examples (RFC 5612) without one.
    #[serde(default = "example_enterprise")]
    pub enterprise: u32,
}

fn example_enterprise() -> u32 {
    32473
}

/// A database.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// An external server. Without it the program manages a private one under its state directory.
    pub url: Option<String>,
}

/// The portal's file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PortalConfig {
    /// Keys and the managed database.
    pub state_dir: PathBuf,
    /// Health and metrics.
    pub status: Status,
    /// The credential store.
    pub database: Database,
}

/// Health and metrics of the portal.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Status {
    /// `/metrics`, `/healthz`, `/readyz`.
    pub listen: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: "/var/lib/holdfast".into(),
            web: Web::default(),
            control: Control::default(),
            database: Database::default(),
            publisher: Publisher::default(),
            events: Events::default(),
            probe: Probe::default(),
            dns: Dns::default(),
            forwarder: Forwarder::default(),
            webhooks: Webhooks::default(),
            syslog: None,
        }
    }
}

impl Default for Publisher {
    fn default() -> Self {
        Self { guard_share_percent: 20, guard_rows: 50, keep_days: 400, audit_hour: 3 }
    }
}

impl Default for Web {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), names: Vec::new(), certificate: None, key: None, help: Help::default() }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([0, 0, 0, 0], 7443)), bulk_bytes_per_second: 0 }
    }
}

impl Default for Probe {
    fn default() -> Self {
        Self { enabled: true, agents: BTreeMap::new() }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { days: 400, rows: 2_000_000 }
    }
}

impl Default for PortalConfig {
    fn default() -> Self {
        Self { state_dir: "/var/lib/holdfast-portal".into(), status: Status::default(), database: Database::default() }
    }
}

impl Default for Status {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9154)) }
    }
}

/// Reads a file; without one, the defaults.
pub fn read<T: DeserializeOwned + Default>(path: Option<&Path>) -> anyhow::Result<T> {
    let Some(path) = path else { return Ok(T::default()) };
    let text = std::fs::read_to_string(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|wrong| anyhow::anyhow!("{}: {wrong}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{Config, PortalConfig};

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let wrong = toml::from_str::<Config>("[web]\nport = 53\n").unwrap_err().to_string();
        assert!(wrong.contains("port"), "{wrong}");
        assert!(toml::from_str::<PortalConfig>("").is_ok());
    }
}
