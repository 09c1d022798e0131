//! The pages of failures: titles, full errors, and links to groups that are gone.

use axum::http::StatusCode;

use super::*;
use crate::job::{Failure, FailureClass};

const TRACEBACK: &str = "Traceback (most recent call last):\n  File \"job.py\", line 7, in <module>\n    \
    main()\nValueError: mailbox 4711 is <full>";

/// Waits until the observer, which is slightly behind the events, knows the groups.
async fn failures(desk: &Desk, groups: usize) -> Answer {
    let known = async {
        loop {
            let list = desk.engine.failures(9);
            if list.groups.len() == groups && !list.counting {
                return desk.get("/failures").await;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), known).await.expect("the groups are not known")
}

async fn fail(desk: &Desk, message: &str) -> crate::job::JobId {
    desk.submit(echo("1")).await;
    let lease = desk.claim().await;
    let failure = Failure::new(FailureClass::Error, message);
    let verdict = Verdict::Failed { failure, retry_in: Duration::from_secs(3_600) };
    desk.settle(&lease, verdict).await;
    lease.job.id
}

#[tokio::test]
async fn a_group_has_the_newest_error_as_its_title_and_the_whole_error_one_click_away() {
    let desk = Desk::open();
    fail(&desk, &TRACEBACK.replace("4711", "12")).await;
    fail(&desk, TRACEBACK).await;
    fail(&desk, "9 mailbox is busy").await;
    let list = failures(&desk, 2).await;
    list.assert_sound();
    list.assert_has("ValueError: mailbox 4711 is &#60;full&#62;</a>");
    list.assert_has("9 mailbox is busy</a>");
    for fingerprint in ["Traceback", "N mailbox is busy", "mailbox N"] {
        list.assert_lacks(fingerprint);
    }
    let groups = desk.engine.failures(9).groups;
    let trace = groups.iter().find(|group| group.pattern.starts_with("ValueError")).unwrap();
    let page = desk.get(&format!("/failures/{}", trace.id)).await;
    page.assert_sound();
    page.assert_has(
        "<h1 class=\"f-title\" id=\"error-text\">ValueError: mailbox 4711 is &#60;full&#62;</h1>",
    );
    page.assert_has("<summary>Full error</summary>");
    page.assert_has("<pre tabindex=\"0\">Traceback (most recent call last):");
    page.assert_has("<code>ValueError: mailbox N is &#60;full&#62;</code>");
    page.assert_has("Retry 2 jobs now?");
    let short = groups.iter().find(|group| group.pattern.starts_with('N')).unwrap();
    let page = desk.get(&format!("/failures/{}", short.id)).await;
    page.assert_lacks("Full error");
    page.assert_has("Retry 1 job now?");
}

/// Up to 0.1, the first line of a traceback was its group. Such a link finds nothing and changes nothing.
#[tokio::test]
async fn a_link_to_a_group_that_is_gone_changes_no_job() {
    let desk = Desk::open();
    let id = fail(&desk, TRACEBACK).await;
    failures(&desk, 1).await;
    let former = crate::job::fingerprint("echo", "error", "Traceback (most recent call last):");
    let page = desk.get(&format!("/failures/{former:016x}")).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    page.assert_has("Look for the error in the list of failures.");
    for action in ["retry", "delete"] {
        let answer = desk.post(&format!("/failures/{former:016x}/{action}"), &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{action}");
    }
    let job = desk.engine.job(id).await.unwrap().0.unwrap();
    assert_eq!(job.status.state, crate::job::State::Retryable);
}

#[tokio::test]
async fn a_group_shows_its_newest_jobs_and_their_queues() {
    let desk = Desk::open();
    let mut ids = Vec::new();
    for n in 0..22 {
        let queue = if n < 21 { "mail" } else { "video" };
        desk.submit(Submission { queue: Some(queue.into()), ..echo("1") }).await;
        let lease = desk.claim_from(queue).await;
        let failure = Failure::new(FailureClass::Error, "disk full");
        let verdict = Verdict::Failed { failure, retry_in: Duration::from_secs(3_600) };
        desk.settle(&lease, verdict).await;
        ids.push(lease.job.id.to_string());
    }
    failures(&desk, 1).await;
    let known = async {
        while desk.engine.failures(1).groups[0].retrying < 22 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), known).await.expect("not all are counted");
    let group = desk.engine.failures(1).groups[0].id.clone();
    let page = desk.get(&format!("/failures/{group}")).await;
    page.assert_sound();
    let shown = page.values("data-job");
    let newest: Vec<String> = ids.iter().rev().take(20).cloned().collect();
    assert_eq!(shown, newest);
    page.assert_has("<a href=\"queues/mail\">mail</a> <span class=\"num\">19</span>");
    page.assert_has("<a href=\"queues/video\">video</a> <span class=\"num\">1</span>");
    page.assert_has("The 20 newest of 22.");
}
