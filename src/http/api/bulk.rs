//! `/api/v1/bulk`: one action on many jobs. The response is sent when the run has begun; its progress is read by its
//! id.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::extract::{JsonBody, PathBulkRun, parse};
use super::query::add_to_job_query;
use crate::engine::bulk::{Action, BulkId, BulkReport, Count, End, MAX_LISTED, Refusals, Target};
use crate::http::view::Displayed;
use crate::http::{Api, Problem, json};
use crate::job::{Invalid, JobId, JobQuery, Time};

/// The body of a request: `{"action":"retry","filter":{"state":"discarded"}}`, with `"ids"` instead of `"filter"` for
/// listed jobs. `move` takes a `"queue"` and `reprioritise` a `"priority"`. The fields of a filter are those of
/// `GET /api/v1/jobs`; an empty filter selects every job.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkRequest {
    action: String,
    queue: Option<String>,
    priority: Option<i16>,
    ids: Option<Vec<JobId>>,
    filter: Option<BTreeMap<String, String>>,
}

impl BulkRequest {
    /// Parses the action and the jobs that it applies to.
    fn parse(body: &[u8], now: Time) -> Result<(Action, Target), Problem> {
        let BulkRequest { action, queue, priority, ids, filter } = parse(body, "invalid_control")?;
        let invalid = |text: &str| Problem::invalid_control(&text);
        let action = match (action.as_str(), queue, priority) {
            ("retry", None, None) => Action::Retry,
            ("cancel", None, None) => Action::Cancel,
            ("delete", None, None) => Action::Delete,
            ("move", Some(queue), None) => {
                let queue = queue.parse().map_err(|e: Invalid| Problem::invalid_control(&e))?;
                Action::Move(queue)
            }
            ("reprioritise", None, Some(priority)) => Action::Reprioritise(priority),
            ("move", None, _) => return Err(invalid("move requires a queue")),
            ("reprioritise", _, None) => return Err(invalid("reprioritise requires a priority")),
            ("retry" | "cancel" | "delete" | "move" | "reprioritise", _, _) => {
                return Err(invalid(
                    "queue is only allowed with move, and priority only with reprioritise",
                ));
            }
            (other, _, _) => {
                let known = "retry, cancel, delete, move, reprioritise";
                return Err(invalid(&format!("unknown action {other:?}; expected one of {known}")));
            }
        };
        let target = match (ids, filter) {
            (Some(ids), None) if ids.len() > MAX_LISTED => {
                return Err(invalid(&format!(
                    "at most {MAX_LISTED} ids are allowed; use a filter instead"
                )));
            }
            (Some(ids), None) => Target::Jobs(ids),
            (None, Some(filter)) => {
                let mut query = JobQuery::default();
                for (field, value) in &filter {
                    add_to_job_query(&mut query, field, value, now)?;
                }
                Target::Matching(Box::new(query))
            }
            (None, None) | (Some(_), Some(_)) => {
                return Err(invalid("either ids or filter is required, and not both"));
            }
        };
        Ok((action, target))
    }
}

/// Begins a run. Answers 202 with its report; `Location` is its address.
pub async fn begin(State(api): State<Api>, JsonBody(body): JsonBody) -> Result<Response, Problem> {
    let (action, target) = BulkRequest::parse(&body, api.engine.now())?;
    let report = api.engine.bulk(action, target).await?;
    let location = [(header::LOCATION, format!("/api/v1/bulk/{}", report.id))];
    Ok((StatusCode::ACCEPTED, location, json(&BulkView::of(&report))).into_response())
}

/// Counts the jobs that a run would apply to: `{"count","exact"}`. Changes nothing.
pub async fn preview(
    State(api): State<Api>,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let (_, target) = BulkRequest::parse(&body, api.engine.now())?;
    Ok(json(&CountView::of(api.engine.bulk_count(&target).await?)))
}

/// Lists the runs since the start of the server, newest first: `{"runs"}`.
pub async fn list(State(api): State<Api>) -> Response {
    #[derive(Serialize)]
    struct Runs<'a> {
        runs: Vec<BulkView<'a>>,
    }
    let reports = api.engine.bulk_reports();
    json(&Runs { runs: reports.iter().map(BulkView::of).collect() })
}

/// Returns the report of one run.
pub async fn get(
    State(api): State<Api>,
    PathBulkRun(id): PathBulkRun,
) -> Result<Response, Problem> {
    let report = parse_id(&id).and_then(|id| api.engine.bulk_report(id));
    report.map(|report| json(&BulkView::of(&report))).ok_or_else(|| no_such_run(&id))
}

/// Stops a run after its current step, and returns its last report.
pub async fn stop(
    State(api): State<Api>,
    PathBulkRun(id): PathBulkRun,
) -> Result<Response, Problem> {
    let Some(found) = parse_id(&id) else { return Err(no_such_run(&id)) };
    let report = api.engine.bulk_stop(found).await;
    report.map(|report| json(&BulkView::of(&report))).ok_or_else(|| no_such_run(&id))
}

fn parse_id(id: &str) -> Option<BulkId> {
    id.parse().ok()
}

fn no_such_run(id: &str) -> Problem {
    let detail = format!("no such bulk run: {id:?}; runs are not kept when the server restarts");
    Problem::new(StatusCode::NOT_FOUND, "no_such_bulk_run", detail)
}

#[derive(Serialize)]
struct CountView {
    count: u64,
    /// Whether the count is complete; if not, there may be more jobs.
    exact: bool,
}

impl CountView {
    fn of(count: Count) -> Self {
        CountView { count: count.known(), exact: matches!(count, Count::Exactly(_)) }
    }
}

/// The report of a run as JSON.
#[derive(Serialize)]
struct BulkView<'a> {
    id: Displayed<BulkId>,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i16>,
    /// `running`, `finished`, `stopped`, `server_stopped` or `failed`.
    state: &'static str,
    began_at: Displayed<Time>,
    ended_at: Option<Displayed<Time>>,
    expected: CountView,
    examined: u64,
    done: u64,
    refused: Vec<RefusalsView<'a>>,
    /// The error of a failed run.
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
            id: Displayed(report.id),
            action: report.action.as_str(),
            queue,
            priority,
            state: end.map_or("running", |(_, end)| end.as_str()),
            began_at: Displayed(report.began),
            ended_at: end.map(|(at, _)| Displayed(*at)),
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
