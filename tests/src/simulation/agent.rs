//! A box: the real line machine and real states, around a pretend disk.

use super::disk::Disk;
use super::{FEEDS, POISON, Safeguard};
use holdfast_agent::uplink::line::{Line, Output, Taken};
use holdfast_proto::control::{ArrivedBuckets, FromAgent, FromMaster, Hello, Position, from_agent, from_master};
use holdfast_proto::snapshot::{ApplyError, Feed, Kind, Opened, Rows, Sealed, State, Table, Trust};
use holdfast_proto::words::{Epoch, Generation, NodeId, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The table that the simulation's rows are in.
pub(super) const TABLE: Table = Table(1);

/// A generation as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Served {
    pub at: (Epoch, Generation),
    pub rows: Vec<u8>,
}

/// A feed in memory and on the disk.
#[derive(Debug)]
pub(super) struct Store {
    pub state: State,
    pub disk: State,
    /// When the disk will have caught up.
    sync_at: Option<Instant>,
    /// What a box without a safeguard serves in place of its state.
    forced: Option<Served>,
    /// The highest that was ever on this disk: kept apart from it.
    pub floor: (Epoch, Generation),
    /// What was served last and felled nobody.
    well: State,
    /// What felled the services from the disk too: they serve `well` until something newer is there.
    passed_over: Option<(Epoch, Generation)>,
}

/// One box.
#[derive(Debug)]
pub(super) struct Agent {
    pub node: NodeId,
    pub stores: BTreeMap<Feed, Store>,
    pub line: Option<Line>,
    pub dial_at: Instant,
    pub is_stale: bool,
    pub signed_time: UnixMillis,
    /// Whole snapshots that are asked for and did not arrive yet.
    pub fetches: BTreeSet<Feed>,
    /// Rows of the buckets that differ, likewise.
    pub mends: BTreeSet<Feed>,
    without: Option<Safeguard>,
    /// What the box believes when it believes everybody.
    credulous: Trust,
    trust: Trust,
    /// A real store that must come to the same; then everything is synced at once.
    pub real: Option<Disk>,
}

pub(super) fn position(state: &State) -> (Epoch, Generation) {
    (state.view().epoch(), state.view().generation())
}

impl Store {
    fn new(feed: Feed) -> Self {
        let (state, disk, well) = (State::empty(feed), State::empty(feed), State::empty(feed));
        Self { state, disk, sync_at: None, forced: None, floor: (Epoch(0), Generation(0)), well, passed_over: None }
    }

    /// What the services serve: usually the newest that there is.
    pub fn serving(&self) -> &State {
        if self.passes_over() { &self.well } else { &self.state }
    }

    /// Whether the services left out what is held.
    pub fn passes_over(&self) -> bool {
        self.passed_over == Some(position(&self.state))
    }

    pub fn served(&self) -> Option<Served> {
        let of_state = || Served { at: position(self.serving()), rows: self.serving().encode_rows().expect("rows in memory") };
        let served = self.forced.clone().unwrap_or_else(of_state);
        (served.at.1 > Generation(0)).then_some(served)
    }

    fn sync(&mut self) {
        self.disk = self.state.clone();
        self.floor = self.floor.max(position(&self.disk));
        self.sync_at = None;
    }
}

impl Agent {
    pub fn new(number: u8, trust: Trust, credulous: Trust, without: Option<Safeguard>, now: Instant) -> Self {
        let stores = FEEDS.into_iter().map(|feed| (feed, Store::new(feed))).collect();
        let (line, dial_at, signed_time) = (None, now, UnixMillis(0));
        let (is_stale, fetches, mends, real) = (false, BTreeSet::new(), BTreeSet::new(), None);
        Self { node: NodeId([number; 16]), stores, line, dial_at, is_stale, signed_time, fetches, mends, without, credulous, trust, real }
    }

    /// Gives the box a real store.
    pub fn on_disk(self) -> Self {
        let real = Some(Disk::new(self.trust.clone()));
        Self { real, ..self }
    }

    /// Opens a line; gives its first words.
    pub fn dial(&mut self, now: Instant) -> FromAgent {
        self.line = Some(Line::begin(FEEDS, self.signed_time, now));
        let positions = self.stores.iter().map(|(feed, store)| Position {
            feed: Some((*feed).into()),
            epoch: store.state.view().epoch().0,
            generation: store.state.view().generation().0,
            digest: store.state.digest().0.to_vec(),
            durable: store.disk.view().generation().0,
            sealed: Vec::new(),
        });
        let hello = Hello { build: String::new(), reader_version: 1, positions: positions.collect(), trust_version: 1 };
        FromAgent { message: Some(from_agent::Message::Hello(hello)) }
    }

    /// The line is gone; it is dialled again after `wait`.
    pub fn hang_up(&mut self, now: Instant, wait: Duration) {
        if let Some(line) = self.line.take() {
            self.signed_time = line.signed_time();
        }
        self.is_stale = false;
        self.fetches.clear();
        self.mends.clear();
        self.dial_at = now + wait;
    }

    /// Hears the master; gives what to answer. `Err` breaks the line.
    pub fn hear(&mut self, message: FromMaster, now: Instant, sync: Duration) -> Result<Vec<FromAgent>, ()> {
        let Some(line) = &mut self.line else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        let is_heartbeat = matches!(message.message, Some(from_master::Message::Heartbeat(_)));
        line.on_message(message, &self.trust, now, &mut out).map_err(drop)?;
        let said = self.perform(out, now, sync);
        if is_heartbeat && self.without == Some(Safeguard::SignedTime) {
            self.is_stale = false;
        }
        Ok(said)
    }

    /// Time passes: the line looks at it, and disks catch up.
    pub fn tick(&mut self, now: Instant) -> Result<Vec<FromAgent>, ()> {
        let mut out = Vec::new();
        let synced: Vec<Feed> = self.stores.iter().filter(|(_, store)| store.sync_at.is_some_and(|at| at <= now)).map(|(feed, _)| *feed).collect();
        for feed in synced {
            let store = self.stores.get_mut(&feed).expect("a feed that is followed");
            store.sync();
            let taken = held(store, false);
            if let Some(line) = &mut self.line {
                line.on_taken(feed, taken, &mut out);
            }
        }
        if let Some(line) = self.line.as_mut().filter(|_| self.without != Some(Safeguard::Silence)) {
            line.on_tick(now, &mut out).map_err(drop)?;
        }
        Ok(self.perform(out, now, Duration::ZERO))
    }

    fn perform(&mut self, mut outputs: Vec<Output>, now: Instant, sync: Duration) -> Vec<FromAgent> {
        let mut said = Vec::new();
        while !outputs.is_empty() {
            for output in std::mem::take(&mut outputs) {
                match output {
                    Output::Send(message) => said.push(message),
                    Output::Take { feed, sealed, payload, merged } => {
                        let taken = self.take(feed, &sealed, &payload, merged, now + sync);
                        self.answer(feed, taken, &mut outputs);
                    }
                    Output::Fetch(feed) => {
                        self.fetches.insert(feed);
                    }
                    Output::Mend(feed) => {
                        self.mends.insert(feed);
                    }
                    Output::Stale(is_stale) => self.is_stale = is_stale,
                    _ => {}
                }
            }
        }
        said
    }

    fn answer(&mut self, feed: Feed, taken: Taken, outputs: &mut Vec<Output>) {
        if let Some(line) = &mut self.line {
            line.on_taken(feed, taken, outputs);
        }
    }

    fn open(&self, sealed: &[u8]) -> Result<Opened, String> {
        let trust = if self.without == Some(Safeguard::Signature) { &self.credulous } else { &self.trust };
        let sealed = Sealed::from_bytes(sealed).map_err(|wrong| wrong.to_string())?;
        trust.open(&sealed).map_err(|wrong| wrong.to_string())
    }

    fn take(&mut self, feed: Feed, sealed: &[u8], payload: &[u8], merged: bool, synced_at: Instant) -> Taken {
        let opened = self.open(sealed);
        let (without, store) = (self.without, self.stores.get_mut(&feed).expect("a feed that is followed"));
        let floor = if without == Some(Safeguard::Floor) { (Epoch(0), Generation(0)) } else { store.floor };
        let next = opened.and_then(|opened| {
            if (opened.manifest().epoch, opened.manifest().generation) < floor {
                return Err("it lies below what was held".to_owned());
            }
            let state = &store.state;
            let next = if merged { state.advance_merged(&opened, payload) } else { state.advance(&opened, payload) };
            next.inspect_err(|wrong| store.force(without, &opened, payload, wrong)).map_err(|wrong| wrong.to_string())
        });
        if let Some(real) = &mut self.real {
            real.take_frame(feed, floor, (sealed, merged, payload), &next);
        }
        let next = match next {
            Ok(next) => next,
            Err(reason) => return refused(store, reason),
        };
        store.state = next;
        store.forced = None;
        let sync_first = self.real.is_some() || feed.kind == Kind::Auth && without != Some(Safeguard::SyncFirst);
        if sync_first {
            store.sync()
        } else {
            store.sync_at = Some(synced_at)
        }
        held(store, without == Some(Safeguard::DurableAck))
    }

    /// A whole snapshot has arrived; gives what to answer.
    pub fn fetched(&mut self, feed: Feed, sealed: &[u8], rows: Vec<u8>, now: Instant) -> Vec<FromAgent> {
        self.fetches.remove(&feed);
        let (taken, mut out) = (self.take_whole(feed, sealed, rows), Vec::new());
        self.answer(feed, taken, &mut out);
        self.perform(out, now, Duration::ZERO)
    }

    /// The rows of the buckets that differ have arrived, or none are to be had; gives what to answer.
    pub fn mended(&mut self, feed: Feed, arrived: Option<&ArrivedBuckets>, now: Instant) -> Vec<FromAgent> {
        self.mends.remove(&feed);
        let mut out = Vec::new();
        match (arrived, &mut self.line) {
            (Some(arrived), _) => {
                let taken = self.take_buckets(feed, arrived);
                self.answer(feed, taken, &mut out);
            }
            (None, Some(line)) => line.on_no_buckets(feed, &mut out),
            (None, None) => {}
        }
        self.perform(out, now, Duration::ZERO)
    }

    fn take_buckets(&mut self, feed: Feed, arrived: &ArrivedBuckets) -> Taken {
        let opened = self.open(&arrived.sealed);
        let (without, store) = (self.without, self.stores.get_mut(&feed).expect("a feed that is followed"));
        let floor = if without == Some(Safeguard::Floor) { (Epoch(0), Generation(0)) } else { store.floor };
        let next = opened.and_then(|opened| {
            if (opened.manifest().epoch, opened.manifest().generation) < floor.max(position(&store.state)) {
                return Err("it lies below what was held".to_owned());
            }
            let changes = store.state.bucket_changes(&arrived.buckets, &arrived.rows);
            changes.and_then(|changes| store.state.mend(&opened, &changes)).map_err(|wrong| wrong.to_string())
        });
        if let Some(real) = &mut self.real {
            real.take_buckets(feed, floor, arrived, &next);
        }
        self.keep_synced(feed, next)
    }

    /// What comes over a connection of its own is synced before anything else happens.
    fn keep_synced(&mut self, feed: Feed, next: Result<State, String>) -> Taken {
        let store = self.stores.get_mut(&feed).expect("a feed that is followed");
        match next {
            Ok(next) => {
                store.state = next;
                store.forced = None;
                store.sync();
                held(store, false)
            }
            Err(reason) => Taken::Refused { held: store.state.view().generation(), reason, wants_whole: false },
        }
    }

    fn take_whole(&mut self, feed: Feed, sealed: &[u8], rows: Vec<u8>) -> Taken {
        let opened = self.open(sealed);
        let (without, store) = (self.without, self.stores.get_mut(&feed).expect("a feed that is followed"));
        let floor = if without == Some(Safeguard::Floor) { (Epoch(0), Generation(0)) } else { store.floor };
        let next = opened.and_then(|opened| {
            let offered = (opened.manifest().epoch, opened.manifest().generation);
            if opened.manifest().feed != feed || offered < floor.max(position(&store.state)) {
                return Err("it lies below what was held".to_owned());
            }
            State::restore(&opened, &rows).map_err(|wrong| wrong.to_string())
        });
        if let Some(real) = &mut self.real {
            real.take_whole(feed, floor, sealed, &rows, &next);
        }
        self.keep_synced(feed, next)
    }

    /// Whether the services fall over what they serve; what they do not fall over is remembered.
    pub fn is_poisoned(&mut self) -> bool {
        let store = self.stores.get_mut(&Feed::ZONE).expect("a feed that is followed");
        let is_poisoned = store.serving().view().get(TABLE, POISON).expect("rows in memory").is_some();
        if !is_poisoned && position(&store.well) != position(store.serving()) {
            store.well = store.serving().clone();
        }
        is_poisoned
    }

    /// The power went: only the disk is left. `disk_too`: a new disk was put in. What fells the services from the disk too is passed
    /// over, as the store's count of falls has it: they start with what they served before.
    pub fn lose_power(&mut self, disk_too: bool) {
        for (feed, store) in &mut self.stores {
            if disk_too {
                (store.disk, store.well, store.passed_over) = (State::empty(*feed), State::empty(*feed), None);
            }
            store.state = store.disk.clone();
            store.sync_at = None;
            store.forced = None;
        }
        if self.is_poisoned() {
            let store = self.stores.get_mut(&Feed::ZONE).expect("a feed that is followed");
            store.passed_over = Some(position(&store.disk));
        }
        let Some(real) = &mut self.real else { return };
        real.lose_power(disk_too);
        for (feed, store) in &self.stores {
            if real.held(*feed) != position(&store.disk) {
                real.differs = Some(format!("after a power cut the store holds {:?} of {feed} in place of {:?}", real.held(*feed), position(&store.disk)));
            }
        }
    }
}

fn held(store: &Store, lies: bool) -> Taken {
    let (epoch, generation) = position(&store.state);
    let on_disk = position(&store.disk);
    let durable = if lies { generation } else { on_disk.1 };
    Taken::Held { epoch, generation, applied: store.serving().view().generation(), durable }
}

fn refused(store: &Store, reason: String) -> Taken {
    // What does not continue what is held is fetched whole; here every refusal asks for it, as the hardest case.
    Taken::Refused { held: store.state.view().generation(), reason, wants_whole: true }
}

impl Store {
    /// Serves what was refused, where the safeguard that refused it is left out.
    fn force(&mut self, without: Option<Safeguard>, opened: &Opened, payload: &[u8], wrong: &ApplyError) {
        let is_left_out: bool = match wrong {
            ApplyError::NotNewer { .. } => without == Some(Safeguard::Generation),
            ApplyError::OtherDigest { .. } | ApplyError::OtherCount { .. } => without == Some(Safeguard::Digest),
            _ => false,
        };
        if !is_left_out {
            return;
        }
        let mut rows: BTreeMap<(Table, Vec<u8>), Vec<u8>> = BTreeMap::new();
        let held = self.state.encode_rows().expect("rows in memory");
        for row in Rows::new(&held).chain(Rows::new(payload)).flatten() {
            let key = (row.table, row.key.to_vec());
            match row.value {
                Some(value) => rows.insert(key, value.to_vec()),
                None => rows.remove(&key),
            };
        }
        let rows = rows.iter().map(|((table, key), value)| holdfast_proto::snapshot::RowRef { table: *table, key, value: Some(value) });
        let rows = holdfast_proto::snapshot::encode_changes(rows).expect("small rows");
        self.forced = Some(Served { at: (opened.manifest().epoch, opened.manifest().generation), rows });
    }
}
