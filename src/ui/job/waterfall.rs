//! The waterfall of a job: its attempts on one time axis, from its submission to its end or to now. The row of an
//! attempt has the time that the job waited for it, the backoff included, and the time that it ran. In contrast to the
//! lifetime bar, everything is to scale. `static/job.js` lets the row of a job that goes on grow.

use std::time::Duration;

use crate::job::{Job, Time};

use super::lifetime_bar::{Phase, StatePeriod, THIN, WIDTH, periods};
use crate::ui::parts::time_format::length;

/// The number of equal parts of the axis.
const PARTS: u32 = 4;

/// The attempts on their time axis.
#[derive(Debug, PartialEq, Eq)]
pub struct Waterfall {
    /// Where the axis begins.
    pub from: Time,
    /// The length of the axis in milliseconds, at least 1.
    pub length: u64,
    /// Whether the axis still grows.
    pub is_open: bool,
    /// The bars of each attempt, oldest first.
    pub rows: Vec<Vec<Bar>>,
    /// The bars of the wait that has not ended.
    pub pending: Vec<Bar>,
}

/// A period of the job as a bar.
#[derive(Debug, PartialEq, Eq)]
pub struct Bar {
    /// What the job did, for its colour.
    pub phase: Phase,
    /// Its left edge, from 0 to [`WIDTH`].
    pub x: u64,
    /// Its width in the same units.
    pub width: u64,
    /// Its begin, in milliseconds from the begin of the axis.
    pub from: u64,
    /// Its end in the same way; `None` while it grows.
    pub to: Option<u64>,
    /// What the job did and for how long.
    pub title: String,
}

impl Waterfall {
    /// The waterfall of a job up to its end, or up to `now`.
    pub fn of(job: &Job, now: Time) -> Waterfall {
        let periods = periods(job, now);
        let from = periods.first().map_or(job.enqueued_at, |period| period.at);
        let end = job.finished_at().unwrap_or(now);
        let is_open = !job.status.state.is_final();
        let length = millis(end.since(from)).max(1);
        let mut fall = Waterfall { from, length, is_open, rows: Vec::new(), pending: Vec::new() };
        for period in &periods {
            let bar = fall.bar(period);
            fall.pending.push(bar);
            if period.phase.is_attempt() {
                let row = std::mem::take(&mut fall.pending);
                fall.rows.push(row);
            }
        }
        fall
    }

    /// The times at the marks of the axis, counted from its begin.
    pub fn marks(&self) -> Vec<String> {
        let whole = Duration::from_millis(self.length);
        let mark = |part| if part == 0 { "0".into() } else { length(whole * part / PARTS) };
        (0..=PARTS).map(mark).collect()
    }

    fn bar(&self, period: &StatePeriod) -> Bar {
        let start = millis(period.at.since(self.from)).min(self.length);
        let end = start.saturating_add(millis(period.length)).min(self.length);
        let place = |ms: u64| (u128::from(WIDTH) * u128::from(ms) / u128::from(self.length)) as u64;
        Bar {
            phase: period.phase,
            x: place(start),
            width: place(end) - place(start),
            from: start,
            to: (!period.open).then_some(end),
            title: match period.phase {
                Phase::Idle => format!("finished, idle for {}", length(period.length)),
                Phase::Scheduled
                | Phase::Queued
                | Phase::Running
                | Phase::Completed
                | Phase::Failed
                | Phase::Cancelled
                | Phase::Snoozed
                | Phase::Interrupted
                | Phase::Backoff => period.title(),
            },
        }
    }
}

impl Bar {
    /// Whether it is a run that is too narrow to be seen as an area.
    pub fn is_thin(&self) -> bool {
        self.phase.is_attempt() && self.width < u64::from(THIN)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
