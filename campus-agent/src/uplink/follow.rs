use super::{FeedState, Line, State};
use crate::config::Folders;
use crate::reports::{Delivery, MASTER, Outbox, Spool};
use crate::store::{Changes, Floor, FloorFile, Identity, Keeper, Kept, Refusal, on_changes_in, served};
use crate::telemetry::BUILD;
use anyhow::Context;
use holdfast_proto::control::control_client::ControlClient;
use holdfast_proto::control::enrol::{renew, renewal_is_due};
use holdfast_proto::control::{
    AGENT_MESSAGE_LIMIT_BYTES, Ack, Frame, FromAgent, FromMaster, FullChunk, Heartbeat, Hello, Position, Refused, Report, ReportAck, TrustUpdate, from_agent,
    from_master,
};
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::net::tls;
use holdfast_proto::snapshot::{FORMAT, Feed};
use holdfast_proto::words::{Epoch, Generation, UnixMillis};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::block_in_place;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

/// Between attempts: from this, growing by 1.6 each time, to the limit; each wait is drawn between zero and that.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LIMIT: Duration = Duration::from_secs(5);
/// A master that holds the line but says nothing for this long is as good as gone; it sends a heartbeat each second.
const SILENCE_LIMIT: Duration = Duration::from_secs(5);
/// How long an acknowledgement waits for the services to follow; they do within a millisecond, and one that hangs is told as such.
const SERVED_PATIENCE: Duration = Duration::from_secs(1);
/// Messages to the master that may wait in the line: acknowledgements and reports are small and few.
const OUTGOING_LIMIT: usize = 64;
/// How often the spools of the box are looked at.
const REPORTS_TICK: Duration = Duration::from_millis(250);
/// How much a whole snapshot may be: what this build can serve.
const FULL_LIMIT_BYTES: u64 = u32::MAX as u64;

/// The line and everything it feeds: the only writer of the store.
#[derive(Debug)]
pub struct Uplink {
    identity: Identity,
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
    clock: Arc<TrustedClock>,
    state: watch::Sender<State>,
    /// The floor has risen since it was last written.
    floor_is_due: bool,
    /// A newer trust counts and is not on disk yet.
    trust_is_due: bool,
    /// Whole snapshots on their way in.
    incoming: BTreeMap<Feed, Incoming>,
}

#[derive(Debug)]
struct Incoming {
    sealed: Vec<u8>,
    rows: Vec<u8>,
}

/// One open stream.
struct Session {
    outgoing: mpsc::Sender<FromAgent>,
}

impl Uplink {
    /// Takes over the keepers; dials `address`.
    pub fn new(
        identity: Identity,
        address: String,
        folders: Folders,
        keepers: Vec<Keeper>,
        (floor_file, floor): (FloorFile, Floor),
        spool: Spool,
        clock: Arc<TrustedClock>,
    ) -> Self {
        let keepers: BTreeMap<Feed, Keeper> = keepers.into_iter().map(|keeper| (keeper.state().view().feed(), keeper)).collect();
        let outbox = Outbox::open(&folders.state, MASTER, Some(spool.clone()));
        let uplink = Self {
            identity,
            address,
            state_dir: folders.state,
            woken: on_changes_in(&folders.run),
            run_dir: folders.run,
            keepers,
            floor,
            floor_file,
            spool,
            outbox,
            clock,
            state: watch::channel(State::default()).0,
            floor_is_due: false,
            trust_is_due: false,
            incoming: BTreeMap::new(),
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
        let mut wait = RETRY_FIRST;
        loop {
            let begun = Instant::now();
            let ended = self.session().await;
            let was_connected = matches!(self.state.borrow().line, Line::Connected { .. });
            let why = ended.err().map_or_else(|| "the master closed the line".to_owned(), |error| format!("{error:#}"));
            self.cut_off(why, was_connected);
            // A line that breaks as soon as it stands must not be dialled without pause.
            if was_connected && begun.elapsed() > RETRY_LIMIT {
                wait = RETRY_FIRST;
            }
            tokio::time::sleep(wait.mul_f64(draw())).await;
            wait = wait.mul_f64(1.6).min(RETRY_LIMIT);
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
        self.incoming.clear();
        self.state.send_modify(|state| {
            state.line = match &state.line {
                Line::CutOff { since_ms, .. } => Line::CutOff { since_ms: *since_ms, why },
                _ => Line::CutOff { since_ms, why },
            }
        });
    }

    /// One connection, from dialling to its end.
    async fn session(&mut self) -> anyhow::Result<()> {
        let mut channel = tls::dial(&self.address, self.tls()?).await.with_context(|| format!("dialling {}", self.address))?;
        if renewal_is_due(&self.identity.chain, self.clock.now()) && self.renew(channel.clone()).await {
            channel = tls::dial(&self.address, self.tls()?).await.with_context(|| format!("dialling {}", self.address))?;
        }
        let (outgoing, queue) = mpsc::channel(OUTGOING_LIMIT);
        outgoing.send(self.hello()).await?;
        let mut client = ControlClient::new(channel).max_decoding_message_size(AGENT_MESSAGE_LIMIT_BYTES);
        let opened = timeout(SILENCE_LIMIT, client.follow(ReceiverStream::new(queue))).await.context("the master did not open the stream")?;
        let stream = opened.context("opening the stream")?.into_inner();
        self.outbox.rewind();
        self.follow(stream, Session { outgoing }).await
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
        if let Err(error) = block_in_place(|| self.identity.keep(&self.state_dir)) {
            tracing::error!(event = "disk_failed", %error, "the renewed certificate cannot be kept");
        }
        tracing::info!(event = "certificate_renewed", "the master renewed this box's certificate");
        true
    }

    async fn follow(&mut self, mut stream: Streaming<FromMaster>, mut session: Session) -> anyhow::Result<()> {
        let mut reports = self.spool.subscribe();
        // The other processes of the box cannot wake this one.
        let mut tick = tokio::time::interval(REPORTS_TICK);
        loop {
            // The master's words first: a generation must not wait for a report.
            tokio::select! {
                biased;
                message = timeout(SILENCE_LIMIT, stream.message()) => {
                    let message = message.context("the master fell silent")??.and_then(|message| message.message);
                    let Some(message) = message else { return Ok(()) };
                    self.on_message(message, &mut session).await?;
                }
                changed = reports.changed() => {
                    changed.context("the spool is gone")?;
                    self.deliver(&mut session).await?;
                }
                _ = tick.tick() => self.deliver(&mut session).await?,
            }
        }
    }

    fn hello(&self) -> FromAgent {
        let positions = self.keepers.values().map(position).collect();
        let hello = Hello { build: BUILD.to_owned(), reader_version: FORMAT.into(), positions, trust_version: self.identity.trust.draft().version };
        FromAgent { message: Some(from_agent::Message::Hello(hello)) }
    }

    async fn on_message(&mut self, message: from_master::Message, session: &mut Session) -> anyhow::Result<()> {
        match message {
            from_master::Message::Heartbeat(heartbeat) => self.on_heartbeat(heartbeat, session).await,
            from_master::Message::Frame(frame) => self.on_frame(frame, session).await,
            from_master::Message::Full(chunk) => self.on_chunk(chunk, session).await,
            from_master::Message::Trust(update) => {
                self.on_trust(&update);
                Ok(())
            }
            from_master::Message::ReportAck(ack) => {
                self.on_report_ack(&ack);
                Ok(())
            }
        }
    }

    async fn on_heartbeat(&mut self, heartbeat: Heartbeat, session: &mut Session) -> anyhow::Result<()> {
        self.clock.learn(UnixMillis(heartbeat.now_ms));
        self.keep_floor();
        if !matches!(self.state.borrow().line, Line::Connected { .. }) {
            let since_ms = self.clock.now().0;
            tracing::info!(event = "uplink_connected", master = self.address, "the line to the master is up");
            metrics::gauge!("holdfast_uplink_connected").set(1.0);
            self.state.send_modify(|state| state.line = Line::Connected { since_ms });
            self.deliver(session).await?;
        }
        self.state.send_if_modified(|state| {
            let before = state.clone();
            for latest in &heartbeat.latest {
                let feed = latest.feed.as_ref().and_then(|feed| feed.known()).and_then(|feed| state.feeds.get_mut(&feed));
                if let Some(feed) = feed {
                    feed.wanted = Some((holdfast_proto::words::Epoch(latest.epoch), holdfast_proto::words::Generation(latest.generation)));
                }
            }
            *state != before
        });
        Ok(())
    }

    async fn on_frame(&mut self, frame: Frame, session: &mut Session) -> anyhow::Result<()> {
        let trust = &self.identity.trust;
        let (feed, keeper) = keeper_of(&mut self.keepers, frame.feed.as_ref())?;
        let taken = block_in_place(|| keeper.take_frame(trust, &frame.sealed, false, &frame.payload));
        self.settle(feed, taken, session, true).await
    }

    async fn on_chunk(&mut self, chunk: FullChunk, session: &mut Session) -> anyhow::Result<()> {
        let feed = chunk.feed.as_ref().and_then(|feed| feed.known()).context("the master sent a feed that this build does not know")?;
        anyhow::ensure!(chunk.total <= FULL_LIMIT_BYTES, "the master offered a snapshot of {} bytes, over the limit", chunk.total);
        if chunk.offset == 0 {
            self.incoming.insert(feed, Incoming { sealed: chunk.sealed.clone(), rows: Vec::new() });
        }
        let incoming = self.incoming.get_mut(&feed).context("a piece of a snapshot came without its start")?;
        anyhow::ensure!(incoming.rows.len() as u64 == chunk.offset, "a piece of a snapshot came out of order");
        incoming.rows.extend_from_slice(&chunk.rows);
        if (incoming.rows.len() as u64) < chunk.total {
            return Ok(());
        }
        let Some(Incoming { sealed, rows }) = self.incoming.remove(&feed) else { return Ok(()) };
        let trust = &self.identity.trust;
        let (feed, keeper) = keeper_of(&mut self.keepers, chunk.feed.as_ref())?;
        let floor = self.floor.of(feed);
        let taken = block_in_place(|| keeper.take_rows(trust, floor, &sealed, &rows));
        // A whole snapshot that is no good does not become better by being sent again.
        self.settle(feed, taken, session, false).await
    }

    /// Tells the master and the people what became of something it sent.
    async fn settle(&mut self, feed: Feed, taken: Result<Kept, Refusal>, session: &mut Session, full_may_help: bool) -> anyhow::Result<()> {
        let message = match taken {
            Ok(kept) => {
                self.on_kept(feed, &kept);
                let epoch = self.keepers[&feed].state().view().epoch();
                let applied = self.reached(feed, (epoch, kept.applied)).await;
                from_agent::Message::Ack(Ack { feed: Some(feed.into()), epoch: epoch.0, applied: applied.0, durable: kept.durable.0 })
            }
            Err(refusal) => {
                self.spool.raise("snapshot_refused", format!("{feed}: {refusal}"));
                self.show(feed, Some(refusal.to_string()));
                let generation = self.keepers[&feed].state().view().generation().0;
                from_agent::Message::Refused(Refused {
                    feed: Some(feed.into()),
                    generation,
                    reason: refusal.to_string(),
                    want_full: full_may_help && refusal.wants_full(),
                })
            }
        };
        Ok(session.outgoing.send(FromAgent { message: Some(message) }).await?)
    }

    /// What all living services of a feed have come to serve: `wanted`, as soon as they do, or the least of it after a while.
    async fn reached(&mut self, feed: Feed, wanted: (Epoch, Generation)) -> Generation {
        let patience = tokio::time::Instant::now() + SERVED_PATIENCE;
        loop {
            let least = served(&self.run_dir, feed).into_iter().map(|(_, at)| at).min().unwrap_or(wanted).min(wanted);
            if least == wanted || tokio::time::timeout_at(patience, self.woken.next()).await.is_err() {
                return least.1;
            }
        }
    }

    fn on_kept(&mut self, feed: Feed, kept: &Kept) {
        if let Some(error) = &kept.disk_error {
            self.spool.raise("disk_failed", format!("{feed}: generation {} is served but not kept: {error}", kept.applied));
        } else {
            self.floor_is_due |= self.floor.raise(feed, self.keepers[&feed].durable());
            self.keep_trust();
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

    /// A newer trust counts at once for what comes in. It is kept on disk only when all that is on the disk opens under it:
    /// a power cut in between must not leave snapshots that nobody vouches for any more.
    fn on_trust(&mut self, update: &TrustUpdate) {
        match self.identity.trust.walk(update.trusts.iter().map(Vec::as_slice)) {
            Ok(trust) if trust == self.identity.trust => {}
            Ok(trust) => {
                tracing::info!(event = "trust_followed", version = trust.draft().version, "the root signed a newer trust");
                self.identity.trust = trust;
                self.trust_is_due = true;
                self.keep_trust();
            }
            Err(wrong) => self.spool.raise("trust_refused", wrong.to_string()),
        }
    }

    fn keep_trust(&mut self) {
        let opens = |keeper: &Keeper| keeper.state().sealed().is_none_or(|sealed| self.identity.trust.open(sealed).is_ok());
        if !self.trust_is_due || !self.keepers.values().all(opens) {
            return;
        }
        match block_in_place(|| Identity::keep_trust(&self.state_dir, &self.identity.trust)) {
            Ok(()) => self.trust_is_due = false,
            Err(error) => self.spool.raise("disk_failed", format!("the newer trust counts, and is not kept: {error}")),
        }
    }

    fn on_report_ack(&mut self, ack: &ReportAck) {
        self.outbox.delivered(&ack.spool_id, ack.sequence);
    }

    /// Nothing before the line is known to be up: a master that never answers would be sent everything again and again.
    async fn deliver(&mut self, session: &mut Session) -> anyhow::Result<()> {
        if !matches!(self.state.borrow().line, Line::Connected { .. }) {
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
        Ok(())
    }

    /// Shows a feed as it stands; an error stays until the next success.
    fn show(&self, feed: Feed, error: Option<String>) {
        let keeper = &self.keepers[&feed];
        let view = keeper.state().view();
        let issued_at_ms = keeper.state().sealed().and_then(|sealed| self.identity.trust.open(sealed).ok()).map_or(0, |opened| opened.manifest().issued_at.0);
        self.clock.learn(UnixMillis(issued_at_ms));
        self.state.send_modify(|state| {
            let wanted = state.feeds.get(&feed).and_then(|feed| feed.wanted);
            let applied = (view.epoch(), view.generation());
            let digest = keeper.state().digest().to_string();
            state
                .feeds
                .insert(feed, FeedState { wanted: wanted.max(Some(applied)), applied, durable: keeper.durable(), digest, issued_at_ms, last_error: error });
        });
    }
}

fn keeper_of<'a>(keepers: &'a mut BTreeMap<Feed, Keeper>, feed: Option<&holdfast_proto::control::Feed>) -> anyhow::Result<(Feed, &'a mut Keeper)> {
    let feed = feed.and_then(|feed| feed.known()).context("the master sent a feed that this build does not know")?;
    Ok((feed, keepers.get_mut(&feed).context("the master sent a feed that this box does not follow")?))
}

fn position(keeper: &Keeper) -> Position {
    let view = keeper.state().view();
    Position {
        feed: Some(view.feed().into()),
        epoch: view.epoch().0,
        generation: view.generation().0,
        digest: keeper.state().digest().0.to_vec(),
        durable: keeper.durable().1.0,
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
