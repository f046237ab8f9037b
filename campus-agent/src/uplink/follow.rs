use super::backoff::{Backoff, Ended};
use super::fetch::{Gathering, Wanted, fetch};
use super::line::{Line, Output, SILENCE_LIMIT, Taken};
use super::{FeedState, Line as LineState, State, link};
use crate::config::Folders;
use crate::reports::{Delivery, MASTER, Outbox, Spool};
use crate::store::{Changes, Floor, FloorFile, Identity, Keeper, Kept, Refusal, on_changes_in, served};
use crate::telemetry::BUILD;
use anyhow::Context;
use holdfast_proto::control::control_client::ControlClient;
use holdfast_proto::control::enrol::{renew, renewal_is_due};
use holdfast_proto::control::{AGENT_MESSAGE_LIMIT_BYTES, Arrived, FromAgent, FromMaster, Hello, Position, Report, from_agent};
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::net::tls;
use holdfast_proto::snapshot::{ApplyError, FORMAT, Feed, Trust};
use holdfast_proto::words::{Epoch, Generation, UnixMillis};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

/// How long an acknowledgement waits for the services to follow; they do within a millisecond, and one that hangs is told as such.
const SERVED_PATIENCE: Duration = Duration::from_secs(1);
/// Messages to the master that may wait in the line: acknowledgements and reports are small and few.
const OUTGOING_LIMIT: usize = 64;
/// How often the spools of the box are looked at.
const REPORTS_TICK: Duration = Duration::from_millis(250);

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
    /// The latest time that the master signed, over all lines so far: an old word must not pass for news on a new line.
    signed_time: UnixMillis,
    /// Whole snapshots of which something is there.
    gathering: BTreeMap<Feed, Gathering>,
}

/// One open stream.
struct Session {
    line: Line,
    outgoing: mpsc::Sender<FromAgent>,
    /// Whole snapshots on their way in; they end with the line, and what they gathered does not.
    fetches: JoinSet<Feed>,
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
        let signed_time = floor.time;
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
            signed_time,
            gathering: BTreeMap::new(),
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
                Some(fetched) = session.fetches.join_next() => if let Ok(feed) = fetched {
                    self.take_whole(feed, &mut session, &mut out).await;
                },
                changed = reports.changed() => {
                    changed.context("the spool is gone")?;
                    self.deliver(&mut session).await?;
                }
                _ = tick.tick() => {
                    block_in_place(|| self.keepers.values_mut().for_each(Keeper::tick));
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

    fn hello(&self) -> FromAgent {
        let positions = self.keepers.values().map(position).collect();
        let hello = Hello { build: BUILD.to_owned(), reader_version: FORMAT.into(), positions, trust_version: self.identity.trust.draft().version };
        FromAgent { message: Some(from_agent::Message::Hello(hello)) }
    }

    async fn perform(&mut self, output: Output, session: &mut Session, out: &mut Vec<Output>) -> anyhow::Result<()> {
        match output {
            Output::Send(message) => session.outgoing.send(message).await?,
            Output::Take { feed, sealed, payload, merged } => {
                let (keeper, trust, floor) = (self.keepers.get_mut(&feed).context("no keeper")?, &self.identity.trust, self.floor.of(feed));
                let taken = block_in_place(|| keeper.take_frame_above(trust, floor, &sealed, merged, &payload));
                let taken = self.settle(feed, taken).await;
                session.line.on_taken(feed, taken, out);
            }
            Output::Fetch(feed) => {
                let gathering = Arc::clone(self.gathering.entry(feed).or_default());
                let view = self.keepers.get(&feed).context("no keeper")?.state().view();
                let once_held = self.floor.of(feed).unwrap_or((Epoch(0), Generation(0))).max((view.epoch(), view.generation()));
                session.fetches.spawn(fetch(self.address.clone(), self.tls()?, Wanted { feed, once_held }, gathering));
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
            Output::Delivered { spool_id, sequence } => self.outbox.delivered(&spool_id, sequence),
            Output::Raise(event, detail) => self.spool.raise(event, detail),
        }
        Ok(())
    }

    /// The whole snapshot is there. What was gathered is forgotten, whatever the store makes of it.
    async fn take_whole(&mut self, feed: Feed, session: &mut Session, out: &mut Vec<Output>) {
        let Some(gathering) = self.gathering.remove(&feed) else { return };
        let arrived = std::mem::take(&mut *gathering.lock().unwrap_or_else(PoisonError::into_inner)).finish();
        let (Some(keeper), trust, floor) = (self.keepers.get_mut(&feed), &self.identity.trust, self.floor.of(feed)) else { return };
        let taken = block_in_place(|| keep_whole(keeper, trust, floor, arrived));
        let taken = self.settle(feed, taken).await;
        session.line.on_taken(feed, taken, out);
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

    /// Shows people what became of something that the master sent; gives what the master is to be told.
    async fn settle(&mut self, feed: Feed, taken: Result<Kept, Refusal>) -> Taken {
        match taken {
            Ok(kept) => {
                self.on_kept(feed, &kept);
                let view = self.keepers[&feed].state().view();
                let (epoch, generation) = (view.epoch(), view.generation());
                let applied = self.reached(feed, (epoch, kept.applied)).await;
                Taken::Held { epoch, generation, applied, durable: kept.durable }
            }
            Err(refusal) => {
                self.show(feed, Some(refusal.to_string()));
                let held = self.keepers[&feed].state().view().generation();
                Taken::Refused { held, reason: refusal.to_string(), wants_whole: refusal.wants_full() }
            }
        }
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
            self.spool.raise("disk_failed", format!("{feed}: generation {} cannot be kept, so the services go on with the one before: {error}", kept.applied));
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
    fn on_trust(&mut self, offered: &[Vec<u8>]) {
        match self.identity.trust.walk(offered.iter().map(Vec::as_slice)) {
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

/// Block by block, so that what the store keeps is what its head names.
fn keep_whole(keeper: &mut Keeper, trust: &Trust, floor: Option<(Epoch, Generation)>, arrived: Arrived) -> Result<Kept, Refusal> {
    let mut incoming = keeper.begin_full(trust, floor, &arrived.sealed, Some(&arrived.newest), &arrived.head)?;
    for block in arrived.blocks.into_iter().skip(incoming.first_missing()) {
        incoming.put(block).map_err(ApplyError::from)?;
    }
    keeper.take_full(incoming)
}

/// Whether the master said that a certificate is wanted, or a newer one.
fn is_about_the_certificate(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<tonic::Status>()).any(|status| status.code() == tonic::Code::Unauthenticated)
}

/// Whether the other end is there at all tells how long to wait.
fn how_it_ended(error: &anyhow::Error) -> Ended {
    let is_refused =
        |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused);
    if error.chain().any(is_refused) { Ended::Refused } else { Ended::Lost }
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
