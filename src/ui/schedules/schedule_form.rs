//! The fields of the schedule form as they were typed, with the conversions to a spec and from a stored schedule. The
//! fields of its jobs are those of the form for a new job.

use super::repeat::{self, RepeatError, RepeatForm};
use crate::engine::{FieldError, Kinds, ScheduleSubmission};
use crate::job::{Invalid, Origin, Overlap, Schedule, ScheduleName, ScheduleSpec, Schema, Time};

use crate::ui::submit::form_value::{Errors, cut, duration, filled, form_field, written};
use crate::ui::submit::submit_form::SubmitForm;

/// The form. Every field is text, so that nothing typed is lost when a field is invalid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScheduleForm {
    /// The name of the schedule.
    pub name: String,
    /// The pattern, or an interval.
    pub cron: String,
    /// The time zone of the pattern.
    pub zone: String,
    /// `skip`; any other value allows overlapping runs.
    pub overlap: String,
    /// The lateness after which a run is skipped, as a duration.
    pub max_late: String,
    /// The builder of the pattern.
    pub repeat: RepeatForm,
    /// The fields of its jobs. Those of a start and of an idempotency key stay empty.
    pub job: SubmitForm,
}

/// Fields of the form for a new job that a schedule does not have.
const NOT_OF_A_SCHEDULE: [&str; 6] = ["when", "delay", "at", "run_at", "idempotency_key", "token"];

impl ScheduleForm {
    /// Parses the pairs of a form or a query string and ignores unknown names.
    pub fn of(pairs: &[(String, String)]) -> ScheduleForm {
        let mut form = ScheduleForm::default();
        let mut of_job = Vec::new();
        for (name, value) in pairs {
            let field = match name.as_str() {
                "name" => &mut form.name,
                "cron" => &mut form.cron,
                "zone" => &mut form.zone,
                "overlap" => &mut form.overlap,
                "max_late" => &mut form.max_late,
                name if name.starts_with(repeat::PREFIX) => match form.repeat.field(name) {
                    Some(field) => field,
                    None => continue,
                },
                name if NOT_OF_A_SCHEDULE.contains(&name) => continue,
                _ => {
                    of_job.push((name.clone(), value.clone()));
                    continue;
                }
            };
            value.clone_into(field);
        }
        form.job = SubmitForm::of(&of_job);
        form
    }

    /// The form that edits a stored schedule.
    pub fn stored(schedule: &Schedule, kinds: &Kinds) -> ScheduleForm {
        let ScheduleSpec { cron, labels, spec, overlap, max_late_ms, origin: _ } = &schedule.spec;
        ScheduleForm {
            name: schedule.name.to_string(),
            cron: cron.pattern().to_owned(),
            zone: cron.zone().to_owned(),
            overlap: if *overlap == Overlap::Skip { "skip".into() } else { String::new() },
            max_late: max_late_ms.map(written).unwrap_or_default(),
            repeat: RepeatForm::default(),
            job: SubmitForm::of_spec(labels, spec, kinds),
        }
    }

    /// The form as a page repeats it, with texts cut that are longer than any field accepts.
    pub fn shown(mut self, max_payload: usize) -> ScheduleForm {
        cut([&mut self.name, &mut self.cron, &mut self.zone, &mut self.max_late]);
        ScheduleForm { job: self.job.shown(max_payload), repeat: self.repeat.shown(), ..self }
    }

    /// Sets the pattern to the one of the builder, if that was used since the page was made; what was typed as a pattern
    /// counts otherwise.
    ///
    /// # Errors
    /// The field of the builder that is wrong.
    pub fn follow_builder(&mut self) -> Result<(), RepeatError> {
        if let Some(pattern) = self.repeat.pattern()?.filter(|new| *new != self.repeat.built) {
            self.cron.clone_from(&pattern);
            self.repeat.built = pattern;
        }
        Ok(())
    }

    /// Whether a run is skipped while the previous job is not finished.
    pub fn skips(&self) -> bool {
        self.overlap == "skip"
    }

    /// Parses the name, with the given rule, and the spec. The payload is checked by the schema of the kind, if it has one.
    ///
    /// # Errors
    /// The errors by field.
    pub fn spec(
        &self,
        parse_name: fn(&str) -> Result<ScheduleName, Invalid>,
        schema: Option<&Schema>,
        kinds: &Kinds,
        now: Time,
    ) -> Result<(ScheduleName, ScheduleSpec), Errors> {
        let mut errors = Errors::new();
        let name = parse_name(self.name.trim());
        let name = name.map_err(|error| errors.insert("name".into(), error.to_string())).ok();
        let job = self.job.read(schema, &mut errors);
        let submission = ScheduleSubmission {
            cron: self.cron.clone(),
            zone: filled(&self.zone),
            overlap: if self.skips() { Overlap::Skip } else { Overlap::Allow },
            max_late_ms: duration("max_late", &self.max_late, &mut errors),
            ..ScheduleSubmission::of_jobs(job)
        };
        match (name, submission.into_spec(Origin::Api, kinds, now)) {
            (Some(name), Ok(spec)) if errors.is_empty() => Ok((name, spec)),
            (_, Ok(_)) => Err(errors),
            (_, Err(wrong)) => {
                for FieldError { field, message } in wrong {
                    let field = match field.as_ref() {
                        "cron" => "cron",
                        "zone" => "zone",
                        "max_late_ms" => "max_late",
                        of_a_job => form_field(of_a_job),
                    };
                    errors.entry(field.to_owned()).or_insert(message);
                }
                Err(errors)
            }
        }
    }
}
