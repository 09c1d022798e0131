//! Rules that apply to every page.

use axum::http::StatusCode;

use super::*;
use crate::job::{Failure, FailureClass, LogLine, Progress, Stream, Time};
use crate::store::Note;

#[tokio::test]
async fn every_page_renders_with_none_one_and_many_jobs() {
    for count in [0, 1, 60] {
        let desk = Desk::open();
        desk.echoes(count).await;
        for path in [
            "/",
            "/jobs",
            "/jobs?state=discarded",
            "/jobs/new",
            "/system",
            "/queues",
            "/failures",
            "/timeline",
            "/timeline?by=worker&span=10m",
            "/workers",
            "/users",
            "/tokens",
            "/audit",
            "/?range=6h",
            "/?range=30d&scale=log",
        ] {
            let answer = desk.get(path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            answer.assert_sound();
        }
    }
}

/// The clock shows another year, so a page that reads the machine's clock fails.
#[tokio::test]
async fn every_page_tells_the_time_by_the_clock_of_the_engine() {
    let clock = ManualClock::at("2091-03-01T12:00:00Z".parse().unwrap());
    let desk = Desk::by(clock.clone());
    let job = desk.submit(echo("1")).await;
    clock.advance(Duration::from_secs(3_600));
    let now = format!(" data-now=\"{}\"", desk.engine.now().millis());
    let schedule = [("name", "often"), ("cron", "every 2h"), ("kind", "echo")];
    let made = desk.post("/schedules", &schedule).await;
    assert_eq!(made.location, "/schedules/of/often", "{}", made.text);
    let of_job = format!("/jobs/{}", job.id);
    for (path, told) in [
        ("/", "60 min ago"),
        ("/jobs", "60 min ago"),
        (&of_job, "60 min ago"),
        ("/queues", "60 min ago"),
        ("/queues/default", "60 min ago"),
        (
            "/jobs/new?kind=echo&start=in&delay=1d",
            "data-show=\"zoned\" class=\"num\">2091-03-02 13:00:00 UTC</time>, <time",
        ),
        ("/schedules", "in 1 h<"),
        ("/schedules/of/often", "in 1 h<"),
        ("/schedules/new?cron=every%202h&kind=echo", "2091-03-01 14:00:00"),
        ("/failures", ""),
        ("/timeline", ""),
        ("/workers", ""),
        ("/users", ""),
        ("/tokens", ""),
        ("/audit", ""),
        ("/jobs/bulk", ""),
        ("/system", ""),
    ] {
        let page = desk.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        page.assert_has(&now);
        page.assert_has(told);
    }
    desk.get("/nowhere").await.assert_lacks("data-now");
}

/// A number repeated in a script could become different from the server's.
#[tokio::test]
async fn numbers_that_scripts_share_with_the_server_stand_on_the_page() {
    let desk = Desk::open();
    let scripts = |text: &str| {
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/static")).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        let named = paths.filter(|path| std::fs::read_to_string(path).unwrap().contains(text));
        named.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (page, attribute, key, in_scripts) in [
        ("/", " data-busy-at=\"300\"", "body.dataset.busyAt", &["app.js", "load.js"][..]),
        ("/jobs", " data-busy-at=\"300\"", "body.dataset.busyAt", &["app.js", "load.js"][..]),
        ("/", " data-error-excerpt=\"160\"", "body.dataset.errorExcerpt", &["live.js"]),
        ("/jobs", " data-error-excerpt=\"160\"", "body.dataset.errorExcerpt", &["live.js"]),
        ("/jobs", " data-limit=\"50\"", "body.dataset.limit", &["jobs.js"]),
        ("/", " viewBox=\"0 0 300 180\"", "viewBox.baseVal", &["chart.js", "job.js"]),
    ] {
        desk.get(page).await.assert_has(attribute);
        let mut found = scripts(key);
        found.sort();
        assert_eq!(found, in_scripts, "{key}");
    }
    assert_eq!(scripts("as in src/"), [""; 0], "a number repeated in a script");
}

#[tokio::test]
async fn every_link_and_file_of_every_page_leads_somewhere() {
    let desk = Desk::open();
    desk.echoes(55).await;
    let tagged = Submission { tags: Some(vec!["a & b/c?".into()]), ..echo("1") };
    let job = desk.submit(tagged).await;
    let mut seen = vec!["/".to_owned(), format!("/jobs/{}", job.id)];
    let mut next = 0;
    while next < seen.len() {
        let path = seen[next].clone();
        next += 1;
        let answer = desk.get(&path).await;
        if path.ends_with("at=now") {
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
            seen.extend((!seen.contains(&answer.location)).then_some(answer.location));
            continue;
        }
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        if !answer.content_type.starts_with("text/html") {
            continue;
        }
        for link in ["href", "src"].iter().flat_map(|name| answer.values(name)) {
            let link = link.split('#').next().unwrap().to_owned();
            let elsewhere =
                link.is_empty() || link == "/" || link.starts_with("api/") || link.contains("://");
            if !elsewhere && !seen.contains(&link) && seen.len() < 400 {
                seen.push(link);
            }
        }
    }
    assert!(seen.iter().any(|path| path == "jobs?tag=a%20%26%20b%2Fc%3F"), "{seen:?}");
    assert!(seen.iter().any(|path| path.ends_with("/app.css")), "{seen:?}");
}

#[tokio::test]
async fn what_people_and_handlers_write_is_shown_as_text() {
    const EVIL: &str = "<script>alert('x')</script>\"><img src=x>";
    let desk = Desk::open();
    let evil = Submission {
        tags: Some(vec![EVIL.into()]),
        idempotency_key: Some(EVIL.into()),
        ..echo(&serde_json::to_string(EVIL).unwrap())
    };
    let job = desk.submit(evil).await;
    let lease = desk.claim().await;
    let line = LogLine { at: Time::default(), stream: Stream::Stderr, text: EVIL.into() };
    let progress = Progress { done: 1, total: None, message: Some(EVIL.into()) };
    let note = Note { lease: lease.key(), lines: vec![line], progress: Some(progress) };
    desk.store.annotate(vec![note]).await.unwrap();
    let failure = Failure::new(FailureClass::Error, EVIL);
    desk.settle(&lease, Verdict::Failed { failure, retry_in: Duration::from_secs(60) }).await;

    let form = [("kind", EVIL), ("payload", EVIL), ("tags", EVIL), ("token", EVIL)];
    let answers = [
        desk.get("/").await,
        desk.get("/jobs").await,
        desk.get(&format!("/jobs/{}", job.id)).await,
        desk.get(&format!("/jobs/new?from={}", job.id)).await,
        desk.get("/jobs?queue=%3Cscript%3Ealert('x')&tag=%22%3E%3Cimg").await,
        desk.post("/jobs", &form).await,
    ];
    for answer in answers {
        answer.assert_sound();
        answer.assert_lacks("<script>alert");
        answer.assert_lacks("<img");
    }
}

#[tokio::test]
async fn a_page_carries_the_place_it_was_read_at() {
    let desk = Desk::open();
    desk.echoes(3).await;
    let cursor = format!("data-cursor=\"{}\"", desk.engine.head());
    for path in ["/", "/jobs"] {
        desk.get(path).await.assert_has(&cursor);
    }
}

#[tokio::test]
async fn an_address_that_leads_nowhere_is_answered_with_a_page() {
    let desk = Desk::open();
    let unknown = format!("/jobs/{}", crate::job::JobId::generate());
    for path in ["/nowhere", "/jobs/42", unknown.as_str(), "/static/0/none.js"] {
        let answer = desk.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        answer.assert_sound();
        answer.assert_has("href=\"jobs\"");
    }
}

#[tokio::test]
async fn files_are_cached_for_ever_under_their_hash_and_never_under_another() {
    let desk = Desk::open();
    let page = desk.get("/").await;
    let script = page.values("src").into_iter().find(|src| src.ends_with("/app.js")).unwrap();
    let answer = desk.get(&script).await;
    assert_eq!(answer.content_type, "text/javascript; charset=utf-8");
    assert!(answer.cache.contains("immutable"), "{}", answer.cache);
    assert_eq!(desk.get("/static/0000/app.js").await.cache, "no-cache");
}

#[tokio::test]
async fn the_system_page_tells_what_the_store_takes_and_how_far_the_log_reaches() {
    let desk = Desk::open();
    desk.echoes(3).await;
    let page = desk.get("/system").await;
    for wanted in ["Write amplification", "Disk usage", "Events kept", "Maximum payload", "1.0 MiB"]
    {
        assert!(page.text.contains(wanted), "{wanted} is missing");
    }
}

#[tokio::test]
async fn under_a_base_path_every_page_link_file_and_redirect_stays_below_it() {
    let desk = Desk::open();
    let pages = crate::http::mount(desk.pages.clone(), &"/tools/cortado".parse().unwrap());
    let desk = Desk { pages, ..desk };
    let job = desk.submit(echo("1")).await;
    // A proxy may or may not strip the prefix.
    for path in ["/tools/cortado/jobs?state=available", "/jobs?state=available"] {
        let page = desk.get(path).await;
        page.assert_sound();
        page.assert_has("<base href=\"/tools/cortado/\">");
        page.assert_has("class=\"skip\" href=\"/tools/cortado/jobs?state=available#main\"");
        page.assert_has("rel=\"expect\" href=\"/tools/cortado/jobs?state=available#keys\"");
    }
    desk.get("/tools/cortado").await.assert_has("aria-current=\"page\">Home</a>");
    let missing = desk.get("/tools/cortado/none").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    missing.assert_has("<base href=\"/tools/cortado/\">");
    let form = desk.get("/tools/cortado/jobs/new").await;
    form.assert_has("curl http://127.0.0.1:8080/tools/cortado/api/v1/jobs");
    let sent = desk.post("/tools/cortado/jobs", &[("kind", "echo")]).await;
    assert!(sent.location.starts_with("/tools/cortado/jobs/"), "{}", sent.location);
    let paused = desk.post("/queues/default/pause", &[]).await;
    assert_eq!(paused.location, "/tools/cortado/#queues");
    let deleted = desk.post(&format!("/tools/cortado/jobs/{}/delete", job.id), &[]).await;
    assert_eq!(deleted.location, "/tools/cortado/jobs");
}

#[test]
fn no_address_in_the_sources_of_the_pages_begins_at_the_root() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for (folder, signs) in [
        ("templates", ["href=\"/", "action=\"/", "src=\"/", "href=\"#"].as_slice()),
        ("templates/partials", &["href=\"/", "action=\"/", "src=\"/", "href=\"#"]),
        ("static", &["\"/jobs", "`/jobs", "fetch(\"/", "fetch(`/", "href = `/", "href = \"/"]),
        ("src/ui", &["Redirect::to(\"", "Redirect::to(&format!(\"/"]),
    ] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            wrong.extend(
                signs.iter().filter(|sign| text.contains(**sign)).map(|sign| (path.clone(), *sign)),
            );
        }
    }
    assert!(wrong.is_empty(), "write them relative to the base path: {wrong:?}");
}

#[tokio::test]
async fn a_page_that_says_not_now_comes_back_by_itself_and_others_do_not() {
    let desk = Desk::open();
    desk.store.close().await.unwrap();
    let pages = crate::http::mount(desk.pages.clone(), &Default::default());
    let desk = Desk { pages, ..desk };
    let page = desk.get("/jobs").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    page.assert_sound();
    page.assert_has(" data-auto-reload>");
    page.assert_has("<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>");
    // If this page reloaded, the browser would ask whether to send the form again.
    let posted = desk.post("/queues/default/pause", &[]).await;
    assert_eq!(posted.status, StatusCode::SERVICE_UNAVAILABLE);
    posted.assert_lacks("data-auto-reload");
    desk.get("/nowhere").await.assert_lacks("data-auto-reload");
}

/// Escaping makes text longer, so a page that repeats a long value could grow to many times its length.
#[tokio::test]
async fn an_error_page_does_not_repeat_what_is_too_long() {
    let desk = Desk::open();
    desk.submit(echo("1")).await;
    let quotes = "'".repeat(1_500_000);
    let whole = [
        "kind",
        "queue",
        "priority",
        "tags",
        "idempotency_key",
        "zone",
        "at",
        "delay",
        "timeout",
        "max_attempts",
        "backoff_base",
        "backoff_cap",
        "shown",
        "view",
        "token",
        "when",
        "name",
        "cron",
        "max_late",
        "payload",
        "payload.to",
        "payload.cc",
        "concurrency",
        "rate_limit",
        "q",
        "tag",
        "state",
        "action",
        "to_queue",
        "to_priority",
        "scope",
        "id",
    ];
    let forms = [
        "/jobs",
        "/jobs/new",
        "/schedules",
        "/schedules/new",
        "/jobs/bulk",
        "/jobs/bulk/run",
        "/queues/default/concurrency",
        "/queues/default/rate_limit",
    ];
    for form in forms {
        let short = &quotes[..20_000];
        let all: Vec<(&str, &str)> = whole
            .iter()
            .filter(|name| !name.starts_with("payload"))
            .map(|name| (*name, short))
            .collect();
        let answer = desk.post(form, &all).await;
        assert!(answer.text.len() < 150_000, "{form}: {} bytes", answer.text.len());
        for field in whole {
            let kind = if field.starts_with("payload.") { "mail" } else { "echo" };
            let fields = [("kind", kind), (field, quotes.as_str())];
            let fields = if field == "kind" { &fields[1..] } else { &fields[..] };
            let answer = desk.post(form, fields).await;
            assert!(answer.text.len() < 100_000, "{form}, {field}: {} bytes", answer.text.len());
        }
    }
    let query = "&".repeat(60_000);
    for page in ["/", "/jobs", "/jobs/new", "/queues", "/failures", "/schedules/new", "/nothing"] {
        let answer = desk.get(&format!("{page}?{query}")).await;
        assert!(answer.text.len() < 100_000, "{page}: {} bytes", answer.text.len());
    }
}

#[tokio::test]
async fn a_form_that_is_no_utf8_is_refused() {
    let desk = Desk::open();
    for form in
        ["/jobs", "/jobs/new", "/schedules", "/schedules/new", "/jobs/bulk", "/jobs/bulk/run"]
    {
        let request = Request::post(form)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from("kind=echo&payload=%22%ff%22&name=a&cron=@daily&action=retry"));
        let answer = desk.send(request.unwrap()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{form}");
        answer.assert_has("not valid UTF-8");
    }
}

/// The assets that a browser loads once must stay small; the sizes are those of the compressed responses.
#[tokio::test]
async fn scripts_and_styles_of_a_page_stay_small() {
    use tower::ServiceExt;
    use tower_http::compression::CompressionLayer;

    let desk = Desk::open();
    let loads = crate::ui::layout::assets::loads();
    let pages = desk.pages.clone().layer(CompressionLayer::new());
    assert!(loads.iter().any(|names| names.contains(&"home.js") && names.contains(&"chart.js")));
    for names in loads {
        let (mut scripts, mut styles) = (0, 0);
        for name in &names {
            let request = Request::get(format!("/static/0/{name}"))
                .header(header::ACCEPT_ENCODING, "gzip")
                .body(Body::empty());
            let answer = pages.clone().oneshot(request.unwrap()).await.unwrap();
            let size = to_bytes(answer.into_body(), usize::MAX).await.unwrap().len();
            match name.rsplit('.').next().unwrap() {
                "js" => scripts += size,
                "css" => styles += size,
                _ => {}
            }
        }
        assert!((1_000..=45_000).contains(&scripts), "{names:?}: {scripts} bytes of JavaScript");
        assert!((1_000..=20 * 1_024).contains(&styles), "{names:?}: {styles} bytes of CSS");
    }
}

#[tokio::test]
async fn the_system_page_tells_who_answers_who_listens_and_what_is_set() {
    let desk = Desk::open();
    let _socket = desk.engine.subscriber_counts().register(crate::engine::Transport::WebSocket);
    let page = desk.get("/system").await;
    page.assert_sound();
    for told in ["Uptime", "Write amplification", "1 WebSocket", "store.max_waiting", "10000000"] {
        page.assert_has(told);
    }
    page.assert_has("<dt><code>stop.grace</code></dt><dd class=\"num\">25 s</dd>");
    page.assert_has("<dt><code>auth.token</code></dt><dd class=\"num\">not set</dd>");
    // The figures over time are there once the first sample was taken.
    let sections = page.text.matches("data-live").count();
    assert_eq!(
        sections,
        4 + page.text.matches("id=\"samples\"").count(),
        "what moves is drawn anew"
    );
}

#[tokio::test]
async fn the_system_page_draws_its_figures_over_time() {
    let desk = Desk::open();
    let _socket = desk.engine.subscriber_counts().register(crate::engine::Transport::WebSocket);
    let sampled = async {
        while desk.engine.system_samples().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), sampled).await.expect("no sample was taken");
    let page = desk.get("/system").await;
    page.assert_sound();
    page.assert_has("<h2 id=\"samples-title\">Last 30 minutes</h2>");
    for (name, now) in [("Enqueued jobs", "0/s"), ("Running attempts", "0"), ("Disk usage", "0 B")]
    {
        page.assert_has(&format!(
            "<span class=\"sample-name\">{name}</span> <strong class=\"num\">{now}</strong>"
        ));
    }
    page.assert_has("<path class=\"no-data\" d=\"M0 0H");
    page.assert_lacks("Commit latency");
}
