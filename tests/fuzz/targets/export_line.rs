//! Checks `cortado::fuzzing::export_line` with the inputs of libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cortado::fuzzing::export_line(input));
