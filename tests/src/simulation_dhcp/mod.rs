//! Agents, clients and a relay over a pretend wire, with clocks and dice of their own: the same seed gives the same run.
//!
//! Why it exists: two machines with one address come from faults that meet: a packet that comes late, a power cut, a share that
//! moves, a clock that is slow. What it refuses: to be a model of the agents. Their desks, rows and records are the real ones;
//! pretended are wires, disks, time, the clients, and a master that moves shares.
//!
//! How: every packet is an event, which may be lost, doubled or late, and a link may be cut; an agent's power may go, with what was
//! not synced; agents see generations late. Clients take leases, renew, give back, decline, sleep and wake, by clocks that are wrong
//! by as much as is allowed. What holds is judged from the clients' side:
//!
//! - I1: no address is validly held by two clients;
//! - I2: what a client was promised is known to its agent after any power cut;
//! - I3: no address is lent by an agent that does not own it in the generation that it sees;
//! - I4: a reserved address is lent to nobody else, a declined one to nobody for its hour;
//! - I6: nobody is refused a lease that its owner would renew;
//! - I11: at one agent a name is one machine's, whatever machines call themselves, and its DNS tells what its leases have;
//! - I7: when the faults end, every client that can have an address gets one, and registered ones their own.
//!
//! Every [`Safeguard`] can be left out, and then a world falls: that is how we know that it is the safeguard that holds it.

mod agent;
mod client;
mod master;
mod packet;
mod world;

pub use world::{Tally, Violation, World};

/// What keeps the promises, by name, so that each can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safeguard {
    /// A promise is on disk before it is sent.
    Sync,
    /// The log is read at the start.
    Restore,
    /// Each address belongs to one agent.
    Shares,
    /// A share is given up, and what was lent of it has ended, before another agent gets it.
    ReleaseFirst,
    /// Clocks differ by a hundredth at most, for which every end of a lease is guarded.
    Clocks,
}

impl Safeguard {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sync, Self::Restore, Self::Shares, Self::ReleaseFirst, Self::Clocks];
}

/// Runs one world: hours of faults, then calm. Gives what happened in it, or the first broken promise.
pub fn run(seed: u64, without: Option<Safeguard>) -> Result<Tally, Violation> {
    let mut world = World::new(seed, without);
    world.live()?;
    world.settle()
}
