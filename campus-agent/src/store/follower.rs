//! A service's side of a feed: reads what `uplink` wrote, proves it for itself, and gives it to the service as one view.
//!
//! It writes nothing but its own word. While the commit word lives it never looks past it; without one (a cold start, an
//! `uplink` that is not there) it syncs the files and believes what it can prove. It never goes back: a word that names less
//! than is served is waited out.

use super::crashes::Crashes;
use super::scrub;
use super::search::{Found, Question, Resting, search};
use super::slot::{Finding, Slot};
use super::trusts::Trusts;
use super::word::{Commit, CommitWord, Served, ServedWord};
use super::{feed_dir, store_key, wake};
use crate::config::Folders;
use holdfast_proto::snapshot::file::{Chain, StoreKey, decode_frame};
use holdfast_proto::snapshot::{Feed, Hash, Opened, Reader, Sealed, State, Writer, reader};
use holdfast_proto::words::{Epoch, Generation};
use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The safety net under the wake-up.
const TICK: Duration = Duration::from_millis(250);

/// One feed as one service follows it.
#[derive(Debug)]
pub struct Follower {
    folders: Folders,
    dir: PathBuf,
    feed: Feed,
    trusts: Trusts,
    key: StoreKey,
    word: CommitWord,
    served: ServedWord,
    writer: Writer,
    state: State,
    /// How far the log was read; `None` where the state does not rest on one slot.
    reading: Option<Reading>,
    crashes: Crashes,
    /// Damage that was found is searched for once, not at every tick.
    repaired: bool,
    /// The base that it was got over.
    damaged: Option<Hash>,
    /// What was told last: a fault that lasts is told once.
    told: Option<Finding>,
}

#[derive(Debug)]
struct Reading {
    slot: Slot,
    base_mac: Hash,
    chain: Chain,
    end: u64,
}

/// A follower at start, its reader, and what was kept out on the way.
#[derive(Debug)]
pub struct Following {
    /// Goes on.
    pub follower: Follower,
    /// For the service.
    pub reader: Reader,
    /// What was kept out.
    pub findings: Vec<Finding>,
}

impl Follower {
    /// Opens a feed and serves the newest proven state at once, however the disk is. `fell` says that the process before this
    /// one ended by a fault of its own.
    pub fn open(folders: &Folders, feed: Feed, service: &str, fell: bool, trusts: &Trusts, key: &StoreKey) -> Following {
        let dir = feed_dir(&folders.state, feed);
        let (word, served) = (CommitWord::of(&folders.run, feed), ServedWord::of(&folders.run, feed, service));
        let crashes = Crashes::open(&folders.state, feed, service, served.last().filter(|_| fell));
        let mut findings = Vec::new();
        if word.read().is_none() {
            // Nobody vouches for what the kernel may still hold in memory alone.
            Slot::BOTH.into_iter().for_each(|slot| drop(File::open(slot.log(&dir)).and_then(|log| log.sync_data())));
        }
        let commit = word.read();
        let (state, reading) = match commit.and_then(|commit| read_committed(&dir, feed, trusts, key, commit)) {
            Some(found) if crashes.allow((found.0.view().epoch(), found.0.view().generation())) => (found.0, Some(found.1)),
            _ => {
                let (below, up_to) = (crashes.limit(), commit.map(|commit| commit.at()));
                let Found { state, findings: found, resting, .. } = search(Question { dir: &dir, feed, trusts, key, thorough: false, below, up_to });
                findings = found;
                (state, resting.map(Reading::from))
            }
        };
        findings.extend(crashes.limit().map(|(epoch, generation)| {
            Finding::new(
                dir.clone(),
                format_args!("two starts died of generation {epoch}.{generation}: the one before it is served until there is a newer one"),
            )
        }));
        let (writer, reader) = reader(feed);
        let (trusts, key, folders) = (trusts.clone(), key.clone(), folders.clone());
        let mut follower = Self { folders, dir, feed, trusts, key, word, served, writer, state, reading, crashes, repaired: false, damaged: None, told: None };
        follower.publish();
        Following { follower, reader, findings }
    }

    /// The generation that is served.
    pub fn serves(&self) -> (Epoch, Generation) {
        (self.state.view().epoch(), self.state.view().generation())
    }

    /// Follows for ever. What is found on the way is told to `tell`.
    pub async fn run(mut self, tell: impl Fn(Finding)) -> Infallible {
        let mut woken = wake::on_changes_in(&self.folders.run);
        scrub::start(self.state.base().clone());
        let started = tokio::time::Instant::now();
        loop {
            tokio::select! {
                () = woken.next() => {}
                () = tokio::time::sleep(TICK) => {}
            }
            self.poll().into_iter().for_each(&tell);
            if started.elapsed() > super::crashes::WELL_AFTER {
                self.crashes.is_well();
            }
        }
    }

    /// Looks at the commit word and takes what is new. Gives what was kept out; what stays as it was is given once.
    pub fn poll(&mut self) -> Option<Finding> {
        self.served.keep_lock();
        let found = self.look();
        let is_news = found.is_some() && found != self.told;
        self.told.clone_from(&found);
        found.filter(|_| is_news)
    }

    fn look(&mut self) -> Option<Finding> {
        let is_damaged = self.state.base().is_damaged();
        if is_damaged && !self.repaired {
            return Some(self.repair());
        }
        // What this process got over is still on the disk: `uplink` writes it anew, and what follows is taken from there.
        let commit = self.word.read().filter(|commit| Some(commit.base_mac) != self.damaged)?;
        // The same generation in other files is how `uplink` mends what was damaged, or was never what it said.
        let is_elsewhere = self.reading.as_ref().is_none_or(|reading| !reading.is_of(commit));
        let is_replaced = is_elsewhere && commit.at() == self.serves();
        if !(commit.at() > self.serves() || is_replaced) || !self.crashes.allow(commit.at()) {
            return None;
        }
        match self.advance(commit) {
            Ok(()) => {
                self.publish();
                None
            }
            Err(finding) => Some(finding),
        }
    }

    fn advance(&mut self, commit: Commit) -> Result<(), Finding> {
        if let Some(reading) = self.reading.as_mut().filter(|reading| reading.is_of(commit)) {
            let tail = read_range(&commit.slot.log(&self.dir), reading.end, commit.log_end);
            let tail = tail.map_err(|error| Finding::new(commit.slot.log(&self.dir), error))?;
            return self.take(&tail);
        }
        let found = read_committed(&self.dir, self.feed, &self.trusts, &self.key, commit);
        let found = found.or_else(|| {
            self.read_identity_again();
            read_committed(&self.dir, self.feed, &self.trusts, &self.key, commit)
        });
        let (state, reading) = found.ok_or_else(|| Finding::new(commit.slot.base(&self.dir), "does not lead to what was committed"))?;
        scrub::start(state.base().clone());
        (self.state, self.reading, self.repaired, self.damaged) = (state, Some(reading), false, None);
        Ok(())
    }

    /// Takes the frames of a log's next piece.
    fn take(&mut self, tail: &[u8]) -> Result<(), Finding> {
        let Some(reading) = self.reading.as_mut() else { return Ok(()) };
        let path = reading.slot.log(&self.dir);
        let (mut chain, mut at, mut payloads, mut last) = (reading.chain.clone(), 0, Vec::new(), None);
        while let Some(frame) = decode_frame(&mut chain, &tail[at..]) {
            at += frame.len;
            payloads.push(frame.payload);
            last = Some(frame.sealed);
        }
        let Some(last) = last.filter(|_| at == tail.len()) else { return Err(Finding::new(path, "the log's next frame is damaged")) };
        let opened = open(&self.trusts, self.feed, &last).or_else(|| {
            self.trusts = Trusts::read(&self.folders.state).ok()?;
            open(&self.trusts, self.feed, &last)
        });
        let opened = opened.ok_or_else(|| Finding::new(path.clone(), "the log's next frame is not signed by anybody who may"))?;
        self.state = self.state.replay(&opened, payloads).map_err(|wrong| Finding::new(path, wrong))?;
        (reading.chain, reading.end) = (chain, reading.end + at as u64);
        Ok(())
    }

    /// The root may have signed a newer trust; and whoever started before `uplink` did not find this box's key.
    fn read_identity_again(&mut self) {
        if let Ok(trusts) = Trusts::read(&self.folders.state) {
            self.trusts = trusts;
        }
        self.key = store_key(&self.folders.state);
    }

    /// The disk has lost a part of the base: reads everything anew, from whichever files still lead to a whole state.
    fn repair(&mut self) -> Finding {
        self.repaired = true;
        let (below, up_to) = (self.crashes.limit(), self.word.read().map(|commit| commit.at()));
        let found = search(Question { dir: &self.dir, feed: self.feed, trusts: &self.trusts, key: &self.key, thorough: true, below, up_to });
        let at = (found.state.view().epoch(), found.state.view().generation());
        let is_whole = at >= self.serves();
        if is_whole {
            let before = self.reading.take().map(|reading| reading.base_mac);
            (self.state, self.reading) = (found.state, found.resting.map(Reading::from));
            self.damaged = before.filter(|mac| self.reading.as_ref().is_none_or(|reading| reading.base_mac != *mac));
        }
        self.publish();
        if is_whole {
            return Finding::new(self.dir.clone(), "a block of the snapshot was damaged; the other files led to the same generation");
        }
        Finding::new(self.dir.clone(), "a block of the snapshot is damaged; what lies in it is not answered until the line brings it anew")
    }

    fn publish(&mut self) {
        self.crashes.moved_to(self.serves());
        self.writer.publish(self.state.view().clone());
        // Damage that this process got over is still on the disk.
        if let Err(error) = self.served.write(Served { at: self.serves(), is_damaged: self.repaired }) {
            tracing::error!(event = "runtime_directory_failed", %error, "what is served cannot be told");
        }
    }
}

impl From<Resting> for Reading {
    fn from(resting: Resting) -> Self {
        Self { slot: resting.slot, base_mac: resting.base_mac, chain: resting.chain, end: resting.log_end }
    }
}

impl Reading {
    fn is_of(&self, commit: Commit) -> bool {
        (self.slot, self.base_mac) == (commit.slot, commit.base_mac)
    }
}

fn open(trusts: &Trusts, feed: Feed, sealed: &Sealed) -> Option<Opened> {
    trusts.open(sealed).ok().filter(|opened| opened.manifest().feed == feed)
}

/// Exactly what a commit word names; `None` where the files do not lead there.
fn read_committed(dir: &Path, feed: Feed, trusts: &Trusts, key: &StoreKey, commit: Commit) -> Option<(State, Reading)> {
    let (front, file) = super::base_file::read_front(&commit.slot.base(dir), key).ok()?.ok()?;
    front.vouched().ok()?;
    if front.mac != commit.base_mac {
        return None;
    }
    let opened = open(trusts, feed, &front.sealed)?;
    let mut state = State::of_base(&opened, super::base_file::on_disk(&front, file)).ok()?;
    let log = read_range(&commit.slot.log(dir), 0, commit.log_end).ok()?;
    let (mut chain, mut at, mut payloads, mut last) = (Chain::after(front.mac, key.clone()), 0, Vec::new(), None);
    while let Some(frame) = decode_frame(&mut chain, &log[at..]) {
        at += frame.len;
        payloads.push(frame.payload);
        last = Some(frame.sealed);
    }
    if let Some(last) = last {
        state = state.replay(&open(trusts, feed, &last)?, payloads).ok()?;
    }
    let reaches = at == log.len() && (state.view().epoch(), state.view().generation()) == (commit.epoch, commit.generation);
    reaches.then_some((state, Reading { slot: commit.slot, base_mac: front.mac, chain, end: commit.log_end }))
}

fn read_range(path: &Path, from: u64, to: u64) -> io::Result<Vec<u8>> {
    if to == from {
        return Ok(Vec::new());
    }
    let mut bytes = vec![0; to.checked_sub(from).ok_or_else(|| io::Error::other("the log was cut"))? as usize];
    File::open(path)?.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}
