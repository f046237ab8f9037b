//! In which order the addresses of a name are told. A client should not read anything into it (RFC 1034 section 3.6), and most take the first.

use super::RrSetRef;
use super::rtype;
use std::net::IpAddr;

/// More addresses than this are told as they stand: sorting them would cost more than it gives.
pub(super) const SORT_LIMIT: usize = 64;

/// The order of the addresses of one name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Ascending, the same for everybody.
    #[default]
    Fixed,
    /// Those first that share most of their leading bits with the client's: a machine with a leg in the client's subnet is reached there.
    Near,
    /// Another one first each time, so that load spreads.
    Rotated,
}

impl Order {
    /// Fills `places` with the order in which a set is to be told; `None` where it is told as it stands.
    pub(super) fn of<'p>(self, rrset: RrSetRef<'_>, client: IpAddr, turn: u16, places: &'p mut [u8; SORT_LIMIT]) -> Option<&'p [u8]> {
        let count = usize::from(rrset.count);
        if self == Self::Fixed || !(2..=SORT_LIMIT).contains(&count) || !matches!(rrset.rtype, rtype::A | rtype::AAAA) {
            return None;
        }
        let places = &mut places[..count];
        places.iter_mut().enumerate().for_each(|(at, place)| *place = at as u8);
        match self {
            Self::Fixed => {}
            Self::Rotated => places.rotate_left(usize::from(turn) % count),
            Self::Near => {
                let mut distance = [u8::MAX; SORT_LIMIT];
                rrset.rdatas().flatten().zip(&mut distance).for_each(|(rdata, distance)| *distance = u8::MAX - shared_bits(rdata, client));
                places.sort_by_key(|place| distance[usize::from(*place)]);
            }
        }
        Some(places)
    }
}

/// How many leading bits an address has in common with the client's: none with one of the other family.
fn shared_bits(rdata: &[u8], client: IpAddr) -> u8 {
    let differing = match (client, rdata.len()) {
        (IpAddr::V4(v4), 4) => rdata.iter().zip(v4.octets()).map(|(a, b)| a ^ b).position(|bits| bits != 0).map(|at| (at, rdata[at] ^ v4.octets()[at])),
        (IpAddr::V6(v6), 16) => rdata.iter().zip(v6.octets()).map(|(a, b)| a ^ b).position(|bits| bits != 0).map(|at| (at, rdata[at] ^ v6.octets()[at])),
        _ => return 0,
    };
    differing.map_or(rdata.len() as u8 * 8, |(at, bits)| at as u8 * 8 + bits.leading_zeros() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_bits_are_counted_within_a_family() {
        for (rdata, client, bits) in [
            (&[10, 1, 1, 100][..], "10.1.1.7", 25),
            (&[10, 1, 1, 100], "10.1.1.100", 32),
            (&[10, 2, 1, 100], "10.1.1.100", 14),
            (&[138, 1, 1, 100], "10.1.1.100", 0),
            (&[10, 1, 1, 100], "::1", 0),
            (&[0; 16], "::1", 127),
            (&[0; 16], "0.0.0.0", 0),
        ] {
            assert_eq!(shared_bits(rdata, client.parse().unwrap()), bits, "{rdata:?} {client}");
        }
    }
}
