//! One job as a row of a list; home and the lists share it, and so does the script that patches rows.

use crate::job::{Job, State, Time};

use super::time_format::TimeText;

/// What a row shows.
pub struct Row {
    /// The whole id, for links and for the script.
    pub id: String,
    /// The end of it, for people.
    pub short: String,
    /// The kind.
    pub kind: String,
    /// The queue.
    pub queue: String,
    /// The tags.
    pub tags: Vec<String>,
    /// The state, for its badge.
    pub state: State,
    /// Attempts charged so far.
    pub attempt: u16,
    /// Attempts it may take.
    pub max_attempts: u16,
    /// When it changed last, or when it is due while it waits for its time.
    pub when: TimeText,
    /// The first line of the last error, while the job is not completed.
    pub error: Option<String>,
}

/// Characters of an error that a row can show; the script cuts at the same length.
pub const ERROR_EXCERPT: usize = 160;

impl Row {
    /// The row of a job.
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
        Row {
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
        }
    }
}

/// The moment that matters in the job's state.
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

fn excerpt(message: &str) -> String {
    let line = message.trim().lines().next().unwrap_or_default();
    let mut short: String = line.chars().take(ERROR_EXCERPT).collect();
    if short.len() < message.trim().len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_cut_to_its_first_line() {
        assert_eq!(excerpt("refused\n  at line 3"), "refused…");
        assert_eq!(excerpt("refused\n"), "refused");
        assert_eq!(excerpt(&"ä".repeat(200)).chars().count(), ERROR_EXCERPT + 1);
    }
}
