//! The login page, the error pages of layers and endpoints around the pages, and the addresses of forms.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, Method, StatusCode, header};

use super::*;
use crate::http::tests::team::{PASSWORD, add_user, basic};
use crate::http::{Access, HttpLimits, mount, wrap};
use crate::job::Role;

pub(super) const HTML: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

/// The pages and the API, as a server with a token serves them at a base path.
pub(super) struct Site {
    pub(super) routes: Router,
    /// Keeps the engine running.
    pub(super) desk: Desk,
}

impl Site {
    pub(super) fn at(base: &str) -> Site {
        Site::with(base, HttpLimits::default())
    }

    pub(super) fn with(base: &str, limits: HttpLimits) -> Site {
        let desk = Desk::open();
        let access = Access { token: Some("s3cret".into()), ..open_to_all() };
        let routes =
            crate::http::router(desk.engine.clone(), limits.clone()).merge(desk.pages.clone());
        let engine = desk.engine.clone();
        let routes = wrap(routes, engine, &limits, access, crate::ui::error_page).unwrap();
        Site { routes: mount(routes, &base.parse().unwrap()), desk }
    }

    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        form: &[(&str, &str)],
    ) -> (StatusCode, HeaderMap, String) {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.finish())).unwrap();
        let (head, body) = self.routes.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        (head.status, head.headers, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn browse(&self, path: &str, cookie: &str) -> (StatusCode, HeaderMap, String) {
        self.ask(Method::GET, path, &[("accept", HTML), ("cookie", cookie)], &[]).await
    }

    async fn log_in(&self, path: &str, token: &str, next: &str) -> (StatusCode, HeaderMap, String) {
        let form = [("name", ""), ("password", token), ("next", next)];
        self.ask(Method::POST, path, &[("accept", HTML)], &form).await
    }
}

pub(super) fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_browser_logs_in_by_form_and_gets_the_page_that_it_wanted() {
    for base in ["", "/tools/cortado"] {
        let site = Site::at(if base.is_empty() { "/" } else { base });
        let (status, headers, page) =
            site.browse(&format!("{base}/jobs?state=discarded&q=a%20b"), "").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(text(&headers, header::WWW_AUTHENTICATE).starts_with("Bearer"), "{headers:?}");
        assert_eq!(text(&headers, header::CONTENT_TYPE), "text/html; charset=utf-8");
        assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY));
        assert!(
            page.contains("name=\"next\" value=\"jobs?state=discarded&#38;q=a%20b\""),
            "{page}"
        );
        assert!(
            page.contains(&format!("<base href=\"{base}/\">")) && !page.contains("<nav"),
            "{page}"
        );
        let asset = page.split("href=\"static/").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(site.browse(&format!("{base}/static/{asset}"), "").await.0, StatusCode::OK);

        let login = format!("{base}/login");
        let (status, headers, page) = site.log_in(&login, "wrong", "jobs").await;
        assert_eq!((status, headers.get(header::SET_COOKIE)), (StatusCode::UNAUTHORIZED, None));
        assert!(
            page.contains("This token is not correct.") && !page.contains("wrong\"\""),
            "{page}"
        );
        assert_eq!(site.browse(&login, "").await.0, StatusCode::OK, "the page can be reloaded");

        let (status, headers, _) =
            site.log_in(&login, "s3cret", "jobs?state=discarded&q=a%20b").await;
        assert_eq!(status, StatusCode::SEE_OTHER);
        assert_eq!(
            text(&headers, header::LOCATION),
            format!("{base}/jobs?state=discarded&q=a%20b")
        );
        let opening = text(&headers, header::SET_COOKIE);
        let path = if base.is_empty() { "/" } else { base };
        assert!(opening.contains(&format!("; Path={path}; HttpOnly; SameSite=Lax")), "{opening}");
        let cookie = opening.split(';').next().unwrap();
        for path in ["/jobs", "/api/v1/stats"] {
            assert_eq!(
                site.browse(&format!("{base}{path}"), cookie).await.0,
                StatusCode::OK,
                "{path}"
            );
        }
        let (_, _, page) = site.browse(&login, cookie).await;
        assert!(page.contains("You are logged in"), "{page}");
        let headers = [("accept", HTML), ("cookie", cookie)];
        let (status, headers, _) =
            site.ask(Method::POST, &format!("{base}/logout"), &headers, &[]).await;
        assert_eq!(
            (status, text(&headers, header::LOCATION)),
            (StatusCode::SEE_OTHER, login.as_str())
        );
        assert!(text(&headers, header::SET_COOKIE).contains("=; Max-Age=0"), "{headers:?}");
        let (_, headers, _) = site.log_in(&login, "s3cret", "//evil.example").await;
        assert_eq!(text(&headers, header::LOCATION), format!("{base}/"));
    }
}

#[tokio::test]
async fn a_login_that_is_slowed_down_says_for_how_long() {
    let site = Site::at("/");
    for _ in 0..10 {
        assert_eq!(site.log_in("/login", "wrong", "").await.0, StatusCode::UNAUTHORIZED);
        // An empty field is no guess.
        assert_eq!(site.log_in("/login", "", "").await.0, StatusCode::UNAUTHORIZED);
    }
    for token in ["wrong", "s3cret"] {
        let (status, headers, page) = site.log_in("/login", token, "").await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{token}");
        assert_eq!(text(&headers, header::CONTENT_TYPE), "text/html; charset=utf-8");
        let wait = text(&headers, header::RETRY_AFTER);
        assert!((1..=6).contains(&wait.parse::<u32>().unwrap()), "{wait}");
        assert!(
            page.contains(&format!("Too many failed logins. Try again in {wait} second")),
            "{page}"
        );
    }
    let headers = [("accept", HTML), ("authorization", "Bearer s3cret")];
    let (status, _, page) = site.ask(Method::GET, "/jobs", &headers, &[]).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(page.contains("<h1>Too many failed logins</h1>"), "{page}");
}

#[tokio::test]
async fn programs_get_problem_documents_and_scripts_no_dialog() {
    let site = Site::at("/");
    for (path, headers) in [
        ("/api/v1/stats", vec![("accept", HTML)]),
        ("/jobs", vec![("accept", "*/*")]),
        ("/jobs", vec![]),
        ("/metrics", vec![("accept", HTML)]),
    ] {
        let (status, answer, body) = site.ask(Method::GET, path, &headers, &[]).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(text(&answer, header::WWW_AUTHENTICATE).starts_with("Basic"), "{answer:?}");
        assert!(body.contains("\"code\":\"unauthorized\""), "{body}");
    }
    let headers = [("sec-fetch-mode", "cors")];
    let (_, answer, body) = site.ask(Method::GET, "/api/v1/stats", &headers, &[]).await;
    assert!(text(&answer, header::WWW_AUTHENTICATE).starts_with("Bearer"), "{answer:?}");
    assert!(body.contains("\"code\":\"unauthorized\""), "{body}");
}

#[tokio::test]
async fn whoever_ends_the_session_of_the_own_browser_is_logged_out_there() {
    let site = Site::at("/");
    for by_button in [true, false] {
        let (_, headers, _) = site.log_in("/login", "s3cret", "").await;
        let cookie = text(&headers, header::SET_COOKIE).split(';').next().unwrap().to_owned();
        let (_, _, page) = site.browse("/account", &cookie).await;
        let id = page.split("id=\"revoke-").nth(1).unwrap().split('"').next().unwrap();
        let list = page.split("class=\"held sessions\"").nth(1).unwrap();
        assert!(list.contains("action=\"logout\"") && !list.contains("account/revoke"), "{list}");
        let (path, form) =
            if by_button { ("/logout", vec![]) } else { ("/account/revoke", vec![("id", id)]) };
        let headers = [("accept", HTML), ("cookie", cookie.as_str())];
        let (status, headers, _) = site.ask(Method::POST, path, &headers, &form).await;
        assert_eq!(
            (status, text(&headers, header::LOCATION)),
            (StatusCode::SEE_OTHER, "/login"),
            "{path}"
        );
        assert!(text(&headers, header::SET_COOKIE).contains("=; Max-Age=0"), "{headers:?}");
        assert_eq!(site.browse("/account", &cookie).await.0, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn a_page_that_is_refused_says_which_role_it_needs_and_which_the_reader_has() {
    let site = Site::at("/");
    add_user(&site.desk.engine, "root", Role::Admin).await;
    add_user(&site.desk.engine, "vera", Role::Viewer).await;
    let vera = basic("vera", PASSWORD);
    let headers = [("accept", HTML), ("authorization", vera.as_str())];
    for (path, needed) in [("/users", "admin"), ("/jobs/new", "submitter"), ("/system", "operator")]
    {
        let (status, _, page) = site.ask(Method::GET, path, &headers, &[]).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
        let says = format!(
            "You need the role {needed} for this. You are logged in as vera with the role viewer, which sees everything."
        );
        assert!(page.contains(&says) && page.contains("Ask an admin of this server"), "{page}");
    }
}

#[tokio::test]
async fn an_action_without_a_session_is_not_repeated_by_the_login() {
    let site = Site::at("/");
    let (status, _, page) =
        site.ask(Method::POST, "/queues/mail/pause", &[("accept", HTML)], &[]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(
        page.contains("Your last action was not carried out")
            && page.contains("name=\"next\" value=\"\""),
        "{page}"
    );
}

#[tokio::test]
async fn every_error_is_a_page_with_a_way_on_for_a_browser() {
    let site = Site::at("/");
    let (_, headers, _) = site.log_in("/login", "s3cret", "").await;
    let cookie = text(&headers, header::SET_COOKIE).split(';').next().unwrap().to_owned();
    let long = "x".repeat(3 * 1_024 * 1_024);
    for (method, path, extra, form, status) in [
        (Method::GET, "/nowhere", vec![], vec![], 404),
        (Method::GET, "/javascript:alert(1)", vec![], vec![], 404),
        (Method::PUT, "/jobs", vec![], vec![], 405),
        (Method::POST, "/queues", vec![], vec![], 405),
        (Method::POST, "/jobs", vec![], vec![("payload", long.as_str())], 413),
        (
            Method::POST,
            "/jobs",
            vec![("origin", "http://evil.example"), ("host", "localhost")],
            vec![],
            403,
        ),
        (Method::GET, "/jobs/bulk/zzz", vec![], vec![], 404),
    ] {
        let mut headers = vec![("accept", HTML), ("cookie", cookie.as_str())];
        headers.extend(extra);
        let (answer, headers, page) = site.ask(method.clone(), path, &headers, &form).await;
        assert_eq!(answer.as_u16(), status, "{method} {path}");
        assert_eq!(
            text(&headers, header::CONTENT_TYPE),
            "text/html; charset=utf-8",
            "{method} {path}"
        );
        assert!(
            page.contains("class=\"actions\"") && page.contains("href=\"./\">Home</a>"),
            "{page}"
        );
        assert!(!page.contains("href=\"javascript:"), "{page}");
    }
}

/// A browser stays on the address of a form when its page shows an error. Reloading it, or a script that fetches it
/// again, must not end in 405.
#[tokio::test]
async fn the_address_of_every_form_can_be_opened() {
    let desk = Desk::open();
    let job =
        desk.submit(Submission { queue: Some("mail".into()), ..echo("1") }).await.id.to_string();
    desk.post("/schedules", &[("name", "often"), ("cron", "every 2h"), ("kind", "echo")]).await;
    let user = [("name", "anna"), ("role", "admin"), ("password", "correct horse battery")];
    assert_eq!(desk.post("/users", &user).await.status, StatusCode::SEE_OTHER);
    let table = include_str!("../mod.rs");
    let routes = table.split(".route(\"").skip(1).map(|route| {
        let (path, handlers) = route.split_once('"').unwrap();
        (path, handlers.contains("post("))
    });
    let forms: BTreeSet<&str> =
        routes.filter(|(_, is_form)| *is_form).map(|(path, _)| path).collect();
    assert!(forms.len() > 20, "{forms:?}");
    for form in forms {
        let kind = form.split('/').nth(1).unwrap();
        let path = match kind {
            "queues" => form.replace("{name}", "mail"),
            "schedules" => form.replace("{name}", "often"),
            "users" => form.replace("{name}", "anna"),
            _ => form.replace("{id}", &job),
        };
        let answer = desk.get(&path).await;
        match answer.status {
            StatusCode::OK => answer.assert_sound(),
            StatusCode::SEE_OTHER => {
                let above = desk.get(&answer.location).await;
                // Nobody is logged in here, so there is no account.
                let is_gone =
                    matches!(kind, "failures" | "account") || path.starts_with("/jobs/bulk/");
                let is_page = above.status == StatusCode::OK
                    || is_gone && above.status == StatusCode::NOT_FOUND;
                assert!(is_page, "{path} leads to {}: {}", answer.location, above.status);
            }
            StatusCode::NOT_FOUND if path.starts_with("/jobs/bulk/") => {}
            other => panic!("{path}: {other}"),
        }
    }
}

#[tokio::test]
async fn of_two_changes_of_a_password_at_once_one_is_refused() {
    let site = Site::at("/");
    let engine = &site.desk.engine;
    let anna = add_user(engine, "anna", Role::Admin).await;
    let form = [("name", "anna"), ("password", PASSWORD), ("next", "")];
    let (_, headers, _) = site.ask(Method::POST, "/login", &[("accept", HTML)], &form).await;
    let cookie = text(&headers, header::SET_COOKIE).split(';').next().unwrap().to_owned();
    let change = |password: &'static str| {
        let (site, cookie) = (&site, cookie.as_str());
        async move {
            let form = [("current", PASSWORD), ("password", password)];
            let headers = [("accept", HTML), ("cookie", cookie)];
            site.ask(Method::POST, "/account/password", &headers, &form).await.0
        }
    };
    let (one, other) = tokio::join!(change("the first new one"), change("the second new one"));
    let changed = [one, other].map(|status| status == StatusCode::SEE_OTHER);
    assert!(changed[0] != changed[1], "{one} {other}");
    let password = if changed[0] { "the first new one" } else { "the second new one" };
    let user = engine.access_table().borrow().user(&anna).unwrap().clone();
    assert!(user.password.verify(&password.into()), "the answer says which one it is");
}
