use super::compose::{self, ComposedRow};
use super::history::{self, SinceBase};
use super::latest::{Frame, Latest};
use crate::db::changes::OutboxKey;
use crate::db::publish as db;
use crate::keys::Keys;
use anyhow::ensure;
use holdfast_proto::control;
use holdfast_proto::snapshot::{Change, Feed, HpkePublic, Opened, Sealed, Stamp, State, WRAPPED_KEYS, wrapped_key_row};
use holdfast_proto::words::{Generation, NodeId, UnixMillis};
use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, PgPool, Postgres};
use std::collections::{BTreeMap, BTreeSet};
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
}

/// The connection that holds the lock, and the term it began.
struct Lead {
    connection: PoolConnection<Postgres>,
    term: i64,
}

impl Publisher {
    /// Reads back what was published. `wake` is rung after commits.
    pub async fn open(pool: PgPool, keys: Arc<Keys>, wake: Arc<Notify>) -> anyhow::Result<(Self, watch::Receiver<Arc<Latest>>, RelayDoor)> {
        let (latest, since_base) = history::restore(&mut *pool.acquire().await?, &keys.trust).await?;
        let (latest, receiver) = watch::channel(Arc::new(latest));
        let (door, relayed) = mpsc::channel(RELAY_LIMIT);
        Ok((Self { pool, keys, wake, latest, relayed, since_base }, receiver, RelayDoor(door)))
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
        self.latest.send_replace(Arc::new(latest));
        tracing::info!(event = "publisher_leads", term, "this master publishes");
        self.publish_on(&mut Lead { connection, term }).await
    }

    async fn publish_on(&mut self, lead: &mut Lead) -> anyhow::Result<()> {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                () = self.wake.notified() => self.rounds(lead).await?,
                Some(relayed) = self.relayed.recv() => self.relay(lead, relayed).await?,
                _ = tick.tick() => {
                    self.wrap_keys(lead).await?;
                    self.rounds(lead).await?;
                    let latest = Arc::clone(&self.latest.borrow());
                    history::keep_bases(&mut lead.connection, &latest, &mut self.since_base).await?;
                }
            }
        }
    }

    /// Rounds until the outbox is empty.
    async fn rounds(&mut self, lead: &mut Lead) -> anyhow::Result<()> {
        while self.round(lead).await? {}
        Ok(())
    }

    /// One round: what is in the outbox becomes at most one generation of each feed. Gives whether there was anything.
    async fn round(&mut self, lead: &mut Lead) -> anyhow::Result<bool> {
        let started = Instant::now();
        if db::outbox_is_empty(&mut lead.connection).await? {
            return Ok(false);
        }
        let mut tx = lead.connection.begin_with("begin isolation level repeatable read").await?;
        ensure!(db::hold_term(&mut tx).await? == lead.term, "another master has begun a term of its own");
        let outbox = db::take_outbox(&mut tx).await?;
        let keys: Vec<OutboxKey> = outbox.iter().map(|row| OutboxKey { subject: row.subject.clone(), key: row.key.clone() }).collect();
        let latest = Arc::clone(&self.latest.borrow());
        let mut rows = compose::compose(&mut tx, &keys).await?;
        rows.extend(compose::bump_serials(&mut tx, &changed_zones(&rows, &latest)).await?);
        let next = self.cut(&mut tx, &latest, rows).await?;
        for (feed, change_sets) in change_sets_by_feed(&outbox) {
            let generation = next.state(feed).view().generation();
            db::put_change_generation(&mut tx, feed, generation, &change_sets).await?;
        }
        tx.commit().await?;
        self.announce(next);
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
            if let Some((frame, state)) = self.seal(latest.state(feed), changes)? {
                db::put_generation(tx, feed, (frame.epoch, frame.generation), &frame.sealed, &frame.payload).await?;
                next = next.with(frame, state);
            }
        }
        Ok(next)
    }

    fn seal(&self, state: &State, changes: Vec<Change>) -> anyhow::Result<Option<(Frame, State)>> {
        let Some(draft) = state.compose(changes)? else { return Ok(None) };
        let trust = self.keys.trust.draft();
        let stamp = Stamp { institution: trust.institution, epoch: trust.epoch, issued_at: now(), soft_age_s: SOFT_AGE_S, hard_age_s: 0 };
        let parent = if state.view().epoch() == trust.epoch { state.view().generation() } else { Generation(0) };
        let (sealed, payload, state) = draft.seal(&self.keys.signing, stamp)?;
        let frame = Frame { parent, epoch: trust.epoch, generation: state.view().generation(), sealed: sealed.bytes().to_vec(), payload };
        Ok(Some((frame, state)))
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

    /// Gives the access feed's data key to every agent that is in, and takes it from those that are not.
    async fn wrap_keys(&mut self, lead: &mut Lead) -> anyhow::Result<()> {
        let nodes = db::nodes(&self.pool).await?;
        let agents: BTreeMap<[u8; 16], &db::NodeRow> =
            nodes.iter().filter(|node| node.role == "agent" && node.revoked_at.is_none()).map(|node| (*node.id.as_bytes(), node)).collect();
        let latest = Arc::clone(&self.latest.borrow());
        let view = latest.state(Feed::ACCESS).view();
        let held: BTreeSet<&[u8]> = view.iter(WRAPPED_KEYS).map(|row| row.map(|(key, _)| key)).collect::<Result<_, _>>()?;
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
        let next = self.cut(&mut tx, &latest, rows).await?;
        tx.commit().await?;
        self.announce(next);
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
