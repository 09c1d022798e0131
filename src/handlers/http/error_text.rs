//! The text of an error of the HTTP client, as it is stored with the job.

use crate::job::causes;

/// Describes an error with its causes, which reqwest leaves out, and without the URL, whose query may contain a
/// secret; the payload shows the URL anyway.
pub(super) fn describe(error: reqwest::Error) -> String {
    causes(&error.without_url())
}
