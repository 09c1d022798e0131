//! `/api/v1/schedules`: cron entries. [`ScheduleSubmission`] is the body that creates one.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::extract::{JsonBody, NoBody, NoQuery, PathSchedule, json_text, read_fields};
use super::idempotency::NoIdempotencyKey;
use crate::engine::{ScheduleSubmission, run_blocking};
use crate::http::access::Acting;
use crate::http::view::{Displayed, JobTemplate};
use crate::http::{Api, Problem, json};
use crate::job::fields::{EMPTY, REQUIRED};
use crate::job::{Cron, Cursor, Fired, JobId, Origin, Overlap, Schedule, Time};

/// The number of upcoming times in a response.
const UPCOMING_TIMES: usize = 5;

#[derive(Serialize)]
struct ListView<'a> {
    schedules: Vec<ScheduleView<'a>>,
    cursor: Displayed<Cursor>,
}

#[derive(Serialize)]
struct ScheduleView<'a> {
    name: &'a str,
    cron: &'a str,
    zone: &'a str,
    /// The pattern in plain language.
    in_words: String,
    paused: bool,
    overlap: Overlap,
    max_late_ms: Option<u64>,
    /// `api` or `config`; one from the configuration can only be changed there.
    origin: Origin,
    set_at: Displayed<Time>,
    /// The next time; null if there is none. A paused schedule skips it.
    next_at: Option<Displayed<Time>>,
    /// Why it is not due at its times: `{"code","message"}`; null if nothing is wrong.
    problem: Option<ProblemView>,
    /// The next few times; only in responses with one schedule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    upcoming: Vec<Displayed<Time>>,
    last: Option<FiredView>,
    /// The number of times that were skipped since the last job.
    skipped: u64,
    job: JobTemplate<'a>,
}

#[derive(Serialize)]
struct ProblemView {
    /// `unknown_zone`, `never_due` or `invalid_pattern`.
    code: &'static str,
    message: String,
}

#[derive(Serialize)]
struct FiredView {
    /// The time it was due; null when it was fired by a request.
    due: Option<Displayed<Time>>,
    at: Displayed<Time>,
    job: JobId,
}

impl<'a> ScheduleView<'a> {
    fn of(schedule: &'a Schedule) -> Self {
        let Schedule { name, spec, paused, set_at, next_at, last, skipped } = schedule;
        let fired = |Fired { due, at, job }: Fired| FiredView {
            due: due.map(Displayed),
            at: Displayed(at),
            job,
        };
        ScheduleView {
            name: name.as_str(),
            cron: spec.cron.pattern(),
            zone: spec.cron.zone(),
            in_words: spec.cron.in_words(),
            paused: *paused,
            overlap: spec.overlap,
            max_late_ms: spec.max_late_ms,
            origin: spec.origin,
            set_at: Displayed(*set_at),
            next_at: next_at.map(Displayed),
            problem: schedule
                .problem()
                .map(|problem| ProblemView { code: problem.code(), message: problem.to_string() }),
            upcoming: Vec::new(),
            last: last.map(fired),
            skipped: *skipped,
            job: JobTemplate::of(&spec.labels, &spec.spec),
        }
    }

    fn with_upcoming(self, schedule: &Schedule, now: Time) -> Self {
        let upcoming =
            run_blocking(usize::MAX, || schedule.spec.cron.upcoming(now, UPCOMING_TIMES));
        let upcoming = upcoming.into_iter().map(Displayed).collect();
        ScheduleView { upcoming, ..self }
    }
}

/// Lists all schedules by name: `{"schedules", "cursor"}`.
pub async fn list(State(api): State<Api>, _: NoQuery) -> Result<Response, Problem> {
    let (schedules, cursor) = api.engine.schedules().await?;
    let payloads = schedules.iter().map(|schedule| schedule.spec.spec.payload.as_str().len());
    Ok(run_blocking(payloads.sum(), || {
        let schedules = schedules.iter().map(ScheduleView::of).collect();
        json(&ListView { schedules, cursor: Displayed(cursor) })
    }))
}

/// Returns one schedule with its upcoming times.
pub async fn get(
    State(api): State<Api>,
    _: NoQuery,
    PathSchedule(name): PathSchedule,
) -> Result<Response, Problem> {
    let (schedules, _) = api.engine.schedules().await?;
    let found = schedules.iter().find(|schedule| schedule.name == name);
    let schedule = found.ok_or_else(|| Problem::no_such_schedule(&name))?;
    Ok(schedule_response(&api, schedule))
}

/// Creates or replaces a schedule, and returns it.
pub async fn put(
    Acting(api): Acting<Api>,
    _: NoQuery,
    PathSchedule(name): PathSchedule,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let (text, engine) = (json_text(&body)?, &api.engine);
    let spec = ScheduleSubmission::parse(text, Origin::Api, engine.kinds(), engine.now());
    let spec = spec.map_err(Problem::invalid_fields)?;
    Ok(schedule_response(&api, &api.engine.set_schedule(name, spec).await?))
}

/// Deletes a schedule. Its jobs are kept. Answers 204.
pub async fn delete(
    Acting(api): Acting<Api>,
    _: NoQuery,
    PathSchedule(name): PathSchedule,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    api.engine.delete_schedule(name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pauses a schedule, and returns it.
pub async fn pause(
    Acting(api): Acting<Api>,
    _: NoQuery,
    PathSchedule(name): PathSchedule,
    _: NoBody,
) -> Result<Response, Problem> {
    Ok(schedule_response(&api, &api.engine.pause_schedule(name).await?))
}

/// Resumes a schedule, and returns it.
pub async fn resume(
    Acting(api): Acting<Api>,
    _: NoQuery,
    PathSchedule(name): PathSchedule,
    _: NoBody,
) -> Result<Response, Problem> {
    Ok(schedule_response(&api, &api.engine.resume_schedule(name).await?))
}

/// Enqueues the job of a schedule now, and returns the schedule, whose `last` has the id of the job.
pub async fn run(
    Acting(api): Acting<Api>,
    _: NoQuery,
    _: NoIdempotencyKey,
    PathSchedule(name): PathSchedule,
    _: NoBody,
) -> Result<Response, Problem> {
    Ok(schedule_response(&api, &api.engine.fire_schedule(name).await?))
}

fn schedule_response(api: &Api, schedule: &Schedule) -> Response {
    json(&ScheduleView::of(schedule).with_upcoming(schedule, api.engine.now()))
}

#[derive(Serialize)]
struct PreviewView {
    in_words: String,
    upcoming: Vec<Displayed<Time>>,
}

/// Explains a pattern without creating a schedule: `{"cron", "zone"?}` → `{"in_words", "upcoming"}`.
pub async fn preview(
    State(api): State<Api>,
    _: NoQuery,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let now = api.engine.now();
    let preview = read_fields(&body, |fields, errors| {
        let cron = fields.required_text("cron", errors).unwrap_or_default();
        let zone = fields.text("zone", errors);
        if zone.as_ref().is_some_and(|zone| zone.trim().is_empty()) {
            errors.add("zone", EMPTY);
        }
        let zone = zone.unwrap_or_default();
        // Searching for a rare time takes too long for a thread of the runtime, whatever the length of the pattern.
        let parsed = run_blocking(usize::MAX, || {
            Cron::parse(&cron, &zone, now).map(|cron| (cron.upcoming(now, UPCOMING_TIMES), cron))
        });
        let wrong = match parsed {
            Ok(parsed) => return Some(parsed),
            Err(wrong) => wrong,
        };
        wrong.into_iter().for_each(|wrong| errors.add(wrong.field(), wrong.to_string()));
        None
    })?;
    let (upcoming, cron) = preview.ok_or_else(|| Problem::invalid_field("cron", REQUIRED))?;
    let upcoming = upcoming.into_iter().map(Displayed).collect();
    Ok(json(&PreviewView { in_words: cron.in_words(), upcoming }))
}
