//! The lifetime bar of a job: one coloured segment for each period between two changes of state, as wide as
//! the period was long. The template draws it as SVG and repeats it in words.

use std::time::Duration;

use crate::job::{Change, Job, Moment, State, Time};

use crate::ui::parts::time_format::length;

/// The width of the drawing in its own units; the page scales it to the available width.
const WIDTH: u32 = 1_000;
/// The minimum width of a segment, so that even the shortest one is visible.
const LEAST: u32 = 9;
/// The most segments that are drawn; a job with a longer history shows the newest ones.
const MOST: usize = 80;

/// The drawing and its description in words.
#[derive(Debug, PartialEq, Eq)]
pub struct LifetimeBar {
    /// The segments from left to right.
    pub segments: Vec<Segment>,
    /// The total time of each phase, in the order of the phases.
    pub totals: Vec<Total>,
    /// The time from acceptance to the end of the job, or to now.
    pub whole: String,
    /// Whether the job is not final yet, so that the last segment still grows.
    pub open: bool,
}

/// One segment of the bar.
#[derive(Debug, PartialEq, Eq)]
pub struct Segment {
    /// The state whose colour it has.
    pub colour: State,
    /// Its left edge, from 0 to 1000.
    pub x: u32,
    /// Its width in the same units.
    pub width: u32,
    /// The tooltip: what the job did and for how long.
    pub title: String,
}

/// The total time of one phase.
#[derive(Debug, PartialEq, Eq)]
pub struct Total {
    /// The state whose colour it has in the bar.
    pub colour: State,
    /// The total in words.
    pub text: String,
}

/// A period between two changes of state, before it is drawn.
struct Period {
    phase: Phase,
    /// The attempt that it belongs to.
    attempt: u16,
    colour: State,
    length: Duration,
    /// Whether the period has not ended yet.
    open: bool,
}

/// What a job does during a period; times are added up by phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Scheduled,
    Ready,
    Ran,
    Between,
    Rested,
}

impl LifetimeBar {
    /// The bar of a job up to its end, or up to `now`.
    pub fn of(job: &Job, now: Time) -> LifetimeBar {
        let periods = periods(job, now);
        let whole: Duration = periods.iter().map(|period| period.length).sum();
        let open = !job.status.state.is_final();
        let drawn = &periods[periods.len().saturating_sub(MOST)..];
        LifetimeBar { segments: draw(drawn), totals: totals(&periods), whole: length(whole), open }
    }

    /// The bar in words, for screen readers.
    pub fn label(&self) -> String {
        let totals: Vec<&str> = self.totals.iter().map(|sum| sum.text.as_str()).collect();
        if self.open {
            totals.join(", ")
        } else {
            format!("{} in total: {}", self.whole, totals.join(", "))
        }
    }
}

/// A state and the time at which the job entered it.
struct Since<'a> {
    at: Time,
    state: State,
    moment: Option<&'a Moment>,
}

fn periods(job: &Job, now: Time) -> Vec<Period> {
    let mut since = vec![Since { at: job.enqueued_at, state: first_state(job), moment: None }];
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
        let (phase, colour) = match one.state {
            State::Scheduled => (Phase::Scheduled, State::Scheduled),
            State::Available => (Phase::Ready, State::Available),
            State::Retryable => (Phase::Between, State::Retryable),
            State::Running => {
                let end = next.and_then(|next| next.moment).map(|moment| &moment.change);
                (Phase::Ran, end.map_or(State::Running, colour_of_end))
            }
            State::Completed | State::Discarded | State::Cancelled => (Phase::Rested, one.state),
        };
        let until = next.map_or(now, |next| next.at);
        let attempt = one.moment.map_or(0, |moment| moment.attempt);
        let (length, open) = (until.since(one.at), next.is_none());
        periods.push(Period { phase, attempt, colour, length, open });
    }
    periods
}

/// The state that a job was accepted in. The record does not hold it, so it is derived from the first change.
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

/// The colour of an attempt, by how it ended.
fn colour_of_end(change: &Change) -> State {
    match change {
        Change::Completed { .. } => State::Completed,
        Change::RetryScheduled { .. } | Change::Discarded { .. } => State::Discarded,
        Change::Cancelled => State::Cancelled,
        Change::Snoozed { .. } => State::Scheduled,
        Change::Interrupted { .. } | Change::Rescued { .. } => State::Retryable,
        Change::Enqueued { .. }
        | Change::BecameAvailable
        | Change::Started { .. }
        | Change::Progressed(_)
        | Change::Logged(_)
        | Change::CancelAsked
        | Change::Retried
        | Change::Deleted
        | Change::Moved { .. }
        | Change::Reprioritised { .. } => State::Running,
    }
}

/// Whether a change moves the job to another state. A cancel request, a move and a new priority do not.
fn changes_state(change: &Change) -> bool {
    !matches!(
        change,
        Change::CancelAsked | Change::Deleted | Change::Moved { .. } | Change::Reprioritised { .. }
    )
}

/// Lays out the segments: each has the minimum width plus its share of the rest.
fn draw(periods: &[Period]) -> Vec<Segment> {
    let count = periods.len() as u32;
    let rest = u128::from(WIDTH.saturating_sub(count * LEAST));
    let whole: u128 = periods.iter().map(|period| period.length.as_millis()).sum();
    let (mut before, mut gone) = (0, 0_u128);
    let mut segments = Vec::with_capacity(periods.len());
    for (n, period) in (1..).zip(periods) {
        gone += period.length.as_millis();
        // Rounding the right edges, not the widths, makes the last segment end at the edge of the
        // bar. If no time has passed at all, the segments are equally wide.
        let share = match whole {
            0 => rest * u128::from(n) / u128::from(count.max(1)),
            whole => rest * gone / whole,
        };
        let end = n * LEAST + share as u32;
        let (x, width) = (before, end - before);
        segments.push(Segment { colour: period.colour, x, width, title: period.title() });
        before = end;
    }
    segments
}

impl Period {
    fn title(&self) -> String {
        if self.open {
            return self.phase.now().to_owned();
        }
        let words = match self.phase {
            Phase::Scheduled => "scheduled for".to_owned(),
            Phase::Ready => "waited in the queue for".into(),
            Phase::Between => "waited for a retry for".into(),
            Phase::Ran => {
                let how = match self.colour {
                    State::Completed => "succeeded after",
                    State::Discarded => "failed after",
                    State::Cancelled => "was cancelled after",
                    State::Scheduled => "was snoozed after",
                    State::Retryable => "was interrupted after",
                    State::Running | State::Available => "ran for",
                };
                format!("attempt {} {how}", self.attempt)
            }
            Phase::Rested => format!("was {} for", self.colour),
        };
        format!("{words} {}", length(self.length))
    }
}

impl Phase {
    const ALL: [Phase; 5] =
        [Phase::Scheduled, Phase::Ready, Phase::Ran, Phase::Between, Phase::Rested];

    /// The text for a period that has not ended. It leaves out the duration, which would be outdated at once.
    fn now(self) -> &'static str {
        match self {
            Phase::Scheduled => "scheduled",
            Phase::Ready => "waiting in the queue",
            Phase::Ran => "running now",
            Phase::Between => "waiting for a retry",
            Phase::Rested => "finished",
        }
    }

    /// The text for the total of all periods of this phase that have ended.
    fn sum(self, whole: &str, count: usize) -> String {
        match (self, count) {
            (Phase::Scheduled, _) => format!("scheduled for {whole}"),
            (Phase::Ready, _) => format!("waited {whole} in the queue"),
            (Phase::Ran, 1) => format!("ran {whole}"),
            (Phase::Ran, count) => format!("ran {whole} in {count} attempts"),
            (Phase::Between, _) => format!("{whole} between attempts"),
            (Phase::Rested, _) => format!("{whole} before a manual retry"),
        }
    }
}

fn totals(periods: &[Period]) -> Vec<Total> {
    let mut totals = Vec::new();
    for phase in Phase::ALL {
        let (open, ended): (Vec<&Period>, Vec<&Period>) =
            periods.iter().filter(|period| period.phase == phase).partition(|period| period.open);
        if let Some(first) = ended.first() {
            let whole = length(ended.iter().map(|period| period.length).sum());
            // Several attempts can have different outcomes, so their total has a neutral colour.
            let many = phase == Phase::Ran && ended.len() > 1;
            let colour = if many { State::Running } else { first.colour };
            totals.push(Total { colour, text: phase.sum(&whole, ended.len()) });
        }
        totals.extend(
            open.first().map(|period| Total { colour: period.colour, text: phase.now().into() }),
        );
    }
    totals
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::job::{
        Event, Fact, Failure, FailureClass, JobId, Json, Kind, Labels, LogCaps, QueueName,
        RetryPolicy, Spec, Status, WorkerName,
    };

    fn at(ms: i64) -> Time {
        Time::from_millis(ms)
    }

    /// A job accepted at 0 for `run_at`, with its changes: the time, the state afterwards and the change.
    fn job(run_at: i64, life: Vec<(i64, State, u16, Change)>) -> Job {
        let spec = Spec {
            payload: Json::null(),
            priority: 0,
            retry: RetryPolicy::default(),
            timeout_ms: None,
            idempotency_key: None,
        };
        let labels = Arc::new(Labels {
            queue: QueueName::default(),
            kind: Kind::parse("echo").unwrap(),
            tags: Box::default(),
        });
        let event = |seq, ms, state, attempt, change| {
            let id = JobId::from_u128(1);
            let fact = Fact::Job { id, labels: labels.clone(), state, attempt, change };
            Event { seq, at: at(ms), fact }
        };
        let first = if run_at > 0 { State::Scheduled } else { State::Available };
        let enqueued = Change::Enqueued { spec: Arc::new(spec), run_at: at(run_at) };
        let mut job = Job::from_enqueued(&event(1, 0, first, 0, enqueued)).unwrap();
        for (seq, (ms, state, attempt, change)) in (2..).zip(life) {
            let status = Status { attempt, ..Status::new(10, state) };
            job.apply(&event(seq, ms, state, attempt, change), status, LogCaps::default());
        }
        job
    }

    fn started() -> Change {
        Change::Started { worker: WorkerName::parse("w1").unwrap() }
    }

    fn failed(run_at: i64) -> Change {
        let failure = Failure::new(FailureClass::Error, "no");
        Change::RetryScheduled { failure, run_at: at(run_at) }
    }

    fn colours(bar: &LifetimeBar) -> Vec<State> {
        bar.segments.iter().map(|segment| segment.colour).collect()
    }

    #[test]
    fn a_life_is_drawn_from_its_acceptance_to_its_end() {
        let job = job(
            500,
            vec![
                (500, State::Available, 0, Change::BecameAvailable),
                (600, State::Running, 1, started()),
                (900, State::Retryable, 1, failed(1_900)),
                (1_900, State::Available, 1, Change::BecameAvailable),
                (1_900, State::Running, 2, started()),
                (1_950, State::Running, 2, Change::CancelAsked),
                (2_000, State::Completed, 2, Change::Completed { result: Json::null() }),
            ],
        );
        let bar = LifetimeBar::of(&job, at(99_000));
        let (scheduled, ready, failed, between, done) = (
            State::Scheduled,
            State::Available,
            State::Discarded,
            State::Retryable,
            State::Completed,
        );
        assert_eq!(colours(&bar), [scheduled, ready, failed, between, ready, done]);
        assert_eq!(bar.segments[2].title, "attempt 1 failed after 300 ms");
        assert_eq!(
            bar.label(),
            "2 s in total: scheduled for 500 ms, waited 100 ms in the queue, \
             ran 400 ms in 2 attempts, 1 s between attempts"
        );
        assert!(!bar.open);
    }

    #[test]
    fn what_has_not_ended_grows_until_now() {
        let job = job(0, vec![(100, State::Running, 1, started())]);
        let bar = LifetimeBar::of(&job, at(3_100));
        assert_eq!(colours(&bar), [State::Available, State::Running]);
        assert_eq!(bar.segments[1].title, "running now");
        assert_eq!(bar.label(), "waited 100 ms in the queue, running now");
        assert!(bar.open);
    }

    #[test]
    fn every_stretch_can_be_seen_and_together_they_fill_the_band() {
        let mut life = vec![];
        for n in 0..100 {
            life.push((n * 2, State::Running, 1, started()));
            life.push((n * 2 + 1, State::Retryable, 1, failed(n * 2 + 2)));
        }
        for (life, now) in
            [(life, 10_000_000), (vec![], 0), (vec![(0, State::Running, 1, started())], 0)]
        {
            let bar = LifetimeBar::of(&job(0, life), at(now));
            assert!(bar.segments.len() <= MOST);
            assert!(bar.segments.iter().all(|segment| segment.width >= LEAST), "{bar:?}");
            let mut edge = 0;
            for segment in &bar.segments {
                assert_eq!(segment.x, edge);
                edge += segment.width;
            }
            assert_eq!(edge, WIDTH, "{bar:?}");
        }
    }

    #[test]
    fn a_retry_by_hand_follows_a_rest() {
        let job = job(
            0,
            vec![
                (0, State::Cancelled, 0, Change::Cancelled),
                (60_000, State::Available, 0, Change::Retried),
            ],
        );
        let bar = LifetimeBar::of(&job, at(61_000));
        assert_eq!(colours(&bar), [State::Available, State::Cancelled, State::Available]);
        assert_eq!(bar.segments[1].title, "was cancelled for 1 min");
        assert_eq!(
            bar.label(),
            "waited 0 ms in the queue, waiting in the queue, 1 min before a manual retry"
        );
    }
}
