//! Master and agents over a pretend wire, with a clock and dice of their own: the same seed gives the same run.
//!
//! Why it exists: the faults that matter come together, a power cut while a frame is under way while the master restarts,
//! and no lab can try ten thousand such minutes. What it refuses: to be a model of Holdfast. The states, manifests, rings,
//! canaries and both ends of the line are the real ones; pretended are wires, processes, time, and the disks but for the
//! worlds of [`run_on_disks`].
//!
//! How: [`World`] moves in steps of 50 ms. In each, [`Dice`] may cut, hold, freeze or break a wire, restart somebody, take a
//! box's power or disk, turn the master's clock to 1970 or 2099, or let somebody on the wire repeat, alter or forge what
//! went over it. After each step the invariants are checked:
//!
//! - I1, I3, I4: what an agent serves is exactly what was signed at the generation that it names, whole;
//! - I2: (epoch, generation) served and durable never goes back, but for what was not durable when the power went;
//!   what was revoked stays revoked even then, and what the master was told is durable is;
//! - I6: whoever had something to serve serves something, whatever the clock says;
//! - I7: one frame under way for each feed and line, however slow the agent;
//! - poison reaches the canary and nobody else; a line that repeats the past is noticed;
//! - when the faults end, everybody ends at the newest generation.
//!
//! Every [`Safeguard`] can be left out, and then the world falls: that is how we know that it is the safeguard that holds it.

mod agent;
mod attacker;
mod dice;
mod disk;
mod master;
mod wire;
mod world;

pub use dice::Dice;
pub use world::{Violation, World};

use holdfast_proto::snapshot::Feed;
use std::time::Duration;

/// A step of the world.
const STEP: Duration = Duration::from_millis(50);
/// One feed that is served before it is synced, and one that is synced before it is served.
const FEEDS: [Feed; 2] = [Feed::ZONE, Feed::ACCESS];
/// The key of a row that fells whoever applies it.
const POISON: &[u8] = b"poison";

/// What keeps the promises, by name, so that each can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safeguard {
    /// Only the master's key is believed.
    Signature,
    /// What is not newer is refused.
    Generation,
    /// Rows that lead elsewhere than the manifest says are refused.
    Digest,
    /// What lies below the highest that was ever durable is refused, even by an empty disk.
    Floor,
    /// Only what is synced is called durable.
    DurableAck,
    /// Network access is synced before it is served.
    SyncFirst,
    /// One frame under way; the next waits for the acknowledgement.
    Credit,
    /// Grave generations go to one agent first.
    Canary,
    /// Time is believed only where it is signed.
    SignedTime,
    /// A silent line is given up.
    Silence,
}

impl Safeguard {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Signature,
        Self::Generation,
        Self::Digest,
        Self::Floor,
        Self::DurableAck,
        Self::SyncFirst,
        Self::Credit,
        Self::Canary,
        Self::SignedTime,
        Self::Silence,
    ];
}

/// As [`run`], for one world whose boxes have a real store each, which must come to the same as the pretended one.
pub fn run_on_disks(seed: u64) -> Result<usize, Violation> {
    let mut world = World::on_disks(seed);
    world.live(Duration::from_secs(90))?;
    world.settle()?;
    Ok(world.mended())
}

/// Runs one world: a minute and a half of faults, then calm. Gives how often a box was set right by its buckets alone, or the
/// first broken promise.
pub fn run(seed: u64, without: Option<Safeguard>) -> Result<usize, Violation> {
    let mut world = World::new(seed, without);
    world.live(Duration::from_secs(90))?;
    world.settle()?;
    Ok(world.mended())
}
