//! The text of an error of the HTTP client, as it is stored with the job.

/// Describes an error with its causes, which reqwest leaves out, and without the URL, whose query may contain a
/// secret; the payload shows the URL anyway.
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
