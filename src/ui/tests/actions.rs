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
