//! Refuses reads by pages of other sites in a browser. Such a page cannot see the responses, but it could put load on
//! the server. Browsers send where a request comes from and what it is for (Fetch Metadata, W3C).

use axum::http::header::{ORIGIN, UPGRADE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::header_list::{Repeated, at_most_one};
use crate::http::Problem;

/// Where a request comes from.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The detail of the refusal.
const DETAIL: &str = "requests from pages of other sites are refused; links to this URL work";

/// Refuses a safe request from a page of another site (or another port of this host), unless the user followed a link.
/// Requests of programs do not have these headers. Unsafe requests and WebSockets are checked elsewhere, but no request may
/// repeat the headers that the checks depend on.
pub fn check_cross_site(
    trusted: &[String],
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let refuse = |detail| Err(Problem::new(StatusCode::FORBIDDEN, "cross_site", detail));
    let is_upgrade = headers.contains_key(UPGRADE);
    let (site, origin) = match (at_most_one(headers, SITE), at_most_one(headers, ORIGIN)) {
        (Ok(site), Ok(origin)) => (site, origin),
        (Ok(site), Err(Repeated)) if is_upgrade => (site, None), // `check_origin` refuses it
        (Err(Repeated), _) | (_, Err(Repeated)) => {
            return refuse("`origin` and `sec-fetch-site` can be sent only once");
        }
    };
    let is_ours = match site.map(text) {
        None | Some("same-origin" | "none") => true,
        Some(_) => false,
    };
    let origin = origin.and_then(|origin| origin.to_str().ok());
    let is_trusted = origin.is_some_and(|origin| trusted.iter().any(|known| known == origin));
    if is_ours || is_trusted || !method.is_safe() || is_upgrade {
        return Ok(());
    }
    // Frames and prefetches also have the mode "navigate".
    let value = |name: &str| at_most_one(headers, name).map(|value| value.map(text));
    let is_link = value("sec-fetch-mode") == Ok(Some("navigate"))
        && matches!(value("sec-fetch-dest"), Ok(None | Some("document")))
        && !headers.contains_key("sec-purpose");
    if is_link { Ok(()) } else { refuse(DETAIL) }
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &Method, headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        check_cross_site(&["https://jobs.test".into()], method, &headers.collect()).is_ok()
    }

    #[test]
    fn only_links_lead_here_from_another_site() {
        const MODE: &str = "sec-fetch-mode";
        const DEST: &str = "sec-fetch-dest";
        for site in ["cross-site", "same-site", "", "made-up"] {
            let from = |more: &[(&'static str, &'static str)]| {
                check(&Method::GET, &[&[("sec-fetch-site", site)], more].concat())
            };
            assert!(from(&[(MODE, "navigate"), (DEST, "document")]), "{site}");
            assert!(from(&[(MODE, "navigate")]), "{site}");
            assert!(from(&[(MODE, "cors"), ("origin", "https://jobs.test")]), "{site}");
            assert!(from(&[(MODE, "websocket"), ("upgrade", "websocket")]), "{site}");
            for refused in [
                &[][..],
                &[(MODE, "no-cors"), (DEST, "image")],
                &[(MODE, "no-cors"), (DEST, "document")],
                &[(MODE, "cors"), (DEST, "empty"), ("origin", "https://evil.test")],
                &[(MODE, "navigate"), (DEST, "iframe")],
                &[(MODE, "navigate"), (DEST, "object")],
                &[(MODE, "navigate"), (DEST, "embed")],
                &[(MODE, "navigate"), (DEST, "document"), ("sec-purpose", "prefetch;prerender")],
            ] {
                assert!(!from(refused), "{site} {refused:?}");
            }
        }
        for site in ["same-origin", "none"] {
            let image = [("sec-fetch-site", site), (MODE, "no-cors"), (DEST, "image")];
            assert!(check(&Method::GET, &image), "{site}");
        }
        let image = [("sec-fetch-site", "cross-site"), (MODE, "no-cors")];
        assert!(!check(&Method::HEAD, &image) && !check(&Method::OPTIONS, &image));
        assert!(check(&Method::POST, &image), "another layer refuses it");
        assert!(check(&Method::GET, &[]), "a program");
    }
}
