//! Checks `cortado::fuzzing::request_body` with the inputs of libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cortado::fuzzing::request_body(input));
