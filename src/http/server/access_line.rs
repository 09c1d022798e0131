//! One line of the access log, as fields of the log or in a format of the Apache HTTP server. It has neither the query
//! of the request nor headers with secrets.

use std::fmt::{self, Display, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use axum::http::{HeaderValue, Method, Version};
use serde::{Deserialize, Serialize};
use tracing::Level;

use super::date;
use crate::logging::RAW_LINE;

/// The target of the lines, for filters such as `info,cortado::access=off`.
pub const TARGET: &str = "cortado::access";

/// The most bytes of a path or a header that a line shows.
const MAX_TEXT: usize = 1_000;

/// What a line of the access log looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessFormat {
    /// Like every other line of the log, as text or JSON.
    #[default]
    Log,
    /// The Common Log Format of the Apache HTTP server.
    Common,
    /// The Common Log Format, the referring page and the client's program.
    Combined,
}

/// What a line says.
#[derive(Debug)]
pub struct AccessLine<'a> {
    /// `None` when no request could be read.
    pub request: Option<RequestLine<'a>>,
    pub client: IpAddr,
    pub status: u16,
    /// Bytes of the response's body that were handed to the connection.
    pub bytes: u64,
    pub request_id: Option<&'a HeaderValue>,
    pub referer: Option<&'a HeaderValue>,
    pub user_agent: Option<&'a HeaderValue>,
    /// Whether the whole response was handed to the connection.
    pub is_complete: bool,
}

/// What a line says about a request that could be read.
#[derive(Debug)]
pub struct RequestLine<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub version: Version,
    pub duration: Duration,
}

/// Logs at `info` or `debug`: the level of a call site is a constant.
macro_rules! log_at {
    ($level:expr, $($line:tt)*) => {
        if $level == Level::INFO { tracing::info!($($line)*) } else { tracing::debug!($($line)*) }
    };
}

impl AccessLine<'_> {
    /// The line of a connection on which no request could be read.
    pub fn new(client: IpAddr, status: u16, bytes: u64) -> Self {
        AccessLine {
            request: None,
            client,
            status,
            bytes,
            request_id: None,
            referer: None,
            user_agent: None,
            is_complete: true,
        }
    }

    /// Logs the line.
    pub fn log(&self, format: AccessFormat, level: Level) {
        let request = self.request.as_ref();
        match format {
            AccessFormat::Log => log_at!(
                level,
                target: TARGET,
                client = %self.client,
                method = request.map(|request| tracing::field::display(Escaped(request.method.as_str().as_bytes()))),
                path = request.map(|request| tracing::field::display(Escaped(request.path.as_bytes()))),
                status = self.status,
                bytes = self.bytes,
                duration_ms = request.map(|request| request.duration.as_micros() as f64 / 1_000.0),
                request_id = self.request_id.and_then(|id| id.to_str().ok()),
                incomplete = (!self.is_complete).then_some(true),
                "request"
            ),
            AccessFormat::Common => {
                log_at!(level, name: RAW_LINE, target: TARGET, "{}", Common(self));
            }
            AccessFormat::Combined => {
                log_at!(level, name: RAW_LINE, target: TARGET, "{}", Combined(self));
            }
        }
    }
}

/// A line in the Common Log Format: `client - - [time] "request" status bytes`.
struct Common<'a>(&'a AccessLine<'a>);

impl Display for Common<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.0;
        write!(f, "{} - - [", line.client)?;
        match date::now() {
            Some(now) => write!(f, "{}", now.strftime("%d/%b/%Y:%H:%M:%S +0000"))?,
            None => f.write_char('-')?,
        }
        f.write_str("] \"")?;
        match &line.request {
            Some(RequestLine { method, path, version, .. }) => {
                let (method, path) =
                    (Escaped(method.as_str().as_bytes()), Escaped(path.as_bytes()));
                write!(f, "{method} {path} {version:?}")?;
            }
            None => f.write_char('-')?,
        }
        write!(f, "\" {} ", line.status)?;
        match line.bytes {
            0 => f.write_char('-'),
            bytes => write!(f, "{bytes}"),
        }
    }
}

/// The same with `"referer" "user agent"` at its end.
struct Combined<'a>(&'a AccessLine<'a>);

impl Display for Combined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What follows the path may be as secret as the query of the request itself.
        let referer = bytes_of(self.0.referer).split(|byte| b"?#".contains(byte)).next();
        let (referer, agent) = (referer.unwrap_or_default(), bytes_of(self.0.user_agent));
        write!(f, "{} \"{}\" \"{}\"", Common(self.0), Escaped(referer), Escaped(agent))
    }
}

/// The bytes of a header, or `-` as Apache writes for one that is missing.
fn bytes_of(header: Option<&HeaderValue>) -> &[u8] {
    header.map_or(b"-", HeaderValue::as_bytes)
}

/// Text of a client as Apache writes it: quotation marks, backslashes and all that is not printable ASCII is escaped,
/// so that a client can neither end a field nor a line.
struct Escaped<'a>(&'a [u8]);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().take(MAX_TEXT) {
            match byte {
                b'"' | b'\\' => write!(f, "\\{}", *byte as char)?,
                b' '..=b'~' => f.write_char(*byte as char)?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        if self.0.len() > MAX_TEXT { f.write_str("...") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(method: &'a Method, path: &'a str) -> AccessLine<'a> {
        let (version, duration) = (Version::HTTP_11, Duration::from_millis(3));
        let request = Some(RequestLine { method, path, version, duration });
        AccessLine { request, ..AccessLine::new([192, 0, 2, 7].into(), 200, 1_234) }
    }

    /// A line without its time, which stands in brackets.
    fn without_time(line: impl Display) -> String {
        let line = line.to_string();
        let (head, rest) = line.split_once('[').unwrap();
        let (time, tail) = rest.split_once(']').unwrap();
        assert!(time.ends_with(" +0000") && time.len() == 26, "{time}");
        format!("{head}[]{tail}")
    }

    #[test]
    fn a_line_is_in_the_common_or_the_combined_log_format() {
        let mut line = line(&Method::GET, "/jobs");
        let common = r#"192.0.2.7 - - [] "GET /jobs HTTP/1.1" 200 1234"#;
        assert_eq!(without_time(Common(&line)), common);
        assert_eq!(without_time(Combined(&line)), format!(r#"{common} "-" "-""#));
        let referer = HeaderValue::from_static("http://host/jobs?q=secret");
        let agent = HeaderValue::from_static("curl/8 \"x\"");
        (line.referer, line.user_agent) = (Some(&referer), Some(&agent));
        let combined = format!(r#"{common} "http://host/jobs" "curl/8 \"x\"""#);
        assert_eq!(without_time(Combined(&line)), combined);
        let none = AccessLine::new([192, 0, 2, 7].into(), 400, 0);
        assert_eq!(without_time(Common(&none)), r#"192.0.2.7 - - [] "-" 400 -"#);
    }

    #[test]
    fn a_client_can_end_neither_a_field_nor_a_line() {
        let shown = |text: &str| Escaped(text.as_bytes()).to_string();
        assert_eq!(shown("/a\" 200\n\u{9b}\\\x1b"), r#"/a\" 200\x0a\xc2\x9b\\\x1b"#);
        let long = "x".repeat(MAX_TEXT);
        assert_eq!(shown(&long), long);
        assert_eq!(shown(&format!("{long}y")), format!("{long}..."));
    }
}
