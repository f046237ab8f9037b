//! Rounds: what is in the outbox becomes generations.

use super::{Lead, Publisher, TICK};
use crate::db::changes::{self, OutboxKey};
use crate::db::zones::{self, ZoneIndex};
use crate::db::{holds, is_collision, machines, nas, nodes, publish as db};
use crate::publish::access;
use crate::publish::compose::{self, ComposedRow};
use crate::publish::guard::subjects;
use crate::publish::latest::Latest;
use crate::publish::round::{self, Cut};
use anyhow::ensure;
use holdfast_proto::radius::MACHINE;
use holdfast_proto::snapshot::{DataKey, Feed};
use holdfast_proto::words::{DomainName, Generation, Mac, Serial};
use sqlx::{Connection, PgConnection};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

/// So often in a row a round is made again at once because a writer stood in its way; then at the next tick.
const COLLISIONS_LIMIT: usize = 4;

impl Publisher {
    /// Rounds until the outbox is empty, unless something stands against publishing. Whoever was woken need not ask first
    /// whether there is anything. A round that is held closes its feed, so that the next one can do everything else: edits of
    /// other feeds, and the change of a data key.
    pub(super) async fn rounds(&mut self, lead: &mut Lead, woken: bool) -> anyhow::Result<()> {
        let (mut is_sure, mut rotation, mut collisions) = (woken, false, 0);
        let begun = Instant::now();
        self.heed_greetings(lead).await?;
        while self.halt.borrow().is_none() && !self.is_unsettled(lead).await? {
            let closed = self.holds.closed(&mut lead.connection).await?;
            if !is_sure {
                let due = db::due(&mut lead.connection, &closed).await?;
                if !due.edits && !due.rotation {
                    return Ok(());
                }
                rotation = due.rotation;
            }
            rotation = match self.round(lead, &closed, rotation).await {
                // A writer stood in the way, and the database gave the round up, not the writer: nothing is lost but the round.
                Err(error) if is_collision(&*error) => {
                    metrics::counter!("holdfast_publisher_collisions_total").increment(1);
                    collisions += 1;
                    if collisions == COLLISIONS_LIMIT {
                        tracing::warn!(
                            event = "publisher_collides",
                            error = format!("{error:#}"),
                            "a writer stands in the publisher's way again and again: tried once more at the next tick"
                        );
                        return Ok(());
                    }
                    false
                }
                made => made?,
            };
            is_sure = rotation;
            if begun.elapsed() > TICK {
                // Writers without a pause: everything else has its turn, and then they go on.
                self.wake.notify_one();
                return Ok(());
            }
            self.heed_greetings(lead).await?;
        }
        Ok(())
    }

    /// One round: what is in the outbox becomes at most one generation of each feed. When a box was thrown out, the data key
    /// that it held is changed in the same transaction: secrets, wrapped keys and the word that it is done. Gives whether the
    /// round has to be made again, with such a change.
    async fn round(&mut self, lead: &mut Lead, closed: &[String], rotation: bool) -> anyhow::Result<bool> {
        let mut stages = Stages::begin();
        let zones = self.zones.take();
        let mut tx = lead.connection.begin_with("begin isolation level repeatable read").await?;
        let fresh = if rotation { self.change_key(&mut tx).await? } else { None };
        let latest = Arc::clone(&self.latest.borrow());
        let published = latest.state(Feed::ACCESS).view();
        let asked_of_machines = match self.asks_of_machines {
            Some(asks) => asks,
            None => access::asks_of_machines(published, &[])?,
        };
        self.asks_of_machines = Some(asked_of_machines);
        // Every edit of a host names machines. Where nothing is said of any, no edit waits for a feed that is held.
        let says_nothing = || !asked_of_machines && published.iter(MACHINE).next().is_none();
        let waiting: Vec<String> = match closed.is_empty() || !says_nothing() {
            true => closed.to_vec(),
            false => closed.iter().filter(|subject| *subject != "machine").cloned().collect(),
        };
        let db::Taken { term, rotation, outbox } = db::take_outbox(&mut tx, &waiting).await?;
        ensure!(term == lead.term, "another master has begun a term of its own");
        stages.done("take");
        let must_change_key = rotation && fresh.is_none();
        if must_change_key || (outbox.is_empty() && fresh.is_none()) {
            tx.rollback().await?;
            self.zones = zones;
            return Ok(must_change_key);
        }
        if fresh.is_none() && outbox.iter().any(|row| row.subject == "nas") {
            // A writer that was at it when the key was changed. Whoever is at it now leaves keys of its own.
            let (key, idle) = (self.access.current(), nas::lock_idle_secrets(&mut tx).await?);
            self.access.encrypt_anew(&mut tx, idle, &key, "written with a data key that was changed meanwhile").await?;
        }
        let touches_nas = outbox.iter().any(|row| row.subject == "nas");
        // Where no NAS asks of machines, nothing is said of those that nothing was said of, and every edit of a host names some.
        let is_published = |key: &str| key.parse::<Mac>().is_ok_and(|mac| published.get(MACHINE, &mac.0) != Ok(None));
        let counts = |row: &&db::OutboxRow| row.subject != "machine" || touches_nas || asked_of_machines || is_published(&row.key);
        let keys: Vec<OutboxKey> = outbox.iter().filter(counts).map(|row| OutboxKey { subject: row.subject.clone(), key: row.key.clone() }).collect();
        let mut zones = match zones.filter(|zones| !compose::touches_zones(zones, &keys)) {
            Some(zones) => zones,
            None => ZoneIndex::new(zones::all(&mut tx).await?),
        };
        let mut rows = compose::compose(&mut tx, &zones, &keys).await?;
        let asks_of_machines = if touches_nas { access::asks_of_machines(published, &rows)? } else { asked_of_machines };
        if asks_of_machines != asked_of_machines {
            // From this moment on, or no longer: those that this transaction does not see yet leave keys of their own.
            let set = outbox.iter().find(|row| row.subject == "nas").map(|row| row.change_set);
            machines::note_all(&mut tx, set.as_slice()).await?;
        }
        stages.done("compose");
        let serials = round::raise_serials(&mut rows, &zones, &latest)?;
        if let Some(fresh) = &fresh {
            let nodes = db::nodes(&mut *tx).await?;
            let wrapped = self.access.wrapped_rows(latest.state(Feed::ACCESS).view(), &rows, &nodes, fresh)?;
            rows.extend(wrapped.into_iter().map(|change| ComposedRow { feed: Feed::ACCESS, change, zone: None }));
        }
        let cut = round::cut(&self.held(), &latest, rows, &zones.copies(), self.limits, &self.holds.released())?;
        stages.done("cut");
        match cut {
            Cut::Held { feed, removed, detail } => {
                // The keys that a change of the data key left in this transaction go with it: to wait for one of them would be to
                // look again for ever.
                let own = changes::current(&mut tx).await?;
                tx.rollback().await?;
                let of_feed = outbox.iter().filter(|row| Some(row.change_set) != own && subjects(feed).contains(&row.subject.as_str()));
                let seen = of_feed.map(|row| row.id).max().unwrap_or_default();
                self.holds.hold(&mut lead.connection, feed, removed, detail, seen).await?;
                self.announce(latest.holding(self.holds.published()));
            }
            Cut::Next { next, feeds } => {
                let lifted: Vec<Feed> = opened_feeds(closed).filter(|feed| self.holds.holds(*feed)).collect();
                store(&mut tx, &next, &feeds, &serials, change_sets(&outbox, &next), &lifted).await?;
                if fresh.is_some() {
                    nodes::settle_rotations(&mut tx, next.state(Feed::ACCESS).view().generation()).await?;
                }
                stages.done("store");
                tx.commit().await?;
                self.asks_of_machines = Some(asks_of_machines);
                stages.done("commit");
                self.sweeper.taken(outbox.len());
                lifted.into_iter().for_each(|feed| self.holds.lift(feed));
                serials.iter().for_each(|(_, apex, serial)| zones.set_serial(apex, *serial));
                self.zones = Some(zones);
                self.announce(next.holding(self.holds.published()));
                if let Some(fresh) = fresh {
                    self.access.use_key(fresh);
                }
                stages.done("announce");
                stages.end();
            }
        }
        Ok(false)
    }

    /// Makes a new data key and encrypts every NAS secret under it, because a box that held the old one was thrown out.
    async fn change_key(&mut self, tx: &mut PgConnection) -> anyhow::Result<Option<DataKey>> {
        let thrown_out = nodes::rotations_due(tx).await?;
        if thrown_out.is_empty() {
            return Ok(None);
        }
        let fresh = self.access.make()?;
        let reason = format!("{} was thrown out: its data key is changed", thrown_out.join(", "));
        let secrets = nas::lock_secrets(tx).await?;
        let count = self.access.encrypt_anew(tx, secrets, &fresh, &reason).await?;
        nodes::set_access_key(tx, fresh.id()).await?;
        tracing::info!(event = "data_key_rotated", secrets = count, why = reason, "the access feed's data key was changed");
        Ok(Some(fresh))
    }
}

/// Where the time of a round goes.
struct Stages {
    begun: Instant,
    last: Instant,
}

impl Stages {
    fn begin() -> Self {
        let begun = Instant::now();
        Self { begun, last: begun }
    }

    fn done(&mut self, stage: &'static str) {
        let now = Instant::now();
        metrics::histogram!("holdfast_publish_stage_seconds", "stage" => stage).record((now - self.last).as_secs_f64());
        self.last = now;
    }

    fn end(self) {
        metrics::histogram!("holdfast_publish_round_seconds").record(self.begun.elapsed().as_secs_f64());
    }
}

/// Stores what a round made, in its transaction.
pub(super) async fn store(
    tx: &mut PgConnection,
    next: &Latest,
    feeds: &[Feed],
    serials: &[(i64, DomainName, Serial)],
    change_sets: Vec<(Uuid, Feed, Generation)>,
    lifted: &[Feed],
) -> anyhow::Result<()> {
    let newest = |feed: &Feed| next.feeds[feed].newest().map(|frame| frame.as_new(*feed));
    let serials = serials.iter().map(|(id, _, serial)| (*id, i64::from(serial.0))).collect();
    db::put_round(tx, &db::Round { serials, generations: feeds.iter().filter_map(newest).collect(), change_sets }).await?;
    for feed in lifted {
        let view = next.state(*feed).view();
        holds::lift(tx, *feed, view.epoch().0 as i32, view.generation()).await?;
    }
    Ok(())
}

/// The feeds whose keys a round takes.
fn opened_feeds(closed: &[String]) -> impl Iterator<Item = Feed> {
    Feed::ALL.into_iter().filter(|feed| !subjects(*feed).iter().any(|subject| closed.iter().any(|closed| closed == subject)))
}

/// With which generation of which feed each change set is out.
fn change_sets(outbox: &[db::OutboxRow], next: &Latest) -> Vec<(Uuid, Feed, Generation)> {
    let feed_of = |subject: &str| Feed::ALL.into_iter().find(|feed| subjects(*feed).contains(&subject));
    // Nobody waits for names that agents gave, and they come by the second.
    let pairs: BTreeSet<(Uuid, Feed)> =
        outbox.iter().filter(|row| row.subject != "lent").filter_map(|row| Some((row.change_set, feed_of(&row.subject)?))).collect();
    pairs.into_iter().map(|(change_set, feed)| (change_set, feed, next.state(feed).view().generation())).collect()
}
