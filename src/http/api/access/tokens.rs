//! `/api/v1/tokens`: lists, creates and revokes tokens. Only the answer to the creation has the text of a token.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::fields::{PathName, role};
use crate::access::{AccessApplied, AccessCommand, AccessRefusal, NewToken, Token};
use crate::http::access::Acting;
use crate::http::api::extract::{JsonBody, NoBody, NoQuery, read_fields};
use crate::http::api::idempotency::NoIdempotencyKey;
use crate::http::view::Displayed;
use crate::http::{Api, Problem, json};
use crate::job::fields::REQUIRED;
use crate::job::{Actor, FieldErrors, Fields, Invalid, Kind, QueueName, Time, TokenId, TokenName};
use crate::units::parse_duration;

#[derive(Serialize)]
struct TokensView<'a> {
    tokens: Vec<TokenView<'a>>,
}

#[derive(Serialize)]
struct TokenView<'a> {
    id: &'a str,
    name: &'a str,
    role: &'static str,
    /// The queues that it is restricted to; null if it is not.
    queues: Option<&'a [QueueName]>,
    /// The kinds that it is restricted to; null if it is not.
    kinds: Option<&'a [Kind]>,
    created_at: Displayed<Time>,
    /// Null if it never expires.
    expires_at: Option<Displayed<Time>>,
    /// To about a minute; null if it was never used.
    last_used_at: Option<Displayed<Time>>,
    created_by: Option<&'a Actor>,
    /// The text, which is shown only in the answer to the creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

impl<'a> TokenView<'a> {
    fn of(token: &'a Token) -> TokenView<'a> {
        TokenView {
            id: token.id.as_str(),
            name: token.name.as_str(),
            role: token.role.as_str(),
            queues: token.queues.as_deref(),
            kinds: token.kinds.as_deref(),
            created_at: Displayed(token.created_at),
            expires_at: token.expires_at.map(Displayed),
            last_used_at: token.last_used_at.map(Displayed),
            created_by: token.created_by.as_ref(),
            token: None,
        }
    }
}

/// Lists the tokens by name, without their texts.
pub async fn list(State(api): State<Api>, _: NoQuery) -> Response {
    let table = api.engine.access_table().borrow().clone();
    let tokens = table.tokens();
    json(&TokensView { tokens: tokens.into_iter().map(|token| TokenView::of(token)).collect() })
}

/// Creates a token, `{"name","role","queues"?,"kinds"?,"expires_in" or "expires_at"?}`, and answers 201 with it and its text.
pub async fn create(
    Acting(api): Acting<Api>,
    _: NoQuery,
    _: NoIdempotencyKey,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let now = api.engine.now();
    let new = read_fields(&body, |fields, errors| {
        let name = fields.required_text("name", errors);
        let name = name.and_then(|name| errors.take("name", TokenName::parse(&name)));
        let role = role(fields, errors);
        let queues = names("queues", QueueName::parse, fields, errors);
        let kinds = names("kinds", Kind::parse, fields, errors);
        let expires_at = expiry(fields, errors, now);
        Some((name?, role?, queues, kinds, expires_at))
    })?;
    let (name, role, queues, kinds, expires_at) =
        new.ok_or_else(|| Problem::invalid_field("name", REQUIRED))?;
    let (new, text) = NewToken::generate(name, role)?;
    let new = NewToken { queues, kinds, expires_at, ..new };
    let applied = api.engine.access(AccessCommand::AddToken(new)).await?;
    let AccessApplied::Token(token) = applied else { return Err(no_such_token()) };
    let view = TokenView { token: Some(text.expose()), ..TokenView::of(&token) };
    Ok((StatusCode::CREATED, json(&view)).into_response())
}

/// A list of names that restricts the token. An empty one would allow nothing.
fn names<T>(
    field: &'static str,
    parse: fn(&str) -> Result<T, Invalid>,
    fields: &mut Fields<'_>,
    errors: &mut FieldErrors,
) -> Option<Vec<T>> {
    let texts = fields.texts(field, errors)?;
    if texts.is_empty() {
        errors.add(field, "must have at least one name, or be left out for no restriction");
    }
    let name = |(at, text): (usize, &std::borrow::Cow<'_, str>)| {
        errors.take(format!("{field}[{at}]"), parse(text))
    };
    Some(texts.iter().enumerate().filter_map(name).collect())
}

/// When the token expires: after a time that this server measures, or at a time of day.
fn expiry(fields: &mut Fields<'_>, errors: &mut FieldErrors, now: Time) -> Option<Time> {
    let at = fields.text("expires_at", errors);
    let after = fields.text("expires_in", errors);
    match (at, after) {
        (Some(_), Some(_)) => {
            errors.add("expires_in", "cannot be given with expires_at");
            None
        }
        (None, Some(text)) => {
            let refused = |_| format!("must be a duration such as 12h or 90d, but is {text:?}");
            let after = errors.take("expires_in", parse_duration(&text).map_err(refused))?;
            if after.is_zero() {
                errors.add("expires_in", "must be longer than 0s");
            }
            Some(now.after(after))
        }
        (Some(text), None) => {
            let time = errors.take("expires_at", text.parse::<Time>())?;
            if time <= now {
                errors.add("expires_at", "must be in the future");
            }
            Some(time)
        }
        (None, None) => None,
    }
}

/// Revokes a token: it is not accepted any more, and sessions that were opened with it end. Answers 204.
pub async fn revoke(
    Acting(api): Acting<Api>,
    _: NoQuery,
    PathName(id): PathName,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    let id = TokenId::stored(&id).map_err(|_| no_such_token())?;
    api.engine.access(AccessCommand::RevokeToken(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn no_such_token() -> Problem {
    AccessRefusal::NotFound { what: "token" }.into()
}
