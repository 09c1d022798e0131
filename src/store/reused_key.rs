//! The refusal of a submission whose idempotency key belongs to another one.

use std::fmt;

use crate::access::Scope;
use crate::job::{Job, JobId, NewJob};

/// An idempotency key was used before, for a submission that differs from the new one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the idempotency key {}; use a new key for another job", known_use(.owner.as_ref(), .differences))]
pub struct ReusedKey {
    /// Who has the key; `None` when it is a stored job outside of the scope of the submitter, who learns nothing about it.
    pub owner: Option<KeyOwner>,
    /// The fields in which the submissions differ; empty when the submitter may not know them.
    pub differences: Vec<&'static str>,
    /// The index of the new job, when it was part of a batch.
    pub at: Option<usize>,
}

/// The job that has an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOwner {
    /// A stored job.
    Job(JobId),
    /// An earlier job of the same batch, by its index.
    Earlier(usize),
}

impl fmt::Display for KeyOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyOwner::Job(id) => write!(f, "job {id}"),
            KeyOwner::Earlier(index) => write!(f, "the job [{index}] of the same batch"),
        }
    }
}

/// Who has the key, as far as the submitter may know.
fn known_use(owner: Option<&KeyOwner>, differences: &[&str]) -> String {
    match owner {
        Some(owner) => {
            format!("belongs to {owner}, which was submitted with {}", other_fields(differences))
        }
        None => "is in use".to_owned(),
    }
}

/// The fields in a sentence: `another kind and other tags`.
fn other_fields(differences: &[&str]) -> String {
    let other = |name: &&str| match *name {
        "tags" => "other tags".to_owned(),
        name => format!("another {name}"),
    };
    let mut all: Vec<String> = differences.iter().map(other).collect();
    match (all.pop(), all.is_empty()) {
        (Some(last), true) => last,
        (Some(last), false) => format!("{} and {last}", all.join(", ")),
        (None, _) => String::new(),
    }
}

impl ReusedKey {
    /// Refuses a new job that differs from the one that has its key.
    ///
    /// # Errors
    /// When there are differences.
    pub(super) fn check(
        owner: KeyOwner,
        differences: Vec<&'static str>,
        at: Option<usize>,
    ) -> Result<(), ReusedKey> {
        if differences.is_empty() {
            Ok(())
        } else {
            Err(ReusedKey { owner: Some(owner), differences, at })
        }
    }

    /// Refuses a new job whose key belongs to a stored job outside of the scope of the submitter, whether they differ or
    /// not.
    ///
    /// # Errors
    /// When the job is outside of the scope.
    pub(super) fn check_scope(
        scope: Option<&Scope>,
        job: &Job,
        at: Option<usize>,
    ) -> Result<(), ReusedKey> {
        let is_visible =
            |scope: &Scope| scope.allows_job(&job.labels.queue, &job.labels.kind, job.id);
        if scope.is_none_or(is_visible) {
            return Ok(());
        }
        Err(ReusedKey { owner: None, differences: Vec::new(), at })
    }
}

/// The index of a job in a batch; `None` for the only one, because it may have been submitted without an array.
pub(super) fn index_in(batch: &[NewJob], at: usize) -> Option<usize> {
    (batch.len() > 1).then_some(at)
}
