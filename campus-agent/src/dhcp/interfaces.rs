//! What each interface is called at the moment: its IPv4 addresses, which may come long after the agent started, and its
//! hardware address.

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::LinkAddr;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// An address counts at the latest this long after it was given; asking the kernel for every packet would cost more than the answer.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// By interface index.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    addresses: HashMap<u32, Vec<Ipv4Addr>>,
    links: HashMap<u32, LinkAddr>,
    read_at: Option<Instant>,
}

impl Interfaces {
    /// Asks the kernel where what is known has become old; once for a batch.
    pub(super) fn refresh(&mut self) {
        if self.read_at.is_none_or(|at| at.elapsed() >= FRESH_FOR) {
            self.read();
        }
    }

    /// The addresses of an interface, in the kernel's order; none for one that is unknown.
    pub(super) fn addresses(&self, index: u32) -> &[Ipv4Addr] {
        self.addresses.get(&index).map_or(&[], Vec::as_slice)
    }

    /// The way to machines on an interface that have no address.
    pub(super) fn link(&self, index: u32) -> Option<LinkAddr> {
        self.links.get(&index).copied()
    }

    /// Where the kernel does not tell, what it told before stays good.
    fn read(&mut self) {
        self.read_at = Some(Instant::now());
        let Ok(found) = getifaddrs() else { return };
        self.addresses.clear();
        self.links.clear();
        for entry in found {
            let Some(address) = entry.address else { continue };
            if let Some(link) = address.as_link_addr() {
                self.links.insert(link.ifindex() as u32, *link);
            }
            let Some(address) = address.as_sockaddr_in() else { continue };
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
        interfaces.refresh();
        let loopback = if_nametoindex("lo").unwrap();
        assert!(interfaces.addresses(loopback).contains(&Ipv4Addr::LOCALHOST));
        assert_eq!(interfaces.link(loopback).map(|link| link.ifindex() as u32), Some(loopback));
        assert!(interfaces.addresses(0).is_empty() && interfaces.link(0).is_none());
    }
}
