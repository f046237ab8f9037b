use holdfast_lab::fuzz::{Outcome, Size, TARGETS, run};
use std::time::Duration;

/// A few seconds for each parser on every change; `holdfast-lab fuzz` goes on for as long as one likes.
#[test]
fn no_input_breaks_a_parser() {
    let seconds = if super::is_long() { 60 } else { 2 };
    let size = Size { inputs: u64::MAX, time: Duration::from_secs(seconds) };
    for target in TARGETS {
        match run(target, 1, size) {
            Outcome::Clean { inputs } => assert!(inputs > 100, "{} tried only {inputs} inputs", target.name),
            Outcome::Broken { input, said } => {
                panic!("{} breaks ({said}); again: holdfast-lab fuzz {} --input {}", target.name, target.name, hex::encode(input))
            }
        }
    }
}
