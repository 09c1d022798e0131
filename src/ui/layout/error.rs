//! The page that says what went wrong and what to try, and the one place where errors of the engine
//! become a status of a page.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::engine::{ControlError, EngineError, StoreError};
use crate::http::layers::base_path::Address;
use crate::job::shorten::{MAX_MESSAGE, shorten};

use super::page::{Layout, Section, page};

/// An answer in the form of an error page.
#[derive(Debug, Clone)]
pub struct UiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// What happened, in a few words.
    pub title: String,
    /// What happened, in full.
    pub message: String,
    /// What to try next.
    pub advice: &'static str,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    layout: Layout,
    error: &'a UiError,
    /// Whether the error passes by itself and reloading the page is harmless.
    auto_reload: bool,
}

/// The answer to an address that leads nowhere.
pub async fn not_found() -> Response {
    UiError::not_found("There is nothing at this address").into_response()
}

impl UiError {
    /// Something that was looked for does not exist.
    pub fn not_found(title: &str) -> Self {
        UiError {
            status: StatusCode::NOT_FOUND,
            title: title.into(),
            message: "It may have been deleted, or its retention has passed, or the address has a \
                      slip in it."
                .into(),
            advice: "Look for it in the list of jobs.",
        }
    }
}

impl From<EngineError> for UiError {
    fn from(error: EngineError) -> Self {
        let (status, title, advice) = match &error {
            EngineError::UnknownKind { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Nobody here can run this kind",
                "Choose one of the kinds that the form offers.",
            ),
            EngineError::InvalidPayload { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "The payload does not fit its kind",
                "Correct the properties that are named.",
            ),
            EngineError::PayloadTooLarge { .. } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "The payload is too large",
                "Store the data elsewhere and submit where to find it.",
            ),
            EngineError::TooComplex { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "The payload is too complex",
                "Split the data over several jobs, or send it as one text.",
            ),
            EngineError::Invalid(_) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "This is not acceptable",
                "Correct it and send again.",
            ),
            EngineError::TooManyBulks { .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many bulk runs at once",
                "Nothing was done. Wait until one is over, or stop one.",
            ),
            EngineError::Store(StoreError::Full { .. }) => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many jobs are waiting",
                "Nothing was accepted. Send again in a few seconds, when some have been done.",
            ),
            EngineError::Store(StoreError::TooManyQueues { .. }) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "There are too many queues",
                "Nothing was accepted. Use a queue that exists.",
            ),
            EngineError::Store(StoreError::Closed) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The server is stopping",
                "Nothing is lost. Try again when it is back.",
            ),
            EngineError::Store(StoreError::Unavailable(_)) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The disk refuses",
                "Nothing was accepted. See whether the disk is full or broken; the server's log says more.",
            ),
            EngineError::Store(StoreError::Corrupt(_) | StoreError::Newer { .. }) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "The store cannot be read",
                "The server's log says more.",
            ),
        };
        UiError { status, title: title.into(), message: sentence(&error.to_string()), advice }
    }
}

impl From<ControlError> for UiError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NotFound => UiError::not_found("There is no such job"),
            ControlError::Refused(refused) => UiError {
                status: StatusCode::CONFLICT,
                title: "That cannot be done now".into(),
                message: sentence(&refused.to_string()),
                advice: "The job has moved on meanwhile: look at its page.",
            },
        }
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
    /// Renders the page.
    pub fn page(&self, address: &Address) -> Response {
        let layout = Layout::error(address, self.title.clone());
        let passes =
            matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let auto_reload = passes && address.can_be_reloaded();
        let mut response = page(self.status, &ErrorPage { layout, error: self, auto_reload });
        if passes {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

/// An error's text as a page shows it: with a capital letter and a full stop, and shortened where it repeats
/// much of what was sent.
pub fn sentence(text: &str) -> String {
    let text = &shorten(text, MAX_MESSAGE);
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
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
            let page = async move { UiError::not_found("Gone").page(&address) };
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
        assert!(sentence(&"x".repeat(1_000_000)).len() < 1_000);
    }
}
