use super::write_whole;
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::{Epoch, Generation, UnixMillis};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The highest generations that were ever durable here, and the latest signed time seen. Tells a disk that went back from one that is new.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Floor {
    /// By feed name: epoch and generation.
    pub durable: BTreeMap<String, (Epoch, Generation)>,
    /// The latest signed or authenticated time.
    pub time: UnixMillis,
}

impl Default for Floor {
    fn default() -> Self {
        Self { durable: BTreeMap::new(), time: UnixMillis(0) }
    }
}

impl Floor {
    /// What was once durable of a feed.
    pub fn of(&self, feed: Feed) -> Option<(Epoch, Generation)> {
        self.durable.get(&feed.to_string()).copied()
    }

    /// Raises the floor of a feed; a lower value changes nothing. Gives whether it rose.
    pub fn raise(&mut self, feed: Feed, to: (Epoch, Generation)) -> bool {
        let held = self.durable.entry(feed.to_string()).or_insert((Epoch(0), Generation(0)));
        let rises = to > *held;
        *held = to.max(*held);
        rises
    }
}

/// Where the floor is kept: two copies written in turn, each with its hash, so that one torn write loses nothing.
#[derive(Debug)]
pub struct FloorFile {
    copies: [PathBuf; 2],
    next: usize,
}

impl FloorFile {
    /// Reads the better copy; a box without one starts from nothing.
    pub fn open(state_dir: &Path) -> (Self, Floor) {
        let copies = [state_dir.join("floor.a"), state_dir.join("floor.b")];
        let read = copies.each_ref().map(|path| fs::read(path).ok().and_then(|bytes| decode(&bytes)));
        let newest = usize::from(read[1].as_ref().map(|floor| floor.time) > read[0].as_ref().map(|floor| floor.time));
        let [a, b] = read;
        let floor = if newest == 1 { b } else { a };
        (Self { copies, next: 1 - newest }, floor.unwrap_or_default())
    }

    /// Writes the copy that is due.
    pub fn keep(&mut self, floor: &Floor) -> io::Result<()> {
        let text = serde_json::to_vec(floor).map_err(io::Error::other)?;
        let mut bytes = hash_hex(&text).into_bytes();
        bytes.push(b'\n');
        bytes.extend_from_slice(&text);
        write_whole(&self.copies[self.next], &bytes)?;
        self.next = 1 - self.next;
        Ok(())
    }
}

fn decode(bytes: &[u8]) -> Option<Floor> {
    let (hash, text) = bytes.split_at_checked(64)?;
    let text = text.strip_prefix(b"\n")?;
    (hash == hash_hex(text).as_bytes()).then(|| serde_json::from_slice(text).ok())?
}

fn hash_hex(text: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text))
}
