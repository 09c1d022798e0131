//! The lifetime bar of a job: one segment for each period between two changes of state, with a length in proportion to
//! its time. The template draws it as SVG and repeats it in words; `static/job.js` lets the last segment grow.

use std::time::Duration;

use crate::job::{Change, Job, Moment, State, Time};

use crate::ui::parts::time_format::{TimeText, length};

/// The width of the drawing in its own units; the page scales it to the available width.
pub const WIDTH: u32 = 10_000;
/// The width of the break that stands for the time between the end of a job and its manual retry.
const BREAK: u32 = 200;
/// The share of the bar that all breaks may take together.
const MAX_BREAKS: u32 = WIDTH / 4;
/// A segment of less than this width is drawn as a line of one pixel, or it could not be seen.
pub const THIN: u32 = 30;
/// The most segments that are drawn; a job with a longer history shows the newest ones.
const MAX_SEGMENTS: usize = 200;

/// The drawing and its description in words.
#[derive(Debug, PartialEq, Eq)]
pub struct LifetimeBar {
    /// The segments from left to right.
    pub segments: Vec<Segment>,
    /// The total time of each phase, in the order of the phases: the legend.
    pub totals: Vec<Total>,
    /// The time from the submission to the end of the job, or to now.
    pub whole: String,
    /// The time at which the first segment begins.
    pub from: Time,
    /// Whether the job is not final yet, so that the last segment still grows.
    pub open: bool,
    /// Whether the oldest periods are not drawn.
    pub is_cut: bool,
}

/// One segment of the bar.
#[derive(Debug, PartialEq, Eq)]
pub struct Segment {
    /// What the job did, for its colour.
    pub phase: Phase,
    /// Its left edge, from 0 to [`WIDTH`].
    pub x: u32,
    /// Its width in the same units.
    pub width: u32,
    /// Its time in milliseconds; `None` for a break, whose width is not in proportion to its time.
    pub ms: Option<u128>,
    /// The time at which it began, if it still grows.
    pub since: Option<Time>,
    /// The tooltip: what the job did and for how long.
    pub title: String,
}

/// The total time of one phase.
#[derive(Debug, PartialEq, Eq)]
pub struct Total {
    /// The phase, for its colour.
    pub phase: Phase,
    /// The total in words.
    pub text: String,
    /// The time that continues the words while the phase goes on.
    pub open: Option<OpenTotal>,
}

/// A total that still grows.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenTotal {
    /// The total so far.
    pub length: String,
    /// The time at which the phase would have begun if it had never been interrupted.
    pub since: TimeText,
}

/// A period between two changes of state, before it is drawn.
pub struct StatePeriod {
    /// What the job did.
    pub phase: Phase,
    /// The attempt that it belongs to.
    attempt: u16,
    /// When it began.
    pub at: Time,
    /// How long it took, up to now if it has not ended.
    pub length: Duration,
    /// Whether the period has not ended yet.
    pub open: bool,
}

/// What a job does during a period. Each phase has its own colour in the bar and one entry in the legend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The job waits for its time.
    Scheduled,
    /// The job waits for a slot.
    Queued,
    /// An attempt that has not ended.
    Running,
    /// An attempt that succeeded.
    Completed,
    /// An attempt that failed.
    Failed,
    /// An attempt that was cancelled.
    Cancelled,
    /// An attempt whose handler snoozed the job.
    Snoozed,
    /// An attempt that was interrupted or lost.
    Interrupted,
    /// The job waits for its next attempt after a failure.
    Backoff,
    /// The job had ended, until somebody retried it.
    Idle,
}

impl LifetimeBar {
    /// The bar of a job up to its end, or up to `now`.
    pub fn of(job: &Job, now: Time) -> LifetimeBar {
        let periods = periods(job, now);
        let end = job.finished_at().unwrap_or(now);
        let skipped = periods.len().saturating_sub(MAX_SEGMENTS);
        let drawn = &periods[skipped..];
        LifetimeBar {
            segments: draw(drawn),
            totals: totals(&periods, now),
            whole: length(end.since(job.enqueued_at)),
            from: drawn.first().map_or(job.enqueued_at, |period| period.at),
            open: !job.status.state.is_final(),
            is_cut: skipped > 0 || !job.has_whole_history(),
        }
    }

    /// The bar in words, for screen readers.
    pub fn label(&self) -> String {
        let words = |total: &Total| match &total.open {
            Some(open) => format!("{} {}", total.text, open.length),
            None => total.text.clone(),
        };
        let totals = self.totals.iter().map(words).collect::<Vec<_>>().join("; ");
        if self.open { totals } else { format!("{} in total: {totals}", self.whole) }
    }
}

/// A state and the time at which the job entered it.
struct Since<'a> {
    at: Time,
    state: State,
    moment: Option<&'a Moment>,
}

/// The periods of a job from its submission to its end, or to now.
pub fn periods(job: &Job, now: Time) -> Vec<StatePeriod> {
    let mut since = Vec::new();
    // Without its first changes, nothing is known about the time before the first one that is left.
    if job.has_whole_history() {
        since.push(Since { at: job.enqueued_at, state: first_state(job), moment: None });
    }
    for moment in &job.history {
        if changes_state(&moment.change) {
            since.push(Since { at: moment.at, state: moment.state, moment: Some(moment) });
        }
    }
    let ends = since.iter().skip(1).map(Some).chain([None]);
    let mut periods = Vec::new();
    for (one, next) in since.iter().zip(ends) {
        let over = one.state.is_final() && next.is_none();
        if over {
            break;
        }
        let phase = match one.state {
            State::Scheduled => Phase::Scheduled,
            State::Available => Phase::Queued,
            State::Retryable => Phase::Backoff,
            State::Running => {
                let end = next.and_then(|next| next.moment).map(|moment| &moment.change);
                end.map_or(Phase::Running, phase_of_attempt)
            }
            State::Completed | State::Discarded | State::Cancelled => Phase::Idle,
        };
        let until = next.map_or(now, |next| next.at);
        let attempt = one.moment.map_or(0, |moment| moment.attempt);
        let (at, length, open) = (one.at, until.since(one.at), next.is_none());
        periods.push(StatePeriod { phase, attempt, at, length, open });
    }
    periods
}

/// The state in which a job was submitted. The record does not hold it, so it is derived from the first change.
fn first_state(job: &Job) -> State {
    let first = job.history.first();
    match first.map(|moment| &moment.change) {
        None => job.status.state,
        Some(Change::Moved { .. } | Change::Reprioritised { .. }) => {
            first.map_or(job.status.state, |moment| moment.state)
        }
        Some(Change::BecameAvailable | Change::Retried) => State::Scheduled,
        // Any later change would have changed `run_at`.
        Some(Change::Cancelled) if job.history.len() == 1 && job.run_at > job.enqueued_at => {
            State::Scheduled
        }
        Some(_) => State::Available,
    }
}

/// The phase of an attempt, by how it ended.
fn phase_of_attempt(end: &Change) -> Phase {
    match end {
        Change::Completed { .. } => Phase::Completed,
        Change::RetryScheduled { .. } | Change::Discarded { .. } => Phase::Failed,
        Change::Cancelled => Phase::Cancelled,
        Change::Snoozed { .. } => Phase::Snoozed,
        Change::Interrupted { .. } | Change::Rescued { .. } => Phase::Interrupted,
        Change::Enqueued { .. }
        | Change::BecameAvailable
        | Change::Started { .. }
        | Change::Progressed(_)
        | Change::Logged(_)
        | Change::CancelAsked
        | Change::Retried
        | Change::Deleted
        | Change::Moved { .. }
        | Change::Reprioritised { .. } => Phase::Running,
    }
}

/// Whether a change moves the job to another state. A cancel request, a move and a new priority do not.
fn changes_state(change: &Change) -> bool {
    !matches!(
        change,
        Change::CancelAsked | Change::Deleted | Change::Moved { .. } | Change::Reprioritised { .. }
    )
}

/// Lays out the segments: a break has a fixed width, and the others share the rest in proportion to their time.
fn draw(periods: &[StatePeriod]) -> Vec<Segment> {
    let breaks = periods.iter().filter(|period| period.phase == Phase::Idle).count() as u32;
    let width_of_break = BREAK.min(MAX_BREAKS / breaks.max(1));
    let rest = u128::from(WIDTH - breaks * width_of_break);
    let timed = || periods.iter().filter(|period| period.phase != Phase::Idle);
    let whole: u128 = timed().map(|period| period.length.as_millis()).sum();
    let last = timed().count();
    let (mut x, mut broken, mut gone, mut n) = (0, 0, 0_u128, 0);
    let mut segments = Vec::with_capacity(periods.len());
    for period in periods {
        let is_break = period.phase == Phase::Idle;
        if is_break {
            broken += width_of_break;
        } else {
            n += 1;
            gone += period.length.as_millis();
        }
        // Rounding the right edges, not the widths, makes the last segment end at the edge of the bar. If no time has
        // passed at all, the last segment fills the bar.
        let share = match rest.checked_mul(gone).and_then(|share| share.checked_div(whole)) {
            Some(share) => share,
            None if n == last => rest,
            None => 0,
        };
        let end = broken + share as u32;
        segments.push(Segment {
            phase: period.phase,
            x,
            width: end - x,
            ms: (!is_break).then_some(period.length.as_millis()),
            since: period.open.then_some(period.at),
            title: period.title(),
        });
        x = end;
    }
    segments
}

impl Segment {
    /// Whether it is too narrow to be seen as an area.
    pub fn is_thin(&self) -> bool {
        self.width < THIN
    }
}

impl StatePeriod {
    /// What the job did and for how long.
    pub fn title(&self) -> String {
        if self.open {
            return self.phase.open_words().to_owned();
        }
        let words = match self.phase {
            Phase::Scheduled => "scheduled for".to_owned(),
            Phase::Queued => "queued for".into(),
            Phase::Backoff => "backoff of".into(),
            Phase::Idle => {
                return format!("finished, idle for {} (not to scale)", length(self.length));
            }
            Phase::Running => format!("attempt {} ran for", self.attempt),
            Phase::Completed => format!("attempt {} succeeded after", self.attempt),
            Phase::Failed => format!("attempt {} failed after", self.attempt),
            Phase::Cancelled => format!("attempt {} was cancelled after", self.attempt),
            Phase::Snoozed => format!("attempt {} was snoozed after", self.attempt),
            Phase::Interrupted => format!("attempt {} was interrupted after", self.attempt),
        };
        format!("{words} {}", length(self.length))
    }
}

impl Phase {
    const ALL: [Phase; 10] = [
        Phase::Scheduled,
        Phase::Queued,
        Phase::Failed,
        Phase::Interrupted,
        Phase::Snoozed,
        Phase::Cancelled,
        Phase::Completed,
        Phase::Running,
        Phase::Backoff,
        Phase::Idle,
    ];

    /// The class of its segments and of its entry in the legend.
    pub fn class(self) -> &'static str {
        match self {
            Phase::Scheduled => "p-scheduled",
            Phase::Queued => "p-queued",
            Phase::Running => "p-running",
            Phase::Completed => "p-completed",
            Phase::Failed => "p-failed",
            Phase::Cancelled => "p-cancelled",
            Phase::Snoozed => "p-snoozed",
            Phase::Interrupted => "p-interrupted",
            Phase::Backoff => "p-backoff",
            Phase::Idle => "p-idle",
        }
    }

    /// Whether an attempt runs during the period.
    pub fn is_attempt(self) -> bool {
        match self {
            Phase::Scheduled | Phase::Queued | Phase::Backoff | Phase::Idle => false,
            Phase::Running
            | Phase::Completed
            | Phase::Failed
            | Phase::Cancelled
            | Phase::Snoozed
            | Phase::Interrupted => true,
        }
    }

    /// The words for a period that has not ended, without its time, which grows.
    fn open_words(self) -> &'static str {
        match self {
            Phase::Scheduled => "scheduled",
            Phase::Queued => "queued",
            Phase::Backoff => "backoff",
            Phase::Running
            | Phase::Completed
            | Phase::Failed
            | Phase::Cancelled
            | Phase::Snoozed
            | Phase::Interrupted => "running",
            Phase::Idle => "finished",
        }
    }

    /// The words for the total of all periods of this phase, all of which have ended.
    fn total(self, whole: &str, count: usize) -> String {
        let attempts = |how: &str| match count {
            1 => format!("1 {how} attempt, {whole}"),
            count => format!("{count} {how} attempts, {whole}"),
        };
        match self {
            Phase::Scheduled => format!("scheduled {whole}"),
            Phase::Queued => format!("queued {whole}"),
            Phase::Backoff => format!("backoff {whole}"),
            Phase::Idle => format!("finished, idle {whole} (not to scale)"),
            Phase::Running => format!("running {whole}"),
            Phase::Completed => attempts("completed"),
            Phase::Failed => attempts("failed"),
            Phase::Cancelled => attempts("cancelled"),
            Phase::Snoozed => attempts("snoozed"),
            Phase::Interrupted => attempts("interrupted"),
        }
    }
}

fn totals(periods: &[StatePeriod], now: Time) -> Vec<Total> {
    let mut totals = Vec::new();
    for phase in Phase::ALL {
        let of_phase: Vec<&StatePeriod> = periods.iter().filter(|one| one.phase == phase).collect();
        let whole: Duration = of_phase.iter().map(|period| period.length).sum();
        let total = match of_phase.last() {
            None => continue,
            Some(last) if last.open => {
                let ms = i64::try_from(whole.as_millis()).unwrap_or(i64::MAX);
                let since = Time::from_millis(now.millis().saturating_sub(ms));
                let since = TimeText::new(since, now);
                let open = Some(OpenTotal { length: length(whole), since });
                Total { phase, text: phase.open_words().into(), open }
            }
            Some(_) => {
                Total { phase, text: phase.total(&length(whole), of_phase.len()), open: None }
            }
        };
        totals.push(total);
    }
    totals
}

#[cfg(test)]
mod tests;
