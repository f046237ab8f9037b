//! Where two states differ: the sum of a state says *that* it is another, the digests of its buckets say *which* rows to
//! fetch. Used when an agent does not arrive at the digest that was signed, and when a delta would be longer than that.

use super::row::{RowRef, Rows, encode_row};
use super::{ApplyError, Change, Damaged, Hash, Opened, State, Table, encode_changes};
use std::collections::BTreeMap;

/// How many buckets a state's rows fall into, by the hash of their keys.
pub const BUCKETS: usize = 4096;
const CONTEXT: &str = "holdfast 2026-11 snapshot bucket";

/// Rows of buckets that were not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a row of bucket {0} came, which was not asked for")]
pub struct BucketError(pub u16);

/// The bucket of a row.
fn bucket(table: Table, key: &[u8]) -> u16 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[table.0]).update(key);
    let [a, b] = *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes");
    u16::from_be_bytes([a, b]) >> 4
}

impl State {
    /// The digest of each bucket's rows in ascending order.
    pub fn bucket_digests(&self) -> Result<Vec<Hash>, Damaged> {
        let mut hashers = vec![blake3::Hasher::new_derive_key(CONTEXT); BUCKETS];
        let mut encoded = Vec::new();
        for row in self.view().rows() {
            let row = row?;
            encoded.clear();
            encode_row(row, &mut encoded).expect("rows that are held are within their limits");
            hashers[usize::from(bucket(row.table, row.key))].update(&encoded);
        }
        Ok(hashers.iter().map(|hasher| *hasher.finalize().as_bytes()).collect())
    }

    /// All rows of these buckets, ascending.
    pub fn bucket_rows(&self, wanted: &[u16]) -> Result<Vec<u8>, Damaged> {
        let mut out = Vec::new();
        for row in self.view().rows() {
            let row = row?;
            if wanted.contains(&bucket(row.table, row.key)) {
                encode_row(row, &mut out).expect("rows that are held are within their limits");
            }
        }
        Ok(out)
    }

    /// The payload that makes these buckets hold exactly these rows: what is not among them goes away. It is a merged delta:
    /// [`State::advance_merged`] proves where it leads.
    pub fn bucket_changes(&self, wanted: &[u16], rows: &[u8]) -> Result<Vec<u8>, ApplyError> {
        let mut changes: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>> = BTreeMap::new();
        for row in self.view().rows() {
            let RowRef { table, key, .. } = row?;
            if wanted.contains(&bucket(table, key)) {
                changes.insert((table, key.to_vec()), None);
            }
        }
        for row in Rows::new(rows) {
            let row = row?;
            let number = bucket(row.table, row.key);
            if !wanted.contains(&number) {
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

    /// Replaces the rows of these buckets and proves the result against the target's manifest.
    pub fn replace_buckets(&self, opened: &Opened, wanted: &[u16], rows: &[u8]) -> Result<Self, ApplyError> {
        self.advance_merged(opened, &self.bucket_changes(wanted, rows)?)
    }
}
