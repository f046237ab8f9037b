//! Signed, numbered truth: rows, their one encoding, manifests, deltas, and `View`, which the services read.
//!
//! Why it exists: an agent must be able to prove, from its own disk and with every cable out, that what it serves is
//! exactly what the master (or the auth portal) signed. What it refuses: there is no way to get from bytes to a
//! [`State`] of somebody else's making but through [`Trust::open`], and no switch that turns the check off.
//!
//! How: a *row* is `(table, key, value)`; a *feed* is one (kind, scope) and has generations of its own. Each generation
//! has exactly one [`Manifest`], signed, that names its parent and the digest of the *whole* state it leads to
//! ([`LtHash`], so that a change costs microseconds at any size). The manifest vouches for the state, whoever carried
//! the rows: a delta, a full transfer, a file, a stick.
//!
//! ```text
//! master:  State --compose(changes)--> Draft --seal(key)--> Generation { sealed, payload } + next State
//! agent:   bytes --Trust::open--> Opened --State::advance(payload) or State::restore(rows)--> next State --view()--> View
//! ```
//!
//! There are no files here: `campus-agent/store` adds them around [`file`].

mod audit_head;
mod base;
mod beside;
mod buckets;
mod crypt;
mod feed;
pub mod file;
mod heartbeat;
mod lthash;
mod manifest;
mod reader;
mod roster;
mod row;
mod state;
#[cfg(test)]
mod tests;
mod trust;
mod view;

pub use audit_head::AuditHead;
pub use base::{BLOCK_BYTES, Base, BaseError, BlockMark, BlockSource, Builder, Damaged, Head, HeadError};
pub use beside::Beside;
pub use buckets::{BUCKETS, BucketError, Buckets, Difference, MARKS_BYTES, Tally};
pub use crypt::{DataKey, DataKeyRing, EncryptedField, FieldError, HpkePrivate, HpkePublic, KeyId, WRAPPED_KEYS, is_addressed_to, wrapped_key_row};
pub use feed::{Family, Feed, Kind, Scope};
pub use heartbeat::{HeartbeatError, Newest, SignedHeartbeat};
pub use lthash::{Digest, LtHash};
pub use manifest::{FORMAT, Hash, Institution, Manifest, ManifestError, PayloadForm, Sealed};
pub use reader::{Reader, Writer, reader};
pub use roster::{NODE, Node, NodeRole, NodeStatus, RosterError, node_key};
pub use row::{Change, EncodeError, RowRef, Rows, RowsError, Table, encode_changes, encode_row, merge_payloads};
pub use state::{ApplyError, ComposeError, Draft, Stamp, State};
pub use trust::{CHAIN_LIMIT, Grant, OpenError, Opened, PublicKey, RootSignature, SigningKey, TRUST_LIMIT_BYTES, Trust, TrustDraft, TrustError};
pub use view::View;
