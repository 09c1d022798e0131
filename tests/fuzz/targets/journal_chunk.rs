//! Checks `cortado::fuzzing::journal_chunk` with the inputs of libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cortado::fuzzing::journal_chunk(input));
