//! What was refused is written down, for whoever audits: not every packet of a flood, but each stranger and zone once a minute. Zones
//! that were not given and recursion that was not done stand in one list: an auditor asks who was turned away, not at which door.

use crate::db::transfers::{RefusedRow, note_refused};
use sqlx::PgPool;
use std::collections::HashMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The same refusal is written once in this time.
const QUIET: Duration = Duration::from_secs(60);
/// Between two that are written, whoever they are of.
const PACE: Duration = Duration::from_millis(100);
/// How many different ones are remembered.
const REMEMBERED_LIMIT: usize = 1024;
const WAITING_LIMIT: usize = 64;

/// Where refusals are left; a full box drops them, counted.
#[derive(Debug, Clone)]
pub(super) struct Refusals(mpsc::Sender<RefusedRow>);

impl Refusals {
    pub(super) fn leave(&self, row: RefusedRow) {
        if self.0.try_send(row).is_err() {
            metrics::counter!("holdfast_transfers_refused_unwritten_total").increment(1);
        }
    }
}

/// The box, and the work that empties it.
pub(super) fn keep(pool: PgPool) -> (Refusals, impl Future<Output = Infallible>) {
    let (sender, mut left) = mpsc::channel::<RefusedRow>(WAITING_LIMIT);
    let work = async move {
        let mut written: HashMap<(String, String, String), Instant> = HashMap::new();
        while let Some(row) = left.recv().await {
            let whose = (row.client.clone(), row.zone.clone(), row.why.clone());
            if written.get(&whose).is_some_and(|at| at.elapsed() < QUIET) {
                continue;
            }
            if written.len() >= REMEMBERED_LIMIT {
                written.retain(|_, at| at.elapsed() < QUIET);
            }
            if written.len() < REMEMBERED_LIMIT {
                written.insert(whose, Instant::now());
            }
            let RefusedRow { client, zone, asked, key, why, .. } = &row;
            tracing::warn!(event = "refused", client, zone, asked, key, why, "somebody was refused what they asked for");
            if let Err(error) = note_refused(&pool, &row).await {
                tracing::warn!(event = "refusal_not_kept", %error, "a refusal stands in the log alone");
            }
            tokio::time::sleep(PACE).await;
        }
        std::future::pending().await
    };
    (Refusals(sender), work)
}
