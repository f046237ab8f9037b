//! Seeded mutation of everything that reads bytes from outside.
//!
//! Why it exists: no packet, file or line may panic a core, and that has to be tried on every change, on stable Rust, in
//! seconds. Each target is a plain `fn(&[u8])` with seeds made by code; the same functions are driven by coverage-guided
//! cargo-fuzz on demand (`tests/fuzz-cargo`). A run is told by its seed number and can be repeated exactly.

pub mod accounting;
pub mod dhcp;
pub mod dns;
pub mod eap;
pub mod import;
mod mutate;
pub mod radius;
pub mod resolver;
pub mod snapshot;
pub mod transfer;

pub use mutate::Mutator;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::{Duration, Instant};

/// One parser under test.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Valid inputs, which the mutator starts from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Takes any bytes; panics where an invariant is broken.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "snapshot", seeds: snapshot::seeds, run: snapshot::target },
    Target { name: "dns", seeds: dns::seeds, run: dns::target },
    Target { name: "transfer", seeds: transfer::seeds, run: transfer::target },
    Target { name: "resolver", seeds: resolver::seeds, run: resolver::target },
    Target { name: "dhcp", seeds: dhcp::seeds, run: dhcp::target },
    Target { name: "radius", seeds: radius::seeds, run: radius::target },
    Target { name: "eap", seeds: eap::seeds, run: eap::target },
    Target { name: "accounting", seeds: accounting::seeds, run: accounting::target },
    Target { name: "import", seeds: import::seeds, run: import::target },
];

/// How long to try: whichever comes first.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Inputs at most.
    pub inputs: u64,
    /// Time at most.
    pub time: Duration,
}

/// What a run found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing, after this many inputs.
    Clean {
        /// Inputs tried.
        inputs: u64,
    },
    /// An input that breaks the target, cut down as far as it still does.
    Broken {
        /// The input.
        input: Vec<u8>,
        /// What the panic said.
        said: String,
    },
}

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Tries the seeds as they are, then mutations of them.
///
/// # Panics
/// Where a target has no seeds: it would be tried on noise alone and look well.
pub fn run(target: &Target, seed: u64, size: Size) -> Outcome {
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "the target {} has no seeds", target.name);
    let deadline = Instant::now() + size.time;
    let mut mutator = Mutator::new(seed);
    let mut inputs = 0;
    let mut given = seeds.iter().cloned();
    while inputs < size.inputs && Instant::now() < deadline {
        let input = given.next().unwrap_or_else(|| mutator.mutate(&seeds));
        if let Some(said) = breaks(target, &input) {
            let (input, said) = shorten(target, input, said);
            return Outcome::Broken { input, said };
        }
        inputs += 1;
    }
    Outcome::Clean { inputs }
}

/// What the panic said, where these bytes break the target.
fn breaks(target: &Target, input: &[u8]) -> Option<String> {
    quietly();
    IS_TRYING.set(true);
    let tried = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    IS_TRYING.set(false);
    let panic = tried.err()?;
    let text = panic.downcast_ref::<String>().cloned();
    Some(text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "a panic without words".into()))
}

thread_local! {
    static IS_TRYING: Cell<bool> = const { Cell::new(false) };
}

/// Keeps the panics of tried inputs off the screen, as cutting one input down makes hundreds; those of other threads are told.
fn quietly() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IS_TRYING.get() {
                told(panic);
            }
        }));
    });
}

/// Takes halves, quarters, ... and at last single bytes away for as long as the target still breaks.
fn shorten(target: &Target, mut input: Vec<u8>, mut said: String) -> (Vec<u8>, String) {
    let mut piece = input.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at + piece <= input.len() {
            let mut shorter = input.clone();
            shorter.drain(at..at + piece);
            match breaks(target, &shorter) {
                Some(words) => (input, said) = (shorter, words),
                None => at += piece,
            }
        }
        piece /= 2;
    }
    (input, said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trips(bytes: &[u8]) {
        assert!(!bytes.windows(2).any(|pair| pair == [0xff, 0xff]), "two bytes of ff");
    }

    #[test]
    fn a_fault_is_found_shortened_and_found_again_by_its_seed() {
        let target = Target { name: "trips", seeds: || vec![b"a valid input of some length".to_vec()], run: trips };
        let size = Size { inputs: 200_000, time: Duration::from_secs(20) };
        let found = run(&target, 1, size);
        assert_eq!(found, Outcome::Broken { input: vec![0xff, 0xff], said: "two bytes of ff".into() });
        assert_eq!(run(&target, 1, size), found);
    }
}
