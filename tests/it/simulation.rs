//! Minutes of faults in a pretend world: see `holdfast_lab::simulation` for what may happen in it and what must not.

use crate::is_long;
use holdfast_lab::simulation::{Safeguard, Violation, run, run_on_disks};

/// Worlds that are lived through: seconds of work, or minutes.
fn seeds() -> std::ops::Range<u64> {
    if is_long() { 0..500 } else { 0..8 }
}

/// Lives through all of them; some box must have been set right by its buckets.
fn live(seeds: std::ops::Range<u64>, run: impl Fn(u64) -> Result<usize, Violation>) {
    let lived = seeds.map(|seed| run(seed).unwrap_or_else(|violation| panic!("seed {seed}: after {:?}: {}", violation.after, violation.what)));
    assert!(lived.sum::<usize>() > 0, "no box was ever set right by its buckets");
}

#[test]
fn no_promise_breaks_in_any_world() {
    live(seeds(), |seed| run(seed, None));
}

#[test]
fn the_store_on_a_real_disk_comes_to_the_same_in_any_world() {
    live(0..if is_long() { 50 } else { 2 }, run_on_disks);
}

#[test]
fn no_safeguard_can_be_left_out() {
    for safeguard in Safeguard::ALL {
        // The first of them in which it is missed is enough.
        let fell = (0..200).find_map(|seed| run(seed, Some(safeguard)).err());
        assert!(fell.is_some(), "without the safeguard \"{safeguard:?}\" nothing fell in any world: it is not tried, or does nothing");
    }
}
