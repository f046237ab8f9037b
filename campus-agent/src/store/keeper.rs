use super::base_file;
use super::incoming::Incoming;
use super::log::{Frame, Log};
use super::retry::Retry;
use super::search::{Found, Question, Resting, search};
use super::slot::{Finding, Slot};
use super::sync_parent;
use super::taking::{self, Proven, Taking};
use super::trusts::Trusts;
use super::word::{Commit, CommitWord};
use holdfast_proto::snapshot::file::{Chain, FRAME_LIMIT_BYTES, StoreKey};
use holdfast_proto::snapshot::{
    ApplyError, Base, Buckets, Feed, Hash, Kind, Manifest, ManifestError, OpenError, Opened, PayloadForm, Reader, Sealed, State, Trust, Writer, reader,
};
use holdfast_proto::words::{Epoch, Generation};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// A log is folded into a new base when it has grown to a tenth of its base, but not below this: replaying it takes milliseconds.
const LOG_FLOOR_BYTES: u64 = 4 << 20;
const LOG_LIMIT_BYTES: u64 = 64 << 20;
const LOG_SHARE_OF_BASE: u64 = 10;
/// What waits for a disk that takes nothing; with more, a new base is shorter.
const PENDING_LIMIT: usize = 1000;
/// Between two attempts on a disk that fails: at first, and at most.
const DISK_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Between two attempts to fold, or to repair damage: each reads and writes a whole base.
const BASE_RETRY: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(900));

/// The one owner of a feed's files and of its state. Everything that it lets the readers see was proven by it.
#[derive(Debug)]
pub struct Keeper {
    dir: PathBuf,
    key: StoreKey,
    word: CommitWord,
    writer: Writer,
    state: State,
    /// `None` where nothing of what is there is believed any more: readers keep what they have, and a new base is due.
    log: Option<Log>,
    /// Held, and not in the log yet: the disk did not take it.
    pending: Vec<Frame>,
    /// The readers do not know yet how far they may read.
    is_untold: bool,
    base_bytes: u64,
    has_fallback: bool,
    durable: (Epoch, Generation),
    folding: Option<Folding>,
    taking: Option<Taking>,
    /// The base has a damaged block, and so have the other files: only the line can help.
    wants_whole: bool,
    disk: Retry,
    fold: Retry,
    repairs: Retry,
}

/// A new base on its way into the other slot, and what came in meanwhile.
#[derive(Debug)]
struct Folding {
    slot: Slot,
    work: JoinHandle<io::Result<(Base, [u8; 32])>>,
    since: Vec<Frame>,
}

/// What became of an accepted generation.
#[derive(Debug)]
pub struct Kept {
    /// In the readers' reach from now on; what they serve, they say themselves.
    pub applied: Generation,
    /// Of this epoch, what survives a power cut; zero where nothing of it does.
    pub durable: Generation,
    /// Why it does not survive one yet.
    pub disk_error: Option<io::Error>,
}

/// Why something from the network was kept out. What was served before still is.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Not signed by whoever may sign it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Does not lead from what is held to what was signed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The head of a whole snapshot is not the one that a manifest names.
    #[error("the snapshot offered is not the one that a manifest names")]
    OtherRoot,
    /// A number has one content, and this box holds it.
    #[error("generation {0}.{1} is held with other contents: two masters signed under one number")]
    Forked(Epoch, Generation),
}

impl Refusal {
    /// Whether more of the snapshot would help: the state held does not continue into what is offered.
    pub fn wants_full(&self) -> bool {
        let astray = |wrong: &ApplyError| {
            matches!(wrong, ApplyError::OtherParent { .. } | ApplyError::OtherDigest { .. } | ApplyError::OtherCount { .. } | ApplyError::Damaged(_))
        };
        matches!(self, Self::Apply(wrong) if astray(wrong))
    }
}

impl Keeper {
    /// Opens a feed's folder and lets the readers see the newest proven state in it at once, however the disk is. Gives what
    /// was kept out. Fails only where the folder cannot be made.
    pub fn open(dir: &Path, run_dir: &Path, feed: Feed, trusts: &Trusts, key: &StoreKey) -> io::Result<(Self, Vec<Finding>)> {
        Slot::BOTH.into_iter().try_for_each(|slot| slot.create(dir))?;
        taking::forget(dir);
        let Found { state, mut findings, resting, has_fallback } = search(Question { dir, feed, trusts, key, thorough: false, below: None, up_to: None });
        let durable = (state.view().epoch(), state.view().generation());
        let mut keeper = Self {
            dir: dir.to_owned(),
            key: key.clone(),
            word: CommitWord::of(run_dir, feed),
            writer: reader(feed).0,
            state,
            log: None,
            pending: Vec::new(),
            is_untold: false,
            base_bytes: 0,
            has_fallback,
            durable,
            folding: None,
            taking: None,
            wants_whole: false,
            disk: Retry::new(DISK_RETRY),
            fold: Retry::new(BASE_RETRY),
            repairs: Retry::new(BASE_RETRY),
        };
        // A state that one slot alone does not lead to gets a base of its own before anything is appended.
        let settled = match resting {
            Some(resting) => keeper.reopen(resting),
            None => keeper.write_base(),
        };
        if let Err(error) = settled {
            keeper.log = None;
            keeper.durable = (Epoch(0), Generation(0));
            keeper.disk.failed();
            findings.push(Finding { path: dir.to_owned(), what: format!("cannot be written: {error}") });
        }
        keeper.commit();
        Ok((keeper, findings))
    }

    /// For whoever lives in the same process: the newest view that readers may see.
    pub fn reader(&self) -> Reader {
        self.writer.reader()
    }

    /// What is held.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The generation that survives a power cut.
    pub fn durable(&self) -> (Epoch, Generation) {
        self.durable
    }

    /// What is held.
    fn held(&self) -> (Epoch, Generation) {
        (self.state.view().epoch(), self.state.view().generation())
    }

    /// Of the epoch that is held, what survives a power cut; zero where nothing of it does.
    pub fn durable_of_epoch(&self) -> Generation {
        if self.durable.0 == self.state.view().epoch() { self.durable.1 } else { Generation(0) }
    }

    /// Whether nothing on this disk leads on: its base is damaged, and the other files are no better.
    pub fn wants_whole(&self) -> bool {
        self.wants_whole
    }

    /// The manifests that everything on the disk rests on.
    pub fn manifests(&self) -> Vec<Sealed> {
        let bases = Slot::BOTH.into_iter().filter_map(|slot| base_file::read_front(&slot.base(&self.dir), &self.key).ok()?.ok());
        self.state.sealed().cloned().into_iter().chain(bases.map(|(front, _)| front.sealed)).collect()
    }

    /// Whether the disk takes what it is given.
    pub fn disk_is_well(&self) -> bool {
        self.log.is_some() || self.state.sealed().is_none()
    }

    /// Takes the next generation, or one further on whose rows were merged from all between.
    pub fn take_frame(&mut self, trust: &Trust, sealed: &[u8], merged: bool, payload: &[u8]) -> Result<Kept, Refusal> {
        let opened = trust.open(&Sealed::from_bytes(sealed)?)?;
        let from = self.state.view().generation();
        let next = if merged { self.state.advance_merged(&opened, payload)? } else { self.state.advance(&opened, payload)? };
        let frame = Frame { sealed: opened.sealed().clone(), merged, from, payload: payload.to_vec() };
        Ok(self.keep(next, |keeper| keeper.append(frame)))
    }

    /// As [`Self::take_frame`], for what comes over the line: what lies below `floor`, the highest that was ever durable here, is
    /// refused. An empty store takes any first generation, and a disk that was lost must not open the door to the past.
    pub fn take_frame_above(
        &mut self,
        trust: &Trust,
        floor: Option<(Epoch, Generation)>,
        sealed: &[u8],
        merged: bool,
        payload: &[u8],
    ) -> Result<Kept, Refusal> {
        // Whether the claims are true is looked at next.
        self.refuse_the_past(&Sealed::from_bytes(sealed)?.claims()?, floor)?;
        self.take_frame(trust, sealed, merged, payload)
    }

    /// Begins to take a whole snapshot in blocks. `newest` is a manifest that names its root; without one, the rows are
    /// proven at the end. What lies below `floor`, the highest that was ever durable here, is refused: a disk that was lost
    /// must not open the door to the past.
    pub fn begin_full(
        &self,
        trust: &Trust,
        floor: Option<(Epoch, Generation)>,
        sealed: &[u8],
        newest: Option<&[u8]>,
        head: &[u8],
    ) -> Result<Incoming, Refusal> {
        let opened = trust.open(&Sealed::from_bytes(sealed)?)?;
        let newest = newest.map(|newest| Ok::<Opened, Refusal>(trust.open(&Sealed::from_bytes(newest)?)?)).transpose()?;
        // It is served as soon as it is here, so it must not lie below the floor, whatever newer manifest names it.
        self.refuse_the_past(opened.manifest(), floor)?;
        self.refuse_a_fork(opened.sealed())?;
        Incoming::begin(opened, newest, head).ok_or(Refusal::OtherRoot)
    }

    /// Takes a whole snapshot's rows at once, proving them by their sum.
    pub fn take_rows(&mut self, trust: &Trust, floor: Option<(Epoch, Generation)>, sealed: &[u8], rows: &[u8]) -> Result<Kept, Refusal> {
        let opened = trust.open(&Sealed::from_bytes(sealed)?)?;
        self.refuse_the_past(opened.manifest(), floor)?;
        self.refuse_a_fork(opened.sealed())?;
        let next = State::restore(&opened, rows)?;
        Ok(self.keep(next, Self::write_base))
    }

    /// Takes the rows of the buckets in which the master holds others, and the manifest of what they lead to. It may be of the
    /// very generation held: then its rows here were not the right ones.
    pub fn take_buckets(&mut self, trust: &Trust, floor: Option<(Epoch, Generation)>, sealed: &[u8], buckets: &Buckets, rows: &[u8]) -> Result<Kept, Refusal> {
        let opened = trust.open(&Sealed::from_bytes(sealed)?)?;
        self.refuse_the_past(opened.manifest(), floor)?;
        // What is held may not be what its sum says: that is one reason why it did not lead to what was signed.
        let counted = self.state.recounted().map_err(ApplyError::from)?;
        let payload = counted.bucket_changes(buckets, rows)?;
        let next = counted.mend(&opened, &payload)?;
        let from = self.state.view().generation();
        // What lies under rows that were wrong is not built upon: it would be as wrong after the next start.
        if counted.digest() != self.state.digest() || opened.manifest().generation == from {
            return Ok(self.keep(next, Self::replace_base));
        }
        let frame = Frame { sealed: opened.sealed().clone(), merged: true, from, payload };
        Ok(self.keep(next, |keeper| keeper.append(frame)))
    }

    fn refuse_the_past(&self, target: &Manifest, floor: Option<(Epoch, Generation)>) -> Result<(), ApplyError> {
        let held = self.state.view();
        if target.feed != held.feed() {
            return Err(ApplyError::OtherFeed { held: held.feed(), offered: target.feed });
        }
        let (held_epoch, held) = (held.epoch(), held.generation()).max(floor.unwrap_or((Epoch(0), Generation(0))));
        if (target.epoch, target.generation) < (held_epoch, held) {
            return Err(ApplyError::NotNewer { held_epoch, held, offered_epoch: target.epoch, offered: target.generation });
        }
        Ok(())
    }

    /// What is held may come again, to be made whole; anything else under its number may not.
    fn refuse_a_fork(&self, offered: &Sealed) -> Result<(), Refusal> {
        let target = offered.claims()?;
        let is_other = self.state.sealed().is_some_and(|sealed| sealed.bytes() != offered.bytes());
        let at = (target.epoch, target.generation);
        if at == self.held() && is_other { Err(Refusal::Forked(at.0, at.1)) } else { Ok(()) }
    }

    /// Takes a whole snapshot whose blocks have all arrived.
    pub fn take_full(&mut self, incoming: Incoming) -> Result<Kept, Refusal> {
        self.forget_taking();
        self.take_over(Taking::begin(incoming, Vec::new(), self.dir.clone(), self.key.clone(), || {}))
    }

    /// Begins to take a whole snapshot, with the `blocks` that are not in `incoming` yet, on a thread of its own; what is held
    /// stays in service meanwhile and takes frames. `done` is called when [`Self::finish_taking`] need not wait.
    pub fn begin_taking(&mut self, incoming: Incoming, blocks: Vec<Vec<u8>>, done: impl FnOnce() + Send + 'static) {
        self.forget_taking();
        self.taking = Some(Taking::begin(incoming, blocks, self.dir.clone(), self.key.clone(), done));
    }

    /// Whether a whole snapshot is being taken.
    pub fn is_taking(&self) -> bool {
        self.taking.is_some()
    }

    /// Goes over to the whole snapshot that was being taken, and waits for it where it is not ready; `None` where none was.
    pub fn finish_taking(&mut self) -> Option<Result<Kept, Refusal>> {
        let taking = self.taking.take()?;
        Some(self.take_over(taking))
    }

    fn take_over(&mut self, taking: Taking) -> Result<Kept, Refusal> {
        let taken = taking.finish().map_err(Refusal::from).and_then(|proven| self.take_proven(proven));
        taking::forget(&self.dir);
        taken
    }

    fn take_proven(&mut self, Proven { state, written }: Proven) -> Result<Kept, Refusal> {
        if let Some(sealed) = state.sealed() {
            // The frames that came meanwhile may have led further.
            self.refuse_the_past(&sealed.claims()?, None)?;
            self.refuse_a_fork(sealed)?;
        }
        let is_in_place = (state.view().epoch(), state.view().generation()) == self.held();
        Ok(self.keep(state, |keeper| {
            let slot = if is_in_place { keeper.take_slot() } else { keeper.take_spare_slot() };
            let (mac, path) = (written?, slot.base(&keeper.dir));
            fs::rename(taking::aside(&keeper.dir), &path)?;
            sync_parent(&path)?;
            keeper.go_live(slot, mac)
        }))
    }

    fn forget_taking(&mut self) {
        if let Some(taking) = self.taking.take() {
            drop(taking.finish());
            taking::forget(&self.dir);
        }
    }

    fn keep(&mut self, next: State, write: impl FnOnce(&mut Self) -> io::Result<()>) -> Kept {
        self.state = next;
        let written = write(self);
        self.secure(written)
    }

    /// Lets the readers see what was written and syncs it, in the order that the kind asks for: a name may be served before it
    /// is synced, because it comes again; a revoked password must not come back after a power cut, so it is synced before
    /// anyone sees it.
    fn secure(&mut self, mut written: io::Result<()>) -> Kept {
        let sync_first = matches!(self.state.view().feed().kind, Kind::Auth | Kind::Trust);
        if written.is_ok() && !sync_first {
            self.commit();
        }
        if written.is_ok() {
            written = self.log.as_ref().map_or(Ok(()), Log::sync);
            if written.is_err() {
                // After a failed sync nothing of that file is believed any more.
                self.log = None;
            }
        }
        if written.is_ok() {
            self.durable = self.held();
            self.disk.succeeded();
            if sync_first {
                self.commit();
            }
            self.fold_if_long();
        } else {
            self.disk.failed();
        }
        Kept { applied: self.state.view().generation(), durable: self.durable_of_epoch(), disk_error: written.err() }
    }

    /// Tells the readers how far they may read.
    fn commit(&mut self) {
        self.writer.publish(self.state.view().clone());
        let Some(log) = &self.log else { return };
        let (epoch, generation) = self.held();
        let told = self.word.write(Commit { slot: log.slot, epoch, generation, log_end: log.end, base_mac: log.base_mac });
        self.is_untold = told.is_err();
        if let Err(error) = told {
            tracing::error!(event = "runtime_directory_failed", %error, "the services are not told of a new generation");
        }
    }

    fn append(&mut self, frame: Frame) -> io::Result<()> {
        // Replaying a log adds to what came before; a generation that starts from nothing needs a ground of its own.
        let starts_from_nothing = frame.sealed.claims().is_ok_and(|claims| claims.form == PayloadForm::Full);
        if starts_from_nothing || frame.payload.len() > FRAME_LIMIT_BYTES {
            return self.write_base();
        }
        if let Some(folding) = self.folding.as_mut() {
            folding.since.push(frame.clone());
        }
        if self.log.is_some() {
            self.pending.push(frame);
        } else if !self.disk.is_due() {
            // A whole base for each change of a burst would keep a disk busy that has just failed.
            return Err(io::Error::other("the disk has failed; it is tried again in a moment"));
        }
        self.flush()
    }

    /// Brings the disk up to what is held.
    fn flush(&mut self) -> io::Result<()> {
        if self.pending.len() > PENDING_LIMIT {
            self.log = None;
            self.pending.clear();
        }
        // The new log of a fold holds what is pending as well.
        if self.log.is_some() && self.go_over() {
            return Ok(());
        }
        let Some(log) = self.log.as_mut() else { return self.write_base() };
        while let Some(frame) = self.pending.first() {
            log.append(frame)?;
            self.pending.remove(0);
        }
        Ok(())
    }

    /// Folds a long log into a new base in the other slot, beside the service. The first change after the first base makes
    /// the second one, so that there is always one before.
    fn fold_if_long(&mut self) {
        let Some(log) = &self.log else { return };
        let long = log.end > LOG_FLOOR_BYTES.max(self.base_bytes / LOG_SHARE_OF_BASE).min(LOG_LIMIT_BYTES);
        // What is being taken makes a base of its own.
        if self.folding.is_some() || self.taking.is_some() || !self.fold.is_due() || !(long || (!self.has_fallback && log.end > 0)) {
            return;
        }
        let (state, slot, dir, key) = (self.state.clone(), log.slot.other(), self.dir.clone(), self.key.clone());
        let work = std::thread::spawn(move || {
            let folded = state.rebased().map_err(io::Error::other)?;
            let sealed = folded.sealed().ok_or_else(|| io::Error::other("a state without a manifest has nothing to keep"))?;
            slot.create(&dir)?;
            let path = slot.base(&dir);
            let mac = base_file::write(&path, sealed, folded.base(), &key)?;
            Ok((base_file::reopen(&path, &key)?, mac))
        });
        self.folding = Some(Folding { slot, work, since: Vec::new() });
    }

    /// Goes over to the new base once it is written, and gives whether it did. `wait` is for whoever must know that it is.
    fn finish_folding(&mut self, wait: bool) -> io::Result<bool> {
        let Some(folding) = self.folding.take_if(|folding| wait || folding.work.is_finished()) else { return Ok(false) };
        let (base, mac) = folding.work.join().unwrap_or_else(|_| Err(io::Error::other("folding the log ended in a panic")))?;
        let mut log = Log::create(&self.dir, folding.slot, mac, Chain::after(mac, self.key.clone()))?;
        folding.since.iter().try_for_each(|frame| log.append(frame))?;
        log.sync()?;
        let payloads = folding.since.iter().map(|frame| &frame.payload[..]);
        self.base_bytes = base.head().rows_len;
        self.state = self.state.onto(Arc::new(base), payloads).map_err(io::Error::other)?;
        self.has_fallback = true;
        self.log = Some(log);
        self.pending.clear();
        self.durable = self.held();
        self.fold.succeeded();
        self.commit();
        Ok(true)
    }

    /// Goes over to a folded base if one is ready. One that could not be written costs nothing: the log that is there goes on,
    /// and is folded later.
    fn go_over(&mut self) -> bool {
        self.finish_folding(false).unwrap_or_else(|error| {
            self.fold.failed();
            tracing::error!(event = "disk_failed", %error, "a log could not be folded into a new base");
            false
        })
    }

    /// Ends what is done beside the service, at the latest now: for whoever stops, and for tests.
    pub fn settle(&mut self) -> io::Result<()> {
        self.finish_folding(true).map(drop)
    }

    /// What is to be done when nothing else is: a folded base that is ready is gone over to, a disk that failed is tried again,
    /// damage is repaired. `is_damaged` says that a service has met a damaged block.
    pub fn tick(&mut self, trusts: &Trusts, is_damaged: bool) {
        if (is_damaged || self.state.base().is_damaged()) && self.repairs.is_due() {
            self.repair(trusts);
        }
        let is_behind = self.durable != self.held() || (self.log.is_none() && self.state.sealed().is_some());
        if is_behind && self.disk.is_due() {
            let written = self.flush();
            match self.secure(written).disk_error {
                None => tracing::info!(event = "disk_is_well", feed = %self.state.view().feed(), "what the disk did not take is kept now"),
                Some(error) => tracing::error!(event = "disk_failed", %error, "a generation cannot be kept, and is tried again"),
            }
        } else if self.is_untold {
            self.commit();
        } else if self.log.is_some() {
            self.go_over();
        }
    }

    /// Reads everything anew, from whichever files still lead to what is held, and writes it as a new base.
    fn repair(&mut self, trusts: &Trusts) {
        self.repairs.failed();
        let found = search(Question { dir: &self.dir, feed: self.state.view().feed(), trusts, key: &self.key, thorough: true, below: None, up_to: None });
        let (epoch, generation) = (found.state.view().epoch(), found.state.view().generation());
        self.wants_whole = (epoch, generation) != self.held();
        if self.wants_whole {
            tracing::error!(event = "snapshot_damaged", feed = %self.state.view().feed(), "a block of the snapshot is damaged on this disk: it is asked for anew");
            return;
        }
        self.state = found.state;
        let written = self.replace_base();
        self.secure(written);
        tracing::warn!(event = "snapshot_repaired", feed = %self.state.view().feed(), "a block of the snapshot was damaged; the other files led to the same generation");
    }

    /// Writes the state as a base into the other slot and makes that slot the live one. The old slot stays: it is the one before.
    fn write_base(&mut self) -> io::Result<()> {
        let slot = self.take_spare_slot();
        self.write_base_to(slot)
    }

    /// As [`Self::write_base`], in the place of a base that is no good: the other slot stays what it is.
    fn replace_base(&mut self) -> io::Result<()> {
        let slot = self.take_slot();
        self.write_base_to(slot)
    }

    /// The slot for a base beside the live one. Until it is written, the log that is there leads no further than it did.
    fn take_spare_slot(&mut self) -> Slot {
        self.forget_folding();
        self.log.take().map_or_else(|| self.slot_to_overwrite(), |log| log.slot.other())
    }

    /// The slot of the live base.
    fn take_slot(&mut self) -> Slot {
        self.forget_folding();
        self.log.take().map_or_else(|| self.slot_to_overwrite(), |log| log.slot)
    }

    /// A base that is being folded has the place of one that is written; it is of no use any more.
    fn forget_folding(&mut self) {
        if let Some(folding) = self.folding.take() {
            drop(folding.work.join());
        }
    }

    fn write_base_to(&mut self, slot: Slot) -> io::Result<()> {
        let Some(sealed) = self.state.sealed().cloned() else { return Ok(()) };
        if self.state.view().overlay_len() > 0 || self.state.base().head().generation != self.state.view().generation() {
            self.state = self.state.rebased().map_err(io::Error::other)?;
        }
        slot.create(&self.dir)?;
        let mac = base_file::write(&slot.base(&self.dir), &sealed, self.state.base(), &self.key)?;
        self.go_live(slot, mac)
    }

    /// Goes on from the base of what is held, which was just written into this slot.
    fn go_live(&mut self, slot: Slot, mac: Hash) -> io::Result<()> {
        let path = slot.base(&self.dir);
        // From here on blocks come from the disk again as they are needed: the services hold the snapshot in memory, not this process.
        self.state = self.state.onto(Arc::new(base_file::reopen(&path, &self.key)?), []).map_err(io::Error::other)?;
        self.has_fallback = slot.other().base(&self.dir).exists();
        self.base_bytes = self.state.base().head().rows_len;
        self.log = Some(Log::create(&self.dir, slot, mac, Chain::after(mac, self.key.clone()))?);
        self.pending.clear();
        self.wants_whole = false;
        Ok(())
    }

    /// Without a live slot: the one with the older base, or none.
    fn slot_to_overwrite(&self) -> Slot {
        let age = |slot: Slot| {
            let front = base_file::read_front(&slot.base(&self.dir), &self.key).ok()?.ok()?;
            let claims = front.0.sealed.claims().ok()?;
            Some((claims.epoch, claims.generation))
        };
        if age(Slot::A) <= age(Slot::B) { Slot::A } else { Slot::B }
    }

    fn reopen(&mut self, resting: Resting) -> io::Result<()> {
        self.log = Some(Log::reopen(&self.dir, resting)?);
        self.base_bytes = self.state.base().head().rows_len;
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // A thread that outlives its owner would write under the next one.
        self.forget_folding();
        self.forget_taking();
    }
}
