//! What both programs' files say alike of names of others: whom to ask, and how much to keep.

use ipnet::IpNet;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Servers of one kind; of those that are there the fastest is asked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Servers {
    /// Each an address with its port.
    pub servers: Vec<SocketAddr>,
    /// Over TLS (RFC 7858), and never otherwise; in the clear without it.
    #[serde(default)]
    pub tls: Option<Tls>,
}

/// Whom to believe over TLS.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The name in the server's certificate; that of the master without it.
    pub name: Option<String>,
    /// PEM: the authorities to believe; those that this box was enrolled with, without it.
    pub ca: Option<PathBuf>,
}

/// How much is kept of what others answered, and for how long.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// All of it, in MiB.
    pub mebibytes: usize,
    /// Nothing is good for less, in seconds.
    pub ttl_floor_s: u32,
    /// Nothing is good for longer.
    pub ttl_cap_s: u32,
    /// That there is no such name or data is not good for longer.
    pub negative_cap_s: u32,
    /// What has run out is told for so long where nobody can be asked (RFC 8767).
    pub stale_s: u32,
}

impl Default for Cache {
    fn default() -> Self {
        Self { mebibytes: 64, ttl_floor_s: 0, ttl_cap_s: 86_400, negative_cap_s: 3600, stale_s: 3 * 86_400 }
    }
}

/// Asking from the root on, where no upstream answers.
///
/// ```
/// let text = r#"
///     root_hints = ["198.41.0.4", "2001:503:ba3e::2:30"]
///     private_servers = ["10.9.0.0/16"]
/// "#;
/// let recursion: holdfast_names::settings::Recursion = toml::from_str(text).unwrap();
/// assert_eq!(recursion.root_hints.len(), 2);
/// assert_eq!(toml::from_str::<holdfast_names::settings::Recursion>("").unwrap().root_hints.len(), 26);
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recursion {
    /// The addresses of the root's servers; those of the root of all without it.
    pub root_hints: Vec<IpAddr>,
    /// Private and reserved networks whose servers may be asked all the same; of those elsewhere none is, whatever a zone says.
    pub private_servers: Vec<IpNet>,
}

/// The root's servers, as IANA's `named.root` has them (of 2025-09-11; they change about once in ten years).
const ROOT_HINTS: [&str; 26] = [
    "198.41.0.4",
    "170.247.170.2",
    "192.33.4.12",
    "199.7.91.13",
    "192.203.230.10",
    "192.5.5.241",
    "192.112.36.4",
    "198.97.190.53",
    "192.36.148.17",
    "192.58.128.30",
    "193.0.14.129",
    "199.7.83.42",
    "202.12.27.33",
    "2001:503:ba3e::2:30",
    "2801:1b8:10::b",
    "2001:500:2::c",
    "2001:500:2d::d",
    "2001:500:a8::e",
    "2001:500:2f::f",
    "2001:500:12::d0d",
    "2001:500:1::53",
    "2001:7fe::53",
    "2001:503:c27::2:30",
    "2001:7fd::1",
    "2001:500:9f::42",
    "2001:dc3::35",
];

impl Default for Recursion {
    fn default() -> Self {
        let root_hints = ROOT_HINTS.iter().filter_map(|hint| hint.parse().ok()).collect();
        Self { root_hints, private_servers: Vec::new() }
    }
}
