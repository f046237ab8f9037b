use super::guard::Hold;
use crate::db::publish::NewGeneration;
use bytes::Bytes;
use holdfast_proto::control::{CHUNK_BYTES, FRAME_LIMIT_BYTES, Packed, pack};
use holdfast_proto::snapshot::{ApplyError, Base, Feed, Opened, Rows, Sealed, State, merge_payloads};
use holdfast_proto::words::{Epoch, Generation};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Frames kept in memory for agents that lag; one that lags more gets the whole snapshot.
const FRAMES_LIMIT: usize = 1024;
/// And not more than this much of them.
const FRAMES_LIMIT_BYTES: usize = 64 << 20;
/// Deltas of more than this together are not merged: sorting them would hold up whoever asks.
const MERGE_LIMIT_BYTES: usize = 4 * FRAME_LIMIT_BYTES;
/// Merged frames that are kept at hand, for as long as their generation is the newest.
const MERGED_LIMIT_BYTES: usize = 8 << 20;
/// A generation of more rows than this goes to one agent before it goes to all.
const GRAVE_ROWS: usize = 1000;

/// One generation as its publisher hands it over.
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
    Rows::new(payload).nth(GRAVE_ROWS).is_some()
}

/// The way to one generation as it goes out: from one buffer, to however many agents.
#[derive(Debug)]
pub struct Outgoing {
    /// What it starts from; zero: nothing.
    pub from: Generation,
    /// Its epoch.
    pub epoch: Epoch,
    /// Where it leads.
    pub generation: Generation,
    /// Manifest and signature.
    pub sealed: Bytes,
    /// The rows.
    pub payload: Bytes,
    /// Whether several generations went into it, so that nobody signed these very rows.
    pub merged: bool,
    packed: OnceLock<Packed>,
}

/// What brings somebody from where they are to the newest generation.
#[derive(Debug, Clone)]
pub enum Step {
    /// They are there, or ahead.
    Nothing,
    /// One frame.
    Frame(Arc<Outgoing>),
    /// Nothing that is at hand and small: the whole snapshot.
    Whole,
}

/// A feed as it is published.
#[derive(Debug)]
pub struct Published {
    /// The newest state.
    pub state: State,
    /// The newest of the generations so far that goes to one agent before it goes to all.
    pub grave: Option<Generation>,
    frames: VecDeque<Arc<Outgoing>>,
    frames_bytes: usize,
    /// The manifest of the generation that the state's base was folded at; `None` where that is not known.
    base_sealed: Option<Sealed>,
    /// By where they start. A thousand agents at one position cost one merge.
    merged: Mutex<BTreeMap<Generation, Arc<Outgoing>>>,
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
}

impl Latest {
    /// The same with other holds.
    pub fn holding(&self, held: BTreeMap<Feed, Arc<Hold>>) -> Self {
        Self { feeds: self.feeds.clone(), held }
    }
}

impl Published {
    /// From a state whose history is not at hand.
    pub fn new(state: State) -> Self {
        let base_sealed = state.sealed().filter(|_| state.view().overlay_len() == 0).cloned();
        Self { state, grave: None, frames: VecDeque::new(), frames_bytes: 0, base_sealed, merged: Mutex::default() }
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
        let grave = if frame.needs_canary { Some(frame.generation) } else { self.grave };
        // What starts from nothing continues nothing: no delta leads across the start of an epoch.
        let (mut frames, mut frames_bytes) = if frame.parent == Generation(0) { Default::default() } else { (self.frames.clone(), self.frames_bytes) };
        frames_bytes += frame.payload.len();
        frames.push_back(Arc::new(Outgoing::published(frame)));
        while frames.len() > FRAMES_LIMIT || frames_bytes > FRAMES_LIMIT_BYTES {
            let Some(oldest) = frames.pop_front() else { break };
            frames_bytes -= oldest.payload.len();
        }
        // Folding costs as much as the whole feed, so it waits until the overlay is a fair share of it.
        let long = state.view().overlay_len() as u64 > 4096 + state.view().row_count() / 4;
        let folded = if long { state.rebased().ok() } else { None };
        let base_sealed = if folded.is_some() { state.sealed().cloned() } else { self.base_sealed.clone() };
        Self { state: folded.unwrap_or(state), grave, frames, frames_bytes, base_sealed, merged: Mutex::default() }
    }

    /// The epoch and number of the newest generation.
    pub fn position(&self) -> (Epoch, Generation) {
        (self.state.view().epoch(), self.state.view().generation())
    }

    /// What was signed under this number, where it is at hand.
    pub fn sealed_at(&self, epoch: Epoch, generation: Generation) -> Option<&[u8]> {
        if (epoch, generation) == self.position() {
            return self.state.sealed().map(Sealed::bytes);
        }
        self.frames.iter().find(|frame| (frame.epoch, frame.generation) == (epoch, generation)).map(|frame| &frame.sealed[..])
    }

    /// What brings somebody who has this generation to the newest: the frame as it was published where exactly that one is
    /// missing, else one frame merged of all that are.
    pub fn step(&self, epoch: Epoch, generation: Generation) -> Step {
        if (epoch, generation) >= self.position() {
            return Step::Nothing;
        }
        let found = match self.starting_at(epoch, generation) {
            Some(last) if last + 1 == self.frames.len() => Some(Arc::clone(&self.frames[last])),
            Some(first) => self.merged(first),
            None => self.since_base(epoch, generation),
        };
        found.filter(|frame| frame.is_small()).map_or(Step::Whole, Step::Frame)
    }

    /// All frames from this place on as one; `None` where that would be too much.
    fn merged(&self, first: usize) -> Option<Arc<Outgoing>> {
        let missing = self.frames.range(first..);
        if missing.clone().map(|frame| frame.payload.len()).sum::<usize>() > MERGE_LIMIT_BYTES {
            return None;
        }
        // What is kept was verified, so it merges.
        self.shared(self.frames[first].from, || merge_payloads(missing.map(|frame| &frame.payload[..])).ok())
    }

    /// What changed since the base, for whoever has it or something after it: reaches further back than the frames.
    fn since_base(&self, epoch: Epoch, generation: Generation) -> Option<Arc<Outgoing>> {
        let base = self.state.base().head();
        let is_after = base.generation > Generation(0) && generation >= base.generation && epoch == base.epoch && epoch == self.position().0;
        if is_after { self.shared(generation, || Some(self.state.changes_since_base())) } else { None }
    }

    /// The base that the newest manifest names, with its epoch, generation and manifest: whoever fetches it need not audit it,
    /// and nobody has to fold the newest state for them.
    pub fn named_base(&self) -> Option<((Epoch, Generation), Sealed, Arc<Base>)> {
        let (base, newest) = (self.state.base(), self.state.sealed()?.claims().ok()?);
        let is_named = newest.base_root == base.root() && newest.base_generation == base.head().generation && newest.epoch == base.head().epoch;
        let (sealed, at) = (self.base_sealed.clone()?, (base.head().epoch, base.head().generation));
        let claims = sealed.claims().ok()?;
        (is_named && (claims.epoch, claims.generation) == at).then(|| (at, sealed, Arc::clone(base)))
    }

    /// The one merged frame from a generation to the newest.
    fn shared(&self, from: Generation, payload: impl FnOnce() -> Option<Vec<u8>>) -> Option<Arc<Outgoing>> {
        // Held while merging: the others who ask for the same want to wait for it, not to do it as well.
        let mut kept = self.merged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get(&from) {
            return Some(Arc::clone(known));
        }
        let (epoch, generation) = self.position();
        let (sealed, payload) = (self.state.sealed()?.bytes().to_vec().into(), payload()?.into());
        let merged = Arc::new(Outgoing { from, epoch, generation, sealed, payload, merged: true, packed: OnceLock::new() });
        if kept.values().map(|frame| frame.payload.len()).sum::<usize>() + merged.payload.len() > MERGED_LIMIT_BYTES {
            kept.clear();
        }
        kept.insert(from, Arc::clone(&merged));
        Some(merged)
    }

    /// The generation after the one that somebody has, as it was published; `None` where it is not at hand, or nothing is newer.
    pub fn after(&self, epoch: Epoch, generation: Generation) -> Option<Arc<Outgoing>> {
        self.starting_at(epoch, generation).map(|at| Arc::clone(&self.frames[at]))
    }

    fn starting_at(&self, epoch: Epoch, generation: Generation) -> Option<usize> {
        self.frames.iter().position(|frame| frame.from == generation && (frame.epoch == epoch || generation == Generation(0)))
    }

    /// The newest generation that is at hand as a delta.
    pub fn newest(&self) -> Option<&Outgoing> {
        self.frames.back().map(Arc::as_ref)
    }
}

impl Outgoing {
    fn published(frame: Frame) -> Self {
        let (from, epoch, generation) = (frame.parent, frame.epoch, frame.generation);
        Self { from, epoch, generation, sealed: frame.sealed.into(), payload: frame.payload.into(), merged: false, packed: OnceLock::new() }
    }

    /// As it is stored: as it was published.
    pub(super) fn as_new(&self, feed: Feed) -> NewGeneration<'_> {
        NewGeneration { feed, epoch: self.epoch, generation: self.generation, sealed: &self.sealed, payload: &self.payload }
    }

    /// The rows as they travel, packed once.
    pub fn packed(&self) -> &Packed {
        self.packed.get_or_init(|| pack(self.payload.clone()))
    }

    /// Whether it fits into a message.
    fn is_small(&self) -> bool {
        self.payload.len() <= FRAME_LIMIT_BYTES && self.packed().bytes.len() <= CHUNK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::snapshot::{Change, Family, Grant, Institution, Kind, SigningKey, Stamp, Table, Trust, TrustDraft};
    use holdfast_proto::words::UnixMillis;

    const T: Table = Table(1);

    struct Site {
        key: SigningKey,
        trust: Trust,
        latest: Latest,
        /// Every state so far, oldest first.
        states: Vec<State>,
    }

    impl Site {
        fn new() -> Self {
            let key = SigningKey::generate().unwrap().0;
            let grants = vec![Grant { key: key.public(), kind: Kind::Zone, family: Family::Whole }];
            let (institution, name) = (Institution([1; 16]), "University of Examples".to_owned());
            let draft = TrustDraft { version: 1, institution, name, epoch: Epoch(1), threshold: 1, roots: vec![key.public()], grants, authorities: Vec::new() };
            let trust = draft.sign(&[&key]).unwrap();
            Self { key, trust, latest: Latest::empty(), states: vec![State::empty(Feed::ZONE)] }
        }

        fn publish(&mut self, epoch: u32, changes: Vec<Change>) {
            let state = self.latest.state(Feed::ZONE);
            let stamp = Stamp { institution: Institution([1; 16]), epoch: Epoch(epoch), issued_at: UnixMillis(1), soft_age_s: 0, hard_age_s: 0 };
            let (sealed, payload, next) = state.compose(changes).unwrap().unwrap().seal(&self.key, stamp).unwrap();
            let opened = self.trust.open(&sealed).unwrap();
            let (parent, epoch, generation) = (opened.manifest().parent, Epoch(epoch), next.view().generation());
            self.states.push(next.clone());
            self.latest =
                self.latest.with(Frame { parent, epoch, generation, sealed: sealed.bytes().to_vec(), needs_canary: is_large(&payload), payload }, next);
        }

        fn zone(&self) -> &Published {
            &self.latest.feeds[&Feed::ZONE]
        }

        /// Takes one step from a state as an agent does; gives whether the frame was merged.
        fn step_from(&self, state: &State) -> Option<bool> {
            let Step::Frame(frame) = self.zone().step(state.view().epoch(), state.view().generation()) else { return None };
            let opened = self.trust.open(&holdfast_proto::snapshot::Sealed::from_bytes(&frame.sealed).unwrap()).unwrap();
            let next = if frame.merged { state.advance_merged(&opened, &frame.payload) } else { state.advance(&opened, &frame.payload) };
            assert_eq!(next.unwrap().digest(), self.zone().state.digest());
            Some(frame.merged)
        }
    }

    fn put(key: u32, value: &str) -> Change {
        Change::put(T, key.to_be_bytes(), value)
    }

    #[test]
    fn one_step_leads_from_anywhere_to_the_newest() {
        let mut site = Site::new();
        for round in 0..20 {
            site.publish(1, vec![put(round % 7, &round.to_string()), put(100 + round, "new")]);
        }
        for (lag, state) in site.states.iter().rev().enumerate().skip(1) {
            assert_eq!(site.step_from(state), Some(lag > 1), "{lag} generations behind");
        }
        assert!(matches!(site.zone().step(Epoch(1), Generation(20)), Step::Nothing));
        assert!(matches!(site.zone().step(Epoch(1), Generation(21)), Step::Nothing), "whoever is ahead gets nothing");
    }

    #[test]
    fn those_who_lag_alike_share_one_merge() {
        let mut site = Site::new();
        (0..5).for_each(|round| site.publish(1, vec![put(round, "x")]));
        let step = || match site.zone().step(Epoch(1), Generation(2)) {
            Step::Frame(frame) => frame,
            other => panic!("{other:?}"),
        };
        assert!(Arc::ptr_eq(&step(), &step()));
        assert_eq!(step().packed().bytes.as_ptr(), step().packed().bytes.as_ptr());
    }

    #[test]
    fn nothing_is_merged_across_the_start_of_an_epoch() {
        let mut site = Site::new();
        site.publish(1, vec![put(1, "a"), put(2, "b")]);
        site.publish(1, vec![put(3, "c")]);
        let old = site.states[1].clone();
        site.publish(2, vec![Change::delete(T, 1u32.to_be_bytes())]);
        assert_eq!(site.step_from(&old), None, "what somebody holds of another epoch is no ground to build on");
        assert_eq!(site.step_from(&State::empty(Feed::ZONE)), Some(false), "the first generation of an epoch carries all there is");
        site.publish(2, vec![put(4, "d")]);
        assert_eq!(site.step_from(&old), None);
    }

    #[test]
    fn what_changed_since_the_base_leads_on_where_the_frames_are_gone() {
        let mut site = Site::new();
        (0..10).for_each(|round| site.publish(1, vec![put(round, "x")]));
        let published = Published::new(site.states[4].rebased().unwrap());
        let restored = site.zone().frames.range(4..).fold(published, |published, frame| {
            let opened = site.trust.open(&holdfast_proto::snapshot::Sealed::from_bytes(&frame.sealed).unwrap()).unwrap();
            published.advance(&opened, frame.sealed.to_vec(), frame.payload.to_vec()).unwrap()
        });
        let mut forgetful = Published::new(restored.state);
        forgetful.frames.clear();
        site.latest = Latest::empty().restored(forgetful);
        for state in &site.states[4..10] {
            assert_eq!(site.step_from(state), Some(true));
        }
        assert_eq!(site.step_from(&site.states[3]), None, "it lies before the base");
    }

    #[test]
    fn the_base_that_the_newest_manifest_names_is_at_hand_with_its_own() {
        let mut site = Site::new();
        site.publish(1, (0..8000).map(|key| put(key, "x")).collect());
        assert!(site.zone().named_base().is_none(), "folded just now, and no manifest names it yet");
        site.publish(1, vec![put(1, "y")]);
        let (at, sealed, base) = site.zone().named_base().unwrap();
        assert_eq!((at, sealed.claims().unwrap().generation, base.head().generation), ((Epoch(1), Generation(1)), Generation(1), Generation(1)));
        assert_eq!(base.root(), site.zone().state.sealed().unwrap().claims().unwrap().base_root);
        let fetched = State::vouched(sealed, base);
        assert_eq!(site.step_from(&fetched), Some(false), "and a frame leads on");
        let restored = Published::new(site.states[1].rebased().unwrap());
        assert!(restored.named_base().is_none());
    }

    #[test]
    fn what_would_be_too_large_for_a_frame_is_fetched_whole() {
        let mut site = Site::new();
        site.publish(1, vec![put(0, "x")]);
        let mut noise = blake3_noise();
        site.publish(1, (0..40_000).map(|key| Change::put(T, u32::to_be_bytes(key), noise.by_ref().take(16).collect::<Vec<u8>>())).collect());
        assert!(matches!(site.zone().step(Epoch(1), Generation(1)), Step::Whole));
        assert_eq!(site.zone().grave, Some(Generation(2)));
    }

    /// Bytes that do not pack.
    fn blake3_noise() -> impl Iterator<Item = u8> {
        (0u64..).flat_map(|seed| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &seed.to_le_bytes()).as_ref().to_vec())
    }
}
