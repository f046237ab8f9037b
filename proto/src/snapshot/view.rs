use super::row::decode_row;
use super::{Feed, RowRef, Rows, RowsError, Table};
use crate::words::{Epoch, Generation};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

/// One generation of one feed, as a service reads it. Cheap to clone, never edited; the next generation is another view.
///
/// Inside: an immutable base of encoded rows with a hash index, and a persistent map of what changed since, so that
/// the next generation costs as much as its changes, however large the base is.
#[derive(Clone)]
pub struct View {
    feed: Feed,
    epoch: Epoch,
    generation: Generation,
    base: Arc<Base>,
    overlay: Overlay,
    row_count: u64,
}

type Overlay = imbl::GenericHashMap<OverlayKey, Option<Arc<[u8]>>, FixedState, imbl::shared_ptr::DefaultSharedPtr>;
/// The table's number, then the key: one slice, so that a look-up can borrow it.
type OverlayKey = Box<[u8]>;

/// The longest key that is looked up without touching the heap; a domain name and its table fit.
const STACK_KEY_BYTES: usize = 320;

struct Base {
    rows: Vec<u8>,
    /// Offsets of rows.
    index: HashTable<u32>,
}

/// Rows that no base can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BaseError {
    #[error(transparent)]
    Rows(#[from] RowsError),
    #[error("a whole snapshot holds a deletion at byte {0}")]
    Deletion(usize),
    #[error("a snapshot over 4 GiB cannot be served by this build")]
    TooLarge,
}

fn hash(table: Table, key: &[u8]) -> u64 {
    // Keys come from signed rows only, so no stranger can choose them to collide.
    FixedState::default().hash_one((table.0, key))
}

impl Base {
    fn empty() -> Self {
        Self { rows: Vec::new(), index: HashTable::new() }
    }

    /// Indexes encoded rows, calling `each` with every one of them.
    fn build(rows: Vec<u8>, mut each: impl FnMut(RowRef<'_>)) -> Result<(Self, u64), BaseError> {
        if u32::try_from(rows.len()).is_err() {
            return Err(BaseError::TooLarge);
        }
        let mut offsets = Vec::new();
        let mut walk = Rows::new(&rows);
        loop {
            let offset = walk.offset();
            let Some(row) = walk.next() else { break };
            let row = row?;
            if row.value.is_none() {
                return Err(BaseError::Deletion(offset));
            }
            each(row);
            offsets.push(offset as u32);
        }
        let count = offsets.len() as u64;
        let hash_at = |offset: &u32| {
            let row = row_at(&rows, *offset);
            hash(row.table, row.key)
        };
        let mut index = HashTable::with_capacity(offsets.len());
        for offset in offsets {
            index.insert_unique(hash_at(&offset), offset, hash_at);
        }
        Ok((Self { rows, index }, count))
    }

    fn get(&self, table: Table, key: &[u8]) -> Option<&[u8]> {
        let offset = self.index.find(hash(table, key), |offset| {
            let row = row_at(&self.rows, *offset);
            row.table == table && row.key == key
        })?;
        row_at(&self.rows, *offset).value
    }
}

/// The row at an offset that was indexed, so it is whole.
fn row_at(rows: &[u8], offset: u32) -> RowRef<'_> {
    decode_row(rows, offset as usize).expect("an indexed row is whole").0
}

fn overlay_key<'a>(table: Table, key: &[u8], stack: &'a mut [u8; STACK_KEY_BYTES], heap: &'a mut Vec<u8>) -> &'a [u8] {
    let len = key.len() + 1;
    if len > stack.len() {
        heap.push(table.0);
        heap.extend_from_slice(key);
        return heap;
    }
    stack[0] = table.0;
    stack[1..len].copy_from_slice(key);
    &stack[..len]
}

impl View {
    /// The view of a feed of which nothing has been published yet.
    pub fn empty(feed: Feed) -> Self {
        Self {
            feed,
            epoch: Epoch(0),
            generation: Generation(0),
            base: Arc::new(Base::empty()),
            overlay: Overlay::with_hasher(FixedState::default()),
            row_count: 0,
        }
    }

    /// Indexes a whole snapshot's rows, calling `each` with every one.
    pub(super) fn build(feed: Feed, epoch: Epoch, generation: Generation, rows: Vec<u8>, each: impl FnMut(RowRef<'_>)) -> Result<Self, BaseError> {
        let (base, row_count) = Base::build(rows, each)?;
        Ok(Self { feed, epoch, generation, base: Arc::new(base), overlay: Overlay::with_hasher(FixedState::default()), row_count })
    }

    /// The value of a row.
    pub fn get(&self, table: Table, key: &[u8]) -> Option<&[u8]> {
        if !self.overlay.is_empty() {
            let (mut stack, mut heap) = ([0; STACK_KEY_BYTES], Vec::new());
            if let Some(value) = self.overlay.get(overlay_key(table, key, &mut stack, &mut heap)) {
                return value.as_deref();
            }
        }
        self.base.get(table, key)
    }

    /// Every row of a table in ascending order of its key.
    pub fn iter(&self, table: Table) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.rows().filter(move |row| row.table == table).map(|row| (row.key, row.value.unwrap_or_default()))
    }

    /// Every row of the view in ascending order of (table, key).
    pub(super) fn rows(&self) -> impl Iterator<Item = RowRef<'_>> {
        let overlay: BTreeMap<(Table, &[u8]), Option<&[u8]>> = self.overlay.iter().map(|(key, value)| ((Table(key[0]), &key[1..]), value.as_deref())).collect();
        let mut overlay = overlay.into_iter().peekable();
        let mut base = Rows::new(&self.base.rows).map_while(Result::ok).peekable();
        let merged = std::iter::from_fn(move || {
            let base_key = base.peek().map(|row| (row.table, row.key));
            match (base_key, overlay.peek().map(|(key, _)| *key)) {
                (Some(from_base), Some(from_overlay)) if from_base < from_overlay => base.next(),
                (_, Some(from_overlay)) => {
                    base.next_if(|row| (row.table, row.key) == from_overlay);
                    overlay.next().map(|((table, key), value)| RowRef { table, key, value })
                }
                (_, None) => base.next(),
            }
        });
        merged.filter(|row| row.value.is_some())
    }

    /// Which (kind, scope).
    pub fn feed(&self) -> Feed {
        self.feed
    }

    /// The number of this generation; zero where nothing was published yet.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The epoch of this generation.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How many rows it has.
    pub fn row_count(&self) -> u64 {
        self.row_count
    }

    /// How many rows stand in the overlay: what a new base would fold in.
    pub fn overlay_len(&self) -> usize {
        self.overlay.len()
    }

    pub(super) fn at(mut self, epoch: Epoch, generation: Generation) -> Self {
        self.epoch = epoch;
        self.generation = generation;
        self
    }

    pub(super) fn set(&mut self, row: RowRef<'_>) {
        let before = self.get(row.table, row.key).is_some();
        match (before, row.value.is_some()) {
            (false, true) => self.row_count += 1,
            (true, false) => self.row_count -= 1,
            _ => {}
        }
        let mut key = Vec::with_capacity(row.key.len() + 1);
        key.push(row.table.0);
        key.extend_from_slice(row.key);
        self.overlay.insert(key.into(), row.value.map(Arc::from));
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "View({} {}.{}, {} rows)", self.feed, self.epoch, self.generation, self.row_count)
    }
}
