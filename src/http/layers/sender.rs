//! Who sent a request, for the form of an error: a program gets a problem document, a person in a browser gets a page.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::Response;

use super::base_path::Address;
use super::header_list;

const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Who sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A person opened an address or submitted a form in a browser.
    Person,
    /// A script of a page sent it.
    Script,
    /// Any other program.
    Program,
}

/// Changes the response to an error of a person or a script. The pages provide it.
pub type ErrorRenderer = fn(&Address, Sender, Response) -> Response;

impl Sender {
    /// Determines the sender from the path and the headers.
    pub fn of(request: &Request) -> Sender {
        let headers = request.headers();
        if !is_for_programs(request.uri().path()) && accepts_pages(headers) {
            return Sender::Person;
        }
        let is_script = headers.get(FETCH_MODE).is_some_and(|mode| mode != "navigate");
        if is_script { Sender::Script } else { Sender::Program }
    }
}

/// Whether only programs request a path. A browser that opens one sees what a program would see.
fn is_for_programs(path: &str) -> bool {
    path.starts_with("/api/")
        || matches!(path, "/healthz" | "/metrics" | "/openapi.json" | "/readyz")
}

/// Whether a request asks for a page, as browsers do when somebody opens a URL or submits a form.
fn accepts_pages(headers: &HeaderMap) -> bool {
    header_list::accepts(headers, &header::ACCEPT, "text/html")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_page_is_for_those_who_ask_for_one() {
        let asks = |accept: &str| {
            let value = HeaderValue::from_str(accept).unwrap();
            accepts_pages(&HeaderMap::from_iter([(header::ACCEPT, value)]))
        };
        for yes in
            ["text/html", "text/html,application/xhtml+xml,*/*;q=0.8", "a/b, Text/HTML; q=0.5"]
        {
            assert!(asks(yes), "{yes}");
        }
        for no in ["", "*/*", "application/json", "text/html;q=0", "text/html; q=0.0", "text/*"] {
            assert!(!asks(no), "{no}");
        }
        assert!(!accepts_pages(&HeaderMap::new()));
    }
}
