//! A schedule as people and programs submit it, and the verbs of schedules.

use serde_json::value::RawValue;

use super::{BackoffFields, FieldError, Submission};
use crate::engine::{Engine, Kinds, SetScheduleError, StoreError, run_blocking};
use crate::job::fields::EMPTY;
use crate::job::{
    Cron, Cursor, FieldErrors, Fields, IntegerRange, Origin, Overlap, Schedule, ScheduleName,
    ScheduleSpec, Time,
};
use crate::store::{ScheduleCommand, ScheduleError};

/// A schedule as submitted; `cron` and `kind` are required.
#[derive(Debug, Default, Clone)]
pub struct ScheduleSubmission {
    /// When it is due: a cron pattern, or an interval such as `every 15m`; see [`Cron`].
    pub cron: String,
    /// The time zone of the pattern; UTC by default.
    pub zone: Option<String>,
    /// The kind of its jobs.
    pub kind: String,
    /// The payload of its jobs; `null` by default.
    pub payload: Option<Box<RawValue>>,
    /// The queue of its jobs, as in [`Submission::queue`].
    pub queue: Option<String>,
    /// The priority of its jobs, as in [`Submission::priority`].
    pub priority: Option<i64>,
    /// The most attempts of each job, as in [`Submission::max_attempts`].
    pub max_attempts: Option<u64>,
    /// The backoff between attempts.
    pub backoff: Option<BackoffFields>,
    /// The timeout of one attempt, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// The tags of its jobs, besides `schedule:NAME`.
    pub tags: Option<Vec<String>>,
    /// What happens when the previous job is not finished; `allow` by default.
    pub overlap: Overlap,
    /// The lateness in milliseconds after which a run is skipped, at least 1,000; by default no run is skipped.
    pub max_late_ms: Option<u64>,
}

/// One tag less than a job may have, because `schedule:NAME` is added.
const MAX_TAGS: usize = super::MAX_TAGS - 1;
/// The accepted lateness in milliseconds. No run is on time to the millisecond, so with less than a second no job would
/// ever be created.
pub const LATE_MS: IntegerRange = IntegerRange::new(1_000, super::MAX_DELAY_MS as i64);

impl ScheduleSubmission {
    /// A schedule without a time that submits such jobs.
    pub fn of_jobs(job: Submission) -> Self {
        ScheduleSubmission {
            kind: job.kind,
            payload: job.payload,
            queue: job.queue,
            priority: job.priority,
            max_attempts: job.max_attempts,
            backoff: job.backoff,
            timeout_ms: job.timeout_ms,
            tags: job.tags,
            ..ScheduleSubmission::default()
        }
    }

    /// Reads a schedule from JSON. What it does not say about its jobs is the default that their kind has now.
    ///
    /// # Errors
    /// All invalid fields, not only the first.
    pub fn parse(
        json: &str,
        origin: Origin,
        kinds: &Kinds,
        now: Time,
    ) -> Result<ScheduleSpec, Vec<FieldError>> {
        let mut errors = FieldErrors::default();
        let Some(mut fields) = Fields::read("", json, &mut errors) else {
            return Err(errors.into_errors());
        };
        let job = Submission::of_template(&mut fields, &mut errors);
        let overlap = fields.text("overlap", &mut errors).and_then(|text| {
            let overlap = match text.as_ref() {
                "allow" => Ok(Overlap::Allow),
                "skip" => Ok(Overlap::Skip),
                other => Err(format!("must be allow or skip, but is {other:?}")),
            };
            errors.take("overlap", overlap)
        });
        let max_late = fields.integer("max_late_ms", LATE_MS, &mut errors);
        let submission = ScheduleSubmission {
            cron: fields.required_text("cron", &mut errors).unwrap_or_default().into(),
            zone: fields.text("zone", &mut errors).map(Into::into),
            overlap: overlap.unwrap_or_default(),
            max_late_ms: super::milliseconds(max_late),
            ..ScheduleSubmission::of_jobs(job)
        };
        if submission.zone.as_ref().is_some_and(|zone| zone.trim().is_empty()) {
            errors.add("zone", EMPTY);
        }
        fields.finish(&mut errors);
        submission.checked(origin, kinds, now, errors)
    }

    /// Validates all fields, as [`ScheduleSubmission::parse`] does.
    ///
    /// # Errors
    /// All invalid fields, not only the first.
    pub fn into_spec(
        self,
        origin: Origin,
        kinds: &Kinds,
        now: Time,
    ) -> Result<ScheduleSpec, Vec<FieldError>> {
        self.checked(origin, kinds, now, FieldErrors::default())
    }

    fn checked(
        self,
        origin: Origin,
        kinds: &Kinds,
        now: Time,
        mut errors: FieldErrors,
    ) -> Result<ScheduleSpec, Vec<FieldError>> {
        let zone = self.zone.unwrap_or_default();
        let cron = match run_blocking(usize::MAX, || Cron::parse(&self.cron, &zone, now)) {
            Ok(cron) => Some(cron),
            Err(wrong) => {
                wrong.into_iter().for_each(|wrong| errors.add(wrong.field(), wrong.to_string()));
                None
            }
        };
        if self.tags.as_ref().is_some_and(|tags| tags.len() > MAX_TAGS) {
            let message =
                format!("at most {MAX_TAGS} tags are accepted; one is the schedule's own");
            errors.add("tags", message);
        }
        if let Some(ms) = self.max_late_ms {
            errors.take("max_late_ms", LATE_MS.check(ms));
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
        let job = job.checked(kinds, errors)?;
        // A missing pattern is an error, which has been returned above.
        let cron = cron.ok_or_else(Vec::new)?;
        Ok(ScheduleSpec {
            cron,
            labels: job.labels,
            spec: job.spec,
            overlap: self.overlap,
            max_late_ms: self.max_late_ms,
            origin,
        })
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
        let schedule = self.parts.store.schedule(command, self.actor.clone()).await?;
        self.parts.dispatchers.ensure(std::iter::once(&schedule.spec.labels.queue));
        Ok(schedule)
    }
}
