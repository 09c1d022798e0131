//! Searching the job list, and bulk actions on its jobs.

use axum::http::StatusCode;

use super::*;
use crate::engine::bulk::{Action, Target};
use crate::job::State;

fn with_payload(payload: &str) -> Submission {
    Submission { delay_ms: Some(3_600_000), ..echo(payload) }
}

fn found(answer: &Answer) -> Vec<String> {
    answer.values("data-job")
}

#[tokio::test]
async fn a_search_finds_values_of_payloads_and_keeps_what_was_typed() {
    let desk = Desk::open();
    let ada = desk.submit(with_payload(r#"{"user":{"id":42,"name":"Ada"}}"#)).await.id.to_string();
    desk.submit(with_payload(r#"{"user":{"id":7}}"#)).await;
    for q in ["payload.user.id%3A42", "ada", "queue%3Adefault+payload.user.name%3AAda"] {
        let answer = desk.get(&format!("/jobs?q={q}")).await;
        assert_eq!((answer.status, found(&answer)), (StatusCode::OK, vec![ada.clone()]), "{q}");
        answer.assert_sound();
    }
    let answer = desk.get("/jobs?q=queue%3Adefault+payload.user.id%3A42+%22no+such%22").await;
    answer.assert_has("No jobs match this filter.");
    answer.assert_has("name=\"queue\" value=\"default\"");
    answer.assert_has("value=\"payload.user.id:42 &#34;no such&#34;\"");
    answer.assert_has("href=\"jobs?queue=default&#38;q=payload.user.id%3A42\"");
}

#[tokio::test]
async fn a_search_that_means_nothing_says_what_would() {
    let answer = Desk::open().get("/jobs?q=colour%3Ared").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    answer.assert_has("value=\"colour:red\"");
    answer.assert_has("payload.NAME");
    answer.assert_has("id=\"none\" hidden");
}

#[tokio::test]
async fn a_long_search_shows_how_far_it_came_and_a_way_on() {
    let desk = Desk::with(StoreLimits { search_step: 10, ..StoreLimits::default() });
    let old = desk.submit(with_payload("\"needle\"")).await.id.to_string();
    desk.echoes(24).await;
    let first = desk.get("/jobs?q=needle").await;
    first.assert_has("Searched <span class=\"num\">10</span> of <span class=\"num\">25</span>");
    first.assert_has("No matches so far.");
    first.assert_lacks("rel=\"next\" data-key");
    let next = first.values("data-next").remove(0);
    assert!(next.contains("&seen=10"), "{next}");
    let second = desk.get(&next).await;
    second.assert_has("<progress max=\"25\" value=\"20\"");
    let last = desk.get(&second.values("data-next").remove(0)).await;
    assert_eq!(found(&last), [old]);
    last.assert_has("Searched all <span class=\"num\">25</span> jobs.");
    assert_eq!(last.values("data-next"), Vec::<String>::new());
}

#[tokio::test]
async fn the_id_of_a_job_leads_to_the_job() {
    let desk = Desk::open();
    let id = desk.submit(echo("1")).await.id;
    let answer = desk.get(&format!("/jobs?q={id}")).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.location, format!("/jobs/{id}"));
    let unknown = crate::job::JobId::generate();
    assert_eq!(desk.get(&format!("/jobs?q={unknown}")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_bulk_action_asks_first_and_shows_how_many_it_meets() {
    let desk = Desk::open();
    let mut ids = Vec::new();
    for n in 0..7 {
        ids.push(desk.submit(with_payload(&n.to_string())).await.id.to_string());
    }
    let two = [("action", "cancel"), ("scope", "selected"), ("id", &ids[0]), ("id", &ids[1])];
    let answer = desk.post("/jobs/bulk", &two).await;
    answer.assert_sound();
    answer.assert_has("<h1>Cancel 2 jobs?</h1>");
    assert_eq!(answer.values("data-job").len(), 2);
    answer.assert_has(&format!("name=\"id\" value=\"{}\"", ids[1]));

    let all =
        [("action", "delete"), ("scope", "matching"), ("state", "scheduled"), ("kind", "echo")];
    let answer = desk.post("/jobs/bulk", &all).await;
    answer.assert_has("<h1>Delete 7 jobs?</h1>");
    answer.assert_has("Showing the newest 5 of 7 jobs.");
    let stats = desk.engine.stats().await.unwrap();
    assert_eq!(stats.states[&State::Scheduled], 7, "nothing was done yet");
}

#[tokio::test]
async fn a_bulk_action_runs_and_reports_on_a_page_of_its_own() {
    let desk = Desk::awake();
    let job = desk.submit(with_payload("1")).await.id.to_string();
    desk.engine.cancel(desk.submit(with_payload("2")).await.id).await.unwrap();
    let form = [("action", "cancel"), ("scope", "matching"), ("kind", "echo")];
    let answer = desk.post("/jobs/bulk/run", &form).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let id = answer.location.strip_prefix("/jobs/bulk/").unwrap().to_owned();
    desk.engine.bulk_over(id.parse().unwrap()).await.unwrap();
    let page = desk.get(&answer.location).await;
    page.assert_sound();
    page.assert_has("Cancel 2 jobs");
    page.assert_has("id=\"run-done\">1</dd>");
    page.assert_has("</span> because a cancelled job cannot be cancelled");
    page.assert_lacks("data-running");
    assert_eq!(
        desk.engine.job(job.parse().unwrap()).await.unwrap().0.unwrap().status.state,
        State::Cancelled
    );
    desk.get("/jobs/bulk").await.assert_has(&format!("href=\"jobs/bulk/{id}\""));
    let stopped = desk.post(&format!("/jobs/bulk/{id}/stop"), &[]).await;
    assert_eq!((stopped.status, stopped.location), (StatusCode::SEE_OTHER, answer.location));
}

#[tokio::test]
async fn a_run_that_the_server_cut_off_says_that_it_was() {
    let desk = Desk::open(); // the engine is draining
    desk.submit(with_payload("1")).await;
    let run = desk.engine.bulk(Action::Cancel, Target::Matching(Box::default())).await.unwrap();
    desk.engine.bulk_over(run.id).await.unwrap();
    let page = desk.get(&format!("/jobs/bulk/{}", run.id)).await;
    page.assert_has("The server stopped during the run. Changes that were already made remain");
    page.assert_sound();
}

#[tokio::test]
async fn moving_and_reprioritising_ask_for_where_to() {
    let desk = Desk::awake();
    let id = desk.submit(with_payload("1")).await.id;
    let text = id.to_string();
    let form = [("action", "move"), ("id", text.as_str())];
    desk.post("/jobs/bulk", &form).await.assert_has("name=\"to_queue\"");
    let wrong = [form[0], form[1], ("to_queue", "two words")];
    let answer = desk.post("/jobs/bulk/run", &wrong).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.assert_has("value=\"two words\"");
    answer.assert_has("a-z A-Z 0-9");
    let right = [form[0], form[1], ("to_queue", "slow"), ("queue", "default")];
    let answer = desk.post("/jobs/bulk/run", &right).await;
    let run = answer.location.rsplit('/').next().unwrap().parse().unwrap();
    desk.engine.bulk_over(run).await.unwrap();
    let (job, _) = desk.engine.job(id).await.unwrap();
    assert_eq!(job.unwrap().labels.queue.as_str(), "slow");
    let form = [("action", "reprioritise"), ("id", text.as_str()), ("to_priority", "high")];
    let answer = desk.post("/jobs/bulk/run", &form).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    answer.assert_has("an integer from -32768 to 32767");
}

#[tokio::test]
async fn nothing_is_done_when_nothing_is_selected_or_understood() {
    let desk = Desk::open();
    desk.echoes(2).await;
    for path in ["/jobs/bulk", "/jobs/bulk/run"] {
        let answer = desk.post(path, &[("action", "delete"), ("scope", "selected")]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        answer.assert_has("No jobs selected");
        let misread = [("action", "delete"), ("scope", "matching"), ("q", "colour:red")];
        let answer = desk.post(path, &misread).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        let unknown = [("action", "explode"), ("scope", "matching")];
        assert_eq!(desk.post(path, &unknown).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert!(desk.engine.known_bulk_reports().is_empty());
    assert_eq!(desk.get("/jobs/bulk/42").await.status, StatusCode::NOT_FOUND);
    desk.get("/jobs/bulk").await.assert_has("No bulk runs since the server started.");
}

#[tokio::test]
async fn a_form_with_an_empty_or_misspelled_condition_changes_nothing() {
    let desk = Desk::open();
    desk.echoes(2).await;
    for path in ["/jobs/bulk", "/jobs/bulk/run"] {
        for (field, words) in [
            (("state", ""), "state: must not be empty"),
            (("queue", " "), "queue: must not be empty"),
            (("q", ""), "q: must not be empty"),
            (("since", ""), "since: must not be empty"),
            (("queue", ","), "at least one name"),
            (("id", "x"), "expected a UUID"),
        ] {
            let form = [("action", "delete"), ("scope", "matching"), field];
            let answer = desk.post(path, &form).await;
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {field:?}");
            answer.assert_has(words);
            answer.assert_has("Nothing was changed");
        }
    }
    assert!(desk.engine.known_bulk_reports().is_empty());
}

#[tokio::test]
async fn a_list_names_the_parameters_that_it_ignores_unless_a_link_tracker_added_them() {
    let desk = Desk::open();
    desk.echoes(2).await;
    let misspelled = desk.get("/jobs?stat=running&Queue=").await;
    let rows = found(&misspelled).into_iter().filter(|id| !id.is_empty()).count();
    assert_eq!((misspelled.status, rows), (StatusCode::OK, 2));
    misspelled.assert_has("The unknown parameters “stat”, “Queue” were ignored.");
    misspelled.assert_sound();
    let linked = desk.get("/jobs?utm_source=mail&fbclid=x&queue=&state=&q=").await;
    assert_eq!(linked.status, StatusCode::OK);
    linked.assert_lacks("ignored.");
    let queues = desk.get("/queues?shw=paused&utm_medium=x").await;
    queues.assert_has("The unknown parameter “shw” was ignored.");
    desk.get("/queues?show=pausd")
        .await
        .assert_has("The unknown parameter “show=pausd” was ignored.");
    desk.get("/queues?show=&q=&page=1").await.assert_lacks("ignored.");
}
