//! The matcher of a search, which is prepared once per query and then applied to one job after another. For each term,
//! it reads the payload at most a few times.

use memchr::memchr;
use memchr::memmem::Finder;

use super::case_fold::{PIECE_BYTES, fold, fold_decoded};
use super::reading::{Interrupted, Reading};
use super::value_path::PathMatcher;
use crate::job::{Job, JobQuery, Needle, State, Term};

/// A query with its prepared terms.
pub struct Matcher<'q> {
    query: &'q JobQuery,
    tests: Vec<Test<'q>>,
    /// The case-folded payload of the current job without escapes, once a term needs it.
    payload: Folded,
    /// A buffer for its other texts.
    other: Folded,
}

/// A prepared term.
enum Test<'q> {
    Text(Finders<'q>),
    Error { class: &'q str, message: Finders<'q> },
    Payload(Finders<'q>),
    At(Box<PathMatcher<'q>>),
}

/// Finders for the spellings of a text, any of which is a match.
struct Finders<'q>(Vec<Finder<'q>>);

/// A buffer for a case-folded text.
#[derive(Default)]
struct Folded {
    bytes: Vec<u8>,
    is_ready: bool,
}

impl<'q> Matcher<'q> {
    /// Prepares a query.
    pub fn new(query: &'q JobQuery) -> Matcher<'q> {
        let test = |term: &'q Term| match term {
            Term::Text(needle) => Test::Text(Finders::new(needle)),
            Term::Error(needle) => {
                Test::Error { class: needle.folded(), message: Finders::new(needle) }
            }
            Term::Payload(needle) => Test::Payload(Finders::new(needle)),
            Term::At { path, value } => Test::At(Box::new(PathMatcher::new(path, value))),
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
                Test::Text(finders) => {
                    self.payload.json_has(finders, job.spec.payload.as_str(), reading)? || {
                        let tags = job.labels.tags.iter().map(|tag| tag.as_str());
                        let names = std::iter::once(job.labels.kind.as_str()).chain(tags);
                        self.other.any_has(finders, names.chain(failure(job)), reading)?
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
                Test::Payload(finders) => {
                    self.payload.json_has(finders, job.spec.payload.as_str(), reading)?
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

impl<'q> Finders<'q> {
    fn new(needle: &'q Needle) -> Finders<'q> {
        Finders(needle.spellings().map(|text| Finder::new(text.as_bytes())).collect())
    }
}

impl Folded {
    /// Whether JSON contains one of the spellings in its strings or elsewhere. It is folded and its escapes are decoded
    /// first, unless that was done for an earlier term.
    fn json_has(
        &mut self,
        finders: &Finders<'_>,
        json: &str,
        reading: &mut Reading<'_>,
    ) -> Result<bool, Interrupted> {
        if !self.is_ready {
            self.bytes.clear();
            fold_decoded(json, &mut self.bytes, reading)?;
            self.is_ready = true;
        }
        self.has(finders, reading)
    }

    /// Whether one of the texts contains one of the spellings, as it is or with its escapes decoded, because an error
    /// often quotes JSON.
    fn any_has<'t>(
        &mut self,
        finders: &Finders<'_>,
        texts: impl IntoIterator<Item = &'t str>,
        reading: &mut Reading<'_>,
    ) -> Result<bool, Interrupted> {
        for text in texts {
            self.bytes.clear();
            fold(text, &mut self.bytes, reading)?;
            if self.has(finders, reading)? {
                return Ok(true);
            }
            if memchr(b'\\', text.as_bytes()).is_some() {
                self.bytes.clear();
                fold_decoded(text, &mut self.bytes, reading)?;
                if self.has(finders, reading)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether the folded text contains one of the spellings.
    fn has(&self, finders: &Finders<'_>, reading: &mut Reading<'_>) -> Result<bool, Interrupted> {
        for finder in &finders.0 {
            if self.contains(finder, reading)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn contains(
        &self,
        finder: &Finder<'_>,
        reading: &mut Reading<'_>,
    ) -> Result<bool, Interrupted> {
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
}

#[cfg(test)]
mod tests;
