//! The page of a job.

use super::*;
use crate::job::{Failure, FailureClass, Interruption, LogLine, Progress, Stream, Time};
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
    page.assert_has("Completed in ");
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
        "Interrupted: the server was stopped; attempt not counted",
        "Attempt 1 failed; next attempt at",
        "took too long\nat line 2</pre>",
        "<span class=\"failure-class\">timeout</span>",
        "Rescued: the server process died; attempt 2 counted",
        "Lost because the server process died; the attempt is counted.",
        "The server is shutting down.",
        "attempts",
    ] {
        page.assert_has(words);
    }
}

#[tokio::test]
async fn log_lines_are_shown_with_their_stream_and_time() {
    let desk = Desk::open();
    let job = desk.submit(echo("null")).await;
    desk.page_of(&job).await.assert_has("No output yet.");
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
    let desk = Desk::awake();
    desk.engine.pause(QueueName::default()).await.unwrap();
    let job = desk.submit(echo("null")).await;
    let page = desk.page_of(&job).await;
    page.assert_has("Queue default is paused. No job starts until it is resumed.");
    page.assert_has("Next: attempt 1 of 10.");
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
    desk.engine.cancel(job.id).await.unwrap();
    let asked = desk.page_of(&job).await;
    asked.assert_has("<li class=\"step-done\">Cancellation requested <time");
    asked.assert_has("<li class=\"step-now\">The worker is notified with its next heartbeat</li>");
    asked.assert_has("<li class=\"step-open\">Still running</li>");
    asked.assert_lacks("id=\"cancel\"");
    desk.settle(&lease, Verdict::Cancelled).await;
    let cancelled = desk.page_of(&job).await;
    cancelled.assert_has("<li class=\"step-done\">Worker notified</li>");
    cancelled.assert_has("<li class=\"step-done\">Cancelled <time");
    cancelled.assert_has("id=\"retry\"");
    cancelled.assert_has("id=\"delete\"");
}

#[tokio::test]
async fn an_end_that_came_by_itself_is_not_called_cancelled() {
    let desk = Desk::open();
    let job = desk.submit(echo("null")).await;
    let lease = desk.claim().await;
    desk.engine.cancel(job.id).await.unwrap();
    desk.settle(&lease, Verdict::Completed { result: Json::null() }).await;
    let page = desk.page_of(&job).await;
    page.assert_has("The attempt ended on its own <time");
    // The next attempt does not show the earlier request.
    desk.engine.retry(job.id).await.unwrap();
    desk.claim().await;
    desk.page_of(&job).await.assert_lacks("Cancellation requested <time");
}

#[tokio::test]
async fn the_life_of_a_job_is_a_picture_with_words() {
    let desk = Desk::open();
    let job = desk.submit(echo("null")).await;
    let waiting = desk.page_of(&job).await;
    waiting.assert_has("<svg class=\"lifetime-bar open\"");
    waiting.assert_has("<rect class=\"s-available\" x=\"0\" y=\"0\" width=\"1000\" height=\"10\"><title>waiting in the queue</title>");
    desk.complete("1").await;
    let done = desk.page_of(&job).await;
    done.assert_has("<svg class=\"lifetime-bar\"");
    done.assert_has("<rect class=\"s-completed\"");
    done.assert_has("<title>attempt 1 succeeded after ");
    done.assert_has(" in total: waited ");
}

#[tokio::test]
async fn what_matters_most_comes_first() {
    let desk = Desk::open();
    let order = |page: &Answer| {
        let place = |id: &str| page.text.find(&format!("id=\"{id}\"")).unwrap();
        let mut parts = ["attempts-title", "log-title", "payload-title"].map(|id| (place(id), id));
        parts.sort();
        parts.map(|(_, id)| id)
    };
    let job = desk.submit(echo("null")).await;
    let lease = desk.claim().await;
    assert_eq!(order(&desk.page_of(&job).await)[0], "log-title");
    let failure = Failure::new(FailureClass::Error, "first line\nsecond line");
    desk.settle(&lease, Verdict::Failed { failure, retry_in: Duration::ZERO }).await;
    let failed = desk.page_of(&job).await;
    assert_eq!(order(&failed)[0], "attempts-title");
    failed.assert_has("<p class=\"stand-error\">first line</p>");
    desk.store.tick().await.unwrap();
    desk.complete("1").await;
    assert_eq!(order(&desk.page_of(&job).await)[0], "payload-title");
}

#[tokio::test]
async fn progress_is_told_with_what_is_left_at_its_pace() {
    let desk = Desk::open();
    let job = desk.submit(echo("null")).await;
    let lease = desk.claim().await;
    desk.page_of(&job).await.assert_has("No progress reported yet.");
    let message = Some("halfway <there>".into());
    let progress = Some(Progress { done: 5_000, total: Some(10_000), message });
    desk.store.annotate(vec![Note { lease: lease.key(), lines: vec![], progress }]).await.unwrap();
    let page = desk.page_of(&job).await;
    page.assert_has("max=\"10000\" value=\"5000\"");
    page.assert_has("5\u{202f}000 of 10\u{202f}000</span>");
    page.assert_has("halfway &#60;there&#62;");
    page.assert_has("data-started=\"");
}

#[tokio::test]
async fn the_curl_that_made_a_job_makes_it_again_and_hides_the_forms_own_key() {
    let desk = Desk::open();
    let mail = Submission {
        queue: Some("mail".into()),
        idempotency_key: Some("order-7".into()),
        ..echo(r#"{"text":"it's","n":12345678901234567890}"#)
    };
    let page = desk.page_of(&desk.submit(mail).await).await;
    page.assert_has("curl http://127.0.0.1:8080/api/v1/jobs \\\n");
    page.assert_has("&#34;text&#34;: &#34;it&#39;\\&#39;&#39;s&#34;");
    page.assert_has("&#34;n&#34;: 12345678901234567890");
    page.assert_has("&#34;idempotency_key&#34;: &#34;order-7&#34;");
    let by_form = desk.post("/jobs", &[("kind", "echo"), ("token", "t1")]).await.location;
    desk.get(&by_form).await.assert_lacks("idempotency_key");
}
