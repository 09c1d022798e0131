//! Every route × every role: the table of access is compared with the routers, and then with what a server does.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::{Method, StatusCode, header};

use super::*;
use crate::http::access::need::{Need, Restricted};
use crate::http::access::routes::{ROUTES, RouteRule};
use crate::http::tests::team::{add_token, add_user, bearer, restrict};
use crate::http::{HttpLimits, wrap};
use crate::job::Role;

/// The methods and paths of all routes, as the sources have them.
fn routes_of_the_routers() -> BTreeSet<(String, String)> {
    let mut routes = BTreeSet::new();
    for source in [include_str!("../../http/mod.rs"), include_str!("../mod.rs")] {
        for route in source.split(".route(").skip(1) {
            let path = route.split('"').nth(1).unwrap();
            let handlers = route.split(".with_state(").next().unwrap();
            let handlers = handlers.split(".layer(").next().unwrap();
            for (call, method) in [
                ("get(", "GET"),
                ("post(", "POST"),
                ("put(", "PUT"),
                ("delete(", "DELETE"),
                ("patch(", "PATCH"),
                ("any(", "*"),
            ] {
                let is_called = handlers.match_indices(call).any(|(at, _)| {
                    let before = handlers[..at].chars().next_back();
                    before.is_none_or(|before| {
                        !before.is_alphanumeric() && before != '_' && before != ':'
                    })
                });
                if is_called {
                    routes.insert((method.to_owned(), path.to_owned()));
                }
            }
        }
    }
    routes
}

/// The rules for routes that servers have.
fn rules() -> impl Iterator<Item = &'static RouteRule> {
    ROUTES.iter().filter(|rule| !rule.path.starts_with("/test/"))
}

#[test]
fn every_route_is_in_the_table_and_every_rule_has_a_route() {
    let of_routers = routes_of_the_routers();
    let of_table: BTreeSet<(String, String)> =
        rules().map(|rule| (rule.method.to_owned(), rule.path.to_owned())).collect();
    assert!(of_routers.len() > 100, "{of_routers:?}");
    let unlisted: Vec<_> = of_routers.difference(&of_table).collect();
    assert!(unlisted.is_empty(), "add these to src/http/access/routes.rs: {unlisted:?}");
    let stale: Vec<_> = of_table.difference(&of_routers).collect();
    assert!(stale.is_empty(), "these routes do not exist: {stale:?}");
}

#[test]
fn the_table_says_what_the_roles_mean() {
    let open: Vec<(&str, &str)> = rules()
        .filter(|rule| rule.need == Need::Everybody)
        .map(|rule| (rule.method, rule.path))
        .collect();
    assert_eq!(
        open,
        [
            ("GET", "/healthz"),
            ("GET", "/readyz"),
            ("POST", "/api/v1/leases/{lease}"), // the lease is the credential
            ("GET", "/login"),
            ("POST", "/login"),
            ("GET", "/login/oidc"),
            ("GET", "/login/oidc/callback"),
            ("GET", "/logout"),
            ("POST", "/logout"),
            ("GET", "/static/{hash}/{file}"),
        ]
    );
    for rule in rules() {
        let changes = !["GET", "*"].contains(&rule.method) && !rule.path.ends_with("/preview");
        match rule.need {
            Need::Role(Role::Viewer) => assert!(!changes, "a viewer changes nothing: {rule:?}"),
            Need::Role(Role::Submitter) => {
                let is_submission = ["/api/v1/jobs", "/jobs", "/jobs/new"].contains(&rule.path);
                assert!(is_submission, "{rule:?}");
            }
            Need::ShareLink => assert!(!changes && rule.path.starts_with("/shared/{link}")),
            Need::Role(Role::Worker | Role::Operator | Role::Admin)
            | Need::AnyRole
            | Need::Everybody => {}
        }
        let manages = ["/users", "/tokens", "/audit"].iter().any(|part| rule.path.contains(part));
        assert!(!manages || rule.need == Need::Role(Role::Admin), "{rule:?}");
        let is_for_all = rule.need == Need::AnyRole;
        let may_be =
            ["/api/", "/api/{*rest}", "/api/openapi.json", "/api/asyncapi.json", "/api/v1/me"];
        let own = rule.path.starts_with("/api/v1/sessions") || rule.path.starts_with("/account");
        let reads_kinds = rule.path.starts_with("/api/v1/kinds") && !changes;
        let is_open = own || reads_kinds || may_be.contains(&rule.path);
        assert!(!is_for_all || is_open, "a worker may use {rule:?}");
    }
}

/// Whose credentials a request carries.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    Nobody,
    Unknown,
    Expired,
    Revoked,
    DisabledUser,
    With(Role),
    RestrictedWith(Role),
}

impl Who {
    fn all() -> Vec<Who> {
        let mut all =
            vec![Who::Nobody, Who::Unknown, Who::Expired, Who::Revoked, Who::DisabledUser];
        all.extend(Role::ALL.map(Who::With));
        all.extend(Role::ALL.map(Who::RestrictedWith));
        all
    }

    /// The status class that the table promises: 200 for anything that access does not refuse.
    fn expected(self, rule: &RouteRule) -> u16 {
        let (role, is_restricted) = match self {
            // A share link needs no other credentials, and none of these makes up for a link that does not exist.
            _ if matches!(rule.need, Need::Everybody | Need::ShareLink) => return 200,
            Who::Nobody | Who::Unknown | Who::Expired | Who::Revoked | Who::DisabledUser => {
                return 401;
            }
            Who::With(role) => (role, false),
            Who::RestrictedWith(role) => (role, true),
        };
        let has_role = match rule.need {
            Need::Everybody | Need::AnyRole | Need::ShareLink => true,
            Need::Role(needed) => role.allows(needed),
        };
        let is_refused = is_restricted && rule.restricted == Restricted::Refused;
        if has_role && !is_refused { 200 } else { 403 }
    }
}

#[tokio::test]
async fn every_route_is_open_to_exactly_the_roles_of_the_table() {
    let desk = Desk::open();
    let engine = desk.engine.clone();
    let limits = HttpLimits {
        login_failures: 100_000,
        login_failures_total: 100_000,
        ..HttpLimits::default()
    };
    let limits = HttpLimits { login_failures_per_user: 100_000, ..limits };
    let routes = crate::http::router(engine.clone(), limits.clone()).merge(desk.pages.clone());
    let routes =
        wrap(routes, engine.clone(), &limits, open_to_all(), crate::ui::error_page).unwrap();
    add_user(&engine, "root", Role::Admin).await;
    let gone = add_user(&engine, "gone", Role::Admin).await;
    engine.access(crate::access::AccessCommand::DisableUser(gone)).await.unwrap();

    let mut people: Vec<(Who, String)> = Vec::new();
    for who in Who::all() {
        let token = async |role: Role, name: &str, edit: fn(&mut crate::access::NewToken)| {
            add_token(&engine, name, role, edit).await
        };
        let name = format!("{who:?}").replace(['(', ')'], "-").trim_end_matches('-').to_owned();
        let credentials = match who {
            Who::Nobody => String::new(),
            Who::Unknown => bearer(&format!("cortado_{}", "A".repeat(43))),
            Who::Expired => {
                let end = engine.now().after(Duration::from_millis(200));
                let expires = |new: &mut crate::access::NewToken| new.expires_at = Some(end);
                let (id, text) = add_token(&engine, &name, Role::Admin, expires).await;
                // It is a fact once the clock of the engine has passed the time.
                let token = engine.access_table().borrow().token(&id).unwrap().clone();
                while !token.is_expired(engine.now()) {
                    tokio::task::yield_now().await;
                }
                bearer(&text)
            }
            Who::Revoked => {
                let (id, text) = token(Role::Admin, &name, |_| {}).await;
                let revoke = crate::access::AccessCommand::RevokeToken(id);
                engine.access(revoke).await.unwrap();
                bearer(&text)
            }
            Who::DisabledUser => {
                use base64::Engine as _;
                let text = format!("gone:{}", crate::http::tests::team::PASSWORD);
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
            }
            Who::With(role) => bearer(&token(role, &name, |_| {}).await.1),
            Who::RestrictedWith(role) => bearer(&token(role, &name, restrict).await.1),
        };
        people.push((who, credentials));
    }

    let mut asked = 0;
    for rule in rules() {
        let methods = if rule.method == "*" { vec!["GET", "POST"] } else { vec![rule.method] };
        let methods = methods.into_iter().chain((rule.method == "GET").then_some("HEAD"));
        let path: String =
            rule.path
                .split('/')
                .map(|part| {
                    if part.starts_with('{') {
                        "019ab001-7c3e-7d10-8a55-0242ac120002"
                    } else {
                        part
                    }
                })
                .collect::<Vec<_>>()
                .join("/");
        for method in methods {
            for (who, credentials) in &people {
                // Each of these costs the hash of a password.
                if *who == Who::DisabledUser && asked % 7 != 0 {
                    asked += 1;
                    continue;
                }
                let method: Method = method.parse().unwrap();
                let mut request = Request::builder().method(&method).uri(&path);
                if !credentials.is_empty() {
                    request = request.header(header::AUTHORIZATION, credentials);
                }
                let request = request.body(Body::empty()).unwrap();
                let answer = routes.clone().oneshot(request).await.unwrap();
                let code = answer.extensions().get::<crate::http::Problem>();
                let code = code.map(|problem| problem.code());
                let status = match (answer.status(), code) {
                    // The page of a failed login is no problem document.
                    (StatusCode::UNAUTHORIZED, Some(_)) => 401,
                    (StatusCode::FORBIDDEN, Some("forbidden")) => 403,
                    (StatusCode::TOO_MANY_REQUESTS, _) => panic!("the test is slowed down"),
                    _ => 200,
                };
                assert_eq!(status, who.expected(rule), "{who:?}: {method} {path}: {answer:?}");
                asked += 1;
            }
        }
    }
    assert!(asked > 1_500, "{asked}");

    // What is not listed is refused, even for an admin.
    let admin = &people.iter().find(|(who, _)| *who == Who::With(Role::Admin)).unwrap().1;
    for (method, path, status, code) in [
        ("PATCH", "/api/v1/jobs", 405, "wrong_method"),
        ("PUT", "/jobs", 405, "wrong_method"),
        ("GET", "/api/nowhere", 404, "no_such_path"),
        ("GET", "/api/v1/nowhere", 404, "no_such_path"),
    ] {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::AUTHORIZATION, admin).body(Body::empty()).unwrap();
        let answer = routes.clone().oneshot(request).await.unwrap();
        let found = answer.extensions().get::<crate::http::Problem>().map(|problem| problem.code());
        assert_eq!((answer.status().as_u16(), found), (status, Some(code)), "{method} {path}");
    }
}

#[tokio::test]
async fn a_route_that_is_not_in_the_table_is_refused() {
    let desk = Desk::open();
    let limits = HttpLimits::default();
    let unlisted = axum::routing::get(async || "secret");
    let routes = Router::new().route("/unlisted", unlisted);
    let routes =
        wrap(routes, desk.engine.clone(), &limits, open_to_all(), crate::ui::error_page).unwrap();
    let request = Request::get("/unlisted").body(Body::empty()).unwrap();
    let answer = routes.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}
