//! The formats that Cortado checks in its own way; the validator checks the others of JSON Schema.

use super::field::Format;
use crate::job::Time;

/// Tells whether a text has a format.
type FormatTest = fn(&str) -> bool;

/// The formats by their names.
pub const FORMATS: [(&str, FormatTest); 5] = [
    ("date-time", |text| text.parse::<Time>().is_ok()),
    ("uri", |text| url::Url::parse(text).is_ok()),
    ("email", is_email),
    ("idn-email", is_email),
    // Compiling a pattern takes more than linear time, so it is left to the handler.
    ("regex", |_| true),
];

/// Whether there is a text before and after the first `@`. Only the mail server knows more.
fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
}

impl Format {
    /// Describes the format with an example.
    pub fn words(self) -> &'static str {
        match self {
            Format::DateTime => "a time such as 2026-11-23T08:00:00Z",
            Format::Uri => "an address such as https://example.com/",
            Format::Email => "an address such as somebody@example.com",
        }
    }
}

/// Describes a format by its name.
pub fn words(name: &str) -> String {
    match name {
        "date-time" => Format::DateTime.words().into(),
        "uri" => Format::Uri.words().into(),
        "email" | "idn-email" => Format::Email.words().into(),
        "date" => "a date such as 2026-11-23".into(),
        "time" => "a time of day such as 08:00:00Z".into(),
        "duration" => "a duration such as PT1H30M".into(),
        "uuid" => "a UUID".into(),
        "ipv4" => "an IPv4 address".into(),
        "ipv6" => "an IPv6 address".into(),
        "hostname" | "idn-hostname" => "a host name".into(),
        other => format!("a string in the format {other}"),
    }
}
