use crate::words::NodeId;
use foldhash::fast::FixedState;
use std::sync::Arc;

/// Rows that a box knows by itself: no snapshot has them, nobody signed them, and whoever looks for one asks for it by this name.
/// Cheap to clone and to change, so that a new generation and a new row cost the same however many there are.
#[derive(Clone, Default)]
pub struct Beside {
    owner: Option<NodeId>,
    rows: Rows,
}

type Rows = imbl::GenericHashMap<Box<[u8]>, Arc<[u8]>, FixedState, imbl::shared_ptr::DefaultSharedPtr>;

impl Beside {
    /// Nothing yet, of this box.
    pub fn of(owner: Option<NodeId>) -> Self {
        Self { owner, ..Self::default() }
    }

    /// The box.
    pub fn owner(&self) -> Option<NodeId> {
        self.owner
    }

    /// The value of a row.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        // Most boxes have none.
        if self.rows.is_empty() { None } else { self.rows.get(key).map(|value| &value[..]) }
    }

    /// Sets a row, or takes it away.
    pub fn set(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        match value {
            Some(value) => drop(self.rows.insert(key.into(), value.into())),
            None => drop(self.rows.remove(key)),
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl std::fmt::Debug for Beside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Beside({} rows)", self.rows.len())
    }
}
