//! Cron entries: the verbs, how one is written by people and programs, and those that the configuration
//! declares.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::sleep;
use tracing::{error, info};

use crate::engine::{
    BackoffFields, Engine, EngineError, FieldError, Inner, Submission, off_runtime,
};
use crate::job::{
    Cron, CronError, Cursor, Origin, Overlap, Schedule, ScheduleName, ScheduleSpec, Time,
    optional_object,
};
use crate::logging::RetryLog;
use crate::store::{ScheduleCommand, ScheduleError, StoreError};

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
            self.inner.ensure_queues(std::iter::once(&schedule.spec.labels.queue));
        }
        Ok(answer)
    }
}

impl Inner {
    /// Sees to it that the queues of all schedules have a dispatcher.
    pub async fn ensure_scheduled_queues(self: &Arc<Self>) {
        // A store that refuses now is asked again by the census.
        let Ok((schedules, _)) = self.store.schedules().await else { return };
        self.ensure_queues(schedules.iter().map(|schedule| &schedule.spec.labels.queue));
    }

    /// Makes the stored schedules those that the configuration declares, and leaves all others. Tries until
    /// the store takes them: before that nothing is due.
    pub async fn declare_schedules(self: &Arc<Self>) {
        let pause = self.config.poll_interval;
        let mut retry = RetryLog::new("setting the schedules of the configuration", pause, pause);
        loop {
            let wait = match self.try_to_declare().await {
                Ok(()) => return retry.worked(),
                Err(StoreError::Closed) => return,
                Err(error) => retry.failed(&error),
            };
            tokio::select! {
                () = self.quiet.cancelled() => return,
                () = sleep(wait) => {}
            }
        }
    }

    async fn try_to_declare(self: &Arc<Self>) -> Result<(), StoreError> {
        let declared = &self.config.schedules;
        let (stored, _) = self.store.schedules().await?;
        let gone = stored.into_iter().filter(|schedule| {
            schedule.spec.origin == Origin::Config
                && declared.iter().all(|(name, _)| *name != schedule.name)
        });
        let gone = gone.map(|schedule| ScheduleCommand::Delete(schedule.name, Origin::Config));
        let set = declared
            .iter()
            .map(|(name, spec)| ScheduleCommand::Set(name.clone(), Box::new(spec.clone())));
        for command in gone.chain(set) {
            if let Err(refused) = self.store.schedule(command).await? {
                error!(%refused, "a schedule of the configuration is not in force");
            }
        }
        if !declared.is_empty() {
            info!(schedules = declared.len(), "schedules of the configuration are in force");
        }
        self.ensure_scheduled_queues().await;
        Ok(())
    }
}
