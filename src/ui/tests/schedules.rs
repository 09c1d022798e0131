//! The pages of schedules.

use axum::http::StatusCode;

use super::*;

const NIGHTLY: [(&str, &str); 6] = [
    ("name", "nightly"),
    ("cron", "30 2 * * *"),
    ("zone", "+02:00"),
    ("kind", "sleep"),
    ("payload", r#"{"ms": 5}"#),
    ("max_late", "90m"),
];

fn with<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept =
        NIGHTLY.into_iter().filter(|(name, _)| changes.iter().all(|(other, _)| other != name));
    kept.chain(changes.iter().copied()).collect()
}

#[tokio::test]
async fn a_schedule_is_made_by_form_run_paused_changed_and_deleted() {
    let desk = Desk::open();
    desk.get("/schedules").await.assert_has("No schedules yet.");
    let made = desk.post("/schedules", &NIGHTLY).await;
    assert_eq!(
        (made.status, made.location.as_str()),
        (StatusCode::SEE_OTHER, "/schedules/of/nightly")
    );
    let page = desk.get(&made.location).await;
    page.assert_sound();
    for text in ["At 02:30", "+02:00", "No jobs yet.", "value=\"90m\"", "schedule:nightly"] {
        page.assert_has(text);
    }

    let run = desk.post("/schedules/of/nightly/run", &[("from", "schedules")]).await;
    assert_eq!(run.location, "/schedules");
    let list = desk.get("/schedules").await;
    list.assert_sound();
    list.assert_has("s-available");
    let job = desk.claim().await.job;
    assert_eq!(job.spec.payload.as_str(), r#"{"ms": 5}"#);
    desk.get("/schedules/of/nightly").await.assert_has(&job.id.to_string());

    desk.post("/schedules/of/nightly/pause", &[]).await;
    let paused = desk.get("/schedules/of/nightly").await;
    paused.assert_has("Paused. It will not run until it is resumed.");
    paused.assert_lacks("Pause</button>");
    desk.post("/schedules/of/nightly/resume", &[]).await;
    desk.get("/schedules").await.assert_has("Pause</button>");

    let changed = with(&[("cron", "every 10m"), ("overlap", "skip")]);
    let changed = desk.post("/schedules/of/nightly", &changed).await;
    assert_eq!(changed.location, "/schedules/of/nightly");
    let page = desk.get("/schedules/of/nightly").await;
    page.assert_has("Every 10 minutes");
    page.assert_has("value=\"skip\" checked");

    let gone = desk.post("/schedules/of/nightly/delete", &[]).await;
    assert_eq!(gone.location, "/schedules");
    for path in ["", "/run", "/delete", "/pause", "/resume"] {
        let answer = desk.post(&format!("/schedules/of/nightly{path}"), &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn what_is_wrong_stands_beside_its_field_and_nothing_typed_is_lost() {
    let desk = Desk::open();
    let wrong = with(&[
        ("name", "two words"),
        ("cron", "<soon>"),
        ("payload", "{"),
        ("priority", "high"),
        ("max_late", "a while"),
        ("timeout", "0s"),
        ("zone", "Mars/Olympus"),
    ]);
    let answer = desk.post("/schedules", &wrong).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.assert_sound();
    for field in ["name", "payload", "priority", "max_late", "timeout", "zone"] {
        let opening = format!("id=\"{field}-error\">");
        let after = answer.text.split(&opening).nth(1).unwrap_or_default();
        assert!(!after.starts_with('<') && !after.is_empty(), "{field}: {after:.80}");
    }
    answer.assert_has("value=\"&#60;soon&#62;\"");
    let cron = desk.post("/schedules", &with(&[("cron", "0 0 30 2 *")])).await;
    cron.assert_has("matches no time in the next 40 years");
    let field = cron.text.matches("matches no time").count();
    assert_eq!(field, 1, "an error stands once, at its field");

    desk.post("/schedules", &NIGHTLY).await;
    desk.post("/schedules", &NIGHTLY).await.assert_has("A schedule named nightly already exists.");
    let misfit = desk.post("/schedules", &with(&[("name", "mail"), ("kind", "mail")])).await;
    assert_eq!(misfit.status, StatusCode::UNPROCESSABLE_ENTITY);
    misfit.assert_has("copies");
}

#[tokio::test]
async fn the_form_says_when_it_comes_before_it_is_sent() {
    let desk = Desk::open();
    let opening = desk.post("/schedules/new", &NIGHTLY).await;
    opening.assert_has("At 02:30");
    opening.assert_has(" 00:30:00 UTC</time>");
    let prefilled = desk.get("/schedules/new?kind=mail&cron=@daily&name=post").await;
    prefilled.assert_has("value=\"@daily\"");
    prefilled.assert_has("<option value=\"mail\" selected>");
    desk.post("/schedules/new", &[("cron", "soon")]).await.assert_has("is not a valid pattern");
    desk.post("/schedules/new", &[("cron", "* , * * * *")])
        .await
        .assert_has("has an empty element");
    desk.get("/schedules/new?cron=,+*+*+*+*+*").await.assert_lacks("Next runs");
    desk.post("/schedules/new", &[("cron", "")]).await.assert_lacks("is not a valid pattern");
}

#[tokio::test]
async fn a_declared_schedule_is_shown_and_cannot_be_changed() {
    use crate::job::{Origin, ScheduleName};
    let desk = Desk::open();
    let spec = crate::engine::ScheduleSubmission {
        cron: "@daily".into(),
        kind: "echo".into(),
        ..Default::default()
    };
    let spec = spec.into_spec(Origin::Config, desk.engine.kinds(), desk.engine.now()).unwrap();
    desk.engine.set_schedule(ScheduleName::parse("fixed").unwrap(), spec).await.unwrap();
    let page = desk.get("/schedules/of/fixed").await;
    page.assert_has("from the configuration");
    page.assert_lacks("Save</button>");
    page.assert_lacks("Delete…");
    let refused =
        desk.post("/schedules/of/fixed", &with(&[("name", "fixed"), ("kind", "echo")])).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    refused.assert_has("can only be changed there");
    assert_eq!(desk.post("/schedules/of/fixed/delete", &[]).await.status, StatusCode::CONFLICT);
    assert_eq!(desk.post("/schedules/of/fixed/run", &[]).await.location, "/schedules/of/fixed");
}

#[tokio::test]
async fn a_schedule_has_the_inputs_of_its_kind_and_switches_to_json_and_back() {
    let desk = Desk::open();
    let form = desk.get("/schedules/new?kind=mail&cron=@daily&name=post").await;
    form.assert_sound();
    form.assert_has("name=\"payload.to\"");
    form.assert_has("formaction=\"schedules/new\" name=\"to\" value=\"json\"");
    let fields = [
        ("name", "post"),
        ("cron", "@daily"),
        ("kind", "mail"),
        ("shown", "mail"),
        ("view", "fields"),
        ("payload.to", "x@y.example"),
        ("payload.copies", "2"),
    ];
    let json = desk.post("/schedules/new", &[&fields[..], &[("to", "json")]].concat()).await;
    json.assert_has("&#34;to&#34;: &#34;x@y.example&#34;");
    json.assert_has("value=\"post\"");
    let wrong =
        desk.post("/schedules", &[&fields[..6], &[("payload.copies", "99")]].concat()).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    wrong.assert_has("Nothing was saved: one field is marked below.");
    wrong.assert_has("value=\"99\"");
    let made = desk.post("/schedules", &fields).await;
    assert_eq!(made.location, "/schedules/of/post", "{}", made.text);
    let stored = desk.engine.schedules().await.unwrap().0.remove(0);
    assert_eq!(stored.spec.spec.payload.as_str(), r#"{"to":"x@y.example","copies":2}"#);
    // The page of the schedule edits it by the same inputs, and its buttons stay on the page.
    let page = desk.get("/schedules/of/post").await;
    page.assert_has("value=\"x@y.example\"");
    let json =
        desk.post("/schedules/of/post/edit", &[&fields[..], &[("to", "json")]].concat()).await;
    json.assert_sound();
    json.assert_has("Edit schedule");
    json.assert_has("&#34;copies&#34;: 2");
    // Without JavaScript, a kind whose inputs were not shown yet is shown first.
    let other = [
        ("name", "x"),
        ("cron", "@daily"),
        ("kind", "mail"),
        ("shown", "echo"),
        ("view", "fields"),
        ("payload.a", "b"),
    ];
    let other = desk.post("/schedules", &other).await;
    other.assert_has("Nothing has been saved yet: these are the fields of the selected kind.");
}

#[tokio::test]
async fn a_schedule_is_prefilled_from_a_job_and_from_the_form_for_a_new_job() {
    let desk = Desk::open();
    let job =
        desk.submit(Submission { queue: Some("night".into()), ..echo(r#"{"cups":3}"#) }).await;
    let form = desk.get(&format!("/schedules/new?from={}", job.id)).await;
    form.assert_has("&#34;cups&#34;: 3");
    form.assert_has("value=\"night\"");
    let typed = [
        ("kind", "mail"),
        ("shown", "mail"),
        ("view", "fields"),
        ("payload.to", "x@y.example"),
        ("when", "in"),
        ("delay", "5m"),
        ("zone", "+02:00"),
        ("token", "t1"),
        ("priority", "7"),
    ];
    let form = desk.post("/schedules/new", &typed).await;
    assert_eq!(form.status, StatusCode::OK);
    form.assert_has("New schedule");
    for kept in ["value=\"x@y.example\"", "value=\"+02:00\"", "value=\"7\""] {
        form.assert_has(kept);
    }
    form.assert_lacks("name=\"token\"");
}

#[tokio::test]
async fn the_builder_fills_in_the_pattern_and_the_pattern_wins_if_only_it_was_changed() {
    let desk = Desk::open();
    let daily = [("repeat", "daily"), ("repeat_times", "02:30, 14:30"), ("repeat_built", "")];
    let built = [&with(&[("cron", "")])[..], &daily].concat();
    let page = desk.post("/schedules/new", &built).await;
    page.assert_sound();
    page.assert_has(r#"name="cron" value="30 2,14 * * *""#);
    page.assert_has(r#"name="repeat_built" id="repeat_built" value="30 2,14 * * *""#);
    page.assert_has("At 02:30 and 14:30");
    page.assert_has(r#"<option value="daily" selected>"#);

    // Whoever saves at once saves what was chosen.
    let made = desk.post("/schedules", &built).await;
    assert_eq!(made.location, "/schedules/of/nightly");
    let edit = |cron: &'static str, times: &'static str| {
        let fields = [
            ("cron", cron),
            ("repeat", "daily"),
            ("repeat_times", times),
            ("repeat_built", "30 2,14 * * *"),
        ];
        with(&fields)
    };
    let typed = edit("0 5 * * *", "02:30, 14:30");
    desk.post("/schedules/of/nightly", &typed).await;
    let page = desk.get("/schedules/of/nightly").await;
    page.assert_has(r#"name="cron" value="0 5 * * *""#);
    page.assert_has(r#"name="repeat_times" value="05:00""#);
    desk.post("/schedules/of/nightly", &edit("0 5 * * *", "06:15")).await;
    desk.get("/schedules/of/nightly").await.assert_has(r#"name="cron" value="15 6 * * *""#);
}

#[tokio::test]
async fn what_is_wrong_in_the_builder_stands_beside_its_field() {
    let desk = Desk::open();
    let wrong = [("repeat", "daily"), ("repeat_times", "8:00, 9:30"), ("cron", "@daily")];
    for address in ["/schedules/new", "/schedules"] {
        let page = desk.post(address, &with(&wrong)).await;
        page.assert_sound();
        page.assert_has("The times of one pattern have the same minute");
        page.assert_has(r#"name="repeat_times" value="8:00, 9:30""#);
        page.assert_has(r#"<option value="daily" selected>"#);
    }
    desk.get("/schedules").await.assert_has("No schedules yet.");
    let answer = desk.post("/schedules", &with(&[("repeat", "yearly")])).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.assert_has("weekdays");
}

#[tokio::test]
async fn pages_of_schedules_show_the_last_runs_and_the_next_day() {
    let desk = Desk::open();
    desk.get("/schedules").await.assert_lacks("Next 24 hours");
    desk.post("/schedules", &NIGHTLY).await;
    let often = with(&[("name", "often"), ("cron", "every 1s"), ("zone", "")]);
    desk.post("/schedules", &often).await;
    desk.post("/schedules/of/nightly/run", &[]).await;
    let job = desk.claim().await.job.id.to_string();
    let list = desk.get("/schedules").await;
    list.assert_sound();
    list.assert_has("Next 24 hours");
    list.assert_has(&format!(r#"href="jobs/{job}" tabindex="-1""#));
    list.assert_has("requested by hand");
    list.assert_has("1 run, next");
    list.assert_has("runs from ");
    assert!(list.text.matches("<rect").count() <= 3, "a run every second is one band");
    let one = desk.get("/schedules/of/nightly").await;
    one.assert_sound();
    one.assert_has("Last runs");
    one.assert_has(&format!(r#"class="run s-running" href="jobs/{job}""#));
    desk.get("/schedules/of/often").await.assert_lacks("Last runs");
}
