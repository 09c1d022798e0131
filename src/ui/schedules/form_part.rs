//! The form of a schedule as its pages show it: prefilled, switched to another kind or view, or with errors.

use axum::http::StatusCode;

use super::repeat::{self, RepeatForm};
use super::schedule_form::ScheduleForm;
use crate::engine::{Engine, run_blocking};
use crate::job::{Cron, CronError};
use crate::ui::layout::error::UiError;
use crate::ui::parts::time_format::TimeText;
use crate::ui::submit::form_switch::{SwitchedForm, View};
use crate::ui::submit::form_value::Errors;
use crate::ui::submit::job_fields::{JobFields, find, first};
use crate::ui::submit::start_at;

/// The number of upcoming runs that are shown.
pub const UPCOMING: usize = 5;

/// The form, which the page of a schedule and the page for a new one share.
pub struct FormPart {
    /// What was typed.
    pub form: ScheduleForm,
    /// The fields of its jobs.
    pub job: JobFields,
    /// The queues that exist.
    pub queues: Vec<String>,
    /// The address that renders the form again for another kind, another view or a preview.
    pub redraw: String,
    /// Whether the form was sent and not accepted.
    pub is_refused: bool,
    /// Whether the options are unfolded.
    pub open: bool,
    /// The pattern in words; empty when it is invalid.
    pub in_words: String,
    /// The next runs.
    pub upcoming: Vec<TimeText>,
    /// Whether this machine knows time zones by name.
    pub zone_names: bool,
}

/// A form, its errors, and a note about how the payload is edited.
pub struct Draft {
    /// What was typed.
    pub form: ScheduleForm,
    /// How the payload is edited; usually empty.
    pub note: String,
    /// The errors by field.
    pub errors: Errors,
    /// The status of the page.
    pub status: StatusCode,
}

/// The fields above those of the job.
const BEFORE_THE_JOB: [&str; 9] = [
    "name",
    "repeat_minutes",
    "repeat_hours",
    "repeat_minute",
    "repeat_weekday",
    "repeat_day",
    "repeat_times",
    "cron",
    "zone",
];

impl FormPart {
    /// Looks up what the page shows besides the form.
    pub async fn of(engine: &Engine, draft: Draft, redraw: String) -> Result<FormPart, UiError> {
        let now = engine.now();
        let Draft { form, note, errors, status } = draft;
        let mut form = form.shown(engine.config().max_payload);
        if !errors.keys().any(|field| field.starts_with(repeat::PREFIX)) {
            form.repeat = RepeatForm::of_pattern(&form.cron);
        }
        let read = run_blocking(usize::MAX, || {
            let cron = Cron::parse(&form.cron, &form.zone, now).ok()?;
            Some((cron.in_words(), cron.upcoming(now, UPCOMING)))
        });
        let (in_words, upcoming) = read.unwrap_or_default();
        let stats = engine.stats().await?;
        let switched = SwitchedForm { form: form.job.clone(), note };
        let job = run_blocking(form.job.size(), || {
            JobFields::of(engine.kinds(), switched, errors, &BEFORE_THE_JOB)
        });
        let open = form.job.has_options()
            || form.skips()
            || !form.max_late.is_empty()
            || job.errors.keys().any(|field| OPTIONS.contains(&field.as_str()));
        Ok(FormPart {
            queues: stats.queues.keys().map(ToString::to_string).collect(),
            in_words,
            upcoming: upcoming.into_iter().map(|at| TimeText::new(at, now)).collect(),
            zone_names: start_at::has_zone_names(),
            redraw,
            is_refused: status.is_client_error(),
            open,
            form,
            job,
        })
    }
}

impl FormPart {
    /// The choices of how often it repeats.
    pub fn choices(&self) -> [(&'static str, &'static str); 7] {
        repeat::CHOICES
    }

    /// The weekdays of the builder.
    pub fn weekdays(&self) -> [(&'static str, &'static str); 7] {
        repeat::WEEKDAYS
    }
}

/// The fields that are folded away.
const OPTIONS: [&str; 8] = [
    "max_late",
    "queue",
    "priority",
    "max_attempts",
    "timeout",
    "backoff_base",
    "backoff_cap",
    "tags",
];

impl Draft {
    fn valid(form: ScheduleForm, note: String) -> Draft {
        Draft { form, note, errors: Errors::new(), status: StatusCode::OK }
    }

    /// The form as it opens: with the example of its kind unless a payload was given.
    pub fn opened(engine: &Engine, form: ScheduleForm) -> Draft {
        let kinds = engine.kinds();
        let (asked, view) = (find(kinds, &form.job.kind), View::parse(&form.job.view));
        let (first, job) = (first(kinds), form.job.clone().within(engine.config().json));
        let SwitchedForm { form: job, note } =
            run_blocking(job.size(), || job.opened(asked.as_ref(), first.as_ref(), view));
        Draft::valid(ScheduleForm { job, ..form }, note)
    }

    /// The form as it was sent, for the kind that is chosen now. `to` is the view to change to.
    pub fn switched(engine: &Engine, form: ScheduleForm, to: &str) -> Draft {
        let kinds = engine.kinds();
        let (old, new) = (find(kinds, &form.job.shown), find(kinds, &form.job.kind));
        let job = form.job.clone().within(engine.config().json);
        let SwitchedForm { form: job, note } =
            run_blocking(job.size(), || job.switched(old.as_ref(), new.as_ref(), View::parse(to)));
        Draft::valid(ScheduleForm { job, ..form }, note)
    }

    /// The form with the errors of a pattern that is being typed.
    pub fn previewed(engine: &Engine, mut form: ScheduleForm, to: &str) -> Draft {
        let built = form.follow_builder();
        let mut draft = Draft::switched(engine, form, to);
        let (cron, zone) = (&draft.form.cron, &draft.form.zone);
        let parsed = run_blocking(usize::MAX, || Cron::parse(cron, zone, engine.now()));
        // Nothing has been typed yet where the pattern is empty.
        let is_empty = cron.trim().is_empty();
        for wrong in parsed.err().into_iter().flatten() {
            if !is_empty || matches!(wrong, CronError::Zone(_)) {
                draft.errors.insert(wrong.field().into(), wrong.to_string());
            }
        }
        draft.errors.extend(built.err().map(|(field, why)| (field.into(), why)));
        draft
    }

    /// The form with the errors of a refusal.
    pub fn refused(self, (status, errors): (StatusCode, Errors)) -> Draft {
        Draft { status, errors, ..self }
    }
}
