//! Authoritative DNS: the rows it is told in, and the answer to a packet.
//!
//! `zones` is the contract between the master's composer and the agents: rdata stands in the rows as it goes on the
//! wire, so `answer` looks up, copies and compresses, and neither allocates nor parses records.

mod answer;
mod message;
mod name;
pub mod probe;
pub mod rdata;
mod reply;
pub mod rtype;
#[cfg(test)]
mod tests;
mod zones;

pub use answer::{Outcome, Peer, Reason, Transport, answer};
pub use message::Rcode;
pub use reply::{TCP_MESSAGE_LIMIT_BYTES, UDP_PAYLOAD_LIMIT_BYTES};
pub use zones::{NODE, Node, NodeRef, Place, RdataRefs, RowError, RrSet, RrSetRef, RrSetRefs, ZONE, ZoneRow};
