use super::compose::{self, ComposedRow};
use super::guard::{Limits, subjects};
use super::history::{self, SinceBase};
use super::holds::Holds;
use super::latest::{Frame, Latest, is_large};
use super::round::{self, Cut, Released};
use crate::db::changes::OutboxKey;
use crate::db::zones::{self, ZoneIndex};
use crate::db::{holds, publish as db};
use crate::keys::Keys;
use anyhow::ensure;
use holdfast_proto::control;
use holdfast_proto::snapshot::{Change, Feed, HpkePublic, Opened, Sealed, State, WRAPPED_KEYS, wrapped_key_row};
use holdfast_proto::words::{DomainName, Generation, NodeId, Serial};
use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, PgPool, Postgres};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use uuid::Uuid;

/// The safety net under the wake-up: nothing waits longer than this because a wake-up was lost, or because another master wrote.
const TICK: Duration = Duration::from_millis(250);
/// Between attempts when the database is away.
const RETRY: Duration = Duration::from_millis(500);
/// Generations of the portal that may wait.
const RELAY_LIMIT: usize = 16;

/// A generation that the portal made, and where to say what became of it.
pub struct Relayed {
    frame: control::Frame,
    reply: oneshot::Sender<Result<(), String>>,
}

/// The portal's way in.
#[derive(Clone)]
pub struct RelayDoor(mpsc::Sender<Relayed>);

impl RelayDoor {
    /// Hands a generation over; comes back when it is stored and announced, or refused with a reason.
    pub async fn relay(&self, frame: control::Frame) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let gone = |_| "the publisher has stopped".to_owned();
        self.0.send(Relayed { frame, reply }).await.map_err(|_| gone(()))?;
        answer.await.map_err(|_| gone(()))?
    }
}

/// The one publisher of this master.
pub struct Publisher {
    pool: PgPool,
    keys: Arc<Keys>,
    wake: Arc<Notify>,
    latest: watch::Sender<Arc<Latest>>,
    relayed: mpsc::Receiver<Relayed>,
    since_base: BTreeMap<Feed, SinceBase>,
    limits: Limits,
    holds: Holds,
    /// All zones as of the last round; nothing where they have to be read.
    zones: Option<ZoneIndex>,
}

/// The connection that holds the lock, and the term it began.
struct Lead {
    connection: PoolConnection<Postgres>,
    term: i64,
}

impl Publisher {
    /// Reads back what was published. `wake` is rung after commits; `limits` are those of the guard.
    pub async fn open(pool: PgPool, keys: Arc<Keys>, wake: Arc<Notify>, limits: Limits) -> anyhow::Result<(Self, watch::Receiver<Arc<Latest>>, RelayDoor)> {
        let mut connection = pool.acquire().await?;
        let (latest, since_base) = history::restore(&mut connection, &keys.trust).await?;
        let holds = Holds::read(&mut connection).await?;
        drop(connection);
        let (latest, receiver) = watch::channel(Arc::new(latest.holding(holds.published())));
        let (door, relayed) = mpsc::channel(RELAY_LIMIT);
        Ok((Self { pool, keys, wake, latest, relayed, since_base, limits, holds, zones: None }, receiver, RelayDoor(door)))
    }

    /// Publishes for ever: leads when nobody else does, and begins again when the database went away.
    pub async fn run(mut self) {
        loop {
            if let Err(error) = self.lead().await {
                tracing::error!(event = "publisher_stopped", error = format!("{error:#}"), "nothing is published until the database is back");
                metrics::counter!("holdfast_publisher_failures_total").increment(1);
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn lead(&mut self) -> anyhow::Result<()> {
        let mut connection = self.pool.acquire().await?;
        // The lock belongs to the connection: whichever way this ends, the connection must not go back into the pool.
        connection.close_on_drop();
        if !db::try_lead(&mut connection).await? {
            return Ok(());
        }
        let term = db::begin_term(&mut connection).await?;
        // Another master may have published since this one looked.
        let (latest, since_base) = history::restore(&mut connection, &self.keys.trust).await?;
        self.since_base = since_base;
        self.holds = Holds::read(&mut connection).await?;
        self.zones = None;
        self.latest.send_replace(Arc::new(latest.holding(self.holds.published())));
        tracing::info!(event = "publisher_leads", term, "this master publishes");
        self.publish_on(&mut Lead { connection, term }).await
    }

    async fn publish_on(&mut self, lead: &mut Lead) -> anyhow::Result<()> {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                () = self.wake.notified() => self.rounds(lead, true).await?,
                Some(relayed) = self.relayed.recv() => self.relay(lead, relayed).await?,
                _ = tick.tick() => {
                    self.wrap_keys(lead).await?;
                    self.rounds(lead, false).await?;
                    let latest = Arc::clone(&self.latest.borrow());
                    history::keep_bases(&mut lead.connection, &latest, &mut self.since_base).await?;
                }
            }
        }
    }

    /// Rounds until the outbox is empty. Whoever was woken need not ask first whether there is anything.
    async fn rounds(&mut self, lead: &mut Lead, woken: bool) -> anyhow::Result<()> {
        let mut is_sure = woken;
        loop {
            let closed = self.holds.closed(&mut lead.connection).await?;
            if !is_sure && db::outbox_is_empty(&mut lead.connection, &closed).await? {
                return Ok(());
            }
            self.round(lead, &closed).await?;
            is_sure = false;
        }
    }

    /// One round: what is in the outbox becomes at most one generation of each feed.
    async fn round(&mut self, lead: &mut Lead, closed: &[String]) -> anyhow::Result<()> {
        let started = Instant::now();
        let zones = self.zones.take();
        let mut tx = lead.connection.begin_with("begin isolation level repeatable read").await?;
        let (term, outbox) = db::take_outbox(&mut tx, closed).await?;
        ensure!(term == lead.term, "another master has begun a term of its own");
        if outbox.is_empty() {
            tx.rollback().await?;
            self.zones = zones;
            return Ok(());
        }
        let keys: Vec<OutboxKey> = outbox.iter().map(|row| OutboxKey { subject: row.subject.clone(), key: row.key.clone() }).collect();
        let latest = Arc::clone(&self.latest.borrow());
        let mut zones = match zones.filter(|zones| !compose::touches_zones(zones, &keys)) {
            Some(zones) => zones,
            None => ZoneIndex::new(zones::all(&mut tx).await?),
        };
        let mut rows = compose::compose(&mut tx, &zones, &keys).await?;
        let serials = round::raise_serials(&mut rows, &zones, &latest);
        match round::cut(&self.keys, &latest, rows, self.limits, &self.holds.released())? {
            Cut::Held { feed, removed, detail } => {
                tx.rollback().await?;
                let of_feed = outbox.iter().filter(|row| subjects(feed).contains(&row.subject.as_str()));
                let seen = of_feed.map(|row| row.id).max().unwrap_or_default();
                self.holds.hold(&mut lead.connection, feed, removed, detail, seen).await?;
                self.announce(latest.holding(self.holds.published()));
            }
            Cut::Next { next, feeds } => {
                let lifted: Vec<Feed> = opened_feeds(closed).filter(|feed| self.holds.holds(*feed)).collect();
                store(&mut tx, &next, &feeds, &serials, change_sets(&outbox, &next), &lifted).await?;
                tx.commit().await?;
                lifted.into_iter().for_each(|feed| self.holds.lift(feed));
                serials.iter().for_each(|(_, apex, serial)| zones.set_serial(apex, *serial));
                self.zones = Some(zones);
                self.announce(next.holding(self.holds.published()));
                metrics::histogram!("holdfast_publish_round_seconds").record(started.elapsed().as_secs_f64());
            }
        }
        Ok(())
    }

    fn announce(&mut self, next: Latest) {
        let before = Arc::clone(&self.latest.borrow());
        for (feed, published) in &next.feeds {
            if let Some(frame) = published.newest().filter(|frame| frame.generation > before.state(*feed).view().generation()) {
                self.since_base.entry(*feed).or_default().add(frame.payload.len());
            }
            let generation = published.state.view().generation().0;
            metrics::gauge!("holdfast_generation_published", "feed" => feed.to_string()).set(generation as f64);
        }
        for feed in Feed::ALL {
            metrics::gauge!("holdfast_feed_held", "feed" => feed.to_string()).set(f64::from(u8::from(next.held.contains_key(&feed))));
        }
        self.latest.send_replace(Arc::new(next));
    }

    /// Gives the access feed's data key to every agent that is in, and takes it from those that are not.
    async fn wrap_keys(&mut self, lead: &mut Lead) -> anyhow::Result<()> {
        let nodes = db::nodes(&self.pool).await?;
        let agents: BTreeMap<[u8; 16], &db::NodeRow> =
            nodes.iter().filter(|node| node.role == "agent" && node.revoked_at.is_none()).map(|node| (*node.id.as_bytes(), node)).collect();
        let latest = Arc::clone(&self.latest.borrow());
        let view = latest.state(Feed::ACCESS).view();
        let held: BTreeSet<&[u8]> = view.iter(WRAPPED_KEYS).map(|(key, _)| key).collect();
        let row_key = |agent: &[u8; 16]| [&self.keys.access.id().0[..], agent].concat();
        let mut changes = Vec::new();
        for (agent, node) in &agents {
            if !held.contains(&*row_key(agent)) {
                match wrapped_key_row(&self.keys.access, NodeId(*agent), &HpkePublic(node.hpke_public.clone())) {
                    Ok(row) => changes.push(row),
                    Err(wrong) => {
                        tracing::error!(event = "agent_key_unusable", agent = node.name, %wrong, "the box cannot be given the data key: enrol it again")
                    }
                }
            }
        }
        let wanted: BTreeSet<Vec<u8>> = agents.keys().map(row_key).collect();
        changes.extend(held.into_iter().filter(|key| !wanted.contains(*key)).map(|key| Change::delete(WRAPPED_KEYS, key)));
        if changes.is_empty() {
            return Ok(());
        }
        let rows = changes.into_iter().map(|change| ComposedRow { feed: Feed::ACCESS, change, zone: None }).collect();
        let mut tx = lead.connection.begin().await?;
        ensure!(db::hold_term(&mut tx).await? == lead.term, "another master has begun a term of its own");
        // Wrapped keys are nothing that the guard counts.
        if let Cut::Next { next, feeds } = round::cut(&self.keys, &latest, rows, self.limits, &Released::new())? {
            store(&mut tx, &next, &feeds, &[], Vec::new(), &[]).await?;
            tx.commit().await?;
            self.announce(next);
        }
        Ok(())
    }

    /// Verifies, stores and announces a generation of the portal's. Only a failing database is this publisher's failure.
    async fn relay(&mut self, lead: &mut Lead, Relayed { frame, reply }: Relayed) -> anyhow::Result<()> {
        let latest = Arc::clone(&self.latest.borrow());
        let accepted = accept(&self.keys, &latest, &frame);
        let answer = match accepted {
            Err(why) => {
                tracing::warn!(event = "relay_refused", why, "a generation of the portal's was kept out");
                Err(why)
            }
            Ok((opened, state)) => {
                let manifest = opened.manifest();
                let mut tx = lead.connection.begin().await?;
                ensure!(db::hold_term(&mut tx).await? == lead.term, "another master has begun a term of its own");
                let (parent, epoch, generation, needs_canary) = (manifest.parent, manifest.epoch, manifest.generation, is_large(&frame.payload));
                let frame = Frame { parent, epoch, generation, sealed: frame.sealed, payload: frame.payload, needs_canary };
                db::put_round(&mut tx, &db::Round { generations: vec![frame.as_new(manifest.feed)], ..db::Round::default() }).await?;
                tx.commit().await?;
                self.announce(latest.with(frame, state));
                Ok(())
            }
        };
        // A portal that no longer waits asks again what is held.
        let _ = reply.send(answer);
        Ok(())
    }
}

fn accept(keys: &Keys, latest: &Latest, frame: &control::Frame) -> Result<(Opened, State), String> {
    let sealed = Sealed::from_bytes(&frame.sealed).map_err(|wrong| wrong.to_string())?;
    let opened = keys.trust.open(&sealed).map_err(|wrong| wrong.to_string())?;
    let feed = opened.manifest().feed;
    if feed != Feed::PEOPLE {
        return Err(format!("the portal makes {}, not {feed}", Feed::PEOPLE));
    }
    let state = latest.state(feed).advance(&opened, &frame.payload).map_err(|wrong| wrong.to_string())?;
    Ok((opened, state))
}

/// Stores what a round made, in its transaction.
async fn store(
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
    let pairs: BTreeSet<(Uuid, Feed)> = outbox.iter().filter_map(|row| Some((row.change_set, feed_of(&row.subject)?))).collect();
    pairs.into_iter().map(|(change_set, feed)| (change_set, feed, next.state(feed).view().generation())).collect()
}
