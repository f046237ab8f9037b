//! Sweeps the outbox: what was taken out of it stays on its pages until somebody vacuums them, and every edit reads them all.

use crate::db::publish as db;
use sqlx::PgPool;
use tokio::task::JoinSet;

/// So many keys are read over in less time than it takes to sweep them.
const DUE_KEYS: usize = 2000;

/// Counts what was taken, and has it swept by a task of its own.
#[derive(Debug, Default)]
pub(super) struct Sweeper {
    taken: usize,
    sweeping: JoinSet<()>,
}

impl Sweeper {
    /// So many keys were taken out.
    pub fn taken(&mut self, keys: usize) {
        self.taken += keys;
    }

    /// Begins to sweep where it is due.
    pub fn tend(&mut self, pool: &PgPool) {
        while self.sweeping.try_join_next().is_some() {}
        if self.taken < DUE_KEYS || !self.sweeping.is_empty() {
            return;
        }
        self.taken = 0;
        let pool = pool.clone();
        self.sweeping.spawn(async move {
            if let Err(error) = db::sweep_outbox(&pool).await {
                tracing::warn!(event = "outbox_not_swept", %error, "the outbox could not be swept: edits take longer to publish until the database does it");
            }
        });
    }
}
