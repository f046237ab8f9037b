//! What a rollback has to undo, and whether it led where it should.
//!
//! A rollback is a new, higher generation with the old rows: the change sets after the old one are undone by `inventory`, as
//! one change set of its own, or the next publish would undo the rollback.

use super::{Line, PastError, Snapshots};
use crate::db::generations::{self, ChangeSetRow};
use crate::publish::subjects;
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::Generation;
use serde::Serialize;
use uuid::Uuid;

/// What stands between now and an earlier generation.
#[derive(Debug)]
pub struct Undoing {
    /// The change sets to undo, oldest first.
    pub change_sets: Vec<Uuid>,
    /// The newest generation of the feed.
    pub newest: Generation,
}

/// Where a rollback led.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = snapshots::Outcome)]
pub struct Outcome {
    /// The generation whose rows were wanted.
    pub to: u64,
    /// The generation that has them now.
    pub generation: u64,
    /// Rows that differ all the same, apart from serials and wrapped keys; empty where it led where it should.
    pub differs: Vec<Line>,
}

impl Snapshots {
    /// The change sets that came after a generation of a feed, those included that still wait to be published.
    pub async fn undoing(&self, feed: Feed, to: Generation) -> Result<Undoing, PastError> {
        let newest = self.latest().state(feed).view().generation();
        if to > newest {
            return Err(PastError::Missing(format!("the newest generation of {feed} is {newest}: {to} is still to come")));
        }
        self.position(feed, to).await?;
        let waiting: Vec<String> = subjects(feed).iter().map(|subject| (*subject).to_owned()).collect();
        Ok(Undoing { change_sets: generations::change_sets_after(&self.pool, feed, to, &waiting).await?, newest })
    }

    /// Who made these change sets, and why.
    pub async fn change_sets(&self, ids: &[Uuid]) -> Result<Vec<ChangeSetRow>, PastError> {
        Ok(generations::change_sets(&self.pool, ids).await?)
    }

    /// Compares the newest generation with the one that was wanted.
    pub async fn outcome(&self, feed: Feed, to: Generation) -> Result<Outcome, PastError> {
        let newest = self.latest().state(feed).view().generation();
        Ok(Outcome { to: to.0, generation: newest.0, differs: self.remaining(feed, to, newest).await? })
    }
}
