//! How the agents treat a subnet's machines: those that nobody registered, those of another campus, and which addresses each agent
//! may lend.
//!
//! Why it exists: static first. Without a row a machine that nobody registered gets nothing and is reported, and an agent of
//! another campus waits two seconds. What it refuses: shares that overlap. Each address that is lent belongs to exactly one agent,
//! so that agents who cannot hear each other never lend it twice. How: one row for a subnet in the same signed feed as its
//! reservations, read in place.

use super::table::{RowError, subnet_key};
use crate::snapshot::{Damaged, Table, View};
use crate::words::NodeId;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// Key: [`subnet_key`]; value: [`PolicyRow`].
pub const POLICY: Table = Table(3);
/// How long an agent of another campus waits for the one at home where no row says, in seconds.
pub const DEFAULT_COVER_AFTER_SECS: u16 = 2;

const SHARE_BYTES: usize = 4 + 4 + 16;

/// What becomes of a machine that nobody registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Unknown {
    /// Nobody hears of it.
    Off = 0,
    /// It is reported.
    #[default]
    Report = 1,
    /// It is reported, and what is lent to it is lent for minutes, until somebody decides.
    Quarantine = 2,
    /// It is reported to be registered by the master.
    Auto = 3,
}

/// Addresses that one agent may lend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    /// The first.
    pub first: Ipv4Addr,
    /// The last; it belongs to it.
    pub last: Ipv4Addr,
    /// The agent.
    pub owner: NodeId,
}

/// A subnet's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRow {
    /// Machines that nobody registered.
    pub unknown: Unknown,
    /// How long agents of other campuses wait, in seconds.
    pub cover_after_secs: u16,
    /// How long an address is lent, in seconds; 0 for as long as the subnet's option 51 says.
    pub lease_secs: u32,
    /// Ascending, none touching another; empty where nothing is lent.
    pub shares: Vec<Share>,
}

/// A [`PolicyRow`] in place.
#[derive(Debug, Clone, Copy)]
pub struct PolicyRef<'a> {
    /// See [`PolicyRow::unknown`].
    pub unknown: Unknown,
    /// See [`PolicyRow::cover_after_secs`].
    pub cover_after_secs: u16,
    /// See [`PolicyRow::lease_secs`].
    pub lease_secs: u32,
    shares: &'a [u8],
}

impl Default for PolicyRow {
    fn default() -> Self {
        Self { unknown: Unknown::default(), cover_after_secs: DEFAULT_COVER_AFTER_SECS, lease_secs: 0, shares: vec![] }
    }
}

impl Share {
    /// Whether an address belongs to it.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }
}

impl Unknown {
    fn of(value: u8) -> Option<Self> {
        [Self::Off, Self::Report, Self::Quarantine, Self::Auto].get(usize::from(value)).copied()
    }
}

impl PolicyRow {
    /// The one encoding: `unknown u8 | cover_after_secs u16 | lease_secs u32 | shares`, of a share first, last, owner.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.unknown as u8];
        out.extend_from_slice(&self.cover_after_secs.to_le_bytes());
        out.extend_from_slice(&self.lease_secs.to_le_bytes());
        for share in &self.shares {
            [share.first, share.last].iter().for_each(|address| out.extend_from_slice(&address.octets()));
            out.extend_from_slice(&share.owner.0);
        }
        out
    }

    /// Reads a value.
    pub fn decode(value: &[u8]) -> Result<Self, RowError> {
        let PolicyRef { unknown, cover_after_secs, lease_secs, .. } = PolicyRef::read(value)?;
        Ok(Self { unknown, cover_after_secs, lease_secs, shares: PolicyRef::read(value)?.shares().collect() })
    }
}

impl<'a> PolicyRef<'a> {
    const DEFAULT: PolicyRef<'static> = PolicyRef { unknown: Unknown::Report, cover_after_secs: DEFAULT_COVER_AFTER_SECS, lease_secs: 0, shares: &[] };

    /// Reads a value in place.
    pub fn read(value: &'a [u8]) -> Result<Self, RowError> {
        let ([unknown], rest) = value.split_first_chunk().ok_or(RowError::Short)?;
        let (cover, rest) = rest.split_first_chunk().ok_or(RowError::Short)?;
        let (lease, shares) = rest.split_first_chunk().ok_or(RowError::Short)?;
        let row = Self {
            unknown: Unknown::of(*unknown).ok_or(RowError::Flags(*unknown))?,
            cover_after_secs: u16::from_le_bytes(*cover),
            lease_secs: u32::from_le_bytes(*lease),
            shares,
        };
        let is_ordered = row.shares().all(|share| share.first <= share.last) && row.shares().zip(row.shares().skip(1)).all(|(one, next)| one.last < next.first);
        if shares.len() % SHARE_BYTES != 0 {
            Err(RowError::Short)
        } else if is_ordered {
            Ok(row)
        } else {
            Err(RowError::Shares)
        }
    }

    /// The policy of a subnet. Where a row does not decode, that of a subnet without one: nothing is lent by mistake.
    pub fn of(view: &'a View, net: Ipv4Net) -> Result<Self, Damaged> {
        Ok(view.get(POLICY, &subnet_key(net))?.and_then(|row| PolicyRef::read(row).ok()).unwrap_or(Self::DEFAULT))
    }

    /// All shares, ascending.
    pub fn shares(self) -> impl Iterator<Item = Share> + Clone + use<'a> {
        self.shares.as_chunks::<SHARE_BYTES>().0.iter().map(|bytes| {
            let address = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
            Share { first: address(0), last: address(4), owner: NodeId(bytes[8..].try_into().expect("a share ends with sixteen bytes")) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row() -> PolicyRow {
        let share = |first, last, owner| Share { first: Ipv4Addr::new(10, 1, 6, first), last: Ipv4Addr::new(10, 1, 6, last), owner: NodeId([owner; 16]) };
        PolicyRow { unknown: Unknown::Quarantine, cover_after_secs: 4, lease_secs: 3600, shares: vec![share(0, 139, 7), share(140, 199, 8)] }
    }

    #[test]
    fn the_row_is_golden() {
        assert_eq!(hex::encode(row().encode()), include_str!("golden/policy.hex").trim());
        assert_eq!(PolicyRow::decode(&row().encode()), Ok(row()));
        let PolicyRef { unknown, cover_after_secs, .. } = PolicyRef::DEFAULT;
        assert_eq!(PolicyRow { unknown, cover_after_secs, lease_secs: 0, shares: vec![] }, PolicyRow::default());
    }

    #[test]
    fn shares_that_overlap_or_run_backwards_are_refused() {
        let with = |change: fn(&mut PolicyRow)| {
            let mut row = row();
            change(&mut row);
            PolicyRow::decode(&row.encode())
        };
        assert_eq!(with(|row| row.shares[1].first = row.shares[0].last), Err(RowError::Shares));
        assert_eq!(with(|row| row.shares.reverse()), Err(RowError::Shares));
        assert_eq!(with(|row| row.shares[0].first = Ipv4Addr::new(10, 1, 7, 0)), Err(RowError::Shares));
        let whole = row().encode();
        assert_eq!(PolicyRow::decode(&whole[..whole.len() - 1]), Err(RowError::Short));
        assert_eq!(PolicyRow::decode(&[4, 0, 0, 0, 0, 0, 0]), Err(RowError::Flags(4)));
    }

    proptest! {
        #[test]
        fn what_decodes_has_one_encoding(bytes in prop::collection::vec(any::<u8>(), 0..64), shares in 0usize..3) {
            let bytes = [&[1u8][..], &bytes, &vec![0; shares]].concat();
            if let Ok(row) = PolicyRow::decode(&bytes) {
                prop_assert_eq!(row.encode(), bytes);
            }
        }
    }
}
