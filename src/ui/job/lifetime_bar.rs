//! A job's life as a band: one stretch after the other, as wide as it was long, in the colour of what it
//! came to. Drawn as SVG by the template, with the same told in words.

use std::time::Duration;

use crate::job::{Change, Job, Moment, State, Time};

use crate::ui::parts::time_format::length;

/// The band's width in its own units; the picture is stretched to the width of its box.
const WIDTH: u32 = 1_000;
/// What the shortest stretch is drawn with, so that it can be seen.
const LEAST: u32 = 9;
/// Stretches that are drawn; of a longer life the newest.
const MOST: usize = 80;

/// The picture and its words.
#[derive(Debug, PartialEq, Eq)]
pub struct Band {
    /// From left to right.
    pub stretches: Vec<Stretch>,
    /// What the colours add up to, in the order in which they first appear.
    pub sums: Vec<Sum>,
    /// From the acceptance to the end, or to now.
    pub whole: String,
    /// Whether the last stretch still grows.
    pub open: bool,
}

/// A piece of the band.
#[derive(Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Whose colour it has.
    pub colour: State,
    /// Where it begins, of 1000.
    pub x: u32,
    /// How wide it is.
    pub width: u32,
    /// What it was and how long.
    pub title: String,
}

/// The time spent in one way.
#[derive(Debug, PartialEq, Eq)]
pub struct Sum {
    /// The colour in the band.
    pub colour: State,
    /// In words.
    pub text: String,
}

/// A piece of a job's life, before it is drawn.
struct Span {
    way: Way,
    /// The attempt it belongs to.
    attempt: u16,
    colour: State,
    length: Duration,
    /// It has not ended.
    open: bool,
}

/// How a piece of life was spent; sums are by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Scheduled,
    Ready,
    Ran,
    Between,
    Rested,
}

impl Band {
    /// The life of a job up to its end, or to `now`.
    pub fn of(job: &Job, now: Time) -> Band {
        let spans = spans(job, now);
        let whole: Duration = spans.iter().map(|span| span.length).sum();
        let open = !job.status.state.is_final();
        let drawn = &spans[spans.len().saturating_sub(MOST)..];
        Band { stretches: draw(drawn), sums: sums(&spans), whole: length(whole), open }
    }

    /// The whole picture in words, for who cannot see it.
    pub fn label(&self) -> String {
        let sums: Vec<&str> = self.sums.iter().map(|sum| sum.text.as_str()).collect();
        match self.open {
            true => sums.join(", "),
            false => format!("{} in all: {}", self.whole, sums.join(", ")),
        }
    }
}

/// A state and the time from which it held.
struct Since<'a> {
    at: Time,
    state: State,
    moment: Option<&'a Moment>,
}

fn spans(job: &Job, now: Time) -> Vec<Span> {
    let mut since = vec![Since { at: job.enqueued_at, state: first_state(job), moment: None }];
    for moment in &job.history {
        if changes_state(&moment.change) {
            since.push(Since { at: moment.at, state: moment.state, moment: Some(moment) });
        }
    }
    let ends = since.iter().skip(1).map(Some).chain([None]);
    let mut spans = Vec::new();
    for (one, next) in since.iter().zip(ends) {
        let over = one.state.is_final() && next.is_none();
        if over {
            break;
        }
        let (way, colour) = match one.state {
            State::Scheduled => (Way::Scheduled, State::Scheduled),
            State::Available => (Way::Ready, State::Available),
            State::Retryable => (Way::Between, State::Retryable),
            State::Running => {
                let end = next.and_then(|next| next.moment).map(|moment| &moment.change);
                (Way::Ran, end.map_or(State::Running, colour_of_end))
            }
            State::Completed | State::Discarded | State::Cancelled => (Way::Rested, one.state),
        };
        let until = next.map_or(now, |next| next.at);
        let attempt = one.moment.map_or(0, |moment| moment.attempt);
        let (length, open) = (until.since(one.at), next.is_none());
        spans.push(Span { way, attempt, colour, length, open });
    }
    spans
}

/// The state a job was accepted in; only its first change tells.
fn first_state(job: &Job) -> State {
    let first = job.history.first();
    match first.map(|moment| &moment.change) {
        None => job.status.state,
        Some(Change::Moved { .. } | Change::Reprioritised { .. }) => {
            first.map_or(job.status.state, |moment| moment.state)
        }
        Some(Change::BecameAvailable | Change::Retried) => State::Scheduled,
        // A later change would have moved the time it was accepted for.
        Some(Change::Cancelled) if job.history.len() == 1 && job.run_at > job.enqueued_at => {
            State::Scheduled
        }
        Some(_) => State::Available,
    }
}

/// What an attempt is coloured by: how it ended.
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

/// Not so: asking for the end, another queue, another priority.
fn changes_state(change: &Change) -> bool {
    !matches!(
        change,
        Change::CancelAsked | Change::Deleted | Change::Moved { .. } | Change::Reprioritised { .. }
    )
}

/// Each stretch gets the least width and its share of the rest.
fn draw(spans: &[Span]) -> Vec<Stretch> {
    let count = spans.len() as u32;
    let rest = u128::from(WIDTH.saturating_sub(count * LEAST));
    let whole: u128 = spans.iter().map(|span| span.length.as_millis()).sum();
    let (mut before, mut gone) = (0, 0_u128);
    let mut stretches = Vec::with_capacity(spans.len());
    for (n, span) in (1..).zip(spans) {
        gone += span.length.as_millis();
        // Ends, not widths, are rounded, so that the last one is at the edge. Without any length at
        // all the stretches are equal.
        let share = match whole {
            0 => rest * u128::from(n) / u128::from(count.max(1)),
            whole => rest * gone / whole,
        };
        let end = n * LEAST + share as u32;
        let (x, width) = (before, end - before);
        stretches.push(Stretch { colour: span.colour, x, width, title: span.title() });
        before = end;
    }
    stretches
}

impl Span {
    fn title(&self) -> String {
        if self.open {
            return self.way.now().to_owned();
        }
        let words = match self.way {
            Way::Scheduled => "waited for its time".to_owned(),
            Way::Ready => "waited for a place".into(),
            Way::Between => "waited for the next attempt".into(),
            Way::Ran => {
                let how = match self.colour {
                    State::Completed => "succeeded after",
                    State::Discarded => "failed after",
                    State::Cancelled => "was cancelled after",
                    State::Scheduled => "asked for more time after",
                    State::Retryable => "was cut off after",
                    State::Running | State::Available => "ran for",
                };
                format!("attempt {} {how}", self.attempt)
            }
            Way::Rested => format!("was {} for", self.colour),
        };
        format!("{words} {}", length(self.length))
    }
}

impl Way {
    const ALL: [Way; 5] = [Way::Scheduled, Way::Ready, Way::Ran, Way::Between, Way::Rested];

    /// What goes on in a stretch that has not ended. Without its length, which would be wrong a moment
    /// later.
    fn now(self) -> &'static str {
        match self {
            Way::Scheduled => "waiting for its time",
            Way::Ready => "waiting for a place",
            Way::Ran => "running now",
            Way::Between => "waiting for the next attempt",
            Way::Rested => "at rest",
        }
    }

    /// The sum of all that ended.
    fn sum(self, whole: &str, count: usize) -> String {
        match (self, count) {
            (Way::Scheduled, _) => format!("waited {whole} for its time"),
            (Way::Ready, _) => format!("waited {whole} for a place"),
            (Way::Ran, 1) => format!("ran {whole}"),
            (Way::Ran, count) => format!("ran {whole} in {count} attempts"),
            (Way::Between, _) => format!("{whole} between attempts"),
            (Way::Rested, _) => format!("{whole} until it was retried"),
        }
    }
}

fn sums(spans: &[Span]) -> Vec<Sum> {
    let mut sums = Vec::new();
    for way in Way::ALL {
        let (open, ended): (Vec<&Span>, Vec<&Span>) =
            spans.iter().filter(|span| span.way == way).partition(|span| span.open);
        if let Some(first) = ended.first() {
            let whole = length(ended.iter().map(|span| span.length).sum());
            // Several attempts may have ended differently.
            let many = way == Way::Ran && ended.len() > 1;
            let colour = if many { State::Running } else { first.colour };
            sums.push(Sum { colour, text: way.sum(&whole, ended.len()) });
        }
        sums.extend(open.first().map(|span| Sum { colour: span.colour, text: way.now().into() }));
    }
    sums
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

    /// A job accepted at 0 for `run_at`, and what happened to it: when, the state afterwards, what.
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

    fn colours(band: &Band) -> Vec<State> {
        band.stretches.iter().map(|stretch| stretch.colour).collect()
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
        let band = Band::of(&job, at(99_000));
        let (scheduled, ready, failed, between, done) = (
            State::Scheduled,
            State::Available,
            State::Discarded,
            State::Retryable,
            State::Completed,
        );
        assert_eq!(colours(&band), [scheduled, ready, failed, between, ready, done]);
        assert_eq!(band.stretches[2].title, "attempt 1 failed after 300 ms");
        assert_eq!(
            band.label(),
            "2 s in all: waited 500 ms for its time, waited 100 ms for a place, \
             ran 400 ms in 2 attempts, 1 s between attempts"
        );
        assert!(!band.open);
    }

    #[test]
    fn what_has_not_ended_grows_until_now() {
        let job = job(0, vec![(100, State::Running, 1, started())]);
        let band = Band::of(&job, at(3_100));
        assert_eq!(colours(&band), [State::Available, State::Running]);
        assert_eq!(band.stretches[1].title, "running now");
        assert_eq!(band.label(), "waited 100 ms for a place, running now");
        assert!(band.open);
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
            let band = Band::of(&job(0, life), at(now));
            assert!(band.stretches.len() <= MOST);
            assert!(band.stretches.iter().all(|stretch| stretch.width >= LEAST), "{band:?}");
            let mut edge = 0;
            for stretch in &band.stretches {
                assert_eq!(stretch.x, edge);
                edge += stretch.width;
            }
            assert_eq!(edge, WIDTH, "{band:?}");
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
        let band = Band::of(&job, at(61_000));
        assert_eq!(colours(&band), [State::Available, State::Cancelled, State::Available]);
        assert_eq!(band.stretches[1].title, "was cancelled for 1 min");
        assert_eq!(
            band.label(),
            "waited 0 ms for a place, waiting for a place, 1 min until it was retried"
        );
    }
}
