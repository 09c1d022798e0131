//! Checks which host a request is for (RFC 9112 §3.2). If it named none, two, or an invalid one, a proxy and this server
//! could disagree about it.

use std::net::Ipv6Addr;

use axum::http::header::HOST;
use axum::http::{HeaderValue, Request, StatusCode, Uri, Version};

use crate::http::Problem;

/// The longest name of a host, in bytes (RFC 1035).
const MAX_NAME: usize = 255;

/// Refuses a request with more than one `Host` header, with an invalid one, with another host than its absolute URL, or,
/// since HTTP/1.1, without one.
///
/// # Errors
/// 400 `invalid_host`.
pub fn check<B>(request: &Request<B>) -> Result<(), Problem> {
    let refuse = |detail: &str| Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_host", detail));
    let mut lines = request.headers().get_all(HOST).iter();
    let (host, second) = (lines.next(), lines.next());
    if second.is_some() {
        return refuse("the request has more than one `host` header");
    }
    let Some(host) = host else {
        let must_have_one = request.version() >= Version::HTTP_11;
        return if must_have_one { refuse("the request has no `host` header") } else { Ok(()) };
    };
    let host = host.to_str().unwrap_or_default();
    if !is_valid(host) {
        return refuse("the `host` header is not a host name or address with an optional port");
    }
    match is_same(host, request.uri()) {
        Some(false) => refuse("the `host` header differs from the host in the URL"),
        Some(true) | None => Ok(()),
    }
}

/// In the extensions of a request whose host was replaced by [`replace`]: the host that the proxy asked for.
#[derive(Debug, Clone)]
pub struct ReplacedHost(pub HeaderValue);

/// Replaces the host of a request by the one that a trusted proxy reports, so that everything after this sees the host
/// that the client asked for. The replaced one becomes a [`ReplacedHost`].
///
/// # Errors
/// 400 `invalid_host`, if what the proxy reports is no host.
pub fn replace<B>(request: &mut Request<B>, host: &str) -> Result<(), Problem> {
    let value = HeaderValue::from_str(host).ok().filter(|_| is_valid(host)).ok_or_else(|| {
        let detail =
            "the host that the proxy reports is not a host name or address with an optional port";
        Problem::new(StatusCode::BAD_REQUEST, "invalid_host", detail)
    })?;
    if request.uri().authority().is_none()
        && let Some(replaced) = request.headers_mut().insert(HOST, value)
        && replaced != host
    {
        request.extensions_mut().insert(ReplacedHost(replaced));
    }
    Ok(())
}

/// Whether the absolute URL of a request is for this host; `None` if the URL has no host.
fn is_same(host: &str, uri: &Uri) -> Option<bool> {
    let authority = uri.authority()?;
    let default_port = match uri.scheme_str() {
        Some("http") => "80",
        Some("https") => "443",
        // The target of `CONNECT` is only an authority.
        None => "",
        Some(_) => return Some(false),
    };
    let ((name, port), (asked_name, asked_port)) = (split(host), split(authority.as_str()));
    let port = if port.is_empty() { default_port } else { port };
    let asked_port = if asked_port.is_empty() { default_port } else { asked_port };
    Some(name.eq_ignore_ascii_case(asked_name) && port == asked_port)
}

/// Whether a text is a host with an optional port.
fn is_valid(text: &str) -> bool {
    let (name, port) = split(text);
    let has_valid_port = port.is_empty()
        || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    has_valid_port
        && match name.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok()),
            None => (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_of_a_name),
        }
}

/// Whether a byte may be part of a name (RFC 3986 §3.2.2). A comma would be allowed, but two headers that a proxy has
/// joined have one.
fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(&byte)
}

/// Splits a host from its port, which may be empty.
fn split(text: &str) -> (&str, &str) {
    let end_of_name = text.rfind(']').map_or(0, |at| at + 1);
    match text[end_of_name..].find(':') {
        Some(at) => (&text[..end_of_name + at], &text[end_of_name + at + 1..]),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(version: Version, url: &str, hosts: &[&str]) -> bool {
        let mut request = Request::get(url).version(version).body(()).unwrap();
        for host in hosts {
            request.headers_mut().append(HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
        }
        check(&request).is_ok()
    }

    #[test]
    fn a_request_names_one_valid_host() {
        for good in [
            "localhost",
            "localhost:8080",
            "LOCALHOST:",
            "jobs.example.com.",
            "127.0.0.1:80",
            "[::1]",
            "[::ffff:127.0.0.1]:8080",
            "under_score:1",
            "xn--mller-kva.example",
        ] {
            assert!(checked(Version::HTTP_11, "/jobs", &[good]), "{good}");
            assert!(!checked(Version::HTTP_11, "/jobs", &[good, good]), "{good} twice");
            assert!(!checked(Version::HTTP_10, "/jobs", &[good, good]), "{good} twice");
        }
        let long = "x".repeat(MAX_NAME + 1);
        for bad in [
            "",
            ":80",
            "a b",
            "a,b",
            "a/b",
            "a@b",
            "user:pass@localhost",
            "http://localhost",
            "localhost:x",
            "localhost:80:80",
            "localhost:+80",
            "localhost:65536",
            "[::1",
            "[::1]x",
            "[::1%1]",
            "[localhost]",
            "::1",
            "müller.example",
            &long,
        ] {
            assert!(!checked(Version::HTTP_11, "/jobs", &[bad]), "{bad}");
            assert!(!checked(Version::HTTP_10, "/jobs", &[bad]), "{bad}");
        }
        assert!(!checked(Version::HTTP_11, "/jobs", &[]));
        assert!(checked(Version::HTTP_10, "/jobs", &[]), "HTTP/1.0 does not require one");
    }

    #[test]
    fn an_absolute_url_has_the_same_host() {
        for (url, host) in [
            ("http://localhost/jobs", "localhost"),
            ("http://localhost/jobs", "LocalHost:80"),
            ("http://localhost:80/jobs", "localhost"),
            ("https://localhost/jobs", "localhost:443"),
            ("http://[::1]:8080/jobs", "[::1]:8080"),
        ] {
            assert!(checked(Version::HTTP_11, url, &[host]), "{url} {host}");
        }
        for (url, host) in [
            ("http://localhost/jobs", "evil.test"),
            ("http://evil.test/jobs", "localhost"),
            ("http://localhost:81/jobs", "localhost"),
            ("http://localhost/jobs", "localhost:443"),
            ("http://me@localhost/jobs", "localhost"),
            ("ftp://localhost/jobs", "localhost"),
        ] {
            assert!(!checked(Version::HTTP_11, url, &[host]), "{url} {host}");
        }
        assert!(!checked(Version::HTTP_11, "http://localhost/jobs", &[]));
    }
}
