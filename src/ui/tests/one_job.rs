//! A job's page.

use super::*;
use crate::job::{Failure, FailureClass, Interruption, LogLine, Stream, Time};
use crate::store::Note;

impl Desk {
    async fn page_of(&self, job: &Job) -> Answer {
        self.get(&format!("/jobs/{}", job.id)).await
    }
}

#[tokio::test]
async fn payload_and_result_are_shown_digit_by_digit() {
    let desk = Desk::open();
    let job = desk.submit(echo(r#"{"big":12345678901234567890123,"rate":0.10}"#)).await;
    desk.complete(r#"{"cents":900719925474099301}"#).await;
    let page = desk.page_of(&job).await;
    page.assert_sound();
    for exact in ["12345678901234567890123", "0.10", "900719925474099301"] {
        page.assert_has(&format!("<span class=\"j-number\">{exact}</span>"));
    }
    page.assert_has("Done in ");
}

#[tokio::test]
async fn every_attempt_and_every_interruption_is_told_in_words() {
    let desk = Desk::open();
    let job = desk.submit(echo("null")).await;
    let lease = desk.claim().await;
    desk.settle(&lease, Verdict::Interrupted { why: Interruption::Stop }).await;
    let lease = desk.claim().await;
    let failure = Failure::new(FailureClass::Timeout, "took too long\nat line 2");
    desk.settle(&lease, Verdict::Failed { failure, retry_in: Duration::ZERO }).await;
    desk.store.tick().await.unwrap();
    desk.claim().await;
    let desk = Desk::over(desk.store.restarted());
    let page = desk.page_of(&job).await;
    page.assert_sound();
    for words in [
        "Accepted into queue default",
        "Interrupted: the server was stopped; the attempt does not count",
        "Attempt 1 failed; the next one may start at",
        "took too long\nat line 2</pre>",
        "<span class=\"failure-class\">timeout</span>",
        "Rescued: the server&#39;s process died; attempt 2 counts",
        "Lost because the server&#39;s process died; it counts.",
        "Ready: waits for a free place in queue default.",
    ] {
        page.assert_has(words);
    }
}

#[tokio::test]
async fn log_lines_are_shown_with_their_stream_and_time() {
    let desk = Desk::open();
    let job = desk.submit(echo("null")).await;
    desk.page_of(&job).await.assert_has("Nothing yet.");
    let lease = desk.claim().await;
    let at = Time::from_millis(1_000);
    let line = LogLine { at, stream: Stream::Stdout, text: "  two  spaces".into() };
    let note = Note { lease: lease.key(), lines: vec![line], progress: None };
    desk.store.annotate(vec![note]).await.unwrap();
    let page = desk.page_of(&job).await;
    page.assert_has("<li class=\"from-stdout\"><time datetime=\"1970-01-01T00:00:01.000Z\"");
    page.assert_has("00:00:01.000</time> <span class=\"stream\">stdout</span>");
    page.assert_has("<span class=\"text\">  two  spaces</span>");
}

#[tokio::test]
async fn a_paused_queue_is_why_a_ready_job_does_not_run() {
    let desk = Desk::open();
    let job = desk.submit(echo("null")).await;
    desk.engine.pause(QueueName::default()).await.unwrap();
    desk.page_of(&job).await.assert_has("queue default is paused");
}

#[tokio::test]
async fn buttons_are_those_that_the_state_allows() {
    let desk = Desk::open();
    let job = desk.submit(echo("null")).await;
    let waiting = desk.page_of(&job).await;
    waiting.assert_has("id=\"cancel\"");
    waiting.assert_lacks("id=\"retry\"");
    let lease = desk.claim().await;
    desk.page_of(&job).await.assert_lacks("id=\"delete\"");
    desk.engine.cancel(job.id).await.unwrap().unwrap();
    let asked = desk.page_of(&job).await;
    asked.assert_has("Asked to stop");
    asked.assert_lacks("id=\"cancel\"");
    desk.settle(&lease, Verdict::Cancelled).await;
    let cancelled = desk.page_of(&job).await;
    cancelled.assert_has("id=\"retry\"");
    cancelled.assert_has("id=\"delete\"");
}
