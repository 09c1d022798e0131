//! Kinds that are declared in the configuration, through the API or by workers, so that jobs of them can be submitted
//! although this process has no handler for them.

use serde::{Deserialize, Serialize};

use super::{Backoff, Json, Kind, QueueName, RetryPolicy, Schema, Time};

/// What is declared about a kind. Everything is optional.
///
/// Stores write it with postcard, so fields may only be added together with a new format number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindSpec {
    /// What its jobs do, in a sentence.
    pub about: Option<Box<str>>,
    /// A valid payload.
    pub example: Option<Json>,
    /// The schema that payloads are checked against.
    pub schema: Option<Schema>,
    /// The options of its jobs where a submission does not say.
    pub defaults: KindDefaults,
}

/// The options of the jobs of a kind where a submission does not say. What is missing here too, is that of all kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindDefaults {
    /// The queue.
    pub queue: Option<QueueName>,
    /// The most attempts.
    pub max_attempts: Option<u16>,
    /// The backoff between attempts.
    pub backoff: Option<Backoff>,
    /// The timeout of an attempt in milliseconds.
    pub timeout_ms: Option<u64>,
}

/// Who declared a stored kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KindOrigin {
    /// It was declared through the API.
    Api,
    /// A worker announced that it runs jobs of it.
    Worker,
}

/// A declared kind as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredKind {
    /// Its name.
    pub name: Kind,
    /// What is declared about it.
    pub spec: KindSpec,
    /// Who declared it.
    pub origin: KindOrigin,
    /// The time at which it was declared last.
    pub set_at: Time,
}

impl KindSpec {
    /// The longest description in characters, as JSON Schema counts them.
    pub const MAX_ABOUT: usize = 1_000;
    /// The longest example and the longest schema, in bytes of JSON. There may be thousands of kinds in memory.
    pub const MAX_JSON: usize = 64 * 1_024;

    /// Checks a description.
    ///
    /// # Errors
    /// Says what is accepted.
    pub fn check_about(about: &str) -> Result<(), String> {
        match about.chars().count() {
            _ if about.trim().is_empty() => Err("must not be blank".into()),
            length if length > KindSpec::MAX_ABOUT => {
                let most = KindSpec::MAX_ABOUT;
                Err(format!("must have at most {most} characters, but has {length}"))
            }
            _ => Ok(()),
        }
    }

    /// Checks the length of an example or a schema.
    ///
    /// # Errors
    /// Says what is accepted.
    pub fn check_length(json: &str) -> Result<(), String> {
        let (length, most) = (json.len(), KindSpec::MAX_JSON);
        if length > most {
            return Err(format!("must have at most {most} bytes of JSON, but has {length}"));
        }
        Ok(())
    }

    /// Compiles a schema.
    ///
    /// # Errors
    /// It is too long or is not a valid schema.
    pub fn parse_schema(json: &str) -> Result<Schema, String> {
        KindSpec::check_length(json)?;
        Schema::parse(json).map_err(|error| error.to_string())
    }
}

impl KindDefaults {
    /// The retry policy of jobs of this kind when the submission does not say.
    pub fn retry(&self, kind: &str) -> RetryPolicy {
        let usual = RetryPolicy::default_for(kind);
        RetryPolicy {
            max_attempts: self.max_attempts.unwrap_or(usual.max_attempts),
            backoff: self.backoff.unwrap_or(usual.backoff),
        }
    }

    /// The queue of jobs of this kind when the submission does not say.
    pub fn queue(&self) -> QueueName {
        self.queue.clone().unwrap_or_default()
    }
}
