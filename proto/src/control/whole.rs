//! A whole snapshot on its way: a head that names its blocks, and the blocks, each of which can be checked by itself. So a
//! transfer that broke off goes on at the first block that is missing, and nobody on the way can waste more than one block.

use super::{Compression, Piece, UnpackError, pack, unpack};
use crate::snapshot::{Hash, Rows, RowsError};
use bytes::Bytes;
use std::ops::Range;

/// A block ends with the first row that reaches this.
const BLOCK_BYTES: usize = 16 << 10;
/// Blocks of about this much travel together.
const PIECE_BYTES: usize = 256 << 10;
/// What a piece may unpack to: its aim, and one row of the longest.
const PIECE_LIMIT_BYTES: usize = PIECE_BYTES + (2 << 20);
/// `length u32 | hash 32`, little-endian.
const MARK_BYTES: usize = 36;
/// 4 GiB in the shortest blocks.
const BLOCKS_LIMIT: usize = 1 << 18;

/// A whole snapshot as its sender holds it.
#[derive(Debug)]
pub struct Whole {
    sealed: Bytes,
    head: Bytes,
    rows: Bytes,
    blocks: Vec<Range<usize>>,
}

/// A whole snapshot as its receiver gathers it.
#[derive(Debug, Default)]
pub struct Gathered {
    sealed: Bytes,
    root: Hash,
    marks: Vec<(usize, Hash)>,
    have: usize,
    rows: Vec<u8>,
}

/// A piece that is not what was asked for. What was gathered before stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PieceError {
    /// The head is damaged, or too long.
    #[error("the head of the snapshot is damaged")]
    Head,
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
    /// Cuts a state's rows into blocks.
    pub fn new(sealed: Bytes, rows: Vec<u8>) -> Result<Self, RowsError> {
        let mut blocks = Vec::new();
        let (mut walk, mut start) = (Rows::new(&rows), 0);
        while let Some(row) = walk.next() {
            row?;
            if walk.offset() - start >= BLOCK_BYTES {
                blocks.push(start..walk.offset());
                start = walk.offset();
            }
        }
        if start < rows.len() {
            blocks.push(start..rows.len());
        }
        let mark = |block: &Range<usize>| [&(block.len() as u32).to_le_bytes()[..], blake3::hash(&rows[block.clone()]).as_bytes()].concat();
        let head: Vec<u8> = blocks.iter().flat_map(mark).collect();
        Ok(Self { sealed, head: head.into(), rows: rows.into(), blocks })
    }

    /// What names this snapshot.
    pub fn root(&self) -> Hash {
        *blake3::hash(&self.head).as_bytes()
    }

    /// How many pieces there are from this block on, and the first block of each.
    pub fn pieces(&self, first_block: usize) -> Vec<Range<usize>> {
        let mut pieces = Vec::new();
        let mut start = first_block.min(self.blocks.len());
        while start < self.blocks.len() {
            let from = self.blocks[start].start;
            let end = (start..self.blocks.len()).find(|block| self.blocks[*block].end - from >= PIECE_BYTES).map_or(self.blocks.len(), |last| last + 1);
            pieces.push(start..end);
            start = end;
        }
        pieces
    }

    /// What comes first: manifest and head, without blocks.
    pub fn opening(&self) -> Piece {
        Piece { sealed: self.sealed.clone(), head: self.head.clone(), ..Piece::default() }
    }

    /// Some blocks, packed.
    pub fn piece(&self, blocks: Range<usize>) -> Piece {
        let (Some(first), Some(last)) = (self.blocks.get(blocks.start), self.blocks.get(blocks.end.wrapping_sub(1))) else { return Piece::default() };
        let packed = pack(self.rows.slice(first.start..last.end));
        Piece { first_block: blocks.start as u32, blocks: packed.bytes, compression: packed.compression.into(), ..Piece::default() }
    }
}

impl Gathered {
    /// What is gathered, and the first block that is missing: what to ask for.
    pub fn wanted(&self) -> (Hash, u32) {
        (self.root, self.have as u32)
    }

    /// Takes a piece; gives whether that was all.
    pub fn take(&mut self, piece: Piece) -> Result<bool, PieceError> {
        if !piece.sealed.is_empty() {
            self.begin(&piece)?;
        }
        if !piece.blocks.is_empty() {
            self.take_blocks(&piece)?;
        }
        Ok(!self.sealed.is_empty() && self.have == self.marks.len())
    }

    /// Another head than the one before starts anew: the sender has moved on.
    fn begin(&mut self, piece: &Piece) -> Result<(), PieceError> {
        let root = *blake3::hash(&piece.head).as_bytes();
        if root == self.root && !self.sealed.is_empty() {
            return Ok(());
        }
        let marks = piece.head.chunks_exact(MARK_BYTES);
        if !marks.remainder().is_empty() || marks.len() > BLOCKS_LIMIT {
            return Err(PieceError::Head);
        }
        let mark = |bytes: &[u8]| {
            let (len, hash) = bytes.split_first_chunk().ok_or(PieceError::Head)?;
            Ok((u32::from_le_bytes(*len) as usize, hash.try_into().map_err(|_| PieceError::Head)?))
        };
        let marks = marks.map(mark).collect::<Result<_, PieceError>>()?;
        *self = Self { sealed: piece.sealed.clone(), root, marks, have: 0, rows: Vec::new() };
        Ok(())
    }

    fn take_blocks(&mut self, piece: &Piece) -> Result<(), PieceError> {
        let wanted = self.have as u32;
        if piece.first_block != wanted {
            return Err(PieceError::OutOfOrder { came: piece.first_block, wanted });
        }
        let compression = Compression::try_from(piece.compression).unwrap_or_default();
        let unpacked = unpack(piece.blocks.clone(), compression.into(), PIECE_LIMIT_BYTES)?;
        let mut rest = &unpacked[..];
        while !rest.is_empty() {
            let wrong = PieceError::Block(self.have as u32);
            let (len, hash) = self.marks.get(self.have).ok_or(wrong)?;
            let (block, after) = rest.split_at_checked(*len).filter(|_| *len > 0).ok_or(wrong)?;
            if blake3::hash(block).as_bytes() != hash {
                return Err(wrong);
            }
            self.rows.extend_from_slice(block);
            self.have += 1;
            rest = after;
        }
        Ok(())
    }

    /// Manifest and rows, when all is there.
    pub fn finish(self) -> (Bytes, Vec<u8>) {
        (self.sealed, self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{RowRef, Table, encode_changes};

    fn whole() -> (Whole, Vec<u8>) {
        let keys: Vec<[u8; 4]> = (0u32..60_000).map(u32::to_be_bytes).collect();
        let rows = encode_changes(keys.iter().map(|key| RowRef { table: Table(1), key, value: Some(key) })).unwrap();
        (Whole::new(Bytes::from_static(b"sealed"), rows.clone()).unwrap(), rows)
    }

    #[test]
    fn a_transfer_that_broke_off_goes_on_where_it_was() {
        let (whole, rows) = whole();
        let mut gathered = Gathered::default();
        assert_eq!(gathered.take(whole.opening()), Ok(false));
        let pieces = whole.pieces(0);
        assert!(pieces.len() > 2);
        assert_eq!(gathered.take(whole.piece(pieces[0].clone())), Ok(false));
        let (root, missing) = gathered.wanted();
        assert_eq!((root, missing as usize), (whole.root(), pieces[0].end));
        assert_eq!(gathered.take(whole.opening()), Ok(false), "the same head changes nothing");
        let rest = whole.pieces(missing as usize);
        let ended: Vec<_> = rest.into_iter().map(|blocks| gathered.take(whole.piece(blocks)).unwrap()).collect();
        assert_eq!(ended.iter().filter(|is_all| **is_all).count(), 1);
        assert_eq!(gathered.finish(), (Bytes::from_static(b"sealed"), rows));
    }

    #[test]
    fn a_block_that_was_altered_is_not_taken_and_costs_nothing_else() {
        let (whole, _) = whole();
        let mut gathered = Gathered::default();
        gathered.take(whole.opening()).unwrap();
        let mut altered = whole.rows.slice(0..PIECE_BYTES).to_vec();
        altered[20_000] ^= 1;
        let piece = Piece { blocks: altered.into(), ..Piece::default() };
        assert_eq!(gathered.take(piece), Err(PieceError::Block(1)));
        assert_eq!(gathered.wanted().1, 1, "the block before it is kept");
        let skipped = whole.piece(whole.pieces(0)[1].clone());
        assert!(matches!(gathered.take(skipped), Err(PieceError::OutOfOrder { wanted: 1, .. })));
    }

    #[test]
    fn a_sender_that_moved_on_starts_anew() {
        let (old, _) = whole();
        let new = Whole::new(Bytes::from_static(b"newer"), Vec::new()).unwrap();
        let mut gathered = Gathered::default();
        gathered.take(old.opening()).unwrap();
        gathered.take(old.piece(old.pieces(0)[0].clone())).unwrap();
        assert_eq!(gathered.take(new.opening()), Ok(true), "an empty snapshot is whole at once");
        assert_eq!(gathered.finish(), (Bytes::from_static(b"newer"), Vec::new()));
    }
}
