//! The agent's configuration: one short TOML file, unknown keys refused, everything with a default.

mod resolver;

pub use resolver::{Resolver, ResolverCache, ResolverTier, ResolverTls};

use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};

const STATE_DIR: &str = "/var/lib/holdfast-agent";
const RUN_DIR: &str = "/run/holdfast-agent";

/// Where a box keeps what its processes share.
#[derive(Debug, Clone)]
pub struct Folders {
    /// Identity, snapshots, reports: outlives the power.
    pub state: PathBuf,
    /// What the processes tell each other: does not.
    pub run: PathBuf,
}

/// The whole file. An empty file is a valid one:
///
/// ```
/// let config: holdfast_agent::config::Config = toml::from_str("").unwrap();
/// assert_eq!(config.dns.listen[0].port(), 53);
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where identity, snapshots and reports are kept.
    pub state_dir: PathBuf,
    /// Where its processes tell each other what they serve: does not outlive the power. Without it `/run/holdfast-agent`, or
    /// `run` within a state directory that is not the default.
    pub run_dir: Option<PathBuf>,
    /// The line to the master.
    pub uplink: Uplink,
    /// Which of its services `holdfast-agent run` starts, by their commands; all that have an address without it.
    pub services: Option<Vec<String>>,
    /// Names.
    pub dns: Dns,
    /// Names of others, for the campus's machines.
    pub resolver: Resolver,
    /// BOOTP and DHCP.
    pub dhcp: Dhcp,
    /// Network authentication.
    pub radius: Radius,
    /// Health, metrics and state for people.
    pub status: Status,
    /// The other agents, by name: asked whether they answer.
    pub peers: BTreeMap<String, Peer>,
    /// Where reports go as syslog messages, too; nowhere without it.
    pub syslog: Option<Syslog>,
}

/// The line to the master.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Uplink {
    /// `host:port`; in place of the address that enrolment wrote down.
    pub master: Option<String>,
}

/// Where names are answered.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// UDP and TCP. Wildcards need no address to be there yet.
    pub listen: Vec<SocketAddr>,
    /// Threads for UDP on each address; as many as the machine has cores without it.
    pub workers: Option<NonZero<usize>>,
    /// DNS over TLS; nowhere without it.
    pub tls: Option<DnsTls>,
    /// A short label that tells this box from others to who asks (RFC 5001, RFC 4892); its name without it, and "" for none.
    pub nsid: Option<String>,
    /// What becomes of clients that speak cookies and have no good one (RFC 7873).
    pub cookies: DnsCookies,
    /// In which order the addresses of a name are told.
    pub order: DnsOrder,
    /// How much a network may hear over UDP.
    pub rate_limit: DnsRateLimit,
}

/// What becomes of clients that speak cookies and have no good one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DnsCookies {
    /// They are answered, and given one.
    #[default]
    Offered,
    /// They are given one, and answered when they come with it.
    Demanded,
}

/// In which order the addresses of a name are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DnsOrder {
    /// Ascending.
    #[default]
    Fixed,
    /// The one nearest to the client's address first.
    Near,
    /// Another one first each time.
    Rotated,
}

/// How much a network (/24, /56) may hear over UDP without a cookie. The box itself is not limited.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsRateLimit {
    /// One and the same answer, so often in a second; 0 for no limit.
    pub same_per_second: u32,
    /// Answers in all, so often in a second; 0 for no limit.
    pub all_per_second: u32,
    /// For how many seconds' worth of answers nobody has to wait.
    pub burst_seconds: u32,
    /// Every so many of those that are held back go out cut, so that who is real comes again by TCP or with a cookie.
    pub slip: u32,
}

/// Where names are answered over TLS (RFC 7858).
///
/// ```
/// let text = "[dns.tls]\ncertificate = \"/etc/holdfast-agent/dns.pem\"\nkey = \"/etc/holdfast-agent/dns.key\"\n";
/// let config: holdfast_agent::config::Config = toml::from_str(text).unwrap();
/// assert_eq!(config.dns.tls.unwrap().listen[0].port(), 853);
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsTls {
    /// TCP. Port 853 of the wildcards without it.
    #[serde(default = "dns_over_tls")]
    pub listen: Vec<SocketAddr>,
    /// PEM chain, the server's own first. Both files are read anew when they change.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

fn dns_over_tls() -> Vec<SocketAddr> {
    wildcards(853)
}

/// Where BOOTP and DHCP are answered.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dhcp {
    /// On another port than 67, replies go back to where a request came from.
    pub listen: SocketAddr,
}

/// Where RADIUS is answered, and what its EAP shows.
///
/// ```
/// let text = r#"
///     [radius]
///     certificate = "/etc/holdfast-agent/radius.pem"
///     key = "/etc/holdfast-agent/radius.key"
///     client_ca = "/etc/holdfast-agent/people-ca.pem"
/// "#;
/// let config: holdfast_agent::config::Config = toml::from_str(text).unwrap();
/// assert_eq!(config.radius.listen[0].port(), 1812);
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Radius {
    /// Authentication.
    pub listen: Vec<SocketAddr>,
    /// PEM chain that EAP shows to users, the server's own first; without it EAP is refused. The files are read anew when they change.
    pub certificate: Option<PathBuf>,
    /// PEM.
    pub key: Option<PathBuf>,
    /// PEM: who signs the certificates of users; without it EAP-TLS is not offered.
    pub client_ca: Option<PathBuf>,
    /// PEM: the revocation lists of these authorities; without it no certificate is looked up.
    pub client_crl: Option<PathBuf>,
    /// Accounting: what NASs say of sessions; nowhere where it is empty.
    pub accounting: Vec<SocketAddr>,
    /// How much of it is kept on this box until the master has it, in bytes.
    pub accounting_bytes: u64,
}

/// Where another agent is asked whether it answers; what is left out is not asked.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Peer {
    /// Names.
    pub dns: Option<SocketAddr>,
    /// BOOTP and DHCP.
    pub dhcp: Option<SocketAddr>,
    /// Network authentication.
    pub radius: Option<SocketAddr>,
}

/// A receiver of syslog messages over TLS (RFC 5425).
///
/// ```
/// let text = "[syslog]\nserver = \"logs.uni.example:6514\"\nca = \"/etc/holdfast-agent/logs-ca.pem\"\n";
/// let config: holdfast_agent::config::Config = toml::from_str(text).unwrap();
/// assert_eq!(config.syslog.unwrap().enterprise, 32473);
/// ```
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

/// The local status page.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Status {
    /// `/status`, `/metrics`, `/healthz`, `/readyz`.
    pub listen: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: STATE_DIR.into(),
            run_dir: None,
            uplink: Uplink::default(),
            services: None,
            dns: Dns::default(),
            resolver: Resolver::default(),
            dhcp: Dhcp::default(),
            radius: Radius::default(),
            status: Status::default(),
            peers: BTreeMap::new(),
            syslog: None,
        }
    }
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            listen: wildcards(53),
            workers: None,
            tls: None,
            nsid: None,
            cookies: DnsCookies::default(),
            order: DnsOrder::default(),
            rate_limit: DnsRateLimit::default(),
        }
    }
}

impl Default for DnsRateLimit {
    fn default() -> Self {
        // A campus's own resolvers and machines do not come near it; a forger gets ten megabits a second out of us, not a line's worth.
        Self { same_per_second: 200, all_per_second: 1000, burst_seconds: 5, slip: 2 }
    }
}

impl Default for Dhcp {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([0, 0, 0, 0], 67)) }
    }
}

impl Default for Radius {
    fn default() -> Self {
        // A record has some 200 bytes: a campus of 10 000 people who come and go ten times a day is cut off for ten days.
        let (accounting, accounting_bytes) = (wildcards(1813), 256 << 20);
        Self { listen: wildcards(1812), certificate: None, key: None, client_ca: None, client_crl: None, accounting, accounting_bytes }
    }
}

impl Default for Status {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9153)) }
    }
}

fn wildcards(port: u16) -> Vec<SocketAddr> {
    vec![SocketAddr::from(([0, 0, 0, 0], port)), SocketAddr::from(([0u16; 8], port))]
}

impl Config {
    /// Where the box keeps what its processes share.
    pub fn folders(&self) -> Folders {
        let fallback = || if self.state_dir == Path::new(STATE_DIR) { RUN_DIR.into() } else { self.state_dir.join("run") };
        Folders { state: self.state_dir.clone(), run: self.run_dir.clone().unwrap_or_else(fallback) }
    }

    /// Reads a file; without one, the defaults.
    pub fn read(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|wrong| anyhow::anyhow!("{}: {wrong}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let wrong = toml::from_str::<Config>("[dns]\nlisten = [\"0.0.0.0:53\"]\nport = 53\n").unwrap_err().to_string();
        assert!(wrong.contains("port") && wrong.contains("line 3"), "{wrong}");
    }
}
