//! The rows of the zone feed: what the master composes and the agents answer from.
//!
//! Why: one row per owner name, so that an existing name costs one probe; rdata stands in it as the wire wants it,
//! each with its RDLENGTH, so that answering is copying. All numbers are big-endian, as in DNS. What it refuses: a
//! row that is not the one encoding of its meaning (types and rdatas strictly ascending, no empty set).
//!
//! ```text
//! ZoneRow  serial u32
//! Node     place u8 | apex_labels u8 | RrSet...
//! RrSet    type u16 | ttl u32 | count u16 | length u32 | (rdlength u16 | rdata)...     length is that of the rdatas
//! ```

use crate::snapshot::Table;
use crate::words::Serial;

/// Zones that are ours. Key: the apex, [`DomainName::wire`](crate::words::DomainName::wire). Value: [`ZoneRow`].
pub const ZONE: Table = Table(1);
/// Names that exist. Key: the owner, [`DomainName::wire`](crate::words::DomainName::wire). Value: [`Node`].
///
/// An empty non-terminal is a row without records (RFC 8020), a wildcard is a row whose first label is `*`.
pub const NODE: Table = Table(2);

const NODE_HEADER_BYTES: usize = 2;
const RRSET_HEADER_BYTES: usize = 12;
/// RFC 2181 section 8: a TTL has 31 bits.
const TTL_LIMIT_S: u32 = i32::MAX as u32;

/// A zone row's bytes that do not follow the one encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The bytes end within a field.
    #[error("the zone row ends in the middle of a field, at byte {0}")]
    Torn(usize),
    /// Bytes are left over.
    #[error("the zone row has bytes left over from byte {0} on")]
    TooLong(usize),
    /// The place has no meaning.
    #[error("the zone row names place {0}, which does not exist")]
    Place(u8),
    /// Types or rdatas are not strictly ascending.
    #[error("the zone row has a type or rdata of type {0} out of order or doubled")]
    OutOfOrder(u16),
    /// A record set without records.
    #[error("the zone row has an empty record set of type {0}")]
    Empty(u16),
    /// A TTL over 31 bits.
    #[error("the zone row has a record set of type {0} with a TTL over 31 bits")]
    Ttl(u16),
}

/// What the world knows of a zone of ours beside its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneRow {
    /// The serial of its SOA, for those who only ask what is newest.
    pub serial: Serial,
}

impl ZoneRow {
    /// The one encoding.
    pub fn encode(&self) -> Vec<u8> {
        self.serial.0.to_be_bytes().to_vec()
    }

    /// Reads what [`ZoneRow::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        match *bytes {
            [a, b, c, d] => Ok(Self { serial: Serial(u32::from_be_bytes([a, b, c, d])) }),
            [_, _, _, _, ..] => Err(RowError::TooLong(4)),
            _ => Err(RowError::Torn(bytes.len())),
        }
    }
}

/// Where in a zone a name stands (RFC 1034 section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Place {
    /// Authoritative data, or an empty non-terminal.
    Inside = 0,
    /// The zone's top; it has the SOA. A DS set here is the parent's, where the parent zone is ours too.
    Apex = 1,
    /// Another's zone starts here: it has NS and is not an apex of ours.
    Cut = 2,
    /// Within another's zone: glue only.
    BelowCut = 3,
}

impl Place {
    fn from_number(number: u8) -> Result<Self, RowError> {
        let all = [Self::Inside, Self::Apex, Self::Cut, Self::BelowCut];
        all.into_iter().find(|place| *place as u8 == number).ok_or(RowError::Place(number))
    }
}

/// One owner name with its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it stands.
    pub place: Place,
    /// The label count of its zone's apex, without the root: the owner's last labels, that many, are the zone.
    pub apex_labels: u8,
    /// Its records, ascending by type. Empty for an empty non-terminal.
    pub rrsets: Vec<RrSet>,
}

/// All records of one type at one name; they share a TTL (RFC 2181 section 5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RrSet {
    /// The type's number.
    pub rtype: u16,
    /// Seconds, at most 2^31-1.
    pub ttl: u32,
    /// Uncompressed rdata as it goes on the wire; ascending, unique, at least one, each of at most 65535 bytes.
    pub rdatas: Vec<Vec<u8>>,
}

impl Node {
    /// The one encoding. Order and doubles are put right; sets without records are left out.
    ///
    /// # Panics
    /// When an rdata is over 65535 bytes: DNS has no such record, and no parser of ours makes one.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.place as u8, self.apex_labels];
        let mut rrsets: Vec<&RrSet> = self.rrsets.iter().filter(|rrset| !rrset.rdatas.is_empty()).collect();
        rrsets.sort_by_key(|rrset| rrset.rtype);
        rrsets.into_iter().for_each(|rrset| rrset.encode_into(&mut out));
        out
    }

    /// Reads what [`Node::encode`] wrote, and nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let node = NodeRef::new(bytes)?;
        let mut rrsets: Vec<RrSet> = Vec::new();
        for rrset in node.rrsets() {
            let rrset = RrSet::decode(rrset?)?;
            if rrsets.last().is_some_and(|last| last.rtype >= rrset.rtype) {
                return Err(RowError::OutOfOrder(rrset.rtype));
            }
            rrsets.push(rrset);
        }
        Ok(Self { place: node.place, apex_labels: node.apex_labels, rrsets })
    }
}

impl RrSet {
    fn encode_into(&self, out: &mut Vec<u8>) {
        let mut rdatas: Vec<&[u8]> = self.rdatas.iter().map(Vec::as_slice).collect();
        rdatas.sort_unstable();
        rdatas.dedup();
        let length: usize = rdatas.iter().map(|rdata| 2 + rdata.len()).sum();
        out.extend_from_slice(&self.rtype.to_be_bytes());
        out.extend_from_slice(&self.ttl.min(TTL_LIMIT_S).to_be_bytes());
        out.extend_from_slice(&u16::try_from(rdatas.len()).expect("a name has at most 65535 records of a type").to_be_bytes());
        out.extend_from_slice(&u32::try_from(length).expect("a record set is far under 4 GiB").to_be_bytes());
        for rdata in rdatas {
            out.extend_from_slice(&u16::try_from(rdata.len()).expect("rdata has at most 65535 bytes").to_be_bytes());
            out.extend_from_slice(rdata);
        }
    }

    fn decode(rrset: RrSetRef<'_>) -> Result<Self, RowError> {
        let rtype = rrset.rtype;
        let rdatas: Vec<Vec<u8>> = rrset.rdatas().map(|rdata| rdata.map(<[u8]>::to_vec)).collect::<Result<_, _>>()?;
        if rdatas.is_empty() {
            return Err(RowError::Empty(rtype));
        }
        if rrset.ttl > TTL_LIMIT_S {
            return Err(RowError::Ttl(rtype));
        }
        if rdatas.len() != usize::from(rrset.count) || rdatas.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(RowError::OutOfOrder(rtype));
        }
        Ok(Self { rtype, ttl: rrset.ttl, rdatas })
    }
}

/// A [`Node`] read where it lies, without allocating. Bytes are checked as they are reached, so a damaged row is an error and never a panic.
#[derive(Debug, Clone, Copy)]
pub struct NodeRef<'a> {
    /// Where it stands.
    pub place: Place,
    /// The label count of its zone's apex.
    pub apex_labels: u8,
    rrsets: &'a [u8],
}

impl<'a> NodeRef<'a> {
    /// Over a row's value.
    pub fn new(bytes: &'a [u8]) -> Result<Self, RowError> {
        let [place, apex_labels, rrsets @ ..] = bytes else { return Err(RowError::Torn(bytes.len())) };
        Ok(Self { place: Place::from_number(*place)?, apex_labels: *apex_labels, rrsets })
    }

    /// The records of a type.
    pub fn rrset(&self, rtype: u16) -> Result<Option<RrSetRef<'a>>, RowError> {
        for rrset in self.rrsets() {
            let rrset = rrset?;
            if rrset.rtype >= rtype {
                return Ok((rrset.rtype == rtype).then_some(rrset));
            }
        }
        Ok(None)
    }

    /// All records, ascending by type.
    pub fn rrsets(&self) -> RrSetRefs<'a> {
        RrSetRefs { rest: self.rrsets, at: NODE_HEADER_BYTES }
    }
}

/// Walks a node's record sets. Stops for good after an error.
#[derive(Debug, Clone)]
pub struct RrSetRefs<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Iterator for RrSetRefs<'a> {
    type Item = Result<RrSetRef<'a>, RowError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = self.rest.split_first_chunk::<RRSET_HEADER_BYTES>().and_then(|(header, rest)| {
            let &[t0, t1, l0, l1, l2, l3, c0, c1, n0, n1, n2, n3] = header;
            let (body, rest) = rest.split_at_checked(u32::from_be_bytes([n0, n1, n2, n3]) as usize)?;
            let ttl = u32::from_be_bytes([l0, l1, l2, l3]);
            Some((RrSetRef { rtype: u16::from_be_bytes([t0, t1]), ttl, count: u16::from_be_bytes([c0, c1]), body }, rest))
        });
        let Some((rrset, rest)) = split else {
            self.rest = &[];
            return Some(Err(RowError::Torn(self.at)));
        };
        self.at += self.rest.len() - rest.len();
        self.rest = rest;
        Some(Ok(rrset))
    }
}

/// An [`RrSet`] read where it lies.
#[derive(Debug, Clone, Copy)]
pub struct RrSetRef<'a> {
    /// The type's number.
    pub rtype: u16,
    /// Seconds.
    pub ttl: u32,
    /// How many records.
    pub count: u16,
    body: &'a [u8],
}

impl<'a> RrSetRef<'a> {
    /// Its bytes, of which only the place says something: which set it is.
    pub(super) fn first_bytes(&self) -> &'a [u8] {
        self.body
    }

    /// The rdatas, ascending.
    pub fn rdatas(&self) -> RdataRefs<'a> {
        RdataRefs(self.body)
    }
}

/// Walks the rdatas of a record set. Stops for good after an error.
#[derive(Debug, Clone)]
pub struct RdataRefs<'a>(&'a [u8]);

impl<'a> Iterator for RdataRefs<'a> {
    type Item = Result<&'a [u8], RowError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let split = self.0.split_first_chunk::<2>().and_then(|(length, rest)| rest.split_at_checked(usize::from(u16::from_be_bytes(*length))));
        let Some((rdata, rest)) = split else {
            let torn = RowError::Torn(self.0.len());
            self.0 = &[];
            return Some(Err(torn));
        };
        self.0 = rest;
        Some(Ok(rdata))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::rtype;
    use proptest::prelude::*;

    fn host() -> Node {
        let a = RrSet { rtype: rtype::A, ttl: 3600, rdatas: vec![vec![10, 1, 4, 7], vec![10, 1, 4, 8]] };
        let mx = RrSet { rtype: rtype::MX, ttl: 7200, rdatas: vec![b"\x00\x0a\x04mail\x03uni\x07example\x00".to_vec()] };
        Node { place: Place::Inside, apex_labels: 2, rrsets: vec![a, mx] }
    }

    #[test]
    fn the_rows_are_golden() {
        let host_hex = concat!(
            "0002",
            "000100000e100002",
            "0000000c",
            "00040a010407",
            "00040a010408",
            "000f00001c200001",
            "00000016",
            "0014000a046d61696c03756e69076578616d706c6500"
        );
        assert_eq!(hex::encode(host().encode()), host_hex);
        assert_eq!(Node::decode(&hex::decode(host_hex).unwrap()), Ok(host()));
        let terminal = Node { place: Place::BelowCut, apex_labels: 1, rrsets: Vec::new() };
        assert_eq!(hex::encode(terminal.encode()), "0301");
        let zone = ZoneRow { serial: Serial(2026112101) };
        assert_eq!(hex::encode(zone.encode()), "78c40465");
        assert_eq!(ZoneRow::decode(&zone.encode()), Ok(zone));
    }

    #[test]
    fn the_encoding_puts_order_right_and_the_decoding_insists_on_it() {
        let mut shuffled = host();
        shuffled.rrsets.reverse();
        shuffled.rrsets[1].rdatas = vec![vec![10, 1, 4, 8], vec![10, 1, 4, 7], vec![10, 1, 4, 8]];
        shuffled.rrsets.push(RrSet { rtype: rtype::TXT, ttl: 1, rdatas: Vec::new() });
        assert_eq!(shuffled.encode(), host().encode());
        for (wrong, error) in [
            ("", RowError::Torn(0)),
            ("0402", RowError::Place(4)),
            ("000200", RowError::Torn(2)),
            ("0002000100000e10000100000006", RowError::Torn(2)),
            ("0002000100000e10000000000000", RowError::Empty(1)),
            ("0002000180000000000100000002", RowError::Torn(2)),
            ("00020001800000000001000000020000", RowError::Ttl(1)),
            ("0002000100000001000200000006000102000101", RowError::OutOfOrder(1)),
            ("0002000100000001000200000006000101000101", RowError::OutOfOrder(1)),
            ("000200020000000100010000000300010100010000000100010000000300 0101", RowError::OutOfOrder(1)),
        ] {
            assert_eq!(Node::decode(&hex::decode(wrong.replace(' ', "")).unwrap()), Err(error), "{wrong}");
        }
        assert_eq!(ZoneRow::decode(&[0; 5]), Err(RowError::TooLong(4)));
    }

    #[test]
    fn the_borrowed_reader_finds_types_and_misses_others() {
        let bytes = host().encode();
        let node = NodeRef::new(&bytes).unwrap();
        assert_eq!((node.place, node.apex_labels), (Place::Inside, 2));
        let a = node.rrset(rtype::A).unwrap().unwrap();
        assert_eq!((a.ttl, a.count), (3600, 2));
        assert_eq!(a.rdatas().collect::<Result<Vec<_>, _>>().unwrap(), [&[10, 1, 4, 7], &[10, 1, 4, 8]]);
        assert!(node.rrset(rtype::MX).unwrap().is_some());
        assert!(node.rrset(rtype::SOA).unwrap().is_none() && node.rrset(rtype::TXT).unwrap().is_none());
        assert_eq!(node.rrsets().count(), 2);
    }

    proptest! {
        #[test]
        fn bytes_that_decode_are_the_one_encoding(bytes in proptest::collection::vec(0u8..20, 0..60)) {
            if let Ok(node) = Node::decode(&bytes) {
                prop_assert_eq!(node.encode(), bytes);
            }
        }

        #[test]
        fn nodes_come_back(place in 0u8..4, sets in proptest::collection::btree_map(any::<u16>(), (0..=TTL_LIMIT_S, proptest::collection::btree_set(proptest::collection::vec(any::<u8>(), 0..9), 1..4)), 0..5)) {
            let rrsets = sets.into_iter().map(|(rtype, (ttl, rdatas))| RrSet { rtype, ttl, rdatas: rdatas.into_iter().collect() }).collect();
            let node = Node { place: Place::from_number(place).unwrap(), apex_labels: 3, rrsets };
            prop_assert_eq!(Node::decode(&node.encode()), Ok(node));
        }
    }
}
