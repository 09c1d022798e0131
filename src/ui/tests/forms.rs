//! Tests of what every form refuses: parameters in its address, unknown and repeated fields, and an idempotency key.

use super::*;

const FORM: &str = "application/x-www-form-urlencoded";

/// The paths of all forms, with the names of things that exist.
fn forms(job: &str) -> Vec<String> {
    let table = include_str!("../mod.rs");
    let routes = table.split(".route(\"").skip(1).map(|route| route.split_once('"').unwrap());
    let forms =
        routes.filter(|(_, handlers)| handlers.split(".route").next().unwrap().contains("post("));
    let path = |(path, _): (&str, &str)| match path.split('/').nth(1).unwrap() {
        "queues" => path.replace("{name}", "default"),
        "schedules" => path.replace("{name}", "often"),
        _ => path.replace("{id}", job),
    };
    forms.map(path).collect()
}

impl Desk {
    /// Posts a body as it is, with a header.
    async fn raw(&self, path: &str, (name, value): (&str, &str), body: &str) -> Answer {
        let request = Request::post(path).header(header::CONTENT_TYPE, FORM).header(name, value);
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Opens the pages with one job in the queue `default`, and the schedule `often`.
    async fn filled() -> (Desk, String) {
        let desk = Desk::open();
        let job = desk.submit(echo("null")).await.id.to_string();
        let often = [("name", "often"), ("cron", "every 2h"), ("kind", "echo")];
        assert_eq!(desk.post("/schedules", &often).await.status, StatusCode::SEE_OTHER);
        (desk, job)
    }

    async fn assert_unchanged(&self, form: &str) {
        let stats = self.engine.stats().await.unwrap();
        assert_eq!(stats.states.values().sum::<u64>(), 1, "{form}");
        let schedules = self.engine.schedules().await.unwrap().0;
        assert_eq!(schedules.len(), 1, "{form}");
        assert!(!schedules[0].paused && self.engine.known_bulk_reports().is_empty(), "{form}");
    }
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, code: &str, words: &str, form: &str) {
    assert_eq!(answer.status, status, "{form}: {}", answer.text);
    assert!(answer.text.contains(&format!("\"code\":\"{code}\"")), "{form}: {}", answer.text);
    assert!(answer.text.contains(words), "{form}: no {words:?} in {}", answer.text);
}

#[tokio::test]
async fn every_form_refuses_parameters_unknown_fields_and_an_idempotency_key() {
    let (desk, job) = Desk::filled().await;
    let forms = forms(&job);
    assert!(forms.len() > 20, "{forms:?}");
    for form in &forms {
        for (query, name) in [("queue=x", "queue"), ("next=jobs", "next"), ("x", "x")] {
            let answer = desk.post(&format!("{form}?{query}"), &[]).await;
            assert_problem(
                &answer,
                400,
                "invalid_parameter",
                &format!("{name}: is not known"),
                form,
            );
        }
        let answer = desk.raw(form, ("idempotency-key", "\"k\""), "kind=echo").await;
        assert_problem(&answer, 400, "invalid_idempotency_key", "Idempotency-Key", form);
        for name in ["priorty", "Queue", "x y", "payload[x]"] {
            let answer = desk.post(form, &[(name, "5")]).await;
            assert_problem(&answer, 422, "invalid_fields", &format!("\"{name}\""), form);
            assert_problem(&answer, 422, "invalid_fields", "is not known", form);
        }
        let answer = desk.raw(form, ("accept", "text/html"), "kind=%zz").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{form}");
        answer.assert_has("hexadecimal");
        desk.assert_unchanged(form).await;
    }
}

#[tokio::test]
async fn a_field_that_is_repeated_required_or_has_choices_is_named() {
    let (desk, job) = Desk::filled().await;
    let job_form = ["kind=echo&queue=a&queue=b", "queue"];
    let bulk = "action=delete&scope=matching";
    let bulk_forms = |body: &str, field, words| {
        let body = |path: &str| (path.to_owned(), body.to_owned(), field, words);
        [body("/jobs/bulk"), body("/jobs/bulk/run")]
    };
    let twice = "occurs more than once";
    let mut table: Vec<(String, String, &str, &str)> = Vec::new();
    for path in ["/jobs", "/jobs/new", "/schedules", "/schedules/new", "/schedules/of/often"] {
        table.push((path.into(), job_form[0].into(), job_form[1], twice));
        table.push((path.into(), "kind=echo&kind=echo".into(), "kind", twice));
        table.push((path.into(), "kind=echo&view=table".into(), "view", "fields or json"));
    }
    for (path, body, field, words) in [
        ("/jobs", "kind=echo&when=later", "when", "must be now, in or at"),
        ("/jobs", "kind=echo&cron=@daily", "cron", "is not known"),
        ("/jobs", "kind=echo&to=json", "to", "is not known"),
        ("/jobs", "kind=echo&payload.to=x", "payload.to", "is not known"),
        (
            "/jobs",
            "kind=mail&payload.to=a@b&payload.copies=1&payload.bcc=x",
            "payload.bcc",
            "is not known",
        ),
        ("/jobs", "kind=mail&payload.to=a@b&payload.to=c@d&payload.copies=1", "payload.to", twice),
        (
            "/jobs",
            "kind=mail&payload.to=a@b&payload.copies=1&payload.urgent=true&payload.urgent=",
            "payload.urgent",
            twice,
        ),
        ("/jobs", "kind=mail&payload.to=a@b&payload.copies=1&payload=7", "payload", "together"),
        (
            "/schedules",
            "name=a&cron=@daily&kind=echo&overlap=x",
            "overlap",
            "must be allow or skip, but is",
        ),
        ("/schedules", "name=a&cron=@daily&kind=echo&overlap=skip&overlap=skip", "overlap", twice),
        (
            "/schedules",
            "name=a&cron=@daily&kind=echo&idempotency_key=k",
            "idempotency_key",
            "is not known",
        ),
        ("/schedules", "name=a&cron=@daily&kind=mail&payload.bcc=x", "payload.bcc", "is not known"),
        ("/schedules/of/often", "name=other&cron=@daily&kind=echo", "name", "cannot be changed"),
        (
            "/schedules/of/often/edit",
            "name=other&cron=@daily&kind=echo",
            "name",
            "cannot be changed",
        ),
        ("/schedules/of/often/run", "from=a&from=b", "from", twice),
        ("/queues/default/concurrency", "", "concurrency", "is required"),
        ("/queues/default/concurrency", "rate_limit=1/s", "rate_limit", "is not known"),
        ("/queues/default/concurrency", "concurrency=1&concurrency=2", "concurrency", twice),
        ("/queues/default/rate_limit", "", "rate_limit", "is required"),
        ("/queues/default/pause", "from=queue&from=queues", "from", twice),
        ("/login", "password=a&password=b", "password", twice),
    ] {
        table.push((path.into(), body.into(), field, words));
    }
    for (field, words) in [
        ("scope=selected", twice),
        ("scope=matching", twice),
        ("action=retry", twice),
        ("since=1h&since=2h", twice),
        ("to_priority=1", "only allowed with reprioritise"),
        ("to_priority=&to_priority=", twice),
        ("to_queue=mail", "only allowed with move"),
        ("after=x", "is not known"),
    ] {
        let name = field.split('=').next().unwrap();
        table.extend(bulk_forms(&format!("{bulk}&{field}"), name, words));
    }
    table.extend(bulk_forms("scope=matching", "action", "is required"));
    table.extend(bulk_forms("action=nope&scope=matching", "action", "expected one of retry"));
    table.extend(bulk_forms("action=delete&scope=all", "scope", "must be selected or matching"));
    for (path, body, field, words) in table {
        let answer = desk.raw(&path, ("accept", "*/*"), &body).await;
        let form = format!("{path} {body}");
        assert_problem(&answer, 422, "invalid_fields", words, &form);
        assert!(answer.text.contains(&format!("\"{field}\"")), "{form}: {}", answer.text);
        desk.assert_unchanged(&form).await;
    }
    // The empty fields that pages send are ignored, and an action needs no body.
    let empty = format!("action=retry&id={job}&to_queue=&to_priority=");
    assert_eq!(desk.raw("/jobs/bulk", ("accept", "*/*"), &empty).await.status, StatusCode::OK);
    let bare = Request::post("/queues/default/pause").body(Body::empty()).unwrap();
    assert_eq!(desk.send(bare).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn addresses_of_pages_have_the_statuses_of_the_api() {
    let (desk, _) = Desk::filled().await;
    for page in ["/jobs?state=x", "/jobs?after=x", "/jobs?since=x", "/queues/..", "/queues/a%20b"] {
        let answer = desk.get(page).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{page}");
        answer.assert_sound();
    }
    for path in [
        "/queues/../pause",
        "/queues/~../resume",
        "/queues/a%20b/concurrency",
        "/schedules/of/../run",
        "/schedules/of/a%20b/pause",
        "/schedules/of/a%20b",
    ] {
        let fields: &[(&str, &str)] =
            if path.ends_with("concurrency") { &[("concurrency", "1")] } else { &[] };
        assert_eq!(desk.post(path, fields).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    for path in ["/queues/none/pause", "/schedules/of/none/run"] {
        assert_eq!(desk.post(path, &[]).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}
