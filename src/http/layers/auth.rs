//! Access control: an optional token, the host names that this server accepts, and the origins that may open
//! WebSockets. A program sends the token as a Bearer token or as the password of HTTP Basic; browsers open a session
//! ([`super::session`]).

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::header_list::{Repeated, at_most_one};
use super::login_limiter::{LoginFailure, LoginLimiter};
use super::session::Session;
use crate::http::Problem;

/// Refuses a request that does not carry the token, in constant time for tokens of its length. Credentials of a client
/// that has sent too many wrong ones are not checked.
pub fn check_token(
    session: &Session,
    logins: &LoginLimiter,
    client: IpAddr,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let mut detail = "send the token as `Authorization: Bearer`, or as the password of HTTP Basic";
    if headers.contains_key(AUTHORIZATION) {
        // Repeated credentials are wrong, even if one of them is right.
        let value = at_most_one(headers, AUTHORIZATION).ok().flatten();
        let given = value.and_then(|value| value.to_str().ok()).and_then(given_token);
        let is_right = || given.is_some_and(|given| session.accepts(&given));
        match logins.attempt(client, is_right) {
            Ok(()) => return Ok(()),
            Err(LoginFailure::TooMany(failures)) => return Err(failures.into()),
            Err(LoginFailure::Wrong) => {
                detail = "the credentials in `Authorization` are not accepted: the token is wrong, or it was not sent as \
                     `Bearer` or as the password of HTTP Basic";
            }
        }
    }
    let challenge = HeaderValue::from_static("Basic realm=\"cortado\", charset=\"UTF-8\"");
    Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).challenge(challenge))
}

/// Extracts the token from `Bearer TOKEN` (RFC 6750) or `Basic base64(USER:TOKEN)` (RFC 7617), with any user name.
fn given_token(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
        return text.split_once(':').map(|(_, password)| password.to_owned());
    }
    None
}

/// The host names that requests may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// Any name: the server is reachable from other machines, under names that it does not know.
    Any,
    /// Only loopback names and those configured. This refuses pages of another site whose name resolves to 127.0.0.1
    /// (DNS rebinding).
    Loopback {
        /// Configured names, without port.
        also: Vec<String>,
    },
}

/// Refuses a request for a host name that this server does not accept.
pub fn check_host(hosts: &Hosts, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let also = match hosts {
        Hosts::Any => return Ok(()),
        Hosts::Loopback { also } => also,
    };
    if uri.authority().is_none() && !headers.contains_key(HOST) {
        // Only HTTP/1.0 allows this (RFC 9112 §3.2), and browsers always name the host.
        return Ok(());
    }
    let host = authority(uri, headers).map(without_port).unwrap_or_default();
    let ip = host.trim_matches(['[', ']']).parse();
    let known = without_last_dot(host).eq_ignore_ascii_case("localhost")
        || ip.is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
        || also
            .iter()
            .any(|name| without_last_dot(name).eq_ignore_ascii_case(without_last_dot(host)));
    if known {
        return Ok(());
    }
    let detail = format!("this server does not accept requests for host {host:?}");
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "unknown_host", detail))
}

/// Refuses a WebSocket opened by a page of another site. The upgrade is a GET, so the layers against cross-site
/// requests do not see it; browsers always send `Origin` with it.
pub fn check_origin(trusted: &[String], uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let origin = match at_most_one(headers, ORIGIN) {
        Ok(None) => return Ok(()),
        Ok(Some(origin)) => origin.to_str().unwrap_or_default(),
        Err(Repeated) => "", // no origin
    };
    let same = origin
        .split_once("://")
        .zip(authority(uri, headers))
        .is_some_and(|((_, from), to)| from.eq_ignore_ascii_case(to));
    if same || trusted.iter().any(|known| known == origin) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "wrong_origin",
        "WebSockets from other sites are refused",
    ))
}

fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let asked = uri.authority().map(|authority| authority.as_str());
    asked.or_else(|| headers.get(HOST)?.to_str().ok())
}

/// A host without its port: `[::1]:80` becomes `[::1]`, and `name:80` becomes `name`.
fn without_port(host: &str) -> &str {
    match host.rfind(']') {
        Some(end) => &host[..=end],
        None => host.split(':').next().unwrap_or(host),
    }
}

/// A name without the dot that may end it: `localhost.` and `localhost` are the same name.
fn without_last_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: axum::http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn the_token_comes_as_bearer_or_as_any_users_password() {
        let session = Session::new("s3:cret");
        let logins = LoginLimiter::new(&crate::http::HttpLimits::default());
        let check = |headers: &HeaderMap| {
            check_token(&session, &logins, IpAddr::from([192, 0, 2, 1]), headers)
        };
        let basic = |text: &str| format!("basic {}", STANDARD.encode(text));
        for good in ["Bearer s3:cret", "bearer  s3:cret", &basic("me:s3:cret"), &basic(":s3:cret")]
        {
            assert!(check(&headers(AUTHORIZATION, good)).is_ok(), "{good}");
        }
        for bad in ["Bearer s3:cre", "s3:cret", "Basic s3:cret", &basic("s3:cret"), "Bearer "] {
            let refused = check(&headers(AUTHORIZATION, bad)).unwrap_err();
            assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{bad}");
        }
        assert_eq!(logins.rejected(), 5);
        assert!(check(&HeaderMap::new()).is_err());
        assert_eq!(logins.rejected(), 5, "a request without credentials is no login");
    }

    #[test]
    fn only_names_of_this_machine_pass_on_loopback() {
        let hosts = Hosts::Loopback { also: vec!["jobs.test".into()] };
        let check = |host: &str| check_host(&hosts, &Uri::from_static("/"), &headers(HOST, host));
        for good in [
            "localhost:8080",
            "LOCALHOST",
            "localhost.:80",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
            "Jobs.test:9",
            "jobs.test.",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "evil.test",
            "localhost.evil.test:80",
            "10.0.0.1",
            "[::ffff:10.0.0.1]",
            "0.0.0.0:80",
            "[::]:80",
            "0",
            "127.1",
            "[::1%1]:80",
            "localhost..",
            ".",
            "",
            "[::2]:80",
        ] {
            assert_eq!(check(bad).unwrap_err().code(), "unknown_host", "{bad}");
        }
        assert!(check_host(&hosts, &Uri::from_static("/"), &HeaderMap::new()).is_ok(), "HTTP/1.0");
        assert!(check_host(&Hosts::Any, &Uri::from_static("/"), &HeaderMap::new()).is_ok());
    }

    #[test]
    fn a_socket_belongs_to_the_same_site_or_to_a_program() {
        let check = |origin: &str| {
            let mut headers = headers(HOST, "localhost:8080");
            headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
            check_origin(&["https://trusted.test".into()], &Uri::from_static("/"), &headers)
        };
        assert!(check("http://localhost:8080").is_ok());
        assert!(check("https://trusted.test").is_ok());
        for bad in ["http://localhost:8081", "http://evil.test", "null", ""] {
            assert_eq!(check(bad).unwrap_err().code(), "wrong_origin", "{bad}");
        }
        assert!(check_origin(&[], &Uri::from_static("/"), &headers(HOST, "x")).is_ok());
    }
}
