//! Holdfast's lab: a network with cables to unplug, our programs in it, and other people's clients to ask them.
//!
//! Why it exists: the promise is that the services hold when a link is cut, and that can only be believed when it is seen
//! with real programs on real links. It may look at every room; nobody looks at it.
//!
//! - [`cables`] the network, [`netns`] one box of it; [`process`] programs, [`programs`] builds ours;
//! - [`door`] lets a browser of this machine into a box;
//! - [`folder`] where they keep what they write;
//! - [`clients`] dig, bootptest, udhcpc, dhclient, radclient, and small ones of our own for loops;
//! - [`lab`] all of it with a master, a portal and two agents, so that a behaviour test is ten lines;
//! - [`lone`] one service of an agent without a master, on rows that a test chooses;
//! - [`bring_up`] from nothing to two campuses that serve; [`demo`] the same for people;
//! - [`fuzz`] seeded mutation of every parser;
//! - [`simulation`] master and agents over a pretend wire, and everything that can go wrong with it;
//! - [`simulation_dhcp`] agents, clients and a relay over a pretend wire: no address for two;
//! - [`bench`] the measurements, on demand.

pub mod bench;
pub mod bring_up;
pub mod cables;
pub mod clients;
pub mod demo;
pub mod door;
pub mod folder;
pub mod fuzz;
pub mod lab;
pub mod lone;
pub mod netns;
pub mod process;
pub mod programs;
pub mod simulation;
pub mod simulation_dhcp;
pub mod syslog;

/// Tells that a behaviour was not tried here, and why: at the end of `tests/run`, which names a file for it. Where CI runs,
/// a behaviour that cannot be tried is a failure.
///
/// # Panics
/// Where the variable `CI` is set.
pub fn skipped(behaviour: &str, reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "{behaviour} cannot be tried, and CI may not go without: {reason}");
    eprintln!("not tried: {behaviour}: {reason}");
    let Some(list) = std::env::var_os("HOLDFAST_NOT_TRIED") else { return };
    let list = std::fs::OpenOptions::new().create(true).append(true).open(list);
    let _ = list.and_then(|mut list| std::io::Write::write_all(&mut list, format!("{behaviour}: {reason}\n").as_bytes()));
}
