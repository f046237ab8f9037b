//! A snapshot mended by its buckets: who holds most of it says what it holds of each bucket, and gets the rows of those that
//! differ. Nobody signed these rows as they are; the manifest that comes with them names the sum that they must lead to.

use super::whole::{PIECE_BYTES, PIECE_LIMIT_BYTES};
use super::{MendPiece, UnpackError, pack, unpack};
use crate::snapshot::{Buckets, Damaged, Difference, MARKS_BYTES, Sealed, State, Tally, encode_row};
use bytes::Bytes;

/// The most rows, unpacked, that travel so: what a box takes into its memory at once.
const MEND_LIMIT_BYTES: u64 = 64 << 20;

/// The rows that somebody lacks, as their sender holds them.
#[derive(Debug)]
pub struct Mend {
    sealed: Sealed,
    state: State,
    difference: Difference,
}

/// The rows of buckets as their receiver gathers them.
#[derive(Debug, Default)]
pub struct Mending {
    sealed: Bytes,
    buckets: Option<Buckets>,
    rows_len: usize,
    rows: Vec<u8>,
}

/// The rows of buckets of which all have arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrivedBuckets {
    /// The manifest of what they lead to, and its signature.
    pub sealed: Bytes,
    /// Whose rows they are: all of theirs.
    pub buckets: Buckets,
    /// The rows, ascending.
    pub rows: Vec<u8>,
}

/// A piece that is not what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MendError {
    /// It does not begin as it should.
    #[error("the rows of buckets do not begin with the buckets")]
    Opening,
    /// More is announced than is taken, or more comes than was announced.
    #[error("the rows of buckets have {0} bytes, more than were announced or may come")]
    TooMany(u64),
    /// It does not unpack.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
}

impl Mend {
    /// What leads somebody who says this of their buckets to this state. `None` where the whole snapshot costs less, because
    /// more than half of the rows would travel, and where there is none yet.
    pub fn of(state: &State, tally: &Tally, marks: &[u8; MARKS_BYTES]) -> Option<Self> {
        let difference = tally.difference(marks);
        let is_few = difference.rows <= state.view().row_count() / 2 && difference.bytes <= MEND_LIMIT_BYTES;
        is_few.then_some(Self { sealed: state.sealed()?.clone(), state: state.clone(), difference })
    }

    /// Which buckets differ, and how much that is.
    pub fn difference(&self) -> &Difference {
        &self.difference
    }

    /// What comes first.
    pub fn opening(&self) -> MendPiece {
        let (sealed, buckets) = (self.sealed.bytes().to_vec().into(), self.difference.buckets.bytes().to_vec().into());
        MendPiece { sealed, buckets, rows_len: self.difference.bytes, ..MendPiece::default() }
    }

    /// The rows, in pieces, packed.
    pub fn pieces(&self) -> impl Iterator<Item = Result<MendPiece, Damaged>> {
        let mut rows = self.state.bucket_rows(&self.difference.buckets);
        std::iter::from_fn(move || {
            let mut piece = Vec::new();
            while piece.len() < PIECE_BYTES {
                match rows.next() {
                    Some(Ok(row)) => encode_row(row, &mut piece).expect("rows that are held are within their limits"),
                    Some(Err(damaged)) => return Some(Err(damaged)),
                    None => break,
                }
            }
            let packed = (!piece.is_empty()).then(|| pack(piece.into()))?;
            Some(Ok(MendPiece { rows: packed.bytes, compression: packed.compression.into(), ..MendPiece::default() }))
        })
    }
}

impl Mending {
    /// Takes a piece; gives whether that was all.
    pub fn take(&mut self, piece: MendPiece) -> Result<bool, MendError> {
        if self.buckets.is_none() {
            self.buckets = Some(Buckets::from_bytes(&piece.buckets).ok_or(MendError::Opening)?);
            if piece.rows_len > MEND_LIMIT_BYTES {
                return Err(MendError::TooMany(piece.rows_len));
            }
            (self.sealed, self.rows_len) = (piece.sealed, piece.rows_len as usize);
        }
        let rows = unpack(piece.rows, piece.compression, PIECE_LIMIT_BYTES)?;
        if self.rows.len() + rows.len() > self.rows_len {
            return Err(MendError::TooMany((self.rows.len() + rows.len()) as u64));
        }
        self.rows.extend_from_slice(&rows);
        Ok(self.rows.len() == self.rows_len)
    }

    /// All of it, once [`Self::take`] has said so.
    pub fn finish(self) -> ArrivedBuckets {
        ArrivedBuckets { sealed: self.sealed, buckets: self.buckets.unwrap_or_else(Buckets::none), rows: self.rows }
    }
}

impl MendPiece {
    /// The answer to whoever is better off with the whole snapshot.
    pub fn whole() -> Self {
        Self { whole: true, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Compression;
    use super::*;
    use crate::snapshot::{ApplyError, Change, Family, Feed, Grant, Institution, Kind, Opened, SigningKey, Stamp, Table, Trust, TrustDraft};
    use crate::words::{Epoch, UnixMillis};

    /// A publisher with one state, and an agent that lacks some of it.
    struct Bench {
        trust: Trust,
        newest: State,
        held: State,
    }

    fn row(key: u32, value: &str) -> Change {
        Change::put(Table(1), key.to_be_bytes(), value)
    }

    impl Bench {
        /// So many rows, of which the last so many are new.
        fn new(rows: u32, new: u32) -> Self {
            let key = SigningKey::generate().unwrap().0;
            let grants = vec![Grant { key: key.public(), kind: Kind::Zone, family: Family::Whole }];
            let (institution, name) = (Institution([1; 16]), "University of Examples".to_owned());
            let draft = TrustDraft { version: 1, institution, name, epoch: Epoch(1), threshold: 1, roots: vec![key.public()], grants, authorities: Vec::new() };
            let stamp = Stamp { institution, epoch: Epoch(1), issued_at: UnixMillis(1), soft_age_s: 0, hard_age_s: 0 };
            let publish = |state: &State, changes| state.compose(changes).unwrap().unwrap().seal(&key, stamp).unwrap().2;
            let held = publish(&State::empty(Feed::ZONE), (0..rows - new).map(|key| row(key, "some value of a row")).collect());
            let between = publish(&held, vec![Change::delete(Table(1), 0u32.to_be_bytes())]);
            let newest = publish(&between, (rows - new..rows).map(|key| row(key, "a new value of a row")).collect());
            Self { trust: draft.sign(&[&key]).unwrap(), newest, held }
        }

        fn mend(&self) -> Option<Mend> {
            Mend::of(&self.newest, &self.newest.tally().unwrap(), self.held.tally().unwrap().marks())
        }

        fn open(&self, sealed: &[u8]) -> Opened {
            self.trust.open(&Sealed::from_bytes(sealed).unwrap()).unwrap()
        }
    }

    fn gather(mend: &Mend) -> ArrivedBuckets {
        let mut mending = Mending::default();
        assert_eq!(mending.take(mend.opening()), Ok(false));
        let pieces: Vec<MendPiece> = mend.pieces().map(Result::unwrap).collect();
        let (last, first) = pieces.split_last().unwrap();
        first.iter().for_each(|piece| assert_eq!(mending.take(piece.clone()), Ok(false)));
        assert_eq!(mending.take(last.clone()), Ok(true));
        mending.finish()
    }

    #[test]
    fn the_rows_that_differ_lead_to_what_was_signed_and_altered_ones_do_not() {
        let bench = Bench::new(60_000, 200);
        let mend = bench.mend().unwrap();
        assert!(mend.difference().rows < 6000, "{:?}", mend.difference());
        let arrived = gather(&mend);
        let target = bench.open(&arrived.sealed);
        let mended = |rows: &[u8]| bench.held.mend(&target, &bench.held.bucket_changes(&arrived.buckets, rows)?);
        assert_eq!(mended(&arrived.rows).unwrap().encode_rows(), bench.newest.encode_rows());
        let mut altered = arrived.rows.clone();
        *altered.last_mut().unwrap() ^= 1;
        assert!(matches!(mended(&altered), Err(ApplyError::OtherDigest { .. })));
        assert!(mended(&arrived.rows[..arrived.rows.len() - 1]).is_err(), "torn rows");
    }

    #[test]
    fn where_more_than_half_would_travel_the_whole_snapshot_does() {
        assert!(Bench::new(20_000, 15_000).mend().is_none());
        let nothing = Mend::of(&State::empty(Feed::ZONE), &State::empty(Feed::ZONE).tally().unwrap(), &[0; MARKS_BYTES]);
        assert!(nothing.is_none(), "nothing was published");
    }

    #[test]
    fn no_more_is_taken_than_was_announced_or_may_come() {
        let bench = Bench::new(60_000, 200);
        let mend = bench.mend().unwrap();
        assert_eq!(Mending::default().take(MendPiece::whole()), Err(MendError::Opening));
        let boundless = MendPiece { rows_len: MEND_LIMIT_BYTES + 1, ..mend.opening() };
        assert_eq!(Mending::default().take(boundless), Err(MendError::TooMany(MEND_LIMIT_BYTES + 1)));
        let mut mending = Mending::default();
        assert_eq!(mending.take(MendPiece { rows_len: 100, ..mend.opening() }), Ok(false));
        assert!(matches!(mending.take(mend.pieces().next().unwrap().unwrap()), Err(MendError::TooMany(_))));
        let torn = MendPiece { rows: Bytes::from_static(b"torn"), compression: Compression::Zstd.into(), ..MendPiece::default() };
        assert!(matches!(mending.take(torn), Err(MendError::Unpack(_))));
    }

    #[test]
    fn one_that_holds_it_all_gets_a_manifest_alone() {
        let bench = Bench::new(100, 1);
        let mend = Mend::of(&bench.newest, &bench.newest.tally().unwrap(), bench.newest.tally().unwrap().marks()).unwrap();
        let mut mending = Mending::default();
        assert_eq!(mending.take(mend.opening()), Ok(true));
        assert!(mending.finish().rows.is_empty());
    }
}
