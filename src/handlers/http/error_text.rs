//! The text of an error of the HTTP client, as it is stored with the job.

/// An error with its causes, which reqwest's own words hide, and without the URL, whose query may hold a
/// secret and which the payload shows anyway.
pub(super) fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
