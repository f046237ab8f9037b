//! What the publisher knows of the feeds that it holds: durable in the database, looked at again only when something moved.

use super::guard::{Hold, subjects};
use super::round::Released;
use crate::db::{DbError, holds as db};
use holdfast_proto::snapshot::Feed;
use sqlx::PgConnection;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Before every key.
const NOTHING_SEEN: i64 = -1;

/// The feeds that are held.
#[derive(Debug, Default)]
pub(super) struct Holds(BTreeMap<Feed, Held>);

#[derive(Debug)]
struct Held {
    hold: Arc<Hold>,
    /// How many rows somebody answered for.
    answered: Option<u64>,
}

impl Holds {
    /// As they are kept; each is looked at once more.
    pub async fn read(connection: &mut PgConnection) -> Result<Self, DbError> {
        let mut holds = Self::default();
        for row in db::all(connection).await? {
            let Some(feed) = Feed::from_numbers(row.kind as u32, row.family as u32, row.cut as u32) else { continue };
            let released = row.released_by.is_some();
            let hold = Hold { feed: feed.to_string(), since: row.since, detail: row.detail, removed: row.removed as u64, released, seen: NOTHING_SEEN };
            holds.0.insert(feed, Held { answered: released.then_some(hold.removed), hold: Arc::new(hold) });
        }
        Ok(holds)
    }

    /// What everybody may know.
    pub fn published(&self) -> BTreeMap<Feed, Arc<Hold>> {
        self.0.iter().map(|(feed, held)| (*feed, Arc::clone(&held.hold))).collect()
    }

    /// No key that waits or will wait can lift these: they stand until what was adopted is settled.
    pub fn close_for_everything(&mut self) {
        for held in self.0.values_mut() {
            held.hold = Arc::new(Hold { seen: i64::MAX, ..Hold::clone(&held.hold) });
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn holds(&self, feed: Feed) -> bool {
        self.0.contains_key(&feed)
    }

    /// What somebody answered for.
    pub fn released(&self) -> Released {
        self.0.iter().filter_map(|(feed, held)| Some((*feed, held.answered?))).collect()
    }

    /// The subjects that a round leaves in the outbox: of held feeds where nothing moved since the verdict.
    pub async fn closed(&mut self, connection: &mut PgConnection) -> Result<Vec<String>, DbError> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let fresh = Self::read(connection).await?;
        let mut closed = Vec::new();
        for (feed, held) in &mut self.0 {
            held.answered = fresh.0.get(feed).and_then(|fresh| fresh.answered);
            let of_feed: Vec<String> = subjects(*feed).iter().map(|subject| (*subject).to_owned()).collect();
            if held.answered.is_none() && db::newest_waiting(connection, &of_feed).await? == held.hold.seen {
                closed.extend(of_feed);
            }
        }
        Ok(closed)
    }

    /// Holds a feed, or says anew what is held; in the database, too.
    /// `seen` is the newest key that the verdict knows of: one that comes after it is looked at once more.
    pub async fn hold(&mut self, connection: &mut PgConnection, feed: Feed, removed: u64, detail: String, seen: i64) -> Result<(), DbError> {
        db::put(connection, feed, &detail, removed as i64).await?;
        let since = self.0.get(&feed).map_or_else(chrono::Utc::now, |held| held.hold.since);
        if !self.holds(feed) {
            tracing::error!(event = "generation_held", %feed, removed, detail, "a generation removes so much that somebody has to answer for it");
        }
        let hold = Hold { feed: feed.to_string(), since, detail, removed, released: false, seen };
        self.0.insert(feed, Held { hold: Arc::new(hold), answered: None });
        Ok(())
    }

    /// A feed is published again.
    pub fn lift(&mut self, feed: Feed) {
        if self.0.remove(&feed).is_some() {
            tracing::info!(event = "hold_lifted", %feed, "the feed is published again");
        }
    }
}
