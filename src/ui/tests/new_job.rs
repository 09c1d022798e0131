//! The submit form with inputs: rendering a schema, switching to JSON and to other kinds, and errors at fields.

use super::*;

/// The fields that a browser sends for the form of `mail`, in addition to these.
fn mail<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![("kind", "mail"), ("shown", "mail"), ("view", "fields"), ("token", "t1")];
    all.extend(pairs);
    all
}

impl Desk {
    async fn payload_of(&self, answer: &Answer) -> String {
        let id = self.made(answer);
        self.engine.job(id).await.unwrap().0.unwrap().spec.payload.as_str().to_owned()
    }
}

#[tokio::test]
async fn every_property_gets_the_input_that_suits_it() {
    let desk = Desk::open();
    let form = desk.get("/jobs/new?kind=mail").await;
    form.assert_sound();
    form.assert_has("name=\"payload.to\" value=\"a@b.example\" inputmode=\"email\"");
    form.assert_has("name=\"payload.copies\" value=\"1\" inputmode=\"numeric\"");
    form.assert_has("<span class=\"needed\">required</span>");
    form.assert_has("Who gets &#60;it&#62;.");
    form.assert_has("1 to 9.");
    form.assert_has("At most 80 characters.");
    form.assert_has("<option value=\"\">a4 (default)</option>");
    form.assert_has("name=\"payload.urgent\" value=\"true\" aria-describedby");
    form.assert_has("name=\"payload.receipt\" value=\"\" checked");
    form.assert_has("One per line; at most 3 entries.");
    form.assert_has("<summary>6 more fields");
    form.assert_lacks("name=\"payload\"");
    desk.get("/jobs/new?kind=echo").await.assert_has("name=\"payload\"");
}

#[tokio::test]
async fn a_declared_kind_is_offered_with_its_inputs_and_its_defaults() {
    let desk = Desk::open();
    let kind = crate::job::Kind::parse("resize").unwrap();
    let text = r#"{"about":"Resizes.","queue":"media","max_attempts":4,"timeout_ms":90000,
        "example":{"width":640},
        "schema":{"type":"object","properties":{"width":{"type":"integer"}}}}"#;
    let spec = crate::engine::KindSubmission::parse(&kind, text, Default::default()).unwrap();
    desk.engine.set_kind(kind, spec).await.unwrap();
    desk.get("/jobs/new").await.assert_has(">resize</option>");
    let form = desk.get("/jobs/new?kind=resize").await;
    form.assert_sound();
    form.assert_has("name=\"payload.width\" value=\"640\" inputmode=\"numeric\"");
    form.assert_has("name=\"queue\" value=\"\" placeholder=\"media\"");
    form.assert_has("name=\"max_attempts\" value=\"\" placeholder=\"4\"");
    form.assert_has("name=\"timeout\" value=\"\" placeholder=\"1m 30s\"");
    let fields = [("kind", "resize"), ("shown", "resize"), ("view", "fields"), ("token", "t1")];
    let answer = desk.post("/jobs", &[&fields[..], &[("payload.width", "7")]].concat()).await;
    let id = desk.made(&answer);
    let job = desk.engine.job(id).await.unwrap().0.unwrap();
    assert_eq!((job.labels.queue.as_str(), job.spec.retry.max_attempts), ("media", 4));
    // A job in the default queue of all kinds is submitted there again.
    let elsewhere = [&fields[..3], &[("token", "t2"), ("queue", "default")]].concat();
    let id = desk.made(&desk.post("/jobs", &elsewhere).await);
    let again = desk.get(&format!("/jobs/new?from={id}")).await;
    again.assert_has("name=\"queue\" value=\"default\" placeholder=\"media\"");
}

#[tokio::test]
async fn inputs_make_a_job_and_what_is_empty_is_left_out() {
    let desk = Desk::open();
    let plain = mail(&[
        ("payload.to", "x@y.example"),
        ("payload.copies", "2"),
        ("payload.subject", ""),
        ("payload.size", ""),
        ("payload.urgent", ""),
        ("payload.receipt", "false"),
        ("payload.receipt", ""),
        ("payload.cc", ""),
        ("payload.extra", ""),
    ]);
    let answer = desk.post("/jobs", &plain).await;
    assert_eq!(desk.payload_of(&answer).await, r#"{"to":"x@y.example","copies":2}"#);
    let full = mail(&[
        ("payload.to", "x@y.example"),
        ("payload.copies", "9"),
        ("payload.subject", "it's <b>"),
        ("payload.size", "a5"),
        ("payload.urgent", ""),
        ("payload.urgent", "true"),
        ("payload.receipt", "false"),
        ("payload.cc", "a@b\r\nc@d\r\n"),
        ("payload.extra", "{\"n\": 12345678901234567890}"),
    ]);
    let answer = desk.post("/jobs", &full).await;
    assert_eq!(
        desk.payload_of(&answer).await,
        r#"{"to":"x@y.example","copies":9,"subject":"it's <b>","size":"a5","urgent":true,"receipt":false,"cc":["a@b","c@d"],"extra":{"n": 12345678901234567890}}"#
    );
}

#[tokio::test]
async fn what_does_not_fit_is_told_at_its_input_with_what_was_typed() {
    let desk = Desk::open();
    let wrong = mail(&[
        ("payload.to", "x@y.example"),
        ("payload.copies", "1<2"),
        ("payload.cc", "a@b\r\nnobody"),
        ("payload.extra", "{1}"),
        ("priority", "high"),
    ]);
    let answer = desk.post("/jobs", &wrong).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.assert_sound();
    answer.assert_has("4 fields are marked below");
    answer.assert_has("value=\"1&#60;2\"");
    answer.assert_has("id=\"payload-1-error\">Expected a whole number.");
    answer.assert_has("aria-describedby=\"payload-1-hint payload-1-error\" required aria-invalid=\"true\" autofocus");
    answer.assert_has("\na@b\r\nnobody</textarea>");
    answer.assert_has("id=\"payload-6-error\">Entry 2: expected an address such as");
    answer.assert_has("id=\"payload-7-error\">This is not valid JSON");
    answer.assert_has(
        "id=\"priority-error\">Must be an integer from -32768 to 32767, but is &#34;high&#34;",
    );
    assert_eq!(answer.text.matches(" autofocus").count(), 1);
    assert_eq!(desk.engine.stats().await.unwrap().states.values().sum::<u64>(), 0);
}

#[tokio::test]
async fn json_that_does_not_fit_is_refused_with_the_names_of_its_properties() {
    let desk = Desk::open();
    let fields = [("kind", "mail"), ("view", "json"), ("payload", r#"{"copies": 10, "bcc": 1}"#)];
    let answer = desk.post("/jobs", &fields).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.assert_has("id=\"payload-error\">to: a value is required; copies: expected 1 to 9; bcc: unknown property");
    answer.assert_has("\n{&#34;copies&#34;: 10, &#34;bcc&#34;: 1}</textarea>");
}

#[tokio::test]
async fn a_form_goes_to_json_and_back_and_keeps_everything() {
    let desk = Desk::open();
    let typed = mail(&[
        ("payload.to", "x@y.example"),
        ("payload.copies", "many"),
        ("payload.extra", "{\"n\":1.0}"),
        ("tags", "kept"),
        ("to", "json"),
    ]);
    let json = desk.post("/jobs/new", &typed).await;
    assert_eq!(json.status, StatusCode::OK);
    json.assert_has("&#34;copies&#34;: &#34;many&#34;,");
    json.assert_has("&#34;n&#34;: 1.0");
    json.assert_has("name=\"tags\" value=\"kept\"");
    json.assert_has("name=\"token\" value=\"t1\"");
    let edited = [("kind", "mail"), ("shown", "mail"), ("view", "json"), ("to", "fields")];
    let with = |payload| edited.iter().copied().chain([("payload", payload)]).collect::<Vec<_>>();
    let back = desk.post("/jobs/new", &with(r#"{"to":"x@y.example","copies":3}"#)).await;
    back.assert_has("name=\"payload.copies\" value=\"3\"");
    for (payload, why) in [("{", "not valid JSON"), (r#"{"bcc":1}"#, "cannot show all of this")] {
        let stays = desk.post("/jobs/new", &with(payload)).await;
        stays.assert_has(why);
        stays.assert_has("name=\"view\" value=\"json\"");
    }
}

#[tokio::test]
async fn another_kind_brings_its_own_inputs_and_keeps_the_options() {
    let desk = Desk::open();
    let other = [
        ("kind", "mail"),
        ("shown", "echo"),
        ("view", "json"),
        ("payload", r#"{ "hello": "world" }"#),
        ("queue", "kept"),
    ];
    let drawn = desk.post("/jobs/new", &other).await;
    drawn.assert_has("name=\"payload.to\" value=\"a@b.example\"");
    drawn.assert_has("name=\"queue\" value=\"kept\"");
    let typed = [("kind", "mail"), ("shown", "echo"), ("view", "json"), ("payload", "[7]")];
    desk.post("/jobs/new", &typed).await.assert_has("\n[7]</textarea>");
    // A submission before the new kind's inputs were shown is not accepted: the page shows them first.
    let unseen = [
        ("kind", "echo"),
        ("shown", "mail"),
        ("view", "fields"),
        ("payload.to", "x@y.example"),
        ("payload.copies", "1"),
    ];
    let asked = desk.post("/jobs", &unseen).await;
    assert_eq!(asked.status, StatusCode::UNPROCESSABLE_ENTITY);
    asked.assert_has("Nothing has been submitted yet: these are the fields of the selected kind.");
    assert_eq!(desk.engine.stats().await.unwrap().states.values().sum::<u64>(), 0);
}

#[tokio::test]
async fn addresses_and_jobs_fill_the_inputs_or_else_the_json() {
    let desk = Desk::open();
    let by_field = desk.get("/jobs/new?kind=mail&payload.to=x%40y&payload.urgent=true").await;
    by_field.assert_has("name=\"payload.to\" value=\"x@y\"");
    by_field.assert_has("name=\"payload.urgent\" value=\"true\" checked");
    let json = "%7B%22to%22:%22x%40y%22,%22copies%22:2%7D";
    let by_json = desk.get(&format!("/jobs/new?kind=mail&payload={json}")).await;
    by_json.assert_has("name=\"payload.copies\" value=\"2\"");
    let as_json = desk.get(&format!("/jobs/new?kind=mail&view=json&payload={json}")).await;
    as_json.assert_has("name=\"payload\" rows");
    let odd = desk.get("/jobs/new?kind=mail&payload=%7B%22bcc%22:1%7D").await;
    odd.assert_has("cannot show all of this");
    let payload = r#"{"to":"x@y","copies":2,"urgent":false,"cc":["a@b","c@d"]}"#;
    let submission = Submission {
        kind: "mail".into(),
        payload: Some(serde_json::from_str(payload).unwrap()),
        ..Submission::default()
    };
    let job = desk.submit(submission).await;
    let again = desk.get(&format!("/jobs/new?from={}", job.id)).await;
    again.assert_has("name=\"payload.cc\" rows=\"3\" spellcheck=\"false\" aria-describedby=\"payload-6-hint payload-6-error\">\na@b\nc@d</textarea>");
    // The payload contains `false` explicitly, so an unchecked box must send it as well.
    again.assert_has("<input type=\"hidden\" name=\"payload.urgent\" value=\"false\">");
}

#[tokio::test]
async fn a_start_at_a_time_of_day_is_one_in_its_zone() {
    let desk = Desk::open();
    let start =
        [("kind", "echo"), ("when", "at"), ("at", "2030-07-01T08:30"), ("zone", "Europe/Zurich")];
    let drawn = desk.post("/jobs/new", &start).await;
    drawn.assert_has("Not before <time datetime=\"2030-07-01T06:30:00.000Z\"");
    drawn.assert_has("&#34;run_at&#34;: &#34;2030-07-01T08:30:00+02:00&#34;");
    let id = desk.made(&desk.post("/jobs", &start).await);
    let job = desk.engine.job(id).await.unwrap().0.unwrap();
    assert_eq!(job.run_at, "2030-07-01T06:30:00Z".parse().unwrap());
    desk.get("/jobs/new?run_at=2030-07-01T08:30:00%2B02:00")
        .await
        .assert_has("name=\"at\" value=\"2030-07-01T06:30\"");
    for (pairs, field) in [
        ([("when", "at"), ("at", "2030-03-31T02:30"), ("zone", "Europe/Zurich")], "at"),
        ([("when", "at"), ("at", "2030-07-01T08:30"), ("zone", "Middle/Earth")], "zone"),
        ([("when", "at"), ("at", ""), ("zone", "UTC")], "at"),
        ([("when", "now"), ("at", "2030-07-01T08:30"), ("zone", "UTC")], "at"),
        ([("when", "now"), ("delay", "5m"), ("zone", "UTC")], "delay"),
        ([("when", "in"), ("delay", ""), ("zone", "UTC")], "delay"),
    ] {
        let answer = desk.post("/jobs", &[[("kind", "echo")].as_slice(), &pairs].concat()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{pairs:?}");
        answer.assert_lacks(&format!("id=\"{field}-error\"></p>"));
    }
}

#[tokio::test]
async fn the_form_says_beforehand_why_it_would_be_refused() {
    let desk = Desk::open();
    let drawn =
        desk.post("/jobs/new", &mail(&[("payload.to", "x@y"), ("payload.copies", "")])).await;
    assert_eq!(drawn.status, StatusCode::OK);
    drawn.assert_has("This job would be rejected. copies: a value is required.");
    drawn.assert_lacks("aria-invalid");
    desk.get("/jobs/new?kind=mail").await.assert_has("id=\"refusal\"></p>");
}

#[tokio::test]
async fn the_form_says_what_its_retries_amount_to() {
    let desk = Desk::open();
    for (query, words) in [
        ("kind=echo", "Up to 5 attempts over about 12 seconds."),
        ("kind=mail", "Up to 25 attempts over about 20 days."),
        ("kind=mail&max_attempts=1", "One attempt and no retries."),
        ("kind=mail&max_attempts=3&backoff_base=2h", "Up to 3 attempts over about 5 hours."),
        ("kind=echo&max_attempts=5&backoff_cap=10ms", "Up to 5 attempts within a second."),
        ("kind=echo&max_attempts=0", ""),
        ("kind=echo&backoff_base=soon", ""),
    ] {
        let expected = format!("id=\"retries\" role=\"status\">{words}</p>");
        for page in ["/jobs/new", "/schedules/new"] {
            desk.get(&format!("{page}?{query}")).await.assert_has(&expected);
        }
    }
    let form = desk.get("/jobs/new?kind=mail").await;
    for (field, usual) in [("max_attempts", "25"), ("backoff_base", "10s"), ("backoff_cap", "60h")]
    {
        let input = format!("id=\"{field}\" name=\"{field}\" value=\"\" placeholder=\"{usual}\"");
        form.assert_has(&input);
    }
}
