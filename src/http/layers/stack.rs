//! The layers around every endpoint and page: access control ([`crate::http::access`]), time limits, security headers, and compression.
//! docs/decisions/0010-own-layers-and-tower-http.md says which are tower-http's and why others are not.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::csrf::{CsrfLayer, ProtectionError};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;
use tracing::Span;

use super::auth::{check_host, check_origin};
use super::base_path::Address;
use super::conditions::Access;
use super::cross_site::check_cross_site;
use super::own_routes::{self, OwnRoutes};
use super::safe_headers::SAFE_HEADERS;
use super::sender::{ErrorRenderer, Sender};
use super::unread::{Unread, count};
use super::whole_body::BodyLimits;
use super::{compression, request_body, url_encoding};
use crate::engine::Engine;
use crate::http::access::need::{Need, Restricted};
use crate::http::access::principal::forbidden;
use crate::http::access::routes::{self, Listed, RouteRule};
use crate::http::access::share_links::{HEADERS_OF_SHARED, SHARED};
use crate::http::access::{Authenticator, Principal};
use crate::http::api::query::asks_to_wait;
use crate::http::server::accept::RefusedRequest;
use crate::http::server::access_log::Routine;
use crate::http::server::client_address::client_of;
use crate::http::server::host_header::ReplacedHost;
use crate::http::server::logged_path::without_credentials;
use crate::http::server::{date, request_id, request_target};
use crate::http::server_fault::ServerFault;
use crate::http::{HttpLimits, Problem};
use crate::job::Role;
use crate::supervise::{Part, panic_text, pass};

/// Puts the layers around the merged routers as [`wrap_with`] does, without routes of a program.
///
/// # Errors
/// As [`wrap_with`].
#[cfg(test)]
pub fn wrap(
    router: Router,
    engine: Engine,
    limits: &HttpLimits,
    access: Access,
    error_page: ErrorRenderer,
) -> Result<Router, String> {
    wrap_with(router, Vec::new(), engine, limits, access, error_page)
}

/// Puts the layers around the merged routers of endpoints and pages, and adds the routes of a program, which get layers of
/// their own. `error_page` renders the errors for browsers.
///
/// # Errors
/// A trusted origin is not a valid origin, the login through a provider cannot be set up, or routes of the program overlap.
pub fn wrap_with(
    router: Router,
    own: Vec<OwnRoutes>,
    engine: Engine,
    limits: &HttpLimits,
    access: Access,
    error_page: ErrorRenderer,
) -> Result<Router, String> {
    let mut csrf = CsrfLayer::new();
    for origin in &access.trusted_origins {
        csrf = csrf.add_trusted_origin(origin).map_err(|error| error.to_string())?;
    }
    let csrf = csrf.with_rejection_response(cross_site as CrossSiteResponse);
    let (timeout, max_wait) = (limits.request_timeout, limits.max_wait);
    let stopping = engine.shutdown().draining.clone();
    let auth = Arc::new(Authenticator::new(engine, limits, &access)?);
    let gate = Gate { access, auth, error_page, timeout, max_wait };
    let gate = Arc::new(gate);
    let unread = Arc::new(Unread::new(limits));
    let body_limits = BodyLimits::new(limits);
    // The access log has a line for each request; the span only associates other lines with their request.
    let trace = TraceLayer::new_for_http().make_span_with(request_span as RequestSpan);
    let trace = trace.on_request(()).on_response(()).on_body_chunk(()).on_eos(()).on_failure(());
    let of_program = own.into_iter().map(|OwnRoutes { router, role }| {
        let layers = ServiceBuilder::new()
            .layer(trace.clone())
            .layer(CatchPanicLayer::custom(after_panic as AfterPanic))
            .layer(middleware::map_response_with_state(stopping.clone(), finish_own));
        let limited = ServiceBuilder::new()
            .layer(middleware::from_fn(move |request: Request, next: Next| {
                request_body::bound(body_limits, request, next)
            }))
            .layer(DefaultBodyLimit::max(limits.max_body));
        let router = match role {
            None => router.layer(limited),
            Some(role) => {
                let state = (gate.clone(), role);
                let gate = middleware::from_fn_with_state(state, around_own);
                router.layer(ServiceBuilder::new().layer(gate).layer(csrf.clone()).layer(limited))
            }
        };
        router.layer(layers)
    });
    let of_program: Vec<Router> = of_program.collect();
    let [policy, sniffing, referrer, opener, resource] = SAFE_HEADERS.map(|(name, value)| {
        if name == header::REFERRER_POLICY {
            // What a share link opens has a stricter one.
            SetResponseHeaderLayer::if_not_present(name, value)
        } else {
            SetResponseHeaderLayer::overriding(name, value)
        }
    });
    // The router gets them as one layer, because it boxes the service of each layer anew for every request.
    let layers = ServiceBuilder::new()
        .layer((policy, sniffing, referrer, opener, resource))
        .layer(trace)
        .layer(middleware::from_fn_with_state(gate, around))
        .layer(CatchPanicLayer::custom(after_panic as AfterPanic))
        .layer(csrf)
        .layer(middleware::from_fn(move |request: Request, next: Next| async move {
            pass(Part::Request);
            if let Some(UnsupportedMethod(allow)) = request.extensions().get() {
                return wrong_method(allow);
            }
            request_body::bound(body_limits, request, next).await
        }))
        .layer(DefaultBodyLimit::max(limits.max_body))
        .layer(compression::layer(limits.max_compressed))
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            let unread = unread.clone();
            async move {
                let may_be_compressed = compression::is_accepted(&request);
                let response = count(unread, request, next).await;
                if may_be_compressed { compression::in_pieces(response) } else { response }
            }
        }));
    own_routes::merge(router.layer(layers), of_program)
}

/// What the layer against other sites' pages answers.
type CrossSiteResponse = fn(ProtectionError) -> Response;
/// How the span of a request is made.
type RequestSpan = fn(&axum::http::Request<Body>) -> Span;
/// What is answered after a panic.
type AfterPanic = fn(Box<dyn Any + Send>) -> Response;

fn cross_site(_: ProtectionError) -> Response {
    let detail = "requests from pages of other sites are refused";
    Problem::new(StatusCode::FORBIDDEN, "cross_site", detail).into_response()
}

/// Completes the response of a route of the program. An event stream has no end of its own, so it ends when the server stops.
async fn finish_own(State(stopping): State<CancellationToken>, response: Response) -> Response {
    let mut response = own_routes::end_with(stopping, response);
    date::add(response.headers_mut());
    response
}

/// The path whose requests may wait although their query does not say so.
const CLAIM: &str = "/api/v1/workers/{name}/claim";

struct Gate {
    access: Access,
    auth: Arc<Authenticator>,
    error_page: ErrorRenderer,
    timeout: Duration,
    max_wait: Duration,
}

impl Gate {
    /// How long the response to a request may take to begin.
    fn time_limit(&self, request: &Request) -> Duration {
        let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        // A claim says in its body how long it waits.
        if asks_to_wait(request.uri().query()) || path == Some(CLAIM) {
            self.timeout + self.max_wait
        } else {
            self.timeout
        }
    }

    /// Checks a request, and adds who makes it to its extensions.
    async fn admit(&self, parts: &mut Parts, route: RouteOwner) -> Result<(), Response> {
        self.auth.remove_untrusted(parts);
        let (principal, unsupported) = self.check(parts, route).await?;
        parts.extensions.insert(self.auth.clone());
        if let Some(principal) = principal {
            parts.extensions.insert(principal);
        }
        if let Some(unsupported) = unsupported {
            parts.extensions.insert(unsupported);
        }
        Ok(())
    }

    async fn check(&self, parts: &Parts, route: RouteOwner) -> Result<Admitted, Response> {
        let (uri, headers) = (&parts.uri, &parts.headers);
        if let Some(RefusedRequest(problem)) = parts.extensions.get() {
            return Err(problem.clone().into_response());
        }
        let refuse = Problem::into_response;
        check_cross_site(&self.access.trusted_origins, &parts.method, headers).map_err(refuse)?;
        if route == RouteOwner::Server && matches!(uri.path(), "/healthz" | "/readyz") {
            return Ok((None, None));
        }
        check_host(&self.access.hosts, uri, headers).map_err(refuse)?;
        if let Some(ReplacedHost(host)) = parts.extensions.get() {
            let headers = HeaderMap::from_iter([(header::HOST, host.clone())]);
            check_host(&self.access.hosts, uri, &headers).map_err(refuse)?;
        }
        let admitted = match route {
            RouteOwner::Server => self.authorize(parts).await?,
            RouteOwner::Program(role) => (self.authorize_role(parts, role).await?, None),
        };
        if headers.contains_key(header::UPGRADE) {
            check_origin(&self.access.trusted_origins, uri, headers).map_err(refuse)?;
        }
        url_encoding::check(uri).map_err(refuse)?;
        Ok(admitted)
    }

    /// Checks the credentials of a request for a route of the program.
    async fn authorize_role(
        &self,
        parts: &Parts,
        role: Role,
    ) -> Result<Option<Principal>, Response> {
        let principal = self.auth.authenticate(parts, client_of(&parts.extensions).ip()).await;
        let principal = principal.map_err(Problem::into_response)?;
        check_need(&principal, Need::Role(role), Restricted::Refused)
            .map_err(|refusal| *refusal)?;
        Ok(principal)
    }

    /// Checks the credentials of a request against what the table says about its route.
    async fn authorize(&self, parts: &Parts) -> Result<Admitted, Response> {
        let path = parts.extensions.get::<MatchedPath>();
        let listed = path.map(|path| routes::find(&parts.method, path.as_str()));
        if let Some(Listed::Rule(RouteRule { need: Need::Everybody, .. })) = listed {
            return Ok((self.auth.known(parts), None));
        }
        if let Some(Listed::Rule(rule @ RouteRule { need: Need::ShareLink, .. })) = listed {
            // The session of a browser that opens a link does not count: it shows what the link shows.
            let principal = self.auth.by_link(parts).await.map_err(Problem::into_response)?;
            let allowed = principal.check(rule.need, rule.restricted);
            return allowed.map(|()| (Some(principal), None)).map_err(Problem::into_response);
        }
        let principal = self.auth.authenticate(parts, client_of(&parts.extensions).ip()).await;
        let principal = principal.map_err(Problem::into_response)?;
        match listed {
            Some(Listed::Rule(rule)) => {
                let checked = check_need(&principal, rule.need, rule.restricted);
                checked.map_err(|refusal| *refusal)?;
            }
            Some(Listed::OtherMethods(allow)) => {
                return Ok((principal, Some(UnsupportedMethod(allow.into()))));
            }
            Some(Listed::Nowhere) => {
                let problem =
                    forbidden("nobody may use this path, because no rule of access is about it");
                return Err(problem.into_response());
            }
            // The router has no such path, and says so.
            None => {}
        }
        Ok((principal, None))
    }
}

/// Refuses a request of somebody who lacks what a route needs.
fn check_need(
    principal: &Option<Principal>,
    need: Need,
    restricted: Restricted,
) -> Result<(), Box<Response>> {
    if let Some(principal) = principal
        && let Err(problem) = principal.check(need, restricted)
    {
        // The page of the error says who is logged in, and what they lack.
        let mut refusal = problem.into_response();
        refusal.extensions_mut().insert(principal.clone());
        refusal.extensions_mut().insert(need);
        return Err(refusal.into());
    }
    Ok(())
}

/// Whose route a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RouteOwner {
    /// The server's: the table of routes says what it needs.
    Server,
    /// That of the program that embeds the server, which needs this role.
    Program(Role),
}

/// Who makes a request that may pass, and whether its path has its method.
type Admitted = (Option<Principal>, Option<UnsupportedMethod>);

/// Marks a request whose path has only other methods, which the header `allow` lists. It is answered behind the layer that
/// refuses requests of other sites, and never reaches the router.
#[derive(Debug, Clone)]
struct UnsupportedMethod(Arc<str>);

/// The response to a method that a path does not support.
fn wrong_method(allow: &str) -> Response {
    let mut response = Problem::wrong_method().into_response();
    if let Ok(allow) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

async fn around(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let (is_api, is_routine) = (path.starts_with("/api/"), is_routine(path));
    let is_shared = path.starts_with(SHARED);
    let (sender, address) = (Sender::of(&request), request.extensions().get::<Address>().cloned());
    let (mut parts, body) = request.into_parts();
    let mut response = match gate.admit(&mut parts, RouteOwner::Server).await {
        Ok(()) => {
            let request = Request::from_parts(parts, body);
            if request_target::is_of_whole_server(&request) {
                whole_server()
            } else {
                answer(gate.time_limit(&request), request, next).await
            }
        }
        Err(refusal) => refusal,
    };
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    if is_error {
        response = in_our_form(response);
        if is_shared && response.status().is_server_error() {
            // Strangers are not told what is wrong with the server.
            response = of_status(response);
        }
        if sender != Sender::Program {
            if let Some(login) = &gate.auth.oidc {
                response.extensions_mut().insert(login.label());
            }
            response = (gate.error_page)(&address.unwrap_or_default(), sender, response);
        }
    }
    if is_routine {
        response.extensions_mut().insert(Routine);
    }
    let headers = response.headers_mut();
    date::add(headers);
    if is_shared {
        for (name, value) in HEADERS_OF_SHARED {
            headers.insert(name, value);
        }
    }
    if is_api && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Admits a request for a route of the program, whose responses are not changed.
async fn around_own(
    State((gate, role)): State<(Arc<Gate>, Role)>,
    request: Request,
    next: Next,
) -> Response {
    let (sender, address) = (Sender::of(&request), request.extensions().get::<Address>().cloned());
    let (mut parts, body) = request.into_parts();
    match gate.admit(&mut parts, RouteOwner::Program(role)).await {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(mut refusal) if sender != Sender::Program => {
            if let Some(login) = &gate.auth.oidc {
                refusal.extensions_mut().insert(login.label());
            }
            (gate.error_page)(&address.unwrap_or_default(), sender, refusal)
        }
        Err(refusal) => refusal,
    }
}

/// The answer to `OPTIONS *`: the methods that some address of the server supports.
fn whole_server() -> Response {
    let allow =
        [(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS"))];
    (StatusCode::NO_CONTENT, allow).into_response()
}

/// Whether probes, metrics scrapers or browsers request a path repeatedly.
fn is_routine(path: &str) -> bool {
    matches!(path, "/favicon.ico" | "/healthz" | "/metrics" | "/readyz")
        || path.starts_with("/static/")
}

/// Replaces an error that is neither a problem document nor a page, such as a rejection by axum, with a problem document.
fn in_our_form(response: Response) -> Response {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let is_page = content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    if is_page || response.extensions().get::<Problem>().is_some() {
        return response;
    }
    of_status(response)
}

/// Replaces the body of an error with the problem document of its status. Its other headers stay.
fn of_status(response: Response) -> Response {
    let (mut head, _) = response.into_parts();
    let (problem_head, body) = Problem::of_status(head.status).into_response().into_parts();
    for name in [header::CONTENT_ENCODING, header::CONTENT_LENGTH] {
        head.headers.remove(name);
    }
    head.headers.extend(problem_head.headers);
    head.extensions.extend(problem_head.extensions);
    Response::from_parts(head, body)
}

async fn answer(within: Duration, request: Request, next: Next) -> Response {
    let may_change = !request.method().is_safe();
    tokio::time::timeout(within, next.run(request)).await.unwrap_or_else(|_| {
        let timed_out = |detail| ServerFault::TimedOut.problem(detail);
        let problem = if may_change {
            // A client must not repeat it without looking.
            timed_out(format!(
                "no response was ready within {within:?}; the request may still be carried out"
            ))
        } else {
            timed_out(format!("no response was ready within {within:?}")).retry_after(1)
        };
        problem.into_response()
    })
}

fn request_span(request: &axum::http::Request<Body>) -> Span {
    tracing::debug_span!(
        "request",
        id = request_id::of(request.headers()),
        method = %request.method(),
        path = %without_credentials(request.uri().path()),
    )
}

fn after_panic(panic: Box<dyn Any + Send>) -> Response {
    tracing::error!(error = panic_text(&*panic), "an endpoint panicked");
    let detail = "the request failed inside the server; see the server's log";
    ServerFault::Internal.problem(detail).into_response()
}
