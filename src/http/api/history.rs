//! `GET /api/v1/metrics/history`: rates and latencies of the last hours, for charts.
//! They were counted when the events happened, so no read examines jobs.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;

use super::query::history_query;
use crate::engine::{HistoryRange, Period};
use crate::http::view::{Displayed, PointView};
use crate::http::{Api, Problem, json};
use crate::job::{Cursor, QueueName, Time};

#[derive(Serialize)]
struct HistoryView<'a> {
    queue: Option<&'a str>,
    seconds: Vec<PointView>,
    minutes: Vec<PointView>,
    starts: Vec<Displayed<Time>>,
    periods: Vec<PeriodView>,
    now: Displayed<Time>,
    cursor: Displayed<Cursor>,
}

/// The history of a range.
#[derive(Serialize)]
struct RangeView<'a> {
    queue: Option<&'a str>,
    range: &'static str,
    interval_s: i64,
    points: Vec<PointView>,
    starts: Vec<Displayed<Time>>,
    periods: Vec<PeriodView>,
    now: Displayed<Time>,
    cursor: Displayed<Cursor>,
}

/// A period for which there is data.
#[derive(Serialize)]
struct PeriodView {
    from: Displayed<Time>,
    until: Displayed<Time>,
}

/// Returns the history of the server or of one `queue`: `{"queue", "seconds", "minutes", "starts", "periods",
/// "now", "cursor"}`.
/// It has each second of the last five minutes and each minute of the last six hours in which there were events, oldest
/// first. `starts` are the starts of this process and of earlier ones. `periods` are those for which there is data: a
/// second or minute outside them is unknown, and one inside them that is left out had no events.
///
/// With `range` (`5m`, `1h`, `6h`, `24h`, `7d` or `30d`), it is `{"queue", "range", "interval_s", "points", "starts",
/// "periods", "now", "cursor"}`: each interval of `interval_s` seconds in that range.
pub async fn get(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (queue, range) = history_query(query.as_deref())?;
    let cursor = Displayed(api.engine.head());
    if let Some(range) = range {
        let history = api.engine.history(queue.as_ref(), range).await?;
        return Ok(json(&RangeView {
            queue: queue.as_ref().map(QueueName::as_str),
            range: range.as_str(),
            interval_s: range.interval_s(),
            points: history.points.iter().map(PointView::of).collect(),
            starts: history.starts.into_iter().map(Displayed).collect(),
            periods: history.periods.into_iter().map(PeriodView::of).collect(),
            now: Displayed(history.now),
            cursor,
        }));
    }
    let newest = api.engine.history(queue.as_ref(), HistoryRange::FiveMinutes).await?;
    let history = api.engine.history(queue.as_ref(), HistoryRange::SixHours).await?;
    Ok(json(&HistoryView {
        queue: queue.as_ref().map(QueueName::as_str),
        seconds: newest.points.iter().map(PointView::of).collect(),
        minutes: history.points.iter().map(PointView::of).collect(),
        starts: history.starts.into_iter().map(Displayed).collect(),
        periods: history.periods.into_iter().map(PeriodView::of).collect(),
        now: Displayed(history.now),
        cursor,
    }))
}

impl PeriodView {
    fn of(period: Period) -> PeriodView {
        PeriodView { from: Displayed(period.from), until: Displayed(period.until) }
    }
}
