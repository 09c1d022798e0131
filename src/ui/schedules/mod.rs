//! The pages of schedules: the list, the page of one schedule, the form for a new one, and the actions that run,
//! pause, resume and delete a schedule.

mod form_part;
mod schedule_form;

use askama::Template;
use axum::Form;
use axum::extract::{Path, RawForm, RawQuery, State as Has};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::engine::{Engine, ScheduleError, SetScheduleError, run_blocking};
use crate::http::api::extract::without_escape;
use crate::job::{Cursor, JobQuery, Origin, Schedule, ScheduleName, ScheduleProblem, State};

use super::layout::error::{UiError, sentence};
use super::layout::flash::Done;
use super::layout::page::{Layout, Section, SeeOther, page, see_other};
use super::layout::visit::Visit;
use super::parts::filters;
use super::parts::job_row::JobCells;
use super::parts::time_format::TimeText;
use super::submit::form_value::{Errors, pairs};
use super::submit::job_fields::{self, find};
use super::submit::new_job::value;
use super::submit::payload_form::schema_of;
use super::submit::payload_input::InputControl;
use super::submit::submit_form::SubmitForm;
use form_part::{Draft, FormPart, UPCOMING};
use schedule_form::ScheduleForm;

/// The number of schedules whose last job is looked up for its state.
const LOOKED_UP: usize = 100;
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
    newest: Vec<JobCells>,
    part: FormPart,
}

#[derive(Template)]
#[template(path = "schedule_new.html")]
struct NewPage {
    layout: Layout,
    part: FormPart,
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
    /// Why it is not due at its times; empty if nothing is wrong.
    problem: String,
    /// Whether the machine does not know its time zone.
    is_zone_unknown: bool,
    last: Option<Last>,
}

/// The last job that a schedule submitted.
struct Last {
    id: String,
    at: TimeText,
    /// The state of the job; `None` when it was deleted or not looked up.
    state: Option<State>,
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
        let problem = schedule.problem();
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
            is_zone_unknown: matches!(problem, Some(ScheduleProblem::UnknownZone(_))),
            problem: problem.map(|problem| sentence(&problem.to_string())).unwrap_or_default(),
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
pub async fn list(Has(engine): Has<Engine>, visit: Visit) -> Result<Response, UiError> {
    let (stored, cursor) = engine.schedules().await?;
    let mut schedules = Vec::with_capacity(stored.len());
    for (n, schedule) in stored.iter().enumerate() {
        let look_up = if n < LOOKED_UP { LookUp::Job } else { LookUp::Nothing };
        schedules.push(ScheduleRow::of(&engine, schedule, look_up).await?);
    }
    let now = engine.now();
    let layout = Layout::live(&visit, "Schedules", Section::Schedules, cursor, now);
    Ok(page(StatusCode::OK, &List { layout, schedules }))
}

/// `GET /schedules/new`, prefilled by the query string, or by the job that `from` names.
pub async fn blank(
    Has(engine): Has<Engine>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, UiError> {
    let pairs = pairs(query.unwrap_or_default().as_bytes())?;
    let mut given = ScheduleForm::of(&pairs);
    if let Ok(id) = value(&pairs, "from").parse()
        && let Some(job) = engine.job(id).await?.0
    {
        given.job = SubmitForm::resubmitting(&job);
    }
    new_page(&engine, &visit, Draft::opened(&engine, given)).await
}

/// `POST /schedules/new`: renders the form again for another kind or another view, with a preview of its runs.
pub async fn redraw(
    Has(engine): Has<Engine>,
    visit: Visit,
    RawForm(encoded): RawForm,
) -> Result<Response, UiError> {
    let pairs = pairs(&encoded)?;
    let form = ScheduleForm::of(&pairs);
    new_page(&engine, &visit, Draft::previewed(&engine, form, value(&pairs, "to"))).await
}

/// `POST /schedules`
pub async fn create(
    Has(engine): Has<Engine>,
    visit: Visit,
    RawForm(encoded): RawForm,
) -> Result<Response, UiError> {
    match save(&engine, ScheduleForm::of(&pairs(&encoded)?), New::Only).await {
        Ok(saved) => Ok(saved),
        Err(draft) => new_page(&engine, &visit, draft).await,
    }
}

/// `GET /schedules/of/{name}`
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    Path(name): Path<String>,
) -> Result<Response, UiError> {
    let stored = find_schedule(&engine, &name).await?;
    let form = ScheduleForm::stored(&stored.0);
    let draft = Draft::opened(&engine, form);
    one_page(&engine, &visit, stored, draft).await
}

/// `POST /schedules/of/{name}`: changes the schedule.
pub async fn change(
    Has(engine): Has<Engine>,
    visit: Visit,
    Path(name): Path<String>,
    RawForm(encoded): RawForm,
) -> Result<Response, UiError> {
    let stored = find_schedule(&engine, &name).await?;
    let name = stored.0.name.to_string();
    let form = ScheduleForm { name, ..ScheduleForm::of(&pairs(&encoded)?) };
    match save(&engine, form, New::OrChanged).await {
        Ok(saved) => Ok(saved),
        Err(draft) => one_page(&engine, &visit, stored, draft).await,
    }
}

/// `POST /schedules/of/{name}/edit`: renders the form again, as `POST /schedules/new` does.
pub async fn redraw_stored(
    Has(engine): Has<Engine>,
    visit: Visit,
    Path(name): Path<String>,
    RawForm(encoded): RawForm,
) -> Result<Response, UiError> {
    let stored = find_schedule(&engine, &name).await?;
    let pairs = pairs(&encoded)?;
    let name = stored.0.name.to_string();
    let form = ScheduleForm { name, ..ScheduleForm::of(&pairs) };
    let draft = Draft::previewed(&engine, form, value(&pairs, "to"));
    one_page(&engine, &visit, stored, draft).await
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

/// Whether a schedule of this name may exist already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum New {
    Only,
    OrChanged,
}

/// Stores the schedule and redirects to its page, or returns the form with its errors.
async fn save(engine: &Engine, form: ScheduleForm, new: New) -> Result<Response, Draft> {
    let job = form.job.clone().within(engine.config().json);
    let form = ScheduleForm { job, ..form };
    let kinds = engine.kinds();
    let schema = schema_of(find(&kinds, &form.job.kind));
    let rejected = |refusal| Draft::switched(engine, form.clone(), "").refused(refusal);
    if form.job.is_of_another_kind(schema) {
        let mut draft = rejected((StatusCode::UNPROCESSABLE_ENTITY, Errors::new()));
        draft.note =
            "Nothing has been saved yet: these are the fields of the selected kind.".into();
        return Err(draft);
    }
    let parse_name = match new {
        New::Only => ScheduleName::parse,
        New::OrChanged => ScheduleName::stored,
    };
    let spec = run_blocking(form.job.size(), || form.spec(parse_name, schema, engine.now()));
    let (name, spec) = match spec {
        Ok(valid) => valid,
        Err(errors) => return Err(rejected((StatusCode::UNPROCESSABLE_ENTITY, errors))),
    };
    if new == New::Only && find_schedule(engine, name.as_str()).await.is_ok() {
        let error = format!("a schedule named {name} already exists");
        let errors = Errors::from([("name".to_owned(), error)]);
        return Err(rejected((StatusCode::UNPROCESSABLE_ENTITY, errors)));
    }
    match engine.set_schedule(name, spec).await {
        Ok(schedule) => {
            let name = schedule.name.as_str();
            Ok(see_other(&page_url(name)).with(Done::ScheduleSaved, name).into_response())
        }
        Err(SetScheduleError::Schedule(error)) => Err(rejected(job_fields::refused(error.into()))),
        Err(SetScheduleError::Payload(error)) => {
            Err(rejected(job_fields::refused_payload(error, &form.job, schema)))
        }
    }
}

async fn new_page(engine: &Engine, visit: &Visit, draft: Draft) -> Result<Response, UiError> {
    let status = draft.status;
    let part = FormPart::of(engine, draft, "schedules/new".into()).await?;
    let layout = Layout::still(visit, "New schedule", Section::Schedule, engine.now());
    Ok(page(status, &NewPage { layout, part }))
}

async fn one_page(
    engine: &Engine,
    visit: &Visit,
    (schedule, cursor): (Schedule, Cursor),
    draft: Draft,
) -> Result<Response, UiError> {
    let tags = schedule.tag().into_iter().collect();
    let jobs = engine.jobs(JobQuery { tags, limit: NEWEST, ..JobQuery::default() }).await?;
    let now = engine.now();
    let layout =
        Layout::live(visit, format!("Schedule {}", schedule.name), Section::Schedule, cursor, now);
    let upcoming = if schedule.paused {
        Vec::new()
    } else {
        run_blocking(usize::MAX, || schedule.spec.cron.upcoming(engine.now(), UPCOMING))
    };
    let (status, redraw) = (draft.status, format!("{}/edit", page_url(schedule.name.as_str())));
    let one = One {
        schedule: ScheduleRow::of(engine, &schedule, LookUp::Job).await?,
        upcoming: upcoming.into_iter().map(|at| TimeText::new(at, now)).collect(),
        newest: jobs.jobs.iter().map(|job| JobCells::of(job, now)).collect(),
        part: FormPart::of(engine, draft, redraw).await?,
        layout,
    };
    Ok(page(status, &one))
}

/// The URL of a schedule's page; `of` keeps a schedule named `new` apart from the form.
fn page_url(name: &str) -> String {
    format!("schedules/of/{}", filters::segment(name))
}

fn parse(name: &str) -> Result<ScheduleName, UiError> {
    ScheduleName::stored(without_escape(name)).map_err(|_| ScheduleError::NotFound.into())
}

async fn find_schedule(engine: &Engine, name: &str) -> Result<(Schedule, Cursor), UiError> {
    let (schedules, cursor) = engine.schedules().await?;
    let name = without_escape(name);
    let found = schedules.into_iter().find(|schedule| schedule.name.as_str() == name);
    found.map(|one| (one, cursor)).ok_or_else(|| ScheduleError::NotFound.into())
}
