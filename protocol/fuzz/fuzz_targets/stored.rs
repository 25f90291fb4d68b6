//! Records of coordinators and control records. What is done with them: `tests/bodies`.

#![no_main]

#[path = "../../tests/bodies/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|input: &[u8]| bodies::stored(input));
