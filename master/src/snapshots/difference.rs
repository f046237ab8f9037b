//! What the hostname database says otherwise than snapshots that came from elsewhere: every row is composed anew and compared.

use super::audit::every_row;
use super::diff::row;
use super::{Line, PastError, Place, tell};
use crate::db::changes::OutboxKey;
use crate::db::zones::{self, ZoneIndex};
use crate::publish::Latest;
use crate::publish::compose::ComposedRow;
use holdfast_proto::snapshot::Feed;
use sqlx::PgConnection;
use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};

/// More lines than this are for a program, not for people.
const LINES_LIMIT: usize = 10_000;

/// What of one feed the database says otherwise.
#[derive(Debug, Default)]
pub struct Difference {
    /// How many rows differ.
    pub rows: u64,
    /// What would go and what would come if the database were published, in words; of very many the first.
    pub lines: Vec<Line>,
    /// The keys by which the rows that differ are composed.
    pub keys: Vec<OutboxKey>,
}

/// Compares these feeds of `states` with the hostname database. Wrapped data keys are not made from it and are left out, as is what agents
/// lend, of which a database that was put back knows nothing that counts.
pub async fn differences(db: &mut PgConnection, states: &Latest, feeds: &[Feed]) -> Result<BTreeMap<Feed, Difference>, PastError> {
    let zones = ZoneIndex::new(zones::all(db).await?);
    let mut found: BTreeMap<Feed, Difference> = feeds.iter().map(|feed| (*feed, Difference::default())).collect();
    let (mut seen, hasher) = (HashSet::new(), RandomState::new());
    let mut add = |rows: Vec<ComposedRow>| {
        for ComposedRow { feed, change, .. } in rows {
            let place = (change.table, change.key);
            if tell::is_agents(feed, place.0) {
                continue;
            }
            if let Some(difference) = found.get_mut(&feed).filter(|_| seen.insert(hasher.hash_one((feed, &place)))) {
                difference.compare(states, feed, &place, change.value.as_deref());
            }
        }
    };
    every_row(db, &zones, &mut add).await?;
    for (feed, difference) in &mut found {
        for table in tell::table_ids(*feed).filter(|table| !tell::is_wrapped_key(*table) && !tell::is_agents(*feed, *table)) {
            for (key, _) in states.state(*feed).view().iter(table).flatten() {
                let place = (table, key.to_vec());
                if !seen.contains(&hasher.hash_one((*feed, &place))) {
                    difference.compare(states, *feed, &place, None);
                }
            }
        }
    }
    Ok(found)
}

impl Difference {
    fn compare(&mut self, states: &Latest, feed: Feed, place: &Place, right: Option<&[u8]>) {
        let held = states.state(feed).view().get(place.0, &place.1).ok().flatten();
        if held == right {
            return;
        }
        self.rows += 1;
        self.keys.extend(tell::outbox_key(feed, place.0, &place.1));
        if self.lines.len() < LINES_LIMIT {
            row(feed, place, held, right, &mut self.lines);
        }
    }
}
