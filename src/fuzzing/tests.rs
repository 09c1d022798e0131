//! The targets as property tests: the seeds, seeds that were changed, and random bytes. `CORTADO_FUZZ_CASES` says how many
//! inputs each target gets.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{TestCaseError, TestRunner};

use super::TARGETS;

/// What changes insert, because random bytes rarely make it.
const TOKENS: &[&str] = &[
    "\"",
    "\\",
    "\"\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    ".",
    "-",
    "*",
    "/",
    "=",
    "\n",
    " ",
    "0",
    "-1",
    "null",
    "true",
    "1e309",
    "18446744073709551616",
    "9999-12-31T23:59:59Z",
    "\\u0000",
    "\u{2028}",
    "é",
    "\u{1f600}",
    "[[[[[[[[",
    "{\"a\":",
    "every ",
    "payload.",
    "\"\"\"",
    "\u{7f}",
    "%00",
    "&q=",
];

/// A change of an input.
#[derive(Debug, Clone)]
enum Edit {
    Replace(u8),
    Insert(&'static str),
    /// Bytes from here on are removed, at most this many.
    Remove(usize),
    /// Bytes from here on occur twice, at most this many.
    Repeat(usize),
    CutOff,
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => any::<u8>().prop_map(Edit::Replace),
        3 => prop::sample::select(TOKENS).prop_map(Edit::Insert),
        2 => (1_usize..12).prop_map(Edit::Remove),
        1 => (1_usize..40).prop_map(Edit::Repeat),
        1 => Just(Edit::CutOff),
    ]
}

fn edited(mut input: Vec<u8>, edits: &[(Index, Edit)]) -> Vec<u8> {
    for (at, edit) in edits {
        let at = at.index(input.len() + 1);
        let end = |count: usize| input.len().min(at + count);
        match *edit {
            Edit::Replace(byte) => drop(input.get_mut(at).map(|place| *place = byte)),
            Edit::Insert(token) => drop(input.splice(at..at, token.bytes())),
            Edit::Remove(count) => drop(input.drain(at..end(count))),
            Edit::Repeat(count) => {
                let twice = input[at..end(count)].to_vec();
                drop(input.splice(at..at, twice));
            }
            Edit::CutOff => input.truncate(at),
        }
    }
    input
}

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// The seeds of a target by the names of their files.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = fuzz_dir().join("corpus").join(target);
    let files = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut seeds: Vec<(String, Vec<u8>)> = files
        .map(|file| {
            let file = file.unwrap();
            (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())
        })
        .collect();
    seeds.sort();
    seeds
}

/// Checks the seeds of a target, and about `usual` other inputs.
fn check(target: &str, usual: u32) {
    let (_, run) = TARGETS.into_iter().find(|(name, _)| *name == target).unwrap();
    let seeds: Vec<Vec<u8>> = seeds(target).into_iter().map(|(_, seed)| seed).collect();
    seeds.iter().for_each(|seed| run(seed));
    let asked = std::env::var("CORTADO_FUZZ_CASES").ok();
    let cases = asked.map_or(usual, |asked| asked.parse().unwrap());
    let inputs = prop_oneof![
        1 => vec(any::<u8>(), 0..200),
        9 => (prop::sample::select(seeds), vec((any::<Index>(), edit()), 1..8))
            .prop_map(|(seed, edits)| edited(seed, &edits)),
    ];
    let tried = TestRunner::new(ProptestConfig::with_cases(cases)).run(&inputs, |input| {
        run(&input);
        Ok::<(), TestCaseError>(())
    });
    if let Err(failed) = tried {
        panic!("{failed}");
    }
}

#[test]
fn submissions_are_refused_or_mean_what_they_say() {
    check("job_submission", 8_000);
}

#[test]
fn bodies_of_requests_are_refused_or_mean_what_they_say() {
    check("request_body", 8_000);
}

#[test]
fn query_strings_are_refused_or_mean_what_they_say() {
    check("query_string", 8_000);
}

#[test]
fn frames_do_not_depend_on_how_they_arrive() {
    check("websocket_frames", 8_000);
}

#[test]
fn messages_of_subscribers_are_refused_or_mean_what_they_say() {
    check("client_message", 8_000);
}

#[test]
fn messages_of_workers_are_refused_or_within_their_bounds() {
    check("worker_message", 8_000);
}

#[test]
fn configurations_are_refused_or_can_be_shown_and_read_again() {
    check("configuration", 2_000);
}

#[test]
fn cron_expressions_are_refused_or_due_when_they_say() {
    check("cron", 4_000);
}

#[test]
fn searches_are_refused_or_mean_the_same_when_they_are_printed() {
    check("search", 8_000);
}

#[test]
fn chunks_of_the_journal_are_refused_or_written_with_the_same_bytes() {
    check("journal_chunk", 8_000);
}

#[test]
fn stored_values_are_refused_or_written_with_the_same_content() {
    check("stored_row", 8_000);
}

#[test]
fn lines_of_exports_are_refused_or_written_with_the_same_content() {
    check("export_line", 3_000);
}

#[test]
fn every_target_has_a_program_and_small_seeds() {
    let manifest = fs::read_to_string(fuzz_dir().join("Cargo.toml")).unwrap();
    let names =
        manifest.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    let expected: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.skip(1).collect::<Vec<_>>(), expected);
    for target in expected {
        let program = fs::read_to_string(fuzz_dir().join(format!("targets/{target}.rs"))).unwrap();
        assert!(program.contains(&format!("cortado::fuzzing::{target}(")), "{target}");
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{target}");
        for (name, seed) in seeds {
            assert!(seed.len() <= 4_096, "{target}/{name} has {} bytes", seed.len());
        }
    }
}
