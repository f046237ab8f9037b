use super::Control;
use super::canary::Gate;
use super::gate::News;
use super::line::{Line, Output, accounting_ack, leases_ack, report_ack};
use crate::db::{DbError, nodes};
use chrono::{DateTime, Utc};
use holdfast_proto::control::control_server::Control as ControlService;
use holdfast_proto::control::{Accounting, FromAgent, FromMaster, Leases, Report, TrustUpdate, from_agent, from_master};
use holdfast_proto::snapshot::{Feed, Sealed};
use holdfast_proto::words::{Epoch, Generation, NodeId, UnixMillis};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Messages under way to one agent: pieces of a snapshot wait here while its socket is full.
const OUTGOING_LIMIT: usize = 4;
/// A line goes on without the database: an agent takes a master that says nothing for five seconds for a dead one.
const DATABASE_PATIENCE: Duration = Duration::from_secs(1);

/// Which agents hold a line now. Cheap to clone; every clone is the same.
#[derive(Debug, Clone, Default)]
pub struct Connected {
    lines: Arc<Mutex<BTreeMap<NodeId, u64>>>,
    /// When lines ended that nobody holds any more.
    gone: Arc<Mutex<BTreeMap<NodeId, DateTime<Utc>>>>,
    /// Counts lines. No number comes a second time: an old line that lingers must not be taken for a new one.
    numbers: Arc<AtomicU64>,
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

    /// Since when an agent has no line. Nothing while it has one, and of one that had none since this master started.
    pub fn gone_since(&self, node: NodeId) -> Option<DateTime<Utc>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).get(&node).copied()
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
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        lines.insert(node, number);
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).remove(&node);
        metrics::gauge!("holdfast_agents_connected").set(lines.len() as f64);
        Place { connected: self.clone(), node, number }
    }

    pub(super) fn acknowledged(&self) {
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
            self.connected.gone.lock().unwrap_or_else(PoisonError::into_inner).insert(self.node, Utc::now());
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
        let session = Session { control: self.clone(), node: NodeId(*node.id.as_bytes()), name: node.name, outgoing };
        tokio::spawn(session.run(request.into_inner()));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// One agent's stream: does what its [`Line`] decides.
struct Session {
    control: Control,
    node: NodeId,
    name: String,
    outgoing: mpsc::Sender<Result<FromMaster, Status>>,
}

impl Session {
    async fn run(self, mut incoming: Streaming<FromAgent>) {
        let place = self.control.connected.enter(self.node);
        let ended = self.follow(&mut incoming, place.number).await;
        self.control.gate.tell(News::Gone { node: self.node, number: place.number }).await;
        drop(place);
        let why = ended.map_or_else(|status| status.message().to_owned(), |()| "it hung up".to_owned());
        tracing::info!(event = "agent_gone", agent = self.name, why, "an agent's line ended");
    }

    async fn follow(&self, incoming: &mut Streaming<FromAgent>, number: u64) -> Result<(), Status> {
        let Some(from_agent::Message::Hello(hello)) = incoming.message().await?.and_then(|message| message.message) else {
            return Err(Status::invalid_argument("a line starts with Hello"));
        };
        let (mut gates, mut signed, mut out) = (self.control.gate.subscribe(), self.control.signed.clone(), Vec::new());
        let mut line = Line::begin(self.node, &hello, &gates.borrow_and_update().clone(), Instant::now(), &mut out);
        let durable = out.iter().filter_map(|output| if let Output::Remember { feed, durable, .. } = output { Some((*feed, *durable)) } else { None });
        self.control.gate.tell(News::Stands { node: self.node, number, durable: durable.collect() }).await;
        // What it holds that we do not know must be written down before anybody counts it as greeted.
        let gate = Arc::clone(&gates.borrow_and_update());
        for output in out.drain(..) {
            self.perform(output, &gate).await?;
        }
        self.greet(&hello.build, hello.trust_version).await;
        let (mut revoked, mut keys, mut trust_sent) = (self.control.revoked.clone(), self.control.keys.clone(), hello.trust_version);
        loop {
            if revoked.borrow_and_update().contains(&self.node) {
                return Err(Status::permission_denied("the box was revoked"));
            }
            let gate = Arc::clone(&gates.borrow_and_update());
            line.on_tick(Instant::now(), now(), &signed.borrow_and_update().clone(), &gate, &mut out);
            line.send_what_is_due(&gate, Instant::now(), &mut out);
            // A newer trust before what is signed under it.
            trust_sent = self.send_trust(trust_sent).await?;
            for output in out.drain(..) {
                self.perform(output, &gate).await?;
            }
            // Acknowledgements first: they are what lets the next generation out.
            tokio::select! {
                biased;
                message = incoming.message() => match message? {
                    Some(message) => line.on_message(message.message, &gate, Instant::now(), &mut out).map_err(|wrong| Status::invalid_argument(wrong.to_string()))?,
                    None => return Ok(()),
                },
                Ok(()) = revoked.changed() => {}
                Ok(()) = keys.changed() => {}
                changed = gates.changed() => changed.map_err(|_| Status::unavailable("the master stops"))?,
                () = tokio::time::sleep_until(line.deadline().into()) => {}
            }
        }
    }

    async fn greet(&self, build: &str, trust_version: u32) {
        tracing::info!(event = "agent_connected", agent = self.name, build, "an agent dialled in");
        let held = self.control.keys().trust.draft().version;
        if trust_version > held {
            tracing::error!(
                event = "agent_trust_is_ahead",
                agent = self.name,
                agent_version = trust_version,
                version = held,
                "an agent believes a newer trust than this master has: install it from the root ceremony's folder"
            );
        }
        write_down("what an agent runs", nodes::remember_line(&self.control.pool, self.node, build)).await;
        self.control.connected.greetings.send_modify(|count| *count += 1);
        self.control.connected.acknowledged();
    }

    /// The trusts after the one that the agent has, oldest first. Gives the newest that it has then.
    async fn send_trust(&self, sent: u32) -> Result<u32, Status> {
        let keys = self.control.keys();
        for update in TrustUpdate::after(sent, &keys.chain) {
            self.send(FromMaster { message: Some(from_master::Message::Trust(update)) }).await?;
        }
        Ok(sent.max(keys.trust.draft().version))
    }

    /// Only what is signed is kept: a box cannot stop its master by saying so.
    async fn keep_proof(&self, feed: Feed, at: (Epoch, Generation), sealed: &[u8]) {
        let is_proof = Sealed::from_bytes(sealed).is_ok_and(|sealed| self.control.keys().open_history(&sealed).is_ok());
        if is_proof {
            write_down("what an agent holds", nodes::put_halt(&self.control.pool, self.node, feed, at, sealed)).await;
        }
    }

    async fn perform(&self, output: Output, gate: &Gate) -> Result<(), Status> {
        match output {
            Output::Send(message) => self.send(message).await?,
            Output::Remember { feed, applied, durable } => self.remember(feed, applied, durable, gate).await,
            Output::Alive(sent) => self.control.gate.tell(News::Alive { node: self.node, sent }).await,
            Output::Given(feed, epoch, generation) => self.control.gate.tell(News::Given { node: self.node, feed, position: (epoch, generation) }).await,
            Output::Store(report) => self.store(report).await?,
            Output::StoreLeases(leases) => self.store_leases(leases).await?,
            Output::StoreAccounting(accounting) => self.store_accounting(accounting).await?,
            Output::Refused(feed, why) => {
                tracing::error!(event = "generation_refused", agent = self.name, %feed, why, "an agent kept a generation out");
                self.control.gate.tell(News::Refused { node: self.node, feed }).await;
                write_down("what an agent refused", nodes::remember_error(&self.control.pool, self.node, Some(&format!("{feed}: {why}")))).await;
            }
            Output::IsAhead { feed, epoch, generation, sealed } => {
                tracing::error!(event = "agent_is_ahead", agent = self.name, %feed, agent_generation = generation.0,
                    "an agent holds a signed generation that this master does not know: was the master restored from backup?");
                self.keep_proof(feed, (epoch, generation), &sealed).await;
            }
        }
        Ok(())
    }

    async fn remember(&self, feed: Feed, applied: Generation, durable: Generation, gate: &Gate) {
        if gate.is_canary(self.node, feed) {
            // A box is well with what its services serve, not with what merely lies on its disk.
            self.control.gate.tell(News::Durable { node: self.node, feed, durable: durable.min(applied) }).await;
        }
        if applied > Generation(0) {
            self.control.ledger.note(self.node, feed, applied, durable);
        }
    }

    /// Unstored reports stay in the agent's spool and come again with the next line.
    async fn store(&self, report: Report) -> Result<(), Status> {
        let stored = report_ack(&report);
        let is_stored = timeout(DATABASE_PATIENCE, self.control.inbox.take(self.node, &self.name, report)).await;
        if is_stored.unwrap_or(false) { self.send(stored).await } else { Ok(()) }
    }

    /// Leases that are not stored come again.
    async fn store_leases(&self, leases: Leases) -> Result<(), Status> {
        let is_stored = timeout(DATABASE_PATIENCE, self.control.inbox.take_leases(self.node, &self.name, &leases.records)).await;
        if is_stored.unwrap_or(false) { self.send(leases_ack(&leases)).await } else { Ok(()) }
    }

    /// So does what NASs said.
    async fn store_accounting(&self, accounting: Accounting) -> Result<(), Status> {
        let is_stored = timeout(DATABASE_PATIENCE, self.control.inbox.take_accounting(self.node, &self.name, &accounting)).await;
        if is_stored.is_err() {
            // For as long as this goes on the box keeps it, and its log grows.
            let (name, records) = (&self.name, accounting.records.len());
            tracing::warn!(
                event = "accounting_late",
                agent = name,
                records,
                "the database did not store {records} accounting records of {name} in time: they come again"
            );
        }
        if is_stored.unwrap_or(false) { self.send(accounting_ack(&accounting)).await } else { Ok(()) }
    }

    async fn send(&self, message: FromMaster) -> Result<(), Status> {
        self.outgoing.send(Ok(message)).await.map_err(|_| Status::unavailable("the agent hung up"))
    }
}

/// Writes something down, if the database is there: no line ends because it is not.
async fn write_down(what: &str, writing: impl Future<Output = Result<(), DbError>>) {
    let why = match timeout(DATABASE_PATIENCE, writing).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the database does not answer".to_owned(),
    };
    tracing::error!(event = "database_failed", why, "{what} could not be written down");
}

fn now() -> UnixMillis {
    UnixMillis(Utc::now().timestamp_millis().max(0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_lingers_takes_no_younger_one_with_it() {
        let (connected, agent) = (Connected::default(), NodeId([1; 16]));
        let lingering = connected.enter(agent);
        drop(connected.enter(agent));
        let live = connected.enter(agent);
        drop(lingering);
        assert_eq!(connected.nodes(), [agent]);
        drop(live);
        assert!(connected.nodes().is_empty());
    }
}
