use super::slot::{Finding, Slot, search};
use super::{sync_parent, write_whole};
use holdfast_proto::snapshot::file::{FRAME_LIMIT_BYTES, encode_base, encode_frame};
use holdfast_proto::snapshot::{ApplyError, Feed, Kind, ManifestError, OpenError, Reader, Sealed, State, Trust, Writer, reader};
use holdfast_proto::words::{Epoch, Generation};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A log of this many generations is folded into a new base: replaying them costs tens of milliseconds at start.
const LOG_LIMIT_FRAMES: usize = 1024;
/// So is one that has grown to a share of its base, but not below this.
const LOG_FLOOR_BYTES: u64 = 4 << 20;
const LOG_SHARE_OF_BASE: u64 = 10;

/// The one owner of a feed's files and of its state. Everything it hands to its readers was verified by it.
#[derive(Debug)]
pub struct Keeper {
    dir: PathBuf,
    state: State,
    writer: Writer,
    live: Slot,
    /// `None` while the disk fails: the state is served from memory and nothing is promised.
    log: Option<File>,
    log_bytes: u64,
    log_frames: usize,
    base_bytes: u64,
    has_fallback: bool,
    durable: (Epoch, Generation),
}

/// A keeper at start, its reader, and what was kept out on the way.
#[derive(Debug)]
pub struct Opening {
    /// The owner.
    pub keeper: Keeper,
    /// For the services.
    pub reader: Reader,
    /// What was kept out.
    pub findings: Vec<Finding>,
}

/// What became of an accepted generation.
#[derive(Debug)]
pub struct Kept {
    /// Served from now on.
    pub applied: Generation,
    /// Survives a power cut.
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
}

impl Refusal {
    /// Whether the whole snapshot would help: the state held does not continue into what is offered.
    pub fn wants_full(&self) -> bool {
        matches!(self, Self::Apply(ApplyError::OtherParent { .. } | ApplyError::OtherDigest { .. } | ApplyError::OtherCount { .. }))
    }
}

impl Keeper {
    /// Opens a feed's folder and serves the newest verified state in it at once, however the disk is. Fails only where the folder cannot be made.
    pub fn open(dir: &Path, feed: Feed, trust: &Trust) -> io::Result<Opening> {
        Slot::BOTH.into_iter().try_for_each(|slot| slot.create(dir))?;
        let found = search(dir, feed, trust);
        let (writer, reader) = reader(feed);
        writer.publish(found.state.view().clone());
        let live = found.slot.unwrap_or(Slot::A);
        let on_disk = (found.state.view().epoch(), found.state.view().generation());
        let mut keeper = Self {
            dir: dir.to_owned(),
            state: found.state,
            writer,
            live,
            log: None,
            log_bytes: found.log_end,
            log_frames: 0,
            base_bytes: fs::metadata(live.base(dir)).map_or(0, |meta| meta.len()),
            has_fallback: found.has_fallback,
            durable: on_disk,
        };
        let mut findings = found.findings;
        // A state that one slot alone does not lead to gets a base of its own before anything is appended. So does one beside a
        // log that could not be read or believed: that log is left as it is, for a better day.
        let settled = if found.crossed || found.doubtful { keeper.rebase() } else { keeper.reopen_log() };
        if let Err(error) = settled {
            keeper.log = None;
            keeper.durable = (Epoch(0), Generation(0));
            findings.push(Finding { path: dir.to_owned(), what: format!("cannot be written: {error}") });
        }
        Ok(Opening { keeper, reader, findings })
    }

    /// What is served.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The generation that survives a power cut.
    pub fn durable(&self) -> (Epoch, Generation) {
        self.durable
    }

    /// Whether the disk takes what it is given.
    pub fn disk_is_well(&self) -> bool {
        self.log.is_some()
    }

    /// Takes rows that several generations were merged into.
    pub fn take_merged(&mut self, trust: &Trust, sealed: &[u8], payload: &[u8]) -> Result<Kept, Refusal> {
        let opened = trust.open(&Sealed::from_bytes(sealed)?)?;
        let next = self.state.advance_merged(&opened, payload)?;
        // The log's frames are checked against what was signed, and nobody signed these very rows.
        Ok(self.keep(next, Self::rebase))
    }

    /// Takes the next generation.
    pub fn take_frame(&mut self, trust: &Trust, sealed: &[u8], payload: &[u8]) -> Result<Kept, Refusal> {
        let opened = trust.open(&Sealed::from_bytes(sealed)?)?;
        let next = self.state.advance(&opened, payload)?;
        Ok(self.keep(next, |keeper| keeper.append(opened.sealed(), payload)))
    }

    /// Takes a whole snapshot. What lies below `floor`, the highest that was ever durable here, is refused: a disk that was
    /// lost must not open the door to the past.
    pub fn take_full(&mut self, trust: &Trust, floor: Option<(Epoch, Generation)>, sealed: &[u8], rows: Vec<u8>) -> Result<Kept, Refusal> {
        let opened = trust.open(&Sealed::from_bytes(sealed)?)?;
        let manifest = opened.manifest();
        let held = self.state.view();
        if manifest.feed != held.feed() {
            return Err(ApplyError::OtherFeed { held: held.feed(), offered: manifest.feed }.into());
        }
        let (held_epoch, held) = (held.epoch(), held.generation()).max(floor.unwrap_or((Epoch(0), Generation(0))));
        if (manifest.epoch, manifest.generation) < (held_epoch, held) {
            return Err(ApplyError::NotNewer { held_epoch, held, offered_epoch: manifest.epoch, offered: manifest.generation }.into());
        }
        let next = State::restore(&opened, rows)?;
        Ok(self.keep(next, Self::rebase))
    }

    /// Swaps and writes, in the order that the kind asks for: a name may be served before it is synced, because it comes
    /// again; a revoked password must not come back after a power cut, so it is synced before anyone hears of it.
    fn keep(&mut self, next: State, write: impl FnOnce(&mut Self) -> io::Result<()>) -> Kept {
        let sync_first = matches!(next.view().feed().kind, Kind::Auth | Kind::Trust);
        let view = next.view().clone();
        let applied = view.generation();
        self.state = next;
        if !sync_first {
            self.writer.publish(view.clone());
        }
        let written = write(self).and_then(|()| self.fold_if_long());
        if sync_first {
            self.writer.publish(view.clone());
        }
        let disk_error = written.err();
        match disk_error {
            None => self.durable = (view.epoch(), applied),
            // After a failed sync nothing of that file is believed any more: the next generation starts a new base.
            Some(_) => self.log = None,
        }
        Kept { applied, durable: self.durable.1, disk_error }
    }

    fn append(&mut self, sealed: &Sealed, payload: &[u8]) -> io::Result<()> {
        if payload.len() > FRAME_LIMIT_BYTES || self.log.is_none() || self.base_bytes == 0 {
            return self.rebase();
        }
        let frame = encode_frame(sealed, payload);
        let Some(log) = self.log.as_mut() else { return self.rebase() };
        log.write_all(&frame)?;
        log.sync_data()?;
        self.log_bytes += frame.len() as u64;
        self.log_frames += 1;
        Ok(())
    }

    fn fold_if_long(&mut self) -> io::Result<()> {
        let long = self.log_frames > LOG_LIMIT_FRAMES || self.log_bytes > LOG_FLOOR_BYTES.max(self.base_bytes / LOG_SHARE_OF_BASE);
        // The first change after the first base makes the second one, so that there is always one before.
        if long || (!self.has_fallback && self.log_frames > 0) { self.rebase() } else { Ok(()) }
    }

    /// Writes the state as a base into the other slot and makes that slot the live one. The old slot stays: it is the one before.
    fn rebase(&mut self) -> io::Result<()> {
        // Nothing to keep, so nothing is cut either.
        let Some(sealed) = self.state.sealed().cloned() else { return Ok(()) };
        let target = if self.base_bytes == 0 { self.live } else { self.live.other() };
        target.create(&self.dir)?;
        let (base, log) = (target.base(&self.dir), target.log(&self.dir));
        let bytes = encode_base(&sealed, &self.state.encode_rows());
        write_whole(&base, &bytes)?;
        // Only now: until the rename, the log there may be part of what leads to the state.
        remove_if_there(&log)?;
        self.has_fallback = self.base_bytes > 0;
        self.base_bytes = bytes.len() as u64;
        self.live = target;
        self.log_bytes = 0;
        self.state = self.state.rebased();
        self.reopen_log()
    }

    /// Opens the live slot's log for appending, cut to what was verified.
    fn reopen_log(&mut self) -> io::Result<()> {
        let path = self.live.log(&self.dir);
        let file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        if file.metadata()?.len() != self.log_bytes {
            file.set_len(self.log_bytes)?;
        }
        file.sync_all()?;
        sync_parent(&path)?;
        self.log = Some(file);
        self.log_frames = 0;
        Ok(())
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
