//! Does it answer? What to ask a box of ours, what counts as an answer, and when it counts as silent.
//!
//! Real questions over the wire, for things that the box must know, which change nothing where they are answered. How each
//! protocol is asked stands beside it (`dns::probe`, `dhcp::probe`, `radius::probe`); the master and every agent ask alike.

mod health;

pub use health::{Health, MISSES, PATIENCE_MS, PERIOD_MS, Turn};

use crate::snapshot::View;
use crate::words::Secret;
use crate::{dhcp, dns, radius};
use std::net::IpAddr;

/// What is asked of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Names over UDP.
    DnsUdp,
    /// Names over TCP.
    DnsTcp,
    /// BOOTP and DHCP.
    Dhcp,
    /// Network authentication.
    Radius,
}

/// What the asker knows, and the box must know as well.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The zone feed.
    pub zone: &'a View,
    /// The bootptab feed.
    pub bootptab: &'a View,
    /// What goes with the access feed's data key, see [`radius::probe::secret`].
    pub secret: Option<&'a Secret>,
}

/// A question on its way.
#[derive(Debug, Clone)]
pub struct Question {
    service: Service,
    bytes: Vec<u8>,
    secret: Option<Secret>,
}

impl Service {
    /// Everything that a box is asked.
    pub const ALL: [Self; 4] = [Self::DnsUdp, Self::DnsTcp, Self::Dhcp, Self::Radius];

    /// Its name in events and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::DnsUdp => "dns_udp",
            Self::DnsTcp => "dns_tcp",
            Self::Dhcp => "dhcp",
            Self::Radius => "radius",
        }
    }

    /// Whether it is asked over TCP.
    pub fn is_framed(self) -> bool {
        self == Self::DnsTcp
    }

    /// A question; `asker` is our own address as the box sees it. `None` where there is nothing yet to ask for.
    pub fn question(self, known: &Known<'_>, asker: IpAddr, random: [u8; 16]) -> Option<Question> {
        let [a, b, c, d, ..] = random;
        let bytes = match (self, asker) {
            (Self::DnsUdp | Self::DnsTcp, _) => dns::probe::question(known.zone, u16::from_be_bytes([a, b])),
            (Self::Dhcp, IpAddr::V4(relay)) => dhcp::probe::question(known.bootptab, relay, [a, b, c, d]),
            (Self::Dhcp, IpAddr::V6(_)) => None,
            (Self::Radius, _) => radius::probe::question(a, &random, known.secret?).ok(),
        };
        Some(Question { service: self, bytes: bytes?, secret: known.secret.cloned() })
    }
}

impl Question {
    /// As it goes on the wire, without TCP's framing.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether this is an answer to it.
    pub fn is_answer(&self, reply: &[u8]) -> bool {
        match (self.service, &self.secret) {
            (Service::DnsUdp | Service::DnsTcp, _) => dns::probe::is_answer(&self.bytes, reply),
            (Service::Dhcp, _) => dhcp::probe::is_answer(&self.bytes, reply),
            (Service::Radius, Some(secret)) => radius::probe::is_answer(&self.bytes, reply, secret),
            (Service::Radius, None) => false,
        }
    }
}
