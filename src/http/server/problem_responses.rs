//! Replaces the responses that hyper generates itself, for a head that is malformed or too large, with problem
//! documents that have the security headers of all other refusals.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::access_log::AccessLog;
use super::request_id::X_REQUEST_ID;
use super::unread_request::UnreadRequest;
use super::{date, request_id};
use crate::http::Problem;
use crate::http::layers::safe_headers::SAFE_HEADERS;
use crate::http::view::to_json;

/// The longest response that hyper generates itself, in bytes: a status and three headers.
const MAX_GENERATED: usize = 512;

/// A connection on which hyper's own responses are replaced.
pub struct ProblemResponses<S> {
    stream: S,
    /// Whether all written bytes have been flushed; a response can begin only then.
    is_flushed: bool,
    /// Whether the next bytes are those of a new request.
    is_new_request: bool,
    /// Whether the request declares a body whose length hyper cannot count.
    is_body_too_long: bool,
    /// Whether the request is one of a browser for a page.
    is_for_page: bool,
    /// The response to write instead of hyper's.
    replacement: Option<Replacement>,
    access_log: AccessLog,
    /// The client for the access log.
    client: IpAddr,
    /// Set after a replacement: the rest of the request is not read.
    unread: UnreadRequest,
}

struct Replacement {
    bytes: Vec<u8>,
    written: usize,
    /// The length of the replaced response.
    of: usize,
}

impl<S> ProblemResponses<S> {
    /// Wraps a connection of a client.
    pub fn new(stream: S, access_log: AccessLog, client: IpAddr, unread: UnreadRequest) -> Self {
        ProblemResponses {
            stream,
            is_flushed: true,
            is_new_request: true,
            is_body_too_long: false,
            is_for_page: false,
            replacement: None,
            access_log,
            client,
            unread,
        }
    }

    /// Returns the connection.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncWrite + Unpin> ProblemResponses<S> {
    /// Replaces a response that hyper generated itself.
    fn replace_if_generated(&mut self, bytes: &[u8]) {
        if std::mem::take(&mut self.is_flushed)
            && let Some(status) = status_of_generated(bytes)
        {
            let is_of_length = self.is_body_too_long && status != StatusCode::URI_TOO_LONG;
            let status = if is_of_length { StatusCode::PAYLOAD_TOO_LARGE } else { status };
            let problem = problem(status);
            let RawResponse { bytes: response, body_length } = if self.is_for_page {
                RawResponse::page(problem)
            } else {
                RawResponse::new(problem)
            };
            self.access_log.unreadable(self.client, status, body_length);
            self.unread.set_unlimited();
            self.replacement = Some(Replacement { bytes: response, written: 0, of: bytes.len() });
        }
    }

    /// Writes the replacement, if there is one.
    fn poll_replacement(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        let Some(replacement) = &mut self.replacement else { return Poll::Ready(Ok(None)) };
        while replacement.written < replacement.bytes.len() {
            let rest = &replacement.bytes[replacement.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => replacement.written += written,
            }
        }
        let of = replacement.of;
        self.replacement = None;
        Poll::Ready(Ok(Some(of)))
    }
}

/// The status of a response that hyper generated itself; all other responses have a request id.
fn status_of_generated(bytes: &[u8]) -> Option<StatusCode> {
    if bytes.len() > MAX_GENERATED
        || !bytes.starts_with(b"HTTP/1.")
        || !bytes.ends_with(b"\r\n\r\n")
    {
        return None;
    }
    let text = str::from_utf8(bytes).ok().filter(|text| !text.contains("x-request-id:"))?;
    let status: u16 = text.split(' ').nth(1)?.parse().ok()?;
    [StatusCode::BAD_REQUEST, StatusCode::URI_TOO_LONG, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE]
        .into_iter()
        .find(|known| known.as_u16() == status)
}

/// Whether the head at the beginning of the bytes declares a `Content-Length` with so many digits that hyper refuses the
/// head, as if it were itself too long or malformed.
fn declares_uncountable_length(bytes: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length:";
    /// The number of digits of the largest length that hyper cannot count is at least this.
    const MIN_DIGITS: usize = 20;
    // hyper accepts empty lines before a head; the next empty line ends it.
    let lines = bytes.trim_ascii_start().split_inclusive(|byte| *byte == b'\n');
    lines.take_while(|line| !line.trim_ascii().is_empty()).any(|line| {
        let Some((name, value)) = line.split_at_checked(NAME.len()) else { return false };
        let value = value.trim_ascii_start();
        let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
        name.eq_ignore_ascii_case(NAME)
            && digits >= MIN_DIGITS
            && value[0] != b'0'
            && value.get(digits).is_some_and(u8::is_ascii_whitespace)
    })
}

/// Whether the head at the beginning of the bytes is one of a browser that wants a page, and not an answer of the API.
fn is_for_page(bytes: &[u8]) -> bool {
    const NAME: &[u8] = b"accept:";
    let mut lines = bytes.trim_ascii_start().split(|byte| *byte == b'\n');
    let contains = |line: &[u8], part: &[u8]| line.windows(part.len()).any(|it| it == part);
    let is_of_api = lines.next().is_none_or(|line| contains(line, b"/api/"));
    let mut headers = lines.take_while(|line| !line.trim_ascii().is_empty());
    !is_of_api
        && headers.any(|line| {
            line.split_at_checked(NAME.len()).is_some_and(|(name, value)| {
                name.eq_ignore_ascii_case(NAME) && contains(value, b"text/html")
            })
        })
}

/// The problem of a request head that hyper refused with this status.
fn problem(status: StatusCode) -> Problem {
    let (code, detail) = match status {
        StatusCode::URI_TOO_LONG => ("uri_too_long", "the URL of the request is too long"),
        StatusCode::PAYLOAD_TOO_LARGE => {
            ("body_too_large", "the body is longer than the server accepts")
        }
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => (
            "head_too_large",
            "the URL and headers of a request may have at most 64 KiB and 100 headers",
        ),
        _ => ("malformed_request", "the request is not valid HTTP/1.1"),
    };
    Problem::new(status, code, detail)
}

/// A whole response, byte for byte, for a connection on which no request could be read. It closes the connection.
pub struct RawResponse {
    /// The head and the body.
    pub bytes: Vec<u8>,
    /// The length of the body.
    pub body_length: usize,
}

impl RawResponse {
    /// Builds the response to a problem, with the headers that the layers add to all other responses.
    pub fn new(problem: Problem) -> RawResponse {
        let body = to_json(&problem.document());
        RawResponse::of(problem.into_response(), body)
    }

    /// Builds the same response as a plain page, for a person whose browser has sent what cannot be read.
    fn page(problem: Problem) -> RawResponse {
        let (status, detail) = (problem.status(), problem.detail());
        let body = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{status}</title></head>\
             <body><h1>{status}</h1><p>{detail}.</p></body></html>\n"
        );
        let mut response = problem.into_response();
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, html);
        RawResponse::of(response, body)
    }

    fn of(mut response: Response, body: String) -> RawResponse {
        let headers = response.headers_mut();
        headers.extend(SAFE_HEADERS);
        date::add(headers);
        headers.extend(request_id::fresh().map(|id| (X_REQUEST_ID, id)));
        headers.insert(header::CONTENT_LENGTH, body.len().into());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let mut bytes = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
        for (name, value) in response.headers() {
            bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        bytes.extend([b"\r\n", body.as_bytes()].concat());
        RawResponse { bytes, body_length: body.len() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ProblemResponses<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if std::mem::take(&mut self.is_new_request) {
            let head = &buffer.filled()[before..];
            self.is_body_too_long = declares_uncountable_length(head);
            self.is_for_page = is_for_page(head);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ProblemResponses<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.replace_if_generated(bytes);
        if let Some(replaced) = ready!(self.poll_replacement(context))? {
            return Poll::Ready(Ok(replaced));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match parts {
            [one] => self.replace_if_generated(one),
            [] | [_, _, ..] => self.is_flushed = false,
        }
        if let Some(replaced) = ready!(self.poll_replacement(context))? {
            return Poll::Ready(Ok(replaced));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.is_flushed = true;
        self.is_new_request = true;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_of_hyper_are_replaced() {
        let bare = "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(status_of_generated(bare.as_bytes()).unwrap().as_u16(), 431);
        let bad = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(status_of_generated(bad.as_bytes()).unwrap().as_u16(), 400);
        for others in [
            "HTTP/1.1 400 Bad Request\r\nx-request-id: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\n",
            "\r\nHTTP/1.1 400 Bad Request\r\n\r\n",
            "",
        ] {
            assert_eq!(status_of_generated(others.as_bytes()), None, "{others}");
        }
    }

    #[test]
    fn only_a_head_declares_a_length() {
        let long = "18446744073709551615";
        for (bytes, expected) in [
            (format!("POST /jobs HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: {long}\r\n\r\n"), true),
            (format!("\r\nPOST / HTTP/1.1\r\nContent-Length:{long}{long} \r\n"), true),
            (format!("POST / HTTP/1.1\nContent-Length: {long}\n\n"), true),
            ("POST / HTTP/1.1\r\nContent-Length: 1844674407370955161\r\n\r\n".into(), false),
            (format!("POST / HTTP/1.1\r\nContent-Length: 0{long}\r\n\r\n"), false),
            (format!("POST / HTTP/1.1\r\nContent-Length: {long}"), false),
            (format!("POST / HTTP/1.1\r\nX-Content-Length: {long}\r\n\r\n"), false),
            (format!("POST / HTTP/1.1\r\n\r\nContent-Length: {long}\r\n"), false),
            (String::new(), false),
        ] {
            assert_eq!(declares_uncountable_length(bytes.as_bytes()), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_browser_that_wants_a_page_is_recognized_by_its_head() {
        let accept = "Accept: text/html,application/xhtml+xml";
        for (head, expected) in [
            (format!("GET /jobs HTTP/1.1\r\nhost: a\r\n{accept}\r\n\r\n"), true),
            (format!("GET /jobs HTTP/1.1\n{}\n\n", accept.to_uppercase()), false),
            (format!("GET /api/v1/jobs HTTP/1.1\r\n{accept}\r\n\r\n"), false),
            (format!("GET /base/api/v1/jobs HTTP/1.1\r\n{accept}\r\n\r\n"), false),
            ("GET /jobs HTTP/1.1\r\naccept: */*\r\n\r\n".into(), false),
            (format!("GET /jobs HTTP/1.1\r\n\r\n{accept}\r\n"), false),
            (String::new(), false),
        ] {
            assert_eq!(is_for_page(head.as_bytes()), expected, "{head}");
        }
    }

    #[test]
    fn its_document_is_json() {
        for status in [400, 414, 431] {
            let response = RawResponse::new(problem(StatusCode::from_u16(status).unwrap()));
            let answer = String::from_utf8(response.bytes).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
            assert!(head.contains("\r\nx-request-id: ") && head.contains("\r\ndate: "), "{head}");
            let document: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(document["status"], status);
        }
    }
}
