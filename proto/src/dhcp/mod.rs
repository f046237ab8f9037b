//! BOOTP and DHCP for reserved hosts: who a machine is, from the signed rows, and what to tell it.
//!
//! Why it exists: a machine of the institution gets its address from the nearest agent, whatever is cut. What it
//! refuses: it hands out nothing that is not reserved, remembers nothing (there are no leases here), and no packet,
//! however wrong, makes it panic or write past the budget of a reply.
//!
//! How: [`table`] has the rows, [`message`] reads packets, `reply` writes them, `place` finds the subnet and the
//! reservation, `compose` fills a reply, and [`answer`](fn@answer) decides.

mod answer;
pub mod code;
mod compose;
pub mod message;
mod place;
pub mod probe;
mod relay;
pub mod reply;
pub mod table;

pub use answer::{CLIENT_PORT, Destination, Outcome, Peer, Reason, SERVER_PORT, answer};
pub use code::Kind;
pub use compose::DEFAULT_LEASE_SECS;
