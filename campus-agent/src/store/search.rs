//! What the files of a feed lead to: the newest state that can be proven, whichever files those are.
//!
//! The usual way is short: the newer base has this box's MAC, its log's chain holds, the manifests of base and last frame are
//! signed, and nothing else is read. Where the MAC or the chain fails, every row is proven by sum and every frame by its
//! signature instead; where the newer base is damaged, the older one's log leads up to it and the newer one's log goes on.

use super::base_file::{on_disk, read_front};
use super::slot::{Finding, Slot};
use super::trusts::Trusts;
use holdfast_proto::snapshot::file::{self, BaseFile, Chain, StoreKey, decode_frame, v1};
use holdfast_proto::snapshot::{Feed, Hash, Opened, Sealed, State};
use holdfast_proto::words::{Epoch, Generation};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What is asked of the disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) dir: &'a Path,
    pub(super) feed: Feed,
    pub(super) trusts: &'a Trusts,
    pub(super) key: &'a StoreKey,
    /// Read every block before believing a base: after damage was found, and for `verify`.
    pub(super) thorough: bool,
    /// A generation that two starts have died of: it and what comes after it are left out.
    pub(super) below: Option<(Epoch, Generation)>,
    /// How far a living `uplink` says that may be read: what comes after it may not be on the disk yet.
    pub(super) up_to: Option<(Epoch, Generation)>,
}

impl Question<'_> {
    fn is_wanted(&self, at: (Epoch, Generation)) -> bool {
        self.below.is_none_or(|below| at < below) && self.up_to.is_none_or(|up_to| at <= up_to)
    }
}

/// What the files of a feed lead to.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) state: State,
    pub(super) findings: Vec<Finding>,
    /// The slot that the state rests on, alone, as this box wrote it, and how far its log goes; `None` where it has to be written anew.
    pub(super) resting: Option<Resting>,
    /// Whether the other slot holds a base to fall back on.
    pub(super) has_fallback: bool,
}

/// A slot whose base and log lead to the state by themselves.
#[derive(Debug, Clone)]
pub(super) struct Resting {
    pub(super) slot: Slot,
    pub(super) base_mac: Hash,
    pub(super) chain: Chain,
    pub(super) log_end: u64,
}

/// A base that a search may start from.
struct Candidate {
    slot: Slot,
    state: State,
    /// `None` where the base was proven row by row and not vouched for.
    mac: Option<Hash>,
}

/// Looks at both slots and takes what leads furthest.
pub(super) fn search(question: Question<'_>) -> Found {
    let mut findings = Vec::new();
    let mut candidates: Vec<Candidate> = Slot::BOTH.into_iter().filter_map(|slot| candidate(question, slot, &mut findings)).collect();
    candidates.sort_by_key(|candidate| at(&candidate.state));
    let has_fallback = candidates.len() > 1;
    let Some(newest) = candidates.pop() else {
        let mut found = Found { state: State::empty(question.feed), findings, resting: None, has_fallback: false };
        Slot::BOTH.into_iter().for_each(|slot| prove_log(question, slot, &mut found));
        return found;
    };
    let (slot, mut found) = (newest.slot, follow_chain(question, newest, findings));
    found.has_fallback = has_fallback;
    let before = at(&found.state);
    prove_log(question, slot.other(), &mut found);
    prove_log(question, slot, &mut found);
    if at(&found.state) != before {
        found.resting = None;
    }
    found
}

fn at(state: &State) -> (Epoch, Generation) {
    (state.view().epoch(), state.view().generation())
}

fn candidate(question: Question<'_>, slot: Slot, findings: &mut Vec<Finding>) -> Option<Candidate> {
    let path = slot.base(question.dir);
    let found = match read_front(&path, question.key) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(Ok((front, file))) if front.vouched().is_ok() => vouched(question, &front, file),
        Ok(Ok((front, _))) => proven(question, &path, &front.sealed, front.rows_at).inspect(|_| {
            findings.push(Finding::new(path.clone(), format_args!("{}; its rows were proven anew", front.vouched().unwrap_err())));
        }),
        Ok(Err(wrong)) => first_version(question, &path).unwrap_or_else(|| Err(wrong.to_string())),
    };
    match found {
        Ok((state, mac)) if question.is_wanted(at(&state)) => Some(Candidate { slot, state, mac }),
        Ok(_) => None,
        Err(what) => {
            findings.push(Finding { path, what });
            None
        }
    }
}

type Read = Result<(State, Option<Hash>), String>;

fn vouched(question: Question<'_>, front: &BaseFile, file: fs::File) -> Read {
    let opened = open(question, &front.sealed)?;
    let base = on_disk(front, file);
    if question.thorough {
        (0..base.parts()).try_for_each(|part| base.load(part)).map_err(|damaged| damaged.to_string())?;
    }
    let state = State::of_base(&opened, base).map_err(|wrong| wrong.to_string())?;
    Ok((state, Some(front.mac)))
}

fn proven(question: Question<'_>, path: &Path, sealed: &Sealed, rows_at: u64) -> Read {
    let opened = open(question, sealed)?;
    let bytes = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    let rows = bytes.get(rows_at as usize..).unwrap_or_default();
    Ok((State::restore(&opened, rows).map_err(|wrong| wrong.to_string())?, None))
}

/// A base that an earlier build wrote; `None` where it is none.
fn first_version(question: Question<'_>, path: &Path) -> Option<Read> {
    let bytes = fs::read(path).ok()?;
    let (sealed, rows) = match v1::decode_base(&bytes) {
        Ok(parts) => parts,
        Err(v1::FileError::NoBase) => return None,
        Err(torn) => return Some(Err(torn.to_string())),
    };
    let restore = |opened: Opened| State::restore(&opened, rows).map_err(|wrong| wrong.to_string());
    Some(open(question, &sealed).and_then(restore).map(|state| (state, None)))
}

fn open(question: Question<'_>, sealed: &Sealed) -> Result<Opened, String> {
    let opened = question.trusts.open(sealed).map_err(|wrong| wrong.to_string())?;
    let offered = opened.manifest().feed;
    if offered == question.feed { Ok(opened) } else { Err(format!("it is of {offered}, in the folder of {}", question.feed)) }
}

fn read_log(path: &Path, findings: &mut Vec<Finding>) -> Vec<u8> {
    match fs::read(path) {
        Ok(bytes) => bytes,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            findings.push(Finding::new(path.to_owned(), format_args!("cannot be read: {error}")));
            Vec::new()
        }
    }
}

/// Goes through the log of a base by its chain. Only the manifest of the last frame is opened: the chain vouches for the others.
fn follow_chain(question: Question<'_>, newest: Candidate, mut findings: Vec<Finding>) -> Found {
    let Candidate { slot, state, mac } = newest;
    let Some(mac) = mac else { return Found { state, findings, resting: None, has_fallback: false } };
    let path = slot.log(question.dir);
    let log = read_log(&path, &mut findings);
    let mut chains = vec![(Chain::after(mac, question.key.clone()), 0)];
    let mut frames = Vec::new();
    loop {
        let (mut chain, end) = chains.last().cloned().expect("it starts with one");
        let Some(frame) = decode_frame(&mut chain, &log[end..]) else { break };
        chains.push((chain, end + frame.len));
        frames.push(frame);
    }
    if chains[frames.len()].1 < log.len() {
        findings.push(Finding::new(path.clone(), format_args!("ends in {} bytes that are torn or altered", log.len() - chains[frames.len()].1)));
    }
    let resting = |frames: usize| Resting { slot, base_mac: mac, chain: chains[frames].0.clone(), log_end: chains[frames].1 as u64 };
    for count in (1..=frames.len()).rev() {
        let sealed = &frames[count - 1].sealed;
        if sealed.claims().is_ok_and(|claims| !question.is_wanted((claims.epoch, claims.generation))) {
            continue;
        }
        let payloads = frames[..count].iter().map(|frame| frame.payload);
        match open(question, sealed).and_then(|opened| state.replay(&opened, payloads).map_err(|wrong| wrong.to_string())) {
            Ok(state) => return Found { state, resting: Some(resting(count)), findings, has_fallback: false },
            Err(what) => findings.push(Finding { path: path.clone(), what }),
        }
    }
    Found { state, resting: Some(resting(0)), findings, has_fallback: false }
}

/// Takes the frames of a log that continue the state, proving each one.
fn prove_log(question: Question<'_>, slot: Slot, found: &mut Found) {
    let path = slot.log(question.dir);
    let log = read_log(&path, &mut Vec::new());
    if let Err(what) = file::prove_log(&mut found.state, &log, |sealed| question.trusts.open(sealed), |claimed| question.is_wanted(claimed)) {
        let finding = Finding::new(path, what);
        if !found.findings.contains(&finding) {
            found.findings.push(finding);
        }
    }
}

/// What the files lead to, every block read: for people who look at a box without running it.
pub fn best_state(feed_dir: &Path, feed: Feed, trusts: &Trusts, key: &StoreKey) -> (State, Vec<Finding>) {
    let found = search(Question { dir: feed_dir, feed, trusts, key, thorough: true, below: None, up_to: None });
    match found.state.audited() {
        Ok(state) => (state, found.findings),
        Err(wrong) => {
            let mut findings = found.findings;
            findings.push(Finding { path: PathBuf::from(feed_dir), what: wrong.to_string() });
            (found.state, findings)
        }
    }
}
