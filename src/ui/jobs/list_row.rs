//! A row of the job list: the cells of all lists, and those of the duration and the payload.

use std::time::Duration;

use crate::engine::PastJob;
use crate::job::secret::without_secrets;
use crate::job::shorten::truncated;
use crate::job::{AttemptView, Job, Json, Time};

use crate::ui::parts::job_row::JobCells;
use crate::ui::parts::time_format::length;
use crate::ui::parts::visible_text::visible;

/// The most characters of a payload that a row shows.
const PAYLOAD_EXCERPT: usize = 120;

/// The values of a row.
pub struct ListRow {
    /// The cells that all lists have.
    pub cells: JobCells,
    /// The run of the newest attempt, if there was one.
    pub run: Option<RunLength>,
    /// The beginning of the payload; `None` when it is `null`, or so large that lists do not have it.
    pub payload: Option<String>,
}

/// How long an attempt ran.
pub struct RunLength {
    /// The length up to its end, or up to now.
    pub length: Duration,
    /// The length in words.
    pub text: String,
    /// The time at which it started, in RFC 3339.
    pub started: String,
    /// Whether it is still running.
    pub is_open: bool,
}

impl ListRow {
    /// Builds the row of a job.
    pub fn of(job: &Job, now: Time) -> ListRow {
        let payload = without_secrets(&job.labels.kind, &job.spec.payload);
        ListRow {
            cells: JobCells::of(job, now),
            run: job.attempts().last().map(|attempt| RunLength::of(attempt, now)),
            payload: (*payload != Json::null()).then(|| excerpt(payload.as_str())),
        }
    }

    /// Builds the row of a job as it was at `now`.
    pub fn of_past(past: &PastJob, now: Time) -> ListRow {
        let row = ListRow::of(&past.job, now);
        let payload = row.payload.filter(|_| !past.is_gone);
        ListRow { cells: JobCells::of_past(past, now), payload, ..row }
    }
}

impl RunLength {
    fn of(attempt: &AttemptView<'_>, now: Time) -> RunLength {
        let ran = attempt.duration().unwrap_or_else(|| now.since(attempt.started_at));
        RunLength {
            length: ran,
            text: length(ran),
            started: attempt.started_at.to_string(),
            is_open: attempt.end.is_none(),
        }
    }
}

/// The beginning of a payload in one line, with its escapes decoded.
fn excerpt(json: &str) -> String {
    // An escaped character has up to twelve characters.
    let prefix = truncated(json, 12 * PAYLOAD_EXCERPT);
    let line = prefix.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = visible(&line);
    let mut short: String = shown.chars().take(PAYLOAD_EXCERPT).collect();
    if short.len() < shown.len() || prefix.len() < json.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_cut_to_one_line() {
        assert_eq!(excerpt("{\"a\": 1,\n  \"gr\\u00fc\": 2}"), "{\"a\": 1, \"grü\": 2}");
        let long = format!("\"{}\"", "ä".repeat(2_000));
        assert_eq!(excerpt(&long).chars().count(), PAYLOAD_EXCERPT + 1);
    }
}
