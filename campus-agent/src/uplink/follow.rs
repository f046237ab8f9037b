use super::arriving::Arriving;
use super::backoff::{Backoff, Ended};
use super::fetch::{Gathering, Wanted, fetch, lock};
use super::handing::Handing;
use super::line::{Line, Output, SILENCE_LIMIT, Taken};
use super::mend::mend;
use super::{FeedState, Line as LineState, State, link};
use crate::config::Folders;
use crate::reports::{Delivery, MASTER, Outbox, Spool};
use crate::store::framed::Position as LogPosition;
use crate::store::{Changes, Floor, FloorFile, Identity, Keeper, Kept, Refusal, Trusts, feed_dir, on_changes_in, served};
use crate::telemetry::BUILD;
use anyhow::Context;
use holdfast_proto::control::control_client::ControlClient;
use holdfast_proto::control::enrol::{renew, renewal_is_due};
use holdfast_proto::control::{AGENT_MESSAGE_LIMIT_BYTES, ArrivedBuckets, FromAgent, FromMaster, Hello, Position, Report, from_agent};
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::net::tls;
use holdfast_proto::snapshot::{FORMAT, Feed, Kind, Sealed, is_addressed_to};
use holdfast_proto::words::{Epoch, Generation, UnixMillis};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

/// How long an acknowledgement waits for the services to follow; they do within a millisecond, and of one that hangs the master
/// hears later.
const SERVED_PATIENCE: Duration = Duration::from_millis(50);
/// Messages to the master that may wait in the line: acknowledgements and reports are small and few.
const OUTGOING_LIMIT: usize = 64;
/// How often the spools of the box are looked at.
const REPORTS_TICK: Duration = Duration::from_millis(250);

/// The line and everything it feeds: the only writer of the store.
#[derive(Debug)]
pub struct Uplink {
    identity: Identity,
    trusts: Trusts,
    address: String,
    state_dir: PathBuf,
    run_dir: PathBuf,
    /// Rings when a service says what it serves.
    woken: Changes,
    keepers: BTreeMap<Feed, Keeper>,
    floor: Floor,
    floor_file: FloorFile,
    spool: Spool,
    outbox: Outbox,
    leases: Handing,
    accounting: Handing,
    clock: Arc<TrustedClock>,
    state: watch::Sender<State>,
    /// The floor has risen since it was last written.
    floor_is_due: bool,
    /// What the master was told last of each feed.
    acknowledged: BTreeMap<Feed, Acknowledged>,
    /// The latest time that the master signed, over all lines so far: an old word must not pass for news on a new line.
    signed_time: UnixMillis,
    /// Whole snapshots of which something is there.
    gathering: BTreeMap<Feed, Gathering>,
    /// Rings when the store has a whole snapshot ready.
    ready: (mpsc::UnboundedSender<Feed>, mpsc::UnboundedReceiver<Feed>),
}

/// Epoch, taken, applied and durable generation.
type Acknowledged = (Epoch, Generation, Generation, Generation);

/// One open stream.
struct Session {
    line: Line,
    outgoing: mpsc::Sender<FromAgent>,
    /// Whole snapshots on their way in; they end with the line, and what they gathered does not.
    fetches: JoinSet<Fetched>,
}

/// What came over a connection of its own.
enum Fetched {
    /// All of what is gathered for this feed.
    Whole(Feed),
    /// The rows of the buckets that differ; `None` where there are none to be had.
    Buckets(Feed, Option<ArrivedBuckets>),
}

impl Uplink {
    /// Takes over the keepers; dials `address`.
    pub fn new(
        (identity, trusts): (Identity, Trusts),
        address: String,
        folders: Folders,
        keepers: Vec<Keeper>,
        (floor_file, floor): (FloorFile, Floor),
        spool: Spool,
        clock: Arc<TrustedClock>,
    ) -> Self {
        let signed_time = floor.time;
        let keepers: BTreeMap<Feed, Keeper> = keepers.into_iter().map(|keeper| (keeper.state().view().feed(), keeper)).collect();
        let outbox = Outbox::open(&folders.state, MASTER, Some(spool.clone()));
        let (leases, accounting) = (Handing::leases(&folders.state), Handing::accounting(&folders.state));
        let resume = |feed: &Feed| Some((*feed, Arc::new(Mutex::new(Arriving::resume(arriving_path(&folders.state, *feed))?))));
        let gathering = keepers.keys().filter_map(resume).collect();
        let uplink = Self {
            identity,
            trusts,
            address,
            state_dir: folders.state,
            woken: on_changes_in(&folders.run),
            run_dir: folders.run,
            keepers,
            floor,
            floor_file,
            spool,
            outbox,
            leases,
            accounting,
            clock,
            state: watch::channel(State::default()).0,
            floor_is_due: false,
            acknowledged: BTreeMap::new(),
            signed_time,
            gathering,
            ready: mpsc::unbounded_channel(),
        };
        uplink.keepers.keys().for_each(|feed| uplink.show(*feed, None));
        uplink
    }

    /// What people may know.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Keeps the line up for ever: connects, follows, and begins again when the line breaks.
    pub async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let begun = Instant::now();
            let ended = self.session().await;
            let was_connected = matches!(self.state.borrow().line, LineState::Connected { .. });
            let how = ended.as_ref().map_or_else(how_it_ended, |()| Ended::Closed);
            let why = ended.err().map_or_else(|| "the master closed the line".to_owned(), |error| format!("{error:#}"));
            self.cut_off(why, was_connected);
            let stood = if was_connected { begun.elapsed() } else { Duration::ZERO };
            link::pause(backoff.wait(how, stood, link::is_there(), draw())).await;
        }
    }

    fn cut_off(&mut self, why: String, was_connected: bool) {
        let since_ms = self.clock.now().0;
        if was_connected {
            self.spool.raise("uplink_cut_off", why.clone());
        } else {
            tracing::info!(event = "uplink_retry", master = self.address, why, "the master is not reached");
        }
        metrics::gauge!("holdfast_uplink_connected").set(0.0);
        self.state.send_modify(|state| {
            state.is_stale = false;
            state.line = match &state.line {
                LineState::CutOff { since_ms, .. } => LineState::CutOff { since_ms: *since_ms, why },
                _ => LineState::CutOff { since_ms, why },
            }
        });
    }

    /// One connection, from dialling to its end.
    async fn session(&mut self) -> anyhow::Result<()> {
        let mut channel = self.dial().await?;
        if renewal_is_due(&self.identity.chain, self.clock.now()) && self.renew(channel.clone()).await {
            channel = self.dial().await?;
        }
        let (outgoing, stream) = match self.open(channel.clone()).await {
            // A box that was switched off lags behind the true time: it may hear only now that its certificate ran out.
            Err(error) if is_about_the_certificate(&error) && self.renew(channel.clone()).await => {
                channel = self.dial().await?;
                self.open(channel).await?
            }
            opened => opened?,
        };
        self.outbox.rewind();
        self.leases.begin();
        self.accounting.begin();
        let line = Line::begin(self.keepers.keys().copied(), self.signed_time, Instant::now());
        self.follow(stream, Session { line, outgoing, fetches: JoinSet::new() }).await
    }

    async fn dial(&mut self) -> anyhow::Result<Channel> {
        tls::dial(&self.address, self.tls()?).await.with_context(|| format!("dialling {}", self.address))
    }

    /// Opens the stream, with the first words on it.
    async fn open(&mut self, channel: Channel) -> anyhow::Result<(mpsc::Sender<FromAgent>, Streaming<FromMaster>)> {
        let (outgoing, queue) = mpsc::channel(OUTGOING_LIMIT);
        outgoing.send(self.hello()).await?;
        let mut client = ControlClient::new(channel).max_decoding_message_size(AGENT_MESSAGE_LIMIT_BYTES);
        let opened = timeout(SILENCE_LIMIT, client.follow(ReceiverStream::new(queue))).await.context("the master did not open the stream")?;
        Ok((outgoing, opened.context("opening the stream")?.into_inner()))
    }

    fn tls(&self) -> anyhow::Result<Arc<rustls::ClientConfig>> {
        let clock: Arc<TrustedClock> = Arc::clone(&self.clock);
        Ok(Arc::new(tls::client_config(&self.identity.trust.draft().authorities, Some(self.identity.tls()?), clock)?))
    }

    /// Asks for a new certificate; gives whether there is one. Without one the old one is shown: whether it is still good
    /// enough is for the master to say.
    async fn renew(&mut self, channel: Channel) -> bool {
        let asked = timeout(SILENCE_LIMIT, renew(channel, &self.identity.tls_key)).await;
        match asked.map_err(|_| "the master did not answer".to_owned()).and_then(|renewed| renewed.map_err(|wrong| wrong.to_string())) {
            Ok(chain) => self.identity.chain = chain,
            Err(why) => {
                tracing::warn!(event = "certificate_not_renewed", why, "the old certificate is kept");
                return false;
            }
        }
        if let Err(error) = block_in_place(|| self.identity.keep_card(&self.state_dir)) {
            tracing::error!(event = "disk_failed", %error, "the renewed certificate cannot be kept");
        }
        tracing::info!(event = "certificate_renewed", "the master renewed this box's certificate");
        true
    }

    async fn follow(&mut self, mut stream: Streaming<FromMaster>, mut session: Session) -> anyhow::Result<()> {
        let (mut reports, mut out) = (self.spool.subscribe(), Vec::new());
        // The other processes of the box cannot wake this one.
        let mut tick = tokio::time::interval(REPORTS_TICK);
        loop {
            // The master's words first: a generation must not wait for a report.
            tokio::select! {
                biased;
                message = stream.message() => match message? {
                    Some(message) => session.line.on_message(message, &self.identity.trust, Instant::now(), &mut out)?,
                    None => return Ok(()),
                },
                () = tokio::time::sleep_until(session.line.deadline().into()) => session.line.on_tick(Instant::now(), &mut out)?,
                Some(fetched) = session.fetches.join_next() => match fetched {
                    Ok(Fetched::Whole(feed)) => self.begin_whole(feed, &mut session, &mut out).await,
                    Ok(Fetched::Buckets(feed, Some(arrived))) => self.take_buckets(feed, &arrived, &mut session, &mut out).await,
                    Ok(Fetched::Buckets(feed, None)) => session.line.on_no_buckets(feed, &mut out),
                    Err(_) => {}
                },
                Some(feed) = self.ready.1.recv() => self.take_whole(feed, &mut session, &mut out).await,
                changed = reports.changed() => {
                    changed.context("the spool is gone")?;
                    self.deliver(&mut session).await?;
                }
                _ = tick.tick() => {
                    self.tend(&mut session.line, &mut out);
                    self.deliver(&mut session).await?;
                }
            }
            // What is done may give more to do: the store's answer is a message to the master.
            while !out.is_empty() {
                for output in std::mem::take(&mut out) {
                    self.perform(output, &mut session, &mut out).await?;
                }
            }
        }
    }

    /// What is to be done when nothing else is: the disk is seen to, and the master hears what has become applied or durable
    /// since it was last told.
    fn tend(&mut self, line: &mut Line, out: &mut Vec<Output>) {
        let feeds: Vec<Feed> = self.keepers.keys().copied().collect();
        for feed in feeds {
            let served = served(&self.run_dir, feed);
            let Some(keeper) = self.keepers.get_mut(&feed) else { continue };
            let (trusts, before) = (&self.trusts, keeper.durable());
            block_in_place(|| keeper.tick(trusts, served.iter().any(|(_, served)| served.is_damaged)));
            if keeper.durable() != before {
                self.show(feed, None);
            }
            if self.keepers[&feed].wants_whole() {
                line.on_damaged(feed, out);
            }
            let held = self.held(feed);
            if self.acknowledged.get(&feed).is_some_and(|told| *told != held) {
                self.acknowledge(feed, line, out);
            }
        }
    }

    /// What is held of a feed, what all living services serve of it, and what survives a power cut; of another epoch, nothing.
    fn held(&self, feed: Feed) -> Acknowledged {
        let keeper = &self.keepers[&feed];
        let (epoch, generation) = (keeper.state().view().epoch(), keeper.state().view().generation());
        (epoch, generation, self.least_served(feed, (epoch, generation)), keeper.durable_of_epoch())
    }

    fn least_served(&self, feed: Feed, held: (Epoch, Generation)) -> Generation {
        let least = served(&self.run_dir, feed).into_iter().map(|(_, served)| served.at).min().unwrap_or(held).min(held);
        if least.0 == held.0 { least.1 } else { Generation(0) }
    }

    fn acknowledge(&mut self, feed: Feed, line: &mut Line, out: &mut Vec<Output>) {
        let held = self.held(feed);
        self.acknowledged.insert(feed, held);
        let (epoch, generation, applied, durable) = held;
        line.on_taken(feed, Taken::Held { epoch, generation, applied, durable }, out);
    }

    fn hello(&mut self) -> FromAgent {
        self.acknowledged = self.keepers.keys().map(|feed| (*feed, self.held(*feed))).collect();
        let positions = self.keepers.iter().map(|(feed, keeper)| position(keeper, self.acknowledged[feed])).collect();
        let hello = Hello { build: BUILD.to_owned(), reader_version: FORMAT.into(), positions, trust_version: self.identity.trust.draft().version };
        FromAgent { message: Some(from_agent::Message::Hello(hello)) }
    }

    async fn perform(&mut self, output: Output, session: &mut Session, out: &mut Vec<Output>) -> anyhow::Result<()> {
        match output {
            Output::Send(message) => session.outgoing.send(message).await?,
            Output::Take { feed, sealed, payload, merged } => {
                let (keeper, trust, floor) = (self.keepers.get_mut(&feed).context("no keeper")?, &self.identity.trust, self.floor.of(feed));
                let taken = block_in_place(|| keeper.take_frame_above(trust, floor, &sealed, merged, &payload));
                // Where a frame leads on, nobody needs what had arrived of the whole.
                if taken.is_ok()
                    && let Some(gathering) = self.gathering.remove(&feed)
                {
                    lock(&gathering).discard();
                }
                self.settle(feed, taken, &mut session.line, out).await;
            }
            // The one that the store is taking tells what it led to, on this line as on the one it came over.
            Output::Fetch(feed) | Output::Mend(feed) if self.keepers.get(&feed).is_some_and(Keeper::is_taking) => {}
            Output::Fetch(feed) => {
                let begin = || Arc::new(Mutex::new(Arriving::new(arriving_path(&self.state_dir, feed))));
                let gathering = Arc::clone(self.gathering.entry(feed).or_insert_with(begin));
                let fetching = fetch(self.address.clone(), self.tls()?, self.wanted(feed)?, gathering);
                session.fetches.spawn(async move { Fetched::Whole(fetching.await) });
            }
            Output::Mend(feed) => {
                let state = self.keepers.get(&feed).context("no keeper")?.state().clone();
                // A whole snapshot that is on its way already is what is left to wait for.
                if state.sealed().is_none() || self.gathering.contains_key(&feed) {
                    session.line.on_no_buckets(feed, out);
                } else {
                    let mending = mend(self.address.clone(), self.tls()?, self.wanted(feed)?, state);
                    session.fetches.spawn(async move { Fetched::Buckets(feed, mending.await) });
                }
            }
            Output::Connected => self.on_connected(session).await?,
            Output::Wanted(latest) => self.on_wanted(&latest),
            Output::Learn(time) => {
                self.signed_time = time;
                self.clock.learn(time);
            }
            Output::Stale(is_stale) => {
                metrics::gauge!("holdfast_uplink_stale").set(f64::from(u8::from(is_stale)));
                self.state.send_modify(|state| state.is_stale = is_stale);
            }
            Output::Trust(trusts) => self.on_trust(&trusts),
            Output::LeasesWanted => self.leases.wanted(),
            Output::LeasesStored { segment, number } => block_in_place(|| self.leases.stored(LogPosition { segment, number })),
            Output::AccountingWanted => self.accounting.wanted(),
            Output::AccountingStored { segment, number } => {
                block_in_place(|| self.accounting.stored(LogPosition { segment, number }));
                // What gathered while the line was cut must not wait for a tick for each batch.
                self.hand_over(session).await?;
            }
            Output::Delivered { spool_id, sequence } => self.outbox.delivered(&spool_id, sequence),
            Output::Raise(event, detail) => self.spool.raise(event, detail),
        }
        Ok(())
    }

    fn wanted(&self, feed: Feed) -> anyhow::Result<Wanted> {
        let view = self.keepers.get(&feed).context("no keeper")?.state().view();
        let once_held = self.floor.of(feed).unwrap_or((Epoch(0), Generation(0))).max((view.epoch(), view.generation()));
        Ok(Wanted { feed, once_held })
    }

    /// The rows of the buckets that differ are there.
    async fn take_buckets(&mut self, feed: Feed, arrived: &ArrivedBuckets, session: &mut Session, out: &mut Vec<Output>) {
        let (Some(keeper), trust, floor) = (self.keepers.get_mut(&feed), &self.identity.trust, self.floor.of(feed)) else { return };
        let taken = block_in_place(|| keeper.take_buckets(trust, floor, &arrived.sealed, &arrived.buckets, &arrived.rows));
        if let Ok(kept) = &taken {
            let (generation, buckets, bytes) = (kept.applied.0, arrived.buckets.count(), arrived.rows.len());
            tracing::info!(event = "snapshot_mended", %feed, generation, buckets, bytes, "the rows that differed were fetched by their buckets");
            metrics::counter!("holdfast_snapshots_mended_total", "feed" => feed.to_string()).increment(1);
        }
        self.settle(feed, taken, &mut session.line, out).await;
    }

    /// The whole snapshot is there, and the store begins to take it. What was gathered is forgotten, whatever comes of it.
    async fn begin_whole(&mut self, feed: Feed, session: &mut Session, out: &mut Vec<Output>) {
        let Some(gathering) = self.gathering.remove(&feed) else { return };
        let arrived = block_in_place(|| lock(&gathering).finish());
        let (Some(keeper), trust, floor) = (self.keepers.get_mut(&feed), &self.identity.trust, self.floor.of(feed)) else { return };
        match block_in_place(|| keeper.begin_full(trust, floor, &arrived.sealed, Some(&arrived.newest), &arrived.head)) {
            Ok(incoming) => {
                let ready = self.ready.0.clone();
                keeper.begin_taking(incoming, arrived.blocks, move || {
                    // Whoever stops does not wait for it any more.
                    let _ = ready.send(feed);
                });
            }
            Err(refusal) => self.settle(feed, Err(refusal), &mut session.line, out).await,
        }
    }

    /// The store has the whole snapshot ready.
    async fn take_whole(&mut self, feed: Feed, session: &mut Session, out: &mut Vec<Output>) {
        let Some(taken) = self.keepers.get_mut(&feed).and_then(|keeper| block_in_place(|| keeper.finish_taking())) else { return };
        if let Ok(kept) = &taken {
            tracing::info!(event = "snapshot_fetched_whole", %feed, generation = kept.applied.0, "the whole snapshot was fetched");
            metrics::counter!("holdfast_snapshots_fetched_total", "feed" => feed.to_string()).increment(1);
        }
        self.settle(feed, taken, &mut session.line, out).await;
    }

    async fn on_connected(&mut self, session: &mut Session) -> anyhow::Result<()> {
        let since_ms = self.clock.now().0;
        tracing::info!(event = "uplink_connected", master = self.address, "the line to the master is up");
        metrics::gauge!("holdfast_uplink_connected").set(1.0);
        self.state.send_modify(|state| state.line = LineState::Connected { since_ms });
        self.deliver(session).await
    }

    /// Comes once a second: what has to be written now and then is written here.
    fn on_wanted(&mut self, latest: &[(Feed, Epoch, Generation)]) {
        self.keep_floor();
        self.keep_trust();
        self.state.send_if_modified(|state| {
            let mut moved = false;
            for (feed, epoch, generation) in latest {
                let Some(feed) = state.feeds.get_mut(feed) else { continue };
                moved |= feed.wanted != Some((*epoch, *generation));
                feed.wanted = Some((*epoch, *generation));
            }
            moved
        });
    }

    /// Shows people and the master what became of something that the master sent.
    async fn settle(&mut self, feed: Feed, taken: Result<Kept, Refusal>, line: &mut Line, out: &mut Vec<Output>) {
        match taken {
            Ok(kept) => {
                self.on_kept(feed, &kept);
                self.reached(feed).await;
                self.acknowledge(feed, line, out);
            }
            Err(refusal) => {
                self.show(feed, Some(refusal.to_string()));
                let held = self.keepers[&feed].state().view().generation();
                line.on_taken(feed, Taken::Refused { held, reason: refusal.to_string(), wants_whole: refusal.wants_full() }, out);
            }
        }
    }

    /// Waits a moment for the living services to serve what is held. One that takes longer holds up nothing: the master hears
    /// of it when it does.
    async fn reached(&mut self, feed: Feed) {
        let (patience, wanted) = (tokio::time::Instant::now() + SERVED_PATIENCE, self.keepers[&feed].state().view().generation());
        while self.held(feed).2 != wanted && tokio::time::timeout_at(patience, self.woken.next()).await.is_ok() {}
    }

    fn on_kept(&mut self, feed: Feed, kept: &Kept) {
        if let Some(error) = &kept.disk_error {
            self.spool.raise("disk_failed", format!("{feed}: generation {} cannot be kept, so the services go on with the one before: {error}", kept.applied));
        } else {
            self.floor_is_due |= self.floor.raise(feed, self.keepers[&feed].durable());
        }
        tracing::info!(event = "generation_applied", feed = %feed, generation = kept.applied.0, durable = kept.durable.0, "served");
        metrics::gauge!("holdfast_generation_applied", "feed" => feed.to_string()).set(kept.applied.0 as f64);
        metrics::gauge!("holdfast_generation_durable", "feed" => feed.to_string()).set(kept.durable.0 as f64);
        self.show(feed, None);
    }

    /// Writes the floor when it has risen: once a second at most, so that no generation waits for it. It only has to be
    /// roughly right: what is held, the store itself says.
    fn keep_floor(&mut self) {
        if !std::mem::take(&mut self.floor_is_due) {
            return;
        }
        self.floor.time = self.clock.now();
        if let Err(error) = block_in_place(|| self.floor_file.keep(&self.floor)) {
            self.floor_is_due = true;
            tracing::error!(event = "disk_failed", %error, "the floor cannot be kept");
        }
    }

    /// A newer trust counts at once for what comes in; what is on the disk goes on being opened by the one before.
    fn on_trust(&mut self, offered: &[Vec<u8>]) {
        let newer = match self.identity.trust.walk(offered.iter().map(Vec::as_slice)) {
            Ok(trust) if trust == self.identity.trust => return,
            Ok(trust) => trust,
            Err(wrong) => return self.spool.raise("trust_refused", wrong.to_string()),
        };
        tracing::info!(event = "trust_followed", version = newer.draft().version, "the root signed a newer trust");
        self.identity.trust = newer;
        self.keep_trust();
    }

    /// Keeps the newest trust where it is not on the disk yet, and forgets former ones that nothing rests on any more.
    fn keep_trust(&mut self) {
        let (state_dir, newest) = (&self.state_dir, &self.identity.trust);
        let mut kept = Ok(());
        if self.trusts.newest() != newest {
            kept = block_in_place(|| self.trusts.succeed(state_dir, newest.clone()));
        } else if self.trusts.has_former() {
            let held: Vec<Sealed> = self.keepers.values().flat_map(Keeper::manifests).collect();
            kept = block_in_place(|| self.trusts.forget(state_dir, &held));
        }
        if let Err(error) = kept {
            tracing::error!(event = "disk_failed", %error, "the newest trust counts, and cannot be kept yet");
        }
    }

    /// Nothing before the line is known to be up: a master that never answers would be sent everything again and again.
    async fn deliver(&mut self, session: &mut Session) -> anyhow::Result<()> {
        if !matches!(self.state.borrow().line, LineState::Connected { .. }) {
            return Ok(());
        }
        for Delivery { log, number, kind, report, .. } in block_in_place(|| self.outbox.due()) {
            let report = Report {
                spool_id: log.0.to_vec(),
                sequence: number,
                at_ms: report.at_ms,
                event: report.event,
                detail: report.detail,
                kind: kind as u32,
                severity: report.severity as u32,
            };
            session.outgoing.send(FromAgent { message: Some(from_agent::Message::Report(report)) }).await?;
        }
        self.hand_over(session).await
    }

    /// The logs of the other processes, as far as the master takes them.
    async fn hand_over(&mut self, session: &mut Session) -> anyhow::Result<()> {
        let due = block_in_place(|| [self.leases.due(), self.accounting.due()]);
        for message in due.into_iter().flatten() {
            session.outgoing.send(message).await?;
        }
        Ok(())
    }

    /// Shows a feed as it stands; an error stays until the next success.
    fn show(&self, feed: Feed, error: Option<String>) {
        let keeper = &self.keepers[&feed];
        let view = keeper.state().view();
        let issued_at_ms = keeper.state().sealed().and_then(|sealed| self.trusts.open(sealed).ok()).map_or(0, |opened| opened.manifest().issued_at.0);
        self.clock.learn(UnixMillis(issued_at_ms));
        let is_readable = feed.kind != Kind::Auth || is_addressed_to(view, self.identity.node_id);
        self.state.send_modify(|state| {
            let wanted = state.feeds.get(&feed).and_then(|feed| feed.wanted);
            let applied = (view.epoch(), view.generation());
            let digest = keeper.state().digest().to_string();
            let (wanted, durable) = (wanted.max(Some(applied)), keeper.durable());
            state.feeds.insert(feed, FeedState { wanted, applied, durable, digest, issued_at_ms, is_readable, last_error: error });
        });
    }
}

/// Where a whole snapshot is kept until all of it has arrived.
fn arriving_path(state_dir: &Path, feed: Feed) -> PathBuf {
    feed_dir(state_dir, feed).join("arriving")
}

/// Whether the master said that a certificate is wanted, or a newer one.
fn is_about_the_certificate(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<tonic::Status>()).any(|status| status.code() == tonic::Code::Unauthenticated)
}

/// Whether the other end is there at all tells how long to wait.
fn how_it_ended(error: &anyhow::Error) -> Ended {
    let is_refused =
        |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused);
    let turned_away = |cause: &(dyn std::error::Error + 'static)| {
        let code = cause.downcast_ref::<tonic::Status>().map(tonic::Status::code);
        matches!(code, Some(tonic::Code::PermissionDenied | tonic::Code::Unauthenticated))
    };
    match () {
        () if error.chain().any(is_refused) => Ended::Refused,
        () if error.chain().any(turned_away) => Ended::TurnedAway,
        () => Ended::Lost,
    }
}

fn position(keeper: &Keeper, (epoch, generation, _, durable): Acknowledged) -> Position {
    Position {
        feed: Some(keeper.state().view().feed().into()),
        epoch: epoch.0,
        generation: generation.0,
        digest: keeper.state().digest().0.to_vec(),
        durable: durable.0,
        sealed: keeper.state().sealed().map(|sealed| sealed.bytes().to_vec()).unwrap_or_default(),
    }
}

/// A number in 0..1, so that a thousand boxes do not knock at once.
fn draw() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness the waits are merely all alike.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
