use super::base::{Base, Damaged, KeyAndValue};
use super::beside::Beside;
use super::row::{RowRef, Rows, RowsError, Table};
use super::{Change, Feed};
use crate::words::{Epoch, Generation};
use foldhash::fast::FixedState;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// One generation of one feed, as a service reads it. Cheap to clone, never edited; the next generation is another view.
///
/// Inside: an immutable [`Base`], and a persistent map of what changed since, so that the next generation costs as much as
/// its changes, however large the base is.
#[derive(Clone)]
pub struct View {
    epoch: Epoch,
    generation: Generation,
    base: Arc<Base>,
    overlay: Overlay,
    /// Of the tables that keep their order.
    ordered: Ordered,
    row_count: u64,
    beside: Beside,
}

type Overlay = imbl::GenericHashMap<OverlayKey, Option<Arc<[u8]>>, FixedState, imbl::shared_ptr::DefaultSharedPtr>;
type Ordered = imbl::OrdMap<OverlayKey, Option<Arc<[u8]>>>;
/// The table's number, then the key: one slice, so that a look-up can borrow it.
type OverlayKey = Box<[u8]>;

/// The longest key that is looked up without touching the heap; a domain name and its table fit.
const STACK_KEY_BYTES: usize = 320;

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
        Self::of(Arc::new(Base::empty(feed)))
    }

    /// The view of exactly this base.
    pub fn of(base: Arc<Base>) -> Self {
        let head = base.head();
        Self {
            epoch: head.epoch,
            generation: head.generation,
            row_count: head.row_count,
            overlay: Overlay::with_hasher(FixedState::default()),
            ordered: Ordered::new(),
            base,
            beside: Beside::default(),
        }
    }

    /// The value of a row.
    #[inline]
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<&[u8]>, Damaged> {
        if table.is_ordered() {
            return Ok(self.floor(table, key)?.filter(|(found, _)| *found == key).map(|(_, value)| value));
        }
        if !self.overlay.is_empty() {
            let (mut stack, mut heap) = ([0; STACK_KEY_BYTES], Vec::new());
            if let Some(value) = self.overlay.get(overlay_key(table, key, &mut stack, &mut heap)) {
                return Ok(value.as_deref());
            }
        }
        self.base.get(table, key)
    }

    /// The row of an ordered table at a key or, where there is none, the last before it.
    ///
    /// # Panics
    /// In debug builds, for a table that keeps no order.
    pub fn floor(&self, table: Table, key: &[u8]) -> Result<Option<KeyAndValue<'_>>, Damaged> {
        debug_assert!(table.is_ordered(), "only a table from 128 on can be asked for neighbours");
        let changed = |up_to: Bound<&[u8]>| {
            let (key, value) = self.ordered.range::<_, [u8]>((Bound::Included(&[table.0][..]), up_to)).next_back()?;
            Some((&key[1..], value.as_deref()))
        };
        let (mut stack, mut heap) = ([0; STACK_KEY_BYTES], Vec::new());
        let mut overlaid = changed(Bound::Included(overlay_key(table, key, &mut stack, &mut heap)));
        let mut based = self.base.floor(table, key, false)?;
        loop {
            match (overlaid, based) {
                (None, _) => return Ok(based),
                (Some((above, Some(value))), _) if based.is_none_or(|(below, _)| above >= below) => return Ok(Some((above, value))),
                // A row that was taken away hides the base's of the same key, and leads on to what is before it.
                (Some((gone, None)), _) if based.is_none_or(|(below, _)| gone >= below) => {
                    if based.is_some_and(|(below, _)| gone == below) {
                        based = self.base.floor(table, gone, true)?;
                    }
                    let (mut stack, mut heap) = ([0; STACK_KEY_BYTES], Vec::new());
                    overlaid = changed(Bound::Excluded(overlay_key(table, gone, &mut stack, &mut heap)));
                }
                (Some(_), _) => return Ok(based),
            }
        }
    }

    /// Every row of a table in ascending order of its key.
    pub fn iter(&self, table: Table) -> impl Iterator<Item = Result<(&[u8], &[u8]), Damaged>> {
        let rows = self.rows_from(table).take_while(move |row| row.as_ref().is_ok_and(|row| row.table == table) || row.is_err());
        rows.map(|row| row.map(|row| (row.key, row.value.unwrap_or_default())))
    }

    /// Every row of the view in ascending order of (table, key).
    pub fn rows(&self) -> impl Iterator<Item = Result<RowRef<'_>, Damaged>> {
        self.rows_from(Table(0))
    }

    fn rows_from(&self, table: Table) -> impl Iterator<Item = Result<RowRef<'_>, Damaged>> {
        // What lies before the table is not even sorted: whoever looks into one of the last tables pays for nothing else.
        let overlay: BTreeMap<(Table, &[u8]), Option<&[u8]>> = self.changed_rows().filter(|((changed, _), _)| *changed >= table).collect();
        let mut overlay = overlay.into_iter().peekable();
        let mut base = self.base.rows_from(table, b"").peekable();
        let merged = std::iter::from_fn(move || {
            let base_key = match base.peek() {
                Some(Err(_)) => return base.next(),
                Some(Ok(row)) => Some((row.table, row.key)),
                None => None,
            };
            match (base_key, overlay.peek().map(|(key, _)| *key)) {
                (Some(from_base), Some(from_overlay)) if from_base < from_overlay => base.next(),
                (_, Some(from_overlay)) => {
                    base.next_if(|row| row.as_ref().is_ok_and(|row| (row.table, row.key) == from_overlay));
                    overlay.next().map(|((table, key), value)| Ok(RowRef { table, key, value }))
                }
                (_, None) => base.next(),
            }
        });
        merged.filter(|row| row.as_ref().map_or(true, |row| row.value.is_some()))
    }

    /// What changed since the base, in no order.
    fn changed_rows(&self) -> impl Iterator<Item = ((Table, &[u8]), Option<&[u8]>)> {
        self.overlay.iter().chain(self.ordered.iter()).map(|(key, value)| ((Table(key[0]), &key[1..]), value.as_deref()))
    }

    /// What changed since the base, ascending: applied to any generation from the base's on, it leads to this one.
    pub fn changes_since_base(&self) -> Vec<Change> {
        let mut changes: Vec<Change> =
            self.changed_rows().map(|((table, key), value)| Change { table, key: key.to_vec(), value: value.map(<[u8]>::to_vec) }).collect();
        changes.sort_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
        changes
    }

    /// Which (kind, scope).
    pub fn feed(&self) -> Feed {
        self.base.head().feed
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

    /// The snapshot under what changed since.
    pub fn base(&self) -> &Arc<Base> {
        &self.base
    }

    /// How many rows stand in the overlay: what a new base would fold in.
    pub fn overlay_len(&self) -> usize {
        self.overlay.len() + self.ordered.len()
    }

    /// What this box itself knows, beside what was signed; it is part of no digest, and of none of the rows above.
    pub fn beside(&self) -> &Beside {
        &self.beside
    }

    /// The same with this beside it.
    pub fn with_beside(&self, beside: Beside) -> Self {
        Self { beside, ..self.clone() }
    }

    pub(super) fn at(mut self, epoch: Epoch, generation: Generation) -> Self {
        self.epoch = epoch;
        self.generation = generation;
        self
    }

    /// The same with its rows counted anew.
    pub(super) fn counting(mut self, row_count: u64) -> Self {
        self.row_count = row_count;
        self
    }

    /// Sets a row whose value before is known to the caller.
    pub(super) fn set(&mut self, row: RowRef<'_>, was_there: bool) {
        match (was_there, row.value.is_some()) {
            (false, true) => self.row_count += 1,
            (true, false) => self.row_count -= 1,
            _ => {}
        }
        self.put(row);
    }

    fn put(&mut self, row: RowRef<'_>) {
        let mut key = Vec::with_capacity(row.key.len() + 1);
        key.push(row.table.0);
        key.extend_from_slice(row.key);
        if row.table.is_ordered() {
            self.ordered.insert(key.into(), row.value.map(Arc::from));
        } else {
            self.overlay.insert(key.into(), row.value.map(Arc::from));
        }
    }

    /// The same with these rows set, to look at what was between two generations: number and row count stay as they are.
    pub fn with_rows(&self, payload: &[u8]) -> Result<Self, RowsError> {
        let mut view = self.clone();
        view.replay(payload, self.row_count)?;
        Ok(view)
    }

    /// Sets rows whose sum somebody else vouches for; nothing below is looked at, so it costs the same on any base.
    pub(super) fn replay(&mut self, payload: &[u8], row_count: u64) -> Result<(), RowsError> {
        for row in Rows::new(payload) {
            self.put(row?);
        }
        self.row_count = row_count;
        Ok(())
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "View({} {}.{}, {} rows)", self.feed(), self.epoch, self.generation, self.row_count)
    }
}
