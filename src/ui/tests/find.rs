//! The page that finds things by their name, and the button that takes an action back.

use super::*;

/// The rows of the page as `sort name → href`.
fn rows(answer: &Answer) -> Vec<String> {
    let list = answer.text.split("id=\"found\"").nth(1).unwrap_or_default();
    let list = list.split("</ol>").next().unwrap_or_default();
    let part = |row: &str, before: &str, after: &str| {
        let rest = row.split_once(before).map_or("", |(_, rest)| rest);
        rest.split(after).next().unwrap_or_default().to_owned()
    };
    let row = |row: &str| {
        let sort = part(row, "found-sort\">", "<");
        let name = part(row, "found-name\">", "<");
        format!("{sort} {name} → {}", part(row, "href=\"", "\""))
    };
    list.split("<li>").skip(1).map(row).collect()
}

#[tokio::test]
async fn things_are_found_by_a_part_of_their_name() {
    let desk = Desk::open();
    for queue in ["mail", "airmail", "other"] {
        desk.submit(Submission { queue: Some(queue.into()), ..echo("1") }).await;
    }
    let answer = desk.get("/find?q=MAIL").await;
    answer.assert_sound();
    assert_eq!(
        rows(&answer),
        [
            "Queue mail → queues/mail",
            "Queue airmail → queues/airmail",
            "Kind mail → kinds/mail",
            "Search Jobs with “MAIL” → jobs?q=MAIL",
        ]
    );
    let id = desk.submit(echo("1")).await.id;
    let found = rows(&desk.get(&format!("/find?q={id}")).await);
    assert_eq!(found[0], format!("Job echo {id} → jobs/{id}"));
    // Without a text, the page lists the pages and the first of everything.
    let all = rows(&desk.get("/find").await);
    assert!(all.contains(&"Page System → system".to_owned()), "{all:?}");
    assert!(all.contains(&"Queue other → queues/other".to_owned()), "{all:?}");
    desk.get("/find?q=a&x=1").await.assert_has("x");
    // In a query, a dot is not a step up as it would be in a path.
    let last = rows(&desk.get("/find?q=..").await).pop();
    assert_eq!(last.as_deref(), Some("Search Jobs with “..” → jobs?q=.."));
}

#[tokio::test]
async fn a_list_that_is_cut_says_so() {
    let desk = Desk::open();
    for n in 0..12 {
        desk.submit(Submission { queue: Some(format!("tenant-{n:02}")), ..echo("1") }).await;
    }
    let answer = desk.get("/find?q=tenant").await;
    let queues = rows(&answer).iter().filter(|row| row.starts_with("Queue")).count();
    assert_eq!(queues, 8);
    answer.assert_has("More match than are shown.");
}

#[tokio::test]
async fn what_can_be_taken_back_has_a_button_for_it() {
    let desk = Desk::open();
    desk.submit(Submission { queue: Some("a:b".into()), ..echo("1") }).await;
    let paused = desk.post("/queues/a:b/pause", &[("from", "queues?show=paused")]).await;
    let request = Request::get("/queues?show=paused").header(header::COOKIE, &paused.cookie);
    let page = desk.send(request.body(Body::empty()).unwrap()).await;
    page.assert_sound();
    page.assert_has("action=\"queues/a%3Ab/resume\" id=\"undo-form\"");
    page.assert_has("name=\"from\" value=\"queues?show=paused\"");
    let undone = desk.post("/queues/a:b/resume", &[("from", "queues?show=paused")]).await;
    assert_eq!(undone.location, "/queues?show=paused");
    desk.get("/queues?show=paused").await.assert_lacks("undo-form");
}
