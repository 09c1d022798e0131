//! THE table of routes: every method of every path, the role that it needs, and whether restricted credentials may use
//! it. A route that is not listed here is refused, and a test compares the table with the routers.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::Method;

use super::need::Need::{AnyRole, Everybody, Role as Needs, ShareLink};
use super::need::Restricted::{Allowed, Refused};
use super::need::{Need, Restricted};
use crate::job::Role::{Admin, Operator, Submitter, Viewer, Worker};

/// What one method of a path needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteRule {
    /// The method; `*` stands for all.
    pub method: &'static str,
    /// The path as the router has it.
    pub path: &'static str,
    /// The credentials that it needs.
    pub need: Need,
    /// Whether restricted credentials may use it.
    pub restricted: Restricted,
}

const fn rule(
    method: &'static str,
    path: &'static str,
    need: Need,
    restricted: Restricted,
) -> RouteRule {
    RouteRule { method, path, need, restricted }
}

/// The routes of programs and of browsers.
pub const ROUTES: &[RouteRule] = &[
    // Probes.
    rule("GET", "/healthz", Everybody, Allowed),
    rule("GET", "/readyz", Everybody, Allowed),
    // Paths of the API that do not exist.
    rule("*", "/api/", AnyRole, Allowed),
    rule("*", "/api/{*rest}", AnyRole, Allowed),
    // What the API looks like.
    rule("GET", "/api/openapi.json", AnyRole, Allowed),
    rule("GET", "/api/asyncapi.json", AnyRole, Allowed),
    // Jobs.
    rule("POST", "/api/v1/jobs", Needs(Submitter), Allowed),
    rule("GET", "/api/v1/jobs", Needs(Viewer), Allowed),
    rule("GET", "/api/v1/jobs/{id}", Needs(Viewer), Allowed),
    rule("DELETE", "/api/v1/jobs/{id}", Needs(Operator), Allowed),
    rule("GET", "/api/v1/jobs/{id}/log", Needs(Viewer), Allowed),
    rule("POST", "/api/v1/jobs/{id}/retry", Needs(Operator), Allowed),
    rule("POST", "/api/v1/jobs/{id}/cancel", Needs(Operator), Allowed),
    rule("POST", "/api/v1/jobs/{id}/move", Needs(Operator), Allowed),
    rule("POST", "/api/v1/jobs/{id}/reprioritise", Needs(Operator), Allowed),
    rule("POST", "/api/v1/bulk", Needs(Operator), Refused),
    rule("GET", "/api/v1/bulk", Needs(Viewer), Refused),
    rule("POST", "/api/v1/bulk/preview", Needs(Viewer), Refused),
    rule("GET", "/api/v1/bulk/{id}", Needs(Viewer), Refused),
    rule("POST", "/api/v1/bulk/{id}/stop", Needs(Operator), Refused),
    rule("GET", "/api/v1/kinds", AnyRole, Allowed),
    rule("GET", "/api/v1/kinds/{kind}", AnyRole, Allowed),
    rule("PUT", "/api/v1/kinds/{kind}", Needs(Operator), Refused),
    rule("DELETE", "/api/v1/kinds/{kind}", Needs(Operator), Refused),
    // Queues and schedules.
    rule("GET", "/api/v1/queues", Needs(Viewer), Refused),
    rule("POST", "/api/v1/queues/{name}/pause", Needs(Operator), Refused),
    rule("POST", "/api/v1/queues/{name}/resume", Needs(Operator), Refused),
    rule("POST", "/api/v1/queues/{name}/concurrency", Needs(Operator), Refused),
    rule("POST", "/api/v1/queues/{name}/rate_limit", Needs(Operator), Refused),
    rule("GET", "/api/v1/schedules", Needs(Viewer), Refused),
    rule("GET", "/api/v1/schedules/{name}", Needs(Viewer), Refused),
    rule("PUT", "/api/v1/schedules/{name}", Needs(Operator), Refused),
    rule("DELETE", "/api/v1/schedules/{name}", Needs(Operator), Refused),
    rule("POST", "/api/v1/schedules/{name}/pause", Needs(Operator), Refused),
    rule("POST", "/api/v1/schedules/{name}/resume", Needs(Operator), Refused),
    rule("POST", "/api/v1/schedules/{name}/run", Needs(Operator), Refused),
    rule("POST", "/api/v1/cron/preview", Needs(Viewer), Refused),
    // The server as a whole.
    rule("GET", "/api/v1/stats", Needs(Viewer), Refused),
    rule("GET", "/api/v1/failures", Needs(Viewer), Refused),
    rule("GET", "/api/v1/workers", Needs(Viewer), Refused),
    rule("GET", "/api/v1/nodes", Needs(Viewer), Refused),
    rule("GET", "/api/v1/metrics/history", Needs(Viewer), Refused),
    rule("GET", "/metrics", Needs(Viewer), Refused),
    rule("POST", "/api/v1/resume", Needs(Operator), Refused),
    rule("GET", "/api/v1/export", Needs(Admin), Refused),
    rule("GET", "/api/v1/backup", Needs(Admin), Refused),
    // Workers. A lease is the credential of a callback; `WorkerMessageName` has what a WebSocket may send.
    rule("POST", "/api/v1/workers/{name}/claim", Needs(Worker), Allowed),
    rule("GET", "/api/v1/workers/{name}/ws", Needs(Worker), Allowed),
    rule("DELETE", "/api/v1/workers/{name}", Needs(Worker), Allowed),
    rule("POST", "/api/v1/workers/{name}/quiet", Needs(Operator), Refused),
    rule("POST", "/api/v1/workers/{name}/stop", Needs(Operator), Refused),
    rule("POST", "/api/v1/workers/{name}/resume", Needs(Operator), Refused),
    rule("POST", "/api/v1/leases", Needs(Worker), Allowed),
    rule("POST", "/api/v1/leases/{lease}", Everybody, Allowed),
    // The event stream. `MESSAGES` has what a WebSocket may send.
    rule("GET", "/api/v1/events", Needs(Viewer), Allowed),
    rule("GET", "/api/v1/ws", Needs(Viewer), Allowed),
    // Access. A session belongs to a user or a token, and everybody may see and end their own.
    rule("GET", "/api/v1/me", AnyRole, Allowed),
    rule("GET", "/api/v1/users", Needs(Admin), Refused),
    rule("POST", "/api/v1/users", Needs(Admin), Refused),
    rule("GET", "/api/v1/users/{name}", Needs(Admin), Refused),
    rule("PUT", "/api/v1/users/{name}", Needs(Admin), Refused),
    rule("DELETE", "/api/v1/users/{name}", Needs(Admin), Refused),
    rule("GET", "/api/v1/tokens", Needs(Admin), Refused),
    rule("POST", "/api/v1/tokens", Needs(Admin), Refused),
    rule("DELETE", "/api/v1/tokens/{id}", Needs(Admin), Refused),
    rule("GET", "/api/v1/sessions", AnyRole, Refused),
    rule("DELETE", "/api/v1/sessions/{id}", AnyRole, Refused),
    rule("GET", "/api/v1/links", Needs(Operator), Allowed),
    rule("POST", "/api/v1/links", Needs(Operator), Allowed),
    rule("DELETE", "/api/v1/links/{id}", Needs(Operator), Allowed),
    // What a share link shows: a page, and the events and the log behind it.
    rule("GET", "/shared/{link}", ShareLink, Allowed),
    rule("GET", "/shared/{link}/ws", ShareLink, Allowed),
    rule("GET", "/shared/{link}/events", ShareLink, Allowed),
    rule("GET", "/shared/{link}/log", ShareLink, Allowed),
    // Pages, which show more than what restricted credentials are for. The address of a form leads to the page above it
    // when it is opened.
    rule("GET", "/login", Everybody, Allowed),
    rule("POST", "/login", Everybody, Allowed),
    rule("GET", "/login/oidc", Everybody, Allowed),
    rule("GET", "/login/oidc/callback", Everybody, Allowed),
    rule("GET", "/logout", Everybody, Allowed),
    rule("POST", "/logout", Everybody, Allowed),
    rule("GET", "/static/{hash}/{file}", Everybody, Allowed),
    rule("GET", "/", Needs(Viewer), Refused),
    rule("GET", "/jobs", Needs(Viewer), Refused),
    rule("POST", "/jobs", Needs(Submitter), Refused),
    rule("GET", "/jobs/new", Needs(Submitter), Refused),
    rule("POST", "/jobs/new", Needs(Submitter), Refused),
    rule("GET", "/jobs/bulk", Needs(Viewer), Refused),
    rule("POST", "/jobs/bulk", Needs(Operator), Refused),
    rule("GET", "/jobs/bulk/run", Needs(Viewer), Refused),
    rule("POST", "/jobs/bulk/run", Needs(Operator), Refused),
    rule("GET", "/jobs/bulk/{id}", Needs(Viewer), Refused),
    rule("GET", "/jobs/bulk/{id}/stop", Needs(Viewer), Refused),
    rule("POST", "/jobs/bulk/{id}/stop", Needs(Operator), Refused),
    rule("GET", "/jobs/{id}", Needs(Viewer), Refused),
    rule("GET", "/jobs/{id}/retry", Needs(Viewer), Refused),
    rule("POST", "/jobs/{id}/retry", Needs(Operator), Refused),
    rule("GET", "/jobs/{id}/cancel", Needs(Viewer), Refused),
    rule("POST", "/jobs/{id}/cancel", Needs(Operator), Refused),
    rule("GET", "/jobs/{id}/delete", Needs(Viewer), Refused),
    rule("POST", "/jobs/{id}/delete", Needs(Operator), Refused),
    rule("GET", "/jobs/{id}/share", Needs(Viewer), Refused),
    rule("POST", "/jobs/{id}/share", Needs(Operator), Refused),
    rule("GET", "/queues", Needs(Viewer), Refused),
    rule("GET", "/queues/{name}", Needs(Viewer), Refused),
    rule("GET", "/queues/{name}/pause", Needs(Viewer), Refused),
    rule("POST", "/queues/{name}/pause", Needs(Operator), Refused),
    rule("GET", "/queues/{name}/resume", Needs(Viewer), Refused),
    rule("POST", "/queues/{name}/resume", Needs(Operator), Refused),
    rule("GET", "/queues/{name}/concurrency", Needs(Viewer), Refused),
    rule("POST", "/queues/{name}/concurrency", Needs(Operator), Refused),
    rule("GET", "/queues/{name}/rate_limit", Needs(Viewer), Refused),
    rule("POST", "/queues/{name}/rate_limit", Needs(Operator), Refused),
    rule("GET", "/queues/{name}/share", Needs(Viewer), Refused),
    rule("POST", "/queues/{name}/share", Needs(Operator), Refused),
    rule("GET", "/api", Needs(Viewer), Refused),
    rule("GET", "/kinds", Needs(Viewer), Refused),
    rule("GET", "/kinds/{kind}", Needs(Viewer), Refused),
    rule("GET", "/find", Needs(Viewer), Refused),
    rule("GET", "/wallboard", Needs(Viewer), Refused),
    rule("GET", "/failures", Needs(Viewer), Refused),
    rule("GET", "/failures/{id}", Needs(Viewer), Refused),
    rule("GET", "/failures/{id}/retry", Needs(Viewer), Refused),
    rule("POST", "/failures/{id}/retry", Needs(Operator), Refused),
    rule("GET", "/failures/{id}/delete", Needs(Viewer), Refused),
    rule("POST", "/failures/{id}/delete", Needs(Operator), Refused),
    rule("GET", "/schedules", Needs(Viewer), Refused),
    rule("POST", "/schedules", Needs(Operator), Refused),
    rule("GET", "/schedules/new", Needs(Operator), Refused),
    rule("POST", "/schedules/new", Needs(Operator), Refused),
    rule("GET", "/schedules/of/{name}", Needs(Viewer), Refused),
    rule("POST", "/schedules/of/{name}", Needs(Operator), Refused),
    rule("GET", "/schedules/of/{name}/edit", Needs(Viewer), Refused),
    rule("POST", "/schedules/of/{name}/edit", Needs(Operator), Refused),
    rule("GET", "/schedules/of/{name}/pause", Needs(Viewer), Refused),
    rule("POST", "/schedules/of/{name}/pause", Needs(Operator), Refused),
    rule("GET", "/schedules/of/{name}/resume", Needs(Viewer), Refused),
    rule("POST", "/schedules/of/{name}/resume", Needs(Operator), Refused),
    rule("GET", "/schedules/of/{name}/run", Needs(Viewer), Refused),
    rule("POST", "/schedules/of/{name}/run", Needs(Operator), Refused),
    rule("GET", "/schedules/of/{name}/delete", Needs(Viewer), Refused),
    rule("POST", "/schedules/of/{name}/delete", Needs(Operator), Refused),
    rule("GET", "/users", Needs(Admin), Refused),
    rule("POST", "/users", Needs(Admin), Refused),
    rule("GET", "/users/{name}", Needs(Admin), Refused),
    rule("GET", "/users/{name}/role", Needs(Admin), Refused),
    rule("POST", "/users/{name}/role", Needs(Admin), Refused),
    rule("GET", "/users/{name}/password", Needs(Admin), Refused),
    rule("POST", "/users/{name}/password", Needs(Admin), Refused),
    rule("GET", "/users/{name}/disable", Needs(Admin), Refused),
    rule("POST", "/users/{name}/disable", Needs(Admin), Refused),
    rule("GET", "/users/{name}/enable", Needs(Admin), Refused),
    rule("POST", "/users/{name}/enable", Needs(Admin), Refused),
    rule("GET", "/users/{name}/delete", Needs(Admin), Refused),
    rule("POST", "/users/{name}/delete", Needs(Admin), Refused),
    rule("GET", "/users/{name}/log_out", Needs(Admin), Refused),
    rule("POST", "/users/{name}/log_out", Needs(Admin), Refused),
    rule("GET", "/users/{name}/revoke", Needs(Admin), Refused),
    rule("POST", "/users/{name}/revoke", Needs(Admin), Refused),
    rule("GET", "/tokens", Needs(Admin), Refused),
    rule("POST", "/tokens", Needs(Admin), Refused),
    rule("GET", "/tokens/revoke", Needs(Admin), Refused),
    rule("POST", "/tokens/revoke", Needs(Admin), Refused),
    rule("GET", "/account", AnyRole, Refused),
    rule("GET", "/account/password", AnyRole, Refused),
    rule("POST", "/account/password", AnyRole, Refused),
    rule("GET", "/account/log_out_others", AnyRole, Refused),
    rule("POST", "/account/log_out_others", AnyRole, Refused),
    rule("GET", "/account/revoke", AnyRole, Refused),
    rule("POST", "/account/revoke", AnyRole, Refused),
    rule("GET", "/audit", Needs(Admin), Refused),
    rule("GET", "/timeline", Needs(Viewer), Refused),
    rule("GET", "/workers", Needs(Viewer), Refused),
    rule("GET", "/workers/{name}/quiet", Needs(Viewer), Refused),
    rule("POST", "/workers/{name}/quiet", Needs(Operator), Refused),
    rule("GET", "/workers/{name}/stop", Needs(Viewer), Refused),
    rule("POST", "/workers/{name}/stop", Needs(Operator), Refused),
    rule("GET", "/workers/{name}/resume", Needs(Viewer), Refused),
    rule("POST", "/workers/{name}/resume", Needs(Operator), Refused),
    rule("GET", "/links", Needs(Operator), Refused),
    rule("GET", "/links/{id}", Needs(Operator), Refused),
    rule("GET", "/links/{id}/revoke", Needs(Operator), Refused),
    rule("POST", "/links/{id}/revoke", Needs(Operator), Refused),
    rule("GET", "/system", Needs(Operator), Refused),
    rule("GET", "/system/resume", Needs(Operator), Refused),
    rule("POST", "/system/resume", Needs(Operator), Refused),
    // Routes that only unit tests have.
    #[cfg(test)]
    rule("*", "/test/{*rest}", AnyRole, Allowed),
];

/// The rules of each path.
static BY_PATH: LazyLock<HashMap<&'static str, Vec<RouteRule>>> = LazyLock::new(|| {
    let mut by_path: HashMap<&'static str, Vec<RouteRule>> = HashMap::new();
    for rule in ROUTES {
        by_path.entry(rule.path).or_default().push(*rule);
    }
    by_path
});

/// What the table says about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// The rule of its method. That of GET also applies to HEAD.
    Rule(RouteRule),
    /// The path has only other methods, which the header `allow` lists.
    OtherMethods(String),
    /// The path is not listed.
    Nowhere,
}

/// Finds the rule of a route, whose path is as the router has it.
pub fn find(method: &Method, path: &str) -> Listed {
    #[cfg(test)]
    let path = if path.starts_with("/test/") { "/test/{*rest}" } else { path };
    let Some(rules) = BY_PATH.get(path) else { return Listed::Nowhere };
    let name = if *method == Method::HEAD { "GET" } else { method.as_str() };
    match rules.iter().find(|rule| rule.method == name || rule.method == "*") {
        Some(rule) => Listed::Rule(*rule),
        None => Listed::OtherMethods(allowed(rules)),
    }
}

/// The value of `allow` for a path.
fn allowed(rules: &[RouteRule]) -> String {
    let methods = rules.iter().map(|rule| match rule.method {
        "GET" => "GET,HEAD",
        other => other,
    });
    methods.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_listed_once_and_found_by_its_method() {
        for (at, rule) in ROUTES.iter().enumerate() {
            let same = |other: &RouteRule| (other.method, other.path) == (rule.method, rule.path);
            assert!(!ROUTES[..at].iter().any(same), "{rule:?} is listed twice");
            let method = rule.method.replace('*', "PATCH").parse().unwrap();
            assert_eq!(find(&method, rule.path), Listed::Rule(*rule));
        }
        let Listed::Rule(head) = find(&Method::HEAD, "/jobs") else { panic!("HEAD is like GET") };
        assert_eq!(head.method, "GET");
        assert_eq!(find(&Method::PUT, "/jobs"), Listed::OtherMethods("GET,HEAD,POST".to_owned()));
        assert_eq!(find(&Method::GET, "/jobs/7"), Listed::Nowhere, "this is no pattern");
    }
}
