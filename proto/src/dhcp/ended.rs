//! Leases that an administrator ends, as the signed rows say.
//!
//! Why here: an order to an agent goes the way that every truth goes, so it is signed, kept on its disk, and there when the line is back.
//! What it refuses: to name an address alone. By the time that the order arrives it may be another client's.

use super::table::{RowError, subnet_key};
use crate::snapshot::{Damaged, Table, View};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// Key: [`subnet_key`]; value: [`encode`].
pub const ENDED: Table = Table(5);

/// The one encoding: of each lease `address | length u8 | client`, ascending; a client is as in [`Lease`](super::lease::Lease).
pub fn encode(ended: &[(Ipv4Addr, Vec<u8>)]) -> Vec<u8> {
    let mut ended: Vec<&(Ipv4Addr, Vec<u8>)> = ended.iter().filter(|(_, client)| client.len() <= usize::from(u8::MAX)).collect();
    ended.sort();
    ended.dedup();
    ended.iter().flat_map(|(address, client)| [&address.octets()[..], &[client.len() as u8], client].concat()).collect()
}

/// Reads a value.
pub fn decode(value: &[u8]) -> Result<Vec<(Ipv4Addr, Vec<u8>)>, RowError> {
    let (mut rest, mut ended) = (value, Vec::new());
    while !rest.is_empty() {
        let ([a, b, c, d, len], behind) = rest.split_first_chunk().ok_or(RowError::Short)?;
        let (client, behind) = behind.split_at_checked(usize::from(*len)).ok_or(RowError::Short)?;
        ended.push((Ipv4Addr::new(*a, *b, *c, *d), client.to_vec()));
        rest = behind;
    }
    if ended.windows(2).all(|pair| pair[0] < pair[1]) { Ok(ended) } else { Err(RowError::Shares) }
}

/// Those of a subnet. Where a row does not decode, nothing is ended by mistake.
pub(super) fn of(view: &View, net: Ipv4Net) -> Result<Vec<(Ipv4Addr, Vec<u8>)>, Damaged> {
    Ok(view.get(ENDED, &subnet_key(net))?.and_then(|row| decode(row).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_row_is_golden() {
        let ended = vec![(Ipv4Addr::new(10, 1, 6, 100), vec![0, 1, 2, 0, 0, 0, 0, 9])];
        assert_eq!(hex::encode(encode(&ended)), "0a010664080001020000000009");
        assert_eq!(decode(&encode(&ended)), Ok(ended));
        assert_eq!(decode(&[10, 1, 6, 100, 3, 1, 2]), Err(RowError::Short));
    }

    proptest! {
        #[test]
        fn what_decodes_has_one_encoding(bytes in prop::collection::vec(0u8..4, 0..40)) {
            if let Ok(ended) = decode(&bytes) {
                prop_assert_eq!(encode(&ended), bytes);
            }
        }
    }
}
