//! Cron entries: the verbs, how one is written by people and programs, and those that the configuration
//! declares.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::{BackoffFields, Engine, EngineError, FieldError, Submission, off_runtime};
use crate::job::{
    Cron, CronError, Cursor, Origin, Overlap, Schedule, ScheduleName, ScheduleSpec, Time,
    optional_object,
};
use crate::store::{ScheduleCommand, ScheduleError};

/// A schedule as submitted; `cron` and `kind` are required.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSubmission {
    /// When it is due: a cron pattern or `every 15m`; see [`Cron`].
    pub cron: String,
    /// The zone that the pattern is read in; UTC when left out.
    pub zone: Option<String>,
    /// The kind of its jobs.
    pub kind: String,
    /// Their payload; `null` when left out.
    pub payload: Option<Box<RawValue>>,
    /// Their queue; `default` when left out.
    pub queue: Option<String>,
    /// Their priority, as in [`Submission::priority`].
    pub priority: Option<i64>,
    /// Attempts in all, as in [`Submission::max_attempts`].
    pub max_attempts: Option<u64>,
    /// Waits between attempts.
    #[serde(default, deserialize_with = "optional_object")]
    pub backoff: Option<BackoffFields>,
    /// The longest one attempt may run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Tags of its jobs, besides `schedule:NAME`.
    pub tags: Option<Vec<String>>,
    /// What happens when the job before is not finished; `allow` when left out.
    #[serde(default)]
    pub overlap: Overlap,
    /// A run that would be later than this is skipped, in milliseconds, 1,000 at least; left out, none is.
    pub max_late_ms: Option<u64>,
}

/// A tag is left for the schedule's own.
const MAX_TAGS: usize = super::MAX_TAGS - 1;
/// No run is on time to the millisecond: one that may not be late at all would never be.
const LEAST_LATE_MS: u64 = 1_000;

impl ScheduleSubmission {
    /// Checks every field.
    ///
    /// # Errors
    /// Every field that is wrong, not only the first.
    pub fn into_spec(self, origin: Origin, now: Time) -> Result<ScheduleSpec, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut add = |field, message| errors.push(FieldError { field, message });
        let zone = self.zone.unwrap_or_default();
        let cron = match off_runtime(usize::MAX, || Cron::parse(&self.cron, &zone, now)) {
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
            add("max_late_ms", "must be a second at least: no run is exactly on time".to_owned());
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

type Answer = Result<Result<Schedule, ScheduleError>, EngineError>;

impl Engine {
    /// Makes a schedule, or gives it another spec.
    ///
    /// # Errors
    /// An unknown kind or a payload that does not fit, or the store's refusal.
    pub async fn set_schedule(&self, name: ScheduleName, spec: ScheduleSpec) -> Answer {
        self.inner.check(&spec.labels.kind, &spec.spec.payload)?;
        self.command(ScheduleCommand::Set(name, Box::new(spec))).await
    }

    /// Removes a schedule; its jobs stay.
    pub async fn delete_schedule(&self, name: ScheduleName) -> Answer {
        self.command(ScheduleCommand::Delete(name, Origin::Api)).await
    }

    /// Holds a schedule back.
    pub async fn pause_schedule(&self, name: ScheduleName) -> Answer {
        self.command(ScheduleCommand::Pause(name)).await
    }

    /// Lets a schedule go on.
    pub async fn resume_schedule(&self, name: ScheduleName) -> Answer {
        self.command(ScheduleCommand::Resume(name)).await
    }

    /// Enqueues a schedule's job now.
    pub async fn fire_schedule(&self, name: ScheduleName) -> Answer {
        self.command(ScheduleCommand::Fire(name)).await
    }

    /// Every schedule, by name, and the place in the log they were read at.
    pub async fn schedules(&self) -> Result<(Vec<Schedule>, Cursor), EngineError> {
        Ok(self.inner.store.schedules().await?)
    }

    async fn command(&self, command: ScheduleCommand) -> Answer {
        let answer = self.inner.store.schedule(command).await?;
        if let Ok(schedule) = &answer {
            self.inner.dispatchers.ensure(std::iter::once(&schedule.spec.labels.queue));
        }
        Ok(answer)
    }
}
