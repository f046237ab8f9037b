//! The IPv4 addresses of each interface, as they are now: they may come long after the agent started.

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// An address counts at the latest this long after it was given; asking the kernel for every packet would cost more than the answer.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// Addresses by interface index.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    addresses: HashMap<u32, Vec<Ipv4Addr>>,
    read_at: Option<Instant>,
}

impl Interfaces {
    /// The addresses of an interface, in the kernel's order; none for one that is unknown.
    pub(super) fn addresses(&mut self, index: u32) -> &[Ipv4Addr] {
        if self.read_at.is_none_or(|at| at.elapsed() >= FRESH_FOR) {
            self.refresh();
        }
        self.addresses.get(&index).map_or(&[], Vec::as_slice)
    }

    /// Where the kernel does not tell, what it told before stays good.
    fn refresh(&mut self) {
        self.read_at = Some(Instant::now());
        let Ok(found) = getifaddrs() else { return };
        self.addresses.clear();
        for entry in found {
            let Some(address) = entry.address.as_ref().and_then(|address| address.as_sockaddr_in()) else { continue };
            // An address may carry a label such as "eth0:1"; the interface is what stands before the colon.
            let name = entry.interface_name.split(':').next().unwrap_or_default();
            if let Ok(index) = if_nametoindex(name) {
                self.addresses.entry(index).or_default().push(address.ip());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_its_address_and_a_strange_index_has_none() {
        let mut interfaces = Interfaces::default();
        let loopback = if_nametoindex("lo").unwrap();
        assert!(interfaces.addresses(loopback).contains(&Ipv4Addr::LOCALHOST));
        assert!(interfaces.addresses(0).is_empty());
    }
}
