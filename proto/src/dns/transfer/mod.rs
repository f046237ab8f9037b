//! Zones between servers: whole (AXFR, RFC 5936), as what changed (IXFR, RFC 1995), and the word that there is something new (NOTIFY,
//! RFC 1996).
//!
//! `contents` says what a zone is to others, `journal` what changed in it from generation to generation; `outgoing` writes both as
//! messages. `incoming` takes what a primary sends. Bytes in, bytes or records out: no clock, no file, no socket, and no opinion on
//! who may have a zone.

mod contents;
mod incoming;
mod journal;
mod outgoing;
mod read;
mod request;
mod soa;
#[cfg(test)]
mod tests;

pub use contents::{ContentsError, delegation, for_each_record, soa_of};
pub use incoming::{Delta, Incoming, Outcome, Progress, TransferError};
pub use journal::{Journal, ZoneDelta};
pub use outgoing::{Sent, notify_reply, refuse, transfer};
pub use read::{Header, Message, read_message};
pub use request::{Wanted, What, notify, query, wanted};
pub use soa::Soa;
