//! Agents of several campuses that hear the same client: the one at home answers at once, the others when it does not.
//!
//! Why it exists: relays send to two agents, and two answers to every question would be noise, while none when one box is off would
//! be a building without a network. What it refuses: to keep anybody waiting for a home that is known to be silent. How: an agent
//! of another campus answers once the client has asked for longer than the subnet's threshold, by the client's own `secs` or by
//! this agent's memory of when it first heard it ([`Sightings`]): many clients send 0.

use super::code::{self, Kind};
use super::message::Message;
use super::policy::PolicyRef;
use crate::snapshot::{Damaged, View};
use crate::words::UnixMillis;
use ipnet::Ipv4Net;
use std::collections::HashMap;

/// Clients remembered; more at once is a flood, in which the home answers or nobody can.
const SIGHTINGS_LIMIT: usize = 16_384;
/// How often those that are old make room, in milliseconds.
const SWEPT_EVERY_MS: u64 = 1000;
/// A client that was not heard for so long begins anew, in milliseconds: no client pauses for longer while it asks.
const FORGOTTEN_AFTER_MS: u64 = 70_000;

/// Where the answering agent stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing<'a> {
    /// Its campus; with an empty one it is at home everywhere.
    pub campus: &'a str,
    /// Campuses whose agents are known to be silent.
    pub silent: &'a [String],
    /// How long it has heard this client ask, in seconds.
    pub heard_for_secs: u16,
}

impl Standing<'_> {
    /// How long a client of a subnet must have asked before this agent answers, in seconds.
    pub(super) fn wait_secs(&self, view: &View, net: Ipv4Net, campus: &str) -> Result<u16, Damaged> {
        let is_ours = self.campus.is_empty() || self.campus == campus || self.silent.iter().any(|silent| silent == campus);
        if is_ours { Ok(0) } else { Ok(PolicyRef::of(view, net)?.cover_after_secs) }
    }
}

/// When each client that asks everybody was first heard.
#[derive(Debug, Default)]
pub struct Sightings {
    clients: HashMap<[u8; 16], Sighting>,
    swept: UnixMillis,
}

#[derive(Debug)]
struct Sighting {
    first: UnixMillis,
    last: UnixMillis,
}

impl Sightings {
    /// Hears a client: for how long it has been asking, in seconds. One that took another server's offer is served.
    pub fn hear(&mut self, request: &Message<'_>, now: UnixMillis) -> u16 {
        let is_taking = request.kind() == Kind::Request && (request.options.has(code::SERVER_IDENTIFIER) || !request.ciaddr.is_unspecified());
        if is_taking {
            self.clients.remove(request.chaddr_field);
        }
        // Who says that it has waited for ever is a probe, which asks for one host over and over in that host's name.
        if is_taking || request.secs == u16::MAX || !matches!(request.kind(), Kind::Bootp | Kind::Discover | Kind::Request) {
            return 0;
        }
        if self.clients.len() >= SIGHTINGS_LIMIT && !self.clients.contains_key(request.chaddr_field) {
            // A flood must not buy a walk over all of them with every packet.
            if now.0.saturating_sub(self.swept.0) >= SWEPT_EVERY_MS {
                self.swept = now;
                self.clients.retain(|_, sighting| !sighting.is_old(now));
            }
            if self.clients.len() >= SIGHTINGS_LIMIT {
                return 0;
            }
        }
        let sighting = self.clients.entry(*request.chaddr_field).or_insert(Sighting { first: now, last: now });
        if sighting.is_old(now) {
            sighting.first = now;
        }
        sighting.last = now;
        u16::try_from(now.0.saturating_sub(sighting.first.0) / 1000).unwrap_or(u16::MAX)
    }
}

impl Sighting {
    fn is_old(&self, now: UnixMillis) -> bool {
        now.0.saturating_sub(self.last.0) > FORGOTTEN_AFTER_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::message::{HEADER_BYTES, OPTIONS_COOKIE};

    fn packet(mac: u32, options: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; HEADER_BYTES];
        packet[..3].copy_from_slice(&[1, 1, 6]);
        packet[30..34].copy_from_slice(&mac.to_be_bytes());
        [&packet[..], &OPTIONS_COOKIE, options].concat()
    }

    fn hear(sightings: &mut Sightings, packet: &[u8], at_ms: u64) -> u16 {
        sightings.hear(&Message::parse(packet).unwrap(), UnixMillis(at_ms))
    }

    #[test]
    fn a_client_that_goes_on_asking_is_known_by_how_long_it_has() {
        let (mut sightings, discover) = (Sightings::default(), packet(7, &[53, 1, 1]));
        let times = [(1000, 0), (2999, 1), (9000, 8), (79_000, 78), (149_001, 0), (150_001, 1)];
        assert_eq!(times.map(|(at, _)| hear(&mut sightings, &discover, at)), times.map(|(_, secs)| secs), "after a pause it begins anew");
        assert_eq!(hear(&mut sightings, &packet(8, &[]), 150_001), 0, "each client for itself");
    }

    #[test]
    fn one_that_took_an_offer_begins_anew() {
        let (mut sightings, discover) = (Sightings::default(), packet(7, &[53, 1, 1]));
        hear(&mut sightings, &discover, 1000);
        assert_eq!(hear(&mut sightings, &packet(7, &[53, 1, 3, 54, 4, 10, 1, 4, 2]), 2000), 0);
        assert_eq!(hear(&mut sightings, &discover, 9000), 0);
        assert_eq!(hear(&mut sightings, &packet(7, &[53, 1, 3, 50, 4, 10, 1, 4, 7]), 12_000), 3, "one that remembers its address asks everybody");
    }

    #[test]
    fn a_probe_makes_no_host_look_as_if_it_asked() {
        let (mut sightings, mut probe) = (Sightings::default(), packet(7, &[]));
        probe[8..10].copy_from_slice(&[u8::MAX; 2]);
        assert_eq!(hear(&mut sightings, &probe, 1000), 0);
        assert_eq!(hear(&mut sightings, &packet(7, &[]), 9000), 0);
    }

    #[test]
    fn a_flood_costs_no_more_than_its_limit_and_ends() {
        let mut sightings = Sightings::default();
        for mac in 0..SIGHTINGS_LIMIT as u32 + 9 {
            hear(&mut sightings, &packet(mac, &[]), 1000);
        }
        assert_eq!(sightings.clients.len(), SIGHTINGS_LIMIT);
        assert_eq!(hear(&mut sightings, &packet(3, &[]), 4000), 3, "whoever is known stays known");
        hear(&mut sightings, &packet(u32::MAX, &[]), 90_000);
        assert_eq!(sightings.clients.len(), 1);
    }
}
