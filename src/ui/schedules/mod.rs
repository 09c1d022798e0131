//! The pages of schedules: the list, the page of one schedule, the form for a new one, and the actions that run,
//! pause, resume and delete a schedule.

mod form_part;
mod repeat;
mod ruler;
mod run_strip;
mod schedule_form;

use askama::Template;
use axum::extract::{Path, RawQuery, State as Has};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::engine::{Engine, ScheduleError, ScheduleRun, SetScheduleError, run_blocking};
use crate::http::Problem;
use crate::http::access::Acting;
use crate::http::api::extract::without_escape;
use crate::job::{Cursor, Origin, Schedule, ScheduleName, ScheduleProblem, State, Time};

use super::layout::error::{UiError, sentence};
use super::layout::flash::Done;
use super::layout::form_fields::{NoFields, OnlyFrom, PostedForm, value};
use super::layout::page::{Layout, Section, page, see_other};
use super::layout::visit::Visit;
use super::parts::filters;
use super::parts::job_row::JobCells;
use super::parts::time_format::TimeText;
use super::submit::form_value::{Errors, Pairs, pairs};
use super::submit::job_fields::{self, find};
use super::submit::payload_form::schema_of;
use super::submit::payload_input::InputControl;
use super::submit::posted::{NewScheduleForm, ScheduleRedrawForm, ScheduleSaveForm, check_inputs};
use super::submit::submit_form::SubmitForm;
use form_part::{Draft, FormPart, UPCOMING};
use ruler::Ruler;
use run_strip::{RunStrip, runs_of};
use schedule_form::ScheduleForm;

/// The number of a schedule's newest jobs that its page shows.
const NEWEST: usize = 10;

#[derive(Template)]
#[template(path = "schedules.html")]
struct List {
    layout: Layout,
    schedules: Vec<ScheduleRow>,
    ruler: Ruler,
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
    strip: RunStrip,
}

/// The last job that a schedule submitted.
struct Last {
    id: String,
    at: TimeText,
    /// The state of the job; `None` when it was deleted.
    state: Option<State>,
}

impl ScheduleRow {
    fn of(schedule: &Schedule, runs: &[ScheduleRun], now: Time) -> Self {
        let Schedule { name, spec, paused, next_at, last, skipped, set_at: _ } = schedule;
        let last = last.map(|last| {
            let run = runs.iter().find(|run| run.job == last.job);
            let state = run.and_then(|run| run.state);
            Last { id: last.job.to_string(), at: TimeText::new(last.at, now), state }
        });
        let problem = schedule.problem();
        ScheduleRow {
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
            strip: RunStrip::of(runs, now),
        }
    }
}

/// `GET /schedules`
pub async fn list(Has(engine): Has<Engine>, visit: Visit) -> Result<Response, UiError> {
    let (stored, cursor) = engine.schedules().await?;
    let all: Vec<&Schedule> = stored.iter().collect();
    let (runs, cursor) = runs_of(&engine, &all, cursor).await?;
    let now = engine.now();
    let rows = stored.iter().zip(&runs);
    let schedules = rows.map(|(schedule, runs)| ScheduleRow::of(schedule, runs, now)).collect();
    let ruler = run_blocking(usize::MAX, || Ruler::of(&stored, now));
    let layout = Layout::live(&visit, "Schedules", Section::Schedules, cursor, now);
    Ok(page(StatusCode::OK, &List { layout, schedules, ruler }))
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
        given.job = SubmitForm::resubmitting(&job, engine.kinds());
    }
    new_page(&engine, &visit, Draft::opened(&engine, given)).await
}

/// `POST /schedules/new`: renders the form again for another kind or another view, with a preview of its runs.
pub async fn redraw(
    Has(engine): Has<Engine>,
    visit: Visit,
    posted: PostedForm<NewScheduleForm>,
) -> Result<Response, UiError> {
    let form = ScheduleForm::of(&posted.pairs);
    new_page(&engine, &visit, Draft::previewed(&engine, form, posted.value("to"))).await
}

/// `POST /schedules`
pub async fn create(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    posted: PostedForm<ScheduleSaveForm>,
) -> Result<Response, UiError> {
    match save(&engine, ScheduleForm::of(&posted.pairs), &posted.pairs, New::Only).await {
        Ok(saved) => Ok(saved),
        Err(Unsaved::Form(draft)) => new_page(&engine, &visit, *draft).await,
        Err(Unsaved::Fields(problem)) => Ok(problem.into_response()),
    }
}

/// `GET /schedules/of/{name}`
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    Path(name): Path<String>,
) -> Result<Response, UiError> {
    let stored = find_schedule(&engine, &name).await?;
    let form = ScheduleForm::stored(&stored.0, engine.kinds());
    let draft = Draft::opened(&engine, form);
    one_page(&engine, &visit, stored, draft).await
}

/// `POST /schedules/of/{name}`: changes the schedule.
pub async fn change(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    Path(name): Path<String>,
    posted: PostedForm<ScheduleSaveForm>,
) -> Result<Response, UiError> {
    let stored = find_schedule(&engine, &name).await?;
    let form = match of_stored(&stored.0, &posted.pairs) {
        Ok(form) => form,
        Err(problem) => return Ok(problem.into_response()),
    };
    match save(&engine, form, &posted.pairs, New::OrChanged).await {
        Ok(saved) => Ok(saved),
        Err(Unsaved::Form(draft)) => one_page(&engine, &visit, stored, *draft).await,
        Err(Unsaved::Fields(problem)) => Ok(problem.into_response()),
    }
}

/// `POST /schedules/of/{name}/edit`: renders the form again, as `POST /schedules/new` does.
pub async fn redraw_stored(
    Has(engine): Has<Engine>,
    visit: Visit,
    Path(name): Path<String>,
    posted: PostedForm<ScheduleRedrawForm>,
) -> Result<Response, UiError> {
    let stored = find_schedule(&engine, &name).await?;
    let form = match of_stored(&stored.0, &posted.pairs) {
        Ok(form) => form,
        Err(problem) => return Ok(problem.into_response()),
    };
    let draft = Draft::previewed(&engine, form, posted.value("to"));
    one_page(&engine, &visit, stored, draft).await
}

/// The form of a stored schedule, whose name cannot be changed.
fn of_stored(schedule: &Schedule, pairs: &Pairs) -> Result<ScheduleForm, Problem> {
    let name = schedule.name.to_string();
    let form = ScheduleForm::of(pairs);
    if !form.name.is_empty() && form.name != name {
        return Err(Problem::invalid_field("name", format!("cannot be changed; it is {name}")));
    }
    Ok(ScheduleForm { name, ..form })
}

/// Redirects to the page on which the button was pressed, the list or else the page of the schedule, which says what was
/// done.
fn acted(schedule: &Schedule, from: &str, done: Done) -> Response {
    let page = match from {
        "schedules" => see_other("schedules"),
        _ => see_other(&page_url(schedule.name.as_str())),
    };
    page.with(done, schedule.name.as_str()).into_response()
}

/// `POST /schedules/of/{name}/pause`
pub async fn pause(
    Acting(engine): Acting<Engine>,
    Path(name): Path<String>,
    form: PostedForm<OnlyFrom>,
) -> Result<Response, UiError> {
    Ok(acted(
        &engine.pause_schedule(known_name(&engine, &name).await?).await?,
        form.value("from"),
        Done::SchedulePaused,
    ))
}

/// `POST /schedules/of/{name}/resume`
pub async fn resume(
    Acting(engine): Acting<Engine>,
    Path(name): Path<String>,
    form: PostedForm<OnlyFrom>,
) -> Result<Response, UiError> {
    Ok(acted(
        &engine.resume_schedule(known_name(&engine, &name).await?).await?,
        form.value("from"),
        Done::ScheduleResumed,
    ))
}

/// `POST /schedules/of/{name}/run`: submits a job now.
pub async fn run(
    Acting(engine): Acting<Engine>,
    Path(name): Path<String>,
    form: PostedForm<OnlyFrom>,
) -> Result<Response, UiError> {
    Ok(acted(
        &engine.fire_schedule(known_name(&engine, &name).await?).await?,
        form.value("from"),
        Done::ScheduleRun,
    ))
}

/// `POST /schedules/of/{name}/delete`
pub async fn delete(
    Acting(engine): Acting<Engine>,
    Path(name): Path<String>,
    _: PostedForm<NoFields>,
) -> Result<Response, UiError> {
    Ok(acted(
        &engine.delete_schedule(known_name(&engine, &name).await?).await?,
        "schedules",
        Done::ScheduleDeleted,
    ))
}

/// Whether a schedule of this name may exist already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum New {
    Only,
    OrChanged,
}

/// What is shown when a schedule was not stored.
enum Unsaved {
    /// The form with its errors.
    Form(Box<Draft>),
    /// The fields that are none of the form.
    Fields(Problem),
}

impl From<Draft> for Unsaved {
    fn from(draft: Draft) -> Self {
        Unsaved::Form(Box::new(draft))
    }
}

/// Stores the schedule and redirects to its page.
async fn save(
    engine: &Engine,
    form: ScheduleForm,
    pairs: &Pairs,
    new: New,
) -> Result<Response, Unsaved> {
    let job = form.job.clone().within(engine.config().json);
    let mut form = ScheduleForm { job, ..form };
    let built = form.follow_builder();
    let kinds = engine.kinds();
    let chosen = find(kinds, &form.job.kind);
    let schema = schema_of(chosen.as_ref());
    let rejected = |refusal| Draft::switched(engine, form.clone(), "").refused(refusal);
    if let Err((field, why)) = built {
        let errors = Errors::from([(field.to_owned(), why)]);
        return Err(rejected((StatusCode::UNPROCESSABLE_ENTITY, errors)).into());
    }
    if form.job.is_of_another_kind(schema) {
        let mut draft = rejected((StatusCode::UNPROCESSABLE_ENTITY, Errors::new()));
        draft.note =
            "Nothing has been saved yet: these are the fields of the selected kind.".into();
        return Err(draft.into());
    }
    check_inputs(&form.job, schema, pairs).map_err(Unsaved::Fields)?;
    let parse_name = match new {
        New::Only => ScheduleName::parse,
        New::OrChanged => ScheduleName::stored,
    };
    let now = engine.now();
    let spec = run_blocking(form.job.size(), || form.spec(parse_name, schema, kinds, now));
    let (name, spec) = match spec {
        Ok(valid) => valid,
        Err(errors) => return Err(rejected((StatusCode::UNPROCESSABLE_ENTITY, errors)).into()),
    };
    if new == New::Only && find_schedule(engine, name.as_str()).await.is_ok() {
        let error = format!("a schedule named {name} already exists");
        let errors = Errors::from([("name".to_owned(), error)]);
        return Err(rejected((StatusCode::UNPROCESSABLE_ENTITY, errors)).into());
    }
    match engine.set_schedule(name, spec).await {
        Ok(schedule) => {
            let name = schedule.name.as_str();
            Ok(see_other(&page_url(name)).with(Done::ScheduleSaved, name).into_response())
        }
        Err(SetScheduleError::Schedule(error)) => {
            Err(rejected(job_fields::refused(error.into())).into())
        }
        Err(SetScheduleError::Payload(error)) => {
            Err(rejected(job_fields::refused_payload(error, &form.job, schema)).into())
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
    let (mut runs, cursor) = runs_of(engine, &[&schedule], cursor).await?;
    let runs = runs.pop().unwrap_or_default();
    // Jobs have no index by tag, so these are looked up by their ids.
    let mut newest = Vec::new();
    for run in runs.iter().rev().take(NEWEST) {
        newest.extend(engine.job(run.job).await?.0);
    }
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
        schedule: ScheduleRow::of(&schedule, &runs, now),
        upcoming: upcoming.into_iter().map(|at| TimeText::new(at, now)).collect(),
        newest: newest.iter().map(|job| JobCells::of(job, now)).collect(),
        part: FormPart::of(engine, draft, redraw).await?,
        layout,
    };
    Ok(page(status, &one))
}

/// The URL of a schedule's page; `of` keeps a schedule named `new` apart from the form.
fn page_url(name: &str) -> String {
    format!("schedules/of/{}", filters::segment(name))
}

/// The name in an address. Names that older versions accepted are known only if there is such a schedule.
async fn known_name(engine: &Engine, name: &str) -> Result<ScheduleName, UiError> {
    match ScheduleName::parse(without_escape(name)) {
        Ok(name) => Ok(name),
        Err(_) => find_schedule(engine, name).await.map(|(schedule, _)| schedule.name),
    }
}

/// The error for a schedule that does not exist, and perhaps cannot.
fn missing(name: &str) -> UiError {
    match ScheduleName::parse(name) {
        Ok(_) => ScheduleError::NotFound.into(),
        Err(invalid) => UiError::invalid_name(&invalid),
    }
}

async fn find_schedule(engine: &Engine, name: &str) -> Result<(Schedule, Cursor), UiError> {
    let (schedules, cursor) = engine.schedules().await?;
    let name = without_escape(name);
    let found = schedules.into_iter().find(|schedule| schedule.name.as_str() == name);
    found.map(|one| (one, cursor)).ok_or_else(|| missing(name))
}
