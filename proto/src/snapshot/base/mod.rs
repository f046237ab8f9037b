//! One whole snapshot, cut into blocks of whole rows with a hash each, and a hash index over them: what an agent serves from.
//!
//! Why it exists: the file on the disk is the serving structure. There is nothing to compile at start; a block is read,
//! checked against its hash and kept in memory when it is first touched, so a box answers within milliseconds of its start
//! however many rows it holds, and a flipped bit is found before anybody is told what it says.
//!
//! What it refuses: to answer from a block that is not the one that was hashed. Such a look-up is [`Damaged`], which is
//! neither "there is" nor "there is not".
//!
//! How: [`Head`] (feed, generation, sum of all rows, block hashes) has one encoding; its hash is the *root* that manifests
//! name. The rows and the head are the same bytes wherever they are built; the index is each reader's own.

mod head;
mod index;

pub use head::{BlockMark, Head, HeadError};
pub use index::{INDEX_BLOCK_BYTES, hash_check};

use super::row::{RowRef, Rows, RowsError, Table, decode_row};
use super::{Feed, Hash, LtHash};
use crate::words::{Epoch, Generation};
use index::{Index, IndexBuilder, Place, Step};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// A block ends with the first row that reaches this. A row starts below it, so that an index entry has room for where.
pub const BLOCK_BYTES: usize = 16 << 10;

/// Fewer are not worth a thread: some thousand rows.
const BLOCKS_PER_THREAD: usize = 32;

/// A look-up that came upon a part of the snapshot that the disk has lost or altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a block of the snapshot is damaged on the disk")]
pub struct Damaged;

/// Where blocks come from that are not in memory yet. Whatever it gives is checked against its hash.
pub trait BlockSource: Send + Sync + fmt::Debug {
    /// `len` bytes from `start` on, counted from the first row; `None` where they cannot be read.
    fn rows(&self, start: u64, len: usize) -> Option<Vec<u8>>;
    /// The index block of this number.
    fn index(&self, number: usize) -> Option<Vec<u8>>;
}

/// A row of a table that is known.
pub type KeyAndValue<'a> = (&'a [u8], &'a [u8]);

/// A whole snapshot at one generation. Immutable; blocks of a base on a disk are read as they are touched.
pub struct Base {
    head: Head,
    root: Hash,
    blocks: Vec<Block>,
    index: Index,
    source: Option<Arc<dyn BlockSource>>,
    is_damaged: AtomicBool,
}

/// A block's place among the rows, and its bytes once they were checked; `None` inside: they are not what was hashed.
struct Block {
    start: u64,
    bytes: OnceLock<Option<Box<[u8]>>>,
}

/// Rows that no base can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BaseError {
    /// The rows break their encoding.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// A whole snapshot takes nothing away.
    #[error("a whole snapshot holds a deletion at byte {0}")]
    Deletion(u64),
    /// The rows of one block do not follow those of the block before.
    #[error("the rows from byte {0} on come before those that stand there")]
    Order(u64),
    /// A block is not the one that its head names.
    #[error("block {0} is not the one that was signed")]
    Block(usize),
    /// The rows do not end with the head's last block.
    #[error("the rows do not fill the blocks that the head names")]
    Length,
}

impl Base {
    /// The base of a feed of which nothing has been published yet.
    pub fn empty(feed: Feed) -> Self {
        Builder::new(feed, Epoch(0), Generation(0)).finish(LtHash::empty())
    }

    /// A base on a disk. The caller vouches for head and index marks; every block is checked when it is touched.
    pub fn on_disk(head: Head, index_marks: Vec<Hash>, source: Arc<dyn BlockSource>) -> Self {
        let blocks = head.starts().map(|start| Block { start, bytes: OnceLock::new() }).collect();
        let index = Index::on_disk(index_marks);
        Self { root: head.root(), head, blocks, index, source: Some(source), is_damaged: AtomicBool::new(false) }
    }

    /// What it says of itself.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The hash of the head, which manifests name.
    pub fn root(&self) -> Hash {
        self.root
    }

    /// The hashes of the index blocks, for the file that carries them.
    pub fn index_marks(&self) -> Vec<Hash> {
        self.index.marks()
    }

    /// An index block's bytes, for the file that carries them.
    pub fn index_block(&self, number: usize) -> Result<Vec<u8>, Damaged> {
        self.index.bytes(number, || self.source.as_ref()?.index(number))
    }

    /// A block: whole rows in ascending order.
    pub fn block(&self, number: usize) -> Result<&[u8], Damaged> {
        let Block { start, bytes } = &self.blocks[number];
        let bytes = bytes.get_or_init(|| self.read_block(number, *start));
        bytes.as_deref().ok_or(Damaged)
    }

    #[cold]
    fn read_block(&self, number: usize, start: u64) -> Option<Box<[u8]>> {
        let mark = self.head.blocks[number];
        let bytes = self.source.as_ref()?.rows(start, mark.len as usize).filter(|bytes| mark.is_of(bytes));
        self.is_damaged.fetch_or(bytes.is_none(), Ordering::Relaxed);
        bytes.map(Vec::into_boxed_slice)
    }

    /// Whether a look-up or [`Self::load`] came upon damage.
    pub fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
    }

    /// Reads and checks one more part, a block or an index block, of `parts()`; afterwards it is served from memory.
    pub fn load(&self, part: usize) -> Result<(), Damaged> {
        match part.checked_sub(self.blocks.len()) {
            None => self.block(part).map(drop),
            Some(number) => self.index_of(number).map(drop),
        }
    }

    /// How many parts there are to load.
    pub fn parts(&self) -> usize {
        self.blocks.len() + self.index.len()
    }

    fn index_of(&self, number: usize) -> Result<&index::IndexBlock, Damaged> {
        let found = self.index.block(number, || self.source.as_ref()?.index(number));
        found.inspect_err(|_| self.is_damaged.store(true, Ordering::Relaxed))
    }

    /// The sum of all rows, worked out anew: on as many threads as the machine has, because a large snapshot takes seconds.
    pub fn audit(&self) -> Result<LtHash, Damaged> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(self.blocks.len() / BLOCKS_PER_THREAD + 1);
        let share = self.blocks.len().div_ceil(threads);
        let parts: Vec<Result<LtHash, Damaged>> = std::thread::scope(|scope| {
            let workers = (0..threads).map(|thread| scope.spawn(move || self.sum_of(thread * share..((thread + 1) * share).min(self.blocks.len()))));
            workers.collect::<Vec<_>>().into_iter().map(|worker| worker.join().unwrap_or(Err(Damaged))).collect()
        });
        parts.into_iter().try_fold(LtHash::empty(), |mut sum, part| {
            sum.merge(&part?);
            Ok(sum)
        })
    }

    fn sum_of(&self, blocks: std::ops::Range<usize>) -> Result<LtHash, Damaged> {
        let (mut sum, mut scratch) = (LtHash::empty(), Vec::new());
        for row in blocks.flat_map(|number| BlockRows::new(self.block(number))) {
            sum.add(self.head.feed.kind, row?, &mut scratch);
        }
        Ok(sum)
    }

    pub(super) fn with_sum(mut self, sum: LtHash) -> Self {
        self.head.sum = sum;
        self.root = self.head.root();
        self
    }

    /// The value of a row.
    #[inline]
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<&[u8]>, Damaged> {
        if self.blocks.is_empty() {
            return Ok(None);
        }
        if self.index.len() == 0 {
            return Err(Damaged);
        }
        let mut walk = self.index.walk(table, key);
        loop {
            let (number, bucket) = walk.bucket();
            match walk.next_in(self.index_of(number)?, bucket) {
                Step::Look(place) => {
                    let row = self.row(place)?;
                    if row.table == table && row.key == key {
                        return Ok(row.value);
                    }
                }
                Step::Absent => return Ok(None),
                Step::NextBucket => {}
            }
        }
    }

    fn row(&self, place: Place) -> Result<RowRef<'_>, Damaged> {
        let block = self.block(place.block as usize)?;
        // A block that has its hash holds whole rows; an index of somebody else's making could still point between them.
        decode_row(block, place.offset as usize).map(|(row, _)| row).map_err(|_| Damaged)
    }

    /// The rows from (table, key) on, ascending.
    pub(super) fn rows_from<'a>(&'a self, table: Table, key: &[u8]) -> impl Iterator<Item = Result<RowRef<'a>, Damaged>> {
        let first = self.first_block_with(table, key);
        let blocks = first.map_or_else(|damaged| vec![Err(damaged)], |first| (first..self.blocks.len()).map(Ok).collect());
        let wanted = key.to_vec();
        blocks.into_iter().flat_map(move |number| BlockRows::new(number.and_then(|number| self.block(number)))).skip_while(move |row| match row {
            Ok(row) => (row.table, row.key) < (table, &wanted[..]),
            Err(_) => false,
        })
    }

    /// The last row of a table at or below a key, or strictly below it.
    pub(super) fn floor(&self, table: Table, key: &[u8], strictly: bool) -> Result<Option<KeyAndValue<'_>>, Damaged> {
        if self.blocks.is_empty() {
            return Ok(None);
        }
        let first = self.first_block_with(table, key)?;
        // Where the wanted row is the last of the block before, this one starts with the key itself.
        for number in [Some(first), first.checked_sub(1)].into_iter().flatten() {
            let mut found = None;
            for row in BlockRows::new(self.block(number)) {
                let row = row?;
                if (row.table, row.key) > (table, key) || strictly && (row.table, row.key) == (table, key) {
                    break;
                }
                found = Some(row);
            }
            if let Some(row) = found {
                return Ok(row.value.filter(|_| row.table == table).map(|value| (row.key, value)));
            }
        }
        Ok(None)
    }

    /// The last block that starts at or below (table, key).
    fn first_block_with(&self, table: Table, key: &[u8]) -> Result<usize, Damaged> {
        let (mut low, mut high) = (0, self.blocks.len());
        while low + 1 < high {
            let middle = usize::midpoint(low, high);
            let first = self.row(Place { block: middle as u32, offset: 0 })?;
            if (first.table, first.key) <= (table, key) { low = middle } else { high = middle }
        }
        Ok(low)
    }
}

/// The rows of one block; a block that cannot be read is one error.
struct BlockRows<'a> {
    rows: Rows<'a>,
    damaged: Option<Damaged>,
}

impl<'a> BlockRows<'a> {
    fn new(block: Result<&'a [u8], Damaged>) -> Self {
        Self { rows: Rows::new(block.unwrap_or_default()), damaged: block.err() }
    }
}

impl<'a> Iterator for BlockRows<'a> {
    type Item = Result<RowRef<'a>, Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        self.damaged.take().map(Err).or_else(|| self.rows.next().map(|row| row.map_err(|_| Damaged)))
    }
}

/// Makes a base out of rows in ascending order.
pub struct Builder {
    head: Head,
    blocks: Vec<Block>,
    filling: Vec<u8>,
    index: IndexBuilder,
    /// The last row that [`Self::push_rows`] took: each call is ordered in itself, and so are all of them.
    last: Option<(Table, Vec<u8>)>,
}

impl Builder {
    /// Starts a base of this generation.
    pub fn new(feed: Feed, epoch: Epoch, generation: Generation) -> Self {
        let head = Head { feed, epoch, generation, row_count: 0, rows_len: 0, sum: LtHash::empty(), blocks: Vec::new() };
        Self { head, blocks: Vec::new(), filling: Vec::new(), index: IndexBuilder::default(), last: None }
    }

    /// Adds the next row, in its encoding. The caller vouches for the order.
    pub(super) fn push(&mut self, row: RowRef<'_>, encoded: &[u8]) {
        self.index.add(row.table, row.key, Place { block: self.blocks.len() as u32, offset: self.filling.len() as u32 });
        self.filling.extend_from_slice(encoded);
        self.head.row_count += 1;
        if self.filling.len() >= BLOCK_BYTES {
            self.close_block();
        }
    }

    /// Adds encoded rows, checking them.
    pub fn push_rows(&mut self, rows: &[u8]) -> Result<(), BaseError> {
        let (mut walk, mut last) = (Rows::new(rows), None);
        loop {
            let start = walk.offset();
            let Some(row) = walk.next() else { break };
            let row = row?;
            if start == 0 && self.last.as_ref().is_some_and(|(table, key)| (row.table, row.key) <= (*table, key)) {
                return Err(BaseError::Order(self.head.rows_len));
            }
            last = Some((row.table, row.key));
            if row.value.is_none() {
                return Err(BaseError::Deletion(self.head.rows_len + start as u64));
            }
            self.push(row, &rows[start..walk.offset()]);
        }
        if let Some((table, key)) = last {
            self.last = Some((table, key.to_vec()));
        }
        Ok(())
    }

    fn close_block(&mut self) {
        let bytes = std::mem::take(&mut self.filling);
        let start = self.head.rows_len;
        self.head.blocks.push(BlockMark::of(&bytes));
        self.head.rows_len += bytes.len() as u64;
        self.blocks.push(Block { start, bytes: OnceLock::from(Some(bytes.into_boxed_slice())) });
    }

    /// The base. `sum` is the hash of the rows that were pushed.
    pub fn finish(mut self, sum: LtHash) -> Base {
        if !self.filling.is_empty() {
            self.close_block();
        }
        self.head.sum = sum;
        let root = self.head.root();
        Base { head: self.head, root, blocks: self.blocks, index: self.index.finish(), source: None, is_damaged: AtomicBool::new(false) }
    }
}

impl Base {
    /// A base out of blocks that were checked one by one on their way in, as a full transfer brings them.
    pub fn from_blocks(head: Head, blocks: Vec<Vec<u8>>) -> Result<Self, BaseError> {
        let mut builder = Builder::new(head.feed, head.epoch, head.generation);
        for (number, bytes) in blocks.iter().enumerate() {
            if !head.blocks.get(number).is_some_and(|mark| mark.is_of(bytes)) {
                return Err(BaseError::Block(number));
            }
            builder.push_rows(bytes)?;
        }
        let base = builder.finish(head.sum.clone());
        // Blocks that are cut elsewhere than a builder cuts them would make another root of the same rows.
        if base.root == head.root() { Ok(base) } else { Err(BaseError::Length) }
    }
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base({} {}.{}, {} rows)", self.head.feed, self.head.epoch, self.head.generation, self.head.row_count)
    }
}
