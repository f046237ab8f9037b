//! Authoritative DNS: the rows it is told in, and the answer to a packet.
//!
//! `zones` is the contract between the master's composer and the agents: rdata stands in the rows as it goes on the wire.

pub mod rdata;
pub mod rtype;
mod zones;

pub use zones::{NODE, Node, NodeRef, Place, RdataRefs, RowError, RrSet, RrSetRef, RrSetRefs, ZONE, ZoneRow};
