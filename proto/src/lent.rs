//! Names of machines that nobody registered: what DHCP gives with an address, and DNS tells while it is lent.
//!
//! Why it exists: the two are processes of their own, and the campus's names must not wait for the master. What it refuses: a name
//! that stands in the signed rows. Those are looked for first, so what is lent only fills gaps, and only within zones of ours. How:
//! [`Naming`] is what a subnet wants, signed; [`NameRecord`]s are the log that an agent's DHCP writes and its DNS follows; rows of
//! [`LENT`] are what other campuses lend, as the master publishes it. What a row of it says about this box's own leases counts for
//! nothing: the log knows better.

use crate::snapshot::{Damaged, Table, View};
use crate::words::{DomainName, NodeId};
use std::net::Ipv4Addr;

/// In the bootptab feed: under which zone a subnet's machines get names. Key: the subnet's key; value: [`Naming`].
pub const NAMING: Table = Table(4);
/// In the zone feed: names that agents have given. Key: the owner, as in the table of names; value: the agent, then a node as there.
pub const LENT: Table = Table(4);
/// The longest that others may remember such a name, in seconds: a machine that moves is found again soon.
const TTL_LIMIT_S: u32 = 300;
const NODE_BYTES: usize = 16;

const ALL: u8 = 0;
const PUT: u8 = 1;
const GONE: u8 = 2;

/// How long others may remember the name of an address that is lent for so long, in seconds: a third of it (RFC 4702 section 5), and
/// minutes at most.
pub fn ttl_secs(lease_secs: u64) -> u32 {
    u32::try_from(lease_secs / 3).unwrap_or(u32::MAX).clamp(1, TTL_LIMIT_S)
}

/// What a subnet wants its machines to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// The zone, which is ours.
    pub zone: DomainName,
}

impl Naming {
    /// The one encoding: `0 u8 | zone`, the zone in wire form.
    pub fn encode(&self) -> Vec<u8> {
        [&[0], self.zone.wire()].concat()
    }

    /// Reads a value; `None` for one of a newer build.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let (0, wire) = value.split_first().map(|(first, wire)| (*first, wire))? else { return None };
        DomainName::from_wire(wire).filter(|zone| zone.wire() == wire).map(|zone| Self { zone })
    }

    /// That of the subnet with this key. Where a row does not decode, nobody gets a name.
    pub fn of(view: &View, subnet_key: &[u8]) -> Result<Option<Self>, Damaged> {
        Ok(view.get(NAMING, subnet_key)?.and_then(Self::decode))
    }
}

/// A row of [`LENT`].
pub fn lent_value(agent: NodeId, node: &[u8]) -> Vec<u8> {
    [&agent.0, node].concat()
}

/// The agent and the node of a row of [`LENT`].
pub fn lent_parts(value: &[u8]) -> Option<(NodeId, &[u8])> {
    value.split_first_chunk::<NODE_BYTES>().map(|(agent, node)| (NodeId(*agent), node))
}

/// An address that is lent under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LentName {
    /// The address.
    pub address: Ipv4Addr,
    /// The whole name.
    pub name: DomainName,
    /// How long others may remember it, in seconds.
    pub ttl: u32,
}

/// A record of the names log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameRecord {
    /// What was said before counts no more; so many names follow, and are all there are.
    All(u32),
    /// An address has a name.
    Put(LentName),
    /// An address has none any more.
    Gone(Ipv4Addr),
}

impl NameRecord {
    /// The one encoding: a kind (u8), then `count u32`, or `address | ttl u32 | name` in wire form, or `address`. Little-endian.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::All(count) => [&[ALL][..], &count.to_le_bytes()].concat(),
            Self::Put(LentName { address, name, ttl }) => [&[PUT][..], &address.octets(), &ttl.to_le_bytes(), name.wire()].concat(),
            Self::Gone(address) => [&[GONE][..], &address.octets()].concat(),
        }
    }

    /// Reads a record; `None` for what is damaged or of a newer build.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (head, rest) = rest.split_first_chunk::<4>()?;
        match (*kind, rest) {
            (ALL, []) => Some(Self::All(u32::from_le_bytes(*head))),
            (GONE, []) => Some(Self::Gone(Ipv4Addr::from(*head))),
            (PUT, rest) => {
                let (ttl, wire) = rest.split_first_chunk()?;
                let name = DomainName::from_wire(wire).filter(|name| name.wire() == wire)?;
                Some(Self::Put(LentName { address: Ipv4Addr::from(*head), name, ttl: u32::from_le_bytes(*ttl) }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    #[test]
    fn rows_and_records_are_golden() {
        let naming = Naming { zone: name("dyn.uni.example") };
        assert_eq!(hex::encode(naming.encode()), "000364796e03756e69076578616d706c6500");
        assert_eq!(Naming::decode(&naming.encode()), Some(naming));
        let put = NameRecord::Put(LentName { address: Ipv4Addr::new(10, 1, 6, 100), name: name("pc7.dyn"), ttl: 200 });
        for (record, golden) in
            [(NameRecord::All(7), "0007000000"), (put, "010a010664c8000000037063370364796e00"), (NameRecord::Gone(Ipv4Addr::new(10, 1, 6, 100)), "020a010664")]
        {
            assert_eq!(hex::encode(record.encode()), golden);
            assert_eq!(NameRecord::decode(&record.encode()), Some(record));
        }
        let value = lent_value(NodeId([7; 16]), b"node");
        assert_eq!(lent_parts(&value), Some((NodeId([7; 16]), &b"node"[..])));
        assert_eq!(lent_parts(&value[..15]), None);
    }

    #[test]
    fn nobody_remembers_a_name_for_longer_than_a_part_of_its_lease() {
        assert_eq!([0, 2, 30, 600, 3600, u64::MAX].map(ttl_secs), [1, 1, 10, 200, 300, 300]);
    }

    proptest! {
        #[test]
        fn what_decodes_has_one_encoding(bytes in prop::collection::vec(0u8..8, 0..30)) {
            if let Some(record) = NameRecord::decode(&bytes) {
                prop_assert_eq!(record.encode(), &bytes[..]);
            }
            if let Some(naming) = Naming::decode(&bytes) {
                prop_assert_eq!(naming.encode(), bytes);
            }
        }
    }
}
