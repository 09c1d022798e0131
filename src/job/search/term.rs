//! The terms of a search, each of which is a condition on the content of a job's record: a text, an error, or a value
//! at a path in the payload.

use std::fmt;

use super::case_fold::folded;
use crate::job::escapes::decoded;

/// One condition of a search. It is displayed as people type it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// The payload, the kind, a tag or the error contains a text.
    Text(Needle),
    /// The error contains a text or has this class.
    Error(Needle),
    /// The payload contains a text.
    Payload(Needle),
    /// The payload has a value at a path. A list has every value that one of its elements has.
    At {
        /// The keys, or indexes of lists, from the root.
        path: Box<[Box<str>]>,
        /// The value.
        value: Value,
    },
}

/// A text to find, regardless of case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needle {
    shown: Box<str>,
    folded: Box<str>,
    /// The same without escapes, if it has any: a text that was copied from JSON is found, too.
    decoded: Option<Box<str>>,
}

/// A value as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// An unquoted value, such as `42`: the number or the string; likewise `true`, `false` and `null`.
    Bare(Box<str>),
    /// A quoted value, such as `"42"`: only the string.
    Quoted(Box<str>),
}

impl Needle {
    /// Prepares a text to find; it must not be empty.
    pub fn new(text: &str) -> Needle {
        let plain = decoded(text);
        let decoded = (plain != text).then(|| folded(&plain).into());
        Needle { shown: text.into(), folded: folded(text).into(), decoded }
    }

    /// Returns the text as it was typed.
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    /// Returns the text after case folding.
    pub fn folded(&self) -> &str {
        &self.folded
    }

    /// Returns the spellings to look for: the text after case folding, and without its escapes if it has any.
    pub fn spellings(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.folded).chain(self.decoded.as_deref())
    }
}

impl Value {
    /// Returns the typed text without quotes.
    pub fn text(&self) -> &str {
        match self {
            Value::Bare(text) | Value::Quoted(text) => text,
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spaced = |text: &str| text.is_empty() || text.contains(char::is_whitespace);
        let value = |text: &str| spaced(text) || text.starts_with('"');
        match self {
            Term::Text(needle) => {
                let text = needle.as_str();
                // The name of a field may be quoted behind a dot.
                let field = text.contains(':') || text.contains(".\"");
                quote_if(value(text) || field, text, f)
            }
            Term::Error(needle) => {
                f.write_str("error:")?;
                quote_if(value(needle.as_str()), needle.as_str(), f)
            }
            Term::Payload(needle) => {
                f.write_str("payload:")?;
                quote_if(value(needle.as_str()), needle.as_str(), f)
            }
            Term::At { path, value: wanted } => {
                f.write_str("payload")?;
                for key in path {
                    let odd = spaced(key) || key.contains(['.', ':', '"']);
                    f.write_str(".")?;
                    quote_if(odd, key, f)?;
                }
                f.write_str(":")?;
                match wanted {
                    Value::Bare(text) => quote_if(value(text), text, f),
                    Value::Quoted(text) => quote_if(true, text, f),
                }
            }
        }
    }
}

fn quote_if(needed: bool, text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if needed {
        write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        f.write_str(text)
    }
}
