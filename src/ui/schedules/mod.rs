//! The pages of schedules: the list, the page of one schedule, the form for a new one, and the actions that run,
//! pause, resume and delete a schedule.

pub mod schedule_form;

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State as Has};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::engine::{Engine, PayloadError, ScheduleError, SetScheduleError, run_blocking};
use crate::http::layers::base_path::Address;
use crate::job::{
    Cron, CronError, Cursor, JobQuery, Origin, Schedule, ScheduleName, ScheduleSpec, State,
};

use super::layout::error::{UiError, sentence};
use super::layout::flash::Done;
use super::layout::page::{Layout, Section, SeeOther, page, see_other};
use super::parts::job_row::JobRow;
use super::parts::time_format::TimeText;
use super::submit::form_value::Errors;
use super::submit::start_at;
use schedule_form::ScheduleForm;

/// The number of schedules whose last job is looked up for its state.
const LOOKED_UP: usize = 100;
/// The number of upcoming runs that are shown.
const TOLD: usize = 5;
/// The number of a schedule's newest jobs that its page shows.
const NEWEST: usize = 10;

#[derive(Template)]
#[template(path = "schedules.html")]
struct List {
    layout: Layout,
    schedules: Vec<ScheduleRow>,
}

#[derive(Template)]
#[template(path = "schedule.html")]
struct One {
    layout: Layout,
    schedule: ScheduleRow,
    upcoming: Vec<TimeText>,
    newest: Vec<JobRow>,
    form: FormPart,
}

#[derive(Template)]
#[template(path = "schedule_new.html")]
struct New {
    layout: Layout,
    form: FormPart,
}

/// The form, which the page of a schedule and the page for a new one share.
struct FormPart {
    form: ScheduleForm,
    kinds: Vec<String>,
    queues: Vec<String>,
    errors: Errors,
    /// The pattern in words; empty when it is invalid.
    in_words: String,
    means: Vec<TimeText>,
    zone_names: bool,
}

/// A schedule as a row.
struct ScheduleRow {
    name: String,
    in_words: String,
    pattern: String,
    zone: String,
    kind: String,
    queue: String,
    tag: String,
    paused: bool,
    declared: bool,
    skipped: u64,
    next: Option<TimeText>,
    last: Option<Last>,
}

/// The last job that a schedule submitted.
struct Last {
    id: String,
    at: TimeText,
    /// The state of the job; `None` when it was deleted or not looked up.
    state: Option<State>,
}

impl FormPart {
    /// The error of a field as a sentence; empty when the field is valid.
    fn wrong(&self, field: &str) -> String {
        self.errors.get(field).map(|message| sentence(message)).unwrap_or_default()
    }

    fn is_unknown(&self) -> bool {
        !self.form.kind.is_empty() && !self.kinds.contains(&self.form.kind)
    }

    async fn of(engine: &Engine, form: ScheduleForm, errors: Errors) -> Result<FormPart, UiError> {
        let now = engine.now();
        let form = form.shown(engine.config().max_payload);
        let read = run_blocking(usize::MAX, || {
            let cron = Cron::parse(&form.cron, &form.zone, now).ok()?;
            Some((cron.in_words(), cron.upcoming(now, TOLD)))
        });
        let (in_words, upcoming) = read.unwrap_or_default();
        let stats = engine.stats().await?;
        Ok(FormPart {
            kinds: engine.kinds().iter().map(|info| info.kind.to_string()).collect(),
            queues: stats.queues.keys().map(ToString::to_string).collect(),
            in_words,
            means: upcoming.into_iter().map(|at| TimeText::new(at, now)).collect(),
            zone_names: start_at::knows_names(),
            form,
            errors,
        })
    }
}

impl ScheduleRow {
    async fn of(engine: &Engine, schedule: &Schedule, look_up: LookUp) -> Result<Self, UiError> {
        let Schedule { name, spec, paused, next_at, last, skipped, set_at: _ } = schedule;
        let now = engine.now();
        let last = match last {
            Some(last) => {
                let state = match look_up {
                    LookUp::Job => engine.job(last.job).await?.0.map(|job| job.status.state),
                    LookUp::Nothing => None,
                };
                Some(Last { id: last.job.to_string(), at: TimeText::new(last.at, now), state })
            }
            None => None,
        };
        Ok(ScheduleRow {
            name: name.to_string(),
            in_words: spec.cron.in_words(),
            pattern: spec.cron.pattern().to_owned(),
            zone: spec.cron.zone().to_owned(),
            kind: spec.labels.kind.to_string(),
            queue: spec.labels.queue.to_string(),
            tag: schedule.tag().map(|tag| tag.to_string()).unwrap_or_default(),
            paused: *paused,
            declared: spec.origin == Origin::Config,
            skipped: *skipped,
            next: next_at.filter(|_| !paused).map(|at| TimeText::new(at, now)),
            last,
        })
    }
}

/// Whether a row also looks up the last job.
#[derive(Clone, Copy)]
enum LookUp {
    Job,
    Nothing,
}

/// `GET /schedules`
pub async fn list(Has(engine): Has<Engine>, address: Address) -> Result<Response, UiError> {
    let (stored, cursor) = engine.schedules().await?;
    let mut schedules = Vec::with_capacity(stored.len());
    for (n, schedule) in stored.iter().enumerate() {
        let look_up = if n < LOOKED_UP { LookUp::Job } else { LookUp::Nothing };
        schedules.push(ScheduleRow::of(&engine, schedule, look_up).await?);
    }
    let now = engine.now();
    let layout = Layout::live(&address, "Schedules", Section::Schedules, cursor, now);
    Ok(page(StatusCode::OK, &List { layout, schedules }))
}

/// `GET /schedules/new`, prefilled by query string.
pub async fn blank(
    Has(engine): Has<Engine>,
    address: Address,
    Query(given): Query<ScheduleForm>,
) -> Result<Response, UiError> {
    new_page(&engine, &address, given, Errors::new(), StatusCode::OK).await
}

/// `POST /schedules/new`: renders the form again with a preview of its runs.
pub async fn redraw(
    Has(engine): Has<Engine>,
    address: Address,
    Form(form): Form<ScheduleForm>,
) -> Result<Response, UiError> {
    let mut errors = Errors::new();
    match run_blocking(usize::MAX, || Cron::parse(&form.cron, &form.zone, engine.now())) {
        Err(CronError::Pattern(why)) if !form.cron.trim().is_empty() => {
            errors.insert("cron".into(), why);
        }
        Err(CronError::Zone(why)) => drop(errors.insert("zone".into(), why)),
        Err(CronError::Pattern(_)) | Ok(_) => {}
    }
    new_page(&engine, &address, form, errors, StatusCode::OK).await
}

/// `POST /schedules`
pub async fn create(
    Has(engine): Has<Engine>,
    address: Address,
    Form(form): Form<ScheduleForm>,
) -> Result<Response, UiError> {
    let (mut errors, mut status) = (Errors::new(), StatusCode::UNPROCESSABLE_ENTITY);
    match spec_of(&engine, &form) {
        Err(wrong) => errors = wrong,
        Ok((name, _)) if find(&engine, name.as_str()).await.is_ok() => {
            errors.insert("name".into(), format!("a schedule named {name} already exists"));
        }
        Ok((name, spec)) => match set(&engine, name, spec).await {
            Ok(response) => return Ok(response),
            Err(refused) => (status, errors) = refused,
        },
    }
    new_page(&engine, &address, form, errors, status).await
}

/// `GET /schedules/of/{name}`
pub async fn show(
    Has(engine): Has<Engine>,
    address: Address,
    Path(name): Path<String>,
) -> Result<Response, UiError> {
    let (schedule, cursor) = find(&engine, &name).await?;
    let form = ScheduleForm::of(&schedule);
    one_page(&engine, &address, (schedule, cursor), form, Errors::new(), StatusCode::OK).await
}

/// `POST /schedules/of/{name}`: changes the schedule.
pub async fn change(
    Has(engine): Has<Engine>,
    address: Address,
    Path(name): Path<String>,
    Form(form): Form<ScheduleForm>,
) -> Result<Response, UiError> {
    let (schedule, cursor) = find(&engine, &name).await?;
    let form = ScheduleForm { name, ..form };
    let (status, errors) = match spec_of(&engine, &form) {
        Err(wrong) => (StatusCode::UNPROCESSABLE_ENTITY, wrong),
        Ok((name, spec)) => match set(&engine, name, spec).await {
            Ok(response) => return Ok(response),
            Err(refused) => refused,
        },
    };
    one_page(&engine, &address, (schedule, cursor), form, errors, status).await
}

/// The page on which a button was pressed, which the response redirects back to.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct From {
    from: String,
}

impl From {
    fn back(&self, schedule: &Schedule) -> SeeOther {
        match self.from.as_str() {
            "schedules" => see_other("schedules"),
            _ => see_other(&page_url(schedule.name.as_str())),
        }
    }
}

/// Redirects to the page on which the button was pressed, which says what was done.
fn acted(schedule: &Schedule, from: &From, done: Done) -> Response {
    from.back(schedule).with(done, schedule.name.as_str()).into_response()
}

/// `POST /schedules/of/{name}/pause`
pub async fn pause(
    Has(engine): Has<Engine>,
    Path(name): Path<String>,
    Form(from): Form<From>,
) -> Result<Response, UiError> {
    Ok(acted(&engine.pause_schedule(parse(&name)?).await?, &from, Done::SchedulePaused))
}

/// `POST /schedules/of/{name}/resume`
pub async fn resume(
    Has(engine): Has<Engine>,
    Path(name): Path<String>,
    Form(from): Form<From>,
) -> Result<Response, UiError> {
    Ok(acted(&engine.resume_schedule(parse(&name)?).await?, &from, Done::ScheduleResumed))
}

/// `POST /schedules/of/{name}/run`: submits a job now.
pub async fn run(
    Has(engine): Has<Engine>,
    Path(name): Path<String>,
    Form(from): Form<From>,
) -> Result<Response, UiError> {
    Ok(acted(&engine.fire_schedule(parse(&name)?).await?, &from, Done::ScheduleRun))
}

/// `POST /schedules/of/{name}/delete`
pub async fn delete(
    Has(engine): Has<Engine>,
    Path(name): Path<String>,
) -> Result<Response, UiError> {
    let from = From { from: "schedules".into() };
    Ok(acted(&engine.delete_schedule(parse(&name)?).await?, &from, Done::ScheduleDeleted))
}

/// Stores the schedule and redirects to its page, or returns the errors by field.
async fn set(
    engine: &Engine,
    name: ScheduleName,
    spec: ScheduleSpec,
) -> Result<Response, (StatusCode, Errors)> {
    let (field, refused) = match engine.set_schedule(name, spec).await {
        Ok(schedule) => {
            let name = schedule.name.as_str();
            return Ok(see_other(&page_url(name)).with(Done::ScheduleSaved, name).into_response());
        }
        Err(SetScheduleError::Schedule(error)) => ("", UiError::from(error)),
        Err(SetScheduleError::Payload(error)) => {
            let field = match error {
                PayloadError::UnknownKind { .. } => "kind",
                PayloadError::Invalid { .. }
                | PayloadError::TooLarge { .. }
                | PayloadError::TooComplex { .. } => "payload",
            };
            (field, UiError::from(error))
        }
    };
    Err((refused.status, Errors::from([(field.to_owned(), refused.message)])))
}

async fn new_page(
    engine: &Engine,
    address: &Address,
    form: ScheduleForm,
    errors: Errors,
    status: StatusCode,
) -> Result<Response, UiError> {
    let form = FormPart::of(engine, form, errors).await?;
    Ok(page(
        status,
        &New {
            layout: Layout::fixed(address, "New schedule", Section::Schedule, engine.now()),
            form,
        },
    ))
}

async fn one_page(
    engine: &Engine,
    address: &Address,
    (schedule, cursor): (Schedule, Cursor),
    form: ScheduleForm,
    errors: Errors,
    status: StatusCode,
) -> Result<Response, UiError> {
    let tags = schedule.tag().into_iter().collect();
    let jobs = engine.jobs(JobQuery { tags, limit: NEWEST, ..JobQuery::default() }).await?;
    let now = engine.now();
    let layout = Layout::live(
        address,
        format!("Schedule {}", schedule.name),
        Section::Schedule,
        cursor,
        now,
    );
    let upcoming = if schedule.paused {
        Vec::new()
    } else {
        run_blocking(usize::MAX, || schedule.spec.cron.upcoming(engine.now(), TOLD))
    };
    let one = One {
        schedule: ScheduleRow::of(engine, &schedule, LookUp::Job).await?,
        upcoming: upcoming.into_iter().map(|at| TimeText::new(at, now)).collect(),
        newest: jobs.jobs.iter().map(|job| JobRow::of(job, now)).collect(),
        form: FormPart::of(engine, form, errors).await?,
        layout,
    };
    Ok(page(status, &one))
}

/// Parses the form into a name and a spec.
fn spec_of(engine: &Engine, form: &ScheduleForm) -> Result<(ScheduleName, ScheduleSpec), Errors> {
    run_blocking(form.payload.len(), || form.spec(engine.config().json, engine.now()))
}

/// The URL of a schedule's page. Names need no escaping; `of` keeps a schedule named `new` apart from the form.
fn page_url(name: &str) -> String {
    format!("schedules/of/{name}")
}

fn parse(name: &str) -> Result<ScheduleName, UiError> {
    ScheduleName::parse(name).map_err(|_| ScheduleError::NotFound.into())
}

async fn find(engine: &Engine, name: &str) -> Result<(Schedule, Cursor), UiError> {
    let (schedules, cursor) = engine.schedules().await?;
    let found = schedules.into_iter().find(|schedule| schedule.name.as_str() == name);
    found.map(|one| (one, cursor)).ok_or_else(|| ScheduleError::NotFound.into())
}
