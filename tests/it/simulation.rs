//! Minutes of faults in a pretend world: see `holdfast_lab::simulation` for what may happen in it and what must not.

use crate::is_long;
use holdfast_lab::simulation::{Safeguard, Violation, run, run_on_disks};

/// Lives through so many worlds, or through the one of HOLDFAST_SEED; some box must have been set right by its buckets.
fn live(worlds: u64, run: impl Fn(u64) -> Result<usize, Violation>) {
    let wished = std::env::var("HOLDFAST_SEED").ok().map(|seed| seed.parse().expect("HOLDFAST_SEED is the number of a world"));
    let seeds = wished.map_or(0..worlds, |seed: u64| seed..seed + 1);
    let fell = |seed, violation: Violation| panic!("after {:?}: {}; this world again: HOLDFAST_SEED={seed}", violation.after, violation.what);
    let mended: usize = seeds.map(|seed| run(seed).unwrap_or_else(|violation| fell(seed, violation))).sum();
    assert!(mended > 0 || wished.is_some(), "no box was ever set right by its buckets");
}

#[test]
fn no_promise_breaks_in_any_world() {
    // Seconds of work, or minutes.
    live(if is_long() { 500 } else { 8 }, |seed| run(seed, None));
}

#[test]
fn the_store_on_a_real_disk_comes_to_the_same_in_any_world() {
    live(if is_long() { 50 } else { 2 }, run_on_disks);
}

#[test]
fn no_safeguard_can_be_left_out() {
    for safeguard in Safeguard::ALL {
        // The first of them in which it is missed is enough.
        let fell = (0..200).find_map(|seed| run(seed, Some(safeguard)).err());
        assert!(fell.is_some(), "without the safeguard \"{safeguard:?}\" nothing fell in any world: it is not tried, or does nothing");
    }
}
