//! Addresses that are lent: who has which, until when, and which is lent next.
//!
//! Why it exists: a subnet may have a pool for machines that nobody registered. What it refuses: an address outside the agent's own
//! share, one that somebody may still use, and a clock that runs back. How: [`Leases`] is the table of one agent, a pure machine
//! that is told the time; every change of it is a [`Lease`] record, and whoever owns the table writes that record to disk before the
//! client hears of it, and gives all records back at the next start, in their order.

mod record;
mod table;
#[cfg(test)]
mod tests;

pub use record::{Lease, LeaseState, RecordError};
pub use table::{GUARD_LEAST_MS, Ground, Leases, OFFER_HOLD_MS};

use super::code;
use super::message::Message;

/// Longer identifiers are nobody's (RFC 2132 section 9.14 has no limit; those in use have at most 40 bytes).
const CLIENT_LIMIT_BYTES: usize = 128;

/// What a client is known by: its identifier, or without one its hardware address (RFC 2131 section 4.2). The two are kept apart by
/// their first byte. `None` for a client that has neither.
pub fn client_of(request: &Message<'_>) -> Option<Vec<u8>> {
    let identifier = request.options.bytes(code::CLIENT_IDENTIFIER);
    if (1..=CLIENT_LIMIT_BYTES).contains(&identifier.clone().count()) {
        return Some([code::CLIENT_IDENTIFIER].into_iter().chain(identifier).collect());
    }
    (!request.chaddr.is_empty()).then(|| [&[0, request.htype], request.chaddr].concat())
}
