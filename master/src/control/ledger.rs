//! Writes down what agents acknowledge. A thousand of them answer to one edit within milliseconds: what comes while a statement
//! is under way is the next statement, and no line waits for the database.

use super::follow::Connected;
use crate::db::publish::{SaidRow, put_served};
use chrono::Utc;
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::{Generation, NodeId};
use sqlx::PgPool;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Before a database that failed is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// Words in one statement.
const TOGETHER: usize = 2000;

type Said = BTreeMap<(NodeId, Feed, Generation), SaidRow>;

/// What was said and is not written down yet. Cheap to clone; every clone is the same.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    said: Arc<Mutex<Said>>,
    woken: Arc<Notify>,
}

impl Ledger {
    /// Takes an agent's word; never waits.
    pub fn note(&self, node: NodeId, feed: Feed, applied: Generation, durable: Generation) {
        let row = SaidRow { node, feed, applied, durable, at: Utc::now() };
        self.lock().entry((node, feed, applied)).and_modify(|said| said.durable = said.durable.max(durable)).or_insert(row);
        self.woken.notify_one();
    }

    /// Writes for ever, and tells `connected` each time.
    pub async fn write(self, pool: PgPool, connected: Connected) -> Infallible {
        loop {
            self.woken.notified().await;
            while let Some(rows) = self.take() {
                if let Err(error) = put_served(&pool, &rows).await {
                    tracing::error!(event = "database_failed", %error, "what agents serve could not be written down, and is tried again");
                    self.give_back(rows);
                    tokio::time::sleep(RETRY).await;
                }
                connected.acknowledged();
            }
        }
    }

    fn take(&self) -> Option<Vec<SaidRow>> {
        let mut said = self.lock();
        let rest = said.keys().nth(TOGETHER).copied().map(|key| said.split_off(&key)).unwrap_or_default();
        let rows: Vec<SaidRow> = std::mem::replace(&mut *said, rest).into_values().collect();
        (!rows.is_empty()).then_some(rows)
    }

    /// What was said again meanwhile is the newer word. Of each feed of an agent, only the newest is kept while the database
    /// is away, so that this stays small however long it is.
    fn give_back(&self, rows: Vec<SaidRow>) {
        let mut said = self.lock();
        for row in rows {
            said.entry((row.node, row.feed, row.applied)).or_insert(row);
        }
        let newest: BTreeMap<(NodeId, Feed), Generation> = said.keys().map(|(node, feed, generation)| ((*node, *feed), *generation)).collect();
        said.retain(|(node, feed, generation), _| newest[&(*node, *feed)] == *generation);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_together_and_a_failed_database_costs_the_newest_of_none() {
        let ledger = Ledger::default();
        let note = |node: u8, generation| ledger.note(NodeId([node; 16]), Feed::ZONE, Generation(generation), Generation(generation - 1));
        (1..=9).for_each(|generation| note(1, generation));
        note(2, 4);
        ledger.note(NodeId([2; 16]), Feed::ZONE, Generation(4), Generation(4));
        let rows = ledger.take().unwrap();
        assert_eq!((rows.len(), rows[9].durable, ledger.take()), (10, Generation(4), None));
        note(1, 10);
        ledger.give_back(rows);
        let left: Vec<_> = ledger.take().unwrap().iter().map(|row| (row.node.0[0], row.applied.0)).collect();
        assert_eq!(left, [(1, 10), (2, 4)]);
    }
}
