//! Where deliveries may go: into the world, but not to this machine and its neighbours, unless the configuration says so. An
//! administrator of a department who makes a webhook must not thereby reach what only the master can reach.
//!
//! The addresses are looked at after the name was resolved, at every attempt, so a name cannot point elsewhere later.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Resolves names as the system does, and keeps what is not allowed.
#[derive(Debug)]
pub(super) struct Guarded {
    pub system: DefaultResolver,
    /// Networks that may be reached though they are private.
    pub allowed: Vec<IpNet>,
}

impl Resolver for Guarded {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.system.resolve(uri, config, timeout)?;
        let is_plain = uri.scheme_str() == Some("http");
        let mut kept = self.empty();
        for address in found.iter().filter(|address| is_allowed(address.ip(), is_plain, &self.allowed)) {
            kept.push(*address);
        }
        let refused = || Error::Io(std::io::Error::new(std::io::ErrorKind::PermissionDenied, refusal(uri, is_plain)));
        if kept.is_empty() { Err(refused()) } else { Ok(kept) }
    }
}

fn refusal(uri: &Uri, is_plain: bool) -> String {
    let host = uri.host().unwrap_or_default();
    if is_plain {
        return format!("plain http goes only to networks that [webhooks] allowed names, and {host} lies in none of them: use https");
    }
    format!("{host} has no address that deliveries may go to: private networks are reached only where [webhooks] allowed names them")
}

/// Plain text goes to named networks alone; what is encrypted, to the whole world, too.
fn is_allowed(address: IpAddr, is_plain: bool, allowed: &[IpNet]) -> bool {
    let address = address.to_canonical();
    allowed.iter().any(|network| network.contains(&address)) || (!is_plain && is_public(address))
}

/// Whether an address is one of the world's (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !is_special_v4(address),
        IpAddr::V6(address) => !is_special_v6(address),
    }
}

fn is_special_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    let is_benchmark = first == 198 && (18..20).contains(&second);
    let is_assigned = (first, second, third) == (192, 0, 0);
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || first == 0
        || first >= 224
        || is_shared
        || is_benchmark
        || is_assigned
}

/// The world is 2000::/3; what carries an IPv4 address within (RFC 3056, RFC 4380, RFC 6052) could lead anywhere.
fn is_special_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    first & 0xe000 != 0x2000 || first == 0x2002 || (first == 0x2001 && (second < 0x0200 || second == 0x0db8))
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    fn allowed(address: &str, is_plain: bool) -> bool {
        is_allowed(address.parse().unwrap(), is_plain, &["10.9.0.0/16".parse().unwrap()])
    }

    #[test]
    fn neighbours_are_reached_only_where_that_is_said() {
        for inside in
            ["127.0.0.1", "10.1.4.7", "169.254.169.254", "192.168.1.1", "100.64.0.1", "0.0.0.0", "::1", "fe80::1", "fd00::1", "::ffff:10.1.4.7", "2002:a01::1"]
        {
            assert!(!allowed(inside, false), "{inside}");
        }
        assert!(allowed("10.9.3.4", false) && allowed("10.9.3.4", true) && allowed("::ffff:10.9.3.4", true));
        assert!(allowed("9.9.9.9", false) && allowed("2620:fe::fe", false));
        assert!(!allowed("9.9.9.9", true), "nothing is told to the world in the clear");
    }
}
