//! The timeline: running and recent attempts as bars on one time axis, in lanes by queue, worker or kind, and the newest of
//! them as a list, which is also the text alternative of the picture.

mod lanes;

use askama::Template;
use axum::extract::{RawQuery, State as Has};
use axum::http::StatusCode;
use axum::response::Response;

use crate::engine::{AttemptOutcome, Engine, SampledAttempt};
use crate::job::{JobId, Time};

use super::layout::error::UiError;
use super::layout::page::{Layout, Section, page};
use super::layout::visit::Visit;
use super::parts::filters;
use super::parts::load::is_busy;
use super::parts::time_format::{TimeText, length};
use super::parts::unknown_parameters::{ignored, note_unknown};
use lanes::{
    AxisMark, BAR, GAP, LEAST, Lane, LaneKey, MAX_LANES, MAX_TRACKS, TimeAxis, VisibleTime,
};

/// The most attempts in the list.
const LIST: usize = 30;

#[derive(Template)]
#[template(path = "timeline.html")]
struct TimelinePage {
    layout: Layout,
    view: TimelineView,
    marks: Vec<AxisMark>,
    lanes: Vec<Lane>,
    /// How many lanes there would be without a limit.
    total: usize,
    attempts: Vec<ListedAttempt>,
    busy: bool,
    now: i64,
}

/// What the URL asks for.
struct TimelineView {
    by: LaneKey,
    visible: VisibleTime,
    unknown: Vec<String>,
}

/// An attempt in the list.
struct ListedAttempt {
    job: JobId,
    short: String,
    kind: String,
    queue: String,
    worker: String,
    attempt: u16,
    started: TimeText,
    /// How long it ran; `None` while it runs.
    took: Option<String>,
    outcome: &'static str,
}

/// `GET /timeline`; `?by=queue`, `worker` or `kind` chooses the lanes, and `?span=1m` or `10m` the visible time.
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, UiError> {
    let view = TimelineView::parse(&query.unwrap_or_default());
    let now = engine.now();
    let axis = TimeAxis::new(now, view.visible);
    let (attempts, cursor) = engine.attempt_sample(axis.from());
    let layout = Layout::live(&visit, "Timeline", Section::Timeline, cursor, now);
    let (lanes, total) = Lane::all(&attempts, view.by, axis);
    let newest = attempts.iter().rev().take(LIST);
    let timeline = TimelinePage {
        marks: axis.marks(),
        lanes,
        total,
        attempts: newest.map(|(attempt, _)| ListedAttempt::of(attempt, now)).collect(),
        busy: is_busy(&engine),
        now: now.millis(),
        view,
        layout,
    };
    Ok(page(StatusCode::OK, &timeline))
}

impl TimelineView {
    fn parse(query: &str) -> TimelineView {
        let (mut by, mut visible) = (LaneKey::Queue, VisibleTime::Minute);
        let mut unknown = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let key = LaneKey::ALL.into_iter().find(|key| key.as_str() == value);
            let time = VisibleTime::ALL.into_iter().find(|time| time.as_str() == value);
            match (name.as_ref(), key, time) {
                ("by", Some(key), _) => by = key,
                ("span", _, Some(time)) => visible = time,
                ("by" | "span", _, _) => note_unknown(&mut unknown, &format!("{name}={value}")),
                (other, _, _) => note_unknown(&mut unknown, other),
            }
        }
        TimelineView { by, visible, unknown }
    }

    /// The sentence about parameters that were ignored.
    fn ignored(&self) -> Option<String> {
        ignored(&self.unknown)
    }

    /// The URL of the page.
    fn here(&self) -> String {
        address(self.by, self.visible)
    }

    /// The links of the switch between queues, workers and kinds: URL, name and whether it is the current one.
    fn keys(&self) -> Vec<(String, &'static str, bool)> {
        let names = ["Queue", "Worker", "Kind"];
        let link = |(key, name): (LaneKey, &'static str)| {
            (address(key, self.visible), name, key == self.by)
        };
        LaneKey::ALL.into_iter().zip(names).map(link).collect()
    }

    /// The links of the switch between visible times.
    fn times(&self) -> Vec<(String, &'static str, bool)> {
        let link = |time: VisibleTime| (address(self.by, time), time.words(), time == self.visible);
        VisibleTime::ALL.into_iter().map(link).collect()
    }
}

fn address(by: LaneKey, visible: VisibleTime) -> String {
    format!("timeline?by={}&span={}", by.as_str(), visible.as_str())
}

impl TimelinePage {
    /// The outcomes that the legend explains.
    fn outcomes(&self) -> Vec<&'static str> {
        let ends = AttemptOutcome::ALL.into_iter().map(AttemptOutcome::as_str);
        std::iter::once("running").chain(ends).collect()
    }

    /// Whether the picture leaves out attempts.
    fn is_sample(&self) -> bool {
        self.busy || self.lanes.iter().any(|lane| lane.one_in > 1)
    }
}

impl ListedAttempt {
    fn of(attempt: &SampledAttempt, now: Time) -> ListedAttempt {
        ListedAttempt {
            job: attempt.job,
            short: attempt.job.short(),
            kind: attempt.labels.kind.to_string(),
            queue: attempt.labels.queue.to_string(),
            worker: attempt.worker.to_string(),
            attempt: attempt.attempt,
            started: TimeText::new(attempt.started_at, now),
            took: attempt.end.map(|(at, _)| length(at.since(attempt.started_at))),
            outcome: attempt.end.map_or("running", |(_, outcome)| outcome.as_str()),
        }
    }
}
