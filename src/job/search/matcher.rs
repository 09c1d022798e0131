//! Looks for the jobs of a query: made ready once for a search and asked about one job after the other. Its cost is
//! at most a few readings of the payload for each term.

use memchr::memmem::Finder;

use super::case_fold::{PIECE, fold};
use super::reading::{Interrupted, Reading};
use super::value_path::PathMatcher;
use crate::job::{Job, JobQuery, State, Term};

/// A query whose terms are ready to be looked for.
pub struct Matcher<'q> {
    query: &'q JobQuery,
    tests: Vec<Test<'q>>,
    /// The payload of the job under way in one case, once a term needs it.
    payload: Folded,
    /// Another text of it.
    other: Folded,
}

/// One term.
enum Test<'q> {
    Text(Finder<'q>),
    Error { class: &'q str, message: Finder<'q> },
    Payload(Finder<'q>),
    At(PathMatcher<'q>),
}

/// A text in one case.
#[derive(Default)]
struct Folded {
    bytes: Vec<u8>,
    is_ready: bool,
}

impl<'q> Matcher<'q> {
    /// Makes a query ready.
    pub fn new(query: &'q JobQuery) -> Matcher<'q> {
        let finder = |folded: &'q str| Finder::new(folded.as_bytes());
        let test = |term: &'q Term| match term {
            Term::Text(needle) => Test::Text(finder(needle.folded())),
            Term::Error(needle) => {
                Test::Error { class: needle.folded(), message: finder(needle.folded()) }
            }
            Term::Payload(needle) => Test::Payload(finder(needle.folded())),
            Term::At { path, value } => Test::At(PathMatcher::new(path, value)),
        };
        let tests = query.terms.iter().map(test).collect();
        Matcher { query, tests, payload: Folded::default(), other: Folded::default() }
    }

    /// Whether a job is wanted.
    ///
    /// # Errors
    /// When the search shall not go on; nothing is known of the job then.
    pub fn finds(&mut self, job: &Job, reading: &mut Reading<'_>) -> Result<bool, Interrupted> {
        Ok(self.query.admits(job) && self.finds_in(job, reading)?)
    }

    /// Whether every term is in a job's record. The error of a job that came through in the end is none.
    ///
    /// # Errors
    /// As of [`Matcher::finds`].
    pub fn finds_in(&mut self, job: &Job, reading: &mut Reading<'_>) -> Result<bool, Interrupted> {
        self.payload.is_ready = false;
        for test in &self.tests {
            let has = match test {
                Test::Text(finder) => {
                    self.payload.has(finder, job.spec.payload.as_str(), reading)? || {
                        let tags = job.labels.tags.iter().map(|tag| tag.as_str());
                        let names = std::iter::once(job.labels.kind.as_str()).chain(tags);
                        self.other.any_has(finder, names.chain(failure(job)), reading)?
                    }
                }
                Test::Error { class, message } => {
                    let is_class = || {
                        let failure = job.last_failure()?;
                        Some(failure.class.as_str() == *class)
                    };
                    let error = failure(job);
                    (error.is_some() && is_class() == Some(true))
                        || self.other.any_has(message, error, reading)?
                }
                Test::Payload(finder) => {
                    self.payload.has(finder, job.spec.payload.as_str(), reading)?
                }
                Test::At(matcher) => matcher.is_in(job.spec.payload.as_str(), reading)?,
            };
            if !has {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The message of a job's error, if it has one.
fn failure(job: &Job) -> Option<&str> {
    let failed = job.status.state != State::Completed;
    job.last_failure().filter(|_| failed).map(|failure| &*failure.message)
}

impl Folded {
    /// Whether the text holds what is looked for; folds it unless that was done.
    fn has(
        &mut self,
        finder: &Finder<'_>,
        text: &str,
        reading: &mut Reading<'_>,
    ) -> Result<bool, Interrupted> {
        if !self.is_ready {
            self.bytes.clear();
            fold(text, &mut self.bytes, reading)?;
            self.is_ready = true;
        }
        // A find can lie across the border of two pieces.
        let more = finder.needle().len().saturating_sub(1);
        let mut rest = self.bytes.as_slice();
        while !rest.is_empty() {
            let (piece, across) = (rest.len().min(PIECE), rest.len().min(PIECE + more));
            reading.count(across)?;
            if finder.find(&rest[..across]).is_some() {
                return Ok(true);
            }
            rest = &rest[piece..];
        }
        Ok(false)
    }

    fn any_has<'t>(
        &mut self,
        finder: &Finder<'_>,
        texts: impl IntoIterator<Item = &'t str>,
        reading: &mut Reading<'_>,
    ) -> Result<bool, Interrupted> {
        for text in texts {
            self.is_ready = false;
            if self.has(finder, text, reading)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
