//! DNS: the rows that our names are told in, the answer to a packet, and in `resolver` what others answer.
//!
//! `zones` is the contract between the master's composer and the agents: rdata stands in the rows as it goes on the
//! wire, so `answer` looks up, copies and compresses, and neither allocates nor parses records.

mod answer;
mod compose;
mod cookie;
mod denial;
mod edns;
mod follow;
pub mod lent;
mod limit;
mod message;
mod name;
mod order;
mod policy;
pub mod probe;
pub mod rdata;
mod reply;
pub mod resolver;
pub mod rtype;
mod search;
mod talkers;
#[cfg(test)]
mod tests;
pub mod transfer;
pub mod tsig;
mod zones;

pub use answer::{Kind, Outcome, Peer, Reason, Told, Transport, answer, cut};
pub use compose::{Record, Zone, rows};
pub use cookie::{CookieState, Cookies};
pub use denial::{DENIAL, denial_key};
pub use edns::ExtendedError;
pub use limit::{Limiter, Limits, Verdict};
pub use message::Rcode;
pub use order::Order;
pub use policy::Policy;
pub use reply::{TCP_MESSAGE_LIMIT_BYTES, UDP_PAYLOAD_LIMIT_BYTES};
pub use talkers::{Talker, Talkers};
pub use zones::{NODE, Node, NodeRef, Place, RdataRefs, RowError, RrSet, RrSetRef, RrSetRefs, ZONE, ZoneRow};
