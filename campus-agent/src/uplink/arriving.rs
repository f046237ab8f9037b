//! A whole snapshot on its way, kept on the disk as it comes, so that an uplink that is stopped or falls goes on where it was.
//!
//! The file holds the pieces as they came over the wire, one after the other. At the start they are taken again as if they
//! came anew, each block checked against the head; what does not fit is cut off. So nothing that the file says is believed
//! more than the line is, and a disk that fails only costs the resumption.

use bytes::{Buf, Bytes};
use holdfast_proto::control::{Arrived, Gathered, Piece, PieceError};
use holdfast_proto::snapshot::Hash;
use prost::Message;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// What has arrived of one whole snapshot. There is one for each feed at most, and its file is no longer than its blocks.
#[derive(Debug)]
pub(super) struct Arriving {
    path: PathBuf,
    gathered: Gathered,
    /// `None` before the first piece, and where the disk failed or a piece was not what was due.
    file: Option<File>,
}

impl Arriving {
    /// Nothing has arrived yet; what comes is kept at `path`.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, gathered: Gathered::default(), file: None }
    }

    /// Takes up what was kept at `path`; `None` where nothing of use was.
    pub(super) fn resume(path: PathBuf) -> Option<Self> {
        let bytes = Bytes::from(fs::read(&path).ok()?);
        let (mut gathered, good) = gather(bytes.clone());
        if good < bytes.len() {
            // The piece that does not fit may have brought blocks that do, and they are not in what is left of the file.
            (gathered, _) = gather(bytes.slice(..good));
        }
        let mut arriving = Self { path, gathered, file: None };
        if arriving.wanted().1 == 0 {
            arriving.discard();
            return None;
        }
        arriving.file = fs::OpenOptions::new().append(true).open(&arriving.path).and_then(|file| file.set_len(good as u64).map(|()| file)).ok();
        Some(arriving)
    }

    /// What is gathered, and the first block that is missing: what to ask for.
    pub(super) fn wanted(&self) -> (Hash, u32) {
        self.gathered.wanted()
    }

    /// Takes a piece; gives whether that was all.
    pub(super) fn take(&mut self, piece: Piece) -> Result<bool, PieceError> {
        let (before, record) = (self.wanted(), piece.encode_length_delimited_to_vec());
        let taken = self.gathered.take(piece);
        match &taken {
            // The same head comes at the start of every attempt.
            Ok(_) if self.wanted() == before => {}
            Ok(_) => self.keep(self.wanted().0 != before.0, &record),
            // A part of it may have been taken, which the file would lack.
            Err(_) => self.file = None,
        }
        taken
    }

    /// Another head than before starts the file anew.
    fn keep(&mut self, is_new: bool, record: &[u8]) {
        if is_new {
            let opened = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path);
            self.file =
                opened.inspect_err(|error| tracing::info!(event = "disk_failed", %error, "what arrives of a snapshot is not kept until it is whole")).ok();
        }
        if self.file.as_mut().is_some_and(|file| file.write_all(record).is_err()) {
            self.file = None;
        }
    }

    /// All of it, once [`Self::take`] has said so; forgets it.
    pub(super) fn finish(&mut self) -> Arrived {
        self.discard();
        std::mem::take(&mut self.gathered).finish()
    }

    /// Of no use any more.
    pub(super) fn discard(&mut self) {
        self.file = None;
        drop(fs::remove_file(&self.path));
    }
}

/// Takes the pieces of a file up to the first that does not fit; gives how long those before it are.
fn gather(mut rest: Bytes) -> (Gathered, usize) {
    let (len, mut good, mut gathered) = (rest.len(), 0, Gathered::default());
    while rest.has_remaining() && Piece::decode_length_delimited(&mut rest).is_ok_and(|piece| gathered.take(piece).is_ok()) {
        good = len - rest.len();
    }
    (gathered, good)
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::control::Whole;
    use holdfast_proto::snapshot::{Change, Feed, Institution, SigningKey, Stamp, State, Table};
    use holdfast_proto::words::{Epoch, UnixMillis};
    use std::sync::Arc;

    /// The pieces of a snapshot of so many rows.
    fn pieces(rows: u32) -> Vec<Piece> {
        let changes = (0..rows).map(|key| Change::put(Table(1), key.to_be_bytes(), b"value".to_vec())).collect();
        let stamp = Stamp { institution: Institution([1; 16]), epoch: Epoch(1), issued_at: UnixMillis(1), soft_age_s: 0, hard_age_s: 0 };
        let (sealed, _, state) = State::empty(Feed::ZONE).compose(changes).unwrap().unwrap().seal(&SigningKey::generate().unwrap().0, stamp).unwrap();
        let whole = Whole::new(sealed.clone(), Arc::clone(state.rebased().unwrap().base()));
        std::iter::once(whole.opening(&sealed)).chain(whole.pieces(0).into_iter().map(|blocks| whole.piece(blocks).unwrap())).collect()
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("arriving");
        (dir, path)
    }

    #[test]
    fn an_uplink_that_falls_at_half_a_transfer_goes_on_where_it_was() {
        let ((_dir, path), pieces) = (place(), pieces(60_000));
        let (last, first) = pieces.split_last().unwrap();
        let mut arriving = Arriving::new(path.clone());
        first.iter().for_each(|piece| assert_eq!(arriving.take(piece.clone()), Ok(false)));
        let wanted = arriving.wanted();
        assert!(wanted.1 > 0);
        // The process is gone; its last write reached the disk in part.
        drop(arriving);
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"torn").unwrap();
        let mut arriving = Arriving::resume(path.clone()).unwrap();
        assert_eq!(arriving.wanted(), wanted, "and not from the first block");
        assert_eq!(arriving.take(pieces[0].clone()), Ok(false), "the same head comes again");
        assert_eq!(Arriving::resume(path.clone()).unwrap().wanted(), wanted);
        assert_eq!(arriving.take(last.clone()), Ok(true));
        assert!(arriving.finish().blocks.len() as u32 > wanted.1);
        assert!(!path.exists(), "what is done is not kept");
    }

    #[test]
    fn what_was_altered_on_the_disk_is_fetched_again() {
        let ((_dir, path), pieces) = (place(), pieces(60_000));
        let mut arriving = Arriving::new(path.clone());
        pieces[..3].iter().for_each(|piece| assert_eq!(arriving.take(piece.clone()), Ok(false)));
        let (all, before) = (arriving.wanted().1, fs::metadata(&path).unwrap().len());
        drop(arriving);
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.len() - 20;
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        let arriving = Arriving::resume(path.clone()).unwrap();
        assert!(arriving.wanted().1 > 0 && arriving.wanted().1 < all);
        assert!(fs::metadata(&path).unwrap().len() < before, "the piece is cut off");
        fs::write(&path, b"nothing that ever came over a wire").unwrap();
        assert!(Arriving::resume(path.clone()).is_none() && !path.exists());
    }

    #[test]
    fn a_master_that_moved_on_starts_the_file_anew() {
        let ((_dir, path), old, new) = (place(), pieces(60_000), pieces(1));
        let mut arriving = Arriving::new(path.clone());
        old[..3].iter().for_each(|piece| assert_eq!(arriving.take(piece.clone()), Ok(false)));
        let before = fs::metadata(&path).unwrap().len();
        assert_eq!(arriving.take(new[0].clone()), Ok(false));
        assert!(fs::metadata(&path).unwrap().len() < before);
        assert_eq!(arriving.take(new[1].clone()), Ok(true));
        assert_eq!(arriving.finish().blocks.len(), 1);
    }
}
