use super::{From, command, say};
use crate::folder::Folder;
use anyhow::{Result, ensure};
use std::net::SocketAddr;

/// What `eapol_test` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EapolTest {
    /// It was let in, by EAP-Success in an Access-Accept.
    pub is_accepted: bool,
    /// The NAS was given the keys that the user has.
    pub keys_match: bool,
    /// How many requests it took.
    pub requests: usize,
    /// Everything that it printed.
    pub said: String,
}

/// Logs in by `eapol_test` (package eapoltest): wpa_supplicant's EAP, and a NAS around it. `network` is what stands between the braces of a
/// `network={...}` in wpa_supplicant's configuration, without `ssid` and `key_mgmt`; `options` go to the command line.
pub fn eapol_test(from: From<'_>, server: SocketAddr, secret: &str, network: &str, options: &[&str]) -> Result<EapolTest> {
    let folder = Folder::new("eapol")?;
    let config = folder.write("network.conf", &format!("network={{\n\tssid=\"holdfast\"\n\tkey_mgmt=IEEE8021X\n{network}\n}}\n"))?;
    let mut client = command(from, "eapol_test");
    client.arg("-c").arg(config).args(["-a", &server.ip().to_string(), "-p", &server.port().to_string(), "-s", secret, "-t", "10", "-r", "0"]).args(options);
    let said = say(&mut client, "")?;
    ensure!(said.contains("Sending RADIUS message"), "eapol_test could not ask: {}", said.trim());
    Ok(EapolTest {
        is_accepted: said.lines().last() == Some("SUCCESS"),
        keys_match: said.contains("MPPE keys OK: 1  mismatch: 0"),
        requests: said.matches("Sending RADIUS message").count(),
        said,
    })
}
