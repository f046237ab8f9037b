//! The one room of this package with a socket: thin loops' tools that both programs use. It knows no protocol.
#![allow(clippy::disallowed_methods, reason = "this is the room that the other rooms are kept clean for")]



pub mod udp;
