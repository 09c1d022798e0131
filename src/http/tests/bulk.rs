//! Searches for jobs, and actions on one job and on many.

use serde_json::{Value, json};

use super::support::{Server, Setup, store_with};
use crate::store;

fn ids(page: &Value) -> Vec<&str> {
    page["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect()
}

/// Reads the report of a run until it has ended.
async fn finished(server: &Server, run: &Value) -> Value {
    let path = format!("/api/v1/bulk/{}", run["id"].as_str().unwrap());
    let id = run["id"].as_str().unwrap().parse().unwrap();
    server.engine.bulk_over(id).await.unwrap();
    server.get(&path).await.json()
}

#[tokio::test]
async fn a_search_answers_in_steps_and_says_how_far_it_looked() {
    let store = store_with(store::StoreLimits { search_step: 10, ..Default::default() });
    let server = Server::with(Setup { store, ..Setup::default() }).await;
    let mut wanted = String::new();
    for n in 0..25 {
        let job = server.job(&format!(r#","payload":{{"user":{{"id":{n}}}}}"#)).await;
        if n == 3 {
            wanted = job["id"].as_str().unwrap().to_owned();
        }
    }
    let search = "/api/v1/jobs?q=payload.user.id:3";
    let page = server.get(search).await.json();
    assert_eq!((ids(&page), &page["examined"]), (vec![], &json!(10)));
    let (mut page, mut examined) = (page, 10);
    while ids(&page).is_empty() {
        let next = page["next"].as_str().expect("there is more to look through").to_owned();
        page = server.get(&format!("{search}&after={next}")).await.json();
        examined += page["examined"].as_u64().unwrap();
    }
    assert_eq!((ids(&page), examined, &page["next"]), (vec![&*wanted], 25, &Value::Null));
    let page = server.get("/api/v1/jobs?q=state:scheduled&since=1h&limit=3").await.json();
    assert_eq!(ids(&page).len(), 3);
    let page = server.get("/api/v1/jobs?until=2020-01-01").await.json();
    assert_eq!((ids(&page), &page["next"]), (vec![], &Value::Null));
}

#[tokio::test]
async fn every_interface_finds_text_however_a_client_escaped_it() {
    let server = Server::start().await;
    let mut wanted = Vec::new();
    for payload in [r#"{"city":"M\u00fcller","n":1.0}"#, r#"{"city":"Müller","n":1e0}"#] {
        let job = server.job(&format!(r#","payload":{payload}"#)).await;
        wanted.insert(0, job["id"].as_str().unwrap().to_owned());
    }
    server.job(r#","payload":{"city":"Muller","n":"x"}"#).await;
    for (q, query) in [
        ("müller", "m%C3%BCller"),
        ("payload.city:Müller", "payload.city:M%C3%BCller"),
        ("payload.n:1", "payload.n:1"),
        (r"m\u00fcller", "m%5Cu00fcller"),
    ] {
        let page = server.get(&format!("/api/v1/jobs?q={query}")).await.json();
        assert_eq!(ids(&page), wanted, "{q}");
        let action = json!({"action": "reprioritise", "priority": 7, "filter": {"q": q}});
        let preview = server.post("/api/v1/bulk/preview", &action.to_string()).await.json();
        assert_eq!(preview, json!({"count": 2, "exact": true}), "{q}");
        let run = server.post("/api/v1/bulk", &action.to_string()).await.json();
        assert_eq!(finished(&server, &run).await["done"], 2, "{q}");
    }
    let stored = server.get(&format!("/api/v1/jobs/{}", wanted[1])).await.body;
    assert!(
        stored.contains(r#"{"city":"M\u00fcller","n":1.0}"#),
        "stored as it was sent: {stored}"
    );
}

#[tokio::test]
async fn a_search_that_means_nothing_is_explained() {
    let server = Server::start().await;
    let answer = server.get("/api/v1/jobs?q=colour:red+queue:%22a+b%22").await;
    let problem = answer.is_problem(400, "invalid_parameter");
    let detail = problem["detail"].as_str().unwrap();
    for part in ["field \"colour\"", "payload.NAME", "queue \"a b\"", "a-z"] {
        assert!(detail.contains(part), "{detail}");
    }
    server.get("/api/v1/jobs?since=soon").await.is_problem(400, "invalid_parameter");
}

#[tokio::test]
async fn a_waiting_job_is_moved_and_reprioritised_and_subscribers_see_it() {
    let server = Server::start().await;
    let job = server.job(r#","queue":"mail","priority":1"#).await;
    let path = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
    let start = server.engine.head();
    let answer = server.post(&format!("{path}/move"), r#"{"queue":"slow"}"#).await;
    assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("scheduled")));
    let answer = server.post(&format!("{path}/reprioritise"), r#"{"priority":-3}"#).await;
    assert_eq!(answer.status, 200);
    let job = server.get(&path).await.json();
    assert_eq!((&job["queue"], &job["priority"]), (&json!("slow"), &json!(-3)));
    assert_eq!(job["timeline"][0]["from"], "mail");
    for (queue, types) in
        [("mail", &["job.moved"][..]), ("slow", &["job.moved", "job.reprioritised"])]
    {
        let events = server.get(&format!("/api/v1/events?after={start}&queue={queue}")).await;
        let events = events.json();
        let events = events["events"].as_array().unwrap();
        let received: Vec<&str> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
        assert_eq!(received, types, "{queue}");
        assert_eq!(
            (&events[0]["from"], &events[0]["job"]["queue"]),
            (&json!("mail"), &json!("slow"))
        );
    }
    for (verb, body, status, code) in [
        ("move", r#"{"queue":"a b"}"#, 422, "invalid_fields"),
        ("move", r#"{"to":"a"}"#, 422, "invalid_fields"),
        ("move", "nonsense", 400, "malformed_json"),
        ("reprioritise", r#"{"priority":99999}"#, 422, "invalid_fields"),
    ] {
        server.post(&format!("{path}/{verb}"), body).await.is_problem(status, code);
    }
    let unknown = format!("/api/v1/jobs/{}/move", crate::job::JobId::generate());
    server.post(&unknown, r#"{"queue":"a"}"#).await.is_problem(404, "no_such_job");
    server.post(&format!("{path}/cancel"), "").await;
    let answer = server.post(&format!("{path}/move"), r#"{"queue":"mail"}"#).await;
    answer.is_problem(409, "not_allowed");
}

#[tokio::test]
async fn a_bulk_run_is_previewed_begun_and_reported() {
    let server = Server::start().await;
    for n in 0..30 {
        server.job(&format!(r#","queue":"q{}","payload":{{"n":{n}}}"#, n % 3)).await;
    }
    let request = r#"{"action":"cancel","filter":{"queue":"q1"}}"#;
    let preview = server.post("/api/v1/bulk/preview", request).await;
    assert_eq!((preview.status, preview.json()), (200, json!({"count":10,"exact":true})));
    let stats = server.get("/api/v1/stats").await.json();
    assert_eq!(stats["states"]["cancelled"], 0, "a preview changes nothing");

    let accepted = server.post("/api/v1/bulk", request).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let run = accepted.json();
    let path = format!("/api/v1/bulk/{}", run["id"].as_str().unwrap());
    assert_eq!((accepted.header("location"), &run["action"]), (path.as_str(), &json!("cancel")));
    let report = finished(&server, &run).await;
    assert_eq!((&report["state"], &report["done"]), (&json!("finished"), &json!(10)));
    assert!(report["ended_at"].is_string() && report["refused"] == json!([]), "{report}");
    assert_eq!(report["expected"], json!({"count":10,"exact":true}));

    let again = finished(&server, &server.post("/api/v1/bulk", request).await.json()).await;
    assert_eq!((&again["done"], &again["refused"][0]["count"]), (&json!(0), &json!(10)));
    assert_eq!(again["refused"][0]["reason"], "a cancelled job cannot be cancelled");
    assert_eq!(again["refused"][0]["jobs"].as_array().unwrap().len(), 5);
    let runs = server.get("/api/v1/bulk").await.json();
    assert_eq!(runs["runs"][0]["id"], again["id"]);
    // A run that has ended cannot be stopped any more; the answer says how it ended.
    assert_eq!(server.post(&format!("{path}/stop"), "").await.json()["state"], "finished");
}

#[tokio::test]
async fn a_bulk_run_takes_ids_a_search_a_queue_and_a_priority() {
    let server = Server::start().await;
    let mut all = Vec::new();
    for n in 0..4 {
        all.push(server.job(&format!(r#","payload":{{"n":{n}}}"#)).await["id"].clone());
    }
    let request = json!({"action":"move","queue":"slow","ids":[all[0], all[1]]}).to_string();
    finished(&server, &server.post("/api/v1/bulk", &request).await.json()).await;
    assert_eq!(ids(&server.get("/api/v1/jobs?queue=slow").await.json()).len(), 2);
    let request = r#"{"action":"reprioritise","priority":7,"filter":{"q":"payload.n:3"}}"#;
    let preview = server.post("/api/v1/bulk/preview", request).await.json();
    assert_eq!(preview, json!({"count":1,"exact":true}));
    finished(&server, &server.post("/api/v1/bulk", request).await.json()).await;
    let job = server.get(&format!("/api/v1/jobs/{}", all[3].as_str().unwrap())).await.json();
    assert_eq!(job["priority"], 7);
}

#[tokio::test]
async fn a_bulk_run_that_is_not_understood_is_refused() {
    let server = Server::start().await;
    for bad in [
        r#"{"action":"retry"}"#,
        r#"{"action":"retry","ids":[],"filter":{}}"#,
        r#"{"action":"explode","filter":{}}"#,
        r#"{"action":"move","filter":{}}"#,
        r#"{"action":"move","queue":"a b","filter":{}}"#,
        r#"{"action":"reprioritise","filter":{}}"#,
        r#"{"action":"retry","queue":"a","filter":{}}"#,
        r#"{"action":"retry","ids":["x"]}"#,
        r#"{"action":"retry","filter":{},"colour":"red"}"#,
    ] {
        server.post("/api/v1/bulk", bad).await.is_problem(422, "invalid_fields");
    }
    let misspelt = r#"{"action":"retry","filter":{"colour":"red"}}"#;
    server.post("/api/v1/bulk", misspelt).await.is_problem(422, "invalid_fields");
    for path in ["/api/v1/bulk/x", "/api/v1/bulk/019ab001-7c3e-7d10-8a55-0242ac120002"] {
        server.get(path).await.is_problem(404, "no_such_bulk_run");
        server.post(&format!("{path}/stop"), "").await.is_problem(404, "no_such_bulk_run");
    }
    assert_eq!(server.get("/api/v1/bulk").await.json(), json!({"runs":[]}));
}

#[tokio::test]
async fn every_location_has_the_base_path_and_leads_to_the_resource() {
    use axum::body::Body;
    use axum::http::{Request, header};
    use tower::ServiceExt;

    let server = Server::start().await;
    let base = "/tools/cortado";
    let routes = crate::http::router(server.engine.clone(), crate::http::HttpLimits::default());
    let routes = crate::http::mount(routes, &base.parse().unwrap());
    let job = r#"{"kind":"echo","idempotency_key":"k"}"#;
    let bulk = r#"{"action":"cancel","filter":{"kind":"none"}}"#;
    for (path, body, location) in [
        ("/api/v1/jobs", job, "/tools/cortado/api/v1/jobs/"),
        ("/api/v1/jobs", job, "/tools/cortado/api/v1/jobs/"),
        ("/api/v1/jobs?wait=1ms", job, "/tools/cortado/api/v1/jobs/"),
        ("/api/v1/bulk", bulk, "/tools/cortado/api/v1/bulk/"),
    ] {
        for asked in [path.to_owned(), format!("{base}{path}")] {
            let request = Request::post(&asked).header(header::CONTENT_TYPE, "application/json");
            let request = request.body(Body::from(body)).unwrap();
            let answer = routes.clone().oneshot(request).await.unwrap();
            let given = answer.headers()[header::LOCATION].to_str().unwrap();
            assert!(given.starts_with(location), "{asked}: {given}");
            let request = Request::get(given).body(Body::empty()).unwrap();
            let found = routes.clone().oneshot(request).await.unwrap();
            assert_eq!(found.status(), 200, "{asked}: {given}");
        }
    }
}
