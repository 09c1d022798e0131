//! What a share link opens and what it does not, over all routes, and the pages that create and show links.

use axum::http::{HeaderMap, Method};

use super::*;
use crate::access::{AccessCommand, ShareLink, SharedPayload};
use crate::http::access::job_scope::JobScope;
use crate::http::access::need::Need;
use crate::http::access::routes::ROUTES;
use crate::http::access::share_links::{LinkRequest, create};
use crate::http::tests::team::{add_token, add_user, bearer, user};
use crate::http::{HttpLimits, wrap};
use crate::job::{Actor, JobId, LinkSubject, Role};

/// A whole server: the pages and the API in their layers.
struct Site {
    desk: Desk,
    routes: Router,
}

struct Page {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Site {
    async fn open() -> Site {
        Site::over(Desk::open()).await
    }

    async fn over(desk: Desk) -> Site {
        let limits = HttpLimits {
            login_failures: 100_000,
            login_failures_per_user: 100_000,
            login_failures_total: 100_000,
            ..HttpLimits::default()
        };
        let engine = desk.engine.clone();
        let routes = crate::http::router(engine.clone(), limits.clone()).merge(desk.pages.clone());
        let routes =
            wrap(routes, engine.clone(), &limits, open_to_all(), crate::ui::error_page).unwrap();
        let routes = crate::http::mount(routes, &crate::http::BasePath::default());
        add_user(&engine, "root", Role::Admin).await;
        Site { desk, routes }
    }

    async fn send(&self, request: Request<Body>) -> Page {
        let answer = self.routes.clone().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Page { status: head.status, headers: head.headers, text }
    }

    /// Opens an address as a browser does.
    async fn browse(&self, path: &str) -> Page {
        let request = Request::get(path).header(header::ACCEPT, "text/html");
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn share(
        &self,
        subject: LinkSubject,
        payload: SharedPayload,
    ) -> (Arc<ShareLink>, String) {
        let engine = &self.desk.engine;
        let expires_in = Duration::from_secs(3_600);
        let request = LinkRequest { subject, expires_in, payload };
        let link = create(engine, &JobScope::Everything, request).await.unwrap();
        let text = engine.access_table().borrow().link_text(&link).unwrap();
        (link, text)
    }

    async fn share_job(&self, id: JobId) -> String {
        self.share(LinkSubject::Job(id), SharedPayload::Shown).await.1
    }
}

/// Enqueues a job with names that its link does not show.
async fn job(desk: &Desk, number: &str) -> Job {
    let text = format!(
        r#"{{"kind":"echo","queue":"mail","payload":{{"customer":"Zoe"}},"tags":["vip"],"idempotency_key":"order-{number}"}}"#
    );
    let job = Submission::parse(&text).unwrap();
    by_anna(desk).enqueue(vec![job]).await.unwrap().remove(0).into_job()
}

/// The engine in the name of somebody whom no link shows.
fn by_anna(desk: &Desk) -> Engine {
    desk.engine.by(Some(Actor::User(user("anna"))))
}

#[tokio::test]
async fn a_link_opens_none_of_the_other_routes() {
    let site = Site::open().await;
    let job = job(&site.desk, "1").await;
    let text = site.share_job(job.id).await;
    let basic = {
        use base64::Engine as _;
        let pair = format!(":{text}");
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    };
    let path_of = |path: &str| {
        let part = |part: &str| match part {
            "{link}" => text.clone(),
            part if part.starts_with('{') => job.id.to_string(),
            part => part.to_owned(),
        };
        path.split('/').map(part).collect::<Vec<String>>().join("/")
    };
    let mut opened = Vec::new();
    for rule in ROUTES.iter().filter(|rule| !rule.path.starts_with("/test/")) {
        let method: Method = rule.method.replace('*', "GET").parse().unwrap();
        for credential in [bearer(&text), basic.clone(), format!("Link {text}")] {
            let request = Request::builder()
                .method(&method)
                .uri(path_of(rule.path))
                .header(header::AUTHORIZATION, &credential)
                .header(header::COOKIE, format!("cortado-session={text}; link={text}"))
                .header(header::REFERER, format!("http://desk.example/shared/{text}"));
            let answer = site.send(request.body(Body::empty()).unwrap()).await;
            match rule.need {
                Need::Everybody => {}
                Need::ShareLink => opened.push((rule.path, answer.status.as_u16())),
                Need::AnyRole | Need::Role(_) => {
                    assert_eq!(
                        answer.status,
                        StatusCode::UNAUTHORIZED,
                        "{rule:?} with {credential}"
                    );
                }
            }
        }
    }
    opened.dedup();
    // A WebSocket needs an upgrade.
    assert_eq!(
        opened,
        [
            ("/shared/{link}", 200),
            ("/shared/{link}/ws", 400),
            ("/shared/{link}/events", 200),
            ("/shared/{link}/log", 200)
        ]
    );
    // Nor does a path below the link lead out of it.
    for path in
        ["/jobs", "/../../jobs", "/..%2f..%2fjobs", "/retry", "/ws/x", "//jobs", "/api/v1/jobs"]
    {
        let answer = site.browse(&format!("/shared/{text}{path}")).await;
        assert_ne!(answer.status, StatusCode::OK, "{path}");
        assert!(!answer.text.contains("Zoe"), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let request = Request::builder().method(method).uri(format!("/shared/{text}"));
        let answer = site.send(request.body(Body::empty()).unwrap()).await;
        assert!(answer.status.is_client_error(), "{method}: {}", answer.status);
    }
}

/// The values of the attributes of a page that name an address.
fn addresses(html: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for attribute in [" href=\"", " src=\"", " action=\"", " data-stream=\"", " formaction=\""] {
        found.extend(html.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()));
    }
    found
}

#[tokio::test]
async fn the_page_of_a_link_has_no_way_out_no_action_and_no_names() {
    let site = Site::open().await;
    let shared = job(&site.desk, "1").await;
    let other = job(&site.desk, "2").await;
    by_anna(&site.desk).move_to(shared.id, QueueName::parse("other").unwrap()).await.unwrap();
    by_anna(&site.desk).move_to(shared.id, QueueName::default()).await.unwrap();
    let lease = site.desk.claim().await;
    site.desk.settle(&lease, Verdict::Completed { result: Json::parse("\"fine\"").unwrap() }).await;
    for subject in
        [LinkSubject::Job(shared.id), LinkSubject::Queue(QueueName::parse("mail").unwrap())]
    {
        let is_job = matches!(subject, LinkSubject::Job(_));
        let (_, text) = site.share(subject, SharedPayload::Shown).await;
        for path in [format!("/shared/{text}"), format!("/shared/{text}?raw=1")] {
            let page = site.browse(&path).await;
            assert_eq!(page.status, StatusCode::OK, "{}", page.text);
            for address in addresses(&page.text) {
                let own = format!("shared/{text}");
                let is_own = address.trim_start_matches('/').starts_with(&own);
                assert!(is_own || address.starts_with("static/") || address == "/", "{address}");
            }
            for hidden in [
                "<form",
                "order-1",
                "anna",
                "vip",
                ">w1<",
                "on w1",
                "Moved",
                "curl ",
                "as of event",
                "<nav",
            ] {
                assert!(!page.text.contains(hidden), "{hidden} is on the page: {}", page.text);
            }
            assert_eq!(page.text.contains(&other.id.to_string()), !is_job, "only its own jobs");
            assert_eq!(page.text.contains("Zoe"), is_job, "a queue shows no payload");
            let header = |name: &str| page.headers[name].to_str().unwrap();
            assert_eq!(header("cache-control"), "no-store");
            assert_eq!(header("referrer-policy"), "no-referrer");
            assert!(header("x-robots-tag").starts_with("noindex"));
        }
    }
}

#[tokio::test]
async fn the_payload_is_shown_unless_its_creator_hides_it() {
    let site = Site::open().await;
    let job = job(&site.desk, "1").await;
    for (payload, is_shown) in [(SharedPayload::Shown, true), (SharedPayload::Hidden, false)] {
        let (_, text) = site.share(LinkSubject::Job(job.id), payload).await;
        for part in ["", "?raw=1", "/log", "/events?after=0:0"] {
            let page = site.browse(&format!("/shared/{text}{part}")).await;
            let shows = page.text.contains("Zoe");
            assert_eq!(shows, is_shown && !part.starts_with('/'), "{part} of {payload:?}");
        }
    }
}

#[tokio::test]
async fn a_link_that_opens_nothing_has_the_same_page_for_every_reason() {
    let site = Site::open().await;
    let (job, gone) = (job(&site.desk, "1").await, job(&site.desk, "2").await);
    let (revoked, of_revoked) = site.share(LinkSubject::Job(job.id), SharedPayload::Shown).await;
    let of_gone = site.share_job(gone.id).await;
    let live = site.share_job(job.id).await;
    let revoke = AccessCommand::RevokeLink(revoked.id.clone());
    site.desk.engine.access(revoke).await.unwrap();
    site.desk.engine.delete(gone.id).await.unwrap();
    let forged = live.replacen('.', ".A", 1);
    let mut pages = Vec::new();
    for text in ["nonsense".to_owned(), of_revoked, of_gone, forged, "0000000000000000.AAAA".into()]
    {
        let page = site.browse(&format!("/shared/{text}")).await;
        let body = page.text.replace(&text, "LINK");
        let header = |name: &str| page.headers.get(name).map(|it| it.to_str().unwrap().to_owned());
        let headers =
            ["cache-control", "referrer-policy", "x-robots-tag", "content-type"].map(header);
        pages.push((page.status, headers, body));
    }
    let (status, headers, text) = &pages[0];
    assert_eq!(*status, StatusCode::NOT_FOUND);
    assert_eq!(headers[0].as_deref(), Some("no-store"));
    assert!(text.contains("This link has ended") && !text.contains("<nav"), "{text}");
    assert!(
        addresses(text)
            .iter()
            .all(|it| it.starts_with("static/") || *it == "/" || it.contains("LINK")),
        "{text}"
    );
    for page in &pages {
        assert_eq!(page, &pages[0]);
    }
}

#[tokio::test]
async fn the_holder_of_a_link_is_not_told_what_is_wrong_with_the_server() {
    let site = Site::open().await;
    let job = job(&site.desk, "1").await;
    let of_job = site.share_job(job.id).await;
    let queue = LinkSubject::Queue(QueueName::parse("mail").unwrap());
    let (_, of_queue) = site.share(queue, SharedPayload::Shown).await;
    site.desk.store.close().await.unwrap();
    for path in
        [&of_job, &of_queue, &format!("{of_job}/log"), &format!("{of_job}/events?after=0:0")]
    {
        let path = format!("/shared/{path}");
        let program = site.send(Request::get(&path).body(Body::empty()).unwrap()).await;
        for answer in [site.browse(&path).await, program] {
            // A poll has a position to answer with, and does not read the store.
            let is_error = answer.status == StatusCode::SERVICE_UNAVAILABLE;
            assert!(is_error || path.contains("/events"), "{path}: {}", answer.status);
            for told in ["store", "closed", "disk", "log has"] {
                assert!(!answer.text.contains(told), "{path} tells {told}: {}", answer.text);
            }
        }
    }
}

#[tokio::test]
async fn a_session_counts_for_nothing_on_the_page_of_a_link() {
    let site = Site::open().await;
    let job = job(&site.desk, "1").await;
    let text = site.share_job(job.id).await;
    let (_, token) = add_token(&site.desk.engine, "root-token", Role::Admin, |_| {}).await;
    for credential in [bearer(&token), bearer("cortado_wrong"), "nonsense".to_owned()] {
        let request = Request::get(format!("/shared/{text}"))
            .header(header::ACCEPT, "text/html")
            .header(header::AUTHORIZATION, credential);
        let page = site.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(!page.text.contains("<form") && !page.text.contains("<nav"), "{}", page.text);
    }
}

#[tokio::test]
async fn links_are_created_shown_and_revoked_by_forms() {
    let desk = Desk::open();
    let job = job(&desk, "1").await;
    for (page, action, fields, name) in [
        (
            format!("jobs/{}", job.id),
            format!("/jobs/{}/share", job.id),
            vec![("expires_in", "86400s"), ("payload", "hidden")],
            format!("job {}", job.id),
        ),
        (
            "queues/mail".to_owned(),
            "/queues/mail/share".to_owned(),
            vec![("expires_in", "3600s")],
            "queue mail".to_owned(),
        ),
    ] {
        let text = desk.get(&page).await.text;
        assert!(text.contains(&format!("action=\"{}\"", action.trim_start_matches('/'))), "{text}");
        assert!(text.contains("<option value=\"2592000s\">30 days</option>"), "{text}");
        let made = desk.post(&action, &fields).await;
        assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.text);
        let shown = desk.get(&made.location).await;
        assert_eq!(shown.status, StatusCode::OK);
        assert!(shown.text.contains(&format!("Link to {name}")), "{}", shown.text);
        assert!(shown.text.contains("http://127.0.0.1:8080/shared/"), "{}", shown.text);
        assert!(desk.get("links").await.text.contains(&name));
        let revoked = desk.post(&format!("{}/revoke", made.location), &[]).await;
        assert_eq!((revoked.status, revoked.location.as_str()), (StatusCode::SEE_OTHER, "/links"));
        assert!(!desk.get("links").await.text.contains(&name));
        assert_eq!(desk.get(&made.location).await.status, StatusCode::NOT_FOUND);
        assert_eq!(
            desk.post(&format!("{}/revoke", made.location), &[]).await.status,
            StatusCode::NOT_FOUND
        );
    }
    for (fields, status) in [
        (vec![("expires_in", "31d")], StatusCode::UNPROCESSABLE_ENTITY),
        (vec![("expires_in", "soon")], StatusCode::UNPROCESSABLE_ENTITY),
        (vec![], StatusCode::UNPROCESSABLE_ENTITY),
        (vec![("expires_in", "1h"), ("payload", "x")], StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let answer = desk.post(&format!("/jobs/{}/share", job.id), &fields).await;
        assert_eq!(answer.status, status, "{fields:?}: {}", answer.text);
    }
    assert_eq!(
        desk.post("/queues/none/share", &[("expires_in", "1h")]).await.status,
        StatusCode::NOT_FOUND
    );
}
