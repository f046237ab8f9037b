//! What this box saw and the master should know. Observations flow up; truth flows down; they share nothing.
//!
//! Every process of the box writes a [`Spool`] of its own: a framed log per [`Kind`], bounded, durable before anybody has
//! to ask. One process, the uplink, reads them all by an [`Outbox`] per receiver, merges them by time and delivers. Nobody
//! who raises a report waits for a disk, a receiver or another process. A report that was raised while the box was cut
//! off, or before it was switched off, arrives later, once: its spool's id and its number make a second delivery harmless.
//!
//! ```text
//! <state>/reports/<process>/<kind>/    the segments, written by that process alone
//! <state>/reports/.taken/<receiver>/   how far each receiver has taken each log, written by the uplink alone
//! ```

mod mark;
mod outbox;
mod report;
mod spool;
mod syslog;
#[cfg(test)]
mod tests;
mod who;

pub use outbox::{Delivery, Outbox};
pub use report::{Kind, Report};
pub use spool::Spool;
pub use syslog::Syslog;
pub use who::caller;

/// The receiver without which nothing counts as delivered.
pub const MASTER: &str = "master";
/// The receiver of the same reports as syslog messages.
pub const SYSLOG: &str = "syslog";
