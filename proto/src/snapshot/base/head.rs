use super::super::{Feed, Hash, LtHash};
use crate::words::{Epoch, Generation};
use std::fmt;

const MAGIC: &[u8; 8] = b"HFHEAD1\n";
/// Magic, feed, epoch, generation, row count, length of the rows.
const FIXED_BYTES: usize = 8 + 6 + 4 + 8 + 8 + 8;
const MARK_BYTES: usize = 4 + 32;
/// One block is one row at most beyond its aim; a row has 1 MiB and its key.
const BLOCK_LIMIT_BYTES: u32 = (1 << 20) + (32 << 10);
/// 274 GB of rows: what an index entry can name.
const BLOCKS_LIMIT: usize = (1 << 24) - 1;

/// A block's length and BLAKE3 hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockMark {
    /// In bytes.
    pub len: u32,
    /// Of its bytes.
    pub hash: Hash,
}

impl BlockMark {
    /// The mark of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { len: bytes.len() as u32, hash: *blake3::hash(bytes).as_bytes() }
    }

    /// Whether these are the bytes that were marked.
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.len as usize && *blake3::hash(bytes).as_bytes() == self.hash
    }
}

/// What a base says of itself. One encoding, the same wherever the base was built; its hash is the root that manifests name.
#[derive(Clone, PartialEq, Eq)]
pub struct Head {
    /// Which (kind, scope).
    pub feed: Feed,
    /// Its epoch.
    pub epoch: Epoch,
    /// The generation whose rows these are.
    pub generation: Generation,
    /// How many rows.
    pub row_count: u64,
    /// Their length, encoded.
    pub rows_len: u64,
    /// The hash of all rows, unfolded, so that the next generation can go on from it.
    pub sum: LtHash,
    /// The blocks that the rows are cut into.
    pub blocks: Vec<BlockMark>,
}

/// Bytes that are no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the head of the snapshot is damaged at \"{0}\"")]
pub struct HeadError(&'static str);

impl Head {
    /// How long the encoding of a head with this many blocks is.
    pub fn encoded_len(blocks: usize) -> usize {
        FIXED_BYTES + LtHash::BYTES + 4 + blocks * MARK_BYTES
    }

    /// The bytes that are hashed, kept and sent.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::encoded_len(self.blocks.len()));
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[self.feed.kind as u8, self.feed.scope.family as u8]);
        out.extend_from_slice(&self.feed.scope.cut.to_le_bytes());
        out.extend_from_slice(&self.epoch.0.to_le_bytes());
        out.extend_from_slice(&self.generation.0.to_le_bytes());
        out.extend_from_slice(&self.row_count.to_le_bytes());
        out.extend_from_slice(&self.rows_len.to_le_bytes());
        self.sum.write(&mut out);
        out.extend_from_slice(&(self.blocks.len() as u32).to_le_bytes());
        for mark in &self.blocks {
            out.extend_from_slice(&mark.len.to_le_bytes());
            out.extend_from_slice(&mark.hash);
        }
        out
    }

    /// Reads a head back; whether it may be believed is for whoever knows its root.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut fields = Fields(bytes);
        if fields.take("magic")? != *MAGIC {
            return Err(HeadError("magic"));
        }
        let [kind, family] = fields.take("feed")?;
        let cut = u32::from_le_bytes(fields.take("feed")?);
        let feed = Feed::from_numbers(kind.into(), family.into(), cut).ok_or(HeadError("feed"))?;
        let epoch = Epoch(u32::from_le_bytes(fields.take("epoch")?));
        let generation = Generation(u64::from_le_bytes(fields.take("generation")?));
        let row_count = u64::from_le_bytes(fields.take("row count")?);
        let rows_len = u64::from_le_bytes(fields.take("length")?);
        let sum = LtHash::read(&fields.take("sum")?);
        let count = u32::from_le_bytes(fields.take("blocks")?) as usize;
        if count > BLOCKS_LIMIT || fields.0.len() != count * MARK_BYTES {
            return Err(HeadError("blocks"));
        }
        let blocks = (0..count).map(|_| Ok(BlockMark { len: u32::from_le_bytes(fields.take("blocks")?), hash: fields.take("blocks")? }));
        let blocks: Vec<BlockMark> = blocks.collect::<Result<_, HeadError>>()?;
        let fits = blocks.iter().all(|mark| mark.len <= BLOCK_LIMIT_BYTES) && blocks.iter().map(|mark| u64::from(mark.len)).sum::<u64>() == rows_len;
        if fits { Ok(Self { feed, epoch, generation, row_count, rows_len, sum, blocks }) } else { Err(HeadError("block lengths")) }
    }

    /// The hash that manifests name.
    pub fn root(&self) -> Hash {
        *blake3::hash(&self.encode()).as_bytes()
    }

    /// Where each block starts, counted from the first row.
    pub(super) fn starts(&self) -> impl Iterator<Item = u64> {
        self.blocks.iter().scan(0, |at, mark| {
            let start = *at;
            *at += u64::from(mark.len);
            Some(start)
        })
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({} {}.{}, {} rows in {} blocks)", self.feed, self.epoch, self.generation, self.row_count, self.blocks.len())
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self, at: &'static str) -> Result<[u8; N], HeadError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(HeadError(at))?;
        self.0 = rest;
        Ok(*head)
    }
}
