//! The fields of the forms that pages send. A field that is unknown, repeated without being a list, or not one of its
//! choices is refused with the words of the API: a form that is read only in part does something else than was meant.

use std::marker::PhantomData;

use axum::body::Bytes;
use axum::extract::{FromRequest, RawForm, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::http::Problem;
use crate::job::FieldErrors;
use crate::job::fields::{REPEATED, REQUIRED, unknown};
use crate::job::shorten::{MAX_ERRORS, MAX_NAME, shorten};
use crate::ui::submit::form_value::{Pairs, pairs};

/// The fields that the form at an address accepts.
pub trait Accepts {
    /// Those that may be sent only once.
    const ONCE: &'static [&'static str];
    /// Those that may be repeated; each adds a value.
    const LISTS: &'static [&'static str] = &[];
    /// Those that must be sent, although they may be empty.
    const REQUIRED: &'static [&'static str] = &[];
    /// The choices of a field that has choices.
    const CHOICES: &'static [Choices] = &[];
    /// The prefix of the names of inputs that depend on a schema, which the page checks itself.
    const INPUTS: Option<&'static str> = None;
}

/// The name of a field and its choices. An empty field chooses nothing.
pub type Choices = (&'static str, &'static [&'static str]);

/// A button without fields.
pub struct NoFields;

impl Accepts for NoFields {
    const ONCE: &'static [&'static str] = &[];
}

/// A button that sends the page on which it was pressed.
pub struct OnlyFrom;

impl Accepts for OnlyFrom {
    const ONCE: &'static [&'static str] = &["from"];
}

/// The body of a form, whose fields have been checked.
pub struct PostedForm<A> {
    /// The body as it was sent.
    pub encoded: Bytes,
    /// The names and the values of its fields.
    pub pairs: Pairs,
    accepted: PhantomData<A>,
}

impl<A> PostedForm<A> {
    /// The value of a field; empty when it was not sent.
    pub fn value(&self, name: &str) -> &str {
        value(&self.pairs, name)
    }
}

/// The value of a field of a form or a query; empty when it was not sent.
pub fn value<'a>(pairs: &'a Pairs, name: &str) -> &'a str {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).unwrap_or_default()
}

impl<A: Accepts, S: Send + Sync> FromRequest<S> for PostedForm<A> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let encoded = body(request, state).await?;
        let pairs = pairs(&encoded).map_err(IntoResponse::into_response)?;
        check::<A>(&pairs).map_err(IntoResponse::into_response)?;
        Ok(PostedForm { encoded, pairs, accepted: PhantomData })
    }
}

/// The body of a form. A form without fields needs no body, and then no type.
async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Response> {
    if request.headers().contains_key(CONTENT_TYPE) {
        let form = RawForm::from_request(request, state).await;
        return form.map(|RawForm(encoded)| encoded).map_err(IntoResponse::into_response);
    }
    match Bytes::from_request(request, state).await {
        Ok(empty) if empty.is_empty() => Ok(empty),
        Ok(_) => Err(StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response()),
        Err(rejection) => Err(rejection.into_response()),
    }
}

fn check<A: Accepts>(pairs: &Pairs) -> Result<(), Problem> {
    let mut errors = FieldErrors::default();
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in pairs {
        let name = name.as_str();
        if A::ONCE.contains(&name) {
            if seen.contains(&name) {
                errors.add(name.to_owned(), REPEATED);
            } else {
                seen.push(name);
            }
            let choices = A::CHOICES.iter().find(|(field, _)| *field == name);
            if let Some((_, choices)) = choices
                && !value.is_empty()
                && !choices.contains(&value.as_str())
            {
                errors.add(name.to_owned(), not_a_choice(value, choices));
            }
        } else if !A::LISTS.contains(&name) && A::INPUTS.is_none_or(|it| !name.starts_with(it)) {
            errors.add(shorten(name, MAX_NAME), unknown_field::<A>());
        }
        if errors.len() > 2 * MAX_ERRORS {
            break; // the answer lists fewer
        }
    }
    for name in A::REQUIRED {
        if !seen.contains(name) {
            errors.add(*name, REQUIRED);
        }
    }
    errors.finish(()).map_err(Problem::invalid_fields)
}

fn not_a_choice(value: &str, choices: &[&str]) -> String {
    let (last, others) = choices.split_last().unwrap_or((&"", &[]));
    let value = shorten(value, MAX_NAME);
    format!("must be {} or {last}, but is {value:?}", others.join(", "))
}

fn unknown_field<A: Accepts>() -> String {
    match [A::ONCE, A::LISTS].concat().as_slice() {
        [] => "is not known; this form has no fields".to_owned(),
        known => unknown(known),
    }
}
