//! Generations for people: what was published, by whom it was changed, what differs between two, and whether the kept
//! history holds together. It reads and tells; to change anything is for `inventory`, to publish for `publish`.
//!
//! Any generation that is kept can be rebuilt: from the nearest checkpoint below it, and the deltas after that. Going back
//! from the newest by before-images would need no checkpoints, but also no signatures: here every step is verified as an
//! agent would. Nothing secret leaves this room: of an encrypted field it tells that it changed, and no more.

mod audit;
mod diff;
mod difference;
mod past;
mod rollback;
mod tell;
mod verify;

pub use crate::db::generations::ChangeSetRow as ChangeSet;
pub use audit::{Audit, FeedAudit, every_night};
pub use diff::{Diff, Line, Sign};
pub use difference::{Difference, differences};
pub use past::PastError;
pub use rollback::{Outcome, Undoing};
pub use verify::Verified;

use crate::db::generations::{self, ChangeSetRow, KeptRow};
use crate::db::{DbError, holds};
use crate::keys::Keys;
pub use crate::publish::Hold;
use crate::publish::{Latest, subjects};
use chrono::{DateTime, Utc};
use holdfast_proto::snapshot::{Feed, Manifest, OpenError, Opened, PayloadForm, Sealed, Table};
use holdfast_proto::words::{Epoch, Generation};
use serde::Serialize;
use sqlx::PgPool;
use std::sync::Arc;
use tokio::sync::watch;
use uuid::Uuid;

/// Opens what this master may once have published, under keys that may have changed since.
type Opener = Arc<dyn Fn(&Sealed) -> Result<Opened, OpenError> + Send + Sync>;

/// Reads generations.
#[derive(Clone)]
pub struct Snapshots {
    pool: PgPool,
    open: Opener,
    latest: watch::Receiver<Arc<Latest>>,
}

/// One feed as it is published now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct FeedSummary {
    /// Its name: `zone`.
    pub feed: String,
    /// The newest generation; none before the first.
    pub newest: Option<Kept>,
    /// Rows that it has.
    pub rows: u64,
    /// How far each agent is.
    pub agents: Vec<Lag>,
    /// Why nothing more is published of it for now.
    pub held: Option<Hold>,
}

/// How far one agent is with a feed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Lag {
    /// Its name.
    pub agent: String,
    /// The newest generation that it serves.
    pub applied: u64,
    /// The newest one that is on its disk.
    pub durable: u64,
    /// Whether there is a newer one that it does not serve yet.
    pub lags: bool,
}

/// What its manifest says of a generation that is kept.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = snapshots::Kept)]
pub struct Kept {
    /// Raised only by the offline root.
    pub epoch: u32,
    /// Its number.
    pub generation: u64,
    /// The generation it starts from; zero: nothing.
    pub parent: u64,
    /// `full` or `delta`.
    #[schema(value_type = String)]
    pub form: &'static str,
    /// Rows of the whole snapshot.
    pub rows: u64,
    /// The digest of the whole snapshot, hexadecimal.
    pub digest: String,
    /// Bytes of the delta.
    pub bytes: u64,
    /// When it was signed.
    pub signed_at: Option<DateTime<Utc>>,
    /// The id of the key that signed it, hexadecimal.
    pub key: String,
    /// Why its signature cannot be believed; nothing where it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrong: Option<String>,
}

/// One generation and what is in it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Shown {
    /// The feed's name.
    pub feed: String,
    /// Its manifest.
    #[serde(flatten)]
    pub kept: Kept,
    /// Who changed what, oldest first.
    pub change_sets: Vec<ChangeSetRow>,
    /// Of the newest generation: rows and bytes of each table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableCount>,
    /// Who let it out although it removes much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<holds::ReleaseRow>,
}

/// How much is in a table.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TableCount {
    /// As people call its rows: `names`.
    #[schema(value_type = String)]
    pub table: &'static str,
    /// Rows.
    pub rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

impl Snapshots {
    /// Over the database and what is published.
    pub fn new(pool: PgPool, keys: watch::Receiver<Arc<Keys>>, latest: watch::Receiver<Arc<Latest>>) -> Self {
        Self { pool, open: Arc::new(move |sealed| keys.borrow().open_history(sealed)), latest }
    }

    /// Of a master that has published nothing and trusts nobody: for tests of the doors.
    #[cfg(test)]
    pub fn of_nothing(pool: PgPool) -> Self {
        use holdfast_proto::snapshot::{Institution, SigningKey, TrustDraft};
        let (root, _) = SigningKey::generate().expect("randomness");
        let (name, roots) = ("test".to_owned(), vec![root.public()]);
        let draft =
            TrustDraft { version: 1, institution: Institution([0; 16]), name, epoch: Epoch(1), threshold: 1, roots, grants: vec![], authorities: vec![] };
        let trust = draft.sign(&[&root]).expect("the root signs");
        Self { pool, open: Arc::new(move |sealed| trust.open(sealed)), latest: watch::channel(Arc::new(Latest::empty())).1 }
    }

    fn latest(&self) -> Arc<Latest> {
        Arc::clone(&self.latest.borrow())
    }

    /// The newest generation of each feed that was published, by name, without asking the database.
    pub fn newest(&self) -> Vec<(String, u32, u64)> {
        let latest = self.latest();
        let positions = latest.feeds.iter().map(|(feed, published)| (feed.to_string(), published.position()));
        positions.filter(|(_, (_, generation))| generation.0 > 0).map(|(feed, (epoch, generation))| (feed, epoch.0, generation.0)).collect()
    }

    /// Every feed with its newest generation, and who has it.
    pub async fn feeds(&self) -> Result<Vec<FeedSummary>, DbError> {
        let (latest, lags) = (self.latest(), generations::lags(&self.pool).await?);
        let summary = |feed: Feed| {
            let state = latest.state(feed);
            let number = state.view().generation().0;
            let newest = state.sealed().map(|sealed| self.kept(sealed));
            let of_feed = |row: &&generations::LagRow| Feed::from_numbers(row.kind as u32, row.family as u32, row.cut as u32) == Some(feed);
            let lag = |row: &generations::LagRow| {
                let applied = row.applied as u64;
                Lag { agent: row.agent.clone(), applied, durable: row.durable.unwrap_or_default() as u64, lags: applied < number }
            };
            let agents = lags.iter().filter(of_feed).map(lag).collect();
            FeedSummary { feed: feed.to_string(), newest, rows: state.view().row_count(), agents, held: latest.held.get(&feed).map(|hold| (**hold).clone()) }
        };
        Ok(Feed::ALL.into_iter().map(summary).collect())
    }

    /// The kept generations of a feed below one, newest first, at most so many.
    pub async fn page(&self, feed: Feed, below: Option<(Epoch, Generation)>, limit: u32) -> Result<Vec<Kept>, PastError> {
        generations::page(&self.pool, feed, below, i64::from(limit)).await?.iter().map(|row| self.kept_row(row)).collect()
    }

    /// One generation of a feed, or the newest; `None` where it is not kept.
    pub async fn show(&self, feed: Feed, generation: Option<Generation>) -> Result<Option<Shown>, PastError> {
        let latest = self.latest();
        let newest = latest.state(feed).view();
        let number = generation.unwrap_or(newest.generation());
        let Some(row) = generations::find(&self.pool, feed, number).await? else { return Ok(None) };
        let change_sets = generations::change_sets_of(&self.pool, feed, number).await?;
        let tables = if number == newest.generation() { tell::counts(newest) } else { Vec::new() };
        let released = holds::release_of(&self.pool, feed, number).await?;
        Ok(Some(Shown { feed: feed.to_string(), kept: self.kept_row(&row)?, change_sets, tables, released }))
    }

    fn kept_row(&self, row: &KeptRow) -> Result<Kept, PastError> {
        let sealed = Sealed::from_bytes(&row.sealed).map_err(|wrong| PastError::Wrong(format!("generation {}: {wrong}", row.generation)))?;
        Ok(self.kept(&sealed))
    }

    fn kept(&self, sealed: &Sealed) -> Kept {
        match (self.open)(sealed) {
            Ok(opened) => Kept::of(opened.manifest(), None),
            Err(wrong) => Kept::unreadable(wrong.to_string()),
        }
    }

    /// The words for somebody who waits for this change set, where a hold keeps it from being published.
    pub async fn held(&self, change_set: Uuid) -> Result<Option<String>, DbError> {
        let latest = self.latest();
        if latest.held.is_empty() {
            return Ok(None);
        }
        let waiting = holds::waiting(&self.pool, change_set).await?;
        // Keys that the publisher has not looked at yet may be what puts things right.
        let keeps = |feed: Feed, hold: &Hold| waiting.iter().any(|(subject, newest)| subjects(feed).contains(&subject.as_str()) && *newest <= hold.seen);
        let hold = latest.held.iter().find(|(feed, hold)| keeps(**feed, hold));
        Ok(hold.map(|(feed, hold)| format!("held: {} Until that is released or put back, nothing more is published of {feed}.", hold.detail)))
    }

    /// Waits until a hold keeps this change set from being published; where none does, for ever.
    pub async fn until_held(&self, change_set: Uuid) -> String {
        let mut latest = self.latest.clone();
        loop {
            latest.borrow_and_update();
            // What cannot be asked now is asked when something moves again.
            if let Ok(Some(held)) = self.held(change_set).await {
                return held;
            }
            if latest.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Every hold there is.
    pub fn holds(&self) -> Vec<Hold> {
        self.latest().held.values().map(|hold| (**hold).clone()).collect()
    }

    /// Lets a held generation out that removes so many rows, with the name and reason of whoever answers for it. Otherwise it
    /// tells what is held instead, in a sentence.
    pub async fn release(&self, feed: Feed, removed: u32, actor: &str, reason: &str) -> Result<Result<(), String>, DbError> {
        if holds::release(&self.pool, feed, i64::from(removed), actor, reason).await? {
            tracing::warn!(event = "hold_released", %feed, removed, actor, reason, "a generation that removes much is let out");
            return Ok(Ok(()));
        }
        let held = holds::all(&mut *self.pool.acquire().await?).await?.into_iter().find(|hold| hold.feed() == Some(feed));
        Ok(Err(match held {
            Some(hold) => format!("{} That is {} rows by now, not {removed}: read it again before you answer for it", hold.detail, hold.removed),
            None => format!("nothing of {feed} is held"),
        }))
    }
}

impl Kept {
    fn of(manifest: &Manifest, wrong: Option<String>) -> Self {
        Self {
            epoch: manifest.epoch.0,
            generation: manifest.generation.0,
            parent: manifest.parent.0,
            form: if manifest.form == PayloadForm::Full { "full" } else { "delta" },
            rows: manifest.row_count,
            digest: manifest.digest.to_string(),
            bytes: manifest.payload_len,
            signed_at: DateTime::from_timestamp_millis(manifest.issued_at.0 as i64),
            key: hex::encode(manifest.key_id),
            wrong,
        }
    }

    fn unreadable(wrong: String) -> Self {
        let none = String::new;
        let wrong = Some(wrong);
        Self { epoch: 0, generation: 0, parent: 0, form: "", rows: 0, digest: none(), bytes: 0, signed_at: None, key: none(), wrong }
    }
}

/// The feed with this name.
pub fn feed_named(name: &str) -> Option<Feed> {
    Feed::ALL.into_iter().find(|feed| feed.to_string() == name)
}

/// A table of a feed.
type Place = (Table, Vec<u8>);
