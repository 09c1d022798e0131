//! Tokens as text, with the spaces that people write.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;

/// Part of the sources as one line.
pub fn text(part: &impl ToTokens) -> String {
    let mut words = Vec::new();
    flatten(part.to_token_stream(), &mut words);
    let mut text = String::new();
    let mut before: Option<&str> = None;
    for word in &words {
        if before.is_some_and(|before| is_apart(before, word)) {
            text.push(' ');
        }
        text.push_str(word);
        before = Some(word);
    }
    text.replace(", )", ")").replace(", >", ">").replace(",>", ">").replace(",)", ")")
}

/// The tokens, with those of several characters as one.
fn flatten(tokens: TokenStream, words: &mut Vec<String>) {
    let mut joined = String::new();
    for token in tokens {
        match token {
            TokenTree::Punct(punct) => {
                joined.push(punct.as_char());
                // `<` and `>` of generics stand alone, also where two meet.
                let is_operator = matches!(joined.as_str(), ":" | "-" | "=" | "." | ".." | "'");
                if punct.spacing() == Spacing::Joint && is_operator {
                    continue;
                }
                words.push(std::mem::take(&mut joined));
            }
            TokenTree::Ident(ident) => {
                joined.push_str(&ident.to_string());
                words.push(std::mem::take(&mut joined));
            }
            TokenTree::Literal(literal) => words.push(literal.to_string()),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::None => ("", ""),
                };
                words.extend((!open.is_empty()).then(|| open.to_owned()));
                flatten(group.stream(), words);
                words.extend((!close.is_empty()).then(|| close.to_owned()));
            }
        }
    }
}

/// Whether there is a space between two words.
fn is_apart(before: &str, word: &str) -> bool {
    let is_name = |word: &str| {
        word.chars().next().is_some_and(|first| first.is_alphanumeric() || first == '_')
    };
    match (before, word) {
        ("(" | "[" | "<" | "&" | "::" | "#" | "?" | "*", _) => false,
        ("+" | ":", "?") => true,
        (_, ")" | "]" | ">" | "," | ";" | ":" | "::" | "?" | ".") => false,
        (before, "(" | "<") => !(is_name(before) || before == ">" || before == "::"),
        ("!", "[") => false,
        (before, "!") => !is_name(before),
        _ => true,
    }
}
