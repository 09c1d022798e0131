//! Validated names: of queues, kinds, schedules, tags, keys, workers, users, tokens, and the ids of credentials. They are validated once,
//! where they enter. A store may hold names that older versions accepted; they can be read and looked up, but no new
//! ones are created.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::job::is_hidden;

/// The error for a text that is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {got:?} is not valid: {accepted}")]
pub struct Invalid {
    /// The field, by its name in the API.
    pub what: &'static str,
    /// The given text, shortened when it is long.
    pub got: String,
    /// A description of what is accepted.
    pub accepted: &'static str,
}

impl Invalid {
    /// Builds the error and keeps at most 80 characters of the given text.
    pub fn new(what: &'static str, got: &str, accepted: &'static str) -> Self {
        let mut shown: String = got.chars().take(80).collect();
        if shown.len() < got.len() {
            shown.push('…');
        }
        Invalid { what, got: shown, accepted }
    }
}

/// Defines the type of a validated name, which is cheap to clone, ordered, and displayed as its text.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $accepted:literal, $check:expr, $stored:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Validates a text and converts it.
            ///
            /// # Errors
            /// [`Invalid`] says what is accepted.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok($name(text.into()))
                } else {
                    Err(Invalid::new($what, text, $accepted))
                }
            }

            /// Validates the name of something that exists already. A store may hold names that [`Self::parse`]
            /// refuses, because older versions accepted them.
            ///
            /// # Errors
            /// [`Invalid`] says what is accepted.
            pub fn stored(text: &str) -> Result<Self, Invalid> {
                let check: fn(&str) -> bool = $stored;
                if check(text) { Ok($name(text.into())) } else { $name::parse(text) }
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                $name::parse(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The name of a queue.
    QueueName, "queue", "use 1 to 64 of the characters a-z A-Z 0-9 _ . : -, without a dot at either end",
    plain, stored_plain
);
name!(
    /// The kind of a job, which selects its handler.
    Kind, "kind", "use 1 to 64 of the characters a-z A-Z 0-9 _ . : -, without a dot at either end",
    plain, stored_plain
);
name!(
    /// The name of a schedule.
    ScheduleName, "schedule", "use 1 to 64 of the characters a-z A-Z 0-9 _ . : -, without a dot at either end",
    plain, stored_plain
);
name!(
    /// A tag by which people find jobs.
    Tag, "tag",
    "use 1 to 100 characters without commas, characters that cannot be seen, or spaces at the ends",
    |t| text(t, 100) && !t.contains(',') && !t.contains(is_hidden), |t| text(t, 100) && !t.contains(',')
);
name!(
    /// A key that identifies a submission: two submissions with the same key create one job.
    IdempotencyKey, "idempotency_key",
    "use 1 to 200 characters without characters that cannot be seen, or spaces at the ends",
    |t| text(t, 200) && !t.contains(is_hidden), |t| text(t, 200)
);
name!(
    /// The name of a worker, which holds leases.
    WorkerName, "worker",
    "use 1 to 100 characters without characters that cannot be seen, or spaces at the ends",
    |t| text(t, 100) && !t.contains(is_hidden), |t| text(t, 100)
);

name!(
    /// The name of a user. It has no colon, because HTTP Basic separates name and password with one, and it may be an
    /// address of e-mail, because providers of identities give those.
    UserName, "user", "use 1 to 64 of the characters a-z A-Z 0-9 _ . @ + -, without a dot at either end",
    user, user
);
name!(
    /// The name of a token.
    TokenName, "token", "use 1 to 64 of the characters a-z A-Z 0-9 _ . : -, without a dot at either end",
    plain, stored_plain
);
name!(
    /// The public id of a token.
    TokenId, "token id", "use 1 to 64 of the characters a-z A-Z 0-9 _ . : -, without a dot at either end",
    plain, stored_plain
);
name!(
    /// The public id of a session.
    SessionId, "session id", "use 1 to 64 of the characters a-z A-Z 0-9 _ . : -, without a dot at either end",
    plain, stored_plain
);
name!(
    /// The public id of a share link.
    LinkId, "link id", "use 1 to 64 of the characters a-z A-Z 0-9 _ . : -, without a dot at either end",
    plain, stored_plain
);

impl WorkerName {
    /// The name in the place of those that a reader may not see.
    pub fn hidden() -> WorkerName {
        WorkerName("the server".into())
    }

    /// A name as it was stored. It is checked where it enters.
    pub(super) fn unchecked(text: &str) -> WorkerName {
        WorkerName(text.into())
    }
}

impl TokenName {
    /// The name of the token of the configuration, which no other token may have.
    pub fn environment() -> TokenName {
        TokenName("environment".into())
    }

    /// The name by which the program that contains the server is known, which no token may have.
    pub fn in_process() -> TokenName {
        TokenName("in-process".into())
    }
}

impl Default for QueueName {
    fn default() -> Self {
        QueueName("default".into())
    }
}

/// A name in a URL, which must not be `.` or `..`.
fn plain(text: &str) -> bool {
    stored_plain(text) && !text.starts_with('.') && !text.ends_with('.')
}

/// Older versions accepted dots at the ends.
fn stored_plain(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b))
}

fn user(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.@+-".contains(&b))
        && !text.starts_with('.')
        && !text.ends_with('.')
}

fn text(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.chars().count())
        && text.trim() == text
        && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts that no name may be, whatever it names.
    const NO_NAME: [&str; 14] = [
        "",
        " ",
        " lead",
        "trail ",
        "tab\there",
        "line\nbreak",
        "nul\0",
        "bell\u{7}",
        "\u{202e}evil",
        "zero\u{200b}width",
        "\u{feff}bom",
        "soft\u{ad}hyphen",
        "line\u{2028}separator",
        "isolate\u{2066}",
    ];
    /// Texts that no name in an address may be.
    const NO_SEGMENT: [&str; 18] = [
        ".",
        "..",
        "...",
        ".mail",
        "mail.",
        "..mail",
        "a/b",
        "/",
        "../mail",
        "%2e%2e",
        "a%20b",
        "two words",
        "a\\b",
        "a?b",
        "a#b",
        "ünï",
        "m\u{430}il",
        "\u{2024}\u{2024}",
    ];

    #[test]
    fn no_name_is_hidden_or_cannot_be_part_of_an_address() {
        for bad in NO_NAME.into_iter().chain(NO_SEGMENT) {
            let words = [
                QueueName::parse(bad).map(drop).unwrap_err(),
                Kind::parse(bad).map(drop).unwrap_err(),
                ScheduleName::parse(bad).map(drop).unwrap_err(),
            ]
            .map(|error| error.accepted);
            assert!(words.iter().all(|accepted| *accepted == words[0]), "{bad:?}");
        }
        for bad in NO_NAME {
            assert!(Tag::parse(bad).is_err(), "{bad:?}");
            assert!(IdempotencyKey::parse(bad).is_err(), "{bad:?}");
            assert!(WorkerName::parse(bad).is_err(), "{bad:?}");
        }
        for (longest, parse) in [
            (64, (|t| QueueName::parse(t).is_ok()) as fn(&str) -> bool),
            (64, |t| Kind::parse(t).is_ok()),
            (64, |t| ScheduleName::parse(t).is_ok()),
            (100, |t| Tag::parse(t).is_ok()),
            (200, |t| IdempotencyKey::parse(t).is_ok()),
            (100, |t| WorkerName::parse(t).is_ok()),
        ] {
            assert!(parse(&"q".repeat(longest)) && !parse(&"q".repeat(longest + 1)), "{longest}");
            assert!(parse("mail.out:eu-1_b"));
        }
    }

    #[test]
    fn names_that_older_versions_accepted_can_be_read_and_no_others() {
        for old in [".", "..", ".mail", "mail."] {
            assert_eq!(QueueName::stored(old).unwrap().as_str(), old);
            assert!(Kind::stored(old).is_ok() && ScheduleName::stored(old).is_ok(), "{old:?}");
        }
        assert!(Tag::stored("zero\u{200b}width").is_ok());
        for bad in ["", "a/b", "two words", "%2e"] {
            assert_eq!(QueueName::stored(bad).unwrap_err(), QueueName::parse(bad).unwrap_err());
        }
    }

    #[test]
    fn an_error_names_what_is_accepted() {
        let error = Kind::parse("no spaces").unwrap_err().to_string();
        assert!(error.contains("kind \"no spaces\"") && error.contains("a-z"), "{error}");
    }

    #[test]
    fn tags_are_free_text_without_commas() {
        assert!(Tag::parse("customer=Müller & Söhne").is_ok());
        for bad in ["a,b", " lead", "tab\there", ""] {
            assert!(Tag::parse(bad).is_err(), "{bad:?} should be refused");
        }
    }
}
