//! The one publisher of a master: it leads when nobody else does, and gives every kind of work its turn.

mod relay;
mod rounds;
mod tend;

pub use relay::RelayDoor;

use super::access::AccessKeys;
use super::guard::Limits;
use super::halt::Halt;
use super::history::{self, Bases};
use super::holds::Holds;
use super::latest::Latest;
use super::sweeper::Sweeper;
use super::unsettled::Unsettled;
use crate::db::publish as db;
use crate::db::zones::ZoneIndex;
use crate::keys::Keys;
use anyhow::Context;
use holdfast_proto::snapshot::{DataKey, Feed};
use relay::Relayed;
use sqlx::{Connection, PgConnection, PgPool};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, timeout};

/// The safety net under the wake-up: nothing waits longer than this because a wake-up was lost, or because another master wrote.
const TICK: Duration = Duration::from_millis(250);
/// A database that is there lets us in by then.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Between attempts when the database is away, or another master leads.
const RETRY: Duration = Duration::from_millis(500);
/// How long a master that starts waits to hear from an agent what it holds, before it publishes anything: a database that was
/// put back must not give numbers out a second time. Where agents are in reach, the first of them ends the wait.
const FIRST_WORD_LIMIT: Duration = Duration::from_secs(10);

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
    bases: Bases,
    sweeper: Sweeper,
    limits: Limits,
    holds: Holds,
    /// What was adopted from an agent waits to be settled.
    unsettled: Option<Unsettled>,
    /// All zones as of the last round; nothing where they have to be read.
    zones: Option<ZoneIndex>,
    /// Whether some NAS asks of machines, as published; nothing where that has to be looked up.
    asks_of_machines: Option<bool>,
}

/// What the other rooms get of a publisher.
pub struct Publications {
    /// Everything that is published, as it changes.
    pub latest: watch::Receiver<Arc<Latest>>,
    /// The portal's way in.
    pub door: RelayDoor,
    /// The data key that NAS secrets are to be encrypted with, as it changes.
    pub access_key: watch::Receiver<Arc<DataKey>>,
    /// Every data key that NAS secrets can be read with, the one in use first, as they change.
    pub access_keys: watch::Receiver<Arc<[DataKey]>>,
    /// Why nothing is published; `None` while all is well.
    pub halt: watch::Receiver<Option<Halt>>,
}

/// The connection that holds the lock, and the term it began.
struct Lead {
    connection: PgConnection,
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
        let (door, relayed) = relay::door();
        let (access_key, access_keys) = (access.watch(), access.watch_all());
        let published = Publications { latest: latest_seen, door, access_key, access_keys, halt: halt_seen };
        Ok((
            Self {
                pool,
                keys,
                access,
                wake,
                heard,
                latest,
                halt,
                relayed,
                bases: Bases::since(since_base),
                sweeper: Sweeper::default(),
                limits,
                holds,
                unsettled: None,
                zones: None,
                asks_of_machines: None,
            },
            published,
        ))
    }

    /// Publishes for ever, on a thread of its own: a round is a dozen waits for the database, and a thread that does nothing else
    /// wakes from each at once. Ends with the task that waits for it.
    pub async fn run(self) -> anyhow::Result<()> {
        let (mut thread, task) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = async move {
            tokio::select! {
                () = self.work() => {}
                () = thread.closed() => {}
            }
        };
        std::thread::Builder::new().name("publisher".into()).spawn(move || runtime.block_on(work))?;
        // Nothing is ever sent: each side hears when the other one is gone.
        let _ = task.await;
        anyhow::bail!("the publisher's thread has ended")
    }

    /// Leads when nobody else does, and begins again when the database went away.
    async fn work(mut self) {
        loop {
            let why = match self.lead().await {
                Ok(()) => self.halt.borrow().as_ref().map_or_else(|| "another master leads".to_owned(), Halt::to_string),
                Err(error) => {
                    tracing::error!(event = "publisher_stopped", error = format!("{error:#}"), "nothing is published until the database is back");
                    metrics::counter!("holdfast_publisher_failures_total").increment(1);
                    "nothing is published until the database is back".to_owned()
                }
            };
            self.refuse_relays(&why, RETRY).await;
        }
    }

    /// Publishes until the database fails; comes back at once where another master leads.
    async fn lead(&mut self) -> anyhow::Result<()> {
        // The lock belongs to the connection: whichever way this ends, the connection must not go back into the pool. Made here, it
        // also wakes this thread and no other.
        let mut connection =
            timeout(CONNECT_LIMIT, PgConnection::connect_with(&self.pool.connect_options())).await.context("the database does not answer")??;
        if !db::try_lead(&mut connection).await? {
            return self.follow_leader(&mut connection).await;
        }
        self.set_halt(None);
        let term = db::begin_term(&mut connection).await?;
        // Another master may have published since this one looked.
        let (latest, since_base) = history::restore(&mut connection, &self.held()).await?;
        self.bases = Bases::since(since_base);
        self.unsettled = Unsettled::read(&mut connection).await?;
        self.holds = Holds::read(&mut connection).await?;
        if self.unsettled.is_some() {
            self.holds.close_for_everything();
        }
        (self.zones, self.asks_of_machines) = (None, None);
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
        // Nobody: it went in this moment.
        if let Some(leader) = db::leader(connection).await? {
            self.set_halt(Some(Halt::Elsewhere(leader)));
        }
        // Secrets are entered here, too, and the one who leads must be able to read them. Where its key was not copied to
        // this machine, taking over will fail and say so.
        let _ = self.access.learn(connection).await;
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
        let _ = timeout(FIRST_WORD_LIMIT, self.heard.wait_for(|count| *count > 0)).await;
        Ok(())
    }

    async fn publish_on(&mut self, lead: &mut Lead) -> anyhow::Result<()> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                // Comes seldom enough to come first: no storm of edits keeps a box that was thrown out in, and no storm of
                // greetings keeps an edit waiting.
                _ = tick.tick() => {
                    self.tend(lead).await?;
                    self.rounds(lead, false).await?;
                    let latest = Arc::clone(&self.latest.borrow());
                    self.bases.tend(&self.pool, &latest);
                    self.sweeper.tend(&self.pool);
                    self.access.forget_old(&mut lead.connection, latest.state(Feed::ACCESS).view()).await?;
                }
                // The portal brings the next one when it has heard of this one.
                Some(relayed) = self.relayed.recv() => self.relay(lead, relayed).await?,
                () = self.wake.notified() => self.rounds(lead, true).await?,
            }
        }
    }

    fn announce(&mut self, next: Latest) {
        let before = Arc::clone(&self.latest.borrow());
        for (feed, published) in &next.feeds {
            if let Some(frame) = published.newest().filter(|frame| frame.generation > before.state(*feed).view().generation()) {
                self.bases.add(*feed, frame.payload.len());
            }
            let generation = published.state.view().generation().0;
            metrics::gauge!("holdfast_generation_published", "feed" => feed.to_string()).set(generation as f64);
        }
        for feed in Feed::ALL {
            metrics::gauge!("holdfast_feed_held", "feed" => feed.to_string()).set(f64::from(u8::from(next.held.contains_key(&feed))));
        }
        self.latest.send_replace(Arc::new(next));
    }
}
