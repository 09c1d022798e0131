//! The attempts of a job on one time axis, its log by attempt, and its comparison with the last success of its kind.

use super::*;
use crate::job::{Failure, FailureClass, LogLine, Stream, Time};
use crate::store::Note;

/// The pages at a time that the test sets, and their clock.
fn desk_and_clock() -> (Desk, ManualClock) {
    let clock = ManualClock::at(Time::from_millis(1_800_000_000_000));
    (Desk::by(clock.clone()), clock)
}

fn second() -> Duration {
    Duration::from_secs(1)
}

impl Desk {
    async fn fail(&self, lease: &Lease, message: &str, retry_in: Duration) {
        let failure = Failure::new(FailureClass::Error, message);
        self.settle(lease, Verdict::Failed { failure, retry_in }).await;
    }

    async fn log(&self, lease: &Lease, at: Time, text: &str) {
        let line = LogLine { at, stream: Stream::Log, text: text.into() };
        let note = Note { lease: lease.key(), lines: vec![line], progress: None };
        self.store.annotate(vec![note]).await.unwrap();
    }

    async fn page(&self, job: &Job) -> Answer {
        self.get(&format!("/jobs/{}", job.id)).await
    }
}

/// The bars of a page in the order of its rows: class, left edge and width.
fn bars(page: &Answer) -> Vec<(String, u64, u64)> {
    let rects = page.text.split("<svg class=\"fall\"").skip(1).flat_map(|svg| {
        svg.split("</svg>").next().unwrap().split("<rect ").skip(1).collect::<Vec<_>>()
    });
    let value = |rect: &str, name: &str| {
        rect.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let number = |rect: &str, name| value(rect, name).parse().unwrap();
    rects.map(|rect| (value(rect, "class"), number(rect, " x"), number(rect, " width"))).collect()
}

#[tokio::test]
async fn attempts_stand_on_one_time_axis_that_is_to_scale() {
    let (desk, clock) = desk_and_clock();
    let job = desk.submit(echo("null")).await;
    clock.advance(second());
    let lease = desk.claim().await;
    clock.advance(2 * second());
    desk.fail(&lease, "boom", 4 * second()).await;
    clock.advance(3 * second());
    let bar = |class: &str, x, width| (class.to_owned(), x, width);
    let waiting = desk.page(&job).await;
    let first = [bar("p-queued", 0, 1_666), bar("p-failed", 1_666, 3_334)];
    assert_eq!(bars(&waiting), [&first[..], &[bar("p-backoff", 5_000, 5_000)]].concat());
    waiting.assert_has(">waiting</span>");
    waiting.assert_has("<span>1.5 s</span><span>3 s</span><span>4.5 s</span><span>6 s</span>");
    clock.advance(second());
    desk.store.tick().await.unwrap();
    let lease = desk.claim().await;
    clock.advance(3 * second());
    desk.settle(&lease, Verdict::Completed { result: Json::null() }).await;
    clock.advance(60 * second());
    let done = desk.page(&job).await;
    done.assert_sound();
    let rows = [
        bar("p-queued", 0, 1_000),
        bar("p-failed", 1_000, 2_000),
        bar("p-backoff", 3_000, 4_000),
        bar("p-queued", 7_000, 0),
        bar("p-completed", 7_000, 3_000),
    ];
    assert_eq!(bars(&done), rows);
    done.assert_has("aria-label=\"queued for 1 s; attempt 1 failed after 2 s\"");
    // The time until a manual retry is to scale, too.
    desk.engine.retry(job.id).await.unwrap();
    let retried = desk.page(&job).await;
    assert_eq!(bars(&retried)[5..], [bar("p-idle", 1_428, 8_572), bar("p-queued", 10_000, 0)]);
    retried.assert_has("<title>finished, idle for 1 min</title>");
}

#[tokio::test]
async fn the_log_has_a_heading_for_each_attempt_once_there_are_two() {
    let (desk, clock) = desk_and_clock();
    let job = desk.submit(echo("null")).await;
    let now = || clock.now();
    let lease = desk.claim().await;
    desk.log(&lease, now(), "one").await;
    desk.page(&job).await.assert_lacks("log-attempt");
    clock.advance(second());
    desk.fail(&lease, "boom", Duration::ZERO).await;
    clock.advance(second());
    desk.store.tick().await.unwrap();
    let lease = desk.claim().await;
    desk.page(&job).await.assert_has("data-shown=\"1\"");
    desk.log(&lease, now(), "two").await;
    desk.log(&lease, now(), "three").await;
    let page = desk.page(&job).await;
    let place = |text: &str| page.text.find(text).unwrap_or_else(|| panic!("no {text}"));
    let order = [
        "id=\"log-attempt-0\">Attempt 1 <span>on w1</span>",
        ">one</span>",
        "id=\"log-attempt-1\">Attempt 2 <span>on w1</span>",
        ">two</span>",
        ">three</span>",
    ];
    assert!(order.map(place).is_sorted());
    assert_eq!(page.text.matches("class=\"log-attempt\"").count(), 2);
    page.assert_has("data-shown=\"2\"");
}

#[tokio::test]
async fn an_error_is_compared_with_that_of_the_attempt_before() {
    let (desk, clock) = desk_and_clock();
    let job = desk.submit(echo("null")).await;
    for message in ["took 12 ms", "took 40 ms", "disk full"] {
        let lease = desk.claim().await;
        desk.fail(&lease, message, Duration::ZERO).await;
        clock.advance(second());
        desk.store.tick().await.unwrap();
    }
    let page = desk.page(&job).await;
    page.assert_has("The same error as in attempt 1, with other values: 40 instead of 12.");
    page.assert_has("Another error than in attempt 2: took 40 ms");
}

#[tokio::test]
async fn a_job_that_failed_is_compared_with_the_last_success_of_its_kind() {
    let (desk, clock) = desk_and_clock();
    let mail =
        |queue: &str, payload: &str| Submission { queue: Some(queue.into()), ..echo(payload) };
    let older = desk.submit(mail("default", r#"{"a":1}"#)).await;
    desk.complete("1").await;
    clock.advance(second());
    let success =
        desk.submit(mail("default", r#"{"a":1,"list":[1,2],"gone":"x","same":true}"#)).await;
    let lease = desk.claim().await;
    clock.advance(2 * second());
    desk.settle(&lease, Verdict::Completed { result: Json::null() }).await;
    let job =
        desk.submit(mail("default", r#"{"a":"<1>","list":[1,3],"same":true,"new":{}}"#)).await;
    desk.page(&job).await.assert_lacks("Compared with the last success");
    let lease = desk.claim().await;
    desk.log(&lease, clock.now(), "no route").await;
    clock.advance(5 * second());
    desk.fail(&lease, "boom", 3_600 * second()).await;
    let page = desk.page(&job).await;
    page.assert_sound();
    page.assert_has("Compared with the last success of echo");
    page.assert_has(&format!("href=\"jobs/{}\">", success.id));
    page.assert_lacks(&older.id.to_string());
    let row = |name: &str, here: &str, there: &str| {
        format!("<tr><th scope=\"row\">{name}</th><td>{here}</td><td>{there}</td></tr>")
    };
    for (name, here, there) in [
        ("<code>payload.a</code>", "&#34;&#60;1&#62;&#34;", "1"),
        ("<code>payload.list.1</code>", "3", "2"),
        ("<code>payload.new</code>", "{}", "not there"),
        ("<code>payload.gone</code>", "not there", "&#34;x&#34;"),
        ("duration", "5 s", "2 s"),
        ("log", "1 line: no route", "no lines"),
    ] {
        page.assert_has(&row(name, here, there));
    }
    page.assert_lacks("payload.same</code>");
    page.assert_has(
        "The same in both: attempts, worker, queue, tags, priority, timeout, submitted by.",
    );
    // Another kind has no success.
    let other = Submission { kind: "sleep".into(), ..echo(r#"{"ms":1}"#) };
    let other = desk.submit(other).await;
    let lease = desk.claim().await;
    desk.fail(&lease, "boom", 3_600 * second()).await;
    desk.page(&other).await.assert_lacks("Compared with the last success");
}

#[tokio::test]
async fn the_search_for_a_success_is_bounded() {
    let desk = Desk::open();
    desk.submit(echo("1")).await;
    desk.complete("1").await;
    let job = desk.submit(echo("2")).await;
    let lease = desk.claim().await;
    desk.fail(&lease, "boom", 3_600 * second()).await;
    for _ in 0..51 {
        let jobs =
            (0..100).map(|n| echo(&n.to_string()).into_new_job(desk.engine.kinds()).unwrap());
        desk.engine.enqueue(jobs.collect()).await.unwrap();
    }
    let page = desk.page(&job).await;
    page.assert_has("No completed job of this kind is among the newest 5\u{202f}000 jobs.");
    page.assert_has("jobs?kind=echo&#38;state=completed");
}
