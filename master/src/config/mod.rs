//! The master's and the portal's configuration: one short TOML file each, unknown keys refused, everything with a default.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
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
}

/// Where agents and the portal dial in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// gRPC over TLS.
    pub listen: SocketAddr,
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
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), names: Vec::new(), certificate: None, key: None }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([0, 0, 0, 0], 7443)) }
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
