use super::super::base::{Base, Damaged, Head, hash_check};
use super::super::{Hash, Sealed};
use super::StoreKey;
use std::io::{self, Write};

pub use super::super::base::INDEX_BLOCK_BYTES;

const MAGIC: &[u8; 8] = b"HFBASE2\n";
/// Magic, manifest, length of the head, number of index blocks, hash check, MAC; the rest is zero.
pub const HEADER_BYTES: usize = 512;
const HEAD_LEN_AT: usize = MAGIC.len() + Sealed::BYTES;
const INDEX_BLOCKS_AT: usize = HEAD_LEN_AT + 8;
const HASH_CHECK_AT: usize = INDEX_BLOCKS_AT + 4;
const MAC_AT: usize = HASH_CHECK_AT + 8;
/// The head of 274 GB of rows.
const HEAD_LIMIT_BYTES: u64 = 700 << 20;
const INDEX_BLOCKS_LIMIT: u32 = 1 << 24;

/// A base file that is no help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BaseFileError {
    /// It does not start as a base does.
    #[error("it is not a snapshot file")]
    NoBase,
    /// It ends early, or its parts do not fit together.
    #[error("it is torn or altered")]
    Torn,
    /// The MAC is not this box's.
    #[error("it was altered, or written by another box")]
    Foreign,
    /// The index was written by a build that hashes otherwise.
    #[error("its index was written by another build")]
    OtherIndex,
}

impl From<super::v1::FileError> for BaseFileError {
    fn from(error: super::v1::FileError) -> Self {
        match error {
            super::v1::FileError::NoBase => Self::NoBase,
            super::v1::FileError::Torn => Self::Torn,
        }
    }
}

/// The front of a base file, read: enough to serve from the rest of it block by block.
#[derive(Debug, Clone)]
pub struct BaseFile {
    /// The manifest of the generation whose rows these are.
    pub sealed: Sealed,
    /// What the base says of itself.
    pub head: Head,
    /// The hash of each index block.
    pub index_marks: Vec<Hash>,
    /// What the first frame of the log after it chains to.
    pub mac: Hash,
    /// Where the index blocks start in the file.
    pub index_at: u64,
    /// Where the rows start in the file.
    pub rows_at: u64,
    verdict: Result<(), BaseFileError>,
}

impl BaseFile {
    /// How much of a file its front is, by its first [`HEADER_BYTES`].
    pub fn front_len(header: &[u8]) -> Result<u64, BaseFileError> {
        let (head_len, index_blocks) = lengths(header)?;
        Ok(HEADER_BYTES as u64 + head_len + u64::from(index_blocks) * 32)
    }

    /// Reads the front. What it says is only to be believed after [`Self::vouched`].
    pub fn decode(front: &[u8], key: &StoreKey) -> Result<Self, BaseFileError> {
        let (head_len, index_blocks) = lengths(front)?;
        let head_end = HEADER_BYTES + head_len as usize;
        let head = front.get(HEADER_BYTES..head_end).ok_or(BaseFileError::Torn)?;
        let marks = front.get(head_end..head_end + index_blocks as usize * 32).ok_or(BaseFileError::Torn)?;
        let mac: Hash = *front[MAC_AT..].first_chunk().ok_or(BaseFileError::Torn)?;
        let own_mac = mac_of(key, &front[..MAC_AT], head, marks);
        let check = u64::from_le_bytes(*front[HASH_CHECK_AT..].first_chunk().ok_or(BaseFileError::Torn)?);
        let verdict = match (own_mac == mac, check == hash_check()) {
            (false, _) => Err(BaseFileError::Foreign),
            (true, false) => Err(BaseFileError::OtherIndex),
            (true, true) => Ok(()),
        };
        let index_at = (head_end + marks.len()) as u64;
        Ok(Self {
            sealed: Sealed::from_bytes(&front[MAGIC.len()..HEAD_LEN_AT]).map_err(|_| BaseFileError::Torn)?,
            head: Head::decode(head).map_err(|_| BaseFileError::Torn)?,
            index_marks: marks.as_chunks().0.to_vec(),
            mac,
            index_at,
            rows_at: index_at + u64::from(index_blocks) * INDEX_BLOCK_BYTES as u64,
            verdict,
        })
    }

    /// Takes a whole file apart for somebody who lacks the key of the box that wrote it: the manifest, and rows that have to be
    /// proven by it.
    pub fn split(bytes: &[u8]) -> Result<(Sealed, &[u8]), BaseFileError> {
        let (_, index_blocks) = lengths(bytes)?;
        let rows_at = Self::front_len(bytes)? + u64::from(index_blocks) * INDEX_BLOCK_BYTES as u64;
        let rows = usize::try_from(rows_at).ok().and_then(|at| bytes.get(at..)).ok_or(BaseFileError::Torn)?;
        Ok((Sealed::from_bytes(&bytes[MAGIC.len()..HEAD_LEN_AT]).map_err(|_| BaseFileError::Torn)?, rows))
    }

    /// Whether this box wrote it, after proving it. Otherwise its rows have to be proven anew.
    pub fn vouched(&self) -> Result<(), BaseFileError> {
        self.verdict
    }

    /// How long the whole file is.
    pub fn file_len(&self) -> u64 {
        self.rows_at + self.head.rows_len
    }
}

fn lengths(header: &[u8]) -> Result<(u64, u32), BaseFileError> {
    let header: &[u8; HEADER_BYTES] = header.first_chunk().ok_or(BaseFileError::NoBase)?;
    if !header.starts_with(MAGIC) {
        return Err(BaseFileError::NoBase);
    }
    let head_len = u64::from_le_bytes(*header[HEAD_LEN_AT..].first_chunk().expect("it lies in the header"));
    let index_blocks = u32::from_le_bytes(*header[INDEX_BLOCKS_AT..].first_chunk().expect("it lies in the header"));
    if head_len > HEAD_LIMIT_BYTES || index_blocks > INDEX_BLOCKS_LIMIT { Err(BaseFileError::Torn) } else { Ok((head_len, index_blocks)) }
}

fn mac_of(key: &StoreKey, header: &[u8], head: &[u8], marks: &[u8]) -> Hash {
    let mut hasher = key.hasher();
    hasher.update(b"holdfast base\0").update(header).update(head).update(marks);
    *hasher.finalize().as_bytes()
}

/// Writes a base file; gives its MAC, which the first frame after it chains to. Only for a base that was proven against the
/// manifest's digest.
pub fn encode_base(sealed: &Sealed, base: &Base, key: &StoreKey, out: &mut impl Write) -> io::Result<Hash> {
    let lost = |damaged: Damaged| io::Error::other(damaged);
    let (head, marks) = (base.head().encode(), base.index_marks());
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(sealed.bytes());
    header.extend_from_slice(&(head.len() as u64).to_le_bytes());
    header.extend_from_slice(&(marks.len() as u32).to_le_bytes());
    header.extend_from_slice(&hash_check().to_le_bytes());
    let mac = mac_of(key, &header, &head, marks.as_flattened());
    header.extend_from_slice(&mac);
    header.resize(HEADER_BYTES, 0);
    out.write_all(&header)?;
    out.write_all(&head)?;
    out.write_all(marks.as_flattened())?;
    for number in 0..marks.len() {
        out.write_all(&base.index_block(number).map_err(lost)?)?;
    }
    for number in 0..base.head().blocks.len() {
        out.write_all(base.block(number).map_err(lost)?)?;
    }
    Ok(mac)
}
