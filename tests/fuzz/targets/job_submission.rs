//! Checks `cortado::fuzzing::job_submission` with the inputs of libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cortado::fuzzing::job_submission(input));
