use super::access::{self, AccessKeys};
use super::compose::{self, ComposedRow};
use super::guard::{Limits, subjects};
use super::halt::{self, Halt};
use super::history::{self, SinceBase};
use super::holds::Holds;
use super::latest::{Frame, Latest, is_large};
use super::roster;
use super::round::{self, Cut, Released};
use super::unsettled::{Standing, Unsettled};
use crate::db::changes::OutboxKey;
use crate::db::zones::{self, ZoneIndex};
use crate::db::{holds, nodes, publish as db};
use crate::keys::Keys;
use anyhow::ensure;
use holdfast_proto::control;
use holdfast_proto::snapshot::{DataKey, Feed, Opened, Sealed, State};
use holdfast_proto::words::{DomainName, Generation, Serial};
use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, PgPool, Postgres};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
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
/// How long a master that starts waits to hear from an agent what it holds, before it publishes anything: a database that was
/// put back must not give numbers out a second time. Where agents are in reach, the first of them ends the wait.
const FIRST_WORD_LIMIT: Duration = Duration::from_secs(10);

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
    keys: watch::Receiver<Arc<Keys>>,
    access: AccessKeys,
    wake: Arc<Notify>,
    /// Counts the agents that said what they hold.
    heard: watch::Receiver<u64>,
    latest: watch::Sender<Arc<Latest>>,
    halt: watch::Sender<Option<Halt>>,
    relayed: mpsc::Receiver<Relayed>,
    since_base: BTreeMap<Feed, SinceBase>,
    limits: Limits,
    holds: Holds,
    /// What was adopted from an agent waits to be settled.
    unsettled: Option<Unsettled>,
    /// All zones as of the last round; nothing where they have to be read.
    zones: Option<ZoneIndex>,
}

/// What the other rooms get of a publisher.
pub struct Publications {
    /// Everything that is published, as it changes.
    pub latest: watch::Receiver<Arc<Latest>>,
    /// The portal's way in.
    pub door: RelayDoor,
    /// The data key that NAS secrets are to be encrypted with, as it changes.
    pub access_key: watch::Receiver<Arc<DataKey>>,
    /// Why nothing is published; `None` while all is well.
    pub halt: watch::Receiver<Option<Halt>>,
}

/// The connection that holds the lock, and the term it began.
struct Lead {
    connection: PoolConnection<Postgres>,
    term: i64,
}

impl Publisher {
    /// Reads back what was published. `wake` is rung after commits; `heard` counts the agents that said what they hold; `limits`
    /// are those of the guard.
    pub async fn open(
        pool: PgPool,
        state_dir: &Path,
        keys: watch::Receiver<Arc<Keys>>,
        wake: Arc<Notify>,
        heard: watch::Receiver<u64>,
        limits: Limits,
    ) -> anyhow::Result<(Self, Publications)> {
        let held = Arc::clone(&keys.borrow());
        let mut connection = pool.acquire().await?;
        let (latest, since_base) = history::restore(&mut connection, &held).await?;
        let holds = Holds::read(&mut connection).await?;
        let mut access = AccessKeys::new(state_dir, held.access_keys())?;
        access.learn(&mut connection).await?;
        drop(connection);
        let (latest, latest_seen) = watch::channel(Arc::new(latest.holding(holds.published())));
        let (halt, halt_seen) = watch::channel(None);
        let (door, relayed) = mpsc::channel(RELAY_LIMIT);
        let published = Publications { latest: latest_seen, door: RelayDoor(door), access_key: access.watch(), halt: halt_seen };
        Ok((Self { pool, keys, access, wake, heard, latest, halt, relayed, since_base, limits, holds, unsettled: None, zones: None }, published))
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
            return self.follow_leader(&mut connection).await;
        }
        let term = db::begin_term(&mut connection).await?;
        // Another master may have published since this one looked.
        let (latest, since_base) = history::restore(&mut connection, &self.held()).await?;
        self.since_base = since_base;
        self.unsettled = Unsettled::read(&mut connection).await?;
        self.holds = Holds::read(&mut connection).await?;
        if self.unsettled.is_some() {
            self.holds.close_for_everything();
        }
        self.zones = None;
        self.latest.send_replace(Arc::new(latest.holding(self.holds.published())));
        self.access.learn(&mut connection).await?;
        self.hear_first_word(&mut connection).await?;
        let mut lead = Lead { connection, term };
        self.look_for_halt(&mut lead).await?;
        tracing::info!(event = "publisher_leads", term, "this master publishes");
        self.publish_on(&mut lead).await
    }

    /// Another master publishes: the boxes that have a line to this one are to have it as well.
    async fn follow_leader(&mut self, connection: &mut PgConnection) -> anyhow::Result<()> {
        let latest = Arc::clone(&self.latest.borrow());
        if let Some(next) = history::catch_up(connection, &self.held(), &latest).await? {
            self.announce(next);
        }
        Ok(())
    }

    fn held(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.borrow())
    }

    /// Waits until some agent said what it holds: where there are none, or none is in reach, not for long.
    async fn hear_first_word(&mut self, connection: &mut PgConnection) -> anyhow::Result<()> {
        let latest = Arc::clone(&self.latest.borrow());
        let nothing_yet = latest.feeds.values().all(|published| published.state.sealed().is_none());
        if nothing_yet || !db::has_agents(connection).await? {
            return Ok(());
        }
        let _ = tokio::time::timeout(FIRST_WORD_LIMIT, self.heard.wait_for(|count| *count > 0)).await;
        Ok(())
    }

    async fn publish_on(&mut self, lead: &mut Lead) -> anyhow::Result<()> {
        let mut tick = tokio::time::interval(TICK);
        let (mut heard, mut keys) = (self.heard.clone(), self.keys.clone());
        loop {
            tokio::select! {
                biased;
                // What an agent holds, before anything is numbered.
                Ok(()) = heard.changed() => self.tend(lead).await?,
                Ok(()) = keys.changed() => self.tend(lead).await?,
                () = self.wake.notified() => self.rounds(lead, true).await?,
                Some(relayed) = self.relayed.recv() => self.relay(lead, relayed).await?,
                _ = tick.tick() => {
                    self.tend(lead).await?;
                    self.rounds(lead, false).await?;
                    let latest = Arc::clone(&self.latest.borrow());
                    history::keep_bases(&mut lead.connection, &latest, &mut self.since_base).await?;
                    self.access.forget_old(&mut lead.connection).await?;
                }
            }
        }
    }

    /// What is due beside edits, unless something stands against publishing. An edit does not wait for this.
    async fn tend(&mut self, lead: &mut Lead) -> anyhow::Result<()> {
        if self.look_for_halt(lead).await? || self.is_unsettled(lead).await? {
            return Ok(());
        }
        self.renew(lead).await?;
        self.tend_boxes(lead).await
    }

    async fn look_for_halt(&mut self, lead: &mut Lead) -> anyhow::Result<bool> {
        let latest = Arc::clone(&self.latest.borrow());
        let halt = halt::read(&mut lead.connection, &self.held(), &latest).await?;
        metrics::gauge!("holdfast_publisher_halted").set(if halt.is_some() { 1.0 } else { 0.0 });
        self.halt.send_if_modified(|before| {
            let is_new = *before != halt;
            if let Some(halt) = halt.as_ref().filter(|_| is_new) {
                tracing::error!(event = "publisher_halted", why = %halt, "nothing is published");
            }
            before.clone_from(&halt);
            is_new
        });
        Ok(halt.is_some())
    }

    /// Whether something that was adopted waits to be settled; looks again where something moved.
    async fn is_unsettled(&mut self, lead: &mut Lead) -> anyhow::Result<bool> {
        let Some(unsettled) = &mut self.unsettled else { return Ok(false) };
        let latest = Arc::clone(&self.latest.borrow());
        let standing = unsettled.look(&mut lead.connection, &latest).await?;
        if standing == Standing::AsBefore {
            return Ok(true);
        }
        self.holds = Holds::read(&mut lead.connection).await?;
        match standing {
            Standing::Settled => self.unsettled = None,
            _ => self.holds.close_for_everything(),
        }
        self.announce(latest.holding(self.holds.published()));
        Ok(self.unsettled.is_some())
    }

    /// What an older key or an ended epoch vouches for is signed anew: the rows stay, the number rises. The people's feed is
    /// the portal's to renew.
    async fn renew(&mut self, lead: &mut Lead) -> anyhow::Result<()> {
        let (latest, keys) = (Arc::clone(&self.latest.borrow()), self.held());
        let is_old = |state: &State| state.sealed().is_some_and(|sealed| !keys.is_current(sealed));
        let old: Vec<Feed> = Feed::ALL.into_iter().filter(|feed| *feed != Feed::PEOPLE && is_old(latest.state(*feed))).collect();
        if old.is_empty() {
            return Ok(());
        }
        let mut next = Latest::clone(&latest);
        for feed in &old {
            let (frame, state) = round::seal(&keys, latest.state(*feed).renew()?)?;
            tracing::info!(event = "generation_renewed", %feed, epoch = %frame.epoch, generation = frame.generation.0, "signed anew under the newest trust");
            next = next.with(frame, state);
        }
        self.publish(lead, next, &old).await
    }

    /// Stores and announces generations that no edit stands behind.
    async fn publish(&mut self, lead: &mut Lead, next: Latest, feeds: &[Feed]) -> anyhow::Result<()> {
        let mut tx = lead.connection.begin().await?;
        ensure!(db::hold_term(&mut tx).await? == lead.term, "another master has begun a term of its own");
        store(&mut tx, &next, feeds, &[], Vec::new(), &[]).await?;
        tx.commit().await?;
        self.announce(next);
        Ok(())
    }

    /// Rounds until the outbox is empty, unless something stands against publishing. Whoever was woken need not ask first
    /// whether there is anything.
    async fn rounds(&mut self, lead: &mut Lead, woken: bool) -> anyhow::Result<()> {
        let (mut is_sure, mut rotation) = (woken, false);
        while self.halt.borrow().is_none() && !self.is_unsettled(lead).await? {
            let closed = self.holds.closed(&mut lead.connection).await?;
            if !is_sure {
                let due = db::due(&mut lead.connection, &closed).await?;
                if !due.edits && !due.rotation {
                    return Ok(());
                }
                rotation = due.rotation;
            }
            rotation = self.round(lead, &closed, rotation).await?;
            is_sure = rotation;
        }
        Ok(())
    }

    /// One round: what is in the outbox becomes at most one generation of each feed. When a box was thrown out, the data key
    /// that it held is changed in the same transaction: secrets, wrapped keys and the word that it is done. Gives whether the
    /// round has to be made again, with such a change.
    async fn round(&mut self, lead: &mut Lead, closed: &[String], rotation: bool) -> anyhow::Result<bool> {
        let started = Instant::now();
        let zones = self.zones.take();
        let mut tx = lead.connection.begin_with("begin isolation level repeatable read").await?;
        let fresh = if rotation { self.change_key(&mut tx).await? } else { None };
        let db::Taken { term, rotation, outbox } = db::take_outbox(&mut tx, closed).await?;
        ensure!(term == lead.term, "another master has begun a term of its own");
        let must_change_key = rotation && fresh.is_none();
        if must_change_key || (outbox.is_empty() && fresh.is_none()) {
            tx.rollback().await?;
            self.zones = zones;
            return Ok(must_change_key);
        }
        if fresh.is_none() && outbox.iter().any(|row| row.subject == "nas") {
            // A writer that was at it when the key was changed.
            let key = self.access.current();
            self.access.encrypt_anew(&mut tx, &key, "written with a data key that was changed meanwhile").await?;
        }
        let keys: Vec<OutboxKey> = outbox.iter().map(|row| OutboxKey { subject: row.subject.clone(), key: row.key.clone() }).collect();
        let latest = Arc::clone(&self.latest.borrow());
        let mut zones = match zones.filter(|zones| !compose::touches_zones(zones, &keys)) {
            Some(zones) => zones,
            None => ZoneIndex::new(zones::all(&mut tx).await?),
        };
        let mut rows = compose::compose(&mut tx, &zones, &keys).await?;
        let serials = round::raise_serials(&mut rows, &zones, &latest)?;
        if let Some(fresh) = &fresh {
            let wrapped = access::wrapped_rows(latest.state(Feed::ACCESS).view(), &db::nodes(&self.pool).await?, fresh)?;
            rows.extend(wrapped.into_iter().map(|change| ComposedRow { feed: Feed::ACCESS, change, zone: None }));
        }
        match round::cut(&self.held(), &latest, rows, self.limits, &self.holds.released())? {
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
                if fresh.is_some() {
                    nodes::settle_rotations(&mut tx, next.state(Feed::ACCESS).view().generation()).await?;
                }
                tx.commit().await?;
                lifted.into_iter().for_each(|feed| self.holds.lift(feed));
                serials.iter().for_each(|(_, apex, serial)| zones.set_serial(apex, *serial));
                self.zones = Some(zones);
                self.announce(next.holding(self.holds.published()));
                if let Some(fresh) = fresh {
                    self.access.use_key(fresh);
                }
                metrics::histogram!("holdfast_publish_round_seconds").record(started.elapsed().as_secs_f64());
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
        let count = self.access.encrypt_anew(tx, &fresh, &reason).await?;
        nodes::set_access_key(tx, fresh.id()).await?;
        tracing::info!(event = "data_key_rotated", secrets = count, why = reason, "the access feed's data key was changed");
        Ok(Some(fresh))
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

    /// Tells every agent which boxes are in, and gives the access feed's data key to every agent that is.
    async fn tend_boxes(&mut self, lead: &mut Lead) -> anyhow::Result<()> {
        let latest = Arc::clone(&self.latest.borrow());
        let row = |feed| move |change| ComposedRow { feed, change, zone: None };
        let boxes = nodes::with_lines(&self.pool, None).await?;
        let mut rows: Vec<ComposedRow> = roster::rows(latest.state(Feed::TRUST).view(), &boxes)?.into_iter().map(row(Feed::TRUST)).collect();
        // While the key is about to be changed nobody is given the old one.
        if nodes::rotations_due(&mut lead.connection).await?.is_empty() {
            let wrapped = access::wrapped_rows(latest.state(Feed::ACCESS).view(), &db::nodes(&self.pool).await?, &self.access.current())?;
            rows.extend(wrapped.into_iter().map(row(Feed::ACCESS)));
        }
        if rows.is_empty() {
            return Ok(());
        }
        // Boxes and wrapped keys are nothing that the guard counts.
        if let Cut::Next { next, feeds } = round::cut(&self.held(), &latest, rows, self.limits, &Released::new())? {
            self.publish(lead, next, &feeds).await?;
        }
        Ok(())
    }

    /// Verifies, stores and announces a generation of the portal's. Only a failing database is this publisher's failure.
    async fn relay(&mut self, lead: &mut Lead, Relayed { frame, reply }: Relayed) -> anyhow::Result<()> {
        let latest = Arc::clone(&self.latest.borrow());
        let accepted = accept(&self.held(), &latest, &frame);
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
                let frame = Frame { parent, epoch, generation, sealed: frame.sealed.into(), payload: frame.payload.into(), needs_canary };
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
