//! What others answered, for as long as it is good and, when nobody can be asked, somewhat longer.
//!
//! Why by hand: a hit is most of what a resolver does. It costs one probe and one copy, with nothing parsed: the bytes are
//! those that go out, and only the TTLs are counted down. What it refuses: to grow over its budget (what was not asked for
//! lately makes room, by second chance), and to believe anything of a name but what was answered to a question for it.
//!
//! It is cut into shards, each behind a lock that is held for one look or one copy. Time is in seconds since some beginning.

use super::accept::Answer;
use super::question::{Form, Wanted};
use crate::dns::ExtendedError;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// More than there are threads by far.
const SHARDS: usize = 64;
/// What an entry takes beside its bytes: its place, its row in the table, its two heads.
const ENTRY_BYTES: usize = 256;
/// A failure is told again for so long before somebody is asked anew, doubled with each (RFC 9520 section 3.2).
const FAILURE_FIRST_S: u32 = 2;
const FAILURE_LIMIT_S: u32 = 60;
/// What is asked for again in the last tenth of its time is fetched before it runs out.
const REFRESH_PART: u32 = 10;
/// What is good for less is not fetched ahead.
const REFRESH_LEAST_S: u32 = 10;

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All entries together, in bytes.
    pub bytes: usize,
    /// Nothing is good for less, in seconds.
    pub ttl_floor_s: u32,
    /// Nothing is good for longer.
    pub ttl_cap_s: u32,
    /// That there is nothing is not good for longer (RFC 2308 section 5).
    pub negative_cap_s: u32,
    /// What has run out is told for so long where nobody can be asked (RFC 8767 section 5).
    pub stale_s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 << 20, ttl_floor_s: 0, ttl_cap_s: 86_400, negative_cap_s: 3600, stale_s: 3 * 86_400 }
    }
}

/// The cache of one box.
pub struct Cache {
    shards: Box<[Mutex<Shard>]>,
    hasher: foldhash::quality::RandomState,
    limits: Limits,
}

#[derive(Default)]
struct Shard {
    table: HashTable<u32>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    hand: usize,
    bytes: usize,
}

struct Entry {
    hash: u64,
    wanted: Wanted,
    answer: Option<Arc<Answer>>,
    /// When the answer came.
    since_s: u32,
    /// For how long it is good.
    ttl_s: u32,
    was_asked: bool,
    /// Somebody fetches it anew.
    is_refreshed: bool,
    /// The last attempt failed: why, until when that is told again, and for how long it was.
    failure: Option<Failure>,
}

#[derive(Clone, Copy)]
struct Failure {
    why: ExtendedError,
    until_s: u32,
    span_s: u32,
}

/// What the cache has for a question.
pub(super) enum Held<'a> {
    /// Good for so much longer; `refresh` says that whoever was told shall have it fetched anew.
    Fresh { answer: &'a Arc<Answer>, age_s: u32, refresh: bool },
    /// It has run out. `failed` says that somebody tried to have it anew and could not, a moment ago.
    Stale { answer: &'a Arc<Answer>, failed: bool },
    /// It could not be had a moment ago.
    Failed(ExtendedError),
    /// Nothing.
    Nothing,
}

/// A question in place.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) name: &'a [u8],
    pub(super) qtype: u16,
    pub(super) form: Form,
}

impl Wanted {
    pub(super) fn key(&self) -> Key<'_> {
        Key { name: &self.name, qtype: self.qtype, form: self.form }
    }
}

impl Cache {
    /// An empty one.
    pub fn new(limits: Limits) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: foldhash::quality::RandomState::default(), limits }
    }

    /// How much it may keep, and for how long.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Entries, and what they take in bytes.
    pub fn size(&self) -> (usize, usize) {
        self.shards.iter().map(lock).fold((0, 0), |(entries, bytes), shard| (entries + shard.table.len(), bytes + shard.bytes))
    }

    /// Shows what there is to `look`.
    #[inline]
    pub(super) fn look<T>(&self, key: Key<'_>, now_s: u32, look: impl FnOnce(Held<'_>) -> T) -> T {
        let hash = self.hash(key);
        let mut shard = self.shard(hash);
        let stale_s = self.limits.stale_s;
        match shard.find(hash, key) {
            Some(entry) => look(entry.held(now_s, stale_s)),
            None => look(Held::Nothing),
        }
    }

    /// An answer that is good still.
    pub fn fresh(&self, wanted: &Wanted, now_s: u32) -> Option<Arc<Answer>> {
        self.look(wanted.key(), now_s, |held| match held {
            Held::Fresh { answer, .. } => Some(Arc::clone(answer)),
            _ => None,
        })
    }

    /// Keeps an answer. One that says nothing of how long it is good for takes nothing away from what was there.
    pub fn keep(&self, answer: &Arc<Answer>, now_s: u32) {
        let cap_s = if answer.negative { self.limits.negative_cap_s.min(self.limits.ttl_cap_s) } else { self.limits.ttl_cap_s };
        let ttl_s = answer.ttl_s.max(self.limits.ttl_floor_s).min(cap_s);
        if ttl_s == 0 {
            return;
        }
        self.put(answer.wanted(), |entry| {
            entry.answer = Some(Arc::clone(answer));
            (entry.since_s, entry.ttl_s, entry.failure, entry.is_refreshed) = (now_s, ttl_s, None, false);
        });
    }

    /// Notes that an answer could not be had (RFC 9520): so that nobody is asked for it at once again. What was there stays.
    pub fn fail(&self, wanted: &Wanted, why: ExtendedError, now_s: u32) {
        self.put(wanted, |entry| {
            let before = entry.failure.filter(|failure| now_s < failure.until_s.saturating_add(FAILURE_LIMIT_S));
            let span_s = before.map_or(FAILURE_FIRST_S, |failure| (failure.span_s * 2).min(FAILURE_LIMIT_S));
            entry.failure = Some(Failure { why, until_s: now_s.saturating_add(span_s), span_s });
            entry.is_refreshed = false;
        });
    }

    /// Forgets an answer that was found to be wrong.
    pub fn forget(&self, wanted: &Wanted) {
        self.put(wanted, |entry| entry.answer = None);
    }

    /// Forgets all failures: somebody can be asked again.
    pub fn forgive(&self) {
        for shard in &self.shards {
            lock(shard).entries.iter_mut().flatten().for_each(|entry| entry.failure = None);
        }
    }

    fn put(&self, wanted: &Wanted, change: impl FnOnce(&mut Entry)) {
        let hash = self.hash(wanted.key());
        let mut shard = self.shard(hash);
        let slot = shard.slot_for(hash, wanted);
        let Shard { entries, bytes, .. } = &mut *shard;
        if let Some(entry) = entries[slot as usize].as_mut() {
            *bytes -= entry.weight();
            change(entry);
            *bytes += entry.weight();
        }
        shard.make_room(self.limits.bytes / SHARDS, slot);
    }

    fn hash(&self, key: Key<'_>) -> u64 {
        self.hasher.hash_one((key.name, key.qtype, key.form))
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The table itself uses the other end of the hash.
        lock(&self.shards[(hash >> 32) as usize % SHARDS])
    }
}

/// A shard whose holder fell over is still a whole one: each change of it is.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    fn find(&mut self, hash: u64, key: Key<'_>) -> Option<&mut Entry> {
        let entries = &self.entries;
        let slot = *self.table.find(hash, |slot| entries[*slot as usize].as_ref().is_some_and(|entry| entry.is_for(key)))?;
        self.entries[slot as usize].as_mut()
    }

    /// The place of a question, new where it has none.
    fn slot_for(&mut self, hash: u64, wanted: &Wanted) -> u32 {
        let entries = &self.entries;
        let is_it = |slot: &u32| entries[*slot as usize].as_ref().is_some_and(|entry| entry.is_for(wanted.key()));
        if let Some(slot) = self.table.find(hash, is_it) {
            return *slot;
        }
        let entry = Entry { hash, wanted: wanted.clone(), answer: None, since_s: 0, ttl_s: 0, was_asked: false, is_refreshed: false, failure: None };
        self.bytes += entry.weight();
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.entries.push(None);
                // A shard's budget is under 4 GiB by far, and an entry takes more than one byte of it.
                (self.entries.len() - 1) as u32
            }
        };
        self.entries[slot as usize] = Some(entry);
        let entries = &self.entries;
        self.table.insert_unique(hash, slot, |slot| entries[*slot as usize].as_ref().map_or(0, |entry| entry.hash));
        slot
    }

    /// Takes out what was not asked for since the hand came by last, but never what came just now.
    fn make_room(&mut self, budget_bytes: usize, newest: u32) {
        while self.bytes > budget_bytes && self.table.len() > 1 {
            let slot = self.hand % self.entries.len();
            self.hand = slot + 1;
            match &mut self.entries[slot] {
                Some(_) if slot == newest as usize => {}
                Some(entry) if entry.was_asked => entry.was_asked = false,
                Some(_) => self.take_out(slot as u32),
                None => {}
            }
        }
    }

    fn take_out(&mut self, slot: u32) {
        let Some(entry) = self.entries[slot as usize].take() else { return };
        self.bytes -= entry.weight();
        if let Ok(found) = self.table.find_entry(entry.hash, |other| *other == slot) {
            found.remove();
        }
        self.free.push(slot);
    }
}

impl Entry {
    #[inline]
    fn is_for(&self, key: Key<'_>) -> bool {
        self.wanted.qtype == key.qtype && self.wanted.form == key.form && *self.wanted.name == *key.name
    }

    fn weight(&self) -> usize {
        let answer = self.answer.as_ref().map_or(0, |answer| answer.body.len() + 2 * answer.ttls_at.len() + answer.wanted.name.len());
        ENTRY_BYTES + self.wanted.name.len() + answer
    }

    #[inline]
    fn held(&mut self, now_s: u32, stale_s: u32) -> Held<'_> {
        self.was_asked = true;
        let failure = self.failure.filter(|failure| now_s < failure.until_s);
        let age_s = now_s.saturating_sub(self.since_s);
        match (&self.answer, failure) {
            (Some(answer), _) if age_s < self.ttl_s => {
                let is_old = self.ttl_s >= REFRESH_LEAST_S && (self.ttl_s - age_s).saturating_mul(REFRESH_PART) < self.ttl_s;
                let refresh = is_old && !self.is_refreshed && failure.is_none();
                self.is_refreshed |= refresh;
                Held::Fresh { answer, age_s, refresh }
            }
            // What does not hold is not replaced by what once did.
            (_, Some(Failure { why: ExtendedError::Bogus, .. })) => Held::Failed(ExtendedError::Bogus),
            (Some(answer), failure) if age_s - self.ttl_s < stale_s => Held::Stale { answer, failed: failure.is_some() },
            (_, Some(failure)) => Held::Failed(failure.why),
            _ => Held::Nothing,
        }
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cache({:?})", self.limits)
    }
}
