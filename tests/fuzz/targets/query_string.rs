//! Checks `cortado::fuzzing::query_string` with the inputs of libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cortado::fuzzing::query_string(input));
