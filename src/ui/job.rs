//! One job: where it stands, every attempt, its timeline, its log, what went in and what came out.

use askama::Template;
use axum::extract::{Path, Query, State as Has};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use crate::engine::Engine;
use crate::job::{Job, JobId, LogLine, Progress, State, Step, Time};

use super::error::UiError;
use super::filters;
use super::json_text::{Token, tokens};
use super::shell::{Section, Shell, page};
use super::story::{self, Attempt, Line};
use super::submit_form::FORM_KEY_PREFIX;
use super::when::{When, length};

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    shell: Shell,
    notice: Option<Notice>,
    id: String,
    kind: String,
    queue: String,
    tags: Vec<String>,
    state: State,
    standing: String,
    standing_when: Option<When>,
    progress: Option<Progress>,
    facts: Vec<Fact>,
    may: May,
    wants_retry: bool,
    attempts: Vec<Attempt>,
    timeline: Vec<Line>,
    log: Vec<LogRow>,
    log_dropped: u64,
    payload: Vec<Token>,
    result: Option<Vec<Token>>,
}

/// A line over the page: the answer to what was just done.
pub struct Notice {
    /// What happened.
    pub text: String,
    /// Whether it is good news.
    pub tone: Tone,
}

/// The colour of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Something to know.
    Calm,
    /// Something was refused.
    Trouble,
}

impl Tone {
    /// The class in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Tone::Calm => "calm",
            Tone::Trouble => "trouble",
        }
    }
}

/// What the state allows a person to do now; the state machine itself is asked.
struct May {
    retry: bool,
    cancel: bool,
    delete: bool,
}

/// One entry of the list of facts: a name and a text or a moment.
struct Fact {
    name: &'static str,
    text: String,
    when: Option<When>,
}

struct LogRow {
    when: When,
    stream: &'static str,
    text: String,
}

/// Why the page is shown, when a form led to it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Arrival {
    already: String,
}

/// `GET /jobs/{id}`
pub async fn show(
    Has(engine): Has<Engine>,
    Path(id): Path<String>,
    Query(arrival): Query<Arrival>,
) -> Result<Response, UiError> {
    let notice = (!arrival.already.is_empty()).then(|| Notice {
        text:
            "This form had been sent before, and this is the job it made: sending it twice makes \
               no second one."
                .into(),
        tone: Tone::Calm,
    });
    render(&engine, parse_id(&id)?, notice, StatusCode::OK).await
}

/// Reads an id out of an address; what is not an id leads nowhere.
pub fn parse_id(text: &str) -> Result<JobId, UiError> {
    text.parse().map_err(|_| UiError::not_found("There is no such job"))
}

/// The page of a job as it is now.
pub async fn render(
    engine: &Engine,
    id: JobId,
    notice: Option<Notice>,
    status: StatusCode,
) -> Result<Response, UiError> {
    let (job, cursor) = engine.job(id).await?;
    let job = job.ok_or_else(|| UiError::not_found("There is no such job"))?;
    let stats = engine.stats().await?;
    let title = format!("{} {} · {}", job.labels.kind, job.id.short(), job.status.state);
    let shell = Shell::live(title, Section::Job, cursor);
    let now = shell.now;
    let (standing, standing_when) = story::standing(&job, stats.queues.get(&job.labels.queue), now);
    let view = JobPage {
        notice,
        id: job.id.to_string(),
        kind: job.labels.kind.to_string(),
        queue: job.labels.queue.to_string(),
        tags: job.labels.tags.iter().map(ToString::to_string).collect(),
        state: job.status.state,
        standing,
        standing_when,
        progress: job.progress.clone(),
        facts: facts(&job, engine, now),
        may: May::of(&job),
        wants_retry: job.last_failure().is_some() && job.status.state != State::Completed,
        attempts: job.attempts().iter().rev().map(|attempt| Attempt::of(attempt, now)).collect(),
        timeline: story::timeline(&job, now),
        log: job.log.iter().map(|line| LogRow::of(line, now)).collect(),
        log_dropped: job.log_dropped,
        payload: tokens(&job.spec.payload),
        result: job.result().map(tokens),
        shell,
    };
    Ok(page(status, &view))
}

impl May {
    fn of(job: &Job) -> Self {
        let allowed = |step| job.status.step(step).is_ok();
        May {
            retry: allowed(Step::RetryNow),
            cancel: allowed(Step::AskCancel) && !job.status.cancel_asked,
            delete: allowed(Step::Delete),
        }
    }
}

impl LogRow {
    fn of(line: &LogLine, now: Time) -> Self {
        LogRow {
            when: When::new(line.at, now),
            stream: line.stream.as_str(),
            text: line.text.to_string(),
        }
    }
}

fn facts(job: &Job, engine: &Engine, now: Time) -> Vec<Fact> {
    let text = |name, text: String| Fact { name, text, when: None };
    let when = |name, at| Fact { name, text: String::new(), when: Some(When::new(at, now)) };
    let ms = |ms| length(std::time::Duration::from_millis(ms));
    let backoff = job.spec.retry.backoff;
    let timeout = match job.spec.timeout_ms {
        Some(timeout) => ms(timeout),
        None => format!("{} (the server's default)", length(engine.config().default_timeout)),
    };
    let mut facts = vec![
        when("Accepted", job.enqueued_at),
        text("Attempts", format!("{} of {}", job.status.attempt, job.status.max_attempts)),
        text("Priority", job.spec.priority.to_string()),
        text("Timeout", timeout),
        text("Backoff", format!("from {} up to {}", ms(backoff.base_ms), ms(backoff.cap_ms))),
    ];
    if let Some(at) = job.finished_at() {
        facts.insert(1, when("Finished", at));
    } else if job.status.state.is_waiting() {
        facts.insert(1, when("May run", job.run_at));
    }
    let key =
        job.spec.idempotency_key.as_ref().filter(|key| !key.as_str().starts_with(FORM_KEY_PREFIX));
    facts.extend(key.map(|key| text("Idempotency key", key.to_string())));
    facts
}
