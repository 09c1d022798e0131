//! The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header): the key of a submission, beside its body.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};

use crate::http::Problem;
use crate::job::{IdempotencyKey, NewJob};

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const FORM: &str = "expected one key, such as \"8e03978e-40d5-43dd-bc93-6894a57f9324\"";

/// The key in the header of a request, if it has one.
pub struct HeaderKey(pub Option<IdempotencyKey>);

impl HeaderKey {
    /// Gives the key to a job.
    ///
    /// # Errors
    /// The body has another key.
    pub fn add_to(self, mut job: NewJob) -> Result<NewJob, Problem> {
        let Some(key) = self.0 else { return Ok(job) };
        match &job.spec.idempotency_key {
            Some(given) if *given != key => {
                Err(refused("the Idempotency-Key header and idempotency_key in the body differ"))
            }
            Some(_) => Ok(job),
            None => {
                Arc::make_mut(&mut job.spec).idempotency_key = Some(key);
                Ok(job)
            }
        }
    }

    /// Refuses the header where a body has a key for each of its jobs.
    ///
    /// # Errors
    /// The request has the header.
    pub fn must_be_absent(self, why: &str) -> Result<(), Problem> {
        match self.0 {
            Some(_) => Err(refused(why)),
            None => Ok(()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for HeaderKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parse(&parts.headers).map(HeaderKey)
    }
}

/// Refuses the header on a request that cannot be made idempotent. If it were ignored, a client that relies on it would
/// repeat the request.
pub struct NoIdempotencyKey;

impl<S: Sync> FromRequestParts<S> for NoIdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        if parts.headers.contains_key(HEADER) {
            return Err(refused("this address does not support the Idempotency-Key header"));
        }
        Ok(NoIdempotencyKey)
    }
}

/// Reads the header: a string of a structured field (RFC 9651), in double quotes, or the key without quotes.
fn parse(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refused(format!("the Idempotency-Key header occurs more than once; {FORM}")));
    }
    let malformed = || refused(format!("the Idempotency-Key header is malformed: {FORM}"));
    let text = value.to_str().map_err(|_| malformed())?.trim();
    let key = match text.strip_prefix('"') {
        Some(quoted) => unquoted(quoted).ok_or_else(malformed)?,
        // These characters would begin a list, parameters or a string.
        None if text.contains([',', ';', '"', '\\']) => return Err(malformed()),
        None => text.to_owned(),
    };
    let key = IdempotencyKey::parse(&key);
    key.map(Some).map_err(|error| refused(format!("the Idempotency-Key header: {error}")))
}

/// The text of a string after its first quote; `None` when it does not end with the next quote.
fn unquoted(rest: &str) -> Option<String> {
    let mut text = String::with_capacity(rest.len());
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return chars.next().is_none().then_some(text),
            '\\' => text.push(chars.next().filter(|char| matches!(char, '"' | '\\'))?),
            char => text.push(char),
        }
    }
}

fn refused(detail: impl AsRef<str>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", detail)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let key = parse(&headers).map_err(|problem| {
            assert_eq!(problem.status(), 400, "{}", problem.detail());
            problem.code()
        })?;
        Ok(key.map(|key| key.to_string()))
    }

    #[test]
    fn a_key_may_have_quotes_or_none_and_anything_else_is_refused() {
        assert_eq!(read(&[]), Ok(None));
        let longest = "k".repeat(200);
        for (value, key) in [
            ("\"8e03978e-40d5\"", "8e03978e-40d5"),
            ("8e03978e-40d5", "8e03978e-40d5"),
            (" order 17 ", "order 17"),
            (r#""say \"hi\" \\ bye""#, r#"say "hi" \ bye"#),
            ("\"a, b; c\"", "a, b; c"),
            ("bG9uZy9iYXNl+NjQ=", "bG9uZy9iYXNl+NjQ="),
            (&longest, &longest),
        ] {
            assert_eq!(read(&[value]), Ok(Some(key.to_owned())), "{value}");
        }
        let too_long = "k".repeat(201);
        for bad in [
            &[""][..],
            &["\"\""],
            &["   "],
            &["\"open"],
            &["open\""],
            &["\"a\" x"],
            &["\"a\", \"b\""],
            &["a, b"],
            &["\"a\";x=1"],
            &["a;x=1"],
            &[r#""\a""#],
            &[r#""a\"#],
            &["a\tb"],
            &["\" a\""],
            &["käse"],
            &[&too_long],
            &["a", "a"],
            &["a", "b"],
        ] {
            assert_eq!(read(bad), Err("invalid_idempotency_key"), "{bad:?}");
        }
    }
}
