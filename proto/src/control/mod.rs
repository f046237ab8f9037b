//! The gRPC contract of `wire/control.proto` under our own names, the enrolment token, and what every box does with it.

#[cfg(feature = "net")]
pub mod enrol;
mod mend;
mod payload;
mod whole;

use crate::snapshot::{CHAIN_LIMIT, Feed as SnapshotFeed, MARKS_BYTES, Trust};
use crate::words::WordError;
use std::fmt;
use std::str::FromStr;

pub use generated::*;
pub use mend::{ArrivedBuckets, Mend, MendError, Mending};
pub use payload::{Packed, UnpackError, pack, unpack};
pub use whole::{Arrived, Gathered, PieceError, Whole};

#[allow(missing_docs, clippy::all, reason = "generated; the contract is documented in wire/control.proto")]
mod generated {
    tonic::include_proto!("holdfast.control.v1");
}

/// The longest message an agent takes. Whole snapshots come in pieces.
pub const AGENT_MESSAGE_LIMIT_BYTES: usize = 1 << 20;
/// The longest message the master takes from an agent.
pub const MASTER_MESSAGE_LIMIT_BYTES: usize = 64 << 10;
/// The longest question for a snapshot, whole or by its buckets, that the master takes: the marks of all buckets, and a little.
pub const BULK_QUESTION_LIMIT_BYTES: usize = MARKS_BYTES + 1024;
/// The longest generation the master takes from the portal in one piece.
pub const RELAY_MESSAGE_LIMIT_BYTES: usize = 64 << 20;
/// The longest payload of a frame. Where more is missing, the whole snapshot is fetched.
pub const CHUNK_BYTES: usize = 256 << 10;
/// The most rows that one frame unpacks to.
pub const FRAME_LIMIT_BYTES: usize = 4 << 20;

/// How much of a chain of trusts goes into one message: below the limit of either side.
const CHAIN_PIECE_BYTES: usize = 256 << 10;

impl TrustUpdate {
    /// The trusts after `version`, in as many messages as it takes.
    pub fn after(version: u32, chain: &[Trust]) -> Vec<Self> {
        let mut updates = Vec::new();
        let mut piece: (Vec<Vec<u8>>, usize) = Default::default();
        for trust in chain.iter().filter(|trust| trust.draft().version > version).take(CHAIN_LIMIT) {
            if piece.1 + trust.bytes().len() > CHAIN_PIECE_BYTES {
                updates.push(Self { trusts: std::mem::take(&mut piece).0 });
            }
            piece.1 += trust.bytes().len();
            piece.0.push(trust.bytes().to_vec());
        }
        if !piece.0.is_empty() {
            updates.push(Self { trusts: piece.0 });
        }
        updates
    }
}

impl From<SnapshotFeed> for Feed {
    fn from(feed: SnapshotFeed) -> Self {
        Self { kind: feed.kind as u32, family: feed.scope.family as u32, cut: feed.scope.cut }
    }
}

impl Feed {
    /// The feed under our own name; `None` where this build does not know it.
    pub fn known(&self) -> Option<SnapshotFeed> {
        SnapshotFeed::from_numbers(self.kind, self.family, self.cut)
    }
}

/// What an operator carries to a new box: a one-time secret, and the pins of the authority and of the root that the box is to believe.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolToken {
    /// Valid once, for an hour; kept only as a hash by the master.
    pub secret: [u8; 16],
    /// See [`crate::net::tls::authority_pin`].
    pub authority_pin: [u8; 16],
    /// See [`crate::snapshot::Trust::root_pin`].
    pub root_pin: [u8; 16],
}

impl EnrolToken {
    /// The half that is shown to the master, once the TLS pin has matched.
    pub fn secret_text(&self) -> String {
        hex(&self.secret)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for EnrolToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf1.{}.{}.{}", hex(&self.secret), hex(&self.authority_pin), hex(&self.root_pin))
    }
}

impl fmt::Debug for EnrolToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf1.***.{}.{}", hex(&self.authority_pin), hex(&self.root_pin))
    }
}

impl FromStr for EnrolToken {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let wrong = || WordError { what: "enrolment token", given: "***".to_owned(), why: "is not of the form hf1.<32 hex>.<32 hex>.<32 hex>: copy all of it" };
        let parts: Vec<&str> = text.trim().split('.').collect();
        let [version, secret, authority, root] = parts[..] else { return Err(wrong()) };
        let read = |part: &str| u128::from_str_radix(part, 16).ok().filter(|_| part.len() == 32).map(u128::to_be_bytes).ok_or_else(wrong);
        if version != "hf1" {
            return Err(wrong());
        }
        Ok(Self { secret: read(secret)?, authority_pin: read(authority)?, root_pin: read(root)? })
    }
}

#[cfg(test)]
mod tests {
    use super::EnrolToken;

    #[test]
    fn a_token_prints_and_parses_back_and_hides_its_secret() {
        let token = EnrolToken { secret: [1; 16], authority_pin: [2; 16], root_pin: [3; 16] };
        assert_eq!(token.to_string().parse::<EnrolToken>().unwrap(), token);
        assert!(!format!("{token:?}").contains("0101"));
        for text in ["", "hf1", "hf2.00.00.00", "hf1.0.0.0"] {
            assert!(text.parse::<EnrolToken>().is_err());
        }
    }
}
