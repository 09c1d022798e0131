//! The page with the submit form. The payload has inputs derived from the kind's schema, or one JSON field. The
//! form is prefilled from the query string, the example of the kind, or an earlier job.

use askama::Template;
use axum::extract::{RawQuery, State as Has};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::engine::{Engine, EnqueueError, Enqueued, Kinds, SubmitError, run_blocking};
use crate::http::access::Acting;
use crate::job::Time;

use super::form_switch::{SwitchedForm, View};
use super::form_value::{Errors, pairs};
use super::job_fields::{JobFields, find, first, refused, refused_payload};
use super::payload_form::schema_of;
use super::payload_input::InputControl;
use super::posted::{JobForm, JobRedrawForm, check_inputs};
use super::start_at::{self, StartChoice};
use super::submit_form::{PAYLOAD_PREFIX, SubmitForm};
use crate::ui::layout::error::{UiError, sentence};
use crate::ui::layout::form_fields::{PostedForm, value};
use crate::ui::layout::page::{Layout, Section, page, see_other};
use crate::ui::layout::visit::Visit;
use crate::ui::parts::curl::CurlTarget;
use crate::ui::parts::time_format::TimeText;

#[derive(Template)]
#[template(path = "new_job.html")]
struct NewJobPage {
    layout: Layout,
    job: JobFields,
    open: bool,
    /// When the job would start, in words.
    starts: StartText,
    curl: String,
    /// Why the form would be refused as it is.
    refusal: String,
    queues: Vec<String>,
    /// Whether this machine knows time zones by name.
    zone_names: bool,
}

/// `GET /jobs/new`
pub async fn show(
    Has(engine): Has<Engine>,
    visit: Visit,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, UiError> {
    let pairs = pairs(query.unwrap_or_default().as_bytes())?;
    let given = SubmitForm::of(&pairs);
    let view = View::parse(&given.view);
    let kinds = engine.kinds();
    let form = match value(&pairs, "from").parse() {
        Ok(id) => {
            let job = engine.job(id).await?.0;
            job.map_or(given, |job| SubmitForm::resubmitting(&job, kinds))
        }
        Err(_) => given,
    };
    let form = form.within(engine.config().json);
    let (asked, first) = (find(kinds, &form.kind), first(kinds));
    let switched = run_blocking(form.size(), || form.opened(asked.as_ref(), first.as_ref(), view));
    form_page(&engine, &visit, switched, Errors::new(), StatusCode::OK, &headers).await
}

/// `POST /jobs/new`: renders the form again as it was typed, for another kind or another view. Scripts call it
/// while somebody types, so that the curl command is built in one place.
pub async fn redraw(
    Has(engine): Has<Engine>,
    visit: Visit,
    headers: HeaderMap,
    posted: PostedForm<JobRedrawForm>,
) -> Result<Response, UiError> {
    let form = SubmitForm::of(&posted.pairs).within(engine.config().json);
    let kinds = engine.kinds();
    let (old, new) = (find(kinds, &form.shown), find(kinds, &form.kind));
    let to = View::parse(posted.value("to"));
    let switched = run_blocking(form.size(), || form.switched(old.as_ref(), new.as_ref(), to));
    form_page(&engine, &visit, switched, Errors::new(), StatusCode::OK, &headers).await
}

/// `POST /jobs`
pub async fn submit(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    headers: HeaderMap,
    posted: PostedForm<JobForm>,
) -> Result<Response, UiError> {
    let form = SubmitForm::of(&posted.pairs).within(engine.config().json);
    let kinds = engine.kinds();
    let (old, new) = (find(kinds, &form.shown), find(kinds, &form.kind));
    let (old, new) = (old.as_ref(), new.as_ref());
    let schema = schema_of(new);
    if form.is_of_another_kind(schema) {
        let mut switched = run_blocking(form.size(), || form.switched(old, new, None));
        switched.note =
            "Nothing has been submitted yet: these are the fields of the selected kind.".into();
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return form_page(&engine, &visit, switched, Errors::new(), status, &headers).await;
    }
    if let Err(problem) = check_inputs(&form, schema, &posted.pairs) {
        return Ok(problem.into_response());
    }
    let job = match run_blocking(form.size(), || form.new_job(schema, kinds)) {
        Ok(job) => job,
        Err(errors) => {
            let switched = run_blocking(form.size(), || form.switched(old, new, None));
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return form_page(&engine, &visit, switched, errors, status, &headers).await;
        }
    };
    match engine.enqueue(vec![job]).await {
        Ok(answers) => Ok(to_the_job(answers)),
        Err(error) => {
            let (status, errors) = match error {
                SubmitError::Enqueue(error @ EnqueueError::KeyReused(_)) => {
                    let key = ("idempotency_key".to_owned(), error.to_string());
                    (StatusCode::UNPROCESSABLE_ENTITY, Errors::from([key]))
                }
                SubmitError::Enqueue(error) => refused(error.into()),
                SubmitError::Payload(error) => refused_payload(error, &form, schema),
            };
            let switched = run_blocking(form.size(), || form.switched(old, new, None));
            form_page(&engine, &visit, switched, errors, status, &headers).await
        }
    }
}

fn to_the_job(answers: Vec<Enqueued>) -> Response {
    let target = match answers.first() {
        Some(Enqueued::New(job)) => format!("jobs/{}", job.id),
        Some(Enqueued::Existing(job)) => format!("jobs/{}?already=1", job.id),
        None => "jobs".into(), // cannot happen: the engine returns one answer for each job
    };
    see_other(&target).into_response()
}

async fn form_page(
    engine: &Engine,
    visit: &Visit,
    switched: SwitchedForm,
    errors: Errors,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Response, UiError> {
    let stats = engine.stats().await?;
    let queues = stats.queues.keys().map(ToString::to_string).collect();
    let target = CurlTarget::of(headers, visit, visit.principal());
    let now = engine.now();
    let max_payload = engine.config().max_payload;
    Ok(run_blocking(switched.form.size(), || {
        let switched = SwitchedForm { form: switched.form.shown(max_payload), ..switched };
        page(status, &NewJobPage::of(engine.kinds(), switched, errors, queues, visit, &target, now))
    }))
}

fn refusal(errors: &Errors) -> String {
    let one = |(field, message): (&String, &String)| match field.strip_prefix(PAYLOAD_PREFIX) {
        Some(property) => format!("{property}: {message}"),
        None if field.is_empty() => message.clone(),
        None => format!("{}: {message}", label(field)),
    };
    sentence(&errors.iter().map(one).collect::<Vec<String>>().join("; "))
}

/// The name of a field as people read it: `max_attempts` is `Max attempts`.
fn label(field: &str) -> String {
    let words = field.replace('_', " ");
    let mut chars = words.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// The chosen start in words, around its time. All parts are empty when it is invalid.
#[derive(Default)]
struct StartText {
    before: &'static str,
    at: Option<TimeText>,
    after: &'static str,
}

/// Describes the chosen start.
fn starts(form: &SubmitForm, now: Time) -> StartText {
    let text = |before, at, after| StartText { before, at: Some(TimeText::new(at, now)), after };
    match form.starts() {
        StartChoice::Now => {
            StartText { before: "As soon as a slot is free.", ..StartText::default() }
        }
        StartChoice::In => match form.starts_in() {
            Some(wait) => text("Not before", now.after(wait), "."),
            None => StartText::default(),
        },
        StartChoice::At => match form.starts_at() {
            Some(start) if start.at <= now => {
                text("The job starts at once, because this time has passed:", start.at, ".")
            }
            Some(start) if start.first_of_two => text(
                "Not before",
                start.at,
                ". Clocks go back at that time; the earlier of the two is used.",
            ),
            Some(start) => text("Not before", start.at, "."),
            None => StartText::default(),
        },
    }
}

impl NewJobPage {
    fn of(
        kinds: &Kinds,
        switched: SwitchedForm,
        errors: Errors,
        queues: Vec<String>,
        visit: &Visit,
        target: &CurlTarget,
        now: Time,
    ) -> NewJobPage {
        let switched = SwitchedForm { form: switched.form.with_token(), ..switched };
        let job = JobFields::of(kinds, switched, errors, &[]);
        let chosen = find(kinds, &job.form.kind);
        let schema = schema_of(chosen.as_ref());
        NewJobPage {
            layout: Layout::still(visit, "New job", Section::NewJob, now),
            open: job.shows_options(),
            starts: starts(&job.form, now),
            curl: job.form.curl(target, schema),
            refusal: if job.errors.is_empty() {
                job.form.new_job(schema, kinds).err().map(|it| refusal(&it)).unwrap_or_default()
            } else {
                String::new()
            },
            queues,
            zone_names: start_at::has_zone_names(),
            job,
        }
    }

    /// Whether this kind of start is chosen.
    fn starts_by(&self, way: StartChoice) -> bool {
        self.job.form.starts() == way
    }

    /// The time zone, or the default when none was given.
    fn zone(&self) -> &str {
        let zone = self.job.form.zone.as_str();
        if zone.is_empty() { "UTC" } else { zone }
    }
}
