//! `/api/v1/bulk`: one control on many jobs. A run answers at once, goes on by itself, and is looked at
//! by its id.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::extract::{JsonBody, read};
use super::query;
use crate::engine::bulk::{Action, BulkId, BulkReport, Count, End, MAX_LISTED, Refusals, Target};
use crate::http::view::Shown;
use crate::http::{Api, Problem, json};
use crate::job::{Invalid, JobId, JobQuery, Time};

/// What is asked for: `{"action":"retry","filter":{"state":"discarded"}}`, or `"ids"` in the place of
/// `"filter"`; `"queue"` with `move`, `"priority"` with `reprioritise`. The fields of a filter are those of
/// `GET /api/v1/jobs`; an empty one means every job.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    action: String,
    queue: Option<String>,
    priority: Option<i16>,
    ids: Option<Vec<JobId>>,
    filter: Option<BTreeMap<String, String>>,
}

impl Wish {
    fn read(body: &[u8], now: Time) -> Result<(Action, Target), Problem> {
        let Wish { action, queue, priority, ids, filter } = read(body, "invalid_control")?;
        let wrong = |text: &str| Problem::invalid_control(&text);
        let action = match (action.as_str(), queue, priority) {
            ("retry", None, None) => Action::Retry,
            ("cancel", None, None) => Action::Cancel,
            ("delete", None, None) => Action::Delete,
            ("move", Some(queue), None) => {
                let queue = queue.parse().map_err(|e: Invalid| Problem::invalid_control(&e))?;
                Action::Move(queue)
            }
            ("reprioritise", None, Some(priority)) => Action::Reprioritise(priority),
            ("move", None, _) => return Err(wrong("move needs a queue")),
            ("reprioritise", _, None) => return Err(wrong("reprioritise needs a priority")),
            ("retry" | "cancel" | "delete" | "move" | "reprioritise", _, _) => {
                return Err(wrong("queue is for move and priority for reprioritise"));
            }
            (other, _, _) => {
                let known = "retry, cancel, delete, move, reprioritise";
                return Err(wrong(&format!("there is no action {other:?}; known: {known}")));
            }
        };
        let target = match (ids, filter) {
            (Some(ids), None) if ids.len() > MAX_LISTED => {
                return Err(wrong(&format!("more than {MAX_LISTED} ids; use a filter")));
            }
            (Some(ids), None) => Target::Jobs(ids),
            (None, Some(filter)) => {
                let mut wanted = JobQuery::default();
                for (field, value) in &filter {
                    query::narrow(&mut wanted, field, value, now)?;
                }
                Target::Matching(Box::new(wanted))
            }
            (None, None) | (Some(_), Some(_)) => {
                return Err(wrong("either ids or filter says which jobs"));
            }
        };
        Ok((action, target))
    }
}

/// Begins a run: 202 with its report, `Location` names it.
pub async fn begin(State(api): State<Api>, JsonBody(body): JsonBody) -> Result<Response, Problem> {
    let (action, target) = Wish::read(&body, api.engine.now())?;
    let report = api.engine.bulk(action, target).await?;
    let location = [(header::LOCATION, format!("/api/v1/bulk/{}", report.id))];
    Ok((StatusCode::ACCEPTED, location, json(&BulkView::of(&report))).into_response())
}

/// How many jobs a run would meet: `{"count","exact"}`; changes nothing.
pub async fn preview(
    State(api): State<Api>,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let (_, target) = Wish::read(&body, api.engine.now())?;
    Ok(json(&CountView::of(api.engine.bulk_count(&target).await?)))
}

/// Every run that is remembered, newest first: `{"runs"}`.
pub async fn list(State(api): State<Api>) -> Response {
    #[derive(Serialize)]
    struct Runs<'a> {
        runs: Vec<BulkView<'a>>,
    }
    let reports = api.engine.bulk_reports();
    json(&Runs { runs: reports.iter().map(BulkView::of).collect() })
}

/// One run.
pub async fn get(State(api): State<Api>, Path(id): Path<String>) -> Result<Response, Problem> {
    let report = parse(&id).and_then(|id| api.engine.bulk_report(id));
    report.map(|report| json(&BulkView::of(&report))).ok_or_else(|| no_such_run(&id))
}

/// Ends a run after the step it is in; answers its last report.
pub async fn stop(State(api): State<Api>, Path(id): Path<String>) -> Result<Response, Problem> {
    let Some(found) = parse(&id) else { return Err(no_such_run(&id)) };
    let report = api.engine.bulk_stop(found).await;
    report.map(|report| json(&BulkView::of(&report))).ok_or_else(|| no_such_run(&id))
}

fn parse(id: &str) -> Option<BulkId> {
    id.parse().ok()
}

fn no_such_run(id: &str) -> Problem {
    let detail =
        format!("there is no bulk run {id:?}; runs are forgotten when the server restarts");
    Problem::new(StatusCode::NOT_FOUND, "no_such_bulk_run", detail)
}

#[derive(Serialize)]
struct CountView {
    count: u64,
    /// False: there may be more.
    exact: bool,
}

impl CountView {
    fn of(count: Count) -> Self {
        CountView { count: count.known(), exact: matches!(count, Count::Exactly(_)) }
    }
}

/// A run, in public words.
#[derive(Serialize)]
struct BulkView<'a> {
    id: Shown<BulkId>,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i16>,
    /// `running`, `finished`, `stopped`, `server_stopped` or `failed`.
    state: &'static str,
    began_at: Shown<Time>,
    ended_at: Option<Shown<Time>>,
    expected: CountView,
    examined: u64,
    done: u64,
    refused: Vec<RefusalsView<'a>>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct RefusalsView<'a> {
    reason: &'a str,
    count: u64,
    jobs: &'a [JobId],
}

impl<'a> BulkView<'a> {
    fn of(report: &'a BulkReport) -> Self {
        let (queue, priority) = match &report.action {
            Action::Move(queue) => (Some(queue.as_str()), None),
            Action::Reprioritise(priority) => (None, Some(*priority)),
            Action::Retry | Action::Cancel | Action::Delete => (None, None),
        };
        let progress = &report.progress;
        let end = progress.ended.as_ref();
        let refused = progress.refused.iter();
        BulkView {
            id: Shown(report.id),
            action: report.action.as_str(),
            queue,
            priority,
            state: end.map_or("running", |(_, end)| end.as_str()),
            began_at: Shown(report.began),
            ended_at: end.map(|(at, _)| Shown(*at)),
            expected: CountView::of(report.expected),
            examined: progress.examined,
            done: progress.done,
            refused: refused
                .map(|Refusals { reason, count, examples }| RefusalsView {
                    reason,
                    count: *count,
                    jobs: examples,
                })
                .collect(),
            error: end.and_then(|(_, end)| match end {
                End::Failed(error) => Some(error.as_str()),
                End::Finished | End::Stopped | End::ServerStopped => None,
            }),
        }
    }
}
