//! Searches.

use super::NOW;
use crate::engine::{Kinds, Submission};
use crate::job::{Change, Event, Fact, Interrupted, Job, JobQuery, Matcher, Reading, State};

/// The first line is a search and what follows is the payload of a job. A search that is printed means the same, and a job
/// matches if it matches every term.
pub fn search(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (search, payload) = text.split_once('\n').unwrap_or((text, "null"));
    let mut query = JobQuery::default();
    if let Err(wrong) = query.narrow(search, NOW) {
        assert!(!wrong.is_empty());
        for error in wrong {
            assert!(error.to_string().chars().count() <= 1_000, "{error}");
        }
        return;
    }
    printed_again(&query);
    if let Some(job) = job_with(payload) {
        matched(&query, &job);
    }
}

fn printed_again(query: &JobQuery) {
    let printed: Vec<String> = query.terms.iter().map(ToString::to_string).collect();
    let printed = printed.join(" ");
    let mut again = JobQuery::default();
    if let Err(wrong) = again.narrow(&printed, NOW) {
        panic!("{printed}: {wrong:?}, for {:?}", query.terms);
    }
    assert_eq!(again.terms, query.terms, "{printed}");
}

/// A job with a payload; `None` if it is not JSON.
fn job_with(payload: &str) -> Option<Job> {
    let body = format!(r#"{{"kind":"mail","tags":["Daily"],"payload":{payload}}}"#);
    let new = Submission::parse(&body, &Kinds::default()).ok()?;
    let fact = Fact::Job {
        id: new.id,
        labels: new.labels,
        state: State::Available,
        attempt: 0,
        change: Change::Enqueued { spec: new.spec, run_at: NOW },
    };
    Job::from_enqueued(&Event { seq: 1, at: NOW, by: None, fact })
}

fn matched(query: &JobQuery, job: &Job) {
    let mut matcher = Matcher::new(query);
    let whole = found(&mut matcher, job);
    // A matcher keeps buffers from one job to the next.
    assert_eq!(found(&mut matcher, job), whole, "{:?}", query.terms);
    let each = query.terms.iter().all(|term| {
        let query = JobQuery { terms: vec![term.clone()], ..JobQuery::default() };
        found(&mut Matcher::new(&query), job) == Ok(true)
    });
    assert_eq!(whole, Ok(each), "{:?} in {}", query.terms, job.spec.payload.as_str());
}

fn found(matcher: &mut Matcher<'_>, job: &Job) -> Result<bool, Interrupted> {
    matcher.finds_in(job, &mut Reading::new(&|| true))
}
