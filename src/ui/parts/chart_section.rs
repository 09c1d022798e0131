//! The charts of a page: which range and scale its address asks for, the links to others, what the charts mark, and the
//! form that leads to the jobs of a range.

use serde::Deserialize;

use crate::engine::{Engine, History, HistoryMark, HistoryRange};
use crate::job::{Invalid, Kind, QueueChange, QueueName, Time};
use crate::ui::layout::error::UiError;

use super::chart::{Chart, ChartMark, WIDTH, range_words, runs, throughput, waits};
use super::columns::Columns;
use super::time_format::{TimeText, iso_to_the_second};
use super::value_scale::ChartScale;

/// The most marks that charts show; the newest.
const MAX_MARKS: usize = 50;

/// The parameters of an address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ChartParams {
    range: String,
    scale: String,
}

/// What charts of a page show.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChartOptions {
    range: HistoryRange,
    scale: ChartScale,
}

/// The charts of a page.
pub struct ChartSection {
    /// The range in words: `5 minutes`.
    pub words: &'static str,
    /// The links to all ranges.
    pub ranges: Vec<ChoiceLink>,
    /// The links to both scales.
    pub scales: Vec<ChoiceLink>,
    /// The charts.
    pub charts: [Chart; 3],
    /// What they mark, newest first.
    pub marks: Vec<ChartMark>,
    /// The queue that they are about.
    pub queue: Option<QueueName>,
    /// The kind that they are about.
    pub kind: Option<Kind>,
    /// The begin and the end of the range in RFC 3339.
    pub since: String,
    pub until: String,
}

/// A link to the same charts with another choice.
pub struct ChoiceLink {
    pub href: String,
    pub words: &'static str,
    pub is_current: bool,
    /// Whether it is the one after the current one, which has a key.
    pub is_next: bool,
}

impl ChartParams {
    /// Reads the parameters.
    ///
    /// # Errors
    /// When one has a value that is not accepted.
    pub fn options(&self) -> Result<ChartOptions, UiError> {
        let wrong = |what, value: &str, accepted| {
            let invalid = Invalid::new(what, value, accepted);
            UiError::invalid_address(&invalid, "Invalid chart")
        };
        let range = match self.range.as_str() {
            "" => HistoryRange::default(),
            name => name
                .parse()
                .map_err(|invalid| UiError::invalid_address(&invalid, "Invalid chart"))?,
        };
        let scale = match self.scale.as_str() {
            "" | "linear" => ChartScale::Linear,
            "log" => ChartScale::Log,
            other => return Err(wrong("scale", other, "use linear or log")),
        };
        Ok(ChartOptions { range, scale })
    }
}

impl ChartOptions {
    /// How far back the charts reach.
    pub fn range(self) -> HistoryRange {
        self.range
    }
}

impl ChartSection {
    /// Draws the charts of the server or of a queue. `page` is the address of the page.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn of(
        engine: &Engine,
        queue: Option<&QueueName>,
        options: ChartOptions,
        page: &str,
    ) -> Result<ChartSection, UiError> {
        let history = engine.history(queue, options.range).await?;
        Ok(ChartSection::draw(&history, queue, options, page))
    }

    /// Draws the charts of a kind.
    pub fn of_kind(
        history: &History,
        kind: &Kind,
        options: ChartOptions,
        page: &str,
    ) -> ChartSection {
        let kind = Some(kind.clone());
        ChartSection { kind, ..ChartSection::draw(history, None, options, page) }
    }

    fn draw(
        history: &History,
        queue: Option<&QueueName>,
        options: ChartOptions,
        page: &str,
    ) -> ChartSection {
        let ChartOptions { range, scale } = options;
        let columns = Columns::of(history.now, range, &history.periods);
        let time = |seconds: i64| iso_to_the_second(Time::from_millis(seconds * 1_000));
        let mut marks = marks(history);
        for mark in &mut marks {
            mark.1.x = (columns.x(mark.0, WIDTH) * 10.0).round() / 10.0;
        }
        let marks: Vec<ChartMark> = marks.into_iter().map(|(_, mark)| mark).collect();
        let draw = [throughput, waits, runs];
        ChartSection {
            words: range_words(range),
            ranges: range_links(options, page),
            scales: scale_links(options, page),
            charts: draw.map(|draw| draw(history, scale, &marks)),
            marks,
            queue: queue.cloned(),
            kind: None,
            since: time(columns.from()),
            until: time(columns.until()),
        }
    }
}

fn range_links(options: ChartOptions, page: &str) -> Vec<ChoiceLink> {
    let all = HistoryRange::ALL;
    let current = all.iter().position(|range| *range == options.range).unwrap_or_default();
    let links = all.into_iter().enumerate().map(|(index, range)| ChoiceLink {
        href: link(page, ChartOptions { range, ..options }),
        words: range.as_str(),
        is_current: index == current,
        is_next: index == (current + 1) % all.len(),
    });
    links.collect()
}

fn scale_links(options: ChartOptions, page: &str) -> Vec<ChoiceLink> {
    let choices = [(ChartScale::Linear, "linear"), (ChartScale::Log, "log")];
    let links = choices.map(|(scale, words)| ChoiceLink {
        href: link(page, ChartOptions { scale, ..options }),
        words,
        is_current: scale == options.scale,
        is_next: scale != options.scale,
    });
    links.into()
}

fn link(page: &str, options: ChartOptions) -> String {
    let mut parameters = Vec::new();
    if options.range != HistoryRange::default() {
        parameters.push(format!("range={}", options.range.as_str()));
    }
    if options.scale != ChartScale::default() {
        parameters.push(format!("scale={}", options.scale.name()));
    }
    if parameters.is_empty() { page.to_owned() } else { format!("{page}?{}", parameters.join("&")) }
}

/// The starts of servers and the changes of queues, newest first.
fn marks(history: &History) -> Vec<(Time, ChartMark)> {
    let from = Time::from_millis(history.now.millis() - history.range.seconds() * 1_000);
    let mark = |at: Time, words: String, kind| {
        (at, ChartMark { at: TimeText::new(at, history.now), words, kind, x: 0.0 })
    };
    let starts = history.starts.iter().map(|at| mark(*at, "Server started".into(), "start"));
    let changes = history.marks.iter().map(|change| {
        let (words, kind) = change_words(change);
        mark(change.at, words, kind)
    });
    let mut all: Vec<_> = starts.chain(changes).filter(|(at, _)| *at >= from).collect();
    all.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    all.truncate(MAX_MARKS);
    all
}

fn change_words(mark: &HistoryMark) -> (String, &'static str) {
    let HistoryMark { queue, change, .. } = mark;
    match change {
        QueueChange::Paused => (format!("Queue {queue} paused"), "pause"),
        QueueChange::Resumed => (format!("Queue {queue} resumed"), "pause"),
        QueueChange::ConcurrencySet { concurrency: Some(limit) } => {
            (format!("Concurrency of queue {queue} set to {limit}"), "limit")
        }
        QueueChange::ConcurrencySet { concurrency: None } => {
            (format!("Concurrency of queue {queue} reset"), "limit")
        }
        QueueChange::RateLimitSet { rate_limit: Some(rule) } => {
            (format!("Rate limit of queue {queue} set to {rule}"), "limit")
        }
        QueueChange::RateLimitSet { rate_limit: None } => {
            (format!("Rate limit of queue {queue} reset"), "limit")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Concurrency;

    fn section(history: &History, range: &str, scale: &str) -> ChartSection {
        let params = ChartParams { range: range.into(), scale: scale.into() };
        ChartSection::draw(history, None, params.options().unwrap(), "./")
    }

    fn history(range: HistoryRange, starts: &[i64], marks: Vec<HistoryMark>) -> History {
        let at = |seconds: &i64| Time::from_millis(seconds * 1_000);
        let now = at(&1_000_000);
        let starts = starts.iter().map(at).collect();
        History { now, range, points: Vec::new(), starts, marks, periods: Vec::new() }
    }

    #[test]
    fn every_choice_is_an_address_and_keeps_the_other_one() {
        let section = section(&history(HistoryRange::Day, &[], Vec::new()), "24h", "log");
        let shown = |links: &[ChoiceLink]| {
            let text = |link: &ChoiceLink| {
                format!("{}{}", link.href, ["", " *"][usize::from(link.is_current)])
            };
            links.iter().map(text).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(
            shown(&section.ranges),
            "./?scale=log, ./?range=1h&scale=log, ./?range=6h&scale=log, ./?range=24h&scale=log *, \
             ./?range=7d&scale=log, ./?range=30d&scale=log"
        );
        assert_eq!(shown(&section.scales), "./?range=24h, ./?range=24h&scale=log *");
        assert_eq!(section.ranges.iter().filter(|link| link.is_next).count(), 1);
        assert!(section.ranges[4].is_next);
        assert_eq!(section.words, "24 hours");
    }

    #[test]
    fn a_choice_that_does_not_exist_is_refused_with_what_does() {
        for (range, scale, accepted) in
            [("2h", "", "use 5m, 1h,"), ("", "Log", "use linear or log")]
        {
            let params = ChartParams { range: range.into(), scale: scale.into() };
            let error = params.options().unwrap_err();
            assert!(error.message.contains(accepted), "{}", error.message);
        }
    }

    #[test]
    fn starts_and_changes_are_marked_where_they_happened() {
        let queue = QueueName::parse("mail").unwrap();
        let change = |second: i64, change| HistoryMark {
            at: Time::from_millis(second * 1_000),
            queue: queue.clone(),
            change,
        };
        let limit = QueueChange::ConcurrencySet { concurrency: Some(Concurrency::clamped(3)) };
        let changes = vec![change(999_900, limit), change(999_950, QueueChange::Paused)];
        let section =
            section(&history(HistoryRange::FiveMinutes, &[999_850, 1_000], changes), "", "");
        let shown: Vec<_> =
            section.marks.iter().map(|mark| (mark.words.as_str(), mark.kind)).collect();
        let expected = [
            ("Queue mail paused", "pause"),
            ("Concurrency of queue mail set to 3", "limit"),
            ("Server started", "start"),
        ];
        assert_eq!(shown, expected);
        assert!((section.marks[2].x - 150.0).abs() < 3.0, "{}", section.marks[2].x);
        assert!(section.charts.iter().all(|chart| chart.marks.len() == 3));
        let many = (0..200).map(|second| change(999_800 + second, limit)).collect();
        let many = self::section(&history(HistoryRange::FiveMinutes, &[], many), "", "");
        assert_eq!(many.marks.len(), MAX_MARKS);
    }

    #[test]
    fn the_jobs_of_the_range_are_those_between_its_begin_and_its_end() {
        let section = section(&history(HistoryRange::Hour, &[], Vec::new()), "1h", "");
        assert_eq!(section.until, "1970-01-12T13:46:40Z");
        assert_eq!(section.since, "1970-01-12T12:47:00Z");
    }
}
