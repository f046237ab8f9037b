use super::{Kind, RowRef, row::hashed_form};
use std::fmt;

/// Lanes of 16 bits: 16 x 1024 gives over 200 bits of security (Lewi et al., "Securing Update Propagation with Homomorphic Hashing", 2019).
const LANES: usize = 1024;
/// What separates our row hashes from any other use of BLAKE3.
const CONTEXT: &str = "holdfast 2026-11 snapshot row lthash16x1024";

/// A set's hash that rows can be put into and taken out of, in any order, at a cost that does not depend on the set's size.
///
/// Safe for sets only, so the rows of a state are keyed: none can be in twice.
#[derive(Clone, PartialEq, Eq)]
pub struct LtHash(Box<[u16; LANES]>);

/// An [`LtHash`] folded to 32 bytes: what a manifest signs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl LtHash {
    /// Its length, unfolded.
    pub const BYTES: usize = LANES * 2;

    /// The hash of no rows.
    pub fn empty() -> Self {
        Self(Box::new([0; LANES]))
    }

    /// Puts a row in.
    pub fn add(&mut self, kind: Kind, row: RowRef<'_>, scratch: &mut Vec<u8>) {
        let lanes = row_lanes(kind, row, scratch);
        for (sum, lane) in self.0.iter_mut().zip(lanes.chunks_exact(2)) {
            *sum = sum.wrapping_add(u16::from_le_bytes([lane[0], lane[1]]));
        }
    }

    /// Takes a row out.
    pub fn remove(&mut self, kind: Kind, row: RowRef<'_>, scratch: &mut Vec<u8>) {
        let lanes = row_lanes(kind, row, scratch);
        for (sum, lane) in self.0.iter_mut().zip(lanes.chunks_exact(2)) {
            *sum = sum.wrapping_sub(u16::from_le_bytes([lane[0], lane[1]]));
        }
    }

    /// Puts all rows of another sum in: parts of a state may be hashed side by side.
    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(sum, lane)| *sum = sum.wrapping_add(*lane));
    }

    /// Appends the lanes, little-endian.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|lane| out.extend_from_slice(&lane.to_le_bytes()));
    }

    /// Reads lanes back.
    pub fn read(bytes: &[u8; Self::BYTES]) -> Self {
        let mut sum = Self::empty();
        sum.0.iter_mut().zip(bytes.chunks_exact(2)).for_each(|(lane, pair)| *lane = u16::from_le_bytes([pair[0], pair[1]]));
        sum
    }

    /// Folds to the digest that manifests carry.
    pub fn fold(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        for lanes in self.0.chunks_exact(32) {
            let mut bytes = [0u8; 64];
            for (pair, lane) in bytes.chunks_exact_mut(2).zip(lanes) {
                pair.copy_from_slice(&lane.to_le_bytes());
            }
            hasher.update(&bytes);
        }
        Digest(*hasher.finalize().as_bytes())
    }
}

fn row_lanes(kind: Kind, row: RowRef<'_>, scratch: &mut Vec<u8>) -> [u8; LANES * 2] {
    hashed_form(kind, row, scratch);
    let mut lanes = [0u8; LANES * 2];
    row_hasher().update(scratch).finalize_xof().fill(&mut lanes);
    lanes
}

/// Deriving the context key costs as much as hashing a row, so it is done once.
fn row_hasher() -> blake3::Hasher {
    static KEYED: std::sync::OnceLock<blake3::Hasher> = std::sync::OnceLock::new();
    KEYED.get_or_init(|| blake3::Hasher::new_derive_key(CONTEXT)).clone()
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for LtHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LtHash({})", self.fold())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Table;
    use super::*;

    fn row<'a>(key: &'a [u8], value: &'a [u8]) -> RowRef<'a> {
        RowRef { table: Table(2), key, value: Some(value) }
    }

    #[test]
    fn the_digest_is_golden() {
        let mut sum = LtHash::empty();
        assert_eq!(sum.fold().to_string(), GOLDEN_EMPTY);
        sum.add(Kind::Zone, row(b"key", b"value"), &mut Vec::new());
        assert_eq!(sum.fold().to_string(), GOLDEN_ONE);
    }
    const GOLDEN_EMPTY: &str = "be2a8de3dcf46c94ce85cdc8e07ac308f4d8a95490d956c38d780fd610db0813";
    const GOLDEN_ONE: &str = "6b2ccc611d40b3bc984a766d11e4069a4ae76775e2049391eeed7e7dc77883c3";

    #[test]
    fn order_does_not_matter_and_removal_undoes() {
        let scratch = &mut Vec::new();
        let (mut ab, mut ba) = (LtHash::empty(), LtHash::empty());
        ab.add(Kind::Zone, row(b"a", b"1"), scratch);
        ab.add(Kind::Zone, row(b"b", b"2"), scratch);
        ba.add(Kind::Zone, row(b"b", b"2"), scratch);
        ba.add(Kind::Zone, row(b"c", b"3"), scratch);
        ba.add(Kind::Zone, row(b"a", b"1"), scratch);
        assert_ne!(ab, ba);
        ba.remove(Kind::Zone, row(b"c", b"3"), scratch);
        assert_eq!(ab, ba);
    }

    #[test]
    fn kind_and_cut_between_key_and_value_matter() {
        let digest = |kind, row| {
            let mut sum = LtHash::empty();
            sum.add(kind, row, &mut Vec::new());
            sum.fold()
        };
        let plain = digest(Kind::Zone, row(b"ab", b"c"));
        assert_ne!(plain, digest(Kind::Bootptab, row(b"ab", b"c")));
        assert_ne!(plain, digest(Kind::Zone, row(b"a", b"bc")));
    }
}
