use super::access::{self, AccessKeys};
use super::compose::{self, ComposedRow};
use super::halt::{self, Halt};
use super::history::{self, SinceBase};
use super::latest::{Frame, Latest};
use super::roster;
use crate::db::changes::OutboxKey;
use crate::db::nodes;
use crate::db::publish as db;
use crate::keys::Keys;
use anyhow::ensure;
use holdfast_proto::control;
use holdfast_proto::snapshot::{Change, DataKey, Draft, Feed, Opened, Sealed, Stamp, State};
use holdfast_proto::words::{Generation, UnixMillis};
use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, PgPool, Postgres, Transaction};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use uuid::Uuid;

/// The safety net under the wake-up: nothing waits longer than this because a wake-up was lost, or because another master wrote.
const TICK: Duration = Duration::from_millis(250);
/// Between attempts when the database is away.
const RETRY: Duration = Duration::from_millis(500);
/// After how long without a sign of life people are told; see the manifest.
const SOFT_AGE_S: u32 = 3600;
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
    /// Reads back what was published. `wake` is rung after commits; `heard` counts the agents that said what they hold.
    pub async fn open(
        pool: PgPool,
        state_dir: &Path,
        keys: watch::Receiver<Arc<Keys>>,
        wake: Arc<Notify>,
        heard: watch::Receiver<u64>,
    ) -> anyhow::Result<(Self, Publications)> {
        let held = Arc::clone(&keys.borrow());
        let mut connection = pool.acquire().await?;
        let (latest, since_base) = history::restore(&mut connection, &held).await?;
        let mut access = AccessKeys::new(state_dir, held.access_keys())?;
        access.learn(&mut connection).await?;
        drop(connection);
        let (latest, latest_seen) = watch::channel(Arc::new(latest));
        let (halt, halt_seen) = watch::channel(None);
        let (door, relayed) = mpsc::channel(RELAY_LIMIT);
        let published = Publications { latest: latest_seen, door: RelayDoor(door), access_key: access.watch(), halt: halt_seen };
        Ok((Self { pool, keys, access, wake, heard, latest, halt, relayed, since_base }, published))
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
        let (latest, since_base) = history::restore(&mut connection, &self.held()).await?;
        self.since_base = since_base;
        self.latest.send_replace(Arc::new(latest));
        self.access.learn(&mut connection).await?;
        self.hear_first_word(&mut connection).await?;
        let mut lead = Lead { connection, term };
        self.look_for_halt(&mut lead).await?;
        tracing::info!(event = "publisher_leads", term, "this master publishes");
        self.publish_on(&mut lead).await
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
                () = self.wake.notified() => self.rounds(lead).await?,
                Some(relayed) = self.relayed.recv() => self.relay(lead, relayed).await?,
                _ = tick.tick() => {
                    self.tend(lead).await?;
                    self.rounds(lead).await?;
                    let latest = Arc::clone(&self.latest.borrow());
                    history::keep_bases(&mut lead.connection, &latest, &mut self.since_base).await?;
                    self.access.forget_old(&mut lead.connection).await?;
                }
            }
        }
    }

    /// What is due beside edits, unless something stands against publishing. An edit does not wait for this.
    async fn tend(&mut self, lead: &mut Lead) -> anyhow::Result<()> {
        if self.look_for_halt(lead).await? {
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

    /// What an older key or an ended epoch vouches for is signed anew: the rows stay, the number rises. The people's feed is
    /// the portal's to renew.
    async fn renew(&mut self, lead: &mut Lead) -> anyhow::Result<()> {
        let (latest, keys) = (Arc::clone(&self.latest.borrow()), self.held());
        let is_old = |state: &State| state.sealed().is_some_and(|sealed| !keys.is_current(sealed));
        let old: Vec<Feed> = Feed::ALL.into_iter().filter(|feed| *feed != Feed::PEOPLE && is_old(latest.state(*feed))).collect();
        if old.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin(lead).await?;
        let mut next = Latest::clone(&latest);
        for feed in old {
            let (frame, state) = self.seal(latest.state(feed).renew()?)?;
            db::put_generation(&mut tx, feed, (frame.epoch, frame.generation), &frame.sealed, &frame.payload).await?;
            tracing::info!(event = "generation_renewed", %feed, epoch = %frame.epoch, generation = frame.generation.0, "signed anew under the newest trust");
            next = next.with(frame, state);
        }
        tx.commit().await?;
        self.announce(next);
        Ok(())
    }

    /// A transaction in which nobody else can publish.
    async fn begin<'c>(&self, lead: &'c mut Lead) -> anyhow::Result<Transaction<'c, Postgres>> {
        let mut tx = lead.connection.begin_with("begin isolation level repeatable read").await?;
        ensure!(db::hold_term(&mut tx).await? == lead.term, "another master has begun a term of its own");
        Ok(tx)
    }

    /// Rounds until the outbox is empty, unless something stands against publishing.
    async fn rounds(&mut self, lead: &mut Lead) -> anyhow::Result<()> {
        while self.halt.borrow().is_none() && self.round(lead).await? {}
        Ok(())
    }

    /// One round: what is in the outbox becomes at most one generation of each feed. Gives whether there was anything. When a
    /// box was thrown out, the data key that it held is changed here as well: secrets, wrapped keys and the word that it is
    /// done are one transaction.
    async fn round(&mut self, lead: &mut Lead) -> anyhow::Result<bool> {
        let started = Instant::now();
        let due = db::due(&mut lead.connection).await?;
        if !due.edits && !due.rotation {
            return Ok(false);
        }
        let thrown_out = if due.rotation { nodes::rotations_due(&mut lead.connection).await? } else { Vec::new() };
        let fresh = if thrown_out.is_empty() { None } else { Some(self.access.make()?) };
        let key = fresh.clone().map_or_else(|| self.access.current(), Arc::new);
        let mut tx = self.begin(lead).await?;
        if fresh.is_some() {
            let reason = format!("{} was thrown out: its data key is changed", thrown_out.join(", "));
            let count = self.access.encrypt_anew(&mut tx, &key, &reason).await?;
            nodes::set_access_key(&mut tx, key.id()).await?;
            tracing::info!(event = "data_key_rotated", secrets = count, why = reason, "the access feed's data key was changed");
        }
        let outbox = db::take_outbox(&mut tx).await?;
        if fresh.is_none() && outbox.iter().any(|row| row.subject == "nas") {
            // A writer that was at it when the key was changed.
            self.access.encrypt_anew(&mut tx, &key, "written with a data key that was changed meanwhile").await?;
        }
        let keys: Vec<OutboxKey> = outbox.iter().map(|row| OutboxKey { subject: row.subject.clone(), key: row.key.clone() }).collect();
        let latest = Arc::clone(&self.latest.borrow());
        let mut rows = compose::compose(&mut tx, &keys).await?;
        rows.extend(compose::bump_serials(&mut tx, &changed_zones(&rows, &latest)).await?);
        if fresh.is_some() {
            let wrapped = access::wrapped_rows(latest.state(Feed::ACCESS).view(), &db::nodes(&self.pool).await?, &key);
            rows.extend(wrapped.into_iter().map(|change| ComposedRow { feed: Feed::ACCESS, change, zone: None }));
        }
        let next = self.cut(&mut tx, &latest, rows).await?;
        for (feed, change_sets) in change_sets_by_feed(&outbox) {
            let generation = next.state(feed).view().generation();
            db::put_change_generation(&mut tx, feed, generation, &change_sets).await?;
        }
        if fresh.is_some() {
            nodes::settle_rotations(&mut tx, next.state(Feed::ACCESS).view().generation()).await?;
        }
        tx.commit().await?;
        self.announce(next);
        if let Some(fresh) = fresh {
            self.access.use_key(fresh);
        }
        metrics::histogram!("holdfast_publish_round_seconds").record(started.elapsed().as_secs_f64());
        Ok(!outbox.is_empty())
    }

    /// Cuts, seals and stores a generation of every feed that really changes.
    async fn cut(&self, tx: &mut PgConnection, latest: &Latest, rows: Vec<ComposedRow>) -> anyhow::Result<Latest> {
        let mut wishes: BTreeMap<Feed, Vec<Change>> = BTreeMap::new();
        for row in rows {
            if let Err(wrong) = row.change.fits() {
                // One row that no agent could hold must not keep every other edit from being published.
                tracing::error!(event = "row_too_large", feed = %row.feed, %wrong, "a row is left as it was published: make it smaller");
                continue;
            }
            wishes.entry(row.feed).or_default().push(row.change);
        }
        let mut next = latest.clone();
        for (feed, changes) in wishes {
            if let Some(draft) = latest.state(feed).compose(changes)? {
                let (frame, state) = self.seal(draft)?;
                db::put_generation(tx, feed, (frame.epoch, frame.generation), &frame.sealed, &frame.payload).await?;
                next = next.with(frame, state);
            }
        }
        Ok(next)
    }

    fn seal(&self, draft: Draft) -> anyhow::Result<(Frame, State)> {
        let keys = self.held();
        let trust = keys.trust.draft();
        let stamp = Stamp { institution: trust.institution, epoch: trust.epoch, issued_at: now(), soft_age_s: SOFT_AGE_S, hard_age_s: 0 };
        let (sealed, payload, state) = draft.seal(&keys.signing, stamp)?;
        // What the manifest says is what goes out: the first generation of an epoch has no parent.
        let parent = keys.trust.open(&sealed).map_or(Generation(0), |opened| opened.manifest().parent);
        let frame = Frame { parent, epoch: trust.epoch, generation: state.view().generation(), sealed: sealed.bytes().to_vec(), payload };
        Ok((frame, state))
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
        let mut tx = self.begin(lead).await?;
        let next = self.cut(&mut tx, &latest, rows).await?;
        tx.commit().await?;
        self.announce(next);
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
                db::put_generation(&mut tx, manifest.feed, (manifest.epoch, manifest.generation), &frame.sealed, &frame.payload).await?;
                tx.commit().await?;
                let frame =
                    Frame { parent: manifest.parent, epoch: manifest.epoch, generation: manifest.generation, sealed: frame.sealed, payload: frame.payload };
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

/// The zones of the rows that are not as they were published.
fn changed_zones(rows: &[ComposedRow], latest: &Latest) -> Vec<i64> {
    let changed = rows.iter().filter(|row| latest.state(row.feed).view().get(row.change.table, &row.change.key) != Ok(row.change.value.as_deref()));
    changed.filter_map(|row| row.zone).collect::<BTreeSet<_>>().into_iter().collect()
}

fn change_sets_by_feed(outbox: &[db::OutboxRow]) -> BTreeMap<Feed, Vec<Uuid>> {
    let mut by_feed: BTreeMap<Feed, BTreeSet<Uuid>> = BTreeMap::new();
    for row in outbox {
        let feed = match row.subject.as_str() {
            "name" | "zone" => Feed::ZONE,
            "subnet" | "reservation" => Feed::BOOTPTAB,
            _ => Feed::ACCESS,
        };
        by_feed.entry(feed).or_default().insert(row.change_set);
    }
    by_feed.into_iter().map(|(feed, sets)| (feed, sets.into_iter().collect())).collect()
}

fn now() -> UnixMillis {
    UnixMillis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64)
}
