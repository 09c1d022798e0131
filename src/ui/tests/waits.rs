//! The heat map of waiting times on the page of queues.

use super::*;

async fn started(desk: &Desk, queue: &str) {
    desk.submit(Submission { queue: Some(queue.into()), ..echo("1") }).await;
    desk.claim_from(queue).await;
}

/// The page with the heat map, when the observer has counted so many cells.
async fn waits(desk: &Desk, path: &str, cells: usize) -> Answer {
    let counted = async {
        loop {
            let page = desk.get(path).await;
            if page.text.matches(" class=\"shade-").count() == cells {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), counted).await.expect("the cells are not there")
}

#[tokio::test]
async fn the_heat_map_has_a_row_for_each_queue_of_the_page_and_its_cells_lead_to_jobs() {
    let desk = Desk::by(ManualClock::at(crate::job::Time::from_millis(1_800_000_000_000)));
    started(&desk, "mail").await;
    started(&desk, "video").await;
    let page = waits(&desk, "/queues?view=waits&range=24h", 2).await;
    page.assert_sound();
    for shown in [
        "<a href=\"queues/mail\">mail</a>",
        "<a class=\"shade-0\" href=\"jobs?queue=mail&#38;since=2027-01-15T08%3A00%3A00Z&#38;until=2027-01-15T09%3A00%3A00Z\" \
         title=\"p95 0 ms, 2027-01-15 08:00 to 09:00 UTC\"></a>",
        "Last 24 hours.",
        "<a href=\"queues?view=waits&#38;range=24h\" aria-current=\"true\">24h</a>",
        "<a href=\"queues\">List</a>",
        "<span class=\"sr\">no data</span>",
        "10 min or longer</li>",
    ] {
        page.assert_has(shown);
    }
    assert_eq!(page.text.matches("<th scope=\"row\"").count(), 2);
    assert_eq!(page.text.matches("<th scope=\"col\"").count(), 25);
    page.assert_lacks("class=\"queues insight\"");
    // The filter applies to its rows, and the links keep it.
    let page = waits(&desk, "/queues?view=waits&q=vid", 1).await;
    page.assert_has("<a href=\"queues?q=vid&#38;view=waits&#38;range=7d\">7d</a>");
    page.assert_has("<input type=\"hidden\" name=\"view\" value=\"waits\">");
    let wrong = desk.get("/queues?view=map&range=2h").await;
    wrong.assert_has("view=map");
    wrong.assert_has("range=2h");
    desk.get("/queues?view=waits&q=none").await.assert_has("No queues match this filter.");
}
