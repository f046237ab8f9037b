//! A real store beside the pretend one: whatever the box takes is given to the real keepers as well, real followers read what
//! they wrote, and they must come to the same as the pretence. Where they do not, it is told once.

use super::FEEDS;
use holdfast_agent::config::Folders;
use holdfast_agent::store::{Follower, Following, Keeper, Refusal, feed_dir};
use holdfast_proto::control::ArrivedBuckets;
use holdfast_proto::snapshot::file::StoreKey;
use holdfast_proto::snapshot::{Feed, Sealed, State, Trust};
use holdfast_proto::words::{Epoch, Generation};
use std::collections::BTreeMap;
use std::fs;
use tempfile::TempDir;

type At = (Epoch, Generation);

/// One box's folders and the two processes on them.
#[derive(Debug)]
pub(super) struct Disk {
    folder: TempDir,
    trust: Trust,
    key: StoreKey,
    boxes: BTreeMap<Feed, (Keeper, Follower)>,
    /// Each start is a service of its own name: one that starts often is taken for one that crashes.
    starts: u32,
    /// What came out differently.
    pub differs: Option<String>,
}

impl Disk {
    pub fn new(trust: Trust) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = StoreKey::from_bytes([7; 32]);
        let mut disk = Self { folder, trust, key, boxes: BTreeMap::new(), starts: 0, differs: None };
        disk.start();
        disk
    }

    fn folders(&self) -> Folders {
        Folders { state: self.folder.path().join("state"), run: self.folder.path().join("run") }
    }

    fn start(&mut self) {
        let folders = self.folders();
        [&folders.state, &folders.run].into_iter().for_each(|folder| fs::create_dir_all(folder).expect("a folder"));
        self.starts += 1;
        let service = format!("dns{}", self.starts);
        for feed in FEEDS {
            let dir = feed_dir(&folders.state, feed);
            let (keeper, _) = Keeper::open(&dir, &folders.run, feed, &self.trust.clone().into(), &self.key).expect("a store");
            let Following { follower, .. } = Follower::open(&folders, feed, &service, false, &self.trust.clone().into(), &self.key);
            self.boxes.insert(feed, (keeper, follower));
        }
    }

    /// The power went, and what is in memory with it; `disk_too`: a new disk was put in.
    pub fn lose_power(&mut self, disk_too: bool) {
        self.boxes.clear();
        let folders = self.folders();
        fs::remove_dir_all(&folders.run).expect("it is there");
        if disk_too {
            fs::remove_dir_all(&folders.state).expect("it is there");
        }
        self.start();
    }

    /// Takes a frame; `expected` is what the pretence came to.
    pub fn take_frame(&mut self, feed: Feed, floor: At, (sealed, merged, payload): (&[u8], bool, &[u8]), expected: &Result<State, String>) {
        let (keeper, _) = self.boxes.get_mut(&feed).expect("a feed that is followed");
        let taken = keeper.take_frame_above(&self.trust, Some(floor), sealed, merged, payload).map(drop);
        self.compare(feed, taken, expected);
    }

    /// Takes a whole snapshot, in blocks where its rows make any.
    pub fn take_whole(&mut self, feed: Feed, floor: At, sealed: &[u8], rows: &[u8], expected: &Result<State, String>) {
        let (keeper, _) = self.boxes.get_mut(&feed).expect("a feed that is followed");
        let sender = Sealed::from_bytes(sealed).ok().and_then(|sealed| self.trust.open(&sealed).ok()).and_then(|opened| State::restore(&opened, rows).ok());
        let taken = match sender {
            Some(sender) => in_blocks(keeper, &self.trust, floor, sealed, &sender),
            None => keeper.take_rows(&self.trust, Some(floor), sealed, rows).map(drop),
        };
        self.compare(feed, taken, expected);
    }

    /// Takes the rows of buckets.
    pub fn take_buckets(&mut self, feed: Feed, floor: At, arrived: &ArrivedBuckets, expected: &Result<State, String>) {
        let (keeper, _) = self.boxes.get_mut(&feed).expect("a feed that is followed");
        let taken = keeper.take_buckets(&self.trust, Some(floor), &arrived.sealed, &arrived.buckets, &arrived.rows).map(drop);
        self.compare(feed, taken, expected);
    }

    fn compare(&mut self, feed: Feed, taken: Result<(), Refusal>, expected: &Result<State, String>) {
        let (keeper, follower) = self.boxes.get_mut(&feed).expect("a feed that is followed");
        keeper.tick(&self.trust.clone().into(), false);
        let finding = follower.poll();
        let held = (keeper.state().view().epoch(), keeper.state().view().generation());
        let told = match (&taken, expected) {
            (Ok(()), Ok(state)) if keeper.state().digest() == state.digest() && held == (state.view().epoch(), state.view().generation()) => None,
            (Err(_), Err(_)) => None,
            _ => Some(format!(
                "the store of {feed} makes {:?} of what should be {:?}",
                taken.map(|()| held),
                expected.as_ref().map(|state| state.view().generation())
            )),
        };
        let unlike = (follower.serves() != held).then(|| format!("a service serves {:?} of {feed}, and the store holds {held:?}", follower.serves()));
        let unlike = unlike.or_else(|| finding.map(|finding| format!("a service kept {feed} out: {}", finding.what)));
        self.differs = self.differs.take().or(told).or(unlike);
    }

    /// What the store holds of a feed.
    pub fn held(&self, feed: Feed) -> At {
        let view = self.boxes[&feed].0.state().view();
        (view.epoch(), view.generation())
    }
}

fn in_blocks(keeper: &mut Keeper, trust: &Trust, floor: At, sealed: &[u8], sender: &State) -> Result<(), Refusal> {
    let base = sender.base();
    let mut incoming = keeper.begin_full(trust, Some(floor), sealed, None, &base.head().encode())?;
    while !incoming.is_complete() {
        let block = base.block(incoming.first_missing()).expect("in memory");
        incoming.put(block.to_vec()).expect("the block that is due");
    }
    keeper.take_full(incoming).map(drop)
}
