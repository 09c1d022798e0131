//! The submit form.

use axum::http::StatusCode;

use super::*;

#[tokio::test]
async fn the_form_offers_every_kind_with_its_example() {
    let desk = Desk::open();
    let form = desk.get("/jobs/new?kind=sleep").await;
    form.assert_has("<option value=\"sleep\"");
    form.assert_has("<option value=\"echo\"");
    form.assert_has("\n{\n  &#34;ms&#34;: 2000\n}</textarea>");
    form.assert_has("Waits &#60;a while&#62;.");
    assert_ne!(token(&form), token(&desk.get("/jobs/new").await));
}

fn token(form: &Answer) -> String {
    let (_, rest) = form.text.split_once("name=\"token\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_form_makes_a_job_and_leads_to_its_page() {
    let desk = Desk::open();
    let fields = [
        ("kind", "echo"),
        ("payload", r#"{"n":12345678901234567890}"#),
        ("queue", "mail"),
        ("priority", "7"),
        ("max_attempts", "3"),
        ("backoff_base", "2s"),
        ("timeout", "1m"),
        ("tags", "red, green"),
        ("token", "t1"),
    ];
    let answer = desk.post("/jobs", &fields).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    let id = answer.location.strip_prefix("/jobs/").unwrap().parse().unwrap();
    let job = desk.engine.job(id).await.unwrap().0.unwrap();
    assert_eq!(job.spec.payload.as_str(), r#"{"n":12345678901234567890}"#);
    assert_eq!(job.labels.queue.as_str(), "mail");
    assert_eq!((job.spec.priority, job.spec.retry.max_attempts), (7, 3));
    assert_eq!((job.spec.retry.backoff.base_ms, job.spec.timeout_ms), (2_000, Some(60_000)));
    assert_eq!(job.labels.tags.len(), 2);
    let page = desk.get(&answer.location).await;
    page.assert_has(">red</a>");
    page.assert_lacks("Idempotency key");
}

#[tokio::test]
async fn a_form_sent_twice_makes_one_job_and_a_changed_one_another() {
    let desk = Desk::open();
    let first = [("kind", "echo"), ("payload", "1"), ("token", "t1")];
    let once = desk.post("/jobs", &first).await.location;
    let twice = desk.post("/jobs", &first).await.location;
    assert_eq!(twice, format!("{once}?already=1"));
    desk.get(&twice).await.assert_has("This form has already been submitted");
    let changed = [("kind", "echo"), ("payload", "2"), ("token", "t1")];
    assert_ne!(desk.post("/jobs", &changed).await.location, once);
    assert_eq!(desk.engine.stats().await.unwrap().states.values().sum::<u64>(), 2);
}

#[tokio::test]
async fn what_was_typed_stays_with_the_reason_beside_it() {
    let desk = Desk::open();
    let fields = [
        ("kind", "sleep"),
        ("payload", "{\"ms\": 1,}"),
        ("delay", "soon"),
        ("tags", "kept"),
        ("token", "t1"),
    ];
    let answer = desk.post("/jobs", &fields).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.assert_sound();
    answer.assert_has("\n{&#34;ms&#34;: 1,}</textarea>");
    answer.assert_has("<option value=\"sleep\" selected>");
    answer.assert_has("id=\"payload-error\">This is not valid JSON: see line 1, column 10");
    answer.assert_has("name=\"delay\" value=\"soon\"");
    answer.assert_has("id=\"delay-error\">&#34;soon&#34; is not a duration");
    answer.assert_has("value=\"kept\"");
    answer.assert_has("<details class=\"options\" open>");
    assert_eq!(token(&answer), "t1");
    assert_eq!(desk.engine.stats().await.unwrap().states.values().sum::<u64>(), 0);
}

#[tokio::test]
async fn rules_of_the_submission_reach_their_field() {
    let desk = Desk::open();
    let wrong = [
        ("queue", "two words"),
        ("priority", "99999"),
        ("at", "tomorrow"),
        ("max_attempts", "0"),
        ("tags", "a\u{7}b"),
        ("timeout", "0"),
        ("idempotency_key", "a\u{7}b"),
    ];
    for (field, value) in wrong {
        let answer = desk.post("/jobs", &[("kind", "echo"), (field, value)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}");
        answer.assert_lacks(&format!("id=\"{field}-error\"></p>"));
        answer.assert_has("<details class=\"options\" open>");
    }
    let both = [("kind", "echo"), ("backoff_base", "2h"), ("backoff_cap", "1s")];
    desk.post("/jobs", &both).await.assert_lacks("id=\"backoff_base-error\"></p>");
}

#[tokio::test]
async fn an_unknown_kind_stays_chosen_and_is_refused_at_its_field() {
    let desk = Desk::open();
    let answer = desk.post("/jobs", &[("kind", "brew")]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.assert_has("<option value=\"brew\"");
    answer.assert_has("id=\"kind-error\">There is no kind");
}

#[tokio::test]
async fn a_full_backlog_is_told_over_the_form_that_was_typed() {
    let desk = Desk::with(StoreLimits { max_waiting: 1, ..StoreLimits::default() });
    desk.echoes(1).await;
    let answer = desk.post("/jobs", &[("kind", "echo"), ("payload", "[1,2]")]).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    answer.assert_has("Too many jobs are waiting");
    answer.assert_has("\n[1,2]</textarea>");
}

#[tokio::test]
async fn run_again_fills_the_form_from_the_job() {
    let desk = Desk::open();
    let job = desk
        .submit(Submission {
            queue: Some("mail".into()),
            timeout_ms: Some(5_000),
            tags: Some(vec!["red".into(), "green".into()]),
            ..echo("{\"a\":[1.0]}")
        })
        .await;
    let form = desk.get(&format!("/jobs/new?from={}", job.id)).await;
    form.assert_has("\n{\n  &#34;a&#34;: [\n    1.0\n  ]\n}</textarea>");
    for kept in
        ["name=\"queue\" value=\"mail\"", "name=\"tags\" value=\"red, green\"", "value=\"5s\""]
    {
        form.assert_has(kept);
    }
    form.assert_has("<details class=\"options\" open>");
}

#[tokio::test]
async fn the_query_string_fills_the_form_and_curl_says_the_same() {
    let desk = Desk::open();
    let form = desk.get("/jobs/new?kind=echo&payload=%5B1%5D&delay=90s").await;
    form.assert_has("\n[1]</textarea>");
    form.assert_has("name=\"delay\" value=\"90s\"");
    form.assert_has("&#34;delay_ms&#34;: 90000");
    let answer = desk.post("/jobs", &[("kind", "echo"), ("delay", "90s")]).await;
    let id = answer.location.strip_prefix("/jobs/").unwrap().parse().unwrap();
    let job = desk.engine.job(id).await.unwrap().0.unwrap();
    assert_eq!(job.run_at.since(job.enqueued_at), Duration::from_secs(90));
}

#[tokio::test]
async fn a_key_of_another_submission_is_refused_beside_its_field() {
    let desk = Desk::open();
    let form = [("kind", "echo"), ("payload", "1"), ("idempotency_key", "k")];
    let first = desk.post("/jobs", &form).await;
    assert_eq!(first.status, StatusCode::SEE_OTHER, "{}", first.text);
    let again = desk.post("/jobs", &form).await;
    assert_eq!(again.location, format!("{}?already=1", first.location));
    let other = [("kind", "echo"), ("payload", "2"), ("idempotency_key", "k")];
    let answer = desk.post("/jobs", &other).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.assert_has("The idempotency key belongs to job ");
    answer.assert_has("which was submitted with another payload");
    answer.assert_has("value=\"k\"");
}
