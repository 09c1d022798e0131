//! What each role sees: no page has a form or a link that the server would refuse to its reader.

use std::collections::BTreeSet;

use axum::http::{Method, StatusCode};

use super::*;
use crate::access::Scope;
use crate::http::access::Principal;
use crate::http::access::need::Need;
use crate::http::access::principal::Credential;
use crate::http::access::routes::ROUTES;
use crate::job::{Actor, Failure, FailureClass, Role, SessionId, UserName};

/// Somebody with a role who has logged in.
pub(super) fn principal(name: &str, role: Role) -> Principal {
    Principal {
        actor: Actor::User(UserName::parse(name).unwrap()),
        scope: Scope::of(role),
        credential: Credential::Session(SessionId::stored("0123456789abcdef").unwrap()),
    }
}

impl Desk {
    /// Requests a page in the name of somebody.
    pub(super) async fn get_as(&self, principal: &Principal, path: &str) -> Answer {
        let path = format!("/{}", path.trim_start_matches("./").trim_start_matches('/'));
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        request.extensions_mut().insert(principal.clone());
        self.send(request).await
    }

    /// Sends a form in the name of somebody.
    pub(super) async fn post_as(
        &self,
        principal: &Principal,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Answer {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let mut request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form.finish()))
            .unwrap();
        request.extensions_mut().insert(principal.clone());
        self.send(request).await
    }
}

/// What the table of routes says about an address of a page.
fn need_of(method: &Method, address: &str) -> Need {
    let path = address.split(['?', '#']).next().unwrap().trim_start_matches("./");
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let matches = |pattern: &str| {
        let pattern: Vec<&str> = pattern.trim_matches('/').split('/').collect();
        let same = |(a, b): (&&str, &&str)| a == b || a.starts_with('{') && !b.is_empty();
        pattern.len() == segments.len() && pattern.iter().zip(&segments).all(same)
    };
    let mut rules: Vec<_> =
        ROUTES.iter().filter(|rule| rule.method == method && matches(rule.path)).collect();
    rules.sort_by_key(|rule| rule.path.matches('{').count());
    rules.first().unwrap_or_else(|| panic!("no rule for {method} {address:?}")).need
}

fn is_allowed(role: Role, need: Need) -> bool {
    match need {
        Need::Everybody | Need::AnyRole => true,
        Need::Role(needed) => role.allows(needed),
        Need::ShareLink => false,
    }
}

/// The addresses to which the forms and buttons of a page post.
fn actions(page: &str) -> BTreeSet<String> {
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
        rest.split('"').next().map(|value| value.replace("&#38;", "&"))
    };
    let tags = page.split('<').map(|tag| tag.split('>').next().unwrap());
    let mut found = BTreeSet::new();
    let mut is_disabled = false;
    for tag in tags {
        is_disabled |= tag.starts_with("fieldset") && tag.ends_with(" disabled");
        is_disabled &= !tag.starts_with("/fieldset");
        if tag.starts_with("form") && tag.contains("method=\"post\"") {
            found.extend(attribute(tag, "action"));
        }
        if tag.starts_with("button") && !is_disabled {
            found.extend(attribute(tag, "formaction"));
        }
    }
    found
}

#[tokio::test]
async fn a_page_offers_exactly_what_the_role_of_its_reader_allows() {
    let desk = Desk::open();
    let admin = principal("anna", Role::Admin);
    let waiting = desk.submit(echo("1")).await;
    desk.post("/schedules", &[("name", "often"), ("cron", "every 2h"), ("kind", "echo")]).await;
    desk.submit(Submission { kind: "echo".into(), max_attempts: Some(1), ..echo("1") }).await;
    let lease = desk.claim().await;
    let failure = Failure::new(FailureClass::Error, "boom");
    desk.settle(&lease, Verdict::Discarded { failure }).await;
    let fields = [("name", "anna"), ("role", "admin"), ("password", "correct horse battery")];
    assert_eq!(desk.post("/users", &fields).await.status, StatusCode::SEE_OTHER);
    let fields = [("name", "ci"), ("role", "worker"), ("expires", "never")];
    assert_eq!(desk.post("/tokens", &fields).await.status, StatusCode::OK);
    let _connected = desk.connect("web-1", &["resize"], &["default"]);
    let run = [("action", "cancel"), ("scope", "matching"), ("state", "completed")];
    let run = desk.post("/jobs/bulk/run", &run).await.location;
    let failures = desk.get("/failures").await.values("href");
    let group = failures.into_iter().find(|link| link.starts_with("failures/"));
    let mut pages: Vec<String> = [
        "/",
        "/jobs",
        "/jobs?state=discarded",
        "/jobs/new",
        "/jobs/bulk",
        "/queues",
        "/queues/default",
        "/failures",
        "/schedules",
        "/schedules/new",
        "/schedules/of/often",
        "/workers",
        "/system",
        "/users",
        "/users/anna",
        "/tokens",
        "/account",
        "/audit",
        "/links",
    ]
    .map(str::to_owned)
    .into();
    pages.extend([format!("/jobs/{}", waiting.id), format!("/jobs/{}", lease.job.id), run]);
    pages.extend(group);
    let mut offered: BTreeSet<(Role, String)> = BTreeSet::new();
    for role in [Role::Viewer, Role::Submitter, Role::Operator, Role::Admin] {
        let reader = Principal { scope: Scope::of(role), ..admin.clone() };
        for path in &pages {
            if !is_allowed(role, need_of(&Method::GET, path)) {
                continue;
            }
            let answer = desk.get_as(&reader, path).await;
            assert_eq!(answer.status, StatusCode::OK, "{role}: {path}");
            answer.assert_sound();
            for action in actions(&answer.text) {
                let need = need_of(&Method::POST, &action);
                assert!(is_allowed(role, need), "{role} cannot use {action} of {path}");
                offered.insert((role, action));
            }
            for link in answer.values("href") {
                let is_page = !link.starts_with("static/") && !link.starts_with("api/");
                if is_page && !link.starts_with('#') && link != "/" {
                    let need = need_of(&Method::GET, &link);
                    assert!(is_allowed(role, need), "{role} cannot open {link} of {path}");
                }
            }
        }
    }
    // Whoever may do something finds the button for it.
    let retry = format!("jobs/{}/retry", lease.job.id);
    for (action, least) in [
        ("logout", Role::Viewer),
        ("jobs", Role::Submitter),
        ("jobs/new", Role::Submitter),
        (retry.as_str(), Role::Operator),
        ("jobs/bulk", Role::Operator),
        ("queues/default/pause", Role::Operator),
        ("queues/default/concurrency", Role::Operator),
        ("queues/default/share", Role::Operator),
        ("workers/web-1/quiet", Role::Operator),
        ("workers/web-1/stop", Role::Operator),
        ("schedules", Role::Operator),
        ("schedules/of/often", Role::Operator),
        ("schedules/of/often/run", Role::Operator),
        ("schedules/of/often/delete", Role::Operator),
        ("users", Role::Admin),
        ("users/anna/password", Role::Admin),
        ("tokens", Role::Admin),
        ("tokens/revoke", Role::Admin),
    ] {
        for role in [Role::Viewer, Role::Submitter, Role::Operator, Role::Admin] {
            let is_offered = offered.contains(&(role, action.to_owned()));
            assert_eq!(is_offered, role.allows(least), "{role}: {action}");
        }
    }
}

#[tokio::test]
async fn a_server_that_asks_nobody_offers_everything_and_knows_no_account() {
    let desk = Desk::open();
    let home = desk.get("/").await;
    for link in ["href=\"users\"", "href=\"tokens\"", "href=\"audit\"", "href=\"jobs/new\""] {
        home.assert_has(link);
    }
    home.assert_lacks("action=\"logout\"");
    assert_eq!(desk.get("/account").await.status, StatusCode::NOT_FOUND);
    let named = desk.get_as(&principal("anna", Role::Viewer), "/").await;
    named.assert_has("<strong>anna</strong> <span class=\"hint\">viewer</span>");
}
