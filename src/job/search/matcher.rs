//! The matcher of a search, which is prepared once per query and then applied to one job after another. For each term,
//! it reads the payload at most a few times.

use memchr::memmem::Finder;

use super::case_fold::{PIECE_BYTES, fold};
use super::reading::{Interrupted, Reading};
use super::value_path::PathMatcher;
use crate::job::{Job, JobQuery, State, Term};

/// A query with its prepared terms.
pub struct Matcher<'q> {
    query: &'q JobQuery,
    tests: Vec<Test<'q>>,
    /// The case-folded payload of the current job, once a term needs it.
    payload: Folded,
    /// A buffer for its other texts.
    other: Folded,
}

/// A prepared term.
enum Test<'q> {
    Text(Finder<'q>),
    Error { class: &'q str, message: Finder<'q> },
    Payload(Finder<'q>),
    At(PathMatcher<'q>),
}

/// A buffer for a case-folded text.
#[derive(Default)]
struct Folded {
    bytes: Vec<u8>,
    is_ready: bool,
}

impl<'q> Matcher<'q> {
    /// Prepares a query.
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

    /// Whether a job matches the query.
    ///
    /// # Errors
    /// When the search was interrupted. Whether the job matches is unknown then.
    pub fn finds(&mut self, job: &Job, reading: &mut Reading<'_>) -> Result<bool, Interrupted> {
        Ok(self.query.admits(job) && self.finds_in(job, reading)?)
    }

    /// Whether the record of a job matches every term. A completed job counts as one without an error.
    ///
    /// # Errors
    /// The same as those of [`Matcher::finds`].
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

/// Returns the error message of a job, unless the job completed.
fn failure(job: &Job) -> Option<&str> {
    let failed = job.status.state != State::Completed;
    job.last_failure().filter(|_| failed).map(|failure| &*failure.message)
}

impl Folded {
    /// Whether the text contains the needle. The text is folded first, unless it already is.
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
        // A match can lie across the border of two pieces.
        let more = finder.needle().len().saturating_sub(1);
        let mut rest = self.bytes.as_slice();
        while !rest.is_empty() {
            let (piece, across) = (rest.len().min(PIECE_BYTES), rest.len().min(PIECE_BYTES + more));
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
