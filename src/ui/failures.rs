//! The pages of failures: the list of groups of discarded and retrying jobs by kind and error, the page of one
//! group, and the actions on all of its jobs.

use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query, State as Has};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use crate::engine::bulk::{Action, End, Target};
use crate::engine::{Engine, FailureGroup};
use crate::http::access::Acting;
use crate::job::{Job, Time};

use super::layout::error::{UiError, sentence};
use super::layout::form_fields::{NoFields, PostedForm};
use super::layout::page::{Layout, Section, SeeOther, page, see_other};
use super::layout::visit::Visit;
use super::parts::filters;
use super::parts::job_row::JobCells;
use super::parts::node_row::this_process;
use super::parts::spark::bars;
use super::parts::time_format::TimeText;
use super::parts::visible_text::visible;

/// The most groups on the page; the others failed longer ago.
const LIST: usize = 100;
/// The most jobs on the page of a group; the newest ones.
const JOBS: usize = 20;
/// The title of a group whose errors are empty.
const NO_MESSAGE: &str = "(no error message)";
/// The time limit of an action on a group. The page reports the jobs that are left, and another press continues.
const TIME_LIMIT: Duration = Duration::from_secs(8);

#[derive(Template)]
#[template(path = "failures.html")]
struct FailuresPage {
    layout: Layout,
    groups: Vec<GroupRow>,
    total: usize,
    counting: bool,
    /// What the process is called that still counts.
    process: &'static str,
    beyond: u64,
    discarded: u64,
    retrying: u64,
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    layout: Layout,
    group: GroupRow,
    /// The whole newest error, if the title shows only a part of it.
    whole: Option<String>,
    hours: String,
    last_day: u64,
    counting: bool,
    /// What the process is called that still counts.
    process: &'static str,
    notice: Option<String>,
    /// The jobs of the group that were submitted last.
    newest: Vec<JobCells>,
    /// Their queues, each with the number of these jobs.
    queues: Vec<(String, usize)>,
}

/// A failure group as a row.
pub struct GroupRow {
    /// The id of the group in URLs.
    pub id: String,
    /// The kind of its jobs.
    pub kind: String,
    /// The class of their failures.
    pub class: &'static str,
    /// The pattern that their messages have in common.
    pub pattern: String,
    /// The line of the newest error that says what happened, which is the title of the group.
    pub message: String,
    /// The id of the job that failed last.
    pub example: String,
    /// The last characters of that id.
    pub short: String,
    /// The number of discarded jobs in the group.
    pub discarded: u64,
    /// The number of jobs in the group that wait for a retry.
    pub retrying: u64,
    /// The number of failed attempts in the last hour.
    pub last_hour: u64,
    /// The bars of those attempts, as an SVG path.
    pub bars: String,
    /// The time of the first known failure.
    pub first: TimeText,
    /// The time of the newest failure.
    pub last: TimeText,
}

impl GroupRow {
    /// Builds the row of a group.
    pub fn of(group: FailureGroup, now: Time) -> Self {
        GroupRow {
            kind: group.kind.to_string(),
            class: group.class.as_str(),
            message: if group.message.is_empty() {
                NO_MESSAGE.into()
            } else {
                visible(&group.message).into_owned()
            },
            pattern: visible(&group.pattern).into_owned(),
            example: group.example.to_string(),
            short: group.example.short(),
            discarded: group.dead,
            retrying: group.retrying,
            last_hour: group.minutes.iter().map(|count| u64::from(*count)).sum(),
            bars: bars(&group.minutes),
            first: TimeText::new(group.first_at, now),
            last: TimeText::new(group.last_at, now),
            id: group.id,
        }
    }
}

/// Returns the groups that failed in the last hour, and whether earlier failures are still being counted.
pub fn failing_now(engine: &Engine, max: usize, now: Time) -> (Vec<GroupRow>, bool) {
    let list = engine.failures(max);
    let rows = list.groups.into_iter().map(|group| GroupRow::of(group, now));
    (rows.filter(|row| row.last_hour > 0).collect(), list.counting)
}

/// `GET /failures`
pub async fn list(Has(engine): Has<Engine>, visit: Visit) -> Result<Response, UiError> {
    let cursor = engine.head();
    let list = engine.failures(LIST);
    let now = engine.now();
    let layout = Layout::live(&visit, "Failures", Section::Failures, cursor, now);
    let row = |group| GroupRow::of(group, now);
    let failures = FailuresPage {
        discarded: list.groups.iter().map(|group| group.dead).sum(),
        retrying: list.groups.iter().map(|group| group.retrying).sum(),
        groups: list.groups.into_iter().map(row).collect(),
        total: list.total,
        counting: list.counting,
        process: this_process(&engine),
        beyond: list.beyond,
        layout,
    };
    Ok(page(StatusCode::OK, &failures))
}

/// The result of an action, which the redirect to the page carries in its query.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ActionResult {
    retried: Option<u64>,
    deleted: Option<u64>,
    refused: u64,
    more: u8,
}

impl ActionResult {
    fn sentence(&self) -> Option<String> {
        let (count, word) = match (self.retried, self.deleted) {
            (Some(count), _) => (count, "retried"),
            (None, Some(count)) => (count, "deleted"),
            (None, None) => return None,
        };
        let jobs = if count == 1 { "job" } else { "jobs" };
        let mut text = format!("{} {jobs} {word}.", filters::count(count));
        if self.refused > 0 {
            let refused = filters::count(self.refused);
            text.push_str(&format!(" {refused} changed state in the meantime and were skipped."));
        }
        if self.more > 0 {
            text.push_str(" More jobs are left in this group. Repeat the action to continue.");
        }
        Some(text)
    }
}

/// `GET /failures/{id}`
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    Path(id): Path<String>,
    Query(result): Query<ActionResult>,
) -> Result<Response, UiError> {
    let cursor = engine.head();
    let notice = result.sentence();
    let counting = engine.failures(0).counting;
    let Some(group) = engine.failure_group(&id) else {
        return Err(UiError {
            message: match notice {
                Some(done) => format!("{done} No jobs are left in this group."),
                None => {
                    "Its jobs were retried or deleted and it has had no failures in the last day, or a newer \
                     version of the server groups these errors differently."
                        .into()
                }
            },
            advice: "Look for the error in the list of failures.",
            ..UiError::not_found("Failure group not found")
        });
    };
    let now = engine.now();
    let mut jobs = Vec::new();
    for member in engine.newest_failures(&id, JOBS) {
        jobs.extend(engine.job(member).await?.0);
    }
    let mut queues: BTreeMap<String, usize> = BTreeMap::new();
    for job in &jobs {
        *queues.entry(job.labels.queue.to_string()).or_default() += 1;
    }
    // The job that failed last is usually one of them.
    let newest = match jobs.iter().find(|job| job.id == group.example) {
        Some(known) => Some(known.clone()),
        None => engine.job(group.example).await?.0,
    };
    let newest = newest.as_ref().and_then(Job::last_failure).map(|failure| failure.message.trim());
    let layout =
        Layout::live(&visit, format!("{} failures", group.kind), Section::Failure, cursor, now);
    let view = FailurePage {
        hours: bars(&group.hours),
        whole: newest
            .filter(|whole| *whole != group.message)
            .map(|whole| visible(whole).into_owned()),
        last_day: group.hours.iter().map(|count| u64::from(*count)).sum(),
        group: GroupRow::of(group, now),
        counting,
        process: this_process(&engine),
        notice,
        newest: jobs.iter().map(|job| JobCells::of(job, now)).collect(),
        queues: queues.into_iter().collect(),
        layout,
    };
    Ok(page(StatusCode::OK, &view))
}

/// `POST /failures/{id}/retry`
pub async fn retry(
    Acting(engine): Acting<Engine>,
    Path(id): Path<String>,
    _: PostedForm<NoFields>,
) -> Result<SeeOther, UiError> {
    act(&engine, &id, Action::Retry, "retried").await
}

/// `POST /failures/{id}/delete`
pub async fn delete(
    Acting(engine): Acting<Engine>,
    Path(id): Path<String>,
    _: PostedForm<NoFields>,
) -> Result<SeeOther, UiError> {
    act(&engine, &id, Action::Delete, "deleted").await
}

async fn act(engine: &Engine, id: &str, action: Action, word: &str) -> Result<SeeOther, UiError> {
    if engine.failure_group(id).is_none() {
        return Err(UiError::not_found("Failure group not found"));
    }
    let target = Target::FailureGroup(id.to_owned());
    let run = engine.bulk_within(action, target, TIME_LIMIT).await?;
    let more = match run.progress.ended.as_ref().map(|(_, end)| end) {
        Some(End::Finished) => 0,
        Some(End::Stopped | End::ServerStopped) | None => 1,
        Some(End::Failed(error)) => {
            return Err(UiError {
                status: StatusCode::SERVICE_UNAVAILABLE,
                title: format!("Not all jobs could be {word}"),
                message: sentence(error),
                advice: "Some jobs may have been changed. Try again in a few seconds.",
            });
        }
    };
    let (count, refused) = (run.progress.done, run.progress.refused());
    Ok(see_other(&format!("failures/{id}?{word}={count}&refused={refused}&more={more}")))
}
