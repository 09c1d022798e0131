//! The error page of a page's own errors, and the mapping of engine errors to the status and text of a page.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::access::NoRandomness;
use crate::engine::{
    BulkError, ControlError, EnqueueError, JobActionError, JobControlError, PayloadError,
    RewindError, ScheduleError, StoreError, TooManyQueues, WorkerError,
};
use crate::http::layers::base_path::Address;
use crate::http::server_fault::ServerFault;
use crate::job::Invalid;
use crate::job::shorten::{MAX_MESSAGE, shorten};

use super::page::{Layout, Section, page};
use super::viewer::Viewer;
use super::visit::Visit;

/// An error that is answered with an error page.
#[derive(Debug, Clone)]
pub struct UiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The title: what happened, in a few words.
    pub title: String,
    /// The details of what happened.
    pub message: String,
    /// What the reader can do next.
    pub advice: &'static str,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    layout: Layout,
    error: &'a UiError,
    /// Whether the error passes by itself and reloading the page is harmless.
    auto_reload: bool,
    /// The address of a link to the same page, which may help. `None` when there is no such page.
    again: Option<String>,
}

/// The response to an unknown URL.
pub async fn not_found() -> Response {
    UiError::not_found("Page not found").into_response()
}

impl UiError {
    /// The error for a resource that does not exist.
    pub fn not_found(title: &str) -> Self {
        UiError {
            status: StatusCode::NOT_FOUND,
            title: title.into(),
            message:
                "It may have been deleted by somebody or at the end of its retention period, or the \
                      address may be wrong."
                    .into(),
            advice: "Look for it in the list of jobs.",
        }
    }

    /// The error for an address with a name that nothing can have.
    pub fn invalid_name(invalid: &Invalid) -> Self {
        UiError::of(
            invalid,
            StatusCode::BAD_REQUEST,
            "Invalid name",
            "Nothing was changed. Check the address.",
        )
    }

    /// The error for an address with a parameter that is not accepted.
    pub fn invalid_address(invalid: &Invalid, title: &str) -> Self {
        UiError::of(invalid, StatusCode::BAD_REQUEST, title, "Check the address.")
    }

    /// The error page of a cause in the server, with a description of this occurrence.
    pub fn of_fault(fault: ServerFault, detail: &str) -> Self {
        let (title, advice) = match fault {
            ServerFault::Stopping => {
                ("The server is stopping", "No data is lost. Try again once the server is back.")
            }
            ServerFault::Busy => {
                ("The server is busy", "Nothing was changed. Try again in a few seconds.")
            }
            ServerFault::TimedOut => (
                "The server did not answer in time",
                "Something may have been changed. Look before you try again.",
            ),
            ServerFault::TooManyStreams | ServerFault::TooMuchUnread => (
                "The server is busy",
                "Close other tabs that show this dashboard and try again in a few seconds.",
            ),
            ServerFault::TooManyWorkers => (
                "Worker limit reached",
                "Stop workers that are not needed, or raise engine.max_workers in the configuration.",
            ),
            ServerFault::StoreUnavailable => (
                "The store is not accepting writes",
                "Nothing was changed. Check whether the disk is full or failing; the server log has the details.",
            ),
            ServerFault::StoreUnreadable => {
                ("The store cannot be read", "See the server log for the details.")
            }
            ServerFault::NoRandomness => (
                "No random numbers",
                "Nothing was changed. See the server log, and the state of the machine.",
            ),
            ServerFault::Internal => (
                "Internal server error",
                "Try again. If the problem persists, see the server log for details.",
            ),
        };
        UiError { status: fault.status(), title: title.into(), message: sentence(detail), advice }
    }

    /// The error page of a verb that failed, with the text of its error as the message.
    pub fn of(
        error: &impl std::error::Error,
        status: StatusCode,
        title: &str,
        advice: &'static str,
    ) -> Self {
        UiError { status, title: title.into(), message: sentence(&error.to_string()), advice }
    }
}

impl From<WorkerError> for UiError {
    fn from(error: WorkerError) -> Self {
        let (status, title, advice) = match &error {
            WorkerError::NotFound(_) => (
                StatusCode::NOT_FOUND,
                "Worker not found",
                "It may have left. Look for it in the list of workers.",
            ),
            WorkerError::TooMany { .. } => {
                return UiError::of_fault(ServerFault::TooManyWorkers, &error.to_string());
            }
            WorkerError::TooManyOfToken { .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "Worker limit of this token reached",
                "Stop workers that are not needed, or raise engine.workers_per_token in the configuration.",
            ),
            WorkerError::Stopping => {
                return UiError::of_fault(ServerFault::Stopping, &error.to_string());
            }
            WorkerError::OfAnother(_) => (
                StatusCode::FORBIDDEN,
                "This worker belongs to somebody else",
                "Use credentials without restrictions.",
            ),
            WorkerError::OwnName(_) => (
                StatusCode::CONFLICT,
                "This worker is the server itself",
                "Pause its queues, or stop the server.",
            ),
            WorkerError::NameOfNode(..) => (
                StatusCode::CONFLICT,
                "This worker is a node itself",
                "Pause its queues, or stop the node.",
            ),
            WorkerError::Store(error) => return error.clone().into(),
        };
        UiError::of(&error, status, title, advice)
    }
}

impl From<StoreError> for UiError {
    fn from(error: StoreError) -> Self {
        UiError::of_fault(ServerFault::from(&error), &error.to_string())
    }
}

impl From<RewindError> for UiError {
    fn from(error: RewindError) -> Self {
        match error {
            RewindError::TooOld { .. }
            | RewindError::Future
            | RewindError::OtherEpoch
            | RewindError::Trimmed
            | RewindError::NotCounted => UiError::of(
                &error,
                StatusCode::BAD_REQUEST,
                "This moment cannot be shown",
                "Open the page as it is now, and go back from there.",
            ),
            RewindError::Store(error) => error.into(),
        }
    }
}

impl From<NoRandomness> for UiError {
    fn from(error: NoRandomness) -> Self {
        UiError::of_fault(ServerFault::NoRandomness, &error.to_string())
    }
}

impl From<TooManyQueues> for UiError {
    fn from(error: TooManyQueues) -> Self {
        UiError::of(
            &error,
            StatusCode::UNPROCESSABLE_ENTITY,
            "Queue limit reached",
            "Nothing was changed. Use an existing queue.",
        )
    }
}

impl From<PayloadError> for UiError {
    fn from(error: PayloadError) -> Self {
        let (status, title, advice) = match error {
            PayloadError::UnknownKind { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Unknown kind",
                "Choose a kind that this server can run.",
            ),
            PayloadError::Invalid { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "The payload does not match the schema of its kind",
                "Correct these properties and submit again.",
            ),
            PayloadError::TooLarge { .. } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "The payload is too large",
                "Store the data elsewhere and submit a reference to it.",
            ),
            PayloadError::TooComplex { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "The payload is too complex",
                "Split the data across several jobs, or send it as a single string.",
            ),
        };
        UiError::of(&error, status, title, advice)
    }
}

impl From<EnqueueError> for UiError {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Full { .. } => UiError::of(
                &error,
                StatusCode::TOO_MANY_REQUESTS,
                "Too many jobs are waiting",
                "Nothing was submitted. Try again in a few seconds, when the backlog is shorter.",
            ),
            EnqueueError::TooManyQueues(error) => error.into(),
            EnqueueError::KeyReused(_) => UiError::of(
                &error,
                StatusCode::UNPROCESSABLE_ENTITY,
                "The idempotency key belongs to another job",
                "Nothing was submitted. Use another key, or none.",
            ),
            EnqueueError::Store(error) => error.into(),
        }
    }
}

impl From<ControlError> for UiError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::TooManyQueues(error) => error.into(),
            ControlError::Store(error) => error.into(),
        }
    }
}

impl From<BulkError> for UiError {
    fn from(error: BulkError) -> Self {
        match error {
            BulkError::TooManyRuns { .. } => UiError::of(
                &error,
                StatusCode::TOO_MANY_REQUESTS,
                "Too many bulk runs",
                "Nothing was changed. Wait until a run has finished, or stop one.",
            ),
            BulkError::Store(error) => error.into(),
        }
    }
}

impl From<JobActionError> for UiError {
    fn from(error: JobActionError) -> Self {
        match error {
            JobActionError::Job(JobControlError::NotFound) => UiError::not_found("Job not found"),
            JobActionError::Job(JobControlError::Refused(refused)) => UiError::of(
                &refused,
                StatusCode::CONFLICT,
                "Not possible in the job’s current state",
                "The state of the job has changed. Open its page to see it.",
            ),
            JobActionError::Control(error) => error.into(),
        }
    }
}

impl From<ScheduleError> for UiError {
    fn from(error: ScheduleError) -> Self {
        let (status, title, advice) = match error {
            ScheduleError::NotFound => (
                StatusCode::NOT_FOUND,
                "Schedule not found",
                "Look for it in the list of schedules.",
            ),
            ScheduleError::TooMany { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Schedule limit reached",
                "Delete a schedule, or raise store.max_schedules in the configuration.",
            ),
            ScheduleError::Declared => (
                StatusCode::CONFLICT,
                "This schedule is declared in the configuration",
                "Change it in the configuration file and restart the server.",
            ),
            ScheduleError::Store(error) => return error.into(),
        };
        UiError::of(&error, status, title, advice)
    }
}

/// [`finish`](super::finish::finish) renders the page: it knows the address of the request.
impl IntoResponse for UiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl UiError {
    /// Renders the page in the place of the response to another request.
    pub fn page(&self, address: &Address, viewer: Viewer) -> Response {
        let layout = Layout { viewer, ..Layout::error(address, self.title.clone()) };
        self.render(layout, address)
    }

    /// Renders the page as the response to a request for a page.
    pub fn page_for(&self, visit: &Visit) -> Response {
        self.render(Layout::error(visit, self.title.clone()).with_notices(visit), visit)
    }

    fn render(&self, layout: Layout, address: &Address) -> Response {
        let passes =
            matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let auto_reload = passes && address.can_be_reloaded();
        // `./` keeps a path with a colon from being read as a scheme.
        let again =
            (self.status != StatusCode::NOT_FOUND).then(|| format!("./{}", address.relative()));
        let mut response =
            page(self.status, &ErrorPage { layout, error: self, auto_reload, again });
        if passes {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

/// Formats the text of an error as a sentence, with a capital letter and a full stop. The name of a field at its start
/// stays as it is. A text that repeats much of the request is shortened.
pub fn sentence(text: &str) -> String {
    let text = &shorten(text, MAX_MESSAGE);
    let word = text.split(' ').next().unwrap_or_default();
    let is_name = word.ends_with(':') || word.contains('_');
    let mut chars = text.chars();
    let first = chars
        .next()
        .map(|first| if is_name { first.to_string() } else { first.to_uppercase().to_string() });
    let first = first.unwrap_or_default();
    let stop = if text.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    format!("{first}{}{stop}", chars.as_str())
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::extract::Request;
    use tower::ServiceExt;

    use super::*;
    use crate::http::mount;

    #[tokio::test]
    async fn a_page_rendered_in_a_task_of_its_own_keeps_its_links() {
        let show = |address: Address| async move {
            let page = async move { UiError::not_found("Gone").page(&address, Viewer::Unknown) };
            tokio::spawn(page).await.unwrap()
        };
        let routes = mount(Router::new().fallback(show), &"/cortado".parse().unwrap());
        let request = Request::get("/cortado/jobs?q=x").body(Body::empty()).unwrap();
        let response = routes.oneshot(request).await.unwrap();
        let html = to_bytes(response.into_body(), 100_000).await.unwrap();
        let html = str::from_utf8(&html).unwrap();
        assert!(html.contains("<base href=\"/cortado/\">"), "{html}");
        assert!(html.contains("href=\"/cortado/jobs?q=x#main\""), "{html}");
    }

    #[test]
    fn an_error_text_becomes_a_sentence() {
        assert_eq!(sentence("a running job cannot be deleted"), "A running job cannot be deleted.");
        assert_eq!(sentence("done."), "Done.");
        for name in ["timeout_ms: expected 1 to 9.", "url: is required.", "max_attempts is 0."] {
            assert_eq!(sentence(name), name);
        }
        assert!(sentence(&"x".repeat(1_000_000)).len() < 1_000);
    }
}
