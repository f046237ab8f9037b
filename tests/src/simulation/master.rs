//! The master: real states, ring, canaries and lines, around a pretend database and a clock that can be turned.

use super::agent::TABLE;
use super::{Dice, FEEDS, POISON, Safeguard};
use bytes::Bytes;
use holdfast_master::control::canary::{Canaries, Gate, Song};
use holdfast_master::control::line::{Line, Output};
use holdfast_master::publish::{Frame, Latest};
use holdfast_proto::control::{Ack, ArrivedBuckets, FromAgent, FromMaster, Mend, Mending, from_agent, from_master};
use holdfast_proto::snapshot::{Change, Feed, Institution, Newest, Rows, Sealed, SignedHeartbeat, SigningKey, Stamp, State, Trust};
use holdfast_proto::words::{Epoch, Generation, NodeId, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whose data it is.
pub(super) const INSTITUTION: Institution = Institution([7; 16]);
/// The world begins at the end of 2026.
const BEGIN_MS: u64 = 1_798_000_000_000;
/// A generation that is grave has more rows than this.
const GRAVE_ROWS: u64 = 1000;

/// Whether the publisher would have one agent try it first.
fn is_large(payload: &[u8]) -> bool {
    Rows::new(payload).nth(GRAVE_ROWS as usize).is_some()
}

/// A generation as the database keeps it.
#[derive(Debug, Clone)]
struct Stored {
    sealed: Vec<u8>,
    payload: Vec<u8>,
}

/// The master, whether it runs or not.
#[derive(Debug)]
pub(super) struct Master {
    key: SigningKey,
    trust: Trust,
    pub latest: Arc<Latest>,
    stored: BTreeMap<Feed, Vec<Stored>>,
    /// The rows of every generation that was ever stored: the truth.
    pub history: BTreeMap<(Feed, Epoch, Generation), Vec<u8>>,
    pub canaries: Canaries,
    pub lines: BTreeMap<NodeId, (u64, Line)>,
    /// What each agent said is on its disk.
    pub durable: BTreeMap<(NodeId, Feed), Generation>,
    /// Whom the canaries named to try something.
    pub named: BTreeSet<NodeId>,
    pub is_up: bool,
    started: Instant,
    /// The wall clock, in place of the time since the start.
    pub wall: Option<UnixMillis>,
    signed: Bytes,
    signed_at: Instant,
    without: Option<Safeguard>,
    rows: u64,
}

impl Master {
    pub fn new(key: SigningKey, trust: Trust, without: Option<Safeguard>, now: Instant) -> Self {
        let latest = Arc::new(Latest::empty());
        let mut master = Self {
            key,
            trust,
            canaries: Canaries::new(Arc::clone(&latest)),
            latest,
            stored: FEEDS.into_iter().map(|feed| (feed, Vec::new())).collect(),
            history: BTreeMap::new(),
            lines: BTreeMap::new(),
            durable: BTreeMap::new(),
            named: BTreeSet::new(),
            is_up: true,
            started: now,
            wall: None,
            signed: Bytes::new(),
            signed_at: now,
            without,
            rows: 0,
        };
        master.sign(now);
        master
    }

    /// The master's wall clock: what it signs.
    pub fn time(&self, now: Instant) -> UnixMillis {
        self.wall.unwrap_or(UnixMillis(BEGIN_MS + now.duration_since(self.started).as_millis() as u64))
    }

    pub fn stamp(&self, now: Instant) -> Stamp {
        Stamp { institution: INSTITUTION, epoch: Epoch(1), issued_at: self.time(now), soft_age_s: 60, hard_age_s: 0 }
    }

    fn sign(&mut self, now: Instant) {
        let newest = FEEDS.map(|feed| {
            let (epoch, generation) = self.latest.feeds[&feed].position();
            Newest { feed, epoch, generation }
        });
        let word = SignedHeartbeat { institution: INSTITUTION, time: self.time(now), newest: newest.to_vec() };
        self.signed = word.seal(&self.key).into();
        self.signed_at = now;
    }

    /// Everybody who listens is cut off; what is in memory is gone.
    pub fn stop(&mut self) {
        self.listen();
        self.is_up = false;
        self.lines.clear();
    }

    /// Reads back what the database has, verifying it.
    pub fn start(&mut self, now: Instant) {
        let mut latest = Latest::empty();
        for (feed, stored) in &self.stored {
            let mut published = holdfast_master::publish::Published::new(holdfast_proto::snapshot::State::empty(*feed));
            for generation in stored {
                let opened = self.trust.open(&Sealed::from_bytes(&generation.sealed).expect("stored whole")).expect("our own signature");
                published = published.advance(&opened, generation.sealed.clone(), generation.payload.clone()).expect("what was stored continues");
            }
            latest = latest.restored(published);
        }
        self.latest = Arc::new(latest);
        self.canaries = Canaries::new(Arc::clone(&self.latest));
        self.is_up = true;
        self.sign(now);
    }

    /// Some edits become a generation. `announce` is false where the master dies between storing and telling.
    pub fn publish(&mut self, feed: Feed, changes: Vec<Change>, announce: bool, now: Instant) {
        let state = self.latest.state(feed);
        let parent = state.view().generation();
        let Some(draft) = state.compose(changes).expect("small rows") else { return };
        let (sealed, payload, next) = draft.seal(&self.key, self.stamp(now)).expect("rows in memory");
        let (epoch, generation) = (next.view().epoch(), next.view().generation());
        self.history.insert((feed, epoch, generation), next.encode_rows().expect("rows in memory"));
        let sealed = sealed.bytes().to_vec();
        self.stored.entry(feed).or_default().push(Stored { sealed: sealed.clone(), payload: payload.clone() });
        if announce {
            self.latest = Arc::new(self.latest.with(Frame { parent, epoch, generation, sealed, needs_canary: is_large(&payload), payload }, next));
            self.canaries.on_latest(Arc::clone(&self.latest), now);
        }
    }

    /// What somebody at a keyboard might do.
    pub fn edit(&mut self, dice: &mut Dice) -> (Feed, Vec<Change>) {
        let feed = FEEDS[dice.below(FEEDS.len())];
        let change = |dice: &mut Dice| {
            let key = format!("host-{}", dice.below(40)).into_bytes();
            if dice.once_in(4) { Change::delete(TABLE, key) } else { Change::put(TABLE, key, dice.roll().to_le_bytes()) }
        };
        (feed, (0..=dice.below(4)).map(|_| change(dice)).collect())
    }

    /// A grave generation that fells whoever applies it.
    pub fn poison(&mut self) -> Vec<Change> {
        self.rows += 1;
        let grave = (0..GRAVE_ROWS).map(|row| Change::put(TABLE, format!("import-{row}").into_bytes(), self.rows.to_le_bytes()));
        grave.chain([Change::put(TABLE, POISON, b"!".to_vec())]).collect()
    }

    /// What takes it away again.
    pub fn cure() -> Vec<Change> {
        let grave = (0..GRAVE_ROWS).map(|row| Change::delete(TABLE, format!("import-{row}").into_bytes()));
        grave.chain([Change::delete(TABLE, POISON)]).collect()
    }

    fn gate(&self) -> Gate {
        if self.without == Some(Safeguard::Canary) { Gate::open(Arc::clone(&self.latest)) } else { self.canaries.gate() }
    }

    /// Hears an agent; gives what to say. `Err` ends its line.
    pub fn hear(&mut self, node: NodeId, number: u64, message: FromAgent, now: Instant) -> Result<Vec<FromMaster>, ()> {
        let (gate, mut out) = (self.gate(), Vec::new());
        if let Some(from_agent::Message::Hello(hello)) = &message.message {
            let line = Line::begin(node, hello, &gate, now, &mut out);
            self.lines.insert(node, (number, line));
            let durable = out.iter().filter_map(|output| if let Output::Remember { feed, durable, .. } = output { Some((*feed, *durable)) } else { None });
            self.canaries.on_line(node, number, durable.collect(), now);
        } else {
            let Some((_, line)) = self.lines.get_mut(&node).filter(|(known, _)| *known == number) else { return Err(()) };
            line.on_message(message.message, &gate, now, &mut out).map_err(drop)?;
        }
        Ok(self.perform(node, out, now))
    }

    /// What an agent gets that fetches a whole snapshot.
    pub fn whole(&self, node: NodeId, feed: Feed) -> Option<(Bytes, Vec<u8>)> {
        let gate = self.gate();
        let state = &gate.of(node, feed)?.state;
        Some((state.sealed()?.bytes().to_vec().into(), state.encode_rows().ok()?))
    }

    /// What an agent gets that says what it holds of each bucket; `None` inside: it is better off with the whole snapshot.
    pub fn buckets(&self, node: NodeId, feed: Feed, held: &State) -> Option<Option<ArrivedBuckets>> {
        let gate = self.gate();
        let newest = &gate.of(node, feed)?.state;
        let tally = |state: &State| state.tally().expect("rows in memory");
        let Some(mend) = Mend::of(newest, &tally(newest), tally(held).marks()) else { return Some(None) };
        let mut mending = Mending::default();
        let mut pieces = std::iter::once(mend.opening()).chain(mend.pieces().map(|piece| piece.expect("rows in memory")));
        let is_all = pieces.any(|piece| mending.take(piece).expect("our own pieces"));
        is_all.then(|| Some(mending.finish()))
    }

    /// The end of a line, which may be told late.
    pub fn gone(&mut self, node: NodeId, number: u64, now: Instant) {
        if self.lines.get(&node).is_some_and(|(known, _)| *known == number) {
            self.lines.remove(&node);
            self.canaries.on_gone(node, number, now);
        }
    }

    /// Time passes.
    pub fn tick(&mut self, now: Instant) {
        if now.duration_since(self.signed_at) >= Duration::from_secs(10) {
            self.sign(now);
        }
        self.canaries.on_tick(now);
        self.listen();
    }

    /// Whom the canaries name.
    fn listen(&mut self) {
        let named = self.canaries.songs().into_iter().filter_map(|song| if let Song::Started(_, _, node) = song { Some(node) } else { None });
        self.named.extend(named);
    }

    /// What is due on a line.
    pub fn speak(&mut self, node: NodeId, now: Instant) -> Vec<FromMaster> {
        let (gate, time, mut out) = (self.gate(), self.time(now), Vec::new());
        if let Some((_, line)) = self.lines.get_mut(&node) {
            line.on_tick(now, time, &self.signed, &gate, &mut out);
            line.send_what_is_due(&gate, now, &mut out);
        }
        self.perform(node, out, now)
    }

    fn perform(&mut self, node: NodeId, outputs: Vec<Output>, now: Instant) -> Vec<FromMaster> {
        let mut said = Vec::new();
        for output in outputs {
            match output {
                Output::Send(message) => {
                    self.pretend_it_was_acknowledged(node, &message, now);
                    said.push(message);
                }
                Output::Remember { feed, durable, .. } => {
                    self.durable.insert((node, feed), durable);
                    self.canaries.on_durable(node, feed, durable, now);
                }
                Output::Alive(sent) => self.canaries.on_alive(node, sent, now),
                Output::Given(feed, epoch, generation) => self.canaries.on_given(node, feed, (epoch, generation)),
                Output::Refused(feed, _) => self.canaries.on_refused(node, feed, now),
                Output::Store(_) | Output::StoreLeases(_) | Output::StoreAccounting(_) | Output::IsAhead { .. } => {}
            }
        }
        said
    }

    /// Where credit is left out, everything counts as acknowledged when it is sent.
    fn pretend_it_was_acknowledged(&mut self, node: NodeId, message: &FromMaster, now: Instant) {
        let Some(from_master::Message::Frame(frame)) = message.message.as_ref().filter(|_| self.without == Some(Safeguard::Credit)) else { return };
        let Some(opened) = Sealed::from_bytes(&frame.sealed).ok().and_then(|sealed| self.trust.open(&sealed).ok()) else { return };
        let manifest = opened.manifest();
        let ack = Ack { feed: frame.feed, epoch: manifest.epoch.0, taken: manifest.generation.0, applied: 0, durable: 0 };
        if let Some((_, line)) = self.lines.get_mut(&node) {
            let gate = Gate::open(Arc::clone(&self.latest));
            let _ = line.on_message(Some(from_agent::Message::Ack(ack)), &gate, now, &mut Vec::new());
        }
    }
}
