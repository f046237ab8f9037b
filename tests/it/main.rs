//! The behaviours of Holdfast, one file each, in one program.

mod cables;
mod clients;

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
