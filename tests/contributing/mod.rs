//! Tests the steps of CONTRIBUTING.md for a first job kind: the new file and its test, the line that registers it, and
//! the commands. The library's tests compile this folder as part of `src/handlers`.

mod words;

use clap::Parser as _;
use serde_json::json;

use super::testing::{context, result};
use super::{RegisterError, done, info};
use crate::config::Cli;
use crate::engine::Registry;
use crate::job::{Json, Kind};

const PAGE: &str = include_str!("../../CONTRIBUTING.md");

/// The code blocks in a language, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    let begin = format!("```{language}\n");
    let blocks = PAGE.split(&begin).skip(1);
    blocks.map(|block| block.split_once("```").unwrap().0).collect()
}

/// Step 3, in a registry that has no other kind.
fn register(registry: &mut Registry) -> Result<(), RegisterError> {
    registry.add(info("words", words::ABOUT, words::EXAMPLE, words::SCHEMA)?, words::words);
    Ok(())
}

#[test]
fn the_code_that_the_page_shows_is_the_code_that_is_tested_here() {
    let [file, module, registration] = blocks("rust")[..] else { panic!("three blocks") };
    let file = file.strip_prefix("// src/handlers/words.rs\n").unwrap();
    assert_eq!(file, include_str!("words.rs"));
    let this = include_str!("mod.rs");
    assert!(this.contains(&format!("\n{module}")), "{module}");
    assert!(this.contains(&format!("\n{registration}")), "{registration}");
    let handlers = include_str!("../../src/handlers/mod.rs");
    let test = "every_kind_is_registered_with_a_sentence_and_an_example";
    assert!(PAGE.contains(test) && handlers.contains(&format!("fn {test}()")));
    assert!(handlers.contains("\npub fn register("));
}

#[tokio::test]
async fn the_new_kind_is_registered_accepts_its_example_and_runs() {
    let mut registry = Registry::default();
    register(&mut registry).unwrap();
    let kind = Kind::parse("words").unwrap();
    let wrong = |payload| registry.violations(&kind, &Json::parse(payload).unwrap()).unwrap();
    assert!(wrong(words::EXAMPLE).is_empty() && !wrong(r#"{"txt": "one"}"#).is_empty());
    let handler = registry.handler(&kind).unwrap();
    let outcome = handler.run(context(words::EXAMPLE, 1)).await;
    assert_eq!(result(outcome), json!({ "words": 3 }));
    assert!(PAGE.contains("prints the job's id and `{\"words\":3}`"));
}

#[test]
fn every_command_of_the_steps_can_be_typed_as_it_stands_there() {
    let (mut ours, mut others) = (0, Vec::new());
    for line in blocks("sh").iter().flat_map(|block| block.lines()) {
        let Some(arguments) = line.strip_prefix("cargo run -- ") else {
            others.push(line);
            continue;
        };
        ours += 1;
        let words = arguments.split('\'').enumerate().flat_map(|(n, part)| {
            // A quoted text is one word.
            let separators: &[char] = if n % 2 == 1 { &[] } else { &[' '] };
            part.split(separators).filter(|word| !word.is_empty())
        });
        let words: Vec<&str> = ["cortado"].into_iter().chain(words).collect();
        Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{line}: {error}"));
        if words.contains(&"words") {
            assert!(words.contains(&words::EXAMPLE), "{words:?}");
        }
    }
    let accept = "ACCEPT_PUBLIC_API=1 cargo test --features bench --test it public_api";
    let fuzz = "tests/fuzz/run cron";
    let expected = ["cargo test --lib handlers", "./test fast", accept, fuzz];
    assert_eq!((ours, &others[..]), (2, &expected[..]));
}
