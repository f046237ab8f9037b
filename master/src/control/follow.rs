use super::Control;
use crate::db::nodes;
use crate::db::publish as db;
use crate::publish::{Frame, Latest};
use chrono::{DateTime, Utc};
use holdfast_proto::control::control_server::Control as ControlService;
use holdfast_proto::control::{
    CHUNK_BYTES, Frame as WireFrame, FromAgent, FromMaster, FullChunk, Heartbeat, Hello, Position, ReportAck, TrustUpdate, from_agent, from_master,
};
use holdfast_proto::snapshot::{Feed, Sealed};
use holdfast_proto::words::{Epoch, Generation, NodeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// An idle line still says that it lives, and what time it is.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Messages under way to one agent: pieces of a snapshot wait here while its socket is full.
const OUTGOING_LIMIT: usize = 4;

/// What an agent acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acked {
    /// Served by all its services.
    pub applied: Generation,
    /// Survives a power cut there.
    pub durable: Generation,
    /// When we heard of it.
    pub at: DateTime<Utc>,
}

/// Which agents hold a line now. Cheap to clone; every clone is the same.
#[derive(Debug, Clone, Default)]
pub struct Connected {
    lines: Arc<Mutex<BTreeMap<NodeId, u64>>>,
    /// Counts acknowledgements: whoever waits for an agent to serve something waits for this.
    acks: Arc<watch::Sender<u64>>,
    /// Counts the agents that said what they hold.
    greetings: Arc<watch::Sender<u64>>,
}

impl Connected {
    /// The agents with a line.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Moves whenever an agent acknowledged something.
    pub fn acks(&self) -> watch::Receiver<u64> {
        self.acks.subscribe()
    }

    /// Moves whenever an agent has said what it holds.
    pub fn greetings(&self) -> watch::Receiver<u64> {
        self.greetings.subscribe()
    }

    fn enter(&self, node: NodeId) -> Place {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let number = lines.values().max().copied().unwrap_or_default() + 1;
        lines.insert(node, number);
        metrics::gauge!("holdfast_agents_connected").set(lines.len() as f64);
        Place { connected: self.clone(), node, number }
    }

    fn acknowledged(&self) {
        self.acks.send_modify(|count| *count += 1);
    }
}

/// One line's entry; a newer line of the same agent takes it over.
struct Place {
    connected: Connected,
    node: NodeId,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.connected.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.get(&self.node) == Some(&self.number) {
            lines.remove(&self.node);
        }
        metrics::gauge!("holdfast_agents_connected").set(lines.len() as f64);
    }
}

#[tonic::async_trait]
impl ControlService for Control {
    type FollowStream = ReceiverStream<Result<FromMaster, Status>>;

    async fn follow(&self, request: Request<Streaming<FromAgent>>) -> Result<Response<Self::FollowStream>, Status> {
        let node = self.admit(&request, Some("agent")).await?;
        let (outgoing, stream) = mpsc::channel(OUTGOING_LIMIT);
        let line = Line {
            control: self.clone(),
            node: NodeId(*node.id.as_bytes()),
            name: node.name,
            outgoing,
            positions: BTreeMap::new(),
            last_full: BTreeMap::new(),
            trust_sent: 0,
        };
        tokio::spawn(line.run(request.into_inner()));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Where an agent is with one feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At {
    epoch: Epoch,
    generation: Generation,
    /// Something is under way that it has not acknowledged: its credit is used.
    waiting: bool,
    /// The next thing must be the whole snapshot.
    wants_full: bool,
    /// It keeps out what there is; it is tried again when there is something newer than this.
    stuck_at: Option<Generation>,
}

/// One agent's line. All that the master keeps of it is where it is.
struct Line {
    control: Control,
    node: NodeId,
    name: String,
    outgoing: mpsc::Sender<Result<FromMaster, Status>>,
    positions: BTreeMap<Feed, At>,
    /// For which generation the whole snapshot was last sent because the agent asked for it.
    last_full: BTreeMap<Feed, Generation>,
    /// The newest trust that it has, or that is on its way to it.
    trust_sent: u32,
}

impl Line {
    async fn run(mut self, mut incoming: Streaming<FromAgent>) {
        let place = self.control.connected.enter(self.node);
        let why = match self.follow(&mut incoming).await {
            Ok(()) => "it hung up".to_owned(),
            Err(status) => status.message().to_owned(),
        };
        drop(place);
        tracing::info!(event = "agent_gone", agent = self.name, why, "an agent's line ended");
    }

    async fn follow(&mut self, incoming: &mut Streaming<FromAgent>) -> Result<(), Status> {
        let Some(from_agent::Message::Hello(hello)) = incoming.message().await?.and_then(|message| message.message) else {
            return Err(Status::invalid_argument("a line starts with Hello"));
        };
        self.greet(&hello).await?;
        let mut latest = self.control.latest.clone();
        let (mut heartbeat, mut revoked, mut keys) = (tokio::time::interval(HEARTBEAT), self.control.revoked.clone(), self.control.keys.clone());
        loop {
            if revoked.borrow_and_update().contains(&self.node) {
                return Err(Status::permission_denied("the box was revoked"));
            }
            let newest = Arc::clone(&latest.borrow_and_update());
            // A newer trust before what is signed under it.
            self.send_trust().await?;
            self.send_what_is_due(&newest).await?;
            // Acknowledgements first: they are what lets the next generation out.
            tokio::select! {
                biased;
                message = incoming.message() => match message?.and_then(|message| message.message) {
                    Some(message) => self.on_message(message).await?,
                    None => return Ok(()),
                },
                Ok(()) = revoked.changed() => {}
                Ok(()) = keys.changed() => {}
                changed = latest.changed() => changed.map_err(|_| Status::unavailable("the master stops"))?,
                _ = heartbeat.tick() => self.send(heartbeat_of(&newest)).await?,
            }
        }
    }

    async fn greet(&mut self, hello: &Hello) -> Result<(), Status> {
        for position in &hello.positions {
            let Some(feed) = position.feed.as_ref().and_then(|feed| feed.known()) else { continue };
            let at = At { epoch: Epoch(position.epoch), generation: Generation(position.generation), waiting: false, wants_full: false, stuck_at: None };
            self.positions.insert(feed, self.checked(feed, at, position).await);
            // A number of another history says nothing of ours.
            if self.is_published(feed, at) {
                self.remember(feed, at.generation, Generation(position.durable)).await;
            }
        }
        tracing::info!(event = "agent_connected", agent = self.name, build = hello.build, "an agent dialled in");
        let newest = Arc::clone(&self.control.latest.borrow());
        self.send(heartbeat_of(&newest)).await?;
        self.trust_sent = hello.trust_version;
        let held = self.control.keys().trust.draft().version;
        if hello.trust_version > held {
            tracing::error!(
                event = "agent_trust_is_ahead",
                agent = self.name,
                agent_version = hello.trust_version,
                version = held,
                "an agent believes a newer trust than this master has: install it from the root ceremony's folder"
            );
        }
        if let Err(error) = nodes::remember_line(&self.control.pool, self.node, &hello.build).await {
            tracing::error!(event = "database_failed", %error, "what an agent runs could not be written down");
        }
        self.control.connected.greetings.send_modify(|count| *count += 1);
        self.control.connected.acknowledged();
        self.send_trust().await
    }

    /// The trusts that the agent does not have yet, oldest first: always before what is signed under them.
    async fn send_trust(&mut self) -> Result<(), Status> {
        let keys = self.control.keys();
        for update in TrustUpdate::after(self.trust_sent, &keys.chain) {
            self.send(from_master::Message::Trust(update)).await?;
        }
        self.trust_sent = self.trust_sent.max(keys.trust.draft().version);
        Ok(())
    }

    /// An agent that is where we are must also hold what we hold; one that is ahead of us tells that *we* went back. Either is
    /// kept for the publisher, with the agent's proof.
    async fn checked(&self, feed: Feed, at: At, position: &Position) -> At {
        let latest = Arc::clone(&self.control.latest.borrow());
        let state = latest.state(feed);
        let ours = (state.view().epoch(), state.view().generation());
        let theirs = (at.epoch, at.generation);
        let differs = theirs == ours && state.digest().0[..] != position.digest[..] && at.generation.0 > 0;
        let is_fork = theirs == ours && state.sealed().is_some_and(|sealed| !position.sealed.is_empty() && sealed.bytes() != &position.sealed[..]);
        if theirs > ours || is_fork {
            tracing::error!(event = "agent_is_ahead", agent = self.name, %feed, agent_generation = at.generation.0, generation = ours.1.0,
                "an agent holds a signed generation that this master does not know: was the master restored from backup?");
            self.keep_proof(feed, at, &position.sealed).await;
        }
        At { wants_full: differs, ..at }
    }

    /// Only what is signed is kept: a box cannot stop its master by saying so.
    async fn keep_proof(&self, feed: Feed, at: At, sealed: &[u8]) {
        let is_proof = Sealed::from_bytes(sealed).is_ok_and(|sealed| self.control.keys().open_history(&sealed).is_ok());
        if is_proof && let Err(error) = nodes::put_halt(&self.control.pool, self.node, feed, (at.epoch, at.generation), sealed).await {
            tracing::error!(event = "database_failed", %error, "what an agent holds could not be written down");
        }
    }

    async fn on_message(&mut self, message: from_agent::Message) -> Result<(), Status> {
        match message {
            from_agent::Message::Ack(ack) => {
                let Some(feed) = ack.feed.as_ref().and_then(|feed| feed.known()) else { return Ok(()) };
                let at = At { epoch: Epoch(ack.epoch), generation: Generation(ack.applied), waiting: false, wants_full: false, stuck_at: None };
                // Only what was sent can be acknowledged: a box cannot make us remember what it likes.
                let expected = self.positions.get(&feed).is_some_and(|before| before.waiting) && self.is_published(feed, at);
                if expected {
                    self.positions.insert(feed, at);
                    self.remember(feed, Generation(ack.applied), Generation(ack.durable)).await;
                }
            }
            from_agent::Message::Refused(refused) => {
                let Some(feed) = refused.feed.as_ref().and_then(|feed| feed.known()) else { return Ok(()) };
                tracing::error!(event = "generation_refused", agent = self.name, %feed, why = refused.reason, "an agent kept a generation out");
                self.remember_error(Some(&format!("{feed}: {}", refused.reason))).await;
                // The whole snapshot is sent once for each generation: a box that refuses that too waits for something newer.
                let newest = self.control.latest.borrow().state(feed).view().generation();
                let want_full = refused.want_full && self.last_full.insert(feed, newest) != Some(newest);
                if let Some(at) = self.positions.get_mut(&feed) {
                    *at = At { waiting: !want_full, wants_full: want_full, stuck_at: (!want_full).then_some(newest), ..*at };
                }
            }
            from_agent::Message::Report(report) => {
                let ack = ReportAck { spool_id: report.spool_id.clone(), sequence: report.sequence };
                // Unstored reports stay in the agent's spool and come again with the next line.
                if self.control.inbox.take(self.node, &self.name, report).await {
                    self.send(from_master::Message::ReportAck(ack)).await?;
                }
            }
            from_agent::Message::Hello(_) => return Err(Status::invalid_argument("Hello comes once")),
        }
        Ok(())
    }

    async fn remember_error(&self, error: Option<&str>) {
        if let Err(error) = nodes::remember_error(&self.control.pool, self.node, error).await {
            tracing::error!(event = "database_failed", %error, "what an agent refused could not be written down");
        }
    }

    fn is_published(&self, feed: Feed, at: At) -> bool {
        let latest = self.control.latest.borrow();
        latest.feeds.get(&feed).is_some_and(|published| at.epoch == published.state.view().epoch() && at.generation <= published.state.view().generation())
    }

    async fn remember(&self, feed: Feed, applied: Generation, durable: Generation) {
        if applied.0 > 0
            && let Err(error) = db::put_served(&self.control.pool, self.node, feed, applied, durable, Utc::now()).await
        {
            tracing::error!(event = "database_failed", %error, "what an agent serves could not be written down");
        }
        self.control.connected.acknowledged();
    }

    /// For every feed with credit: the next generation, or the whole snapshot where that alone helps.
    async fn send_what_is_due(&mut self, latest: &Latest) -> Result<(), Status> {
        for (feed, published) in &latest.feeds {
            let newest = (published.state.view().epoch(), published.state.view().generation());
            let Some(at) = self.positions.get(feed).copied() else { continue };
            let tried_again = at.stuck_at.is_some_and(|stuck_at| newest.1 > stuck_at);
            if (at.waiting && !tried_again) || (!at.wants_full && (at.epoch, at.generation) >= newest) {
                continue;
            }
            match published.after(at.epoch, at.generation).filter(|frame| !at.wants_full && frame.payload.len() <= CHUNK_BYTES) {
                Some(frame) => self.send(frame_of(*feed, &frame)).await?,
                None => self.send_full(*feed, &published.state).await?,
            }
            self.positions.insert(*feed, At { waiting: true, wants_full: false, stuck_at: None, ..at });
        }
        Ok(())
    }

    async fn send_full(&self, feed: Feed, state: &holdfast_proto::snapshot::State) -> Result<(), Status> {
        let Some(sealed) = state.sealed() else { return Ok(()) };
        let rows = state.encode_rows().map_err(|damaged| Status::internal(damaged.to_string()))?;
        let total = rows.len() as u64;
        tracing::info!(event = "full_snapshot_sent", agent = self.name, %feed, generation = state.view().generation().0, bytes = total, "sending the whole snapshot");
        let pieces = rows.chunks(CHUNK_BYTES).chain(rows.is_empty().then_some(&[][..]));
        for (index, piece) in pieces.enumerate() {
            let sealed = if index == 0 { sealed.bytes().to_vec() } else { Vec::new() };
            let chunk = FullChunk { feed: Some(feed.into()), sealed, rows: piece.to_vec(), offset: (index * CHUNK_BYTES) as u64, total };
            self.send(from_master::Message::Full(chunk)).await?;
        }
        Ok(())
    }

    async fn send(&self, message: from_master::Message) -> Result<(), Status> {
        self.outgoing.send(Ok(FromMaster { message: Some(message) })).await.map_err(|_| Status::unavailable("the agent hung up"))
    }
}

fn frame_of(feed: Feed, frame: &Frame) -> from_master::Message {
    from_master::Message::Frame(WireFrame { feed: Some(feed.into()), sealed: frame.sealed.clone(), payload: frame.payload.clone() })
}

fn heartbeat_of(latest: &Latest) -> from_master::Message {
    let positions = latest.feeds.iter().map(|(feed, published)| {
        let view = published.state.view();
        Position { feed: Some((*feed).into()), epoch: view.epoch().0, generation: view.generation().0, digest: Vec::new(), durable: 0, sealed: Vec::new() }
    });
    from_master::Message::Heartbeat(Heartbeat { now_ms: Utc::now().timestamp_millis() as u64, latest: positions.collect() })
}
