//! No type is a result in a result: a caller of a verb handles one error, which says everything that can happen.

use std::collections::BTreeSet;

use super::rust_files;
use super::tokens::tokens;

/// The names that a source gives to results; `is_wanted` gets the tokens before each declaration.
fn aliases(tokens: &[&str], is_wanted: impl Fn(&[&str]) -> bool) -> BTreeSet<String> {
    let mut aliases = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        if *token != "type" || !is_wanted(&tokens[..at]) {
            continue;
        }
        let (name, rest) = (tokens[at + 1], &tokens[at + 2..]);
        let begin = rest.iter().position(|token| ["=", ";"].contains(token));
        let target = begin.map_or(&[][..], |begin| &rest[begin + 1..]);
        if last_of_path(target) == Some("Result") {
            aliases.insert(name.to_owned());
        }
    }
    aliases
}

/// The last segment of the path at the start of the tokens: `Result` for `std::io::Result<()>`.
fn last_of_path<'a>(tokens: &[&'a str]) -> Option<&'a str> {
    let mut last = tokens.first()?;
    let mut rest = &tokens[1..];
    while let ["::", next, after @ ..] = rest {
        (last, rest) = (next, after);
    }
    Some(last)
}

/// The results in a source whose value is a result, as they are written.
fn nested(text: &str, public: &BTreeSet<String>) -> Vec<String> {
    let tokens = tokens(text);
    let own = aliases(&tokens, |_| true);
    let is_result = |name: &str| name == "Result" || own.contains(name) || public.contains(name);
    let mut nested = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        if pair[1] == "<"
            && is_result(pair[0])
            && last_of_path(&tokens[at + 2..]).is_some_and(is_result)
        {
            let end = tokens.len().min(at + 8);
            nested.push(tokens[at..end].concat());
        }
    }
    nested
}

#[test]
fn no_result_holds_a_result() {
    let files = rust_files("src");
    // Only these can be used by other files.
    let is_public = |before: &[&str]| matches!(before, [.., "pub"] | [.., ")"]);
    let public = files.iter().flat_map(|(_, text)| aliases(&tokens(text), is_public)).collect();
    let mut wrong = String::new();
    for (path, text) in &files {
        for one in nested(text, &public) {
            wrong += &format!("  {path}: {one}...\n");
        }
    }
    assert!(wrong.is_empty(), "give the verb one error that contains the other:\n{wrong}");
}

#[test]
fn a_result_in_a_result_is_found_in_every_form() {
    let public = BTreeSet::from(["Shared".to_owned()]);
    let found = |text: &str| nested(text, &public).len();
    assert_eq!(found("fn f() -> Result<Result<u8, A>, B> {}"), 1);
    assert_eq!(found("fn f() -> io::Result<\n    std::result::Result<u8, A>,\n> {}"), 1);
    assert_eq!(found("type Answer = Result<u8, A>; fn f() -> Result<Answer, B> {}"), 1);
    assert_eq!(found("type Answer<T> = Result<T, A>; fn f() -> Answer<Result<u8, B>> {}"), 1);
    assert_eq!(found("fn f() -> Result<Shared, B> {}"), 1);
    assert_eq!(found("type Answer = Vec<u8>; fn f() -> Result<Vec<Result<Answer, A>>, B> {}"), 0);
    assert_eq!(found("fn f() -> Result<u8, A> {} // Result<Result<u8, A>, B>"), 0);
}
