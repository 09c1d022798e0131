//! A schedule as people and programs submit it, and the verbs of schedules.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::{
    BackoffFields, Engine, FieldError, SetScheduleError, StoreError, Submission, run_blocking,
};
use crate::job::{
    Cron, CronError, Cursor, Origin, Overlap, Schedule, ScheduleName, ScheduleSpec, Time,
    optional_object,
};
use crate::store::{ScheduleCommand, ScheduleError};

/// A schedule as submitted; `cron` and `kind` are required.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSubmission {
    /// When it is due: a cron pattern, or an interval such as `every 15m`; see [`Cron`].
    pub cron: String,
    /// The time zone of the pattern; UTC by default.
    pub zone: Option<String>,
    /// The kind of its jobs.
    pub kind: String,
    /// The payload of its jobs; `null` by default.
    pub payload: Option<Box<RawValue>>,
    /// The queue of its jobs; `default` by default.
    pub queue: Option<String>,
    /// The priority of its jobs, as in [`Submission::priority`].
    pub priority: Option<i64>,
    /// The most attempts of each job, as in [`Submission::max_attempts`].
    pub max_attempts: Option<u64>,
    /// The backoff between attempts.
    #[serde(default, deserialize_with = "optional_object")]
    pub backoff: Option<BackoffFields>,
    /// The timeout of one attempt, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// The tags of its jobs, besides `schedule:NAME`.
    pub tags: Option<Vec<String>>,
    /// What happens when the previous job is not finished; `allow` by default.
    #[serde(default)]
    pub overlap: Overlap,
    /// The lateness in milliseconds after which a run is skipped, at least 1,000; by default no run is skipped.
    pub max_late_ms: Option<u64>,
}

/// One tag less than a job may have, because `schedule:NAME` is added.
const MAX_TAGS: usize = super::MAX_TAGS - 1;
/// The smallest `max_late_ms`. No run is on time to the millisecond, so with less no job would ever be created.
const LEAST_LATE_MS: u64 = 1_000;

impl ScheduleSubmission {
    /// Validates all fields.
    ///
    /// # Errors
    /// All invalid fields, not only the first.
    pub fn into_spec(self, origin: Origin, now: Time) -> Result<ScheduleSpec, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut add = |field, message| errors.push(FieldError { field, message });
        let zone = self.zone.unwrap_or_default();
        let cron = match run_blocking(usize::MAX, || Cron::parse(&self.cron, &zone, now)) {
            Ok(cron) => Some(cron),
            Err(CronError::Pattern(why)) => {
                add("cron", why);
                None
            }
            Err(CronError::Zone(why)) => {
                add("zone", why);
                None
            }
        };
        if self.tags.as_ref().is_some_and(|tags| tags.len() > MAX_TAGS) {
            add("tags", format!("at most {MAX_TAGS} tags are accepted; one is the schedule's own"));
        }
        if self.max_late_ms.is_some_and(|most| most < LEAST_LATE_MS) {
            add("max_late_ms", "must be at least 1s, because no run is exactly on time".to_owned());
        }
        let job = Submission {
            kind: self.kind,
            payload: self.payload,
            queue: self.queue,
            priority: self.priority,
            max_attempts: self.max_attempts,
            backoff: self.backoff,
            timeout_ms: self.timeout_ms,
            tags: self.tags,
            ..Submission::default()
        };
        match (cron, job.into_new_job()) {
            (Some(cron), Ok(job)) if errors.is_empty() => Ok(ScheduleSpec {
                cron,
                labels: job.labels,
                spec: job.spec,
                overlap: self.overlap,
                max_late_ms: self.max_late_ms,
                origin,
            }),
            (_, Ok(_)) => Err(errors),
            (_, Err(more)) => {
                errors.extend(more);
                Err(errors)
            }
        }
    }
}

impl Engine {
    /// Creates or replaces a schedule.
    ///
    /// # Errors
    /// The kind is unknown, the payload is invalid, or the store refused the schedule or failed.
    pub async fn set_schedule(
        &self,
        name: ScheduleName,
        spec: ScheduleSpec,
    ) -> Result<Schedule, SetScheduleError> {
        let size = spec.spec.payload.as_str().len();
        run_blocking(size, || self.check(&spec.labels.kind, &spec.spec.payload))?;
        Ok(self.command(ScheduleCommand::Set(name, Box::new(spec))).await?)
    }

    /// Deletes a schedule; its jobs stay.
    pub async fn delete_schedule(&self, name: ScheduleName) -> Result<Schedule, ScheduleError> {
        self.command(ScheduleCommand::Delete(name, Origin::Api)).await
    }

    /// Pauses a schedule.
    pub async fn pause_schedule(&self, name: ScheduleName) -> Result<Schedule, ScheduleError> {
        self.command(ScheduleCommand::Pause(name)).await
    }

    /// Resumes a schedule.
    pub async fn resume_schedule(&self, name: ScheduleName) -> Result<Schedule, ScheduleError> {
        self.command(ScheduleCommand::Resume(name)).await
    }

    /// Enqueues a job of a schedule now.
    pub async fn fire_schedule(&self, name: ScheduleName) -> Result<Schedule, ScheduleError> {
        self.command(ScheduleCommand::Fire(name)).await
    }

    /// All schedules ordered by name, and the position in the log at which they were read.
    pub async fn schedules(&self) -> Result<(Vec<Schedule>, Cursor), StoreError> {
        self.parts.store.schedules().await
    }

    async fn command(&self, command: ScheduleCommand) -> Result<Schedule, ScheduleError> {
        let schedule = self.parts.store.schedule(command).await?;
        self.parts.dispatchers.ensure(std::iter::once(&schedule.spec.labels.queue));
        Ok(schedule)
    }
}
