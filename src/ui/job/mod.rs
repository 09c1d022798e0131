//! The page of one job: its state and the reason for it, its lifetime bar, attempts, log, payload and result,
//! and the actions that the state allows.

pub mod comparison;
pub mod error_change;
pub mod job_actions;
pub mod job_history;
pub mod lifetime_bar;
pub mod log_part;
pub mod waterfall;

use askama::Template;
use axum::extract::{Path, Query, State as Has};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;

use crate::access::SharedPayload;
use crate::engine::{Engine, PastJob, WaitReason, run_blocking};
use crate::job::secret::without_secrets;
use crate::job::{Job, JobId, Progress, State, Step, Time};

use super::layout::error::UiError;
use super::layout::page::{Layout, Section, page};
use super::layout::visit::Visit;
use super::parts::curl::CurlTarget;
use super::parts::eta;
use super::parts::filters;
use super::parts::job_row::excerpt;
use super::parts::json_text::{self, shown};
use super::parts::json_view::JsonView;
use super::parts::time_format::{TimeText, length};
use super::parts::visible_text::{Escapes, visible};
use super::rewind::asked::{AskedMoment, PastView};
use super::share::{ShareForm, SharedView, without_names};
use super::submit::submit_form::{FORM_KEY_PREFIX, SubmitForm};
use comparison::Comparison;
use job_history::{Attempt, NewestFew, TimelineEntry};
use lifetime_bar::LifetimeBar;
use log_part::JobLog;
use waterfall::Waterfall;

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    layout: Layout,
    notice: Option<Notice>,
    id: String,
    kind: String,
    queue: String,
    tags: Vec<String>,
    state: State,
    status_line: String,
    /// Whether it waits for a worker that runs its kind.
    needs_worker: bool,
    status_when: Option<TimeText>,
    end_in_words: Option<String>,
    detail: Detail,
    lifetime_bar: LifetimeBar,
    /// The time at which the lifetime bar begins.
    bar_start: TimeText,
    ended: Option<TimeText>,
    facts: Vec<JobDetail>,
    allowed: AllowedActions,
    wants_retry: bool,
    parts: [PageSection; 3],
    attempts: NewestFew<Attempt>,
    waterfall: Waterfall,
    comparison: Option<Comparison>,
    timeline: NewestFew<TimelineEntry>,
    /// Whether the timeline begins with the first change of the job.
    has_whole_history: bool,
    log: JobLog,
    log_dropped: u64,
    payload: JsonView,
    result: Option<JsonView>,
    curl: Vec<json_text::TextLine>,
    escapes: Escapes,
    /// How a share link shows the job; `None` for those who can open other pages, too.
    shared: Option<SharedView>,
    /// Whether the job has been removed since the moment that the page shows.
    is_gone: bool,
    /// The form that creates a share link.
    share: ShareForm,
}

/// A message above the page about the last action.
pub struct Notice {
    /// The message.
    pub text: String,
    /// The kind of the message.
    pub tone: Tone,
}

/// The kind of a notice, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Information.
    Info,
    /// An action that failed.
    Error,
}

impl Tone {
    /// The class name in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Tone::Info => "info",
            Tone::Error => "error",
        }
    }
}

/// The second line of the status. The page reserves its space, so that nothing moves when it changes.
enum Detail {
    /// A short text.
    Words(String),
    /// The last error, in one line.
    Error(String),
    /// The progress that the running attempt reported, if any.
    Progress(Option<ProgressBar>),
    /// The steps of a cancellation.
    Cancelling(Vec<job_history::CancelStep>),
}

/// Reported progress with an estimate of the time left.
struct ProgressBar {
    progress: Progress,
    message: String,
    left: String,
}

/// The parts of the main column, ordered by their importance in the state of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PageSection {
    Attempts,
    Log,
    Data,
}

/// The actions that the state machine allows now.
#[derive(Default)]
struct AllowedActions {
    retry: bool,
    cancel: bool,
    delete: bool,
}

/// One entry of the details: a name with a text or a time.
struct JobDetail {
    name: &'static str,
    text: String,
    when: Option<TimeText>,
}

/// The query of the URL.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct JobParams {
    already: String,
    /// Shows texts with their escapes as the job has them.
    raw: String,
}

/// What a page has besides its job.
struct Beside {
    layout: Layout,
    notice: Option<Notice>,
    escapes: Escapes,
    shared: Option<SharedView>,
    why: Option<WaitReason>,
    comparison: Option<Comparison>,
    /// Whether an attempt has been notified that it is to end.
    is_notified: bool,
    is_gone: bool,
    allowed: AllowedActions,
    /// The command that submits the job again.
    curl: String,
    now: Time,
}

/// `GET /jobs/{id}`
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    Path(id): Path<String>,
    Query(params): Query<JobParams>,
    headers: HeaderMap,
    asked: AskedMoment,
) -> Result<Response, UiError> {
    let escapes = if params.raw.is_empty() { Escapes::Decoded } else { Escapes::Raw };
    if let Some(past) = asked.past {
        return show_past(&engine, &visit, parse_id(&id)?, escapes, past).await;
    }
    let notice = (!params.already.is_empty()).then(|| Notice {
        text: "This form has already been submitted and created this job. Submitting it again \
               does not create another one."
            .into(),
        tone: Tone::Info,
    });
    let shown = ShownAs { notice, escapes, status: StatusCode::OK, shared: None };
    render(&engine, &visit, parse_id(&id)?, shown, &headers).await
}

/// Parses the id in a URL; an invalid id is answered with 404.
pub fn parse_id(text: &str) -> Result<JobId, UiError> {
    text.parse().map_err(|_| UiError::not_found("Job not found"))
}

/// How the page of a job is shown.
pub struct ShownAs {
    /// A message about the last action.
    pub notice: Option<Notice>,
    /// Whether the escapes in texts are decoded.
    pub escapes: Escapes,
    /// The status of the response.
    pub status: StatusCode,
    /// The share link that shows it, if it is one.
    pub shared: Option<SharedView>,
}

/// Renders the page of a job.
pub async fn render(
    engine: &Engine,
    visit: &Visit,
    id: JobId,
    ShownAs { notice, escapes, status, shared }: ShownAs,
    headers: &HeaderMap,
) -> Result<Response, UiError> {
    let (job, cursor) = engine.job(id).await?;
    let job = job.ok_or_else(|| UiError::not_found("Job not found"))?;
    let why = engine.wait_reason(&job).await?;
    let (job, why) = match &shared {
        Some(_) => (without_names(job), why.map(WaitReason::for_link)),
        None => (job, why),
    };
    let title = format!("{} {} · {}", job.labels.kind, job.id.short(), job.status.state);
    let now = engine.now();
    let layout = match &shared {
        Some(_) => Layout::shared(visit, title, Section::SharedJob, cursor, now),
        None => Layout::live(visit, title, Section::Job, cursor, now),
    };
    let comparison = match &shared {
        Some(_) => None, // a link shows one job only
        None => Comparison::of(engine, &job, now).await?,
    };
    let form = SubmitForm::of_job(&job, engine.kinds());
    let beside = Beside {
        layout,
        notice,
        escapes,
        shared,
        why,
        comparison,
        is_notified: engine.is_asked_to_end(id),
        is_gone: false,
        allowed: AllowedActions::of(&job),
        curl: form.curl(&CurlTarget::of(headers, visit, visit.principal()), None),
        now,
    };
    let view = run_blocking(job.json_bytes(), || JobPage::of(&job, beside, engine));
    Ok(page(status, &view))
}

async fn show_past(
    engine: &Engine,
    visit: &Visit,
    id: JobId,
    escapes: Escapes,
    view: PastView,
) -> Result<Response, UiError> {
    let Some(PastJob { job, is_gone }) = engine.job_at(&view.past, id).await? else {
        let message = "At this moment, the job had not been submitted yet or had been deleted already, or nothing \
                       is known of it any more.";
        return Ok(view.missing(visit, Section::Job, "This job did not exist then", message));
    };
    let title = format!("{} {} · {}", job.labels.kind, job.id.short(), job.status.state);
    let now = view.now();
    Ok(view.page(StatusCode::OK, visit, &title, Section::Job, |layout| {
        let beside = Beside {
            layout,
            notice: None,
            escapes,
            shared: None,
            why: None,
            comparison: None,
            is_notified: false,
            is_gone,
            allowed: AllowedActions::default(),
            curl: String::new(),
            now,
        };
        run_blocking(job.json_bytes(), || JobPage::of(&job, beside, engine))
    }))
}

fn parts(job: &Job) -> [PageSection; 3] {
    match job.status.state {
        State::Completed => [PageSection::Data, PageSection::Attempts, PageSection::Log],
        State::Retryable | State::Discarded => {
            [PageSection::Attempts, PageSection::Log, PageSection::Data]
        }
        State::Scheduled | State::Available | State::Running | State::Cancelled => {
            match job.last_failure() {
                Some(_) => [PageSection::Attempts, PageSection::Log, PageSection::Data],
                None => [PageSection::Log, PageSection::Attempts, PageSection::Data],
            }
        }
    }
}

impl Detail {
    fn of(job: &Job, is_notified: bool, now: Time) -> Detail {
        let steps = job_history::cancelling(job, is_notified, now);
        if !steps.is_empty() {
            return Detail::Cancelling(steps);
        }
        let error = || job.last_failure().map(|failure| excerpt(&failure.message));
        let (attempt, max) = (job.status.attempt, job.status.max_attempts);
        match job.status.state {
            State::Running => {
                let started = job.attempts().last().map(|attempt| attempt.started_at);
                Detail::Progress(job.progress.clone().map(|progress| {
                    let elapsed = started.map(|at| now.since(at)).unwrap_or_default();
                    let left = eta::left(elapsed, progress.done, progress.total);
                    let message = progress.message.as_deref().map(visible);
                    let message = message.map(|text| text.into_owned()).unwrap_or_default();
                    ProgressBar { progress, message, left: left.unwrap_or_default() }
                }))
            }
            State::Retryable | State::Discarded => Detail::Error(error().unwrap_or_default()),
            State::Available | State::Scheduled => match error() {
                Some(error) => Detail::Error(error),
                None => Detail::Words(format!("Next: attempt {} of {max}.", attempt + 1)),
            },
            State::Completed | State::Cancelled => {
                let whole = job.finished_at().map(|at| length(at.since(job.enqueued_at)));
                Detail::Words(format!("Total time: {}.", whole.unwrap_or_default()))
            }
        }
    }
}

impl JobPage {
    /// The page of a job.
    fn of(job: &Job, beside: Beside, engine: &Engine) -> JobPage {
        let Beside { layout, notice, escapes, shared, why, comparison, is_notified, .. } = beside;
        let Beside { is_gone, allowed, curl, now, .. } = beside;
        let (status_line, status_when) = match &why {
            None if layout.is_past() && job.status.state == State::Available => {
                ("Available, waiting to start.".to_owned(), None)
            }
            why => job_history::status_line(job, why.as_ref(), now),
        };
        let lifetime_bar = LifetimeBar::of(job, now);
        let mut waterfall = Waterfall::of(job, now);
        let has_links = shared.is_none() && !layout.is_past();
        let facts = facts(job, engine, now);
        JobPage {
            notice,
            id: job.id.to_string(),
            kind: job.labels.kind.to_string(),
            queue: job.labels.queue.to_string(),
            tags: job.labels.tags.iter().map(ToString::to_string).collect(),
            state: job.status.state,
            status_line,
            needs_worker: matches!(why, Some(WaitReason::NoWorker { .. })),
            status_when,
            end_in_words: job_history::end_in_words(job),
            detail: Detail::of(job, is_notified, now),
            bar_start: TimeText::new(lifetime_bar.from, now),
            lifetime_bar,
            ended: job.finished_at().map(|at| TimeText::new(at, now)),
            facts: if shared.is_some() { shared_facts(facts) } else { facts },
            allowed,
            wants_retry: job.last_failure().is_some() && job.status.state != State::Completed,
            parts: parts(job),
            attempts: job_history::attempts(job, &mut waterfall, escapes, now),
            waterfall,
            comparison,
            timeline: job_history::timeline(job, escapes, now),
            has_whole_history: job.has_whole_history(),
            log: JobLog::of(job, escapes, now),
            log_dropped: job.log_dropped,
            payload: {
                let text = shown(&without_secrets(&job.labels.kind, &job.spec.payload), escapes);
                if has_links {
                    JsonView::of_payload(&text, &job.labels.kind)
                } else {
                    JsonView::without_links(&text, "payload")
                }
            },
            result: job
                .result()
                .map(|result| JsonView::without_links(&shown(result, escapes), "result")),
            curl: json_text::lines(&curl),
            escapes,
            shared,
            is_gone,
            share: ShareForm::of(engine),
            layout,
        }
    }

    /// The class that fixes the height of boxes that can grow while the page is open, so that nothing moves.
    fn steady(&self) -> &'static str {
        if self.state.is_final() { "" } else { " steady" }
    }

    /// The address of the page with texts in the other form: decoded, or raw.
    fn switch_escapes(&self) -> String {
        let page = match &self.shared {
            Some(link) => link.path.clone(),
            None => format!("jobs/{}", self.id),
        };
        match self.escapes {
            Escapes::Decoded => format!("{page}?raw=1"),
            Escapes::Raw => page,
        }
    }

    /// The address of the log as a file.
    fn log_file(&self) -> String {
        match &self.shared {
            Some(link) => format!("{}/log?download", link.path),
            None => format!("api/v1/jobs/{}/log?download", self.id),
        }
    }

    /// Whether the payload is hidden from the reader.
    fn hides_payload(&self) -> bool {
        self.shared.as_ref().is_some_and(|link| link.payload == SharedPayload::Hidden)
    }

    fn is_raw(&self) -> bool {
        self.escapes == Escapes::Raw
    }

    /// Whether the text of the log differs from its raw text, or is raw.
    fn log_has_escapes(&self) -> bool {
        self.is_raw() || self.log.rows.iter().any(|row| row.text.is_decoded)
    }
}

impl AllowedActions {
    fn of(job: &Job) -> Self {
        let allowed = |step| job.status.step(step).is_ok();
        AllowedActions {
            retry: allowed(Step::RetryNow),
            cancel: allowed(Step::AskCancel) && !job.status.cancel_asked,
            delete: allowed(Step::Delete),
        }
    }
}

/// The details of a job. The entries are always the same, so that none moves when another changes.
fn facts(job: &Job, engine: &Engine, now: Time) -> Vec<JobDetail> {
    let text = |name, text: String| JobDetail { name, text, when: None };
    let when =
        |name, at| JobDetail { name, text: String::new(), when: Some(TimeText::new(at, now)) };
    let ms = |ms| length(std::time::Duration::from_millis(ms));
    let backoff = job.spec.retry.backoff;
    let timeout = match job.spec.timeout_ms {
        Some(timeout) => format!("{} per attempt", ms(timeout)),
        None => {
            format!("{} per attempt (server default)", length(engine.config().default_timeout))
        }
    };
    let key =
        job.spec.idempotency_key.as_ref().filter(|key| !key.as_str().starts_with(FORM_KEY_PREFIX));
    vec![
        when("Submitted", job.enqueued_at),
        when("Due", job.run_at),
        match job.finished_at() {
            Some(at) => when("Finished", at),
            None => text("Finished", "not yet".into()),
        },
        text("Attempts", format!("{} of {}", job.status.attempt, job.status.max_attempts)),
        text("Priority", job.spec.priority.to_string()),
        text("Timeout", timeout),
        text("Backoff", format!("{} to {}", ms(backoff.base_ms), ms(backoff.cap_ms))),
        text(
            "Idempotency",
            key.map_or("no key".into(), |key| format!("key {}", visible(key.as_str()))),
        ),
    ]
}

/// The details that the holder of a share link sees.
fn shared_facts(facts: Vec<JobDetail>) -> Vec<JobDetail> {
    facts.into_iter().filter(|fact| fact.name != "Idempotency").collect()
}
