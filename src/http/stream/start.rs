//! Where a reader of the event stream begins. The rule is the same for every transport.

use axum::http::{HeaderMap, HeaderName};

use crate::http::Problem;
use crate::job::Cursor;
use crate::job::fields::REPEATED;

/// The header with which a client resumes; browsers send it when an `EventSource` reconnects.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The cursor after which a reader begins: that of `Last-Event-ID`, or else `after` of the query, or else none, for a reader
/// that begins now. The header comes first, because an `EventSource` reconnects with the URL that it was opened with. An
/// empty one counts as none.
///
/// # Errors
/// 400 when the header is not a cursor, or comes twice.
pub fn start_after(headers: &HeaderMap, query: Option<Cursor>) -> Result<Option<Cursor>, Problem> {
    let mut lines = headers.get_all(LAST_EVENT_ID).iter();
    let Some(line) = lines.next() else { return Ok(query) };
    if lines.next().is_some() {
        return Err(invalid(REPEATED.to_owned()));
    }
    let text = String::from_utf8_lossy(line.as_bytes());
    if text.is_empty() {
        return Ok(query); // an `EventSource` that has received no id yet
    }
    text.parse().map(Some).map_err(invalid)
}

fn invalid(message: String) -> Problem {
    Problem::invalid_parameters(std::iter::once(("last-event-id".to_owned(), message)))
}
