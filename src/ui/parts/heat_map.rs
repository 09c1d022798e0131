//! The heat map of waiting times: a table with a row for each queue and a cell for each interval. The shade of a cell says how
//! long jobs waited, on a logarithmic scale in one hue, and its text says the same.

use std::time::Duration;

use url::form_urlencoded::Serializer;

use crate::engine::{WaitMap, WaitRange};
use crate::job::{QueueName, Time};

use super::chart::range_words;
use super::filters::escaped_segment;
use super::time_format::{TimeText, iso_to_the_second, length};

/// The lower bounds of the shades in milliseconds, from the second on, and what the legend says about each shade.
const SHADES: [(u32, &str); 7] = [
    (0, "less than 10 ms"),
    (10, "10 to 100 ms"),
    (100, "100 ms to 1 s"),
    (1_000, "1 to 10 s"),
    (10_000, "10 s to 1 min"),
    (60_000, "1 to 10 min"),
    (600_000, "10 min or longer"),
];

/// How many columns a text takes in a wide and in a narrow window; one nearer to the edge would be cut off.
const WIDE_TEXT: usize = 2;
const NARROW_TEXT: usize = 6;

/// The heat map of a page.
pub struct HeatMap {
    pub columns: Vec<HeatColumn>,
    pub rows: Vec<HeatRow>,
    /// The range in words: `6 hours`.
    pub words: &'static str,
    /// The length of a column in words.
    pub column_words: String,
}

/// The time of a column.
pub struct HeatColumn {
    pub at: TimeText,
    /// The text below which the column stands: a time of day, or a day.
    pub text: String,
    /// The format of that text, for scripts.
    pub format: &'static str,
    /// How the text is shown: `sr` only to screen readers, `minor` where there is room.
    pub class: &'static str,
}

/// A queue.
pub struct HeatRow {
    pub queue: String,
    /// The page of the queue.
    pub href: String,
    pub cells: Vec<HeatCell>,
}

/// A cell.
pub enum HeatCell {
    /// Jobs started.
    Waits {
        /// The number of the shade, from 0.
        shade: usize,
        /// The p95 of their waiting time, and when they started.
        words: String,
        /// The jobs that were submitted in that time.
        href: String,
    },
    /// No job started.
    Quiet,
    /// Nothing is known: the server was down.
    NoData,
}

impl HeatMap {
    /// Arranges the waiting times of these queues.
    pub fn of(map: &WaitMap, queues: &[QueueName], range: WaitRange, now: Time) -> HeatMap {
        let (format, every) = match range {
            WaitRange::Hour => ("minute", 600),
            WaitRange::SixHours => ("minute", 3_600),
            WaitRange::Day => ("minute", 4 * 3_600),
            WaitRange::Week => ("day", 24 * 3_600),
        };
        let column = |(index, at): (usize, &Time)| {
            let left = map.columns.len() - index;
            let text = at.to_string();
            let text = if format == "day" { text.get(5..10) } else { text.get(11..16) };
            HeatColumn {
                at: TimeText::new(*at, now),
                text: text.unwrap_or_default().to_owned(),
                format,
                class: match at.millis().div_euclid(1_000) {
                    second if second % every != 0 || left < WIDE_TEXT => "sr",
                    second if second % (2 * every) != 0 || left < NARROW_TEXT => "minor",
                    _ => "major",
                },
            }
        };
        let row = |(queue, cells): (&QueueName, &Vec<_>)| {
            let cell = |(at, latency): (&Time, &Option<crate::engine::Latency>)| match latency {
                Some(latency) => waits(queue, *at, map.width, latency.p95),
                None if is_known(map, *at) => HeatCell::Quiet,
                None => HeatCell::NoData,
            };
            HeatRow {
                queue: queue.to_string(),
                href: format!("queues/{}", escaped_segment(queue.as_str())),
                cells: map.columns.iter().zip(cells).map(cell).collect(),
            }
        };
        HeatMap {
            columns: map.columns.iter().enumerate().map(column).collect(),
            rows: queues.iter().zip(&map.rows).map(row).collect(),
            words: range_words(range.of_charts()),
            column_words: length(Duration::from_secs(map.width.unsigned_abs())),
        }
    }

    /// The numbers of the shades and what the legend says about them.
    pub fn shades(&self) -> impl Iterator<Item = (usize, &'static str)> + use<> {
        SHADES.into_iter().enumerate().map(|(shade, (_, words))| (shade, words))
    }
}

/// The name of a range in addresses and on links.
pub fn range_name(range: WaitRange) -> &'static str {
    range.of_charts().as_str()
}

fn is_known(map: &WaitMap, at: Time) -> bool {
    let end = Time::from_millis(at.millis() + map.width * 1_000);
    map.periods.iter().any(|period| period.from < end && period.until > at)
}

fn waits(queue: &QueueName, at: Time, width: i64, p95: u32) -> HeatCell {
    let end = Time::from_millis(at.millis() + width * 1_000);
    let (since, until) = (iso_to_the_second(at), iso_to_the_second(end));
    let words = format!(
        "p95 {}, {} {} to {} UTC",
        length(Duration::from_millis(p95.into())),
        &since[..10],
        &since[11..16],
        &until[11..16],
    );
    let mut query = Serializer::new(String::new());
    query.append_pair("queue", queue.as_str());
    query.append_pair("since", &since).append_pair("until", &until);
    let shade = SHADES.iter().rposition(|(from, _)| *from <= p95).unwrap_or(0);
    HeatCell::Waits { shade, words, href: format!("jobs?{}", query.finish()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Latency, Period};

    fn at(seconds: i64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn cells(p95: &[Option<u32>], known_from: i64) -> Vec<String> {
        let latency = |p95: &Option<u32>| p95.map(|p95| Latency { p50: 0, p95, p99: p95 });
        let map = WaitMap {
            columns: (0..p95.len() as i64).map(|column| at(36_000 + column * 600)).collect(),
            width: 600,
            rows: vec![p95.iter().map(latency).collect()],
            periods: vec![Period { from: at(known_from), until: at(100_000) }],
        };
        let queue = QueueName::parse("mail").unwrap();
        let heat = HeatMap::of(&map, &[queue], WaitRange::SixHours, at(40_000));
        let shown = heat.rows[0].cells.iter().map(|cell| match cell {
            HeatCell::Waits { shade, words, .. } => format!("{shade} {words}"),
            HeatCell::Quiet => "quiet".to_owned(),
            HeatCell::NoData => "no data".to_owned(),
        });
        shown.collect()
    }

    #[test]
    fn a_cell_is_darker_the_longer_jobs_waited_and_says_how_long() {
        let shown =
            cells(&[Some(0), Some(9), Some(10), Some(999), Some(60_000), Some(u32::MAX)], 0);
        assert_eq!(shown[0], "0 p95 0 ms, 1970-01-01 10:00 to 10:10 UTC");
        assert_eq!(shown[4], "5 p95 1 min, 1970-01-01 10:40 to 10:50 UTC");
        let shades: Vec<&str> = shown.iter().map(|cell| &cell[..1]).collect();
        assert_eq!(shades, ["0", "0", "1", "2", "5", "6"]);
    }

    #[test]
    fn the_time_before_the_first_start_has_no_data_and_the_time_without_jobs_is_quiet() {
        assert_eq!(cells(&[None, None, None], 36_000 + 700), ["no data", "quiet", "quiet"]);
    }

    #[test]
    fn a_cell_leads_to_the_jobs_of_its_queue_and_time_and_columns_have_round_times() {
        let HeatCell::Waits { href, .. } =
            waits(&QueueName::parse("a+b").unwrap_or_default(), at(36_000), 600, 5)
        else {
            panic!("jobs started")
        };
        assert!(
            href.ends_with("&since=1970-01-01T10%3A00%3A00Z&until=1970-01-01T10%3A10%3A00Z"),
            "{href}"
        );
        let map = WaitMap {
            columns: (0..20).map(|column| at(35_400 + column * 600)).collect(),
            width: 600,
            rows: Vec::new(),
            periods: Vec::new(),
        };
        let heat = HeatMap::of(&map, &[], WaitRange::SixHours, at(40_000));
        let shown = heat.columns.iter().filter(|column| column.class != "sr");
        let texts: Vec<_> = shown.map(|column| (column.text.as_str(), column.class)).collect();
        assert_eq!(texts, [("10:00", "major"), ("11:00", "minor"), ("12:00", "major")]);
        assert_eq!((heat.words, heat.column_words.as_str()), ("6 hours", "10 min"));
    }
}
