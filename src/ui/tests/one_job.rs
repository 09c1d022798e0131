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
        "Submitted to queue default",
        "Attempt 1 interrupted (not counted): the server was stopped",
        "Attempt 1 failed; next attempt at",
        "took too long\nat line 2</pre>",
        "<span class=\"failure-class\">timeout</span>",
        "Attempt 2 lost (counted): the server process died",
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
    page.assert_has("Next: attempt 1 of 5.");
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
    asked.assert_has("<li class=\"step-now\">The worker is notified at its next heartbeat</li>");
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
    waiting.assert_has("<title>queued</title>");
    waiting.assert_has(
        "<rect class=\"p-queued\" x=\"0\" y=\"0\" width=\"10000\" height=\"10\" data-ms=",
    );
    desk.complete("1").await;
    let done = desk.page_of(&job).await;
    done.assert_has("<svg class=\"lifetime-bar\"");
    done.assert_has("<rect class=\"p-completed");
    done.assert_has("<title>attempt 1 succeeded after ");
    done.assert_has(" in total: queued ");
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
    failed.assert_has("<p class=\"stand-error\">first line…</p>");
    desk.store.tick().await.unwrap();
    desk.complete("1").await;
    assert_eq!(order(&desk.page_of(&job).await)[0], "payload-title");
}

#[tokio::test]
async fn progress_is_told_with_what_is_left_at_its_pace() {
    let desk = Desk::open();
    let job = desk.submit(echo("null")).await;
    let lease = desk.claim().await;
    desk.page_of(&job).await.assert_has("No progress reported</span>");
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

#[tokio::test]
async fn escapes_are_decoded_and_the_raw_text_is_one_click_away() {
    let desk = Desk::open();
    let job = desk.submit(echo(r#"{"gr\u00fc\u00df":"\ud83e\udd80 \u202e"}"#)).await;
    let lease = desk.claim().await;
    let text = "caf\\u00e9 \u{1b}[0m".into();
    let line = LogLine { at: Time::from_millis(1_000), stream: Stream::Stdout, text };
    let note = Note { lease: lease.key(), lines: vec![line], progress: None };
    desk.store.annotate(vec![note]).await.unwrap();
    let failure = Failure::new(FailureClass::Error, "na\\u00efve\u{202e}");
    desk.settle(&lease, Verdict::Failed { failure, retry_in: Duration::ZERO }).await;
    let page = desk.page_of(&job).await;
    page.assert_sound();
    let raw_link = format!("href=\"jobs/{}?raw=1#", job.id);
    for shown in [
        "<span class=\"j-key\">&#34;grüß&#34;</span>",
        "<span class=\"j-string\">&#34;🦀 </span><span class=\"j-mark\">\\u202e</span>",
        "café <span class=\"j-mark\">\\u001b</span>[0m",
        "naïve<span class=\"j-mark\">\\u202e</span></pre>",
        "<p class=\"stand-error\">naïve\\u202e</p>",
        &format!("{raw_link}payload-title"),
        &format!("{raw_link}log-title"),
        &format!("{raw_link}attempts-title"),
        // The command sends what the job has.
        r"&#34;gr\u00fc\u00df&#34;: &#34;\ud83e\udd80 \u202e&#34;",
    ] {
        page.assert_has(shown);
    }
    let raw = desk.get(&format!("/jobs/{}?raw=1", job.id)).await;
    raw.assert_sound();
    for shown in [
        r#"<span class="j-string">&#34;\ud83e\udd80 \u202e&#34;</span>"#,
        r#"caf\u00e9 <span class="j-mark">\u001b</span>[0m"#,
        r#"na\u00efve<span class="j-mark">\u202e</span></pre>"#,
        &format!("href=\"jobs/{}#payload-title\"", job.id),
    ] {
        raw.assert_has(shown);
    }
    let plain = desk.submit(echo(r#"{"a":"b"}"#)).await;
    let page = desk.page_of(&plain).await;
    page.assert_lacks("raw=1#payload-title");
    page.assert_has("?raw=1#log-title\" hidden>");
}

#[tokio::test]
async fn long_histories_show_their_newest_entries_and_keep_the_rest_one_click_away() {
    let desk = Desk::open();
    let job = desk.submit(Submission { max_attempts: Some(60), ..echo("null") }).await;
    for n in 1..=60 {
        let lease = desk.claim().await;
        let failure =
            Failure::new(FailureClass::Error, &format!("error {n}\n{}", "at line\n".repeat(50)));
        desk.settle(&lease, Verdict::Failed { failure, retry_in: Duration::ZERO }).await;
        if n == 3 {
            let page = desk.page_of(&job).await;
            page.assert_lacks("older-attempts");
            page.assert_lacks("older-events");
        }
        desk.store.tick().await.unwrap();
    }
    let page = desk.page_of(&job).await;
    page.assert_sound();
    let hidden = |id: &str, next: &str| {
        let from = page.text.find(&format!("<details class=\"older\" id=\"{id}\">")).unwrap();
        let to = from + page.text[from..].find("</details>\n").unwrap();
        (page.text[from..to].matches(next).count(), page.text[to..].matches(next).count())
    };
    page.assert_has("Show all 60 attempts");
    assert_eq!(hidden("older-attempts", "class=\"attempt-n num\"").1, 5);
    page.assert_has("Show all 180 events");
    assert_eq!(page.text.matches("<li class=\"s-").count(), 180);
    assert_eq!(page.text.matches("<details class=\"attempt\"").count(), 60);
    assert_eq!(page.text.matches("<details class=\"attempt\" id=\"attempt-59\" open>").count(), 1);
    assert_eq!(page.text.matches("\" open>").count(), 1, "only the latest failure is open");
}

#[tokio::test]
async fn each_value_of_a_payload_leads_to_the_jobs_that_have_it() {
    let desk = Desk::open();
    let payload = r#"{"gr\u00fc\u00df.x":"\u202e \ud83e\udd80\n","n":[[1e2,-0.0],{"deep key":"q\\\""}],"b":true,"e":""}"#;
    let job = desk.submit(echo(payload)).await;
    desk.submit(echo("{\"n\":1}")).await;
    let page = desk.page_of(&job).await;
    page.assert_sound();
    let links = page.values("href").into_iter().filter(|link| link.contains("q=payload"));
    let links: Vec<String> = links.collect();
    assert_eq!(links.len(), 6, "{links:?}");
    for link in links {
        let found = desk.get(&link).await;
        assert_eq!(found.values("data-job").len(), 1, "{link}");
        found.assert_has(&job.id.to_string());
    }
    page.assert_has(
        "<details class=\"fold\" open><summary class=\"line l0\" data-path=\"payload\">",
    );
    assert_eq!(page.text.matches("<details").count(), page.text.matches("</details>").count());
}
