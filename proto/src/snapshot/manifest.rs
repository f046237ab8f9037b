use super::{Digest, Family, Feed, Kind, Scope};
use crate::words::{Epoch, Generation, UnixMillis};

/// The format that this build writes. 2 added the generation of the base; a reader of 1 passes over it.
pub const FORMAT: u16 = 2;
/// The oldest reader that understands what this build writes.
pub(super) const MIN_READER: u16 = 1;
/// What stands before every signed manifest, so that the signature can mean nothing else.
pub(super) const DOMAIN: &[u8] = b"HOLDFAST-MANIFEST-1\0";
const MANIFEST_BYTES: usize = 224;
const SIGNATURE_BYTES: usize = 64;

/// A BLAKE3 hash.
pub type Hash = [u8; 32];

/// Whose data it is: chosen once, by the root ceremony.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Institution(pub [u8; 16]);

/// How the payload leads to the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum PayloadForm {
    /// From nothing: the first generation of an epoch.
    Full = 1,
    /// From the parent generation.
    Delta = 2,
}

/// What is signed of a generation. Fixed layout, little-endian, 224 bytes: see [`Manifest::encode`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The format of this manifest and of its payload.
    pub format: u16,
    /// The oldest reader that understands the rows.
    pub min_reader: u16,
    /// Whose data it is.
    pub institution: Institution,
    /// Which (kind, scope).
    pub feed: Feed,
    /// Raised only by the offline root.
    pub epoch: Epoch,
    /// The number of this generation.
    pub generation: Generation,
    /// The generation that the payload starts from; zero for a full payload.
    pub parent: Generation,
    /// The hash of the parent's sealed bytes; zero for a full payload.
    pub parent_hash: Hash,
    /// How many rows the state has.
    pub row_count: u64,
    /// The digest of the whole state.
    pub digest: Digest,
    /// Full or delta.
    pub form: PayloadForm,
    /// The hash of the payload that was published with this manifest.
    pub payload_hash: Hash,
    /// Its length in bytes.
    pub payload_len: u64,
    /// The root of the base that whole transfers carry; zero where there is none.
    pub base_root: Hash,
    /// When it was signed.
    pub issued_at: UnixMillis,
    /// After how many seconds without a newer sign of life people are told; 0 is never.
    pub soft_age_s: u32,
    /// After how many seconds a service that says so becomes cautious; 0 is never.
    pub hard_age_s: u32,
    /// Which key signed it: the first 8 bytes of the public key's BLAKE3 hash.
    pub key_id: [u8; 8],
    /// The generation of that base, of the same epoch and not after this one; zero where there is none, and in format 1.
    pub base_generation: Generation,
}

/// Bytes that are no manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The length is not that of a sealed manifest.
    #[error("a sealed manifest has {sealed} bytes, this has {0}", sealed = Sealed::BYTES)]
    Length(usize),
    /// It was written for readers newer than this build.
    #[error("it needs a reader of format {0}, this build reads up to {FORMAT}: upgrade the agent")]
    TooNew(u16),
    /// A field holds a number that means nothing.
    #[error("its field \"{0}\" holds a number that means nothing")]
    Field(&'static str),
}

impl Manifest {
    /// The bytes that are signed.
    pub fn encode(&self) -> [u8; MANIFEST_BYTES] {
        let mut out = Vec::with_capacity(MANIFEST_BYTES);
        out.extend_from_slice(&self.format.to_le_bytes());
        out.extend_from_slice(&self.min_reader.to_le_bytes());
        out.extend_from_slice(&self.institution.0);
        out.extend_from_slice(&[self.feed.kind as u8, self.feed.scope.family as u8]);
        out.extend_from_slice(&self.feed.scope.cut.to_le_bytes());
        out.extend_from_slice(&self.epoch.0.to_le_bytes());
        out.extend_from_slice(&self.generation.0.to_le_bytes());
        out.extend_from_slice(&self.parent.0.to_le_bytes());
        out.extend_from_slice(&self.parent_hash);
        out.extend_from_slice(&self.row_count.to_le_bytes());
        out.extend_from_slice(&self.digest.0);
        out.push(self.form as u8);
        out.extend_from_slice(&self.payload_hash);
        out.extend_from_slice(&self.payload_len.to_le_bytes());
        out.extend_from_slice(&self.base_root);
        out.extend_from_slice(&self.issued_at.0.to_le_bytes());
        out.extend_from_slice(&self.soft_age_s.to_le_bytes());
        out.extend_from_slice(&self.hard_age_s.to_le_bytes());
        out.extend_from_slice(&self.key_id);
        out.extend_from_slice(&self.base_generation.0.to_le_bytes());
        // The spare bytes at the end are zero: room for what a later format adds.
        out.resize(MANIFEST_BYTES, 0);
        out.try_into().expect("the layout has a fixed length")
    }

    pub(super) fn decode(bytes: &[u8; MANIFEST_BYTES]) -> Result<Self, ManifestError> {
        let mut fields = Fields(bytes);
        let format = u16::from_le_bytes(fields.take());
        let min_reader = u16::from_le_bytes(fields.take());
        if min_reader > FORMAT {
            return Err(ManifestError::TooNew(min_reader));
        }
        let institution = Institution(fields.take());
        let [kind, family] = fields.take();
        let kind = Kind::from_number(kind).ok_or(ManifestError::Field("kind"))?;
        let family = Family::from_number(family).ok_or(ManifestError::Field("scope"))?;
        let cut = u32::from_le_bytes(fields.take());
        Ok(Self {
            format,
            min_reader,
            institution,
            feed: Feed { kind, scope: Scope { family, cut } },
            epoch: Epoch(u32::from_le_bytes(fields.take())),
            generation: Generation(u64::from_le_bytes(fields.take())),
            parent: Generation(u64::from_le_bytes(fields.take())),
            parent_hash: fields.take(),
            row_count: u64::from_le_bytes(fields.take()),
            digest: Digest(fields.take()),
            form: match fields.take() {
                [1] => PayloadForm::Full,
                [2] => PayloadForm::Delta,
                [_] => return Err(ManifestError::Field("payload form")),
            },
            payload_hash: fields.take(),
            payload_len: u64::from_le_bytes(fields.take()),
            base_root: fields.take(),
            issued_at: UnixMillis(u64::from_le_bytes(fields.take())),
            soft_age_s: u32::from_le_bytes(fields.take()),
            hard_age_s: u32::from_le_bytes(fields.take()),
            key_id: fields.take(),
            base_generation: Generation(u64::from_le_bytes(fields.take())),
        })
    }
}

/// Cuts fixed pieces off bytes whose length was checked before.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk().expect("the layout has a fixed length");
        self.0 = rest;
        *head
    }
}

/// A manifest's exact bytes and its signature, kept and sent as they were signed and never encoded again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed([u8; MANIFEST_BYTES + SIGNATURE_BYTES]);

impl Sealed {
    /// Its length on disk and wire.
    pub const BYTES: usize = MANIFEST_BYTES + SIGNATURE_BYTES;

    pub(super) fn new(manifest: [u8; MANIFEST_BYTES], signature: [u8; SIGNATURE_BYTES]) -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes[..MANIFEST_BYTES].copy_from_slice(&manifest);
        bytes[MANIFEST_BYTES..].copy_from_slice(&signature);
        Self(bytes)
    }

    /// Takes bytes of the right length; whether they are true is for [`super::Trust::open`] to say.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        bytes.try_into().map(Self).map_err(|_| ManifestError::Length(bytes.len()))
    }

    /// The bytes to keep and send.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What the bytes say, unverified: good for finding the way through a log, never for serving.
    pub fn claims(&self) -> Result<Manifest, ManifestError> {
        Manifest::decode(self.manifest_bytes())
    }

    /// What a child generation names as its parent.
    pub fn hash(&self) -> Hash {
        *blake3::hash(&self.0).as_bytes()
    }

    pub(super) fn manifest_bytes(&self) -> &[u8; MANIFEST_BYTES] {
        self.0.first_chunk().expect("the layout has a fixed length")
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.0[MANIFEST_BYTES..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        Manifest {
            format: FORMAT,
            min_reader: 1,
            institution: Institution(*b"uni.example-0001"),
            feed: Feed::PEOPLE,
            epoch: Epoch(1),
            generation: Generation(0x0102),
            parent: Generation(0x0101),
            parent_hash: [0xaa; 32],
            row_count: 3,
            digest: Digest([0xbb; 32]),
            form: PayloadForm::Delta,
            payload_hash: [0xcc; 32],
            payload_len: 77,
            base_root: [0; 32],
            issued_at: UnixMillis(1_700_000_000_000),
            soft_age_s: 900,
            hard_age_s: 0,
            key_id: *b"key-id-8",
            base_generation: Generation(0x0100),
        }
    }

    #[test]
    fn the_layout_is_golden() {
        assert_eq!(hex::encode(sample().encode()), include_str!("golden/manifest.hex").trim());
    }

    #[test]
    fn a_manifest_of_the_first_format_is_read_on() {
        let bytes: Vec<u8> = hex::decode(include_str!("golden/manifest-1.hex").trim()).unwrap();
        let first = Manifest { format: 1, base_generation: Generation(0), ..sample() };
        assert_eq!(Manifest::decode(bytes.as_slice().try_into().unwrap()), Ok(first));
    }

    #[test]
    fn what_is_encoded_decodes() {
        assert_eq!(Manifest::decode(&sample().encode()), Ok(sample()));
    }

    #[test]
    fn a_manifest_for_newer_readers_says_so() {
        let newer = Manifest { min_reader: FORMAT + 1, ..sample() };
        assert_eq!(Manifest::decode(&newer.encode()), Err(ManifestError::TooNew(FORMAT + 1)));
    }
}
