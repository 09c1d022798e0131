//! The times of the next 24 hours at which schedules are due, as marks on one axis. Times that are close together are drawn as
//! a band with their number, so that no pattern needs more than a hundred marks.

use std::time::Duration;

use crate::job::{DueStretch, Schedule, Time};
use crate::ui::parts::filters::{count, escaped_segment};
use crate::ui::parts::time_format::TimeText;

/// The time that the axis shows.
const SHOWN: Duration = Duration::from_secs(24 * 3_600);
/// The milliseconds between two times on the axis.
const TICK_MS: i64 = 3 * 3_600_000;
/// The most schedules that have a line.
const MAX_LINES: usize = 40;
/// The width in percent from which a band has its number written into it.
const ROOM_FOR_A_NUMBER: f64 = 12.0;
/// The least width of a band in percent.
const LEAST_BAND: f64 = 0.8;

/// The axis with a line for each schedule that is due in the time.
pub struct Ruler {
    /// The times on the axis.
    pub ticks: Vec<RulerTick>,
    /// The lines, by the first time.
    pub lines: Vec<RulerLine>,
    /// How many lines there would be without a limit.
    pub total: usize,
}

/// A time on the axis.
pub struct RulerTick {
    /// The time.
    pub at: TimeText,
    /// Its position in percent of the width.
    pub x: f64,
    /// Whether a narrow page leaves its text out.
    pub is_minor: bool,
}

/// The times of a schedule.
pub struct RulerLine {
    /// The name of the schedule.
    pub name: String,
    /// The address of its page.
    pub address: String,
    /// How often it is due.
    pub note: String,
    /// The first time.
    pub first: TimeText,
    /// Single times.
    pub marks: Vec<DueMark>,
    /// Times that are close together.
    pub bands: Vec<DueBand>,
}

/// A single time.
pub struct DueMark {
    /// The time.
    pub at: TimeText,
    /// Its position in percent of the width.
    pub x: f64,
}

/// Times that are close together.
pub struct DueBand {
    /// Its position in percent of the width.
    pub x: f64,
    /// Its width in percent.
    pub width: f64,
    /// The middle in percent, where its number is written; `None` where there is no room.
    pub middle: Option<f64>,
    /// The number of times, as text.
    pub count: String,
    /// The first time.
    pub first: TimeText,
}

impl Ruler {
    /// The ruler of these schedules, from `now` on. Those that are paused are not due.
    pub fn of(schedules: &[Schedule], now: Time) -> Ruler {
        let end = now.after(SHOWN);
        let due = schedules.iter().filter_map(|schedule| Some((schedule.timer()?, schedule)));
        let mut due: Vec<(Time, &Schedule)> = due.filter(|(at, _)| *at < end).collect();
        due.sort_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
        let lines = due.iter().take(MAX_LINES);
        Ruler {
            ticks: ticks(now, end),
            lines: lines.filter_map(|(_, schedule)| RulerLine::of(schedule, now, end)).collect(),
            total: due.len(),
        }
    }
}

impl RulerLine {
    fn of(schedule: &Schedule, now: Time, end: Time) -> Option<RulerLine> {
        let stretches = schedule.spec.cron.due_between(now, end);
        let first = stretches.first()?.first;
        let total: u64 = stretches.iter().map(|stretch| stretch.count).sum();
        let (single, many): (Vec<DueStretch>, Vec<DueStretch>) =
            stretches.into_iter().partition(|stretch| stretch.count == 1);
        let mark = |one: &DueStretch| DueMark {
            at: TimeText::new(one.first, now),
            x: percent(one.first, now, end),
        };
        Some(RulerLine {
            name: schedule.name.to_string(),
            address: format!("schedules/of/{}", escaped_segment(schedule.name.as_str())),
            note: if total == 1 { "1 run".into() } else { format!("{} runs", count(total)) },
            first: TimeText::new(first, now),
            marks: single.iter().map(mark).collect(),
            bands: many.iter().map(|one| DueBand::of(one, now, end)).collect(),
        })
    }
}

impl DueBand {
    fn of(stretch: &DueStretch, now: Time, end: Time) -> DueBand {
        let x = percent(stretch.first, now, end);
        let width = rounded((percent(stretch.last, now, end) - x).max(LEAST_BAND));
        DueBand {
            x,
            width,
            middle: (width >= ROOM_FOR_A_NUMBER).then(|| rounded(x + width / 2.0)),
            count: count(stretch.count),
            first: TimeText::new(stretch.first, now),
        }
    }
}

fn ticks(now: Time, end: Time) -> Vec<RulerTick> {
    let first = now.millis().div_euclid(TICK_MS) + 1;
    let numbers = first..=end.millis().div_euclid(TICK_MS);
    let tick = |number: i64| {
        let at = Time::from_millis(number * TICK_MS);
        let x = percent(at, now, end);
        // A text at the edge would be cut off.
        (3.0..=97.0).contains(&x).then(|| RulerTick {
            at: TimeText::new(at, now),
            x,
            is_minor: number % 2 != 0,
        })
    };
    numbers.filter_map(tick).collect()
}

fn percent(at: Time, now: Time, end: Time) -> f64 {
    let (part, whole) = (at.millis() - now.millis(), end.millis() - now.millis());
    rounded(part as f64 * 100.0 / whole.max(1) as f64)
}

fn rounded(percent: f64) -> f64 {
    (percent * 100.0).round() / 100.0
}

impl RulerTick {
    /// The time of day.
    pub fn text(&self) -> &str {
        self.at.iso.get(11..16).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::job::{
        Cron, Json, Kind, Labels, Origin, Overlap, QueueName, RetryPolicy, ScheduleName,
        ScheduleSpec, Spec,
    };

    fn now() -> Time {
        "2026-11-23T08:17:31Z".parse().unwrap()
    }

    fn schedule(name: &str, pattern: &str) -> Schedule {
        let labels = Labels {
            queue: QueueName::default(),
            kind: Kind::parse("echo").unwrap(),
            tags: [].into(),
        };
        let spec = Spec {
            payload: Json::null(),
            priority: 0,
            retry: RetryPolicy::default(),
            timeout_ms: None,
            idempotency_key: None,
        };
        let spec = ScheduleSpec {
            cron: Cron::parse(pattern, "", now()).unwrap(),
            labels: Arc::new(labels),
            spec: Arc::new(spec),
            overlap: Overlap::Allow,
            max_late_ms: None,
            origin: Origin::Api,
        };
        Schedule::new(ScheduleName::parse(name).unwrap(), spec, now())
    }

    #[test]
    fn times_are_marks_and_many_of_them_are_a_band_with_their_number() {
        let mut paused = schedule("paused", "* * * * *");
        paused.pause();
        let all = [
            schedule("nightly", "30 2 * * *"),
            schedule("often", "* * * * * *"),
            schedule("yearly", "@yearly"),
            paused,
        ];
        let ruler = Ruler::of(&all, now());
        let names: Vec<&str> = ruler.lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!((names, ruler.total), (vec!["often", "nightly"], 2));
        let [often, nightly] = &ruler.lines[..] else { panic!("two lines") };
        let marks: Vec<(f64, &str)> =
            nightly.marks.iter().map(|mark| (mark.x, mark.at.iso.as_str())).collect();
        assert_eq!(marks, [(75.87, "2026-11-24T02:30:00.000Z")]);
        assert_eq!((nightly.note.as_str(), nightly.bands.len()), ("1 run", 0));
        let [band] = &often.bands[..] else { panic!("one band") };
        assert_eq!((band.x, band.middle), (0.0, Some(50.0)));
        assert_eq!((band.count.as_str(), often.marks.len()), ("86\u{202f}399", 0));
    }

    #[test]
    fn the_marks_of_many_schedules_are_bounded() {
        let patterns = ["*/15 * * * *", "*/14 * * * *", "0-3 * * * *", "* * * * * *"];
        let all: Vec<Schedule> = (0..400)
            .map(|number| schedule(&format!("s{number}"), patterns[number % patterns.len()]))
            .collect();
        let ruler = Ruler::of(&all, now());
        assert_eq!((ruler.lines.len(), ruler.total), (MAX_LINES, 400));
        let drawn = ruler.lines.iter().map(|line| line.marks.len() + line.bands.len());
        assert!(drawn.max().unwrap() <= 100);
    }

    #[test]
    fn the_axis_has_round_times() {
        let ruler = Ruler::of(&[], "2026-11-23T07:17:31Z".parse().unwrap());
        let texts: Vec<&str> = ruler.ticks.iter().map(RulerTick::text).collect();
        assert_eq!(texts, ["09:00", "12:00", "15:00", "18:00", "21:00", "00:00", "03:00", "06:00"]);
    }
}
