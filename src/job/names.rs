//! Validated names that people choose: queues, kinds, schedules, tags, keys and workers. They are validated once,
//! where they enter.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

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
    ($(#[$doc:meta])* $name:ident, $what:literal, $accepted:literal, $check:expr) => {
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
    QueueName, "queue", "use 1 to 64 of the characters a-z A-Z 0-9 _ . : -", |t| plain(t, 64)
);
name!(
    /// The kind of a job, which selects its handler.
    Kind, "kind", "use 1 to 64 of the characters a-z A-Z 0-9 _ . : -", |t| plain(t, 64)
);
name!(
    /// The name of a schedule.
    ScheduleName, "schedule", "use 1 to 64 of the characters a-z A-Z 0-9 _ . : -", |t| plain(t, 64)
);
name!(
    /// A tag by which people find jobs.
    Tag, "tag", "use 1 to 100 characters without commas, control characters or spaces at the ends",
    |t| text(t, 100) && !t.contains(',')
);
name!(
    /// A key that identifies a submission: two submissions with the same key create one job.
    IdempotencyKey, "idempotency_key",
    "use 1 to 200 characters without control characters or spaces at the ends", |t| text(t, 200)
);
name!(
    /// The name of a worker, which holds leases.
    WorkerName, "worker", "use 1 to 100 characters without control characters or spaces at the ends",
    |t| text(t, 100)
);

impl Default for QueueName {
    fn default() -> Self {
        QueueName("default".into())
    }
}

fn plain(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b))
}

fn text(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.chars().count())
        && text.trim() == text
        && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_names_are_plain() {
        assert_eq!(QueueName::parse("mail.out:eu-1").unwrap().as_str(), "mail.out:eu-1");
        let long = "q".repeat(65);
        for bad in ["", "two words", "ünï", "a/b", long.as_str()] {
            assert!(QueueName::parse(bad).is_err(), "{bad:?} should be refused");
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
