//! The lanes of the timeline: attempts as bars on one time axis. The server draws them, and `static/timeline.js` continues the
//! drawing with the same rules.
//!
//! A drawing is twice as wide as what is visible of it. Its left half is the past, and its right half is the time to come:
//! running attempts extend to its right edge, so the script only has to move it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::{AttemptOutcome, SampledAttempt, is_sampled};
use crate::job::{JobId, Time};
use crate::ui::parts::time_format::{TimeText, length};

/// The most lanes: as many as fit on two screens.
pub const MAX_LANES: usize = 16;
/// The most bars of all lanes together, so that browsers draw them with ease.
const MAX_BARS: usize = 1_200;
/// The most bars in a lane; with more, they cannot be told apart.
const MAX_IN_LANE: usize = 400;
/// The most bars below each other in a lane.
pub const MAX_TRACKS: usize = 8;
/// The height of a bar in pixels.
pub const BAR: usize = 12;
/// The distance between two tracks in pixels, and from the first one to the edge.
pub const GAP: usize = 4;
/// The least length of a bar as a share of the visible time, so that short attempts can be seen and clicked.
pub const LEAST: f64 = 0.004;

/// What the attempts of one lane have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneKey {
    /// The queue.
    Queue,
    /// The worker.
    Worker,
    /// The kind.
    Kind,
}

/// The visible time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VisibleTime {
    /// One minute.
    Minute,
    /// Ten minutes.
    TenMinutes,
}

/// Where times are in a drawing.
#[derive(Debug, Clone, Copy)]
pub struct TimeAxis {
    now: Time,
    visible: VisibleTime,
}

/// A lane.
pub struct Lane {
    /// The queue, the worker or the kind.
    pub name: String,
    /// The bars, by the start of their attempts.
    pub bars: Vec<LaneBar>,
    /// The height of the drawing in pixels.
    pub height: usize,
    /// How many attempts a bar may stand for.
    pub one_in: u32,
    /// The attempts for which there was no room.
    pub hidden: usize,
}

/// An attempt as a bar.
pub struct LaneBar {
    /// The job.
    pub job: JobId,
    /// The number of the attempt.
    pub attempt: u16,
    /// When it started, in milliseconds since 1970.
    pub start: i64,
    /// When it ended; `None` while it runs.
    pub end: Option<i64>,
    /// How it ended, or `running`.
    pub outcome: &'static str,
    /// The horizontal position in percent of the drawing.
    pub x: String,
    /// The length in percent of the drawing.
    pub width: String,
    /// The vertical position in pixels.
    pub y: usize,
    /// Its number from the top, from 0.
    pub track: usize,
    /// The attempt in words.
    pub title: String,
}

/// A mark on the axis.
pub struct AxisMark {
    /// The horizontal position in percent of the drawing.
    pub x: String,
    /// The time in RFC 3339.
    pub at: Time,
    /// The time of day in UTC.
    pub text: String,
    /// Whether a narrow drawing shows its text.
    pub is_major: bool,
}

impl LaneKey {
    /// All keys, in the order of the switch.
    pub const ALL: [LaneKey; 3] = [LaneKey::Queue, LaneKey::Worker, LaneKey::Kind];

    /// Returns the value in the URL.
    pub fn as_str(self) -> &'static str {
        match self {
            LaneKey::Queue => "queue",
            LaneKey::Worker => "worker",
            LaneKey::Kind => "kind",
        }
    }

    fn of(self, attempt: &SampledAttempt) -> &str {
        match self {
            LaneKey::Queue => attempt.labels.queue.as_str(),
            LaneKey::Worker => attempt.worker.as_str(),
            LaneKey::Kind => attempt.labels.kind.as_str(),
        }
    }
}

impl VisibleTime {
    /// All of them, in the order of the switch.
    pub const ALL: [VisibleTime; 2] = [VisibleTime::Minute, VisibleTime::TenMinutes];

    /// Returns the value in the URL.
    pub fn as_str(self) -> &'static str {
        match self {
            VisibleTime::Minute => "1m",
            VisibleTime::TenMinutes => "10m",
        }
    }

    /// Returns the time in words.
    pub fn words(self) -> &'static str {
        match self {
            VisibleTime::Minute => "Last minute",
            VisibleTime::TenMinutes => "Last 10 minutes",
        }
    }

    /// The length in milliseconds.
    pub fn millis(self) -> i64 {
        match self {
            VisibleTime::Minute => 60_000,
            VisibleTime::TenMinutes => 600_000,
        }
    }

    /// The distance between two marks on the axis in milliseconds.
    fn mark_millis(self) -> i64 {
        match self {
            VisibleTime::Minute => 10_000,
            VisibleTime::TenMinutes => 120_000,
        }
    }
}

impl TimeAxis {
    /// The axis that ends `now`.
    pub fn new(now: Time, visible: VisibleTime) -> TimeAxis {
        TimeAxis { now, visible }
    }

    /// The time at the left edge.
    pub fn from(self) -> Time {
        Time::from_millis(self.now.millis() - self.visible.millis())
    }

    /// The marks of a whole drawing.
    pub fn marks(self) -> Vec<AxisMark> {
        let (step, from) = (self.visible.mark_millis(), self.from().millis());
        let first = from.div_euclid(step) + 1;
        let last = (from + 2 * self.visible.millis()).div_euclid(step);
        let mark = |number: i64| {
            let at = Time::from_millis(number * step);
            AxisMark {
                x: percent(self.position(at.millis())),
                at,
                text: TimeText::new(at, at).near,
                is_major: number % 2 == 0,
            }
        };
        (first..=last).map(mark).collect()
    }

    /// The position of a time in percent of the drawing. What is left of it is cut off shortly before its edge.
    fn position(self, at: i64) -> f64 {
        let share = (at - self.from().millis()) as f64 / (2 * self.visible.millis()) as f64;
        (share * 100.0).clamp(-1.0, 100.0)
    }

    /// The least length of a bar in milliseconds.
    fn least(self) -> i64 {
        (LEAST * self.visible.millis() as f64) as i64
    }
}

impl Lane {
    /// The lanes of these attempts by name, and how many there would be without a limit. The limit leaves out those with the
    /// fewest attempts.
    pub fn all(
        attempts: &[(SampledAttempt, u32)],
        key: LaneKey,
        axis: TimeAxis,
    ) -> (Vec<Lane>, usize) {
        let mut groups: BTreeMap<&str, Vec<&(SampledAttempt, u32)>> = BTreeMap::new();
        for sampled in attempts {
            groups.entry(key.of(&sampled.0)).or_default().push(sampled);
        }
        let total = groups.len();
        let mut groups: Vec<_> = groups.into_iter().collect();
        let number = |of: &[&(SampledAttempt, u32)]| -> u64 {
            of.iter().map(|(_, stands_for)| u64::from(*stands_for)).sum()
        };
        groups.sort_by_cached_key(|(_, attempts)| std::cmp::Reverse(number(attempts)));
        groups.truncate(MAX_LANES);
        groups.sort_unstable_by_key(|(name, _)| *name);
        let max_bars = Lane::max_bars(groups.len());
        let lane = |(name, attempts): (&str, Vec<_>)| Lane::of(name, attempts, axis, max_bars);
        (groups.into_iter().map(lane).collect(), total)
    }

    /// The most bars in one of so many lanes.
    pub fn max_bars(lanes: usize) -> usize {
        (MAX_BARS / lanes.max(1)).min(MAX_IN_LANE)
    }

    fn of(
        name: &str,
        mut attempts: Vec<&(SampledAttempt, u32)>,
        axis: TimeAxis,
        max_bars: usize,
    ) -> Lane {
        let mut zeros = 0;
        while attempts.len() > max_bars && zeros < u32::BITS {
            zeros += 1;
            attempts.retain(|(attempt, _)| is_sampled(attempt.job, zeros));
        }
        let most = attempts.iter().map(|(_, stands_for)| *stands_for).max();
        let one_in = most.unwrap_or(1).max(1_u32.checked_shl(zeros).unwrap_or(u32::MAX));
        let mut ends: Vec<i64> = Vec::new();
        let mut bars = Vec::with_capacity(attempts.len());
        let mut hidden = 0;
        for (attempt, _) in attempts {
            let start = attempt.started_at.millis();
            let end = attempt.end.map(|(at, _)| at.millis());
            let free = ends.iter().position(|end| *end <= start);
            let track = match free {
                Some(track) => track,
                None if ends.len() < MAX_TRACKS => {
                    ends.push(i64::MIN);
                    ends.len() - 1
                }
                None => {
                    hidden += 1;
                    continue;
                }
            };
            ends[track] = end.map_or(i64::MAX, |end| end.max(start + axis.least()));
            bars.push(LaneBar::of(attempt, track, axis));
        }
        let height = ends.len().max(2) * (BAR + GAP) + GAP;
        Lane { name: name.to_owned(), bars, height, one_in, hidden }
    }

    /// What is said below the name. `static/timeline.js` has the same words.
    pub fn note(&self) -> String {
        let count = |outcome: &str| self.bars.iter().filter(|bar| bar.outcome == outcome).count();
        let running = AttemptOutcome::ALL
            .iter()
            .fold(self.bars.len(), |left, outcome| left - count(outcome.as_str()));
        let failed =
            count(AttemptOutcome::Failed.as_str()) + count(AttemptOutcome::Discarded.as_str());
        let mut parts = Vec::new();
        if self.one_in > 1 {
            parts.push(format!("sample: 1 in {}", self.one_in));
        } else {
            parts.push(format!("{running} running"));
            if failed > 0 {
                parts.push(format!("{failed} failed"));
            }
        }
        if self.hidden > 0 {
            parts.push(format!("{} not drawn", self.hidden));
        }
        parts.join(" · ")
    }
}

impl LaneBar {
    fn of(attempt: &SampledAttempt, track: usize, axis: TimeAxis) -> LaneBar {
        let start = attempt.started_at.millis();
        let end = attempt.end.map(|(at, _)| at.millis());
        let x = axis.position(start);
        let right = end.map_or(100.0, |end| axis.position(end.max(start + axis.least())));
        let outcome = attempt.end.map_or("running", |(_, outcome)| outcome.as_str());
        LaneBar {
            job: attempt.job,
            attempt: attempt.attempt,
            start,
            end,
            outcome,
            x: percent(x),
            width: percent(right - x),
            y: GAP + track * (BAR + GAP),
            track,
            title: title(attempt),
        }
    }
}

/// The attempt in words, for the tooltip of its bar. `static/timeline.js` has the same words.
fn title(attempt: &SampledAttempt) -> String {
    let SampledAttempt { job, labels, attempt, worker, started_at, end } = attempt;
    let stand = match end {
        None => "running".to_owned(),
        Some((at, outcome)) => {
            let took: Duration = at.since(*started_at);
            format!("{} after {}", outcome.as_str(), length(took))
        }
    };
    let (kind, queue) = (&labels.kind, &labels.queue);
    format!("{kind} {}, attempt {attempt}: {stand}\nqueue {queue}, worker {worker}", job.short())
}

fn percent(share: f64) -> String {
    format!("{share:.3}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::job::{Kind, Labels, QueueName, WorkerName};

    const NOW: i64 = 1_780_000_000_000;

    fn axis() -> TimeAxis {
        TimeAxis::new(Time::from_millis(NOW), VisibleTime::Minute)
    }

    /// An attempt in a queue from so many milliseconds ago until so many milliseconds ago, or still running.
    fn attempt(id: u128, queue: &str, from: i64, until: Option<i64>) -> (SampledAttempt, u32) {
        let labels = Labels {
            queue: QueueName::parse(queue).unwrap(),
            kind: Kind::parse("echo").unwrap(),
            tags: Box::default(),
        };
        let at = |ago: i64| Time::from_millis(NOW - ago);
        let attempt = SampledAttempt {
            job: JobId::from_u128(id),
            labels: Arc::new(labels),
            attempt: 1,
            worker: WorkerName::parse("w1").unwrap(),
            started_at: at(from),
            end: until.map(|ago| (at(ago), AttemptOutcome::Completed)),
        };
        (attempt, 1)
    }

    #[test]
    fn bars_are_where_their_times_are_and_running_ones_extend_to_the_edge() {
        let attempts = [
            attempt(1, "a", 90_000, Some(30_000)),
            attempt(2, "a", 15_000, None),
            attempt(3, "a", 10_000, Some(9_999)),
        ];
        let (lanes, total) = Lane::all(&attempts, LaneKey::Queue, axis());
        assert_eq!((lanes.len(), total, lanes[0].name.as_str()), (1, 1, "a"));
        let found: Vec<_> = lanes[0]
            .bars
            .iter()
            .map(|bar| (bar.x.as_str(), bar.width.as_str(), bar.track))
            .collect();
        // The second begins on the first track, because the first has ended; the third is as long as it must be to be seen.
        assert_eq!(
            found,
            [("-1.000", "26.000", 0), ("37.500", "62.500", 0), ("41.667", "0.200", 1)]
        );
        assert_eq!(lanes[0].note(), "1 running");
        assert_eq!(lanes[0].height, 2 * (BAR + GAP) + GAP);
    }

    #[test]
    fn attempts_without_room_are_counted() {
        let attempts: Vec<_> =
            (0..11).map(|id| attempt(id, "a", 5_000 - id as i64, None)).collect();
        let (lanes, _) = Lane::all(&attempts, LaneKey::Worker, axis());
        assert_eq!((lanes[0].name.as_str(), lanes[0].bars.len(), lanes[0].hidden), ("w1", 8, 3));
        assert_eq!(lanes[0].note(), "8 running · 3 not drawn");
    }

    #[test]
    fn a_lane_with_many_attempts_is_a_sample_and_says_so() {
        let attempts: Vec<_> = (0..1_000)
            .map(|id| {
                let from = 50_000 - 40 * id as i64;
                attempt(id, "a", from, Some(from - 1))
            })
            .collect();
        let (lanes, _) = Lane::all(&attempts, LaneKey::Kind, axis());
        assert_eq!(
            (lanes[0].name.as_str(), lanes[0].one_in, lanes[0].bars.len()),
            ("echo", 4, 250)
        );
        assert_eq!(lanes[0].note(), "sample: 1 in 4");
    }

    #[test]
    fn the_lanes_with_the_most_attempts_are_shown_by_name() {
        let mut attempts = vec![attempt(1, "zzz", 5, Some(1)), attempt(2, "zzz", 4, Some(1))];
        attempts.extend((0..40).map(|id| attempt(id + 10, &format!("q{id}"), 3, Some(1))));
        let (lanes, total) = Lane::all(&attempts, LaneKey::Queue, axis());
        assert_eq!((lanes.len(), total), (MAX_LANES, 41));
        assert_eq!(lanes.last().unwrap().name, "zzz");
        assert!(lanes.is_sorted_by_key(|lane| lane.name.clone()));
    }

    #[test]
    fn the_marks_are_at_round_times() {
        let marks = axis().marks();
        assert_eq!(marks.len(), 12);
        assert!(marks.iter().all(|mark| mark.at.millis() % 10_000 == 0));
        assert_eq!((marks[0].text.as_str(), marks[0].x.as_str()), ("20:25:50", "8.333"));
    }
}
