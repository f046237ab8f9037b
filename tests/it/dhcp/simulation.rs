//! Hours of faults in a pretend world: see `holdfast_lab::simulation_dhcp` for what may happen in it and what must not.

use crate::is_long;
use holdfast_lab::simulation_dhcp::{Safeguard, Tally, Violation, run};

#[test]
fn no_address_has_two_clients_in_any_world() {
    let wished = std::env::var("HOLDFAST_SEED").ok().map(|seed| seed.parse().expect("HOLDFAST_SEED is the number of a world"));
    // Millions of steps either way: seconds, or minutes.
    let seeds = wished.map_or(0..if is_long() { 2000 } else { 60 }, |seed: u64| seed..seed + 1);
    let fell = |seed, violation: Violation| panic!("after {} ms: {}; this world again: HOLDFAST_SEED={seed}", violation.after_ms, violation.what);
    let sum = |sum: Tally, next: Tally| Tally {
        steps: sum.steps + next.steps,
        leases: sum.leases + next.leases,
        covered: sum.covered + next.covered,
        crashes: sum.crashes + next.crashes,
    };
    let tally = seeds.map(|seed| run(seed, None).unwrap_or_else(|violation| fell(seed, violation))).fold(Tally::default(), sum);
    assert!(tally.leases > 100 && tally.covered > 0 && tally.crashes > 0, "too little happened: {tally:?}");
}

#[test]
fn no_safeguard_of_leases_can_be_left_out() {
    for safeguard in Safeguard::ALL {
        // The first of them in which it is missed is enough.
        let fell = (0..300).find_map(|seed| run(seed, Some(safeguard)).err());
        assert!(fell.is_some(), "without the safeguard \"{safeguard:?}\" nothing fell in any world: it is not tried, or does nothing");
    }
}
