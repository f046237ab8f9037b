use holdfast_proto::snapshot::file::{decode_base, frames};
use holdfast_proto::snapshot::{Feed, Opened, Sealed, State, Trust};
use holdfast_proto::words::Generation;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The two slots of a feed; one is live, the other holds the one before or is being built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    A,
    B,
}

impl Slot {
    pub(super) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    fn folder(self, feed_dir: &Path) -> PathBuf {
        feed_dir.join(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }

    pub(super) fn base(self, feed_dir: &Path) -> PathBuf {
        self.folder(feed_dir).join("base")
    }

    pub(super) fn log(self, feed_dir: &Path) -> PathBuf {
        self.folder(feed_dir).join("log")
    }

    pub(super) fn create(self, feed_dir: &Path) -> io::Result<()> {
        fs::create_dir_all(self.folder(feed_dir))
    }
}

/// Something on the disk that was kept out, for people to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

impl Finding {
    fn new(path: PathBuf, what: impl std::fmt::Display) -> Self {
        Self { path, what: what.to_string() }
    }
}

/// What the files of a feed lead to.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) state: State,
    pub(super) findings: Vec<Finding>,
    /// The slot whose base the state rests on; `None` where there was no base.
    pub(super) slot: Option<Slot>,
    /// How far the live slot's log led to the state; the rest of that file is of no use.
    pub(super) log_end: u64,
    /// Whether the other slot holds a verified base as well.
    pub(super) has_fallback: bool,
    /// Whether a log could not be read, or holds what the trust at hand does not vouch for: it must not be cut.
    pub(super) doubtful: bool,
    /// Whether the other slot's log was needed, so that the live slot alone does not lead to the state.
    pub(super) crossed: bool,
}

/// The newest state that the files of a feed lead to, and what was kept out on the way. Reads only; needs no network and no clock.
pub fn best_state(feed_dir: &Path, feed: Feed, trust: &Trust) -> (State, Vec<Finding>) {
    let found = search(feed_dir, feed, trust);
    (found.state, found.findings)
}

/// Tries both bases, each followed by every logged generation that continues it, and takes what leads furthest.
pub(super) fn search(feed_dir: &Path, feed: Feed, trust: &Trust) -> Found {
    let mut findings = Vec::new();
    let logs = Slot::BOTH.map(|slot| read(&slot.log(feed_dir), &mut findings).unwrap_or_default());
    let unreadable = !findings.is_empty();
    let (slot, start, has_fallback) = newest_base(feed_dir, feed, trust, &mut findings);
    let live = slot.unwrap_or(Slot::A);
    let mut replay = Replay { state: start, trust, findings, distrusted: false };
    // When the newer base was damaged, the older one's log leads up to it and the newer one's log goes on from there.
    let (own, foreign) = (&logs[live as usize], &logs[live.other() as usize]);
    let mut log_end = replay.run(live.log(feed_dir), own);
    let before = replay.state.view().generation();
    replay.run(live.other().log(feed_dir), foreign);
    let crossed = replay.state.view().generation() != before;
    if crossed {
        log_end = log_end.max(replay.run(live.log(feed_dir), own));
    }
    Found { doubtful: unreadable || replay.distrusted, state: replay.state, findings: replay.findings, slot, log_end, has_fallback, crossed }
}

fn read(path: &Path, findings: &mut Vec<Finding>) -> Option<Vec<u8>> {
    match fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            findings.push(Finding::new(path.to_owned(), format_args!("cannot be read: {error}")));
            None
        }
    }
}

/// The newest base whose rows lead to what was signed, and whether the other slot holds a signed one as well.
fn newest_base(feed_dir: &Path, feed: Feed, trust: &Trust, findings: &mut Vec<Finding>) -> (Option<Slot>, State, bool) {
    let mut signed: Vec<(Slot, Opened, Vec<u8>)> = Slot::BOTH.into_iter().filter_map(|slot| signed_base(feed_dir, slot, feed, trust, findings)).collect();
    signed.sort_by_key(|(_, opened, _)| (opened.manifest().epoch, opened.manifest().generation));
    while let Some((slot, opened, rows)) = signed.pop() {
        match State::restore(&opened, rows) {
            Ok(state) => return (Some(slot), state, !signed.is_empty()),
            Err(wrong) => findings.push(Finding::new(slot.base(feed_dir), wrong)),
        }
    }
    (None, State::empty(feed), false)
}

fn signed_base(feed_dir: &Path, slot: Slot, feed: Feed, trust: &Trust, findings: &mut Vec<Finding>) -> Option<(Slot, Opened, Vec<u8>)> {
    let path = slot.base(feed_dir);
    let bytes = read(&path, findings)?;
    let checked = decode_base(&bytes).map_err(|wrong| wrong.to_string());
    match checked.and_then(|(sealed, rows)| Ok((slot, open_of(feed, trust, &sealed)?, rows.to_vec()))) {
        Ok(base) => Some(base),
        Err(what) => {
            findings.push(Finding { path, what });
            None
        }
    }
}

fn open_of(feed: Feed, trust: &Trust, sealed: &Sealed) -> Result<Opened, String> {
    let opened = trust.open(sealed).map_err(|wrong| wrong.to_string())?;
    let offered = opened.manifest().feed;
    if offered == feed { Ok(opened) } else { Err(format!("it is of {offered}, in the folder of {feed}")) }
}

struct Replay<'a> {
    state: State,
    trust: &'a Trust,
    findings: Vec<Finding>,
    distrusted: bool,
}

impl Replay<'_> {
    /// Applies the frames that continue the state; gives the end of the last one that did or was already in.
    fn run(&mut self, path: PathBuf, log: &[u8]) -> u64 {
        let mut end = 0;
        let mut whole = 0;
        for frame in frames(log) {
            whole = frame.end;
            let Some(opened) = self.open(&path, &frame.sealed) else { return end };
            let manifest = opened.manifest();
            if (manifest.epoch, manifest.generation) <= (self.state.view().epoch(), self.state.view().generation()) {
                end = frame.end as u64;
                continue;
            }
            // A log whose next frame starts from elsewhere may be continued after the other slot's log.
            if manifest.parent != self.state.view().generation() && manifest.parent != Generation(0) {
                return end;
            }
            match self.state.advance(&opened, frame.payload) {
                Ok(next) => self.state = next,
                Err(wrong) => {
                    self.find(path, format!("generation {}: {wrong}", manifest.generation));
                    return end;
                }
            }
            end = frame.end as u64;
        }
        if whole < log.len() {
            self.find(path, format!("ends in {} bytes that are torn or altered", log.len() - whole));
        }
        end
    }

    fn open(&mut self, path: &Path, sealed: &Sealed) -> Option<Opened> {
        match open_of(self.state.view().feed(), self.trust, sealed) {
            Ok(opened) => Some(opened),
            Err(wrong) => {
                self.distrusted = true;
                self.find(path.to_owned(), wrong);
                None
            }
        }
    }

    fn find(&mut self, path: PathBuf, what: String) {
        let finding = Finding { path, what };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }
}
