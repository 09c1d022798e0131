//! Refuses reads that pages of other sites make in a browser. Such a page cannot see the responses, but it could make the
//! server work. Browsers say where a request comes from and what it is for (Fetch Metadata, W3C).

use axum::http::header::{ORIGIN, UPGRADE};
use axum::http::{HeaderMap, Method, StatusCode};

use crate::http::Problem;

/// The detail of the refusal.
const DETAIL: &str = "requests from pages of other sites are refused; a link to this address works";

/// Refuses a safe request that a page of another site makes, including one from another port of this host, unless a
/// person follows a link. A request of a program has no such headers. Other layers and checks look at requests that
/// change something and at sockets.
pub fn check_cross_site(
    trusted: &[String],
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let value = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_ours = match value("sec-fetch-site") {
        None | Some("same-origin" | "none") => true,
        Some(_) => false,
    };
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    let is_trusted = origin.is_some_and(|origin| trusted.iter().any(|known| known == origin));
    if is_ours || is_trusted || !method.is_safe() || headers.contains_key(UPGRADE) {
        return Ok(());
    }
    // A frame navigates too, and so does a page that is fetched before somebody follows its link.
    let is_link = value("sec-fetch-mode") == Some("navigate")
        && matches!(value("sec-fetch-dest"), None | Some("document"))
        && value("sec-purpose").is_none();
    if is_link { Ok(()) } else { Err(Problem::new(StatusCode::FORBIDDEN, "cross_site", DETAIL)) }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

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
