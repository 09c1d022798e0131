//! Kinds as types: a payload that knows its kind, the options of its jobs, and the key that makes it unique.

use std::time::Duration;

use serde::Serialize;

/// A payload with the kind of its jobs and their options.
///
/// The handler of the kind takes the same type, so that the submitter and the handler agree, and the options are in one place.
/// [`Client::submit`](super::Client::submit) sends the options with each job, unless the draft sets others. A server whose
/// own process has the handler also shows them in its forms, and applies them to jobs that other programs submit.
///
/// ```
/// use std::time::Duration;
///
/// use cortado::client::{JobKind, JobOptions};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Resize {
///     url: String,
///     width: u32,
/// }
///
/// impl JobKind for Resize {
///     const KIND: &'static str = "resize";
///
///     fn options() -> JobOptions {
///         JobOptions::new().queue("images").max_attempts(5).timeout(Duration::from_secs(30))
///     }
///
///     fn unique_key(&self) -> Option<String> {
///         Some(format!("resize {} {}", self.url, self.width))
///     }
/// }
/// ```
pub trait JobKind: Serialize {
    /// The kind: 1 to 64 of the characters `a-z A-Z 0-9 _ . : -`, without a dot at either end.
    const KIND: &'static str;

    /// The options of the jobs of this kind; none are set by default, so that the server decides.
    fn options() -> JobOptions {
        JobOptions::new()
    }

    /// The idempotency key of this job: jobs with the same key are stored once, as long as the server keeps the first one.
    /// It must be different for different payloads, because the server refuses a key that was used for something else. By
    /// default each submission is a job of its own.
    fn unique_key(&self) -> Option<String> {
        None
    }
}

/// The options of the jobs of a kind. What is not set is decided by the server: the defaults that its configuration has for
/// the kind, or those of all jobs, which the methods name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobOptions {
    pub(crate) queue: Option<String>,
    pub(crate) priority: Option<i16>,
    pub(crate) max_attempts: Option<u16>,
    pub(crate) backoff: Option<(Duration, Duration)>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) delay: Option<Duration>,
    pub(crate) tags: Vec<String>,
}

impl JobOptions {
    /// Creates options that leave everything to the server.
    #[must_use]
    pub fn new() -> JobOptions {
        JobOptions::default()
    }

    /// Sets the queue; `default` without it.
    #[must_use]
    pub fn queue(self, queue: impl Into<String>) -> JobOptions {
        JobOptions { queue: Some(queue.into()), ..self }
    }

    /// Sets the priority; jobs with a higher one run first. It is 0 without it.
    #[must_use]
    pub fn priority(self, priority: i16) -> JobOptions {
        JobOptions { priority: Some(priority), ..self }
    }

    /// Sets the maximum number of attempts; 25 without it.
    #[must_use]
    pub fn max_attempts(self, attempts: u16) -> JobOptions {
        JobOptions { max_attempts: Some(attempts), ..self }
    }

    /// Sets the delay before the first retry, which doubles with each further one up to `cap`; 10 seconds and 60
    /// hours without it.
    #[must_use]
    pub fn backoff(self, base: Duration, cap: Duration) -> JobOptions {
        JobOptions { backoff: Some((base, cap)), ..self }
    }

    /// Sets how long an attempt may take; the server's `engine.timeout` without it.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> JobOptions {
        JobOptions { timeout: Some(timeout), ..self }
    }

    /// Sets how long after its submission a job may start; at once without it.
    #[must_use]
    pub fn delay(self, delay: Duration) -> JobOptions {
        JobOptions { delay: Some(delay), ..self }
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> JobOptions {
        self.tags.push(tag.into());
        self
    }
}
