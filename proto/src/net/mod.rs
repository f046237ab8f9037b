//! The one room of this package with a socket or a clock: the thin tools that both programs' loops use. It knows no protocol.
#![allow(clippy::disallowed_methods, reason = "this is the room that the other rooms are kept clean for")]

pub mod accept;
pub mod ask;
pub mod batch;
pub mod certificate;
pub mod clock;
pub mod datagrams;
pub mod forward;
pub mod frame;
pub mod stream;
pub mod tls;
pub mod udp;
pub mod workers;
