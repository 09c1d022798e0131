//! What a search looks for in one job's record: a text, an error, a value at a path of the payload.

use std::fmt;

use super::case_fold::folded;

/// One condition of a search. Shows itself as people type it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// A text in the payload, the kind, a tag or the error.
    Text(Needle),
    /// A text in the error, or the error's class.
    Error(Needle),
    /// A text in the payload.
    Payload(Needle),
    /// A value at a path of the payload. A list has every value that one of its elements has.
    At {
        /// Keys, or places in lists, from the top.
        path: Box<[Box<str>]>,
        /// What must be there.
        value: Value,
    },
}

/// A text to be found in another one, whatever the case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needle {
    shown: Box<str>,
    folded: Box<str>,
}

/// A value as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `42`: the number, or the text; `true`, `false`, `null` likewise.
    Bare(Box<str>),
    /// `"42"`: the text only.
    Quoted(Box<str>),
}

impl Needle {
    /// A text to look for; it must not be empty.
    pub fn new(text: &str) -> Needle {
        Needle { shown: text.into(), folded: folded(text).into() }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    /// The text in the one case that texts are compared in.
    pub fn folded(&self) -> &str {
        &self.folded
    }
}

impl Value {
    /// What was typed, without its quotes.
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
                quote_if(value(text) || text.contains(':'), text, f)
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
