//! The fields of the schedule form as they were typed, with the conversions to a spec and from a stored schedule.

use serde::Deserialize;

use crate::engine::submission::BackoffFields;
use crate::engine::{FieldError, ScheduleSubmission};
use crate::job::{JsonLimits, Origin, Overlap, Schedule, ScheduleName, ScheduleSpec, Time};

use crate::ui::submit::form_value::{
    Errors, cut, cut_list, cut_payload, duration, filled, form_field, json, number, written,
};
use crate::ui::submit::submit_form::SubmitForm;

/// The form. Every field is text, so that nothing typed is lost when a field is invalid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // each is the field of the same name in `ScheduleSubmission`
pub struct ScheduleForm {
    pub name: String,
    pub cron: String,
    pub zone: String,
    pub kind: String,
    /// The payload as JSON.
    pub payload: String,
    pub queue: String,
    pub priority: String,
    pub max_attempts: String,
    /// The base of the backoff, as a duration.
    pub backoff_base: String,
    /// The cap of the backoff, as a duration.
    pub backoff_cap: String,
    /// The timeout of an attempt, as a duration.
    pub timeout: String,
    /// The tags, separated by commas.
    pub tags: String,
    /// `skip`; any other value allows overlapping runs.
    pub overlap: String,
    /// The lateness after which a run is skipped, as a duration.
    pub max_late: String,
}

impl ScheduleForm {
    /// The form that edits a stored schedule.
    pub fn of(schedule: &Schedule) -> ScheduleForm {
        let ScheduleSpec { cron, labels, spec, overlap, max_late_ms, origin: _ } = &schedule.spec;
        let job = SubmitForm::showing(labels, spec);
        ScheduleForm {
            name: schedule.name.to_string(),
            cron: cron.pattern().to_owned(),
            zone: cron.zone().to_owned(),
            kind: job.kind,
            payload: job.payload,
            queue: job.queue,
            priority: job.priority,
            max_attempts: job.max_attempts,
            backoff_base: job.backoff_base,
            backoff_cap: job.backoff_cap,
            timeout: job.timeout,
            tags: job.tags,
            overlap: if *overlap == Overlap::Skip { "skip".into() } else { String::new() },
            max_late: max_late_ms.map(written).unwrap_or_default(),
        }
    }

    /// The form as a page repeats it, with texts cut that are longer than any field accepts.
    pub fn shown(mut self, max_payload: usize) -> ScheduleForm {
        cut_payload(&mut self.payload, max_payload);
        cut_list(&mut self.tags);
        cut([
            &mut self.name,
            &mut self.cron,
            &mut self.zone,
            &mut self.kind,
            &mut self.queue,
            &mut self.priority,
            &mut self.max_attempts,
            &mut self.backoff_base,
            &mut self.backoff_cap,
            &mut self.timeout,
            &mut self.max_late,
        ]);
        self
    }

    /// Whether a run is skipped while the previous job is not finished.
    pub fn skips(&self) -> bool {
        self.overlap == "skip"
    }

    /// Parses the name and the spec.
    ///
    /// # Errors
    /// The errors by field.
    pub fn spec(
        &self,
        limits: JsonLimits,
        now: Time,
    ) -> Result<(ScheduleName, ScheduleSpec), Errors> {
        let mut errors = Errors::new();
        let name = ScheduleName::parse(self.name.trim());
        let name = name.map_err(|error| errors.insert("name".into(), error.to_string())).ok();
        let base_ms = duration("backoff_base", &self.backoff_base, &mut errors);
        let cap_ms = duration("backoff_cap", &self.backoff_cap, &mut errors);
        let submission = ScheduleSubmission {
            cron: self.cron.clone(),
            zone: filled(&self.zone),
            kind: self.kind.trim().to_owned(),
            payload: json(&self.payload, limits, &mut errors),
            queue: filled(&self.queue),
            priority: number("priority", &self.priority, &mut errors),
            max_attempts: number("max_attempts", &self.max_attempts, &mut errors),
            backoff: (base_ms.is_some() || cap_ms.is_some())
                .then_some(BackoffFields { base_ms, cap_ms }),
            timeout_ms: duration("timeout", &self.timeout, &mut errors),
            tags: Some(self.tags.split(',').filter_map(filled).collect()),
            overlap: if self.skips() { Overlap::Skip } else { Overlap::Allow },
            max_late_ms: duration("max_late", &self.max_late, &mut errors),
        };
        match (name, submission.into_spec(Origin::Api, now)) {
            (Some(name), Ok(spec)) if errors.is_empty() => Ok((name, spec)),
            (_, Ok(_)) => Err(errors),
            (_, Err(wrong)) => {
                for FieldError { field, message } in wrong {
                    let field = match field {
                        "cron" | "zone" | "max_late_ms" => field.trim_end_matches("_ms"),
                        of_a_job => form_field(of_a_job),
                    };
                    errors.entry(field.to_owned()).or_insert(message);
                }
                Err(errors)
            }
        }
    }
}
