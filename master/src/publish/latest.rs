use super::guard::Hold;
use crate::db::publish::NewGeneration;
use holdfast_proto::snapshot::{ApplyError, Feed, Opened, Rows, State};
use holdfast_proto::words::{Epoch, Generation};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Frames kept in memory for agents that lag; one that lags more gets the whole snapshot.
const FRAMES_LIMIT: usize = 1024;
/// And not more than this much of them.
const FRAMES_LIMIT_BYTES: usize = 64 << 20;

/// A generation with more rows than this goes to one agent first.
const CANARY_ROWS: usize = 1000;

/// One generation as it goes out.
#[derive(Debug)]
pub struct Frame {
    /// What it starts from; zero: nothing.
    pub parent: Generation,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its number.
    pub generation: Generation,
    /// Manifest and signature.
    pub sealed: Vec<u8>,
    /// The delta.
    pub payload: Vec<u8>,
    /// Whether one agent should have it, and be well, before the others: it is large, or the guard was overridden for it.
    pub needs_canary: bool,
}

impl Frame {
    /// As it is stored.
    pub(super) fn as_new(&self, feed: Feed) -> NewGeneration<'_> {
        NewGeneration { feed, epoch: self.epoch, generation: self.generation, sealed: &self.sealed, payload: &self.payload }
    }
}

/// Whether a delta is so large that one agent should try it first.
pub(super) fn is_large(payload: &[u8]) -> bool {
    Rows::new(payload).nth(CANARY_ROWS).is_some()
}

/// A feed as it is published.
#[derive(Debug, Clone)]
pub struct Published {
    /// The newest state.
    pub state: State,
    frames: VecDeque<Arc<Frame>>,
    frames_bytes: usize,
}

/// Everything that is published, at one moment. Immutable: whoever follows holds one and gets the next.
#[derive(Debug, Clone)]
pub struct Latest {
    /// By feed.
    pub feeds: BTreeMap<Feed, Arc<Published>>,
    /// The feeds of which nothing is published for now.
    pub held: BTreeMap<Feed, Arc<Hold>>,
}

impl Latest {
    /// Nothing is published yet.
    pub fn empty() -> Self {
        let feeds = Feed::ALL.into_iter().map(|feed| (feed, Arc::new(Published::new(State::empty(feed)))));
        Self { feeds: feeds.collect(), held: BTreeMap::new() }
    }

    /// The state of a feed that every agent follows.
    pub fn state(&self, feed: Feed) -> &State {
        &self.feeds[&feed].state
    }

    /// The same with one generation more.
    pub fn with(&self, frame: Frame, state: State) -> Self {
        let feed = state.view().feed();
        let mut feeds = self.feeds.clone();
        feeds.insert(feed, Arc::new(self.feeds[&feed].with(frame, state)));
        Self { feeds, held: self.held.clone() }
    }

    /// The same with a feed's state as it was kept.
    pub fn restored(&self, published: Published) -> Self {
        let mut feeds = self.feeds.clone();
        feeds.insert(published.state.view().feed(), Arc::new(published));
        Self { feeds, held: self.held.clone() }
    }

    /// The same with other holds.
    pub fn holding(&self, held: BTreeMap<Feed, Arc<Hold>>) -> Self {
        Self { feeds: self.feeds.clone(), held }
    }
}

impl Published {
    /// From a state whose history is not at hand.
    pub fn new(state: State) -> Self {
        Self { state, frames: VecDeque::new(), frames_bytes: 0 }
    }

    /// Verifies and adds the next generation.
    pub fn advance(&self, opened: &Opened, sealed: Vec<u8>, payload: Vec<u8>) -> Result<Self, ApplyError> {
        let state = self.state.advance(opened, &payload)?;
        let manifest = opened.manifest();
        let needs_canary = is_large(&payload);
        let frame = Frame { parent: manifest.parent, epoch: manifest.epoch, generation: manifest.generation, sealed, payload, needs_canary };
        Ok(self.with(frame, state))
    }

    fn with(&self, frame: Frame, state: State) -> Self {
        let mut frames = self.frames.clone();
        let mut frames_bytes = self.frames_bytes + frame.payload.len();
        frames.push_back(Arc::new(frame));
        while frames.len() > FRAMES_LIMIT || frames_bytes > FRAMES_LIMIT_BYTES {
            let Some(oldest) = frames.pop_front() else { break };
            frames_bytes -= oldest.payload.len();
        }
        // Folding costs as much as the whole feed, so it waits until the overlay is a fair share of it.
        let long = state.view().overlay_len() as u64 > 4096 + state.view().row_count() / 4;
        let folded = if long { state.rebased().ok() } else { None };
        Self { state: folded.unwrap_or(state), frames, frames_bytes }
    }

    /// The generation after the one that somebody has; `None` where only the whole snapshot helps, or nothing is newer.
    pub fn after(&self, epoch: Epoch, generation: Generation) -> Option<Arc<Frame>> {
        let position = self.frames.iter().position(|frame| frame.epoch == epoch && frame.parent == generation && (generation.0 > 0 || frame.generation.0 == 1));
        position.map(|at| Arc::clone(&self.frames[at]))
    }

    /// The newest generation that is at hand as a delta.
    pub fn newest(&self) -> Option<&Frame> {
        self.frames.back().map(Arc::as_ref)
    }
}
