//! `/api/v1/bulk`: one action on many jobs. The response is sent when the run has begun; its progress is read by its
//! id.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::extract::{JsonBody, NoBody, NoQuery, PathBulkRun, read_fields};
use super::idempotency::NoIdempotencyKey;
use super::query::{JOB_FILTER, filter_values, narrow};
use crate::engine::bulk::{Action, BulkId, BulkReport, Count, End, MAX_LISTED, Refusals, Target};
use crate::engine::submission::PRIORITY;
use crate::http::access::Acting;
use crate::http::layers::base_path::Address;
use crate::http::view::Displayed;
use crate::http::{Api, Problem, json};
use crate::job::fields::{REPEATED, REQUIRED, texts, unknown};
use crate::job::shorten::{MAX_ERRORS, MAX_NAME, shorten};
use crate::job::{FieldErrors, Fields, JobId, JobQuery, QueueName, Time};

/// The names of the actions.
pub const ACTIONS: [&str; 5] = ["retry", "cancel", "delete", "move", "reprioritise"];

/// Reads a body: `{"action":"retry","filter":{"state":"discarded"}}`, with `"ids"` instead of `"filter"` for listed jobs.
/// `move` takes a `"queue"` and `reprioritise` a `"priority"`. The fields of a filter are those of `GET /api/v1/jobs`,
/// each a string or an array of strings. Only an empty object selects every job.
pub fn read_request(body: &[u8], now: Time) -> Result<(Action, Target), Problem> {
    let request = read_fields(body, |fields, errors| {
        let action = action(fields, errors);
        let target = target(fields, errors, now);
        action.zip(target)
    })?;
    request.ok_or_else(|| Problem::invalid_field("action", REQUIRED))
}

fn action(fields: &mut Fields<'_>, errors: &mut FieldErrors) -> Option<Action> {
    let name = fields.required_text("action", errors);
    let queue = fields.text("queue", errors);
    let queue = queue.and_then(|queue| errors.take("queue", QueueName::parse(&queue)));
    let priority = fields.integer("priority", PRIORITY, errors);
    let priority = priority.and_then(|priority| i16::try_from(priority).ok());
    let name = name?;
    if queue.is_some() && name != "move" {
        errors.add("queue", "is only allowed with move");
    }
    if priority.is_some() && name != "reprioritise" {
        errors.add("priority", "is only allowed with reprioritise");
    }
    match name.as_ref() {
        "retry" => Some(Action::Retry),
        "cancel" => Some(Action::Cancel),
        "delete" => Some(Action::Delete),
        "move" => {
            let queue = queue.ok_or("is required with move");
            errors.take("queue", queue).map(Action::Move)
        }
        "reprioritise" => {
            let priority = priority.ok_or("is required with reprioritise");
            errors.take("priority", priority).map(Action::Reprioritise)
        }
        other => {
            let other = shorten(other, MAX_NAME);
            let known = ACTIONS.join(", ");
            errors.add("action", format!("unknown action {other:?}; expected one of {known}"));
            None
        }
    }
}

fn target(fields: &mut Fields<'_>, errors: &mut FieldErrors, now: Time) -> Option<Target> {
    let ids = fields.optional("ids");
    let filter = fields.raw("filter").map(|filter| filter.get());
    match (ids, filter) {
        (Some(_), Some(_)) => {
            errors.add("filter", "either ids or filter is required, and not both");
            None
        }
        (None, None) => {
            errors.add("filter", "is required, unless there are ids");
            None
        }
        (Some(ids), None) => listed(ids, errors).map(Target::Jobs),
        (None, Some(filter)) => {
            let filter = Fields::read("filter", filter, errors)?;
            let query = job_query(filter, errors, now);
            Some(Target::Matching(Box::new(query)))
        }
    }
}

fn listed(ids: &str, errors: &mut FieldErrors) -> Option<Vec<JobId>> {
    let texts = texts("ids", ids, errors)?;
    if texts.is_empty() {
        errors.add("ids", "must have at least one id, but is an empty array");
    }
    if texts.len() > MAX_LISTED {
        errors.add("ids", format!("at most {MAX_LISTED} ids are allowed; use a filter instead"));
        return None;
    }
    let mut read = Vec::with_capacity(texts.len());
    for (at, text) in texts.iter().enumerate() {
        read.extend(errors.take(format!("ids[{at}]"), text.parse::<JobId>()));
        if errors.len() > 2 * MAX_ERRORS {
            break; // the answer lists fewer
        }
    }
    (read.len() == texts.len()).then_some(read)
}

/// Reads the conditions of a filter. An empty value is refused, because it would select everything.
fn job_query(filter: Fields<'_>, errors: &mut FieldErrors, now: Time) -> JobQuery {
    let mut query = JobQuery::default();
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in filter.into_members() {
        let path = format!("filter.{}", shorten(&name, MAX_NAME));
        if !JOB_FILTER.contains(&name.as_ref()) {
            errors.add(path, unknown(&JOB_FILTER));
        } else if seen.iter().any(|seen| *seen == name) {
            errors.add(path, REPEATED);
        } else {
            for (path, value) in filter_values(&path, value, errors) {
                if let Err(wrong) = narrow(&mut query, &name, &value, now) {
                    let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
                    errors.add(path, wrong.join("; "));
                }
            }
            seen.push(name.into_owned());
        }
        if errors.len() > 2 * MAX_ERRORS {
            break; // the answer lists fewer
        }
    }
    query
}

/// Begins a run. Answers 202 with its report; `Location` is its address.
pub async fn begin(
    Acting(api): Acting<Api>,
    address: Address,
    _: NoQuery,
    _: NoIdempotencyKey,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let (action, target) = read_request(&body, api.engine.now())?;
    let report = api.engine.bulk(action, target).await?;
    let location = [(header::LOCATION, address.url(&format!("api/v1/bulk/{}", report.id)))];
    Ok((StatusCode::ACCEPTED, location, json(&BulkView::of(&report))).into_response())
}

/// Counts the jobs that a run would apply to: `{"count","exact"}`. Changes nothing.
pub async fn preview(
    State(api): State<Api>,
    _: NoQuery,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let (_, target) = read_request(&body, api.engine.now())?;
    Ok(json(&CountView::of(api.engine.bulk_count(&target).await?)))
}

/// Lists the runs since the start of the server, and those of the other nodes, newest first: `{"runs"}`.
pub async fn list(State(api): State<Api>, _: NoQuery) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Runs<'a> {
        runs: Vec<BulkView<'a>>,
    }
    let reports = api.engine.bulk_reports().await?;
    Ok(json(&Runs { runs: reports.iter().map(BulkView::of).collect() }))
}

/// Returns the report of one run.
pub async fn get(
    State(api): State<Api>,
    _: NoQuery,
    PathBulkRun(id): PathBulkRun,
) -> Result<Response, Problem> {
    let Some(found) = parse_id(&id) else { return Err(no_such_run(&id)) };
    let report = api.engine.bulk_report(found).await?;
    report.map(|report| json(&BulkView::of(&report))).ok_or_else(|| no_such_run(&id))
}

/// Stops a run after its current step, and returns its last report.
pub async fn stop(
    Acting(api): Acting<Api>,
    _: NoQuery,
    PathBulkRun(id): PathBulkRun,
    _: NoBody,
) -> Result<Response, Problem> {
    let Some(found) = parse_id(&id) else { return Err(no_such_run(&id)) };
    let report = api.engine.bulk_stop(found).await?;
    report.map(|report| json(&BulkView::of(&report))).ok_or_else(|| no_such_run(&id))
}

fn parse_id(id: &str) -> Option<BulkId> {
    id.parse().ok()
}

fn no_such_run(id: &str) -> Problem {
    let detail = format!(
        "no such bulk run: {id:?}; only recent runs are kept, and none when the server restarts"
    );
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
    /// The node that executes it; missing where only one server uses the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
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
            node: report.node.as_deref(),
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
