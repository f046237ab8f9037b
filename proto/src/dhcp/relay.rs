//! What a relay added to a client's packet: option 82 (RFC 3046), sub-option by sub-option.
//!
//! Why it exists: the relay says where the client is (link selection, RFC 3527), who we are to be for it (server identifier
//! override, RFC 5107), where the reply goes (RFC 8357), and at which port of the network the client hangs. What it refuses:
//! to let a torn sub-option hide the whole ones before it. The option itself goes back raw, by `reply`.

use super::code;
use super::message::Options;
use std::net::Ipv4Addr;

impl<'a> Options<'a> {
    /// The bytes of a sub-option of the relay's option 82; `None` where there is none. One that is torn ends early.
    pub fn relay_sub_option(self, sub_option: u8) -> Option<impl Iterator<Item = u8> + Clone + use<'a>> {
        let mut bytes = self.bytes(code::RELAY_AGENT);
        loop {
            let (found, len) = (bytes.next()?, bytes.next()?);
            if found == sub_option {
                return Some(bytes.take(usize::from(len)));
            }
            bytes.by_ref().take(usize::from(len)).for_each(drop);
        }
    }

    /// A sub-option of the relay's option 82 that is one address.
    pub fn relay_address(self, sub_option: u8) -> Option<Ipv4Addr> {
        let mut value = self.relay_sub_option(sub_option)?;
        let octets = [value.next()?, value.next()?, value.next()?, value.next()?];
        value.next().is_none().then(|| Ipv4Addr::from(octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::message::{HEADER_BYTES, Message, OPTIONS_COOKIE};

    fn packet(options: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; HEADER_BYTES];
        packet[..4].copy_from_slice(&[1, 1, 6, 0]);
        [&packet[..], &OPTIONS_COOKIE, options].concat()
    }

    #[test]
    fn the_link_is_found_behind_unknown_sub_options() {
        let bytes = packet(&[82, 5, 1, 3, b'g', b'0', b'/', 82, 8, 5, 4, 10, 1, 8, 1, 151, 0]);
        let options = Message::parse(&bytes).unwrap().options;
        assert_eq!(options.relay_address(code::LINK_SELECTION), Some(Ipv4Addr::new(10, 1, 8, 1)));
        assert!(options.relay_sub_option(code::CIRCUIT_ID).is_some_and(|port| port.eq(*b"g0/")));
        assert!(options.relay_sub_option(151).is_some_and(|empty| empty.count() == 0));
        assert!(options.relay_sub_option(code::REMOTE_ID).is_none());
    }

    #[test]
    fn a_torn_or_long_address_is_none() {
        for torn in [&[82, 4, 5, 4, 10, 1][..], &[82, 7, 5, 5, 10, 1, 8, 1, 9], &[82, 1, 5]] {
            let bytes = packet(torn);
            assert_eq!(Message::parse(&bytes).unwrap().options.relay_address(code::LINK_SELECTION), None, "{torn:?}");
        }
    }
}
