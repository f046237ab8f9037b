//! The behaviours of Holdfast, one file each, in one program.

mod access;
mod accounting;
mod addresses;
mod browser;
mod cables;
mod changes;
mod checks;
mod clients;
mod clocks;
mod commands;
mod deployment;
mod dhcp;
mod dns_witness;
mod eap;
mod edges;
mod formats;
mod forwarder;
mod fuzz;
mod house;
mod machines;
mod masters;
mod openapi;
mod organisation;
mod pages;
mod passwords;
mod publisher;
mod reports;
mod resolver;
mod rollback;
mod searching;
mod serving;
mod simulation;
mod status;
mod store;
mod transfer;
mod trust;

use holdfast_lab::cables::Network;

/// The lab's network, or `None`, said plainly, where this user may not have one. CI may not go without.
fn network(behaviour: &str) -> Option<Network> {
    match holdfast_lab::netns::hindrance() {
        None => Some(Network::build().expect("the network is built")),
        Some(reason) => {
            holdfast_lab::skipped(behaviour, &reason);
            None
        }
    }
}

/// Whether `tests/run long` asks for the full bars.
fn is_long() -> bool {
    std::env::var("HOLDFAST_TEST_SIZE").is_ok_and(|size| size == "long")
}
