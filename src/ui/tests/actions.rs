//! The actions behind the buttons of the pages.

use axum::http::StatusCode;

use super::*;
use crate::job::State;

#[tokio::test]
async fn cancel_and_retry_lead_back_to_the_job() {
    let desk = Desk::open();
    let job = desk.submit(echo("null")).await;
    let home = format!("/jobs/{}", job.id);
    for (action, state) in [("cancel", State::Cancelled), ("retry", State::Available)] {
        let answer = desk.post(&format!("{home}/{action}"), &[]).await;
        assert_eq!((answer.status, &answer.location), (StatusCode::SEE_OTHER, &home), "{action}");
        let (found, _) = desk.engine.job(job.id).await.unwrap();
        assert_eq!(found.unwrap().status.state, state);
    }
}

#[tokio::test]
async fn a_deleted_job_is_gone_and_its_page_says_so() {
    let desk = Desk::open();
    let job = desk.submit(echo("null")).await;
    let answer = desk.post(&format!("/jobs/{}/delete", job.id), &[]).await;
    assert_eq!((answer.status, answer.location.as_str()), (StatusCode::SEE_OTHER, "/jobs"));
    assert_eq!(desk.get(&format!("/jobs/{}", job.id)).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_the_state_forbids_is_said_on_the_page_of_the_job() {
    let desk = Desk::open();
    let job = desk.submit(echo("null")).await;
    desk.claim().await;
    let answer = desk.post(&format!("/jobs/{}/delete", job.id), &[]).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    answer.assert_sound();
    answer.assert_has("Nothing was changed. A running job cannot be deleted.");
}

#[tokio::test]
async fn an_action_on_an_unknown_job_or_queue_is_a_404_page() {
    let desk = Desk::open();
    let unknown = crate::job::JobId::generate();
    for path in
        [format!("/jobs/{unknown}/retry"), "/jobs/x/delete".into(), "/queues/none/pause".into()]
    {
        let answer = desk.post(&path, &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        answer.assert_sound();
    }
    assert!(desk.engine.stats().await.unwrap().queues.is_empty());
}

#[tokio::test]
async fn a_queue_is_paused_and_resumed_by_its_button() {
    let desk = Desk::open();
    desk.echoes(1).await;
    let answer = desk.post("/queues/default/pause", &[]).await;
    assert_eq!((answer.status, answer.location.as_str()), (StatusCode::SEE_OTHER, "/#queues"));
    desk.get("/").await.assert_has("action=\"queues/default/resume\"");
    desk.post("/queues/default/resume", &[]).await;
    desk.get("/").await.assert_has("action=\"queues/default/pause\"");
}

#[tokio::test]
async fn a_queue_shows_its_limit_over_all_workers_and_no_limit_if_it_has_none() {
    let desk = Desk::open();
    desk.echoes(1).await;
    let page = desk.get("/queues/default").await;
    page.assert_has("placeholder=\"no limit\" data-key=\"c\"");
    page.assert_has("No limit over all workers. The server itself runs up to 64 attempts");
    let list = desk.get("/queues").await;
    list.assert_has("data-concurrency=\"null\"");
    list.assert_lacks(" of 64");
    desk.post("/queues/default/concurrency", &[("concurrency", "3")]).await;
    let page = desk.get("/queues/default").await;
    page.assert_has(
        "Set manually; the configuration sets no limit. Clear the field to restore it.",
    );
    page.assert_lacks("No limit over all workers");
    let list = desk.get("/queues").await;
    list.assert_has("data-concurrency=\"3\"");
    list.assert_has("<span class=\"of\"> of 3</span>");
}

impl Desk {
    /// Follows the redirect of an action as a browser does.
    async fn follow(&self, action: &Answer) -> Answer {
        let path = action.location.split('#').next().unwrap();
        let request = Request::get(path)
            .header(header::COOKIE, &action.cookie)
            .header("sec-fetch-mode", "navigate");
        self.send(request.body(Body::empty()).unwrap()).await
    }
}

#[tokio::test]
async fn the_page_after_an_action_says_once_what_was_done() {
    let desk = Desk::open();
    let job = desk.submit(echo("null")).await;
    desk.echoes(1).await; // keeps the queue when the first job is deleted
    let name = format!("echo {}", job.id.short());
    let of_job = |action: &str| format!("/jobs/{}/{action}", job.id);
    let schedule = [("name", "often"), ("cron", "every 2h"), ("kind", "echo")];
    for (path, fields, said) in [
        (of_job("cancel"), vec![], format!("Job {name} was cancelled.")),
        (of_job("retry"), vec![], format!("Job {name} was retried. It is available again.")),
        (of_job("delete"), vec![], format!("Job {name} was deleted with its log and history.")),
        ("/queues/default/pause".into(), vec![], "Queue default was paused.".into()),
        ("/queues/default/resume".into(), vec![], "Queue default was resumed.".into()),
        (
            "/queues/default/concurrency".into(),
            vec![("concurrency", "3")],
            "The limits of queue default were changed.".into(),
        ),
        ("/schedules".into(), schedule.to_vec(), "Schedule often was saved.".into()),
        ("/schedules/of/often/run".into(), vec![], "Schedule often submitted a job.".into()),
        ("/schedules/of/often/pause".into(), vec![], "Schedule often was paused.".into()),
        ("/schedules/of/often/resume".into(), vec![], "Schedule often was resumed.".into()),
        ("/schedules/of/often/delete".into(), vec![], "Schedule often was deleted.".into()),
    ] {
        let answer = desk.post(&path, &fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}: {}", answer.text);
        let page = desk.follow(&answer).await;
        page.assert_sound();
        page.assert_has(&format!(
            "<p class=\"notice info\" id=\"flash\" role=\"status\" tabindex=\"-1\" autofocus>{said}"
        ));
        assert_eq!(page.cookie, "cortado-flash=", "{path}");
        let path = answer.location.split('#').next().unwrap();
        desk.get(path).await.assert_lacks("id=\"flash\"");
    }
}

#[tokio::test]
async fn a_message_is_text_and_pages_that_scripts_fetch_do_not_take_it() {
    let desk = Desk::open();
    let request = |more: &[(&str, &str)]| {
        let mut request =
            Request::get("/jobs").header("cookie", "cortado-flash=job-deleted.%3Ci%3E");
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    };
    let page = desk.send(request(&[("accept", "text/html,*/*;q=0.8")])).await;
    page.assert_has(">Job &#60;i&#62; was deleted with its log and history.</p>");
    assert_eq!(page.cookie, "cortado-flash=");
    let page = desk.send(request(&[("accept", "text/html"), ("sec-fetch-mode", "cors")])).await;
    page.assert_lacks("id=\"flash\"");
    assert_eq!(page.cookie, "");
}

#[tokio::test]
async fn a_running_job_is_asked_to_end_and_a_scheduled_one_becomes_due() {
    let desk = Desk::open();
    let job = desk.submit(echo("null")).await;
    desk.claim().await;
    let answer = desk.post(&format!("/jobs/{}/cancel", job.id), &[]).await;
    desk.follow(&answer).await.assert_has("Cancellation of job echo ");
    let later = Submission { delay_ms: Some(60_000), ..echo("null") };
    let job = desk.submit(later).await;
    let answer = desk.post(&format!("/jobs/{}/retry", job.id), &[]).await;
    desk.follow(&answer).await.assert_has("is due now and starts when a slot is free.");
}
