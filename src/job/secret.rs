//! Secrets of the configuration, and their parts in URLs and payloads: the server uses them and shows them nowhere.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use url::Url;

use super::schema::members;
use super::{Json, Kind};

/// The text in place of a secret.
pub const NOT_SHOWN: &str = "(not shown)";

/// A value that is used and never shown: its `Debug` output and its serialized form say only that there is one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret<T = String>(T);

impl<T> Secret<T> {
    /// Marks a value as a secret.
    pub fn new(value: T) -> Self {
        Secret(value)
    }

    /// The value, for its use.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NOT_SHOWN)
    }
}

impl<T> Serialize for Secret<T> {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_str(NOT_SHOWN)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        // The error of the type quotes the value, but what comes after it is only about the type.
        let refused = |error: D::Error| {
            let error = error.to_string();
            let expected = error.lines().next().and_then(|it| it.rsplit_once(", expected "));
            let expected = expected.map_or("a value of another type", |(_, expected)| expected);
            D::Error::custom(format!("invalid type: a value of another type, expected {expected}"))
        };
        T::deserialize(input).map(Secret).map_err(refused)
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret(text.to_owned())
    }
}

/// A URL as it was typed; it is shown without the user name and the password that it may contain.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct UrlText(String);

impl UrlText {
    /// The URL with everything that it contains, for its use.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UrlText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_credentials(&self.0))
    }
}

impl fmt::Debug for UrlText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&without_credentials(&self.0), f)
    }
}

impl Serialize for UrlText {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_str(&without_credentials(&self.0))
    }
}

/// A URL with asterisks in place of user name and password. A text that cannot be parsed and might contain some is not
/// shown at all.
pub fn without_credentials(text: &str) -> Cow<'_, str> {
    if !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let Ok(mut url) = Url::parse(text) else { return Cow::Borrowed(NOT_SHOWN) };
    if !url.has_host() {
        return Cow::Borrowed(NOT_SHOWN);
    }
    if url.username().is_empty() && url.password().is_none() {
        return Cow::Borrowed(text);
    }
    match (url.set_username("***"), url.set_password(None)) {
        (Ok(()), Ok(())) => Cow::Owned(url.into()),
        (Ok(()) | Err(()), Ok(()) | Err(())) => Cow::Borrowed(NOT_SHOWN),
    }
}

/// A URL as it is shown: with asterisks in place of user name and password, and of the values of parameters that
/// authenticate a client, by their names (`?token=…`, `?X-Amz-Signature=…`).
fn without_url_secrets(text: &str) -> Cow<'_, str> {
    let shown = without_credentials(text);
    let Some((before, rest)) = shown.split_once('?') else { return shown };
    let (query, fragment) = rest.split_once('#').map_or((rest, None), |(a, b)| (a, Some(b)));
    let mut is_changed = false;
    let pairs: Vec<Cow<'_, str>> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) if !value.is_empty() && is_secret_parameter(name) => {
                is_changed = true;
                Cow::Owned(format!("{name}=***"))
            }
            Some(_) | None => Cow::Borrowed(pair),
        })
        .collect();
    if !is_changed {
        return shown;
    }
    let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
    Cow::Owned(format!("{before}?{}{fragment}", pairs.join("&")))
}

/// The payload of a job as it is shown: in one of the kind `http`, the values of headers that authenticate a client, and
/// the credentials in the URL, are left out. Everything else is up to those who submit payloads.
pub fn without_secrets<'a>(kind: &Kind, payload: &'a Json) -> Cow<'a, Json> {
    let text = payload.as_str();
    if kind.as_str() != "http" || !text.starts_with('{') {
        return Cow::Borrowed(payload);
    }
    let Some(members) = members(text) else {
        // A key that is not a text: such a job cannot run, and where its headers are is unknown.
        return Cow::Owned(Json::of(NOT_SHOWN).unwrap_or_else(|_| Json::null()));
    };
    let mut secrets: Vec<(Range<usize>, Cow<'_, str>)> = Vec::new();
    for (name, value) in members {
        match name.as_ref() {
            "headers" => secrets.extend(headers(text, value)),
            "url" => secrets.extend(url(text, value)),
            _ => {}
        }
    }
    if secrets.is_empty() {
        return Cow::Borrowed(payload);
    }
    let (mut shown, mut at) = (String::with_capacity(text.len()), 0);
    for (range, replacement) in secrets {
        shown.push_str(&text[at..range.start]);
        shown.push_str(&serde_json::Value::from(replacement).to_string());
        at = range.end;
    }
    shown.push_str(&text[at..]);
    Cow::Owned(Json::parse(&shown).unwrap_or_else(|_| Json::null()))
}

/// The places of the values of secret headers.
fn headers<'a>(text: &str, value: &'a RawValue) -> Vec<(Range<usize>, Cow<'a, str>)> {
    let members = members(value.get()).unwrap_or_default();
    let secret = members.into_iter().filter(|(name, _)| is_secret_header(name));
    secret.map(|(_, value)| (range(text, value), Cow::Borrowed(NOT_SHOWN))).collect()
}

/// The place of a URL with credentials.
fn url<'a>(text: &str, value: &'a RawValue) -> Option<(Range<usize>, Cow<'a, str>)> {
    let url: String = serde_json::from_str(value.get()).ok()?;
    match without_url_secrets(&url) {
        Cow::Borrowed(same) if same == url => None,
        shown => Some((range(text, value), Cow::Owned(shown.into_owned()))),
    }
}

/// Parts of the names of headers and parameters whose values authenticate their sender.
const SECRET_WORDS: [&str; 15] = [
    "auth",
    "cookie",
    "token",
    "secret",
    "passw",
    "pwd",
    "api-key",
    "apikey",
    "access-key",
    "accesskey",
    "private-key",
    "credential",
    "signature",
    "session",
    "jwt",
];
/// Words of such names that are too short to be searched for in longer ones: `sig` is in `design`.
const SECRET_NAMES: [&str; 5] = ["key", "sig", "hmac", "sas", "pass"];

/// Whether the value of a header authenticates its sender, by its name.
fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    SECRET_WORDS.iter().any(|word| name.contains(word))
        || name.split('-').any(|part| SECRET_NAMES.contains(&part))
}

/// Whether the value of a parameter in a URL authenticates its sender, by its name.
fn is_secret_parameter(name: &str) -> bool {
    let decoded = url::form_urlencoded::parse(name.as_bytes()).next();
    let name = decoded.map(|(name, _)| name.into_owned()).unwrap_or_default();
    is_secret_header(&name) || name.eq_ignore_ascii_case("code")
}

/// Where a value is in the text that it was borrowed from.
fn range(text: &str, value: &RawValue) -> Range<usize> {
    let start = value.get().as_ptr().addr() - text.as_ptr().addr();
    start..start + value.get().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_only_that_it_is_there() {
        let secret: Secret = "hunter2".into();
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "(not shown) Some((not shown))");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"(not shown)\"");
        let wrong = serde_json::from_str::<Secret>("424242").unwrap_err().to_string();
        assert!(wrong.contains("expected a string") && !wrong.contains("424242"), "{wrong}");
        assert_eq!(serde_json::from_str::<Secret>("\"hunter2\"").unwrap(), secret);
    }

    #[test]
    fn a_url_is_shown_without_credentials() {
        for (text, shown) in [
            ("https://jobs.example.com", "https://jobs.example.com"),
            ("https://me:hunter2@jobs.example.com", "https://***@jobs.example.com/"),
            ("https://hunter2@jobs.example.com/a?b#c", "https://***@jobs.example.com/a?b#c"),
            ("https://:hunter2@[::1]:80/", "https://***@[::1]:80/"),
            ("https://example.com/@me", "https://example.com/@me"),
            ("https://me:hunter2/@example.com", NOT_SHOWN),
            ("me:hunter2@example.com", NOT_SHOWN),
            ("jobs.example.com", "jobs.example.com"),
        ] {
            assert_eq!(without_credentials(text), shown, "{text}");
            let url: UrlText = serde_json::from_value(text.into()).unwrap();
            let all = format!("{url} {url:?} {}", serde_json::to_string(&url).unwrap());
            assert!(!all.contains("hunter2"), "{all}");
        }
    }

    #[test]
    fn a_payload_is_shown_without_the_values_that_authenticate() {
        let shown = |kind: &str, text: &str| {
            let payload = Json::parse(text).unwrap();
            without_secrets(&Kind::parse(kind).unwrap(), &payload).to_string()
        };
        for (payload, expected) in [
            (
                r#"{"url":"https://a/", "headers": {"Accept":"x","AUTHORIZATION": "Bearer s", "cookie":["s"]},"n":1.0}"#,
                r#"{"url":"https://a/", "headers": {"Accept":"x","AUTHORIZATION": "(not shown)", "cookie":"(not shown)"},"n":1.0}"#,
            ),
            (r#"{"url":"https:\/\/me:s@a\/"}"#, r#"{"url":"https://***@a/"}"#),
            (
                r#"{"url":"https://me:s@a/?x=1&token=s&page=2#top"}"#,
                r#"{"url":"https://***@a/?x=1&token=***&page=2#top"}"#,
            ),
            (
                r#"{"url":"https://a/b?X-Amz-Signature=s&sig=s&key=s&api_key=s&access_token=s&code=s&design=1&keyword=1"}"#,
                r#"{"url":"https://a/b?X-Amz-Signature=***&sig=***&key=***&api_key=***&access_token=***&code=***&design=1&keyword=1"}"#,
            ),
            (r#"{"url":"https://a/?to%6ben=s"}"#, r#"{"url":"https://a/?to%6ben=***"}"#),
            (r#"{"url":"/relative?password=s"}"#, r#"{"url":"/relative?password=***"}"#),
            (r#"{"url":"https://a/?token=&token"}"#, r#"{"url":"https://a/?token=&token"}"#),
            (
                r#"{"headers":{"X-Signature":"s","X-Hub-Signature-256":"s","X-Key":"s","Signing-Key":"s","Session":"s","X-Status-Code":"v","Design":"v"}}"#,
                r#"{"headers":{"X-Signature":"(not shown)","X-Hub-Signature-256":"(not shown)","X-Key":"(not shown)","Signing-Key":"(not shown)","Session":"(not shown)","X-Status-Code":"v","Design":"v"}}"#,
            ),
            (
                r#"{"h\u0065aders":{"X\u002dApi_Key":"s"}}"#,
                r#"{"h\u0065aders":{"X\u002dApi_Key":"(not shown)"}}"#,
            ),
            (
                r#"{"headers":{},"headers":{"x-auth-token":"s"}}"#,
                r#"{"headers":{},"headers":{"x-auth-token":"(not shown)"}}"#,
            ),
            (r#"{"\ud800":1,"headers":{"cookie":"s"}}"#, "\"(not shown)\""),
            ("[\"headers\"]", "[\"headers\"]"),
            (r#"{"headers":7}"#, r#"{"headers":7}"#),
        ] {
            assert_eq!(shown("http", payload), expected, "{payload}");
            assert_eq!(shown("echo", payload), payload);
        }
    }
}
