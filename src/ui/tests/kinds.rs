//! The page of a kind and the list of kinds.

use super::*;
use crate::job::{Failure, FailureClass};

/// Runs a job in a queue to its end, or lets its only attempt fail.
async fn run(desk: &Desk, queue: &str, failure: Option<&str>) {
    let submission = Submission { queue: Some(queue.into()), max_attempts: Some(1), ..echo("1") };
    desk.submit(submission).await;
    let lease = desk.claim_from(queue).await;
    let verdict = match failure {
        None => Verdict::Completed { result: Json::null() },
        Some(message) => {
            let failure = Failure::new(FailureClass::Error, message);
            Verdict::Failed { failure, retry_in: Duration::from_secs(1) }
        }
    };
    desk.settle(&lease, verdict).await;
}

/// Gets a page until the observer, which is slightly behind the events, has counted everything that the page should show.
async fn until(desk: &Desk, path: &str, text: &str) -> Answer {
    let shown = async {
        loop {
            let page = desk.get(path).await;
            if page.text.contains(text) {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), shown).await.expect("the text is not shown")
}

#[tokio::test]
async fn the_page_of_a_kind_has_its_figures_run_times_failures_queues_and_jobs() {
    let desk = Desk::open();
    for queue in ["default", "mail", "mail"] {
        run(&desk, queue, None).await;
    }
    run(&desk, "mail", Some("the mailbox is full")).await;
    // Another kind in the same queue counts for itself only.
    desk.submit(Submission { queue: Some("mail".into()), ..sleep() }).await;
    let page = until(&desk, "/kinds/echo?range=1h", "<dd class=\"num\">25%</dd>").await;
    page.assert_sound();
    for shown in [
        "<title>Kind echo · Cortado</title>",
        "<a href=\"kinds\">Kinds</a> / echo",
        "Answers with its payload. Built into this server.",
        "<dt>Completed</dt><dd class=\"num\">3</dd>",
        "<dt>Failed attempts</dt><dd class=\"num\">1</dd>",
        "<dt>Failure rate</dt><dd class=\"num\">25%</dd>",
        "<span class=\"hint\">4 attempts</span>",
        "<th scope=\"row\">",
        "<a href=\"queues/default\">default</a>, <a href=\"queues/mail\">mail</a>",
        "Of the 4 newest jobs.",
        "the mailbox is full</a>",
        "href=\"jobs?kind=echo&amp;state=discarded\"",
        "<a class=\"more\" href=\"jobs?kind=echo\">All jobs of this kind</a>",
        "<input type=\"hidden\" name=\"kind\" value=\"echo\">",
        "href=\"kinds/echo?range=6h\"",
        "href=\"jobs/new?kind=echo\"",
    ] {
        page.assert_has(shown);
    }
    assert_eq!(page.text.matches("<figure class=\"chart").count(), 3);
    assert_eq!(page.text.matches("<tr data-job=").count(), 4);
    let other = desk.get("/kinds/sleep").await;
    other.assert_sound();
    other.assert_has("<dt>Completed</dt><dd class=\"num\">0</dd>");
    other.assert_has("No attempt ended in this range.");
    other.assert_lacks("the mailbox is full");
}

fn sleep() -> Submission {
    Submission { kind: "sleep".into(), ..echo(r#"{"ms":1}"#) }
}

#[tokio::test]
async fn a_kind_without_jobs_has_a_page_and_an_unknown_one_has_none() {
    let desk = Desk::open();
    let page = desk.get("/kinds/mail").await;
    page.assert_sound();
    page.assert_has("No jobs of this kind.");
    page.assert_has("<dt>Queues</dt><dd>none yet</dd>");
    let missing = desk.get("/kinds/nothing").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    missing.assert_has("Kind not found");
    let invalid = desk.get("/kinds/no%20kind").await;
    assert_eq!(invalid.status, StatusCode::BAD_REQUEST);
    invalid.assert_has("use 1 to 64 of the characters");
    let range = desk.get("/kinds/mail?range=2h").await;
    assert_eq!(range.status, StatusCode::BAD_REQUEST);
    range.assert_has("use 5m, 1h, 6h, 24h, 7d or 30d");
}

#[tokio::test]
async fn the_list_of_kinds_has_what_they_do_and_what_their_jobs_did() {
    let desk = Desk::open();
    run(&desk, "default", None).await;
    run(&desk, "default", Some("no")).await;
    desk.submit(sleep()).await;
    let page = until(&desk, "/kinds", "<td class=\"num\" data-label=\"Failing\">50%</td>").await;
    page.assert_sound();
    page.assert_has(
        "<a href=\"kinds/echo\">echo</a><span class=\"hint\">Answers with its payload.</span>",
    );
    page.assert_has("Waits &#60;a while&#62;.");
    page.assert_has("<td class=\"num\" data-label=\"Available\">1</td>");
    page.assert_lacks("Name contains");
    let found = desk.get("/kinds?q=EC&x=1").await;
    found.assert_has("kinds/echo");
    found.assert_lacks("kinds/mail");
    found.assert_has("Show all 3 kinds");
    found.assert_has("The unknown parameter “x” was ignored.");
    desk.get("/kinds?q=none").await.assert_has("No kinds match this filter.");
}

#[tokio::test]
async fn every_page_that_names_a_kind_leads_to_it() {
    let desk = Desk::open();
    run(&desk, "default", Some("no")).await;
    until(&desk, "/failures", "<span class=\"kind\">echo</span>").await;
    let group = desk.engine.failures(9).groups.remove(0).id;
    let id = desk.submit(echo("2")).await.id;
    for path in [format!("/jobs/{id}"), format!("/failures/{group}"), "/find?q=echo".to_owned()] {
        let page = desk.get(&path).await;
        assert!(page.text.contains("href=\"kinds/echo\""), "{path} does not lead to the kind");
    }
    desk.get("/queues").await.assert_has("href=\"kinds\"");
}
