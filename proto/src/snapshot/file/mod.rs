//! The files of an agent's store, over byte slices: the *base* (one whole snapshot with its index) and the *log* (the
//! generations after it). Files, directories and syncing are `campus-agent/store`'s.
//!
//! ```text
//! base:  "HFBASE2\n" | sealed manifest | lengths | hash check | MAC | head | index marks | index blocks | rows
//! log:   frames of   "HFR2" | merged? | length | from generation | sealed manifest | payload | chain
//! ```
//! Little-endian. MAC and chain are BLAKE3 keyed with the [`StoreKey`], which only this box has. They are made after a state
//! was proven against its signed digest, so that a start need not prove it again: the MAC covers the hash of every block,
//! and each frame's chain covers all frames before it and the base that they start from. Whoever lacks the key, because it
//! was lost or the files come from elsewhere, proves everything by signatures and sums, as on the day it came.

mod base;
mod log;
mod proof;
pub mod v1;

pub use base::{BaseFile, BaseFileError, HEADER_BYTES, INDEX_BLOCK_BYTES, encode_base};
pub use log::{Chain, FRAME_LIMIT_BYTES, LogFrame, decode_frame, encode_frame, frames_unchained};
pub use proof::{ProofError, SlotFiles, prove, prove_base, prove_log};

use crate::words::Secret;

/// The key under which a box vouches for what it has proven.
#[derive(Debug, Clone)]
pub struct StoreKey(Secret);

impl StoreKey {
    /// A kept key.
    pub fn from_bytes(key: [u8; 32]) -> Self {
        Self(Secret::new(key))
    }

    fn hasher(&self) -> blake3::Hasher {
        let key = self.0.expose().first_chunk().expect("a store key has 32 bytes");
        blake3::Hasher::new_keyed(key)
    }
}
