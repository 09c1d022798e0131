//! Facts in the documents that only the built programs can confirm.

use std::collections::BTreeSet;
use std::process::Command;

use crate::tidy::{read, spans};

#[test]
fn every_flag_that_the_readme_shows_exists() {
    let mut known = BTreeSet::from(["--help".to_owned(), "--version".to_owned()]);
    for command in
        [&["--help"][..], &["watch", "--help"], &["submit", "--help"], &["export", "--help"]]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_cortado")).args(command).output().unwrap();
        known.extend(flags(&String::from_utf8(output.stdout).unwrap()));
    }
    let mut seen = 0;
    for span in spans(&read("README.md")) {
        let ours = match span.split_once(" -- ") {
            Some(("cargo run" | "cargo run --release", ours)) => ours,
            _ if span.starts_with("cortado ") || span.starts_with("--") => &span,
            _ => continue,
        };
        for flag in flags(ours) {
            seen += 1;
            assert!(known.contains(&flag), "README.md shows {flag}; known are {known:?}");
        }
    }
    assert!(seen >= 5, "no flags were found in README.md");
}

fn flags(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|word| word.len() > 2 && word.starts_with("--")).map(str::to_owned).collect()
}
