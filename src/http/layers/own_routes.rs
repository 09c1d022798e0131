//! The routes of a program that embeds the server. axum panics when two routers do not fit together; here that becomes an error.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use axum::Router;
use axum::body::Body;
use axum::http::header;
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::http::access::routes::ROUTES;
use crate::http::stream::streaming_body::StreamingBody;
use crate::job::Role;
use crate::supervise::panic_text;

/// Routes of a program beside those of the server.
pub struct OwnRoutes {
    /// The routes, with their state.
    pub router: Router,
    /// The role that requests need; without one, the server checks no credentials.
    pub role: Option<Role>,
}

/// Checks that the routes of a program have paths of their own.
///
/// # Errors
/// Names the path of the server that a router has as well, or says that a router has a fallback.
pub fn check(own: &[OwnRoutes]) -> Result<(), String> {
    if own.is_empty() {
        return Ok(());
    }
    let paths: BTreeSet<&str> = ROUTES.iter().map(|rule| rule.path).collect();
    without_panics(|| {
        for OwnRoutes { router, .. } in own {
            let fallback = Router::new().fallback(unused);
            if fits(|| fallback.merge(router.clone())).is_err() {
                return Err("a router of the program has a fallback, but the server answers unknown paths itself; \
                            add a route for all paths below one of your own, such as /shop/{*rest}"
                    .to_owned());
            }
            for path in &paths {
                // Handlers for all methods, so that the program cannot add a method to a path of the server either, and a
                // fallback, because that is what a route of the program for any method has.
                let of_server =
                    Router::new().route(path, on(every_method(), unused).fallback(unused));
                fits(|| of_server.merge(router.clone())).map(drop).map_err(|why| {
                    format!(
                        "a router of the program overlaps with the server's own path {path}: {why}"
                    )
                })?;
            }
        }
        Ok(())
    })
}

/// Adds the routers of a program, with their layers, to that of the server.
///
/// # Errors
/// Two routers of the program have the same route.
pub fn merge(server: Router, own: Vec<Router>) -> Result<Router, String> {
    if own.is_empty() {
        return Ok(server);
    }
    without_panics(|| {
        own.into_iter().try_fold(server, |all, router| {
            fits(|| all.merge(router))
                .map_err(|why| format!("routers of the program overlap: {why}"))
        })
    })
}

/// Lets an event stream end when the server stops, as those of the server do. Every other response is left as it is.
pub fn end_with(stopping: CancellationToken, response: Response) -> Response {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    if !content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream")) {
        return response;
    }
    let mut response = response.map(|body| {
        let stopped = async move { stopping.cancelled().await };
        Body::from_stream(body.into_data_stream().take_until(Box::pin(stopped)))
    });
    response.extensions_mut().insert(StreamingBody);
    response
}

async fn unused() {}

fn every_method() -> MethodFilter {
    [
        MethodFilter::CONNECT,
        MethodFilter::DELETE,
        MethodFilter::HEAD,
        MethodFilter::OPTIONS,
        MethodFilter::PATCH,
        MethodFilter::POST,
        MethodFilter::PUT,
        MethodFilter::TRACE,
    ]
    .into_iter()
    .fold(MethodFilter::GET, MethodFilter::or)
}

/// What a function returns, or the text of its panic.
fn fits(merge: impl FnOnce() -> Router) -> Result<Router, String> {
    // What a panic leaves behind is dropped.
    catch_unwind(AssertUnwindSafe(merge)).map_err(|panic: Box<dyn Any + Send>| {
        panic_text(&*panic).lines().collect::<Vec<_>>().join(" ")
    })
}

/// Runs a function whose panics are caught and must not be reported. Those of other threads are reported as before. Where a
/// panic ends the process, it is reported.
fn without_panics<T>(run: impl FnOnce() -> T) -> T {
    /// Two threads must not exchange the hook at once.
    static HOOK: Mutex<()> = Mutex::new(());
    if cfg!(panic = "abort") {
        return run();
    }
    let _one_at_a_time = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let (this, before) = (thread::current().id(), Arc::new(panic::take_hook()));
    let others = before.clone();
    panic::set_hook(Box::new(move |info| {
        if thread::current().id() != this {
            others(info);
        }
    }));
    let done = catch_unwind(AssertUnwindSafe(run));
    drop(panic::take_hook());
    panic::set_hook(match Arc::try_unwrap(before) {
        Ok(before) => before,
        // Another thread is reporting a panic with it.
        Err(shared) => Box::new(move |info| shared(info)),
    });
    done.unwrap_or_else(|panic| panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use axum::routing::{any, get, put};

    use super::*;

    fn refused(router: Router) -> String {
        check(&[OwnRoutes { router, role: None }]).unwrap_err()
    }

    fn route(path: &str) -> Router {
        Router::new().route(path, get(unused))
    }

    #[test]
    fn a_path_of_the_server_is_refused_by_its_name() {
        for (path, named) in [
            ("/", "path /:"),
            ("/jobs", "path /jobs:"),
            ("/jobs/{other}", "path /jobs/{id}:"),
            ("/api/v1/stats", "path /api/v1/stats:"),
            ("/healthz", "path /healthz:"),
        ] {
            let why = refused(route(path));
            assert!(why.contains(named) && !why.contains('\n'), "{path}: {why}");
        }
        for method in [put(unused), any(unused)] {
            let why = refused(Router::new().route("/jobs", method));
            assert!(why.contains("path /jobs:"), "another method of it: {why}");
        }
        let why = refused(Router::new().fallback(unused));
        assert!(why.contains("has a fallback"), "{why}");
    }

    #[test]
    fn routes_of_the_program_fit_together_or_are_refused() {
        let own = [route("/hook"), route("/shop/{*rest}")];
        let routes = own.clone().map(|router| OwnRoutes { router, role: Some(Role::Viewer) });
        assert_eq!(check(&routes), Ok(()));
        assert!(merge(route("/jobs"), own.to_vec()).is_ok());
        let why = merge(route("/jobs"), vec![route("/hook"), route("/hook")]).unwrap_err();
        assert!(why.starts_with("routers of the program overlap: "), "{why}");
    }
}
