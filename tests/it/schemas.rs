//! A kind whose schema was generated from a type with nested types: every interface checks its payloads alike, and the
//! form shows its properties.

use cortado::internal::engine::{PayloadError, Submission, SubmitError};
use cortado::{Context, Cortado, Schedule, Server};
use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The schema of `struct Parcel`, as schemars 1.2 generates it.
const PARCEL: &str = include_str!("../../src/job/schema/tests/parcel.json");
const FITS: &str = r#"{"to":{"street":"High St","zip":1},"speed":"express","copies":1,"tags":[],"stops":[],
    "extras":[],"weights":{},"insurance":{"type":"none"}}"#;

/// The same without a property of the nested object.
fn without_zip() -> String {
    FITS.replace(",\"zip\":1", "")
}

fn builder() -> cortado::Builder {
    let deliver = |_: Context, _: Value| async { Ok::<_, String>(()) };
    let builder = Cortado::builder().listen(([127, 0, 0, 1], 0)).in_memory();
    builder.handle_kind("parcel", deliver).schema("parcel", PARCEL)
}

fn raw(json: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(json.to_owned()).ok()
}

/// Sends JSON and returns the status, the code of the problem, and its errors.
async fn problem(request: RequestBuilder, body: String) -> (StatusCode, Value, Value) {
    let answer = request.header(CONTENT_TYPE, "application/json").body(body).send().await.unwrap();
    let status = answer.status();
    let problem: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    (status, problem["code"].clone(), problem["errors"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_names_what_is_wrong_in_a_nested_object() {
    let server = builder().start().await.unwrap();
    let http = cortado::internal::cli::http_client().unwrap();
    let url = |path: &str| format!("http://{}{path}", server.address());
    let job = |payload: &str| format!(r#"{{"kind":"parcel","payload":{payload}}}"#);
    let (good, bad) = (job(FITS), job(&without_zip()));
    let field = |name: &str| json!([{"field": name, "message": "a value is required"}]);
    for (body, name) in [
        (bad.clone(), "payload.to.zip"),
        (format!("[{bad}]"), "[0].payload.to.zip"),
        (format!("[{good},{bad}]"), "[1].payload.to.zip"),
    ] {
        let refused = problem(http.post(url("/api/v1/jobs")), body).await;
        assert_eq!(
            refused,
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload".into(), field(name))
        );
    }
    let schedule = |job: &str| job.replacen('{', r#"{"cron":"@daily","#, 1);
    let refused = problem(http.put(url("/api/v1/schedules/s")), schedule(&bad)).await;
    let expected = field("payload.to.zip");
    assert_eq!(refused, (StatusCode::UNPROCESSABLE_ENTITY, "invalid_payload".into(), expected));
    assert_eq!(problem(http.post(url("/api/v1/jobs")), good.clone()).await.0, StatusCode::ACCEPTED);
    let scheduled = problem(http.put(url("/api/v1/schedules/s")), schedule(&good)).await;
    assert!(scheduled.0.is_success(), "{scheduled:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_form_has_inputs_and_shows_an_error_at_the_property_that_holds_it() {
    let server = builder().start().await.unwrap();
    let http = cortado::internal::cli::http_client().unwrap();
    let url = |path: &str| format!("http://{}{path}", server.address());
    let form = http.get(url("/jobs/new?kind=parcel&view=fields")).send().await.unwrap();
    let form = form.text().await.unwrap();
    for part in
        ["<option value=\"express\"", "name=\"payload.copies\"", "name=\"payload.to\"", "<textarea"]
    {
        assert!(form.contains(part), "{part} is missing: {form}");
    }
    let post = async |to: &str| {
        let fields = [
            ("kind", "parcel"),
            ("shown", "parcel"),
            ("view", "fields"),
            ("payload.to", to),
            ("payload.speed", "normal"),
            ("payload.copies", "2"),
            ("payload.stops", "[]"),
            ("payload.weights", "{}"),
            ("payload.insurance", r#"{"type": "none"}"#),
        ];
        let body = fields.map(|(name, value)| format!("{name}={}", encoded(value))).join("&");
        let request = http.post(url("/jobs")).body(body);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let (status, page) = post(r#"{"street": "High St"}"#).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.contains("-error\">zip: a value is required."), "{page}");
    let (status, page) = post(r#"{"street": "High St", "zip": 1}"#).await;
    assert_eq!(status, StatusCode::OK, "the page of the job: {page}");
    let jobs = server.engine().stats().await.unwrap();
    assert_eq!(jobs.states.values().sum::<u64>(), 1);
    server.stop().await;
}

/// Every byte of a text as a form sends it.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_cannot_submit_or_declare_a_schedule_with_what_does_not_fit() {
    let server: Server = builder().start().await.unwrap();
    let submit = async |payload: &str| {
        let job =
            Submission { kind: "parcel".into(), payload: raw(payload), ..Submission::default() };
        let engine = server.engine();
        engine.enqueue(vec![job.into_new_job(engine.kinds()).unwrap()]).await
    };
    let refused = submit(&without_zip()).await.unwrap_err();
    assert!(
        matches!(&refused, SubmitError::Payload(PayloadError::Invalid { wrong, .. }) if wrong[0].field == "to.zip")
    );
    assert!(submit(FITS).await.is_ok());
    server.stop().await;
    let schedule = |payload: &str| {
        let payload: Value = serde_json::from_str(payload).unwrap();
        Schedule::cron("@daily").kind("parcel", &payload)
    };
    let refused =
        builder().schedule("daily", schedule(&without_zip())).start().await.err().unwrap();
    let refused = format!("{refused:#}");
    assert!(refused.contains("schedule daily") && refused.contains("to.zip: a value"), "{refused}");
    builder().schedule("daily", schedule(FITS)).start().await.unwrap().stop().await;
}
