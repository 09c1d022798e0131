//! The pages of bulk runs: the confirmation, the progress of a run, and its report of changed and skipped jobs.

use askama::Template;
use axum::extract::{Path, State as Has};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::engine::Engine;
use crate::engine::bulk::{Action, BulkId, BulkReport, Count, End, Target};
use crate::engine::submission::PRIORITY;
use crate::http::Problem;
use crate::http::access::Acting;
use crate::http::api::bulk::ACTIONS;
use crate::http::api::query::EMPTY;
use crate::job::shorten::MAX_ERRORS;
use crate::job::{FieldErrors, Invalid, JobId, JobQuery, Time};

use super::job_filter::{Chip, ListFilter};
use crate::ui::layout::error::{UiError, sentence};
use crate::ui::layout::flash::Done;
use crate::ui::layout::form_fields::{Accepts, Choices, NoFields, PostedForm};
use crate::ui::layout::page::{Layout, Section, SeeOther, page, see_other};
use crate::ui::layout::visit::Visit;
use crate::ui::parts::filters;
use crate::ui::parts::job_row::JobCells;
use crate::ui::parts::time_format::{TimeText, length};
use crate::ui::submit::form_value::cut;

/// The number of jobs shown for confirmation.
const SHOWN: usize = 5;

/// The form of the job list or of the confirmation page.
struct Form {
    action: String,
    scope: BulkScope,
    ids: Vec<JobId>,
    queue: String,
    priority: String,
    filter: ListFilter,
}

/// The fields of that form.
pub struct BulkForm;

impl Accepts for BulkForm {
    const ONCE: &'static [&'static str] = &[
        "action",
        "scope",
        "to_queue",
        "to_priority",
        "since",
        "until",
        "ended_since",
        "ended_until",
    ];
    const LISTS: &'static [&'static str] = &["id", "q", "state", "queue", "kind", "tag"];
    const REQUIRED: &'static [&'static str] = &["action"];
    const CHOICES: &'static [Choices] = &[("scope", &["selected", "matching"])];
}

/// Which jobs the action applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BulkScope {
    Selected,
    Matching,
}

#[derive(Template)]
#[template(path = "bulk_confirm.html")]
struct ConfirmPage {
    layout: Layout,
    form: Form,
    words: ActionText,
    count: Count,
    chips: Vec<Chip>,
    rows: Vec<JobCells>,
    /// The queues suggested as targets of a move.
    queues: Vec<String>,
    problem: Option<String>,
}

/// The words for an action.
struct ActionText {
    /// `Retry`
    verb: &'static str,
    /// `Retrying`
    doing: &'static str,
    /// `retried`
    done: &'static str,
    /// An explanation of the effect.
    meaning: &'static str,
    /// The style of the button.
    button: &'static str,
}

fn words(action: &str) -> Option<ActionText> {
    let words =
        |verb, doing, done, meaning| ActionText { verb, doing, done, meaning, button: "primary" };
    Some(match action {
        "retry" => words(
            "Retry",
            "Retrying",
            "retried",
            "The jobs run again now, including completed ones. Running and available jobs are skipped.",
        ),
        "cancel" => ActionText {
            button: "danger",
            ..words(
                "Cancel",
                "Cancelling",
                "cancelled",
                "Waiting jobs are cancelled immediately, and running jobs are asked to stop. Finished jobs are skipped.",
            )
        },
        "delete" => ActionText {
            button: "danger",
            ..words(
                "Delete",
                "Deleting",
                "deleted",
                "The jobs are deleted permanently, with their payloads, results and logs. Running jobs are skipped.",
            )
        },
        "move" => words(
            "Move",
            "Moving",
            "moved",
            "Waiting jobs move to the queue below. Running and finished jobs are skipped.",
        ),
        "reprioritise" => words(
            "Reprioritise",
            "Reprioritising",
            "reprioritised",
            "In each queue, jobs with a higher priority start first; the default is 0. Running and finished jobs are skipped.",
        ),
        _ => return None,
    })
}

/// `POST /jobs/bulk`: asks for confirmation.
pub async fn ask(
    Has(engine): Has<Engine>,
    visit: Visit,
    posted: PostedForm<BulkForm>,
) -> Result<Response, UiError> {
    let form = match Form::read(&posted, &engine) {
        Ok(form) => form,
        Err(problem) => return Ok(problem.into_response()),
    };
    confirm(&engine, &visit, form, None, StatusCode::OK).await
}

/// `POST /jobs/bulk/run`: starts the run.
pub async fn run(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    posted: PostedForm<BulkForm>,
) -> Result<Response, UiError> {
    let form = match Form::read(&posted, &engine) {
        Ok(form) => form,
        Err(problem) => return Ok(problem.into_response()),
    };
    let action = match form.action() {
        Ok(action) => action,
        Err(problem) => {
            let problem = Some(sentence(&problem));
            return confirm(&engine, &visit, form, problem, StatusCode::UNPROCESSABLE_ENTITY).await;
        }
    };
    if !form.filter.problems.is_empty() || form.is_empty() {
        return confirm(&engine, &visit, form, None, StatusCode::OK).await;
    }
    let report = engine.bulk(action, form.target()).await?;
    Ok(see_other(&format!("jobs/bulk/{}", report.id)).into_response())
}

async fn confirm(
    engine: &Engine,
    visit: &Visit,
    form: Form,
    problem: Option<String>,
    status: StatusCode,
) -> Result<Response, UiError> {
    let Some(words) = words(&form.action) else {
        return Err(UiError {
            message: "The form names an action that does not exist.".into(),
            ..UiError::not_found("Unknown action")
        });
    };
    if let Some(problem) = form.filter.problems.first() {
        return Err(UiError {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            title: "Invalid filter".into(),
            message: problem.clone(),
            advice: "Nothing was changed. Go back and correct the filter.",
        });
    }
    if form.is_empty() {
        return Err(UiError {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            title: "No jobs selected".into(),
            message: "Select at least one job.".into(),
            advice: "Nothing was changed. Go back and select jobs, or choose all matching jobs.",
        });
    }
    let now = engine.now();
    let layout = Layout::still(visit, format!("{} jobs", words.verb), Section::Jobs, now);
    let jobs = match form.scope {
        BulkScope::Selected => {
            let mut jobs = Vec::new();
            for id in form.ids.iter().take(SHOWN) {
                jobs.extend(engine.job(*id).await?.0);
            }
            jobs
        }
        BulkScope::Matching => {
            engine.jobs(JobQuery { limit: SHOWN, ..form.filter.query.clone() }).await?.jobs
        }
    };
    let question = ConfirmPage {
        count: engine.bulk_count(&form.target()).await?,
        chips: form.filter.chips(),
        queues: engine.stats().await?.queues.keys().map(ToString::to_string).collect(),
        rows: jobs.iter().map(|job| JobCells::of(job, now)).collect(),
        layout,
        words,
        form,
        problem,
    };
    Ok(page(status, &question))
}

impl Form {
    fn read(posted: &PostedForm<BulkForm>, engine: &Engine) -> Result<Form, Problem> {
        let body = String::from_utf8_lossy(&posted.encoded);
        let mut form = Form {
            action: String::new(),
            scope: BulkScope::Selected,
            ids: Vec::new(),
            queue: String::new(),
            priority: String::new(),
            filter: ListFilter::read(&body, engine.now()),
        };
        form.filter.query = form.filter.query.from_the_start();
        // An empty or misspelled condition would select more jobs than meant.
        let mut wrong = Vec::new();
        for (name, value) in &posted.pairs {
            match name.as_str() {
                "action" => form.action.clone_from(value),
                "scope" if value == "matching" => form.scope = BulkScope::Matching,
                "scope" => {}
                "id" => match value.parse::<JobId>() {
                    Ok(id) => form.ids.push(id),
                    Err(error) => wrong.push(sentence(&error.to_string())),
                },
                "to_queue" => form.queue = value.trim().to_owned(),
                "to_priority" => form.priority = value.trim().to_owned(),
                name if value.trim().is_empty() => {
                    wrong.push(sentence(&format!("{name}: {EMPTY}")));
                }
                _ => {}
            }
            if wrong.len() >= MAX_ERRORS {
                break;
            }
        }
        form.filter.problems.append(&mut wrong);
        cut([&mut form.action, &mut form.queue, &mut form.priority]);
        let mut errors = FieldErrors::default();
        if words(&form.action).is_none() {
            let (other, known) = (&form.action, ACTIONS.join(", "));
            errors.add("action", format!("unknown action {other:?}; expected one of {known}"));
        }
        if !form.queue.is_empty() && form.action != "move" {
            errors.add("to_queue", "is only allowed with move");
        }
        if !form.priority.is_empty() && form.action != "reprioritise" {
            errors.add("to_priority", "is only allowed with reprioritise");
        }
        errors.finish(form).map_err(Problem::invalid_fields)
    }

    fn is_empty(&self) -> bool {
        self.scope == BulkScope::Selected && self.ids.is_empty()
    }

    fn is_matching(&self) -> bool {
        self.scope == BulkScope::Matching
    }

    fn target(&self) -> Target {
        match self.scope {
            BulkScope::Selected => Target::Jobs(self.ids.clone()),
            BulkScope::Matching => Target::Matching(Box::new(self.filter.query.clone())),
        }
    }

    fn action(&self) -> Result<Action, String> {
        match self.action.as_str() {
            "retry" => Ok(Action::Retry),
            "cancel" => Ok(Action::Cancel),
            "delete" => Ok(Action::Delete),
            "move" => {
                let queue = self.queue.parse().map_err(|error: Invalid| error.to_string())?;
                Ok(Action::Move(queue))
            }
            "reprioritise" => {
                let priority = PRIORITY.parse(&self.priority);
                let priority = priority.map_err(|error| format!("priority {error}"))?;
                Ok(Action::Reprioritise(i16::try_from(priority).unwrap_or_default()))
            }
            other => Err(format!("there is no action {other:?}")),
        }
    }
}

impl ConfirmPage {
    /// The number of jobs in words.
    fn jobs(&self) -> String {
        counted(self.count)
    }
}

fn counted(count: Count) -> String {
    match count {
        Count::Exactly(1) => "1 job".into(),
        Count::Exactly(count) => format!("{} jobs", filters::count(count)),
        Count::AtLeast(count) => format!("at least {} jobs", filters::count(count)),
    }
}

#[derive(Template)]
#[template(path = "bulk.html")]
struct RunPage {
    layout: Layout,
    run: RunView,
}

#[derive(Template)]
#[template(path = "bulk_list.html")]
struct RunsPage {
    layout: Layout,
    runs: Vec<RunView>,
    /// Whether several nodes share the store.
    are_several: bool,
}

/// A bulk run as the pages show it.
struct RunView {
    report: BulkReport,
    words: ActionText,
    began: TimeText,
    took: String,
    chips: Vec<Chip>,
    link: String,
}

impl RunView {
    fn of(report: BulkReport, now: Time) -> RunView {
        let (link, chips) = match &report.target {
            Target::Jobs(_) => ("jobs".to_owned(), Vec::new()),
            Target::FailureGroup(group) => (format!("failures/{group}"), Vec::new()),
            Target::Matching(query) => {
                let filter = ListFilter::of(query.as_ref().clone());
                (filter.link(), filter.chips())
            }
        };
        let fallback = || ActionText { verb: "", doing: "", done: "", meaning: "", button: "" };
        let end = report.progress.ended.as_ref().map_or(now, |(at, _)| *at);
        RunView {
            words: words(report.action.as_str()).unwrap_or_else(fallback),
            began: TimeText::new(report.began, now),
            took: length(end.since(report.began)),
            chips,
            link,
            report,
        }
    }

    fn jobs(&self) -> String {
        counted(self.report.expected)
    }

    /// The target queue or the priority, for the actions that take one.
    fn to(&self) -> String {
        match &self.report.action {
            Action::Move(queue) => format!("to queue {queue}"),
            Action::Reprioritise(priority) => format!("to priority {priority}"),
            Action::Retry | Action::Cancel | Action::Delete => String::new(),
        }
    }

    fn running(&self) -> bool {
        self.report.progress.ended.is_none()
    }

    /// The text of the badge, and the state whose colour it takes.
    fn badge(&self) -> (&'static str, &'static str) {
        match self.report.progress.ended.as_ref().map(|(_, end)| end) {
            None => ("running", "running"),
            Some(End::Finished) => ("finished", "completed"),
            Some(End::Stopped) => ("stopped", "cancelled"),
            Some(End::ServerStopped) => ("interrupted", "retryable"),
            Some(End::Failed(_)) => ("failed", "discarded"),
        }
    }

    /// Explains why the run ended before its last job.
    fn why(&self) -> Option<String> {
        match self.report.progress.ended.as_ref().map(|(_, end)| end)? {
            End::Finished => None,
            End::Stopped => {
                Some("The run was stopped manually. Changes that were already made remain.".into())
            }
            End::ServerStopped => {
                let whose = self.report.node.as_ref();
                let whose =
                    whose.map_or("The server".to_owned(), |node| format!("The node {node}"));
                Some(format!(
                    "{whose} stopped during the run. Changes that were already made remain; start another run for the remaining jobs."
                ))
            }
            End::Failed(error) => {
                Some(format!("{} Changes that were already made remain.", sentence(error)))
            }
        }
    }

    /// The value and the maximum of the progress bar.
    fn bar(&self) -> (u64, u64) {
        let progress = &self.report.progress;
        let met = progress.done + progress.refused();
        let whole = match self.report.expected {
            Count::Exactly(expected) => (met, expected.max(met)),
            Count::AtLeast(_) => (progress.examined.min(self.report.stored), self.report.stored),
        };
        let over = matches!(progress.ended, Some((_, End::Finished)));
        if over { (whole.1.max(1), whole.1.max(1)) } else { (whole.0, whole.1.max(1)) }
    }
}

/// `GET /jobs/bulk/{id}`
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, UiError> {
    let Ok(id) = id.parse::<BulkId>() else { return Err(forgotten()) };
    let Some(report) = engine.bulk_report(id).await? else { return Err(forgotten()) };
    let now = engine.now();
    let mut layout = Layout::still(&visit, "Bulk run", Section::Jobs, now);
    let run = RunView::of(report, now);
    layout.title = if run.running() {
        format!("{} {}", run.words.doing, run.jobs())
    } else {
        format!("{} {}: {}", run.words.verb, run.jobs(), run.badge().0)
    };
    Ok(page(StatusCode::OK, &RunPage { layout, run }))
}

/// `GET /jobs/bulk`
pub async fn list(Has(engine): Has<Engine>, visit: Visit) -> Result<Response, UiError> {
    let now = engine.now();
    let layout = Layout::still(&visit, "Bulk runs", Section::Jobs, now);
    let reports = engine.bulk_reports().await?;
    let runs = reports.into_iter().map(|report| RunView::of(report, now)).collect();
    let are_several = engine.nodes().len() > 1;
    Ok(page(StatusCode::OK, &RunsPage { layout, runs, are_several }))
}

/// `POST /jobs/bulk/{id}/stop`
pub async fn stop(
    Acting(engine): Acting<Engine>,
    Path(id): Path<String>,
    _: PostedForm<NoFields>,
) -> Result<SeeOther, UiError> {
    let Ok(found) = id.parse::<BulkId>() else { return Err(forgotten()) };
    let stopped = engine.bulk_stop(found).await?;
    stopped
        .map(|report| see_other(&format!("jobs/bulk/{}", report.id)).with(Done::BulkStopped, ""))
        .ok_or_else(forgotten)
}

fn forgotten() -> UiError {
    UiError {
        message: "The server keeps only recent runs and forgets them when it restarts. Changes that the run made remain.".into(),
        advice: "See the list of bulk runs, or go to the list of jobs.",
        ..UiError::not_found("Bulk run not found")
    }
}
