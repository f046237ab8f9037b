//! Clients of the three protocols.
//!
//! Other people's programs are the witnesses: `dig`, `bootptest`, `udhcpc`, `dhclient`, `dhcping`, `radclient` and `eapol_test` ask as the machines of a
//! campus do, and know nothing of our code. Each is run in a box of the lab's network, or on this machine's own, and its answer
//! is read into a value. The loops that count every answer while a cable is pulled are our own ([`counting`]), with a parser
//! that shares nothing with the one it tests; so is the relay's request ([`relay`]).

mod boot;
pub mod counting;
mod dhcrelay;
mod dig;
mod eapol;
mod radius;
pub mod relay;

pub use boot::{BootpReply, Lease, bootptest, dhclient, dhclient_named, dhcping, udhcpc};
pub use dhcrelay::Dhcrelay;
pub use dig::{Dig, DigAnswer, Record};
pub use eapol::{EapolTest, eapol_test};
pub use radius::{RadiusReply, radclient, radclient_acct, radclient_chap};

use crate::netns::Netns;
use anyhow::{Context, Result};
use std::io::Write;
use std::process::{Command, Stdio};

/// Where a client runs: in a box of the lab's network, or with `None` on this machine's own.
pub type From<'a> = Option<&'a Netns>;

/// Whether a program of this name is in PATH or in the folders of the system's administrator.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin"]);
    folders.filter(|folder| !folder.is_empty()).any(|folder| std::path::Path::new(folder).join(program).is_file())
}

/// A client's command, with the administrator's folders in its PATH and its words in English.
fn command(from: From<'_>, program: &str) -> Command {
    let mut command = from.map_or_else(|| Command::new(program), |namespace| namespace.command(program));
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C");
    command
}

/// Runs a client to its end, whatever its exit code, and gives both its outputs as one text.
fn say(command: &mut Command, input: &str) -> Result<String> {
    let starting = || format!("cannot start {command:?}: see the packages that tests/run installs");
    let context = starting();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context(context)?;
    // A client that ends without reading is no failure here: its words tell.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}
