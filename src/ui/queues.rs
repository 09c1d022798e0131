//! The page of one queue, and the actions that pause, resume and limit it.

use askama::Template;
use axum::extract::{Path, Query, State as Has};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::engine::{Engine, Stats};
use crate::http::access::Acting;
use crate::http::api::extract::without_escape;
use crate::job::shorten::{MAX_MESSAGE, shorten};
use crate::job::{Concurrency, JobQuery, QueueName, RateRule};

use super::layout::error::UiError;
use super::layout::flash::Done;
use super::layout::form_fields::{Accepts, OnlyFrom, PostedForm};
use super::layout::page::{Layout, Section, SeeOther, page, see_other};
use super::layout::visit::Visit;
use super::parts::chart::WIDTH;
use super::parts::chart_section::{ChartOptions, ChartParams, ChartSection};
use super::parts::filters;
use super::parts::job_row::JobCells;
use super::parts::node_row::this_process;
use super::parts::queue_row::QueueRow;
use super::parts::value_scale::HEIGHT;
use super::queue_list::QueueFilter;
use super::rewind::asked::{AskedMoment, PastView};
use super::share::ShareForm;
use super::submit::form_value::cut;

/// The number of a queue's newest jobs that its page shows.
const NEWEST: usize = 10;

#[derive(Template)]
#[template(path = "queue.html")]
struct QueuePage {
    layout: Layout,
    queue: QueueRow,
    /// The charts; `None` on the page of an earlier moment.
    charts: Option<ChartSection>,
    max_running: usize,
    /// What the process is called that may run so many.
    process: &'static str,
    newest: Vec<JobCells>,
    invalid: Option<InvalidLimit>,
    /// The form that creates a share link.
    share: ShareForm,
    width: f64,
    height: f64,
}

/// A limit that was not accepted. The page shows what was typed and the reason.
struct InvalidLimit {
    field: &'static str,
    typed: String,
    message: String,
}

/// The form that sets the concurrency.
pub struct ConcurrencyForm;

impl Accepts for ConcurrencyForm {
    const ONCE: &'static [&'static str] = &["concurrency"];
    const REQUIRED: &'static [&'static str] = Self::ONCE;
}

/// The form that sets the rate limit.
pub struct RateLimitForm;

impl Accepts for RateLimitForm {
    const ONCE: &'static [&'static str] = &["rate_limit"];
    const REQUIRED: &'static [&'static str] = Self::ONCE;
}

/// `GET /queues/{name}`, with the parameters of the home page for its charts and for an earlier moment
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    Path(name): Path<String>,
    Query(params): Query<ChartParams>,
    asked: AskedMoment,
) -> Result<Response, UiError> {
    if let Some(past) = asked.past {
        return show_past(&engine, &visit, &name, past).await;
    }
    render(&engine, &visit, &name, params.options()?, Ok(())).await
}

/// `POST /queues/{name}/pause`
pub async fn pause(
    Acting(engine): Acting<Engine>,
    Path(name): Path<String>,
    form: PostedForm<OnlyFrom>,
) -> Result<SeeOther, UiError> {
    let (queue, _) = known_queue(&engine, &name).await?;
    let name = queue.to_string();
    engine.pause(queue).await?;
    Ok(return_to(form.value("from"), &name).with(Done::QueuePaused, name))
}

/// `POST /queues/{name}/resume`
pub async fn resume(
    Acting(engine): Acting<Engine>,
    Path(name): Path<String>,
    form: PostedForm<OnlyFrom>,
) -> Result<SeeOther, UiError> {
    let (queue, _) = known_queue(&engine, &name).await?;
    let name = queue.to_string();
    engine.resume(queue).await?;
    Ok(return_to(form.value("from"), &name).with(Done::QueueResumed, name))
}

/// `POST /queues/{name}/concurrency`; an empty value restores the configured one.
pub async fn set_concurrency(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    Path(name): Path<String>,
    form: PostedForm<ConcurrencyForm>,
) -> Result<Response, UiError> {
    let (queue, _) = known_queue(&engine, &name).await?;
    let typed = form.value("concurrency").trim();
    let name = queue.to_string();
    match Some(typed).filter(|typed| !typed.is_empty()).map(str::parse::<Concurrency>).transpose() {
        Ok(concurrency) => engine.set_concurrency(queue, concurrency).await?,
        Err(message) => {
            let message = format!("the concurrency {message}");
            return refuse(&engine, &visit, &name, "concurrency", typed, &message).await;
        }
    }
    Ok(see_other(&page_url(&name)).with(Done::QueueLimitChanged, name).into_response())
}

/// `POST /queues/{name}/rate_limit`; an empty value restores the configured one.
pub async fn set_rate_limit(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    Path(name): Path<String>,
    form: PostedForm<RateLimitForm>,
) -> Result<Response, UiError> {
    let (queue, _) = known_queue(&engine, &name).await?;
    let typed = form.value("rate_limit").trim();
    let name = queue.to_string();
    match Some(typed).filter(|typed| !typed.is_empty()).map(str::parse::<RateRule>).transpose() {
        Ok(rule) => engine.set_rate_limit(queue, rule).await?,
        Err(message) => {
            return refuse(&engine, &visit, &name, "rate_limit", typed, &message).await;
        }
    }
    Ok(see_other(&page_url(&name)).with(Done::QueueLimitChanged, name).into_response())
}

async fn refuse(
    engine: &Engine,
    visit: &Visit,
    name: &str,
    field: &'static str,
    typed: &str,
    message: &str,
) -> Result<Response, UiError> {
    let mut invalid =
        InvalidLimit { field, typed: typed.to_owned(), message: shorten(message, MAX_MESSAGE) };
    cut([&mut invalid.typed]);
    render(engine, visit, name, ChartOptions::default(), Err(invalid)).await
}

async fn render(
    engine: &Engine,
    visit: &Visit,
    name: &str,
    options: ChartOptions,
    accepted: Result<(), InvalidLimit>,
) -> Result<Response, UiError> {
    let status = if accepted.is_ok() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let invalid = accepted.err();
    let (name, stats) = known_queue(engine, name).await?;
    let query = JobQuery { queues: vec![name.clone()], limit: NEWEST, ..JobQuery::default() };
    let jobs = engine.jobs(query).await?;
    let now = engine.now();
    let layout = Layout::live(visit, format!("Queue {name}"), Section::Queue, jobs.cursor, now);
    let counters = stats.queues.get(&name).cloned();
    let counters = counters.unwrap_or_else(|| engine.config().unused_queue(&name));
    let charts = ChartSection::of(engine, Some(&name), options, &page_url(name.as_str())).await?;
    let view = QueuePage {
        queue: QueueRow::of(&name, &counters, engine, now),
        charts: Some(charts),
        max_running: engine.config().max_running,
        process: this_process(engine),
        newest: jobs.jobs.iter().map(|job| JobCells::of(job, now)).collect(),
        invalid,
        share: ShareForm::of(engine),
        width: WIDTH,
        height: HEIGHT,
        layout,
    };
    Ok(page(status, &view))
}

async fn show_past(
    engine: &Engine,
    visit: &Visit,
    name: &str,
    view: PastView,
) -> Result<Response, UiError> {
    let (now, stats) = (view.now(), engine.stats_at(&view.past).await?);
    let known = match named(name, &stats) {
        Ok(known) => known,
        Err(error) if error.status == StatusCode::NOT_FOUND => {
            let message = "At this moment, there was no job in this queue, and it had no settings of its own.";
            return Ok(view.missing(
                visit,
                Section::Queue,
                "This queue did not exist then",
                message,
            ));
        }
        Err(error) => return Err(error),
    };
    let query = JobQuery { queues: vec![known.clone()], limit: NEWEST, ..JobQuery::default() };
    let jobs = engine.jobs_at(&view.past, query).await?;
    let counters = stats.queues.get(&known).cloned();
    let counters = counters.unwrap_or_else(|| engine.config().unused_queue(&known));
    let title = format!("Queue {known}");
    Ok(view.page(StatusCode::OK, visit, &title, Section::Queue, |layout| QueuePage {
        queue: QueueRow::of_past(&known, &counters, engine, now),
        charts: None,
        max_running: engine.config().max_running,
        process: this_process(engine),
        newest: jobs.jobs.iter().map(|job| JobCells::of_past(job, now)).collect(),
        invalid: None,
        share: ShareForm::of(engine),
        width: WIDTH,
        height: HEIGHT,
        layout,
    }))
}

impl QueuePage {
    /// The limit that was not accepted, if it is this field.
    fn invalid(&self, field: &str) -> Option<&InvalidLimit> {
        self.invalid.as_ref().filter(|invalid| invalid.field == field)
    }
}

/// Redirects to the page on which a button was pressed: `queue`, or the list of queues with its filter; everything
/// else is the home page.
fn return_to(from: &str, name: &str) -> SeeOther {
    match from.split_once('?').unwrap_or((from, "")) {
        ("queue", _) => see_other(&page_url(name)),
        ("queues", query) => see_other(&QueueFilter::parse(query).here()),
        _ => see_other("#queues"),
    }
}

/// The URL of a queue's page.
fn page_url(name: &str) -> String {
    format!("queues/{}", filters::segment(name))
}

/// Looks up a queue that exists, so that a mistyped URL does not create one.
async fn known_queue(engine: &Engine, name: &str) -> Result<(QueueName, Stats), UiError> {
    let stats = engine.stats().await?;
    named(name, &stats).map(|name| (name, stats))
}

/// The queue with the name in a URL, if the counters have it.
fn named(name: &str, stats: &Stats) -> Result<QueueName, UiError> {
    let name = without_escape(name);
    let known = QueueName::stored(name).ok().filter(|name| stats.queues.contains_key(name));
    let missing = || match QueueName::parse(name) {
        Ok(_) => UiError {
            advice: "Check the address, or find the queue in the list of queues.",
            ..UiError::not_found("Queue not found")
        },
        Err(invalid) => UiError::invalid_name(&invalid),
    };
    known.ok_or_else(missing)
}
