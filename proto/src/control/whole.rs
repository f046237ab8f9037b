//! A whole snapshot on its way: a head that names its blocks, and the blocks, each of which can be checked by itself. So a
//! transfer that broke off goes on at the first block that is missing, and nobody on the way can waste more than one block.

use super::{Compression, Piece, UnpackError, pack, unpack};
use crate::snapshot::{Base, Damaged, Hash, Head, HeadError, Sealed};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// Blocks of about this much travel together.
pub(super) const PIECE_BYTES: usize = 256 << 10;
/// What a piece may unpack to: its aim, and one row of the longest.
pub(super) const PIECE_LIMIT_BYTES: usize = PIECE_BYTES + (2 << 20);

/// A whole snapshot as its sender holds it.
#[derive(Debug)]
pub struct Whole {
    sealed: Sealed,
    head: Bytes,
    base: Arc<Base>,
}

/// A whole snapshot as its receiver gathers it.
#[derive(Debug, Default)]
pub struct Gathered {
    sealed: Bytes,
    newest: Bytes,
    head_bytes: Bytes,
    head: Option<Head>,
    root: Hash,
    blocks: Vec<Vec<u8>>,
}

/// A whole snapshot of which all has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// The manifest of the snapshot, and its signature.
    pub sealed: Bytes,
    /// The newest manifest that the sender had: it may name the head.
    pub newest: Bytes,
    /// See [`Head::decode`].
    pub head: Bytes,
    /// Each the one that the head names.
    pub blocks: Vec<Vec<u8>>,
}

/// A piece that is not what was asked for. What was gathered before stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PieceError {
    /// The head is damaged.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The blocks do not continue what was gathered.
    #[error("block {came} of the snapshot came where block {wanted} was due")]
    OutOfOrder {
        /// What came.
        came: u32,
        /// What was due.
        wanted: u32,
    },
    /// A block is not the one that the head names.
    #[error("block {0} of the snapshot is not the one that its head names")]
    Block(u32),
    /// It does not unpack.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
}

impl Whole {
    /// A base and the manifest of its generation.
    pub fn new(sealed: Sealed, base: Arc<Base>) -> Self {
        Self { sealed, head: base.head().encode().into(), base }
    }

    /// What names this snapshot.
    pub fn root(&self) -> Hash {
        self.base.root()
    }

    /// The blocks from this one on, in pieces.
    pub fn pieces(&self, first_block: usize) -> Vec<Range<usize>> {
        let marks = &self.base.head().blocks;
        let (mut pieces, mut start) = (Vec::new(), first_block.min(marks.len()));
        while start < marks.len() {
            let (mut end, mut bytes) = (start, 0);
            while end < marks.len() && bytes < PIECE_BYTES {
                bytes += marks[end].len as usize;
                end += 1;
            }
            pieces.push(start..end);
            start = end;
        }
        pieces
    }

    /// What comes first: manifests and head, without blocks. `newest` is a manifest that may name the head.
    pub fn opening(&self, newest: &Sealed) -> Piece {
        let (sealed, newest) = (self.sealed.bytes().to_vec().into(), newest.bytes().to_vec().into());
        Piece { sealed, newest, head: self.head.clone(), ..Piece::default() }
    }

    /// Some blocks, packed.
    pub fn piece(&self, blocks: Range<usize>) -> Result<Piece, Damaged> {
        let first_block = blocks.start as u32;
        let mut bytes = Vec::with_capacity(PIECE_BYTES);
        for number in blocks {
            bytes.extend_from_slice(self.base.block(number)?);
        }
        let packed = pack(bytes.into());
        Ok(Piece { first_block, blocks: packed.bytes, compression: packed.compression.into(), ..Piece::default() })
    }
}

impl Gathered {
    /// What is gathered, and the first block that is missing: what to ask for.
    pub fn wanted(&self) -> (Hash, u32) {
        (self.root, self.blocks.len() as u32)
    }

    /// Takes a piece; gives whether that was all.
    pub fn take(&mut self, piece: Piece) -> Result<bool, PieceError> {
        if !piece.head.is_empty() {
            self.begin(&piece)?;
        }
        if !piece.blocks.is_empty() {
            self.take_blocks(&piece)?;
        }
        Ok(self.head.as_ref().is_some_and(|head| head.blocks.len() == self.blocks.len()))
    }

    /// Another head than the one before starts anew: the sender has moved on.
    fn begin(&mut self, piece: &Piece) -> Result<(), PieceError> {
        let head = Head::decode(&piece.head)?;
        let root = *blake3::hash(&piece.head).as_bytes();
        let blocks = if root == self.root && self.head.is_some() { std::mem::take(&mut self.blocks) } else { Vec::new() };
        *self = Self { sealed: piece.sealed.clone(), newest: piece.newest.clone(), head_bytes: piece.head.clone(), head: Some(head), root, blocks };
        Ok(())
    }

    fn take_blocks(&mut self, piece: &Piece) -> Result<(), PieceError> {
        let wanted = self.blocks.len() as u32;
        if piece.first_block != wanted {
            return Err(PieceError::OutOfOrder { came: piece.first_block, wanted });
        }
        let compression = Compression::try_from(piece.compression).unwrap_or_default();
        let unpacked = unpack(piece.blocks.clone(), compression.into(), PIECE_LIMIT_BYTES)?;
        let mut rest = &unpacked[..];
        while !rest.is_empty() {
            let wrong = PieceError::Block(self.blocks.len() as u32);
            let mark = self.head.as_ref().and_then(|head| head.blocks.get(self.blocks.len())).ok_or(wrong)?;
            let (block, after) = rest.split_at_checked(mark.len as usize).filter(|(block, _)| !block.is_empty() && mark.is_of(block)).ok_or(wrong)?;
            self.blocks.push(block.to_vec());
            rest = after;
        }
        Ok(())
    }

    /// All of it, once [`Self::take`] has said so.
    pub fn finish(self) -> Arrived {
        Arrived { sealed: self.sealed, newest: self.newest, head: self.head_bytes, blocks: self.blocks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Change, Feed, Institution, SigningKey, Stamp, State, Table};
    use crate::words::{Epoch, UnixMillis};

    /// A snapshot of so many rows.
    fn whole(rows: u32) -> Whole {
        let changes = (0..rows).map(|key| Change::put(Table(1), key.to_be_bytes(), b"value".to_vec())).collect();
        let stamp = Stamp { institution: Institution([1; 16]), epoch: Epoch(1), issued_at: UnixMillis(1), soft_age_s: 0, hard_age_s: 0 };
        let draft = State::empty(Feed::ZONE).compose(changes).unwrap().unwrap();
        let (sealed, _, state) = draft.seal(&SigningKey::generate().unwrap().0, stamp).unwrap();
        Whole::new(sealed, Arc::clone(state.rebased().unwrap().base()))
    }

    #[test]
    fn a_transfer_that_broke_off_goes_on_where_it_was() {
        let whole = whole(60_000);
        let mut gathered = Gathered::default();
        assert_eq!(gathered.take(whole.opening(&whole.sealed)), Ok(false));
        let pieces = whole.pieces(0);
        assert!(pieces.len() > 2);
        assert_eq!(gathered.take(whole.piece(pieces[0].clone()).unwrap()), Ok(false));
        let (root, missing) = gathered.wanted();
        assert_eq!((root, missing as usize), (whole.root(), pieces[0].end));
        assert_eq!(gathered.take(whole.opening(&whole.sealed)), Ok(false), "the same head changes nothing");
        let rest = whole.pieces(missing as usize);
        let ended: Vec<_> = rest.into_iter().map(|blocks| gathered.take(whole.piece(blocks).unwrap()).unwrap()).collect();
        assert_eq!(ended.iter().filter(|is_all| **is_all).count(), 1);
        let arrived = gathered.finish();
        let base = Base::from_blocks(Head::decode(&arrived.head).unwrap(), arrived.blocks).unwrap();
        assert_eq!(base.root(), whole.root());
    }

    #[test]
    fn a_block_that_was_altered_is_not_taken_and_costs_nothing_else() {
        let whole = whole(60_000);
        let mut gathered = Gathered::default();
        gathered.take(whole.opening(&whole.sealed)).unwrap();
        let mut altered: Vec<u8> = [whole.base.block(0).unwrap(), whole.base.block(1).unwrap()].concat();
        altered[20_000] ^= 1;
        let piece = Piece { blocks: altered.into(), ..Piece::default() };
        assert_eq!(gathered.take(piece), Err(PieceError::Block(1)));
        assert_eq!(gathered.wanted().1, 1, "the block before it is kept");
        let skipped = whole.piece(whole.pieces(0)[1].clone()).unwrap();
        assert!(matches!(gathered.take(skipped), Err(PieceError::OutOfOrder { wanted: 1, .. })));
    }

    #[test]
    fn a_sender_that_moved_on_starts_anew() {
        let (old, new) = (whole(60_000), whole(1));
        let mut gathered = Gathered::default();
        gathered.take(old.opening(&old.sealed)).unwrap();
        gathered.take(old.piece(old.pieces(0)[0].clone()).unwrap()).unwrap();
        assert_eq!(gathered.take(new.opening(&new.sealed)), Ok(false));
        assert_eq!(gathered.take(new.piece(0..1).unwrap()), Ok(true));
        assert_eq!(gathered.finish().blocks.len(), 1);
    }
}
