//! The path prefix under which the server is reached when it shares a host. It is removed from the path of every
//! request that has it, and added to every URL in a response.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Request};
use axum::http::uri::PathAndQuery;
use axum::http::{Method, Uri, request};
use axum::middleware::{self, Next};

use crate::http::access::routes::ROUTES;
use crate::http::server::connection_scheme::ConnectionScheme;

/// The first segments of paths that the server does not have, but browsers and tools ask for, or later versions may have.
const RESERVED: [&str; 2] = ["favicon.ico", "openapi.json"];

/// Whether a path of the server begins with this segment. A base path that begins with it would be ambiguous.
fn is_own(segment: &str) -> bool {
    let mut routes = ROUTES.iter();
    RESERVED.contains(&segment) || routes.any(|rule| rule.path.split('/').nth(1) == Some(segment))
}

/// A prefix such as `/cortado`, or none. It is stored without a trailing slash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasePath(Arc<str>);

/// Why a string is not a base path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BasePathError {
    /// It is not a path.
    #[error("{0:?} is not a path such as /cortado, of letters, digits, `-`, `_`, `.` and `~`")]
    Form(String),
    /// It begins with a segment of the server's own paths.
    #[error("{0:?} begins like one of the server's own paths; choose another, such as /cortado")]
    Taken(String),
}

impl FromStr for BasePath {
    type Err = BasePathError;

    /// Parses `/cortado`, `/tools/cortado/`, or `/` for none.
    fn from_str(text: &str) -> Result<Self, BasePathError> {
        let refused = || BasePathError::Form(text.to_owned());
        let rest = text.strip_prefix('/').ok_or_else(refused)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.is_empty() {
            return if text == "/" { Ok(BasePath::default()) } else { Err(refused()) };
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        let sound =
            |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(plain);
        if !rest.split('/').all(sound) {
            return Err(refused());
        }
        let first = rest.split('/').next().unwrap_or_default();
        if is_own(first) {
            return Err(BasePathError::Taken(text.to_owned()));
        }
        Ok(BasePath(format!("/{rest}").into()))
    }
}

/// The text that is put before a path that begins with a slash; it is empty without a base path.
impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The URL of a request, in its extensions. Code that writes a URL into a response takes this as an extractor.
#[derive(Debug, Clone, Default)]
pub struct Address(Arc<AddressParts>);

#[derive(Debug, Default)]
struct AddressParts {
    base: BasePath,
    /// Path and query below the base, without the leading slash.
    below: String,
    method: Method,
    scheme: ConnectionScheme,
}

/// The longest request URL that a response repeats, in bytes.
const MAX_REPEATED_URL: usize = 2_000;

impl Address {
    /// The absolute path of a resource of this server, including the base path: `url("jobs/new")` is `/jobs/new` or
    /// `/cortado/jobs/new`.
    pub fn url(&self, relative: &str) -> String {
        format!("{}/{relative}", self.0.base)
    }

    /// The absolute path and the query of the request. If they are too long to be repeated, the query is omitted, or
    /// both are.
    pub fn here(&self) -> String {
        self.url(self.relative())
    }

    /// The path and the query of the request, relative to the base path and without a leading slash, with the same
    /// limit.
    pub fn relative(&self) -> &str {
        let below = self.0.below.as_str();
        let path = below.split('?').next().unwrap_or_default();
        [below, path].into_iter().find(|it| it.len() <= MAX_REPEATED_URL).unwrap_or_default()
    }

    /// The scheme with which the client reaches the server.
    pub fn scheme(&self) -> ConnectionScheme {
        self.0.scheme
    }

    /// Whether a browser may repeat the request without asking the user.
    pub fn can_be_reloaded(&self) -> bool {
        self.0.method.is_safe()
    }
}

/// Without [`mount`], a router serves at the root.
impl<S: Sync> FromRequestParts<S> for Address {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut request::Parts,
        _state: &S,
    ) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// Serves all routes under the base path, whether a proxy strips the prefix or not: requests with and without the
/// prefix are treated alike.
pub fn mount(router: Router, base: &BasePath) -> Router {
    let base = base.clone();
    let outermost = middleware::from_fn(move |mut request: Request, next: Next| {
        let base = base.clone();
        async move {
            if let Some(uri) = without(&base, request.uri()) {
                *request.uri_mut() = uri;
            }
            let below = request.uri().path_and_query().map_or("", PathAndQuery::as_str);
            // A URL with two leading slashes would name another host.
            let below = below.trim_start_matches('/').to_owned();
            let scheme = ConnectionScheme::of(request.extensions());
            let parts = AddressParts { base, below, method: request.method().clone(), scheme };
            request.extensions_mut().insert(Address(Arc::new(parts)));
            next.run(request).await
        }
    });
    // Routes must be matched after the layer has changed the URI, so they are in an inner router.
    Router::new().fallback_service(router).layer(outermost)
}

/// The URI without the base path; `None` if it does not have the prefix.
fn without(base: &BasePath, uri: &Uri) -> Option<Uri> {
    if base.0.is_empty() {
        return None;
    }
    let rest = uri.path_and_query()?.as_str().strip_prefix(&*base.0)?;
    let below = match rest.bytes().next() {
        Some(b'/') => rest.to_owned(),
        None | Some(b'?') => format!("/{rest}"),
        Some(_) => return None,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(below.parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    #[test]
    fn a_base_path_is_a_plain_path_that_is_not_one_of_ours() {
        for (text, kept) in [
            ("/", ""),
            ("/cortado", "/cortado"),
            ("/cortado/", "/cortado"),
            ("/a/b-1.x~", "/a/b-1.x~"),
        ] {
            assert_eq!(text.parse::<BasePath>().unwrap().to_string(), kept);
        }
        for text in
            ["", "cortado", "//", "//x", "/a//b", "/a/../b", "/.", "/a b", "/ä", "/a?b", "/a#b"]
        {
            assert_eq!(text.parse::<BasePath>(), Err(BasePathError::Form(text.into())));
        }
    }

    #[test]
    fn no_base_path_begins_like_a_route() {
        let routes = ROUTES.iter().filter_map(|rule| rule.path.split('/').nth(1));
        let known = ["account", "audit", "favicon.ico", "links", "openapi.json", "shared", "users"];
        for first in routes.filter(|first| !first.is_empty()).chain(known) {
            for text in [format!("/{first}"), format!("/{first}/"), format!("/{first}/below")] {
                let refused = text.parse::<BasePath>();
                assert_eq!(refused, Err(BasePathError::Taken(text)), "{first}");
            }
        }
    }

    #[test]
    fn only_a_whole_segment_is_taken_off() {
        let base: BasePath = "/cortado".parse().unwrap();
        for (asked, below) in [
            ("/cortado", Some("/")),
            ("/cortado/", Some("/")),
            ("/cortado?a=b", Some("/?a=b")),
            ("/cortado/jobs?state=x", Some("/jobs?state=x")),
            ("http://host/cortado/jobs", Some("http://host/jobs")),
            ("/cortadox", None),
            ("/jobs/cortado", None),
        ] {
            let answer = without(&base, &asked.parse().unwrap()).map(|uri| uri.to_string());
            assert_eq!(answer.as_deref(), below, "{asked}");
        }
        assert_eq!(without(&BasePath::default(), &Uri::from_static("/jobs")), None);
    }

    #[tokio::test]
    async fn a_request_is_the_same_with_and_without_the_prefix() {
        // A response may be created in another task.
        let show = |address: Address| async move {
            let show = async move { format!("{} {}", address.here(), address.url("jobs/new")) };
            tokio::spawn(show).await.unwrap()
        };
        let routes = Router::new().route("/jobs/{id}", get(show));
        let routes = mount(routes, &"/a/b".parse().unwrap());
        for asked in ["/a/b/jobs/7?x=%2F", "/jobs/7?x=%2F"] {
            let request = Request::get(asked).body(Body::empty()).unwrap();
            let answer = routes.clone().oneshot(request).await.unwrap();
            let body = to_bytes(answer.into_body(), 1_024).await.unwrap();
            assert_eq!(body, "/a/b/jobs/7?x=%2F /a/b/jobs/new", "{asked}");
        }
    }

    #[tokio::test]
    async fn a_long_address_is_not_repeated() {
        let routes = mount(
            Router::new().fallback(|address: Address| async move { address.here() }),
            &BasePath::default(),
        );
        let long = "&".repeat(MAX_REPEATED_URL);
        let path = long.replace('&', "x");
        let asked = ["/jobs?q=a&b".to_owned(), format!("/jobs?{long}"), format!("/{path}x?a=b")];
        for (asked, expected) in asked.iter().zip(["/jobs?q=a&b", "/jobs", "/"]) {
            let request = Request::get(asked).body(Body::empty()).unwrap();
            let answer = routes.clone().oneshot(request).await.unwrap();
            assert_eq!(to_bytes(answer.into_body(), 10_000).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn an_address_can_never_name_another_host() {
        let routes = mount(
            Router::new().fallback(|address: Address| async move { address.here() }),
            &BasePath::default(),
        );
        let request = Request::get("//evil.example/x").body(Body::empty()).unwrap();
        let answer = routes.oneshot(request).await.unwrap();
        assert_eq!(to_bytes(answer.into_body(), 1_024).await.unwrap(), "/evil.example/x");
    }
}
