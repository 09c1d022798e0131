//! The timeline without a script: its bars and its list, the switches, and who may see it.

use axum::http::StatusCode;

use super::*;

/// The page once the observer has seen all events.
async fn settled(desk: &Desk, path: &str, bars: usize) -> Answer {
    let mut live = desk.engine.live();
    loop {
        let page = desk.get(path).await;
        if page.values("data-attempt").len() >= bars {
            return page;
        }
        // Any event wakes the test; the observer takes the same ones.
        desk.echoes(1).await;
        live.recv().await.unwrap();
    }
}

#[tokio::test]
async fn attempts_are_bars_that_lead_to_their_jobs_and_lines_of_a_list() {
    let desk = Desk::open();
    let empty = desk.get("/timeline").await;
    empty.assert_has("No attempts in this time.");
    desk.echoes(2).await;
    desk.complete("7").await;
    let lease = desk.claim().await;
    let page = settled(&desk, "/timeline", 2).await;
    page.assert_sound();
    assert_eq!(page.values("data-lane"), ["default"]);
    let bar = format!("<a class=\"o-running\" href=\"jobs/{}\" tabindex=\"-1\"", lease.job.id);
    page.assert_has(&bar);
    page.assert_has("<a class=\"o-completed\" href=\"jobs/");
    page.assert_has("<span class=\"badge o-completed\">completed</span>");
    page.assert_has("1 running</span>");
    page.assert_lacks("<em>sample</em>");
}

#[tokio::test]
async fn lanes_are_queues_workers_or_kinds_as_the_url_says() {
    let desk = Desk::open();
    desk.echoes(1).await;
    desk.complete("7").await;
    for (path, name, link) in [
        ("/timeline", "default", "queues/default"),
        ("/timeline?by=worker", "w1", "workers?q=w1"),
        ("/timeline?by=kind&span=10m", "echo", "kinds/echo"),
    ] {
        let page = settled(&desk, path, 1).await;
        assert_eq!(page.values("data-lane"), [name]);
        page.assert_has(&format!("href=\"{link}\">{name}</a>"));
    }
    let page = desk.get("/timeline?by=kind&span=10m").await;
    page.assert_has("<a href=\"timeline?by=kind&#38;span=10m\" aria-current=\"true\">Kind</a>");
    page.assert_has(" data-span=\"600000\"");
}

#[tokio::test]
async fn what_the_url_says_in_vain_is_named() {
    let desk = Desk::open();
    let page = desk.get("/timeline?by=colour&span=1m&zoom=2").await;
    assert_eq!(page.status, StatusCode::OK);
    page.assert_has("The unknown parameters “by=colour”, “zoom” were ignored.");
}
