//! The access log: one line per request, when its response has been handed to the connection or when it is clear that
//! there will be none. Nothing is allocated for a request whose line would not be logged.

use std::net::IpAddr;
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::{HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use axum::response::Response;
use hyper::body::Frame;
use serde::{Deserialize, Serialize};
use tracing::Level;

pub use super::access_line::AccessFormat;
use super::access_line::{AccessLine, RequestLine, TARGET};
use super::logged_path::without_credentials;
use super::request_id::X_REQUEST_ID;

/// The level at which requests are logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessLevel {
    /// Requests are not logged.
    Off,
    /// All requests are logged at `debug`.
    Debug,
    /// [`Routine`] requests are logged at `debug`, all others at `info`.
    #[default]
    Info,
}

/// How requests are logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccessLog {
    /// The level.
    pub level: AccessLevel,
    /// The format.
    pub format: AccessFormat,
}

/// In the extensions of a response to a health probe, a scrape of the metrics or a request for a static file, which are
/// too frequent to be useful at `info`. Refusals and failures are never routine.
#[derive(Debug, Clone, Copy)]
pub struct Routine;

/// The client closed the connection before its response began (as in nginx).
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// The server closed the connection without a response (as in nginx).
const NO_RESPONSE: u16 = 444;

impl AccessLog {
    /// Begins the line of a request; `None` if it would not be logged.
    pub fn begin<B>(self, request: &Request<B>, client: IpAddr) -> Option<AccessEntry> {
        if !self.is_on() {
            return None;
        }
        let header = |name| request.headers().get(name).cloned();
        let (referer, user_agent) = match self.format {
            AccessFormat::Log | AccessFormat::Common => (None, None),
            AccessFormat::Combined => {
                (header(header::REFERER).map(referer_as_shown), header(header::USER_AGENT))
            }
        };
        Some(AccessEntry {
            log: self,
            began: Instant::now(),
            client,
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            id: header(X_REQUEST_ID),
            referer,
            user_agent,
            status: CLIENT_CLOSED_REQUEST,
            is_routine: false,
            bytes: 0,
            is_complete: false,
        })
    }

    /// Logs a request whose head hyper could not read, with the response sent.
    pub fn unreadable(self, client: IpAddr, status: StatusCode, bytes: usize) {
        self.without_request(client, status.as_u16(), bytes);
    }

    /// Logs a connection that was closed before a request was read; `response` is its status and length, if it got one.
    pub fn refused(self, client: IpAddr, response: Option<(StatusCode, usize)>) {
        let (status, bytes) =
            response.map_or((NO_RESPONSE, 0), |(status, bytes)| (status.as_u16(), bytes));
        self.without_request(client, status, bytes);
    }

    fn without_request(self, client: IpAddr, status: u16, bytes: usize) {
        if self.is_on() {
            let line = AccessLine::new(client, status, bytes as u64);
            line.log(self.format, self.usual_level());
        }
    }

    /// Whether requests that are not routine are logged.
    fn is_on(self) -> bool {
        match self.level {
            AccessLevel::Off => false,
            AccessLevel::Debug => tracing::enabled!(target: TARGET, Level::DEBUG),
            AccessLevel::Info => tracing::enabled!(target: TARGET, Level::INFO),
        }
    }

    fn usual_level(self) -> Level {
        match self.level {
            AccessLevel::Off | AccessLevel::Debug => Level::DEBUG,
            AccessLevel::Info => Level::INFO,
        }
    }
}

/// The address of the page that a request came from, without its credentials.
fn referer_as_shown(referer: HeaderValue) -> HeaderValue {
    let shown = referer.to_str().ok().map(without_credentials);
    shown.and_then(|shown| HeaderValue::from_str(&shown).ok()).unwrap_or(referer)
}

/// The line of an active request. It is logged when this is dropped, so that every request has a line, however it ends.
#[derive(Debug)]
pub struct AccessEntry {
    log: AccessLog,
    began: Instant,
    client: IpAddr,
    method: Method,
    uri: Uri,
    version: Version,
    id: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    status: u16,
    is_routine: bool,
    bytes: u64,
    is_complete: bool,
}

impl AccessEntry {
    /// Records the head of the response.
    pub fn responds(&mut self, response: &Response) {
        let status = response.status();
        let is_refusal = status.is_client_error() || status.is_server_error();
        self.status = status.as_u16();
        self.is_routine = !is_refusal && response.extensions().get::<Routine>().is_some();
        let has_no_body = self.method == Method::HEAD
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.is_complete = has_no_body || is_over(response.body());
    }

    /// Records that a part of the response's body, or its end, is handed to the connection.
    pub fn sends(&mut self, frame: Option<&Result<Frame<Bytes>, axum::Error>>, rest: &Body) {
        match frame {
            Some(Ok(frame)) => {
                self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                self.is_complete = is_over(rest);
            }
            Some(Err(_)) => {}
            None => self.is_complete = true,
        }
    }
}

/// Whether hyper will not poll such a body again.
fn is_over(body: &Body) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

impl Drop for AccessEntry {
    fn drop(&mut self) {
        let usual = self.log.usual_level();
        let line = AccessLine {
            request: Some(RequestLine {
                method: &self.method,
                path: &without_credentials(self.uri.path()),
                version: self.version,
                duration: self.began.elapsed(),
            }),
            request_id: self.id.as_ref(),
            referer: self.referer.as_ref(),
            user_agent: self.user_agent.as_ref(),
            is_complete: self.is_complete,
            ..AccessLine::new(self.client, self.status, self.bytes)
        };
        line.log(self.log.format, if self.is_routine { Level::DEBUG } else { usual });
    }
}
