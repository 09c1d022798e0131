//! The host names that this server accepts, and the origins that may open WebSockets.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode, Uri};

use super::header_list::{Repeated, at_most_one};
use crate::http::Problem;

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
    use axum::http::HeaderValue;

    use super::*;

    fn headers(name: axum::http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
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
