//! BOOTP and DHCP: who a machine is, from the signed rows, what to tell it, and what is lent to machines that nobody registered.
//!
//! Why it exists: a machine of the institution gets its address from the nearest agent, whatever is cut. What it refuses: it hands
//! out nothing that is neither reserved nor in the agent's own share, and no packet, however wrong, makes it panic or write past the
//! budget of a reply.
//!
//! How: [`table`] and [`policy`] have the rows, [`message`] reads packets, `reply` writes them, `place` finds the subnet and the
//! reservation, `compose` fills a reply, [`answer`](fn@answer) decides over reserved hosts. What an agent has to remember is at its
//! [`desk`]: [`lease`]s, [`strangers`], and in [`cover`] whom it stands in for.

mod answer;
pub mod code;
mod compose;
pub mod cover;
pub mod desk;
pub mod ended;
pub mod lease;
mod lend;
pub mod message;
mod names;
mod place;
pub mod policy;
pub mod probe;
mod relay;
pub mod reply;
pub mod strangers;
pub mod table;

pub use answer::{CLIENT_PORT, Destination, Outcome, Peer, Reason, SERVER_PORT, answer};
pub use code::Kind;
pub use compose::DEFAULT_LEASE_SECS;
pub use cover::Standing;
pub use desk::Desk;
pub use names::Board;
