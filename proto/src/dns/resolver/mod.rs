//! A resolver's part of DNS: what it tells whom, what it believes of others, and what it keeps.
//!
//! Why it exists: a campus asks its own box for everything, and the box must answer at once whatever happens outside. What it
//! refuses: to ask anybody by itself (the loops do, with what [`Question`] writes), to look at the clock, and to believe
//! more of a reply than was asked for. How: [`respond`] answers a packet from our zones, from the special names and from the
//! [`Cache`], or says what has to be asked; [`hear`] makes an [`Answer`] of what came back; [`settle`] tells it to who waits.

mod accept;
mod cache;
mod clients;
mod foreign;
mod local;
mod question;
mod respond;
mod special;
#[cfg(test)]
mod tests;
mod upstream;

pub use accept::{Answer, Heard, Refusal, hear};
pub use cache::{Cache, Limits as CacheLimits};
pub use clients::{Clients, Standing};
pub use foreign::{asked_in_words, extended_error, in_words};
pub use local::LocalZones;
pub use question::{Credentials, HOP_LIMIT, Question, RANDOM_BYTES, Wanted, is_reply_to_ping, ping};
pub use respond::{End, Moment, Origin, Response, World, respond, settle};
pub use upstream::{Heed, Upstream};
