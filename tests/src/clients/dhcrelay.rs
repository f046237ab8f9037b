use crate::folder::Folder;
use crate::netns::Netns;
use crate::process::{Program, Recipe};
use anyhow::Result;
use std::net::Ipv4Addr;
use std::time::Duration;

/// ISC's `dhcrelay` (package isc-dhcp-relay), as a router runs one; ends with the value.
#[derive(Debug)]
pub struct Dhcrelay {
    _program: Program,
    _folder: Folder,
}

impl Dhcrelay {
    /// Relays what clients say on one interface to servers behind another.
    pub fn start(inside: &Netns, clients: &str, servers_behind: &str, servers: &[Ipv4Addr]) -> Result<Self> {
        let folder = Folder::new("dhcrelay")?;
        let recipe = Recipe::new("dhcrelay", "/usr/sbin/dhcrelay", folder.path());
        let recipe = recipe.args(["-4", "-d", "--no-pid", "-a", "-id", clients, "-iu", servers_behind]).args(servers.iter().map(Ipv4Addr::to_string));
        let mut program = recipe.inside(inside).start()?;
        program.wait_for_line("Sending on   Socket", Duration::from_secs(5))?;
        Ok(Self { _program: program, _folder: folder })
    }
}
