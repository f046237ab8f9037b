//! The hash index: buckets of one cache line, so that a look-up costs one miss for the index and one for the row.

use super::super::Hash;
use super::super::row::Table;
use super::Damaged;
use foldhash::quality::FixedState;
use std::hash::BuildHasher;
use std::sync::OnceLock;

const SLOTS: usize = 8;
/// Six of eight slots are filled on average: overflow into the next bucket is rare, and a miss nearly always ends in the first.
const FILLED_SLOTS: usize = 6;
const BUCKETS_PER_BLOCK: usize = 256;
/// An index block on the disk.
pub const INDEX_BLOCK_BYTES: usize = BUCKETS_PER_BLOCK * SLOTS * 8;
const EMPTY: u64 = u64::MAX;
const OFFSET_BITS: u32 = 14;
const BLOCK_BITS: u32 = 24;
const FINGERPRINT_SHIFT: u32 = OFFSET_BITS + BLOCK_BITS;

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) block: u32,
    pub(super) offset: u32,
}

#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Bucket([u64; SLOTS]);

pub(super) type IndexBlock = [Bucket];

pub(super) struct Index {
    marks: Vec<Hash>,
    blocks: Vec<OnceLock<Option<Box<IndexBlock>>>>,
}

/// Keys come from signed rows only, so no stranger can choose them to collide.
fn hash(table: Table, key: &[u8]) -> u64 {
    FixedState::with_seed(0x686f_6c64).hash_one((table.0, key))
}

/// Tells whether this build hashes as the one that wrote an index: the hash is a library's, and no standard.
pub fn hash_check() -> u64 {
    hash(Table(1), b"holdfast index 1")
}

fn fingerprint(hash: u64) -> u64 {
    hash & ((1 << (64 - FINGERPRINT_SHIFT)) - 1)
}

/// The bucket a hash belongs to, by its high bits.
fn home(hash: u64, buckets: usize) -> usize {
    ((u128::from(hash) * buckets as u128) >> 64) as usize
}

impl Index {
    pub(super) fn on_disk(marks: Vec<Hash>) -> Self {
        let blocks = marks.iter().map(|_| OnceLock::new()).collect();
        Self { marks, blocks }
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn marks(&self) -> Vec<Hash> {
        self.marks.clone()
    }

    #[inline]
    pub(super) fn block(&self, number: usize, read: impl FnOnce() -> Option<Vec<u8>>) -> Result<&IndexBlock, Damaged> {
        let found =
            self.blocks[number].get_or_init(|| read().filter(|bytes| *blake3::hash(bytes).as_bytes() == self.marks[number]).map(|bytes| decode(&bytes)));
        found.as_deref().filter(|block| block.len() == BUCKETS_PER_BLOCK).ok_or(Damaged)
    }

    pub(super) fn bytes(&self, number: usize, read: impl FnOnce() -> Option<Vec<u8>>) -> Result<Vec<u8>, Damaged> {
        Ok(encode(self.block(number, read)?))
    }

    /// Where a row would be.
    #[inline]
    pub(super) fn walk(&self, table: Table, key: &[u8]) -> Walk {
        let buckets = self.blocks.len() * BUCKETS_PER_BLOCK;
        let hash = hash(table, key);
        Walk { bucket: home(hash, buckets), slot: 0, fingerprint: fingerprint(hash), buckets, passed: 0 }
    }
}

/// One look-up on its way through the buckets.
pub(super) struct Walk {
    bucket: usize,
    slot: usize,
    fingerprint: u64,
    buckets: usize,
    passed: usize,
}

/// What the next slot says.
pub(super) enum Step {
    Look(Place),
    Absent,
    NextBucket,
}

impl Walk {
    /// The index block to look into, and the bucket within.
    #[inline]
    pub(super) fn bucket(&self) -> (usize, usize) {
        (self.bucket / BUCKETS_PER_BLOCK, self.bucket % BUCKETS_PER_BLOCK)
    }

    #[inline]
    pub(super) fn next_in(&mut self, block: &IndexBlock, bucket: usize) -> Step {
        while self.slot < SLOTS {
            let entry = block[bucket].0[self.slot];
            self.slot += 1;
            if entry == EMPTY {
                return Step::Absent;
            }
            if entry >> FINGERPRINT_SHIFT == self.fingerprint {
                return Step::Look(place(entry));
            }
        }
        self.slot = 0;
        self.passed += 1;
        self.bucket = (self.bucket + 1) % self.buckets;
        // An index without an empty slot would be walked for ever; a builder never makes one.
        if self.passed > self.buckets { Step::Absent } else { Step::NextBucket }
    }
}

fn place(entry: u64) -> Place {
    Place { block: (entry >> OFFSET_BITS) as u32 & ((1 << BLOCK_BITS) - 1), offset: entry as u32 & ((1 << OFFSET_BITS) - 1) }
}

fn decode(bytes: &[u8]) -> Box<IndexBlock> {
    let numbers = |bucket: &[u8]| std::array::from_fn(|slot| u64::from_le_bytes(*bucket[slot * 8..].first_chunk().expect("a bucket has eight numbers")));
    bytes.chunks_exact(SLOTS * 8).map(|bucket| Bucket(numbers(bucket))).collect()
}

fn encode(block: &IndexBlock) -> Vec<u8> {
    block.iter().flat_map(|bucket| bucket.0).flat_map(u64::to_le_bytes).collect()
}

#[derive(Default)]
pub(super) struct IndexBuilder(Vec<(u64, u64)>);

impl IndexBuilder {
    pub(super) fn add(&mut self, table: Table, key: &[u8], place: Place) {
        let hash = hash(table, key);
        self.0.push((hash, fingerprint(hash) << FINGERPRINT_SHIFT | u64::from(place.block) << OFFSET_BITS | u64::from(place.offset)));
    }

    pub(super) fn finish(self) -> Index {
        let blocks = self.0.len().div_ceil(FILLED_SLOTS * BUCKETS_PER_BLOCK);
        let mut buckets = vec![Bucket([EMPTY; SLOTS]); blocks * BUCKETS_PER_BLOCK];
        for (hash, entry) in self.0 {
            let mut at = home(hash, buckets.len());
            let slot = loop {
                match buckets[at].0.iter().position(|slot| *slot == EMPTY) {
                    Some(slot) => break slot,
                    None => at = (at + 1) % buckets.len(),
                }
            };
            buckets[at].0[slot] = entry;
        }
        let marks = buckets.chunks(BUCKETS_PER_BLOCK).map(|block| *blake3::hash(&encode(block)).as_bytes()).collect();
        let blocks = buckets.chunks(BUCKETS_PER_BLOCK).map(|block| OnceLock::from(Some(block.into()))).collect();
        Index { marks, blocks }
    }
}
