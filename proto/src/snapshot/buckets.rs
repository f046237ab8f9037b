//! Where two states differ: the sum of a state says *that* it is another, the marks of its buckets say *which* rows to
//! fetch. Used when an agent does not arrive at the digest that was signed, and when a delta would be longer than that.
//!
//! A mark is short, and nothing rests on it: rows that are exchanged by marks are proven by the sum that was signed, and two
//! marks that agree by accident cost one whole snapshot.

use super::row::{RowRef, Rows, encode_row};
use super::{ApplyError, Change, Damaged, Opened, State, Table, encode_changes};
use std::collections::BTreeMap;
use std::fmt;

/// How many buckets a state's rows fall into, by the hash of their keys.
pub const BUCKETS: usize = 4096;
/// What is said of one bucket: the first bytes of the digest of its rows.
const MARK_BYTES: usize = 8;
/// What is said of all buckets, in ascending order.
pub const MARKS_BYTES: usize = BUCKETS * MARK_BYTES;
const CONTEXT: &str = "holdfast 2026-11 snapshot bucket";

/// Rows of buckets that were not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a row of bucket {0} came, which was not asked for")]
pub struct BucketError(pub u16);

/// Some of the buckets: a bit for each, the lowest of the first byte for the first.
#[derive(Clone, PartialEq, Eq)]
pub struct Buckets(Vec<u8>);

/// The rows of a state by bucket.
#[derive(Clone, PartialEq, Eq)]
pub struct Tally {
    marks: Vec<u8>,
    /// How many rows each bucket has, and how many bytes they are encoded.
    sizes: Vec<(u64, u64)>,
}

/// The buckets in which somebody holds other rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub buckets: Buckets,
    /// How many rows they have here.
    pub rows: u64,
    /// How many bytes these are encoded.
    pub bytes: u64,
}

/// The bucket of a row.
fn bucket(table: Table, key: &[u8]) -> u16 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[table.0]).update(key);
    let [a, b] = *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes");
    u16::from_be_bytes([a, b]) >> 4
}

impl Buckets {
    /// How long they are on the wire.
    pub const BYTES: usize = BUCKETS / 8;

    /// None of them.
    pub fn none() -> Self {
        Self(vec![0; Self::BYTES])
    }

    /// Reads them; `None` where the length is another.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == Self::BYTES).then(|| Self(bytes.to_vec()))
    }

    /// For the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds one.
    pub fn insert(&mut self, number: u16) {
        self.0[usize::from(number) / 8] |= 1 << (number % 8);
    }

    /// Whether this one is among them.
    pub fn contains(&self, number: u16) -> bool {
        self.0[usize::from(number) / 8] & 1 << (number % 8) != 0
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.0.iter().map(|byte| byte.count_ones() as usize).sum()
    }
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} buckets", self.count())
    }
}

impl Tally {
    /// What to say of a state to somebody who is to find the difference.
    pub fn marks(&self) -> &[u8; MARKS_BYTES] {
        self.marks.first_chunk().expect("each bucket has a mark")
    }

    /// Where somebody who says this of theirs holds other rows.
    pub fn difference(&self, marks: &[u8; MARKS_BYTES]) -> Difference {
        let mut found = Difference { buckets: Buckets::none(), rows: 0, bytes: 0 };
        let both = self.marks.chunks_exact(MARK_BYTES).zip(marks.chunks_exact(MARK_BYTES));
        for (number, (rows, bytes)) in both.zip(&self.sizes).enumerate().filter(|(_, ((ours, theirs), _))| ours != theirs).map(|(at, (_, size))| (at, size)) {
            found.buckets.insert(number as u16);
            found.rows += rows;
            found.bytes += bytes;
        }
        found
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tally({} rows)", self.sizes.iter().map(|(rows, _)| rows).sum::<u64>())
    }
}

impl State {
    /// Goes through all rows that are really there; costs a third of a second for a million of them.
    pub fn tally(&self) -> Result<Tally, Damaged> {
        let (mut hashers, mut sizes) = (vec![blake3::Hasher::new_derive_key(CONTEXT); BUCKETS], vec![(0, 0); BUCKETS]);
        let mut encoded = Vec::new();
        for row in self.view().rows() {
            let row = row?;
            encoded.clear();
            encode_row(row, &mut encoded).expect("rows that are held are within their limits");
            let number = usize::from(bucket(row.table, row.key));
            hashers[number].update(&encoded);
            sizes[number].0 += 1;
            sizes[number].1 += encoded.len() as u64;
        }
        let marks = hashers.iter().flat_map(|hasher| *hasher.finalize().as_bytes().first_chunk::<MARK_BYTES>().expect("a hash has 32 bytes"));
        Ok(Tally { marks: marks.collect(), sizes })
    }

    /// All rows of these buckets, ascending.
    pub fn bucket_rows(&self, wanted: &Buckets) -> impl Iterator<Item = Result<RowRef<'_>, Damaged>> {
        self.view().rows().filter(|row| row.as_ref().map_or(true, |row| wanted.contains(bucket(row.table, row.key))))
    }

    /// The payload that makes these buckets hold exactly these rows: what is not among them goes away. It is a merged delta:
    /// [`State::advance_merged`] or [`State::mend`] proves where it leads.
    pub fn bucket_changes(&self, wanted: &Buckets, rows: &[u8]) -> Result<Vec<u8>, ApplyError> {
        let mut changes: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>> = BTreeMap::new();
        for row in self.bucket_rows(wanted) {
            let RowRef { table, key, .. } = row?;
            changes.insert((table, key.to_vec()), None);
        }
        for row in Rows::new(rows) {
            let row = row?;
            let number = bucket(row.table, row.key);
            if !wanted.contains(number) {
                return Err(BucketError(number).into());
            }
            if self.view().get(row.table, row.key)? == row.value {
                changes.remove(&(row.table, row.key.to_vec()));
            } else {
                changes.insert((row.table, row.key.to_vec()), row.value.map(<[u8]>::to_vec));
            }
        }
        let changes: Vec<Change> = changes.into_iter().map(|((table, key), value)| Change { table, key, value }).collect();
        Ok(encode_changes(changes.iter().map(Change::as_ref)).expect("rows within their limits"))
    }

    /// As [`Self::advance_merged`], and also where the target is the very generation held: its rows turned out to be others.
    pub fn mend(&self, opened: &Opened, payload: &[u8]) -> Result<Self, ApplyError> {
        let (manifest, view) = (opened.manifest(), self.view());
        let is_same = (manifest.epoch, manifest.generation) == (view.epoch(), view.generation());
        if is_same && view.generation().0 > 0 { self.at_generation_before().advance_merged(opened, payload) } else { self.advance_merged(opened, payload) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Feed, Institution, SigningKey, Stamp};
    use crate::words::{Epoch, UnixMillis};

    #[test]
    fn what_is_said_of_a_bucket_is_golden() {
        let changes = ["alpha", "beta", "gamma"].map(|key| Change::put(Table(1), key, "value"));
        let stamp = Stamp { institution: Institution([1; 16]), epoch: Epoch(1), issued_at: UnixMillis(1), soft_age_s: 0, hard_age_s: 0 };
        let draft = State::empty(Feed::ZONE).compose(changes.to_vec()).unwrap().unwrap();
        let state = draft.seal(&SigningKey::generate().unwrap().0, stamp).unwrap().2;
        let (tally, empty) = (state.tally().unwrap(), State::empty(Feed::ZONE).tally().unwrap());
        let Difference { buckets, rows, bytes } = tally.difference(empty.marks());
        assert_eq!((buckets.count(), rows, bytes), (3, 3, 50));
        let marks = tally.marks().chunks_exact(MARK_BYTES).enumerate().filter(|(number, _)| buckets.contains(*number as u16));
        let told: String = marks.map(|(number, mark)| format!("{number} {}\n", hex::encode(mark))).collect();
        let told = format!("{told}none {}\nbits {}\n", hex::encode(&empty.marks()[..MARK_BYTES]), blake3::hash(buckets.bytes()));
        assert_eq!(told, include_str!("golden/buckets.txt"));
        assert_eq!(Buckets::from_bytes(buckets.bytes()), Some(buckets));
        assert_eq!(Buckets::from_bytes(&[0; 511]), None);
    }
}
