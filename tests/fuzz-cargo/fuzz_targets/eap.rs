#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (holdfast_lab::fuzz::target("eap").expect("it is a target").run)(bytes));
