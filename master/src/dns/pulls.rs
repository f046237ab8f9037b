//! Which zone was given to whom, and when last, for whoever asks whether a department's server has what it should have. Each zone and
//! client is written once a minute, however often it asks.

use crate::db::topology::{PullRow, note_pulled};
use sqlx::PgPool;
use std::collections::HashMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The same is written once in this time.
const QUIET: Duration = Duration::from_secs(60);
/// How many different ones are remembered; those who are let have a zone are few.
const REMEMBERED_LIMIT: usize = 4096;
const WAITING_LIMIT: usize = 256;

/// Where it is left; a full box drops it, and the next one will do.
#[derive(Debug, Clone)]
pub(super) struct Pulls(mpsc::Sender<PullRow>);

impl Pulls {
    pub(super) fn leave(&self, row: PullRow) {
        // What is lost here is told by the next transfer.
        let _ = self.0.try_send(row);
    }
}

/// The box, and the work that empties it.
pub(super) fn keep(pool: PgPool) -> (Pulls, impl Future<Output = Infallible>) {
    let (sender, mut left) = mpsc::channel::<PullRow>(WAITING_LIMIT);
    let work = async move {
        let mut written: HashMap<(String, String, String), Instant> = HashMap::new();
        while let Some(row) = left.recv().await {
            let whose = (row.client.clone(), row.zone.clone(), row.key.clone());
            if written.get(&whose).is_some_and(|at| at.elapsed() < QUIET) {
                continue;
            }
            if written.len() >= REMEMBERED_LIMIT {
                written.retain(|_, at| at.elapsed() < QUIET);
            }
            match note_pulled(&pool, &row).await {
                Ok(()) if written.len() < REMEMBERED_LIMIT => drop(written.insert(whose, Instant::now())),
                Ok(()) => {}
                Err(error) => tracing::warn!(event = "transfer_not_noted", %error, "that a zone was taken could not be noted"),
            }
        }
        std::future::pending().await
    };
    (Pulls(sender), work)
}
