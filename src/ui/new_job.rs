//! The submit form: prefilled by query string, by a kind's example, or by a job that is to run again.

use askama::Template;
use axum::Form;
use axum::extract::{Query, State as Has};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::engine::{Engine, EngineError, Enqueued};
use crate::http::base_path;

use super::error::{UiError, sentence};
use super::json_text;
use super::shell::{Section, Shell, page, see_other};
use super::submit_form::{Errors, SubmitForm};

#[derive(Template)]
#[template(path = "new_job.html")]
struct NewJobPage {
    shell: Shell,
    form: SubmitForm,
    kinds: Vec<KindChoice>,
    about: String,
    errors: Errors,
    open: bool,
    curl: String,
    queues: Vec<String>,
}

/// A kind to choose from, with what helps to choose.
struct KindChoice {
    name: String,
    about: String,
    example: String,
    chosen: bool,
}

/// Which job the form is to be filled from, if any.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Source {
    from: String,
}

/// `GET /jobs/new`
pub async fn show(
    Has(engine): Has<Engine>,
    Query(source): Query<Source>,
    Query(given): Query<SubmitForm>,
    headers: HeaderMap,
) -> Result<Response, UiError> {
    let mut form = match source.from.parse() {
        Ok(id) => engine.job(id).await?.0.as_ref().map(SubmitForm::again).unwrap_or(given),
        Err(_) => given,
    };
    let kinds = engine.kinds();
    let find = |name: &str| kinds.iter().find(|info| info.kind.as_str() == name);
    // Without a wish, a kind that needs nothing set up comes first.
    let chosen = find(&form.kind).or_else(|| find("echo")).or(kinds.first());
    if let Some(info) = chosen {
        if form.kind.is_empty() {
            form.kind = info.kind.to_string();
        }
        if form.payload.is_empty() && form.kind == info.kind.as_str() {
            form.payload = json_text::pretty(&info.example);
        }
    }
    form_page(&engine, form, Errors::new(), StatusCode::OK, &headers).await
}

/// `POST /jobs`
pub async fn submit(
    Has(engine): Has<Engine>,
    headers: HeaderMap,
    Form(form): Form<SubmitForm>,
) -> Result<Response, UiError> {
    let job = form.new_job();
    let job = match job {
        Ok(job) => job,
        Err(errors) => {
            return form_page(&engine, form, errors, StatusCode::UNPROCESSABLE_ENTITY, &headers)
                .await;
        }
    };
    match engine.enqueue(vec![job]).await {
        Ok(answers) => Ok(to_the_job(answers)),
        Err(error) => refused(&engine, form, error, &headers).await,
    }
}

/// Nothing was accepted: the form again, with what was typed and the reason beside its field.
async fn refused(
    engine: &Engine,
    form: SubmitForm,
    error: EngineError,
    headers: &HeaderMap,
) -> Result<Response, UiError> {
    let field = match &error {
        EngineError::UnknownKind { .. } => "kind",
        EngineError::PayloadTooLarge { .. } => "payload",
        EngineError::Invalid(_) | EngineError::Store(_) => "",
    };
    let shown = UiError::from(error);
    let message = match field {
        "" => format!("{}. {} {}", shown.title, shown.message, shown.advice),
        _ => shown.message,
    };
    form_page(engine, form, Errors::from([(field, message)]), shown.status, headers).await
}

fn to_the_job(answers: Vec<Enqueued>) -> Response {
    let target = match answers.first() {
        Some(Enqueued::New(job)) => format!("jobs/{}", job.id),
        Some(Enqueued::Existing(job)) => format!("jobs/{}?already=1", job.id),
        None => "jobs".into(), // cannot be: one job in, one answer out
    };
    see_other(&target).into_response()
}

async fn form_page(
    engine: &Engine,
    form: SubmitForm,
    errors: Errors,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Response, UiError> {
    let form = form.with_token();
    let kinds: Vec<KindChoice> = engine
        .kinds()
        .into_iter()
        .map(|info| KindChoice {
            name: info.kind.to_string(),
            about: info.about.clone(),
            example: json_text::pretty(&info.example),
            chosen: info.kind.as_str() == form.kind,
        })
        .collect();
    let queues = engine.stats().await?.queues.keys().map(ToString::to_string).collect();
    let option_errors = errors.keys().any(|field| !matches!(*field, "" | "kind" | "payload"));
    let view = NewJobPage {
        shell: Shell::still("New job", Section::NewJob),
        about: kinds
            .iter()
            .find(|kind| kind.chosen)
            .map(|kind| kind.about.clone())
            .unwrap_or_default(),
        open: option_errors || form.has_options(),
        curl: form.curl(&origin(headers)),
        kinds,
        errors,
        queues,
        form,
    };
    Ok(page(status, &view))
}

impl NewJobPage {
    /// Whether the form asks for a kind that cannot run here: it is offered as it was asked for.
    fn kind_is_unknown(&self) -> bool {
        !self.form.kind.is_empty() && !self.kinds.iter().any(|kind| kind.chosen)
    }

    /// What is wrong with a field, as a sentence; empty when nothing is.
    fn wrong(&self, field: &str) -> String {
        self.errors.get(field).map(|message| sentence(message)).unwrap_or_default()
    }
}

/// Where the browser says it reaches this server, base path and all; for the curl line only.
fn origin(headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or("127.0.0.1:8080");
    let scheme = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    let scheme = scheme.filter(|scheme| *scheme == "https").unwrap_or("http");
    format!("{scheme}://{host}{}", base_path::url("").trim_end_matches('/'))
}
