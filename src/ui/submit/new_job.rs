//! The page with the submit form. The payload has inputs derived from the kind's schema, or one JSON field. The
//! form is prefilled from the query string, the example of the kind, or an earlier job.

use askama::Template;
use axum::extract::{RawForm, RawQuery, State as Has};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::engine::{Engine, Enqueued, KindInfo, PayloadError, SubmitError, run_blocking};
use crate::http::layers::base_path::Address;
use crate::job::schema::Field;
use crate::job::{Schema, Time};

use super::form_switch::{SwitchedForm, View};
use super::form_value::{Errors, Pairs, pairs};
use super::payload_form::drawable;
use super::payload_input::{Control, Input};
use super::start_at::{self, Start};
use super::submit_form::{PAYLOAD_PREFIX, SubmitForm};
use crate::ui::layout::error::{UiError, sentence};
use crate::ui::layout::page::{Layout, Section, page, see_other};
use crate::ui::parts::curl::Target;
use crate::ui::parts::time_format::TimeText;

#[derive(Template)]
#[template(path = "new_job.html")]
struct NewJobPage {
    layout: Layout,
    form: SubmitForm,
    kinds: Vec<KindChoice>,
    about: String,
    errors: Errors,
    /// The field that gets the focus: the first invalid one.
    focus: String,
    /// A note about how the payload is edited.
    note: String,
    /// The inputs that are always visible.
    inputs: Vec<Input>,
    /// The inputs that are folded away because they are optional and empty.
    more: Vec<Input>,
    /// Whether the payload can be edited by inputs.
    drawable: bool,
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

/// A kind to choose from, with its description.
struct KindChoice {
    name: String,
    about: String,
    chosen: bool,
}

/// Up to this many inputs are all visible at once.
const ALL_SHOWN: usize = 6;

/// `GET /jobs/new`
pub async fn show(
    Has(engine): Has<Engine>,
    address: Address,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, UiError> {
    let pairs = pairs(query.unwrap_or_default().as_bytes())?;
    let given = SubmitForm::of(&pairs);
    let view = View::parse(&given.view);
    let form = match value(&pairs, "from").parse() {
        Ok(id) => engine.job(id).await?.0.as_ref().map(SubmitForm::again).unwrap_or(given),
        Err(_) => given,
    };
    let form = form.within(engine.config().json);
    let kinds = engine.kinds();
    // If no kind is requested, one that needs no setup comes first.
    let first = find(&kinds, "echo").or(kinds.first().copied());
    let asked = find(&kinds, &form.kind);
    let switched = run_blocking(form.size(), || form.opened(asked, first, view));
    form_page(&engine, &address, switched, Errors::new(), StatusCode::OK, &headers).await
}

/// `POST /jobs/new`: renders the form again as it was typed, for another kind or another view. Scripts call it
/// while somebody types, so that the curl command is built in one place.
pub async fn redraw(
    Has(engine): Has<Engine>,
    address: Address,
    headers: HeaderMap,
    RawForm(encoded): RawForm,
) -> Result<Response, UiError> {
    let pairs = pairs(&encoded)?;
    let form = SubmitForm::of(&pairs).within(engine.config().json);
    let kinds = engine.kinds();
    let (old, new) = (find(&kinds, &form.shown), find(&kinds, &form.kind));
    let switched =
        run_blocking(form.size(), || form.switched(old, new, View::parse(value(&pairs, "to"))));
    form_page(&engine, &address, switched, Errors::new(), StatusCode::OK, &headers).await
}

/// `POST /jobs`
pub async fn submit(
    Has(engine): Has<Engine>,
    address: Address,
    headers: HeaderMap,
    RawForm(encoded): RawForm,
) -> Result<Response, UiError> {
    let pairs = pairs(&encoded)?;
    let form = SubmitForm::of(&pairs).within(engine.config().json);
    let kinds = engine.kinds();
    let (old, new) = (find(&kinds, &form.shown), find(&kinds, &form.kind));
    let schema = new.and_then(|info| info.schema.as_ref());
    if form.is_of_another_kind(schema) {
        let mut switched = run_blocking(form.size(), || form.switched(old, new, None));
        switched.note =
            "Nothing was submitted yet: these are the fields of the chosen kind.".into();
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return form_page(&engine, &address, switched, Errors::new(), status, &headers).await;
    }
    let job = match run_blocking(form.size(), || form.new_job(schema)) {
        Ok(job) => job,
        Err(errors) => {
            let switched = run_blocking(form.size(), || form.switched(old, new, None));
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return form_page(&engine, &address, switched, errors, status, &headers).await;
        }
    };
    match engine.enqueue(vec![job]).await {
        Ok(answers) => Ok(to_the_job(answers)),
        Err(error) => {
            let (status, errors) = refused(error, &form, schema);
            let switched = run_blocking(form.size(), || form.switched(old, new, None));
            form_page(&engine, &address, switched, errors, status, &headers).await
        }
    }
}

fn value<'a>(pairs: &'a Pairs, name: &str) -> &'a str {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).unwrap_or_default()
}

fn find<'a>(kinds: &[&'a KindInfo], name: &str) -> Option<&'a KindInfo> {
    kinds.iter().find(|info| info.kind.as_str() == name).copied()
}

/// Maps a refusal by the engine to the error of the field that caused it.
fn refused(error: SubmitError, form: &SubmitForm, schema: Option<&Schema>) -> (StatusCode, Errors) {
    let (field, shown) = match error {
        SubmitError::Enqueue(error) => ("", UiError::from(error)),
        SubmitError::Payload(error) => {
            let field = match error {
                PayloadError::UnknownKind { .. } => "kind",
                PayloadError::Invalid { .. }
                | PayloadError::TooLarge { .. }
                | PayloadError::TooComplex { .. } => {
                    if form.drawn(schema).is_some() {
                        ""
                    } else {
                        "payload"
                    }
                }
            };
            (field, UiError::from(error))
        }
    };
    let message = match field {
        "" => format!("{}. {} {}", shown.title, shown.message, shown.advice),
        _ => shown.message,
    };
    (shown.status, Errors::from([(field.to_owned(), message)]))
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
    address: &Address,
    switched: SwitchedForm,
    errors: Errors,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Response, UiError> {
    let stats = engine.stats().await?;
    let queues = stats.queues.keys().map(ToString::to_string).collect();
    let (target, now) = (Target::of(headers, address), engine.now());
    let max_payload = engine.config().max_payload;
    Ok(run_blocking(switched.form.size(), || {
        let switched = SwitchedForm { form: switched.form.shown(max_payload), ..switched };
        page(
            status,
            &NewJobPage::of(&engine.kinds(), switched, errors, queues, address, &target, now),
        )
    }))
}

/// The first invalid field, in the order of the page.
fn first_wrong(errors: &Errors, inputs: &[Input], more: &[Input]) -> String {
    const OPTIONS: [&str; 11] = [
        "queue",
        "priority",
        "delay",
        "at",
        "zone",
        "max_attempts",
        "timeout",
        "backoff_base",
        "backoff_cap",
        "tags",
        "idempotency_key",
    ];
    let inputs = inputs.iter().chain(more).map(|input| input.name.as_str());
    let mut order = ["kind", "payload"].into_iter().chain(inputs).chain(OPTIONS);
    order.find(|name| errors.contains_key(*name)).unwrap_or_default().to_owned()
}

fn refusal(errors: &Errors) -> String {
    let one = |(field, message): (&String, &String)| match field.strip_prefix(PAYLOAD_PREFIX) {
        Some(property) => format!("{property}: {message}"),
        None if field.is_empty() => message.clone(),
        None => format!("{}: {message}", field.replace('_', " ")),
    };
    sentence(&errors.iter().map(one).collect::<Vec<String>>().join("; "))
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
        Start::Now => StartText { before: "As soon as a slot is free.", ..StartText::default() },
        Start::In => match form.starts_in() {
            Some(wait) => text("Not before", now.after(wait), "."),
            None => StartText::default(),
        },
        Start::At => match form.starts_at() {
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

impl KindChoice {
    fn of(info: &KindInfo, chosen: &str) -> KindChoice {
        let name = info.kind.to_string();
        KindChoice { chosen: name == chosen, about: info.about.clone(), name }
    }
}

impl NewJobPage {
    fn of(
        kinds: &[&KindInfo],
        SwitchedForm { form, note }: SwitchedForm,
        errors: Errors,
        queues: Vec<String>,
        address: &Address,
        target: &Target,
        now: Time,
    ) -> NewJobPage {
        let form = form.with_token();
        let chosen = find(kinds, &form.kind);
        let schema = chosen.and_then(|info| info.schema.as_ref());
        let drawn = form.drawn(schema);
        let fields = drawn.and_then(|schema| drawable(Some(schema))).unwrap_or_default();
        let wrong = |name: &str| errors.get(&format!("{PAYLOAD_PREFIX}{name}"));
        let input =
            |(n, field): (usize, &Field)| Input::new(n, field, &form.fields, wrong(&field.name));
        let inputs = (0..).zip(fields).map(input);
        let (inputs, more): (Vec<Input>, Vec<Input>) =
            inputs.partition(|input| fields.len() <= ALL_SHOWN || input.is_needed());
        let focus = first_wrong(&errors, &inputs, &more);
        let option = |field: &String| {
            !matches!(field.as_str(), "" | "kind" | "payload") && !field.starts_with(PAYLOAD_PREFIX)
        };
        NewJobPage {
            layout: Layout::fixed(address, "New job", Section::NewJob, now),
            kinds: kinds.iter().map(|info| KindChoice::of(info, &form.kind)).collect(),
            about: chosen.map(|info| info.about.clone()).unwrap_or_default(),
            open: errors.keys().any(option) || form.has_options(),
            drawable: drawable(schema).is_some(),
            starts: starts(&form, now),
            curl: form.curl(target, schema),
            refusal: if errors.is_empty() {
                form.new_job(schema).err().map(|it| refusal(&it)).unwrap_or_default()
            } else {
                String::new()
            },
            queues,
            zone_names: start_at::knows_names(),
            focus,
            note,
            inputs,
            more,
            errors,
            form,
        }
    }

    /// Whether the form names a kind without a handler. The page keeps such a kind in the list.
    fn kind_is_unknown(&self) -> bool {
        !self.form.kind.is_empty() && !self.kinds.iter().any(|kind| kind.chosen)
    }

    /// The error of a field as a sentence; empty when the field is valid.
    fn wrong(&self, field: &str) -> String {
        self.errors.get(field).map(|message| sentence(message)).unwrap_or_default()
    }

    /// Whether this kind of start is chosen.
    fn starts_by(&self, way: Start) -> bool {
        self.form.starts() == way
    }

    /// The number of fields that are marked as invalid.
    fn marked(&self) -> usize {
        self.errors.keys().filter(|field| !field.is_empty()).count()
    }

    /// The time zone, or the default when none was given.
    fn zone(&self) -> &str {
        if self.form.zone.is_empty() { "UTC" } else { &self.form.zone }
    }
}
