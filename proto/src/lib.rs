//! Everything that Holdfast says on a wire or keeps on a disk, and nothing that says it.
//!
//! The rooms only look inward: `words` knows nobody, `snapshot` knows `words`, `lent` knows both, the three protocol
//! cores know all of them, and `net` (the one room with a socket) is handed a responder and knows none of them.
//! There is no clock, file or socket here outside `net`: time is an argument, bytes come in, bytes go out.
//! `clippy.toml` beside this package refuses the rest.

pub mod control;
pub mod dhcp;
pub mod dns;
pub mod lent;
#[cfg(feature = "net")]
pub mod net;
pub mod probe;
pub mod radius;
pub mod snapshot;
pub mod syslog;
pub mod words;
