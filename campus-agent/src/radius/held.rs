//! NASs that were heard with a Message-Authenticator: they can, so from then on they must (CVE-2024-3596). An exemption in the registry is for
//! those that cannot; whoever takes the proof off a packet of one that can finds it shut.
//!
//! By the address that requests come from, and for as long as the process lives.

use holdfast_proto::radius::packet::{Packet, attribute};
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

/// More NASs than an institution has; beyond it none is added.
const LIMIT: usize = 65_536;

/// What one socket's loop has heard.
#[derive(Debug, Default)]
pub(super) struct Held(HashSet<IpAddr>);

impl Held {
    /// Whether a request is to be dropped: it carries none, and its NAS once did.
    pub fn refuses(&self, datagram: &[u8], from: SocketAddr) -> bool {
        self.0.contains(&from.ip().to_canonical()) && !carries_one(datagram)
    }

    /// Learns from a request that was answered, so that its proof, where it has one, is right.
    pub fn learn(&mut self, datagram: &[u8], from: SocketAddr) {
        if self.0.len() < LIMIT && carries_one(datagram) {
            self.0.insert(from.ip().to_canonical());
        }
    }
}

fn carries_one(datagram: &[u8]) -> bool {
    Packet::parse(datagram).is_ok_and(|packet| packet.values(attribute::MESSAGE_AUTHENTICATOR).next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::radius::packet::{code, encode_request};
    use holdfast_proto::words::Secret;

    #[test]
    fn who_was_heard_with_a_proof_is_not_heard_without() {
        let proven = encode_request(code::ACCESS_REQUEST, 1, &[9; 16], &[], &Secret::new(*b"x")).unwrap();
        let bare = [&[code::ACCESS_REQUEST, 1, 0, 20], &[9; 16][..]].concat();
        let (one, other): (SocketAddr, SocketAddr) = ("[::ffff:10.1.4.20]:1024".parse().unwrap(), "10.1.4.21:1024".parse().unwrap());
        let mut held = Held::default();
        held.learn(&bare, one);
        assert!(!held.refuses(&bare, one), "it was never heard with one");
        held.learn(&proven, one);
        assert!(held.refuses(&bare, "10.1.4.20:9".parse().unwrap()) && !held.refuses(&proven, one));
        assert!(!held.refuses(&bare, other));
    }
}
