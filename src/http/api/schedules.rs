//! `/api/v1/schedules`: cron entries. What can be said of one is [`ScheduleSubmission`].

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::extract::{JsonBody, PathSchedule, read};
use crate::engine::{EngineError, ScheduleError, ScheduleSubmission, off_runtime};
use crate::http::view::{JobTemplate, Shown};
use crate::http::{Api, Problem, json};
use crate::job::{Cron, CronError, Cursor, Fired, JobId, Origin, Overlap, Schedule, Time};

/// Coming times that are told.
const TOLD: usize = 5;

#[derive(Serialize)]
struct ListView<'a> {
    schedules: Vec<ScheduleView<'a>>,
    cursor: Shown<Cursor>,
}

#[derive(Serialize)]
struct ScheduleView<'a> {
    name: &'a str,
    cron: &'a str,
    zone: &'a str,
    /// The pattern in words.
    in_words: String,
    paused: bool,
    overlap: Overlap,
    max_late_ms: Option<u64>,
    /// `api` or `config`: one of the configuration is changed there only.
    origin: Origin,
    set_at: Shown<Time>,
    /// Null when it never comes; a paused one lets it pass.
    next_at: Option<Shown<Time>>,
    /// The next few times; only where one schedule is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    upcoming: Vec<Shown<Time>>,
    last: Option<FiredView>,
    /// Times that were skipped since the last job.
    skipped: u64,
    job: JobTemplate<'a>,
}

#[derive(Serialize)]
struct FiredView {
    /// Null when somebody asked for it.
    due: Option<Shown<Time>>,
    at: Shown<Time>,
    job: JobId,
}

impl<'a> ScheduleView<'a> {
    fn of(schedule: &'a Schedule) -> Self {
        let Schedule { name, spec, paused, set_at, next_at, last, skipped } = schedule;
        let fired =
            |Fired { due, at, job }: Fired| FiredView { due: due.map(Shown), at: Shown(at), job };
        ScheduleView {
            name: name.as_str(),
            cron: spec.cron.pattern(),
            zone: spec.cron.zone(),
            in_words: spec.cron.in_words(),
            paused: *paused,
            overlap: spec.overlap,
            max_late_ms: spec.max_late_ms,
            origin: spec.origin,
            set_at: Shown(*set_at),
            next_at: next_at.map(Shown),
            upcoming: Vec::new(),
            last: last.map(fired),
            skipped: *skipped,
            job: JobTemplate::of(&spec.labels, &spec.spec),
        }
    }

    fn with_upcoming(self, schedule: &Schedule, now: Time) -> Self {
        let upcoming = off_runtime(usize::MAX, || schedule.spec.cron.upcoming(now, TOLD));
        let upcoming = upcoming.into_iter().map(Shown).collect();
        ScheduleView { upcoming, ..self }
    }
}

/// Every schedule by name: `{"schedules", "cursor"}`.
pub async fn list(State(api): State<Api>) -> Result<Response, Problem> {
    let (schedules, cursor) = api.engine.schedules().await?;
    let payloads = schedules.iter().map(|schedule| schedule.spec.spec.payload.as_str().len());
    Ok(off_runtime(payloads.sum(), || {
        let schedules = schedules.iter().map(ScheduleView::of).collect();
        json(&ListView { schedules, cursor: Shown(cursor) })
    }))
}

/// One schedule, with its next times.
pub async fn get(
    State(api): State<Api>,
    PathSchedule(name): PathSchedule,
) -> Result<Response, Problem> {
    let (schedules, _) = api.engine.schedules().await?;
    let found = schedules.iter().find(|schedule| schedule.name == name);
    let schedule = found.ok_or_else(|| Problem::no_such_schedule(&name))?;
    Ok(json(&ScheduleView::of(schedule).with_upcoming(schedule, api.engine.now())))
}

/// Makes a schedule, or gives it another spec; answers with it.
pub async fn put(
    State(api): State<Api>,
    PathSchedule(name): PathSchedule,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let submission: ScheduleSubmission = read(&body, "invalid_schedule")?;
    let spec = submission.into_spec(Origin::Api, api.engine.now());
    let spec = spec.map_err(Problem::invalid_schedule)?;
    changed(&api, api.engine.set_schedule(name, spec).await)
}

/// Removes a schedule: 204. Its jobs stay.
pub async fn remove(
    State(api): State<Api>,
    PathSchedule(name): PathSchedule,
) -> Result<StatusCode, Problem> {
    changed(&api, api.engine.delete_schedule(name).await).map(|_| StatusCode::NO_CONTENT)
}

/// Holds a schedule back; answers with it.
pub async fn pause(
    State(api): State<Api>,
    PathSchedule(name): PathSchedule,
) -> Result<Response, Problem> {
    changed(&api, api.engine.pause_schedule(name).await)
}

/// Lets a schedule go on; answers with it.
pub async fn resume(
    State(api): State<Api>,
    PathSchedule(name): PathSchedule,
) -> Result<Response, Problem> {
    changed(&api, api.engine.resume_schedule(name).await)
}

/// Enqueues a schedule's job now; answers with the schedule, whose `last` names the job.
pub async fn run(
    State(api): State<Api>,
    PathSchedule(name): PathSchedule,
) -> Result<Response, Problem> {
    changed(&api, api.engine.fire_schedule(name).await)
}

fn changed(
    api: &Api,
    answer: Result<Result<Schedule, ScheduleError>, EngineError>,
) -> Result<Response, Problem> {
    let schedule = answer?.map_err(|error| Problem::schedule(&error))?;
    Ok(json(&ScheduleView::of(&schedule).with_upcoming(&schedule, api.engine.now())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PreviewBody {
    cron: String,
    #[serde(default)]
    zone: String,
}

#[derive(Serialize)]
struct PreviewView {
    in_words: String,
    upcoming: Vec<Shown<Time>>,
}

/// What a pattern means, before it is a schedule: `{"cron", "zone"?}` → `{"in_words", "upcoming"}`.
pub async fn preview(
    State(api): State<Api>,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let PreviewBody { cron, zone } = read(&body, "invalid_schedule")?;
    let now = api.engine.now();
    // The search for a time that comes rarely is long for a thread of the runtime, whatever the pattern's length.
    let read = off_runtime(usize::MAX, || {
        Cron::parse(&cron, &zone, now).map(|cron| (cron.upcoming(now, TOLD), cron))
    });
    let (upcoming, cron) = read.map_err(|misread| {
        let (field, message) = match misread {
            CronError::Pattern(why) => ("cron", why),
            CronError::Zone(why) => ("zone", why),
        };
        Problem::invalid_schedule(vec![crate::engine::FieldError { field, message }])
    })?;
    let upcoming = upcoming.into_iter().map(Shown).collect();
    Ok(json(&PreviewView { in_words: cron.in_words(), upcoming }))
}
