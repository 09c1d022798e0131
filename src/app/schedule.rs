//! A schedule that a program declares.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::client::{JobKind, JobOptions};
use crate::engine::{BackoffFields, ScheduleSubmission};
use crate::job::Overlap;

/// A schedule, for [`Builder::schedule`](crate::Builder::schedule): when jobs are enqueued, and which. It is exported as
/// `Schedule`. What it does not say about its jobs is the default of their kind; a mistake in it is an error of the start.
#[derive(Debug, Clone)]
#[must_use = "a schedule does nothing until a builder has it"]
pub struct DeclaredSchedule {
    submission: ScheduleSubmission,
    /// Why the payload cannot be written as JSON.
    wrong: Option<String>,
}

impl DeclaredSchedule {
    /// A schedule with a cron pattern: minute, hour, day, month and weekday, with six fields the seconds before them;
    /// or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. docs/schedules.md has all forms.
    pub fn cron(pattern: impl Into<String>) -> Self {
        let submission = ScheduleSubmission { cron: pattern.into(), ..Default::default() };
        DeclaredSchedule { submission, wrong: None }
    }

    /// A schedule with a fixed interval: whole seconds, from one second to 366 days.
    pub fn every(interval: Duration) -> Self {
        let seconds = interval.as_secs();
        DeclaredSchedule::cron(match interval.subsec_nanos() {
            0 => format!("every {seconds}s"),
            _ => format!("every {}s", interval.as_secs_f64()),
        })
    }

    /// Sets the time zone of the pattern, by its name in the IANA database. The default is UTC.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.submission.zone = Some(zone.into());
        self
    }

    /// Sets the kind of the jobs and their payload. A schedule must have a kind.
    pub fn kind<P: Serialize + ?Sized>(mut self, kind: impl Into<String>, payload: &P) -> Self {
        self.submission.kind = kind.into();
        match to_raw_value(payload) {
            Ok(payload) => self.submission.payload = Some(payload),
            Err(error) => self.wrong = Some(error.to_string()),
        }
        self
    }

    /// Sets the kind of the jobs, their payload and the options of the kind, except for the delay, which jobs of a schedule do
    /// not have. What is set before or after this call for the schedule itself wins.
    ///
    /// ```
    /// use cortado::Schedule;
    /// use cortado::client::{JobKind, JobOptions};
    ///
    /// #[derive(serde::Serialize)]
    /// struct Nightly {}
    ///
    /// impl JobKind for Nightly {
    ///     const KIND: &'static str = "nightly";
    ///
    ///     fn options() -> JobOptions {
    ///         JobOptions::new().queue("reports").max_attempts(3)
    ///     }
    /// }
    ///
    /// let schedule = Schedule::cron("30 2 * * *").job(&Nightly {});
    /// ```
    pub fn job<K: JobKind>(self, job: &K) -> Self {
        let mut schedule = self.kind(K::KIND, job);
        let JobOptions { queue, priority, max_attempts, backoff, timeout, delay: _, tags } =
            K::options();
        let submission = &mut schedule.submission;
        submission.queue = submission.queue.take().or(queue);
        submission.priority = submission.priority.or(priority.map(i64::from));
        submission.max_attempts = submission.max_attempts.or(max_attempts.map(u64::from));
        let backoff = backoff.map(|(base, cap)| BackoffFields {
            base_ms: Some(milliseconds(base)),
            cap_ms: Some(milliseconds(cap)),
        });
        submission.backoff = submission.backoff.take().or(backoff);
        submission.timeout_ms = submission.timeout_ms.or(timeout.map(milliseconds));
        if !tags.is_empty() {
            submission.tags.get_or_insert_default().extend(tags);
        }
        schedule
    }

    /// Sets the payload to a text of JSON that is stored as it is.
    #[doc(hidden)]
    pub fn raw_payload(mut self, payload: Box<RawValue>) -> Self {
        self.submission.payload = Some(payload);
        self
    }

    /// Sets the queue of the jobs.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.submission.queue = Some(queue.into());
        self
    }

    /// Sets the priority of the jobs, from -100 to 100; jobs with a higher one run first.
    pub fn priority(mut self, priority: i16) -> Self {
        self.submission.priority = Some(priority.into());
        self
    }

    /// Sets the most attempts of each job, at least 1.
    pub fn max_attempts(mut self, attempts: u16) -> Self {
        self.submission.max_attempts = Some(attempts.into());
        self
    }

    /// Sets the upper bounds of the first delay between two attempts and of all delays, to the millisecond.
    pub fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        let (base_ms, cap_ms) = (Some(milliseconds(base)), Some(milliseconds(cap)));
        self.submission.backoff = Some(BackoffFields { base_ms, cap_ms });
        self
    }

    /// Sets how long one attempt may take, to the millisecond.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.submission.timeout_ms = Some(milliseconds(timeout));
        self
    }

    /// Adds a tag to the jobs, which also have the tag `schedule:NAME`.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.submission.tags.get_or_insert_default().push(tag.into());
        self
    }

    /// Enqueues no job while the previous one of the schedule is not finished. Without this call there can be two at once.
    pub fn skip_overlap(mut self) -> Self {
        self.submission.overlap = Overlap::Skip;
        self
    }

    /// Skips a run that would be later than this, for example because the server was down: at least one second. Without this
    /// call, a single run makes up for all that were missed.
    pub fn max_late(mut self, late: Duration) -> Self {
        self.submission.max_late_ms = Some(milliseconds(late));
        self
    }

    /// The schedule as it is submitted.
    ///
    /// # Errors
    /// Why the payload cannot be written as JSON.
    pub(super) fn into_submission(self) -> Result<ScheduleSubmission, String> {
        match self.wrong {
            None => Ok(self.submission),
            Some(why) => Err(format!("the payload cannot be written as JSON: {why}")),
        }
    }
}

/// A duration as a submission has it.
fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::engine::Kinds;
    use crate::job::{Origin, ScheduleSpec, Time};

    fn spec(schedule: DeclaredSchedule) -> Result<ScheduleSpec, String> {
        let spec = schedule.into_submission().unwrap();
        let spec = spec.into_spec(Origin::Config, &Kinds::default(), Time::default());
        spec.map_err(|wrong| format!("{wrong:?}"))
    }

    #[test]
    fn every_option_is_in_the_schedule() {
        let schedule = DeclaredSchedule::cron("30 2 * * *").zone("Europe/Berlin");
        let schedule = schedule.kind("echo", &json!({"a": 1})).queue("q").priority(7);
        let schedule = schedule.max_attempts(3).timeout(Duration::from_millis(1_500)).tag("a");
        let schedule = schedule.tag("b").skip_overlap().max_late(Duration::from_secs(60));
        let schedule = schedule.backoff(Duration::from_secs(1), Duration::from_secs(9));
        let found = spec(schedule).unwrap();
        assert_eq!((found.cron.zone(), found.overlap), ("Europe/Berlin", Overlap::Skip));
        assert_eq!((found.labels.kind.as_str(), found.labels.queue.as_str()), ("echo", "q"));
        let tags: Vec<&str> = found.labels.tags.iter().map(|tag| tag.as_str()).collect();
        assert!(tags.contains(&"a") && tags.contains(&"b"), "{tags:?}");
        let of_jobs = &found.spec;
        assert_eq!((of_jobs.payload.as_str(), of_jobs.priority), (r#"{"a":1}"#, 7));
        assert_eq!((of_jobs.retry.max_attempts, of_jobs.timeout_ms), (3, Some(1_500)));
        assert_eq!(found.max_late_ms, Some(60_000));
    }

    #[test]
    fn a_typed_job_brings_the_options_of_its_kind() {
        #[derive(Serialize)]
        struct Nightly {
            pages: u8,
        }

        impl JobKind for Nightly {
            const KIND: &'static str = "nightly";

            fn options() -> JobOptions {
                let options = JobOptions::new().queue("reports").max_attempts(3).tag("kind");
                options.timeout(Duration::from_secs(9)).priority(4)
            }
        }

        let schedule = DeclaredSchedule::cron("@daily").queue("own").tag("own");
        let found = spec(schedule.job(&Nightly { pages: 2 }).max_attempts(5)).unwrap();
        assert_eq!((found.labels.kind.as_str(), found.labels.queue.as_str()), ("nightly", "own"));
        assert_eq!(found.spec.payload.as_str(), r#"{"pages":2}"#);
        assert_eq!((found.spec.retry.max_attempts, found.spec.timeout_ms), (5, Some(9_000)));
        assert_eq!((found.spec.priority, found.labels.tags.len()), (4, 2));
    }

    #[test]
    fn an_interval_is_of_whole_seconds() {
        let every = |interval| spec(DeclaredSchedule::every(interval).kind("echo", &()));
        let found = every(Duration::from_secs(90)).unwrap();
        assert_eq!(found.cron.in_words(), "Every 1 minute 30 seconds");
        for wrong in [Duration::ZERO, Duration::from_millis(1_500), Duration::MAX] {
            let error = every(wrong).unwrap_err();
            assert!(error.contains("cron"), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn a_payload_without_a_form_in_json_is_refused() {
        let payload = BTreeMap::from([((1, 2), 3)]);
        let schedule = DeclaredSchedule::cron("@daily").kind("echo", &payload);
        let why = schedule.into_submission().unwrap_err();
        assert!(why.starts_with("the payload cannot be written as JSON: "), "{why}");
    }
}
