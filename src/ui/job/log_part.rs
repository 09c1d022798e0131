//! The log of a job as the page shows it: its lines, with a heading before the first line of each attempt. The record has
//! no attempt for a line, so a line belongs to the newest attempt that had started at its time.

use crate::job::{Job, LogLine, Time};

use crate::ui::parts::time_format::TimeText;
use crate::ui::parts::visible_text::{Escapes, Syntax, VisibleText};

/// The log on the page.
pub struct JobLog {
    /// The lines, oldest first.
    pub rows: Vec<LogRow>,
    /// The number of the attempt of the last line; 0 without lines.
    pub shown: u16,
}

/// A line of the log.
pub struct LogRow {
    /// The attempt that begins with this line, if the job has had several.
    pub begins: Option<LogHeading>,
    /// When it was written.
    pub when: TimeText,
    /// The stream: `stdout`, `stderr` or `log`.
    pub stream: &'static str,
    /// The text.
    pub text: VisibleText,
}

/// The heading of the lines of one attempt.
pub struct LogHeading {
    /// The position of the attempt among all attempts.
    pub index: usize,
    /// The number of the attempt.
    pub number: u16,
    /// The worker that ran it.
    pub worker: String,
}

impl JobLog {
    /// The log of a job.
    pub fn of(job: &Job, escapes: Escapes, now: Time) -> JobLog {
        let attempts = job.attempts();
        let mut rows = Vec::with_capacity(job.log.len());
        let (mut here, mut last) = (0, None);
        for line in &job.log {
            while attempts.get(here + 1).is_some_and(|next| next.started_at <= line.at) {
                here += 1;
            }
            let begins = attempts.get(here).filter(|_| last != Some(here) && attempts.len() > 1);
            let begins = begins.map(|attempt| LogHeading {
                index: here,
                number: attempt.number,
                worker: attempt.worker.to_string(),
            });
            last = Some(here);
            rows.push(LogRow::of(line, begins, escapes, now));
        }
        let number = |index: usize| attempts.get(index).map_or(0, |attempt| attempt.number);
        JobLog { rows, shown: last.map_or(0, number) }
    }

    /// Whether there are no lines.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl LogRow {
    fn of(line: &LogLine, begins: Option<LogHeading>, escapes: Escapes, now: Time) -> Self {
        LogRow {
            begins,
            when: TimeText::new(line.at, now),
            stream: line.stream.as_str(),
            text: VisibleText::new(&line.text, escapes, Syntax::Text),
        }
    }
}
