use super::DnsCookies;
use holdfast_names::settings::Recursion;
pub use holdfast_names::settings::{Cache as ResolverCache, Servers as ResolverTier, Tls as ResolverTls};
use ipnet::IpNet;
use serde::Deserialize;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;

/// Where names of others are answered, for whom, and who is asked for them.
///
/// ```
/// let text = r#"
///     [resolver]
///     listen = ["10.1.4.3:53"]
///     stands_in_for = ["south"]
///     departments = ["10.1.7.0/24"]
///     [resolver.master]
///     servers = ["10.0.0.1:853"]
///     tls = {}
///     [resolver.upstream]
///     servers = ["192.0.2.53:53"]
/// "#;
/// let config: holdfast_agent::config::Config = toml::from_str(text).unwrap();
/// assert!(config.resolver.master.unwrap().tls.is_some() && config.resolver.peers.is_none());
/// ```
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resolver {
    /// UDP and TCP, another address than that of `[dns]`; nowhere without it.
    pub listen: Vec<SocketAddr>,
    /// Threads for UDP on each address; as many as the machine has cores without it.
    pub workers: Option<NonZero<usize>>,
    /// Networks that may ask, beside the box itself and the campus's subnets in the snapshot (which are IPv4).
    pub clients: Vec<IpNet>,
    /// Campuses whose subnets may ask, too: those that this box stands in for.
    pub stands_in_for: Vec<String>,
    /// Departmental servers: they are told to ask the master.
    pub departments: Vec<IpNet>,
    /// What a departmental server is told; without it, the addresses of the master's tier.
    pub department_hint: Option<String>,
    /// What becomes of clients that speak cookies and have no good one.
    pub cookies: DnsCookies,
    /// Names that are special elsewhere (RFC 6303, RFC 6761) and real here, with all below them: private zones of others.
    pub real_here: Vec<String>,
    /// Whether signatures are looked at (DNSSEC): who is asked must be able to tell them.
    pub validate: bool,
    /// DNSKEY records that are believed, one on a line; those of the root without it.
    pub trust_anchors: Option<PathBuf>,
    /// Names below which no signatures are looked at (RFC 7646).
    pub negative_trust_anchors: Vec<String>,
    /// How much is kept, and for how long.
    pub cache: ResolverCache,
    /// Who is asked first: the master.
    pub master: Option<ResolverTier>,
    /// Who is asked where the master cannot be: the resolvers of other agents.
    pub peers: Option<ResolverTier>,
    /// Who is asked where neither can be.
    pub upstream: Option<ResolverTier>,
    /// Asking from the root on where none of them is there; not without it.
    pub recursion: Option<Recursion>,
}
