//! What differs between a job that failed and the last success of the same kind: the newest completed job among the
//! newest ones of the store, so that every server of a cluster shows the same one.

use std::collections::BTreeMap;

use crate::engine::Engine;
use crate::job::secret::without_secrets;
use crate::job::shorten::truncated;
use crate::job::{AttemptView, Job, JobQuery, State, Time};

use crate::ui::layout::error::UiError;
use crate::ui::parts::filters::count;
use crate::ui::parts::json_text::{JsonToken, shown};
use crate::ui::parts::json_view::{JsonView, LineRole};
use crate::ui::parts::time_format::{TimeText, length};
use crate::ui::parts::visible_text::{Escapes, visible};

/// The most jobs that are examined to find a success, so that the page costs the same with a million jobs.
const MAX_EXAMINED: u64 = 5_000;
/// The most values of the payloads that are listed.
const MAX_VALUES: usize = 12;
/// The most bytes of a value or of a log line that are shown.
const MAX_BYTES: usize = 100;

/// The comparison of a job with the last success of its kind.
pub enum Comparison {
    /// There is a success to compare with.
    With(Box<Differences>),
    /// There is none among the newest jobs, of which this many were examined.
    NothingWithin(u64),
}

/// What differs between two jobs.
pub struct Differences {
    /// The id of the job that succeeded.
    pub id: String,
    /// Its last characters.
    pub short: String,
    /// When it completed.
    pub completed: TimeText,
    /// The properties that differ.
    pub differing: Vec<Difference>,
    /// The names of those that are equal.
    pub equal: Vec<&'static str>,
    /// How many more values of the payloads differ.
    pub more_values: usize,
}

/// A property that differs.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name, or the path of a value of the payload.
    pub name: String,
    /// Whether it is a value of the payload.
    pub is_payload: bool,
    /// The property of this job.
    pub here: String,
    /// The property of the job that succeeded.
    pub there: String,
}

/// The text in place of a value that one of the payloads does not have.
const ABSENT: &str = "not there";

impl Comparison {
    /// Compares a job that has failed; `None` for any other, and when no job of its kind has completed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn of(engine: &Engine, job: &Job, now: Time) -> Result<Option<Comparison>, UiError> {
        if job.last_failure().is_none() || job.status.state == State::Completed {
            return Ok(None);
        }
        let stats = engine.stats().await?;
        let of_kind = stats.kinds.get(&job.labels.kind);
        if of_kind.and_then(|states| states.get(&State::Completed)).is_none_or(|count| *count == 0)
        {
            return Ok(None);
        }
        let query = JobQuery {
            kinds: vec![job.labels.kind.clone()],
            states: vec![State::Completed],
            limit: 1,
            most_examined: Some(MAX_EXAMINED),
            ..JobQuery::default()
        };
        let page = engine.jobs(query).await?;
        let Some(found) = page.jobs.first() else {
            return Ok(Some(Comparison::NothingWithin(page.examined)));
        };
        // Rows of lists are without large payloads and logs.
        let Some(success) = engine.job(found.id).await?.0 else {
            return Ok(Some(Comparison::NothingWithin(page.examined)));
        };
        Ok(Some(Comparison::With(Box::new(Differences::between(job, &success, now)))))
    }
}

impl Differences {
    /// The names of the properties that are equal, in words.
    pub fn equal_names(&self) -> String {
        self.equal.join(", ")
    }

    fn between(job: &Job, success: &Job, now: Time) -> Differences {
        let mut differences = Differences {
            id: success.id.to_string(),
            short: success.id.short(),
            completed: TimeText::new(success.finished_at().unwrap_or(success.enqueued_at), now),
            differing: Vec::new(),
            equal: Vec::new(),
            more_values: 0,
        };
        differences.add_values(job, success);
        for (name, value) in PROPERTIES {
            let (here, there) = (value(job), value(success));
            if here == there {
                differences.equal.push(name);
            } else {
                let name = name.to_owned();
                differences.differing.push(Difference { name, is_payload: false, here, there });
            }
        }
        differences
    }

    /// Adds the values of the payloads that differ, in the order of this job's payload.
    fn add_values(&mut self, job: &Job, success: &Job) {
        let (here, there) = (values(job), values(success));
        let known: BTreeMap<&str, &str> = by_path(&there);
        let mine: BTreeMap<&str, &str> = by_path(&here);
        let changed = here.iter().filter_map(|(path, value)| match known.get(path.as_str()) {
            Some(other) if other == value => None,
            other => Some((path, value.as_str(), other.copied().unwrap_or(ABSENT))),
        });
        let gone = there.iter().filter(|(path, _)| !mine.contains_key(path.as_str()));
        let gone = gone.map(|(path, value)| (path, ABSENT, value.as_str()));
        let all: Vec<_> = changed.chain(gone).collect();
        if all.is_empty() {
            self.equal.push("payload");
        }
        self.more_values = all.len().saturating_sub(MAX_VALUES);
        self.differing.extend(all.into_iter().take(MAX_VALUES).map(|(path, here, there)| {
            let (here, there) = (cut(here), cut(there));
            Difference { name: path.clone(), is_payload: true, here, there }
        }));
    }
}

fn by_path(values: &[(String, String)]) -> BTreeMap<&str, &str> {
    values.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect()
}

/// The values of a payload by their paths, as far as the page shows it.
fn values(job: &Job) -> Vec<(String, String)> {
    let payload = without_secrets(&job.labels.kind, &job.spec.payload);
    let view = JsonView::without_links(&shown(&payload, Escapes::Decoded), "payload");
    let whole = view.lines.into_iter().filter(|line| line.role == LineRole::Whole);
    let whole = whole.filter(|line| !line.path.is_empty());
    let value =
        |tokens: &[JsonToken]| tokens.iter().map(|token| token.text.as_str()).collect::<String>();
    whole
        .map(|line| {
            let text = value(&line.value) + &value(&line.after);
            (line.path, text.trim().trim_end_matches(',').to_owned())
        })
        .collect()
}

/// A property of a job and how it is written.
type Property = (&'static str, fn(&Job) -> String);

/// The properties that are compared besides the payload.
const PROPERTIES: [Property; 9] = [
    ("duration", |job| {
        let ran = job.attempts().last().and_then(AttemptView::duration);
        ran.map_or("still running".into(), length)
    }),
    ("attempts", |job| job.attempts().len().to_string()),
    ("worker", |job| {
        job.attempts().last().map_or("none".into(), |attempt| attempt.worker.to_string())
    }),
    ("log", |job| match (job.log.len() as u64 + job.log_dropped, job.log.last()) {
        (0, _) | (_, None) => "no lines".into(),
        (1, Some(line)) => format!("1 line: {}", cut(&line.text)),
        (lines, Some(line)) => format!("{} lines, the last: {}", count(lines), cut(&line.text)),
    }),
    ("queue", |job| job.labels.queue.to_string()),
    ("tags", |job| {
        let tags: Vec<String> = job.labels.tags.iter().map(ToString::to_string).collect();
        if tags.is_empty() { "none".into() } else { tags.join(", ") }
    }),
    ("priority", |job| job.spec.priority.to_string()),
    ("timeout", |job| match job.spec.timeout_ms {
        Some(ms) => length(std::time::Duration::from_millis(ms)),
        None => "that of the server".into(),
    }),
    ("submitted by", |job| {
        job.enqueued_by.as_ref().map_or("nobody who is known".into(), ToString::to_string)
    }),
];

/// The beginning of a text, with what cannot be seen made visible.
fn cut(text: &str) -> String {
    let prefix = truncated(text, MAX_BYTES);
    let mut short = visible(prefix).into_owned();
    if prefix.len() < text.len() {
        short.push('…');
    }
    short
}
