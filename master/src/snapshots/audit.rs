//! Composing everything anew and comparing it with what is published.
//!
//! The publisher only ever looks at what changed. Once a night every row is composed from the database in one transaction and
//! compared, row by row and by the digest of all; a difference is a fault of ours or of a disk, and an alarm. Reading holds up
//! neither writers nor the publisher: what they do meanwhile is left out of the comparison.

use super::{PastError, Place, Snapshots, tell};
use crate::db::changes::OutboxKey;
use crate::db::zones::{self, ZoneIndex};
use crate::db::{DbError, audit as db};
use crate::publish::Latest;
use crate::publish::compose::{ComposedRow, compose};
use holdfast_proto::snapshot::{Feed, LtHash, RowRef, Rows};
use holdfast_proto::words::{Epoch, Generation};
use serde::Serialize;
use sqlx::PgConnection;
use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Keys composed at a time.
const PAGE: i64 = 2000;
/// More differences than this are not listed, only counted.
const LISTED_LIMIT: usize = 100;
/// A generation that is committed is announced well within this.
const ANNOUNCE_LIMIT: Duration = Duration::from_secs(10);
/// The feeds that are made from the hostname database.
const FEEDS: [Feed; 3] = [Feed::ZONE, Feed::BOOTPTAB, Feed::ACCESS];

/// What came of an audit.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Audit {
    /// One for each feed that is made from the hostname database.
    pub feeds: Vec<FeedAudit>,
    /// The change set under which the right rows are published, where that was wished and needed.
    pub repair: Option<Uuid>,
}

/// One feed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct FeedAudit {
    /// Its name.
    pub feed: String,
    /// The generation that was compared.
    pub generation: u64,
    /// Rows composed anew.
    pub rows: u64,
    /// Rows that changed meanwhile and were left out.
    pub left_out: u64,
    /// Rows that differ.
    pub differences: u64,
    /// The first of them, in words.
    pub listed: Vec<String>,
    /// Whether the digest of all rows is the one that was carried along from generation to generation.
    pub digest_is_right: bool,
    #[serde(skip)]
    keys: Vec<OutboxKey>,
}

impl FeedAudit {
    fn is_fine(&self) -> bool {
        self.differences == 0 && self.digest_is_right
    }
}

/// The comparison of one feed, as it goes on.
struct Comparison {
    left_out: HashSet<Place>,
    /// Rows that were composed, by hash: names between names are composed more than once.
    seen: HashSet<u64>,
    hasher: RandomState,
    sum: LtHash,
    scratch: Vec<u8>,
    report: FeedAudit,
}

impl Snapshots {
    /// Composes everything anew and compares; with `repair` has what differs published as it should be.
    pub async fn audit(&self, actor: &str, repair: bool) -> Result<Audit, PastError> {
        let mut feeds = self.compare().await?;
        feeds.iter_mut().for_each(alarm);
        let keys: Vec<OutboxKey> = feeds.iter_mut().flat_map(|feed| std::mem::take(&mut feed.keys)).collect();
        let repair = match repair && !keys.is_empty() {
            true => Some(db::put_again(&self.pool, actor, "the audit of the snapshots found rows that differ", &keys).await?),
            false => None,
        };
        Ok(Audit { feeds, repair })
    }

    async fn compare(&self) -> Result<Vec<FeedAudit>, PastError> {
        let mut tx = self.pool.begin_with("begin isolation level repeatable read read only").await?;
        let zones = ZoneIndex::new(zones::all(&mut tx).await?);
        let mut seen_at = BTreeMap::new();
        for feed in FEEDS {
            seen_at.insert(feed, db::newest(&mut tx, feed).await?);
        }
        let latest = self.announced(&seen_at).await?;
        let waiting = db::waiting(&mut tx).await?;
        let mut comparisons = begin(&latest, &seen_at)?;
        for row in composed(&mut tx, &zones, &waiting).await? {
            if let Some(comparison) = comparisons.get_mut(&row.feed) {
                comparison.left_out.insert((row.change.table, row.change.key));
            }
        }
        let mut add = |rows: Vec<ComposedRow>| {
            for row in rows {
                if let Some(comparison) = comparisons.get_mut(&row.feed) {
                    comparison.add(&latest, row);
                }
            }
        };
        every_row(&mut tx, &zones, &mut add).await?;
        tx.rollback().await?;
        Ok(comparisons.into_iter().map(|(feed, comparison)| comparison.end(&latest, feed)).collect())
    }

    /// What is published, once it has everything that the transaction sees.
    async fn announced(&self, seen_at: &BTreeMap<Feed, (Epoch, Generation)>) -> Result<Arc<Latest>, PastError> {
        let mut latest = self.latest.clone();
        let has_all =
            |latest: &Arc<Latest>| seen_at.iter().all(|(feed, at)| (latest.state(*feed).view().epoch(), latest.state(*feed).view().generation()) >= *at);
        let late = || PastError::Missing("what is published lags behind the database: is another master the publisher? Audit there".to_owned());
        let found = tokio::time::timeout(ANNOUNCE_LIMIT, latest.wait_for(has_all)).await.map_err(|_| late())?.map_err(|_| late())?;
        Ok(Arc::clone(&found))
    }
}

/// Composes every row that the database makes, in pages; some come more than once.
pub(super) async fn every_row(tx: &mut PgConnection, zones: &ZoneIndex, add: &mut impl FnMut(Vec<ComposedRow>)) -> Result<(), PastError> {
    let others = db::others(tx).await?;
    add(composed(tx, zones, &others).await?);
    let mut after = String::new();
    while let names @ [.., last] = &db::names(tx, &after, PAGE).await?[..] {
        after = last.clone();
        let keys: Vec<OutboxKey> = names.iter().map(|name| OutboxKey { subject: "name".to_owned(), key: name.clone() }).collect();
        add(composed(tx, zones, &keys).await?);
    }
    let mut after = String::new();
    while let macs @ [.., last] = &db::machines(tx, &after, PAGE).await?[..] {
        after = last.clone();
        let keys: Vec<OutboxKey> = macs.iter().map(|mac| OutboxKey { subject: "machine".to_owned(), key: mac.clone() }).collect();
        add(composed(tx, zones, &keys).await?);
    }
    let mut after = None;
    while let addresses @ [.., (last, _)] = &db::addresses(tx, after, PAGE).await?[..] {
        after = Some(*last);
        let keys: Vec<OutboxKey> = addresses.iter().flat_map(|(_, keys)| keys.clone()).collect();
        add(composed(tx, zones, &keys).await?);
    }
    Ok(())
}

async fn composed(tx: &mut PgConnection, zones: &ZoneIndex, keys: &[OutboxKey]) -> Result<Vec<ComposedRow>, PastError> {
    compose(tx, zones, keys).await.map_err(|wrong| PastError::Wrong(wrong.to_string()))
}

/// A comparison for each feed, leaving out what was published since the transaction began.
fn begin(latest: &Latest, seen_at: &BTreeMap<Feed, (Epoch, Generation)>) -> Result<BTreeMap<Feed, Comparison>, PastError> {
    let mut comparisons = BTreeMap::new();
    for (feed, (epoch, generation)) in seen_at {
        let published = &latest.feeds[feed];
        let view = published.state.view();
        let (mut at, mut left_out) = ((*epoch, *generation), HashSet::new());
        while at < (view.epoch(), view.generation()) {
            let gone = || PastError::Missing("too much was published meanwhile: audit again when less is going on".to_owned());
            let frame = published.after(at.0, at.1).ok_or_else(gone)?;
            left_out.extend(Rows::new(&frame.payload).flatten().map(|row| (row.table, row.key.to_vec())));
            at = (frame.epoch, frame.generation);
        }
        comparisons.insert(*feed, Comparison::new(*feed, view.generation(), left_out));
    }
    Ok(comparisons)
}

impl Comparison {
    fn new(feed: Feed, generation: Generation, left_out: HashSet<Place>) -> Self {
        let (rows, differences, listed, keys) = (0, 0, vec![], vec![]);
        let report = FeedAudit { feed: feed.to_string(), generation: generation.0, rows, left_out: 0, differences, listed, digest_is_right: false, keys };
        Self { left_out, seen: HashSet::new(), hasher: RandomState::new(), sum: LtHash::empty(), scratch: Vec::new(), report }
    }

    fn add(&mut self, latest: &Latest, row: ComposedRow) {
        let (feed, change) = (row.feed, row.change);
        let place = (change.table, change.key);
        if self.left_out.contains(&place) || !self.seen.insert(self.hasher.hash_one(&place)) {
            return;
        }
        self.report.rows += u64::from(change.value.is_some());
        if let Some(value) = &change.value {
            self.sum.add(feed.kind, RowRef { table: place.0, key: &place.1, value: Some(value) }, &mut self.scratch);
        }
        match (change.value.as_deref(), latest.state(feed).view().get(place.0, &place.1).ok().flatten()) {
            (right, published) if right == published => {}
            (Some(_), None) => self.differs(feed, &place, "is not published"),
            (None, _) => self.differs(feed, &place, "is published and should not be"),
            (Some(_), Some(_)) => self.differs(feed, &place, "is published with other data"),
        }
    }

    fn differs(&mut self, feed: Feed, place: &Place, how: &str) {
        self.report.differences += 1;
        self.report.keys.extend(tell::outbox_key(feed, place.0, &place.1));
        if self.report.listed.len() < LISTED_LIMIT {
            self.report.listed.push(format!("{} {how}", tell::what(feed, place.0, &place.1)));
        }
    }

    /// What is published and was composed by nothing is too much; then the digest of all has to be the one carried along.
    fn end(mut self, latest: &Latest, feed: Feed) -> FeedAudit {
        let state = latest.state(feed);
        for table in tell::table_ids(feed) {
            for (key, value) in state.view().iter(table).flatten() {
                let place = (table, key.to_vec());
                let is_left_out = self.left_out.contains(&place);
                if is_left_out || tell::is_wrapped_key(table) {
                    self.report.left_out += u64::from(is_left_out);
                    self.sum.add(feed.kind, RowRef { table, key, value: Some(value) }, &mut self.scratch);
                } else if !self.seen.contains(&self.hasher.hash_one(&place)) {
                    self.differs(feed, &place, "is published and should not be");
                }
            }
        }
        self.report.digest_is_right = self.sum.fold() == state.digest();
        self.report
    }
}

fn alarm(report: &mut FeedAudit) {
    metrics::gauge!("holdfast_audit_differences", "feed" => report.feed.clone()).set(report.differences as f64);
    metrics::gauge!("holdfast_audit_ok", "feed" => report.feed.clone()).set(f64::from(u8::from(report.is_fine())));
    if report.is_fine() {
        tracing::info!(event = "audit_fine", feed = report.feed, rows = report.rows, "what is published is what the database holds");
        return;
    }
    let (feed, differences, listed) = (&report.feed, report.differences, &report.listed);
    tracing::error!(
        event = "audit_differs",
        feed,
        differences,
        ?listed,
        digest_is_right = report.digest_is_right,
        "what is published is not what the database holds"
    );
}

/// For so long it is told since when each box serves an edit; of older edits, since when it served the first that is kept.
const SERVED_KEEP_DAYS: i32 = 30;

/// Every night: the audit, and forgetting what is too old to be shown. Never ends.
pub async fn every_night(snapshots: Snapshots, hour: u8, keep_days: i32) {
    loop {
        tokio::time::sleep(until(hour, chrono::Utc::now())).await;
        if let Err(error) = snapshots.audit("audit", false).await {
            tracing::error!(event = "audit_failed", %error, "the nightly audit could not be made");
        }
        if let Err(error) = forget(&snapshots, keep_days).await {
            tracing::error!(event = "forgetting_failed", %error, "old generations could not be forgotten");
        }
    }
}

async fn forget(snapshots: &Snapshots, keep_days: i32) -> Result<(), DbError> {
    for feed in Feed::ALL {
        let forgotten = crate::db::generations::forget(&snapshots.pool, feed, keep_days).await?;
        if forgotten > 0 {
            tracing::info!(event = "generations_forgotten", %feed, forgotten, keep_days, "generations too old to be shown are gone");
        }
    }
    // A thousand boxes leave a thousand of these for each edit.
    crate::db::publish::forget_served(&snapshots.pool, SERVED_KEEP_DAYS).await?;
    Ok(())
}

/// How long it is until an hour of the day, UTC: always more than nothing.
fn until(hour: u8, now: chrono::DateTime<chrono::Utc>) -> Duration {
    const DAY_SECS: i64 = 86_400;
    let since_midnight = now.timestamp().rem_euclid(DAY_SECS);
    let left = (i64::from(hour % 24) * 3600 - since_midnight).rem_euclid(DAY_SECS);
    Duration::from_secs(if left == 0 { DAY_SECS } else { left } as u64)
}

#[cfg(test)]
mod tests {
    use super::until;

    #[test]
    fn the_next_night_is_always_ahead() {
        let at = |text: &str| text.parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        assert_eq!(until(3, at("2026-11-22T02:59:59Z")).as_secs(), 1);
        assert_eq!(until(3, at("2026-11-22T03:00:00Z")).as_secs(), 86_400);
        assert_eq!(until(0, at("2026-11-22T23:00:00Z")).as_secs(), 3_600);
    }
}
