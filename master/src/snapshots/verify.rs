//! Going through the kept history of a feed once more: signatures, parents, payloads, and the digest from nothing.

use super::Snapshots;
use super::past::{PastError, Step, forward, opened};
use crate::db::{audit, generations};
use holdfast_proto::snapshot::{Feed, LtHash, State};
use holdfast_proto::words::{Epoch, Generation};
use serde::Serialize;
use sqlx::PgConnection;

/// After so many generations a line goes to the log.
const TOLD_EVERY: u64 = 256;

/// What came of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Verified {
    /// The feed's name.
    pub feed: String,
    /// Where the kept history begins.
    pub from: u64,
    /// The last generation that was verified.
    pub to: u64,
    /// How many generations were verified.
    pub generations: u64,
    /// Rows of the last one.
    pub rows: u64,
    /// Generations that are missing because a later one was adopted, in sentences. What is kept holds together all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// What is wrong, and where; nothing where all holds together.
    pub wrong: Option<String>,
}

impl Snapshots {
    /// Verifies the kept history of a feed, as an agent that had nothing would, and computes the digest of its end from every
    /// row. Goes on line by line in the log, because a long history takes a while.
    pub async fn verify(&self, feed: Feed) -> Result<Verified, PastError> {
        let mut report = Verified { feed: feed.to_string(), from: 0, to: 0, generations: 0, rows: 0, missing: Vec::new(), wrong: None };
        let Some(oldest) = generations::oldest(&self.pool, feed).await? else { return Ok(report) };
        report.from = oldest.1.0;
        let mut connection = self.pool.acquire().await?;
        match self.walk(&mut connection, feed, oldest, &mut report).await {
            Ok(()) => {}
            Err(PastError::Wrong(wrong)) => report.wrong = Some(format!("after generation {}: {wrong}", report.to)),
            Err(other) => return Err(other),
        }
        if let Some(wrong) = &report.wrong {
            tracing::error!(event = "history_damaged", %feed, wrong, "the kept history of a feed does not hold together");
        }
        Ok(report)
    }

    async fn walk(&self, connection: &mut PgConnection, feed: Feed, oldest: (Epoch, Generation), report: &mut Verified) -> Result<(), PastError> {
        let mut state = match generations::checkpoint(connection, feed, oldest).await? {
            Some(row) => State::restore(&opened(&self.open, &row)?, &row.payload)?,
            None => State::empty(feed),
        };
        report.to = state.view().generation().0;
        let newest = audit::newest(connection, feed).await?;
        state = forward(connection, &self.open, state, newest, |step| match step {
            Step::Delta(_, generation) => {
                (report.generations, report.to) = (report.generations + 1, generation.0);
                if report.generations.is_multiple_of(TOLD_EVERY) {
                    tracing::info!(event = "verify_progress", %feed, generation = report.to, "verified up to here");
                }
            }
            Step::Gap(missing) => report.missing.push(missing.to_string()),
        })
        .await?;
        (report.to, report.rows) = (state.view().generation().0, state.view().row_count());
        recompute(&state)
    }
}

/// The digest from every row, against the one that was carried along.
fn recompute(state: &State) -> Result<(), PastError> {
    let (mut sum, mut scratch) = (LtHash::empty(), Vec::new());
    let kind = state.view().feed().kind;
    for row in state.view().rows() {
        sum.add(kind, row.map_err(|damaged| PastError::Wrong(damaged.to_string()))?, &mut scratch);
    }
    let (found, carried) = (sum.fold(), state.digest());
    if found == carried { Ok(()) } else { Err(PastError::Wrong(format!("its rows have the digest {found}, but {carried} was carried along"))) }
}
