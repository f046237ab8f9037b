//! From committed edits to signed generations: one publisher, however many writers and masters there are.
//!
//! A writer's transaction leaves keys in the outbox and nothing else. The publisher takes the keys it can see, reads their
//! rows as they are *now*, drops what did not change, cuts one generation for each feed that did, and stores it, all in one
//! transaction; only after its commit is the generation announced, so a number never exists with two contents. A writer
//! that commits late comes in the next round; a long import holds nobody back. The people's feed is the auth portal's: it
//! is verified, kept and passed on here, and cannot be read or made.

mod access;
pub mod compose;
mod cycle;
mod guard;
mod halt;
mod history;
mod holds;
mod latest;
mod roster;
mod round;
mod sweeper;
mod unsettled;

pub use cycle::{Publications, Publisher, RelayDoor};
pub use guard::{Hold, Limits, Verdict, subjects, verdict};
pub use halt::Halt;
pub use history::read_back;
pub use latest::{Frame, Latest, Outgoing, Published, Step};
pub use roster::rows as roster_rows;
pub use unsettled::BOX;
