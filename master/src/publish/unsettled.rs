//! What was adopted from an agent, and the hostname database says otherwise of: until that is settled, nothing is published.
//!
//! A database that was put back lacks what was entered after the backup. Publishing on as if nothing were would take it away
//! from the agents unsaid, bring back boxes that were thrown out, and give out addresses that have an owner. So everything
//! waits, feed by feed, until what is missing was entered again and the rows are as adopted, or until somebody answers for
//! the database (a release, as of the guard's): then its rows go out under a new, higher number. Only the people's
//! generations, which the portal makes, are passed on meanwhile.

use super::compose::compose;
use super::latest::Latest;
use super::roster;
use crate::db::adoption::{self as db, Signs, UnsettledRow};
use crate::db::zones::{self, ZoneIndex};
use crate::db::{changes, holds, nodes};
use holdfast_proto::snapshot::Feed;
use sqlx::{Connection, PgConnection};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Of the trust feed: the subject under which a box stands among what is unsettled.
pub const BOX: &str = "box";

/// Something is unsettled.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    /// What the last verdict hung on.
    seen: Option<Signs>,
}

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing moved since the last look.
    AsBefore,
    /// Something moved, and something is unsettled still.
    Waits,
    /// All is settled.
    Settled,
}

impl Unsettled {
    /// As it is kept; `None` where nothing is unsettled.
    pub async fn read(connection: &mut PgConnection) -> anyhow::Result<Option<Self>> {
        let feeds = db::unsettled_feeds(connection).await?;
        if let Some(feed) = feeds.first() {
            tracing::warn!(event = "adoption_unsettled", %feed, "the database says otherwise than what was adopted: nothing is published until that is settled");
        }
        Ok((!feeds.is_empty()).then(Self::default))
    }

    /// Looks again where something moved: rows that were entered again, or somebody who answers for the database.
    pub async fn look(&mut self, connection: &mut PgConnection, latest: &Latest) -> anyhow::Result<Standing> {
        let signs = db::signs(connection).await?;
        if self.seen == Some(signs) {
            return Ok(Standing::AsBefore);
        }
        let mut tx = connection.begin().await?;
        let rows = db::unsettled(&mut tx).await?;
        let feeds: BTreeSet<Feed> = rows.iter().filter_map(UnsettledRow::feed).collect();
        let mut waits = false;
        for feed in feeds {
            let of_feed: Vec<&UnsettledRow> = rows.iter().filter(|row| row.feed() == Some(feed)).collect();
            let is_settled = release(&mut tx, feed, latest, &of_feed).await? || is_as_adopted(&mut tx, feed, latest, &of_feed).await?;
            if is_settled {
                db::settle(&mut tx, feed).await?;
                tracing::info!(event = "adoption_settled", %feed, "what the database says of a feed that was adopted is settled");
            }
            waits |= !is_settled;
        }
        if !waits {
            lift_holds(&mut tx, latest).await?;
        }
        tx.commit().await?;
        self.seen = waits.then_some(signs);
        Ok(if waits { Standing::Waits } else { Standing::Settled })
    }
}

/// Where somebody answers for the database, the publisher is to look at every key that differs. Gives whether somebody does.
async fn release(tx: &mut PgConnection, feed: Feed, latest: &Latest, rows: &[&UnsettledRow]) -> anyhow::Result<bool> {
    let holds = holds::all(tx).await?;
    let hold = holds.into_iter().find(|row| Feed::from_numbers(row.kind as u32, row.family as u32, row.cut as u32) == Some(feed));
    let Some((actor, reason)) = hold.and_then(|hold| hold.released_by.zip(hold.release_reason)) else { return Ok(false) };
    let keys: Vec<&UnsettledRow> = rows.iter().copied().filter(|row| row.subject != BOX).collect();
    if keys.is_empty() {
        // Boxes are in no outbox: the roster is looked at all the time.
        let view = latest.state(feed).view();
        holds::lift(tx, feed, view.epoch().0 as i32, view.generation()).await?;
    } else {
        changes::open(tx, Uuid::now_v7(), &actor, &reason, "adoption").await?;
        db::put_again(tx, &keys).await?;
    }
    Ok(true)
}

/// Whether every row that differed is now as it was adopted.
async fn is_as_adopted(tx: &mut PgConnection, feed: Feed, latest: &Latest, rows: &[&UnsettledRow]) -> anyhow::Result<bool> {
    let view = latest.state(feed).view();
    if feed == Feed::TRUST {
        let differs = roster::rows(view, &nodes::with_lines(&mut *tx, None).await?)?;
        return Ok(!differs.iter().any(|change| rows.iter().any(|row| row.key == hex::encode(&change.key))));
    }
    let keys: Vec<_> = rows.iter().map(|row| changes::OutboxKey { subject: row.subject.clone(), key: row.key.clone() }).collect();
    let zones = ZoneIndex::new(zones::all(tx).await?);
    let composed = compose(tx, &zones, &keys).await?;
    Ok(composed.iter().all(|row| row.feed != feed || view.get(row.change.table, &row.change.key) == Ok(row.change.value.as_deref())))
}

/// Ends the holds that nobody had to answer for; the others end with the generation that they let out.
async fn lift_holds(tx: &mut PgConnection, latest: &Latest) -> anyhow::Result<()> {
    for hold in holds::all(tx).await?.into_iter().filter(|hold| hold.released_by.is_none()) {
        let Some(feed) = Feed::from_numbers(hold.kind as u32, hold.family as u32, hold.cut as u32) else { continue };
        let view = latest.state(feed).view();
        holds::lift(tx, feed, view.epoch().0 as i32, view.generation()).await?;
    }
    Ok(())
}
