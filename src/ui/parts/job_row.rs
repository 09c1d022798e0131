//! A job as a row of a list. The home page and all lists share it; `static/live.js` updates such rows in place.

use crate::engine::PastJob;
use crate::job::shorten::truncated;
use crate::job::{Job, State, Time, error_line};

use super::time_format::TimeText;
use super::visible_text::visible;

/// The values that a row shows.
pub struct JobCells {
    /// The full id, for links and scripts.
    pub id: String,
    /// The last characters of the id, for people.
    pub short: String,
    /// The kind.
    pub kind: String,
    /// The queue.
    pub queue: String,
    /// The tags.
    pub tags: Vec<String>,
    /// The state, for its badge.
    pub state: State,
    /// The attempts charged so far.
    pub attempt: u16,
    /// The attempts that the job may take.
    pub max_attempts: u16,
    /// The time of the last change, or the due time of a job that waits for it.
    pub when: TimeText,
    /// The line of the last error that says what happened, unless the job completed.
    pub error: Option<String>,
    /// Whether the job has been removed since the moment that the page shows.
    pub is_gone: bool,
}

/// The most characters of an error that a row shows. Pages pass this length to the scripts.
pub const ERROR_EXCERPT: usize = 160;

impl JobCells {
    /// Builds the row of a job.
    pub fn of(job: &Job, now: Time) -> Self {
        let failure = match job.status.state {
            State::Completed => None,
            State::Scheduled
            | State::Available
            | State::Running
            | State::Retryable
            | State::Discarded
            | State::Cancelled => job.last_failure(),
        };
        JobCells {
            id: job.id.to_string(),
            short: job.id.short(),
            kind: job.labels.kind.to_string(),
            queue: job.labels.queue.to_string(),
            tags: job.labels.tags.iter().map(ToString::to_string).collect(),
            state: job.status.state,
            attempt: job.status.attempt,
            max_attempts: job.status.max_attempts,
            when: TimeText::new(moment(job), now),
            error: failure.map(|failure| excerpt(&failure.message)),
            is_gone: false,
        }
    }

    /// Builds the row of a job as it was at `now`. Of a job that is gone, nothing is shown that it carried.
    pub fn of_past(past: &PastJob, now: Time) -> Self {
        let cells = JobCells::of(&past.job, now);
        let error = cells.error.filter(|_| !past.is_gone);
        JobCells { error, is_gone: past.is_gone, ..cells }
    }
}

/// The time that matters most in the job's state.
fn moment(job: &Job) -> Time {
    match job.status.state {
        State::Scheduled | State::Retryable => job.run_at,
        State::Available
        | State::Running
        | State::Completed
        | State::Discarded
        | State::Cancelled => job.history.last().map_or(job.enqueued_at, |moment| moment.at),
    }
}

/// The line of an error that says what happened, with its escapes decoded, up to [`ERROR_EXCERPT`] characters.
pub fn excerpt(message: &str) -> String {
    let message = message.trim();
    let line = error_line(message);
    // A surrogate pair in escapes has twelve characters.
    let prefix = truncated(line, 12 * ERROR_EXCERPT);
    let shown = visible(prefix);
    let mut short: String = shown.chars().take(ERROR_EXCERPT).collect();
    if short.len() < shown.len() || prefix.len() < message.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_cut_to_the_line_that_says_what_happened() {
        let traceback =
            "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'x'";
        assert_eq!(excerpt(traceback), "KeyError: 'x'…");
        assert_eq!(excerpt("refused\n  at line 3"), "refused…");
        assert_eq!(excerpt("refused\n"), "refused");
        assert_eq!(excerpt(&"ä".repeat(200)).chars().count(), ERROR_EXCERPT + 1);
        assert_eq!(excerpt(&"\\ud83e\\udd80".repeat(200)), "🦀".repeat(ERROR_EXCERPT) + "…");
        assert_eq!(excerpt("gr\\u00fc\u{202e}"), "grü\\u202e");
    }
}
